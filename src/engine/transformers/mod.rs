//! The engine for architectures that are no decoder of ours: candle-transformers computes them.
//!
//! It is there so that a model can be tried, not so that it is fast: sequences take turns, each by
//! itself, and nothing is shared between them, the common prefix neither. What a sequence writes is
//! the same bytes alone and in any batch, because it has a state of its own and its tokens are read
//! in the same pieces, however the scheduler cuts them. Only where a step failed for want of memory and
//! is asked for again, what a sequence has read may be read anew, at once.
//!
//! Architectures that [`crate::model`] describes never come here.

mod architecture;
mod network;
mod qwen3moe;

use std::path::Path;

use candle_core::Device;

pub use self::architecture::Architecture;
use self::architecture::Source;
use self::network::{Network, Sequence};
use super::candle::{DeviceChoice, step_failed};
use crate::Result;
use crate::generate::{Batch, Engine, Picked, Sample, TokenId, TokenSet, next_token};
use crate::shortlist::Shortlist;

/// A network of candle-transformers on one of candle's devices.
pub struct TransformersEngine {
    network: Network,
    device: Device,
    max_context: usize,
    shortlist: Option<TokenSet>,
    prefix: Vec<TokenId>,
    slots: Vec<Option<Slot>>,
    warnings: Vec<String>,
}

/// A sequence and what it has read.
struct Slot {
    /// The state of the network, and how many of the tokens it has read; `None` before the first that are
    /// computed, and after a step that failed half way.
    state: Option<(Sequence, usize)>,
    /// All its tokens, those included that wait to be computed.
    tokens: Vec<TokenId>,
    prefix_len: usize,
}

impl TransformersEngine {
    /// Loads the GGUF file at `path`, which is of `architecture`, for sequences of at most
    /// `max_context` positions; fewer where the model was made for fewer. With a `shortlist`, its
    /// tokens and those that a sequence itself has read are all that can be written.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) where the device is not there or not built
    /// in, [`ErrorKind::Io`](crate::error::ErrorKind::Io) where the file cannot be read,
    /// [`ErrorKind::Model`](crate::error::ErrorKind::Model) where it is none that would be computed
    /// rightly, [`ErrorKind::Memory`](crate::error::ErrorKind::Memory) where the device has no memory
    /// for it.
    pub fn load(
        path: &Path,
        architecture: Architecture,
        choice: DeviceChoice,
        max_context: usize,
        shortlist: Option<&Shortlist>,
    ) -> Result<TransformersEngine> {
        let device = choice.open()?;
        let mut source = Source::new(path, architecture, &device, max_context)?;
        Ok(TransformersEngine {
            max_context: source.max_context(),
            warnings: std::mem::take(&mut source.warnings),
            network: Network::load(source)?,
            device,
            shortlist: shortlist.map(|list| list.ids().iter().copied().collect()),
            prefix: Vec::new(),
            slots: Vec::new(),
        })
    }

    /// Most positions of a sequence.
    pub fn max_context(&self) -> usize {
        self.max_context
    }

    /// What the file says that is not followed, or should say and does not: a sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Takes the rows of a step in; nothing is computed yet. A step that failed may be asked for again.
    fn read(&mut self, batch: &Batch<'_>) {
        // Before sequences begin: they may need the memory. A slot may be closed that had no rows yet.
        for &slot in &batch.closed {
            if let Some(slot) = self.slots.get_mut(slot) {
                *slot = None;
            }
        }
        for span in &batch.spans {
            if self.slots.len() <= span.slot {
                self.slots.resize_with(span.slot + 1, || None);
            }
            let slot = &mut self.slots[span.slot];
            if span.start == span.prefix_len {
                *slot = Some(Slot {
                    state: None,
                    tokens: self.prefix[..span.prefix_len].to_vec(),
                    prefix_len: span.prefix_len,
                });
            }
            let slot = slot.as_mut().expect("a span's slot is open");
            slot.read(span.start, &batch.tokens[span.rows.clone()]);
        }
    }
}

impl Engine for TransformersEngine {
    fn set_prefix(&mut self, tokens: &[TokenId]) -> Result<()> {
        self.prefix = tokens.to_vec();
        Ok(())
    }

    fn step(&mut self, batch: &Batch<'_>) -> Result<Vec<Picked>> {
        self.read(batch);
        let mut picked = Vec::new();
        for (span, sample) in batch.sampling() {
            let slot = self.slots[span.slot].as_mut().expect("a span's slot is open");
            let mut logits = slot.advance(&mut self.network, &self.device)?;
            if let Some(shortlist) = &self.shortlist {
                slot.keep(shortlist, &mut logits);
            }
            let Sample { sampling, written, filter } = *sample;
            picked.push(next_token(&logits, sampling, written, filter).into());
        }
        Ok(picked)
    }
}

impl Slot {
    /// Takes tokens in that stand at position `start` and behind it.
    fn read(&mut self, start: usize, tokens: &[TokenId]) {
        self.tokens.truncate(start);
        self.tokens.extend_from_slice(tokens);
        // The state forgets nothing that it has read.
        if self.state.as_ref().is_some_and(|(_, computed)| *computed > start) {
            self.state = None;
        }
    }

    /// Computes what waits, and returns the logits (vocabulary) that follow the last token.
    fn advance(&mut self, network: &mut Network, device: &Device) -> Result<Vec<f32>> {
        let (mut sequence, computed) = match self.state.take() {
            Some(state) => state,
            None => (network.begin()?, 0),
        };
        let logits = sequence
            .forward(&self.tokens[computed..], computed, device)
            .and_then(|logits| logits.flatten_all()?.to_vec1())
            .map_err(step_failed)?;
        self.state = Some((sequence, self.tokens.len()));
        Ok(logits)
    }

    /// Takes all tokens out of the choice but those of `shortlist` and of the sequence itself; the
    /// prefix, which is the same for all, adds nothing.
    fn keep(&self, shortlist: &TokenSet, logits: &mut [f32]) {
        let own: TokenSet = self.tokens[self.prefix_len..].iter().copied().collect();
        for (token, logit) in (0..).zip(logits) {
            if !shortlist.contains(token) && !own.contains(token) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}
