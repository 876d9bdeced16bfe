//! What follows a product while its tile is in the cache: gates and maxima.
//!
//! Plain code, inlined into functions that enable an instruction set, and the same bits on all.

use crate::kernels::lanes::{Lanes, load_block};
use crate::kernels::{BLOCK, math, quantized::quantize_into};

/// The activation of a gated feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// x · sigmoid(x).
    Silu,
    /// GELU by its tanh approximation.
    GeluTanh,
}

/// A block of inputs of the next product, all rows of it.
pub(in crate::kernels) struct GatedBlock<'a> {
    pub quants: &'a mut [i8],
    /// The low plane, of a block of 14 bits.
    pub low: Option<&'a mut [i8]>,
    pub scales: &'a mut [f32],
    pub corrections: &'a mut [i32],
}

/// Gates a tile, in place, and quantizes it, a block a row.
#[inline(always)]
pub(super) fn gate<L: Lanes>(
    lanes: L,
    gate: Gate,
    gates: &mut [f32],
    ups: &[f32],
    out: GatedBlock<'_>,
) {
    match gate {
        Gate::Silu => gate_with(lanes, math::silu, gates, ups, out),
        Gate::GeluTanh => gate_with(lanes, math::gelu_tanh, gates, ups, out),
    }
}

#[inline(always)]
fn gate_with<L: Lanes>(
    lanes: L,
    activation: impl Fn(f32) -> f32,
    gates: &mut [f32],
    ups: &[f32],
    out: GatedBlock<'_>,
) {
    // Two loops, since a row's operations wait for one another from the first to the last: in one, a
    // processor has too few rows in view to do anything else meanwhile.
    for (gate, up) in gates.iter_mut().zip(ups) {
        *gate = activation(*gate) * up;
    }
    let GatedBlock { quants, mut low, scales, corrections } = out;
    let places = quants.chunks_exact_mut(BLOCK).zip(scales).zip(corrections);
    for (row, (values, ((quants, scale), correction))) in
        gates.as_chunks::<BLOCK>().0.iter().zip(places).enumerate()
    {
        let low = low.as_mut().map(|low| &mut low[row * BLOCK..(row + 1) * BLOCK]);
        (*scale, *correction) = quantize_into(lanes, load_block(lanes, values), quants, low);
    }
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
