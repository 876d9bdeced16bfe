//! Activations on their way into and out of a matrix product.

use std::array;
use std::sync::Arc;

use super::disjoint::Disjoint;
use super::lanes::{LANES, Lanes, Plain, both, load_block};
use super::{BLOCK, Precision};

/// Rows of activations as integers (quants): a value is quant · scale of its group of blocks of 32.
///
/// Block-major, so that the rows a micro-kernel works on lie side by side: the quants of block b
/// of row r are `quants[(b · rows + r) · 32 ..][.. 32]`; the scale and the correction of group g are
/// at `[g · rows + r]`. In a group to which the [`Precision`] gives 14 bits, a quant is 128 · the one
/// there + one from -64 to 64 in a low plane behind the first plane, which holds such blocks alone
/// in the same order.
///
/// The correction is that for the zero point of weights, which are stored as quant + 128: the
/// products of a group begin at -128 · the sum of its quants. With 14 bits it is - their sum, since
/// it is multiplied by 128 together with the first plane's products.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quantized {
    precision: Arc<Precision>,
    rows: usize,
    pub(super) quants: Vec<i8>,
    pub(super) scales: Vec<f32>,
    pub(super) corrections: Vec<i32>,
}

/// Rows of f32 in tiles of 32 columns: column c of row r is at `(c / 32 · rows + r) · 32 + c % 32`.
///
/// The form in which a matrix product leaves its result: each task writes whole tiles.
#[derive(Debug, Clone, Default)]
pub struct Tiled {
    rows: usize,
    width: usize,
    pub(super) values: Vec<f32>,
}

impl Quantized {
    /// Takes another shape; what it holds is unspecified until it is written.
    pub fn resize(&mut self, rows: usize, precision: &Arc<Precision>) {
        (self.rows, self.precision) = (rows, precision.clone());
        let blocks = precision.blocks() + precision.int14_blocks();
        self.quants.resize(blocks * rows * BLOCK, 0);
        self.scales.resize(precision.groups() * rows, 0.0);
        self.corrections.resize(precision.groups() * rows, 0);
    }

    /// Quantizes rows of f32, one after another.
    ///
    /// # Panics
    /// When `values` is no whole number of rows as wide as `precision`.
    pub fn from_rows(precision: &Arc<Precision>, values: &[f32]) -> Quantized {
        let rows = values.len() / precision.width();
        assert_eq!(values.len(), rows * precision.width(), "rows of {}", precision.width());
        let mut quantized = Quantized::default();
        quantized.resize(rows, precision);
        let writer = RowWriter::new(&mut quantized);
        for (row, values) in values.chunks_exact(precision.width()).enumerate() {
            // SAFETY: one thread writes.
            unsafe { writer.write(Plain, row, values, None) };
        }
        quantized
    }

    /// How blocks are rounded.
    pub fn precision(&self) -> &Arc<Precision> {
        &self.precision
    }

    /// Where the low plane has the quants of a block of a row, if the block has 14 bits.
    #[inline(always)]
    pub(super) fn low_place(&self, row: usize, block: usize) -> Option<usize> {
        self.precision.low(block).map(|low| (low * self.rows + row) * BLOCK)
    }

    /// The low plane's quants of a block of `rows` rows from `first` on, if the block has 14 bits.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "AVX2 asks for it"))]
    #[inline(always)]
    pub(super) fn low_rows(&self, first: usize, rows: usize, block: usize) -> Option<&[i8]> {
        self.low_place(first, block).map(|place| &self.low()[place..][..rows * BLOCK])
    }

    /// The low plane.
    pub(super) fn low(&self) -> &[i8] {
        &self.quants[self.rows * self.width()..]
    }

    /// The sum of the quants of a row's group: its correction over that of one, which is exact in f32
    /// and takes no division.
    #[inline(always)]
    pub(super) fn quant_sum(&self, row: usize, group: usize) -> f32 {
        let unit = if self.precision.is_int14(group) { -1.0 } else { -1.0 / 128.0 };
        self.corrections[group * self.rows + row] as f32 * unit
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.precision.width()
    }

    /// Blocks of a row.
    pub fn blocks(&self) -> usize {
        self.precision.blocks()
    }

    /// Makes `out` a copy of one row.
    pub fn copy_row(&self, row: usize, out: &mut Quantized) {
        out.resize(1, &self.precision);
        let (high, low) = out.quants.split_at_mut(self.width());
        for block in 0..self.blocks() {
            let at = block * self.rows + row;
            high[block * BLOCK..][..BLOCK].copy_from_slice(&self.quants[at * BLOCK..][..BLOCK]);
            if let Some(to) = self.precision.low(block) {
                let from = (to * self.rows + row) * BLOCK;
                low[to * BLOCK..][..BLOCK].copy_from_slice(&self.low()[from..][..BLOCK]);
            }
        }
        for group in 0..self.precision.groups() {
            let at = group * self.rows + row;
            (out.scales[group], out.corrections[group]) = (self.scales[at], self.corrections[at]);
        }
    }

    /// The value at (row, column), for tests.
    pub fn value(&self, row: usize, column: usize) -> f32 {
        let (block, offset) = (column / BLOCK, column % BLOCK);
        let at = block * self.rows + row;
        let quant = i32::from(self.quants[at * BLOCK + offset]);
        let quant = match self.low_place(row, block) {
            None => quant,
            Some(place) => 128 * quant + i32::from(self.low()[place + offset]),
        };
        quant as f32 * self.scales[block / self.precision.group() * self.rows + row]
    }

    /// Adds to `power` the power of each group: the square of its scale, summed over rows.
    pub fn add_power(&self, power: &mut [f64]) {
        for (scales, power) in self.scales.chunks_exact(self.rows).zip(power) {
            *power += scales.iter().map(|scale| f64::from(*scale).powi(2)).sum::<f64>();
        }
    }
}

/// A [`Quantized`] whose rows are written by different threads.
pub(super) struct RowWriter<'a> {
    rows: usize,
    precision: Arc<Precision>,
    quants: Disjoint<'a, i8>,
    low: Disjoint<'a, i8>,
    scales: Disjoint<'a, f32>,
    corrections: Disjoint<'a, i32>,
}

impl<'a> RowWriter<'a> {
    pub fn new(out: &'a mut Quantized) -> Self {
        let (rows, precision) = (out.rows, out.precision.clone());
        let (quants, low) = out.quants.split_at_mut(rows * precision.width());
        RowWriter {
            rows,
            precision,
            quants: Disjoint::new(quants),
            low: Disjoint::new(low),
            scales: Disjoint::new(&mut out.scales),
            corrections: Disjoint::new(&mut out.corrections),
        }
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.precision.width()
    }

    /// Writes a row, group by group, each value multiplied with the factor of all and then with that
    /// of its column, where there are factors.
    ///
    /// # Safety
    /// No two threads may write the same row at once.
    #[inline(always)]
    pub unsafe fn write<L: Lanes>(
        &self,
        lanes: L,
        row: usize,
        values: &[f32],
        factors: Option<(L::F, &[f32])>,
    ) {
        // SAFETY: as the caller promises.
        unsafe {
            match self.precision.group() {
                1 => self.write_groups::<L, 1>(lanes, row, values, factors),
                2 => self.write_groups::<L, 2>(lanes, row, values, factors),
                _ => self.write_groups::<L, 4>(lanes, row, values, factors),
            }
        }
    }

    /// [`RowWriter::write`] for groups of `N` blocks.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn write_groups<L: Lanes, const N: usize>(
        &self,
        lanes: L,
        row: usize,
        values: &[f32],
        factors: Option<(L::F, &[f32])>,
    ) {
        let part = |at: usize| at * BLOCK..(at + 1) * BLOCK;
        for group in 0..self.precision.groups() {
            let mut of_group = [[lanes.splat(0.0); 2]; N];
            for (i, block) in of_group.iter_mut().enumerate() {
                let at = group * N + i;
                *block = load_block(lanes, &values[part(at)]);
                if let Some((factor, factors)) = factors {
                    let factors = load_block(lanes, &factors[part(at)]);
                    *block = both!(j => lanes.mul(lanes.mul(block[j], factor), factors[j]));
                }
            }
            let of_row = |block: usize| part(block * self.rows + row);
            // SAFETY: these places belong to `row` alone, and none is named twice.
            let (quants, low, scale, correction) = unsafe {
                let quants = array::from_fn(|i| self.quants.part(of_row(group * N + i)));
                let low = self.precision.low(group * N);
                let low = low.map(|low| array::from_fn(|i| self.low.part(of_row(low + i))));
                let at = group * self.rows + row;
                let scale = &mut self.scales.part(at..at + 1)[0];
                (quants, low, scale, &mut self.corrections.part(at..at + 1)[0])
            };
            (*scale, *correction) = quantize_group::<L, N>(lanes, of_group, quants, low);
        }
    }
}

impl Tiled {
    /// Takes another shape; what it holds is unspecified until it is written.
    ///
    /// # Panics
    /// When `width` is no multiple of 32.
    pub fn resize(&mut self, rows: usize, width: usize) {
        assert!(width.is_multiple_of(BLOCK), "a width of {width} is no multiple of {BLOCK}");
        (self.rows, self.width) = (rows, width);
        self.values.resize(rows * width, 0.0);
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The value at (row, column).
    pub fn value(&self, row: usize, column: usize) -> f32 {
        self.segment(row, column / BLOCK)[column % BLOCK]
    }

    /// Columns 32 · `tile` to 32 · `tile` + 31 of a row.
    pub fn segment(&self, row: usize, tile: usize) -> &[f32] {
        &self.values[(tile * self.rows + row) * BLOCK..][..BLOCK]
    }
}

/// 32 values as int8, with their scale.
pub(super) fn quantize_block(values: &[f32; BLOCK]) -> ([i8; BLOCK], f32) {
    let mut quants = [0; BLOCK];
    let (scale, _) = quantize_group(Plain, [load_block(Plain, values)], [&mut quants], None);
    (quants, scale)
}

/// Writes a group of `N` blocks as int8 or, where there are places for the low plane, in 14 bits;
/// returns its scale and its correction.
///
/// The scale is the largest magnitude / 127, a quant value · 127 / largest magnitude to the nearest
/// integer, ties to even; what that leaves is rounded to 1/128 of a quant in the same way. A
/// group of magnitudes below 2^-100 has scale 0. Every operation is exactly rounded, so the results
/// are the same bits on every instruction set; inlined, so that it uses the caller's.
#[inline(always)]
pub(super) fn quantize_group<L: Lanes, const N: usize>(
    lanes: L,
    values: [[L::F; 2]; N],
    quants: [&mut [i8]; N],
    low: Option<[&mut [i8]; N]>,
) -> (f32, i32) {
    const SMALLEST: f32 = f32::from_bits((127 - 100) << 23);
    let mut largest = values[0];
    for values in &values[1..] {
        largest = both!(j => lanes.larger(largest[j], values[j]));
    }
    let largest = lanes.largest_magnitude(largest[0], largest[1]);
    let none = largest < SMALLEST;
    let (scale, inverse) =
        if none { (0.0, 0.0) } else { (largest * (1.0 / 127.0), 127.0 / largest) };
    let inverse = lanes.splat(inverse);
    // Sums of integers that are exact in f32.
    let mut sum = lanes.splat(0.0);
    let mut rest = values;
    for i in 0..N {
        let values = both!(j => lanes.mul(values[i][j], inverse));
        let integers = both!(j => lanes.nearest(values[j]));
        rest[i] = both!(j => lanes.sub(values[j], integers[j]));
        store_block(lanes, integers, quants[i]);
        sum = lanes.add(sum, lanes.add(integers[0], integers[1]));
    }
    let sum = lanes.sum(sum) as i32;
    let Some(low) = low else { return (scale, -128 * sum) };
    let (finer, mut low_sum) = (lanes.splat(128.0), lanes.splat(0.0));
    for i in 0..N {
        let integers = both!(j => lanes.nearest(lanes.mul(rest[i][j], finer)));
        store_block(lanes, integers, low[i]);
        low_sum = lanes.add(low_sum, lanes.add(integers[0], integers[1]));
    }
    (scale / 128.0, -(128 * sum + lanes.sum(low_sum) as i32))
}

/// Integers from -128 to 127 as a block of bytes.
#[inline(always)]
fn store_block<L: Lanes>(lanes: L, integers: [L::F; 2], to: &mut [i8]) {
    let to = to.as_chunks_mut::<LANES>().0;
    lanes.store_bytes(integers[0], &mut to[0]);
    lanes.store_bytes(integers[1], &mut to[1]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_rounded_to_the_nearest_of_255_quants() {
        let check = |values: [f32; BLOCK], expected: [i8; 4], expected_scale: f32| {
            let (quants, scale) = quantize_block(&values);
            assert_eq!((&quants[..4], scale), (&expected[..], expected_scale), "{values:?}");
            let row = Quantized::from_rows(&Arc::new(Precision::int8(BLOCK)), &values);
            assert_eq!((&row.quants[..], row.scales[0]), (&quants[..], scale));
            assert_eq!(row.corrections[0], -128 * quants.map(i32::from).iter().sum::<i32>());
        };
        let block = |start: [f32; 4]| {
            let mut values = [0.0; BLOCK];
            values[..4].copy_from_slice(&start);
            values
        };
        check(block([0.0, -0.0, 0.0, 0.0]), [0; 4], 0.0);
        check(block([254.0, -254.0, 1.0, 3.0]), [127, -127, 0, 2], 2.0);
        check(block([-127.0, 0.5, 1.5, -2.5]), [-127, 0, 2, -2], 1.0);
        let tiny = 2f32.powi(-100);
        check(block([tiny, -tiny, 0.0, 0.0]), [127, -127, 0, 0], tiny / 127.0);
        check(block([0.99 * tiny, f32::from_bits(1), 0.0, 0.0]), [0; 4], 0.0);
    }

    #[test]
    fn with_14_bits_a_quant_is_128_times_as_fine() {
        let values: [f32; 3 * BLOCK] = std::array::from_fn(|i| (i as f32 * 0.7).sin() * 3.0);
        let precision = Arc::new(Precision::mixed(3 * BLOCK, |block| block > 0));
        let mixed = Quantized::from_rows(&precision, &values);
        let int8 = Quantized::from_rows(&Arc::new(Precision::int8(3 * BLOCK)), &values);
        assert_eq!(mixed.quants[..3 * BLOCK], int8.quants);
        for block in 0..3 {
            let finer = if block > 0 { 128.0 } else { 1.0 };
            assert_eq!(mixed.scales[block], int8.scales[block] / finer);
            let mut sum = 0.0;
            for (column, value) in values.iter().enumerate().skip(block * BLOCK).take(BLOCK) {
                let found = mixed.value(0, column);
                assert!((found - value).abs() <= 0.501 * mixed.scales[block], "{column}");
                sum += found / mixed.scales[block];
            }
            assert_eq!(mixed.quant_sum(0, block), sum.round());
        }
        let mut power = [1.0; 3];
        int8.add_power(&mut power);
        assert_eq!(power[1], 1.0 + f64::from(int8.scales[1]).powi(2));
    }

    #[test]
    fn a_copied_row_is_the_row_by_itself() {
        let values: [f32; 9 * BLOCK] = std::array::from_fn(|i| (i as f32 * 0.3).sin() * 3.0);
        let values = &[&values[..], &values].concat();
        for group in [1, 2] {
            let precision = Precision::grouped(6 * BLOCK, group, |group| group != 1);
            let precision = Arc::new(precision);
            let all = Quantized::from_rows(&precision, values);
            let mut copy = Quantized::default();
            for (row, values) in values.chunks(6 * BLOCK).enumerate() {
                all.copy_row(row, &mut copy);
                assert_eq!(copy, Quantized::from_rows(&precision, values));
            }
        }
    }
}
