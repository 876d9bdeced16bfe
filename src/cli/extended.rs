//! A file of records that a run extends: what it has stays to the letter, and what is new comes behind.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use super::input;
use crate::digest::{self, Records};
use crate::error::{Error, ErrorKind, Result};
use crate::feed::Source;
use crate::record::{Record, read_jsonl};
use crate::store::Successor;

/// What the run has of the paper of a record of the file.
pub(super) type Successors<'a> = &'a dyn Fn(&Record) -> Result<Successor>;

/// Writes the lines of the file at `path` whose records stay, to the letter, since other programs may
/// have put there what a record of ours has no place for; and behind them `records`, those of the run.
/// A summary stays where its paper's new version failed, and the failure is left out.
///
/// # Errors
/// Those of [`read`], and where `out` cannot be written to.
pub(super) fn write(
    path: &Path,
    records: &dyn Records,
    successors: Successors<'_>,
    out: &mut dyn Write,
) -> Result<()> {
    let failed = |cause| Error::new(ErrorKind::Io, "cannot write the records").because(cause);
    let mut left_out = HashSet::new();
    read(path, &mut |record, line| {
        match successors(record)? {
            Successor::Written => return Ok(()),
            Successor::Failed if !record.has_summary() => return Ok(()),
            Successor::Failed => drop(left_out.insert(record.key())),
            Successor::Nothing => {}
        }
        out.write_all(line).and_then(|()| out.write_all(b"\n")).map_err(failed)
    })?;
    digest::jsonl(&Rest { records, left_out }, out)
}

/// Records without those that are left out.
struct Rest<'a> {
    records: &'a dyn Records,
    /// Keys of their papers.
    left_out: HashSet<String>,
}

impl Records for Rest<'_> {
    fn for_each_record(&self, visit: &mut dyn FnMut(&Record) -> Result<()>) -> Result<()> {
        let is_out =
            |record: &Record| !self.left_out.is_empty() && self.left_out.contains(&record.key());
        self.records.for_each_record(&mut |record| match is_out(record) {
            true => Ok(()),
            false => visit(record),
        })
    }
}

/// Hands every record of the file at `path`, and its line, to `visit`; there are none where it is not
/// there.
///
/// # Errors
/// Where a line is no record: it would be lost when the file is written anew.
pub(super) fn read(path: &Path, visit: &mut dyn FnMut(&Record, &[u8]) -> Result<()>) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let source = Source::Path(path.to_owned());
    let mut records = read_jsonl(input::open(&source)?, source.to_string());
    while let Some(record) = records.next() {
        visit(&record?, records.line())?;
    }
    Ok(())
}
