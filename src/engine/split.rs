//! Several engines as one: each computes the sequences that it has, all of them at the same time, and the one with the
//! fewest takes the next.
//!
//! Sequences have nothing to do with one another, so what is written is what one engine writes.

use std::panic;
use std::thread;

use crate::Result;
use crate::generate::{Batch, Engine, Picked, TokenId};

/// Engines that share the work of every step, sequence by sequence.
#[derive(Debug)]
pub struct SplitEngine<E> {
    parts: Vec<Part<E>>,
    /// Slot → the engine that has it, and whether a sequence began there; the texts of its beam are where
    /// it is.
    places: Vec<Option<(usize, bool)>>,
}

#[derive(Debug)]
struct Part<E> {
    engine: E,
    /// Slots that were closed since its last step: it takes none where it has no rows.
    closed: Vec<usize>,
    /// Whether its last step is to be undone.
    last_failed: bool,
    /// Whether it had rows in the last step of all.
    took_part: bool,
}

impl<E: Engine + Send> Part<E> {
    fn step(&mut self, mut share: Batch<'_>) -> Result<Vec<Picked>> {
        self.closed.append(&mut share.closed);
        // Another engine may have been the one that had no memory.
        self.last_failed |= share.last_failed && self.took_part;
        self.took_part = !share.spans.is_empty();
        if !self.took_part {
            return Ok(Vec::new());
        }
        share.closed.clone_from(&self.closed);
        share.last_failed = self.last_failed;
        let outcome = self.engine.step(&share);
        self.last_failed = false;
        if outcome.is_ok() {
            self.closed.clear();
        }
        outcome
    }
}

impl<E: Engine + Send> SplitEngine<E> {
    /// Engines of the same weights and bounds.
    ///
    /// # Panics
    /// Where there is none.
    pub fn new(engines: Vec<E>) -> SplitEngine<E> {
        assert!(!engines.is_empty(), "no engine to share the work");
        let part = |engine| {
            let (closed, last_failed, took_part) = (Vec::new(), false, false);
            Part { engine, closed, last_failed, took_part }
        };
        let parts = engines.into_iter().map(part).collect();
        SplitEngine { parts, places: Vec::new() }
    }

    /// The engine of a slot in which something lives.
    fn part_of(&self, slot: usize) -> usize {
        self.places[slot].map_or(0, |(part, _)| part)
    }

    /// The engine with the fewest sequences.
    fn idlest(&self) -> usize {
        let mut sequences = vec![0; self.parts.len()];
        let began = self.places.iter().flatten().filter(|(_, began)| *began);
        began.for_each(|(part, _)| sequences[*part] += 1);
        let parts = sequences.iter().enumerate();
        parts.min_by_key(|(_, count)| **count).map_or(0, |(part, _)| part)
    }

    fn place(&mut self, slot: usize, place: Option<(usize, bool)>) {
        if self.places.len() <= slot {
            self.places.resize(slot + 1, None);
        }
        self.places[slot] = place;
    }

    /// What each engine has to do of `batch`.
    fn shares<'a>(&mut self, batch: &Batch<'a>) -> Vec<Batch<'a>> {
        let last_failed = batch.last_failed;
        let mut shares = vec![Batch { last_failed, ..Batch::default() }; self.parts.len()];
        for &slot in &batch.closed {
            // A slot of a step that failed may be closed twice, and one of a beam may never have been forked.
            if let Some((part, _)) = self.places.get_mut(slot).and_then(Option::take) {
                shares[part].closed.push(slot);
            }
        }
        for fork in &batch.forks {
            let part = self.part_of(fork.from);
            let began =
                self.places.get(fork.to).is_some_and(|to| to.is_some_and(|(_, began)| began));
            self.place(fork.to, Some((part, began)));
            shares[part].forks.push(*fork);
        }
        for span in &batch.spans {
            if span.start == span.prefix_len {
                let held = self.places.get(span.slot).copied().flatten();
                let part = held.map_or_else(|| self.idlest(), |(part, _)| part);
                self.place(span.slot, Some((part, true)));
            }
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
    fn expect(&mut self, slots: usize) {
        let each = slots.div_ceil(self.parts.len());
        self.parts.iter_mut().for_each(|part| part.engine.expect(each));
    }

    fn set_prefix(&mut self, tokens: &[TokenId]) -> Result<()> {
        // Sequences of an earlier generator are over.
        self.places.clear();
        for part in &mut self.parts {
            part.closed.clear();
            (part.last_failed, part.took_part) = (false, false);
        }
        let same = vec![tokens; self.parts.len()];
        for_all(&mut self.parts, same, |part, tokens| part.engine.set_prefix(tokens)).map(drop)
    }

    fn step(&mut self, batch: &Batch<'_>) -> Result<Vec<Picked>> {
        let shares = self.shares(batch);
        let picked = for_all(&mut self.parts, shares, Part::step)?;
        let mut picked: Vec<_> = picked.into_iter().map(Vec::into_iter).collect();
        let in_order = batch.sampling().map(|(span, _)| {
            let of_part = picked[self.part_of(span.slot)].next();
            of_part.expect("something is picked for every span that samples")
        });
        Ok(in_order.collect())
    }

    fn searches_beams(&self) -> bool {
        self.parts.iter().all(|part| part.engine.searches_beams())
    }
}
