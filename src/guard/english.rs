//! Words that Chinese has words for are not left in English.
//!
//! A word of the source that is English by the list of [`crate::text::english`] is refused from its
//! first letters on, unless what is written so far may still become another word of the source, such
//! as the name of a tool: later it would be too late, since what was begun would have to be ended.
//! What a glossary says may be written stays allowed.

use std::collections::HashSet;

use super::words::{Begun, Words};
use crate::summary::Source;
use crate::text::english::{MARKS, is_call, is_english, outside_formulas, words};
use crate::text::is_han;

/// The words of a source.
#[derive(Debug)]
pub(super) struct English {
    /// Those that are English, which are in small letters.
    refused: Words,
    /// All others, and what stands in a formula or next to a mark or a digit, as they stand there.
    others: Words,
}

/// The word that a field ends with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    /// Words of the source that begin so, where a first capital does not matter, and where it does.
    refused: Begun,
    others: Begun,
    others_exact: Begun,
    /// Whether the word may be refused: it is no part of a name, and small but for its first letter.
    counts: bool,
    is_begun: bool,
}

impl English {
    pub(super) fn of(source: &Source<'_>) -> English {
        let (mut refused, mut others) = (HashSet::new(), HashSet::new());
        for text in [source.title, source.abstract_text] {
            let in_text: HashSet<usize> = outside_formulas(text).map(|(start, _)| start).collect();
            for (start, word) in words(text) {
                let before = text[..start].chars().next_back();
                if before.is_some_and(char::is_alphanumeric) {
                    continue; // such as the `s` of `1980s`: nothing that can be begun
                }
                let after = &text[start + word.len()..];
                let apart = |c: Option<char>| {
                    c.is_none_or(|c| c.is_whitespace() || ",.;:?!()[]\"'“”‘’—".contains(c))
                };
                // `schema.org` is a name.
                let mut next = after.chars();
                let ends = apart(next.next())
                    && !(after.starts_with('.') && next.next().is_some_and(char::is_alphanumeric));
                let is_apart = apart(before) && ends && !is_call(after);
                match in_text.contains(&start)
                    && is_apart
                    && !word.contains(char::is_uppercase)
                    && is_english(word)
                {
                    // A compound may be half in Chinese: 语音-enabled.
                    true => refused.extend(word.split('-').chain([word])),
                    false => others.extend([word]),
                };
            }
        }
        others.extend(words(source.translations).map(|(_, word)| word));
        refused.retain(|word| !others.contains(word));
        English { refused: in_order(&refused), others: in_order(&others) }
    }

    /// The word that a field ends with that says `chars`.
    pub(super) fn word(&self, chars: &[char]) -> Word {
        let mut start = chars.len();
        while start > 0 && chars[start - 1].is_ascii_alphabetic() {
            start -= 1;
        }
        let none = self.none(&chars[..start]);
        chars[start..].iter().fold(none, |word, c| self.longer(word, *c))
    }

    /// Whether the words that the last `new` of `chars` are part of may stand there; `word` is the
    /// one that the field ended with before them.
    pub(super) fn allows(&self, mut word: Word, chars: &[char], new: usize) -> bool {
        for at in chars.len() - new..chars.len() {
            let c = chars[at];
            if c.is_ascii_alphabetic() {
                word = self.longer(word, c);
                continue;
            }
            // Not before it has ended: what is refused at its first letters may become a name.
            if word.leads_to_english_only() {
                return false;
            }
            word = self.none(&chars[..=at]);
        }
        !word.leads_to_english_only()
    }

    /// No word yet, behind `before`.
    fn none(&self, before: &[char]) -> Word {
        let is_part = match before {
            [.., han, '-'] if is_han(*han) => false,
            // Behind the ö of Schrödinger a word goes on.
            [.., c] => c.is_ascii_digit() || joins(*c) || c.is_alphabetic() && !is_han(*c),
            [] => false,
        };
        Word {
            refused: self.refused.all(),
            others: self.others.all(),
            others_exact: self.others.all(),
            counts: !is_part,
            is_begun: false,
        }
    }

    fn longer(&self, word: Word, c: char) -> Word {
        let small = c.to_ascii_lowercase();
        Word {
            refused: self.refused.narrow(word.refused, small),
            others: self.others.narrow(word.others, small),
            others_exact: self.others.narrow(word.others_exact, c),
            counts: word.counts && !(word.is_begun && c.is_ascii_uppercase()),
            is_begun: true,
        }
    }
}

impl Word {
    /// Whether all words of the source that begin so are English ones. A first capital is free, as
    /// it is for names.
    fn leads_to_english_only(&self) -> bool {
        self.counts
            && self.is_begun
            && !self.refused.is_nothing()
            && self.others.is_nothing()
            && self.others_exact.is_nothing()
    }
}

fn in_order(words: &HashSet<&str>) -> Words {
    let mut chars = Vec::new();
    let mut ranges = Vec::with_capacity(words.len());
    for word in words {
        let start = chars.len();
        chars.extend(word.chars());
        ranges.push(start..chars.len());
    }
    Words::of(chars, ranges.into_iter(), |_| false)
}

/// Whether what follows `mark` without a blank is a part of a name, a formula or a command.
fn joins(mark: char) -> bool {
    MARKS.contains(mark)
}
