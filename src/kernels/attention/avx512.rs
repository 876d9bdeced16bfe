//! Attention to a page with AVX-512: 4 heads by 64 keys or dimensions in 16 accumulators.
//!
//! A step loads two lines of bf16, makes four vectors of f32 of them and feeds sixteen
//! multiply-adds. The four conversions share the ports of the multiply-adds, which bounds the
//! speed at 16 / 20 of the peak. Fewer heads have fewer accumulators, as the lines' way from
//! memory bounds their speed anyway.

use std::arch::x86_64::*;

use super::{Kernel, Product, softmax};
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
    fn multiply<const HEADS: usize>(self, product: Product, out: &mut [f32]) {
        product.check::<HEADS>(out.len());
        let end = product.columns.end.next_multiple_of(LINE);
        let mut from = product.columns.start / LINE * LINE;
        while from < end {
            let lines = if from + LINE < end { 2 } else { 1 };
            // SAFETY: `self` proves the instruction set, the sizes have been checked, and rows
            // consist of whole lines.
            unsafe {
                match lines {
                    1 => multiply_lines::<HEADS, 1>(&product, from, out),
                    _ => multiply_lines::<HEADS, 2>(&product, from, out),
                }
            }
            from += lines * LINE;
        }
    }

    fn softmax<const HEADS: usize>(self, scores: &mut [f32]) -> [f32; HEADS] {
        // SAFETY: `self` proves the instruction set.
        unsafe { softmax_in_place(scores) }
    }
}

/// The columns `from .. from + 32 · LINES` of a product.
///
/// # Safety
/// The processor has AVX-512, the product passed [`Product::check`], and it has these columns.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
unsafe fn multiply_lines<const HEADS: usize, const LINES: usize>(
    product: &Product,
    from: usize,
    out: &mut [f32],
) {
    let Product { a, b, next, rows, .. } = product;
    let (length, width) = (a.len() / HEADS, out.len() / HEADS);
    let mut sums = [[[_mm512_setzero_ps(); 2]; LINES]; HEADS];
    for (head, sums) in sums.iter_mut().enumerate() {
        for (vector, sum) in sums.as_flattened_mut().iter_mut().enumerate() {
            let at = head * width + from + vector * LANES;
            // SAFETY: the 16 columns lie in row `head` of `out`.
            *sum = unsafe { _mm512_loadu_ps(out.as_ptr().add(at)) };
        }
    }
    for row in rows.clone() {
        let mut values = [[_mm512_setzero_ps(); 2]; LINES];
        for (line, values) in values.iter_mut().enumerate() {
            let at = row * width + from + line * LINE;
            // SAFETY: the 32 values lie in row `row` of `b`.
            *values = unsafe { load_line(b.as_ptr().add(at)) };
            _mm_prefetch::<_MM_HINT_T1>(next.as_ptr().wrapping_add(at).cast());
        }
        for (head, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `a` has HEADS rows of `length`, and `row` is below it.
            let factor = _mm512_set1_ps(unsafe { *a.get_unchecked(head * length + row) });
            for (sum, value) in sums.as_flattened_mut().iter_mut().zip(values.as_flattened()) {
                *sum = _mm512_fmadd_ps(factor, *value, *sum);
            }
        }
    }
    for (head, sums) in sums.iter().enumerate() {
        for (vector, sum) in sums.as_flattened().iter().enumerate() {
            let at = head * width + from + vector * LANES;
            // SAFETY: the 16 columns lie in row `head` of `out`.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr().add(at), *sum) };
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

/// [`softmax::in_place`] in this instruction set.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
fn softmax_in_place<const HEADS: usize>(scores: &mut [f32]) -> [f32; HEADS] {
    softmax::in_place(scores)
}
