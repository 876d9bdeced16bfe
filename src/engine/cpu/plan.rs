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

/// Fewest rows of a part: with fewer, loading weights costs more than waiting.
const LEAST_ROWS: usize = 16;
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
    /// A row in all products.
    pub row: usize,
    /// Attending to a position.
    pub position: usize,
}

/// Some rows of a span, counted from its first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub span: usize,
    pub rows: Range<usize>,
}

/// For each part what it computes, in order; parts are begun in their order.
pub type Plan = Vec<Vec<Segment>>;

/// Decides for each step.
#[derive(Debug)]
pub struct Planner {
    threads: usize,
    costs: Costs,
    /// Steps for which threads share all products.
    together: usize,
}

impl Planner {
    /// For steps of `threads` threads.
    pub fn new(threads: usize, costs: Costs) -> Planner {
        Planner { threads, costs, together: 0 }
    }

    /// One part for all threads, or one for each.
    pub fn plan(&mut self, spans: &[Span<'_>]) -> Plan {
        self.together = self.together.saturating_sub(1);
        let apart = (self.together == 0).then(|| self.apart(spans)).flatten();
        apart.unwrap_or_else(|| {
            let whole = |(span, of): (usize, &Span<'_>)| Segment { span, rows: 0..of.rows.len() };
            vec![spans.iter().enumerate().map(whole).collect()]
        })
    }

    /// Takes note of how long the parts of a step took.
    pub fn learn(&mut self, took: &[Duration]) {
        let seconds = || took.iter().map(Duration::as_secs_f64);
        let (sum, longest) = (seconds().sum::<f64>(), seconds().fold(0.0, f64::max));
        if longest * took.len() as f64 > UNEVEN * sum {
            self.together = PATIENCE;
        }
    }

    /// A part for each thread, where that can be made to cost the same.
    fn apart(&self, spans: &[Span<'_>]) -> Option<Plan> {
        let rows: usize = spans.iter().map(|span| span.rows.len()).sum();
        if self.threads < 2 || rows < self.threads * LEAST_ROWS {
            return None;
        }
        let all: usize = spans.iter().map(|span| self.cost(span, 0..span.rows.len())).sum();
        let share = all.div_ceil(self.threads);
        // What a page too little leaves over, single rows fill up, if there are enough of them.
        let plans = [false, true].map(|nearest| self.split(spans, share, nearest));
        let (dearest, plan) = plans.into_iter().min_by_key(|(dearest, _)| *dearest)?;
        (dearest as f64 <= TOLERANCE * share as f64).then_some(plan)
    }

    /// A part for each thread, none of which should cost more than `share`, and what the dearest
    /// costs. Prompts are cut at the last page that fits, or at the nearest.
    fn split(&self, spans: &[Span<'_>], share: usize, nearest: bool) -> (usize, Plan) {
        let mut plan = vec![Vec::new(); self.threads];
        let mut costs = vec![0; self.threads];
        let mut part = 0;
        let rows_of = |span: usize| spans[span].rows.len();
        for span in (0..spans.len()).filter(|span| rows_of(*span) > 1) {
            let mut from = 0;
            while from < rows_of(span) {
                let to = match part + 1 < self.threads {
                    true => {
                        self.cut(&spans[span], from, share.saturating_sub(costs[part]), nearest)
                    }
                    false => rows_of(span),
                };
                if to > from {
                    costs[part] += self.cost(&spans[span], from..to);
                    plan[part].push(Segment { span, rows: from..to });
                    from = to;
                }
                part += usize::from(from < rows_of(span));
            }
        }
        for span in (0..spans.len()).filter(|span| rows_of(*span) == 1) {
            let least = (0..self.threads).min_by_key(|part| costs[*part]).unwrap_or(0);
            costs[least] += self.cost(&spans[span], 0..1);
            plan[least].push(Segment { span, rows: 0..1 });
        }
        (costs.into_iter().max().unwrap_or(0), plan)
    }

    /// Where to end a segment of a span that begins at row `from` and may cost `left`: behind the
    /// span, or in front of a page; or at `from`, so that there is none.
    fn cut(&self, span: &Span<'_>, from: usize, left: usize, nearest: bool) -> usize {
        let ends = (from + 1..=span.rows.len())
            .filter(|end| *end == span.rows.len() || (span.start + end).is_multiple_of(PAGE));
        let off = |end: &usize| match self.cost(span, from..*end) {
            cost if cost > left && !nearest => usize::MAX,
            cost => cost.abs_diff(left),
        };
        [from].into_iter().chain(ends).min_by_key(off).unwrap_or(from)
    }

    fn cost(&self, span: &Span<'_>, rows: Range<usize>) -> usize {
        let count = rows.len();
        let positions = count * (span.start + rows.start) + count * (count + 1) / 2;
        let read = if span.rows.len() > 1 { positions } else { FROM_MEMORY * positions };
        count * self.costs.row + read * self.costs.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: Costs = Costs { row: 1000, position: 1 };

    /// Spans at (start, rows).
    fn spans(shape: &[(usize, usize)]) -> Vec<Span<'static>> {
        let mut first = 0;
        let span = |(slot, &(start, rows)): (usize, &(usize, usize))| {
            first += rows;
            let rows = first - rows..first;
            Span { slot, capacity: 0, prefix_len: 0, start, rows, sample: None }
        };
        shape.iter().enumerate().map(span).collect()
    }

    /// Every row is in one part, and a span's parts ascend and are cut at pages.
    fn check(plan: &Plan, spans: &[Span<'_>]) {
        let mut next = vec![0; spans.len()];
        for (part, segments) in plan.iter().enumerate() {
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
            (2, singles.clone()),
            (4, singles),
            (2, mixed.clone()),
            (3, mixed),
            (2, prompts),
            (2, vec![(0, 448)]),
        ] {
            let spans = spans(&shape);
            let plan = Planner::new(threads, COSTS).plan(&spans);
            check(&plan, &spans);
            let cost = |Segment { span, rows }: &Segment| -> usize {
                let weight = if spans[*span].rows.len() == 1 { FROM_MEMORY } else { 1 };
                rows.clone().map(|row| 1000 + weight * (spans[*span].start + row + 1)).sum()
            };
            let costs: Vec<usize> = plan.iter().map(|part| part.iter().map(cost).sum()).collect();
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
            (8, vec![(300, 1); 64]),
            (2, vec![]),
        ] {
            let spans = spans(&shape);
            let plan = Planner::new(threads, COSTS).plan(&spans);
            check(&plan, &spans);
            assert_eq!(plan.len(), 1, "{shape:?}");
        }
    }

    #[test]
    fn a_thread_that_is_held_up_ends_it_for_a_while() {
        let spans = spans(&[(300, 1); 64]);
        let mut planner = Planner::new(2, COSTS);
        planner.learn(&[Duration::from_millis(10), Duration::from_millis(13)]);
        assert_eq!(planner.plan(&spans).len(), 2);
        planner.learn(&[Duration::from_millis(10), Duration::from_millis(20)]);
        let parts: Vec<_> = (0..PATIENCE).map(|_| planner.plan(&spans).len()).collect();
        assert_eq!(parts[..PATIENCE - 1], [1; PATIENCE - 1]);
        assert_eq!(parts[PATIENCE - 1], 2);
    }
}
