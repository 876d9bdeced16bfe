//! Where keys and values lie in the memory of a pool.
//!
//! A page holds its positions of all layers and KV heads, so that a sequence owns one list of
//! pages and giving a page away is one integer. Within it, a KV head of a layer has a block of
//! keys, `[head_dim / 2][64 positions]` and a scale for each position, and a block of values,
//! `[64 positions / 2][head_dim]` in panels of 64 columns one after another, so that a kernel reads
//! either from its begin to its end, as memory is fastest. They consist of 32-bit words: each
//! holds two elements that follow one another along the dimension that is summed over, the first in
//! its upper half. Integers are multiplied and added in pairs by `vpdpwssd`; of bf16, `vdpbf16ps`
//! adds the upper product first, so sums go in ascending order; and a word is one of its f32 values
//! as soon as the other half is gone.

use std::ops::Range;

/// Positions of a page.
pub const PAGE: usize = 64;

/// Columns of a panel; the last one of a block may have 32.
pub(super) const PANEL: usize = 64;

/// Elements that the scales of a block of keys take.
pub(super) const SCALES: usize = PAGE * size_of::<f32>() / size_of::<u16>();

/// What a page holds for each of its positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageShape {
    /// Layers of the model.
    pub layers: usize,
    /// Heads of a layer that have keys and values.
    pub kv_heads: usize,
    /// Dimensions of a head: a multiple of 32.
    pub head_dim: usize,
}

/// The number of a page in its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId(pub u32);

/// Where the keys and values of a row of activations go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowPlace {
    /// The page.
    pub page: PageId,
    /// The position in it, below [`PAGE`].
    pub offset: usize,
}

/// Where the pages of a pool are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub shape: PageShape,
    pub pages: usize,
}

impl Layout {
    /// Where the keys of a KV head begin; its values follow them.
    pub fn block(&self, page: PageId, layer: usize, kv_head: usize) -> usize {
        let PageShape { layers, kv_heads, head_dim } = self.shape;
        let page = page.0 as usize;
        assert!(page < self.pages, "page {page} of {}", self.pages);
        assert!(layer < layers && kv_head < kv_heads, "layer {layer}, KV head {kv_head}");
        ((page * layers + layer) * kv_heads + kv_head) * (2 * PAGE * head_dim + SCALES)
    }

    /// The keys of a KV head, `[head_dim / 2][64 positions]` of words, and their scales.
    pub fn keys(&self, page: PageId, layer: usize, kv_head: usize) -> Range<usize> {
        let at = self.block(page, layer, kv_head);
        at..at + PAGE * self.shape.head_dim + SCALES
    }

    /// Its values, `[64 positions / 2][head_dim]` of words.
    pub fn values(&self, page: PageId, layer: usize, kv_head: usize) -> Range<usize> {
        let keys = self.keys(page, layer, kv_head);
        keys.end..keys.end + PAGE * self.shape.head_dim
    }
}

impl PageShape {
    /// The elements of a page.
    pub fn page_values(self) -> usize {
        self.layers * self.kv_heads * (2 * PAGE * self.head_dim + SCALES)
    }
}

/// Where the element at (row, column) of a (rows, columns) block lies; a word is little-endian and
/// has the even row in its upper half.
#[inline(always)]
pub(super) fn slot(row: usize, column: usize, rows: usize, columns: usize) -> usize {
    let panel = column / PANEL * PANEL;
    let width = (columns - panel).min(PANEL);
    (panel * rows / 2 + row / 2 * width + column % PANEL) * 2 + (1 - row % 2)
}

/// The scales of the positions of a block of keys.
pub(super) fn scales(keys: &[u16]) -> [f32; PAGE] {
    let (_, scales) = keys.split_at(keys.len() - SCALES);
    let scales = scales.as_chunks::<2>().0;
    std::array::from_fn(|position| {
        let [low, high] = scales[position];
        f32::from_bits(u32::from(low) | u32::from(high) << 16)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_holds_two_rows_the_first_above() {
        let (rows, columns) = (4, 96);
        let mut block = vec![0u16; rows * columns];
        for at in 0..rows * columns {
            block[slot(at / columns, at % columns, rows, columns)] = at as u16;
        }
        let pair = |first: usize| [first + columns, first].map(|at| at as u16);
        // A panel of 64 columns, pair by pair, then one of 32.
        let expected = (0..64).chain(192..256).chain(64..96).chain(256..288).flat_map(pair);
        assert!(block.into_iter().eq(expected));
    }
}
