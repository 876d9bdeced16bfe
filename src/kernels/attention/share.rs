//! What the parts of a step may do with the pages of a pool, at the same time.
//!
//! A part has rows and writes their keys and values; no page is written by two parts. It reads
//! pages that nobody writes during the step, and its own. Where a sequence's rows are in two
//! parts, the later one reads what the earlier one writes, layer by layer: it waits until that one
//! has stored the layer. Parts wait for those before them alone and are begun in their order, so
//! there is always one that goes on.
//!
//! Parts also take turns at attending: half of them at a time. Attention is as fast as memory and
//! the rest of a layer as fast as the processor, so a thread that waits once, behind another's
//! attention of the first layer, has memory to itself from then on, while the other multiplies.

use std::sync::atomic::{AtomicUsize, Ordering::*};

use super::pages::{Layout, NOBODY, PageId, PageShape, RowPlace, write_position};
use crate::kernels::disjoint::Disjoint;
use crate::kernels::lanes::Lanes;

/// A part's share of a pool, for one step. Once it is dropped, nobody waits for it.
pub struct PageShare<'a> {
    memory: Disjoint<'a, u16>,
    layout: Layout,
    places: &'a [RowPlace],
    part: usize,
    writers: &'a [u32],
    stored: &'a [AtomicUsize],
    attending: &'a AtomicUsize,
}

/// A turn at attending, until it is dropped.
pub(super) struct Turn<'a>(Option<&'a AtomicUsize>);

/// Writes the keys and values of a part's rows, which several threads may compute.
pub(in crate::kernels) struct PageWriter<'a> {
    memory: Disjoint<'a, u16>,
    layout: Layout,
    layer: usize,
    places: &'a [RowPlace],
}

impl<'a> PageShare<'a> {
    /// The share of part `part`; each page has at most one part in `writers`, and all places of
    /// a part are its own and distinct.
    pub(super) fn new(
        memory: Disjoint<'a, u16>,
        layout: Layout,
        places: &'a [RowPlace],
        part: usize,
        writers: &'a [u32],
        stored: &'a [AtomicUsize],
        attending: &'a AtomicUsize,
    ) -> PageShare<'a> {
        PageShare { memory, layout, places, part, writers, stored, attending }
    }

    /// What a page holds.
    pub fn shape(&self) -> PageShape {
        self.layout.shape
    }

    /// How many rows the part has.
    pub fn rows(&self) -> usize {
        self.places.len()
    }

    /// For the keys and values of the part's rows.
    ///
    /// # Panics
    /// When there is no such layer, or it has been stored: others may be reading it.
    pub(in crate::kernels) fn writer(&mut self, layer: usize) -> PageWriter<'_> {
        let PageShare { memory, layout, places, .. } = *self;
        assert!(layer < layout.shape.layers, "layer {layer} of {}", layout.shape.layers);
        assert!(self.stored[self.part].load(Relaxed) <= layer, "layer {layer} has been stored");
        PageWriter { memory, layout, layer, places }
    }

    /// The part's keys and values of this layer, and of those before, are in their places.
    pub(in crate::kernels) fn has_stored(&mut self, layer: usize) {
        self.stored[self.part].store(layer + 1, Release);
    }

    /// Waits until `pages` hold what earlier parts write of a layer, and then for the part's turn to
    /// attend to them. (Not the other way round: who waits for a part must not keep it waiting.)
    ///
    /// # Panics
    /// When a later part writes one of the pages.
    pub(super) fn turn(&self, layer: usize, pages: impl Iterator<Item = PageId>) -> Turn<'_> {
        let parts = self.stored.len();
        if parts == 1 {
            return Turn(None);
        }
        pages.for_each(|page| wait(|| self.is_stored(page, layer)));
        let most = parts / 2;
        let enter = |attending| (attending < most).then_some(attending + 1);
        wait(|| self.attending.fetch_update(Acquire, Relaxed, enter).is_ok());
        Turn(Some(self.attending))
    }

    /// The keys of a KV head, `[head_dim / 2][64 positions]` of words, and their scales.
    ///
    /// # Panics
    /// When another part may be writing them.
    pub(super) fn keys(&self, page: PageId, layer: usize, kv_head: usize) -> &[u16] {
        assert!(self.is_stored(page, layer), "page {} is being written", page.0);
        // SAFETY: who writes the page is this part, and not while `self` is borrowed, or has
        // stored all that it writes of this layer, or is nobody.
        unsafe { self.memory.read(self.layout.keys(page, layer, kv_head)) }
    }

    /// The values of a KV head, `[64 positions / 2][head_dim]` of words.
    ///
    /// # Panics
    /// When another part may be writing them.
    pub(super) fn values(&self, page: PageId, layer: usize, kv_head: usize) -> &[u16] {
        assert!(self.is_stored(page, layer), "page {} is being written", page.0);
        // SAFETY: as above.
        unsafe { self.memory.read(self.layout.values(page, layer, kv_head)) }
    }

    /// Whether nobody else writes this layer of a page, or not any more.
    fn is_stored(&self, page: PageId, layer: usize) -> bool {
        let writer = self.writers[page.0 as usize];
        if writer == NOBODY || writer as usize == self.part {
            return true;
        }
        assert!((writer as usize) < self.part, "page {} is written by a later part", page.0);
        self.stored[writer as usize].load(Acquire) > layer
    }
}

/// Looks until `ready`; the core may be needed by the part that is waited for.
fn wait(ready: impl Fn() -> bool) {
    let mut looks = 0_usize;
    while !ready() {
        looks += 1;
        if looks.is_multiple_of(4096) { std::thread::yield_now() } else { std::hint::spin_loop() }
    }
}

impl Drop for PageShare<'_> {
    fn drop(&mut self) {
        self.stored[self.part].store(usize::MAX, Release);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(attending) = self.0 {
            attending.fetch_sub(1, Release);
        }
    }
}

impl PageWriter<'_> {
    /// Writes a row's key and value of a KV head.
    ///
    /// # Safety
    /// No two threads write the same row at once.
    #[inline(always)]
    pub unsafe fn write<L: Lanes>(
        &self,
        lanes: L,
        row: usize,
        kv_head: usize,
        key: &[f32],
        value: &[f32],
    ) {
        let RowPlace { page, offset } = self.places[row];
        let at = self.layout.block(page, self.layer, kv_head);
        // SAFETY: places are distinct, and KV heads have their own blocks.
        unsafe {
            let head_dim = self.layout.shape.head_dim;
            write_position(lanes, &self.memory, at, head_dim, offset, key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pages::{PAGE, PagePool};
    use super::*;
    use crate::kernels::lanes::Plain;

    const SHAPE: PageShape = PageShape { layers: 2, kv_heads: 1, head_dim: 32 };

    fn places(page: u32) -> Vec<RowPlace> {
        (0..PAGE).map(|offset| RowPlace { page: PageId(page), offset }).collect()
    }

    #[test]
    fn a_part_sees_what_those_before_it_have_stored() {
        let mut kv = PagePool::new(SHAPE, 3);
        let (first, second) = (places(0), places(2));
        let mut shares = kv.lend(&[&first, &second]);
        let (later, mut earlier) = (shares.pop().unwrap(), shares.pop().unwrap());
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
        let places: Vec<_> = (0..5).map(places).collect();
        let shares = kv.lend(&places.iter().map(|places| &places[..]).collect::<Vec<_>>());
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for share in &shares {
                scope.spawn(|| {
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
        let (first, second) = (places(0), places(1));
        let mut shares = kv.lend(&[&first, &second]);
        let later = shares.pop().unwrap();
        drop(shares);
        let _turn = later.turn(1, [PageId(0)].into_iter());
        assert!(later.keys(PageId(0), 1, 0).iter().all(|key| *key == 0));
    }

    #[test]
    #[should_panic(expected = "page 0 is being written")]
    fn a_part_does_not_read_what_is_not_stored() {
        let mut kv = PagePool::new(SHAPE, 2);
        let (first, second) = (places(0), places(1));
        kv.lend(&[&first, &second])[1].keys(PageId(0), 0, 0);
    }

    #[test]
    #[should_panic(expected = "page 1 is written by a later part")]
    fn a_part_does_not_read_what_later_ones_write() {
        let mut kv = PagePool::new(SHAPE, 2);
        let (first, second) = (places(0), places(1));
        kv.lend(&[&first, &second])[0].keys(PageId(1), 0, 0);
    }

    #[test]
    #[should_panic(expected = "layer 0 has been stored")]
    fn what_is_stored_is_not_written_again() {
        let mut kv = PagePool::new(SHAPE, 1);
        let places = places(0);
        let mut share = kv.lend_whole(&places);
        share.has_stored(0);
        share.writer(0);
    }

    #[test]
    #[should_panic(expected = "two parts write page 1")]
    fn a_page_is_written_by_one_part() {
        let mut kv = PagePool::new(SHAPE, 2);
        let places = places(1);
        kv.lend(&[&places[..3], &places[3..]]);
    }
}
