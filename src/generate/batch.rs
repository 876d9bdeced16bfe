//! One step's work, as the engine sees it.

use std::ops::Range;

use super::{Beside, Sampling, TokenFilter, TokenId};

/// The rows of one step and the sequences they belong to.
#[derive(Debug, Default, Clone)]
pub struct Batch<'a> {
    /// One token a row.
    pub tokens: Vec<TokenId>,
    /// Consecutive stretches of `tokens`, one for each sequence, or text of a beam, that advances; they cover all
    /// rows, in order.
    pub spans: Vec<Span<'a>>,
    /// Slots that take over what others hold, one after the other, before any row is computed. Where there is no
    /// memory for a step, the next one has those of the sequences that go on again.
    pub forks: Vec<Fork>,
    /// Slots whose sequences have ended since the last batch: what they hold can go.
    pub closed: Vec<usize>,
    /// Whether there was no memory for the step before this one: its forks are undone first.
    pub last_failed: bool,
}

/// A slot that takes over what another holds; what it held itself is gone. What two texts of a beam have in
/// common is computed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fork {
    /// The slot whose keys and values are taken over.
    pub from: usize,
    /// The slot that holds them afterwards as well, another one.
    pub to: usize,
    /// How many leading positions of `from` that are, the shared prefix included.
    pub positions: usize,
    /// Most positions that `to` will hold before it takes over something else.
    pub capacity: usize,
}

/// The rows of one sequence, or of a text of its beam: tokens at consecutive positions.
#[derive(Debug, Clone)]
pub struct Span<'a> {
    /// Where the sequence's keys and values live. A span whose `start` equals its `prefix_len`
    /// opens a new sequence there; what the slot held before is gone.
    pub slot: usize,
    /// Most positions that the sequence will ever hold, the shared prefix included.
    pub capacity: usize,
    /// What the texts of its beam come to take in other slots, which are forked from this one; told where the
    /// sequence begins.
    pub beside: Beside,
    /// How many leading positions are the shared prefix: all of it or none.
    pub prefix_len: usize,
    /// Position of the first row, counted from the beginning of the prompt.
    pub start: usize,
    /// The rows of the batch that belong to this sequence.
    pub rows: Range<usize>,
    /// How to pick the token that follows the last row; `None` while the prompt is incomplete.
    pub sample: Option<Sample<'a>>,
}

/// How to pick the next token of a sequence.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// The rule.
    pub sampling: Sampling,
    /// What the sequence has written of the field so far.
    pub written: &'a [TokenId],
    /// What may be picked; `None` is everything.
    pub filter: Option<&'a dyn TokenFilter>,
}

impl Batch<'_> {
    /// The spans that sample, in order: the engine answers one token for each.
    pub fn sampling(&self) -> impl Iterator<Item = (&Span<'_>, &Sample<'_>)> {
        self.spans.iter().filter_map(|span| Some((span, span.sample.as_ref()?)))
    }
}
