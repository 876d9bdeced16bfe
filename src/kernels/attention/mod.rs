//! Attention of one position's heads to the keys and values before it.
//!
//! The query heads that share a KV head are computed together, up to four at a time, since that
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
mod bf16;
mod levels;
mod pages;
mod scalar;
mod share;
mod softmax;

use std::ops::Range;

use super::BLOCK;
use super::disjoint::Disjoint;
use super::isa::Isa;
use super::lanes::Lanes;
use super::pool::Pool;
use levels::levels_of;
pub use pages::{PAGE, PageId, PagePool, PageShape, RowPlace};
use pages::{PANEL, rounded, scales};
pub use share::PageShare;
pub(super) use share::PageWriter;

/// Query heads that a kernel computes at once: with 64 keys, 16 of AVX-512's 32 registers.
const HEADS: usize = 4;

/// Query heads that may share a KV head.
const MAX_GROUP: usize = 16;

/// Multiply-adds of a task: some 15 microseconds, a hundred times the cost of taking one.
const TASK_MACS: usize = 1 << 20;

/// One row: the query heads of a position of a sequence.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The sequence's pages: position p lies in `pages[p / 64]` at p mod 64.
    pub pages: &'a [PageId],
    /// The first position it attends to.
    pub first: usize,
    /// Its own position, the last it attends to.
    pub position: usize,
}

/// Memory that calls of [`attend`] share; it grows to the longest context and stays.
#[derive(Debug, Default)]
pub struct AttentionScratch {
    /// For each worker the scores of four heads, `[pages][heads][64]`.
    scores: Vec<f32>,
    /// For each worker the queries of four heads, or their weights of a page, in words.
    words: Vec<u32>,
    /// For each task its units: row times KV head.
    tasks: Vec<Range<usize>>,
}

/// Attends from `rows` query rows to the positions that each names, in layer `layer`.
///
/// `q` and `out` are row-major (rows, heads · head_dim); `q` is already scaled. Heads
/// h · n .. (h + 1) · n share KV head h, n being their number over that of the KV heads.
/// Keys and values of other positions do not matter, even where they are no numbers.
///
/// # Panics
/// When the sizes disagree, more than 16 query heads share a KV head, `layer` or a page does not
/// exist, a query's positions are empty or beyond its pages, or a later part of the step writes
/// one of these.
#[expect(clippy::too_many_arguments, reason = "each is a different thing that the caller owns")]
pub fn attend(
    isa: Isa,
    pool: &mut Pool,
    kv: &PageShare<'_>,
    layer: usize,
    queries: &[Query],
    q: &[f32],
    scratch: &mut AttentionScratch,
    out: &mut [f32],
) {
    if queries.is_empty() {
        return;
    }
    let phase = Phase::new(kv, layer, queries, q, out.len());
    let read = queries.iter().flat_map(|query| query.table()).copied();
    let _turn = kv.turn(layer, read);
    #[cfg(target_arch = "x86_64")]
    if let Some(kernel) = bf16::Bf16::new(isa) {
        return phase.run(kernel, pool, scratch, out);
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(kernel) = avx512::Avx512::new(isa) {
        return phase.run(kernel, pool, scratch, out);
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(kernel) = avx2::Avx2::new(isa) {
        return phase.run(kernel, pool, scratch, out);
    }
    // Elsewhere the scalar kernel is the only one.
    let _ = isa;
    phase.run(scalar::Scalar, pool, scratch, out);
}

/// What an instruction set does for `HEADS` heads.
trait Kernel: Copy + Sync {
    /// Puts the scores of a page into `out` (HEADS, 64), also those of positions that are not
    /// attended to.
    fn score<const HEADS: usize>(self, keys: Keys<'_, HEADS>, out: &mut [f32]);

    /// Adds a product with a block of values to `out` (HEADS, width).
    fn mix<const HEADS: usize>(self, product: Product, out: &mut [f32]);

    /// [`levels_of`] a query, two in a word, the first above.
    fn levels(self, values: &[f32], words: &mut [u32]) -> f32;

    /// [`softmax::in_place`].
    fn softmax<const HEADS: usize>(self, scores: &mut [f32]) -> [f32; HEADS];

    /// [`pack`].
    fn pack(self, values: &[f32], words: &mut [u32]);
}

/// The queries of some heads and the keys of a page.
struct Keys<'a, const HEADS: usize> {
    /// (heads, pairs of dimensions): words of two levels.
    queries: &'a [u32],
    /// Of each head.
    scales: [f32; HEADS],
    /// A block of keys: (pairs of dimensions, 64) words, each as two elements, and the scales.
    block: &'a [u16],
    /// The block that comes next, for kernels that fetch in advance.
    next: &'a [u16],
}

impl<const HEADS: usize> Keys<'_, HEADS> {
    /// Pairs of dimensions. Makes sure that the sizes agree with a result of `out` values, for
    /// kernels that rely on it.
    fn pairs(&self, out: usize) -> usize {
        let pairs = self.queries.len() / HEADS;
        assert!(self.queries.len() == HEADS * pairs && out == HEADS * PAGE);
        assert!(self.block.len() == 2 * PAGE * (pairs + 1));
        pairs
    }
}

/// Some rows of the matrix product weights · values, added in ascending order: the positions
/// attended to. Both factors are words of two bf16, for an even row and the next one.
struct Product<'a> {
    /// (heads, pairs of rows).
    a: &'a [u32],
    /// A block of values, (pairs of rows, width) in panels, each word as two elements.
    b: &'a [u16],
    /// The block that comes next, for kernels that fetch in advance.
    next: &'a [u16],
    /// Of b.
    rows: Range<usize>,
}

impl Product<'_> {
    /// Pairs of rows, and the width of b. Makes sure that the sizes agree with a result of `out`
    /// values, for kernels that rely on it.
    fn sizes<const HEADS: usize>(&self, out: usize) -> (usize, usize) {
        let (pairs, width) = (self.a.len() / HEADS, out / HEADS);
        assert!(self.a.len() == HEADS * pairs && out == HEADS * width);
        assert!(self.b.len() == 2 * pairs * width && width.is_multiple_of(BLOCK));
        assert!(self.rows.end <= 2 * pairs);
        (pairs, width)
    }

    /// Where the columns from `from` on lie in `b`, and the elements from a pair to the next.
    fn place(&self, from: usize, pairs: usize, width: usize) -> (usize, usize) {
        let panel = from / PANEL * PANEL;
        (2 * (panel * pairs + from % PANEL), 2 * (width - panel).min(PANEL))
    }

    /// The pairs that have a row of the product.
    fn pairs(&self) -> Range<usize> {
        self.rows.start / 2..self.rows.end.div_ceil(2)
    }

    /// The pairs that have two.
    fn whole_pairs(&self) -> Range<usize> {
        self.rows.start.div_ceil(2)..self.rows.end / 2
    }

    /// Keeps those halves of a pair's words that belong to the product: what else they hold may
    /// not even be a number.
    fn mask(&self, pair: usize) -> u32 {
        let keep = |row, half: u32| if self.rows.contains(&row) { half } else { 0 };
        keep(2 * pair, 0xffff_0000) | keep(2 * pair + 1, 0xffff)
    }
}

/// The levels of a query, two in a word. Inlined into functions that enable an instruction set.
#[inline(always)]
fn query_levels<L: Lanes>(lanes: L, values: &[f32], words: &mut [u32]) -> f32 {
    levels_of(lanes, values, |first, levels| {
        for (word, pair) in words[first / 2..].iter_mut().zip(levels.as_chunks::<2>().0) {
            *word = u32::from(pair[0]) << 16 | u32::from(pair[1]);
        }
    })
}

/// The values of a word.
#[inline(always)]
fn halves(word: u32) -> [f32; 2] {
    [f32::from_bits(word & 0xffff_0000), f32::from_bits(word << 16)]
}

/// Rounds values to bf16 and puts two into each word, the first above. Inlined into functions
/// that enable an instruction set.
#[inline(always)]
fn pack(values: &[f32], words: &mut [u32]) {
    for (pair, word) in values.as_chunks::<2>().0.iter().zip(words) {
        *word = rounded(pair[0]) | rounded(pair[1]) >> 16;
    }
}

/// A checked call of [`attend`]; a unit is a row and a KV head, counted row by row.
struct Phase<'a> {
    kv: &'a PageShare<'a>,
    layer: usize,
    queries: &'a [Query<'a>],
    q: &'a [f32],
    /// Values of a unit: its query heads times head_dim.
    width: usize,
}

impl<'a> Phase<'a> {
    fn new(
        kv: &'a PageShare<'a>,
        layer: usize,
        queries: &'a [Query],
        q: &'a [f32],
        out: usize,
    ) -> Phase<'a> {
        let PageShape { layers, kv_heads, head_dim } = kv.shape();
        assert!(layer < layers, "layer {layer} of {layers}");
        assert!(q.len() == out, "queries of {} values, results of {out}", q.len());
        let width = q.len() / (queries.len() * kv_heads);
        assert!(
            q.len() == width * queries.len() * kv_heads && width.is_multiple_of(head_dim),
            "{} values are no heads of {} rows",
            q.len(),
            queries.len()
        );
        assert!((1..=MAX_GROUP).contains(&(width / head_dim)), "{} heads share", width / head_dim);
        for query in queries {
            let Query { first, position, pages } = query;
            assert!(first <= position, "positions {first} to {position}");
            assert!(position / PAGE < pages.len(), "position {position}, {} pages", pages.len());
        }
        Phase { kv, layer, queries, q, width }
    }

    fn run(
        &self,
        kernel: impl Kernel,
        pool: &mut Pool,
        scratch: &mut AttentionScratch,
        out: &mut [f32],
    ) {
        let AttentionScratch { scores, words, tasks } = scratch;
        self.split(tasks);
        let pages = self.queries.iter().map(|query| query.table().len()).max().unwrap_or(0);
        let room = pages * HEADS * PAGE;
        if scores.len() < pool.threads() * room {
            scores.resize(pool.threads() * room, 0.0);
        }
        let room_words = HEADS * self.kv.shape().head_dim.max(PAGE) / 2;
        words.resize(pool.threads() * room_words, 0);
        let (scores, words) = (Disjoint::new(scores), Disjoint::new(words));
        let out = Disjoint::new(out);
        pool.run(tasks.len(), |worker, task| {
            // SAFETY: calls with the same worker never overlap.
            let scores = unsafe { scores.part(worker * room..(worker + 1) * room) };
            // SAFETY: as above.
            let words = unsafe { words.part(worker * room_words..(worker + 1) * room_words) };
            for unit in tasks[task].clone() {
                // SAFETY: each unit is in one task, and no task runs twice.
                let out = unsafe { out.part(unit * self.width..(unit + 1) * self.width) };
                self.unit(kernel, unit, scores, words, out);
            }
        });
    }

    /// Neighbouring units make a task until it has [`TASK_MACS`].
    fn split(&self, tasks: &mut Vec<Range<usize>>) {
        tasks.clear();
        let (mut from, mut macs) = (0, 0);
        for unit in 0..self.units() {
            let Query { first, position, .. } = *self.blocks(unit).0;
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

    /// All query heads of a unit.
    fn unit(
        &self,
        kernel: impl Kernel,
        unit: usize,
        scores: &mut [f32],
        words: &mut [u32],
        out: &mut [f32],
    ) {
        let head_dim = self.kv.shape().head_dim;
        let q = &self.q[unit * self.width..][..self.width];
        let heads = HEADS * head_dim;
        for (q, out) in q.chunks(heads).zip(out.chunks_mut(heads)) {
            match q.len() / head_dim {
                1 => self.heads::<1>(kernel, unit, q, scores, words, out),
                2 => self.heads::<2>(kernel, unit, q, scores, words, out),
                3 => self.heads::<3>(kernel, unit, q, scores, words, out),
                _ => self.heads::<HEADS>(kernel, unit, q, scores, words, out),
            }
        }
    }

    /// `N` query heads of a unit.
    fn heads<const N: usize>(
        &self,
        kernel: impl Kernel,
        unit: usize,
        q: &[f32],
        scores: &mut [f32],
        words: &mut [u32],
        out: &mut [f32],
    ) {
        let (query, blocks) = self.blocks(unit);
        let (pages, head_dim) = (blocks.table.len(), q.len() / N);
        let scores = &mut scores[..pages * N * PAGE];
        let packed = &mut words[..q.len() / 2];
        let mut scales = [0.0; N];
        let heads = q.chunks_exact(head_dim).zip(packed.chunks_exact_mut(head_dim / 2));
        for ((q, words), scale) in heads.zip(&mut scales) {
            *scale = kernel.levels(q, words);
        }
        for (page, scores) in scores.chunks_exact_mut(N * PAGE).enumerate() {
            let next = if page + 1 < pages { blocks.keys(page + 1) } else { blocks.values(0) };
            kernel.score(Keys { queries: packed, scales, block: blocks.keys(page), next }, scores);
            for scores in scores.chunks_exact_mut(PAGE) {
                scores[..query.positions(page).start].fill(f32::NEG_INFINITY);
                scores[query.positions(page).end..].fill(f32::NEG_INFINITY);
            }
        }
        let sums = kernel.softmax::<N>(scores);
        out.fill(0.0);
        let (_, following) = self.blocks((unit + 1).min(self.units() - 1));
        for (page, weights) in scores.chunks_exact(N * PAGE).enumerate() {
            let next = if page + 1 < pages { blocks.values(page + 1) } else { following.keys(0) };
            let rows = query.positions(page);
            let packed = &mut words[..weights.len() / 2];
            kernel.pack(weights, packed);
            kernel.mix::<N>(Product { a: packed, b: blocks.values(page), next, rows }, out);
        }
        for (out, sum) in out.chunks_exact_mut(head_dim).zip(sums) {
            let scale = 1.0 / sum;
            out.iter_mut().for_each(|value| *value *= scale);
        }
    }

    fn units(&self) -> usize {
        self.queries.len() * self.kv.shape().kv_heads
    }

    /// A unit's query and what it attends to.
    fn blocks(&self, unit: usize) -> (&Query<'a>, Blocks<'_>) {
        let kv_heads = self.kv.shape().kv_heads;
        let query = &self.queries[unit / kv_heads];
        let (kv, layer, kv_head) = (self.kv, self.layer, unit % kv_heads);
        (query, Blocks { kv, layer, kv_head, table: query.table() })
    }
}

/// The keys and values of a KV head in the pages that a query attends to.
struct Blocks<'a> {
    kv: &'a PageShare<'a>,
    layer: usize,
    kv_head: usize,
    table: &'a [PageId],
}

impl<'a> Blocks<'a> {
    fn keys(&self, page: usize) -> &'a [u16] {
        self.kv.keys(self.table[page], self.layer, self.kv_head)
    }

    fn values(&self, page: usize) -> &'a [u16] {
        self.kv.values(self.table[page], self.layer, self.kv_head)
    }
}

impl Query<'_> {
    /// The pages it attends to.
    fn table(&self) -> &[PageId] {
        &self.pages[self.first / PAGE..=self.position / PAGE]
    }

    /// Which positions of a page of [`Query::table`] it attends to.
    fn positions(&self, page: usize) -> Range<usize> {
        let start = (self.first / PAGE + page) * PAGE;
        self.first.saturating_sub(start)..(self.position + 1 - start).min(PAGE)
    }
}
