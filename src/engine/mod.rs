//! Engines: what computes a step.
//!
//! An engine turns a [`Batch`] into one token for each of its sampling spans. It owns the
//! weights and the KV cache, knows nothing of papers, prompts or text, and must not let the
//! rows of one sequence influence another's.

pub mod candle;
pub mod cpu;
pub mod plain;
pub mod scripted;

use std::time::Duration;

use crate::Result;
use crate::scheduler::{Batch, Finished, Scheduler, TokenId};

/// Computes steps.
pub trait Engine {
    /// Computes the keys and values of the tokens that all prompts begin with. Called once,
    /// before the first step; an empty prefix is no prefix.
    fn set_prefix(&mut self, tokens: &[TokenId]) -> Result<()>;

    /// Computes all rows of `batch` and picks a token for each span that samples, in order.
    fn step(&mut self, batch: &Batch<'_>) -> Result<Vec<TokenId>>;

    /// Where the time since the engine was made went, where it keeps count of that.
    fn profile(&self) -> Option<Profile> {
        None
    }

    /// How many greedy choices a shortlist would have missed, where the engine scores the whole
    /// vocabulary all the same and keeps count.
    fn misses(&self) -> Option<Misses> {
        None
    }
}

/// Greedy choices, and those of them that are neither on the shortlist nor in the paper.
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

/// One turn of the loop: schedule, forward, head, pick, commit. `None` when no work is left.
pub fn turn(engine: &mut dyn Engine, scheduler: &mut Scheduler) -> Result<Option<Turn>> {
    let Some(batch) = scheduler.schedule() else { return Ok(None) };
    let rows = batch.tokens.len();
    let picked = engine.step(&batch)?;
    let sampled = picked.len();
    Ok(Some(Turn { rows, sampled, finished: scheduler.commit(&picked) }))
}

/// What one turn did.
#[derive(Debug)]
pub struct Turn {
    /// Rows computed.
    pub rows: usize,
    /// Tokens picked.
    pub sampled: usize,
    /// Jobs that are done.
    pub finished: Vec<Finished>,
}
