//! From the product of a layer's first matrix to queries, keys and values: bias, norm over each
//! head, rotation to the row's position; keys and values go into their pages.
//!
//! A row is read and written once.

use std::ops::Range;

use super::norm::{Norm, norm_scale};
use crate::kernels::attention::writer::PageWriter;
use crate::kernels::lanes::{LANES, Lanes, both, load_block, sum_of_squares};
use crate::kernels::{BLOCK, Tiled};

/// Most dimensions of a head.
pub const MAX_HEAD_DIM: usize = 512;

/// Which dimensions of a head the rotary embedding turns together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopePairing {
    /// i and i + head_dim / 2, as GPT-NeoX has it.
    Halves,
    /// 2 i and 2 i + 1; GGUF files of the Llama family store their rows in this order.
    Adjacent,
}

/// What is done to the heads of one projection.
#[derive(Debug, Clone, Copy)]
pub struct Heads<'a> {
    /// Where its columns begin in the product.
    pub first_column: usize,
    /// How many heads there are.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Added before anything else (heads · head_dim).
    pub bias: Option<&'a [f32]>,
    /// Norm over each head.
    pub norm: Option<Norm<'a>>,
    /// Rotation of each head, if any.
    pub rope: Option<Rope<'a>>,
    /// Factor on the result.
    pub scale: f32,
}

/// Cosines and sines by position, (positions, head_dim / 2) each.
#[derive(Debug, Clone, Copy)]
pub struct Rope<'a> {
    /// Cosines.
    pub cos: &'a [f32],
    /// Sines.
    pub sin: &'a [f32],
    /// Which dimensions are rotated together.
    pub pairing: RopePairing,
}

/// The heads of all projections.
#[derive(Debug, Clone, Copy)]
pub struct Projections<'a> {
    /// Of queries.
    pub query: Heads<'a>,
    /// Of keys.
    pub key: Heads<'a>,
    /// Of values.
    pub value: Heads<'a>,
}

/// Some rows of [`super::take_heads`], whose `queries` are theirs alone.
pub(in crate::kernels) struct TakeHeads<'a> {
    pub rows: Range<usize>,
    pub product: &'a Tiled,
    pub positions: &'a [usize],
    pub projections: &'a Projections<'a>,
    pub queries: &'a mut [f32],
    pub writer: &'a PageWriter<'a>,
}

impl TakeHeads<'_> {
    /// Computes them. Inlined into functions that enable an instruction set.
    ///
    /// # Safety
    /// Each row is in one call.
    #[inline(always)]
    pub unsafe fn run<L: Lanes>(self, lanes: L) {
        let TakeHeads { rows, product, positions, projections, queries, writer } = self;
        let Projections { query, key, value } = projections;
        let (mut one_key, mut one_value) = ([0.0; MAX_HEAD_DIM], [0.0; MAX_HEAD_DIM]);
        let (one_key, one_value) = (&mut one_key[..key.head_dim], &mut one_value[..key.head_dim]);
        for (row, queries) in rows.zip(queries.chunks_exact_mut(query.width())) {
            let position = positions[row];
            for (head, out) in queries.chunks_exact_mut(query.head_dim).enumerate() {
                query.take(lanes, product, row, position, head, out);
            }
            for head in 0..key.heads {
                key.take(lanes, product, row, position, head, one_key);
                value.take(lanes, product, row, position, head, one_value);
                // SAFETY: as the caller promises.
                unsafe { writer.write(lanes, row, head, one_key, one_value) };
            }
        }
    }
}

impl Heads<'_> {
    pub(super) fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// One head of a row.
    #[inline(always)]
    fn take<L: Lanes>(
        &self,
        lanes: L,
        product: &Tiled,
        row: usize,
        position: usize,
        head: usize,
        out: &mut [f32],
    ) {
        let first_tile = (self.first_column + head * self.head_dim) / BLOCK;
        for (tile, out) in out.chunks_exact_mut(BLOCK).enumerate() {
            out.copy_from_slice(product.segment(row, first_tile + tile));
        }
        if let Some(bias) = self.bias {
            let bias = &bias[head * self.head_dim..][..self.head_dim];
            out.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
        }
        if let Some(norm) = self.norm {
            let squares = sum_of_squares(lanes, out.chunks_exact(BLOCK));
            let scale = lanes.splat(norm_scale(squares, self.head_dim, norm.eps));
            for (out, weight) in out.chunks_exact_mut(BLOCK).zip(norm.weight.chunks_exact(BLOCK)) {
                let (x, weight) = (load_block(lanes, out), load_block(lanes, weight));
                let normed = both!(i => lanes.mul(lanes.mul(x[i], scale), weight[i]));
                let out = out.as_chunks_mut::<LANES>().0;
                lanes.store(normed[0], &mut out[0]);
                lanes.store(normed[1], &mut out[1]);
            }
        }
        if let Some(rope) = self.rope {
            rope.rotate(lanes, position, out);
        }
        if self.scale != 1.0 {
            out.iter_mut().for_each(|x| *x *= self.scale);
        }
    }
}

impl Rope<'_> {
    /// Rotates a head to a position.
    #[inline(always)]
    fn rotate<L: Lanes>(&self, lanes: L, position: usize, head: &mut [f32]) {
        let half = head.len() / 2;
        let cos = &self.cos[position * half..(position + 1) * half];
        let sin = &self.sin[position * half..(position + 1) * half];
        match self.pairing {
            RopePairing::Halves => {
                let (low, high) = head.split_at_mut(half);
                let heads = low.as_chunks_mut::<LANES>().0.iter_mut().zip(high.as_chunks_mut().0);
                let angles = cos.as_chunks::<LANES>().0.iter().zip(sin.as_chunks::<LANES>().0);
                for ((low, high), (cos, sin)) in heads.zip(angles) {
                    let (a, b) = (lanes.load(low), lanes.load(high));
                    let (cos, sin) = (lanes.load(cos), lanes.load(sin));
                    lanes.store(lanes.sub(lanes.mul(a, cos), lanes.mul(b, sin)), low);
                    lanes.store(lanes.add(lanes.mul(a, sin), lanes.mul(b, cos)), high);
                }
            }
            RopePairing::Adjacent => {
                for (pair, (cos, sin)) in
                    head.as_chunks_mut::<2>().0.iter_mut().zip(cos.iter().zip(sin))
                {
                    let [a, b] = *pair;
                    *pair = [a * cos - b * sin, a * sin + b * cos];
                }
            }
        }
    }
}
