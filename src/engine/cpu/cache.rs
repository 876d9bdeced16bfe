//! Which pages hold which sequence: integers only, the keys and values are the kernels' matter.
//!
//! A slot's table lists its pages in the order of positions. The whole pages of the shared prefix
//! stand first in every table that uses it and belong to none; what the prefix holds of its last
//! page is copied when a slot is opened. A slot takes all pages that it can ever need at once, as
//! the scheduler has reserved their positions.

use crate::kernels::attention::{PAGE, PageId, PagePool, RowPlace};
use crate::scheduler::Limits;
use crate::{Error, Result, error::ErrorKind};

/// The pages of all slots.
pub struct Tables {
    free: Vec<PageId>,
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
            slots: Vec::new(),
            prefix: Vec::new(),
            alone: Vec::new(),
        }
    }

    /// The pages of a slot.
    pub fn of(&self, slot: usize) -> &[PageId] {
        &self.slots[slot].pages
    }

    /// Takes pages for `capacity` positions, of which the first `prefix_len` are the prefix.
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
        let mut pages = self.prefix[..shared].to_vec();
        self.take(capacity.div_ceil(PAGE) - shared, &mut pages)?;
        if !prefix_len.is_multiple_of(PAGE) {
            kv.copy_page(self.prefix[shared], pages[shared]);
        }
        self.slots[slot] = Table { pages, shared };
        Ok(())
    }

    /// Gives the pages of a slot back.
    pub fn close(&mut self, slot: usize) {
        if let Some(table) = self.slots.get_mut(slot) {
            let table = std::mem::take(table);
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
        if count > self.free.len() {
            let message = format!("{count} pages are needed and {} are free", self.free.len());
            return Err(Error::new(ErrorKind::Engine, message)
                .hint("the engine was made for a scheduler with other limits"));
        }
        pages.extend(self.free.drain(self.free.len() - count..));
        Ok(())
    }
}
