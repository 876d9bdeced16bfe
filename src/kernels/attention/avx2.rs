//! Attention to a page with AVX2: 4 heads by 16 keys or dimensions in 8 accumulators.

use std::arch::x86_64::*;

use super::kernel::{Keys, PageKernel, Product};
use super::layout::PAGE;
use super::{bf16, int16, softmax};
use crate::kernels::instructions::Avx2;
use crate::kernels::lanes::Plain;

/// Words, and f32 values, of a vector.
const LANES: usize = 8;
/// Vectors of columns that are computed together.
const VECTORS: usize = 2;

impl PageKernel for Avx2 {
    unsafe fn score<const HEADS: usize>(self, keys: Keys<'_, HEADS>, out: &mut [f32]) {
        keys.pairs(out.len());
        for from in (0..PAGE).step_by(VECTORS * LANES) {
            // SAFETY: `self` proves the instruction set, the sizes have been checked, and a page
            // has 64 positions.
            unsafe { score_positions::<HEADS>(&keys, from, out) };
        }
    }

    unsafe fn mix<const HEADS: usize>(self, product: Product<'_>, out: &mut [f32]) {
        let (_, width) = product.sizes::<HEADS>(out.len());
        for from in (0..width).step_by(VECTORS * LANES) {
            // SAFETY: `self` proves the instruction set, the sizes have been checked, and the
            // width is a multiple of 32.
            unsafe { multiply_columns::<HEADS>(&product, from, out) };
        }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn quantize_query(self, values: &[f32], words: &mut [u32]) -> f32 {
        int16::quantize_query(Plain, values, words)
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn softmax<const HEADS: usize>(self, scores: &mut [f32]) -> [f32; HEADS] {
        softmax::in_place(scores)
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn pack(self, values: &[f32], words: &mut [u32]) {
        bf16::pack(values, words);
    }
}

/// The scores of positions `from .. from + 16` of a page.
///
/// # Safety
/// The processor has AVX2, and the keys passed [`Keys::pairs`].
#[target_feature(enable = "avx2,fma")]
unsafe fn score_positions<const HEADS: usize>(
    keys: &Keys<'_, HEADS>,
    from: usize,
    out: &mut [f32],
) {
    let pairs = keys.queries.len() / HEADS;
    let mut sums = [[_mm256_setzero_si256(); VECTORS]; HEADS];
    // SAFETY: the 8 words, or scales, from there on lie in row `row` of the block.
    let load = |row: usize, vector: usize| unsafe {
        let at = 2 * (row * PAGE + from + vector * LANES);
        _mm256_loadu_si256(keys.block.as_ptr().add(at).cast())
    };
    for pair in 0..pairs {
        let words = [load(pair, 0), load(pair, 1)];
        for (head, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `queries` has HEADS rows of `pairs`, and `pair` is below that.
            let query = unsafe { *keys.queries.get_unchecked(head * pairs + pair) };
            let query = _mm256_set1_epi32(query as i32);
            for (sum, words) in sums.iter_mut().zip(words) {
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(query, words));
            }
        }
    }
    for (head, sums) in sums.iter().enumerate() {
        for (vector, sum) in sums.iter().enumerate() {
            let scale = _mm256_castsi256_ps(load(pairs, vector));
            let scale = _mm256_mul_ps(_mm256_set1_ps(keys.scales[head]), scale);
            let score = _mm256_mul_ps(_mm256_cvtepi32_ps(*sum), scale);
            let at = head * PAGE + from + vector * LANES;
            // SAFETY: the 8 positions lie in row `head` of `out`.
            unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(at), score) };
        }
    }
}

/// The columns `from .. from + 16` of a product.
///
/// # Safety
/// The processor has AVX2 and FMA, the product passed [`Product::sizes`], and it has these
/// columns.
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply_columns<const HEADS: usize>(product: &Product, from: usize, out: &mut [f32]) {
    let (pairs, width) = (product.a.len() / HEADS, out.len() / HEADS);
    let mut sums = [[_mm256_setzero_ps(); VECTORS]; HEADS];
    for (head, sums) in sums.iter_mut().enumerate() {
        for (vector, sum) in sums.iter_mut().enumerate() {
            let at = head * width + from + vector * LANES;
            // SAFETY: the 8 columns lie in row `head` of `out`.
            *sum = unsafe { _mm256_loadu_ps(out.as_ptr().add(at)) };
        }
    }
    let whole = product.whole_pairs();
    let (start, stride) = product.place(from, pairs, width);
    for pair in product.pairs() {
        let at = start + pair * stride;
        let mask = if whole.contains(&pair) { !0 } else { product.mask(pair) };
        let mut values = [[_mm256_setzero_ps(); 2]; VECTORS];
        for (vector, values) in values.iter_mut().enumerate() {
            let at = at + vector * 2 * LANES;
            // SAFETY: the 8 words lie in row `pair` of `b`.
            let words = unsafe { _mm256_loadu_si256(product.b.as_ptr().add(at).cast()) };
            *values = halves(_mm256_and_si256(words, _mm256_set1_epi32(mask as i32)));
        }
        for (head, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `a` has HEADS rows of `pairs`, and `pair` is below that.
            let word = unsafe { *product.a.get_unchecked(head * pairs + pair) };
            let [first, second] = halves(_mm256_set1_epi32(word as i32));
            for (sum, [above, below]) in sums.iter_mut().zip(values) {
                *sum = _mm256_fmadd_ps(second, below, _mm256_fmadd_ps(first, above, *sum));
            }
        }
    }
    for (head, sums) in sums.iter().enumerate() {
        for (vector, sum) in sums.iter().enumerate() {
            let at = head * width + from + vector * LANES;
            // SAFETY: the 8 columns lie in row `head` of `out`.
            unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(at), *sum) };
        }
    }
}

/// The values of words: those of the first rows and those of the second.
#[target_feature(enable = "avx2")]
#[inline]
fn halves(words: __m256i) -> [__m256; 2] {
    let above = _mm256_and_si256(words, _mm256_set1_epi32(0xffff_0000_u32 as i32));
    [_mm256_castsi256_ps(above), _mm256_castsi256_ps(_mm256_slli_epi32::<16>(words))]
}
