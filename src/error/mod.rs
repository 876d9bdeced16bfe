//! The one error type of the library: what went wrong, with which thing, and a hint.
//!
//! Callers tell errors apart by [`Error::kind`]; people read the `Display` form, which names the
//! thing and the value. The hint is kept apart so that the command line can set it on a line of
//! its own. Causes are chained through [`std::error::Error::source`].

mod plain;

use std::fmt;
use std::path::Path;

pub use plain::plain;

/// Result with the library's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What area an [`Error`] belongs to; decides nothing but how a caller may react.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request makes no sense: an unknown model, a bad option value.
    Usage,
    /// A feed or a record file cannot be read as what it claims to be.
    Input,
    /// A model card, GGUF file, adapter or tokenizer is missing, damaged or of an unknown kind.
    Model,
    /// A download failed.
    Network,
    /// The store cannot be opened, is held by another run, or is damaged.
    Store,
    /// A file cannot be read or written.
    Io,
    /// The engine failed in the middle of a step.
    Engine,
    /// There is no memory for a step; with fewer sequences at a time there may be.
    Memory,
}

/// An error: what failed and with which thing, an optional hint, and its cause.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    passing: bool,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `message` names the thing and the value that is wrong.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let (hint, source) = (None, None);
        Error(Box::new(Inner { kind, message: message.into(), hint, passing: false, source }))
    }

    /// A file operation that failed: "cannot read FILE".
    pub fn io(action: &str, path: &Path, cause: std::io::Error) -> Self {
        Error::new(ErrorKind::Io, format!("cannot {action} {}", path.display())).because(cause)
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Says that the same request may do later what it did not do now: a server is silent, a disk
    /// full, a store held by another run.
    #[must_use]
    pub fn passing(mut self) -> Self {
        self.0.passing = true;
        self
    }

    /// The same in other words: with a message that says more.
    #[must_use]
    pub fn saying(mut self, message: impl Into<String>) -> Self {
        self.0.message = message.into();
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(
        mut self,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
    ) -> Self {
        self.0.source = Some(cause.into());
        self
    }

    /// The area that the error belongs to.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether another try, later, may do better: what passes, or has a cause that does.
    pub fn may_pass(&self) -> bool {
        use std::io::ErrorKind::{Interrupted, QuotaExceeded, StorageFull, TimedOut, WouldBlock};
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            let own = error.downcast_ref::<Error>().is_some_and(|error| error.0.passing);
            let io = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            let of_system = [Interrupted, QuotaExceeded, StorageFull, TimedOut, WouldBlock];
            if own || io.is_some_and(|kind| of_system.contains(&kind)) {
                return true;
            }
            cause = error.source();
        }
        false
    }

    /// What the user can do about it, where there is something.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|cause| cause as _)
    }
}
