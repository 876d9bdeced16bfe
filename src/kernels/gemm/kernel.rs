//! What an instruction set does for a matrix product, and the tiles of weights that it reads.

use std::fmt::Debug;
use std::ops::Range;

use super::epilogue::{Activation, GatedGroup};
use crate::kernels::{BLOCK, Quantized};

/// Most blocks of a tile that are multiplied with all rows before the next ones: their quants and
/// scales take 23 KiB, which leaves room for activations in a first-level cache of 32 KiB.
pub(super) const RESIDENT: usize = 20;

/// Matrix products with an instruction set. A value proves that the processor has it.
///
/// A kernel also owns how weights are packed for it: [`Kernel::pack`] and [`Kernel::quant`] may put
/// the bytes of a block in another order, or store quants with another zero point. A packed matrix
/// keeps its kernel, so no other one ever reads it.
pub(in crate::kernels) trait Kernel: Debug + Sync {
    /// Adds the product of all rows with some groups of a tile, of up to [`RESIDENT`] blocks, to `out`,
    /// a row of 32 after another; what `out` holds before the first group does not count.
    ///
    /// # Safety
    /// The processor has the instruction set, here and below.
    unsafe fn add_product(
        &self,
        x: &Quantized,
        tile: Tile<'_>,
        groups: Range<usize>,
        out: &mut [f32],
    );

    /// [`super::epilogue::gate`].
    ///
    /// # Safety
    /// As above.
    unsafe fn gate(
        &self,
        activation: Activation,
        gates: &mut [f32],
        ups: &[f32],
        out: GatedGroup<'_>,
    );

    /// [`super::epilogue::best`].
    ///
    /// # Safety
    /// As above.
    unsafe fn best(&self, tile: &[f32], first: usize, columns: usize, best: &mut [(f32, u32)]);

    /// Puts the quants of a column into a block of a tile.
    ///
    /// Unless a kernel has an order of its own, four inputs of all columns follow the four before
    /// them, as `vpdpbusd` and its relatives read them, and a byte is the quant + 128 (see
    /// [`place`]). So weights are the unsigned operand and activations the signed one, which then
    /// can be a broadcast from memory.
    fn pack(&self, column: usize, quants: &[i8; BLOCK], block: &mut TileQuants) {
        for (group, quants) in quants.as_chunks::<4>().0.iter().enumerate() {
            let bytes = quants.map(|quant| quant as u8 ^ 0x80);
            block.0[place(4 * group, column)..][..4].copy_from_slice(&bytes);
        }
    }

    /// Whether these quants of a column are small enough for a faster way to multiply, which a tile
    /// takes where they all are.
    fn is_narrow(&self, _quants: &[i8; BLOCK]) -> bool {
        false
    }

    /// Whether the sums of columns are kept with a tile, for [`Tile::sums`].
    fn keeps_sums(&self) -> bool {
        false
    }

    /// A quant that was packed.
    fn quant(&self, block: &TileQuants, column: usize, input: usize) -> i8 {
        (block.0[place(input, column)] ^ 0x80) as i8
    }
}

/// Where the quant of an input of a column lies, unless a kernel has an order of its own.
#[inline(always)]
pub(super) fn place(input: usize, column: usize) -> usize {
    (input / 4 * BLOCK + column) * 4 + input % 4
}

/// 32 outputs, which are columns of the product.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels) struct Tile<'a> {
    /// Blocks of inputs that share scales.
    pub group: usize,
    /// Of each block of inputs.
    pub quants: &'a [TileQuants],
    /// Of each group of blocks.
    pub scales: &'a [TileValues],
    pub minimums: Option<&'a [TileValues]>,
    /// Of each group of blocks the sum of the quants of each column, where the kernel keeps them.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "AVX2 asks for it"))]
    pub sums: Option<&'a [TileSums]>,
    /// Whether [`Kernel::is_narrow`] holds for all of its quants.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "AVX2 asks for it"))]
    pub is_narrow: bool,
}

impl Tile<'_> {
    /// The blocks of some groups.
    #[inline(always)]
    pub fn blocks(&self, groups: Range<usize>) -> Range<usize> {
        groups.start * self.group..groups.end * self.group
    }
}

/// The quants of a block of inputs of a tile, in the order of the kernel that packed them.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(in crate::kernels) struct TileQuants(pub [u8; BLOCK * BLOCK]);

/// The sum of a group's quants for each column of a tile: 128 of them at most, so below 2^15.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(in crate::kernels) struct TileSums(pub [i16; BLOCK]);

/// A value for each column of a tile.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(in crate::kernels) struct TileValues(pub [f32; BLOCK]);
