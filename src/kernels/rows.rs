//! What happens to a row between two matrix products: residual, norm, rotary position, and
//! quantization for the next product.
//!
//! Rows are independent and each is computed in one fixed order: sums go into sixteen interleaved
//! parts that are added pairwise at the end, which is both what vector registers want and the
//! same on every instruction set.

use std::ops::Range;
use std::sync::Arc;

use super::disjoint::Disjoint;
use super::isa::dispatch;
use super::quantized::quantize_into;
use super::{BLOCK, Grain, Isa, Pool, Quantized, Tiled};

/// Rows that one task computes: enough work to be worth a task, few enough to share out evenly.
const ROWS_PER_TASK: usize = 4;

/// Weights of an RMS norm and its epsilon: x / √(mean(x²) + ε) · weight.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    /// One factor a column.
    pub weight: &'a [f32],
    /// ε.
    pub eps: f32,
}

/// Which dimensions of a head turn together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// i and i + half.
    Halves,
    /// 2 i and 2 i + 1.
    Adjacent,
}

/// hidden += update, normalised by `post` where there is one; then, where `next` is given, the
/// normalised sum is quantized into `out`. `hidden` is (rows, width), row by row.
///
/// # Panics
/// Where the shapes differ.
pub fn add_and_norm(
    isa: Isa,
    pool: &mut Pool,
    hidden: &mut [f32],
    update: Option<(&Tiled, Option<Norm<'_>>)>,
    next: Option<(Norm<'_>, &Arc<Grain>, &mut Quantized)>,
) {
    let width = match (&update, &next) {
        (_, Some((norm, ..))) => norm.weight.len(),
        (Some((update, _)), None) => update.width(),
        (None, None) => return,
    };
    let rows = hidden.len() / width;
    assert_eq!(hidden.len(), rows * width);
    if let Some((update, _)) = &update {
        assert_eq!((update.rows(), update.width()), (rows, width));
    }
    let hidden = Disjoint::new(hidden);
    let next = next.map(|(norm, grain, out)| {
        assert_eq!(grain.width(), width, "columns of the next product's inputs");
        out.resize(rows, grain);
        (norm, QuantizedRows::new(out))
    });
    pool.run(rows.div_ceil(ROWS_PER_TASK), |_, task| {
        for row in task_rows(task, rows) {
            // SAFETY: every row belongs to one task.
            let hidden = unsafe { hidden.part(row * width..(row + 1) * width) };
            if let Some((update, post)) = update {
                dispatch!(isa, add_row(
                    hidden: &mut [f32],
                    update: &Tiled,
                    row: usize,
                    post: Option<Norm<'_>>,
                ));
            }
            if let Some((norm, out)) = &next {
                let norm = *norm;
                dispatch!(isa, norm_row(
                    hidden: &[f32],
                    norm: Norm<'_>,
                    out: &QuantizedRows<'_>,
                    row: usize,
                ));
            }
        }
    });
}

/// The rows of a task.
fn task_rows(task: usize, rows: usize) -> Range<usize> {
    task * ROWS_PER_TASK..rows.min((task + 1) * ROWS_PER_TASK)
}

/// Quantizes rows of `values` (rows, width of `grain`) as they are.
pub fn quantize(
    isa: Isa,
    pool: &mut Pool,
    values: &[f32],
    grain: &Arc<Grain>,
    out: &mut Quantized,
) {
    let width = grain.width();
    let rows = values.len() / width;
    out.resize(rows, grain);
    let out = QuantizedRows::new(out);
    pool.run(rows.div_ceil(ROWS_PER_TASK), |_, task| {
        for row in task_rows(task, rows) {
            let values = &values[row * width..(row + 1) * width];
            let out = &out;
            dispatch!(isa, quantize_row(values: &[f32], out: &QuantizedRows<'_>, row: usize));
        }
    });
}

/// What [`rotate`] does to the heads of one projection.
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

/// Takes heads out of a product: bias, norm, rotation to the position of each row, scale.
/// `out` is (rows, heads · head_dim).
pub fn rotate(
    isa: Isa,
    pool: &mut Pool,
    product: &Tiled,
    positions: &[usize],
    heads: Heads<'_>,
    out: &mut [f32],
) {
    let width = heads.heads * heads.head_dim;
    let rows = positions.len();
    assert_eq!((product.rows(), out.len()), (rows, rows * width));
    let out = Disjoint::new(out);
    pool.run(rows.div_ceil(ROWS_PER_TASK), |_, task| {
        let range = task_rows(task, rows);
        for (row, &position) in range.clone().zip(&positions[range]) {
            // SAFETY: every row belongs to one task.
            let out = unsafe { out.part(row * width..(row + 1) * width) };
            product.copy_row(row, heads.first_column, out);
            let heads = &heads;
            dispatch!(isa, rotate_row(out: &mut [f32], position: usize, heads: &Heads<'_>));
        }
    });
}

#[inline(always)]
fn rotate_row(row: &mut [f32], position: usize, heads: &Heads<'_>) {
    if let Some(bias) = heads.bias {
        row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
    }
    let half = heads.head_dim / 2;
    for head in row.chunks_exact_mut(heads.head_dim) {
        if let Some(norm) = heads.norm {
            let scale = norm_scale(sum_of_squares(head), heads.head_dim, norm.eps);
            head.iter_mut().zip(norm.weight).for_each(|(x, w)| *x = *x * scale * w);
        }
        if let Some(rope) = heads.rope {
            let cos = &rope.cos[position * half..(position + 1) * half];
            let sin = &rope.sin[position * half..(position + 1) * half];
            match rope.pairing {
                Pairing::Halves => {
                    let (low, high) = head.split_at_mut(half);
                    let turned = low.iter_mut().zip(high).zip(cos.iter().zip(sin));
                    for ((low, high), (cos, sin)) in turned {
                        (*low, *high) = turn(*low, *high, *cos, *sin);
                    }
                }
                Pairing::Adjacent => {
                    for i in 0..half {
                        (head[2 * i], head[2 * i + 1]) =
                            turn(head[2 * i], head[2 * i + 1], cos[i], sin[i]);
                    }
                }
            }
        }
        head.iter_mut().for_each(|x| *x *= heads.scale);
    }
}

#[inline(always)]
fn turn(a: f32, b: f32, cos: f32, sin: f32) -> (f32, f32) {
    (a * cos - b * sin, a * sin + b * cos)
}

#[inline(always)]
fn add_row(hidden: &mut [f32], update: &Tiled, row: usize, post: Option<Norm<'_>>) {
    let tiles = hidden.len() / BLOCK;
    match post {
        None => {
            for (tile, hidden) in hidden.chunks_exact_mut(BLOCK).enumerate() {
                let update = update.segment(row, tile);
                hidden.iter_mut().zip(update).for_each(|(x, u)| *x += u);
            }
        }
        Some(norm) => {
            let mut parts = [0f32; 16];
            for tile in 0..tiles {
                add_squares(&mut parts, update.segment(row, tile));
            }
            let scale = norm_scale(total(parts), hidden.len(), norm.eps);
            for (tile, hidden) in hidden.chunks_exact_mut(BLOCK).enumerate() {
                let update = update.segment(row, tile);
                let weight = &norm.weight[tile * BLOCK..(tile + 1) * BLOCK];
                for i in 0..BLOCK {
                    hidden[i] += update[i] * scale * weight[i];
                }
            }
        }
    }
}

/// Writes the normalised row; called for every row by one task.
#[inline(always)]
fn norm_row(x: &[f32], norm: Norm<'_>, out: &QuantizedRows<'_>, row: usize) {
    let scale = norm_scale(sum_of_squares(x), x.len(), norm.eps);
    // SAFETY: every row belongs to one task.
    unsafe { out.write(row, |block| norm_block(x, scale, norm.weight, block)) };
}

/// Writes the row as it is; called for every row by one task.
#[inline(always)]
fn quantize_row(x: &[f32], out: &QuantizedRows<'_>, row: usize) {
    // SAFETY: every row belongs to one task.
    unsafe { out.write(row, |block| read_block(x, block)) };
}

#[inline(always)]
fn sum_of_squares(x: &[f32]) -> f32 {
    let mut parts = [0f32; 16];
    add_squares(&mut parts, x);
    total(parts)
}

#[inline(always)]
fn add_squares(parts: &mut [f32; 16], x: &[f32]) {
    for x in x.chunks_exact(16) {
        for i in 0..16 {
            parts[i] = x[i].mul_add(x[i], parts[i]);
        }
    }
}

#[inline(always)]
fn total(parts: [f32; 16]) -> f32 {
    let mut sums = parts;
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
    }
    sums[0]
}

#[inline(always)]
fn norm_scale(sum_of_squares: f32, width: usize, eps: f32) -> f32 {
    1.0 / (sum_of_squares / width as f32 + eps).sqrt()
}

#[inline(always)]
fn norm_block(x: &[f32], scale: f32, weight: &[f32], block: usize) -> [f32; BLOCK] {
    let range = block * BLOCK..(block + 1) * BLOCK;
    let (x, weight) = (&x[range.clone()], &weight[range]);
    std::array::from_fn(|i| x[i] * scale * weight[i])
}

#[inline(always)]
fn read_block(x: &[f32], block: usize) -> [f32; BLOCK] {
    let x = &x[block * BLOCK..(block + 1) * BLOCK];
    std::array::from_fn(|i| x[i])
}

/// A [`Quantized`] whose rows are written by different tasks.
struct QuantizedRows<'a> {
    rows: usize,
    grain: Arc<Grain>,
    levels: Disjoint<'a, i8>,
    low: Disjoint<'a, i8>,
    scales: Disjoint<'a, f32>,
    starts: Disjoint<'a, i32>,
}

impl<'a> QuantizedRows<'a> {
    fn new(out: &'a mut Quantized) -> Self {
        let (rows, grain) = (out.rows(), out.grain().clone());
        let (levels, low) = out.levels.split_at_mut(rows * grain.width());
        QuantizedRows {
            rows,
            grain,
            levels: Disjoint::new(levels),
            low: Disjoint::new(low),
            scales: Disjoint::new(&mut out.scales),
            starts: Disjoint::new(&mut out.starts),
        }
    }

    /// Writes a row, block by block.
    ///
    /// # Safety
    /// No two threads may write the same row at once.
    #[inline(always)]
    unsafe fn write(&self, row: usize, value: impl Fn(usize) -> [f32; BLOCK]) {
        let part = |at: usize| at * BLOCK..(at + 1) * BLOCK;
        for block in 0..self.grain.blocks() {
            let at = block * self.rows + row;
            let second = self.grain.second(block).map(|second| second * self.rows + row);
            // SAFETY: these places belong to `row` alone.
            let (levels, low, scale, start) = unsafe {
                (
                    self.levels.part(part(at)),
                    second.map(|at| self.low.part(part(at))),
                    &mut self.scales.part(at..at + 1)[0],
                    &mut self.starts.part(at..at + 1)[0],
                )
            };
            (*scale, *start) = quantize_into(&value(block), levels, low);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(seed: u32, count: usize) -> Vec<f32> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(next).collect()
    }

    fn tiled(rows: usize, width: usize, values: &[f32]) -> Tiled {
        let mut tiled = Tiled::with_capacity(rows, width);
        for (at, value) in values.iter().enumerate() {
            let (row, column) = (at / width, at % width);
            tiled.values[(column / BLOCK * rows + row) * BLOCK + column % BLOCK] = *value;
        }
        tiled
    }

    /// The formula as it is written, in f64.
    fn normed(x: &[f32], weight: &[f32]) -> Vec<f64> {
        let mean = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (mean + 1e-6).sqrt();
        x.iter().zip(weight).map(|(x, w)| f64::from(*x) * scale * f64::from(*w)).collect()
    }

    #[test]
    fn residual_and_norms_are_those_of_the_formula_on_every_instruction_set() {
        let (rows, width) = (7, 96);
        let (hidden, update) = (values(1, rows * width), values(2, rows * width));
        let (post, weight) = (values(3, width), values(4, width));
        let norm = |weight| Norm { weight, eps: 1e-6 };
        let grain = Arc::new(Grain::of(width, |block| block == 1));
        let mut first = None;
        for isa in Isa::all() {
            for threads in [1, 2] {
                let (mut hidden, mut out) = (hidden.clone(), Quantized::default());
                let update = tiled(rows, width, &update);
                add_and_norm(
                    isa,
                    &mut Pool::new(threads),
                    &mut hidden,
                    Some((&update, Some(norm(&post)))),
                    Some((norm(&weight), &grain, &mut out)),
                );
                let got = (hidden, out.levels, out.scales, out.starts);
                assert!(*first.get_or_insert(got.clone()) == got, "{}", isa.name());
            }
        }
        let (sums, ..) = first.unwrap();
        for row in 0..rows {
            let range = row * width..(row + 1) * width;
            let updates = normed(&update[range.clone()], &post);
            for (at, update) in range.zip(updates) {
                assert!((f64::from(hidden[at]) + update - f64::from(sums[at])).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn quantized_rows_are_within_half_a_level() {
        let (rows, width) = (5, 64);
        let values = values(5, rows * width);
        let mut out = Quantized::default();
        let grain = Arc::new(Grain::coarse(width));
        quantize(Isa::SCALAR, &mut Pool::new(1), &values, &grain, &mut out);
        for row in 0..rows {
            for column in 0..width {
                let at = column / BLOCK * rows + row;
                let error = (out.value(row, column) - values[row * width + column]).abs();
                assert!(error <= 0.5001 * out.scales[at], "{row} {column}");
            }
            for block in 0..width / BLOCK {
                let at = block * rows + row;
                let levels = &out.levels[at * BLOCK..(at + 1) * BLOCK];
                assert_eq!(
                    out.starts[at],
                    -128 * levels.iter().map(|l| i32::from(*l)).sum::<i32>()
                );
            }
        }
    }

    #[test]
    fn rotation_turns_the_pairs_it_names_and_keeps_lengths() {
        let (rows, head_dim) = (3, 32);
        let product_values = values(6, rows * 96);
        let product = tiled(rows, 96, &product_values);
        let angle = |p: usize, i: usize| p as f64 * 0.7f64.powi(i as i32);
        let table = |f: fn(f64) -> f64| -> Vec<f32> {
            (0..9 * 16).map(|at| f(angle(at / 16, at % 16)) as f32).collect()
        };
        let (cos, sin) = (table(f64::cos), table(f64::sin));
        let positions = [0, 8, 3];
        for (pairing, pair) in [
            (Pairing::Halves, (|i| (i, i + 16)) as fn(usize) -> (usize, usize)),
            (Pairing::Adjacent, |i| (2 * i, 2 * i + 1)),
        ] {
            let rope = Some(Rope { cos: &cos, sin: &sin, pairing });
            let heads = Heads {
                first_column: 32,
                heads: 2,
                head_dim,
                bias: None,
                norm: None,
                rope,
                scale: 0.5,
            };
            let mut out = vec![0.0; rows * 64];
            rotate(Isa::SCALAR, &mut Pool::new(2), &product, &positions, heads, &mut out);
            for (row, position) in positions.into_iter().enumerate() {
                for head in 0..2 {
                    for i in 0..16 {
                        let (a, b) = pair(i);
                        let before = |d| f64::from(product_values[row * 96 + 32 + head * 32 + d]);
                        let after = |d| f64::from(out[row * 64 + head * 32 + d]);
                        let (s, c) = angle(position, i).sin_cos();
                        assert!((after(a) - 0.5 * (before(a) * c - before(b) * s)).abs() < 1e-6);
                        assert!((after(b) - 0.5 * (before(a) * s + before(b) * c)).abs() < 1e-6);
                    }
                }
            }
        }
    }
}
