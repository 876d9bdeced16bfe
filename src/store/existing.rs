//! Records that an output has from earlier runs, so that a run can leave their papers out.

use rusqlite::{OptionalExtension, params};

use super::fate::Fate;
use super::run::Run;
use crate::error::Result;
use crate::paper::Paper;
use crate::record::Record;

impl Run<'_> {
    /// Notes that an output has `record`. One of a paper that failed does not count, so that the
    /// paper is tried again.
    pub fn add_existing(&mut self, record: &Record) -> Result<()> {
        if !record.says_something() {
            return Ok(());
        }
        let sql = "INSERT OR REPLACE INTO temp.existing (paper, version) VALUES (?1, ?2)";
        self.execute(sql, params![record.key(), record.version])
    }

    /// Whether an output has `paper`, in this version or a newer one; one that is not known counts
    /// as this one.
    pub fn has_existing(&self, paper: &Paper) -> Result<bool> {
        let sql = "SELECT 1 FROM temp.existing
            WHERE paper = ?1 AND coalesce(version >= ?2, TRUE)";
        let find = || {
            let mut statement = self.store.connection.prepare_cached(sql)?;
            statement.query_row(params![paper.key(), paper.version], |_| Ok(())).optional()
        };
        find().map(|found| found.is_some()).map_err(|cause| self.failed(cause))
    }

    /// What this run has of the paper of `record`, which an output has: there it failed, or is of an
    /// older version.
    pub fn successor(&self, record: &Record) -> Result<Successor> {
        let known = self.known(&record.key()).map_err(|cause| self.failed(cause))?;
        Ok(match known {
            None => Successor::Nothing,
            Some(known) if known.fate == Some(Fate::Failed) => Successor::Failed,
            Some(_) => Successor::Written,
        })
    }
}

/// What a run has of a paper that an output has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Successor {
    /// Nothing: the run did not come to it.
    Nothing,
    /// A record that says why there is no summary.
    Failed,
    /// Another record.
    Written,
}
