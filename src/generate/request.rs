//! What a sequence is asked to write, and what it wrote.

use std::sync::Arc;

use super::{Beside, Sampling, TokenFilter, TokenId};

/// A caller's name for a request.
pub type RequestId = u64;

/// One prompt and the fields to write after it.
#[derive(Debug, Clone)]
pub struct Request {
    /// The caller's name for it, given back with the result.
    pub id: RequestId,
    /// The whole prompt, shared prefix included.
    pub prompt: Vec<TokenId>,
    /// What to write, in order.
    pub fields: Vec<Field>,
    /// How tokens are picked.
    pub sampling: Sampling,
}

/// A field: a label that is forced into the sequence, then text that the model writes.
#[derive(Debug, Clone)]
pub struct Field {
    /// Tokens appended before the field; they are computed, never sampled.
    pub label: Vec<TokenId>,
    /// Tokens that end the field. The one that does is reported but not kept in the sequence.
    pub stop: Arc<TokenSet>,
    /// Most tokens of the field.
    pub max_tokens: usize,
    /// What may be written; `None` is everything.
    pub filter: Option<Arc<dyn TokenFilter>>,
}

/// A finished request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The caller's name for it.
    pub id: RequestId,
    /// Length of its prompt.
    pub prompt_tokens: usize,
    /// What was written, a field each.
    pub fields: Vec<Written>,
}

/// The text of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its tokens; where a stop token ended it, that token is the last.
    pub tokens: Vec<TokenId>,
    /// What ended it.
    pub ending: Ending,
}

/// What ended a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// A stop token.
    Stopped,
    /// The bound on its length: the text is probably incomplete.
    Bound,
}

/// A set of token ids, small or large, with fast membership.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenSet(Vec<u64>);

impl Request {
    /// Most positions that the sequence can come to hold.
    pub fn max_positions(&self) -> usize {
        let fields: usize = self.fields.iter().map(|f| f.label.len() + f.max_tokens).sum();
        self.prompt.len() + fields
    }

    /// What the texts of a beam take beside it.
    pub(super) fn beside(&self) -> Beside {
        let longest = self.fields.iter().map(|field| field.max_tokens).max().unwrap_or(0);
        self.sampling.beside(longest)
    }
}

impl TokenSet {
    /// Whether `token` is in the set.
    pub fn contains(&self, token: TokenId) -> bool {
        let (word, bit) = (token as usize / 64, token % 64);
        self.0.get(word).is_some_and(|bits| bits >> bit & 1 == 1)
    }
}

impl FromIterator<TokenId> for TokenSet {
    fn from_iter<I: IntoIterator<Item = TokenId>>(tokens: I) -> Self {
        let mut words = Vec::new();
        for token in tokens {
            let (word, bit) = (token as usize / 64, token % 64);
            if word >= words.len() {
                words.resize(word + 1, 0);
            }
            words[word] |= 1 << bit;
        }
        TokenSet(words)
    }
}
