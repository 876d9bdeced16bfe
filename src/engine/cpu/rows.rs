//! Rows of one pass through the decoder: what stands where.

use std::ops::Range;

use crate::generate::TokenId;
use crate::kernels::attention::{PAGE, PageId, Queries, Query, RowPlace};

/// All rows, part by part; kept from step to step.
#[derive(Default)]
pub struct Rows {
    tokens: Vec<TokenId>,
    positions: Vec<usize>,
    places: Vec<RowPlace>,
    /// The pages of the sequences, one table behind another.
    tables: Vec<PageId>,
    /// For layers that see everything, and for those with a window.
    global: Vec<Query>,
    sliding: Vec<Query>,
    parts: Vec<Range<usize>>,
}

/// Those of a part.
#[derive(Clone, Copy)]
pub struct PartRows<'a> {
    pub tokens: &'a [TokenId],
    pub positions: &'a [usize],
    pub global: Queries<'a>,
    pub sliding: Queries<'a>,
}

impl Rows {
    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.positions.clear();
        self.places.clear();
        self.tables.clear();
        self.global.clear();
        self.sliding.clear();
        self.parts.clear();
    }

    /// Adds `tokens` of a sequence from position `start` on, whose pages are `table`.
    pub fn add(
        &mut self,
        tokens: &[TokenId],
        table: &[PageId],
        start: usize,
        window: Option<usize>,
    ) {
        let pages = self.tables.len()..self.tables.len() + table.len();
        self.tables.extend_from_slice(table);
        self.tokens.extend_from_slice(tokens);
        for position in start..start + tokens.len() {
            self.positions.push(position);
            let (page, offset) = (table[position / PAGE], position % PAGE);
            self.places.push(RowPlace { page, offset });
            self.global.push(Query { pages: pages.clone(), first: 0, position });
            let first = window.map_or(0, |window| (position + 1).saturating_sub(window));
            self.sliding.push(Query { pages: pages.clone(), first, position });
        }
    }

    /// The rows added since the last part are a part.
    pub fn end_part(&mut self) {
        let start = self.parts.last().map_or(0, |part| part.end);
        self.parts.push(start..self.tokens.len());
    }

    /// Where their keys and values go.
    pub fn places(&self) -> &[RowPlace] {
        &self.places
    }

    /// Which rows the parts have.
    pub fn parts(&self) -> &[Range<usize>] {
        &self.parts
    }

    /// The rows of a part.
    pub fn part(&self, part: usize) -> PartRows<'_> {
        let (range, tables) = (self.parts[part].clone(), &self.tables[..]);
        PartRows {
            tokens: &self.tokens[range.clone()],
            positions: &self.positions[range.clone()],
            global: Queries { rows: &self.global[range.clone()], tables },
            sliding: Queries { rows: &self.sliding[range], tables },
        }
    }

    /// The part of the row that was added last, and which row of it that is.
    pub fn last(&self) -> (usize, usize) {
        let start = self.parts.last().map_or(0, |part| part.end);
        (self.parts.len(), self.tokens.len() - 1 - start)
    }
}
