//! Attention to a page with AVX-512, but without its instruction for bf16: 4 heads by 64 keys or
//! dimensions in 16 accumulators.
//!
//! A pair of rows loads four vectors of words, makes two vectors of f32 of each and feeds 32
//! multiply-adds; making them, and the heads' factors, takes 16 more operations.

use std::arch::x86_64::*;

use super::{Kernel, PANEL, Product, pack, softmax};
use crate::kernels::isa::{Isa, Level};

/// Words, and f32 values, of a vector.
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
    fn multiply<const HEADS: usize>(self, product: Product, out: &mut [f32]) {
        let (_, width) = product.sizes::<HEADS>(out.len());
        for from in (product.columns.start / PANEL * PANEL..product.columns.end).step_by(PANEL) {
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

    fn softmax<const HEADS: usize>(self, scores: &mut [f32]) -> [f32; HEADS] {
        // SAFETY: `self` proves the instruction set.
        unsafe { softmax_in_place(scores) }
    }

    fn pack(self, values: &[f32], words: &mut [u32]) {
        // SAFETY: `self` proves the instruction set.
        unsafe { pack_words(values, words) }
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
    let (start, stride) = product.place(from, pairs, width);
    for pair in product.pairs() {
        let at = start + pair * stride;
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

/// The values of words: those of the first rows and those of the second.
#[target_feature(enable = "avx512f")]
#[inline]
fn halves(words: __m512i) -> [__m512; 2] {
    let above = _mm512_and_si512(words, _mm512_set1_epi32(0xffff_0000_u32 as i32));
    [_mm512_castsi512_ps(above), _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words))]
}

/// [`softmax::in_place`] in this instruction set.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
pub(super) fn softmax_in_place<const HEADS: usize>(scores: &mut [f32]) -> [f32; HEADS] {
    softmax::in_place(scores)
}

/// [`pack`] in this instruction set.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
pub(super) fn pack_words(values: &[f32], words: &mut [u32]) {
    pack(values, words);
}
