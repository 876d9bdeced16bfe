//! What a prompt tells of a paper besides its text: how its terms are translated, and which of its
//! numbers and names stay as they are.
//!
//! A small model that is told what to keep keeps more of it: it was taught with lists of what the
//! summaries kept, and takes the list as a list of what to cover.

use std::sync::LazyLock;

use regex::Regex;

use crate::glossary::{Glossary, Term};
use crate::text::patterns::{NAME, NUMBER};

/// Most numbers and names that are told.
pub const MAX_KEPT: usize = 20;

/// What is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Terms that have another word in Chinese.
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

impl Told {
    /// What to tell of a paper whose terms `glossary` translates.
    pub fn of(title: &str, abstract_text: &str, glossary: Option<&Glossary>) -> Told {
        let found = glossary.map_or_else(Vec::new, |g| g.terms_of(title, abstract_text));
        let (same, terms): (Vec<Term>, Vec<Term>) =
            found.into_iter().partition(|term| term.term == term.translation);
        let is_translated = |item: &str| terms.iter().any(|term| term.term == item);
        let mut keep: Vec<String> = same.into_iter().map(|term| term.term).collect();
        let room = MAX_KEPT.max(keep.len());
        for found in KEPT.captures_iter(abstract_text) {
            let item = found.get(1).or_else(|| found.get(2)).map_or("", |item| item.as_str());
            let is_new = !keep.iter().any(|known| known == item) && !is_translated(item);
            if is_new && !ENGLISH_TAIL.is_match(item) && keep.len() < room {
                keep.push(item.to_owned());
            }
        }
        Told { terms, keep }
    }

    /// What may be written because it is told: the translations, one a line.
    pub fn translations(&self) -> String {
        let terms = self.terms.iter().map(|term| term.translation.as_str());
        terms.chain(self.keep.iter().map(String::as_str)).collect::<Vec<_>>().join("\n")
    }
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
    fn a_glossary_says_what_is_translated_and_what_stays() {
        let glossary = Glossary::parse("g", "RAG\t检索增强生成\nsheep dog\tsheep dog\n").unwrap();
        let told = Told::of("Sheep Dogs", "RAG finds 12 sheep dogs for LLMs.", Some(&glossary));
        assert_eq!(told.keep, ["sheep dog", "12", "LLMs"]);
        assert_eq!(told.terms.len(), 1);
        assert_eq!(told.terms[0].translation, "检索增强生成");
    }
}
