//! The products with NEON: up to 8 rows x 8 columns, a quarter of a tile, at a time.
//!
//! Of the 32 registers 16 hold integer sums of a group, the others weights and activations; the f32
//! results stay in the cache. What multiplies is one of three (see [`Multiply`]), and all else is
//! the same code.
//!
//! Weights are packed as they are, without a zero point, since both operands of these instructions
//! are signed. So products begin at 0, and corrections only tell the sums of activations.

#![allow(clippy::needless_range_loop, reason = "an index here numbers registers of several arrays")]

use std::arch::aarch64::*;
use std::fmt::Debug;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::epilogue::{self, Activation, GatedGroup};
use super::kernel::{Kernel, Tile, TileQuants};
use crate::kernels::blocks::GROUPS;
use crate::kernels::instructions::Neon;
use crate::kernels::{BLOCK, Quantized};

/// Rows that the registers have room for.
pub(super) const ROWS: usize = 8;

/// Columns that they have room for, in two registers of a row's sums.
pub(super) const COLUMNS: usize = 8;

/// Sums of a group.
pub(super) type Sums = [[int32x4_t; 2]; ROWS];

/// Blocks of the largest group.
const MOST_BLOCKS: usize = GROUPS[GROUPS.len() - 1];

/// The weights of a block and [`COLUMNS`]: [`Multiply::INPUTS`] inputs of all columns follow those
/// before them.
pub(super) type Weights = [u8; COLUMNS * BLOCK];

/// How the integers of a block are multiplied. A value proves that the processor can.
pub(super) trait Multiply: Debug + Sync {
    /// Inputs of a column that lie side by side.
    const INPUTS: usize;

    /// The quants of some rows' block, in the order in which they are read.
    type Activations<'a>;

    fn arrange<const R: usize>(quants: &[[i8; BLOCK]; R]) -> Self::Activations<'_>;

    /// Adds the products of `R` rows with 8 columns to sums, whose order is its own.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn add<const R: usize>(
        activations: &Self::Activations<'_>,
        weights: &Weights,
        sums: &mut Sums,
    );

    /// The sums of a row, column after column.
    fn row(sums: &Sums, row: usize) -> [int32x4_t; 2];
}

impl<M: Multiply> Kernel for M {
    unsafe fn add_product(
        &self,
        x: &Quantized,
        tile: Tile<'_>,
        groups: Range<usize>,
        out: &mut [f32],
    ) {
        // Nearly as many rows at a time: few share the loads of weights among less work.
        let (rows, turns) = (x.rows(), x.rows().div_ceil(ROWS));
        for turn in 0..turns {
            let (first, end) = (turn * rows / turns, (turn + 1) * rows / turns);
            let (groups, out) = (groups.clone(), &mut out[first * BLOCK..end * BLOCK]);
            // SAFETY: `self` proves it.
            unsafe {
                match tile.minimums.is_some() {
                    false => add_some::<M, false>(end - first, x, first, tile, groups, out),
                    true => add_some::<M, true>(end - first, x, first, tile, groups, out),
                }
            }
        }
    }

    unsafe fn gate(
        &self,
        activation: Activation,
        gates: &mut [f32],
        ups: &[f32],
        out: GatedGroup<'_>,
    ) {
        epilogue::gate(Neon, activation, gates, ups, out);
    }

    unsafe fn best(&self, tile: &[f32], first: usize, columns: usize, best: &mut [(f32, u32)]) {
        epilogue::best(tile, first, columns, best);
    }

    fn pack(&self, column: usize, quants: &[i8; BLOCK], block: &mut TileQuants) {
        let bytes = quants.map(|quant| quant as u8);
        for (group, bytes) in bytes.chunks_exact(M::INPUTS).enumerate() {
            let place = place::<M>(group * M::INPUTS, column);
            block.0[place..][..M::INPUTS].copy_from_slice(bytes);
        }
    }

    fn quant(&self, block: &TileQuants, column: usize, input: usize) -> i8 {
        block.0[place::<M>(input, column)] as i8
    }
}

/// Where the quant of an input of a column lies.
fn place<M: Multiply>(input: usize, column: usize) -> usize {
    let group = input / M::INPUTS * COLUMNS + column % COLUMNS;
    column / COLUMNS * COLUMNS * BLOCK + group * M::INPUTS + input % M::INPUTS
}

/// [`Kernel::add_product`] for up to [`ROWS`] rows from `first` on.
///
/// # Safety
/// The processor can do what `M` does.
unsafe fn add_some<M: Multiply, const MINIMUMS: bool>(
    rows: usize,
    x: &Quantized,
    first: usize,
    tile: Tile<'_>,
    groups: Range<usize>,
    out: &mut [f32],
) {
    // SAFETY: as the caller promises.
    unsafe {
        match rows {
            1 => add_rows::<M, 1, MINIMUMS>(x, first, tile, groups, out),
            2 => add_rows::<M, 2, MINIMUMS>(x, first, tile, groups, out),
            3 => add_rows::<M, 3, MINIMUMS>(x, first, tile, groups, out),
            4 => add_rows::<M, 4, MINIMUMS>(x, first, tile, groups, out),
            5 => add_rows::<M, 5, MINIMUMS>(x, first, tile, groups, out),
            6 => add_rows::<M, 6, MINIMUMS>(x, first, tile, groups, out),
            7 => add_rows::<M, 7, MINIMUMS>(x, first, tile, groups, out),
            _ => add_rows::<M, ROWS, MINIMUMS>(x, first, tile, groups, out),
        }
    }
}

/// The same for `R` rows. Never inlined: each variant has the registers to itself.
///
/// # Safety
/// The processor can do what `M` does.
#[inline(never)]
#[target_feature(enable = "neon")]
unsafe fn add_rows<M: Multiply, const R: usize, const MINIMUMS: bool>(
    x: &Quantized,
    first: usize,
    tile: Tile<'_>,
    groups: Range<usize>,
    out: &mut [f32],
) {
    if groups.start == 0 {
        out.fill(0.0);
    }
    let out: &mut [[f32; BLOCK]; R] = out.as_chunks_mut().0.first_chunk_mut().expect("R rows");
    for group in groups {
        let blocks = tile.blocks(group..group + 1);
        let at = group * x.rows() + first;
        let scales: &[f32; R] = x.scales[at..].first_chunk().expect("R rows");
        // What the registers have no room for beside sums is arranged before they are there.
        let (mut quants, mut low) = (Arranged::<'_, M>::new(), Arranged::<'_, M>::new());
        for block in blocks.clone() {
            quants.push::<R>(of_rows(&x.quants, (block * x.rows() + first) * BLOCK));
        }
        let is_int14 = x.precision().is_int14(group);
        if is_int14 {
            for block in blocks.clone() {
                let at = x.low_place(first, block).expect("a block of 14 bits");
                low.push::<R>(of_rows(x.low(), at));
            }
        }
        for part in 0..BLOCK / COLUMNS {
            let mut sums = [[vdupq_n_s32(0); 2]; ROWS];
            for (quants, weights) in quants.blocks().iter().zip(&tile.quants[blocks.clone()]) {
                // SAFETY: the caller promises what `M` needs.
                unsafe { M::add::<R>(quants, &weights.0.as_chunks().0[part], &mut sums) };
            }
            if is_int14 {
                for r in 0..ROWS {
                    sums[r] = [vshlq_n_s32::<7>(sums[r][0]), vshlq_n_s32::<7>(sums[r][1])];
                }
                for (low, weights) in low.blocks().iter().zip(&tile.quants[blocks.clone()]) {
                    // As another address to the compiler: weights that it kept for this would take
                    // the registers of sums.
                    let weights = black_box(&weights.0.as_chunks().0[part]);
                    // SAFETY: as above.
                    unsafe { M::add::<R>(low, weights, &mut sums) };
                }
            }
            let weight_scales = load(&tile.scales[group].0.as_chunks().0[part]);
            let minimums = match MINIMUMS {
                true => load(&tile.minimums.expect("minimums")[group].0.as_chunks().0[part]),
                false => weight_scales,
            };
            // Written out, since a loop of so much may remain one, and its sums be put into memory.
            macro_rules! finish_rows {
                ($($r:literal)*) => {$(
                    if $r < R {
                        let products = M::row(&sums, $r);
                        let out = &mut out[$r].as_chunks_mut::<COLUMNS>().0[part];
                        let mut values = load(out);
                        for i in 0..2 {
                            let scale = vmulq_n_f32(weight_scales[i], scales[$r]);
                            values[i] = vfmaq_f32(values[i], vcvtq_f32_s32(products[i]), scale);
                        }
                        if MINIMUMS {
                            let sum = x.quant_sum(first + $r, group);
                            for i in 0..2 {
                                values[i] = vfmaq_n_f32(values[i], minimums[i], sum * scales[$r]);
                            }
                        }
                        store(values, out);
                    }
                )*};
            }
            finish_rows!(0 1 2 3 4 5 6 7);
        }
    }
}

/// The activations of a group, arranged block by block.
struct Arranged<'a, M: Multiply> {
    blocks: [MaybeUninit<M::Activations<'a>>; MOST_BLOCKS],
    count: usize,
}

impl<'a, M: Multiply> Arranged<'a, M> {
    #[inline(always)]
    fn new() -> Self {
        Arranged { blocks: [const { MaybeUninit::uninit() }; MOST_BLOCKS], count: 0 }
    }

    #[inline(always)]
    fn push<const R: usize>(&mut self, rows: &'a [[i8; BLOCK]; R]) {
        self.blocks[self.count].write(M::arrange::<R>(rows));
        self.count += 1;
    }

    #[inline(always)]
    fn blocks(&self) -> &[M::Activations<'a>] {
        let blocks = &self.blocks[..self.count];
        // SAFETY: so many were written, and the layout is that of what is inside.
        unsafe { std::slice::from_raw_parts(blocks.as_ptr().cast(), blocks.len()) }
    }
}

/// A block of `R` rows, which lie one after another in a plane.
#[inline]
fn of_rows<const R: usize>(plane: &[i8], at: usize) -> &[[i8; BLOCK]; R] {
    plane[at..].as_chunks().0.first_chunk().expect("R rows")
}

#[inline(always)]
fn load(values: &[f32; COLUMNS]) -> [float32x4_t; 2] {
    // SAFETY: 8 values are two registers, and every processor of this architecture has NEON.
    unsafe { [vld1q_f32(values.as_ptr()), vld1q_f32(values.as_ptr().add(4))] }
}

#[inline(always)]
fn store(values: [float32x4_t; 2], out: &mut [f32; COLUMNS]) {
    // SAFETY: 8 values are two registers, and every processor of this architecture has NEON.
    unsafe {
        vst1q_f32(out.as_mut_ptr(), values[0]);
        vst1q_f32(out.as_mut_ptr().add(4), values[1]);
    }
}
