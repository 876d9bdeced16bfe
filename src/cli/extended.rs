//! A file of records that a run extends: what it has stays, and what is new comes behind it.

use std::path::Path;

use super::input;
use crate::digest::Records;
use crate::error::Result;
use crate::feed::Source;
use crate::record::{Record, read_jsonl};

/// Whether a record of the file gives way to one of the run.
pub(super) type Replaces<'a> = &'a dyn Fn(&Record) -> Result<bool>;

/// The records of a file, which need not be there, and those of a run.
pub(super) struct Extended<'a> {
    pub(super) path: &'a Path,
    pub(super) records: &'a dyn Records,
    pub(super) replaces: Replaces<'a>,
}

impl Records for Extended<'_> {
    fn for_each_record(&self, visit: &mut dyn FnMut(&Record) -> Result<()>) -> Result<()> {
        read(self.path, &mut |record| match (self.replaces)(record)? {
            true => Ok(()),
            false => visit(record),
        })?;
        self.records.for_each_record(visit)
    }
}

/// Hands every record of the file at `path` to `visit`; there are none where it is not there.
///
/// # Errors
/// Where a line is no record: it would be lost when the file is written anew.
pub(super) fn read(path: &Path, visit: &mut dyn FnMut(&Record) -> Result<()>) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let source = Source::Path(path.to_owned());
    for record in read_jsonl(input::open(&source)?, source.to_string()) {
        visit(&record?)?;
    }
    Ok(())
}
