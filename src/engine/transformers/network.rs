//! The networks, and the way of one sequence through each.
//!
//! The networks of candle-transformers hold the state of the one sequence that they compute, and
//! differ in how well they forget it: Phi-3 and GLM-4 do, LFM2 keeps what its convolutions saw where
//! a sequence begins with a single token, and Phi-3 and LFM2 keep a mask for each length they met.
//! So a sequence never takes over another's network; it has one of its own.

use candle_core::{Device, Tensor};
use candle_transformers::models::{quantized_glm4, quantized_lfm2, quantized_phi3};

use super::architecture::{Architecture, Source};
use super::qwen3moe::{Caches, Qwen3Moe};
use crate::Result;
use crate::generate::TokenId;

/// Most rows that are computed at a time: attention takes memory for each of them and each position.
const ROWS: usize = 512;

/// The weights, from which sequences begin.
pub(super) enum Network {
    /// Nothing was ever computed with these; a copy shares the weights alone.
    Phi3(quantized_phi3::ModelWeights),
    Glm4(quantized_glm4::ModelWeights),
    /// The weights of LFM2 cannot be shared, so they are read anew for each sequence, which is a
    /// second beside the minute that it takes to write. The first were read when the network was
    /// loaded.
    Lfm2(Source, Option<Box<quantized_lfm2::ModelWeights>>),
    Qwen3Moe(std::sync::Arc<Qwen3Moe>),
}

/// A sequence under way.
pub(super) enum Sequence {
    Phi3(Box<quantized_phi3::ModelWeights>),
    Glm4(Box<quantized_glm4::ModelWeights>),
    Lfm2(Box<quantized_lfm2::ModelWeights>),
    Qwen3Moe(std::sync::Arc<Qwen3Moe>, Caches),
}

impl Network {
    /// Reads the weights.
    pub(super) fn load(source: Source) -> Result<Network> {
        let device = &source.device;
        match source.architecture {
            Architecture::Phi3 => source
                .read(|content, reader| {
                    quantized_phi3::ModelWeights::from_gguf(false, content, reader, device)
                })
                .map(Network::Phi3),
            Architecture::Glm4 => source
                .read(|content, reader| {
                    let kind = candle_core::DType::F32;
                    quantized_glm4::ModelWeights::from_gguf(content, reader, device, kind)
                })
                .map(Network::Glm4),
            Architecture::Lfm2 => {
                let first = read_lfm2(&source)?;
                Ok(Network::Lfm2(source, Some(first)))
            }
            Architecture::Qwen3Moe => source
                .read(|content, reader| Qwen3Moe::read(&content, reader, device))
                .map(|weights| Network::Qwen3Moe(weights.into())),
        }
    }

    /// Begins a sequence.
    pub(super) fn begin(&mut self) -> Result<Sequence> {
        Ok(match self {
            Network::Phi3(weights) => Sequence::Phi3(weights.clone().into()),
            Network::Glm4(weights) => Sequence::Glm4(weights.clone().into()),
            Network::Lfm2(source, first) => {
                Sequence::Lfm2(first.take().map_or_else(|| read_lfm2(source), Ok)?)
            }
            Network::Qwen3Moe(weights) => Sequence::Qwen3Moe(weights.clone(), weights.caches()),
        })
    }
}

fn read_lfm2(source: &Source) -> Result<Box<quantized_lfm2::ModelWeights>> {
    source
        .read(|content, reader| {
            quantized_lfm2::ModelWeights::from_gguf(content, reader, &source.device)
        })
        .map(Box::new)
}

impl Sequence {
    /// Computes `tokens`, the first of which stands at position `start`, and returns the logits
    /// that follow the last: (1, vocabulary).
    pub(super) fn forward(
        &mut self,
        tokens: &[TokenId],
        start: usize,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let rows = match (&self, start) {
            // Its convolutions take what was before from the cache for single tokens alone.
            (Sequence::Lfm2(_), 0) => tokens.len(),
            (Sequence::Lfm2(_), _) => 1,
            _ => ROWS,
        };
        let mut logits = None;
        for (index, piece) in tokens.chunks(rows.max(1)).enumerate() {
            let piece = Tensor::new(piece, device)?.unsqueeze(0)?;
            let start = start + index * rows;
            logits = Some(match self {
                Sequence::Phi3(weights) => weights.forward(&piece, start)?,
                Sequence::Glm4(weights) => weights.forward(&piece, start)?,
                Sequence::Lfm2(weights) => weights.forward(&piece, start)?,
                Sequence::Qwen3Moe(weights, caches) => weights.forward(caches, &piece, start)?,
            });
        }
        logits.ok_or_else(|| candle_core::Error::msg("there are no tokens to compute"))
    }
}
