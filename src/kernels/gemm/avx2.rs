//! The products with AVX2: up to 4 rows x 16 columns at a time.
//!
//! Quants are taken in 16 bits: `vpmaddubsw` would multiply bytes, but its 16-bit sums of two
//! products saturate. So a quant of 14 bits costs what one of 8 does, and both planes of its block
//! are one product. Of a column's four weights, which lie side by side, the even and the odd ones are
//! the two halves of 16-bit lanes; `vpmaddwd` multiplies either with the activations that belong to
//! them, a broadcast of two, and leaves one sum a column. 8 registers hold sums; the f32 results stay
//! in the cache.

#![allow(clippy::needless_range_loop, reason = "an index here numbers registers of several arrays")]

use std::arch::x86_64::*;
use std::ops::Range;

use super::epilogue::{self, Gate, GatedGroup};
use super::kernel::{Kernel, Tile};
use crate::kernels::blocks::GROUPS;
use crate::kernels::instructions::Avx2;
use crate::kernels::{BLOCK, Quantized};

/// Rows that the registers have room for.
const ROWS: usize = 4;

/// Blocks of the largest group.
const MOST_BLOCKS: usize = GROUPS[GROUPS.len() - 1];

/// The quants of a row's block in 16 bits: of each four the even ones, then of each four the odd ones.
type Pairs = [[i32; BLOCK / 4]; 2];

impl Kernel for Avx2 {
    #[target_feature(enable = "avx2,fma")]
    unsafe fn add_product(
        &self,
        x: &Quantized,
        tile: Tile<'_>,
        groups: Range<usize>,
        out: &mut [f32],
    ) {
        let mut row = 0;
        while row < x.rows() {
            let rows = ROWS.min(x.rows() - row);
            let groups = groups.clone();
            let out = &mut out[row * BLOCK..][..rows * BLOCK];
            match rows {
                1 => add_rows::<1>(x, row, tile, groups, out),
                2 => add_rows::<2>(x, row, tile, groups, out),
                3 => add_rows::<3>(x, row, tile, groups, out),
                _ => add_rows::<ROWS>(x, row, tile, groups, out),
            }
            row += rows;
        }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn gate(&self, gate: Gate, gates: &mut [f32], ups: &[f32], out: GatedGroup<'_>) {
        epilogue::gate(*self, gate, gates, ups, out);
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn best(&self, tile: &[f32], first: usize, columns: usize, best: &mut [(f32, u32)]) {
        epilogue::best(tile, first, columns, best);
    }
}

/// The product of `R` rows from `first` on.
#[target_feature(enable = "avx2,fma")]
fn add_rows<const R: usize>(
    x: &Quantized,
    first: usize,
    tile: Tile<'_>,
    groups: Range<usize>,
    out: &mut [f32],
) {
    if groups.start == 0 {
        out.fill(0.0);
    }
    let out = &mut out.as_chunks_mut::<8>().0[..R * BLOCK / 8];
    let mut activations = [[Pairs::default(); R]; MOST_BLOCKS];
    for group in groups {
        let blocks = tile.blocks(group..group + 1);
        let activations = &mut activations[..blocks.len()];
        for (block, activations) in blocks.clone().zip(&mut *activations) {
            let quants = &x.quants[(block * x.rows() + first) * BLOCK..][..R * BLOCK];
            let low = x.low_place(first, block).map(|place| &x.low()[place..][..R * BLOCK]);
            for r in 0..R {
                activations[r] = pairs(quants, low, r);
            }
        }
        // The correction of a group of 14 bits counts 128 times, as its first plane does.
        let shift = if x.precision().is_int14(group) { 7 } else { 0 };
        let at = group * x.rows() + first;
        let (scales, corrections) = (&x.scales[at..][..R], &x.corrections[at..][..R]);
        let weight_scales = tile.scales[group].0.as_chunks::<8>().0;
        for half in 0..2 {
            let mut products = [[_mm256_setzero_si256(); 2]; R];
            for (quants, activations) in tile.quants[blocks.clone()].iter().zip(&*activations) {
                multiply::<R>(activations, &quants.0, half, &mut products);
            }
            for r in 0..R {
                let correction = _mm256_set1_epi32(corrections[r] << shift);
                let scale = _mm256_set1_ps(scales[r]);
                for part in 0..2 {
                    let quarter = 2 * half + part;
                    let product =
                        _mm256_cvtepi32_ps(_mm256_add_epi32(products[r][part], correction));
                    let scale = _mm256_mul_ps(load(&weight_scales[quarter]), scale);
                    let result = &mut out[r * 4 + quarter];
                    let mut value = _mm256_fmadd_ps(product, scale, load(result));
                    if let Some(minimums) = tile.minimums {
                        let minimums = load(&minimums[group].0.as_chunks::<8>().0[quarter]);
                        let activation =
                            _mm256_set1_ps(x.quant_sum(first + r, group) as f32 * scales[r]);
                        value = _mm256_fmadd_ps(activation, minimums, value);
                    }
                    // SAFETY: 8 values are one register.
                    unsafe { _mm256_storeu_ps(result.as_mut_ptr(), value) };
                }
            }
        }
    }
}

/// The quants of row `r` of some, with those of the second plane where there is one.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn pairs(quants: &[i8], low: Option<&[i8]>, r: usize) -> Pairs {
    let halves = |quants: &[i8]| {
        let quants: *const __m256i = quants.as_chunks::<BLOCK>().0[r].as_ptr().cast();
        // SAFETY: 32 bytes are one register.
        let quants = unsafe { _mm256_loadu_si256(quants) };
        let even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(quants));
        [even, _mm256_srai_epi16::<8>(quants)]
    };
    let mut sums = halves(quants);
    if let Some(low) = low {
        let low = halves(low);
        for i in 0..2 {
            sums[i] = _mm256_add_epi16(_mm256_slli_epi16::<7>(sums[i]), low[i]);
        }
    }
    let mut pairs = Pairs::default();
    for i in 0..2 {
        // SAFETY: 8 integers of 32 bits are one register.
        unsafe { _mm256_storeu_si256(pairs[i].as_mut_ptr().cast(), sums[i]) };
    }
    pairs
}

/// Adds the integer products of a block: `R` rows and 16 columns, one half of a tile.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn multiply<const R: usize>(
    activations: &[Pairs; R],
    weights: &[u8; BLOCK * BLOCK],
    half: usize,
    sums: &mut [[__m256i; 2]; R],
) {
    let even_bytes = _mm256_set1_epi16(0xff);
    for group in 0..BLOCK / 4 {
        for part in 0..2 {
            let weights = &weights.as_chunks::<BLOCK>().0[group * 4 + half * 2 + part];
            // SAFETY: 32 bytes are one register.
            let weights = unsafe { _mm256_loadu_si256(weights.as_ptr().cast()) };
            let even = _mm256_and_si256(weights, even_bytes);
            let odd = _mm256_srli_epi16::<8>(weights);
            for r in 0..R {
                let [even_pair, odd_pair] = [0, 1].map(|i| activations[r][i][group]);
                let even = _mm256_madd_epi16(even, _mm256_set1_epi32(even_pair));
                let odd = _mm256_madd_epi16(odd, _mm256_set1_epi32(odd_pair));
                sums[r][part] = _mm256_add_epi32(sums[r][part], _mm256_add_epi32(even, odd));
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load(values: &[f32; 8]) -> __m256 {
    // SAFETY: 8 values are one register.
    unsafe { _mm256_loadu_ps(values.as_ptr()) }
}
