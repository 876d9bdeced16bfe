//! Keys and values of the sequences in flight, in blocks that several of them share.
//!
//! A block has lanes, one for each of its sequences, all of one capacity, so that those that have
//! one row in a step can attend in one operation. Blocks have room for the papers that there are:
//! if each had its own capacity, there would be a block for every length, and most of its lanes
//! empty. Longer sequences are few, and live in longer blocks of few lanes. A lane holds zeros where
//! nothing of its own sequence has been written: nothing of the sequence that had it before.
//!
//! A lane has cells, one for a position, and a slot knows the cells of its positions. The texts of a beam
//! share the lane of their sequence and the cells of what they have in common, so that a fork copies no keys
//! and values, and what they have in common is read once for all of them. Without a beam the cell of a
//! position is the one of its number.

use candle_core::{DType, Device, Result, Tensor};

use super::device::is_out_of_memory;
use crate::generate::{Beside, Fork};
use crate::model::Config;

/// Positions of a lane where blocks are shared, without those of a beam: the longest abstract that arXiv takes,
/// with formulas, what is told beside it, and an answer at its bounds.
pub const BLOCK_CAPACITY: usize = 1536;
/// Sequences that need more have blocks whose capacities are multiples of this.
const CAPACITY_STEP: usize = 512;
/// How many of them share a block.
const LANES_OF_LONG: usize = 4;

/// Positions of a lane for a sequence of at most `positions` where `lanes` share a block, with those that the texts
/// of a beam take beside it.
pub fn lane_capacity(lanes: usize, positions: usize, beside: usize) -> usize {
    match lanes {
        1 => positions + beside,
        _ if positions <= BLOCK_CAPACITY => BLOCK_CAPACITY + beside,
        _ => (positions + beside).next_multiple_of(CAPACITY_STEP),
    }
}

/// Bytes of so many positions in a lane, each of which takes `position_bytes` in 16 bits: they are f32 here.
pub fn lane_bytes(capacity: usize, position_bytes: usize) -> u64 {
    2 * (capacity * position_bytes) as u64
}

/// Where the sequence of a slot lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which block.
    pub block: usize,
    /// Which of its lanes.
    pub lane: usize,
}

/// Keys and values of some sequences: for each layer a pair of tensors
/// (lanes, kv_heads, capacity, head_dim).
pub struct Block {
    pub layers: Vec<(Tensor, Tensor)>,
    pub capacity: usize,
    lanes: Vec<Lane>,
}

/// Who holds the cells of a lane.
#[derive(Debug, Clone, Default)]
struct Lane {
    /// How many slots live there.
    slots: usize,
    /// How many of them hold each cell; of those behind, none does.
    uses: Vec<u32>,
    /// No cell before this one is free.
    lowest: usize,
}

/// What a slot holds.
#[derive(Debug)]
struct Held {
    place: Place,
    /// The cell of each position.
    cells: Vec<u32>,
}

/// All blocks, and what all slots hold.
pub struct KvCache {
    /// Most lanes of a block.
    lanes: usize,
    /// Most slots at a time, and most that a sequence takes with the texts of its beam.
    expected: usize,
    slots_of_one: usize,
    blocks: Vec<Option<Block>>,
    slots: Vec<Option<Held>>,
    /// Slots that a fork of the last step gave something else, and what they held before: its cells are kept
    /// for the case that the step failed.
    replaced: Vec<(usize, Option<Held>)>,
}

impl Block {
    /// Room for `lanes` sequences of `capacity` positions.
    pub fn new(config: &Config, lanes: usize, capacity: usize, device: &Device) -> Result<Block> {
        let shape = (lanes, config.kv_heads, capacity, config.head_dim);
        let zeros = || Tensor::zeros(shape, DType::F32, device);
        let layers = config.layers.iter().map(|_| Ok((zeros()?, zeros()?)));
        let layers = layers.collect::<Result<_>>()?;
        Ok(Block { layers, capacity, lanes: vec![Lane::default(); lanes] })
    }

    /// The same, with fewer lanes where there is no memory for so many.
    fn that_fits(
        config: &Config,
        mut lanes: usize,
        capacity: usize,
        device: &Device,
    ) -> Result<Block> {
        loop {
            match Block::new(config, lanes, capacity, device) {
                Err(cause) if lanes > 1 && is_out_of_memory(&cause) => lanes /= 2,
                outcome => return outcome,
            }
        }
    }

    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Makes `lane` zeros, and then all positions of the only lane of `prefix`.
    fn begin(&self, lane: usize, prefix: Option<&Block>) -> Result<()> {
        for (layer, (keys, values)) in self.layers.iter().enumerate() {
            // A block of one lane is new.
            if self.lanes() > 1 {
                let zeros = keys.narrow(0, lane, 1)?.zeros_like()?;
                keys.slice_set(&zeros, 0, lane)?;
                values.slice_set(&zeros, 0, lane)?;
            }
            if let Some(prefix) = prefix {
                let (prefix_keys, prefix_values) = &prefix.layers[layer];
                keys.narrow(0, lane, 1)?.slice_set(prefix_keys, 2, 0)?;
                values.narrow(0, lane, 1)?.slice_set(prefix_values, 2, 0)?;
            }
        }
        Ok(())
    }
}

impl Lane {
    /// One more slot holds a cell.
    fn hold(&mut self, cell: u32) {
        self.uses[cell as usize] += 1;
    }

    /// One slot less does.
    fn release(&mut self, cell: u32) {
        self.uses[cell as usize] -= 1;
        if self.uses[cell as usize] == 0 {
            self.lowest = self.lowest.min(cell as usize);
        }
    }

    /// The first cell that is free, which is held from now on.
    fn take(&mut self) -> u32 {
        let free = self.uses[self.lowest..].iter().position(|uses| *uses == 0);
        self.lowest = free.map_or(self.uses.len(), |free| self.lowest + free);
        if self.lowest == self.uses.len() {
            self.uses.push(0);
        }
        self.uses[self.lowest] = 1;
        self.lowest += 1;
        self.lowest as u32 - 1
    }
}

impl KvCache {
    /// No sequence yet; blocks will have `lanes` lanes, or fewer where there are fewer sequences in `expected`
    /// slots.
    pub fn new(lanes: usize, expected: usize) -> KvCache {
        let (blocks, slots, replaced) = (Vec::new(), Vec::new(), Vec::new());
        let lanes = lanes.min(expected).max(1);
        KvCache { lanes, expected, slots_of_one: 1, blocks, slots, replaced }
    }

    /// A step begins. Where the last one failed for want of memory, what its forks did is undone.
    pub fn begin_step(&mut self, last_failed: bool) {
        if last_failed {
            // Fewer at a time need fewer lanes.
            self.expected = (self.expected / 2).max(self.slots_of_one);
        }
        while let Some((slot, before)) = self.replaced.pop() {
            match last_failed {
                true => {
                    let forked = std::mem::replace(&mut self.slots[slot], before);
                    self.release(forked);
                }
                false => self.release(before),
            }
        }
    }

    /// A sequence of at most `positions` begins in `slot`, with those of `prefix`, and room for the
    /// texts of its beam; what was there has ended.
    pub fn open(
        &mut self,
        slot: usize,
        positions: usize,
        beside: Beside,
        prefix: Option<&Block>,
        config: &Config,
        device: &Device,
    ) -> Result<()> {
        self.close(slot);
        let capacity = lane_capacity(self.lanes, positions, beside.positions);
        let free = self.blocks.iter().enumerate().filter_map(|(block, of_block)| {
            let of_block = of_block.as_ref().filter(|block| block.capacity >= capacity)?;
            let lane = of_block.lanes.iter().position(|lane| lane.slots == 0)?;
            Some((of_block.capacity, Place { block, lane }))
        });
        let free = free.min_by_key(|(capacity, _)| *capacity).map(|(_, place)| place);
        let place = match free {
            Some(place) => place,
            None => {
                // As many lanes in all as there are sequences at a time. One more, where some have fewer slots than
                // others, gets a block of its own.
                self.slots_of_one = self.slots_of_one.max(1 + beside.slots);
                let there: usize = self.blocks.iter().flatten().map(Block::lanes).sum();
                let left = self.expected.div_ceil(self.slots_of_one).saturating_sub(there);
                let few = if positions > BLOCK_CAPACITY { LANES_OF_LONG } else { self.lanes };
                let lanes = self.lanes.min(left).min(few).max(1);
                let block = Block::that_fits(config, lanes, capacity, device)?;
                let gap = self.blocks.iter().position(Option::is_none);
                let at = gap.unwrap_or_else(|| {
                    self.blocks.push(None);
                    self.blocks.len() - 1
                });
                self.blocks[at] = Some(block);
                Place { block: at, lane: 0 }
            }
        };
        self.make_room(slot);
        let Some(block) = &mut self.blocks[place.block] else { return Ok(()) };
        let of_prefix = prefix.map_or(0, |prefix| prefix.capacity);
        block.lanes[place.lane] = Lane { slots: 1, uses: vec![1; of_prefix], lowest: of_prefix };
        self.slots[slot] = Some(Held { place, cells: (0..of_prefix as u32).collect() });
        block.begin(place.lane, prefix)
    }

    /// `fork.to` holds what stands first in `fork.from` from now on.
    pub fn fork(&mut self, fork: &Fork) {
        self.make_room(fork.to);
        let Some(Held { place, cells }) = &self.slots[fork.from] else { return };
        let (place, cells) = (*place, cells[..fork.positions].to_vec());
        if let Some(block) = &mut self.blocks[place.block] {
            let lane = &mut block.lanes[place.lane];
            lane.slots += 1;
            cells.iter().for_each(|cell| lane.hold(*cell));
        }
        let before = self.slots[fork.to].replace(Held { place, cells });
        self.replaced.push((fork.to, before));
    }

    /// Room for `rows` positions of `slot` from `start` on; what stood there is gone.
    pub fn extend(&mut self, slot: usize, start: usize, rows: usize) {
        let Some(Held { place, cells }) = &mut self.slots[slot] else { return };
        let Some(block) = &mut self.blocks[place.block] else { return };
        let lane = &mut block.lanes[place.lane];
        // There is something only where a step failed.
        cells.drain(start..).for_each(|cell| lane.release(cell));
        cells.extend((0..rows).map(|_| lane.take()));
        assert!(lane.uses.len() <= block.capacity, "a lane has room for what is reserved");
    }

    /// What `slot` held has ended; a block without sequences is given back.
    pub fn close(&mut self, slot: usize) {
        let held = self.slots.get_mut(slot).and_then(Option::take);
        self.release(held);
    }

    fn release(&mut self, held: Option<Held>) {
        let Some(Held { place, cells }) = held else { return };
        let block = &mut self.blocks[place.block];
        if let Some(of_block) = block {
            let lane = &mut of_block.lanes[place.lane];
            cells.iter().for_each(|cell| lane.release(*cell));
            lane.slots -= 1;
            if of_block.lanes.iter().all(|lane| lane.slots == 0) {
                *block = None;
            }
        }
    }

    fn make_room(&mut self, slot: usize) {
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
    }

    /// Where `slot` lives, and the cells of its positions.
    ///
    /// # Panics
    /// Where nothing lives there.
    pub fn held(&self, slot: usize) -> (Place, &[u32]) {
        let held = self.slots[slot].as_ref().expect("a span's slot is open");
        (held.place, &held.cells)
    }

    /// A block in which sequences live.
    ///
    /// # Panics
    /// Where none does.
    pub fn block(&self, block: usize) -> &Block {
        self.blocks[block].as_ref().expect("a sequence's block is there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, RopePairing};

    /// Of a model without layers, whose blocks hold nothing.
    fn config() -> Config {
        Config {
            architecture: String::new(),
            hidden: 32,
            ffn_hidden: 32,
            heads: 1,
            kv_heads: 1,
            head_dim: 32,
            context_length: 4096,
            context_unlimited: None,
            norm_eps: 1e-6,
            activation: Activation::Silu,
            rope_pairing: RopePairing::Halves,
            qk_norm: false,
            qkv_bias: false,
            optional_bias: false,
            optional_rope_factors: false,
            post_norms: false,
            embedding_scale: 1.0,
            query_scale_width: 32,
            layers: Vec::new(),
        }
    }

    /// Opens a sequence in each of `slots`, all with beams that take `beside`; the lanes of all blocks.
    fn lanes_of(cache: &mut KvCache, slots: &[usize], beside: Beside) -> Vec<usize> {
        for &slot in slots {
            cache.open(slot, 900, beside, None, &config(), &Device::Cpu).unwrap();
        }
        cache.blocks.iter().flatten().map(Block::lanes).collect()
    }

    #[test]
    fn there_are_as_many_lanes_as_sequences_and_one_more_has_its_own() {
        let four = Beside { slots: 4, positions: 1600 };
        let mut cache = KvCache::new(32, 50);
        let own: Vec<usize> = (0..10).map(|sequence| sequence * 5).collect();
        assert_eq!(lanes_of(&mut cache, &own, four), [10]);
        // Second tries have one slot, so that there is room for more of them.
        cache.close(0);
        cache.close(5);
        assert_eq!(lanes_of(&mut cache, &[0, 1], Beside::default()), [10]);
        assert_eq!(lanes_of(&mut cache, &[5], four), [10, 1]);
        cache.close(5);
        assert_eq!(lanes_of(&mut cache, &[], four), [10]);
        assert_eq!(lanes_of(&mut KvCache::new(32, 70), &own, four), [14]);
        let many: Vec<usize> = (0..64).collect();
        assert_eq!(lanes_of(&mut KvCache::new(32, 64), &many, Beside::default()), [32, 32]);
    }
}
