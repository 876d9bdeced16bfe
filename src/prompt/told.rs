//! What a prompt tells of a paper besides its text: how its terms are translated, and which of its
//! numbers and names stay as they are.
//!
//! A small model that is told what to keep keeps more of it: it was taught with lists of what the
//! summaries kept, and takes the list as a list of what to cover.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::glossary::{Glossary, Term};
use crate::text::numbers::{CHINESE_UNITS, Decimal, SCALE_LETTERS, SCALE_WORDS};
use crate::text::patterns::{NAME, NUMBER, SCALED};

/// Most numbers and names that are told.
pub const MAX_KEPT: usize = 20;

/// Most numbers that are told in Chinese.
const MAX_SCALED: usize = 8;

/// What is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Terms that have another word in Chinese, and numbers with a unit that Chinese has not, such
    /// as `700 million`.
    pub terms: Vec<Term>,
    /// What stays as it is: terms of which a glossary says so, numbers and names.
    pub keep: Vec<String>,
}

/// A number in group 1, or a name in group 2.
static KEPT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(&format!("{NUMBER}|({NAME})")).expect("a pattern that is tested"));

/// The tail of what Chinese says otherwise, such as `LLM-based`.
static ENGLISH_TAIL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("-[a-z]{3,}$").expect("a pattern that is tested"));

static SCALED_NUMBER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(SCALED).expect("a pattern that is tested"));

impl Told {
    /// What to tell of a paper whose terms `glossary` translates.
    pub fn of(title: &str, abstract_text: &str, glossary: Option<&Glossary>) -> Told {
        let found = glossary.map_or_else(Vec::new, |g| g.terms_of(title, abstract_text));
        let (same, mut terms): (Vec<Term>, Vec<Term>) =
            found.into_iter().partition(|term| term.term == term.translation);
        let scaled: Vec<Range<usize>> =
            SCALED_NUMBER.find_iter(abstract_text).map(|found| found.range()).collect();
        let is_translated = |item: &str| terms.iter().any(|term| term.term == item);
        let mut keep: Vec<String> = same.into_iter().map(|term| term.term).collect();
        let room = MAX_KEPT.max(keep.len());
        for found in KEPT.captures_iter(abstract_text) {
            let Some(found) = found.get(1).or_else(|| found.get(2)) else { continue };
            let item = found.as_str();
            let is_new = !keep.iter().any(|known| known == item)
                && !is_translated(item)
                && !scaled.iter().any(|range| range.contains(&found.start()));
            if is_new && !ENGLISH_TAIL.is_match(item) && keep.len() < room {
                keep.push(item.to_owned());
            }
        }
        terms.extend(in_chinese(abstract_text));
        Told { terms, keep }
    }

    /// What may be written because it is told: the translations and what stays as it is, one a line. Not the
    /// numbers: what may be written for them is told by the abstract, where the 7 of a 7B is no 7.
    pub fn translations(&self) -> String {
        let is_number = |text: &&str| text.chars().all(|c| c.is_ascii_digit() || ".,".contains(c));
        let terms = self.terms.iter().map(|term| term.translation.as_str());
        let kept = self.keep.iter().map(String::as_str).filter(|text| !is_number(text));
        terms.chain(kept).collect::<Vec<_>>().join("\n")
    }
}

/// The numbers of `text` that have a unit of English, each once, as Chinese has them: `700 million`
/// is `7亿`. Those that would have more digits than anybody writes are left out.
fn in_chinese(text: &str) -> Vec<Term> {
    let mut terms: Vec<Term> = Vec::new();
    for found in SCALED_NUMBER.captures_iter(text) {
        let term = found[0].split_whitespace().collect::<Vec<_>>().join(" ");
        let zeros = SCALE_WORDS
            .iter()
            .chain(&SCALE_LETTERS)
            .find(|(word, _)| found[2].eq_ignore_ascii_case(word));
        let value = Decimal::parse(&found[1]).times_ten(zeros.map_or(0, |(_, zeros)| *zeros));
        let unit = CHINESE_UNITS.iter().find(|(_, zeros)| value.magnitude() >= *zeros);
        let (unit, zeros) = unit.copied().unwrap_or_default();
        let Some(number) = value.times_ten(-zeros).plain() else { continue };
        let is_new = !terms.iter().any(|known| known.term == term);
        if is_new && terms.len() < MAX_SCALED {
            terms.push(Term { term, translation: format!("{number}{unit}") });
        }
    }
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(abstract_text: &str) -> Vec<String> {
        Told::of("T 99", abstract_text, None).keep
    }

    #[test]
    fn numbers_and_names_are_kept_once_in_their_order() {
        let text = "DeepSeek and LLMs reach 63.4% on 1,024 LLMs (BLEU-4), from 3B to 0.5 in GPT4o.";
        assert_eq!(
            kept(text),
            ["DeepSeek", "LLMs", "63.4", "1,024", "BLEU-4", "3", "0.5", "GPT4o"]
        );
        assert_eq!(kept("LLM-based, X2, v1.2, iPhone, a"), [""; 0]);
        assert_eq!(kept(&(0..90).map(|n| format!("{n} ")).collect::<String>()).len(), MAX_KEPT);
    }

    #[test]
    fn a_number_is_not_told_without_what_it_is_of() {
        let told = Told::of("T", "A 7B model of 2 million users on KITTI, 63.4", None);
        assert_eq!(told.keep, ["7", "KITTI", "63.4"]);
        assert_eq!(told.translations(), "200万\nKITTI");
    }

    #[test]
    fn numbers_with_a_unit_of_english_are_told_in_chinese() {
        let check = |text: &str, expected: &[&str], keep: &[&str]| {
            let told = Told::of("T", text, None);
            let terms = told.terms.iter().map(|term| format!("{}={}", term.term, term.translation));
            assert_eq!(terms.collect::<Vec<_>>(), expected, "{text}");
            assert_eq!(told.keep, keep, "{text}");
        };
        check("over 700 million users in 12 states", &["700 million=7亿"], &["12"]);
        check(
            "125 thousand, 2.5 billion, $1.2\nMillion and 15 trillion tokens",
            &["125 thousand=12.5万", "2.5 billion=25亿", "1.2 Million=120万", "15 trillion=15万亿"],
            &[],
        );
        check("5 thousand and 1,500-thousand", &["5 thousand=5000", "1,500-thousand=150万"], &[]);
        check("7 million and again 7 million, and 7", &["7 million=700万"], &["7"]);
        check(
            "３ million, 𝟑 billion, ٣ thousand and 4 million",
            &["4 million=400万"],
            &["３", "𝟑", "٣"],
        );
        check("7B weights, a million, GPT4 million, 3 millionaires", &[], &["7", "GPT4", "3"]);
    }

    #[test]
    fn a_glossary_says_what_is_translated_and_what_stays() {
        let glossary = Glossary::parse("g", "RAG\t检索增强生成\nsheep dog\tsheep dog\n").unwrap();
        let told = Told::of("Sheep Dogs", "RAG finds 12 sheep dogs for LLMs.", Some(&glossary));
        assert_eq!(told.keep, ["sheep dog", "12", "LLMs"]);
        assert_eq!(told.terms.len(), 1);
        assert_eq!(told.terms[0].translation, "检索增强生成");
    }
}
