//! Our own engine for the CPU: batched steps over int8 weights and paged keys and values.
//!
//! A step is a sequence of phases, each shared by all threads: for every layer norm, query-key-
//! value product, rotation, attention, output product, norm, gate and up product, down product;
//! then the head for the rows that sample. All rows of a step, whichever sequences they belong to
//! and whether they are prompt or text, go through the products together; each weight is read
//! once a step. Or, where there are rows enough, each thread takes a part of them through all
//! layers (`plan`).
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
mod plan;
mod profile;
mod vocabulary;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::generate::{Batch, Engine, Limits, Misses, Profile, TokenId};
use crate::kernels::attention::{
    AttentionScratch, PageId, PagePool, PageShape, PageShare, Query, RowPlace,
};
use crate::kernels::gemm::Scratch;
use crate::kernels::rows::{self, Norm};
use crate::kernels::{Grain, Isa, Pool, Quantized, Tiled};
use crate::model::Model;
use crate::shortlist::Shortlist;
use crate::{Error, Result, error::ErrorKind};

use cache::Tables;
use census::{Census, Site};
use decoder::Decoder;
use head::Head;
use plan::{Planner, Segment};
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
    decoder: Decoder,
    head: Head,
    kv: PagePool,
    tables: Tables,
    rows_per_step: usize,
    planner: Planner,
    /// The residual stream, (rows, hidden).
    hidden: Vec<f32>,
    /// All threads together.
    all: Crew,
    /// Each by itself.
    single: Vec<Crew>,
}

/// Threads that go through the layers together, and what they need for it.
struct Crew {
    pool: Pool,
    work: Workspace,
    clock: Clock,
}

/// Buffers that live from step to step, so that a step allocates nothing once they have grown.
#[derive(Default)]
struct Workspace {
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
    tokens: Vec<TokenId>,
    positions: Vec<usize>,
    places: Vec<RowPlace>,
    /// For layers that see everything, and for those with a window.
    global: Vec<Query<'a>>,
    sliding: Vec<Query<'a>>,
}

/// Those of a part, in the order of its [`PageShare`].
#[derive(Clone, Copy)]
struct PartRows<'a> {
    tokens: &'a [TokenId],
    positions: &'a [usize],
    global: &'a [Query<'a>],
    sliding: &'a [Query<'a>],
}

/// What the thread that computes a part takes.
struct Part<'a> {
    kv: PageShare<'a>,
    rows: PartRows<'a>,
    hidden: &'a mut [f32],
    crew: &'a mut Crew,
}

impl CpuEngine {
    /// Packs the weights of `model` and reserves the memory for keys and values.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where the instruction set asked for is not here, [`ErrorKind::Model`]
    /// where the model has a shape that the kernels do not take.
    pub fn new(model: &Model, settings: &CpuSettings<'_>) -> Result<CpuEngine> {
        let isa = Isa::detect()?;
        let threads = settings.threads.max(1);
        let mut all = Crew::new(threads);
        let config = model.config();
        let shape = PageShape {
            layers: config.layers.len(),
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
        };
        let decoder = Decoder::new(model, settings.limits.max_context, &mut all.pool)?;
        let head = Head::new(model, settings.shortlist, settings.full_vocabulary, &mut all.pool)?;
        let pages = Tables::pages_for(&settings.limits);
        let mut engine = CpuEngine {
            isa,
            planner: Planner::new(threads, decoder.costs()),
            decoder,
            head,
            kv: PagePool::new(shape, pages),
            tables: Tables::new(pages),
            rows_per_step: settings.limits.rows_per_step,
            hidden: Vec::new(),
            all,
            single: (0..threads).map(|_| Crew::new(1)).collect(),
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
        self.all.work.census = Some(Census::new(self.decoder.layers().len()));
        self.tables.open_alone(tokens.len())?;
        self.forward_alone(tokens, 0)?;
        self.tables.close_alone();
        if let Some(census) = self.all.work.census.take() {
            self.decoder.use_census(&census, model.is_equalised());
        }
        self.all.clock = Clock::default();
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
                &mut self.all.pool,
                &self.decoder,
                &self.hidden,
                &rows,
            ));
        }
        self.tables.close_alone();
        Ok(logits)
    }

    /// Keys, values and hidden states of `tokens`, which stand at `start` in the table that was
    /// opened alone.
    fn forward_alone(&mut self, tokens: &[TokenId], start: usize) -> Result<()> {
        let mut rows = Rows::default();
        rows.add(tokens, self.tables.alone(), start, self.decoder.window());
        self.hidden.resize(tokens.len() * self.decoder.hidden(), 0.0);
        let mut kv = self.kv.lend_whole(&rows.places);
        let part = rows.part(0..tokens.len());
        forward(self.isa, &mut self.all, &self.decoder, &mut kv, &part, &mut self.hidden)
    }

    /// Takes each part of `rows`, which end at `ends`, through all layers, on a thread of its own.
    fn forward_apart(&mut self, rows: &Rows<'_>, ends: &[usize]) -> Result<()> {
        let CpuEngine { isa, decoder, kv, hidden, all, single, .. } = self;
        let starts = || [0].into_iter().chain(ends.iter().copied());
        let ranges: Vec<Range<usize>> =
            starts().zip(ends).map(|(start, end)| start..*end).collect();
        let places: Vec<_> = ranges.iter().map(|range| &rows.places[range.clone()]).collect();
        let mut hidden = &mut hidden[..];
        let mut parts = Vec::with_capacity(ends.len());
        for ((range, kv), crew) in ranges.into_iter().zip(kv.lend(&places)).zip(single.iter_mut()) {
            let (own, rest) = hidden.split_at_mut(range.len() * decoder.hidden());
            hidden = rest;
            parts.push(Mutex::new(Some(Part { kv, rows: rows.part(range), hidden: own, crew })));
        }
        let outcomes = Mutex::new(Vec::with_capacity(ends.len()));
        all.pool.run(parts.len(), |_, part| {
            let begin = Instant::now();
            let part = lock(&parts[part]).take();
            let Part { mut kv, rows, hidden, crew } = part.expect("a task is done once");
            let outcome = forward(*isa, crew, decoder, &mut kv, &rows, hidden);
            lock(&outcomes).push((outcome, begin.elapsed()));
        });
        drop(parts);
        for crew in single.iter_mut() {
            all.clock.absorb(&mut crew.clock, ends.len() as u32);
        }
        let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        let took: Vec<Duration> = outcomes.iter().map(|(_, took)| *took).collect();
        self.planner.learn(&took);
        outcomes.into_iter().try_for_each(|(outcome, _)| outcome)
    }
}

impl Crew {
    fn new(threads: usize) -> Crew {
        Crew { pool: Pool::new(threads), work: Workspace::default(), clock: Clock::default() }
    }

    /// Adds the last product to the residual stream, through the norm that `before` has, and puts
    /// the normed sum where the next product takes it from.
    fn add_and_norm(
        &mut self,
        isa: Isa,
        hidden: &mut [f32],
        before: Option<Option<Norm<'_>>>,
        next: Option<(Norm<'_>, &Arc<Grain>)>,
    ) {
        let Crew { pool, work, clock } = self;
        let update = before.map(|norm| (&work.product, norm));
        let next = next.map(|(norm, grain)| (norm, grain, &mut work.input));
        rows::add_and_norm(isa, pool, hidden, update, next);
        clock.lap(Phase::Norm);
    }
}

/// A task that panics takes its step along, so nobody sees what it left behind.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// Adds `tokens` of a sequence from position `start` on, whose pages are `table`.
    fn add(
        &mut self,
        tokens: &[TokenId],
        table: &'a [PageId],
        start: usize,
        window: Option<usize>,
    ) {
        self.tokens.extend_from_slice(tokens);
        for position in start..start + tokens.len() {
            self.positions.push(position);
            self.places.push(cache::place(table, position));
            self.global.push(Query { pages: table, first: 0, position });
            let first = window.map_or(0, |window| (position + 1).saturating_sub(window));
            self.sliding.push(Query { pages: table, first, position });
        }
    }

    fn part(&self, range: Range<usize>) -> PartRows<'_> {
        PartRows {
            tokens: &self.tokens[range.clone()],
            positions: &self.positions[range.clone()],
            global: &self.global[range.clone()],
            sliding: &self.sliding[range],
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
            self.head.allow(&mut self.all.pool, span.slot, &batch.tokens[span.rows.clone()])?;
        }
        let plan = self.planner.plan(&batch.spans);
        let (mut rows, mut ends) = (Rows::default(), Vec::with_capacity(plan.len()));
        // Of each span the row that its last one is computed as.
        let mut last_rows = vec![0; batch.spans.len()];
        // Taken out, so that rows can borrow them while the engine is at work.
        let tables = std::mem::take(&mut self.tables);
        for part in &plan {
            for Segment { span, rows: of_span } in part {
                let of = &batch.spans[*span];
                let tokens = &batch.tokens[of.rows.clone()][of_span.clone()];
                let start = of.start + of_span.start;
                rows.add(tokens, tables.of(of.slot), start, self.decoder.window());
                last_rows[*span] = rows.tokens.len() - 1;
            }
            ends.push(rows.tokens.len());
        }
        self.hidden.resize(rows.tokens.len() * self.decoder.hidden(), 0.0);
        let done = if ends.len() > 1 {
            self.forward_apart(&rows, &ends)
        } else {
            let mut kv = self.kv.lend_whole(&rows.places);
            let part = rows.part(0..rows.tokens.len());
            forward(self.isa, &mut self.all, &self.decoder, &mut kv, &part, &mut self.hidden)
        };
        drop(rows);
        self.tables = tables;
        done?;
        self.all.clock.start();
        let sampling = batch.spans.iter().zip(last_rows).filter(|(span, _)| span.sample.is_some());
        let last_rows: Vec<usize> = sampling.map(|(_, row)| row).collect();
        let picked = self.head.pick(
            self.isa,
            &mut self.all.pool,
            &self.decoder,
            &self.hidden,
            batch.sampling(),
            &last_rows,
        );
        self.all.clock.lap(Phase::Head);
        Ok(picked)
    }

    fn profile(&self) -> Option<Profile> {
        Some(self.all.clock.profile())
    }

    fn misses(&self) -> Option<Misses> {
        self.head.misses()
    }
}

/// All layers over the rows of a part of a step; leaves their residual stream in `hidden`.
fn forward(
    isa: Isa,
    crew: &mut Crew,
    decoder: &Decoder,
    kv: &mut PageShare<'_>,
    rows: &PartRows<'_>,
    hidden: &mut [f32],
) -> Result<()> {
    crew.clock.start();
    decoder.embed(rows.tokens, hidden)?;
    let mut update: Option<&decoder::Layer> = None;
    for (index, layer) in decoder.layers().iter().enumerate() {
        let before = update.map(|layer| layer.post_ffn_norm());
        crew.add_and_norm(isa, hidden, before, Some((layer.attn_norm(), layer.grain(Site::Qkv))));
        layer.attention(isa, crew, decoder, index, kv, rows);
        let before = Some(layer.post_attention_norm());
        crew.add_and_norm(isa, hidden, before, Some((layer.ffn_norm(), layer.grain(Site::GateUp))));
        layer.feed_forward(isa, crew, index);
        update = Some(layer);
    }
    crew.add_and_norm(isa, hidden, update.map(|layer| layer.post_ffn_norm()), None);
    Ok(())
}

fn unfit(message: String) -> Error {
    Error::new(ErrorKind::Model, message).hint("use `--engine candle` for this model")
}
