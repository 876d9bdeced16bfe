//! Weight matrices in the form in which the matrix products read them.
//!
//! A tile is 32 outputs (columns of the product). For each of its blocks of 32 inputs it holds
//! 1 KiB of levels, four inputs of all columns after the other four, as `vpdpbusd` and its
//! relatives want them: the byte of input 4 g + i of column c is at `(g · 32 + c) · 4 + i`.
//! Bytes are level + 128, so weights are the unsigned operand and activations the signed one,
//! which then can be a broadcast from memory; products start at -128 · the sum of the activations.
//!
//! Levels stay those of the file where its type has one scale for 32 weights; other types are
//! rounded to int8 once more, with an error below 1/254 of a block's largest weight.

use super::blocks::{BlockType, Levels, Native, decode, levels};
use super::disjoint::Disjoint;
use super::quantized::quantize_block;
use super::{BLOCK, Pool};

/// A weight matrix of (outputs, inputs), outputs padded with zeros to whole tiles.
#[derive(Debug, Clone)]
pub struct Packed {
    outputs: usize,
    blocks: usize,
    levels: Vec<TileLevels>,
    scales: Vec<TileValues>,
    minimums: Option<Vec<TileValues>>,
}

/// The levels of one block of inputs of a tile.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct TileLevels(pub [u8; BLOCK * BLOCK]);

/// A value for each column of a tile.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct TileValues(pub [f32; BLOCK]);

/// One tile of a matrix, an element a block of inputs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile<'a> {
    pub levels: &'a [TileLevels],
    pub scales: &'a [TileValues],
    pub minimums: Option<&'a [TileValues]>,
}

/// One column of a tile, to be written.
struct Column<'a> {
    at: usize,
    levels: &'a mut [TileLevels],
    scales: &'a mut [TileValues],
    minimums: &'a mut [TileValues],
}

impl Packed {
    /// Packs a matrix of GGUF blocks, row after row (a row is an output).
    ///
    /// # Panics
    /// When `inputs` is no whole number of blocks (or not of 32), or `bytes` has another length
    /// than such a matrix.
    pub fn from_blocks(
        pool: &mut Pool,
        kind: BlockType,
        bytes: &[u8],
        outputs: usize,
        inputs: usize,
    ) -> Packed {
        let row_bytes = kind.bytes_of(inputs);
        assert_eq!(bytes.len(), outputs * row_bytes, "{kind:?} of {outputs} x {inputs}");
        let minimums = kind.native() == Native::Minimum;
        Packed::build(pool, outputs, inputs, minimums, |output, column| {
            column.put_row(kind, &bytes[output * row_bytes..][..row_bytes]);
        })
    }

    /// Packs the named rows of a matrix of GGUF blocks, in that order.
    ///
    /// # Panics
    /// As [`Packed::from_blocks`], and when a row is not in the matrix.
    pub fn select(
        pool: &mut Pool,
        kind: BlockType,
        bytes: &[u8],
        inputs: usize,
        rows: &[u32],
    ) -> Packed {
        let row_bytes = kind.bytes_of(inputs);
        let minimums = kind.native() == Native::Minimum;
        Packed::build(pool, rows.len(), inputs, minimums, |output, column| {
            column.put_row(kind, &bytes[rows[output] as usize * row_bytes..][..row_bytes]);
        })
    }

    /// Rounds a matrix of f32, row after row, to int8 and packs it.
    ///
    /// # Panics
    /// When `inputs` is no multiple of 32, or `values` has another length than such a matrix.
    pub fn from_rows(pool: &mut Pool, values: &[f32], outputs: usize, inputs: usize) -> Packed {
        assert_eq!(values.len(), outputs * inputs, "f32 of {outputs} x {inputs}");
        Packed::build(pool, outputs, inputs, false, |output, column| {
            column.put_values(0, &values[output * inputs..][..inputs]);
        })
    }

    /// Puts the outputs of `other` behind these, so that one product computes both.
    ///
    /// # Panics
    /// When the inputs differ or the outputs here end within a tile.
    pub fn append(&mut self, mut other: Packed) {
        assert_eq!(self.blocks, other.blocks, "blocks of inputs");
        assert!(self.outputs.is_multiple_of(BLOCK), "{} outputs end within a tile", self.outputs);
        if self.minimums.is_some() || other.minimums.is_some() {
            let zeros = |packed: &Packed| vec![TileValues([0.0; BLOCK]); packed.scales.len()];
            let of_other = other.minimums.take().unwrap_or_else(|| zeros(&other));
            let mut minimums = self.minimums.take().unwrap_or_else(|| zeros(self));
            minimums.extend(of_other);
            self.minimums = Some(minimums);
        }
        self.outputs += other.outputs;
        self.levels.append(&mut other.levels);
        self.scales.append(&mut other.scales);
    }

    /// The number of outputs, without padding.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The number of inputs.
    pub fn inputs(&self) -> usize {
        self.blocks * BLOCK
    }

    /// The number of tiles of 32 outputs.
    pub fn tiles(&self) -> usize {
        self.outputs.div_ceil(BLOCK)
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        let values = self.scales.len() + self.minimums.as_ref().map_or(0, Vec::len);
        size_of_val(&*self.levels) + values * size_of::<TileValues>()
    }

    /// For each block of inputs the power of its weights: the sum of their squared scales over all
    /// outputs.
    pub fn power(&self) -> Vec<f64> {
        let mut power = vec![0.0; self.blocks];
        for tile in self.scales.chunks_exact(self.blocks) {
            for (power, scales) in power.iter_mut().zip(tile) {
                *power += scales.0.iter().map(|scale| f64::from(*scale).powi(2)).sum::<f64>();
            }
        }
        power
    }

    /// The weight from `input` to `output`.
    ///
    /// # Panics
    /// When there is no such weight.
    pub fn weight(&self, output: usize, input: usize) -> f32 {
        assert!(output < self.outputs, "output {output} of {}", self.outputs);
        let (tile, column) = (self.tile(output / BLOCK), output % BLOCK);
        let (block, group, byte) = (input / BLOCK, input % BLOCK / 4, input % 4);
        let level = f32::from(tile.levels[block].0[(group * BLOCK + column) * 4 + byte]) - 128.0;
        let minimum = tile.minimums.map_or(0.0, |minimums| minimums[block].0[column]);
        tile.scales[block].0[column] * level + minimum
    }

    pub(super) fn tile(&self, tile: usize) -> Tile<'_> {
        let range = tile * self.blocks..(tile + 1) * self.blocks;
        Tile {
            levels: &self.levels[range.clone()],
            scales: &self.scales[range.clone()],
            minimums: self.minimums.as_ref().map(|minimums| &minimums[range]),
        }
    }

    /// Lets `put` write the column of each output, a tile a task.
    fn build(
        pool: &mut Pool,
        outputs: usize,
        inputs: usize,
        with_minimums: bool,
        put: impl Fn(usize, &mut Column<'_>) + Sync,
    ) -> Packed {
        assert!(inputs.is_multiple_of(BLOCK), "{inputs} inputs are no multiple of {BLOCK}");
        let (tiles, blocks) = (outputs.div_ceil(BLOCK), inputs / BLOCK);
        // A zero of padding is level 0, which is the byte 128, of scale 0.
        let mut levels = vec![TileLevels([128; BLOCK * BLOCK]); tiles * blocks];
        let mut scales = vec![TileValues([0.0; BLOCK]); tiles * blocks];
        let minimums_of_tile = if with_minimums { blocks } else { 0 };
        let mut minimums = vec![TileValues([0.0; BLOCK]); tiles * minimums_of_tile];
        {
            let levels = Disjoint::new(&mut levels);
            let scales = Disjoint::new(&mut scales);
            let minimums = Disjoint::new(&mut minimums);
            pool.run(tiles, |_, tile| {
                let part = |length: usize| tile * length..(tile + 1) * length;
                // SAFETY: each tile is one task and has these parts to itself.
                let (levels, scales, minimums) = unsafe {
                    let minimums = minimums.part(part(minimums_of_tile));
                    (levels.part(part(blocks)), scales.part(part(blocks)), minimums)
                };
                let mut column = Column { at: 0, levels, scales, minimums };
                for output in tile * BLOCK..outputs.min((tile + 1) * BLOCK) {
                    column.at = output % BLOCK;
                    put(output, &mut column);
                }
            });
        }
        Packed { outputs, blocks, levels, scales, minimums: with_minimums.then_some(minimums) }
    }
}

impl Column<'_> {
    /// Writes the blocks of a row.
    fn put_row(&mut self, kind: BlockType, bytes: &[u8]) {
        match kind.native() {
            Native::Symmetric | Native::Minimum => {
                let groups = kind.block_values() / BLOCK;
                for (block, bytes) in bytes.chunks_exact(kind.block_bytes()).enumerate() {
                    for group in 0..groups {
                        self.put(block * groups + group, &levels(kind, bytes, group));
                    }
                }
            }
            Native::Values => {
                // The longest block, and a whole number of every other.
                let mut values = [0.0; 256];
                for (step, bytes) in bytes.chunks(kind.bytes_of(values.len())).enumerate() {
                    let count = bytes.len() / kind.block_bytes() * kind.block_values();
                    decode(kind, bytes, &mut values[..count]);
                    self.put_values(step * values.len() / BLOCK, &values[..count]);
                }
            }
        }
    }

    /// Rounds values to int8 and writes them, from a block on.
    fn put_values(&mut self, from: usize, values: &[f32]) {
        for (block, values) in values.as_chunks().0.iter().enumerate() {
            let (levels, scale, _) = quantize_block(values);
            self.put(from + block, &Levels { levels, scale, minimum: 0.0 });
        }
    }

    #[inline]
    fn put(&mut self, block: usize, weights: &Levels) {
        let tile = &mut self.levels[block].0;
        for (group, levels) in weights.levels.as_chunks::<4>().0.iter().enumerate() {
            let bytes = levels.map(|level| level as u8 ^ 0x80);
            tile[(group * BLOCK + self.at) * 4..][..4].copy_from_slice(&bytes);
        }
        self.scales[block].0[self.at] = weights.scale;
        if let Some(minimums) = self.minimums.get_mut(block) {
            minimums.0[self.at] = weights.minimum;
        }
    }
}
