//! Finished papers, durable at once.
//!
//! The store is one SQLite file that any run may reuse. A summary is kept under a key made of
//! everything that it depends on (see `key`): the paper and its version, the text that the model
//! read, the model, its adapter, the prompt with the fields that are asked for, the glossary, the
//! guards, whether the whole vocabulary was scored and how many texts were written side by side.
//! Change one of them and the paper is summarised anew; change none and it never is.
//!
//! A [`Run`] adds what belongs to this run only, in temporary tables: which papers were offered,
//! what became of each, and in which order the digest shows them. SQLite keeps these in a file of
//! its own (in `SQLITE_TMPDIR` or the system's folder for such files), so that a run over millions
//! of papers needs constant memory; they are gone with the process, which is right, since the
//! next run reads its feeds anew and finds what was finished.
//!
//! **Why SQLite and not a file a paper:** one transaction a paper survives `kill -9` and, with
//! `synchronous = FULL`, the loss of power. Finishing a paper costs one sync of the disk, some
//! 2 ms where writing the summary took seconds, so that grouping papers would win nothing. WAL
//! lets other programs read meanwhile.
//!
//! **Why a checksum a row:** disks lose bits in silence, and a digest that is wrong in one character
//! looks like any other. A damaged row counts as not there (see `row`).
//!
//! **Why a lock of our own:** SQLite's locks last for a transaction. Two runs that interleave
//! would do the same work twice, so a store belongs to one run at a time.
//!
//! **What was announced** where and on which day is noted too (`announced`), so that no day of a
//! category that is followed is missed in silence.
//!
//! Left out: a way to forget old summaries. A hundred thousand papers take some 200 MB.

mod account;
mod announced;
mod existing;
mod failure;
mod fate;
mod key;
mod lock;
mod offered;
mod row;
mod run;
mod schema;

use std::path::Path;

use rusqlite::Connection;

pub use account::Account;
pub use announced::{Announcement, DaysRead, Entry};
pub use existing::Successor;
pub use key::Identity;
pub use offered::OfferedPaper;
pub use run::{Offered, Pending, Run, Skip, Ticket};

use crate::error::{Error, Result};
use failure::failed;

/// An open store; it belongs to this process until it is dropped.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    /// What messages call the store.
    name: String,
    /// For whose digests days are remembered.
    reader: String,
    /// Held, not read; `None` for a store in memory.
    _lock: Option<lock::Lock>,
}

impl Store {
    /// Opens the store at `path`, or makes a new one there.
    ///
    /// Refuses a store that another run holds, one of a newer program, and files that are
    /// something else.
    pub fn open(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|cause| Error::io("make", folder, cause))?;
        }
        let lock = lock::Lock::take(path)?;
        let name = path.display().to_string();
        let connection = Connection::open(path).map_err(|cause| failed(&name, cause))?;
        schema::prepare(&connection, &name)?;
        Ok(Store { connection, name, reader: String::new(), _lock: Some(lock) })
    }

    /// A store that is gone with the process.
    pub fn in_memory() -> Result<Self> {
        let name = "in memory".to_owned();
        let connection = Connection::open_in_memory().map_err(|cause| failed(&name, cause))?;
        schema::prepare(&connection, &name)?;
        Ok(Store { connection, name, reader: String::new(), _lock: None })
    }

    /// Begins a run. With `redo`, summaries of earlier runs are not reused but overwritten.
    pub fn begin(&mut self, identity: &Identity, redo: bool) -> Result<Run<'_>> {
        Run::begin(self, identity.clone(), redo)
    }

    /// How many summaries the store holds, of all runs.
    pub fn len(&self) -> Result<u64> {
        let sql = "SELECT count(*) FROM main.summary";
        let count = self.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        count.map(i64::unsigned_abs).map_err(|cause| failed(&self.name, cause))
    }

    /// Whether the store holds no summary.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }
}
