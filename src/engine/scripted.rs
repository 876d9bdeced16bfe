//! An engine that answers from a script: for tests of everything around the model.
//!
//! It keeps the same books as a real engine (what stands in which slot, at which position) and
//! panics where a batch contradicts them, so it also checks the scheduler.

use crate::Result;
use crate::generate::{Batch, Engine, TokenId};

/// Where the search for a token that a guard allows ends.
const MAX_TOKEN: TokenId = 1 << 16;

/// Answers each sampling span with `script(everything the sequence holds)`, or, where a guard
/// refuses that, with the lowest token that it allows.
pub struct ScriptedEngine<F> {
    script: F,
    prefix: Vec<TokenId>,
    slots: Vec<Vec<TokenId>>,
}

impl<F: FnMut(&[TokenId]) -> TokenId> ScriptedEngine<F> {
    /// An engine that follows `script`.
    pub fn new(script: F) -> Self {
        ScriptedEngine { script, prefix: Vec::new(), slots: Vec::new() }
    }
}

impl<F: FnMut(&[TokenId]) -> TokenId> Engine for ScriptedEngine<F> {
    fn set_prefix(&mut self, tokens: &[TokenId]) -> Result<()> {
        self.prefix = tokens.to_vec();
        Ok(())
    }

    fn step(&mut self, batch: &Batch<'_>) -> Result<Vec<TokenId>> {
        let mut picked = Vec::new();
        for span in &batch.spans {
            if self.slots.len() <= span.slot {
                self.slots.resize(span.slot + 1, Vec::new());
            }
            let held = &mut self.slots[span.slot];
            if span.start == span.prefix_len {
                *held = self.prefix[..span.prefix_len].to_vec();
            }
            assert_eq!(held.len(), span.start, "a span continues where its sequence stands");
            held.extend_from_slice(&batch.tokens[span.rows.clone()]);
            assert!(held.len() <= span.capacity, "a sequence stays within its reservation");
            if let Some(sample) = &span.sample {
                let token = (self.script)(held);
                let allows = sample.filter.map(|filter| filter.after(sample.written));
                let refused = allows.filter(|allows| !allows(token));
                let other = refused.and_then(|allows| (0..MAX_TOKEN).find(|token| allows(*token)));
                picked.push(other.unwrap_or(token));
            }
        }
        Ok(picked)
    }
}
