//! Words that Chinese has words for are not left in English.
//!
//! A word of the source that is English by the list of [`crate::text::english`] is refused from its
//! first letters on, unless what is written so far may still become another word of the source, such
//! as the name of a tool: later it would be too late, since what was begun would have to be ended.
//! What a glossary says may be written stays allowed.

use std::collections::HashSet;

use crate::summary::Source;
use crate::text::english::{is_english, words};

/// Whether what follows `mark` without a blank is a part of a name, a formula or a command.
fn joins(mark: char) -> bool {
    "-'’_./\\@$^{}=+#&~`".contains(mark)
}

/// The words of a source.
#[derive(Debug)]
pub(super) struct English {
    /// Those that are English, which are in small letters.
    refused: HashSet<String>,
    /// All others, and what stands next to a mark or a digit, as they stand there.
    others: HashSet<String>,
}

impl English {
    pub(super) fn of(source: &Source<'_>) -> English {
        let mut english = English { refused: HashSet::new(), others: HashSet::new() };
        for text in [source.title, source.abstract_text] {
            for (start, word) in words(text) {
                let before = text[..start].chars().next_back();
                if before.is_some_and(char::is_alphanumeric) {
                    continue; // such as the `s` of `1980s`: nothing that can be begun
                }
                let after = text[start + word.len()..].chars().next();
                let apart = |c: Option<char>| {
                    c.is_none_or(|c| c.is_whitespace() || ",.;:?!()[]\"'“”‘’—".contains(c))
                };
                let is_apart = apart(before) && apart(after);
                match is_apart && !word.contains(char::is_uppercase) && is_english(word) {
                    true => english.refused.insert(word.to_owned()),
                    false => english.others.insert(word.to_owned()),
                };
            }
        }
        for (_, word) in words(source.translations) {
            english.others.insert(word.to_owned());
        }
        english.refused.retain(|word| !english.others.contains(word));
        english
    }

    /// Whether the word that the last `new` of `chars` are part of may stand there.
    pub(super) fn allows(&self, chars: &[char], new: usize) -> bool {
        let is_word = |c: char| c.is_ascii_alphabetic();
        let mut at = chars.len() - new;
        while at > 0 && is_word(chars[at - 1]) {
            at -= 1;
        }
        while at < chars.len() {
            let length = chars[at..].iter().take_while(|c| is_word(**c)).count();
            let follows_part = at > 0 && (chars[at - 1].is_ascii_digit() || joins(chars[at - 1]));
            let word: String = chars[at..at + length].iter().collect();
            let is_small = !word.chars().skip(1).any(char::is_uppercase);
            if length > 0 && !follows_part && is_small && self.leads_to_english_only(&word) {
                return false;
            }
            at += length.max(1);
        }
        true
    }

    /// Whether all words of the source that begin with `begun` are English ones. A first capital is
    /// free, as it is for names.
    fn leads_to_english_only(&self, begun: &str) -> bool {
        let small = begun.to_lowercase();
        let leads_to =
            |words: &HashSet<String>, begun: &str| words.iter().any(|word| word.starts_with(begun));
        leads_to(&self.refused, &small)
            && !leads_to(&self.others, begun)
            && !leads_to(&self.others, &small)
    }
}
