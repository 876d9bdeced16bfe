//! From the product of a layer's first matrix to queries, keys and values: bias, norm over each
//! head, rotation to the row's position; keys and values go into their pages.
//!
//! Rows are independent, and a row is read and written once.

use std::ops::Range;

use super::attention::{PageShare, PageWriter};
use super::disjoint::Disjoint;
use super::lanes::{LANES, Lanes, both, load_block, with_lanes};
use super::rows::{Norm, for_rows, norm_scale, sum_of_squares};
use super::{BLOCK, Isa, Pool, Tiled};

/// Most dimensions of a head.
pub const MAX_HEAD_DIM: usize = 512;

/// Which dimensions of a head turn together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// i and i + half.
    Halves,
    /// 2 i and 2 i + 1.
    Adjacent,
}

/// What is done to the heads of one projection.
#[derive(Debug, Clone, Copy)]
pub struct Heads<'a> {
    /// Where its columns begin in the product.
    pub first_column: usize,
    /// How many heads there are.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Added before anything else (heads · head_dim).
    pub bias: Option<&'a [f32]>,
    /// Norm over each head.
    pub norm: Option<Norm<'a>>,
    /// Rotation of each head, if any.
    pub rope: Option<Rope<'a>>,
    /// Factor on the result.
    pub scale: f32,
}

/// Cosines and sines by position, (positions, head_dim / 2) each.
#[derive(Debug, Clone, Copy)]
pub struct Rope<'a> {
    /// Cosines.
    pub cos: &'a [f32],
    /// Sines.
    pub sin: &'a [f32],
    /// Which dimensions turn together.
    pub pairing: Pairing,
}

/// The heads of all projections.
#[derive(Debug, Clone, Copy)]
pub struct Projections<'a> {
    /// Of queries.
    pub query: Heads<'a>,
    /// Of keys.
    pub key: Heads<'a>,
    /// Of values.
    pub value: Heads<'a>,
}

/// Takes heads out of a product, whose rows are those of `kv` and stand at `positions`, and stores
/// keys and values in a layer. `queries` is (rows, heads · head_dim).
///
/// # Panics
/// Where shapes differ, heads are wider than [`MAX_HEAD_DIM`], or there is no such layer.
#[expect(clippy::too_many_arguments, reason = "each is a different thing that the caller owns")]
pub fn take_heads(
    isa: Isa,
    pool: &mut Pool,
    product: &Tiled,
    positions: &[usize],
    projections: &Projections<'_>,
    queries: &mut [f32],
    kv: &mut PageShare<'_>,
    layer: usize,
) {
    let Projections { query, key, value } = projections;
    let (rows, shape) = (positions.len(), kv.shape());
    let width = query.width();
    assert_eq!((product.rows(), kv.rows(), queries.len()), (rows, rows, rows * width));
    for heads in [key, value] {
        assert_eq!((heads.heads, heads.head_dim), (shape.kv_heads, shape.head_dim));
    }
    assert!(shape.head_dim <= MAX_HEAD_DIM, "heads of {}", shape.head_dim);
    let queries = Disjoint::new(queries);
    let writer = &kv.writer(layer);
    for_rows(pool, rows, |range| {
        // SAFETY: every row belongs to one task.
        let queries = unsafe { queries.part(range.start * width..range.end * width) };
        with_lanes!(isa, take_rows(
            range: Range<usize>,
            product: &Tiled,
            positions: &[usize],
            projections: &Projections<'_>,
            queries: &mut [f32],
            writer: &PageWriter<'_>,
        ));
    });
    kv.has_stored(layer);
}

/// [`take_heads`] of some rows; each row is in one call.
#[inline(always)]
fn take_rows<L: Lanes>(
    lanes: L,
    rows: Range<usize>,
    product: &Tiled,
    positions: &[usize],
    projections: &Projections<'_>,
    queries: &mut [f32],
    writer: &PageWriter<'_>,
) {
    let Projections { query, key, value } = projections;
    let (mut one_key, mut one_value) = ([0.0; MAX_HEAD_DIM], [0.0; MAX_HEAD_DIM]);
    let (one_key, one_value) = (&mut one_key[..key.head_dim], &mut one_value[..key.head_dim]);
    for (row, queries) in rows.zip(queries.chunks_exact_mut(query.width())) {
        let position = positions[row];
        for (head, out) in queries.chunks_exact_mut(query.head_dim).enumerate() {
            query.take(lanes, product, row, position, head, out);
        }
        for head in 0..key.heads {
            key.take(lanes, product, row, position, head, one_key);
            value.take(lanes, product, row, position, head, one_value);
            // SAFETY: every row belongs to one task.
            unsafe { writer.write(lanes, row, head, one_key, one_value) };
        }
    }
}

impl Heads<'_> {
    fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// One head of a row.
    #[inline(always)]
    fn take<L: Lanes>(
        &self,
        lanes: L,
        product: &Tiled,
        row: usize,
        position: usize,
        head: usize,
        out: &mut [f32],
    ) {
        let first_tile = (self.first_column + head * self.head_dim) / BLOCK;
        for (tile, out) in out.chunks_exact_mut(BLOCK).enumerate() {
            out.copy_from_slice(product.segment(row, first_tile + tile));
        }
        if let Some(bias) = self.bias {
            let bias = &bias[head * self.head_dim..][..self.head_dim];
            out.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
        }
        if let Some(norm) = self.norm {
            let squares = sum_of_squares(lanes, out.chunks_exact(BLOCK));
            let scale = lanes.splat(norm_scale(squares, self.head_dim, norm.eps));
            for (out, weight) in out.chunks_exact_mut(BLOCK).zip(norm.weight.chunks_exact(BLOCK)) {
                let (x, weight) = (load_block(lanes, out), load_block(lanes, weight));
                let normed = both!(i => lanes.mul(lanes.mul(x[i], scale), weight[i]));
                let out = out.as_chunks_mut::<LANES>().0;
                lanes.store(normed[0], &mut out[0]);
                lanes.store(normed[1], &mut out[1]);
            }
        }
        if let Some(rope) = self.rope {
            rope.turn(lanes, position, out);
        }
        if self.scale != 1.0 {
            out.iter_mut().for_each(|x| *x *= self.scale);
        }
    }
}

impl Rope<'_> {
    /// Turns a head to a position.
    #[inline(always)]
    fn turn<L: Lanes>(&self, lanes: L, position: usize, head: &mut [f32]) {
        let half = head.len() / 2;
        let cos = &self.cos[position * half..(position + 1) * half];
        let sin = &self.sin[position * half..(position + 1) * half];
        match self.pairing {
            Pairing::Halves => {
                let (low, high) = head.split_at_mut(half);
                let heads = low.as_chunks_mut::<LANES>().0.iter_mut().zip(high.as_chunks_mut().0);
                let angles = cos.as_chunks::<LANES>().0.iter().zip(sin.as_chunks::<LANES>().0);
                for ((low, high), (cos, sin)) in heads.zip(angles) {
                    let (a, b) = (lanes.load(low), lanes.load(high));
                    let (cos, sin) = (lanes.load(cos), lanes.load(sin));
                    lanes.store(lanes.sub(lanes.mul(a, cos), lanes.mul(b, sin)), low);
                    lanes.store(lanes.add(lanes.mul(a, sin), lanes.mul(b, cos)), high);
                }
            }
            Pairing::Adjacent => {
                for (pair, (cos, sin)) in
                    head.as_chunks_mut::<2>().0.iter_mut().zip(cos.iter().zip(sin))
                {
                    let [a, b] = *pair;
                    *pair = [a * cos - b * sin, a * sin + b * cos];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::attention::{PageId, PagePool, PageShape, RowPlace};
    use crate::kernels::rows::tests::{tiled, values};

    #[test]
    fn rotation_turns_the_pairs_it_names_and_keys_and_values_go_to_their_places() {
        let (rows, head_dim) = (3, 32);
        let width = 160;
        let product_values = values(6, rows * width);
        let product = tiled(rows, width, &product_values);
        let angle = |p: usize, i: usize| p as f64 * 0.7f64.powi(i as i32);
        let table = |f: fn(f64) -> f64| -> Vec<f32> {
            (0..9 * 16).map(|at| f(angle(at / 16, at % 16)) as f32).collect()
        };
        let (cos, sin) = (table(f64::cos), table(f64::sin));
        let positions = [0, 8, 3];
        let places = positions.map(|offset| RowPlace { page: PageId(0), offset });
        for (pairing, pair) in [
            (Pairing::Halves, (|i| (i, i + 16)) as fn(usize) -> (usize, usize)),
            (Pairing::Adjacent, |i| (2 * i, 2 * i + 1)),
        ] {
            let rope = Some(Rope { cos: &cos, sin: &sin, pairing });
            let (bias, norm) = (None, None);
            let query =
                Heads { first_column: 32, heads: 2, head_dim, bias, norm, rope, scale: 0.5 };
            let key = Heads { first_column: 96, heads: 1, scale: 1.0, ..query };
            let value = Heads { first_column: 128, rope: None, ..key };
            let projections = Projections { query, key, value };
            let turned = |row: usize, first: usize, i: usize| {
                let before = |d| f64::from(product_values[row * width + first + d]);
                let (a, b) = pair(i);
                let (s, c) = angle(positions[row], i).sin_cos();
                [(a, before(a) * c - before(b) * s), (b, before(a) * s + before(b) * c)]
            };
            for isa in Isa::all() {
                let mut out = vec![0.0; rows * 64];
                let mut kv = PagePool::new(PageShape { layers: 1, kv_heads: 1, head_dim }, 1);
                let pool = &mut Pool::new(2);
                let heads = &projections;
                let mut share = kv.lend_whole(&places);
                take_heads(isa, pool, &product, &positions, heads, &mut out, &mut share, 0);
                drop(share);
                for row in 0..rows {
                    let (key, value) = (kv.key(places[row], 0, 0), kv.value(places[row], 0, 0));
                    for i in 0..16 {
                        for head in 0..2 {
                            for (dim, x) in turned(row, 32 + head * 32, i) {
                                let found = f64::from(out[row * 64 + head * 32 + dim]);
                                assert!((found - 0.5 * x).abs() < 1e-6);
                            }
                        }
                        for (dim, x) in turned(row, 96, i) {
                            assert!((f64::from(key[dim]) - x).abs() < 0.005);
                        }
                    }
                    for (dim, x) in value.into_iter().enumerate() {
                        assert!((x - product_values[row * width + 128 + dim]).abs() < 0.005);
                    }
                }
            }
        }
    }

    /// Three KV heads of 32 dimensions and as many query heads, taken as they are.
    fn take_as_they_are(isa: Isa, kv: &mut PagePool, product: &Tiled, places: &[RowPlace]) {
        let (bias, norm, rope) = (None, None, None);
        let query = Heads { first_column: 0, heads: 3, head_dim: 32, bias, norm, rope, scale: 1.0 };
        let heads = Projections {
            query,
            key: Heads { first_column: 96, ..query },
            value: Heads { first_column: 192, ..query },
        };
        let positions = vec![0; places.len()];
        let (mut out, pool) = (vec![0.0; places.len() * 96], &mut Pool::new(2));
        let share = &mut kv.lend_whole(places);
        take_heads(isa, pool, product, &positions, &heads, &mut out, share, 1);
    }

    #[test]
    fn many_rows_are_written_as_each_by_itself() {
        let shape = PageShape { layers: 2, kv_heads: 3, head_dim: 32 };
        let place = |row: usize| RowPlace { page: PageId(row as u32 % 3), offset: row / 3 };
        let places: Vec<RowPlace> = (0..100).map(place).collect();
        let given = values(7, 100 * 288);
        let product = tiled(100, 288, &given);
        let (mut single, mut many) = (PagePool::new(shape, 3), PagePool::new(shape, 3));
        // Twice, since places are free again.
        for isa in Isa::all().into_iter().chain([Isa::SCALAR]) {
            take_as_they_are(isa, &mut many, &product, &places);
            for (row, place) in places.iter().enumerate() {
                for kv_head in 0..3 {
                    let at = row * 288 + 96 + kv_head * 32;
                    let (key, value) = (&given[at..][..32], &given[at + 96..][..32]);
                    single.write(*place, 1, kv_head, key, value);
                    assert_eq!(many.key(*place, 1, kv_head), single.key(*place, 1, kv_head));
                    assert_eq!(many.value(*place, 1, kv_head), single.value(*place, 1, kv_head));
                    let length = key.iter().map(|x| x * x).sum::<f32>().sqrt();
                    let near = |kept: &[f32], given: &[f32], bound: &dyn Fn(f32) -> f32| {
                        kept.iter().zip(given).all(|(a, b)| (a - b).abs() <= bound(*b))
                    };
                    let (kept, bound) = (many.key(*place, 1, kv_head), length / 65_000.0);
                    assert!(near(&kept, key, &|_| bound), "row {row}");
                    let kept = many.value(*place, 1, kv_head);
                    assert!(near(&kept, value, &|x| x.abs() / 256.0), "row {row}");
                    assert!(many.key(*place, 0, kv_head).iter().all(|key| *key == 0.0));
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "two rows for position 5 of page 1")]
    fn two_rows_cannot_be_written_to_one_place() {
        let mut kv = PagePool::new(PageShape { layers: 2, kv_heads: 3, head_dim: 32 }, 2);
        let place = RowPlace { page: PageId(1), offset: 5 };
        take_as_they_are(Isa::SCALAR, &mut kv, &tiled(2, 288, &[0.0; 576]), &[place, place]);
    }
}
