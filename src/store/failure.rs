//! SQLite's failures in words: what cannot be done, and what to do about it.

use rusqlite::{ErrorCode, ffi};

use crate::error::{Error, ErrorKind};

/// SQLite's failure in the words of the program.
pub(super) fn failed(name: &str, cause: rusqlite::Error) -> Error {
    let (what, hint) = match cause.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            ("is damaged, or no store at all", Some(START_AFRESH))
        }
        Some(ErrorCode::DiskFull) => ("cannot grow: a disk is full", Some(FREE_SPACE)),
        _ if is_refused_write(&cause) => ("cannot grow: is a disk full?", Some(FREE_SPACE)),
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
    let passes = is_refused_write(&cause)
        || matches!(
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

/// Whether the system refused to write: a full disk fails so where SQLite makes room for its index of a
/// journal, and a quota everywhere.
fn is_refused_write(cause: &rusqlite::Error) -> bool {
    let code = cause.sqlite_error().map(|error| error.extended_code);
    code.is_some_and(|code| {
        [ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_SHMSIZE]
            .contains(&code)
    })
}

/// A run's papers lie in another folder than its store.
const FREE_SPACE: &str = "free some space where the store is, and in the folder for temporary files, \
                          in whose place SQLITE_TMPDIR names another";

/// What helps where a store cannot be read.
pub(super) const START_AFRESH: &str = "move the file away; its papers are then summarised again";
