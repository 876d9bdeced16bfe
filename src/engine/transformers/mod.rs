//! The engine for architectures that are no decoder of ours: candle-transformers computes them.
//!
//! It is there so that a model can be tried, not so that it is fast: sequences take turns, each by
//! itself, and nothing is shared between them, the common prefix neither. What a sequence writes is
//! the same bytes alone and in any batch, because it has a state of its own and its tokens are read
//! in the same pieces, however the scheduler cuts them.
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
use super::candle::DeviceChoice;
use crate::generate::{Batch, Engine, Sample, TokenId, TokenSet, next_token};
use crate::model;
use crate::shortlist::Shortlist;
use crate::{Error, Result, error::ErrorKind};

/// A network of candle-transformers on one of candle's devices.
pub struct TransformersEngine {
    network: Network,
    device: Device,
    max_context: usize,
    shortlist: Option<TokenSet>,
    prefix: Vec<TokenId>,
    slots: Vec<Option<Slot>>,
}

/// A sequence and what it has read.
struct Slot {
    sequence: Sequence,
    /// All its tokens, those included that wait to be computed.
    tokens: Vec<TokenId>,
    prefix_len: usize,
    computed: usize,
}

impl TransformersEngine {
    /// Loads the GGUF file at `path`, which is of `architecture`, for sequences of at most
    /// `max_context` positions; fewer where the model was made for fewer. With a `shortlist`, its
    /// tokens and those that a sequence itself has read are all that can be written.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where the device is not there or not built in, [`ErrorKind::Io`] where
    /// the file cannot be read, [`ErrorKind::Model`] where it is none that would be computed
    /// rightly.
    pub fn load(
        path: &Path,
        architecture: Architecture,
        choice: DeviceChoice,
        max_context: usize,
        shortlist: Option<&Shortlist>,
    ) -> Result<TransformersEngine> {
        let device = choice.open()?;
        let source = Source::new(path, architecture, &device, max_context)?;
        Ok(TransformersEngine {
            max_context: source.max_context(),
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

    /// Takes the rows of a step in; nothing is computed yet.
    fn read(&mut self, batch: &Batch<'_>) -> Result<()> {
        // Before sequences begin: they may need the memory.
        for &slot in &batch.closed {
            self.slots[slot] = None;
        }
        for span in &batch.spans {
            if self.slots.len() <= span.slot {
                self.slots.resize_with(span.slot + 1, || None);
            }
            let slot = &mut self.slots[span.slot];
            if span.start == span.prefix_len {
                *slot = None;
                *slot = Some(Slot {
                    sequence: self.network.begin()?,
                    tokens: self.prefix[..span.prefix_len].to_vec(),
                    prefix_len: span.prefix_len,
                    computed: 0,
                });
            }
            let slot = slot.as_mut().expect("a span's slot is open");
            slot.tokens.extend_from_slice(&batch.tokens[span.rows.clone()]);
        }
        Ok(())
    }
}

impl Engine for TransformersEngine {
    fn set_prefix(&mut self, tokens: &[TokenId]) -> Result<()> {
        self.prefix = tokens.to_vec();
        Ok(())
    }

    fn step(&mut self, batch: &Batch<'_>) -> Result<Vec<TokenId>> {
        self.read(batch)?;
        let mut picked = Vec::new();
        for (span, sample) in batch.sampling() {
            let slot = self.slots[span.slot].as_mut().expect("a span's slot is open");
            let mut logits = slot.advance(&self.device).map_err(|cause| {
                Error::new(ErrorKind::Engine, "the engine failed in a step")
                    .because(model::cause(cause))
            })?;
            if let Some(shortlist) = &self.shortlist {
                slot.keep(shortlist, &mut logits);
            }
            let Sample { sampling, written, filter } = *sample;
            picked.push(next_token(&logits, sampling, written, filter));
        }
        Ok(picked)
    }
}

impl Slot {
    /// Computes what waits, and returns the logits (vocabulary) that follow the last token.
    fn advance(&mut self, device: &Device) -> candle_core::Result<Vec<f32>> {
        let logits = self.sequence.forward(&self.tokens[self.computed..], self.computed, device)?;
        self.computed = self.tokens.len();
        logits.flatten_all()?.to_vec1()
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
