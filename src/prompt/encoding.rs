//! What prompts need of a tokenizer.

use super::ChatTemplate;
use crate::generate::{TokenId, TokenSet};
use crate::guard::Pieces;
use crate::tokens::{Stretch, Tokenizer};

/// Text to token ids and back: what prompts need of a tokenizer.
pub trait Encoding {
    /// The tokens of `text`, none of them a control token.
    fn encode(&self, text: &str) -> Vec<TokenId>;
    /// The same of text that goes on with other text.
    fn encode_behind(&self, text: &str) -> Vec<TokenId> {
        self.encode(text)
    }
    /// The control token called `name`, where the vocabulary has one.
    fn control(&self, name: &str) -> Option<TokenId>;
    /// The text of `tokens`; control tokens have none.
    fn decode(&self, tokens: &[TokenId]) -> String;
    /// The token that the model expects before a prompt, where it expects one.
    fn beginning(&self) -> Option<TokenId>;
    /// Every token that ends a line or the whole text.
    fn line_ends(&self) -> TokenSet;
    /// What each token writes; empty where that is not known, and nothing can be guarded.
    fn pieces(&self) -> Pieces {
        Pieces::default()
    }
    /// The model's own chat template, where it has one.
    fn chat_template(&self) -> Option<ChatTemplate<'_>> {
        None
    }
    /// `text`, which a chat template wrote, cut at the names of control tokens.
    fn stretches(&self, text: &str) -> Vec<Stretch> {
        vec![Stretch::Text(text.to_owned())]
    }
}

impl Encoding for Tokenizer {
    fn encode(&self, text: &str) -> Vec<TokenId> {
        self.encode(text)
    }

    fn encode_behind(&self, text: &str) -> Vec<TokenId> {
        self.encode_behind(text)
    }

    fn control(&self, name: &str) -> Option<TokenId> {
        match self.encode_template(name)[..] {
            [token] if self.is_control(token) => Some(token),
            _ => None,
        }
    }

    fn decode(&self, tokens: &[TokenId]) -> String {
        self.decode(tokens)
    }

    fn beginning(&self) -> Option<TokenId> {
        self.bos().filter(|_| self.add_bos())
    }

    fn line_ends(&self) -> TokenSet {
        let ends = self.end_of_generation().iter().copied();
        self.line_break_tokens().into_iter().chain(ends).collect()
    }

    fn pieces(&self) -> Pieces {
        (0..self.vocab_size() as TokenId).map(|token| self.piece_bytes(token)).collect()
    }

    fn chat_template(&self) -> Option<ChatTemplate<'_>> {
        let name = |token: Option<TokenId>| token.map_or("", |token| self.name(token));
        Some(ChatTemplate {
            source: self.chat_template()?,
            beginning: name(self.bos()),
            end: name(self.eos()),
        })
    }

    fn stretches(&self, text: &str) -> Vec<Stretch> {
        self.stretches(text)
    }
}
