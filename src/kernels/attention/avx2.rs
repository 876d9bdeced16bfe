//! Attention to a page with AVX2: 4 heads by 16 keys or dimensions in 8 accumulators.
//!
//! Half a line of bf16 gives two vectors of 8: of the line's values p .. p + 8 and
//! 16 + p .. 24 + p, p being 0 for the first half and 8 for the second.

use std::arch::x86_64::*;

use super::{Kernel, Product, softmax};
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
    fn multiply<const HEADS: usize>(self, product: Product, out: &mut [f32]) {
        product.check::<HEADS>(out.len());
        let end = product.columns.end.next_multiple_of(LINE);
        for from in (product.columns.start / LINE * LINE..end).step_by(HALF) {
            // SAFETY: `self` proves the instruction set, the sizes have been checked, and rows
            // consist of whole lines.
            unsafe { multiply_half::<HEADS>(&product, from, out) };
        }
    }

    fn softmax<const HEADS: usize>(self, scores: &mut [f32]) -> [f32; HEADS] {
        // SAFETY: `self` proves the instruction set.
        unsafe { softmax_in_place(scores) }
    }
}

/// The 16 columns of a product whose values are the half line at `from`.
///
/// # Safety
/// The processor has AVX2 and FMA, the product passed [`Product::check`], and it has these
/// columns.
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply_half<const HEADS: usize>(product: &Product, from: usize, out: &mut [f32]) {
    let Product { a, b, next, rows, .. } = product;
    let (length, width) = (a.len() / HEADS, out.len() / HEADS);
    let mut sums = [[_mm256_setzero_ps(); 2]; HEADS];
    for (head, sums) in sums.iter_mut().enumerate() {
        for (part, sum) in sums.iter_mut().enumerate() {
            let at = head * width + first_column(from, part);
            // SAFETY: the 8 columns lie in row `head` of `out`.
            *sum = unsafe { _mm256_loadu_ps(out.as_ptr().add(at)) };
        }
    }
    for row in rows.clone() {
        let at = row * width + from;
        // SAFETY: the 16 values lie in row `row` of `b`.
        let values = unsafe { load_half(b.as_ptr().add(at)) };
        _mm_prefetch::<_MM_HINT_T1>(next.as_ptr().wrapping_add(at).cast());
        for (head, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `a` has HEADS rows of `length`, and `row` is below it.
            let factor = _mm256_set1_ps(unsafe { *a.get_unchecked(head * length + row) });
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = _mm256_fmadd_ps(factor, value, *sum);
            }
        }
    }
    for (head, sums) in sums.iter().enumerate() {
        for (part, sum) in sums.iter().enumerate() {
            let at = head * width + first_column(from, part);
            // SAFETY: the 8 columns lie in row `head` of `out`.
            unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(at), *sum) };
        }
    }
}

/// The first column of a vector from the half line at `from`.
fn first_column(from: usize, part: usize) -> usize {
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

/// [`softmax::in_place`] in this instruction set.
#[target_feature(enable = "avx2,fma")]
fn softmax_in_place<const HEADS: usize>(scores: &mut [f32]) -> [f32; HEADS] {
    softmax::in_place(scores)
}
