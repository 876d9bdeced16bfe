//! Attention to a page with AVX2, and with AVX-VNNI where it is there: up to 6 heads by 16 keys, up to
//! 4 heads by 16 dimensions.
//!
//! The registers hold a quarter of a block's columns, so a block is gone through four times, each time
//! a line of every row. Processors do not foresee that from one block to the next, and memory would be
//! waited for at every line: so all of the next block is fetched meanwhile, from its begin to its end.

use std::arch::x86_64::*;

use super::kernel::{Keys, PageKernel, Product};
use super::layout::PAGE;
use super::{bf16, int16, softmax};
use crate::kernels::instructions::{Avx2, AvxVnni};

/// Words, and f32 values, of a vector.
const LANES: usize = 8;
/// Vectors of columns that are computed together.
const VECTORS: usize = 2;
/// Elements of a line of the cache: what a row of words has in those columns.
const LINE: usize = 2 * VECTORS * LANES;

/// The factors of a head for the rows of a page, in their order.
type Factors = [f32; PAGE];

impl PageKernel for Avx2 {
    const HEADS: usize = 6;

    unsafe fn score<const HEADS: usize>(self, keys: Keys<'_, HEADS>, out: &mut [f32]) {
        keys.pairs(out.len());
        for from in (0..PAGE).step_by(VECTORS * LANES) {
            // SAFETY: `self` proves the instruction set, the sizes have been checked, and a page
            // has 64 positions.
            unsafe { score_positions::<HEADS>(&keys, from, out) };
        }
    }

    unsafe fn mix<const HEADS: usize>(self, product: Product<'_>, out: &mut [f32]) {
        let (pairs, _) = product.sizes::<HEADS>(out.len());
        assert!(pairs == PAGE / 2, "{pairs} pairs are no page");
        // SAFETY: `self` proves the instruction set, and the sizes have been checked.
        unsafe { mix_heads::<HEADS>(&product, out) }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn quantize_query(self, values: &[f32], words: &mut [u32]) -> f32 {
        int16::quantize_query(self, values, words)
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

// SAFETY, of all calls of the kernel within: it needs no more than this one.
#[allow(clippy::undocumented_unsafe_blocks, reason = "all for the reason above")]
impl PageKernel for AvxVnni {
    const HEADS: usize = 6;

    unsafe fn score<const HEADS: usize>(self, keys: Keys<'_, HEADS>, out: &mut [f32]) {
        keys.pairs(out.len());
        for from in (0..PAGE).step_by(VECTORS * LANES) {
            // SAFETY: as for AVX2.
            unsafe { score_positions_vnni::<HEADS>(&keys, from, out) };
        }
    }

    unsafe fn mix<const HEADS: usize>(self, product: Product<'_>, out: &mut [f32]) {
        unsafe { self.0.mix::<HEADS>(product, out) }
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

/// A function for the scores of positions `from .. from + 16` of a page, compiled for instruction sets
/// and with what multiplies pairs of quants and adds the products to sums.
macro_rules! score_positions {
    ($name:ident, $features:literal, $multiply_add:expr) => {
        /// # Safety
        /// The processor has the instruction sets, and the keys passed [`Keys::pairs`].
        #[target_feature(enable = $features)]
        unsafe fn $name<const HEADS: usize>(keys: &Keys<'_, HEADS>, from: usize, out: &mut [f32]) {
            let pairs = keys.queries.len() / HEADS;
            let next = keys.next.as_ptr().wrapping_add(2 * from * pairs);
            let mut sums = [[_mm256_setzero_si256(); VECTORS]; HEADS];
            // SAFETY: the 8 words, or scales, from there on lie in row `row` of the block.
            let load = |row: usize, vector: usize| unsafe {
                let at = 2 * (row * PAGE + from + vector * LANES);
                _mm256_loadu_si256(keys.block.as_ptr().add(at).cast())
            };
            for pair in 0..pairs {
                _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(pair * LINE).cast());
                let words = [load(pair, 0), load(pair, 1)];
                for (head, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: `queries` has HEADS rows of `pairs`, and `pair` is below that.
                    let query = unsafe { *keys.queries.get_unchecked(head * pairs + pair) };
                    let query = _mm256_set1_epi32(query as i32);
                    for (sum, words) in sums.iter_mut().zip(words) {
                        *sum = $multiply_add(*sum, query, words);
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
    };
}

score_positions!(score_positions, "avx2,fma", |sum, query, words| {
    _mm256_add_epi32(sum, _mm256_madd_epi16(query, words))
});
score_positions!(score_positions_vnni, "avxvnni,avx2,fma", |sum, query, words| {
    _mm256_dpwssd_avx_epi32(sum, query, words)
});

/// [`PageKernel::mix`].
///
/// # Safety
/// The processor has AVX2 and FMA, and the product, which passed [`Product::sizes`], is of a page.
#[target_feature(enable = "avx2,fma")]
unsafe fn mix_heads<const HEADS: usize>(product: &Product, out: &mut [f32]) {
    let width = out.len() / HEADS;
    let mut factors = [[0.0; PAGE]; HEADS];
    for (words, factors) in product.a.chunks_exact(PAGE / 2).zip(&mut factors) {
        for (word, [first, second]) in words.iter().zip(factors.as_chunks_mut().0) {
            *first = f32::from_bits(word & 0xffff_0000);
            *second = f32::from_bits(word << 16);
        }
    }
    for from in (0..width).step_by(VECTORS * LANES) {
        // SAFETY: the caller promises the instruction set and the sizes, and the width is a multiple
        // of 32. More than four heads are taken in two turns: a pair's values take four registers.
        unsafe {
            match HEADS {
                6 => {
                    multiply_columns::<3>(product, &factors[..3], from, width, out);
                    multiply_columns::<3>(
                        product,
                        &factors[3..],
                        from,
                        width,
                        &mut out[3 * width..],
                    );
                }
                5 => {
                    multiply_columns::<3>(product, &factors[..3], from, width, out);
                    multiply_columns::<2>(
                        product,
                        &factors[3..],
                        from,
                        width,
                        &mut out[3 * width..],
                    );
                }
                _ => multiply_columns::<HEADS>(product, &factors, from, width, out),
            }
        }
    }
}

/// The columns `from .. from + 16` of a product, for `HEADS` of its heads.
///
/// # Safety
/// The processor has AVX2 and FMA, the product, which passed [`Product::sizes`], is of a page and has
/// these columns, and `out` has the heads' rows of `width`.
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply_columns<const HEADS: usize>(
    product: &Product,
    factors: &[Factors],
    from: usize,
    width: usize,
    out: &mut [f32],
) {
    let mut sums = [[_mm256_setzero_ps(); VECTORS]; HEADS];
    for (head, sums) in sums.iter_mut().enumerate() {
        for (vector, sum) in sums.iter_mut().enumerate() {
            let at = head * width + from + vector * LANES;
            // SAFETY: the 8 columns lie in row `head` of `out`.
            *sum = unsafe { _mm256_loadu_ps(out.as_ptr().add(at)) };
        }
    }
    let (start, stride) = product.place(from, PAGE / 2, width);
    let (pairs, whole) = (product.pairs(), product.whole_pairs());
    let next = product.next.as_ptr().wrapping_add(from * PAGE);
    for pair in pairs {
        _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(pair * LINE).cast());
        let at = start + pair * stride;
        let mut values = [[_mm256_setzero_ps(); 2]; VECTORS];
        for (vector, values) in values.iter_mut().enumerate() {
            let at = at + vector * 2 * LANES;
            // SAFETY: the 8 words lie in row `pair` of `b`.
            let mut words = unsafe { _mm256_loadu_si256(product.b.as_ptr().add(at).cast()) };
            if !whole.contains(&pair) {
                words = _mm256_and_si256(words, _mm256_set1_epi32(product.mask(pair) as i32));
            }
            *values = halves(words);
        }
        for (factors, sums) in factors.iter().zip(&mut sums) {
            let first = _mm256_set1_ps(factors[2 * pair]);
            let second = _mm256_set1_ps(factors[2 * pair + 1]);
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
