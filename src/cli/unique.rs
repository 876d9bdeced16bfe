//! Records as files have them, each paper once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::console::Complaints;
use super::input;
use crate::error::{ErrorKind, Result};
use crate::feed::Source;
use crate::record::{Record, read_jsonl};

/// Records in the order of their papers' first ones; of a paper that comes again the last counts, as
/// when it was written about anew.
#[derive(Default)]
pub(super) struct Unique {
    pub(super) records: Vec<Record>,
    /// How many came again.
    pub(super) doubles: u64,
    places: HashMap<String, usize>,
}

impl Unique {
    /// Takes in the records of `source`; lines that are none are complained of and left out.
    pub(super) fn read(&mut self, source: &Source, complaints: &mut Complaints) -> Result<()> {
        for record in read_jsonl(input::open(source)?, source.to_string()) {
            match record {
                Ok(record) => self.push(record),
                Err(error) if error.kind() == ErrorKind::Input => {
                    complaints.add(&error.to_string(), true)
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn push(&mut self, record: Record) {
        // A title alone may be another paper's, too.
        if record.is_known_by_title() {
            return self.records.push(record);
        }
        match self.places.entry(record.key()) {
            Entry::Occupied(place) => {
                self.records[*place.get()] = record;
                self.doubles += 1;
            }
            Entry::Vacant(place) => {
                place.insert(self.records.len());
                self.records.push(record);
            }
        }
    }
}
