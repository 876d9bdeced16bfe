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

    /// Computes all rows of `batch` and picks a token for each span that samples, in order; none where its logits
    /// are no numbers, since values were too large for the device. One that may say that
    /// there is no memory when it has forked slots undoes that in the next step ([`Batch::last_failed`]).
    fn step(&mut self, batch: &Batch<'_>) -> Result<Vec<Option<TokenId>>>;

    /// Whether it can search beams: it heeds [`Batch::forks`] and tells [`Engine::candidates`].
    fn searches_beams(&self) -> bool {
        false
    }

    /// For each span of the last step that sampled by [`super::Sampling::Beam`], in order, the likeliest tokens: at
    /// most twice as many as the beam is wide, and none where the logits are no numbers.
    fn candidates(&self) -> &[Vec<Candidate>] {
        &[]
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

    fn step(&mut self, batch: &Batch<'_>) -> Result<Vec<Option<TokenId>>> {
        (**self).step(batch)
    }

    fn searches_beams(&self) -> bool {
        (**self).searches_beams()
    }

    fn candidates(&self) -> &[Vec<Candidate>] {
        (**self).candidates()
    }

    fn profile(&self) -> Option<Profile> {
        (**self).profile()
    }

    fn misses(&self) -> Option<Misses> {
        (**self).misses()
    }
}
