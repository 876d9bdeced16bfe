//! Residual, RMS norm, and quantization of some rows, on one thread.
//!
//! Each row is computed in one fixed order: sums go into 32 interleaved parts, a column of a block
//! each, that are added pairwise at the end, which is both what vector registers want and the same
//! on every instruction set.

use std::ops::Range;

use crate::kernels::lanes::{LANES, Lanes, both, load_block, sum_of_squares};
use crate::kernels::quantized::RowWriter;
use crate::kernels::{BLOCK, Tiled};

/// Weights of an RMS norm and its epsilon: x / √(mean(x²) + ε) · weight.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    /// One factor a column.
    pub weight: &'a [f32],
    /// ε.
    pub eps: f32,
}

/// Some rows of [`super::add_and_norm`], which are all of `hidden`.
pub(in crate::kernels) struct AddAndNorm<'a> {
    pub rows: Range<usize>,
    pub hidden: &'a mut [f32],
    /// What is added, and the norm it goes through before.
    pub update: Option<(&'a Tiled, Option<Norm<'a>>)>,
    /// The norm of the sum, and where it goes.
    pub next: Option<(Norm<'a>, &'a RowWriter<'a>)>,
}

/// Some rows of [`super::quantize`].
pub(in crate::kernels) struct Quantize<'a> {
    pub rows: Range<usize>,
    /// All rows.
    pub values: &'a [f32],
    pub out: &'a RowWriter<'a>,
}

impl AddAndNorm<'_> {
    /// Computes them. Inlined into functions that enable an instruction set.
    ///
    /// # Safety
    /// Each row is in one call.
    #[inline(always)]
    pub unsafe fn run<L: Lanes>(self, lanes: L) {
        let AddAndNorm { rows, hidden, update, next } = self;
        let width = hidden.len() / rows.len();
        for (row, hidden) in rows.zip(hidden.chunks_exact_mut(width)) {
            let squares = match update {
                Some((update, post)) => add_row(lanes, hidden, update, row, post),
                None => sum_of_squares(lanes, hidden.chunks_exact(BLOCK)),
            };
            if let Some((norm, out)) = next {
                let scale = lanes.splat(norm_scale(squares, width, norm.eps));
                // SAFETY: as the caller promises.
                unsafe { out.write(lanes, row, hidden, Some((scale, norm.weight))) };
            }
        }
    }
}

impl Quantize<'_> {
    /// Computes them. Inlined into functions that enable an instruction set.
    ///
    /// # Safety
    /// Each row is in one call.
    #[inline(always)]
    pub unsafe fn run<L: Lanes>(self, lanes: L) {
        let width = self.out.width();
        for row in self.rows {
            let values = &self.values[row * width..(row + 1) * width];
            // SAFETY: as the caller promises.
            unsafe { self.out.write(lanes, row, values, None) };
        }
    }
}

/// Adds a row and returns the sum of the squares of the result.
#[inline(always)]
fn add_row<L: Lanes>(
    lanes: L,
    hidden: &mut [f32],
    update: &Tiled,
    row: usize,
    post: Option<Norm<'_>>,
) -> f32 {
    let segments = (0..hidden.len() / BLOCK).map(|tile| update.segment(row, tile));
    let post = post.map(|norm| {
        let squares = sum_of_squares(lanes, segments.clone());
        (lanes.splat(norm_scale(squares, hidden.len(), norm.eps)), norm.weight)
    });
    let mut squares = [lanes.splat(0.0); 2];
    for (tile, (hidden, update)) in hidden.chunks_exact_mut(BLOCK).zip(segments).enumerate() {
        let mut sums = load_block(lanes, hidden);
        let update = load_block(lanes, update);
        match post {
            None => sums = both!(i => lanes.add(sums[i], update[i])),
            Some((scale, weight)) => {
                let weight = load_block(lanes, &weight[tile * BLOCK..(tile + 1) * BLOCK]);
                let scaled = both!(i => lanes.mul(update[i], scale));
                sums = both!(i => lanes.mul_add(scaled[i], weight[i], sums[i]));
            }
        }
        let hidden = hidden.as_chunks_mut::<LANES>().0;
        lanes.store(sums[0], &mut hidden[0]);
        lanes.store(sums[1], &mut hidden[1]);
        squares = both!(i => lanes.mul_add(sums[i], sums[i], squares[i]));
    }
    lanes.sum(lanes.add(squares[0], squares[1]))
}

/// 1 / √(mean + ε), given the sum of squares.
#[inline(always)]
pub(super) fn norm_scale(sum_of_squares: f32, width: usize, eps: f32) -> f32 {
    1.0 / (sum_of_squares / width as f32 + eps).sqrt()
}
