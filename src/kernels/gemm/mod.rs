//! Matrix products: int8 activations times packed weights, a tile of 32 outputs a unit of work.
//!
//! The arithmetic is defined, and the same on every instruction set. An output starts at 0; for
//! each group of inputs (one, two or four blocks of 32 that share a scale), in ascending order, it
//! becomes `fma(integer sum, weight scale * activation scale, output)`, where the sum of a group of 14
//! bits is that of both its planes, and then, where the weights have minimums,
//! `fma(sum of activations * activation scale, minimum, output)`. One row has no special case. So a
//! row's result depends on nothing but the row.
//!
//! Three ways to use a product: store it, feed gate and up products into the next product's
//! activations, or keep only the position of its maximum.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
mod epilogue;
pub(super) mod kernel;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_dot;
#[cfg(target_arch = "aarch64")]
mod neon_i8mm;
#[cfg(target_arch = "x86_64")]
mod prefetch;
mod scalar;

use std::sync::Arc;

pub use epilogue::Activation;

use super::disjoint::Disjoint;
use super::packed::Packed;
use super::{BLOCK, Executor, Pool, Precision, Quantized, Tiled};
use epilogue::GatedGroup;
use kernel::RESIDENT;

/// Multiply-adds that are taken at once, where tiles are small: some 5 us, so that taking them
/// costs little and the last ones are not waited for long.
const TASK: usize = 1 << 19;

/// The first two matrices of a gated feed-forward network.
#[derive(Debug, Clone)]
pub struct GateUp {
    /// What goes through the activation.
    pub gate: Packed,
    /// What is multiplied with that.
    pub up: Packed,
    /// The activation.
    pub activation: Activation,
}

/// Room for what a thread computes and does not hand out; kept, so that steps allocate nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    threads: Vec<ThreadScratch>,
}

#[derive(Debug, Default)]
struct ThreadScratch {
    gates: Vec<f32>,
    ups: Vec<f32>,
    best: Vec<(f32, u32)>,
}

/// `out` = `x` · `w`ᵀ; `out` takes the shape (rows, padded outputs).
///
/// # Panics
/// When `x` is not as wide as `w` has inputs, or has other groups.
pub fn gemm(exec: &mut Executor, x: &Quantized, w: &Packed, out: &mut Tiled) {
    check_width(x, w);
    out.resize(x.rows(), w.tiles() * BLOCK);
    let length = x.rows() * BLOCK;
    let out = Disjoint::new(&mut out.values);
    for_tiles(&mut exec.pool, w.tiles(), length * w.inputs(), |_, tile| {
        // SAFETY: every tile is computed once, and this part is the tile's own.
        let out = unsafe { out.part(tile * length..(tile + 1) * length) };
        product(x, w, tile, out);
    });
}

/// `out` = activation(`x` · gateᵀ) * (`x` · upᵀ), quantized: a tile of outputs is a block of the
/// next product's inputs, and the tiles of one group of these are computed together. Padded outputs
/// are zeros there.
///
/// # Panics
/// When `x` is not as wide as the matrices have inputs or has other groups, these have different
/// outputs, or `precision` is not as wide as they, padding included.
pub fn gate_up(
    exec: &mut Executor,
    x: &Quantized,
    weights: &GateUp,
    scratch: &mut Scratch,
    precision: &Arc<Precision>,
    out: &mut Quantized,
) {
    let GateUp { gate, up, activation } = weights;
    check_width(x, gate);
    check_width(x, up);
    assert_eq!(gate.outputs(), up.outputs(), "outputs of gate and up");
    let (rows, tiles, group) = (x.rows(), gate.tiles(), precision.group());
    assert_eq!(precision.blocks(), tiles, "blocks of the next product's inputs");
    out.resize(rows, precision);
    if rows == 0 {
        return;
    }
    scratch.resize(exec.pool.threads(), rows, group);
    let threads = Disjoint::new(&mut scratch.threads);
    let (quants, low) = out.quants.split_at_mut(rows * tiles * BLOCK);
    let (quants, low) = (Disjoint::new(quants), Disjoint::new(low));
    let scales = Disjoint::new(&mut out.scales);
    let corrections = Disjoint::new(&mut out.corrections);
    let multiply_adds = 2 * group * rows * BLOCK * x.width();
    for_tiles(&mut exec.pool, precision.groups(), multiply_adds, |thread, at| {
        // Blocks of all rows.
        let blocks = |first: usize| first * rows * BLOCK..(first + group) * rows * BLOCK;
        let of_rows = || at * rows..(at + 1) * rows;
        let first = at * group;
        // SAFETY: a thread works on one group at a time, and no other thread uses its scratch.
        let own = unsafe { &mut threads.part(thread..thread + 1)[0] };
        // SAFETY: every group is computed once, and these parts are the group's own.
        let gated = unsafe {
            GatedGroup {
                quants: quants.part(blocks(first)),
                low: precision.low(first).map(|first| low.part(blocks(first))),
                scales: scales.part(of_rows()),
                corrections: corrections.part(of_rows()),
            }
        };
        let ThreadScratch { gates, ups, .. } = own;
        for (weights, products) in [(gate, &mut *gates), (up, &mut *ups)] {
            for (tile, out) in products.chunks_exact_mut(rows * BLOCK).enumerate() {
                product(x, weights, first + tile, out);
            }
        }
        // SAFETY: the kernel exists only where the processor has its instruction set.
        unsafe { gate.kernel().gate(*activation, gates, ups, gated) };
    });
}

/// The highest output of each row and its index, the lowest of equal ones; the outputs themselves
/// are not stored. A row whose outputs are all NaN or minus infinity has minus infinity at 0.
///
/// # Panics
/// When `x` is not as wide as `w` has inputs, or `best` has another length than `x` rows.
pub fn argmax(
    exec: &mut Executor,
    x: &Quantized,
    w: &Packed,
    scratch: &mut Scratch,
    best: &mut [(f32, u32)],
) {
    check_width(x, w);
    assert_eq!(best.len(), x.rows(), "rows to find the maximum of");
    scratch.resize(exec.pool.threads(), x.rows(), 1);
    let threads = Disjoint::new(&mut scratch.threads);
    for_tiles(&mut exec.pool, w.tiles(), x.rows() * BLOCK * w.inputs(), |thread, tile| {
        // SAFETY: a thread works on one tile at a time, and no other thread uses its scratch.
        let own = unsafe { &mut threads.part(thread..thread + 1)[0] };
        product(x, w, tile, &mut own.gates);
        let first = tile * BLOCK;
        let columns = BLOCK.min(w.outputs() - first);
        // SAFETY: the kernel exists only where the processor has its instruction set.
        unsafe { w.kernel().best(&own.gates, first, columns, &mut own.best) };
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
    /// Makes it fit as many tiles, and forgets earlier maxima.
    fn resize(&mut self, threads: usize, rows: usize, tiles: usize) {
        self.threads.resize_with(threads, ThreadScratch::default);
        for own in &mut self.threads {
            own.gates.resize(tiles * rows * BLOCK, 0.0);
            own.ups.resize(tiles * rows * BLOCK, 0.0);
            own.best.clear();
            own.best.resize(rows, (f32::NEG_INFINITY, 0));
        }
    }
}

fn check_width(x: &Quantized, w: &Packed) {
    let group = x.precision().group();
    assert_eq!((x.width(), group), (w.inputs(), w.group()), "activations and inputs of weights");
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

/// The product of all rows with a tile of `w`: `out` holds a row of 32 after another.
fn product(x: &Quantized, w: &Packed, tile: usize, out: &mut [f32]) {
    let (tile, groups) = (w.tile(tile), x.precision().groups());
    // In parts of equal size: a short one would only load and store results.
    let part = groups.div_ceil((w.group() * groups).div_ceil(RESIDENT).max(1)).max(1);
    for first in (0..groups).step_by(part) {
        // SAFETY: the kernel exists only where the processor has its instruction set.
        unsafe { w.kernel().add_product(x, tile, first..groups.min(first + part), out) };
    }
}
