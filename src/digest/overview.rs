//! What a document says of its records as a whole, counted before it is written.

use std::collections::{BTreeMap, HashSet};

use super::Records;
use super::entry::{self, State};
use super::line::one_line;
use crate::error::Result;
use crate::paper::Date;
use crate::record::Record;

/// Most categories that are counted. arXiv has 155, and its API tells classes of other schemes beside
/// them, of which there are thousands.
const MAX_COUNTED: usize = 1 << 16;
/// Most categories that are told, those of most papers.
const MAX_TOLD: usize = 400;

/// What is known of all records of a document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overview {
    /// How many there are.
    pub papers: u64,
    /// How many have a summary of which something must be known.
    pub marked: u64,
    /// How many could not be summarised.
    pub failed: u64,
    /// How many there was nothing to summarise in.
    pub noticed: u64,
    /// The latest day that one of them tells: its announcement, publication or last change.
    pub day: Option<Date>,
    categories: BTreeMap<String, u64>,
}

impl Overview {
    /// Reads `records` once.
    pub fn of(records: &dyn Records) -> Result<Overview> {
        let mut overview = Overview::default();
        records.for_each_record(&mut |record| {
            overview.add(record);
            Ok(())
        })?;
        Ok(overview)
    }

    fn add(&mut self, record: &Record) {
        self.papers += 1;
        match entry::state(record) {
            State::Clean => {}
            State::Marked => self.marked += 1,
            State::Noticed => self.noticed += 1,
            State::Failed => self.failed += 1,
        }
        self.day = self.day.max(entry::day(record));
        for category in categories(record) {
            let is_full = self.categories.len() >= MAX_COUNTED;
            if let Some(count) = self.categories.get_mut(&category) {
                *count += 1;
            } else if !is_full {
                self.categories.insert(category, 1);
            }
        }
    }

    /// The categories, those of most papers first, and how many papers each has.
    pub(super) fn categories(&self) -> Vec<(&str, u64)> {
        let mut categories: Vec<_> =
            self.categories.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        categories.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        categories.truncate(MAX_TOLD);
        categories
    }
}

/// The first category of a record, as one word.
pub(super) fn first_category(record: &Record) -> Option<String> {
    record.categories.iter().map(|category| as_word(category)).find(|word| !word.is_empty())
}

fn as_word(category: &str) -> String {
    one_line(category).split_whitespace().collect()
}

/// The categories of a record, each once, as one word each.
pub(super) fn categories(record: &Record) -> Vec<String> {
    let mut met = HashSet::new();
    let words = record.categories.iter().map(|category| as_word(category));
    words.filter(|category| !category.is_empty() && met.insert(category.clone())).collect()
}
