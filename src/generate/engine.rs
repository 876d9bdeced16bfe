//! What a generator asks of an engine, and what an engine tells of its work.

use std::time::Duration;

use super::{Batch, Candidate, TokenId};
use crate::Result;

/// Computes steps.
pub trait Engine {
    /// Hears how many slots there are at most, of sequences and of the texts of their beams, before anything else is
    /// asked; an engine may take less memory where they are few.
    fn expect(&mut self, _slots: usize) {}

    /// Computes the keys and values of the tokens that all prompts begin with; an empty prefix is no
    /// prefix. Called once before the first step of a generator; sequences of an earlier one are over.
    fn set_prefix(&mut self, tokens: &[TokenId]) -> Result<()>;

    /// Computes all rows of `batch` and picks for each span that samples, in order. One that may say that
    /// there is no memory when it has forked slots undoes that in the next step ([`Batch::last_failed`]).
    fn step(&mut self, batch: &Batch<'_>) -> Result<Vec<Picked>>;

    /// Whether it can search beams: it heeds [`Batch::forks`] and picks [`Picked::Likeliest`].
    fn searches_beams(&self) -> bool {
        false
    }

    /// Where the time since the engine was made went, where it keeps count of that.
    fn profile(&self) -> Option<Profile> {
        None
    }

    /// How many of the likeliest tokens a shortlist would have missed, where the engine scores the whole
    /// vocabulary all the same and keeps count.
    fn misses(&self) -> Option<Misses> {
        None
    }
}

/// What is picked for a span that samples.
#[derive(Debug, Clone, PartialEq)]
pub enum Picked {
    /// A token.
    Token(TokenId),
    /// For a text of a beam ([`super::Sampling::Beam`]) the likeliest tokens, one at least, and at most twice as many
    /// as the beam is wide.
    Likeliest(Vec<Candidate>),
    /// Nothing, since its logits are no numbers: values were too large for the device.
    Nothing,
}

impl Picked {
    /// The token, if it is one.
    pub fn token(&self) -> Option<TokenId> {
        match self {
            Picked::Token(token) => Some(*token),
            Picked::Likeliest(_) | Picked::Nothing => None,
        }
    }
}

impl From<Option<TokenId>> for Picked {
    fn from(token: Option<TokenId>) -> Self {
        token.map_or(Picked::Nothing, Picked::Token)
    }
}

impl From<Vec<Candidate>> for Picked {
    fn from(found: Vec<Candidate>) -> Self {
        if found.is_empty() { Picked::Nothing } else { Picked::Likeliest(found) }
    }
}

/// Tokens that were likeliest behind what had been written, of each text of a beam, and those of them that are
/// neither on the shortlist nor in the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misses {
    /// Choices that a shortlist would have made otherwise.
    pub misses: u64,
    /// All choices.
    pub choices: u64,
}

/// Time by phase of a step, in the order of the phases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Names, and the time spent in all steps together.
    pub phases: Vec<(&'static str, Duration)>,
}

/// A borrowed engine is one.
impl<E: Engine + ?Sized> Engine for &mut E {
    fn expect(&mut self, slots: usize) {
        (**self).expect(slots);
    }

    fn set_prefix(&mut self, tokens: &[TokenId]) -> Result<()> {
        (**self).set_prefix(tokens)
    }

    fn step(&mut self, batch: &Batch<'_>) -> Result<Vec<Picked>> {
        (**self).step(batch)
    }

    fn searches_beams(&self) -> bool {
        (**self).searches_beams()
    }

    fn profile(&self) -> Option<Profile> {
        (**self).profile()
    }

    fn misses(&self) -> Option<Misses> {
        (**self).misses()
    }
}
