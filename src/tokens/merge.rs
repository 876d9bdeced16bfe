//! The merge loop of byte-pair encoding: neighbours become one symbol, best rank first and
//! leftmost first among equals, until no two neighbours merge.
//!
//! A queue holds every pair that could merge. A merge leaves pairs behind whose symbols have
//! changed; they are recognised by their length when they come up, which is cheaper than finding
//! them. Time grows as n log n with the symbols.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A stretch of text, and its token where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Symbol {
    pub(super) start: usize,
    /// Length in bytes; 0 for a symbol that was merged into its left neighbour.
    pub(super) len: usize,
    pub(super) id: Option<u32>,
}

/// What two neighbours become, and how early: a lower rank goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Merge {
    pub(super) rank: u32,
    pub(super) id: u32,
}

/// A pair in the queue; the order of the fields is the order of merging.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    rank: u32,
    left: usize,
    right: usize,
    len: usize,
    id: u32,
}

/// Merges `symbols`, which follow each other without gaps; `join` tells what two neighbours become.
pub(super) fn merge(
    mut symbols: Vec<Symbol>,
    join: impl Fn(&Symbol, &Symbol) -> Option<Merge>,
) -> Vec<Symbol> {
    let count = symbols.len();
    let mut previous: Vec<Option<usize>> = (0..count).map(|index| index.checked_sub(1)).collect();
    let mut next: Vec<Option<usize>> =
        (1..=count).map(|index| Some(index).filter(|&index| index < count)).collect();
    let pair = |symbols: &[Symbol], left: usize, right: usize| {
        let Merge { rank, id } = join(&symbols[left], &symbols[right])?;
        Some(Reverse(Pair { rank, left, right, len: symbols[left].len + symbols[right].len, id }))
    };

    let mut queue: BinaryHeap<_> =
        (1..count).filter_map(|right| pair(&symbols, right - 1, right)).collect();
    while let Some(Reverse(Pair { left, right, len, id, .. })) = queue.pop() {
        let changed = symbols[left].len + symbols[right].len != len;
        if changed || symbols[left].len == 0 || symbols[right].len == 0 {
            continue;
        }
        symbols[left] = Symbol { start: symbols[left].start, len, id: Some(id) };
        symbols[right].len = 0;
        next[left] = next[right];
        if let Some(after) = next[left] {
            previous[after] = Some(left);
            queue.extend(pair(&symbols, left, after));
        }
        if let Some(before) = previous[left] {
            queue.extend(pair(&symbols, before, left));
        }
    }
    symbols.retain(|symbol| symbol.len > 0);
    symbols
}
