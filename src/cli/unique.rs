//! Records as files have them, each paper once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::console::Complaints;
use super::input;
use crate::error::{ErrorKind, Result};
use crate::feed::Source;
use crate::record::{Record, read_jsonl};

/// Records in the order of their papers' first ones; of a paper that comes again the last counts, as
/// when it was written about anew, but none of an older version, and no failure where there is a summary.
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
                    complaints.add(&error.to_string(), 1)
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn push(&mut self, record: Record) {
        match self.places.entry(record.key()) {
            Entry::Occupied(place) => {
                let known = &mut self.records[*place.get()];
                if !is_worse(&record, known) {
                    *known = record;
                }
                self.doubles += 1;
            }
            Entry::Vacant(place) => {
                place.insert(self.records.len());
                self.records.push(record);
            }
        }
    }
}

/// Whether `record` is not to stand where `known` stands: what a reader would miss then.
fn is_worse(record: &Record, known: &Record) -> bool {
    match (record.says_something(), known.says_something()) {
        (false, true) => true,
        (true, false) => false,
        _ => matches!((record.version, known.version), (Some(one), Some(other)) if one < other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_counts_unless_it_is_older_or_failed() {
        let record = |version: u32, zh_title: &str| Record {
            id: "2699.00001".into(),
            version: Some(version),
            zh_title: zh_title.into(),
            zh_tldr: zh_title.into(),
            zh_abstract: zh_title.into(),
            ..Record::default()
        };
        let left = |records: [Record; 2]| {
            let mut unique = Unique::default();
            records.into_iter().for_each(|record| unique.push(record));
            assert_eq!((unique.records.len(), unique.doubles), (1, 1));
            unique.records.remove(0).zh_title
        };
        assert_eq!(left([record(1, "甲"), record(1, "乙")]), "乙");
        assert_eq!(left([record(1, "甲"), record(2, "乙")]), "乙");
        assert_eq!(left([record(2, "甲"), record(1, "乙")]), "甲");
        let failed = Record { error: Some("too long".into()), ..record(2, "") };
        assert_eq!(left([record(1, "甲"), failed.clone()]), "甲");
        assert_eq!(left([failed.clone(), record(2, "乙")]), "乙");
        assert_eq!(left([failed.clone(), record(1, "乙")]), "乙", "in the other order, too");
        assert_eq!(left([failed.clone(), Record { version: Some(1), ..failed }]), "");
    }
}
