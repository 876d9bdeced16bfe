//! SQLite's failures in words: what cannot be done, and what to do about it.

use rusqlite::ErrorCode;

use crate::error::{Error, ErrorKind};

/// SQLite's failure in the words of the program.
pub(super) fn failed(name: &str, cause: rusqlite::Error) -> Error {
    let (what, hint) = match cause.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            ("is damaged, or no store at all", Some(START_AFRESH))
        }
        Some(ErrorCode::DiskFull) => ("cannot grow: the disk is full", Some("free some space")),
        Some(ErrorCode::CannotOpen) => {
            ("cannot be opened", Some("does its folder exist, and may you write there?"))
        }
        Some(ErrorCode::ReadOnly) => {
            ("cannot be written", Some("is the file or its folder read-only?"))
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            "is held by another program",
            Some("close the program that has the file open, or give another store"),
        ),
        _ => ("failed", None),
    };
    let passes = matches!(
        cause.sqlite_error_code(),
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    );
    let error = Error::new(ErrorKind::Store, format!("the store {name} {what}")).because(cause);
    let error = if passes { error.passing() } else { error };
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// What helps where a store cannot be read.
pub(super) const START_AFRESH: &str = "move the file away; its papers are then summarised again";
