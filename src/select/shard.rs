//! A share of the papers for each of several machines.
//!
//! Which shard a paper belongs to follows from its arXiv id alone: the first 16 hexadecimal digits
//! of the id's SHA-256, read as a number, modulo the number of shards. It does not depend on the
//! other papers, on their order, on versions, or on the machine, so machines that read different
//! copies of a feed agree without talking to one another. A paper without an id is known by its
//! link, or else by its title.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::hash;
use crate::paper::Paper;

/// Most shards: of the three million papers that arXiv has, each would have some 45.
pub const MAX_SHARDS: u64 = 65_536;

/// One of several shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which one, from 1 on.
    number: u64,
    /// How many there are.
    count: u64,
}

impl Shard {
    /// Whether `paper` belongs to it.
    pub fn has(self, paper: &Paper) -> bool {
        hash::first_u64(name_of(paper)) % self.count == self.number - 1
    }
}

/// What a paper is known by, in all its versions.
fn name_of(paper: &Paper) -> &str {
    match &paper.id {
        Some(id) => id.as_str(),
        None if !paper.link.is_empty() => &paper.link,
        None => &paper.title,
    }
}

impl FromStr for Shard {
    type Err = Error;

    /// `I/N`: shard I, counted from 1, of N.
    fn from_str(text: &str) -> Result<Self> {
        let refused = |what: String, hint: &str| {
            Err(Error::new(ErrorKind::Usage, format!("the shard {text:?}: {what}")).hint(hint))
        };
        let parts = text.split_once('/');
        let numbers =
            parts.and_then(|(i, n)| Some((i.trim().parse().ok()?, n.trim().parse().ok()?)));
        let Some((number, count)) = numbers else {
            return refused("no shard".into(), "a shard is written as 2/8: the second of eight");
        };
        match (number, count) {
            (_, 0) => refused("there are no shards of none".into(), "1/1 has all papers"),
            (_, count) if count > MAX_SHARDS => {
                refused(format!("more than {MAX_SHARDS} shards"), "take fewer, larger ones")
            }
            (0, _) => refused("shards are counted from 1".into(), "the first of eight is 1/8"),
            (number, count) if number > count => {
                refused(format!("there are only {count}"), "the last of eight is 8/8")
            }
            (number, count) => Ok(Shard { number, count }),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::PaperId;

    const EXAMPLES: [(&str, u64, u64); 4] = [
        ("2699.00001", 6, 246),
        ("2699.00002v3", 4, 228),
        ("0704.0001", 7, 15),
        ("astro-ph/0601001v1", 4, 372),
    ];

    fn paper(reference: &str) -> Paper {
        let (id, version) = PaperId::parse(reference).unwrap();
        Paper { id: Some(id), version, ..Paper::default() }
    }

    /// By Python: `int(hashlib.sha256(b"2699.00001").hexdigest()[:16], 16) % 8`, and so on. These
    /// must never change: a store a shard would no longer fit its papers.
    #[test]
    fn who_has_a_paper_is_settled_for_ever() {
        for (reference, of_8, of_1000) in EXAMPLES {
            for (expected, count) in [(of_8, 8), (of_1000, 1000)] {
                let has = |number: &u64| Shard { number: *number, count }.has(&paper(reference));
                let found: Vec<u64> = (1..=count).filter(has).collect();
                assert_eq!(found, [expected + 1], "{reference} of {count}");
            }
        }
    }

    #[test]
    fn every_version_of_a_paper_is_in_one_shard() {
        let shard: Shard = "1/2".parse().unwrap();
        for number in 0..100 {
            let versions = ["", "v1", "v12"].map(|v| paper(&format!("2699.{number:05}{v}")));
            let [bare, first, twelfth] = versions.map(|paper| shard.has(&paper));
            assert!(bare == first && first == twelfth, "{number}");
        }
    }

    #[test]
    fn shards_are_of_about_equal_size() {
        let mut sizes = [0; 16];
        for number in 0..16_000 {
            let paper = paper(&format!("2699.{number:05}"));
            let of = |at: &usize| Shard { number: *at as u64 + 1, count: 16 }.has(&paper);
            sizes[(0..16).find(of).unwrap()] += 1;
        }
        // Of 1,000 expected, five standard deviations are 153.
        assert!(sizes.iter().all(|size| (847..=1153).contains(size)), "{sizes:?}");
    }

    #[test]
    fn papers_without_an_id_go_by_their_link_or_title() {
        let shards = ["1/2", "2/2"].map(|text| text.parse::<Shard>().unwrap());
        for number in 0..20 {
            let linked = Paper { link: format!("l{number}"), ..Paper::default() };
            let named = Paper { title: format!("l{number}"), ..Paper::default() };
            let of = |paper: &Paper| shards.map(|shard| shard.has(paper));
            assert_eq!(of(&linked), of(&named));
            assert_eq!(of(&linked).iter().filter(|has| **has).count(), 1);
        }
    }

    #[test]
    fn what_is_no_shard_is_refused_with_a_hint() {
        for (text, what) in [
            ("", "no shard"),
            ("3", "no shard"),
            ("a/b", "no shard"),
            ("-1/4", "no shard"),
            ("1/4/2", "no shard"),
            ("0/4", "counted from 1"),
            ("5/4", "there are only 4"),
            ("1/0", "no shards of none"),
            ("1/65537", "more than 65536"),
        ] {
            let error = text.parse::<Shard>().expect_err(text);
            assert!(error.to_string().contains(what), "{text}: {error}");
            assert!(error.hint_text().is_some(), "{text}");
        }
        assert_eq!("8/8".parse::<Shard>().unwrap().to_string(), "8/8");
    }
}
