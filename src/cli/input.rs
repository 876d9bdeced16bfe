//! Where records come from: files, or standard input.
//!
//! Feeds are opened by [`crate::feed`], which fetches; records are what this program has written
//! itself, and lie where it put them, in UTF-16 where Windows PowerShell did, or packed with gzip.

use std::fs::File;
use std::io::BufRead;

use crate::error::{Error, ErrorKind, Result};
use crate::feed::{self, Source};

pub(super) fn open(source: &Source) -> Result<Box<dyn BufRead>> {
    match source {
        Source::Stdin => feed::utf8_lines(&source.to_string(), std::io::stdin()),
        Source::Path(path) => {
            let file = File::open(path).map_err(|cause| Error::io("read", path, cause))?;
            feed::utf8_lines(&source.to_string(), file)
        }
        Source::Url { .. } | Source::Arxiv(_) => {
            Err(Error::new(ErrorKind::Usage, format!("{source} is not a file"))
                .hint("records are read from files; fetch it first"))
        }
    }
}
