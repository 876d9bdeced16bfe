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
    all: Attending,
    /// The same for the rows whose hidden states are wanted, and which rows of their parts these are.
    wanted: Attending,
    wanted_rows: Vec<usize>,
    parts: Vec<Range<usize>>,
    /// Which of the wanted rows each part has.
    wanted_parts: Vec<Range<usize>>,
}

/// What rows attend to in layers that see everything, and in those with a window.
#[derive(Default)]
struct Attending {
    global: Vec<Query>,
    sliding: Vec<Query>,
}

/// The rows of a part.
#[derive(Clone, Copy)]
pub struct PartRows<'a> {
    pub tokens: &'a [TokenId],
    pub positions: &'a [usize],
    pub all: PartQueries<'a>,
    /// Of the rows whose hidden states are wanted.
    pub wanted: PartQueries<'a>,
    /// Which rows these are, in ascending order.
    pub wanted_rows: &'a [usize],
}

/// What some rows of a part attend to.
#[derive(Clone, Copy)]
pub struct PartQueries<'a> {
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
        self.all.clear();
        self.wanted.clear();
        self.wanted_rows.clear();
        self.parts.clear();
        self.wanted_parts.clear();
    }

    /// Adds `tokens` of a sequence from position `start` on, whose pages are `table`; the hidden states
    /// of those from number `wanted` on are asked for.
    pub fn add(
        &mut self,
        tokens: &[TokenId],
        table: &[PageId],
        start: usize,
        window: Option<usize>,
        wanted: usize,
    ) {
        let pages = self.tables.len()..self.tables.len() + table.len();
        self.tables.extend_from_slice(table);
        let first_row = self.tokens.len() - self.parts.last().map_or(0, |part| part.end);
        self.tokens.extend_from_slice(tokens);
        for position in start..start + tokens.len() {
            self.positions.push(position);
            let (page, offset) = (table[position / PAGE], position % PAGE);
            self.places.push(RowPlace { page, offset });
            self.all.push(&pages, position, window);
            if position >= start + wanted {
                self.wanted.push(&pages, position, window);
                self.wanted_rows.push(first_row + position - start);
            }
        }
    }

    /// The rows added since the last part are a part.
    pub fn end_part(&mut self) {
        let start = self.parts.last().map_or(0, |part| part.end);
        self.parts.push(start..self.tokens.len());
        let start = self.wanted_parts.last().map_or(0, |part| part.end);
        self.wanted_parts.push(start..self.wanted_rows.len());
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
        let (rows, wanted) = (self.parts[part].clone(), self.wanted_parts[part].clone());
        PartRows {
            tokens: &self.tokens[rows.clone()],
            positions: &self.positions[rows.clone()],
            all: self.all.part(rows, &self.tables),
            wanted: self.wanted.part(wanted.clone(), &self.tables),
            wanted_rows: &self.wanted_rows[wanted],
        }
    }

    /// The part of the wanted row that was added last, and which one of its part it is.
    pub fn last_wanted(&self) -> (usize, usize) {
        let start = self.wanted_parts.last().map_or(0, |part| part.end);
        (self.parts.len(), self.wanted_rows.len() - 1 - start)
    }
}

impl Attending {
    fn clear(&mut self) {
        self.global.clear();
        self.sliding.clear();
    }

    fn push(&mut self, pages: &Range<usize>, position: usize, window: Option<usize>) {
        self.global.push(Query { pages: pages.clone(), first: 0, position });
        let first = window.map_or(0, |window| (position + 1).saturating_sub(window));
        self.sliding.push(Query { pages: pages.clone(), first, position });
    }

    fn part<'a>(&'a self, rows: Range<usize>, tables: &'a [PageId]) -> PartQueries<'a> {
        PartQueries {
            global: Queries { rows: &self.global[rows.clone()], tables },
            sliding: Queries { rows: &self.sliding[rows], tables },
        }
    }
}
