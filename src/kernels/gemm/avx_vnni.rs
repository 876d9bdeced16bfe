//! The products with AVX-VNNI, which Intel's processors without AVX-512 have since Alder Lake: up to
//! 6 rows x 16 columns at a time.
//!
//! `vpdpbusd` multiplies bytes and adds four products a lane, as AVX-512 VNNI has it, on registers of
//! half the size and without operands that are broadcast from memory. Of the 16 registers 12 hold the
//! integer sums of a group, two hold weights and one four activations of a row, broadcast: 12
//! `vpdpbusd` for 8 loads. The f32 results stay in the cache.

#![allow(clippy::needless_range_loop, reason = "an index here numbers registers of several arrays")]

use std::arch::x86_64::*;
use std::ops::Range;

use super::epilogue::{self, Activation, GatedGroup};
use super::kernel::{Kernel, Tile};
use super::prefetch::Ahead;
use crate::kernels::instructions::AvxVnni;
use crate::kernels::{BLOCK, Quantized};

/// Rows that the registers have room for.
const ROWS: usize = 6;

impl Kernel for AvxVnni {
    #[target_feature(enable = "avxvnni,avx2,fma")]
    unsafe fn add_product(
        &self,
        x: &Quantized,
        tile: Tile<'_>,
        groups: Range<usize>,
        out: &mut [f32],
    ) {
        if groups.start == 0 {
            out.fill(0.0);
        }
        // Nearly as many rows at a time: few take as long as five, since each sum waits for the last.
        let (rows, turns) = (x.rows(), x.rows().div_ceil(ROWS));
        for turn in 0..turns {
            let (first, end) = (turn * rows / turns, (turn + 1) * rows / turns);
            let ahead = Ahead::share(turn, turns);
            let groups = groups.clone();
            let out = &mut out[first * BLOCK..end * BLOCK];
            match end - first {
                1 => add_rows::<1>(x, first, tile, groups, ahead, out),
                2 => add_rows::<2>(x, first, tile, groups, ahead, out),
                3 => add_rows::<3>(x, first, tile, groups, ahead, out),
                4 => add_rows::<4>(x, first, tile, groups, ahead, out),
                5 => add_rows::<5>(x, first, tile, groups, ahead, out),
                _ => add_rows::<ROWS>(x, first, tile, groups, ahead, out),
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn gate(
        &self,
        activation: Activation,
        gates: &mut [f32],
        ups: &[f32],
        out: GatedGroup<'_>,
    ) {
        epilogue::gate(self.0, activation, gates, ups, out);
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn best(&self, tile: &[f32], first: usize, columns: usize, best: &mut [(f32, u32)]) {
        epilogue::best(tile, first, columns, best);
    }
}

/// The product of `R` rows from `first` on, which ask for `ahead` of each block and group of the next
/// ones. Never inlined: each variant has the registers to itself.
#[inline(never)]
#[target_feature(enable = "avxvnni,avx2,fma")]
fn add_rows<const R: usize>(
    x: &Quantized,
    first: usize,
    tile: Tile<'_>,
    groups: Range<usize>,
    ahead: Ahead,
    out: &mut [f32],
) {
    let out = &mut out.as_chunks_mut::<8>().0[..R * BLOCK / 8];
    let stride = x.rows();
    let asked = tile.blocks(groups.clone()).len();
    for group in groups.clone() {
        ahead.prefetch_values(tile, group + groups.len());
        let blocks = tile.blocks(group..group + 1);
        let at = group * stride + first;
        let (scales, corrections) = (&x.scales[at..][..R], &x.corrections[at..][..R]);
        let weight_scales = tile.scales[group].0.as_chunks::<8>().0;
        for half in 0..2 {
            let mut products = [[_mm256_setzero_si256(); 2]; R];
            for r in 0..R {
                products[r] = [_mm256_set1_epi32(corrections[r]); 2];
            }
            for block in blocks.clone() {
                if half == 0 {
                    ahead.prefetch_quants(tile, block + asked);
                }
                let quants = &x.quants[(block * stride + first) * BLOCK..][..R * BLOCK];
                multiply::<R>(quants, &tile.quants[block].0, half, &mut products);
            }
            if x.precision().is_int14(group) {
                for r in 0..R {
                    products[r] = products[r].map(|sums| _mm256_slli_epi32::<7>(sums));
                }
                for block in blocks.clone() {
                    let place = x.low_place(first, block).expect("a second plane");
                    let quants = &x.low()[place..][..R * BLOCK];
                    multiply::<R>(quants, &tile.quants[block].0, half, &mut products);
                }
            }
            for r in 0..R {
                let scale = _mm256_set1_ps(scales[r]);
                for part in 0..2 {
                    let quarter = 2 * half + part;
                    let product = _mm256_cvtepi32_ps(products[r][part]);
                    let scale = _mm256_mul_ps(load(&weight_scales[quarter]), scale);
                    let result = &mut out[r * 4 + quarter];
                    let mut value = _mm256_fmadd_ps(product, scale, load(result));
                    if let Some(minimums) = tile.minimums {
                        let minimums = load(&minimums[group].0.as_chunks::<8>().0[quarter]);
                        let activation = _mm256_set1_ps(x.quant_sum(first + r, group) * scales[r]);
                        value = _mm256_fmadd_ps(activation, minimums, value);
                    }
                    // SAFETY: 8 values are one register.
                    unsafe { _mm256_storeu_ps(result.as_mut_ptr(), value) };
                }
            }
        }
    }
}

/// Adds the integer products of a block: `R` rows and 16 columns, one half of a tile.
#[inline]
#[target_feature(enable = "avxvnni,avx2,fma")]
fn multiply<const R: usize>(
    activations: &[i8],
    weights: &[u8; BLOCK * BLOCK],
    half: usize,
    products: &mut [[__m256i; 2]; R],
) {
    assert!(activations.len() == R * BLOCK);
    for group in 0..BLOCK / 4 {
        let weights = weights.as_chunks::<BLOCK>().0[group * 4 + half * 2..][..2].as_ptr();
        // SAFETY: two times 32 bytes of weights are two registers; each of R rows has 32 quants.
        unsafe {
            let low = _mm256_loadu_si256(weights.cast());
            let high = _mm256_loadu_si256(weights.add(1).cast());
            for r in 0..R {
                let four = activations.as_ptr().add(r * BLOCK + group * 4).cast::<i32>();
                let four = _mm256_set1_epi32(four.read_unaligned());
                products[r][0] = _mm256_dpbusd_avx_epi32(products[r][0], low, four);
                products[r][1] = _mm256_dpbusd_avx_epi32(products[r][1], high, four);
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
