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
    /// Whether another try, later, may do better.
    pub(super) may_pass: bool,
    /// Whether it is this machine that could not write, whatever came.
    pub(super) is_of_disk: bool,
}

impl Reason {
    pub(super) fn with_hint(text: String, hint: &'static str) -> Self {
        Reason { hint: Some(hint), ..Reason::from(text) }
    }

    /// The same reason in other words.
    #[must_use]
    pub(super) fn in_words(self, text: String) -> Self {
        Reason { text, ..self }
    }

    /// The same reason, which passes or does not.
    #[must_use]
    pub(super) fn passing(self, may_pass: bool) -> Self {
        Reason { may_pass, ..self }
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Reason { text, hint: None, may_pass: true, is_of_disk: false }
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
    let text = format!("cannot {action} {path}: {}", plain(cause));
    Reason { is_of_disk: action == "write", ..text.into() }
}
