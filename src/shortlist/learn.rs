//! Learns a shortlist from texts.
//!
//! What a text needs in order to be written is counted; what any text may need is there without
//! having been seen: bytes, which spell every character that has no token, digits, letters and
//! punctuation, of which papers have all combinations, and the tokens that end a field.

use super::Shortlist;
use crate::error::Result;
use crate::generate::TokenId;
use crate::tokens::Tokenizer;

/// Highest bound on occurrences that makes sense to ask for.
pub const MAX_MIN_COUNT: u32 = 1_000_000;

/// Runs of ASCII punctuation up to this length are always there: `%),` ends a clause, longer ones
/// are rules and programs.
const MAX_PUNCTUATION_RUN: usize = 3;

/// Counts the tokens of texts.
#[derive(Debug)]
pub struct Learner<'a> {
    tokenizer: &'a Tokenizer,
    /// By token id.
    counts: Vec<u32>,
}

impl<'a> Learner<'a> {
    /// Nothing seen so far.
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        Learner { tokenizer, counts: vec![0; tokenizer.vocab_size()] }
    }

    /// Counts the tokens of a text such as the model is to write.
    pub fn add(&mut self, text: &str) {
        for token in self.tokenizer.encode(text) {
            let count = &mut self.counts[token as usize];
            *count = count.saturating_add(1);
        }
    }

    /// The tokens that occurred at least `min_count` times, and those that are always there.
    pub fn finish(self, min_count: u32) -> Result<Shortlist> {
        let seen = |id: &TokenId| self.counts[*id as usize] >= min_count.max(1);
        let mut ids: Vec<TokenId> = (0..self.counts.len() as TokenId)
            .filter(|id| seen(id) || is_basic(&self.tokenizer.piece_bytes(*id)))
            .collect();
        ids.extend(self.tokenizer.line_break_tokens());
        ids.extend(self.tokenizer.end_of_generation());
        Shortlist::new(self.counts.len(), ids)
    }
}

/// Whether a token that stands for `piece` is needed whatever texts are about.
fn is_basic(piece: &[u8]) -> bool {
    if piece.len() == 1 {
        return true;
    }
    let Ok(text) = std::str::from_utf8(piece) else { return false };
    // Vocabularies have most of these with and without the space before.
    let text = text.strip_prefix(' ').unwrap_or(text);
    let all = |is: fn(char) -> bool| !text.is_empty() && text.chars().all(is);
    (text.len() == 1 && all(|c| c.is_ascii_graphic()))
        || all(|c| c.is_ascii_digit())
        || (all(|c| c.is_ascii_punctuation()) && text.len() <= MAX_PUNCTUATION_RUN)
        || all(is_chinese_punctuation)
}

/// The marks of Chinese text: those of the blocks for it, and the ones that it shares with others
/// (middle dot, dashes, quotation marks, ellipsis).
fn is_chinese_punctuation(c: char) -> bool {
    matches!(c,
        '\u{b7}' | '\u{2013}'..='\u{2014}' | '\u{2018}'..='\u{201d}' | '\u{2026}'
        | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{301f}'
        | '\u{ff01}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}'
        | '\u{ff3b}'..='\u{ff40}' | '\u{ff5b}'..='\u{ff65}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_any_text_may_need() {
        for piece in ["a", "Z", " q", "7", "2024", " 10", "%", ").", " (", "%),", "，", "……", "——"]
        {
            assert!(is_basic(piece.as_bytes()), "{piece:?}");
        }
        assert!(is_basic(b"\xe6"), "a byte of a character");
        for piece in ["ab", " the", "摘要", "的", "====", "<div>", "2a", "  ", "。\u{3042}"] {
            assert!(!is_basic(piece.as_bytes()), "{piece:?}");
        }
        assert!(!is_basic(b"") && !is_basic(b"\xe6\x91"));
    }
}
