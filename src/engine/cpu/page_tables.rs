//! Which pages hold which sequence: integers only, the keys and values are the kernels' matter.
//!
//! A slot's table lists its pages in the order of positions. The whole pages of the shared prefix
//! stand first in every table that uses it and belong to none; what the prefix holds of its last
//! page is copied when a slot is opened. All pages that a slot can ever need are reserved then, as
//! the scheduler has reserved their positions, and taken when it gets there: so memory is what
//! sequences hold, not what they might.

use crate::generate::{Fork, Limits};
use crate::kernels::attention::{PAGE, PageId, PagePool};
use crate::{Error, Result, error::ErrorKind};

/// The pages of all slots.
pub struct PageTables {
    free: Vec<PageId>,
    /// How many of the free pages are reserved by slots.
    reserved: usize,
    slots: Vec<Table>,
    prefix: Vec<PageId>,
    /// A sequence outside all slots: the prefix to be, or a text that is measured.
    scratch: Vec<PageId>,
}

#[derive(Default)]
struct Table {
    pages: Vec<PageId>,
    /// How many of the leading pages belong to the prefix.
    shared: usize,
    /// How many pages are reserved and not taken.
    reserved: usize,
}

impl PageTables {
    /// Pages that suffice for everything a scheduler with these limits admits: its positions, the
    /// last page of each sequence, and one context for the prefix.
    pub fn pages_for(limits: &Limits) -> usize {
        limits.kv_positions.div_ceil(PAGE)
            + 2 * limits.max_sequences
            + limits.max_context.div_ceil(PAGE)
    }

    /// `pages` free pages and no sequence.
    pub fn new(pages: usize) -> PageTables {
        PageTables {
            free: (0..pages as u32).rev().map(PageId).collect(),
            reserved: 0,
            slots: Vec::new(),
            prefix: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The pages of a slot.
    pub fn of(&self, slot: usize) -> &[PageId] {
        &self.slots[slot].pages
    }

    /// Opens a slot for `capacity` positions, of which the first `prefix_len` are the prefix.
    pub fn open(
        &mut self,
        slot: usize,
        capacity: usize,
        prefix_len: usize,
        kv: &mut PagePool,
    ) -> Result<()> {
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, Table::default);
        }
        self.close(slot);
        let shared = prefix_len / PAGE;
        let reserved = capacity.div_ceil(PAGE) - shared;
        self.check(reserved)?;
        self.reserved += reserved;
        let table = &mut self.slots[slot];
        (table.shared, table.reserved) = (shared, reserved);
        // At once, so that a sequence that grows allocates nothing.
        table.pages.reserve(shared + reserved);
        table.pages.extend_from_slice(&self.prefix[..shared]);
        if !prefix_len.is_multiple_of(PAGE) {
            self.grow(slot, prefix_len);
            kv.copy_page(self.prefix[shared], self.slots[slot].pages[shared]);
        }
        Ok(())
    }

    /// Lets a slot hold what another holds: pages that it does not share are copied.
    pub fn fork(&mut self, fork: &Fork, kv: &mut PagePool) -> Result<()> {
        if fork.opens {
            self.open(fork.to, fork.capacity, fork.prefix_len, kv)?;
        }
        self.grow(fork.to, fork.positions);
        for page in fork.shared / PAGE..fork.positions.div_ceil(PAGE) {
            kv.copy_page(self.slots[fork.from].pages[page], self.slots[fork.to].pages[page]);
        }
        Ok(())
    }

    /// Takes the pages that a slot needs to hold `positions`, at most those it was opened for.
    pub fn grow(&mut self, slot: usize, positions: usize) {
        let table = &mut self.slots[slot];
        let count = positions.div_ceil(PAGE).saturating_sub(table.pages.len());
        assert!(count <= table.reserved, "slot {slot} was opened for fewer than {positions}");
        table.reserved -= count;
        self.reserved -= count;
        table.pages.extend(self.free.drain(self.free.len() - count..));
    }

    /// Gives the pages of a slot back.
    pub fn close(&mut self, slot: usize) {
        if let Some(table) = self.slots.get_mut(slot) {
            self.reserved -= std::mem::take(&mut table.reserved);
            self.free.extend(table.pages.drain(..).skip(table.shared));
        }
    }

    /// Takes pages for the scratch sequence.
    pub fn open_scratch(&mut self, positions: usize) -> Result<()> {
        let count = positions.div_ceil(PAGE);
        self.check(count)?;
        self.scratch.extend(self.free.drain(self.free.len() - count..));
        Ok(())
    }

    /// Its pages.
    pub fn scratch(&self) -> &[PageId] {
        &self.scratch
    }

    /// Gives its pages back.
    pub fn close_scratch(&mut self) {
        self.free.append(&mut self.scratch);
    }

    /// Makes it the prefix of sequences that are opened from now on.
    pub fn keep_as_prefix(&mut self) {
        self.prefix = std::mem::take(&mut self.scratch);
    }

    /// Gives back what all slots and the prefix have, so that another scheduler can begin.
    pub fn clear(&mut self) {
        for slot in 0..self.slots.len() {
            self.close(slot);
        }
        self.free.append(&mut self.prefix);
    }

    /// Whether `count` pages are free and not reserved.
    fn check(&self, count: usize) -> Result<()> {
        let free = self.free.len() - self.reserved;
        if count > free {
            let message = format!("{count} pages are needed and {free} are free");
            return Err(Error::new(ErrorKind::Engine, message)
                .hint("the engine was made for a scheduler with other limits"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::attention::PageShape;

    #[test]
    fn reserved_pages_are_there_and_taken_when_they_are_needed() {
        let mut kv = PagePool::new(PageShape { layers: 1, kv_heads: 1, head_dim: 32 }, 6);
        let mut tables = PageTables::new(6);
        tables.open(0, 4 * PAGE, 0, &mut kv).unwrap();
        assert!(tables.of(0).is_empty());
        tables.grow(0, PAGE + 1);
        assert_eq!(tables.of(0), [PageId(1), PageId(0)].as_slice());
        let refused = tables.open(1, 3 * PAGE, 0, &mut kv).unwrap_err();
        assert!(refused.to_string().contains("3 pages are needed and 2 are free"), "{refused}");
        tables.open(1, 2 * PAGE, 0, &mut kv).unwrap();
        tables.grow(1, 2 * PAGE);
        tables.grow(0, 4 * PAGE);
        assert_eq!(tables.of(0).len() + tables.of(1).len(), 6);
        tables.close(0);
        tables.open(0, 4 * PAGE, 0, &mut kv).unwrap();
        assert!(tables.open_scratch(1).is_err(), "all free pages are reserved");
    }
}
