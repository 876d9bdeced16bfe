//! Activations on their way into and out of a matrix product.

use super::BLOCK;

/// Rows of activations as int8: a value is level · scale of its block of 32.
///
/// Block-major, so that the rows a micro-kernel works on lie side by side: the levels of block b
/// of row r are `levels[(b · rows + r) · 32 ..][.. 32]`, its scale and its start are at
/// `[b · rows + r]`. The start is -128 · the sum of the levels: where a product with weights that
/// are stored as level + 128 starts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quantized {
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
    /// Room for rows and columns without a further allocation.
    pub fn with_capacity(rows: usize, width: usize) -> Quantized {
        let mut quantized = Quantized::default();
        quantized.resize(rows, width);
        quantized
    }

    /// Takes another shape; what it holds is unspecified until it is written.
    ///
    /// # Panics
    /// When `width` is no multiple of 32.
    pub fn resize(&mut self, rows: usize, width: usize) {
        assert!(width.is_multiple_of(BLOCK), "a width of {width} is no multiple of {BLOCK}");
        (self.rows, self.width) = (rows, width);
        self.levels.resize(rows * width, 0);
        self.scales.resize(rows * width / BLOCK, 0.0);
        self.starts.resize(rows * width / BLOCK, 0);
    }

    /// Quantizes rows of f32, one after another.
    ///
    /// # Panics
    /// When `width` is no multiple of 32, or `values` has another length than such rows.
    pub fn from_rows(values: &[f32], rows: usize, width: usize) -> Quantized {
        assert_eq!(values.len(), rows * width, "{rows} rows of {width}");
        let mut quantized = Quantized::with_capacity(rows, width);
        for (i, values) in values.as_chunks().0.iter().enumerate() {
            let at = i % (width / BLOCK) * rows + i / (width / BLOCK);
            let (levels, scale, start) = quantize_block(values);
            quantized.levels[at * BLOCK..][..BLOCK].copy_from_slice(&levels);
            (quantized.scales[at], quantized.starts[at]) = (scale, start);
        }
        quantized
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
        let places = (0..self.blocks()).map(|block| block * self.rows + row);
        let mut alone = Quantized::with_capacity(1, self.width);
        for (block, at) in places.enumerate() {
            alone.levels[block * BLOCK..(block + 1) * BLOCK]
                .copy_from_slice(&self.levels[at * BLOCK..(at + 1) * BLOCK]);
            alone.scales[block] = self.scales[at];
            alone.starts[block] = self.starts[at];
        }
        alone
    }

    /// The value at (row, column), for tests.
    pub fn value(&self, row: usize, column: usize) -> f32 {
        let at = column / BLOCK * self.rows + row;
        f32::from(self.levels[at * BLOCK + column % BLOCK]) * self.scales[at]
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
    // Adding 1.5 · 2^23 leaves the nearest integer in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    // Magnitudes are ordered as their bits are, and compilers vectorize a maximum of integers.
    let magnitude = |value: f32| (value.to_bits() & 0x7fff_ffff) as i32;
    let largest = values.iter().fold(0, |largest, &value| largest.max(magnitude(value)));
    let scale = f32::from_bits(largest as u32) / 127.0;
    if scale == 0.0 {
        return ([0; BLOCK], 0.0, 0);
    }
    let mut levels = [0; BLOCK];
    let mut sum = 0;
    for (level, value) in levels.iter_mut().zip(values) {
        // Only where the scale is subnormal does the quotient leave the range.
        let rounded = (value / scale).clamp(-127.0, 127.0) + ROUND;
        let integer = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
        *level = integer as i8;
        sum += i32::from(*level);
    }
    (levels, scale, -128 * sum)
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
}
