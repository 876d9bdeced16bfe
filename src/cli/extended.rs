//! A file of records that a run extends: what it has stays to the letter, and what is new comes behind.

use std::io::Write;
use std::path::Path;

use super::input;
use crate::error::{Error, ErrorKind, Result};
use crate::feed::Source;
use crate::record::{Record, read_jsonl};

/// Whether a record of the file gives way to one of the run.
pub(super) type Replaces<'a> = &'a dyn Fn(&Record) -> Result<bool>;

/// Writes the lines of the file at `path` whose records stay: other programs may have put there what a
/// record of ours has no place for.
///
/// # Errors
/// Those of [`read`], and where `out` cannot be written to.
pub(super) fn copy(path: &Path, replaces: Replaces<'_>, out: &mut dyn Write) -> Result<()> {
    let failed = |cause| Error::new(ErrorKind::Io, "cannot write the records").because(cause);
    read(path, &mut |record, line| match replaces(record)? {
        true => Ok(()),
        false => out.write_all(line).and_then(|()| out.write_all(b"\n")).map_err(failed),
    })
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
