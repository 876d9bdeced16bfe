//! Several engines as one: each computes the sequences of its own slots, all of them at the same time.
//!
//! Sequences have nothing to do with one another, so what is written is what one engine writes.

use std::panic;
use std::thread;

use crate::Result;
use crate::generate::{Batch, Engine, TokenId};

/// Engines that share the work of every step, slot by slot in turn.
#[derive(Debug)]
pub struct SplitEngine<E> {
    parts: Vec<Part<E>>,
}

#[derive(Debug)]
struct Part<E> {
    engine: E,
    /// Slots that were closed since its last step: it takes none where it has no rows.
    closed: Vec<usize>,
}

impl<E: Engine + Send> Part<E> {
    fn step(&mut self, mut share: Batch<'_>) -> Result<Vec<TokenId>> {
        self.closed.append(&mut share.closed);
        if share.spans.is_empty() {
            return Ok(Vec::new());
        }
        share.closed.clone_from(&self.closed);
        let picked = self.engine.step(&share)?;
        self.closed.clear();
        Ok(picked)
    }
}

impl<E: Engine + Send> SplitEngine<E> {
    /// Engines of the same weights and bounds.
    ///
    /// # Panics
    /// Where there is none.
    pub fn new(engines: Vec<E>) -> SplitEngine<E> {
        assert!(!engines.is_empty(), "no engine to share the work");
        let part = |engine| Part { engine, closed: Vec::new() };
        SplitEngine { parts: engines.into_iter().map(part).collect() }
    }

    /// The engine of a slot: neighbours have different ones, since the lowest free slot is taken.
    fn part_of(&self, slot: usize) -> usize {
        slot % self.parts.len()
    }

    /// What each engine has to do of `batch`.
    fn shares<'a>(&self, batch: &Batch<'a>) -> Vec<Batch<'a>> {
        let mut shares = vec![Batch::default(); self.parts.len()];
        for &slot in &batch.closed {
            shares[self.part_of(slot)].closed.push(slot);
        }
        for span in &batch.spans {
            let share = &mut shares[self.part_of(span.slot)];
            let first = share.tokens.len();
            share.tokens.extend_from_slice(&batch.tokens[span.rows.clone()]);
            let mut span = span.clone();
            span.rows = first..share.tokens.len();
            share.spans.push(span);
        }
        shares
    }
}

/// Runs `work` for every part at the same time, and tells of all or of the first failure.
fn for_all<P: Send, S: Send, T: Send>(
    parts: &mut [P],
    shares: Vec<S>,
    work: impl Fn(&mut P, S) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let work = &work;
    let outcomes: Vec<Result<T>> = thread::scope(|scope| {
        let begin = |(part, share)| scope.spawn(move || work(part, share));
        let threads: Vec<_> = parts.iter_mut().zip(shares).map(begin).collect();
        let end = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|payload| panic::resume_unwind(payload))
        };
        threads.into_iter().map(end).collect()
    });
    outcomes.into_iter().collect()
}

impl<E: Engine + Send> Engine for SplitEngine<E> {
    fn expect(&mut self, sequences: usize) {
        let each = sequences.div_ceil(self.parts.len());
        self.parts.iter_mut().for_each(|part| part.engine.expect(each));
    }

    fn set_prefix(&mut self, tokens: &[TokenId]) -> Result<()> {
        let same = vec![tokens; self.parts.len()];
        for_all(&mut self.parts, same, |part, tokens| part.engine.set_prefix(tokens)).map(drop)
    }

    fn step(&mut self, batch: &Batch<'_>) -> Result<Vec<TokenId>> {
        let shares = self.shares(batch);
        let picked = for_all(&mut self.parts, shares, Part::step)?;
        let mut picked: Vec<_> = picked.into_iter().map(Vec::into_iter).collect();
        let in_order = batch.sampling().map(|(span, _)| picked[self.part_of(span.slot)].next());
        Ok(in_order.map(|token| token.expect("a token for every span that samples")).collect())
    }
}
