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
use super::blocks::GROUPS;

/// The precision of each block of a row, and how many of them share a scale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Precision {
    /// Blocks of a group.
    group: usize,
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
        Precision::grouped(width, 1, is_int14)
    }

    /// The same for groups of `group` blocks, each of which has one scale and one precision.
    ///
    /// # Panics
    /// When `group` is not 1, 2 or 4, or `width` no whole number of groups.
    pub fn grouped(width: usize, group: usize, is_int14: impl Fn(usize) -> bool) -> Precision {
        assert!(GROUPS.contains(&group), "groups of {group} blocks");
        let columns = group * BLOCK;
        assert!(width.is_multiple_of(columns), "a width of {width} is no multiple of {columns}");
        let mut count = 0;
        let mut low = Vec::with_capacity(width / BLOCK);
        // Asked once a group, so that its blocks lie together whatever is answered.
        for of_group in 0..width / columns {
            let begin = is_int14(of_group).then_some(count);
            low.extend((0..group as u32).map(|block| begin.map(|begin| begin + block)));
            count += begin.map_or(0, |_| group as u32);
        }
        Precision { group, low, int14_blocks: count as usize }
    }

    /// Blocks that share a scale.
    pub fn group(&self) -> usize {
        self.group
    }

    /// Groups of a row.
    pub fn groups(&self) -> usize {
        self.low.len() / self.group
    }

    /// Whether the blocks of a group have 14 bits.
    #[inline(always)]
    pub fn is_int14(&self, group: usize) -> bool {
        self.low[group * self.group].is_some()
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

    /// Where in the low plane a block lies, if it has 14 bits; those of a group lie one after another.
    #[inline(always)]
    pub fn low(&self, block: usize) -> Option<usize> {
        self.low[block].map(|place| place as usize)
    }
}

impl Default for Precision {
    /// Of no columns.
    fn default() -> Precision {
        Precision::int8(0)
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
        let grouped = Precision::grouped(192, 2, |group| group != 1);
        check(grouped.clone(), &[Some(0), Some(1), None, None, Some(2), Some(3)]);
        assert_eq!([0, 1, 2].map(|group| grouped.is_int14(group)), [true, false, true]);
    }
}
