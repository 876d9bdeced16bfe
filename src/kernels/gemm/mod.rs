//! Matrix products: int8 activations times packed weights, a tile of 32 outputs a unit of work.
//!
//! The arithmetic is defined, and the same on every instruction set. An output starts at 0; for
//! each block of 32 inputs, in ascending order, it becomes
//! `fma(integer sum, weight scale * activation scale, output)` (that of a fine block is of both its
//! planes), and then, where the weights have
//! minimums, `fma(sum of activations * activation scale, minimum, output)`. One row has no special
//! case. So a row's result depends on nothing but the row.
//!
//! Three ways to use a product: store it, feed gate and up products into the next product's
//! activations, or keep only the position of its maximum.

#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(clippy::match_single_binding, reason = "other processors have the scalar arm alone")
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod epilogue;
mod scalar;

use std::ops::Range;
use std::sync::Arc;

pub use epilogue::Gate;

use epilogue::{Block, gate as apply_gate};

use super::disjoint::Disjoint;
#[cfg(target_arch = "x86_64")]
use super::isa::Level;
use super::lanes::with_lanes;
use super::packed::{Packed, Tile};
use super::{BLOCK, Grain, Isa, Pool, Quantized, Tiled};

/// Multiply-adds that are taken at once, where tiles are small: some 5 us, so that taking them
/// costs little and the last ones are not waited for long.
const TASK: usize = 1 << 19;

/// Most blocks of a tile that are multiplied with all rows before the next ones: their levels and
/// scales take 23 KiB, which leaves room for activations in a first-level cache of 32 KiB.
const RESIDENT: usize = 20;

/// Room for what a thread computes and does not hand out; kept, so that steps allocate nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    threads: Vec<Own>,
}

/// One thread's part of it.
#[derive(Debug, Default)]
struct Own {
    gate: Vec<f32>,
    up: Vec<f32>,
    best: Vec<(f32, u32)>,
}

/// `out` = `x` · `w`ᵀ; `out` takes the shape (rows, padded outputs).
///
/// # Panics
/// When `x` is not as wide as `w` has inputs.
pub fn gemm(isa: Isa, pool: &mut Pool, x: &Quantized, w: &Packed, out: &mut Tiled) {
    check_width(x, w);
    out.resize(x.rows(), w.tiles() * BLOCK);
    let length = x.rows() * BLOCK;
    let out = Disjoint::new(&mut out.values);
    for_tiles(pool, w.tiles(), length * w.inputs(), |_, tile| {
        // SAFETY: every tile is computed once, and this part is the tile's own.
        let out = unsafe { out.part(tile * length..(tile + 1) * length) };
        product(isa, x, w.tile(tile), out);
    });
}

/// `out` = `act`(`x` · `gate`ᵀ) * (`x` · `up`ᵀ), quantized: a tile of outputs is a block of the
/// next product's inputs. Padded outputs are zeros there.
///
/// # Panics
/// When `x` is not as wide as the matrices have inputs, these have different outputs, or `grain` is
/// not as wide as they, padding included.
#[allow(clippy::too_many_arguments, reason = "a struct for one call would only rename them")]
pub fn gate_up(
    isa: Isa,
    pool: &mut Pool,
    x: &Quantized,
    gate: &Packed,
    up: &Packed,
    act: Gate,
    scratch: &mut Scratch,
    grain: &Arc<Grain>,
    out: &mut Quantized,
) {
    check_width(x, gate);
    check_width(x, up);
    assert_eq!(gate.outputs(), up.outputs(), "outputs of gate and up");
    let (rows, tiles) = (x.rows(), gate.tiles());
    assert_eq!(grain.blocks(), tiles, "blocks of the next product's inputs");
    out.resize(rows, grain);
    scratch.resize(pool.threads(), rows);
    let threads = Disjoint::new(&mut scratch.threads);
    let (levels, low) = out.levels.split_at_mut(rows * tiles * BLOCK);
    let (levels, low) = (Disjoint::new(levels), Disjoint::new(low));
    let scales = Disjoint::new(&mut out.scales);
    let starts = Disjoint::new(&mut out.starts);
    for_tiles(pool, tiles, 2 * rows * BLOCK * x.width(), |thread, tile| {
        let place = |tile: usize, length: usize| tile * length..(tile + 1) * length;
        let part = |length: usize| place(tile, length);
        // SAFETY: a thread works on one tile at a time, and no other thread uses its scratch.
        let own = unsafe { &mut threads.part(thread..thread + 1)[0] };
        // SAFETY: every tile is computed once, and these parts are the tile's own.
        let block = unsafe {
            Block {
                levels: levels.part(part(rows * BLOCK)),
                low: grain.second(tile).map(|second| low.part(place(second, rows * BLOCK))),
                scales: scales.part(part(rows)),
                starts: starts.part(part(rows)),
            }
        };
        product(isa, x, gate.tile(tile), &mut own.gate);
        product(isa, x, up.tile(tile), &mut own.up);
        let (gate_tile, up_tile) = (&own.gate[..], &own.up[..]);
        with_lanes!(isa, apply_gate(
            act: Gate,
            gate_tile: &[f32],
            up_tile: &[f32],
            block: Block<'_>,
        ));
    });
}

/// The highest output of each row and its index, the lowest of equal ones; the outputs themselves
/// are not stored. A row whose outputs are all NaN or minus infinity has minus infinity at 0.
///
/// # Panics
/// When `x` is not as wide as `w` has inputs, or `best` has another length than `x` rows.
pub fn argmax(
    isa: Isa,
    pool: &mut Pool,
    x: &Quantized,
    w: &Packed,
    scratch: &mut Scratch,
    best: &mut [(f32, u32)],
) {
    check_width(x, w);
    assert_eq!(best.len(), x.rows(), "rows to find the maximum of");
    scratch.resize(pool.threads(), x.rows());
    let threads = Disjoint::new(&mut scratch.threads);
    for_tiles(pool, w.tiles(), x.rows() * BLOCK * w.inputs(), |thread, tile| {
        // SAFETY: a thread works on one tile at a time, and no other thread uses its scratch.
        let own = unsafe { &mut threads.part(thread..thread + 1)[0] };
        product(isa, x, w.tile(tile), &mut own.gate);
        let first = tile * BLOCK;
        let columns = BLOCK.min(w.outputs() - first);
        match isa.level() {
            // SAFETY: an `Isa` exists only where the processor has it.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni | Level::Avx512Bf16 => unsafe {
                avx512::best(&own.gate, first, columns, &mut own.best)
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { avx2::best(&own.gate, first, columns, &mut own.best) },
            _ => epilogue::best(&own.gate, first, columns, &mut own.best),
        }
    });
    best.fill((f32::NEG_INFINITY, 0));
    for own in &scratch.threads {
        for (best, &(value, index)) in best.iter_mut().zip(&own.best) {
            if value > best.0 || (value == best.0 && index < best.1) {
                *best = (value, index);
            }
        }
    }
}

impl Scratch {
    /// Makes it fit, and forgets earlier maxima.
    fn resize(&mut self, threads: usize, rows: usize) {
        self.threads.resize_with(threads, Own::default);
        for own in &mut self.threads {
            own.gate.resize(rows * BLOCK, 0.0);
            own.up.resize(rows * BLOCK, 0.0);
            own.best.clear();
            own.best.resize(rows, (f32::NEG_INFINITY, 0));
        }
    }
}

fn check_width(x: &Quantized, w: &Packed) {
    assert_eq!(x.width(), w.inputs(), "activations and inputs of the weights");
}

/// Calls `work(thread, tile)` for every tile: neighbours on one thread, so that what a kernel
/// fetches in advance is what its own thread computes next, and several at once where tiles are
/// small.
fn for_tiles(
    pool: &mut Pool,
    tiles: usize,
    multiply_adds_of_tile: usize,
    work: impl Fn(usize, usize) + Sync,
) {
    let at_once = (TASK / multiply_adds_of_tile.max(1)).max(1);
    pool.run_neighbours(tiles, at_once, work);
}

/// The product of all rows with a tile: `out` holds a row of 32 after another.
fn product(isa: Isa, x: &Quantized, tile: Tile<'_>, out: &mut [f32]) {
    let blocks = x.blocks();
    // In parts of equal size: a short one would only load and store results.
    let part = blocks.div_ceil(blocks.div_ceil(RESIDENT).max(1)).max(1);
    for first in (0..blocks).step_by(part) {
        add_product(isa, x, tile, first..blocks.min(first + part), out);
    }
}

/// Adds the product with some blocks of a tile; the first block starts from zero.
fn add_product(isa: Isa, x: &Quantized, tile: Tile<'_>, blocks: Range<usize>, out: &mut [f32]) {
    match isa.level() {
        // SAFETY: an `Isa` exists only where the processor has it.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni | Level::Avx512Bf16 => unsafe {
            avx512::add_product(x, tile, blocks, out)
        },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2::add_product(x, tile, blocks, out) },
        _ => scalar::add_product(x, tile, blocks, out),
    }
}
