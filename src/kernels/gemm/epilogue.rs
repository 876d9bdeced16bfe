//! What follows a product while its tile is in the cache: gates and maxima.
//!
//! Plain code, inlined into functions that enable an instruction set, and the same bits on all.

use crate::kernels::{BLOCK, math, quantized::quantize_block};

/// The activation of a gated feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// x · sigmoid(x).
    Silu,
    /// GELU by its tanh approximation.
    GeluTanh,
}

/// Gates a tile and quantizes it, a block a row.
#[inline(always)]
pub(super) fn gate(
    act: Gate,
    gate: &[f32],
    up: &[f32],
    levels: &mut [i8],
    scales: &mut [f32],
    starts: &mut [i32],
) {
    match act {
        Gate::Silu => gate_with(math::silu, gate, up, levels, scales, starts),
        Gate::GeluTanh => gate_with(math::gelu_tanh, gate, up, levels, scales, starts),
    }
}

#[inline(always)]
fn gate_with(
    act: impl Fn(f32) -> f32,
    gate: &[f32],
    up: &[f32],
    levels: &mut [i8],
    scales: &mut [f32],
    starts: &mut [i32],
) {
    let gates = gate.as_chunks::<BLOCK>().0;
    let ups = up.as_chunks::<BLOCK>().0;
    let levels = levels.as_chunks_mut::<BLOCK>().0;
    let places = levels.iter_mut().zip(scales).zip(starts);
    for ((gate, up), ((levels, scale), start)) in gates.iter().zip(ups).zip(places) {
        let mut values = [0.0; BLOCK];
        for i in 0..BLOCK {
            values[i] = act(gate[i]) * up[i];
        }
        (*levels, *scale, *start) = quantize_block(&values);
    }
}

/// Updates the best output and its index of each row by the first `columns` of a tile, whose own
/// first is number `first`.
#[inline(always)]
pub(super) fn best(tile: &[f32], first: usize, columns: usize, best: &mut [(f32, u32)]) {
    for (row, best) in tile.as_chunks::<BLOCK>().0.iter().zip(best) {
        // A tile rarely has a new maximum, and this look at all of it is vector code.
        if row.iter().fold(false, |any, &value| any | (value > best.0)) {
            for (column, &value) in row[..columns].iter().enumerate() {
                if value > best.0 {
                    *best = (value, (first + column) as u32);
                }
            }
        }
    }
}
