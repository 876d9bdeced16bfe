//! The products with AVX2: up to 4 rows x 16 columns at a time.
//!
//! `vpmaddubsw` multiplies unsigned bytes, here activations + 128, with signed ones, weights, and adds
//! up two products in 16 bits, which saturate. Where the quants of a tile are small enough next to one
//! another ([`has_int16_sums`]), two such sums can be added in 16 bits as well, before `vpmaddwd` by
//! ones widens them: five instructions for 64 multiply-adds. What the 128 are too much is known for
//! each column, whose sum is kept with the weights, and taken off where a group's sum begins.
//!
//! Other tiles, groups of 14 bits, and the few rows for which the columns' sums would not pay take
//! quants in 16 bits: so a quant of 14 bits costs what one of 8 does, and both planes of its block are
//! one product. Of a column's four weights, which lie side by side, the even and the odd ones are the
//! two halves of 16-bit lanes; `vpmaddwd` multiplies either with the activations that belong to them,
//! a broadcast of two, and leaves one sum a column: nine to ten instructions for 64.
//!
//! 8 registers hold sums; the f32 results stay in the cache.

#![allow(clippy::needless_range_loop, reason = "an index here numbers registers of several arrays")]

use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::{MaybeUninit, transmute};
use std::ops::Range;

use super::epilogue::{self, Activation, GatedGroup};
use super::kernel::{Kernel, RESIDENT, Tile, TileQuants, TileSums, place};
use super::prefetch::Ahead;
use crate::kernels::blocks::{GROUPS, has_int16_sums};
use crate::kernels::instructions::Avx2;
use crate::kernels::{BLOCK, Quantized};

/// Rows that the registers have room for.
const ROWS: usize = 4;

/// Fewest rows for which the sums of columns are worth reading.
const NARROW_ROWS: usize = 3;

/// Blocks of the largest group.
const MOST_BLOCKS: usize = GROUPS[GROUPS.len() - 1];

/// The quants of a row's block in 16 bits: of each four the even ones, then of each four the odd ones.
type Pairs = [[i32; BLOCK / 4]; 2];

/// -128 · the sum of the weights of each column.
type ColumnSums = [[i32; 8]; BLOCK / 8];

impl Kernel for Avx2 {
    #[target_feature(enable = "avx2,fma")]
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
        let of_tile = tile.sums.filter(|_| tile.is_narrow && x.rows() >= NARROW_ROWS);
        let mut sums = [None; RESIDENT];
        for (group, sums) in groups.clone().zip(&mut sums) {
            *sums = of_tile
                .filter(|_| !x.precision().is_int14(group))
                .map(|of_tile| times_minus_128(&of_tile[group]));
        }
        let sums = &sums[..groups.len()];
        // Nearly as many rows at a time.
        let (rows, turns) = (x.rows(), x.rows().div_ceil(ROWS));
        for turn in 0..turns {
            let (first, end) = (turn * rows / turns, (turn + 1) * rows / turns);
            let ahead = Ahead::share(turn, turns);
            let groups = groups.clone();
            let out = &mut out[first * BLOCK..end * BLOCK];
            match end - first {
                1 => add_rows::<1>(x, first, tile, groups, sums, ahead, out),
                2 => add_rows::<2>(x, first, tile, groups, sums, ahead, out),
                3 => add_rows::<3>(x, first, tile, groups, sums, ahead, out),
                _ => add_rows::<ROWS>(x, first, tile, groups, sums, ahead, out),
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
        epilogue::gate(*self, activation, gates, ups, out);
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn best(&self, tile: &[f32], first: usize, columns: usize, best: &mut [(f32, u32)]) {
        epilogue::best(tile, first, columns, best);
    }

    /// The order is the common one, but quants are what they are: weights are the signed operand.
    fn pack(&self, column: usize, quants: &[i8; BLOCK], block: &mut TileQuants) {
        for (group, quants) in quants.as_chunks::<4>().0.iter().enumerate() {
            let bytes = quants.map(|quant| quant as u8);
            block.0[place(4 * group, column)..][..4].copy_from_slice(&bytes);
        }
    }

    fn is_narrow(&self, quants: &[i8; BLOCK]) -> bool {
        has_int16_sums(quants)
    }

    fn keeps_sums(&self) -> bool {
        true
    }

    fn quant(&self, block: &TileQuants, column: usize, input: usize) -> i8 {
        block.0[place(input, column)] as i8
    }
}

/// What the products of a group begin at when activations are 128 too large.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn times_minus_128(sums: &TileSums) -> ColumnSums {
    let mut products = ColumnSums::default();
    for (product, sums) in products.iter_mut().zip(sums.0.as_chunks::<8>().0) {
        // SAFETY: 8 integers of 16 bits are half of a register, and 8 of 32 bits a whole one.
        unsafe {
            let sums = _mm256_cvtepi16_epi32(_mm_loadu_si128(sums.as_ptr().cast()));
            let negative = _mm256_sub_epi32(_mm256_setzero_si256(), sums);
            _mm256_storeu_si256(product.as_mut_ptr().cast(), _mm256_slli_epi32::<7>(negative));
        }
    }
    products
}

/// The product of `R` rows from `first` on, which ask for `ahead` of each block and group of the next
/// ones. `sums` has those of a group's columns where it is multiplied as bytes. Never inlined: each
/// variant has the registers to itself.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn add_rows<const R: usize>(
    x: &Quantized,
    first: usize,
    tile: Tile<'_>,
    groups: Range<usize>,
    sums: &[Option<ColumnSums>],
    ahead: Ahead,
    out: &mut [f32],
) {
    let out = &mut out.as_chunks_mut::<8>().0[..R * BLOCK / 8];
    let stride = x.rows();
    // Not cleared, which would take longer than what a part of a few groups gains by them.
    let mut bytes = [const { MaybeUninit::<[[u8; BLOCK]; R]>::uninit() }; MOST_BLOCKS];
    let mut wide = [const { MaybeUninit::<[Pairs; R]>::uninit() }; MOST_BLOCKS];
    let (asked_groups, asked_blocks) = (groups.len(), tile.blocks(groups.clone()).len());
    for (group, sums) in groups.zip(sums) {
        ahead.prefetch_values(tile, group + asked_groups);
        let blocks = tile.blocks(group..group + 1);
        for (i, block) in blocks.clone().enumerate() {
            ahead.prefetch_quants(tile, block + asked_blocks);
            let quants = &x.quants[(block * stride + first) * BLOCK..][..R * BLOCK];
            if sums.is_some() {
                add_128(quants, &mut bytes[i]);
            } else {
                pairs(quants, x.low_rows(first, R, block), &mut wide[i]);
            }
        }
        let scales = &x.scales[group * stride + first..][..R];
        let weight_scales = tile.scales[group].0.as_chunks::<8>().0;
        for half in 0..2 {
            let mut products = [[_mm256_setzero_si256(); 2]; R];
            let weights = tile.quants[blocks.clone()].iter();
            if let Some(sums) = sums {
                for r in 0..R {
                    for part in 0..2 {
                        products[r][part] = load_integers(&sums[2 * half + part]);
                    }
                }
                for (weights, activations) in weights.zip(&bytes) {
                    // SAFETY: those of each block of the group were written above.
                    let activations = unsafe { activations.assume_init_ref() };
                    multiply_bytes::<R>(activations, &weights.0, half, &mut products);
                }
            } else {
                for (weights, activations) in weights.zip(&wide) {
                    // SAFETY: as above.
                    let activations = unsafe { activations.assume_init_ref() };
                    multiply_wide::<R>(activations, &weights.0, half, &mut products);
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

/// The quants of `R` rows' block as unsigned bytes, 128 larger.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_128<const R: usize>(quants: &[i8], bytes: &mut MaybeUninit<[[u8; BLOCK]; R]>) {
    let quants: &[[i8; BLOCK]; R] = quants.as_chunks().0.first_chunk().expect("R rows");
    for r in 0..R {
        // SAFETY: 32 bytes are one register, and there is room for R of them.
        unsafe {
            let quants = _mm256_loadu_si256(quants[r].as_ptr().cast());
            let larger = _mm256_xor_si256(quants, _mm256_set1_epi8(-128));
            _mm256_storeu_si256(bytes.as_mut_ptr().cast::<__m256i>().add(r), larger);
        }
    }
}

/// The quants of `R` rows' block in 16 bits, with those of the second plane where there is one.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn pairs<const R: usize>(quants: &[i8], low: Option<&[i8]>, pairs: &mut MaybeUninit<[Pairs; R]>) {
    let halves = |quants: &[i8; BLOCK]| {
        // SAFETY: 32 bytes are one register.
        let quants = unsafe { _mm256_loadu_si256(quants.as_ptr().cast()) };
        let even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(quants));
        [even, _mm256_srai_epi16::<8>(quants)]
    };
    let of_rows = |quants| -> &[[i8; BLOCK]; R] {
        <[i8]>::as_chunks(quants).0.first_chunk().expect("R rows")
    };
    let (quants, low) = (of_rows(quants), low.map(of_rows));
    for r in 0..R {
        let mut sums = halves(&quants[r]);
        if let Some(low) = low {
            let low = halves(&low[r]);
            for i in 0..2 {
                sums[i] = _mm256_add_epi16(_mm256_slli_epi16::<7>(sums[i]), low[i]);
            }
        }
        for i in 0..2 {
            // SAFETY: 8 integers of 32 bits are one register, and a row's pairs are two.
            unsafe {
                let pairs = pairs.as_mut_ptr().cast::<__m256i>().add(2 * r + i);
                _mm256_storeu_si256(pairs, sums[i]);
            }
        }
    }
}

/// Adds the integer products of a block whose weights have sums of 16 bits: `R` rows and 16 columns,
/// one half of a tile.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn multiply_bytes<const R: usize>(
    activations: &[[u8; BLOCK]; R],
    weights: &[u8; BLOCK * BLOCK],
    half: usize,
    sums: &mut [[__m256i; 2]; R],
) {
    let weights = weights.as_chunks::<BLOCK>().0;
    for eight in 0..BLOCK / 8 {
        let mut of_fours = [[_mm256_setzero_si256(); 2]; 2];
        for four in 0..2 {
            for part in 0..2 {
                let place = (2 * eight + four) * 4 + 2 * half + part;
                of_fours[four][part] = load_bytes(&weights[place]);
            }
        }
        for r in 0..R {
            let fours = activations[r].as_chunks::<4>().0[2 * eight..].as_ptr().cast::<i32>();
            // SAFETY: there are two more fours in the block.
            let [a, b] = unsafe {
                let a = _mm256_set1_epi32(fours.read_unaligned());
                [a, _mm256_set1_epi32(fours.add(1).read_unaligned())]
            };
            for part in 0..2 {
                let first = _mm256_maddubs_epi16(a, of_fours[0][part]);
                let second = _mm256_maddubs_epi16(b, of_fours[1][part]);
                let sum = sums_of_two(_mm256_add_epi16(first, second));
                sums[r][part] = _mm256_add_epi32(sums[r][part], sum);
            }
        }
    }
}

/// The sums of neighbours of 16 bits: `vpmaddwd` by ones, which are read from memory each time. The
/// compiler would keep them in a register, for which a sum would go to the stack and back.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn sums_of_two(integers: __m256i) -> __m256i {
    // SAFETY: 16 integers of 16 bits are a register, aligned as it is.
    static ONES: __m256i = unsafe { transmute([1_i16; 16]) };
    let sums;
    // SAFETY: the 32 bytes of the ones are read, and nothing else happens.
    unsafe {
        asm!(
            "vpmaddwd {sums}, {integers}, ymmword ptr [rip + {ones}]",
            sums = lateout(ymm_reg) sums,
            integers = in(ymm_reg) integers,
            ones = sym ONES,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    sums
}

/// The same for any weights, and for activations of up to 15 bits.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn multiply_wide<const R: usize>(
    activations: &[Pairs; R],
    weights: &[u8; BLOCK * BLOCK],
    half: usize,
    sums: &mut [[__m256i; 2]; R],
) {
    let weights = weights.as_chunks::<BLOCK>().0;
    for group in 0..BLOCK / 4 {
        let mut even = [_mm256_setzero_si256(); 2];
        let mut odd = even;
        for part in 0..2 {
            let weights = load_bytes(&weights[group * 4 + half * 2 + part]);
            even[part] = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(weights));
            odd[part] = _mm256_srai_epi16::<8>(weights);
        }
        for r in 0..R {
            let even_pair = _mm256_set1_epi32(activations[r][0][group]);
            let odd_pair = _mm256_set1_epi32(activations[r][1][group]);
            for part in 0..2 {
                let even = _mm256_madd_epi16(even[part], even_pair);
                let odd = _mm256_madd_epi16(odd[part], odd_pair);
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

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load_integers(values: &[i32; 8]) -> __m256i {
    // SAFETY: 8 integers of 32 bits are one register.
    unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load_bytes(bytes: &[u8; BLOCK]) -> __m256i {
    // SAFETY: 32 bytes are one register.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}
