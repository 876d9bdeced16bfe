//! With how many bits the blocks of a row of activations are rounded: 8 or 14.
//!
//! A few channels of a decoder carry values tens of times larger than the others, always the same
//! ones. The largest value of a block sets the scale of all of it, so a few of the blocks make most
//! of the error. The worst ones, as many as the engine's calibration allows, get 14 bits: a second
//! plane of 8 bits, at the price of a second product with weights that are at hand. All others do
//! with 8.
//!
//! Which ones they are is a property of a place in the model, not of rows: a row's result depends
//! on nothing but the row.

use super::BLOCK;

/// The precision of each block of a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precision {
    /// Where in the low plane a block of 14 bits lies.
    low: Vec<Option<u32>>,
    int14_blocks: usize,
}

impl Precision {
    /// 8 bits for every block.
    ///
    /// # Panics
    /// When `width` is no multiple of 32, here and below.
    pub fn int8(width: usize) -> Precision {
        Precision::mixed(width, |_| false)
    }

    /// 14 bits for every block.
    pub fn int14(width: usize) -> Precision {
        Precision::mixed(width, |_| true)
    }

    /// 14 bits for the blocks for which `is_int14` holds, 8 for all others.
    pub fn mixed(width: usize, is_int14: impl Fn(usize) -> bool) -> Precision {
        assert!(width.is_multiple_of(BLOCK), "a width of {width} is no multiple of {BLOCK}");
        let mut count = 0;
        let mut place = |block| {
            is_int14(block).then(|| {
                count += 1;
                count - 1
            })
        };
        let low = (0..width / BLOCK).map(&mut place).collect();
        Precision { low, int14_blocks: count as usize }
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.low.len() * BLOCK
    }

    /// Blocks of a row.
    pub fn blocks(&self) -> usize {
        self.low.len()
    }

    /// Blocks of a row that have 14 bits.
    pub fn int14_blocks(&self) -> usize {
        self.int14_blocks
    }

    /// Where in the low plane a block lies, if it has 14 bits.
    #[inline(always)]
    pub fn low(&self, block: usize) -> Option<usize> {
        self.low[block].map(|place| place as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_14_bits_lie_one_after_another() {
        let check = |precision: Precision, expected: &[Option<usize>]| {
            let found: Vec<_> = (0..precision.blocks()).map(|block| precision.low(block)).collect();
            assert_eq!(found, expected);
            assert_eq!(precision.int14_blocks(), found.iter().flatten().count());
        };
        check(Precision::int8(96), &[None, None, None]);
        check(Precision::int14(96), &[Some(0), Some(1), Some(2)]);
        check(Precision::mixed(96, |block| block != 1), &[Some(0), None, Some(1)]);
    }
}
