//! Which pages hold which sequence: integers only, the keys and values are the kernels' matter.
//!
//! A slot's table lists its pages in the order of positions. The pages that are full are shared by all
//! tables that begin with the same tokens: with the prefix, or with the texts of a beam; the last one,
//! which is written to, is copied for each. All pages that a slot can ever need are reserved when it is
//! opened, as the scheduler has reserved their positions, and taken when it gets there: so memory is what
//! sequences hold, not what they might.

use crate::generate::{Fork, Limits};
use crate::kernels::attention::{PAGE, PageId, PagePool};
use crate::{Error, Result, error::ErrorKind};

/// The pages of all slots.
pub struct PageTables {
    free: Vec<PageId>,
    /// Page → how many tables have it, the prefix's own among them.
    uses: Vec<u32>,
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
            uses: vec![0; pages],
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
        let prefix = std::mem::take(&mut self.prefix);
        let opened = self.begin(slot, &prefix, prefix_len, capacity, kv);
        self.prefix = prefix;
        opened
    }

    /// Lets a slot hold what another holds.
    pub fn fork(&mut self, fork: &Fork, kv: &mut PagePool) -> Result<()> {
        let pages = std::mem::take(&mut self.slots[fork.from].pages);
        let forked = self.begin(fork.to, &pages, fork.positions, fork.capacity, kv);
        self.slots[fork.from].pages = pages;
        forked
    }

    /// Lets a slot begin with the first `positions` of what stands in `pages`.
    fn begin(
        &mut self,
        slot: usize,
        pages: &[PageId],
        positions: usize,
        capacity: usize,
        kv: &mut PagePool,
    ) -> Result<()> {
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, Table::default);
        }
        self.close(slot);
        let full = positions / PAGE;
        let reserved = capacity.div_ceil(PAGE) - full;
        self.check(reserved)?;
        self.reserved += reserved;
        pages[..full].iter().for_each(|page| self.uses[page.0 as usize] += 1);
        let table = &mut self.slots[slot];
        table.reserved = reserved;
        // At once, so that a sequence that grows allocates nothing.
        table.pages.reserve(full + reserved);
        table.pages.extend_from_slice(&pages[..full]);
        if !positions.is_multiple_of(PAGE) {
            self.grow(slot, positions);
            kv.copy_page(pages[full], self.slots[slot].pages[full]);
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
        for page in self.free.drain(self.free.len() - count..) {
            self.uses[page.0 as usize] = 1;
            table.pages.push(page);
        }
    }

    /// Gives the pages of a slot back.
    pub fn close(&mut self, slot: usize) {
        let Some(table) = self.slots.get_mut(slot) else { return };
        self.reserved -= std::mem::take(&mut table.reserved);
        let mut pages = std::mem::take(&mut table.pages);
        self.give_back(&mut pages);
        // Emptied, for the next sequence.
        self.slots[slot].pages = pages;
    }

    /// Gives pages back that a table had; those that no other has are free.
    fn give_back(&mut self, pages: &mut Vec<PageId>) {
        for page in pages.drain(..) {
            let uses = &mut self.uses[page.0 as usize];
            *uses -= 1;
            if *uses == 0 {
                self.free.push(page);
            }
        }
    }

    /// Takes pages for the scratch sequence.
    pub fn open_scratch(&mut self, positions: usize) -> Result<()> {
        // One whose forward failed may have some still.
        self.close_scratch();
        let count = positions.div_ceil(PAGE);
        self.check(count)?;
        for page in self.free.drain(self.free.len() - count..) {
            self.uses[page.0 as usize] = 1;
            self.scratch.push(page);
        }
        Ok(())
    }

    /// Its pages.
    pub fn scratch(&self) -> &[PageId] {
        &self.scratch
    }

    /// Gives its pages back.
    pub fn close_scratch(&mut self) {
        let mut pages = std::mem::take(&mut self.scratch);
        self.give_back(&mut pages);
        self.scratch = pages;
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
        let mut pages = std::mem::take(&mut self.prefix);
        self.give_back(&mut pages);
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
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::engine::scripted::ScriptedEngine;
    use crate::generate::{Candidate, Engine, Field, Request, Sampling, Scheduler, TokenId};
    use crate::kernels::attention::{PageShape, RowPlace};

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

    #[test]
    fn what_two_slots_have_in_common_is_there_once() {
        let mut kv = PagePool::new(PageShape { layers: 1, kv_heads: 1, head_dim: 32 }, 6);
        let mut tables = PageTables::new(6);
        tables.open(0, 3 * PAGE, 0, &mut kv).unwrap();
        tables.grow(0, PAGE + 8);
        let place = |tables: &PageTables, slot: usize, offset| RowPlace {
            page: tables.of(slot)[1],
            offset,
        };
        kv.write(place(&tables, 0, 7), 0, 0, &[2.0; 32], &[3.0; 32]);
        let fork = Fork { from: 0, to: 1, positions: PAGE + 8, capacity: 3 * PAGE };
        for _ in 0..3 {
            tables.fork(&fork, &mut kv).unwrap();
        }
        assert_eq!(tables.of(0)[0], tables.of(1)[0]);
        assert_ne!(tables.of(0)[1], tables.of(1)[1], "both are written to");
        assert_eq!(kv.value(place(&tables, 1, 7), 0, 0), [3.0; 32]);
        let refused = tables.fork(&Fork { to: 2, capacity: 4 * PAGE, ..fork }, &mut kv);
        assert!(refused.unwrap_err().to_string().contains("3 pages are needed and 1 are free"));
        tables.close(0);
        assert_eq!(
            kv.value(place(&tables, 1, 7), 0, 0),
            [3.0; 32],
            "it does not go with the other"
        );
        tables.close(1);
        tables.open(0, 6 * PAGE, 0, &mut kv).unwrap();
    }

    /// Up to five tokens that may follow, by a hash of everything before them; 0 ends a field.
    fn scores(context: &[TokenId]) -> Vec<Candidate> {
        let hash =
            context.iter().fold(7u64, |h, t| (h ^ u64::from(*t)).wrapping_mul(0x100_0000_01b3));
        let candidate = |index: u64| Candidate {
            token: ((hash >> (7 * index)) % 40) as TokenId,
            log_probability: -(index as f64) / 4.0,
        };
        let mut candidates: Vec<Candidate> = (1..6).map(candidate).collect();
        candidates.dedup_by_key(|candidate| candidate.token);
        candidates
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// No more pages than [`PageTables::pages_for`] says, and none is written that two slots have.
        #[test]
        fn what_a_scheduler_admits_has_its_pages(
            sizes in prop::collection::vec((1usize..90, 1usize..90, 1usize..90, 0usize..5), 1..12),
            (max_sequences, rows_per_step) in (5usize..16, 4usize..60),
            prefix_len in 0usize..140,
        ) {
            let limits = Limits {
                max_sequences, rows_per_step, prefill_rows: 16, max_context: 420, kv_positions: 800,
            };
            let pages = PageTables::pages_for(&limits);
            let mut kv = PagePool::new(PageShape { layers: 1, kv_heads: 1, head_dim: 32 }, pages);
            let mut tables = PageTables::new(pages);
            let prefix = vec![1; prefix_len];
            tables.open_scratch(prefix_len).unwrap();
            tables.keep_as_prefix();
            let mut engine = ScriptedEngine::new(|_: &[TokenId]| 1).with_scores(scores);
            engine.set_prefix(&prefix).unwrap();
            let mut scheduler = Scheduler::new(limits, prefix.clone());
            for (id, (prompt, first, second, width)) in sizes.into_iter().enumerate() {
                let field = |max_tokens| Field {
                    label: vec![50, 51],
                    stop: Arc::new([0].into_iter().collect()),
                    max_tokens,
                    filter: None,
                };
                // Some without the prefix, and some without a beam.
                let shared = if id % 3 == 2 { &[][..] } else { &prefix[..] };
                let sampling = match width {
                    0 => Sampling::Greedy,
                    width => Sampling::Beam { width },
                };
                let prompt = [shared, &vec![2 + id as TokenId; prompt]].concat();
                let fields = vec![field(first), field(second)];
                scheduler.push(Request { id: id as u64, prompt, fields, sampling }).unwrap();
            }
            while let Some(batch) = scheduler.schedule() {
                batch.closed.iter().for_each(|slot| tables.close(*slot));
                for fork in &batch.forks {
                    tables.fork(fork, &mut kv).unwrap();
                }
                for span in &batch.spans {
                    if span.start == span.prefix_len {
                        tables.open(span.slot, span.capacity, span.prefix_len, &mut kv).unwrap();
                    }
                    tables.grow(span.slot, span.start + span.rows.len());
                }
                for span in &batch.spans {
                    for position in span.start..span.start + span.rows.len() {
                        let page = tables.of(span.slot)[position / PAGE];
                        prop_assert_eq!(tables.uses[page.0 as usize], 1, "a page of two slots");
                    }
                }
                let picked = engine.step(&batch).unwrap();
                scheduler.commit(&picked);
            }
        }
    }
}
