//! The query heads of a row that share a KV head: scores, softmax, mixture, on one thread.

use std::ops::Range;

use super::kernel::{Keys, PageKernel, Product};
use super::layout::{PAGE, PageId};
use super::share::PageShare;

/// Query heads that any kernel computes at once, at most.
pub(super) const MOST_HEADS: usize = 6;

/// Attention with an instruction set. A value proves that the processor has it.
pub(in crate::kernels) trait Kernel: Sync {
    /// Attends with all query heads of a unit and puts their results into `out`. `scores` has room
    /// for [`MOST_HEADS`] of all pages, `words` for their queries, or for their weights of a page.
    fn attend(&self, unit: &Unit<'_>, scores: &mut [f32], words: &mut [u32], out: &mut [f32]);
}

/// A row: the query heads of a position of a sequence.
#[derive(Debug, Clone)]
pub struct Query {
    /// Where in the tables of all sequences the pages of its own are: position p lies in page
    /// p / 64 of them, at p mod 64.
    pub pages: Range<usize>,
    /// The first position it attends to.
    pub first: usize,
    /// Its own position, the last it attends to.
    pub position: usize,
}

/// A row and a KV head.
pub(in crate::kernels) struct Unit<'a> {
    pub(super) query: &'a Query,
    pub(super) blocks: Blocks<'a>,
    /// (heads, head_dim).
    pub(super) q: &'a [f32],
    /// The keys that are read after this unit.
    pub(super) following: &'a [u16],
}

/// The keys and values of a KV head in the pages that a query attends to.
pub(super) struct Blocks<'a> {
    pub kv: &'a PageShare<'a>,
    pub layer: usize,
    pub kv_head: usize,
    pub pages: &'a [PageId],
}

impl<K: PageKernel> Kernel for K {
    fn attend(&self, unit: &Unit<'_>, scores: &mut [f32], words: &mut [u32], out: &mut [f32]) {
        let head_dim = unit.blocks.kv.shape().head_dim;
        // In turns of equal size: each reads all keys and values.
        let heads = unit.q.len() / head_dim;
        let width = heads.div_ceil(heads.div_ceil(K::HEADS)) * head_dim;
        for (q, out) in unit.q.chunks(width).zip(out.chunks_mut(width)) {
            match q.len() / head_dim {
                1 => unit.attend::<K, 1>(*self, q, scores, words, out),
                2 => unit.attend::<K, 2>(*self, q, scores, words, out),
                3 => unit.attend::<K, 3>(*self, q, scores, words, out),
                4 => unit.attend::<K, 4>(*self, q, scores, words, out),
                5 => unit.attend::<K, 5>(*self, q, scores, words, out),
                _ => unit.attend::<K, MOST_HEADS>(*self, q, scores, words, out),
            }
        }
    }
}

impl Unit<'_> {
    /// `N` of the query heads, whose queries are `q`.
    fn attend<K: PageKernel, const N: usize>(
        &self,
        kernel: K,
        q: &[f32],
        scores: &mut [f32],
        words: &mut [u32],
        out: &mut [f32],
    ) {
        let Unit { query, blocks, following, .. } = self;
        let (pages, head_dim) = (blocks.pages.len(), q.len() / N);
        let scores = &mut scores[..pages * N * PAGE];
        let packed = &mut words[..q.len() / 2];
        let mut scales = [0.0; N];
        let heads = q.chunks_exact(head_dim).zip(packed.chunks_exact_mut(head_dim / 2));
        for ((q, words), scale) in heads.zip(&mut scales) {
            // SAFETY: the kernel exists only where the processor has its instruction set.
            *scale = unsafe { kernel.quantize_query(q, words) };
        }
        for (page, scores) in scores.chunks_exact_mut(N * PAGE).enumerate() {
            let next = if page + 1 < pages { blocks.keys(page + 1) } else { blocks.values(0) };
            let keys = Keys { queries: packed, scales, block: blocks.keys(page), next };
            // SAFETY: as above.
            unsafe { kernel.score(keys, scores) };
            for scores in scores.chunks_exact_mut(PAGE) {
                scores[..query.positions(page).start].fill(f32::NEG_INFINITY);
                scores[query.positions(page).end..].fill(f32::NEG_INFINITY);
            }
        }
        // SAFETY: as above.
        let sums = unsafe { kernel.softmax::<N>(scores) };
        out.fill(0.0);
        for (page, weights) in scores.chunks_exact(N * PAGE).enumerate() {
            let next = if page + 1 < pages { blocks.values(page + 1) } else { following };
            let packed = &mut words[..weights.len() / 2];
            // SAFETY: as above.
            unsafe { kernel.pack(weights, packed) };
            let product =
                Product { a: packed, b: blocks.values(page), next, rows: query.positions(page) };
            // SAFETY: as above.
            unsafe { kernel.mix::<N>(product, out) };
        }
        for (out, sum) in out.chunks_exact_mut(head_dim).zip(sums) {
            let scale = 1.0 / sum;
            out.iter_mut().for_each(|value| *value *= scale);
        }
    }
}

impl<'a> Blocks<'a> {
    pub fn keys(&self, page: usize) -> &'a [u16] {
        self.kv.keys(self.pages[page], self.layer, self.kv_head)
    }

    pub fn values(&self, page: usize) -> &'a [u16] {
        self.kv.values(self.pages[page], self.layer, self.kv_head)
    }
}

impl Query {
    /// The pages it attends to, of the tables of all sequences.
    pub(super) fn table<'a>(&self, tables: &'a [PageId]) -> &'a [PageId] {
        &tables[self.pages.clone()][self.first / PAGE..=self.position / PAGE]
    }

    /// Which positions of a page of [`Query::table`] it attends to.
    fn positions(&self, page: usize) -> Range<usize> {
        let start = (self.first / PAGE + page) * PAGE;
        self.first.saturating_sub(start)..(self.position + 1 - start).min(PAGE)
    }
}
