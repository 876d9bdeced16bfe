//! The products with AMX: 16 rows x 32 columns of a block of inputs are two instructions.
//!
//! A tile register has 16 rows of 64 bytes. Three kinds are used: activations (16 rows of 32 inputs),
//! weights (8 groups of four inputs of 16 columns, which is half a block as it lies in memory) and
//! integer sums (16 rows of 16 columns). Sums reach vector registers through memory alone, and every
//! group of blocks has scales of its own, so after each group its sums are stored, converted, scaled
//! and added to the results. To have that done while the next group is multiplied, the sums of a step
//! of two groups are read while those of the step behind it are computed.
//!
//! By the instructions' throughput a block of 16 rows x 32 columns takes 32 cycles of multiplication,
//! and a group, beside it, 48 of vector arithmetic; VNNI takes some 160 for a block.
//!
//! Weights are stored as signed bytes, so sums need no correction for a zero point. Fewer than 16 rows
//! go through the vector products, which move the zero point as they load.

use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::avx512::{self, halves, load, store};
use super::epilogue::{Activation, GatedGroup};
use super::kernel::{Kernel, Tile, TileQuants, place};
use super::prefetch::Ahead;
use crate::kernels::instructions::Amx;
use crate::kernels::{BLOCK, Quantized};

/// Rows of a tile register.
const ROWS: usize = 16;

/// Groups whose sums are multiplied together: four registers hold those of two.
const STEP: usize = 2;

/// Planes that a group of activations may have.
const PLANES: usize = 2;

/// Sums of a plane of a group: halves of the columns, each 16 rows of 16 columns.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Sums([[[i32; 16]; ROWS]; 2]);

/// The shapes of the tile registers, as `ldtilecfg` reads them: Intel's Software Developer's Manual,
/// volume 1, 18.2.1.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_of_row: [u16; 16],
    rows: [u8; 16],
}

/// Registers 0 to 3 are for sums, 4 and 5 for activations, 6 and 7 for weights.
const CONFIGURATION: Configuration = {
    let (sums, activations, weights) = (16, ROWS as u8, (BLOCK / 4) as u8);
    let mut configuration = Configuration {
        palette: 1,
        start_row: 0,
        reserved: [0; 14],
        bytes_of_row: [0; 16],
        rows: [0; 16],
    };
    let mut register = 0;
    while register < 8 {
        let (rows, bytes) = match register {
            0..4 => (sums, 64),
            4..6 => (activations, BLOCK as u16),
            _ => (weights, 64),
        };
        configuration.rows[register] = rows;
        configuration.bytes_of_row[register] = bytes;
        register += 1;
    }
    configuration
};

/// A plane of the activations of a group and the weights that it is multiplied with, at their first
/// block, and where the sums go.
#[derive(Clone, Copy)]
struct Product {
    activations: *const i8,
    weights: *const u8,
    sums: *mut Sums,
}

impl Kernel for Amx {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
    unsafe fn add_product(
        &self,
        x: &Quantized,
        tile: Tile<'_>,
        groups: Range<usize>,
        out: &mut [f32],
    ) {
        if x.rows() < ROWS {
            avx512::add_product::<true>(x, tile, groups, out);
            return;
        }
        // Configured for each call and released behind it: a thread of somebody else's may use tiles
        // of its own in between, and 8 KiB of them would be saved with every switch of threads.
        // SAFETY: the processor has AMX and this process the permission to use it; the configuration
        // is one of palette 1.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &CONFIGURATION, options(nostack, readonly)) };
        match tile.minimums.is_some() {
            false => add_tiles::<false>(x, tile, groups, out),
            true => add_tiles::<true>(x, tile, groups, out),
        }
        // SAFETY: as above.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }

    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn gate(
        &self,
        activation: Activation,
        gates: &mut [f32],
        ups: &[f32],
        out: GatedGroup<'_>,
    ) {
        // SAFETY: who has AMX has AVX-512.
        unsafe { self.0.gate(activation, gates, ups, out) };
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
    unsafe fn best(&self, tile: &[f32], first: usize, columns: usize, best: &mut [(f32, u32)]) {
        // SAFETY: who has AMX has AVX-512.
        unsafe { self.0.best(tile, first, columns, best) };
    }

    /// In the usual order, as signed bytes.
    fn pack(&self, column: usize, quants: &[i8; BLOCK], block: &mut TileQuants) {
        for (group, quants) in quants.as_chunks::<4>().0.iter().enumerate() {
            let bytes = quants.map(|quant| quant as u8);
            block.0[place(4 * group, column)..][..4].copy_from_slice(&bytes);
        }
    }

    fn quant(&self, block: &TileQuants, column: usize, input: usize) -> i8 {
        block.0[place(input, column)] as i8
    }
}

/// [`Kernel::add_product`] for 16 rows and more, with tiles configured.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
fn add_tiles<const MINIMUMS: bool>(
    x: &Quantized,
    tile: Tile<'_>,
    groups: Range<usize>,
    out: &mut [f32],
) {
    let (rows, size) = (x.rows(), tile.group);
    assert!(size == x.precision().group() && groups.end <= x.precision().groups());
    assert!(rows >= ROWS && out.len() == rows * BLOCK);
    assert!(x.low().len() == x.precision().int14_blocks() * rows * BLOCK);
    let out = out.as_chunks_mut::<16>().0;
    let turns = rows.div_ceil(ROWS);
    // 16 KiB that would take long to clear in each call; what is read was written before.
    let mut sums = [const { [const { [const { MaybeUninit::uninit() }; PLANES] }; STEP] }; 2];
    for turn in 0..turns {
        // The last rows are multiplied together with some before them, whose results are there.
        let done = turn * ROWS;
        let first = done.min(rows - ROWS);
        let ahead = Ahead::share(turn, turns);
        let steps = || groups.clone().step_by(STEP).map(|at| at..groups.end.min(at + STEP));
        let mut next = steps().skip(1);
        let request = |step: Range<usize>| {
            for group in step {
                ahead.prefetch_values(tile, group + groups.len());
                for block in tile.blocks(group..group + 1) {
                    ahead.prefetch_quants(tile, block + size * groups.len());
                }
            }
        };
        if let Some(step) = steps().next() {
            request(step.clone());
            multiply_step(x, tile, step, first, &mut sums[0]);
        }
        for (i, step) in steps().enumerate() {
            if let Some(next) = next.next() {
                request(next.clone());
                multiply_step(x, tile, next, first, &mut sums[(i + 1) % 2]);
            }
            for (group, sums) in step.zip(&sums[i % 2]) {
                let rows = done..rows.min(first + ROWS);
                // SAFETY: the sums of this step were written before those of the next.
                unsafe { add_group::<MINIMUMS>(x, tile, group, rows, done - first, sums, out) };
            }
        }
    }
}

/// The sums of 16 rows from `first` on for up to [`STEP`] groups.
#[inline]
#[target_feature(enable = "avx512f")]
fn multiply_step(
    x: &Quantized,
    tile: Tile<'_>,
    step: Range<usize>,
    first: usize,
    sums: &mut [[MaybeUninit<Sums>; PLANES]; STEP],
) {
    let (rows, size) = (x.rows(), tile.group);
    assert!(first + ROWS <= rows && step.end <= x.precision().groups());
    // From the first of 16 rows in a group's first block to the last of them in its last block.
    let length = ((size - 1) * rows + ROWS) * BLOCK;
    let mut waiting: Option<Product> = None;
    for (group, sums) in step.zip(sums) {
        let blocks = tile.blocks(group..group + 1);
        let high = (blocks.start * rows + first) * BLOCK;
        let low = x.low_place(first, blocks.start);
        let weights = tile.quants[blocks].as_ptr().cast();
        let [high_sums, low_sums] = sums;
        let high = Some((&x.quants[high..][..length], high_sums));
        let low = low.map(|place| (&x.low()[place..][..length], low_sums));
        for (activations, sums) in [high, low].into_iter().flatten() {
            let sums = sums.as_mut_ptr();
            let product = Product { activations: activations.as_ptr(), weights, sums };
            match waiting.take() {
                None => waiting = Some(product),
                // SAFETY: 16 rows of activations, the weights of a group and room for sums are there.
                Some(before) => unsafe { multiply(before, product, size, rows) },
            }
        }
    }
    if let Some(last) = waiting {
        // SAFETY: as above. Computed twice: groups that have no other beside them are few.
        unsafe { multiply(last, last, size, rows) };
    }
}

/// Two products of 16 rows with 32 columns, of `blocks` blocks, whose activations have `rows` rows.
///
/// # Safety
/// The tiles are configured as [`CONFIGURATION`] says, and each product points to 16 rows of 32
/// activations of each block, to the weights of all of them, and to sums that nobody else uses.
#[inline]
unsafe fn multiply(a: Product, b: Product, blocks: usize, rows: usize) {
    // Rows of activations, groups of four inputs and rows of sums are so many bytes apart.
    const _: () = assert!(BLOCK == 32 && size_of::<TileQuants>() == 1024);
    // SAFETY: the caller promises what is read and written.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{a_rows} + {row}*1]",
            "tileloadd tmm6, [{a_weights} + {row}*4]",
            "tileloadd tmm7, [{a_weights} + {row}*4 + 64]",
            "tdpbssd tmm0, tmm4, tmm6",
            "tdpbssd tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{b_rows} + {row}*1]",
            "tileloadd tmm6, [{b_weights} + {row}*4]",
            "tileloadd tmm7, [{b_weights} + {row}*4 + 64]",
            "tdpbssd tmm2, tmm5, tmm6",
            "tdpbssd tmm3, tmm5, tmm7",
            "add {a_rows}, {block}",
            "add {b_rows}, {block}",
            "add {a_weights}, 1024",
            "add {b_weights}, 1024",
            "dec {blocks}",
            "jnz 2b",
            "tilestored [{a_sums} + {row}*2], tmm0",
            "tilestored [{a_sums} + {row}*2 + 1024], tmm1",
            "tilestored [{b_sums} + {row}*2], tmm2",
            "tilestored [{b_sums} + {row}*2 + 1024], tmm3",
            a_rows = inout(reg) a.activations => _,
            a_weights = inout(reg) a.weights => _,
            a_sums = in(reg) a.sums,
            b_rows = inout(reg) b.activations => _,
            b_weights = inout(reg) b.weights => _,
            b_sums = in(reg) b.sums,
            blocks = inout(reg) blocks => _,
            block = in(reg) rows * BLOCK,
            row = in(reg) BLOCK,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// Adds the sums of a group to the results of `rows`, the first of which is row `at` of the sums.
///
/// # Safety
/// [`multiply_step`] wrote these sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
unsafe fn add_group<const MINIMUMS: bool>(
    x: &Quantized,
    tile: Tile<'_>,
    group: usize,
    rows: Range<usize>,
    at: usize,
    [high, low]: &[MaybeUninit<Sums>; PLANES],
    out: &mut [[f32; 16]],
) {
    // What rows have in common stays in registers; of each its sums, results and scale are read.
    let weight_scales = halves(&tile.scales[group].0);
    let minimums = tile.minimums.filter(|_| MINIMUMS).map(|minimums| halves(&minimums[group].0));
    let scales = &x.scales[group * x.rows()..][rows.clone()];
    let is_int14 = x.precision().is_int14(group);
    // SAFETY: the caller promises that the sums of each group were written, the second where it has
    // 14 bits.
    let (high, low) = unsafe {
        let high = high.assume_init_ref();
        (high, if is_int14 { low.assume_init_ref() } else { high })
    };
    let of_rows = |half: &[[i32; 16]; ROWS]| half[at..at + rows.len()].as_ptr();
    let [high, low] = [high, low].map(|sums| sums.0.each_ref().map(of_rows));
    let results = out[2 * rows.start..2 * rows.end].as_chunks_mut::<2>().0;
    for (i, (results, &scale)) in results.iter_mut().zip(scales).enumerate() {
        let activation_scale = _mm512_set1_ps(scale);
        for half in 0..2 {
            // SAFETY: there are as many sums as results.
            let mut sum = unsafe { load_integers(&*high[half].add(i)) };
            if is_int14 {
                // SAFETY: as above.
                let low = unsafe { load_integers(&*low[half].add(i)) };
                sum = _mm512_add_epi32(_mm512_slli_epi32::<7>(sum), low);
            }
            let before = if group > 0 { load(&results[half]) } else { _mm512_setzero_ps() };
            let both = _mm512_mul_ps(weight_scales[half], activation_scale);
            let mut result = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), both, before);
            if let Some(minimums) = minimums {
                let sum = x.quant_sum(rows.start + i, group);
                result = _mm512_fmadd_ps(_mm512_set1_ps(sum * scale), minimums[half], result);
            }
            store(result, &mut results[half]);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_integers(values: &[i32; 16]) -> __m512i {
    // SAFETY: 16 values are one register.
    unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
}
