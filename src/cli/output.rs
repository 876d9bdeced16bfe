//! Where documents go: a file, whole or not at all, or standard output.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use crate::atomic::write_atomically;
use crate::error::{Error, ErrorKind, Result};

/// Where a document goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    Stdout,
    File(PathBuf),
}

impl Output {
    /// `-` is standard output, as it is standard input among the inputs.
    pub(super) fn of(path: Option<PathBuf>) -> Self {
        match path {
            Some(path) if path.as_os_str() != "-" => Output::File(path),
            _ => Output::Stdout,
        }
    }

    /// Writes what `write` writes.
    pub(super) fn write(&self, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        match self {
            Output::File(path) => write_atomically(path, |out| write(out)),
            Output::Stdout => {
                let mut out = BufWriter::new(std::io::stdout().lock());
                write(&mut out)?;
                out.flush().map_err(|cause| {
                    Error::new(ErrorKind::Io, "cannot write to standard output").because(cause)
                })
            }
        }
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Output::Stdout => f.write_str("standard output"),
            Output::File(path) => write!(f, "{}", path.display()),
        }
    }
}
