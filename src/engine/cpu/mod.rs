//! Our own engine for the CPU: batched steps over int8 weights and paged bf16 keys and values.
//!
//! A step is a sequence of phases, each shared by all threads: for every layer norm, query-key-
//! value product, rotation, attention, output product, norm, gate and up product, down product;
//! then the head for the rows that sample. All rows of a step, whichever sequences they belong to
//! and whether they are prompt or text, go through the products together; each weight is read
//! once a step.
//!
//! What a sequence writes depends on nothing but its own tokens: every kernel computes a row in
//! one fixed order ([`crate::kernels`]), so batch, neighbours, chunks and threads change nothing.
//!
//! Memory is bounded when the engine is made: weights at one byte and an eighth a parameter, the
//! embedding remaining in its file, and pages for all positions that the limits allow, of which
//! those are taken that sequences hold.

mod cache;
mod census;
mod decoder;
mod head;
mod profile;
mod vocabulary;

use crate::kernels::attention::{AttentionScratch, PagePool, PageShape, Query, RowPlace};
use crate::kernels::gemm::Scratch;
use crate::kernels::{Isa, Pool, Quantized, Tiled, rows};
use crate::model::Model;
use crate::scheduler::{Batch, Limits, TokenId};
use crate::shortlist::Shortlist;
use crate::{Error, Result, error::ErrorKind};

use super::{Engine, Misses, Profile};
use cache::Tables;
use census::{Census, Site};
use decoder::Decoder;
use head::Head;
use profile::{Clock, Phase};

/// What an engine is made for.
#[derive(Debug, Clone)]
pub struct CpuSettings<'a> {
    /// Threads; at least one.
    pub threads: usize,
    /// What the scheduler is bounded by: it decides the memory for keys and values.
    pub limits: Limits,
    /// Tokens that the head is restricted to, with those of each job's own prompt.
    pub shortlist: Option<&'a Shortlist>,
    /// Score the whole vocabulary all the same, and count choices outside the shortlist.
    pub full_vocabulary: bool,
}

/// A decoder on this machine's processor.
pub struct CpuEngine {
    isa: Isa,
    pool: Pool,
    decoder: Decoder,
    head: Head,
    kv: PagePool,
    tables: Tables,
    rows_per_step: usize,
    work: Workspace,
    clock: Clock,
}

/// Buffers that live from step to step, so that a step allocates nothing once they have grown.
#[derive(Default)]
struct Workspace {
    /// The residual stream, (rows, hidden).
    hidden: Vec<f32>,
    /// Input of the product at hand.
    input: Quantized,
    /// Result of the product at hand.
    product: Tiled,
    /// Gated activations, input of the down product.
    gated: Quantized,
    queries: Vec<f32>,
    attended: Vec<f32>,
    gemm: Scratch,
    attention: AttentionScratch,
    /// Counts large activations while an engine is made.
    census: Option<Census>,
}

/// Rows of one pass through the decoder: what stands where.
#[derive(Default)]
struct Rows<'a> {
    tokens: &'a [TokenId],
    positions: Vec<usize>,
    places: Vec<RowPlace>,
    /// For layers that see everything, and for those with a window.
    global: Vec<Query<'a>>,
    sliding: Vec<Query<'a>>,
}

impl CpuEngine {
    /// Packs the weights of `model` and reserves the memory for keys and values.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where the instruction set asked for is not here, [`ErrorKind::Model`]
    /// where the model has a shape that the kernels do not take.
    pub fn new(model: &Model, settings: &CpuSettings<'_>) -> Result<CpuEngine> {
        let isa = Isa::detect()?;
        let mut pool = Pool::new(settings.threads.max(1));
        let config = model.config();
        let shape = PageShape {
            layers: config.layers.len(),
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
        };
        let decoder = Decoder::new(model, settings.limits.max_context, &mut pool)?;
        let head = Head::new(model, settings.shortlist, settings.full_vocabulary, &mut pool)?;
        let pages = Tables::pages_for(&settings.limits);
        let mut engine = CpuEngine {
            isa,
            pool,
            decoder,
            head,
            kv: PagePool::new(shape, pages),
            tables: Tables::new(pages),
            rows_per_step: settings.limits.rows_per_step,
            work: Workspace::default(),
            clock: Clock::default(),
        };
        engine.take_census(model, settings.limits.max_context)?;
        Ok(engine)
    }

    /// Finds out where activations are large, and rounds them more finely there.
    fn take_census(&mut self, model: &Model, max_context: usize) -> Result<()> {
        let tokenizer = model.tokenizer();
        let beginning = tokenizer.bos().filter(|_| tokenizer.add_bos());
        let text = tokenizer.encode(census::TEXT);
        let tokens: Vec<TokenId> = beginning.into_iter().chain(text).collect();
        let tokens = &tokens[..tokens.len().min(census::TOKENS).min(max_context)];
        self.work.census = Some(Census::new(self.decoder.layers().len()));
        self.tables.open_alone(tokens.len())?;
        self.forward_alone(tokens, 0)?;
        self.tables.close_alone();
        if let Some(census) = self.work.census.take() {
            self.decoder.use_census(&census);
        }
        self.clock = Clock::default();
        Ok(())
    }

    /// The logits that follow every one of `tokens`, read as one sequence, over the tokens that
    /// the head scores; minus infinity elsewhere. For measurements.
    pub fn logits(&mut self, tokens: &[TokenId]) -> Result<Vec<Vec<f32>>> {
        self.tables.open_alone(tokens.len())?;
        let mut logits = Vec::with_capacity(tokens.len());
        for (chunk, tokens) in tokens.chunks(self.rows_per_step).enumerate() {
            let start = chunk * self.rows_per_step;
            self.forward_alone(tokens, start)?;
            let rows: Vec<usize> = (0..tokens.len()).collect();
            logits.extend(self.head.logits(
                self.isa,
                &mut self.pool,
                &self.decoder,
                &mut self.work,
                &rows,
            ));
        }
        self.tables.close_alone();
        Ok(logits)
    }

    /// Keys, values and hidden states of `tokens`, which stand at `start` in the table that was
    /// opened alone.
    fn forward_alone(&mut self, tokens: &[TokenId], start: usize) -> Result<()> {
        let mut rows = Rows { tokens, ..Rows::default() };
        rows.add(self.tables.alone(), start, tokens.len(), self.decoder.window());
        forward(
            self.isa,
            &mut self.pool,
            &self.decoder,
            &mut self.kv,
            &rows,
            &mut self.work,
            &mut self.clock,
        )
    }
}

impl Workspace {
    /// Tells the census, if there is one, what a site of a layer is about to multiply.
    fn count(&mut self, layer: usize, site: Site) {
        if let Some(census) = &mut self.census {
            let down = site == Site::Down;
            census.count(layer, site, if down { &self.gated } else { &self.input });
        }
    }
}

impl<'a> Rows<'a> {
    /// Adds `count` rows of a sequence from `start` on, whose pages are `table`.
    fn add(
        &mut self,
        table: &'a [crate::kernels::attention::PageId],
        start: usize,
        count: usize,
        window: Option<usize>,
    ) {
        for position in start..start + count {
            self.positions.push(position);
            self.places.push(cache::place(table, position));
            self.global.push(Query { pages: table, first: 0, position });
            let first = window.map_or(0, |window| (position + 1).saturating_sub(window));
            self.sliding.push(Query { pages: table, first, position });
        }
    }
}

impl Engine for CpuEngine {
    fn set_prefix(&mut self, tokens: &[TokenId]) -> Result<()> {
        self.tables.forget_prefix();
        self.tables.open_alone(tokens.len())?;
        for (chunk, part) in tokens.chunks(self.rows_per_step).enumerate() {
            self.forward_alone(part, chunk * self.rows_per_step)?;
        }
        self.tables.keep_as_prefix(tokens.len());
        Ok(())
    }

    fn step(&mut self, batch: &Batch<'_>) -> Result<Vec<TokenId>> {
        for &slot in &batch.closed {
            self.tables.close(slot);
            self.head.close(slot);
        }
        for span in &batch.spans {
            if span.start == span.prefix_len {
                self.tables.open(span.slot, span.capacity, span.prefix_len, &mut self.kv)?;
                self.head.open(span.slot);
            }
            self.tables.grow(span.slot, span.start + span.rows.len());
            self.head.allow(&mut self.pool, span.slot, &batch.tokens[span.rows.clone()])?;
        }
        let mut rows = Rows { tokens: &batch.tokens, ..Rows::default() };
        for span in &batch.spans {
            let table = self.tables.of(span.slot);
            rows.add(table, span.start, span.rows.len(), self.decoder.window());
        }
        forward(
            self.isa,
            &mut self.pool,
            &self.decoder,
            &mut self.kv,
            &rows,
            &mut self.work,
            &mut self.clock,
        )?;
        let picked = self.head.pick(
            self.isa,
            &mut self.pool,
            &self.decoder,
            &mut self.work,
            batch.sampling(),
        );
        self.clock.lap(Phase::Head);
        Ok(picked)
    }

    fn profile(&self) -> Option<Profile> {
        Some(self.clock.profile())
    }

    fn misses(&self) -> Option<Misses> {
        self.head.misses()
    }
}

/// All layers over the rows of a step; leaves the residual stream in `work.hidden`.
fn forward(
    isa: Isa,
    pool: &mut Pool,
    decoder: &Decoder,
    kv: &mut PagePool,
    rows: &Rows<'_>,
    work: &mut Workspace,
    clock: &mut Clock,
) -> Result<()> {
    clock.start();
    decoder.embed(rows.tokens, &mut work.hidden)?;
    let mut update: Option<&decoder::Layer> = None;
    for (index, layer) in decoder.layers().iter().enumerate() {
        let before = update.map(|layer| (&work.product, layer.post_ffn_norm()));
        let next = Some((layer.attn_norm(), layer.grain(Site::Qkv), &mut work.input));
        rows::add_and_norm(isa, pool, &mut work.hidden, before, next);
        clock.lap(Phase::Norm);
        layer.attention(isa, pool, decoder, index, kv, rows, work, clock);
        let before = Some((&work.product, layer.post_attention_norm()));
        let next = Some((layer.ffn_norm(), layer.grain(Site::GateUp), &mut work.input));
        rows::add_and_norm(isa, pool, &mut work.hidden, before, next);
        clock.lap(Phase::Norm);
        layer.feed_forward(isa, pool, index, work, clock);
        update = Some(layer);
    }
    let before = update.map(|layer| (&work.product, layer.post_ffn_norm()));
    rows::add_and_norm(isa, pool, &mut work.hidden, before, None);
    clock.lap(Phase::Norm);
    Ok(())
}

fn unfit(message: String) -> Error {
    Error::new(ErrorKind::Model, message).hint("use `--engine candle` for this model")
}
