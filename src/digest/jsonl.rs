//! One record a line: what `record::read_jsonl` reads back.

use std::io::Write;

use super::Records;
use crate::error::{Error, ErrorKind, Result};

/// Writes every record as one line of JSON.
pub fn jsonl(records: &dyn Records, out: &mut dyn Write) -> Result<()> {
    let failed = |cause| Error::new(ErrorKind::Io, "cannot write the records").because(cause);
    records.for_each_record(&mut |record| {
        serde_json::to_writer(&mut *out, record).map_err(std::io::Error::from).map_err(failed)?;
        out.write_all(b"\n").map_err(failed)
    })
}
