//! Which pages hold which sequence: integers only, the keys and values are the kernels' matter.
//!
//! A slot's table lists its pages in the order of positions. The whole pages of the shared prefix
//! stand first in every table that uses it and belong to none; what the prefix holds of its last
//! page is copied when a slot is opened. A slot is promised all pages that it can ever need, as the
//! scheduler has reserved their positions, and takes them when it gets there: so memory is what
//! sequences hold, not what they might.

use crate::generate::Limits;
use crate::kernels::attention::{PAGE, PageId, PagePool, RowPlace};
use crate::{Error, Result, error::ErrorKind};

/// The pages of all slots.
#[derive(Default)]
pub struct Tables {
    free: Vec<PageId>,
    /// How many of the free pages are promised to slots.
    promised: usize,
    slots: Vec<Table>,
    prefix: Vec<PageId>,
    /// A sequence that is computed by itself: the prefix to be, or a text that is measured.
    alone: Vec<PageId>,
}

#[derive(Default)]
struct Table {
    pages: Vec<PageId>,
    /// How many of the leading pages belong to the prefix.
    shared: usize,
    /// How many pages it has been promised and not taken.
    promised: usize,
}

/// Where a position of a table lies.
pub fn place(table: &[PageId], position: usize) -> RowPlace {
    RowPlace { page: table[position / PAGE], offset: position % PAGE }
}

impl Tables {
    /// Pages that suffice for everything a scheduler with these limits admits: its positions, the
    /// last page of each sequence, and one context for the prefix.
    pub fn pages_for(limits: &Limits) -> usize {
        limits.kv_positions.div_ceil(PAGE)
            + 2 * limits.max_sequences
            + limits.max_context.div_ceil(PAGE)
    }

    /// `pages` free pages and no sequence.
    pub fn new(pages: usize) -> Tables {
        Tables {
            free: (0..pages as u32).rev().map(PageId).collect(),
            promised: 0,
            slots: Vec::new(),
            prefix: Vec::new(),
            alone: Vec::new(),
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
        let promised = capacity.div_ceil(PAGE) - shared;
        self.check(promised)?;
        self.promised += promised;
        let pages = self.prefix[..shared].to_vec();
        self.slots[slot] = Table { pages, shared, promised };
        if !prefix_len.is_multiple_of(PAGE) {
            self.grow(slot, prefix_len);
            kv.copy_page(self.prefix[shared], self.slots[slot].pages[shared]);
        }
        Ok(())
    }

    /// Takes the pages that a slot needs to hold `positions`, at most those it was opened for.
    pub fn grow(&mut self, slot: usize, positions: usize) {
        let table = &mut self.slots[slot];
        let count = positions.div_ceil(PAGE).saturating_sub(table.pages.len());
        assert!(count <= table.promised, "slot {slot} was opened for fewer than {positions}");
        table.promised -= count;
        self.promised -= count;
        table.pages.extend(self.free.drain(self.free.len() - count..));
    }

    /// Gives the pages of a slot back.
    pub fn close(&mut self, slot: usize) {
        if let Some(table) = self.slots.get_mut(slot) {
            let table = std::mem::take(table);
            self.promised -= table.promised;
            self.free.extend(&table.pages[table.shared..]);
        }
    }

    /// Takes pages for a sequence by itself.
    pub fn open_alone(&mut self, positions: usize) -> Result<()> {
        let mut pages = std::mem::take(&mut self.alone);
        let taken = self.take(positions.div_ceil(PAGE), &mut pages);
        self.alone = pages;
        taken
    }

    /// Its pages.
    pub fn alone(&self) -> &[PageId] {
        &self.alone
    }

    /// Gives its pages back.
    pub fn close_alone(&mut self) {
        self.free.append(&mut self.alone);
    }

    /// Makes it the prefix of sequences that are opened from now on.
    pub fn keep_as_prefix(&mut self, positions: usize) {
        debug_assert_eq!(self.alone.len(), positions.div_ceil(PAGE));
        self.prefix = std::mem::take(&mut self.alone);
    }

    /// Gives the prefix back.
    pub fn forget_prefix(&mut self) {
        self.free.append(&mut self.prefix);
    }

    fn take(&mut self, count: usize, pages: &mut Vec<PageId>) -> Result<()> {
        self.check(count)?;
        pages.extend(self.free.drain(self.free.len() - count..));
        Ok(())
    }

    /// Whether `count` pages are free and promised to nobody.
    fn check(&self, count: usize) -> Result<()> {
        let free = self.free.len() - self.promised;
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
    fn promises_are_kept_and_pages_taken_when_they_are_needed() {
        let mut kv = PagePool::new(PageShape { layers: 1, kv_heads: 1, head_dim: 32 }, 6);
        let mut tables = Tables::new(6);
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
        assert!(tables.open_alone(1).is_err(), "all free pages are promised");
    }
}
