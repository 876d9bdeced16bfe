//! The products with AVX2: up to 4 rows x 8 columns at a time.
//!
//! Bytes are widened to 16 bits first: `vpmaddubsw` would save that, but its 16-bit sums of two
//! products saturate. `vpmaddwd` then leaves two sums of a column side by side, which are added at
//! the end of a block. 8 registers hold sums; the f32 results stay in the cache.

#![allow(clippy::needless_range_loop, reason = "an index here numbers registers of several arrays")]

use std::arch::x86_64::*;
use std::ops::Range;

use super::epilogue;
use crate::kernels::packed::Tile;
use crate::kernels::{BLOCK, Quantized};

/// Rows that the registers have room for.
const ROWS: usize = 4;

/// See [`super::scalar::add_product`].
#[target_feature(enable = "avx2,fma")]
pub(super) fn add_product(x: &Quantized, tile: Tile<'_>, blocks: Range<usize>, out: &mut [f32]) {
    let mut row = 0;
    while row < x.rows() {
        let rows = ROWS.min(x.rows() - row);
        let blocks = blocks.clone();
        let out = &mut out[row * BLOCK..][..rows * BLOCK];
        match rows {
            1 => add_rows::<1>(x, row, tile, blocks, out),
            2 => add_rows::<2>(x, row, tile, blocks, out),
            3 => add_rows::<3>(x, row, tile, blocks, out),
            _ => add_rows::<ROWS>(x, row, tile, blocks, out),
        }
        row += rows;
    }
}

/// See [`epilogue::best`].
#[target_feature(enable = "avx2,fma")]
pub(super) fn best(tile: &[f32], first: usize, columns: usize, best: &mut [(f32, u32)]) {
    epilogue::best(tile, first, columns, best);
}

/// The product of `R` rows from `first` on.
#[target_feature(enable = "avx2,fma")]
fn add_rows<const R: usize>(
    x: &Quantized,
    first: usize,
    tile: Tile<'_>,
    blocks: Range<usize>,
    out: &mut [f32],
) {
    if blocks.start == 0 {
        out.fill(0.0);
    }
    let out = &mut out.as_chunks_mut::<8>().0[..R * BLOCK / 8];
    for block in blocks {
        let at = block * x.rows() + first;
        let activations = widen::<R>(&x.levels[at * BLOCK..][..R * BLOCK]);
        let low = x.low_place(first, block);
        let low = low.map(|place| widen::<R>(&x.low()[place..][..R * BLOCK]));
        let (scales, starts) = (&x.scales[at..][..R], &x.starts[at..][..R]);
        let weight_scales = tile.scales[block].0.as_chunks::<8>().0;
        for quarter in 0..4 {
            let products = multiply::<R>(&activations, &tile.levels[block].0, quarter);
            let rest = low.as_ref().map(|low| multiply::<R>(low, &tile.levels[block].0, quarter));
            let weight_scales = load(&weight_scales[quarter]);
            for r in 0..R {
                let mut product = _mm256_add_epi32(products[r], _mm256_set1_epi32(starts[r]));
                if let Some(rest) = &rest {
                    product = _mm256_add_epi32(_mm256_slli_epi32::<7>(product), rest[r]);
                }
                let scale = _mm256_mul_ps(weight_scales, _mm256_set1_ps(scales[r]));
                let result = &mut out[r * 4 + quarter];
                let mut value = _mm256_fmadd_ps(_mm256_cvtepi32_ps(product), scale, load(result));
                if let Some(minimums) = tile.minimums {
                    let minimums = load(&minimums[block].0.as_chunks::<8>().0[quarter]);
                    let activation =
                        _mm256_set1_ps(x.level_sum(first + r, block) as f32 * scales[r]);
                    value = _mm256_fmadd_ps(activation, minimums, value);
                }
                // SAFETY: 8 values are one register.
                unsafe { _mm256_storeu_ps(result.as_mut_ptr(), value) };
            }
        }
    }
}

/// The levels of `R` rows in 16 bits, by fours: each a broadcast of 64 bits.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn widen<const R: usize>(levels: &[i8]) -> [[i64; BLOCK / 4]; R] {
    let rows = &levels.as_chunks::<BLOCK>().0[..R];
    std::array::from_fn(|r| {
        let mut fours = [0; BLOCK / 4];
        // SAFETY: 32 bytes are read, and widened to the 64 that `fours` takes.
        unsafe {
            let levels: *const __m128i = rows[r].as_ptr().cast();
            let out: *mut __m256i = fours.as_mut_ptr().cast();
            _mm256_storeu_si256(out, _mm256_cvtepi8_epi16(_mm_loadu_si128(levels)));
            _mm256_storeu_si256(out.add(1), _mm256_cvtepi8_epi16(_mm_loadu_si128(levels.add(1))));
        }
        fours
    })
}

/// The integer products of a block: `R` rows and the 8 columns of a quarter of a tile.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn multiply<const R: usize>(
    activations: &[[i64; BLOCK / 4]; R],
    weights: &[u8; BLOCK * BLOCK],
    quarter: usize,
) -> [__m256i; R] {
    let mut pairs = [[_mm256_setzero_si256(); 2]; R];
    for group in 0..BLOCK / 4 {
        let weights = &weights.as_chunks::<BLOCK>().0[group * 4 + quarter];
        // SAFETY: 32 bytes are two registers.
        let (low, high) = unsafe {
            let weights: *const __m128i = weights.as_ptr().cast();
            (_mm_loadu_si128(weights), _mm_loadu_si128(weights.add(1)))
        };
        let (low, high) = (_mm256_cvtepu8_epi16(low), _mm256_cvtepu8_epi16(high));
        for r in 0..R {
            let four = _mm256_set1_epi64x(activations[r][group]);
            pairs[r][0] = _mm256_add_epi32(pairs[r][0], _mm256_madd_epi16(low, four));
            pairs[r][1] = _mm256_add_epi32(pairs[r][1], _mm256_madd_epi16(high, four));
        }
    }
    // Columns 0 1 4 5 | 2 3 6 7 after the addition of neighbours, then in order.
    pairs.map(|[low, high]| _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(low, high)))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load(values: &[f32; 8]) -> __m256 {
    // SAFETY: 8 values are one register.
    unsafe { _mm256_loadu_ps(values.as_ptr()) }
}
