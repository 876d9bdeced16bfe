//! What happens to a row between two matrix products: residual, norm, and quantization for the next
//! product.
//!
//! Rows are independent and each is computed in one fixed order: sums go into 32 interleaved parts,
//! a column of a block each, that are added pairwise at the end, which is both what vector
//! registers want and the same on every instruction set.

use std::ops::Range;
use std::sync::Arc;

use super::disjoint::Disjoint;
use super::lanes::{LANES, Lanes, both, load_block, with_lanes};
use super::quantized::quantize_into;
use super::{BLOCK, Grain, Isa, Pool, Quantized, Tiled};

/// Rows that one task computes: enough work to be worth a task, few enough to share out evenly.
/// Neighbouring tasks go to one thread, since rows share lines of what they write.
const ROWS_PER_TASK: usize = 8;

/// Weights of an RMS norm and its epsilon: x / √(mean(x²) + ε) · weight.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    /// One factor a column.
    pub weight: &'a [f32],
    /// ε.
    pub eps: f32,
}

/// What is added to rows, and the norm it goes through before.
type Update<'a> = (&'a Tiled, Option<Norm<'a>>);

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
    for_rows(pool, rows, |range| {
        // SAFETY: every row belongs to one task.
        let hidden = unsafe { hidden.part(range.start * width..range.end * width) };
        let next = next.as_ref();
        with_lanes!(isa, add_and_norm_rows(
            range: Range<usize>,
            hidden: &mut [f32],
            update: Option<Update<'_>>,
            next: Option<&(Norm<'_>, QuantizedRows<'_>)>,
        ));
    });
}

/// Quantizes rows of `values` (rows, width of `grain`) as they are.
pub fn quantize(
    isa: Isa,
    pool: &mut Pool,
    values: &[f32],
    grain: &Arc<Grain>,
    out: &mut Quantized,
) {
    let rows = values.len() / grain.width();
    out.resize(rows, grain);
    let out = &QuantizedRows::new(out);
    for_rows(pool, rows, |range| {
        with_lanes!(isa, quantize_rows(
            range: Range<usize>,
            values: &[f32],
            out: &QuantizedRows<'_>,
        ));
    });
}

/// Calls `work` for all rows, some neighbours at a time, and each once.
pub(super) fn for_rows(pool: &mut Pool, rows: usize, work: impl Fn(Range<usize>) + Sync) {
    pool.run_neighbours(rows.div_ceil(ROWS_PER_TASK), 1, |_, task| {
        work(task * ROWS_PER_TASK..rows.min((task + 1) * ROWS_PER_TASK));
    });
}

/// [`add_and_norm`] of some rows, which are all of `hidden`; each row is in one call.
#[inline(always)]
fn add_and_norm_rows<L: Lanes>(
    lanes: L,
    rows: Range<usize>,
    hidden: &mut [f32],
    update: Option<Update<'_>>,
    next: Option<&(Norm<'_>, QuantizedRows<'_>)>,
) {
    let width = hidden.len() / rows.len();
    for (row, hidden) in rows.zip(hidden.chunks_exact_mut(width)) {
        let squares = match update {
            Some((update, post)) => add_row(lanes, hidden, update, row, post),
            None => sum_of_squares(lanes, hidden.chunks_exact(BLOCK)),
        };
        if let Some((norm, out)) = next {
            let scale = lanes.splat(norm_scale(squares, width, norm.eps));
            // SAFETY: every row belongs to one task.
            unsafe { out.write(lanes, row, hidden, Some((scale, norm.weight))) };
        }
    }
}

/// [`quantize`] of some rows; each row is in one call.
#[inline(always)]
fn quantize_rows<L: Lanes>(lanes: L, rows: Range<usize>, values: &[f32], out: &QuantizedRows<'_>) {
    let width = out.grain.width();
    for row in rows {
        let values = &values[row * width..(row + 1) * width];
        // SAFETY: every row belongs to one task.
        unsafe { out.write(lanes, row, values, None) };
    }
}

/// Adds a row and returns the sum of the squares of the result.
#[inline(always)]
fn add_row<L: Lanes>(
    lanes: L,
    hidden: &mut [f32],
    update: &Tiled,
    row: usize,
    post: Option<Norm<'_>>,
) -> f32 {
    let segments = (0..hidden.len() / BLOCK).map(|tile| update.segment(row, tile));
    let post = post.map(|norm| {
        let squares = sum_of_squares(lanes, segments.clone());
        (lanes.splat(norm_scale(squares, hidden.len(), norm.eps)), norm.weight)
    });
    let mut squares = [lanes.splat(0.0); 2];
    for (tile, (hidden, update)) in hidden.chunks_exact_mut(BLOCK).zip(segments).enumerate() {
        let mut sums = load_block(lanes, hidden);
        let update = load_block(lanes, update);
        match post {
            None => sums = both!(i => lanes.add(sums[i], update[i])),
            Some((scale, weight)) => {
                let weight = load_block(lanes, &weight[tile * BLOCK..(tile + 1) * BLOCK]);
                let scaled = both!(i => lanes.mul(update[i], scale));
                sums = both!(i => lanes.mul_add(scaled[i], weight[i], sums[i]));
            }
        }
        let hidden = hidden.as_chunks_mut::<LANES>().0;
        lanes.store(sums[0], &mut hidden[0]);
        lanes.store(sums[1], &mut hidden[1]);
        squares = both!(i => lanes.mul_add(sums[i], sums[i], squares[i]));
    }
    lanes.sum(lanes.add(squares[0], squares[1]))
}

/// Of a row that comes in blocks.
#[inline(always)]
pub(super) fn sum_of_squares<'a, L: Lanes>(
    lanes: L,
    blocks: impl Iterator<Item = &'a [f32]>,
) -> f32 {
    let mut squares = [lanes.splat(0.0); 2];
    for block in blocks {
        let x = load_block(lanes, block);
        squares = both!(i => lanes.mul_add(x[i], x[i], squares[i]));
    }
    lanes.sum(lanes.add(squares[0], squares[1]))
}

#[inline(always)]
pub(super) fn norm_scale(sum_of_squares: f32, width: usize, eps: f32) -> f32 {
    1.0 / (sum_of_squares / width as f32 + eps).sqrt()
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

    /// Writes a row, block by block, each value multiplied with the factor of all and then with that
    /// of its column, where there are factors.
    ///
    /// # Safety
    /// No two threads may write the same row at once.
    #[inline(always)]
    unsafe fn write<L: Lanes>(
        &self,
        lanes: L,
        row: usize,
        values: &[f32],
        factors: Option<(L::F, &[f32])>,
    ) {
        let part = |at: usize| at * BLOCK..(at + 1) * BLOCK;
        for block in 0..self.grain.blocks() {
            let mut values = load_block(lanes, &values[part(block)]);
            if let Some((factor, factors)) = factors {
                let factors = load_block(lanes, &factors[part(block)]);
                values = both!(i => lanes.mul(lanes.mul(values[i], factor), factors[i]));
            }
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
            (*scale, *start) = quantize_into(lanes, values, levels, low);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn values(seed: u32, count: usize) -> Vec<f32> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(next).collect()
    }

    pub fn tiled(rows: usize, width: usize, values: &[f32]) -> Tiled {
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
}
