//! Activations on their way into and out of a matrix product.

use super::BLOCK;

/// How finely activations are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 8 bits: one product.
    #[default]
    Coarse,
    /// 14 bits, as two planes of 8: a second product, with the same weights while they are in
    /// registers' reach, for inputs whose rounding shows in what a model says.
    Fine,
}

/// Rows of activations as integers: a value is level · scale of its block of 32.
///
/// Block-major, so that the rows a micro-kernel works on lie side by side: the levels of block b
/// of row r are `levels[(b · rows + r) · 32 ..][.. 32]`, its scale and its start are at
/// `[b · rows + r]`. A fine level is 128 · the one there + one from -64 to 64 that lies at the same
/// place of a second plane behind the first.
///
/// The start is where a product with weights that are stored as level + 128 starts: coarse -128 ·
/// the sum of the levels, fine - the sum of the levels, since it is multiplied with 128 together
/// with the first plane's product.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quantized {
    precision: Precision,
    rows: usize,
    width: usize,
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
    /// No rows yet, of a precision that stays.
    pub fn new(precision: Precision) -> Quantized {
        Quantized { precision, ..Quantized::default() }
    }

    /// Takes another shape; what it holds is unspecified until it is written.
    ///
    /// # Panics
    /// When `width` is no multiple of 32.
    pub fn resize(&mut self, rows: usize, width: usize) {
        assert!(width.is_multiple_of(BLOCK), "a width of {width} is no multiple of {BLOCK}");
        (self.rows, self.width) = (rows, width);
        let planes = if self.is_fine() { 2 } else { 1 };
        self.levels.resize(planes * rows * width, 0);
        self.scales.resize(rows * width / BLOCK, 0.0);
        self.starts.resize(rows * width / BLOCK, 0);
    }

    /// Quantizes rows of f32, one after another.
    ///
    /// # Panics
    /// When `width` is no multiple of 32, or `values` has another length than such rows.
    pub fn from_rows(precision: Precision, values: &[f32], rows: usize, width: usize) -> Quantized {
        assert_eq!(values.len(), rows * width, "{rows} rows of {width}");
        let mut quantized = Quantized::new(precision);
        quantized.resize(rows, width);
        for (i, values) in values.as_chunks().0.iter().enumerate() {
            let at = i % (width / BLOCK) * rows + i / (width / BLOCK);
            let (levels, low) = quantized.levels.split_at_mut(rows * width);
            let block = quantize_into(
                values,
                &mut levels[at * BLOCK..][..BLOCK],
                low.get_mut(at * BLOCK..(at + 1) * BLOCK).unwrap_or_default(),
            );
            (quantized.scales[at], quantized.starts[at]) = block;
        }
        quantized
    }

    /// How finely it is rounded.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    pub(super) fn is_fine(&self) -> bool {
        self.precision == Precision::Fine
    }

    /// The sum of the levels of the block at `at`.
    #[inline(always)]
    pub(super) fn level_sum(&self, at: usize) -> i32 {
        self.starts[at] / if self.is_fine() { -1 } else { -128 }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Blocks of a row.
    pub fn blocks(&self) -> usize {
        self.width / BLOCK
    }

    /// One row by itself.
    pub fn row(&self, row: usize) -> Quantized {
        let mut alone = Quantized::new(self.precision);
        alone.resize(1, self.width);
        for block in 0..self.blocks() {
            let at = block * self.rows + row;
            for (plane, levels) in alone.levels.chunks_exact_mut(self.width).enumerate() {
                let from = plane * self.rows * self.width + at * BLOCK;
                levels[block * BLOCK..][..BLOCK].copy_from_slice(&self.levels[from..][..BLOCK]);
            }
            alone.scales[block] = self.scales[at];
            alone.starts[block] = self.starts[at];
        }
        alone
    }

    /// The value at (row, column), for tests.
    pub fn value(&self, row: usize, column: usize) -> f32 {
        let at = column / BLOCK * self.rows + row;
        let place = at * BLOCK + column % BLOCK;
        let level = i32::from(self.levels[place]);
        let level = match self.precision {
            Precision::Coarse => level,
            Precision::Fine => {
                128 * level + i32::from(self.levels[self.rows * self.width + place])
            }
        };
        level as f32 * self.scales[at]
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
///
/// The scale is the largest magnitude / 127, a level value / scale to the nearest integer, ties to
/// even; a block of zeros has scale 0. Every operation is exactly rounded, so the results are the
/// same bits on every instruction set; inlined, so that it uses the caller's.
#[inline(always)]
pub fn quantize_block(values: &[f32; BLOCK]) -> ([i8; BLOCK], f32, i32) {
    let scale = scale_of(values);
    if scale == 0.0 {
        return ([0; BLOCK], 0.0, 0);
    }
    let mut levels = [0; BLOCK];
    let mut sum = 0;
    for (level, value) in levels.iter_mut().zip(values) {
        (*level, _) = nearest(steps(*value, scale));
        sum += i32::from(*level);
    }
    (levels, scale, -128 * sum)
}

/// The same in 14 bits: levels, what is left of them in 1/128 of a step, the scale of 1/128 of a
/// step, and - the sum of the fine levels.
#[inline(always)]
fn quantize_block_finely(values: &[f32; BLOCK]) -> ([i8; BLOCK], [i8; BLOCK], f32, i32) {
    let scale = scale_of(values);
    let (mut levels, mut low) = ([0; BLOCK], [0; BLOCK]);
    if scale == 0.0 {
        return (levels, low, 0.0, 0);
    }
    let mut sum = 0;
    for ((level, low), value) in levels.iter_mut().zip(&mut low).zip(values) {
        let (coarse, rest) = nearest(steps(*value, scale));
        (*level, *low) = (coarse, nearest(rest * 128.0).0);
        sum += 128 * i32::from(*level) + i32::from(*low);
    }
    (levels, low, scale / 128.0, -sum)
}

/// Writes a block as int8 or, where there is a place for what is left, finely; its scale and start.
#[inline(always)]
pub(super) fn quantize_into(
    values: &[f32; BLOCK],
    levels: &mut [i8],
    low: &mut [i8],
) -> (f32, i32) {
    if low.is_empty() {
        let (block, scale, start) = quantize_block(values);
        levels.copy_from_slice(&block);
        return (scale, start);
    }
    let (block, rest, scale, start) = quantize_block_finely(values);
    levels.copy_from_slice(&block);
    low.copy_from_slice(&rest);
    (scale, start)
}

#[inline(always)]
fn scale_of(values: &[f32; BLOCK]) -> f32 {
    // Magnitudes are ordered as their bits are, and compilers vectorize a maximum of integers.
    let magnitude = |value: f32| (value.to_bits() & 0x7fff_ffff) as i32;
    let largest = values.iter().fold(0, |largest, &value| largest.max(magnitude(value)));
    f32::from_bits(largest as u32) / 127.0
}

/// Only where the scale is subnormal does the quotient leave the range.
#[inline(always)]
fn steps(value: f32, scale: f32) -> f32 {
    (value / scale).clamp(-127.0, 127.0)
}

/// The nearest integer, the even one from the middle, and what is left.
#[inline(always)]
fn nearest(value: f32) -> (i8, f32) {
    // Adding 1.5 · 2^23 leaves the nearest integer in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    let rounded = value + ROUND;
    let integer = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    (integer as i8, value - (rounded - ROUND))
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
        // 190 steps of the smallest magnitude there is: the scale is rounded down to one step.
        let tiny = f32::from_bits(190);
        check(block([tiny, -tiny, 0.0, f32::from_bits(5)]), [127, -127, 0, 5], f32::from_bits(1));
        check(block([f32::from_bits(1), 0.0, 0.0, 0.0]), [0; 4], 0.0);
    }
    #[test]
    fn fine_levels_are_128_times_as_fine() {
        let values: [f32; BLOCK] = std::array::from_fn(|i| (i as f32 * 0.7).sin() * 3.0);
        let fine = Quantized::from_rows(Precision::Fine, &values, 1, BLOCK);
        let coarse = Quantized::from_rows(Precision::Coarse, &values, 1, BLOCK);
        assert_eq!(fine.scales[0], coarse.scales[0] / 128.0);
        let mut sum = 0;
        for (column, value) in values.iter().enumerate() {
            assert!((fine.value(0, column) - value).abs() <= 0.501 * fine.scales[0], "{column}");
            sum += (fine.value(0, column) / fine.scales[0]).round() as i32;
        }
        assert_eq!(fine.starts[0], -sum);
        assert_eq!(fine.levels[..BLOCK], coarse.levels);
        assert_eq!(fine.row(0), fine);
    }
}
