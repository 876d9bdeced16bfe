//! Records that an output has from earlier runs, so that a run can leave their papers out.

use rusqlite::{OptionalExtension, params};

use super::key::paper_key;
use super::run::Run;
use crate::error::Result;
use crate::paper::{Paper, PaperId};
use crate::record::Record;

impl Run<'_> {
    /// Notes that an output has `record`. One of a paper that failed does not count, so that the
    /// paper is tried again.
    pub fn add_existing(&mut self, record: &Record) -> Result<()> {
        if !record.has_summary() && record.notice.is_none() {
            return Ok(());
        }
        let sql = "INSERT OR REPLACE INTO temp.existing (paper, version) VALUES (?1, ?2)";
        self.execute(sql, params![paper_key(&paper_of(record)), record.version])
    }

    /// Whether an output has `paper`, in this version or a newer one; one that is not known counts
    /// as this one.
    pub fn has_existing(&self, paper: &Paper) -> Result<bool> {
        let sql = "SELECT 1 FROM temp.existing
            WHERE paper = ?1 AND coalesce(version >= ?2, TRUE)";
        let find = || {
            let mut statement = self.store.connection.prepare_cached(sql)?;
            statement.query_row(params![paper_key(paper), paper.version], |_| Ok(())).optional()
        };
        find().map(|found| found.is_some()).map_err(|cause| self.failed(cause))
    }

    /// Whether a paper of this run takes the place of `record` in an output: it failed there, or is
    /// of an older version.
    pub fn replaces(&self, record: &Record) -> Result<bool> {
        let known = self.known_version(&paper_key(&paper_of(record)));
        known.map(|known| known.is_some()).map_err(|cause| self.failed(cause))
    }
}

/// As much of the paper as it is known by.
fn paper_of(record: &Record) -> Paper {
    Paper {
        id: PaperId::parse(&record.id).map(|(id, _)| id),
        link: record.link.clone(),
        title: record.title.clone(),
        ..Paper::default()
    }
}
