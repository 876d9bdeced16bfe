//! Cuts tokens that are spelled literally (user-defined ones, and in templates control tokens) out
//! of text before the rest is merged.
//!
//! As in llama.cpp the longest token goes first through the whole text, then the next shorter one
//! through what is left; this differs from a search for the leftmost match where tokens overlap.

use std::collections::BTreeSet;

use super::vocabulary::{Kind, Vocabulary};

/// A stretch of text without added tokens, or an added token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fragment<'a> {
    Text(&'a str),
    Token(u32),
}

/// The tokens to cut out.
#[derive(Debug)]
pub(super) struct AddedTokens {
    /// Spelling and id, longest spelling first, equally long ones by id.
    tokens: Vec<(String, u32)>,
    /// Indices into `tokens` by the first byte of the spelling.
    by_first_byte: Vec<Vec<usize>>,
}

impl AddedTokens {
    /// The tokens of `vocabulary` of a kind that is `wanted`.
    pub(super) fn new(vocabulary: &Vocabulary, wanted: impl Fn(Kind) -> bool) -> Self {
        let mut tokens: Vec<(String, u32)> = vocabulary
            .ids()
            .filter(|&id| vocabulary.kind(id).is_some_and(&wanted))
            .map(|id| (vocabulary.text(id).to_owned(), id))
            .collect();
        tokens.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        let mut by_first_byte = vec![Vec::new(); 256];
        for (index, (text, _)) in tokens.iter().enumerate() {
            if let Some(&byte) = text.as_bytes().first() {
                by_first_byte[usize::from(byte)].push(index);
            }
        }
        AddedTokens { tokens, by_first_byte }
    }

    /// `text` as fragments, none of them empty.
    pub(super) fn cut<'a>(&self, text: &'a str) -> Vec<Fragment<'a>> {
        let mut fragments = vec![Fragment::Text(text)];
        fragments.retain(|_| !text.is_empty());
        for index in self.occurring(text) {
            let (spelling, id) = &self.tokens[index];
            let mut finer = Vec::with_capacity(fragments.len() + 2);
            for fragment in fragments {
                match fragment {
                    Fragment::Text(text) => cut_one(text, spelling, *id, &mut finer),
                    token => finer.push(token),
                }
            }
            fragments = finer;
        }
        fragments
    }

    /// Indices of the tokens that occur in `text`, longest first; a vocabulary can have thousands,
    /// a text has few.
    fn occurring(&self, text: &str) -> BTreeSet<usize> {
        let bytes = text.as_bytes();
        let mut found = BTreeSet::new();
        for (at, &byte) in bytes.iter().enumerate() {
            for &index in &self.by_first_byte[usize::from(byte)] {
                if bytes[at..].starts_with(self.tokens[index].0.as_bytes()) {
                    found.insert(index);
                }
            }
        }
        found
    }
}

fn cut_one<'a>(text: &'a str, spelling: &str, id: u32, fragments: &mut Vec<Fragment<'a>>) {
    for (index, rest) in text.split(spelling).enumerate() {
        if index > 0 {
            fragments.push(Fragment::Token(id));
        }
        if !rest.is_empty() {
            fragments.push(Fragment::Text(rest));
        }
    }
}
