//! The truth: the products in plain Rust, in the order that all instruction sets keep.

use std::ops::Range;

use crate::kernels::packed::Tile;
use crate::kernels::{BLOCK, Quantized};

/// Adds the product of all rows with some blocks of a tile to `out`, a row of 32 after another;
/// what `out` holds before the first block does not count.
pub(super) fn add_product(x: &Quantized, tile: Tile<'_>, blocks: Range<usize>, out: &mut [f32]) {
    if blocks.start == 0 {
        out.fill(0.0);
    }
    for (row, out) in out.chunks_exact_mut(BLOCK).enumerate() {
        for block in blocks.clone() {
            let at = block * x.rows() + row;
            for (column, out) in out.iter_mut().enumerate() {
                let product = |levels: &[i8]| -> i32 {
                    let byte = |input| (input / 4 * BLOCK + column) * 4 + input % 4;
                    let weight = |input| i32::from(tile.levels[block].0[byte(input)]);
                    let levels = levels[..BLOCK].iter().enumerate();
                    levels.map(|(input, &level)| weight(input) * i32::from(level)).sum()
                };
                let mut sum = x.starts[at] + product(&x.levels[at * BLOCK..]);
                if let Some(place) = x.low_place(row, block) {
                    sum = 128 * sum + product(&x.low()[place..]);
                }
                *out = (sum as f32).mul_add(tile.scales[block].0[column] * x.scales[at], *out);
                if let Some(minimums) = tile.minimums {
                    let activation = x.level_sum(row, block) as f32 * x.scales[at];
                    *out = activation.mul_add(minimums[block].0[column], *out);
                }
            }
        }
    }
}
