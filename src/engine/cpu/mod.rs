//! Our own engine for the CPU: batched steps over int8 weights and paged keys and values.
//!
//! A step is a sequence of phases, each shared by all threads: for every layer norm, query-key-
//! value product, rotation, attention, output product, norm, gate and up product, down product;
//! then the head for the rows that sample; the others end behind the last layer's keys and values.
//! All rows of a step, whichever sequences they belong to and whether they are prompt or text, go
//! through the products together; each weight is read once a step. Or, where there are rows enough,
//! each thread takes a part of them through all layers (`plan`).
//!
//! What a sequence writes depends on nothing but its own tokens: every kernel computes a row in
//! one fixed order ([`crate::kernels`]), so batch, neighbours, chunks and threads change nothing.
//!
//! Memory is bounded when the engine is made: weights at one byte and an eighth to a third a parameter
//! ([`packed_bytes`]), whatever the file has, the embedding remaining there, and pages for all positions
//! that the limits allow, of which those are taken that sequences hold. Once its buffers have grown, a
//! step allocates the list of tokens that it returns, and what [sampling](crate::generate::next_token)
//! and guards make where the highest logit does not decide.

mod calibration;
mod decoder;
mod head;
mod matrix;
mod page_tables;
mod plan;
mod profile;
mod rows;
mod team;
mod vocabulary;

use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::context;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::{Batch, Engine, Limits, Misses, Picked, Profile, TokenId};
use crate::kernels::Isa;
use crate::kernels::attention::{PagePool, PageShape};
use crate::model::Model;
use crate::shortlist::Shortlist;

pub use calibration::int14_share;
pub use decoder::check_shape;
pub use plan::{Costs, least_rows};

use calibration::Calibration;
use decoder::Decoder;
use head::Head;
use page_tables::PageTables;
use plan::{Plan, Planner};
use profile::{Clock, Phase};
use rows::Rows;
use team::Team;

/// What an engine is made for.
#[derive(Debug, Clone)]
pub struct CpuSettings<'a> {
    /// Threads; at least one.
    pub threads: usize,
    /// What the scheduler is bounded by: it decides the memory for keys and values.
    pub limits: Limits,
    /// Tokens that the head is restricted to, with those of each request's own prompt.
    pub shortlist: Option<&'a Shortlist>,
    /// Score the whole vocabulary all the same, and count choices outside the shortlist.
    pub full_vocabulary: bool,
}

/// Bytes that the weights of `model` take at most once they are packed, with a head of `scored` tokens.
///
/// # Errors
/// [`ErrorKind::Model`] where the model has a type that the kernels do not take.
pub fn packed_bytes(model: &Model, scored: usize) -> Result<u64> {
    let weights = model.weights();
    let head = weights.output.as_ref().unwrap_or(&weights.token_embedding);
    let mut bytes = matrix::packed_bytes(head, scored)?;
    for (_, matrix) in weights.layers.iter().flat_map(|layer| layer.matrices()) {
        bytes += matrix::packed_bytes(matrix, matrix::shape(matrix)?.0)?;
    }
    Ok(bytes)
}

/// A decoder on this machine's processor.
pub struct CpuEngine {
    decoder: Decoder,
    head: Head,
    kv: PagePool,
    tables: PageTables,
    rows_per_step: usize,
    max_context: usize,
    planner: Planner,
    rows: Rows,
    /// Of each span of a step that samples the part that its last row is in, and which one it is of
    /// those that are wanted there.
    last_rows: Vec<(usize, usize)>,
    /// All threads together.
    all: Team,
    /// Each by itself.
    single: Vec<Mutex<Team>>,
}

impl CpuEngine {
    /// Packs the weights of `model` and reserves the memory for keys and values.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where the instruction set asked for is not here, [`ErrorKind::Model`]
    /// where the model has a shape that the kernels do not take, and [`ErrorKind::Engine`] where
    /// there is no memory for keys and values.
    pub fn new(model: &Model, settings: &CpuSettings<'_>) -> Result<CpuEngine> {
        CpuEngine::with_isa(model, settings, Isa::detect()?)
    }

    /// The same for an instruction set that is not left to the environment.
    ///
    /// # Errors
    /// As [`CpuEngine::new`], for models and memory.
    pub fn with_isa(model: &Model, settings: &CpuSettings<'_>, isa: Isa) -> Result<CpuEngine> {
        let mut all = Team::new(isa, settings.threads.max(1));
        let threads = all.exec.pool.threads();
        let config = model.config();
        let shape = PageShape {
            layers: config.layers.len(),
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
        };
        let decoder = Decoder::new(model, settings.limits.max_context, &mut all.exec)?;
        let head = Head::new(model, settings.shortlist, settings.full_vocabulary, &mut all.exec)?;
        let pages = PageTables::pages_for(&settings.limits);
        PagePool::check_room(shape, pages).map_err(|cause| {
            let message = format!("there is no memory for {pages} pages of keys and values");
            Error::new(ErrorKind::Engine, message)
                .because(cause)
                .hint("take a smaller --batch, or a smaller model")
        })?;
        let mut engine = CpuEngine {
            planner: Planner::new(threads, decoder.costs()),
            decoder,
            head,
            kv: PagePool::new(shape, pages),
            tables: PageTables::new(pages),
            rows_per_step: settings.limits.rows_per_step,
            max_context: settings.limits.max_context,
            rows: Rows::default(),
            last_rows: Vec::new(),
            all,
            single: (0..threads).map(|_| Mutex::new(Team::new(isa, 1))).collect(),
        };
        engine.calibrate(model, settings.limits.max_context)?;
        Ok(engine)
    }

    /// Finds out where activations are large, and rounds them more finely there.
    fn calibrate(&mut self, model: &Model, max_context: usize) -> Result<()> {
        let tokenizer = model.tokenizer();
        let beginning = tokenizer.bos().filter(|_| tokenizer.add_bos());
        let text = tokenizer.encode(calibration::TEXT);
        let tokens: Vec<TokenId> = beginning.into_iter().chain(text).collect();
        let tokens = &tokens[..tokens.len().min(calibration::TOKENS).min(max_context)];
        if tokens.is_empty() {
            return Err(matrix::unfit("a vocabulary without a token for any word".into()));
        }
        self.all.work.calibration = Some(Calibration::new(self.decoder.layers()));
        self.tables.open_scratch(tokens.len())?;
        self.forward_scratch(tokens, 0, 0)?;
        self.tables.close_scratch();
        if let Some(calibration) = self.all.work.calibration.take() {
            self.decoder.set_precision(&calibration, model.is_equalised());
        }
        self.all.clock = Clock::default();
        Ok(())
    }

    /// The logits that follow every one of `tokens`, read as one sequence, over the tokens that
    /// the head scores; minus infinity elsewhere. For measurements.
    pub fn logits(&mut self, tokens: &[TokenId]) -> Result<Vec<Vec<f32>>> {
        context::check(tokens, self.max_context)?;
        self.tables.open_scratch(tokens.len())?;
        let mut logits = Vec::with_capacity(tokens.len());
        for (chunk, tokens) in tokens.chunks(self.rows_per_step).enumerate() {
            self.forward_scratch(tokens, chunk * self.rows_per_step, 0)?;
            self.head.clear();
            self.head.add_row(&self.all.work.hidden);
            logits.extend(self.head.logits(&mut self.all.exec, self.decoder.output_norm()));
        }
        self.tables.close_scratch();
        Ok(logits)
    }

    /// Keys and values of `tokens`, which stand at `start` in the scratch sequence, and the hidden
    /// states of those from number `wanted` on.
    fn forward_scratch(&mut self, tokens: &[TokenId], start: usize, wanted: usize) -> Result<()> {
        self.rows.clear();
        self.rows.add(tokens, self.tables.scratch(), start, self.decoder.window(), wanted);
        self.rows.end_part();
        self.forward_together()
    }

    /// Takes all rows, which are one part, through the layers on all threads.
    fn forward_together(&mut self) -> Result<()> {
        let mut kv = self.kv.lend_whole(self.rows.places());
        self.decoder.forward(&mut self.all, &mut kv, &self.rows.part(0))
    }

    /// Takes each part of the rows through all layers, on a thread of its own.
    fn forward_apart(&mut self) -> Result<()> {
        let CpuEngine { decoder, kv, rows, all, single, planner, .. } = self;
        let parts = rows.parts().len();
        let lent = kv.lend(rows.places(), rows.parts());
        let outcome = Mutex::new(Ok(()));
        all.exec.pool.run(parts, |_, part| {
            let begin = Instant::now();
            let team = &mut *lock(&single[part]);
            let forward = decoder.forward(team, &mut lent.share(part), &rows.part(part));
            team.took = begin.elapsed();
            if forward.is_err() {
                *lock(&outcome) = forward;
            }
        });
        for team in single.iter_mut() {
            let team = team.get_mut().unwrap_or_else(PoisonError::into_inner);
            all.clock.absorb(&mut team.clock, parts as u32);
        }
        planner.learn(single[..parts].iter().map(|team| lock(team).took));
        outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes and opens slots as `batch` says, and makes room for its rows.
    fn open_slots(&mut self, batch: &Batch<'_>) -> Result<()> {
        for &slot in &batch.closed {
            self.tables.close(slot);
        }
        let exec = &mut self.all.exec;
        for fork in &batch.forks {
            self.tables.fork(fork, &mut self.kv)?;
            self.head.fork(fork.from, fork.to);
        }
        for span in &batch.spans {
            if span.start == span.prefix_len {
                self.tables.open(span.slot, span.capacity, span.prefix_len, &mut self.kv)?;
                self.head.open(exec, span.slot);
            }
            self.tables.grow(span.slot, span.start + span.rows.len());
            self.head.allow(exec, span.slot, &batch.tokens[span.rows.clone()])?;
        }
        Ok(())
    }

    /// Sets the rows of `batch` up, part by part; whether the parts are computed apart.
    fn plan(&mut self, batch: &Batch<'_>) -> bool {
        let CpuEngine { tables, rows, last_rows, planner, decoder, .. } = self;
        rows.clear();
        last_rows.clear();
        last_rows.resize(batch.spans.len(), (0, 0));
        let mut add = |rows: &mut Rows, index: usize, of_span: Range<usize>| {
            let span = &batch.spans[index];
            let tokens = &batch.tokens[span.rows.clone()][of_span.clone()];
            let (table, start) = (tables.of(span.slot), span.start + of_span.start);
            let is_wanted = span.sample.is_some() && of_span.end == span.rows.len();
            let wanted = tokens.len() - usize::from(is_wanted);
            rows.add(tokens, table, start, decoder.window(), wanted);
            if is_wanted {
                last_rows[index] = rows.last_wanted();
            }
        };
        match planner.plan(&batch.spans) {
            Plan::Together => {
                for (index, span) in batch.spans.iter().enumerate() {
                    add(rows, index, 0..span.rows.len());
                }
                rows.end_part();
                false
            }
            Plan::Apart(parts) => {
                for part in parts {
                    part.iter().for_each(|segment| add(rows, segment.span, segment.rows.clone()));
                    rows.end_part();
                }
                true
            }
        }
    }
}

/// A task that panics takes its step along, so nobody sees what it left behind.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine for CpuEngine {
    fn set_prefix(&mut self, tokens: &[TokenId]) -> Result<()> {
        context::check(tokens, self.max_context)?;
        self.tables.clear();
        self.tables.open_scratch(tokens.len())?;
        for (chunk, part) in tokens.chunks(self.rows_per_step).enumerate() {
            self.forward_scratch(part, chunk * self.rows_per_step, part.len())?;
        }
        self.tables.keep_as_prefix();
        Ok(())
    }

    fn step(&mut self, batch: &Batch<'_>) -> Result<Vec<Picked>> {
        self.open_slots(batch)?;
        let apart = self.plan(batch);
        if apart { self.forward_apart() } else { self.forward_together() }?;
        let CpuEngine { decoder, head, all, single, last_rows, .. } = self;
        all.clock.start();
        head.clear();
        let sampling = batch.spans.iter().zip(last_rows).filter(|(span, _)| span.sample.is_some());
        for (_, (part, row)) in sampling {
            let of_row = *row * decoder.hidden()..(*row + 1) * decoder.hidden();
            match apart {
                true => head.add_row(&lock(&single[*part]).work.hidden[of_row]),
                false => head.add_row(&all.work.hidden[of_row]),
            }
        }
        let picked = head.pick(&mut all.exec, decoder.output_norm(), batch);
        all.clock.lap(Phase::Head);
        Ok(picked)
    }

    fn searches_beams(&self) -> bool {
        true
    }

    fn profile(&self) -> Option<Profile> {
        Some(self.all.clock.profile())
    }

    fn misses(&self) -> Option<Misses> {
        self.head.misses()
    }
}
