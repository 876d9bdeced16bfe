//! Adapters merged into the matrices of a layer, and the result rounded to Q8_0.
//!
//! A layer's matrices are never expanded as wholes: a few rows at a time are expanded, changed and
//! used, twice where channels are equalised, since the sizes of all columns come before the first
//! rounding. That is arithmetic in caches instead of traffic to memory, several times as fast. All sums
//! have one order, whatever the threads and the processor, so that weights are the same everywhere.

use std::borrow::Cow;
use std::ops::Range;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Result, Storage, Tensor, bail};
use rayon::prelude::*;

use super::{gguf, rounding};

/// About as many weights are expanded at a time: they and what they are made of stay in a cache.
const PART: usize = 1 << 15;

/// Rows, and columns, of the change that are summed up together, in registers.
const TILE: (usize, usize) = (4, 8);

/// A matrix W + B · A.
pub struct Merged<'a> {
    kind: GgmlDType,
    /// Rows of blocks of `kind`.
    data: Cow<'a, [u8]>,
    outputs: usize,
    inputs: usize,
    rank: usize,
    /// A, in tiles of `TILE.1` columns: of each its rows, one after another. Zeros fill the last tile.
    a: Vec<[f32; TILE.1]>,
    /// B, in tiles of `TILE.0` rows: of each its columns, one after another. Zeros fill the last tile.
    b: Vec<[f32; TILE.0]>,
}

/// What rows and columns of a matrix are multiplied with before it is rounded.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scales<'a> {
    /// A factor for each row.
    pub rows: Option<&'a [f32]>,
    /// A factor for each column.
    pub columns: Option<&'a [f32]>,
}

impl<'a> Merged<'a> {
    /// `matrix` (outputs × inputs) with the change of the factors `a` (rank × inputs) and `b`
    /// (outputs × rank): `scale` · B · diag(`worth`) · A.
    ///
    /// # Errors
    /// Where shapes do not fit each other.
    pub fn new(
        matrix: &'a QTensor,
        [a, b]: [&Tensor; 2],
        worth: Option<&Tensor>,
        scale: f64,
    ) -> Result<Merged<'a>> {
        let (outputs, inputs) = matrix.shape().dims2()?;
        let ((rank, columns), (rows, other_rank)) = (a.dims2()?, b.dims2()?);
        if (rows, columns, other_rank) != (outputs, inputs, rank) {
            bail!("factors of {rows} × {other_rank} and {rank} × {columns}");
        }
        let worth = match worth {
            Some(worth) => worth.to_vec1()?,
            None => vec![1.0; rank],
        };
        let scaled: Vec<f32> = worth.iter().map(|worth: &f32| worth * scale as f32).collect();
        let (a, b) = (a.flatten_all()?.to_vec1::<f32>()?, b.flatten_all()?.to_vec1::<f32>()?);
        let of_a =
            |column: usize, r: usize| if column < inputs { a[r * inputs + column] } else { 0.0 };
        let of_b =
            |row: usize, r: usize| if row < outputs { b[row * rank + r] * scaled[r] } else { 0.0 };
        // The first column, or row, of each tile, with each rank.
        let columns = (0..inputs).step_by(TILE.1).flat_map(|at| (0..rank).map(move |r| (at, r)));
        let rows = (0..outputs).step_by(TILE.0).flat_map(|at| (0..rank).map(move |r| (at, r)));
        Ok(Merged {
            kind: matrix.dtype(),
            data: matrix.data()?,
            outputs,
            inputs,
            rank,
            a: columns.map(|(at, r)| std::array::from_fn(|i| of_a(at + i, r))).collect(),
            b: rows.map(|(at, r)| std::array::from_fn(|i| of_b(at + i, r))).collect(),
        })
    }

    /// The sum of the squares of each column.
    ///
    /// # Errors
    /// Where a row cannot be expanded.
    pub fn column_squares(&self) -> Result<Vec<f32>> {
        let parts: Vec<Vec<f32>> = (0..self.outputs.div_ceil(self.part_rows()))
            .into_par_iter()
            .map_init(Vec::new, |values, part| {
                self.expand(part, values)?;
                let mut sums = vec![0.0; self.inputs];
                for row in values.chunks(self.inputs) {
                    sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value * value);
                }
                Ok(sums)
            })
            .collect::<Result<_>>()?;
        let mut sums = vec![0.0; self.inputs];
        for part in parts {
            sums.iter_mut().zip(part).for_each(|(sum, square)| *sum += square);
        }
        Ok(sums)
    }

    /// The matrix, scaled and rounded to Q8_0; `None` where it is larger than such a block can hold.
    ///
    /// # Errors
    /// Where its rows are no whole number of blocks.
    pub fn round(&self, scales: Scales<'_>) -> Result<Option<QTensor>> {
        let row_bytes = rounding::row_bytes(self.inputs)?;
        let part_rows = self.part_rows();
        let mut bytes = vec![0; self.outputs * row_bytes];
        let finite: Vec<bool> = bytes
            .par_chunks_mut(part_rows * row_bytes)
            .enumerate()
            .map_init(Vec::new, |values, (part, bytes)| {
                self.expand(part, values)?;
                let rows = values.chunks_mut(self.inputs).zip(bytes.chunks_mut(row_bytes));
                for ((values, bytes), row) in rows.zip(part * part_rows..) {
                    if let Some(columns) = scales.columns {
                        values.iter_mut().zip(columns).for_each(|(value, scale)| *value *= scale);
                    }
                    if let Some(rows) = scales.rows {
                        values.iter_mut().for_each(|value| *value *= rows[row]);
                    }
                    rounding::round_row(values, bytes);
                }
                Ok(gguf::is_finite(GgmlDType::Q8_0, bytes))
            })
            .collect::<Result<_>>()?;
        if finite.contains(&false) {
            return Ok(None);
        }
        let storage = QStorage::from_data(Cow::Owned(bytes), &Device::Cpu, GgmlDType::Q8_0)?;
        QTensor::new(storage, (self.outputs, self.inputs)).map(Some)
    }

    /// Rows of a part, whole tiles of them.
    fn part_rows(&self) -> usize {
        (PART / self.inputs.max(1)).next_multiple_of(TILE.0).max(TILE.0)
    }

    /// Puts the values of the rows of a part into `values`.
    fn expand(&self, part: usize, values: &mut Vec<f32>) -> Result<()> {
        let rows = part * self.part_rows()..self.outputs.min((part + 1) * self.part_rows());
        let row_bytes = self.data.len() / self.outputs;
        let bytes = Cow::Borrowed(&self.data[rows.start * row_bytes..rows.end * row_bytes]);
        let storage = QStorage::from_data(bytes, &Device::Cpu, self.kind)?;
        let base = QTensor::new(storage, (rows.len(), self.inputs))?.dequantize(&Device::Cpu)?;
        let (storage, _) = base.storage_and_layout();
        values.clear();
        match &*storage {
            Storage::Cpu(storage) => values.extend_from_slice(storage.as_slice()?),
            _ => bail!("weights are expanded on the processor"),
        }
        self.add_change(rows, values);
        Ok(())
    }

    fn add_change(&self, rows: Range<usize>, values: &mut [f32]) {
        let tiles = self.b.chunks(self.rank).skip(rows.start / TILE.0);
        for (values, b) in values.chunks_mut(TILE.0 * self.inputs).zip(tiles) {
            for (a, first) in self.a.chunks(self.rank).zip((0..).step_by(TILE.1)) {
                let sums = product(a, b);
                for (values, sums) in values.chunks_mut(self.inputs).zip(sums) {
                    values[first..].iter_mut().zip(sums).for_each(|(value, sum)| *value += sum);
                }
            }
        }
    }
}

/// A tile of B · A.
fn product(a: &[[f32; TILE.1]], b: &[[f32; TILE.0]]) -> [[f32; TILE.1]; TILE.0] {
    let mut sums = [[0.0; TILE.1]; TILE.0];
    for (a, b) in a.iter().zip(b) {
        for (sums, b) in sums.iter_mut().zip(b) {
            sums.iter_mut().zip(a).for_each(|(sum, a)| *sum += a * b);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(rows: usize, columns: usize, seed: f32) -> Tensor {
        let values: Vec<f32> =
            (0..rows * columns).map(|i| ((i as f32 + seed) * 0.7).sin()).collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    }

    fn rows(tensor: &Tensor) -> Vec<Vec<f32>> {
        tensor.to_vec2().unwrap()
    }

    /// Against sums of f64, one after another: rows that fill no tile, and rows of several parts.
    #[test]
    fn a_matrix_is_changed_scaled_and_rounded() {
        let scale = 0.25;
        for (kind, outputs, inputs) in
            [(GgmlDType::F32, 7, 96), (GgmlDType::Q4K, 150, 512), (GgmlDType::Q8_0, 34, 2080)]
        {
            let base = QTensor::quantize(&tensor(outputs, inputs, 0.1), kind).unwrap();
            let (a, b) = (tensor(3, inputs, 0.2), tensor(outputs, 3, 0.3));
            let worth = tensor(1, 3, 0.4).flatten_all().unwrap();
            let merged = Merged::new(&base, [&a, &b], Some(&worth), scale).unwrap();
            let worth: Vec<f32> = worth.to_vec1().unwrap();
            let (base, a, b) = (rows(&base.dequantize(&Device::Cpu).unwrap()), rows(&a), rows(&b));
            let expected = |row: usize, column: usize| {
                let of_rank =
                    |r: usize| f64::from(b[row][r]) * f64::from(worth[r]) * f64::from(a[r][column]);
                f64::from(base[row][column]) + scale * (0..3).map(of_rank).sum::<f64>()
            };

            let squares = merged.column_squares().unwrap();
            for (column, square) in squares.iter().enumerate() {
                let sum: f64 = (0..outputs).map(|row| expected(row, column).powi(2)).sum();
                assert!((f64::from(*square) / sum - 1.0).abs() < 1e-4, "{kind:?}, {column}");
            }

            let row_scales: Vec<f32> = (0..outputs).map(|row| 1.0 + row as f32).collect();
            let column_scales: Vec<f32> = (0..inputs).map(|at| 0.1 + (at % 7) as f32).collect();
            let scales = Scales { rows: Some(&row_scales), columns: Some(&column_scales) };
            let rounded = merged.round(scales).unwrap().unwrap();
            let found = rows(&rounded.dequantize(&Device::Cpu).unwrap());
            for (row, found) in found.iter().enumerate() {
                let expected: Vec<f64> = (0..inputs)
                    .map(|at| {
                        expected(row, at)
                            * f64::from(row_scales[row])
                            * f64::from(column_scales[at])
                    })
                    .collect();
                let largest = expected.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
                for (found, expected) in found.iter().zip(expected) {
                    // Of sums of four that fill 128, one is a step of a 32nd.
                    assert!(
                        (f64::from(*found) - expected).abs() < largest / 30.0,
                        "{kind:?}, {row}"
                    );
                }
            }

            let bytes = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let rounded = pool.install(|| merged.round(scales)).unwrap().unwrap();
                (
                    rounded.data().unwrap().into_owned(),
                    pool.install(|| merged.column_squares()).unwrap(),
                )
            };
            assert!(bytes(1) == bytes(3), "{kind:?}: threads change nothing");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let base = QTensor::quantize(&tensor(4, 64, 0.1), GgmlDType::F32).unwrap();
        for (a, b, fits) in
            [((2, 64), (4, 2), true), ((2, 32), (4, 2), false), ((2, 64), (4, 3), false)]
        {
            let (a, b) = (tensor(a.0, a.1, 0.0), tensor(b.0, b.1, 0.0));
            assert_eq!(Merged::new(&base, [&a, &b], None, 1.0).is_ok(), fits);
        }
        let odd = QTensor::quantize(&tensor(4, 33, 0.1), GgmlDType::F32).unwrap();
        let (a, b) = (tensor(2, 33, 0.0), tensor(4, 2, 0.0));
        let odd = Merged::new(&odd, [&a, &b], None, 1.0).unwrap();
        assert!(odd.round(Scales::default()).is_err());
    }
}
