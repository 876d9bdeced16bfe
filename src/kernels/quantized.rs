//! Activations on their way into and out of a matrix product.

use super::BLOCK;

/// Rows of activations as int8: a value is level · scale of its block of 32.
///
/// Block-major, so that the rows a micro-kernel works on lie side by side: the levels of block b
/// of row r are `levels[(b · rows + r) · 32 ..][.. 32]`, its scale and its sum of levels are at
/// `[b · rows + r]`.
#[derive(Debug, Clone, Default)]
pub struct Quantized {
    rows: usize,
    width: usize,
    pub(super) levels: Vec<i8>,
    pub(super) scales: Vec<f32>,
    pub(super) sums: Vec<i32>,
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
        self.sums.resize(rows * width / BLOCK, 0);
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
