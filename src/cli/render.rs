//! `wenzhai render`: finished records into a digest.

use super::args::RenderArgs;
use super::console::{self, Complaints};
use super::outcome::Outcome;
use super::outputs::Outputs;
use super::settings::{Verbosity, inputs};
use super::sources::sources;
use super::unique::Unique;
use super::wording;
use crate::digest::InOrder;
use crate::error::{Error, ErrorKind, Result};

pub(super) fn run(args: RenderArgs) -> Result<Outcome> {
    let sources = sources(&args.inputs, None)?;
    let outputs = Outputs::of(args.outputs, inputs(&sources))?;
    let mut unique = Unique::default();
    let mut complaints = Complaints::new(Verbosity::Normal);
    for source in &sources {
        unique.read(source, &mut complaints)?;
    }
    let left_out = complaints.finish();
    let Unique { records, doubles, .. } = unique;
    if doubles > 0 {
        console::note(&format!(
            "records left out, since their papers come again: {}; the newest with a summary counts",
            wording::count(doubles)
        ));
    }
    if records.is_empty() {
        if left_out > 0 {
            let message = format!("none of the {left_out} lines is a record");
            return Err(Error::new(ErrorKind::Input, message)
                .hint("a record is one line of JSON with `title`, `link` and `abstract`"));
        }
        console::note("there are no records; nothing was written");
        return Ok(Outcome::Complete);
    }
    outputs.write_in_order(InOrder::new(records))?;
    Ok(if left_out > 0 { Outcome::Incomplete } else { Outcome::Complete })
}
