//! Which blocks of activations are rounded finely.
//!
//! A few channels of a decoder carry values tens of times larger than the others, always the same
//! ones. The largest value of a block sets the step that all of it is rounded with, so a fifth of
//! the blocks make four fifths of the error. Fine blocks get a second plane of 8 bits, at the price of
//! a second product with weights that are at hand; all others do with one.
//!
//! Which ones they are is a property of a place in the model, not of rows: a row's result depends
//! on nothing but the row.

use super::BLOCK;

/// For each block of a row whether it is fine, and if so where in the second plane it lies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grain {
    second: Vec<Option<u32>>,
    fine: usize,
}

impl Grain {
    /// No block is fine.
    ///
    /// # Panics
    /// When `width` is no multiple of 32, here and below.
    pub fn coarse(width: usize) -> Grain {
        Grain::of(width, |_| false)
    }

    /// Every block is fine.
    pub fn fine(width: usize) -> Grain {
        Grain::of(width, |_| true)
    }

    /// The blocks for which `is_fine` holds are.
    pub fn of(width: usize, is_fine: impl Fn(usize) -> bool) -> Grain {
        assert!(width.is_multiple_of(BLOCK), "a width of {width} is no multiple of {BLOCK}");
        let mut fine = 0;
        let mut place = |block| {
            is_fine(block).then(|| {
                fine += 1;
                fine - 1
            })
        };
        let second = (0..width / BLOCK).map(&mut place).collect();
        Grain { second, fine: fine as usize }
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.second.len() * BLOCK
    }

    /// Blocks of a row.
    pub fn blocks(&self) -> usize {
        self.second.len()
    }

    /// Fine blocks of a row.
    pub fn fine_blocks(&self) -> usize {
        self.fine
    }

    /// Where in the second plane a block lies, if it is fine.
    #[inline(always)]
    pub fn second(&self, block: usize) -> Option<usize> {
        self.second[block].map(|place| place as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fine_blocks_lie_one_after_another() {
        let check = |grain: Grain, expected: &[Option<usize>]| {
            let found: Vec<_> = (0..grain.blocks()).map(|block| grain.second(block)).collect();
            assert_eq!(found, expected);
            assert_eq!(grain.fine_blocks(), found.iter().flatten().count());
        };
        check(Grain::coarse(96), &[None, None, None]);
        check(Grain::fine(96), &[Some(0), Some(1), Some(2)]);
        check(Grain::of(96, |block| block != 1), &[Some(0), None, Some(1)]);
    }
}
