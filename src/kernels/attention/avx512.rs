//! Attention to a page with AVX-512, but without its instruction for bf16: 4 heads by 64 keys or
//! dimensions in 16 accumulators.
//!
//! A pair of rows loads four vectors of words, makes two vectors of f32 of each and feeds 32
//! multiply-adds; making them, and the heads' factors, takes 16 more operations.

use std::arch::x86_64::*;

use super::kernel::{Keys, PageKernel, Product};
use super::layout::{PAGE, PANEL};
use super::{bf16, int16, softmax};
use crate::kernels::instructions::Avx512;

/// Words, and f32 values, of a vector.
const LANES: usize = 16;

/// Vectors of a page's positions.
const VECTORS: usize = PAGE / LANES;

/// How many elements before they are used words are fetched: 4 KiB, and across the ends of blocks,
/// where the processor's own fetching begins anew. A sequence of its own is attended to as fast as
/// memory is.
const AHEAD: usize = 2048;

impl PageKernel for Avx512 {
    unsafe fn score<const HEADS: usize>(self, keys: Keys<'_, HEADS>, out: &mut [f32]) {
        keys.pairs(out.len());
        // SAFETY: `self` proves the instruction set, and the sizes have been checked.
        unsafe { score_page(&keys, out) }
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

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
    unsafe fn quantize_query(self, values: &[f32], words: &mut [u32]) -> f32 {
        int16::quantize_query(self, values, words)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
    unsafe fn softmax<const HEADS: usize>(self, scores: &mut [f32]) -> [f32; HEADS] {
        softmax::in_place(scores)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
    unsafe fn pack(self, values: &[f32], words: &mut [u32]) {
        bf16::pack(values, words);
    }
}

/// The scores of a page: 4 heads (or 6) by 64 positions in 16 (24) accumulators, each of which takes
/// two multiply-adds at a time.
///
/// # Safety
/// The processor has AVX-512 VNNI, and the keys passed [`Keys::pairs`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn score_page<const HEADS: usize>(keys: &Keys<'_, HEADS>, out: &mut [f32]) {
    let pairs = keys.queries.len() / HEADS;
    let mut sums = [[_mm512_setzero_si512(); VECTORS]; HEADS];
    // SAFETY: the 16 words, or scales, from there on lie in row `row` of the block.
    let load = |row: usize, vector: usize| unsafe {
        _mm512_loadu_si512(keys.block.as_ptr().add(2 * (row * PAGE + vector * LANES)).cast())
    };
    for pair in 0..pairs {
        let ahead = 2 * pair * PAGE + AHEAD;
        let fetched = match ahead < keys.block.len() {
            true => keys.block.as_ptr().wrapping_add(ahead),
            false => keys.next.as_ptr().wrapping_add(ahead - keys.block.len()),
        };
        for vector in 0..VECTORS {
            _mm_prefetch::<_MM_HINT_T0>(fetched.wrapping_add(vector * 2 * LANES).cast());
        }
        let words = [load(pair, 0), load(pair, 1), load(pair, 2), load(pair, 3)];
        for (head, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `queries` has HEADS rows of `pairs`, and `pair` is below that.
            let query = unsafe { *keys.queries.get_unchecked(head * pairs + pair) };
            let query = _mm512_set1_epi32(query as i32);
            for (sum, words) in sums.iter_mut().zip(words) {
                *sum = _mm512_dpwssd_epi32(*sum, query, words);
            }
        }
    }
    for (head, sums) in sums.iter().enumerate() {
        for (vector, sum) in sums.iter().enumerate() {
            let scale = _mm512_castsi512_ps(load(pairs, vector));
            let scale = _mm512_mul_ps(_mm512_set1_ps(keys.scales[head]), scale);
            let score = _mm512_mul_ps(_mm512_cvtepi32_ps(*sum), scale);
            let at = head * PAGE + vector * LANES;
            // SAFETY: the 16 positions lie in row `head` of `out`.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr().add(at), score) };
        }
    }
}

/// The columns `from .. from + 16 · VECTORS` of a product.
///
/// # Safety
/// The processor has AVX-512, the product passed [`Product::sizes`], and it has these columns.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
unsafe fn multiply_columns<const HEADS: usize, const VECTORS: usize>(
    product: &Product,
    from: usize,
    out: &mut [f32],
) {
    let (pairs, width) = (product.a.len() / HEADS, out.len() / HEADS);
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
        let mask = if whole.contains(&pair) { !0 } else { product.mask(pair) };
        let mut values = [[_mm512_setzero_ps(); 2]; VECTORS];
        for (vector, values) in values.iter_mut().enumerate() {
            let at = at + vector * 2 * LANES;
            // SAFETY: the 16 words lie in row `pair` of `b`.
            let words = unsafe { _mm512_loadu_si512(product.b.as_ptr().add(at).cast()) };
            *values = halves(_mm512_and_si512(words, _mm512_set1_epi32(mask as i32)));
        }
        for (head, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `a` has HEADS rows of `pairs`, and `pair` is below that.
            let word = unsafe { *product.a.get_unchecked(head * pairs + pair) };
            let [first, second] = halves(_mm512_set1_epi32(word as i32));
            for (sum, [above, below]) in sums.iter_mut().zip(values) {
                *sum = _mm512_fmadd_ps(second, below, _mm512_fmadd_ps(first, above, *sum));
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

/// A panel of columns of a block of values, and what is read after it.
pub(super) struct Panel<'a> {
    block: &'a [u16],
    start: usize,
    stride: usize,
    /// Behind its last pair.
    end: usize,
    /// The next panel, or the next block.
    follows: *const u16,
}

impl<'a> Panel<'a> {
    /// The `columns` from `from` on, of `width`.
    pub fn new(product: &Product<'a>, from: usize, columns: usize, width: usize) -> Panel<'a> {
        let (block, pairs) = (product.b, product.pairs());
        let all_pairs = block.len() / (2 * width);
        let place = |from| product.place(from, all_pairs, width);
        let (start, stride) = place(from);
        let follows = if from + columns < width {
            let (start, stride) = place(from + columns);
            block[start + pairs.start * stride..].as_ptr()
        } else {
            product.next.as_ptr()
        };
        Panel { block, start, stride, end: start + pairs.end * stride, follows }
    }

    /// Where a pair lies in the block.
    #[inline]
    pub fn at(&self, pair: usize) -> usize {
        self.start + pair * self.stride
    }

    /// What is read [`AHEAD`] elements after the pair at `at`.
    #[inline]
    pub fn ahead(&self, at: usize) -> *const u16 {
        let ahead = at + AHEAD;
        match ahead < self.end {
            true => self.block.as_ptr().wrapping_add(ahead),
            false => self.follows.wrapping_add(ahead - self.end),
        }
    }
}

/// The values of words: those of the first rows and those of the second.
#[target_feature(enable = "avx512f")]
#[inline]
fn halves(words: __m512i) -> [__m512; 2] {
    let above = _mm512_and_si512(words, _mm512_set1_epi32(0xffff_0000_u32 as i32));
    [_mm512_castsi512_ps(above), _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words))]
}
