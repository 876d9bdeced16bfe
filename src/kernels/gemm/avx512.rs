//! The products with AVX-512 VNNI: up to 6 rows x 32 columns at a time.
//!
//! Of the 32 registers 12 hold integer sums of a block and 12 the f32 results; two hold weights
//! and one four activations of a row, broadcast. Both ports that can do so multiply: 8 `vpdpbusd`
//! for a block (16 for one of 14 bits), and for a group of blocks a product of scales and a
//! multiply-add, beside a conversion on other ports. So 8 / 10 of the peak of `vpdpbusd` are the limit
//! where a block has a scale, 16 / 18 where two share one.

#![allow(clippy::needless_range_loop, reason = "an index here numbers registers of several arrays")]

use std::arch::x86_64::*;
use std::hint::black_box;
use std::ops::Range;

use super::epilogue::{self, Activation, GatedGroup};
use super::kernel::{Kernel, Tile};
use super::prefetch::Ahead;
use crate::kernels::instructions::Avx512;
use crate::kernels::{BLOCK, Quantized};

/// Rows that the registers have room for.
const ROWS: usize = 6;

impl Kernel for Avx512 {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
    unsafe fn add_product(
        &self,
        x: &Quantized,
        tile: Tile<'_>,
        groups: Range<usize>,
        out: &mut [f32],
    ) {
        add_product::<false>(x, tile, groups, out);
    }

    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn gate(
        &self,
        activation: Activation,
        gates: &mut [f32],
        ups: &[f32],
        out: GatedGroup<'_>,
    ) {
        epilogue::gate(*self, activation, gates, ups, out);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
    unsafe fn best(&self, tile: &[f32], first: usize, columns: usize, best: &mut [(f32, u32)]) {
        epilogue::best(tile, first, columns, best);
    }
}

/// [`Kernel::add_product`] for weights that are stored as quant + 128 or, `SIGNED`, as the quant.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
pub(super) fn add_product<const SIGNED: bool>(
    x: &Quantized,
    tile: Tile<'_>,
    groups: Range<usize>,
    out: &mut [f32],
) {
    // Nearly as many rows at a time: few take as long as five, since each sum waits for the last.
    let (rows, turns) = (x.rows(), x.rows().div_ceil(ROWS));
    for turn in 0..turns {
        let (first, end) = (turn * rows / turns, (turn + 1) * rows / turns);
        let ahead = Ahead::share(turn, turns);
        let groups = groups.clone();
        let out = &mut out[first * BLOCK..end * BLOCK];
        match tile.minimums.is_some() {
            false => add_some::<SIGNED, false>(end - first, x, first, tile, groups, ahead, out),
            true => add_some::<SIGNED, true>(end - first, x, first, tile, groups, ahead, out),
        }
    }
}

/// [`add_product`] for up to [`ROWS`] rows from `first` on, which ask for `ahead` of each block and
/// group of the next ones.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
fn add_some<const SIGNED: bool, const MINIMUMS: bool>(
    rows: usize,
    x: &Quantized,
    first: usize,
    tile: Tile<'_>,
    groups: Range<usize>,
    ahead: Ahead,
    out: &mut [f32],
) {
    match rows {
        1 => add_rows::<1, SIGNED, MINIMUMS>(x, first, tile, groups, ahead, out),
        2 => add_rows::<2, SIGNED, MINIMUMS>(x, first, tile, groups, ahead, out),
        3 => add_rows::<3, SIGNED, MINIMUMS>(x, first, tile, groups, ahead, out),
        4 => add_rows::<4, SIGNED, MINIMUMS>(x, first, tile, groups, ahead, out),
        5 => add_rows::<5, SIGNED, MINIMUMS>(x, first, tile, groups, ahead, out),
        _ => add_rows::<ROWS, SIGNED, MINIMUMS>(x, first, tile, groups, ahead, out),
    }
}

/// The same for `R` rows from `first` on. Never inlined: each variant has the registers to itself.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
fn add_rows<const R: usize, const SIGNED: bool, const MINIMUMS: bool>(
    x: &Quantized,
    first: usize,
    tile: Tile<'_>,
    groups: Range<usize>,
    ahead: Ahead,
    out: &mut [f32],
) {
    let out = out.as_chunks_mut::<16>().0;
    assert_eq!(out.len(), 2 * R);
    let mut results = [[_mm512_setzero_ps(); 2]; R];
    if groups.start > 0 {
        for r in 0..R {
            results[r] = [load(&out[2 * r]), load(&out[2 * r + 1])];
        }
    }
    let (stride, size) = (x.rows(), tile.group);
    assert!(size == x.precision().group());
    assert!(first + R <= stride && groups.end <= x.precision().groups());
    let low_quants = x.low();
    assert!(low_quants.len() == x.precision().int14_blocks() * stride * BLOCK);
    let quants = &tile.quants[tile.blocks(groups.clone())];
    let weight_scales = &tile.scales[groups.clone()];
    let minimums = if MINIMUMS { &tile.minimums.expect("minimums")[groups.clone()] } else { &[] };
    // What is read next lies behind these blocks and groups.
    let (blocks, count) = (tile.blocks(groups.clone()), groups.len());
    for i in 0..count {
        let at = (groups.start + i) * stride + first;
        // SAFETY: R rows from `first` on are rows of the group, as asserted above, in both planes;
        // and there are as many scales, and minimums where they are used, as groups.
        unsafe {
            let (scales, corrections) = (x.scales.as_ptr().add(at), x.corrections.as_ptr().add(at));
            ahead.prefetch_values(tile, groups.end + i);
            let mut products = [[_mm512_setzero_si512(); 2]; R];
            for r in 0..R {
                products[r] = [_mm512_set1_epi32(*corrections.add(r)); 2];
            }
            let quants = &quants[i * size..(i + 1) * size];
            let block = blocks.start + i * size;
            let rows: *const i8 = x.quants.as_ptr().add((block * stride + first) * BLOCK);
            for j in 0..size {
                ahead.prefetch_quants(tile, block + blocks.len() + j);
                let rows = rows.add(j * stride * BLOCK).cast();
                multiply::<R, SIGNED>(rows, &quants.get_unchecked(j).0, &mut products);
            }
            let low = x.low_place(first, block);
            if let Some(place) = low {
                for r in 0..R {
                    for half in 0..2 {
                        products[r][half] = _mm512_slli_epi32::<7>(products[r][half]);
                    }
                }
                let rows = low_quants.as_ptr().add(place);
                for j in 0..size {
                    let rows = rows.add(j * stride * BLOCK).cast();
                    // As another address to the compiler: weights that it kept for this would take
                    // the registers of sums.
                    let quants = black_box(&quants.get_unchecked(j).0);
                    multiply::<R, SIGNED>(rows, quants, &mut products);
                }
            }
            let weight_scales = halves(&weight_scales.get_unchecked(i).0);
            for r in 0..R {
                let scale = _mm512_set1_ps(*scales.add(r));
                for half in 0..2 {
                    let scale = _mm512_mul_ps(weight_scales[half], scale);
                    let product = _mm512_cvtepi32_ps(products[r][half]);
                    results[r][half] = _mm512_fmadd_ps(product, scale, results[r][half]);
                }
            }
            if MINIMUMS {
                let minimums = halves(&minimums.get_unchecked(i).0);
                // Corrections over their unit are sums of quants; both operations are exact.
                let unit = if low.is_some() { -1.0 } else { -1.0 / 128.0 };
                for r in 0..R {
                    let sum = *corrections.add(r) as f32 * unit;
                    let activation = _mm512_set1_ps(sum * *scales.add(r));
                    for half in 0..2 {
                        results[r][half] =
                            _mm512_fmadd_ps(activation, minimums[half], results[r][half]);
                    }
                }
            }
        }
    }
    for r in 0..R {
        store(results[r][0], &mut out[2 * r]);
        store(results[r][1], &mut out[2 * r + 1]);
    }
}

/// Adds the integer products of a block: `R` rows of activations and 32 columns of weights.
///
/// # Safety
/// `activations` point to `R` rows of 32 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
unsafe fn multiply<const R: usize, const SIGNED: bool>(
    activations: *const i32,
    weights: &[u8; BLOCK * BLOCK],
    products: &mut [[__m512i; 2]; R],
) {
    // SAFETY: the caller promises the activations; 128 bytes of weights are two registers.
    unsafe {
        for group in 0..BLOCK / 4 {
            let weights: *const __m512i = weights.as_ptr().add(group * 4 * BLOCK).cast();
            let (mut low, mut high) =
                (_mm512_loadu_si512(weights), _mm512_loadu_si512(weights.add(1)));
            if SIGNED {
                let zero_point = _mm512_set1_epi8(-128);
                low = _mm512_xor_si512(low, zero_point);
                high = _mm512_xor_si512(high, zero_point);
            }
            for r in 0..R {
                let four = activations.add(r * BLOCK / 4 + group).read_unaligned();
                let four = _mm512_set1_epi32(four);
                products[r][0] = _mm512_dpbusd_epi32(products[r][0], low, four);
                products[r][1] = _mm512_dpbusd_epi32(products[r][1], high, four);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn halves(values: &[f32; BLOCK]) -> [__m512; 2] {
    let halves = values.as_chunks().0;
    [load(&halves[0]), load(&halves[1])]
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(values: &[f32; 16]) -> __m512 {
    // SAFETY: 16 values are one register.
    unsafe { _mm512_loadu_ps(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(values: __m512, out: &mut [f32; 16]) {
    // SAFETY: 16 values are one register.
    unsafe { _mm512_storeu_ps(out.as_mut_ptr(), values) }
}
