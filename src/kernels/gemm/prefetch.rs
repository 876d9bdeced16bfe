//! Asking for weights before they are read.

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use std::ops::Range;

use super::kernel::{Tile, TileQuants, TileValues};

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// The lines of a block of weights that a turn of rows asks for some blocks before they are read:
/// weights that come from memory arrive sooner, others cost little.
#[derive(Clone)]
pub(super) struct Ahead {
    quants: Range<usize>,
    /// Of scales, and of minimums where there are some.
    values: Range<usize>,
}

impl Ahead {
    /// The share of turn `turn` of so many.
    pub fn share(turn: usize, turns: usize) -> Ahead {
        let (quants, values) = (size_of::<TileQuants>() / LINE, size_of::<TileValues>() / LINE);
        let [start, end] = [turn, turn + 1].map(|turn| (quants + values) * turn / turns);
        let values = start.max(quants) - quants..end.max(quants) - quants;
        Ahead { quants: start.min(quants)..end.min(quants), values }
    }

    /// Asks for the quants of a block. It may be that of a tile behind this one, or not be there at
    /// all, in which case nothing happens.
    #[inline]
    pub fn prefetch_quants(&self, tile: Tile<'_>, block: usize) {
        prefetch(tile.quants.as_ptr().wrapping_add(block), &self.quants);
    }

    /// The same for the scales, and minimums, of a group.
    #[inline]
    pub fn prefetch_values(&self, tile: Tile<'_>, group: usize) {
        prefetch(tile.scales.as_ptr().wrapping_add(group), &self.values);
        if let Some(minimums) = tile.minimums {
            prefetch(minimums.as_ptr().wrapping_add(group), &self.values);
        }
    }
}

#[inline]
fn prefetch<T>(block: *const T, lines: &Range<usize>) {
    for line in lines.clone() {
        // SAFETY: a hint, which reads nothing that the program would see.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(block.cast::<i8>().wrapping_add(line * LINE)) };
    }
}
