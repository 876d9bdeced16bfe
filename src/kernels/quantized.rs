//! Activations on their way into and out of a matrix product.

use std::sync::Arc;

use super::lanes::{LANES, Lanes, Plain, both, load_block};
use super::{BLOCK, Grain};

/// Rows of activations as integers: a value is level · scale of its block of 32.
///
/// Block-major, so that the rows a micro-kernel works on lie side by side: the levels of block b
/// of row r are `levels[(b · rows + r) · 32 ..][.. 32]`, its scale and its start are at
/// `[b · rows + r]`. In a block that its [`Grain`] has fine, a level has 14 bits: 128 · the one
/// there + one from -64 to 64 in a second plane behind the first, which holds the fine blocks alone
/// in the same order.
///
/// The start is where a product with weights that are stored as level + 128 starts: -128 · the sum
/// of the levels, or of fine ones - their sum, since it is multiplied with 128 together with the
/// first plane's product.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quantized {
    grain: Arc<Grain>,
    rows: usize,
    pub(super) levels: Vec<i8>,
    pub(super) scales: Vec<f32>,
    pub(super) starts: Vec<i32>,
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
    pub fn resize(&mut self, rows: usize, grain: &Arc<Grain>) {
        (self.rows, self.grain) = (rows, grain.clone());
        let blocks = grain.blocks() * rows;
        self.levels.resize((blocks + grain.fine_blocks() * rows) * BLOCK, 0);
        self.scales.resize(blocks, 0.0);
        self.starts.resize(blocks, 0);
    }

    /// Quantizes rows of f32, one after another.
    ///
    /// # Panics
    /// When `values` is no whole number of rows as wide as `grain`.
    pub fn from_rows(grain: &Arc<Grain>, values: &[f32]) -> Quantized {
        let blocks = grain.blocks();
        let rows = values.len() / grain.width();
        assert_eq!(values.len(), rows * grain.width(), "rows of {}", grain.width());
        let mut quantized = Quantized::default();
        quantized.resize(rows, grain);
        for (i, values) in values.as_chunks::<BLOCK>().0.iter().enumerate() {
            let (row, block) = (i / blocks, i % blocks);
            let low = quantized.low_place(row, block);
            let at = block * rows + row;
            let (levels, second) = quantized.levels.split_at_mut(blocks * rows * BLOCK);
            let levels = &mut levels[at * BLOCK..][..BLOCK];
            let low = low.map(|at| &mut second[at..][..BLOCK]);
            (quantized.scales[at], quantized.starts[at]) =
                quantize_into(Plain, load_block::<Plain>(Plain, values), levels, low);
        }
        quantized
    }

    /// Which blocks are fine.
    pub fn grain(&self) -> &Arc<Grain> {
        &self.grain
    }

    /// Where the second plane has the levels of a block of a row, if the block is fine.
    #[inline(always)]
    pub(super) fn low_place(&self, row: usize, block: usize) -> Option<usize> {
        self.grain.second(block).map(|second| (second * self.rows + row) * BLOCK)
    }

    /// The second plane.
    pub(super) fn low(&self) -> &[i8] {
        &self.levels[self.rows * self.width()..]
    }

    /// The sum of the levels of a row's block.
    #[inline(always)]
    pub(super) fn level_sum(&self, row: usize, block: usize) -> i32 {
        let unit = if self.grain.second(block).is_some() { -1 } else { -128 };
        self.starts[block * self.rows + row] / unit
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.grain.width()
    }

    /// Blocks of a row.
    pub fn blocks(&self) -> usize {
        self.grain.blocks()
    }

    /// One row by itself.
    pub fn row(&self, row: usize) -> Quantized {
        let mut alone = Quantized::default();
        alone.resize(1, &self.grain);
        for block in 0..self.blocks() {
            let at = block * self.rows + row;
            alone.levels[block * BLOCK..][..BLOCK]
                .copy_from_slice(&self.levels[at * BLOCK..][..BLOCK]);
            (alone.scales[block], alone.starts[block]) = (self.scales[at], self.starts[at]);
            if let Some(place) = self.low_place(row, block) {
                let to = alone.width() + alone.low_place(0, block).expect("of the same grain");
                alone.levels[to..][..BLOCK].copy_from_slice(&self.low()[place..][..BLOCK]);
            }
        }
        alone
    }

    /// The value at (row, column), for tests.
    pub fn value(&self, row: usize, column: usize) -> f32 {
        let (block, offset) = (column / BLOCK, column % BLOCK);
        let at = block * self.rows + row;
        let level = i32::from(self.levels[at * BLOCK + offset]);
        let level = match self.low_place(row, block) {
            None => level,
            Some(place) => 128 * level + i32::from(self.low()[place + offset]),
        };
        level as f32 * self.scales[at]
    }

    /// Adds to `power` the power of each block: the square of its step, summed over rows.
    pub fn add_power(&self, power: &mut [f64]) {
        for (scales, power) in self.scales.chunks_exact(self.rows).zip(power) {
            *power += scales.iter().map(|scale| f64::from(*scale).powi(2)).sum::<f64>();
        }
    }
}

impl Tiled {
    /// Room for rows and columns without a further allocation.
    pub fn with_capacity(rows: usize, width: usize) -> Tiled {
        let mut tiled = Tiled::default();
        tiled.resize(rows, width);
        tiled
    }

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

    /// Copies columns `from ..` of a row into `out`.
    ///
    /// # Panics
    /// When `from` or the length of `out` is no multiple of 32, or they reach beyond the width.
    pub fn copy_row(&self, row: usize, from: usize, out: &mut [f32]) {
        assert!(from.is_multiple_of(BLOCK) && out.len().is_multiple_of(BLOCK));
        assert!(from + out.len() <= self.width);
        for (tile, out) in out.chunks_exact_mut(BLOCK).enumerate() {
            out.copy_from_slice(self.segment(row, from / BLOCK + tile));
        }
    }
}

/// 32 values as int8: levels, their scale and -128 · the sum of the levels.
pub fn quantize_block(values: &[f32; BLOCK]) -> ([i8; BLOCK], f32, i32) {
    let mut levels = [0; BLOCK];
    let (scale, start) = quantize_into(Plain, load_block(Plain, values), &mut levels, None);
    (levels, scale, start)
}

/// Writes a block as int8 or, where there is a place for what is left, in 14 bits; its scale and
/// start.
///
/// The scale is the largest magnitude / 127, a level value · 127 / largest magnitude to the nearest
/// integer, ties to even; what is left of that is rounded to 1/128 of a step in the same way. A
/// block of magnitudes below 2^-100 has scale 0. Every operation is exactly rounded, so the results
/// are the same bits on every instruction set; inlined, so that it uses the caller's.
#[inline(always)]
pub(super) fn quantize_into<L: Lanes>(
    lanes: L,
    values: [L::F; 2],
    levels: &mut [i8],
    low: Option<&mut [i8]>,
) -> (f32, i32) {
    const SMALLEST: f32 = f32::from_bits((127 - 100) << 23);
    let largest = lanes.largest_magnitude(values[0], values[1]);
    let none = largest < SMALLEST;
    let (scale, steps) = if none { (0.0, 0.0) } else { (largest * (1.0 / 127.0), 127.0 / largest) };
    let steps = lanes.splat(steps);
    let values = both!(i => lanes.mul(values[i], steps));
    let integers = both!(i => lanes.nearest(values[i]));
    let levels = levels.as_chunks_mut::<LANES>().0;
    lanes.store_bytes(integers[0], &mut levels[0]);
    lanes.store_bytes(integers[1], &mut levels[1]);
    // Sums of integers that are exact in f32.
    let sum = lanes.sum(lanes.add(integers[0], integers[1])) as i32;
    let Some(low) = low else { return (scale, -128 * sum) };
    let finer = lanes.splat(128.0);
    let rest = both!(i => lanes.mul(lanes.sub(values[i], integers[i]), finer));
    let fine = both!(i => lanes.nearest(rest[i]));
    let low = low.as_chunks_mut::<LANES>().0;
    lanes.store_bytes(fine[0], &mut low[0]);
    lanes.store_bytes(fine[1], &mut low[1]);
    let fine_sum = lanes.sum(lanes.add(fine[0], fine[1])) as i32;
    (scale / 128.0, -(128 * sum + fine_sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_rounded_to_the_nearest_of_255_levels() {
        let check = |values: [f32; BLOCK], expected: [i8; 4], expected_scale: f32| {
            let (levels, scale, start) = quantize_block(&values);
            assert_eq!((&levels[..4], scale), (&expected[..], expected_scale), "{values:?}");
            assert_eq!(start, -128 * levels.iter().map(|&level| i32::from(level)).sum::<i32>());
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
    fn fine_levels_are_128_times_as_fine() {
        let values: [f32; 3 * BLOCK] = std::array::from_fn(|i| (i as f32 * 0.7).sin() * 3.0);
        let grain = Arc::new(Grain::of(3 * BLOCK, |block| block > 0));
        let mixed = Quantized::from_rows(&grain, &values);
        let coarse = Quantized::from_rows(&Arc::new(Grain::coarse(3 * BLOCK)), &values);
        assert_eq!(mixed.levels[..3 * BLOCK], coarse.levels);
        for block in 0..3 {
            let finer = if block > 0 { 128.0 } else { 1.0 };
            assert_eq!(mixed.scales[block], coarse.scales[block] / finer);
            let mut sum = 0.0;
            for (column, value) in values.iter().enumerate().skip(block * BLOCK).take(BLOCK) {
                let found = mixed.value(0, column);
                assert!((found - value).abs() <= 0.501 * mixed.scales[block], "{column}");
                sum += found / mixed.scales[block];
            }
            assert_eq!(mixed.level_sum(0, block), sum.round() as i32);
        }
        assert_eq!(mixed.row(0), mixed);
        let mut power = [1.0; 3];
        coarse.add_power(&mut power);
        assert_eq!(power[1], 1.0 + f64::from(coarse.scales[1]).powi(2));
    }
}
