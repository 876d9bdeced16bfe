//! Products with NEON of four inputs at a time: by `sdot`, where the processor has it, or by
//! widening products, which all have.
//!
//! Half a block of 8 rows are 8 registers, of which an instruction takes the four inputs that it is
//! told. So 16 inputs need 8 loads of activations and 8 of weights for 64 `sdot`.

#![allow(clippy::needless_range_loop, reason = "an index here numbers registers of several arrays")]

use std::arch::aarch64::*;
use std::arch::asm;

use super::neon::{Multiply, Sums, Weights};
use crate::kernels::BLOCK;
use crate::kernels::instructions::{Dotprod, Neon};

/// Products of a row with four columns, added up by columns.
pub(super) trait Dot {
    /// `FOUR` says which four of the row's sixteen inputs.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn dot<const FOUR: i32>(
        sums: int32x4_t,
        weights: int8x16_t,
        activations: int8x16_t,
    ) -> int32x4_t;
}

impl Dot for Dotprod {
    #[inline(always)]
    unsafe fn dot<const FOUR: i32>(
        mut sums: int32x4_t,
        weights: int8x16_t,
        activations: int8x16_t,
    ) -> int32x4_t {
        // By assembly, since the intrinsic is not stable.
        // SAFETY: the caller promises that the processor has it; it does nothing else.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {sums:v}.4s, {weights:v}.16b, {activations:v}.4b[{four}]",
                sums = inout(vreg) sums,
                weights = in(vreg) weights,
                activations = in(vreg) activations,
                four = const FOUR,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sums
    }
}

impl Dot for Neon {
    #[inline(always)]
    unsafe fn dot<const FOUR: i32>(
        sums: int32x4_t,
        weights: int8x16_t,
        activations: int8x16_t,
    ) -> int32x4_t {
        // SAFETY: every processor of this architecture has NEON.
        unsafe {
            let four = vdupq_laneq_s32::<FOUR>(vreinterpretq_s32_s8(activations));
            let four = vreinterpretq_s8_s32(four);
            let low = vmull_s8(vget_low_s8(weights), vget_low_s8(four));
            let high = vmull_high_s8(weights, four);
            // No activation is -128, so the sum of two products fits 16 bits.
            vpadalq_s16(sums, vpaddq_s16(low, high))
        }
    }
}

impl<D: Dot + std::fmt::Debug + Sync> Multiply for D {
    const INPUTS: usize = 4;

    type Activations<'a> = &'a [[i8; BLOCK]];

    #[inline(always)]
    fn arrange<const R: usize>(quants: &[[i8; BLOCK]; R]) -> &[[i8; BLOCK]] {
        quants
    }

    #[inline(always)]
    unsafe fn add<const R: usize>(
        activations: &&[[i8; BLOCK]],
        weights: &Weights,
        sums: &mut Sums,
    ) {
        let activations: &[[i8; BLOCK]; R] = activations.first_chunk().expect("R rows");
        for (half, weights) in weights.as_chunks::<128>().0.iter().enumerate() {
            let weights = weights.as_chunks::<16>().0;
            // SAFETY: 16 bytes are one register, and the caller promises the instructions.
            unsafe {
                let mut rows = [vdupq_n_s8(0); R];
                for r in 0..R {
                    rows[r] = vld1q_s8(activations[r].as_chunks::<16>().0[half].as_ptr());
                }
                add_four::<D, R, 0>(&rows, [&weights[0], &weights[1]], sums);
                add_four::<D, R, 1>(&rows, [&weights[2], &weights[3]], sums);
                add_four::<D, R, 2>(&rows, [&weights[4], &weights[5]], sums);
                add_four::<D, R, 3>(&rows, [&weights[6], &weights[7]], sums);
            }
        }
    }

    #[inline(always)]
    fn row(sums: &Sums, row: usize) -> [int32x4_t; 2] {
        sums[row]
    }
}

/// The products of four inputs of 8 columns.
///
/// # Safety
/// As [`Dot::dot`].
#[inline(always)]
unsafe fn add_four<D: Dot, const R: usize, const FOUR: i32>(
    rows: &[int8x16_t; R],
    weights: [&[u8; 16]; 2],
    sums: &mut Sums,
) {
    for i in 0..2 {
        // SAFETY: 16 bytes are one register, and the caller promises the instructions.
        unsafe {
            let weights = vreinterpretq_s8_u8(vld1q_u8(weights[i].as_ptr()));
            for r in 0..R {
                sums[r][i] = D::dot::<FOUR>(sums[r][i], weights, rows[r]);
            }
        }
    }
}
