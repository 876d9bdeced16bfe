//! The loop: requests go in, an engine takes one step after another, and what is finished comes out.

use super::{Engine, Finished, Limits, Request, RequestId, Scheduler, TokenId};
use crate::{Error, Result, error::ErrorKind};

/// An engine, the requests that it works on, and the tokens that all their prompts begin with.
#[derive(Debug)]
pub struct Generator<E> {
    engine: E,
    scheduler: Scheduler,
    limits: Limits,
    /// Whether a request was given up since the last step that was computed.
    gave_up: bool,
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
    /// How many sequences are in flight at most from now on, where there was no memory for more.
    pub reduced_to: Option<usize>,
    /// A request that was given up, since there was no memory for it alone, and why.
    pub failed: Option<(RequestId, Error)>,
}

impl<E: Engine> Generator<E> {
    /// A generator without requests. The engine computes `prefix`, which may be empty, here and
    /// never again; prompts that do not begin with it are computed whole.
    pub fn new(mut engine: E, limits: Limits, prefix: Vec<TokenId>) -> Result<Self> {
        engine.expect(limits.max_sequences);
        engine.set_prefix(&prefix)?;
        let scheduler = Scheduler::new(limits, prefix);
        Ok(Generator { engine, scheduler, limits, gave_up: false })
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
    ///
    /// # Errors
    /// Those of the engine; but where it has no memory for a step ([`ErrorKind::Memory`]), half of
    /// the sequences wait, and it is asked again. Where there is none for one alone, that one is given up,
    /// and the others come back; it is an error where the next one fares no better.
    pub fn step(&mut self) -> Result<Option<Turn>> {
        let mut reduced_to = None;
        loop {
            let Some(batch) = self.scheduler.schedule() else { return Ok(None) };
            let rows = batch.tokens.len();
            let outcome = self.engine.step(&batch);
            let closed = batch.closed;
            match outcome {
                Ok(picked) => {
                    let (finished, sampled) = (self.scheduler.commit(&picked), picked.len());
                    self.gave_up = false;
                    return Ok(Some(Turn { rows, sampled, finished, reduced_to, failed: None }));
                }
                Err(error) if error.kind() == ErrorKind::Memory => {
                    reduced_to = self.scheduler.retreat(&closed);
                    if reduced_to.is_none() {
                        if std::mem::replace(&mut self.gave_up, true) {
                            return Err(error);
                        }
                        let id = self.scheduler.give_up(&closed, self.limits.max_sequences);
                        let failed = Some((id, error));
                        let finished = Vec::new();
                        return Ok(Some(Turn {
                            rows: 0,
                            sampled: 0,
                            finished,
                            reduced_to,
                            failed,
                        }));
                    }
                }
                Err(error) => return Err(error),
            }
        }
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
