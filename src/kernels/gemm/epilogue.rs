//! What follows a product while its tile is in the cache: gates and maxima.
//!
//! Plain code, inlined into functions that enable an instruction set, and the same bits on all.

use std::array;

use crate::kernels::lanes::{Lanes, load_block};
use crate::kernels::{BLOCK, math, quantized::quantize_group};

/// The activation of a gated feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x · sigmoid(x).
    Silu,
    /// GELU by its tanh approximation (Hendrycks & Gimpel 2016).
    GeluTanh,
}

/// A group of inputs of the next product, all rows of it.
pub(in crate::kernels) struct GatedGroup<'a> {
    /// Of a block after another.
    pub quants: &'a mut [i8],
    /// The low plane, of blocks of 14 bits.
    pub low: Option<&'a mut [i8]>,
    pub scales: &'a mut [f32],
    pub corrections: &'a mut [i32],
}

/// Gates the tiles of a group, one after another, in place, and quantizes them, a group a row.
#[inline(always)]
pub(super) fn gate<L: Lanes>(
    lanes: L,
    activation: Activation,
    gates: &mut [f32],
    ups: &[f32],
    out: GatedGroup<'_>,
) {
    match activation {
        Activation::Silu => gate_with(lanes, math::silu, gates, ups, out),
        Activation::GeluTanh => gate_with(lanes, math::gelu_tanh, gates, ups, out),
    }
}

#[inline(always)]
fn gate_with<L: Lanes>(
    lanes: L,
    activation: impl Fn(f32) -> f32,
    gates: &mut [f32],
    ups: &[f32],
    out: GatedGroup<'_>,
) {
    // Two loops, since a row's operations wait for one another from the first to the last: in one, a
    // processor has too few rows in view to do anything else meanwhile.
    for (gate, up) in gates.iter_mut().zip(ups) {
        *gate = activation(*gate) * up;
    }
    match gates.len() / BLOCK / out.scales.len() {
        1 => quantize_rows::<L, 1>(lanes, gates, out),
        2 => quantize_rows::<L, 2>(lanes, gates, out),
        _ => quantize_rows::<L, 4>(lanes, gates, out),
    }
}

/// Quantizes the rows of `N` tiles.
#[inline(always)]
fn quantize_rows<L: Lanes, const N: usize>(lanes: L, tiles: &[f32], out: GatedGroup<'_>) {
    let GatedGroup { quants, mut low, scales, corrections } = out;
    let rows = scales.len();
    let tiles = tiles.as_chunks::<BLOCK>().0;
    assert_eq!((tiles.len(), quants.len()), (N * rows, N * rows * BLOCK));
    for (row, (scale, correction)) in scales.iter_mut().zip(corrections).enumerate() {
        let mut values = [[lanes.splat(0.0); 2]; N];
        for i in 0..N {
            values[i] = load_block(lanes, &tiles[i * rows + row]);
        }
        let low = low.as_mut().map(|low| blocks_of_row::<N>(low, row, rows));
        let quants = blocks_of_row::<N>(quants, row, rows);
        (*scale, *correction) = quantize_group::<L, N>(lanes, values, quants, low);
    }
}

/// The blocks of a row, of `rows`, where a block of all rows comes after another.
#[inline(always)]
fn blocks_of_row<const N: usize>(quants: &mut [i8], row: usize, rows: usize) -> [&mut [i8]; N] {
    let mut blocks = quants.chunks_exact_mut(rows * BLOCK);
    array::from_fn(|_| {
        let block = blocks.next().expect("a block of all rows");
        &mut block[row * BLOCK..][..BLOCK]
    })
}

/// Updates the best output and its index of each row by the first `columns` of a tile, whose own
/// first is number `first`. Of equal outputs the lowest index is best, in whichever order tiles
/// come.
#[inline(always)]
pub(super) fn best(tile: &[f32], first: usize, columns: usize, best: &mut [(f32, u32)]) {
    for (row, best) in tile.as_chunks::<BLOCK>().0.iter().zip(best) {
        // A tile rarely has a new maximum, and this look at all of it is vector code.
        if row.iter().fold(false, |any, &value| any | (value >= best.0)) {
            for (index, &value) in (first as u32..).zip(&row[..columns]) {
                if value > best.0 || (value == best.0 && index < best.1) {
                    *best = (value, index);
                }
            }
        }
    }
}
