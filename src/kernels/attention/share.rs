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

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};

use super::layout::{Layout, PAGE, PageId, PageShape, RowPlace};
use super::writer::PageWriter;
use crate::kernels::disjoint::Disjoint;

/// What the parts of a step have to know of one another; kept from step to step.
#[derive(Debug)]
pub(super) struct Parts {
    /// For each page the part that writes it.
    writers: Vec<Option<u32>>,
    /// The positions of each page that rows take, a bit each, where a part writes it.
    taken: Vec<u64>,
    parts: Vec<Part>,
    /// How many parts attend at the moment.
    attending: AtomicUsize,
}

#[derive(Debug)]
struct Part {
    /// Its rows of the step.
    rows: Range<usize>,
    is_lent: AtomicBool,
    /// How many layers it has stored, or need not store any more.
    stored: AtomicUsize,
}

/// A pool that has been lent to the parts of a step.
pub struct Lent<'a> {
    pub(super) memory: Disjoint<'a, u16>,
    pub(super) layout: Layout,
    pub(super) places: &'a [RowPlace],
    pub(super) parts: &'a Parts,
}

/// A part's share of a pool, for one step. Once it is dropped, nobody waits for it.
pub struct PageShare<'a> {
    memory: Disjoint<'a, u16>,
    layout: Layout,
    places: &'a [RowPlace],
    part: usize,
    parts: &'a Parts,
}

/// A turn at attending, until it is dropped.
pub(super) struct Turn<'a>(Option<&'a AtomicUsize>);

impl Parts {
    /// For a pool of so many pages.
    pub fn new(pages: usize) -> Parts {
        let (writers, taken) = (vec![None; pages], vec![0; pages]);
        Parts { writers, taken, parts: Vec::new(), attending: AtomicUsize::new(0) }
    }

    /// Notes who writes which page in the next step.
    ///
    /// # Panics
    /// When there is no such place, two rows have the same, or two parts the same page.
    pub fn begin(&mut self, places: &[RowPlace], parts: &[Range<usize>]) {
        self.writers.fill(None);
        self.parts.clear();
        *self.attending.get_mut() = 0;
        for (part, rows) in (0..).zip(parts) {
            for RowPlace { page, offset } in &places[rows.clone()] {
                let (at, pages) = (page.0 as usize, self.writers.len());
                assert!(at < pages, "page {at} of {pages}");
                assert!(*offset < PAGE, "position {offset} of a page");
                let (writer, taken, bit) =
                    (&mut self.writers[at], &mut self.taken[at], 1 << offset);
                if writer.is_none() {
                    (*writer, *taken) = (Some(part), 0);
                }
                assert!(*writer == Some(part), "two parts write page {at}");
                assert!(*taken & bit == 0, "two rows for position {offset} of page {at}");
                *taken |= bit;
            }
            let (is_lent, stored) = (AtomicBool::new(false), AtomicUsize::new(0));
            self.parts.push(Part { rows: rows.clone(), is_lent, stored });
        }
    }
}

impl<'a> Lent<'a> {
    /// What a part gets.
    ///
    /// # Panics
    /// When there is no such part, or it has its share already.
    pub fn share(&self, part: usize) -> PageShare<'a> {
        let Lent { memory, layout, places, parts } = *self;
        let Part { rows, is_lent, .. } = &parts.parts[part];
        assert!(!is_lent.swap(true, Relaxed), "part {part} has its share");
        PageShare { memory, layout, places: &places[rows.clone()], part, parts }
    }
}

impl PageShare<'_> {
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
        assert!(self.stored().load(Relaxed) <= layer, "layer {layer} has been stored");
        PageWriter { memory, layout, layer, places }
    }

    /// The part's keys and values of this layer, and of those before, are in their places.
    pub(in crate::kernels) fn has_stored(&mut self, layer: usize) {
        self.stored().store(layer + 1, Release);
    }

    /// Waits until `pages` hold what earlier parts write of a layer, and then for the part's turn to
    /// attend to them. (Not the other way round: who waits for a part must not keep it waiting.)
    ///
    /// # Panics
    /// When a later part writes one of the pages.
    pub(super) fn turn(&self, layer: usize, pages: impl Iterator<Item = PageId>) -> Turn<'_> {
        let (parts, attending) = (self.parts.parts.len(), &self.parts.attending);
        if parts == 1 {
            return Turn(None);
        }
        pages.for_each(|page| wait(|| self.is_stored(page, layer)));
        let most = parts / 2;
        let enter = |attending| (attending < most).then_some(attending + 1);
        wait(|| attending.fetch_update(Acquire, Relaxed, enter).is_ok());
        Turn(Some(attending))
    }

    /// The keys of a KV head and their scales, as [`Layout::keys`] has them.
    ///
    /// # Panics
    /// When another part may be writing them.
    pub(super) fn keys(&self, page: PageId, layer: usize, kv_head: usize) -> &[u16] {
        assert!(self.is_stored(page, layer), "page {} is being written", page.0);
        // SAFETY: who writes the page is this part, and not while `self` is borrowed, or has
        // stored all that it writes of this layer, or is nobody.
        unsafe { self.memory.read(self.layout.keys(page, layer, kv_head)) }
    }

    /// The values of a KV head, as [`Layout::values`] has them.
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
        let Some(writer) = self.parts.writers[page.0 as usize] else { return true };
        let writer = writer as usize;
        assert!(writer <= self.part, "page {} is written by a later part", page.0);
        writer == self.part || self.parts.parts[writer].stored.load(Acquire) > layer
    }

    fn stored(&self) -> &AtomicUsize {
        &self.parts.parts[self.part].stored
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
        self.stored().store(self.layout.shape.layers, Release);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(attending) = self.0 {
            attending.fetch_sub(1, Release);
        }
    }
}
