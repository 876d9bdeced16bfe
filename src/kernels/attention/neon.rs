//! Attention to a page with NEON: 4 heads by 8 keys in 8 accumulators, or by 16 dimensions in 16.
//!
//! Four words of a query, or of weights, are a register of which an instruction takes the lane that
//! it is told, so four pairs of rows are computed together.
//!
//! The registers hold some of a block's columns, so a block is gone through several times; the next one
//! is fetched meanwhile, from its begin to its end, as with AVX2.

use std::arch::aarch64::*;
use std::arch::asm;

use super::kernel::{Keys, PageKernel, Product};
use super::layout::PAGE;
use super::{bf16, int16, softmax};
use crate::kernels::instructions::Neon;

/// Words, and f32 values, of a vector.
const LANES: usize = 4;
/// Positions that are computed together: their words are loaded as two vectors of halves.
const POSITIONS: usize = 2 * LANES;
/// Vectors of columns that are computed together.
const VECTORS: usize = 4;
/// Elements that are fetched at once.
const LINE: usize = 32;

// SAFETY, of all blocks here: every processor of this architecture has NEON.
impl PageKernel for Neon {
    unsafe fn score<const HEADS: usize>(self, keys: Keys<'_, HEADS>, out: &mut [f32]) {
        let pairs = keys.pairs(out.len());
        assert!(pairs.is_multiple_of(LANES));
        for from in (0..PAGE).step_by(POSITIONS) {
            // SAFETY: the sizes have been checked, and a page has 64 positions.
            unsafe { score_positions::<HEADS>(&keys, from, out) };
        }
    }

    unsafe fn mix<const HEADS: usize>(self, product: Product<'_>, out: &mut [f32]) {
        let (pairs, width) = product.sizes::<HEADS>(out.len());
        assert!(pairs.is_multiple_of(LANES));
        for from in (0..width).step_by(VECTORS * LANES) {
            // SAFETY: the sizes have been checked, and the width is a multiple of 32.
            unsafe { multiply_columns::<HEADS>(&product, from, out) };
        }
    }

    unsafe fn quantize_query(self, values: &[f32], words: &mut [u32]) -> f32 {
        int16::quantize_query(self, values, words)
    }

    unsafe fn softmax<const HEADS: usize>(self, scores: &mut [f32]) -> [f32; HEADS] {
        softmax::in_place(scores)
    }

    unsafe fn pack(self, values: &[f32], words: &mut [u32]) {
        bf16::pack(values, words);
    }
}

/// Calls a macro for each lane of a vector: a lane is a constant of an instruction.
macro_rules! for_lanes {
    ($call:ident) => {
        $call!(0, 0, 1);
        $call!(1, 2, 3);
        $call!(2, 4, 5);
        $call!(3, 6, 7);
    };
}

/// The scores of positions `from .. from + 8` of a page.
///
/// # Safety
/// The keys passed [`Keys::pairs`], in a multiple of 4 pairs.
#[target_feature(enable = "neon")]
unsafe fn score_positions<const HEADS: usize>(
    keys: &Keys<'_, HEADS>,
    from: usize,
    out: &mut [f32],
) {
    let pairs = keys.queries.len() / HEADS;
    // The eighth of the next block that belongs to these positions, two lines for four pairs.
    let next = keys.next.as_ptr().wrapping_add(2 * from * pairs);
    let mut sums = [[vdupq_n_s32(0); 2]; HEADS];
    for first in (0..pairs).step_by(LANES) {
        prefetch(next.wrapping_add(first * LINE / 2));
        prefetch(next.wrapping_add(first * LINE / 2 + LINE));
        let mut queries = [vdupq_n_s16(0); HEADS];
        for (head, query) in queries.iter_mut().enumerate() {
            // SAFETY: `queries` has HEADS rows of `pairs`, and 4 words from `first` on are in one.
            *query = unsafe { vld1q_s16(keys.queries.as_ptr().add(head * pairs + first).cast()) };
        }
        macro_rules! add_pair {
            ($pair:literal, $below:literal, $above:literal) => {
                let at = 2 * ((first + $pair) * PAGE + from);
                // SAFETY: the 8 words from there on lie in row `first + $pair` of the block.
                let words = unsafe { vld2q_s16(keys.block.as_ptr().add(at).cast()) };
                let int16x8x2_t(below, above) = words;
                for (sums, query) in sums.iter_mut().zip(queries) {
                    sums[0] = vmlal_laneq_s16::<$below>(sums[0], vget_low_s16(below), query);
                    sums[1] = vmlal_high_laneq_s16::<$below>(sums[1], below, query);
                    sums[0] = vmlal_laneq_s16::<$above>(sums[0], vget_low_s16(above), query);
                    sums[1] = vmlal_high_laneq_s16::<$above>(sums[1], above, query);
                }
            };
        }
        for_lanes!(add_pair);
    }
    for vector in 0..2 {
        let position = from + vector * LANES;
        // SAFETY: the scales follow the rows, and these 4 are of positions of the page.
        let scales: float32x4_t =
            unsafe { vld1q_f32(keys.block.as_ptr().add(2 * (pairs * PAGE + position)).cast()) };
        for (head, sums) in sums.iter().enumerate() {
            let scale = vmulq_n_f32(scales, keys.scales[head]);
            let score = vmulq_f32(vcvtq_f32_s32(sums[vector]), scale);
            // SAFETY: the 4 positions lie in row `head` of `out`.
            unsafe { vst1q_f32(out.as_mut_ptr().add(head * PAGE + position), score) };
        }
    }
}

/// The columns `from .. from + 16` of a product.
///
/// # Safety
/// The product passed [`Product::sizes`], in a multiple of 4 pairs, and it has these columns.
#[target_feature(enable = "neon")]
unsafe fn multiply_columns<const HEADS: usize>(product: &Product, from: usize, out: &mut [f32]) {
    let width = out.len() / HEADS;
    let mut sums = [[vdupq_n_f32(0.0); VECTORS]; HEADS];
    for (head, sums) in sums.iter_mut().enumerate() {
        for (vector, sum) in sums.iter_mut().enumerate() {
            let at = head * width + from + vector * LANES;
            // SAFETY: the 4 columns lie in row `head` of `out`.
            *sum = unsafe { vld1q_f32(out.as_ptr().add(at)) };
        }
    }
    // Pairs outside the product add products with 0, which change nothing: no sum is -0.
    let (pairs, whole) = (product.pairs(), product.whole_pairs());
    let next = product.next.as_ptr().wrapping_add(from * PAGE);
    for first in (pairs.start / LANES * LANES..pairs.end).step_by(LANES) {
        for pair in first..first + LANES {
            prefetch(next.wrapping_add(pair * LINE));
        }
        // SAFETY: the caller promises sizes, and `first` is a multiple of 4 below the pairs.
        unsafe {
            match whole.start <= first && first + LANES <= whole.end {
                true => add_pairs::<HEADS, false>(product, first, from, width, &mut sums),
                false => add_pairs::<HEADS, true>(product, first, from, width, &mut sums),
            }
        }
    }
    for (head, sums) in sums.iter().enumerate() {
        for (vector, sum) in sums.iter().enumerate() {
            let at = head * width + from + vector * LANES;
            // SAFETY: the 4 columns lie in row `head` of `out`.
            unsafe { vst1q_f32(out.as_mut_ptr().add(at), *sum) };
        }
    }
}

/// Adds the products of four pairs of rows from `first` on; `MASKED` ones may not be whole.
///
/// # Safety
/// As [`multiply_columns`], and the product has these pairs.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn add_pairs<const HEADS: usize, const MASKED: bool>(
    product: &Product,
    first: usize,
    from: usize,
    width: usize,
    sums: &mut [[float32x4_t; VECTORS]; HEADS],
) {
    let pairs = product.a.len() / HEADS;
    let (start, stride) = product.place(from, pairs, width);
    let mut weights = [[vdupq_n_f32(0.0); 2]; HEADS];
    for (head, weights) in weights.iter_mut().enumerate() {
        // SAFETY: `a` has HEADS rows of `pairs`, and 4 words from `first` on are in one.
        *weights = halves(unsafe { vld1q_u32(product.a.as_ptr().add(head * pairs + first)) });
    }
    macro_rules! add_pair {
        ($pair:literal, $below:literal, $above:literal) => {
            let at = start + (first + $pair) * stride;
            let mask = vdupq_n_u32(if MASKED { product.mask(first + $pair) } else { !0 });
            for vector in 0..VECTORS {
                let at = at + vector * 2 * LANES;
                // SAFETY: the 4 words lie in row `first + $pair` of `b`.
                let mut words = unsafe { vld1q_u32(product.b.as_ptr().add(at).cast()) };
                if MASKED {
                    words = vandq_u32(words, mask);
                }
                let [above, below] = halves(words);
                for (sums, [first, second]) in sums.iter_mut().zip(weights) {
                    let sum = vfmaq_laneq_f32::<$pair>(sums[vector], above, first);
                    sums[vector] = vfmaq_laneq_f32::<$pair>(sum, below, second);
                }
            }
        };
    }
    for_lanes!(add_pair);
}

/// Asks for what lies at an address, in the second cache.
#[inline]
fn prefetch(address: *const u16) {
    // SAFETY: a hint, which reads nothing that the program would see and never fails.
    unsafe {
        asm!("prfm pldl2keep, [{}]", in(reg) address, options(nostack, readonly, preserves_flags));
    }
}

/// The values of words: those of the first rows and those of the second.
#[inline]
#[target_feature(enable = "neon")]
fn halves(words: uint32x4_t) -> [float32x4_t; 2] {
    let above = vandq_u32(words, vdupq_n_u32(0xffff_0000));
    [vreinterpretq_f32_u32(above), vreinterpretq_f32_u32(vshlq_n_u32::<16>(words))]
}
