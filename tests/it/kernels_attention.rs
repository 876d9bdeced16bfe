//! Paged attention: against plain softmax attention in f64, and against itself on every
//! instruction set, any number of threads and whatever lies in positions that are not attended to.

use std::cell::RefCell;

use wenzhai::kernels::attention::{
    AttentionScratch, PAGE, PageId, PagePool, PageShape, Queries, Query, RowPlace, attend,
};
use wenzhai::kernels::{Executor, Isa};

use crate::support::noise::Noise;

/// A sequence in pages that are not in order, and queries to it.
struct Case {
    shape: PageShape,
    group: usize,
    kv: RefCell<PagePool>,
    pages: Vec<PageId>,
    spans: Vec<(usize, usize)>,
    q: Vec<f32>,
}

impl Case {
    /// Two layers, of which the second is attended to, filled up to the last position of `spans`.
    fn new(kv_heads: usize, group: usize, head_dim: usize, spans: &[(usize, usize)]) -> Case {
        let shape = PageShape { layers: 2, kv_heads, head_dim };
        let context = spans.iter().map(|span| span.1 + 1).max().unwrap();
        let count = context.div_ceil(PAGE);
        let pages: Vec<_> = (0..count).rev().map(|page| PageId(2 * page as u32)).collect();
        let mut kv = PagePool::new(shape, 2 * count);
        let mut noise = Noise(head_dim as u64);
        for position in 0..context {
            for kv_head in 0..kv_heads {
                let (key, value) = (noise.values(head_dim), noise.values(head_dim));
                kv.write(place(&pages, position), 1, kv_head, &key, &value);
            }
        }
        let scale = 2.0 / (head_dim as f32).sqrt();
        let rows = spans.len() * kv_heads * group * head_dim;
        let q = noise.values(rows).iter().map(|q| q * scale).collect();
        Case { shape, group, kv: kv.into(), pages, spans: spans.to_vec(), q }
    }

    fn queries(&self) -> Vec<Query> {
        let query = |&(first, position)| Query { pages: 0..self.pages.len(), first, position };
        self.spans.iter().map(query).collect()
    }

    fn attend(&self, isa: Isa, threads: usize) -> Vec<f32> {
        let mut out = vec![f32::NAN; self.q.len()];
        let (mut exec, mut scratch) = (Executor::new(isa, threads), AttentionScratch::default());
        let mut kv = self.kv.borrow_mut();
        let share = kv.lend_whole(&[]);
        let queries = Queries { rows: &self.queries(), tables: &self.pages };
        attend(&mut exec, &share, 1, queries, &self.q, &mut scratch, &mut out);
        out
    }

    /// Softmax attention in f64 over what the pages hold.
    fn truth(&self) -> Vec<f64> {
        let PageShape { kv_heads, head_dim, .. } = self.shape;
        let heads = kv_heads * self.group;
        let mut out = Vec::new();
        for (row, q) in self.q.chunks_exact(heads * head_dim).enumerate() {
            let (first, position) = self.spans[row];
            for (head, q) in q.chunks_exact(head_dim).enumerate() {
                let at = |position| (place(&self.pages, position), 1, head / self.group);
                let read = |position, read: fn(&PagePool, RowPlace, usize, usize) -> Vec<f32>| {
                    let (place, layer, kv_head) = at(position);
                    read(&self.kv.borrow(), place, layer, kv_head)
                };
                let weights: Vec<f64> = (first..=position)
                    .map(|position| dot(q, &read(position, PagePool::key)).exp())
                    .collect();
                let sum: f64 = weights.iter().sum();
                let mut mixed = vec![0.0; head_dim];
                for (position, weight) in (first..=position).zip(weights) {
                    for (mixed, value) in mixed.iter_mut().zip(read(position, PagePool::value)) {
                        *mixed += weight / sum * f64::from(value);
                    }
                }
                out.extend(mixed);
            }
        }
        out
    }
}

fn place(pages: &[PageId], position: usize) -> RowPlace {
    RowPlace { page: pages[position / PAGE], offset: position % PAGE }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// A weight is rounded to bf16, by 1/512 at most, and so is their sum; values are below 1.
const BOUND: f64 = 1.0 / 256.0;
/// Errors of many weights cancel, and those of a single one go into their sum as well.
const MEAN_BOUND: f64 = BOUND / 8.0;

/// Checks a case against the truth and all instruction sets and numbers of threads to the bit.
fn check(case: &Case) {
    let scalar = case.attend(Isa::SCALAR, 1);
    let mut errors = 0.0;
    for (at, (value, truth)) in scalar.iter().zip(case.truth()).enumerate() {
        let error = (f64::from(*value) - truth).abs();
        assert!(error < BOUND, "value {at}: {value}, not {truth}");
        errors += error;
    }
    let mean = errors / scalar.len() as f64;
    assert!(mean < MEAN_BOUND, "{:?}: errors of {mean:.1e} on average", case.shape);
    for isa in Isa::all() {
        for threads in [1, 2] {
            let same = bits(&case.attend(isa, threads)) == bits(&scalar);
            assert!(same, "{} on {threads} threads: {:?}", isa.name(), case.shape);
        }
    }
}

#[test]
fn attention_is_softmax_attention_in_the_same_bits_everywhere() {
    let edges = [0, 1, 62, 63, 64, 65, 66, 127, 128, 129].map(|position| (0, position));
    check(&Case::new(1, 4, 32, &edges));
    check(&Case::new(1, 4, 256, &[(0, 600), (0, 65)]));
    check(&Case::new(2, 3, 64, &[(0, 0), (0, 64), (0, 130)]));
    check(&Case::new(2, 1, 128, &[(0, 70)]));
    check(&Case::new(1, 7, 96, &[(0, 40), (0, 130)]));
    check(&Case::new(2, 6, 128, &[(0, 70), (0, 129)]));
    check(&Case::new(1, 11, 64, &[(0, 20), (0, 90)]));
    check(&Case::new(1, 16, 32, &[(0, 64)]));
}

#[test]
fn windows_begin_anywhere() {
    let windows = [(1, 1), (5, 9), (31, 32), (40, 63), (63, 64), (64, 64), (70, 200), (100, 611)];
    check(&Case::new(1, 2, 32, &windows));
}

#[test]
fn large_scores_do_not_overflow() {
    let mut case = Case::new(1, 4, 64, &[(0, 100), (3, 77)]);
    case.q.iter_mut().for_each(|q| *q *= 1e4);
    let scalar = case.attend(Isa::SCALAR, 1);
    assert!(scalar.iter().all(|value| value.abs() <= 1.0), "a mean of values below 1");
    for isa in Isa::all() {
        assert_eq!(bits(&case.attend(isa, 1)), bits(&scalar), "{}", isa.name());
    }
}

#[test]
fn what_is_not_attended_to_does_not_matter() {
    let span = (70, 150);
    let mut case = Case::new(2, 3, 32, &[span]);
    let before: Vec<_> = Isa::all().iter().map(|isa| bits(&case.attend(*isa, 1))).collect();
    let outside = (0..span.0).chain(span.1 + 1..case.pages.len() * PAGE);
    for position in outside {
        for kv_head in 0..2 {
            let nan = [f32::NAN; 32];
            case.kv.get_mut().write(place(&case.pages, position), 1, kv_head, &nan, &nan);
        }
    }
    for (isa, before) in Isa::all().into_iter().zip(before) {
        assert_eq!(bits(&case.attend(isa, 1)), before, "{}", isa.name());
    }
    case.kv.get_mut().write(place(&case.pages, span.1), 1, 0, &[f32::NAN; 32], &[f32::NAN; 32]);
    for isa in Isa::all() {
        assert!(case.attend(isa, 1)[0].is_nan(), "{}: the last position matters", isa.name());
    }
}

#[test]
fn rows_are_apart_from_their_neighbours() {
    let spans: Vec<_> = (0..12).map(|row| (row, 20 * row + 5)).collect();
    let all = Case::new(2, 4, 64, &spans);
    let together = all.attend(*Isa::all().last().unwrap(), 2);
    let width = all.q.len() / spans.len();
    for row in 0..spans.len() {
        let alone = &all.queries()[row..row + 1];
        let (q, mut out) = (&all.q[row * width..][..width], vec![0.0; width]);
        let (mut exec, mut scratch) = (Executor::new(Isa::SCALAR, 1), AttentionScratch::default());
        let mut kv = all.kv.borrow_mut();
        let share = kv.lend_whole(&[]);
        let queries = Queries { rows: alone, tables: &all.pages };
        attend(&mut exec, &share, 1, queries, q, &mut scratch, &mut out);
        assert_eq!(bits(&out), bits(&together[row * width..][..width]), "row {row}");
    }
}

#[test]
fn sequences_share_pages_and_go_on_from_copies() {
    let case = Case::new(1, 4, 32, &[(0, 100)]);
    let mut kv = case.kv.into_inner();
    // Position 100 lies in the second page, which the other sequence gets as a copy; the third
    // of its pages is its own.
    let mut other = case.pages.clone();
    other[1] = PageId(1);
    kv.copy_page(case.pages[1], PageId(1));
    kv.write(place(&other, 101), 1, 0, &[0.5; 32], &[0.5; 32]);
    let tables = [&case.pages[..], &other].concat();
    let count = other.len();
    let rows = [(0..count, 100), (count..2 * count, 100), (count..2 * count, 101)]
        .map(|(pages, position)| Query { pages, first: 0, position });
    let q = [&case.q[..], &case.q, &case.q].concat();
    let mut out = vec![0.0; q.len()];
    let (mut exec, mut scratch) = (Executor::new(Isa::SCALAR, 2), AttentionScratch::default());
    let share = kv.lend_whole(&[]);
    let queries = Queries { rows: &rows, tables: &tables };
    attend(&mut exec, &share, 1, queries, &q, &mut scratch, &mut out);
    let rows: Vec<_> = out.chunks_exact(case.q.len()).map(bits).collect();
    assert_eq!(rows[0], rows[1]);
    assert_ne!(rows[1], rows[2]);
}
