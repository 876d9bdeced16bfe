//! What counts as a letter, a blank, a number, a name or a label in the measures: Python's answers.
//!
//! `str.isalpha` is the letters of Unicode's general categories, `\w` these, its numbers and the
//! underscore, and `str.split` cuts at four control characters besides white space. Rust's methods
//! and the regexes' `\w` and `\b` draw other lines, at combining marks and at the `₂` of `CO₂`,
//! so that they are not used. Tables of Unicode differ by version; letters that one of the two
//! does not know yet may be told apart.

use std::collections::HashSet;

use regex::Regex;

use crate::text::patterns::{NAME, NUMBER};

/// What texts are searched for, compiled.
#[derive(Debug)]
pub(super) struct Patterns {
    letter: Regex,
    number: Regex,
    name: Regex,
    label: Regex,
    foreign_word_character: Regex,
    foreign_other: Regex,
}

/// Boilerplate of feeds, names of fields, and labels of prompts.
const LABEL: &str =
    r"(?im)arXiv:|公告类型|Announce Type|translated_|tldr:|^(?:标题|摘要|一句话)[：:]";

impl Patterns {
    pub(super) fn new() -> Self {
        let compile = |pattern| Regex::new(pattern).expect("patterns are tested");
        Patterns {
            letter: compile(r"\p{L}"),
            number: compile(NUMBER),
            name: compile(NAME),
            label: compile(LABEL),
            foreign_word_character: compile(r"[\p{L}\p{N}--\x00-\x7f]"),
            foreign_other: compile(r"[^\p{L}\p{N}\x00-\x7f]"),
        }
    }

    pub(super) fn letters(&self, text: &str) -> usize {
        self.letter.find_iter(text).count()
    }

    pub(super) fn has_label(&self, text: &str) -> bool {
        self.label.is_match(text)
    }

    /// The different numbers of `text`, without commas.
    pub(super) fn numbers(&self, text: &str) -> HashSet<String> {
        self.number.captures_iter(text).map(|found| without_commas(&found[1])).collect()
    }

    /// The different names of `text`.
    pub(super) fn names(&self, text: &str) -> HashSet<String> {
        // What is not ASCII is a part of no name, so that it can be made such that all agree on it.
        let text = self.foreign_word_character.replace_all(text, "é");
        let text = self.foreign_other.replace_all(&text, " ");
        self.name.find_iter(&text).map(|found| found.as_str().to_owned()).collect()
    }
}

pub(super) fn without_commas(text: &str) -> String {
    text.replace(',', "")
}

/// Whether `str.split` cuts at `character`.
pub(super) fn is_blank(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: HashSet<String>, expected: &[&str]) {
        let mut found: Vec<String> = found.into_iter().collect();
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn finds_numbers() {
        let numbers = |text| Patterns::new().numbers(text);
        check(numbers("12 of 1,024 (3.5%), 3.5 or 7."), &["1024", "12", "3.5", "7"]);
        check(numbers("GPT4 has .5 of x2, v1.2 and a_3"), &[]);
        check(numbers("-5, $6, 共7个，８９"), &["5", "6", "８９"]);
        check(numbers("1,,2 1.2.3"), &["1", "1.2.3", "2"]);
        check(numbers("²3 ½4"), &[]);
        check(numbers(""), &[]);
    }

    #[test]
    fn finds_names() {
        let names = |text| Patterns::new().names(text);
        check(names("LLMs and BLEU-4 in DeepSeek, not We or A"), &["BLEU-4", "DeepSeek", "LLMs"]);
        check(names("GPT- and GPT-é"), &["GPT", "GPT-"]);
        check(names("CO₂, 用BERT模型, BLEU。ROUGE"), &["BLEU", "ROUGE"]);
        check(names("a_RNN iPhone McDonald's MacOS2é"), &["McDonald"]);
        // A mark is no letter to Python, so a name may end before it.
        check(names("RNN\u{301}"), &["RNN"]);
    }

    #[test]
    fn finds_labels() {
        let check =
            |text, expected| assert_eq!(Patterns::new().has_label(text), expected, "{text}");
        check("见 ARXIV:2699.00001", true);
        check("数羊\n摘要：我们", true);
        check("数羊的摘要：我们", false);
        check("摘要生成", false);
        check("announce type", true);
    }

    #[test]
    fn tells_letters_and_blanks() {
        assert_eq!(Patterns::new().letters("数a羊é1²\u{301}ⅣⒶ_"), 4);
        assert!(is_blank('\u{3000}') && is_blank('\u{1c}') && !is_blank('\u{200b}'));
    }
}
