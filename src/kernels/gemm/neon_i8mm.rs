//! Products with NEON of eight inputs at a time, two rows by two columns, by `smmla`.
//!
//! Eight inputs of 8 rows and of 8 columns are 4 registers each, for 16 `smmla`. Of an odd number of
//! rows the last one goes with itself.

#![allow(clippy::needless_range_loop, reason = "an index here numbers registers of several arrays")]

use std::arch::aarch64::*;
use std::arch::asm;

use super::neon::{COLUMNS, Multiply, ROWS, Sums, Weights};
use crate::kernels::BLOCK;
use crate::kernels::instructions::I8mm;

/// Inputs that an instruction takes of a row or column.
const INPUTS: usize = 8;

/// Two rows.
const PAIRS: usize = ROWS / 2;

/// Registers of a pair of rows: eight inputs of the one, then of the other.
type Pair = [int8x16_t; BLOCK / INPUTS];

// SAFETY, of all blocks here but for `smmla`: every processor of this architecture has NEON, and 16
// bytes are one register.
#[allow(clippy::undocumented_unsafe_blocks, reason = "all for the reason above")]
impl Multiply for I8mm {
    const INPUTS: usize = INPUTS;

    type Activations<'a> = [Pair; PAIRS];

    #[inline(always)]
    fn arrange<const R: usize>(quants: &[[i8; BLOCK]; R]) -> [Pair; PAIRS] {
        let mut pairs = [[unsafe { vdupq_n_s8(0) }; BLOCK / INPUTS]; PAIRS];
        for pair in 0..R.div_ceil(2) {
            let first = quants[2 * pair].as_chunks::<16>().0;
            let second = quants[(2 * pair + 1).min(R - 1)].as_chunks::<16>().0;
            for half in 0..2 {
                unsafe {
                    let first = vreinterpretq_s64_s8(vld1q_s8(first[half].as_ptr()));
                    let second = vreinterpretq_s64_s8(vld1q_s8(second[half].as_ptr()));
                    let low = vreinterpretq_s8_s64(vzip1q_s64(first, second));
                    let high = vreinterpretq_s8_s64(vzip2q_s64(first, second));
                    (pairs[pair][2 * half], pairs[pair][2 * half + 1]) = (low, high);
                }
            }
        }
        pairs
    }

    /// Sums of pair p of rows and pair q of columns are number 4 p + q.
    #[inline(always)]
    unsafe fn add<const R: usize>(activations: &[Pair; PAIRS], weights: &Weights, sums: &mut Sums) {
        for (step, weights) in weights.as_chunks::<64>().0.iter().enumerate() {
            let weights = weights.as_chunks::<16>().0;
            for columns in 0..COLUMNS / 2 {
                let weights = unsafe { vreinterpretq_s8_u8(vld1q_u8(weights[columns].as_ptr())) };
                for pair in 0..R.div_ceil(2) {
                    let sums = &mut sums[2 * pair + columns / 2][columns % 2];
                    // SAFETY: the caller promises the instruction.
                    *sums = unsafe { matrix_product(*sums, activations[pair][step], weights) };
                }
            }
        }
    }

    #[inline(always)]
    fn row(sums: &Sums, row: usize) -> [int32x4_t; 2] {
        let mut of_row = sums[row];
        for i in 0..2 {
            let [left, right] = sums[row / 2 * 2 + i];
            unsafe {
                let (left, right) = (vreinterpretq_s64_s32(left), vreinterpretq_s64_s32(right));
                of_row[i] = vreinterpretq_s32_s64(match row % 2 {
                    0 => vzip1q_s64(left, right),
                    _ => vzip2q_s64(left, right),
                });
            }
        }
        of_row
    }
}

/// Adds the products of two rows and two columns: the first row's, then the second one's.
///
/// # Safety
/// The processor has `smmla`.
#[inline(always)]
unsafe fn matrix_product(mut sums: int32x4_t, rows: int8x16_t, columns: int8x16_t) -> int32x4_t {
    // By assembly, since the intrinsic is not stable.
    // SAFETY: the caller promises that the processor has it; it does nothing else.
    unsafe {
        asm!(
            ".arch_extension i8mm",
            "smmla {sums:v}.4s, {rows:v}.16b, {columns:v}.16b",
            sums = inout(vreg) sums,
            rows = in(vreg) rows,
            columns = in(vreg) columns,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}
