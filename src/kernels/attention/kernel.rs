//! What an instruction set does for a page of keys and values.

use std::ops::Range;

use super::layout::{PAGE, PANEL, SCALES};
use crate::kernels::BLOCK;

/// Attention of `HEADS` heads to a page, with an instruction set. A value proves that the processor
/// has it.
pub(super) trait PageKernel: Copy + Sync {
    /// How many heads the registers have room for.
    const HEADS: usize = 4;

    /// Puts the scores of a page into `out` (HEADS, 64), also those of positions that are not
    /// attended to.
    ///
    /// # Safety
    /// The processor has the instruction set, here and below.
    unsafe fn score<const HEADS: usize>(self, keys: Keys<'_, HEADS>, out: &mut [f32]);

    /// Adds a product with a block of values to `out` (HEADS, width).
    ///
    /// # Safety
    /// As above.
    unsafe fn mix<const HEADS: usize>(self, product: Product<'_>, out: &mut [f32]);

    /// [`super::int16::quantize_query`].
    ///
    /// # Safety
    /// As above.
    unsafe fn quantize_query(self, values: &[f32], words: &mut [u32]) -> f32;

    /// [`super::softmax::in_place`].
    ///
    /// # Safety
    /// As above.
    unsafe fn softmax<const HEADS: usize>(self, scores: &mut [f32]) -> [f32; HEADS];

    /// [`super::bf16::pack`].
    ///
    /// # Safety
    /// As above.
    unsafe fn pack(self, values: &[f32], words: &mut [u32]);
}

/// The queries of some heads and the keys of a page.
pub(super) struct Keys<'a, const HEADS: usize> {
    /// (heads, pairs of dimensions): words of two quants.
    pub queries: &'a [u32],
    /// Of each head.
    pub scales: [f32; HEADS],
    /// A block of keys: (pairs of dimensions, 64) words, each as two elements, and the scales.
    pub block: &'a [u16],
    /// The block that comes next, for kernels that fetch in advance.
    #[cfg_attr(
        not(any(target_arch = "x86_64", target_arch = "aarch64")),
        allow(dead_code, reason = "the scalar one does not")
    )]
    pub next: &'a [u16],
}

impl<const HEADS: usize> Keys<'_, HEADS> {
    /// Pairs of dimensions. Makes sure that the sizes agree with a result of `out` values, for
    /// kernels that rely on it.
    pub fn pairs(&self, out: usize) -> usize {
        let pairs = self.queries.len() / HEADS;
        assert!(self.queries.len() == HEADS * pairs && out == HEADS * PAGE);
        assert!(self.block.len() == 2 * PAGE * pairs + SCALES);
        pairs
    }
}

/// Some rows of the matrix product weights · values, added in ascending order: the positions
/// attended to. Both factors are words of two bf16, for an even row and the next one.
pub(super) struct Product<'a> {
    /// (heads, pairs of rows).
    pub a: &'a [u32],
    /// A block of values, (pairs of rows, width) in panels, each word as two elements.
    pub b: &'a [u16],
    /// The block that comes next, for kernels that fetch in advance.
    #[cfg_attr(
        not(any(target_arch = "x86_64", target_arch = "aarch64")),
        allow(dead_code, reason = "the scalar one does not")
    )]
    pub next: &'a [u16],
    /// Of b.
    pub rows: Range<usize>,
}

impl Product<'_> {
    /// Pairs of rows, and the width of b. Makes sure that the sizes agree with a result of `out`
    /// values, for kernels that rely on it.
    pub fn sizes<const HEADS: usize>(&self, out: usize) -> (usize, usize) {
        let (pairs, width) = (self.a.len() / HEADS, out / HEADS);
        assert!(self.a.len() == HEADS * pairs && out == HEADS * width);
        assert!(self.b.len() == 2 * pairs * width && width.is_multiple_of(BLOCK));
        assert!(self.rows.end <= 2 * pairs);
        (pairs, width)
    }

    /// Where the columns from `from` on lie in `b`, and the elements from a pair to the next.
    pub fn place(&self, from: usize, pairs: usize, width: usize) -> (usize, usize) {
        let panel = from / PANEL * PANEL;
        (2 * (panel * pairs + from % PANEL), 2 * (width - panel).min(PANEL))
    }

    /// The pairs that have a row of the product.
    pub fn pairs(&self) -> Range<usize> {
        self.rows.start / 2..self.rows.end.div_ceil(2)
    }

    /// The pairs that have two.
    pub fn whole_pairs(&self) -> Range<usize> {
        self.rows.start.div_ceil(2)..self.rows.end / 2
    }

    /// Keeps those halves of a pair's words that belong to the product: what else they hold may
    /// not even be a number.
    pub fn mask(&self, pair: usize) -> u32 {
        let keep = |row, half: u32| if self.rows.contains(&row) { half } else { 0 };
        keep(2 * pair, 0xffff_0000) | keep(2 * pair + 1, 0xffff)
    }
}
