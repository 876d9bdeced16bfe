//! `wenzhai render`: finished records into a digest.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::args::RenderArgs;
use super::console::{self, Complaints};
use super::input;
use super::outcome::Outcome;
use super::outputs::Outputs;
use super::settings::{Verbosity, inputs};
use super::sources::sources;
use crate::digest::InOrder;
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Record, read_jsonl};
use crate::store::Successor;

pub(super) fn run(args: RenderArgs) -> Result<Outcome> {
    let sources = sources(&args.inputs, None)?;
    let outputs = Outputs::of(args.outputs, inputs(&sources))?;
    let mut records = Records::default();
    let mut complaints = Complaints::new(Verbosity::Normal);
    for source in &sources {
        for record in read_jsonl(input::open(source)?, source.to_string()) {
            match record {
                Ok(record) => records.push(record),
                Err(error) if error.kind() == ErrorKind::Input => {
                    complaints.add(&error.to_string(), true)
                }
                Err(error) => return Err(error),
            }
        }
    }
    let left_out = complaints.finish();
    let Records { all: records, doubles, .. } = records;
    if doubles > 0 {
        console::note(&format!(
            "left out {doubles} of papers that come again: the last record of a paper counts"
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
    outputs.write(&InOrder::new(records), &|_| Ok(Successor::Nothing))?;
    Ok(if left_out > 0 { Outcome::Incomplete } else { Outcome::Complete })
}

/// Records in the order of their papers' first ones; of a paper that comes again the last counts, as
/// when it was written about anew.
#[derive(Default)]
struct Records {
    all: Vec<Record>,
    places: HashMap<String, usize>,
    doubles: u64,
}

impl Records {
    fn push(&mut self, record: Record) {
        match self.places.entry(record.key()) {
            Entry::Occupied(place) => {
                self.all[*place.get()] = record;
                self.doubles += 1;
            }
            Entry::Vacant(place) => {
                place.insert(self.all.len());
                self.all.push(record);
            }
        }
    }
}
