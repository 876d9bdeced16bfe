//! Why a source did not deliver.

use std::fmt;
use std::io;
use std::path::Path;

use crate::error::plain;
use crate::http::escaped;

/// Why a source did not deliver: a clause of the error that names all sources, and what to do
/// about it where that is known.
#[derive(Debug)]
pub(super) struct Reason {
    text: String,
    pub(super) hint: Option<&'static str>,
}

impl Reason {
    pub(super) fn with_hint(text: String, hint: &'static str) -> Self {
        Reason { text, hint: Some(hint) }
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Reason { text, hint: None }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// "cannot write FILE: cause".
pub(super) fn cannot(action: &str, path: &Path, cause: &io::Error) -> Reason {
    let path = escaped(&path.display().to_string());
    format!("cannot {action} {path}: {}", plain(cause)).into()
}
