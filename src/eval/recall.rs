//! How much of what can be compared word for word arrives: the abstract's numbers and names.
//!
//! A number or name of the abstract has arrived when the paragraph contains it as it stands, be it
//! within another (the 5 of `0.5`); commas of thousands are left out on both sides. What is
//! translated (`2 million` as `200万`) counts as lost, so good summaries have well under 1, and
//! figures mean something only beside others. Each is counted once a paper, papers are added up.

use std::collections::HashSet;
use std::ops::AddAssign;

use super::patterns::{Patterns, without_commas};

/// Things of abstracts that arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recall {
    /// In the abstracts.
    pub stated: u64,
    /// Of these, in the paragraphs.
    pub kept: u64,
}

impl Recall {
    pub(super) fn of_numbers(source: &str, paragraph: &str, patterns: &Patterns) -> Self {
        Recall::of(&patterns.numbers(source), &without_commas(paragraph))
    }

    pub(super) fn of_names(source: &str, paragraph: &str, patterns: &Patterns) -> Self {
        Recall::of(&patterns.names(source), paragraph)
    }

    fn of(stated: &HashSet<String>, paragraph: &str) -> Self {
        let kept = stated.iter().filter(|thing| paragraph.contains(thing.as_str())).count();
        Recall { stated: stated.len() as u64, kept: kept as u64 }
    }

    /// What arrived of what was stated, 0 to 1; 0 where nothing was.
    pub fn share(&self) -> f64 {
        self.kept as f64 / self.stated.max(1) as f64
    }
}

impl AddAssign for Recall {
    fn add_assign(&mut self, other: Recall) {
        self.stated += other.stated;
        self.kept += other.kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_thing_once_and_where_it_stands() {
        let patterns = Patterns::new();
        let numbers = |source, paragraph| {
            let Recall { stated, kept } = Recall::of_numbers(source, paragraph, &patterns);
            (stated, kept)
        };
        assert_eq!(numbers("1,024 sheep, 1024 goats, 5 dogs, 3.5%", "1024只羊，0.5"), (3, 2));
        assert_eq!(numbers("2 million sheep", "200万只羊"), (1, 1), "the 2 of 200");
        assert_eq!(numbers("no sheep", "12"), (0, 0));
        let names = Recall::of_names("LLMs, DeepSeek and BERT", "用LLMs与Bert", &patterns);
        assert_eq!(names, Recall { stated: 3, kept: 1 });
        assert_eq!(names.share(), 1.0 / 3.0);
        assert_eq!(Recall::default().share(), 0.0);
    }
}
