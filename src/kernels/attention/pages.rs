//! Keys and values in pages of 64 positions: keys as integers of 16 bits, values as bf16.

use std::ops::Range;

use super::layout::{Layout, PAGE, PageId, PageShape, RowPlace, scales, slot};
use super::share::{Lent, PageShare, Parts};
use super::{bf16, writer::PageWriter};
use crate::kernels::lanes::Plain;
use crate::kernels::{BLOCK, disjoint::Disjoint, memory::Memory};

/// All pages of an engine.
#[derive(Debug)]
pub struct PagePool {
    layout: Layout,
    memory: Memory,
    parts: Parts,
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
        let (layout, memory) = (Layout { shape, pages }, Memory::zeroed(values));
        PagePool { layout, memory, parts: Parts::new(pages) }
    }

    /// Whether the system has room for that many pages, before [`Self::new`] relies on it.
    ///
    /// # Errors
    /// What the system says where it has not.
    pub fn check_room(shape: PageShape, pages: usize) -> std::io::Result<()> {
        let values = shape.page_values().checked_mul(pages);
        Memory::check_room(values.unwrap_or(usize::MAX))
    }

    /// Writes a position's key and value of one KV head, rounded as `PageWriter::write` does.
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
        let (memory, layout) = (Disjoint::new(self.memory.values_mut()), self.layout);
        let writer = PageWriter { memory, layout, layer, places: &[place] };
        // SAFETY: nobody else has a part of the memory.
        unsafe { writer.write(Plain, 0, kv_head, key, value) };
    }

    /// Lends the pool to the parts of a step: each has a range of the rows that go to `places`. A
    /// part reads the pages that nobody writes, its own, and those of the parts before it, as soon
    /// as these have stored the layer.
    ///
    /// # Panics
    /// When there is no such place, two rows have the same, or two parts the same page.
    pub fn lend<'a>(&'a mut self, places: &'a [RowPlace], parts: &[Range<usize>]) -> Lent<'a> {
        self.parts.begin(places, parts);
        let memory = Disjoint::new(self.memory.values_mut());
        Lent { memory, layout: self.layout, places, parts: &self.parts }
    }

    /// Lends all of it to a step that has one part.
    ///
    /// # Panics
    /// As [`PagePool::lend`].
    pub fn lend_whole<'a>(&'a mut self, places: &'a [RowPlace]) -> PageShare<'a> {
        self.lend(places, std::slice::from_ref(&(0..places.len()))).share(0)
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
        let quant = |dim| keys[slot(dim, place.offset, head_dim, PAGE)] as i16;
        (0..head_dim).map(|dim| f32::from(quant(dim)) * scale).collect()
    }

    /// The value of a position, for tests.
    pub fn value(&self, place: RowPlace, layer: usize, kv_head: usize) -> Vec<f32> {
        let values = &self.memory.values()[self.layout.values(place.page, layer, kv_head)];
        let head_dim = self.layout.shape.head_dim;
        let element = |dim| values[slot(place.offset, dim, PAGE, head_dim)];
        (0..head_dim).map(|dim| bf16::widen(element(dim))).collect()
    }

    fn keys(&self, page: PageId, layer: usize, kv_head: usize) -> &[u16] {
        &self.memory.values()[self.layout.keys(page, layer, kv_head)]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[test]
    fn blocks_begin_at_cache_lines() {
        let pool = PagePool::new(PageShape { layers: 3, kv_heads: 2, head_dim: 32 }, 2);
        for (page, layer, kv_head) in [(0, 0, 0), (1, 2, 1), (1, 0, 1)] {
            let keys = pool.keys(PageId(page), layer, kv_head).as_ptr();
            assert_eq!(keys.align_offset(64), 0);
        }
    }

    const SHAPE: PageShape = PageShape { layers: 2, kv_heads: 1, head_dim: 32 };

    /// All positions of some pages, page by page, and a part for each page.
    fn parts(pages: &[u32]) -> (Vec<RowPlace>, Vec<Range<usize>>) {
        let page = |page: &u32| {
            let page = PageId(*page);
            (0..PAGE).map(move |offset| RowPlace { page, offset })
        };
        let parts = (0..pages.len()).map(|part| part * PAGE..(part + 1) * PAGE);
        (pages.iter().flat_map(page).collect(), parts.collect())
    }

    #[test]
    fn a_part_sees_what_those_before_it_have_stored() {
        let mut kv = PagePool::new(SHAPE, 3);
        let (places, parts) = parts(&[0, 2]);
        let lent = kv.lend(&places, &parts);
        let (mut earlier, later) = (lent.share(0), lent.share(1));
        std::thread::scope(|scope| {
            let read = scope.spawn(move || {
                let seen = |layer| {
                    let _turn = later.turn(layer, [PageId(0), PageId(1)].into_iter());
                    later.values(PageId(0), layer, 0).iter().any(|value| *value != 0)
                };
                (seen(0), seen(1))
            });
            for layer in 0..2 {
                std::thread::sleep(std::time::Duration::from_millis(20));
                let writer = earlier.writer(layer);
                // SAFETY: one thread writes.
                unsafe { writer.write(Plain, 7, 0, &[1.0; 32], &[1.0; 32]) };
                earlier.has_stored(layer);
            }
            assert_eq!(read.join().unwrap(), (true, true));
        });
    }

    #[test]
    fn half_of_the_parts_attend_at_a_time() {
        let mut kv = PagePool::new(SHAPE, 5);
        let (places, parts) = parts(&[0, 1, 2, 3, 4]);
        let lent = kv.lend(&places, &parts);
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for part in 0..5 {
                let (share, now, most) = (lent.share(part), &now, &most);
                scope.spawn(move || {
                    for _ in 0..20 {
                        let turn = share.turn(0, std::iter::empty());
                        most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                        std::thread::sleep(std::time::Duration::from_micros(50));
                        now.fetch_sub(1, SeqCst);
                        drop(turn);
                    }
                });
            }
        });
        assert!((1..=2).contains(&most.into_inner()));
    }

    #[test]
    fn nobody_waits_for_a_part_that_is_gone() {
        let mut kv = PagePool::new(SHAPE, 2);
        let (places, parts) = parts(&[0, 1]);
        let lent = kv.lend(&places, &parts);
        drop(lent.share(0));
        let later = lent.share(1);
        let _turn = later.turn(1, [PageId(0)].into_iter());
        assert!(later.keys(PageId(0), 1, 0).iter().all(|key| *key == 0));
    }

    #[test]
    #[should_panic(expected = "page 0 is being written")]
    fn a_part_does_not_read_what_is_not_stored() {
        let mut kv = PagePool::new(SHAPE, 2);
        let (places, parts) = parts(&[0, 1]);
        kv.lend(&places, &parts).share(1).keys(PageId(0), 0, 0);
    }

    #[test]
    #[should_panic(expected = "page 1 is written by a later part")]
    fn a_part_does_not_read_what_later_ones_write() {
        let mut kv = PagePool::new(SHAPE, 2);
        let (places, parts) = parts(&[0, 1]);
        kv.lend(&places, &parts).share(0).keys(PageId(1), 0, 0);
    }

    #[test]
    #[should_panic(expected = "layer 0 has been stored")]
    fn what_is_stored_is_not_written_again() {
        let mut kv = PagePool::new(SHAPE, 1);
        let (places, _) = parts(&[0]);
        let mut share = kv.lend_whole(&places);
        share.has_stored(0);
        share.writer(0);
    }

    #[test]
    #[should_panic(expected = "part 1 has its share")]
    fn a_part_gets_one_share() {
        let mut kv = PagePool::new(SHAPE, 2);
        let (places, parts) = parts(&[0, 1]);
        let lent = kv.lend(&places, &parts);
        let _share = lent.share(1);
        lent.share(1);
    }

    #[test]
    #[should_panic(expected = "two parts write page 1")]
    fn a_page_is_written_by_one_part() {
        let mut kv = PagePool::new(SHAPE, 2);
        let (places, _) = parts(&[1]);
        kv.lend(&places, &[0..3, 3..PAGE]);
    }
}
