//! Attention of one position's heads to the keys and values before it.
//!
//! The query heads that share a KV head are computed together, up to six at a time, since that
//! is what makes the work multiply-adds instead of loads: scores of all keys, softmax with the
//! largest score taken off, then the mixture of the values. Queries are integers like keys, and
//! weights are rounded to bf16 like values, so that two multiply-adds are done at a time where the
//! processor can. Every number is built in one order that depends on positions alone: a score is an
//! exact sum, a dimension of the result adds its positions in ascending order, each by fused
//! multiply-adds into one f32; `softmax` fixes the order of the sum of weights. So a row's result
//! is the same bits however its sequence was chunked, whoever shares its pages, on any number of
//! threads and on every instruction set.
//!
//! Left out: a shared prefix is read by every row anew. Merging it by log-sum-exp would save
//! loads, and would tie results to where prefixes end.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
mod bf16;
mod int16;
mod kernel;
mod layout;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pages;
mod scalar;
mod share;
mod softmax;
pub(super) mod unit;
pub(super) mod writer;

use std::ops::Range;

use super::Executor;
use super::disjoint::Disjoint;
pub use layout::{PAGE, PageId, PageShape, RowPlace};
pub use pages::PagePool;
pub use share::{Lent, PageShare};
pub use unit::Query;
use unit::{Blocks, MOST_HEADS, Unit};

/// Query heads that may share a KV head.
pub const MAX_GROUP: usize = 16;

/// Multiply-adds of a task: some 15 microseconds, a hundred times the cost of taking one.
const TASK_MACS: usize = 1 << 20;

/// The rows that attend, and the pages of their sequences.
#[derive(Debug, Clone, Copy)]
pub struct Queries<'a> {
    /// One a row.
    pub rows: &'a [Query],
    /// The page tables of all sequences, one behind another.
    pub tables: &'a [PageId],
}

/// Memory that calls of [`attend`] share; it grows to the longest context and stays.
#[derive(Debug, Default)]
pub struct AttentionScratch {
    /// For each worker the scores of the heads of a turn, `[pages][heads][64]`.
    scores: Vec<f32>,
    /// For each worker the queries of these heads, or their weights of a page, in words.
    words: Vec<u32>,
    /// For each task its units: row times KV head.
    tasks: Vec<Range<usize>>,
}

/// Attends from query rows to the positions that each names, in layer `layer`.
///
/// `q` and `out` are row-major (rows, heads · head_dim); `q` is already scaled. Heads
/// h · n .. (h + 1) · n share KV head h, n being their number over that of the KV heads.
/// Keys and values of other positions do not matter, even where they are no numbers.
///
/// # Panics
/// When the sizes disagree, more than 16 query heads share a KV head, `layer` or a page does not
/// exist, a query's positions are empty or beyond its pages, or a later part of the step writes
/// one of these.
pub fn attend(
    exec: &mut Executor,
    kv: &PageShare<'_>,
    layer: usize,
    queries: Queries<'_>,
    q: &[f32],
    scratch: &mut AttentionScratch,
    out: &mut [f32],
) {
    if queries.rows.is_empty() {
        return;
    }
    let phase = Phase::new(kv, layer, queries, q, out.len());
    let read = queries.rows.iter().flat_map(|query| query.table(queries.tables)).copied();
    let _turn = kv.turn(layer, read);
    phase.run(exec, scratch, out);
}

/// A checked call of [`attend`]; a unit is a row and a KV head, counted row by row.
struct Phase<'a> {
    kv: &'a PageShare<'a>,
    layer: usize,
    queries: Queries<'a>,
    q: &'a [f32],
    /// Values of a unit: its query heads times head_dim.
    width: usize,
}

impl<'a> Phase<'a> {
    fn new(
        kv: &'a PageShare<'a>,
        layer: usize,
        queries: Queries<'a>,
        q: &'a [f32],
        out: usize,
    ) -> Phase<'a> {
        let PageShape { layers, kv_heads, head_dim } = kv.shape();
        let rows = queries.rows.len();
        assert!(layer < layers, "layer {layer} of {layers}");
        assert!(q.len() == out, "queries of {} values, results of {out}", q.len());
        let width = q.len() / (rows * kv_heads);
        assert!(
            q.len() == width * rows * kv_heads && width.is_multiple_of(head_dim),
            "{} values are no heads of {rows} rows",
            q.len()
        );
        assert!((1..=MAX_GROUP).contains(&(width / head_dim)), "{} heads share", width / head_dim);
        for Query { first, position, pages } in queries.rows {
            assert!(first <= position, "positions {first} to {position}");
            assert!(position / PAGE < pages.len(), "position {position}, {} pages", pages.len());
        }
        Phase { kv, layer, queries, q, width }
    }

    fn run(&self, exec: &mut Executor, scratch: &mut AttentionScratch, out: &mut [f32]) {
        let AttentionScratch { scores, words, tasks } = scratch;
        let Queries { rows, tables } = self.queries;
        self.split(tasks);
        let pages = rows.iter().map(|query| query.table(tables).len()).max().unwrap_or(0);
        let (kernel, threads) = (exec.isa.attention, exec.pool.threads());
        let room = pages * MOST_HEADS * PAGE;
        if scores.len() < threads * room {
            scores.resize(threads * room, 0.0);
        }
        let room_words = MOST_HEADS * self.kv.shape().head_dim.max(PAGE) / 2;
        words.resize(threads * room_words, 0);
        let (scores, words) = (Disjoint::new(scores), Disjoint::new(words));
        let out = Disjoint::new(out);
        exec.pool.run(tasks.len(), |worker, task| {
            // SAFETY: calls with the same worker never overlap.
            let scores = unsafe { scores.part(worker * room..(worker + 1) * room) };
            // SAFETY: as above.
            let words = unsafe { words.part(worker * room_words..(worker + 1) * room_words) };
            for unit in tasks[task].clone() {
                // SAFETY: each unit is in one task, and no task runs twice.
                let out = unsafe { out.part(unit * self.width..(unit + 1) * self.width) };
                kernel.attend(&self.unit(unit), scores, words, out);
            }
        });
    }

    /// Neighbouring units make a task until it has [`TASK_MACS`].
    fn split(&self, tasks: &mut Vec<Range<usize>>) {
        tasks.clear();
        let (mut from, mut macs) = (0, 0);
        for unit in 0..self.units() {
            let Query { first, position, .. } = self.blocks(unit).0;
            macs += 2 * (position + 1 - first) * self.width;
            if macs >= TASK_MACS {
                tasks.push(from..unit + 1);
                (from, macs) = (unit + 1, 0);
            }
        }
        if from < self.units() {
            tasks.push(from..self.units());
        }
    }

    fn units(&self) -> usize {
        self.queries.rows.len() * self.kv.shape().kv_heads
    }

    fn unit(&self, unit: usize) -> Unit<'_> {
        let (query, blocks) = self.blocks(unit);
        let following = self.blocks((unit + 1).min(self.units() - 1)).1.keys(0);
        Unit { query, blocks, q: &self.q[unit * self.width..][..self.width], following }
    }

    /// A unit's query and what it attends to.
    fn blocks(&self, unit: usize) -> (&Query, Blocks<'_>) {
        let kv_heads = self.kv.shape().kv_heads;
        let query = &self.queries.rows[unit / kv_heads];
        let (kv, layer, kv_head) = (self.kv, self.layer, unit % kv_heads);
        (query, Blocks { kv, layer, kv_head, pages: query.table(self.queries.tables) })
    }
}
