//! Attention to a page with AVX-512 and `vdpbf16ps`: up to 6 heads by 64 keys or dimensions in 24
//! accumulators, each of which takes two multiply-adds at a time. All but the mixture of values is
//! that of AVX-512.
//!
//! The instruction adds the product of the upper halves with one rounding, then that of the lower
//! halves with another, as two fused multiply-adds do (Intel's manual describes it so, and AMD's
//! processors do the same); that it takes subnormal numbers for 0 never shows, since
//! [`super::bf16`] keeps values away from there.

use std::arch::x86_64::*;
use std::mem::transmute;

use super::avx512::Panel;
use super::kernel::{Keys, PageKernel, Product};
use super::layout::PANEL;
use crate::kernels::instructions::Avx512Bf16;

/// Words, and f32 values, of a vector.
const LANES: usize = 16;

// SAFETY, of all calls of the kernel within: it needs no more than this one.
#[allow(clippy::undocumented_unsafe_blocks, reason = "all for the reason above")]
impl PageKernel for Avx512Bf16 {
    const HEADS: usize = 6;

    unsafe fn score<const HEADS: usize>(self, keys: Keys<'_, HEADS>, out: &mut [f32]) {
        unsafe { self.0.score(keys, out) }
    }

    unsafe fn mix<const HEADS: usize>(self, product: Product<'_>, out: &mut [f32]) {
        let (_, width) = product.sizes::<HEADS>(out.len());
        for from in (0..width).step_by(PANEL) {
            // SAFETY: `self` proves the instruction set, the sizes have been checked, and a panel
            // has two or four vectors.
            unsafe {
                match width - from {
                    32 => multiply_columns::<HEADS, 2>(&product, from, out),
                    _ => multiply_columns::<HEADS, 4>(&product, from, out),
                }
            }
        }
    }

    unsafe fn quantize_query(self, values: &[f32], words: &mut [u32]) -> f32 {
        unsafe { self.0.quantize_query(values, words) }
    }

    unsafe fn softmax<const HEADS: usize>(self, scores: &mut [f32]) -> [f32; HEADS] {
        unsafe { self.0.softmax(scores) }
    }

    unsafe fn pack(self, values: &[f32], words: &mut [u32]) {
        unsafe { self.0.pack(values, words) }
    }
}

/// The columns `from .. from + 16 · VECTORS` of a product.
///
/// # Safety
/// The processor has AVX-512 BF16, the product passed [`Product::sizes`], and it has these columns.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn multiply_columns<const HEADS: usize, const VECTORS: usize>(
    product: &Product,
    from: usize,
    out: &mut [f32],
) {
    let width = out.len() / HEADS;
    let mut sums = [[_mm512_setzero_ps(); VECTORS]; HEADS];
    for (head, sums) in sums.iter_mut().enumerate() {
        for (vector, sum) in sums.iter_mut().enumerate() {
            let at = head * width + from + vector * LANES;
            // SAFETY: the 16 columns lie in row `head` of `out`.
            *sum = unsafe { _mm512_loadu_ps(out.as_ptr().add(at)) };
        }
    }
    let whole = product.whole_pairs();
    let panel = Panel::new(product, from, VECTORS * LANES, width);
    for pair in product.pairs() {
        let at = panel.at(pair);
        for vector in 0..VECTORS {
            let fetched = panel.ahead(at).wrapping_add(vector * 2 * LANES);
            _mm_prefetch::<_MM_HINT_T0>(fetched.cast());
        }
        // SAFETY: this is a pair of the product, with columns that the caller promises.
        unsafe {
            if whole.contains(&pair) {
                add_pair::<HEADS, VECTORS, false>(product, pair, at, &mut sums);
            } else {
                add_pair::<HEADS, VECTORS, true>(product, pair, at, &mut sums);
            }
        }
    }
    for (head, sums) in sums.iter().enumerate() {
        for (vector, sum) in sums.iter().enumerate() {
            let at = head * width + from + vector * LANES;
            // SAFETY: the 16 columns lie in row `head` of `out`.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr().add(at), *sum) };
        }
    }
}

/// Adds the products of a pair of rows, of both or, `MASKED`, of those that belong to the product.
///
/// The columns lie from `at` on.
///
/// # Safety
/// As for [`multiply_columns`], and the pair is one of the product.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
#[inline]
unsafe fn add_pair<const HEADS: usize, const VECTORS: usize, const MASKED: bool>(
    product: &Product,
    pair: usize,
    at: usize,
    sums: &mut [[__m512; VECTORS]; HEADS],
) {
    let pairs = product.a.len() / HEADS;
    let mut values = [_mm512_setzero_si512(); VECTORS];
    for (vector, values) in values.iter_mut().enumerate() {
        let at = at + vector * 2 * LANES;
        // SAFETY: the 16 words lie in row `pair` of `b`.
        *values = unsafe { _mm512_loadu_si512(product.b.as_ptr().add(at).cast()) };
        if MASKED {
            *values = _mm512_and_si512(*values, _mm512_set1_epi32(product.mask(pair) as i32));
        }
    }
    for (head, sums) in sums.iter_mut().enumerate() {
        // SAFETY: `a` has HEADS rows of `pairs`, and `pair` is below that.
        let word = unsafe { *product.a.get_unchecked(head * pairs + pair) };
        let word = pairs_of(_mm512_set1_epi32(word as i32));
        for (sum, values) in sums.iter_mut().zip(values) {
            *sum = _mm512_dpbf16_ps(*sum, word, pairs_of(values));
        }
    }
}

/// Words as the instruction's type.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn pairs_of(words: __m512i) -> __m512bh {
    // SAFETY: both types are 64 bytes without meaning of their own.
    unsafe { transmute::<__m512i, __m512bh>(words) }
}
