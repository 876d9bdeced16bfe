//! How fast this processor is at a model's shapes: the engine's kernels, a few layers of made-up
//! weights, for a second or two.
//!
//! A step is computed as the engine does it: norms, int8 products, heads and their rotation,
//! attention to pages of keys and values, all rows on each thread apart where there are enough of
//! them. There are as many layers as make weights, keys and values larger than any cache, since a
//! real step finds none of them there either; the others would take as long.

mod layers;

use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::job::Job;
use crate::engine::cpu::{check_shape, least_rows};
use crate::error::Result;
use crate::kernels::attention::{PAGE, PageId, PagePool, PageShape, Query, RowPlace};
use crate::kernels::{Executor, Isa};
use crate::model::Shape;
use layers::{Lane, Layers};

/// Bytes that no cache of a processor holds for a few cores.
const BEYOND_CACHES: usize = 160 << 20;
/// For how long each of the two kinds of step is measured.
const PATIENCE: Duration = Duration::from_millis(800);
/// Fewest passes of each.
const PASSES: usize = 3;

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    /// Instruction set of the kernels.
    pub isa: Isa,
    /// Threads.
    pub threads: usize,
    /// Texts at a time.
    pub batch: usize,
    /// Seconds of a step that writes a token of each of them, the head included.
    pub step_s: f64,
    /// Seconds that a row of a prompt takes.
    pub prompt_row_s: f64,
}

/// Measures how fast `threads` threads are at `job`, with `batch` texts at a time of which
/// `scored` tokens are scored.
///
/// # Errors
/// Where the instruction set that the environment names is not here, or the kernels do not take the
/// model's shape.
pub fn measure(
    shape: &Shape,
    scored: usize,
    job: &Job,
    batch: usize,
    threads: usize,
) -> Result<Speed> {
    check_shape(&shape.config)?;
    let (isa, threads, batch) = (Isa::detect()?, threads.max(1), batch.max(1));
    let mut all = Executor::new(isa, threads);
    let threads = all.pool.threads();
    // In the middle of what is written, so that times of steps are those of their mean.
    let middle = job.prefix_tokens + job.prompt_tokens + job.written_tokens / 2;
    let context = middle.max(1);
    let parts = if batch < threads * least_rows(threads) { 1 } else { threads };
    let written = Rows::of_text(batch, context, parts);
    let prompts = Rows::of_prompts(threads, job.prompt_tokens.max(1), job.prefix_tokens);
    let bytes_of_tokens =
        shape.config.position_bytes() / shape.config.layers.len() * batch * context;
    let copies = BEYOND_CACHES.div_ceil(Layers::bytes_of_one(shape) + bytes_of_tokens);
    let copies = copies.clamp(1, shape.config.layers.len());
    let longest = context.max(job.prefix_tokens + job.prompt_tokens) + 1;
    let layers = Layers::new(shape, scored, copies, longest, &mut all);
    let share = shape.config.layers.len() as f64 / copies as f64;
    let (of_layers, of_head) = written.time(&layers, &mut all, true);
    let (of_prompts, _) = prompts.time(&layers, &mut all, false);
    Ok(Speed {
        isa,
        threads,
        batch,
        step_s: of_layers * share + of_head,
        prompt_row_s: of_prompts * share / prompts.positions.len() as f64,
    })
}

/// The rows of a step, and the pages that they attend to.
struct Rows {
    positions: Vec<usize>,
    places: Vec<RowPlace>,
    tables: Vec<PageId>,
    /// Of each row its pages in `tables`.
    pages: Vec<Range<usize>>,
    /// Rows that a thread takes through all layers by itself; one part is for all threads together.
    parts: Vec<Range<usize>>,
}

impl Rows {
    /// A row of each of `batch` sequences, `context` positions each, in `parts` parts.
    fn of_text(batch: usize, context: usize, parts: usize) -> Rows {
        Rows::new(
            (0..batch).map(|sequence| (sequence, context - 1)),
            context,
            batch.div_ceil(parts),
        )
    }

    /// A prompt for each of `threads` threads.
    fn of_prompts(threads: usize, tokens: usize, prefix: usize) -> Rows {
        let rows = (0..threads).flat_map(|sequence| {
            (prefix..prefix + tokens).map(move |position| (sequence, position))
        });
        Rows::new(rows, prefix + tokens, tokens)
    }

    /// Rows as (sequence, position), `part` of them a part.
    fn new(rows: impl Iterator<Item = (usize, usize)>, context: usize, part: usize) -> Rows {
        let each = context.div_ceil(PAGE);
        let rows: Vec<(usize, usize)> = rows.collect();
        let sequences = rows.last().map_or(0, |(sequence, _)| sequence + 1);
        let page =
            |sequence: usize, position: usize| PageId((sequence * each + position / PAGE) as u32);
        let place = |&(sequence, position): &(usize, usize)| RowPlace {
            page: page(sequence, position),
            offset: position % PAGE,
        };
        let count = rows.len();
        Rows {
            positions: rows.iter().map(|(_, position)| *position).collect(),
            places: rows.iter().map(place).collect(),
            tables: (0..(sequences * each) as u32).map(PageId).collect(),
            pages: rows
                .iter()
                .map(|(sequence, _)| sequence * each..(sequence + 1) * each)
                .collect(),
            parts: (0..count).step_by(part).map(|at| at..count.min(at + part)).collect(),
        }
    }

    /// What each row attends to in a layer with that window.
    fn queries(&self, window: Option<usize>) -> Vec<Query> {
        let query = |(position, pages): (&usize, &Range<usize>)| Query {
            pages: pages.clone(),
            first: window.map_or(0, |window| (position + 1).saturating_sub(window)),
            position: *position,
        };
        self.positions.iter().zip(&self.pages).map(query).collect()
    }

    /// Pages with something in all of them, so that they come from memory of their own.
    fn pool(&self, shape: PageShape) -> PagePool {
        let mut pool = PagePool::new(shape, self.tables.len());
        let key: Vec<f32> = (0..shape.head_dim).map(|dim| (dim as f32).sin()).collect();
        for (offset, layer) in
            (0..PAGE).flat_map(|at| (0..shape.layers).map(move |layer| (at, layer)))
        {
            for head in 0..shape.kv_heads {
                pool.write(RowPlace { page: PageId(0), offset }, layer, head, &key, &key);
            }
        }
        self.tables[1..].iter().for_each(|page| pool.copy_page(PageId(0), *page));
        pool
    }

    /// Seconds that the layers take for all rows, and the head where it `scores`: medians.
    fn time(&self, layers: &Layers, all: &mut Executor, scores: bool) -> (f64, f64) {
        let mut pool = self.pool(layers.page_shape());
        let queries = layers.windows().map(|window| self.queries(window));
        let lane_threads = if self.parts.len() > 1 { 1 } else { all.pool.threads() };
        let lanes: Vec<Mutex<Lane>> = self
            .parts
            .iter()
            .map(|rows| Mutex::new(layers.lane(all.isa, lane_threads, rows.len())))
            .collect();
        let (mut of_layers, mut of_head) = (Vec::new(), Vec::new());
        let begin = Instant::now();
        // The first pass warms up: buffers grow, and cores wake.
        while of_layers.len() <= PASSES || begin.elapsed() < PATIENCE {
            let start = Instant::now();
            let lent = pool.lend(&self.places, &self.parts);
            let pass = |_, part: usize| {
                let lane = &mut *lanes[part].lock().unwrap_or_else(PoisonError::into_inner);
                let (rows, share) = (self.parts[part].clone(), &mut lent.share(part));
                layers.forward(lane, share, &self.positions[rows.clone()], &|local| {
                    (&queries[usize::from(local)][rows.clone()], &self.tables[..])
                });
            };
            match self.parts.len() {
                1 => pass(0, 0),
                parts => all.pool.run(parts, pass),
            }
            of_layers.push(start.elapsed().as_secs_f64());
            if scores {
                let start = Instant::now();
                layers.score(all, self.positions.len());
                of_head.push(start.elapsed().as_secs_f64());
            }
        }
        (median(&mut of_layers[1..]), median(of_head.get_mut(1..).unwrap_or_default()))
    }
}

/// The middle of `times`; 0 where there are none.
fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
