//! Who computes which rows of a step.
//!
//! All threads can share each product of a step, tile by tile, and wait for one another behind it.
//! With many rows it is faster that each thread takes a part of the rows through all layers by
//! itself: nobody waits, and while one thread reads keys and values from memory another multiplies.
//! A row's result is the same either way, so what is faster may decide.
//!
//! Parts should cost the same. Sequences that advance by one row fill them up evenly; a long
//! stretch of a prompt is cut where a page of keys and values ends, since a page has one writer, and
//! its later part follows the earlier one layer by layer.

use std::ops::Range;
use std::time::Duration;

use crate::generate::Span;
use crate::kernels::attention::PAGE;
use crate::model::Config;

/// Fewest rows of a part, with few threads.
const LEAST_ROWS: usize = 16;
/// And for each thread, since each reads all weights by itself and they share the memory: a thread
/// needs as many rows more to be busy with what it gets. Measured with two threads, reckoned for
/// more (150 G multiply-adds/s a thread, 40 GB/s for all, half of them for weights).
const LEAST_ROWS_A_THREAD: usize = 8;
/// How much more than the mean the dearest part may cost.
const TOLERANCE: f64 = 1.1;
/// How much more than a position of a stretch that is read in one go a position costs that one
/// row alone attends to, and that comes from memory.
const FROM_MEMORY: usize = 4;
/// Threads that took this much longer than the mean of all have to share their cores with others.
const UNEVEN: f64 = 1.25;
/// Steps until it is tried again after that.
const PATIENCE: usize = 32;

/// Multiply-adds.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    /// A row in all products of all layers.
    pub row: usize,
    /// Attending to a position, in all layers.
    pub position: usize,
}

/// Some rows of a span, counted from its first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub span: usize,
    pub rows: Range<usize>,
}

/// Who computes which rows of a step.
#[derive(Debug)]
pub enum Plan<'a> {
    /// All threads share each product.
    Together,
    /// Each thread has a part, of these segments in order; parts are begun in their order.
    Apart(&'a [Vec<Segment>]),
}

/// Decides for each step.
#[derive(Debug)]
pub struct Planner {
    threads: usize,
    costs: Costs,
    /// Steps for which threads share all products.
    together: usize,
    /// The two ways of cutting prompts; kept from step to step.
    splits: [Split; 2],
}

/// A part for each thread.
#[derive(Debug, Default)]
struct Split {
    parts: Vec<Vec<Segment>>,
    /// Of each part.
    costs: Vec<usize>,
}

/// Fewest rows of each part where `threads` threads have one: with fewer, loading weights costs more
/// than waiting for one another.
pub fn least_rows(threads: usize) -> usize {
    LEAST_ROWS.max(LEAST_ROWS_A_THREAD * threads)
}

impl Planner {
    /// For steps of `threads` threads.
    pub fn new(threads: usize, costs: Costs) -> Planner {
        let split = || Split { parts: vec![Vec::new(); threads], costs: vec![0; threads] };
        Planner { threads, costs, together: 0, splits: [split(), split()] }
    }

    /// Who computes which rows of `spans`.
    pub fn plan(&mut self, spans: &[Span<'_>]) -> Plan<'_> {
        self.together = self.together.saturating_sub(1);
        let apart = if self.together == 0 { self.apart(spans) } else { None };
        apart.map_or(Plan::Together, Plan::Apart)
    }

    /// Takes note of how long the parts of a step took.
    pub fn learn(&mut self, took: impl Iterator<Item = Duration>) {
        let (mut parts, mut sum, mut longest) = (0, 0.0, 0.0);
        for seconds in took.map(|took| took.as_secs_f64()) {
            (parts, sum, longest) = (parts + 1, sum + seconds, seconds.max(longest));
        }
        if longest * f64::from(parts) > UNEVEN * sum {
            self.together = PATIENCE;
        }
    }

    /// A part for each thread, where that can be made to cost the same.
    fn apart(&mut self, spans: &[Span<'_>]) -> Option<&[Vec<Segment>]> {
        let rows: usize = spans.iter().map(|span| span.rows.len()).sum();
        if self.threads < 2 || rows < self.threads * least_rows(self.threads) {
            return None;
        }
        let all: usize = spans.iter().map(|span| self.costs.of(span, 0..span.rows.len())).sum();
        let share = all.div_ceil(self.threads);
        // What a page too little leaves over, single rows fill up, if there are enough of them.
        for (split, nearest) in self.splits.iter_mut().zip([false, true]) {
            split.fill(self.costs, spans, share, nearest);
        }
        let split = self.splits.iter().min_by_key(|split| split.dearest())?;
        (split.dearest() as f64 <= TOLERANCE * share as f64).then_some(&split.parts[..])
    }
}

impl Split {
    /// A part for each thread, none of which should cost more than `share`. Prompts are cut at the
    /// last page that fits, or at the nearest.
    fn fill(&mut self, of: Costs, spans: &[Span<'_>], share: usize, nearest: bool) {
        let Split { parts, costs } = self;
        parts.iter_mut().for_each(Vec::clear);
        costs.fill(0);
        let mut part = 0;
        let rows_of = |span: usize| spans[span].rows.len();
        for span in (0..spans.len()).filter(|span| rows_of(*span) > 1) {
            let mut from = 0;
            while from < rows_of(span) {
                let left = share.saturating_sub(costs[part]);
                let to = match part + 1 < parts.len() {
                    true => of.cut(&spans[span], from, left, nearest),
                    false => rows_of(span),
                };
                if to > from {
                    costs[part] += of.of(&spans[span], from..to);
                    parts[part].push(Segment { span, rows: from..to });
                    from = to;
                }
                part += usize::from(from < rows_of(span));
            }
        }
        for span in (0..spans.len()).filter(|span| rows_of(*span) == 1) {
            let least = (0..parts.len()).min_by_key(|part| costs[*part]).unwrap_or(0);
            costs[least] += of.of(&spans[span], 0..1);
            parts[least].push(Segment { span, rows: 0..1 });
        }
    }

    /// What the dearest part costs.
    fn dearest(&self) -> usize {
        self.costs.iter().copied().max().unwrap_or(0)
    }
}

impl Costs {
    /// Of the decoder that `config` describes.
    pub fn of_decoder(config: &Config) -> Costs {
        let Config { hidden, ffn_hidden, heads, kv_heads, head_dim, layers, .. } = config;
        let (q, kv) = (heads * head_dim, kv_heads * head_dim);
        let matrices = hidden * (q + 2 * kv) + q * hidden + 3 * hidden * ffn_hidden;
        Costs { row: matrices * layers.len(), position: 2 * q * layers.len() }
    }

    /// Where to end a segment of a span that begins at row `from` and may cost `left`: behind the
    /// span, or in front of a page; or at `from`, so that there is none.
    fn cut(self, span: &Span<'_>, from: usize, left: usize, nearest: bool) -> usize {
        let ends = (from + 1..=span.rows.len())
            .filter(|end| *end == span.rows.len() || (span.start + end).is_multiple_of(PAGE))
            .filter(|end| nearest || self.of(span, from..*end) <= left);
        let off = |end: &usize| self.of(span, from..*end).abs_diff(left);
        [from].into_iter().chain(ends).min_by_key(off).unwrap_or(from)
    }

    /// Of some rows of a span.
    fn of(self, span: &Span<'_>, rows: Range<usize>) -> usize {
        let count = rows.len();
        let positions = count * (span.start + rows.start) + count * (count + 1) / 2;
        let read = if span.rows.len() > 1 { positions } else { FROM_MEMORY * positions };
        count * self.row + read * self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Beside;

    const COSTS: Costs = Costs { row: 1000, position: 1 };

    /// Spans at (start, rows).
    fn spans(shape: &[(usize, usize)]) -> Vec<Span<'static>> {
        let mut first = 0;
        let span = |(slot, &(start, rows)): (usize, &(usize, usize))| {
            first += rows;
            let rows = first - rows..first;
            let beside = Beside::default();
            Span { slot, capacity: 0, beside, prefix_len: 0, start, rows, sample: None }
        };
        shape.iter().enumerate().map(span).collect()
    }

    /// Every row is in one part, and a span's parts ascend and are cut at pages.
    fn check(parts: &[Vec<Segment>], spans: &[Span<'_>]) {
        let mut next = vec![0; spans.len()];
        for (part, segments) in parts.iter().enumerate() {
            for Segment { span, rows } in segments {
                assert_eq!(rows.start, next[*span], "part {part}");
                assert!(rows.start == 0 || (spans[*span].start + rows.start).is_multiple_of(PAGE));
                next[*span] = rows.end;
            }
        }
        assert!(next.iter().zip(spans).all(|(next, span)| *next == span.rows.len()));
    }

    #[test]
    fn parts_cost_the_same_and_prompts_are_cut_at_pages() {
        let singles = vec![(300, 1); 64];
        let mixed: Vec<_> = singles.iter().copied().chain([(37, 244), (0, 204)]).collect();
        let prompts = vec![(0, 200), (0, 200), (70, 112)];
        for (threads, shape) in [
            (2, singles),
            (4, vec![(300, 1); 128]),
            (2, mixed.clone()),
            (3, mixed),
            (2, prompts),
            (2, vec![(0, 448)]),
        ] {
            let spans = spans(&shape);
            let mut planner = Planner::new(threads, COSTS);
            let Plan::Apart(parts) = planner.plan(&spans) else { panic!("{shape:?}") };
            check(parts, &spans);
            let cost = |Segment { span, rows }: &Segment| -> usize {
                let weight = if spans[*span].rows.len() == 1 { FROM_MEMORY } else { 1 };
                rows.clone().map(|row| 1000 + weight * (spans[*span].start + row + 1)).sum()
            };
            let costs: Vec<usize> = parts.iter().map(|part| part.iter().map(cost).sum()).collect();
            let mean = costs.iter().sum::<usize>() as f64 / threads as f64;
            assert_eq!(costs.len(), threads);
            assert!(costs.iter().all(|cost| *cost as f64 <= 1.1 * mean), "{shape:?}: {costs:?}");
        }
    }

    #[test]
    fn threads_share_the_products_where_parts_would_be_small_or_uneven() {
        for (threads, shape) in [
            (1, vec![(0, 512)]),
            (2, vec![(300, 1); 31]),
            (2, vec![(0, 100)]),
            (4, vec![(300, 1); 127]),
            (8, vec![(300, 1); 128]),
            (2, vec![]),
        ] {
            let spans = spans(&shape);
            let mut planner = Planner::new(threads, COSTS);
            assert!(matches!(planner.plan(&spans), Plan::Together), "{shape:?}");
        }
    }

    #[test]
    fn a_thread_that_is_held_up_ends_it_for_a_while() {
        let spans = spans(&[(300, 1); 64]);
        let mut planner = Planner::new(2, COSTS);
        let is_apart = |planner: &mut Planner| matches!(planner.plan(&spans), Plan::Apart(_));
        planner.learn([10, 13].map(Duration::from_millis).into_iter());
        assert!(is_apart(&mut planner));
        planner.learn([10, 20].map(Duration::from_millis).into_iter());
        assert!((1..PATIENCE).all(|_| !is_apart(&mut planner)));
        assert!(is_apart(&mut planner));
    }
}
