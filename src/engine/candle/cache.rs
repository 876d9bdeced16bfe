//! Keys and values of the sequences in flight, in blocks that several of them share.
//!
//! A block has lanes, one for each of its sequences, all of one capacity, so that those that have
//! one row in a step can attend in one operation. Blocks have room for the papers that there are:
//! if each had its own capacity, there would be a block for every length, and most of its lanes
//! empty. Longer sequences are few, and live in longer blocks of few lanes. A lane holds zeros behind
//! what its own sequence has written: nothing of the sequence that had it before.

use candle_core::{DType, Device, Result, Tensor};

use super::device::is_out_of_memory;
use crate::model::Config;

/// Positions of a lane where blocks are shared: the longest abstract that arXiv takes, with
/// formulas, what is told beside it, and an answer at its bounds.
pub const BLOCK_CAPACITY: usize = 1536;
/// Sequences that need more have blocks whose capacities are multiples of this.
pub const CAPACITY_STEP: usize = 512;
/// How many of them share a block.
const LANES_OF_LONG: usize = 4;

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
    taken: Vec<bool>,
}

/// All blocks, and the places of all slots.
pub struct KvCache {
    lanes: usize,
    blocks: Vec<Option<Block>>,
    places: Vec<Option<Place>>,
}

impl Block {
    /// Room for `lanes` sequences of `capacity` positions.
    pub fn new(config: &Config, lanes: usize, capacity: usize, device: &Device) -> Result<Block> {
        let shape = (lanes, config.kv_heads, capacity, config.head_dim);
        let zeros = || Tensor::zeros(shape, DType::F32, device);
        let layers = config.layers.iter().map(|_| Ok((zeros()?, zeros()?)));
        let layers = layers.collect::<Result<_>>()?;
        Ok(Block { layers, capacity, taken: vec![false; lanes] })
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
        self.taken.len()
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

impl KvCache {
    /// No sequence yet; blocks will have `lanes` lanes.
    pub fn new(lanes: usize) -> KvCache {
        KvCache { lanes: lanes.max(1), blocks: Vec::new(), places: Vec::new() }
    }

    /// A sequence of at most `capacity` positions begins in `slot`, with those of `prefix`; the one
    /// that was there has ended.
    pub fn open(
        &mut self,
        slot: usize,
        capacity: usize,
        prefix: Option<&Block>,
        config: &Config,
        device: &Device,
    ) -> Result<()> {
        self.close(slot);
        let capacity = match self.lanes {
            1 => capacity,
            _ => capacity.next_multiple_of(CAPACITY_STEP).max(BLOCK_CAPACITY),
        };
        let free = self.blocks.iter().enumerate().filter_map(|(block, of_block)| {
            let of_block = of_block.as_ref().filter(|block| block.capacity >= capacity)?;
            let lane = of_block.taken.iter().position(|taken| !taken)?;
            Some((of_block.capacity, Place { block, lane }))
        });
        let free = free.min_by_key(|(capacity, _)| *capacity).map(|(_, place)| place);
        let place = match free {
            Some(place) => place,
            None => {
                let few = if capacity > BLOCK_CAPACITY { LANES_OF_LONG } else { self.lanes };
                let block = Block::that_fits(config, self.lanes.min(few), capacity, device)?;
                let gap = self.blocks.iter().position(Option::is_none);
                let at = gap.unwrap_or_else(|| {
                    self.blocks.push(None);
                    self.blocks.len() - 1
                });
                self.blocks[at] = Some(block);
                Place { block: at, lane: 0 }
            }
        };
        if self.places.len() <= slot {
            self.places.resize(slot + 1, None);
        }
        let Some(block) = &mut self.blocks[place.block] else { return Ok(()) };
        block.taken[place.lane] = true;
        self.places[slot] = Some(place);
        block.begin(place.lane, prefix)
    }

    /// The sequence of `slot` has ended; a block without sequences is given back.
    pub fn close(&mut self, slot: usize) {
        let Some(place) = self.places.get_mut(slot).and_then(Option::take) else { return };
        let block = &mut self.blocks[place.block];
        if let Some(of_block) = block {
            of_block.taken[place.lane] = false;
            if !of_block.taken.contains(&true) {
                *block = None;
            }
        }
    }

    /// Where the sequence of `slot` lives.
    ///
    /// # Panics
    /// Where none lives there.
    pub fn place(&self, slot: usize) -> Place {
        self.places[slot].expect("a span's slot is open")
    }

    /// A block in which sequences live.
    ///
    /// # Panics
    /// Where none does.
    pub fn block(&self, block: usize) -> &Block {
        self.blocks[block].as_ref().expect("a sequence's block is there")
    }
}
