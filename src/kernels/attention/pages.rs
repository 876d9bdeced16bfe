//! Keys and values in pages of 64 positions, as bf16.
//!
//! A page holds its positions of all layers and KV heads, so that a sequence owns one list of
//! pages and giving a page away is one integer. Within it, a KV head of a layer has a block of
//! keys, `[head_dim][64 positions]`, and a block of values, `[64 positions][head_dim]`: both are
//! read row by row, by scores (a query's dimension against many keys) and by their mixing (a
//! weight against many dimensions).
//!
//! Rows consist of lines of 32 values, a cache line each, in which value p < 16 lies at 2p and
//! value 16 + p at 2p + 1. Read as 16 little-endian 32-bit words, `word << 16` is thus the f32
//! vector of the first 16 values and `word & 0xffff_0000` that of the last, both in order.
//!
//! bf16 and not fp16, since activations of some models exceed 65,504.

use crate::kernels::{BLOCK, Pool, disjoint::Disjoint};

/// Positions of a page.
pub const PAGE: usize = 64;

/// Rows that one task of [`PagePool::write_rows`] writes: neighbours share cache lines of a page.
const TASK_ROWS: usize = 16;

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

/// All pages of an engine.
#[derive(Debug)]
pub struct PagePool {
    layout: Layout,
    memory: Vec<u16>,
    /// The positions of each page that the rows of a `write_rows` take, a bit each.
    taken: Vec<u64>,
}

/// Where things are in the memory of a pool.
#[derive(Debug, Clone, Copy)]
struct Layout {
    shape: PageShape,
    pages: usize,
    /// Where the first page begins: at a cache line's begin. The allocator does not promise that,
    /// and asking it to would have it write the zeros instead of leaving them to the operating
    /// system.
    start: usize,
}

impl PagePool {
    /// Pages of zeros; memory is taken when they are written.
    ///
    /// # Panics
    /// When a field of `shape` is 0, its `head_dim` is no multiple of 32, or the pages exceed the
    /// address space.
    pub fn new(shape: PageShape, pages: usize) -> PagePool {
        assert!(shape.layers > 0 && shape.kv_heads > 0 && shape.head_dim > 0, "{shape:?} is empty");
        let head_dim = shape.head_dim;
        assert!(head_dim.is_multiple_of(BLOCK), "{head_dim} dimensions are no multiple of {BLOCK}");
        let values = shape.page_values().checked_mul(pages).expect("pages fit the address space");
        let memory = vec![0u16; values + BLOCK - 1];
        let start = memory.as_ptr().align_offset(BLOCK * size_of::<u16>());
        PagePool { layout: Layout { shape, pages, start }, memory, taken: vec![0; pages] }
    }

    /// What a page holds.
    pub fn shape(&self) -> PageShape {
        self.layout.shape
    }

    /// How many pages there are.
    pub fn pages(&self) -> usize {
        self.layout.pages
    }

    /// The memory of all pages once they have been written.
    pub fn bytes(&self) -> usize {
        self.layout.pages * self.layout.shape.page_values() * size_of::<u16>()
    }

    /// Writes a position's key and value of one KV head, rounded to the nearest bf16, to even
    /// ones from the middle.
    ///
    /// # Panics
    /// When there is no such place or a slice has not `head_dim` values.
    pub fn write(
        &mut self,
        place: RowPlace,
        layer: usize,
        kv_head: usize,
        key: &[f32],
        value: &[f32],
    ) {
        let at = self.layout.block(place.page, layer, kv_head);
        let memory = Disjoint::new(&mut self.memory);
        // SAFETY: nobody else has a part of the memory.
        unsafe {
            write_position(&memory, at, self.layout.shape.head_dim, place.offset, key, value)
        };
    }

    /// Writes the keys and values of many rows in one phase: `keys` and `values` are row-major
    /// (rows, kv_heads · head_dim).
    ///
    /// # Panics
    /// When there is no such place, two rows have the same, or a slice has another size.
    pub fn write_rows(
        &mut self,
        pool: &mut Pool,
        rows: &[RowPlace],
        layer: usize,
        keys: &[f32],
        values: &[f32],
    ) {
        let PageShape { kv_heads, head_dim, .. } = self.layout.shape;
        let width = kv_heads * head_dim;
        assert!(keys.len() == rows.len() * width && values.len() == keys.len(), "sizes of rows");
        self.take(rows);
        let layout = self.layout;
        let memory = Disjoint::new(&mut self.memory);
        pool.run(rows.len().div_ceil(TASK_ROWS), |_, task| {
            let from = task * TASK_ROWS;
            let places = &rows[from..rows.len().min(from + TASK_ROWS)];
            for (row, RowPlace { page, offset }) in (from..).zip(places) {
                for kv_head in 0..kv_heads {
                    let from = row * width + kv_head * head_dim;
                    let (key, value) = (&keys[from..][..head_dim], &values[from..][..head_dim]);
                    let at = layout.block(*page, layer, kv_head);
                    // SAFETY: `take` found all (page, offset) to be distinct, and the KV heads
                    // of a place have blocks of their own.
                    unsafe { write_position(&memory, at, head_dim, *offset, key, value) };
                }
            }
        });
    }

    /// Copies all of a page: how a sequence goes on from a prefix that ends within a page.
    ///
    /// # Panics
    /// When there is no such page.
    pub fn copy_page(&mut self, from: PageId, to: PageId) {
        let (from, to) = (self.layout.block(from, 0, 0), self.layout.block(to, 0, 0));
        self.memory.copy_within(from..from + self.layout.shape.page_values(), to);
    }

    /// The key of a position, for tests.
    pub fn key(&self, place: RowPlace, layer: usize, kv_head: usize) -> Vec<f32> {
        let keys = self.keys(place.page, layer, kv_head);
        keys.chunks_exact(PAGE).map(|row| widen(row[slot(place.offset)])).collect()
    }

    /// The value of a position, for tests.
    pub fn value(&self, place: RowPlace, layer: usize, kv_head: usize) -> Vec<f32> {
        let head_dim = self.layout.shape.head_dim;
        let row = &self.values(place.page, layer, kv_head)[place.offset * head_dim..][..head_dim];
        (0..head_dim).map(|dim| widen(row[slot(dim)])).collect()
    }

    /// The keys of a KV head, `[head_dim][64 positions]` in lines of 32.
    pub(super) fn keys(&self, page: PageId, layer: usize, kv_head: usize) -> &[u16] {
        &self.memory[self.layout.block(page, layer, kv_head)..][..self.layout.shape.head_dim * PAGE]
    }

    /// The values of a KV head, `[64 positions][head_dim]` in lines of 32.
    pub(super) fn values(&self, page: PageId, layer: usize, kv_head: usize) -> &[u16] {
        let length = self.layout.shape.head_dim * PAGE;
        &self.memory[self.layout.block(page, layer, kv_head) + length..][..length]
    }

    /// Makes sure that all places exist and are distinct.
    fn take(&mut self, rows: &[RowPlace]) {
        for RowPlace { page, .. } in rows {
            assert!(
                (page.0 as usize) < self.layout.pages,
                "page {} of {}",
                page.0,
                self.layout.pages
            );
            self.taken[page.0 as usize] = 0;
        }
        for RowPlace { page, offset } in rows {
            assert!(*offset < PAGE, "position {offset} of a page");
            let (taken, bit) = (&mut self.taken[page.0 as usize], 1 << offset);
            assert!(*taken & bit == 0, "two rows for position {offset} of page {}", page.0);
            *taken |= bit;
        }
    }
}

impl Layout {
    /// Where the keys of a KV head begin; its values follow them.
    fn block(&self, page: PageId, layer: usize, kv_head: usize) -> usize {
        let PageShape { layers, kv_heads, head_dim } = self.shape;
        let page = page.0 as usize;
        assert!(page < self.pages, "page {page} of {}", self.pages);
        assert!(layer < layers && kv_head < kv_heads, "layer {layer}, KV head {kv_head}");
        self.start + ((page * layers + layer) * kv_heads + kv_head) * 2 * PAGE * head_dim
    }
}

impl PageShape {
    /// The keys and values of a page.
    pub fn page_values(self) -> usize {
        self.layers * self.kv_heads * 2 * PAGE * self.head_dim
    }
}

/// Writes a key and a value into the block that begins at `at`.
///
/// # Safety
/// No other thread writes this position of this block.
unsafe fn write_position(
    memory: &Disjoint<u16>,
    at: usize,
    head_dim: usize,
    offset: usize,
    key: &[f32],
    value: &[f32],
) {
    assert!(offset < PAGE, "position {offset} of a page");
    assert!(key.len() == head_dim && value.len() == head_dim, "a key and a value of {head_dim}");
    for (dim, key) in key.iter().enumerate() {
        let to = at + dim * PAGE + slot(offset);
        // SAFETY: the element belongs to this position alone.
        let element = unsafe { memory.part(to..to + 1) };
        element[0] = round(*key);
    }
    let to = at + (PAGE + offset) * head_dim;
    // SAFETY: the row belongs to this position alone.
    let row = unsafe { memory.part(to..to + head_dim) };
    for (dim, value) in value.iter().enumerate() {
        row[slot(dim)] = round(*value);
    }
}

/// Where a value of a row lies in it.
pub(super) fn slot(index: usize) -> usize {
    index / 32 * 32 + index % 16 * 2 + index % 32 / 16
}

/// The f32 of a bf16.
pub(super) fn widen(value: u16) -> f32 {
    f32::from_bits(u32::from(value) << 16)
}

/// The nearest bf16, the even one from the middle; what is not a number stays so.
fn round(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_the_nearest_and_to_even_from_the_middle() {
        let check = |bits: u32, expected: u16| {
            assert_eq!(round(f32::from_bits(bits)), expected, "{bits:#x}");
        };
        check(0x3f80_0000, 0x3f80);
        check(0x3f80_7fff, 0x3f80);
        check(0x3f80_8000, 0x3f80);
        check(0x3f80_8001, 0x3f81);
        check(0x3f81_8000, 0x3f82);
        check(0x8000_0001, 0x8000);
        check(0x7f7f_ffff, 0x7f80); // beyond the largest bf16
        check(0xff80_0000, 0xff80);
        assert!(widen(round(f32::from_bits(0x7f80_0001))).is_nan());
        assert!(widen(round(f32::from_bits(0xffff_ffff))).is_nan());
    }

    #[test]
    fn a_line_read_as_words_gives_two_vectors_in_order() {
        let mut line = [0u16; 32];
        for value in 0..32 {
            line[slot(value)] = round(value as f32);
        }
        for (p, pair) in line.chunks_exact(2).enumerate() {
            let word = u32::from(pair[0]) | u32::from(pair[1]) << 16;
            assert_eq!(f32::from_bits(word << 16), p as f32);
            assert_eq!(f32::from_bits(word & 0xffff_0000), (16 + p) as f32);
        }
    }

    #[test]
    fn blocks_begin_at_cache_lines() {
        let pool = PagePool::new(PageShape { layers: 3, kv_heads: 2, head_dim: 32 }, 2);
        for (page, layer, kv_head) in [(0, 0, 0), (1, 2, 1), (1, 0, 1)] {
            let keys = pool.keys(PageId(page), layer, kv_head).as_ptr();
            assert_eq!(keys.align_offset(64), 0);
        }
    }
}
