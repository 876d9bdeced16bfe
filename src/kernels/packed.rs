//! Weight matrices in the form in which the matrix products read them.
//!
//! Outputs, which are columns of the product, are taken 32 at a time: a tile. For each of its blocks
//! of 32 inputs it holds 1 KiB of quants, in the order of the kernel that reads them, and for each
//! group of blocks scales and minimums of the columns. A product is computed by the kernel that its
//! weights were packed for, wherever it is asked for.
//!
//! Quants stay those of the file where its type has one scale for 32 weights; other types are
//! rounded to int8 once more, with an error below 1/254 of a block's largest weight.

use super::blocks::{BlockType, Native, QuantBlock, decode, quants};
use super::disjoint::Disjoint;
use super::gemm::kernel::{Kernel, Tile, TileQuants, TileSums, TileValues};
use super::quantized::quantize_block;
use super::{BLOCK, Executor, Isa};

/// A weight matrix of (outputs, inputs), outputs padded with zeros to whole tiles.
#[derive(Debug, Clone)]
pub struct Packed {
    isa: Isa,
    outputs: usize,
    /// Blocks of inputs.
    blocks: usize,
    /// Blocks that share scales.
    group: usize,
    quants: Vec<TileQuants>,
    scales: Vec<TileValues>,
    minimums: Option<Vec<TileValues>>,
    /// Of each group, where its kernel keeps them.
    sums: Option<Vec<TileSums>>,
    /// Of each tile, for its kernel.
    narrow: Vec<bool>,
}

/// One column of a tile, to be written.
struct Column<'a> {
    kernel: &'static dyn Kernel,
    at: usize,
    group: usize,
    quants: &'a mut [TileQuants],
    scales: &'a mut [TileValues],
    minimums: Option<&'a mut [TileValues]>,
    sums: Option<&'a mut [TileSums]>,
    is_narrow: &'a mut bool,
}

/// Bytes that a matrix of that type takes at most once it is packed: each block with values of its own, for
/// any kernel.
pub fn most_bytes(kind: BlockType, outputs: usize, inputs: usize) -> u64 {
    let values = if kind.native() == Native::Minimum { 2 } else { 1 };
    let of_block =
        size_of::<TileQuants>() + values * size_of::<TileValues>() + size_of::<TileSums>();
    (outputs.div_ceil(BLOCK) * inputs.div_ceil(BLOCK) * of_block) as u64
}

impl Packed {
    /// A matrix without outputs, to be filled.
    pub fn empty(isa: Isa) -> Packed {
        Packed {
            isa,
            outputs: 0,
            blocks: 0,
            group: 1,
            quants: Vec::new(),
            scales: Vec::new(),
            minimums: None,
            sums: None,
            narrow: Vec::new(),
        }
    }

    /// Packs a matrix of GGUF blocks, row after row (a row is an output).
    ///
    /// # Panics
    /// When `inputs` is no whole number of blocks (or not of 32), or `bytes` has another length
    /// than such a matrix.
    pub fn from_blocks(
        exec: &mut Executor,
        kind: BlockType,
        bytes: &[u8],
        outputs: usize,
        inputs: usize,
    ) -> Packed {
        Packed::from_groups(exec, kind, 1, bytes, outputs, inputs)
    }

    /// The same for groups of `group` blocks whose weights have one scale, as [`super::blocks::group`]
    /// finds them.
    ///
    /// # Panics
    /// As [`Packed::from_blocks`], when `inputs` is no whole number of groups, and when a group of more
    /// than one block is of another type than Q8_0.
    pub fn from_groups(
        exec: &mut Executor,
        kind: BlockType,
        group: usize,
        bytes: &[u8],
        outputs: usize,
        inputs: usize,
    ) -> Packed {
        let mut packed = Packed::empty(exec.isa);
        packed.fill(exec, kind, group, bytes, outputs, inputs);
        packed
    }

    /// As [`Packed::from_groups`], in place of what it holds, in the memory that this has.
    ///
    /// # Panics
    /// As there.
    pub fn fill(
        &mut self,
        exec: &mut Executor,
        kind: BlockType,
        group: usize,
        bytes: &[u8],
        outputs: usize,
        inputs: usize,
    ) {
        let columns = group * BLOCK;
        assert!(inputs.is_multiple_of(columns), "{inputs} inputs are no multiple of {columns}");
        assert!(group == 1 || kind == BlockType::Q8_0, "groups of {group} blocks of {kind:?}");
        let row_bytes = kind.bytes_of(inputs);
        assert_eq!(bytes.len(), outputs * row_bytes, "{kind:?} of {outputs} x {inputs}");
        let (tiles, blocks) = (outputs.div_ceil(BLOCK), inputs / BLOCK);
        let groups = blocks / group;
        (self.isa, self.outputs, self.blocks, self.group) = (exec.isa, outputs, blocks, group);
        // Columns of padding have scale 0, so their quants do not matter.
        refill(&mut self.quants, tiles * blocks, TileQuants([0; BLOCK * BLOCK]));
        refill(&mut self.scales, tiles * groups, TileValues([0.0; BLOCK]));
        self.minimums = (kind.native() == Native::Minimum).then(|| {
            let mut minimums = self.minimums.take().unwrap_or_default();
            refill(&mut minimums, tiles * groups, TileValues([0.0; BLOCK]));
            minimums
        });
        refill(&mut self.narrow, tiles, true);
        let kernel = self.isa.gemm;
        self.sums = kernel.keeps_sums().then(|| {
            let mut sums = self.sums.take().unwrap_or_default();
            refill(&mut sums, tiles * groups, TileSums([0; BLOCK]));
            sums
        });
        let narrow = Disjoint::new(&mut self.narrow);
        let quants = Disjoint::new(&mut self.quants);
        let scales = Disjoint::new(&mut self.scales);
        let minimums = self.minimums.as_mut().map(|minimums| Disjoint::new(minimums));
        let sums = self.sums.as_mut().map(|sums| Disjoint::new(sums));
        exec.pool.run(tiles, |_, tile| {
            let part = |length: usize| tile * length..(tile + 1) * length;
            // SAFETY: each tile is one task and has these parts to itself.
            let mut column = unsafe {
                Column {
                    kernel,
                    at: 0,
                    group,
                    quants: quants.part(part(blocks)),
                    scales: scales.part(part(groups)),
                    minimums: minimums.as_ref().map(|minimums| minimums.part(part(groups))),
                    sums: sums.as_ref().map(|sums| sums.part(part(groups))),
                    is_narrow: &mut narrow.part(part(1))[0],
                }
            };
            for output in tile * BLOCK..outputs.min((tile + 1) * BLOCK) {
                column.at = output % BLOCK;
                column.put_row(kind, &bytes[output * row_bytes..][..row_bytes]);
            }
        });
    }

    /// Puts the outputs of `other` behind these, so that one product computes both.
    ///
    /// # Panics
    /// When the inputs or the groups differ, the outputs here end within a tile, or the two were
    /// packed for different instruction sets.
    pub fn append(&mut self, mut other: Packed) {
        assert_eq!(self.isa, other.isa, "instruction sets");
        assert_eq!((self.blocks, self.group), (other.blocks, other.group), "blocks of inputs");
        assert!(self.outputs.is_multiple_of(BLOCK), "{} outputs end within a tile", self.outputs);
        if self.minimums.is_some() || other.minimums.is_some() {
            let zeros = |packed: &Packed| vec![TileValues([0.0; BLOCK]); packed.scales.len()];
            let of_other = other.minimums.take().unwrap_or_else(|| zeros(&other));
            let mut minimums = self.minimums.take().unwrap_or_else(|| zeros(self));
            minimums.extend(of_other);
            self.minimums = Some(minimums);
        }
        self.outputs += other.outputs;
        self.quants.append(&mut other.quants);
        self.scales.append(&mut other.scales);
        if let (Some(sums), Some(of_other)) = (&mut self.sums, &mut other.sums) {
            sums.append(of_other);
        }
        self.narrow.append(&mut other.narrow);
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

    /// Blocks that share scales.
    pub fn group(&self) -> usize {
        self.group
    }

    /// For each group of inputs the power of its weights: the sum of their squared scales over all
    /// outputs.
    pub fn power(&self) -> Vec<f64> {
        let mut power = vec![0.0; self.groups()];
        for tile in self.scales.chunks_exact(self.groups()) {
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
        let (block, group) = (input / BLOCK, input / BLOCK / self.group);
        let quant = self.isa.gemm.quant(&tile.quants[block], column, input % BLOCK);
        let minimum = tile.minimums.map_or(0.0, |minimums| minimums[group].0[column]);
        tile.scales[group].0[column] * f32::from(quant) + minimum
    }

    fn groups(&self) -> usize {
        self.blocks / self.group
    }

    /// What computes its products.
    pub(super) fn kernel(&self) -> &'static dyn Kernel {
        self.isa.gemm
    }

    pub(super) fn tile(&self, tile: usize) -> Tile<'_> {
        let blocks = tile * self.blocks..(tile + 1) * self.blocks;
        let groups = tile * self.groups()..(tile + 1) * self.groups();
        Tile {
            group: self.group,
            quants: &self.quants[blocks],
            scales: &self.scales[groups.clone()],
            minimums: self.minimums.as_ref().map(|minimums| &minimums[groups.clone()]),
            sums: self.sums.as_ref().map(|sums| &sums[groups]),
            is_narrow: self.narrow[tile],
        }
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
                        self.put(block * groups + group, &quants(kind, bytes, group));
                    }
                }
            }
            Native::Values => {
                // The longest block, and a whole number of every other.
                let mut values = [0.0; 256];
                for (step, bytes) in bytes.chunks(kind.bytes_of(values.len())).enumerate() {
                    let count = bytes.len() / kind.block_bytes() * kind.block_values();
                    decode(kind, bytes, &mut values[..count]);
                    let first = step * values.len() / BLOCK;
                    for (block, values) in values[..count].as_chunks().0.iter().enumerate() {
                        let (quants, scale) = quantize_block(values);
                        self.put(first + block, &QuantBlock { quants, scale, minimum: 0.0 });
                    }
                }
            }
        }
    }

    #[inline]
    fn put(&mut self, block: usize, weights: &QuantBlock) {
        self.kernel.pack(self.at, &weights.quants, &mut self.quants[block]);
        *self.is_narrow &= self.kernel.is_narrow(&weights.quants);
        self.scales[block / self.group].0[self.at] = weights.scale;
        if let Some(sums) = &mut self.sums {
            let sum: i16 = weights.quants.iter().copied().map(i16::from).sum();
            sums[block / self.group].0[self.at] += sum;
        }
        if let Some(minimums) = &mut self.minimums {
            minimums[block / self.group].0[self.at] = weights.minimum;
        }
    }
}

/// Makes `values` as many copies of `value`.
fn refill<T: Copy>(values: &mut Vec<T>, count: usize, value: T) {
    values.clear();
    values.resize(count, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_matrix_takes_no_more_than_the_most() {
        for isa in Isa::all() {
            let mut exec = Executor::new(isa, 1);
            for kind in BlockType::ALL {
                let (outputs, inputs) = (70, 512);
                let bytes = vec![0; outputs * kind.bytes_of(inputs)];
                let packed = Packed::from_blocks(&mut exec, kind, &bytes, outputs, inputs);
                let values = packed.scales.len() + packed.minimums.map_or(0, |values| values.len());
                let sums = packed.sums.map_or(0, |sums| size_of_val(&sums[..]));
                let taken =
                    size_of_val(&packed.quants[..]) + values * size_of::<TileValues>() + sums;
                let most = most_bytes(kind, outputs, inputs);
                assert!(
                    taken as u64 <= most && most < 2 * taken as u64,
                    "{kind:?}: {taken}, {most}"
                );
            }
        }
    }
}
