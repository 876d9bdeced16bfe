//! The loop: requests go in, an engine takes one step after another, and what is finished comes out.

use super::{
    Committed, Engine, Finished, Limits, Request, RequestId, Sampling, Scheduler, TokenId,
};
use crate::{Error, Result, error::ErrorKind};

/// An engine, the requests that it works on, and the tokens that all their prompts begin with.
#[derive(Debug)]
pub struct Generator<E> {
    engine: E,
    scheduler: Scheduler,
    limits: Limits,
    /// Most positions of a sequence that there was memory for to its end, and whether there was for any step.
    fitted: usize,
    has_stepped: bool,
}

/// What one step did.
#[derive(Debug)]
pub struct Turn {
    /// Rows computed.
    pub rows: usize,
    /// Rows of prompts and labels.
    pub read: usize,
    /// Tokens written, one of each sequence that wrote.
    pub sampled: usize,
    /// Requests that are done.
    pub finished: Vec<Finished>,
    /// How many sequences are in flight at most from now on, where there was no memory for more.
    pub reduced_to: Option<usize>,
    /// Requests that were given up, each with the reason: there was no memory for it alone, or what the
    /// model computed for it are no numbers.
    pub failed: Vec<(RequestId, Error)>,
}

/// Why nothing can be written.
fn no_numbers() -> Error {
    Error::new(ErrorKind::Engine, "the model's probabilities are no numbers")
        .hint("its values may be too large for this device; try --device cpu")
}

impl<E: Engine> Generator<E> {
    /// A generator without requests. The engine computes `prefix`, which may be empty, here and
    /// never again; prompts that do not begin with it are computed whole.
    pub fn new(mut engine: E, limits: Limits, prefix: Vec<TokenId>) -> Result<Self> {
        engine.expect(limits.max_sequences);
        engine.set_prefix(&prefix)?;
        let scheduler = Scheduler::new(limits, prefix);
        Ok(Generator { engine, scheduler, limits, fitted: 0, has_stepped: false })
    }

    /// Queues a request behind all others; see [`Scheduler::push`] for errors. One that asks for a beam is
    /// refused where the engine searches none.
    pub fn push(&mut self, request: Request) -> Result<()> {
        self.check(&request)?;
        self.scheduler.push(request)
    }

    /// Queues a request before all others that wait; see [`Scheduler::push_first`].
    pub fn push_first(&mut self, request: Request) -> Result<()> {
        self.check(&request)?;
        self.scheduler.push_first(request)
    }

    fn check(&self, request: &Request) -> Result<()> {
        if matches!(request.sampling, Sampling::Beam { .. }) && !self.engine.searches_beams() {
            let message = format!("request {}: the engine searches no beams", request.id);
            return Err(Error::new(ErrorKind::Usage, message).hint("leave out --beams"));
        }
        Ok(())
    }

    /// Requests that wait for a slot.
    pub fn waiting(&self) -> usize {
        self.scheduler.waiting()
    }

    /// Takes a step: schedule, forward, head, sample, commit. `None` when nothing is left to do.
    ///
    /// # Errors
    /// Those of the engine; but where it has no memory for a step ([`ErrorKind::Memory`]), all
    /// begin anew, half as many at a time. One that there is no memory for alone is given up, and the
    /// others come back, where it is longer than all that came to their end; else it is an error.
    /// One whose logits are no numbers is given up as well.
    pub fn step(&mut self) -> Result<Option<Turn>> {
        let mut reduced_to = None;
        loop {
            let Some(batch) = self.scheduler.schedule() else { return Ok(None) };
            let rows = batch.tokens.len();
            let longest = batch.spans.iter().map(|span| span.capacity).max().unwrap_or_default();
            let outcome = self.engine.step(&batch);
            let closed = batch.closed;
            match outcome {
                Ok(picked) => {
                    let (read, sampled) = (rows - picked.len(), self.scheduler.writing());
                    let Committed { finished, longest, lost } = self.scheduler.commit(&picked);
                    let failed = lost.into_iter().map(|id| (id, no_numbers())).collect();
                    self.fitted = self.fitted.max(longest);
                    self.has_stepped = true;
                    return Ok(Some(Turn { rows, read, sampled, finished, reduced_to, failed }));
                }
                Err(error) if error.kind() == ErrorKind::Memory => {
                    reduced_to = self.scheduler.retreat(&closed);
                    if reduced_to.is_none() {
                        if !self.has_stepped || longest <= self.fitted {
                            return Err(error);
                        }
                        let id = self.scheduler.give_up(&closed);
                        let failed = vec![(id, error)];
                        let finished = Vec::new();
                        return Ok(Some(Turn {
                            rows: 0,
                            read: 0,
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
