//! The engine on candle: any device that candle runs on, and the reference for faster ones.
//!
//! On the CPU every matrix is expanded to f32 once; on a card to f16, or it stays quantized and goes
//! through candle's kernels. That, and how many sequences share a block of keys and values, is all
//! that differs ([`Handling`]), and all of it can be asked for on the CPU. The residual stream is f32
//! everywhere: Gemma's activations reach 1e5, beyond f16.
//!
//! All rows of a step go through the matrices together, whichever sequences they belong to. A prompt
//! attends by itself; sequences that write a token each attend together where they share a block, so
//! that a step begins few operations, which is what takes time on a card. The sliding window is
//! exact: keys outside it are never touched, or have weight zero.

mod attention;
mod cache;
mod device;
mod head;
mod layer;
mod rotary;

use candle_core::{Device, Tensor};

use self::attention::Plan;
pub(crate) use self::cache::{BLOCK_CAPACITY, lane_bytes, lane_capacity};
use self::cache::{Block, KvCache};
pub(in crate::engine) use self::device::{is_out_of_memory, step_failed};
use self::head::Head;
use self::layer::{Layer, Linear, rms_norm};
use self::rotary::RopeTable;
use super::context;
use crate::generate::{Batch, Beside, Engine, Picked, Span, TokenId};
use crate::model::{self, Config, Model};
use crate::shortlist::Shortlist;
use crate::{Error, Result, error::ErrorKind};

pub(crate) use device::CARD_LANES;
pub use device::{DeviceChoice, Devices, Handling, Matrices};

/// What an engine is made for.
#[derive(Debug, Clone, Copy)]
pub struct CandleSettings<'a> {
    /// Where it computes.
    pub device: DeviceChoice,
    /// Most positions of a sequence.
    pub max_context: usize,
    /// Tokens that the head is restricted to, with those of each request's own prompt.
    pub shortlist: Option<&'a Shortlist>,
    /// How the device is treated; `None`: as is best for it.
    pub handling: Option<Handling>,
}

/// A decoder on one of candle's devices.
pub struct CandleEngine {
    config: Config,
    device: Device,
    embedding: Embedding,
    layers: Vec<Layer>,
    output_norm: Tensor,
    head: Head,
    rope: RopeTable,
    max_context: usize,
    handling: Handling,
    /// Keys and values of the shared prefix.
    prefix: Option<Block>,
    cache: KvCache,
}

/// Token embeddings: a dense table that may be the head's as well.
struct Embedding {
    table: Tensor,
    scale: f64,
}

impl CandleEngine {
    /// Brings `model` to the device, to score all of its vocabulary. `max_context` bounds the
    /// positions of a sequence.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where the device is not there or not built in.
    pub fn new(model: &Model, device: DeviceChoice, max_context: usize) -> Result<CandleEngine> {
        let settings = CandleSettings { device, max_context, shortlist: None, handling: None };
        Self::with_settings(model, &settings)
    }

    /// Brings `model` to the device.
    ///
    /// # Errors
    /// As [`CandleEngine::new`].
    pub fn with_settings(model: &Model, settings: &CandleSettings<'_>) -> Result<CandleEngine> {
        let device = settings.device.open()?;
        let handling = settings.handling.unwrap_or_else(|| {
            let matrices = model.weights().layers.iter().flat_map(|layer| layer.matrices());
            let weights = matrices.map(|(_, matrix)| matrix.shape().elem_count() as u64).sum();
            Handling::of(&device, weights)
        });
        let failed =
            |e| Error::new(ErrorKind::Engine, "cannot set up the engine").because(model::cause(e));
        Self::build(model, device, handling, settings).map_err(failed)
    }

    fn build(
        model: &Model,
        device: Device,
        handling: Handling,
        settings: &CandleSettings<'_>,
    ) -> candle_core::Result<Self> {
        let (config, weights) = (model.config(), model.weights());
        let table = weights.token_embedding.dequantize(&device)?;
        let is_tied = weights.output.is_none();
        let head = match settings.shortlist {
            Some(list) if is_tied => Head::shortlisted(table.clone(), list.ids())?,
            Some(list) => Head::shortlisted(weights.head().dequantize(&device)?, list.ids())?,
            None => {
                let scored = match handling.matrices {
                    Matrices::Quantized => {
                        Linear::new(weights.head(), &device, Matrices::Quantized)?
                    }
                    // An expanded table serves both.
                    _ if is_tied => Linear::dense(table.clone()),
                    _ => Linear::new(weights.head(), &device, Matrices::F32)?,
                };
                Head::whole(scored, table.dim(0)?, &device)
            }
        };
        let layers = (0..config.layers.len()).map(|index| {
            Layer::new(config, index, &weights.layers[index], &device, handling.matrices)
        });
        let factors = weights.rope_factors.as_deref();
        Ok(CandleEngine {
            embedding: Embedding { table, scale: f64::from(config.embedding_scale) },
            layers: layers.collect::<candle_core::Result<_>>()?,
            output_norm: layer::vector(&weights.output_norm, &device)?,
            head,
            rope: RopeTable::new(config, factors, settings.max_context, &device)?,
            config: config.clone(),
            max_context: settings.max_context,
            handling,
            device,
            prefix: None,
            cache: KvCache::new(handling.lanes, usize::MAX),
        })
    }

    /// Bytes of the device's memory that are free now; `None` where it does not tell.
    pub fn free_memory(&self) -> Option<u64> {
        device::free_memory(&self.device)
    }

    /// How many sequences share a block of keys and values; memory is taken by the block.
    pub fn lanes(&self) -> usize {
        self.handling.lanes
    }

    /// How it holds the matrices of its layers.
    pub fn matrices(&self) -> Matrices {
        self.handling.matrices
    }

    /// Bytes that keys and values of a paper take, which needs `positions` of them on average, and the texts
    /// of its beam `beside` more.
    pub fn paper_bytes(&self, positions: usize, beside: usize) -> u64 {
        let capacity = lane_capacity(self.handling.lanes, positions, beside);
        lane_bytes(capacity, self.config.position_bytes())
    }

    /// The logits that follow every one of `tokens`, read as one sequence: (tokens, vocabulary).
    /// For measurements; generation goes through [`Engine::step`].
    pub fn logits(&mut self, tokens: &[TokenId]) -> Result<Vec<Vec<f32>>> {
        context::check(tokens, self.max_context)?;
        let logits = (|| {
            let block = Block::new(&self.config, 1, tokens.len(), &self.device)?;
            let hidden = self.forward_alone(tokens, &block)?;
            self.head.logits(&hidden)?.to_vec2()
        })();
        logits.map_err(step_failed)
    }

    /// Hidden states behind the last norm for a whole sequence in an empty block of one lane.
    fn forward_alone(&self, tokens: &[TokenId], block: &Block) -> candle_core::Result<Tensor> {
        let span = Span {
            slot: 0,
            capacity: tokens.len(),
            beside: Beside::default(),
            prefix_len: 0,
            start: 0,
            rows: 0..tokens.len(),
            sample: None,
        };
        let batch = Batch { tokens: tokens.to_vec(), spans: vec![span], ..Batch::default() };
        let plan = Plan::of_one(block, tokens.len(), &self.config, &self.device)?;
        self.forward(&batch, &plan)
    }

    /// Hidden states (rows, hidden) behind the last norm.
    fn forward(&self, batch: &Batch<'_>, plan: &Plan<'_>) -> candle_core::Result<Tensor> {
        let ids = Tensor::new(batch.tokens.as_slice(), &self.device)?;
        let mut hidden = (self.embedding.table.index_select(&ids, 0)? * self.embedding.scale)?;
        let rotations = self.rope.rows(batch)?;
        for (index, layer) in self.layers.iter().enumerate() {
            hidden = layer.forward(&hidden, index, &rotations, plan)?;
        }
        rms_norm(&hidden, &self.output_norm, self.config.norm_eps)
    }

    fn try_step(&mut self, batch: &Batch<'_>) -> candle_core::Result<Vec<Picked>> {
        self.open_slots(batch)?;
        let plan = Plan::new(&batch.spans, &self.cache, &self.config, &self.device)?;
        let hidden = self.forward(batch, &plan)?;
        let last_rows: Vec<u32> =
            batch.sampling().map(|(span, _)| span.rows.end as u32 - 1).collect();
        if last_rows.is_empty() {
            return Ok(Vec::new());
        }
        let hidden = hidden.index_select(&Tensor::new(last_rows, &self.device)?, 0)?;
        self.head.pick(&hidden, batch)
    }

    /// Closes, forks and opens slots as `batch` says, and makes room for its rows. A step that failed may be
    /// asked for again.
    fn open_slots(&mut self, batch: &Batch<'_>) -> candle_core::Result<()> {
        self.cache.begin_step(batch.last_failed);
        for &slot in &batch.closed {
            self.cache.close(slot);
            self.head.open(slot);
        }
        for fork in &batch.forks {
            self.cache.fork(fork);
            self.head.fork(fork.from, fork.to);
        }
        for span in &batch.spans {
            if span.start == span.prefix_len {
                let prefix = self.prefix.as_ref().filter(|_| span.prefix_len > 0);
                let (config, device) = (&self.config, &self.device);
                let Span { slot, capacity, beside, .. } = *span;
                self.cache.open(slot, capacity, beside, prefix, config, device)?;
                self.head.open(span.slot);
            }
            self.cache.extend(span.slot, span.start, span.rows.len());
            self.head.allow(span.slot, &batch.tokens[span.rows.clone()]);
        }
        Ok(())
    }
}

impl Engine for CandleEngine {
    fn expect(&mut self, slots: usize) {
        self.cache = KvCache::new(self.handling.lanes, slots);
    }

    fn set_prefix(&mut self, tokens: &[TokenId]) -> Result<()> {
        self.prefix = None;
        if tokens.is_empty() {
            return Ok(());
        }
        context::check(tokens, self.max_context)?;
        let computed = (|| {
            let block = Block::new(&self.config, 1, tokens.len(), &self.device)?;
            self.forward_alone(tokens, &block)?;
            Ok(block)
        })();
        self.prefix = Some(computed.map_err(step_failed)?);
        Ok(())
    }

    fn step(&mut self, batch: &Batch<'_>) -> Result<Vec<Picked>> {
        self.try_step(batch).map_err(step_failed)
    }

    fn searches_beams(&self) -> bool {
        true
    }
}
