//! Layers of a model's shape with made-up weights.

use std::sync::Arc;

use crate::engine::cpu::int14_share;
use crate::kernels::attention::{
    AttentionScratch, PageId, PageShape, PageShare, Queries, Query, attend,
};
use crate::kernels::blocks::BlockType;
use crate::kernels::gemm::{self, GateUp, Scratch};
use crate::kernels::packed::Packed;
use crate::kernels::rows::{self, Heads, Norm, Projections, Rope, RopePairing};
use crate::kernels::{BLOCK, Executor, Isa, Precision, Quantized, Tiled};
use crate::model::{Config, Shape};

const EPS: f32 = 1e-6;

/// Layers, and the head.
pub(super) struct Layers {
    config: Config,
    layers: Vec<Layer>,
    head: Packed,
    norm: Vec<f32>,
    /// Cosines, and sines, of the rotary embedding: what they are does not change how long it takes.
    turns: Vec<f32>,
    precision: [Arc<Precision>; 4],
}

#[derive(Clone)]
struct Layer {
    qkv: Packed,
    output: Packed,
    gate_up: GateUp,
    down: Packed,
}

/// Threads that go through the layers together, with buffers of their own.
pub(super) struct Lane {
    exec: Executor,
    hidden: Vec<f32>,
    input: Quantized,
    product: Tiled,
    gated: Quantized,
    queries: Vec<f32>,
    attended: Vec<f32>,
    gemm: Scratch,
    attention: AttentionScratch,
}

impl Layers {
    /// Bytes of one layer's weights.
    pub(super) fn bytes_of_one(shape: &Shape) -> usize {
        let weights: usize =
            matrices(&shape.config).iter().map(|[rows, columns]| rows * columns).sum();
        weights + weights / 8
    }

    /// `copies` layers, and a head for `scored` tokens; sequences have at most `longest` positions.
    pub(super) fn new(
        shape: &Shape,
        scored: usize,
        copies: usize,
        longest: usize,
        exec: &mut Executor,
    ) -> Layers {
        let config = shape.config.clone();
        let kind = if shape.minimums { BlockType::Q4_1 } else { BlockType::Q8_0 };
        // Merged weights have a scale for two blocks, those of a file for one.
        let most = if shape.equalised && !shape.minimums { 2 } else { 1 };
        let group_of = |inputs: usize| if inputs.is_multiple_of(most * BLOCK) { most } else { 1 };
        let [qkv, output, gate, up, down] = matrices(&config)
            .map(|[outputs, inputs]| made_up(exec, kind, group_of(inputs), outputs, inputs));
        let activation = config.activation;
        let layer = Layer { qkv, output, gate_up: GateUp { gate, up, activation }, down };
        let head = made_up(exec, BlockType::Q8_0, 1, scored, config.hidden);
        let share = int14_share(shape.equalised, config.hidden);
        // Every so many groups one of 14 bits, as many as the engine gives on average.
        let mixed = |width: usize| {
            let of = |group: usize| (group as f64 * share) as usize;
            let is_int14 = |group: usize| of(group + 1) > of(group);
            Arc::new(Precision::grouped(width, group_of(width), is_int14))
        };
        let widths = [config.hidden, config.heads * config.head_dim, config.ffn_hidden];
        let [hidden, attended, ffn] = widths.map(mixed);
        Layers {
            layers: vec![layer; copies],
            head,
            norm: vec![1.0; config.hidden.max(config.head_dim)],
            turns: vec![0.7; longest * config.head_dim / 2],
            precision: [hidden, attended, ffn, Arc::new(Precision::int14(config.hidden))],
            config,
        }
    }

    /// Pages for all of them.
    pub(super) fn page_shape(&self) -> PageShape {
        let Config { kv_heads, head_dim, .. } = self.config;
        PageShape { layers: self.layers.len(), kv_heads, head_dim }
    }

    /// How far back layers see that see everything, and the others.
    pub(super) fn windows(&self) -> [Option<usize>; 2] {
        [None, self.config.layers.iter().find_map(|layer| layer.window)]
    }

    /// Threads with buffers for `rows` rows.
    pub(super) fn lane(&self, isa: Isa, threads: usize, rows: usize) -> Lane {
        let Config { hidden, heads, head_dim, .. } = self.config;
        let hidden = (0..rows * hidden).map(|at| ((at % 37) as f32) * 0.1 - 1.8).collect();
        let attended = vec![0.0; rows * heads * head_dim];
        Lane {
            exec: Executor::new(isa, threads),
            hidden,
            input: Quantized::default(),
            product: Tiled::default(),
            gated: Quantized::default(),
            queries: attended.clone(),
            attended,
            gemm: Scratch::default(),
            attention: AttentionScratch::default(),
        }
    }

    /// Takes the rows at `positions` through all layers; `attended_to` tells, for a layer with a
    /// window or one without, what each row attends to.
    pub(super) fn forward<'a>(
        &self,
        lane: &mut Lane,
        kv: &mut PageShare<'_>,
        positions: &[usize],
        attended_to: &dyn Fn(bool) -> (&'a [Query], &'a [PageId]),
    ) {
        let [hidden, attended, ffn, _] = &self.precision;
        let norm = Norm { weight: &self.norm[..self.config.hidden], eps: EPS };
        let post = self.config.post_norms.then_some(norm);
        let Lane { exec, input, product, gated, queries, gemm: scratch, attention, .. } = lane;
        for (index, layer) in self.layers.iter().enumerate() {
            let update = (index > 0).then_some((&*product, post));
            rows::add_and_norm(exec, &mut lane.hidden, update, Some((norm, hidden, input)));
            gemm::gemm(exec, input, &layer.qkv, product);
            rows::take_heads(exec, product, positions, &self.projections(), queries, kv, index);
            let kind = self.config.layers[index % self.config.layers.len()];
            let (rows, tables) = attended_to(kind.window.is_some());
            let to = Queries { rows, tables };
            attend(exec, kv, index, to, queries, attention, &mut lane.attended);
            rows::quantize(exec, &lane.attended, attended, input);
            gemm::gemm(exec, input, &layer.output, product);
            let update = Some((&*product, post));
            rows::add_and_norm(exec, &mut lane.hidden, update, Some((norm, hidden, input)));
            gemm::gate_up(exec, input, &layer.gate_up, scratch, ffn, gated);
            gemm::gemm(exec, gated, &layer.down, product);
        }
    }

    /// Finds the best token of each of `rows` rows.
    pub(super) fn score(&self, exec: &mut Executor, rows: usize) {
        let [.., int14] = &self.precision;
        let mut hidden: Vec<f32> = vec![0.5; rows * self.config.hidden];
        let norm = Norm { weight: &self.norm[..self.config.hidden], eps: EPS };
        let (mut input, mut best) = (Quantized::default(), vec![(0.0, 0); rows]);
        rows::add_and_norm(exec, &mut hidden, None, Some((norm, int14, &mut input)));
        gemm::argmax(exec, &input, &self.head, &mut Scratch::default(), &mut best);
    }

    fn projections(&self) -> Projections<'_> {
        let Config { heads, kv_heads, head_dim, .. } = self.config;
        let rope = Rope { cos: &self.turns, sin: &self.turns, pairing: RopePairing::Halves };
        let norm = Norm { weight: &self.norm[..head_dim], eps: EPS };
        let query = Heads {
            first_column: 0,
            heads,
            head_dim,
            bias: None,
            norm: self.config.qk_norm.then_some(norm),
            rope: Some(rope),
            scale: self.config.attention_scale(),
        };
        let key = Heads { first_column: heads * head_dim, heads: kv_heads, scale: 1.0, ..query };
        let first_column = (heads + kv_heads) * head_dim;
        let value = Heads { first_column, norm: None, rope: None, ..key };
        Projections { query, key, value }
    }
}

/// Outputs and inputs of a layer's products: queries, keys and values; output; gate; up; down.
fn matrices(config: &Config) -> [[usize; 2]; 5] {
    let Config { hidden, ffn_hidden, heads, kv_heads, head_dim, .. } = *config;
    let attended = heads * head_dim;
    [
        [attended + 2 * kv_heads * head_dim, hidden],
        [hidden, attended],
        [ffn_hidden, hidden],
        [ffn_hidden, hidden],
        [hidden, ffn_hidden],
    ]
}

/// Weights that are no model's: small numbers of either sign, all with one scale.
fn made_up(
    exec: &mut Executor,
    kind: BlockType,
    group: usize,
    outputs: usize,
    inputs: usize,
) -> Packed {
    /// 0.01 as an f16, little-endian.
    const SCALE: [u8; 2] = [0x1f, 0x21];
    let block = kind.block_bytes();
    let mut bytes: Vec<u8> = vec![0; kind.bytes_of(outputs * inputs)];
    for (at, bytes) in bytes.chunks_exact_mut(block).enumerate() {
        for (offset, byte) in bytes.iter_mut().enumerate() {
            *byte = ((at * BLOCK + offset) * 37 % 251) as u8;
        }
        bytes[..2].copy_from_slice(&SCALE);
        if kind == BlockType::Q4_1 {
            bytes[2..4].copy_from_slice(&SCALE);
        }
    }
    Packed::from_groups(exec, kind, group, &bytes, outputs, inputs)
}
