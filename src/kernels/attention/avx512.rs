//! Attention to a page with AVX-512: 4 heads by 64 keys or dimensions in 16 accumulators.
//!
//! A step of either loop loads two lines of bf16, makes four vectors of f32 of them and feeds
//! sixteen multiply-adds. The four conversions share the ports of the multiply-adds, which bounds
//! the speed at 16 / 20 of the peak. Fewer heads have fewer accumulators, as their lines bound
//! the speed anyway.

use std::arch::x86_64::*;
use std::ops::Range;

use super::pages::PAGE;
use super::{Kernel, softmax};
use crate::kernels::isa::{Isa, Level};

/// bf16 values of a cache line.
const LINE: usize = 32;
/// f32 values of a vector.
const LANES: usize = 16;

/// The kernel for processors with AVX-512: proof that this is one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    pub fn new(isa: Isa) -> Option<Avx512> {
        (isa.level() >= Level::Avx512Vnni).then_some(Avx512(()))
    }
}

impl Kernel for Avx512 {
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
        // SAFETY: `self` proves the instruction set, and the sizes have been checked.
        unsafe {
            if positions.end <= LINE {
                score_lines::<HEADS, 1>(q, keys, 0, scores);
            } else if positions.start >= LINE {
                score_lines::<HEADS, 1>(q, keys, LINE, scores);
            } else {
                score_lines::<HEADS, 2>(q, keys, 0, scores);
            }
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
        let pairs = head_dim / (2 * LINE) * (2 * LINE);
        // SAFETY: `self` proves the instruction set, and the sizes have been checked.
        unsafe {
            for dim in (0..pairs).step_by(2 * LINE) {
                mix_lines::<HEADS, 2>(weights, values, positions.clone(), dim, out);
            }
            if pairs < head_dim {
                mix_lines::<HEADS, 1>(weights, values, positions, pairs, out);
            }
        }
    }
}

/// The scores of the keys `from .. from + 32 · LINES` of a page.
///
/// # Safety
/// The processor has AVX-512, and `q` is (HEADS, head_dim), `keys` (head_dim, 64), `scores`
/// (HEADS, 64).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
unsafe fn score_lines<const HEADS: usize, const LINES: usize>(
    q: &[f32],
    keys: &[u16],
    from: usize,
    scores: &mut [f32],
) {
    let head_dim = q.len() / HEADS;
    let mut sums = [[[_mm512_setzero_ps(); 2]; LINES]; HEADS];
    for dim in 0..head_dim {
        let mut key = [[_mm512_setzero_ps(); 2]; LINES];
        for (line, key) in key.iter_mut().enumerate() {
            // SAFETY: the line lies in row `dim`, and a line has 32 values.
            *key = unsafe { load_line(keys.as_ptr().add(dim * PAGE + from + line * LINE)) };
        }
        for head in 0..HEADS {
            // SAFETY: `q` has HEADS times `head_dim` values.
            let q = _mm512_set1_ps(unsafe { *q.get_unchecked(head * head_dim + dim) });
            for line in 0..LINES {
                for half in 0..2 {
                    let sum = &mut sums[head][line][half];
                    *sum = _mm512_fmadd_ps(q, key[line][half], *sum);
                }
            }
        }
    }
    for head in 0..HEADS {
        for line in 0..LINES {
            for half in 0..2 {
                let to = head * PAGE + from + line * LINE + half * LANES;
                // SAFETY: the 16 scores lie in head `head`'s 64.
                unsafe { _mm512_storeu_ps(scores.as_mut_ptr().add(to), sums[head][line][half]) };
            }
        }
    }
}

/// [`softmax::in_place`] in this instruction set.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
fn softmax_in_place<const HEADS: usize>(scores: &mut [f32]) -> [f32; HEADS] {
    softmax::in_place(scores)
}

/// Adds the weighted values of `positions` to the dimensions `from .. from + 32 · LINES`.
///
/// # Safety
/// The processor has AVX-512, and `weights` is (HEADS, 64), `values` (64, head_dim), `out`
/// (HEADS, head_dim), `positions` within 64 and the dimensions within head_dim.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
unsafe fn mix_lines<const HEADS: usize, const LINES: usize>(
    weights: &[f32],
    values: &[u16],
    positions: Range<usize>,
    from: usize,
    out: &mut [f32],
) {
    let head_dim = out.len() / HEADS;
    let mut sums = [[[_mm512_setzero_ps(); 2]; LINES]; HEADS];
    for head in 0..HEADS {
        for line in 0..LINES {
            for half in 0..2 {
                let at = head * head_dim + from + line * LINE + half * LANES;
                // SAFETY: the 16 dimensions lie in head `head`'s.
                sums[head][line][half] = unsafe { _mm512_loadu_ps(out.as_ptr().add(at)) };
            }
        }
    }
    for position in positions {
        let mut value = [[_mm512_setzero_ps(); 2]; LINES];
        for (line, value) in value.iter_mut().enumerate() {
            let at = position * head_dim + from + line * LINE;
            // SAFETY: the line lies in row `position`, and a line has 32 values.
            *value = unsafe { load_line(values.as_ptr().add(at)) };
        }
        for head in 0..HEADS {
            // SAFETY: `weights` has HEADS times 64 values.
            let weight = _mm512_set1_ps(unsafe { *weights.get_unchecked(head * PAGE + position) });
            for line in 0..LINES {
                for half in 0..2 {
                    let sum = &mut sums[head][line][half];
                    *sum = _mm512_fmadd_ps(weight, value[line][half], *sum);
                }
            }
        }
    }
    for head in 0..HEADS {
        for line in 0..LINES {
            for half in 0..2 {
                let to = head * head_dim + from + line * LINE + half * LANES;
                // SAFETY: the 16 dimensions lie in head `head`'s.
                unsafe { _mm512_storeu_ps(out.as_mut_ptr().add(to), sums[head][line][half]) };
            }
        }
    }
}

/// A line's first and last 16 values.
///
/// # Safety
/// The processor has AVX-512, and 32 values can be read at `line`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
#[inline]
unsafe fn load_line(line: *const u16) -> [__m512; 2] {
    // SAFETY: the caller promises 64 bytes.
    let words = unsafe { _mm512_loadu_si512(line.cast()) };
    let high = _mm512_set1_epi32(0xffff_0000_u32 as i32);
    [
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words)),
        _mm512_castsi512_ps(_mm512_and_si512(words, high)),
    ]
}
