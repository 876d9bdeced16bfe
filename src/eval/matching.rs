//! Which record belongs to which reference.
//!
//! A feed names versions and a reference may not, so that ids are compared without them; where
//! a paper has several records, the one of the reference's own version is taken, and of equals the
//! last: it was written later. Records are taken in one by one and only those are kept that belong
//! to a reference, so that their number has no limit.

use std::collections::HashMap;

use serde::Serialize;

use super::{Reference, Written};

/// References, and the records that were found for them.
#[derive(Debug)]
pub struct Matching {
    references: Vec<Reference>,
    by_id: HashMap<String, Vec<usize>>,
    written: Vec<Option<Written>>,
    coverage: Coverage,
}

/// What was found for which, counted; the last three of what the summaries went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Coverage {
    /// References that a record belongs to.
    pub matched: u64,
    /// References that none belongs to.
    pub missing: u64,
    /// Of those matched: without any text.
    pub failed: u64,
    /// Records in all.
    pub records: u64,
    /// Records that belong to no reference.
    pub without_reference: u64,
    /// Records of papers that came before.
    pub repeated_records: u64,
    /// References of papers that came before in the same version; each counts.
    pub repeated_references: u64,
    /// Of those matched: tried again.
    pub retried: u64,
    /// Of those matched: marked, since a check still failed.
    pub flagged: u64,
    /// Of those matched: with an abstract that was cut before the model read it.
    pub cut: u64,
}

impl Matching {
    /// Nothing is found yet for `references`.
    pub fn new(references: Vec<Reference>) -> Self {
        let mut by_id: HashMap<String, Vec<usize>> = HashMap::new();
        let mut coverage = Coverage::default();
        for (index, reference) in references.iter().enumerate() {
            let same_id = by_id.entry(reference.id.clone()).or_default();
            let repeats = |other: &usize| references[*other].version == reference.version;
            coverage.repeated_references += u64::from(same_id.iter().any(repeats));
            same_id.push(index);
        }
        let written = vec![None; references.len()];
        Matching { references, by_id, written, coverage }
    }

    /// Takes a record in.
    pub fn take(&mut self, record: &Written) {
        self.coverage.records += 1;
        let Some(indices) = self.by_id.get(&record.id) else {
            self.coverage.without_reference += 1;
            return;
        };
        let mut repeated = false;
        for &index in indices {
            let own = |record: &Written| {
                record.version.is_some() && record.version == self.references[index].version
            };
            let before = &mut self.written[index];
            repeated |= before.is_some();
            if before.as_ref().is_none_or(|before| own(record) >= own(before)) {
                *before = Some(record.clone());
            }
        }
        self.coverage.repeated_records += u64::from(repeated);
    }

    /// Every reference, in the order of their file, and its record.
    pub fn pairs(&self) -> impl Iterator<Item = (&Reference, Option<&Written>)> {
        self.references.iter().zip(self.written.iter().map(Option::as_ref))
    }

    /// Counts what was found.
    pub fn coverage(&self) -> Coverage {
        let mut coverage = self.coverage;
        for written in &self.written {
            let Some(written) = written else {
                coverage.missing += 1;
                continue;
            };
            coverage.matched += 1;
            coverage.failed += u64::from(written.is_failed());
            coverage.retried += u64::from(written.retries > 0);
            coverage.flagged += u64::from(!written.marks.is_empty() && !written.is_failed());
            coverage.cut += u64::from(written.cut);
        }
        coverage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::{Field, Flaw, FlawKind, Summary};

    fn reference(id: &str, version: Option<u32>) -> Reference {
        let (title, abstract_text, summary) = Default::default();
        Reference { id: id.into(), version, title, abstract_text, summary }
    }

    fn written(id: &str, version: Option<u32>, title: &str) -> Written {
        let summary = Summary { zh_title: title.into(), ..Summary::default() };
        Written { id: id.into(), version, summary, ..Written::default() }
    }

    /// The titles that are found for `references`, `-` for none.
    #[track_caller]
    fn check(
        references: &[(&str, Option<u32>)],
        records: &[Written],
        expected: &[&str],
    ) -> Coverage {
        let references = references.iter().map(|(id, version)| reference(id, *version)).collect();
        let mut matching = Matching::new(references);
        records.iter().for_each(|record| matching.take(record));
        let title = |(_, found): (_, Option<&Written>)| {
            found.map_or("-".to_owned(), |found| found.summary.zh_title.clone())
        };
        assert_eq!(matching.pairs().map(title).collect::<Vec<_>>(), expected);
        matching.coverage()
    }

    #[test]
    fn versions_are_no_hindrance() {
        let records =
            [written("a", Some(1), "甲"), written("b", None, "乙"), written("", None, "")];
        let coverage =
            check(&[("b", Some(2)), ("a", None), ("c", None)], &records, &["乙", "甲", "-"]);
        let expected =
            Coverage { matched: 2, missing: 1, records: 3, without_reference: 1, ..coverage };
        assert_eq!(coverage, expected);
        assert_eq!((coverage.repeated_records, coverage.repeated_references), (0, 0));
    }

    #[test]
    fn of_several_records_the_same_version_counts_and_then_the_last() {
        let records = [
            written("a", Some(1), "一"),
            written("a", Some(2), "二"),
            written("a", Some(2), "二又"),
            written("a", Some(3), "三"),
        ];
        let references =
            [("a", None), ("a", Some(2)), ("a", Some(1)), ("a", Some(9)), ("a", Some(9))];
        let coverage = check(&references, &records, &["三", "二又", "一", "三", "三"]);
        assert_eq!((coverage.repeated_records, coverage.repeated_references), (3, 1));
    }

    #[test]
    fn counts_what_summaries_went_through() {
        let good = written("a", None, "甲");
        let records = [
            Written {
                retries: 2,
                marks: vec![Flaw::plain(FlawKind::Loop, Field::Title)],
                ..good.clone()
            },
            Written { id: "b".into(), cut: true, ..good },
            written("c", None, ""),
        ];
        let coverage = check(&[("a", None), ("b", None), ("c", None)], &records, &["甲", "甲", ""]);
        let Coverage { matched, failed, retried, flagged, cut, .. } = coverage;
        assert_eq!([matched, failed, retried, flagged, cut], [3, 1, 1, 1, 1]);
    }
}
