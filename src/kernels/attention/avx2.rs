//! Attention to a page with AVX2: 4 heads by 16 keys or dimensions in 8 accumulators.
//!
//! Half a line of bf16 gives two vectors of 8: of the line's values p .. p + 8 and
//! 16 + p .. 24 + p, p being 0 for the first half and 8 for the second.

use std::arch::x86_64::*;
use std::ops::Range;

use super::pages::PAGE;
use super::{Kernel, softmax};
use crate::kernels::isa::{Isa, Level};

/// bf16 values of a cache line.
const LINE: usize = 32;
/// bf16 values of one load.
const HALF: usize = 16;
/// f32 values of a vector.
const LANES: usize = 8;

/// The kernel for processors with AVX2 and FMA: proof that this is one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    pub fn new(isa: Isa) -> Option<Avx2> {
        (isa.level() >= Level::Avx2).then_some(Avx2(()))
    }
}

impl Kernel for Avx2 {
    fn score<const HEADS: usize>(
        self,
        q: &[f32],
        keys: &[u16],
        positions: Range<usize>,
        scores: &mut [f32],
    ) {
        let head_dim = q.len() / HEADS;
        assert!(q.len() == HEADS * head_dim && keys.len() == head_dim * PAGE);
        assert!(scores.len() == HEADS * PAGE && positions.end <= PAGE);
        let lines = positions.start / LINE * LINE..positions.end.next_multiple_of(LINE);
        for from in lines.step_by(HALF) {
            // SAFETY: `self` proves the instruction set, and the sizes have been checked.
            unsafe { score_half::<HEADS>(q, keys, from, scores) };
        }
    }

    fn softmax<const HEADS: usize>(self, scores: &mut [f32]) -> [f32; HEADS] {
        // SAFETY: `self` proves the instruction set.
        unsafe { softmax_in_place(scores) }
    }

    fn mix<const HEADS: usize>(
        self,
        weights: &[f32],
        values: &[u16],
        positions: Range<usize>,
        out: &mut [f32],
    ) {
        let head_dim = out.len() / HEADS;
        assert!(out.len() == HEADS * head_dim && values.len() == head_dim * PAGE);
        assert!(weights.len() == HEADS * PAGE && positions.end <= PAGE);
        assert!(head_dim.is_multiple_of(LINE));
        for from in (0..head_dim).step_by(HALF) {
            // SAFETY: `self` proves the instruction set, and the sizes have been checked.
            unsafe { mix_half::<HEADS>(weights, values, positions.clone(), from, out) };
        }
    }
}

/// The scores of the 16 keys of the half line at `from`.
///
/// # Safety
/// The processor has AVX2 and FMA, and `q` is (HEADS, head_dim), `keys` (head_dim, 64), `scores`
/// (HEADS, 64).
#[target_feature(enable = "avx2,fma")]
unsafe fn score_half<const HEADS: usize>(q: &[f32], keys: &[u16], from: usize, scores: &mut [f32]) {
    let head_dim = q.len() / HEADS;
    let mut sums = [[_mm256_setzero_ps(); 2]; HEADS];
    for dim in 0..head_dim {
        // SAFETY: the half line lies in row `dim`.
        let key = unsafe { load_half(keys.as_ptr().add(dim * PAGE + from)) };
        for head in 0..HEADS {
            // SAFETY: `q` has HEADS times `head_dim` values.
            let q = _mm256_set1_ps(unsafe { *q.get_unchecked(head * head_dim + dim) });
            for part in 0..2 {
                sums[head][part] = _mm256_fmadd_ps(q, key[part], sums[head][part]);
            }
        }
    }
    for head in 0..HEADS {
        for part in 0..2 {
            let to = head * PAGE + first_value(from, part);
            // SAFETY: the 8 scores lie in head `head`'s 64.
            unsafe { _mm256_storeu_ps(scores.as_mut_ptr().add(to), sums[head][part]) };
        }
    }
}

/// [`softmax::in_place`] in this instruction set.
#[target_feature(enable = "avx2,fma")]
fn softmax_in_place<const HEADS: usize>(scores: &mut [f32]) -> [f32; HEADS] {
    softmax::in_place(scores)
}

/// Adds the weighted values of `positions` to the 16 dimensions of the half line at `from`.
///
/// # Safety
/// The processor has AVX2 and FMA, and `weights` is (HEADS, 64), `values` (64, head_dim), `out`
/// (HEADS, head_dim), `positions` within 64 and `from` within head_dim.
#[target_feature(enable = "avx2,fma")]
unsafe fn mix_half<const HEADS: usize>(
    weights: &[f32],
    values: &[u16],
    positions: Range<usize>,
    from: usize,
    out: &mut [f32],
) {
    let head_dim = out.len() / HEADS;
    let mut sums = [[_mm256_setzero_ps(); 2]; HEADS];
    for head in 0..HEADS {
        for part in 0..2 {
            let at = head * head_dim + first_value(from, part);
            // SAFETY: the 8 dimensions lie in head `head`'s.
            sums[head][part] = unsafe { _mm256_loadu_ps(out.as_ptr().add(at)) };
        }
    }
    for position in positions {
        // SAFETY: the half line lies in row `position`.
        let value = unsafe { load_half(values.as_ptr().add(position * head_dim + from)) };
        for head in 0..HEADS {
            // SAFETY: `weights` has HEADS times 64 values.
            let weight = _mm256_set1_ps(unsafe { *weights.get_unchecked(head * PAGE + position) });
            for part in 0..2 {
                sums[head][part] = _mm256_fmadd_ps(weight, value[part], sums[head][part]);
            }
        }
    }
    for head in 0..HEADS {
        for part in 0..2 {
            let to = head * head_dim + first_value(from, part);
            // SAFETY: the 8 dimensions lie in head `head`'s.
            unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(to), sums[head][part]) };
        }
    }
}

/// Which value is the first of a vector from the half line at `from`.
fn first_value(from: usize, part: usize) -> usize {
    from / LINE * LINE + from % LINE / 2 + part * (2 * LANES)
}

/// A half line's two vectors.
///
/// # Safety
/// The processor has AVX2, and 16 values can be read at `half`.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn load_half(half: *const u16) -> [__m256; 2] {
    // SAFETY: the caller promises 32 bytes.
    let words = unsafe { _mm256_loadu_si256(half.cast()) };
    let high = _mm256_set1_epi32(0xffff_0000_u32 as i32);
    [
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(words)),
        _mm256_castsi256_ps(_mm256_and_si256(words, high)),
    ]
}
