//! Where records come from: files, or standard input.
//!
//! Feeds are opened by [`crate::feed`], which fetches and unpacks; records are what this program
//! has written itself, and lie where it put them.

use std::fs::File;
use std::io::{BufRead, BufReader};

use crate::error::{Error, ErrorKind, Result};
use crate::feed::Source;

pub(super) fn open(source: &Source) -> Result<Box<dyn BufRead>> {
    match source {
        Source::Stdin => Ok(Box::new(BufReader::new(std::io::stdin()))),
        Source::Path(path) => {
            let file = File::open(path).map_err(|cause| Error::io("read", path, cause))?;
            Ok(Box::new(BufReader::new(file)))
        }
        Source::Url(url) => Err(Error::new(ErrorKind::Usage, format!("{url} is not a file"))
            .hint("records are read from files; fetch it first")),
    }
}
