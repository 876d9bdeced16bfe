//! Cuts tokens that are spelled literally (user-defined ones, and in templates control tokens) out
//! of text before the rest is merged.
//!
//! As in llama.cpp the longest token goes first through the whole text, then the next shorter one
//! through what is left; this differs from a search for the leftmost match where tokens overlap.

use std::collections::{BTreeMap, HashMap};

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
    /// Place and id by spelling. Longer spellings have earlier places, equally long ones go by id.
    tokens: HashMap<String, (usize, u32)>,
    /// How long spellings are that begin with a byte, each length once.
    lengths: Vec<Vec<usize>>,
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
        let mut lengths = vec![Vec::new(); 256];
        for (text, _) in &tokens {
            // They come longest first.
            if let Some(&byte) = text.as_bytes().first()
                && lengths[usize::from(byte)].last() != Some(&text.len())
            {
                lengths[usize::from(byte)].push(text.len());
            }
        }
        let places = tokens.into_iter().enumerate();
        let tokens = places.map(|(place, (text, id))| (text, (place, id))).collect();
        AddedTokens { tokens, lengths }
    }

    /// `text` as fragments, none of them empty.
    pub(super) fn cut<'a>(&self, text: &'a str) -> Vec<Fragment<'a>> {
        let mut fragments = vec![Fragment::Text(text)];
        fragments.retain(|_| !text.is_empty());
        for (spelling, id) in self.occurring(text).into_values() {
            let mut finer = Vec::with_capacity(fragments.len() + 2);
            for fragment in fragments {
                match fragment {
                    Fragment::Text(text) => cut_one(text, spelling, id, &mut finer),
                    token => finer.push(token),
                }
            }
            fragments = finer;
        }
        fragments
    }

    /// Spelling and id of the tokens that occur in `text`, by their places; a vocabulary can have
    /// many, a text has few.
    fn occurring<'a>(&self, text: &'a str) -> BTreeMap<usize, (&'a str, u32)> {
        let mut found = BTreeMap::new();
        for (at, &byte) in text.as_bytes().iter().enumerate() {
            for &length in &self.lengths[usize::from(byte)] {
                let Some(spelling) = text.get(at..at + length) else { continue };
                if let Some(&(place, id)) = self.tokens.get(spelling) {
                    found.insert(place, (spelling, id));
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
