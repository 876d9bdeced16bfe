//! An engine that answers from a script: for tests of everything around the model.
//!
//! It keeps the same books as a real engine (what stands in which slot, at which position) and
//! panics where a batch contradicts them, so it also checks the scheduler.

use crate::generate::{Batch, Candidate, Engine, Picked, Sampling, TokenId};
use crate::{Error, Result, error::ErrorKind};

/// Where the search for a token that a guard allows ends.
const MAX_TOKEN: TokenId = 1 << 16;

/// Answers each sampling span with `script(everything the sequence holds)`, or, where a guard
/// refuses that, with the lowest token that it allows.
pub struct ScriptedEngine<F> {
    script: F,
    prefix: Vec<TokenId>,
    slots: Vec<Vec<TokenId>>,
    /// Which slots hold a sequence that has not ended.
    open: Vec<bool>,
    /// Most sequences that there is memory for.
    room: usize,
    /// What tokens may follow what a sequence holds, where beams are searched.
    scores: Option<Scores>,
}

/// The tokens that may follow, likeliest first.
type Scores = Box<dyn Fn(&[TokenId]) -> Vec<Candidate>>;

impl<F: FnMut(&[TokenId]) -> TokenId> ScriptedEngine<F> {
    /// An engine that follows `script`.
    pub fn new(script: F) -> Self {
        let (prefix, slots, open) = (Vec::new(), Vec::new(), Vec::new());
        ScriptedEngine { script, prefix, slots, open, room: usize::MAX, scores: None }
    }

    /// The same, which searches beams by `scores` of what a sequence holds.
    #[must_use]
    pub fn with_scores(self, scores: impl Fn(&[TokenId]) -> Vec<Candidate> + 'static) -> Self {
        ScriptedEngine { scores: Some(Box::new(scores)), ..self }
    }

    /// The same, with memory for no more than `sequences` at a time.
    #[must_use]
    pub fn with_room(self, sequences: usize) -> Self {
        ScriptedEngine { room: sequences, ..self }
    }

    /// Closes and opens slots.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] where there are more sequences than there is room for.
    fn open_slots(&mut self, batch: &Batch<'_>) -> Result<()> {
        for &slot in &batch.closed {
            // A slot of a step that failed may never have been opened.
            self.open.get_mut(slot).into_iter().for_each(|open| *open = false);
        }
        let forked = batch.forks.iter().map(|fork| fork.to);
        for slot in batch.spans.iter().map(|span| span.slot).chain(forked) {
            if self.slots.len() <= slot {
                self.slots.resize(slot + 1, Vec::new());
                self.open.resize(slot + 1, false);
            }
            self.open[slot] = true;
            if self.open.iter().filter(|open| **open).count() > self.room {
                return Err(Error::new(ErrorKind::Memory, "the script has no memory left"));
            }
        }
        Ok(())
    }
}

impl<F: FnMut(&[TokenId]) -> TokenId> Engine for ScriptedEngine<F> {
    fn set_prefix(&mut self, tokens: &[TokenId]) -> Result<()> {
        self.prefix = tokens.to_vec();
        Ok(())
    }

    fn step(&mut self, batch: &Batch<'_>) -> Result<Vec<Picked>> {
        self.open_slots(batch)?;
        for fork in &batch.forks {
            let of_other = &self.slots[fork.from][..fork.positions];
            assert!(fork.positions <= fork.capacity && fork.from != fork.to, "{fork:?}");
            self.slots[fork.to] = of_other.to_vec();
        }
        let mut picked = Vec::new();
        for span in &batch.spans {
            let held = &mut self.slots[span.slot];
            if span.start == span.prefix_len {
                *held = self.prefix[..span.prefix_len].to_vec();
            }
            assert_eq!(held.len(), span.start, "a span continues where its sequence stands");
            held.extend_from_slice(&batch.tokens[span.rows.clone()]);
            assert!(held.len() <= span.capacity, "a sequence stays within its reservation");
            if let Some(sample) = &span.sample {
                if let (Sampling::Beam { width }, Some(scores)) = (sample.sampling, &self.scores) {
                    let allows = sample.filter.map(|filter| filter.after(sample.written));
                    let is_allowed = |candidate: &Candidate| {
                        allows.as_ref().is_none_or(|allows| allows(candidate.token))
                    };
                    let allowed = scores(held).into_iter().filter(is_allowed).take(2 * width);
                    picked.push(allowed.collect::<Vec<_>>().into());
                    continue;
                }
                let token = (self.script)(held);
                let allows = sample.filter.map(|filter| filter.after(sample.written));
                let refused = allows.filter(|allows| !allows(token));
                let other = refused.and_then(|allows| (0..MAX_TOKEN).find(|token| allows(*token)));
                picked.push(Picked::Token(other.unwrap_or(token)));
            }
        }
        Ok(picked)
    }

    fn searches_beams(&self) -> bool {
        self.scores.is_some()
    }
}
