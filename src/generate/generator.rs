//! The loop: requests go in, an engine takes one step after another, and what is finished comes out.

use super::{Engine, Finished, Limits, Request, Scheduler, TokenId};
use crate::Result;

/// An engine, the requests that it works on, and the tokens that all their prompts begin with.
#[derive(Debug)]
pub struct Generator<E> {
    engine: E,
    scheduler: Scheduler,
    limits: Limits,
}

/// What one step did.
#[derive(Debug)]
pub struct Turn {
    /// Rows computed.
    pub rows: usize,
    /// Tokens written.
    pub sampled: usize,
    /// Requests that are done.
    pub finished: Vec<Finished>,
}

impl<E: Engine> Generator<E> {
    /// A generator without requests. The engine computes `prefix`, which may be empty, here and
    /// never again; prompts that do not begin with it are computed whole.
    pub fn new(mut engine: E, limits: Limits, prefix: Vec<TokenId>) -> Result<Self> {
        engine.set_prefix(&prefix)?;
        Ok(Generator { engine, scheduler: Scheduler::new(limits, prefix), limits })
    }

    /// Queues a request behind all others; see [`Scheduler::push`] for errors.
    pub fn push(&mut self, request: Request) -> Result<()> {
        self.scheduler.push(request)
    }

    /// Queues a request before all others that wait; see [`Scheduler::push_first`].
    pub fn push_first(&mut self, request: Request) -> Result<()> {
        self.scheduler.push_first(request)
    }

    /// Requests that wait for a slot.
    pub fn waiting(&self) -> usize {
        self.scheduler.waiting()
    }

    /// Takes a step: schedule, forward, head, sample, commit. `None` when nothing is left to do.
    pub fn step(&mut self) -> Result<Option<Turn>> {
        let Some(batch) = self.scheduler.schedule() else { return Ok(None) };
        let rows = batch.tokens.len();
        let picked = self.engine.step(&batch)?;
        let sampled = picked.len();
        Ok(Some(Turn { rows, sampled, finished: self.scheduler.commit(&picked) }))
    }

    /// The bounds of its steps.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The engine.
    pub fn engine(&self) -> &E {
        &self.engine
    }
}
