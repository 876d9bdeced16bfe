//! Keys and values in pages of 64 positions: keys as integers of 16 bits, values as bf16.
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
//!
//! Values are bf16 and not fp16, since activations of some models exceed 65,504.

use std::ops::Range;
use std::sync::atomic::AtomicUsize;

use super::levels::levels_of;
use super::share::PageShare;
use crate::kernels::lanes::{Lanes, Plain};
use crate::kernels::{BLOCK, disjoint::Disjoint, memory::Memory};

/// Positions of a page.
pub const PAGE: usize = 64;

/// Columns of a panel; the last one of a block may have 32.
pub(super) const PANEL: usize = 64;

/// Elements that the scales of a block of keys take.
const SCALES: usize = PAGE * size_of::<f32>() / size_of::<u16>();

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
    memory: Memory,
    /// The positions of each page that the rows of a step take, a bit each.
    taken: Vec<u64>,
    /// For each page the part of the step that writes it, or [`NOBODY`].
    writers: Vec<u32>,
    /// For each part how many layers it has stored.
    stored: Vec<AtomicUsize>,
    /// How many parts attend at the moment.
    attending: AtomicUsize,
}

/// No part of a step.
pub(super) const NOBODY: u32 = u32::MAX;

/// Where things are in the memory of a pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub shape: PageShape,
    pub pages: usize,
}

impl PagePool {
    /// Pages of zeros; memory is taken when they are written.
    ///
    /// # Panics
    /// When a field of `shape` is 0, its `head_dim` is no multiple of 32, or the pages exceed the
    /// address space, or the system has no memory for them.
    pub fn new(shape: PageShape, pages: usize) -> PagePool {
        assert!(shape.layers > 0 && shape.kv_heads > 0 && shape.head_dim > 0, "{shape:?} is empty");
        let head_dim = shape.head_dim;
        assert!(head_dim.is_multiple_of(BLOCK), "{head_dim} dimensions are no multiple of {BLOCK}");
        let values = shape.page_values().checked_mul(pages).expect("pages fit the address space");
        let memory = Memory::zeroed(values);
        PagePool {
            layout: Layout { shape, pages },
            memory,
            taken: vec![0; pages],
            writers: vec![NOBODY; pages],
            stored: Vec::new(),
            attending: AtomicUsize::new(0),
        }
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

    /// Writes a position's key and value of one KV head. A key's levels are the nearest of some
    /// 32,760 to its length; values are rounded to the nearest bf16, to even ones from the middle.
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
        let memory = Disjoint::new(self.memory.values_mut());
        // SAFETY: nobody else has a part of the memory.
        unsafe {
            write_position(Plain, &memory, at, self.layout.shape.head_dim, place.offset, key, value)
        };
    }

    /// Lends the pool to the parts of a step, each of which has its rows: `parts` are the places
    /// of theirs. A part reads the pages that nobody writes, its own, and those of the parts before
    /// it, as soon as these have stored the layer.
    ///
    /// # Panics
    /// When there is no such place, two rows have the same, or two parts the same page.
    pub fn lend<'a>(&'a mut self, parts: &[&'a [RowPlace]]) -> Vec<PageShare<'a>> {
        self.take(parts);
        self.stored.clear();
        self.stored.resize_with(parts.len(), AtomicUsize::default);
        let memory = Disjoint::new(self.memory.values_mut());
        *self.attending.get_mut() = 0;
        let (layout, writers, stored) = (self.layout, &self.writers[..], &self.stored[..]);
        let attending = &self.attending;
        let share = |(part, &places): (usize, &&'a [RowPlace])| {
            PageShare::new(memory, layout, places, part, writers, stored, attending)
        };
        parts.iter().enumerate().map(share).collect()
    }

    /// Lends all of it to a step that has one part.
    ///
    /// # Panics
    /// As [`PagePool::lend`].
    pub fn lend_whole<'a>(&'a mut self, places: &'a [RowPlace]) -> PageShare<'a> {
        self.lend(&[places]).remove(0)
    }

    /// Copies all of a page: how a sequence goes on from a prefix that ends within a page.
    ///
    /// # Panics
    /// When there is no such page.
    pub fn copy_page(&mut self, from: PageId, to: PageId) {
        let (from, to) = (self.layout.block(from, 0, 0), self.layout.block(to, 0, 0));
        self.memory.values_mut().copy_within(from..from + self.layout.shape.page_values(), to);
    }

    /// The key of a position, for tests.
    pub fn key(&self, place: RowPlace, layer: usize, kv_head: usize) -> Vec<f32> {
        let keys = self.keys(place.page, layer, kv_head);
        let head_dim = self.layout.shape.head_dim;
        let scale = scales(keys)[place.offset];
        let level = |dim| keys[slot(dim, place.offset, head_dim, PAGE)] as i16;
        (0..head_dim).map(|dim| f32::from(level(dim)) * scale).collect()
    }

    /// The value of a position, for tests.
    pub fn value(&self, place: RowPlace, layer: usize, kv_head: usize) -> Vec<f32> {
        let values = self.values(place.page, layer, kv_head);
        let head_dim = self.layout.shape.head_dim;
        (0..head_dim).map(|dim| widen(values[slot(place.offset, dim, PAGE, head_dim)])).collect()
    }

    /// The keys of a KV head, `[head_dim / 2][64 positions]` of words, and their scales.
    fn keys(&self, page: PageId, layer: usize, kv_head: usize) -> &[u16] {
        &self.memory.values()[self.layout.keys(page, layer, kv_head)]
    }

    /// The values of a KV head, `[64 positions / 2][head_dim]` of words.
    fn values(&self, page: PageId, layer: usize, kv_head: usize) -> &[u16] {
        &self.memory.values()[self.layout.values(page, layer, kv_head)]
    }

    /// Makes sure that all places exist and are distinct, and notes who writes which page.
    fn take(&mut self, parts: &[&[RowPlace]]) {
        self.writers.fill(NOBODY);
        for (part, places) in parts.iter().enumerate() {
            for RowPlace { page, offset } in *places {
                let (at, pages) = (page.0 as usize, self.layout.pages);
                assert!(at < pages, "page {at} of {pages}");
                assert!(*offset < PAGE, "position {offset} of a page");
                if self.writers[at] == NOBODY {
                    (self.writers[at], self.taken[at]) = (part as u32, 0);
                }
                assert!(self.writers[at] == part as u32, "two parts write page {at}");
                let (taken, bit) = (&mut self.taken[at], 1 << offset);
                assert!(*taken & bit == 0, "two rows for position {offset} of page {at}");
                *taken |= bit;
            }
        }
    }
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

    /// The keys of a KV head, and their scales.
    pub fn keys(&self, page: PageId, layer: usize, kv_head: usize) -> Range<usize> {
        let at = self.block(page, layer, kv_head);
        at..at + PAGE * self.shape.head_dim + SCALES
    }

    /// Its values.
    pub fn values(&self, page: PageId, layer: usize, kv_head: usize) -> Range<usize> {
        let keys = self.keys(page, layer, kv_head);
        keys.end..keys.end + PAGE * self.shape.head_dim
    }
}

impl PageShape {
    /// The keys and values of a page.
    pub fn page_values(self) -> usize {
        self.layers * self.kv_heads * (2 * PAGE * self.head_dim + SCALES)
    }
}

/// Writes a key and a value into the block that begins at `at`.
///
/// # Safety
/// No other thread writes this position of this block.
#[inline(always)]
pub(super) unsafe fn write_position<L: Lanes>(
    lanes: L,
    memory: &Disjoint<u16>,
    at: usize,
    head_dim: usize,
    offset: usize,
    key: &[f32],
    value: &[f32],
) {
    assert!(offset < PAGE, "position {offset} of a page");
    assert!(key.len() == head_dim && value.len() == head_dim, "a key and a value of {head_dim}");
    let scales_at = at + PAGE * head_dim;
    let values_at = scales_at + SCALES;
    let mut elements = [0; BLOCK];
    let scale = levels_of(lanes, key, |first, levels| {
        // Rounding is vector code; the elements go to places that are apart.
        for (dim, pair) in (first..).step_by(2).zip(levels.as_chunks::<2>().0) {
            let word = at + slot(dim + 1, offset, head_dim, PAGE);
            // SAFETY: both halves of the word belong to this position alone.
            unsafe { memory.part(word..word + 2) }.copy_from_slice(&[pair[1], pair[0]]);
        }
    });
    let bits = scale.to_bits();
    let place = scales_at + 2 * offset;
    // SAFETY: the scale belongs to this position alone.
    unsafe { memory.part(place..place + 2) }.copy_from_slice(&[bits as u16, (bits >> 16) as u16]);
    for first in (0..head_dim).step_by(BLOCK) {
        round_block(&value[first..], &mut elements);
        let place = values_at + slot(offset, first, PAGE, head_dim);
        for (dim, bf16) in elements.into_iter().enumerate() {
            // SAFETY: the element belongs to this position alone.
            unsafe { memory.set(place + 2 * dim, bf16) };
        }
    }
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

#[inline(always)]
fn round_block(values: &[f32], bf16: &mut [u16; BLOCK]) {
    for (bf16, value) in bf16.iter_mut().zip(&values[..BLOCK]) {
        *bf16 = (rounded(*value) >> 16) as u16;
    }
}

/// Where the value at (row, column) of a (rows, columns) block lies; a word is little-endian and
/// has the even row in its upper half.
#[inline(always)]
fn slot(row: usize, column: usize, rows: usize, columns: usize) -> usize {
    let panel = column / PANEL * PANEL;
    let width = (columns - panel).min(PANEL);
    (panel * rows / 2 + row / 2 * width + column % PANEL) * 2 + (1 - row % 2)
}

/// The f32 of a bf16.
fn widen(value: u16) -> f32 {
    f32::from_bits(u32::from(value) << 16)
}

/// The nearest bf16 as the upper half of a word, the even one from the middle; what is not a
/// number stays so.
///
/// Magnitudes below 2^-40 become 0. They mean nothing beside others, and without them no product
/// or sum of two such values is ever subnormal: `vdpbf16ps` takes subnormal numbers for 0, other
/// instructions do not, and so nobody can tell. Inlined, so that it uses the caller's instructions.
#[inline(always)]
pub(super) fn rounded(value: f32) -> u32 {
    const INFINITY: u32 = f32::INFINITY.to_bits();
    const SMALLEST: u32 = (127 - 40) << 23;
    let bits = value.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    let number = if magnitude < SMALLEST { 0 } else { nearest };
    (if magnitude > INFINITY { bits | 0x40_0000 } else { number }) & 0xffff_0000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_the_nearest_and_to_even_from_the_middle() {
        let check = |bits: u32, expected: u32| {
            assert_eq!(rounded(f32::from_bits(bits)), expected << 16, "{bits:#x}");
        };
        check(0x3f80_0000, 0x3f80);
        check(0x3f80_7fff, 0x3f80);
        check(0x3f80_8000, 0x3f80);
        check(0x3f80_8001, 0x3f81);
        check(0x3f81_8000, 0x3f82);
        check(0x7f7f_ffff, 0x7f80); // beyond the largest bf16
        check(0xff80_0000, 0xff80);
        check(2f32.powi(-40).to_bits(), 0x2b80);
        check(2f32.powi(-40).to_bits() - 1, 0);
        check(0x8000_0001, 0);
        assert!(f32::from_bits(rounded(f32::from_bits(0x7f80_0001))).is_nan());
        assert!(f32::from_bits(rounded(f32::from_bits(0xffff_ffff))).is_nan());
    }

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

    #[test]
    fn blocks_begin_at_cache_lines() {
        let pool = PagePool::new(PageShape { layers: 3, kv_heads: 2, head_dim: 32 }, 2);
        for (page, layer, kv_head) in [(0, 0, 0), (1, 2, 1), (1, 0, 1)] {
            let keys = pool.keys(PageId(page), layer, kv_head).as_ptr();
            assert_eq!(keys.align_offset(64), 0);
        }
    }
}
