//! The truth: the products in plain Rust, in the order that all instruction sets keep.

use std::ops::Range;

use super::epilogue::{self, Activation, GatedGroup};
use super::kernel::{Kernel, Tile, place};
use crate::kernels::instructions::Scalar;
use crate::kernels::lanes::Plain;
use crate::kernels::{BLOCK, Quantized};

impl Kernel for Scalar {
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
        for (row, out) in out.chunks_exact_mut(BLOCK).enumerate() {
            for group in groups.clone() {
                let at = group * x.rows() + row;
                for (column, out) in out.iter_mut().enumerate() {
                    let product = |block: usize, quants: &[i8]| -> i32 {
                        let weight = |input| i32::from(tile.quants[block].0[place(input, column)]);
                        let quants = quants[..BLOCK].iter().enumerate();
                        quants.map(|(input, &quant)| weight(input) * i32::from(quant)).sum()
                    };
                    let mut sum = x.corrections[at];
                    for block in tile.blocks(group..group + 1) {
                        sum += product(block, &x.quants[(block * x.rows() + row) * BLOCK..]);
                    }
                    if x.precision().is_int14(group) {
                        sum *= 128;
                        for block in tile.blocks(group..group + 1) {
                            let place = x.low_place(row, block).expect("a block of 14 bits");
                            sum += product(block, &x.low()[place..]);
                        }
                    }
                    *out = (sum as f32).mul_add(tile.scales[group].0[column] * x.scales[at], *out);
                    if let Some(minimums) = tile.minimums {
                        let activation = x.quant_sum(row, group) * x.scales[at];
                        *out = activation.mul_add(minimums[group].0[column], *out);
                    }
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
        epilogue::gate(Plain, activation, gates, ups, out);
    }

    unsafe fn best(&self, tile: &[f32], first: usize, columns: usize, best: &mut [(f32, u32)]) {
        epilogue::best(tile, first, columns, best);
    }
}
