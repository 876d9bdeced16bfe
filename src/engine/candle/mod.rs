//! The engine on candle: any device that candle runs on, and the reference for faster ones.
//!
//! On the CPU every matrix is expanded to f32 once, because candle's quantized products there
//! take few of the types and widths that small models have; on CUDA and Metal matrices stay
//! quantized and go through candle's kernels. The residual stream is f32 everywhere: Gemma's
//! activations reach 1e5, beyond f16.
//!
//! All rows of a step go through the matrices together, whichever sequences they belong to;
//! attention runs span by span on the keys and values of its slot, so sequences of different
//! lengths share a step without padding, and the sliding window is exact: keys outside it are
//! never touched.

mod attention;
mod layer;

use candle_core::{D, Device, Tensor};
use rayon::prelude::*;

use self::attention::{KvCache, RopeTable};
use self::layer::{Layer, Linear, rms_norm};
use super::context;
use crate::generate::{Batch, Engine, Span, TokenId, next_token};
use crate::model::{self, Config, Model};
use crate::{Error, Result, error::ErrorKind};

/// Where an engine computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA card, by its number; needs the feature `cuda`.
    Cuda(usize),
    /// Apple's GPU; needs the feature `metal`.
    Metal,
}

/// A decoder on one of candle's devices.
pub struct CandleEngine {
    config: Config,
    device: Device,
    embedding: Embedding,
    layers: Vec<Layer>,
    output_norm: Tensor,
    head: Linear,
    rope: RopeTable,
    max_context: usize,
    /// Keys and values of the shared prefix.
    prefix: Option<KvCache>,
    slots: Vec<Option<KvCache>>,
}

/// Token embeddings: a dense table that may be the head's as well.
struct Embedding {
    table: Tensor,
    scale: f64,
}

impl CandleEngine {
    /// Brings `model` to the device. `max_context` bounds the positions of a sequence.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where the device is not there or not built in.
    pub fn new(model: &Model, choice: DeviceChoice, max_context: usize) -> Result<CandleEngine> {
        let device = choice.open()?;
        let failed =
            |e| Error::new(ErrorKind::Engine, "cannot set up the engine").because(model::cause(e));
        Self::build(model, device, max_context).map_err(failed)
    }

    fn build(model: &Model, device: Device, max_context: usize) -> candle_core::Result<Self> {
        let (config, weights) = (model.config(), model.weights());
        let table = weights.token_embedding.dequantize(&device)?;
        let head = match (&weights.output, &device) {
            (None, Device::Cpu) => Linear::dense(table.clone()),
            _ => Linear::new(weights.head(), &device)?,
        };
        let layers = (0..config.layers.len())
            .map(|index| Layer::new(config, index, &weights.layers[index], &device));
        Ok(CandleEngine {
            embedding: Embedding { table, scale: f64::from(config.embedding_scale) },
            layers: layers.collect::<candle_core::Result<_>>()?,
            output_norm: layer::vector(&weights.output_norm, &device)?,
            head,
            rope: RopeTable::new(config, weights.rope_factors.as_deref(), max_context, &device)?,
            config: config.clone(),
            max_context,
            device,
            prefix: None,
            slots: Vec::new(),
        })
    }

    /// The logits that follow every one of `tokens`, read as one sequence: (tokens, vocabulary).
    /// For measurements; generation goes through [`Engine::step`].
    pub fn logits(&mut self, tokens: &[TokenId]) -> Result<Vec<Vec<f32>>> {
        context::check(tokens, self.max_context)?;
        let logits = (|| {
            let cache = KvCache::new(&self.config, tokens.len(), &self.device)?;
            let hidden = self.forward_alone(tokens, &cache)?;
            self.head.forward(&hidden)?.to_vec2()
        })();
        logits.map_err(step_failed)
    }

    /// Hidden states behind the last norm for a whole sequence in an empty cache.
    fn forward_alone(&self, tokens: &[TokenId], cache: &KvCache) -> candle_core::Result<Tensor> {
        let span = Span {
            slot: 0,
            capacity: tokens.len(),
            prefix_len: 0,
            start: 0,
            rows: 0..tokens.len(),
            sample: None,
        };
        let batch = Batch { tokens: tokens.to_vec(), spans: vec![span], closed: Vec::new() };
        self.forward(&batch, &[cache])
    }

    /// Hidden states (rows, hidden) behind the last norm; `caches` has one cache for each span.
    fn forward(&self, batch: &Batch<'_>, caches: &[&KvCache]) -> candle_core::Result<Tensor> {
        let ids = Tensor::new(batch.tokens.as_slice(), &self.device)?;
        let mut hidden = (self.embedding.table.index_select(&ids, 0)? * self.embedding.scale)?;
        let rotations = self.rope.rows(batch)?;
        for (index, layer) in self.layers.iter().enumerate() {
            hidden = layer.forward(&hidden, index, &rotations, &batch.spans, caches)?;
        }
        rms_norm(&hidden, &self.output_norm, self.config.norm_eps)
    }

    fn try_step(&mut self, batch: &Batch<'_>) -> candle_core::Result<Vec<TokenId>> {
        self.open_slots(batch)?;
        let caches: Vec<&KvCache> = batch
            .spans
            .iter()
            .map(|span| self.slots[span.slot].as_ref().expect("a span's slot is open"))
            .collect();
        let hidden = self.forward(batch, &caches)?;
        let last_rows: Vec<u32> =
            batch.sampling().map(|(span, _)| span.rows.end as u32 - 1).collect();
        if last_rows.is_empty() {
            return Ok(Vec::new());
        }
        let hidden = hidden.index_select(&Tensor::new(last_rows, &self.device)?, 0)?;
        let logits = self.head.forward(&hidden)?;
        let vocabulary = logits.dim(D::Minus1)?;
        let logits: Vec<f32> = logits.flatten_all()?.to_vec1()?;
        let samples: Vec<_> = batch.sampling().map(|(_, sample)| *sample).collect();
        let rows = logits.par_chunks(vocabulary).zip(samples);
        Ok(rows
            .map(|(row, sample)| next_token(row, sample.sampling, sample.written, sample.filter))
            .collect())
    }

    /// Makes a fresh cache, prefix included, for every span that opens a sequence.
    fn open_slots(&mut self, batch: &Batch<'_>) -> candle_core::Result<()> {
        for &slot in &batch.closed {
            self.slots[slot] = None;
        }
        for span in &batch.spans {
            if self.slots.len() <= span.slot {
                self.slots.resize_with(span.slot + 1, || None);
            }
            if span.start == span.prefix_len {
                let cache = KvCache::new(&self.config, span.capacity, &self.device)?;
                if let (Some(prefix), true) = (&self.prefix, span.prefix_len > 0) {
                    cache.copy_from(prefix)?;
                }
                self.slots[span.slot] = Some(cache);
            }
        }
        Ok(())
    }
}

impl Engine for CandleEngine {
    fn set_prefix(&mut self, tokens: &[TokenId]) -> Result<()> {
        self.prefix = None;
        if tokens.is_empty() {
            return Ok(());
        }
        context::check(tokens, self.max_context)?;
        let computed = (|| {
            let cache = KvCache::new(&self.config, tokens.len(), &self.device)?;
            self.forward_alone(tokens, &cache)?;
            Ok(cache)
        })();
        self.prefix = Some(computed.map_err(step_failed)?);
        Ok(())
    }

    fn step(&mut self, batch: &Batch<'_>) -> Result<Vec<TokenId>> {
        self.try_step(batch).map_err(step_failed)
    }
}

impl DeviceChoice {
    pub(super) fn open(self) -> Result<Device> {
        let opened = match self {
            DeviceChoice::Cpu => Ok(Device::Cpu),
            DeviceChoice::Cuda(number) => Device::new_cuda(number),
            DeviceChoice::Metal => Device::new_metal(0),
        };
        opened.map_err(|e| {
            let feature = self.to_string();
            let feature = feature.split(':').next().unwrap_or_default();
            Error::new(ErrorKind::Usage, format!("device {self} cannot be used"))
                .because(model::cause(e))
                .hint(format!(
                    "build with `cargo build --release --features {feature}`, or use cpu"
                ))
        })
    }
}

impl std::fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::Cuda(number) => write!(f, "cuda:{number}"),
            DeviceChoice::Metal => f.write_str("metal"),
        }
    }
}

impl std::str::FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let cuda = |number: &str| number.parse().ok().map(DeviceChoice::Cuda);
        let choice = match text.split_once(':') {
            None if text == "cpu" => Some(DeviceChoice::Cpu),
            None if text == "cuda" => Some(DeviceChoice::Cuda(0)),
            None if text == "metal" => Some(DeviceChoice::Metal),
            Some(("cuda", number)) => cuda(number),
            _ => None,
        };
        choice.ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("unknown device {text:?}"))
                .hint("devices are cpu, cuda, cuda:N and metal")
        })
    }
}

fn step_failed(cause: candle_core::Error) -> Error {
    Error::new(ErrorKind::Engine, "the engine failed in a step").because(model::cause(cause))
}
