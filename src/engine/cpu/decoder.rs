//! The decoder's weights, packed for the kernels, and the phases of a layer.

use std::sync::Arc;

use super::calibration::{Calibration, LayerPrecision, Site, Weights, int14_share};
use super::matrix::{pack, unfit};
use super::plan::Costs;
use super::profile::Phase;
use super::rows::{PartQueries, PartRows};
use super::team::Team;
use super::vocabulary::Rowwise;
use crate::Result;
use crate::generate::TokenId;
use crate::kernels::attention::{self, MAX_GROUP, PageShare};
use crate::kernels::gemm::{self, GateUp};
use crate::kernels::packed::Packed;
use crate::kernels::rows::{self, Heads, MAX_HEAD_DIM, Norm, Projections, Rope};
use crate::kernels::{BLOCK, Executor, Precision};
use crate::model::{Config, LayerKind, LayerWeights, Model, Rotary};

/// All layers, the embedding, and tables of the rotary embedding.
pub struct Decoder {
    config: Config,
    embedding: Rowwise,
    layers: Vec<Layer>,
    output_norm: Vec<f32>,
    ropes: Vec<RopeTable>,
}

/// Cosines and sines for one rotary embedding, (positions, head_dim / 2).
struct RopeTable {
    rotary: Rotary,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

/// One block, packed.
struct Layer {
    kind: LayerKind,
    eps: f32,
    attn_norm: Vec<f32>,
    /// Queries, keys and values side by side.
    qkv: Packed,
    qkv_bias: Option<[Vec<f32>; 3]>,
    qk_norm: Option<[Vec<f32>; 2]>,
    output: Packed,
    output_bias: Option<Vec<f32>>,
    post_attention_norm: Option<Vec<f32>>,
    ffn_norm: Vec<f32>,
    gate_up: GateUp,
    down: Packed,
    post_ffn_norm: Option<Vec<f32>>,
    precision: LayerPrecision,
}

impl Decoder {
    /// Packs the weights of `model`; positions stay below `max_context`.
    pub fn new(model: &Model, max_context: usize, exec: &mut Executor) -> Result<Decoder> {
        let (config, weights) = (model.config(), model.weights());
        check_shape(config)?;
        let factors = weights.rope_factors.as_deref();
        let table = |rotary| {
            let [cos, sin] = config.rotations(rotary, factors, max_context);
            RopeTable { rotary, cos, sin }
        };
        let ropes = config.rotaries().into_iter().map(table);
        let layers = config.layers.iter().zip(&weights.layers);
        Ok(Decoder {
            embedding: Rowwise::new(model, &weights.token_embedding)?,
            layers: layers
                .map(|(kind, layer)| Layer::new(config, *kind, layer, exec))
                .collect::<Result<_>>()?,
            output_norm: weights.output_norm.clone(),
            ropes: ropes.collect(),
            config: config.clone(),
        })
    }

    /// Uses the precision that follows from `calibration`.
    pub fn set_precision(&mut self, calibration: &Calibration, equalised: bool) {
        let weights: Vec<[Weights; 4]> = self.layers.iter().map(Layer::weights).collect();
        let share = int14_share(equalised, self.config.hidden);
        let precision = calibration.precision(&weights, share);
        for (layer, precision) in self.layers.iter_mut().zip(precision) {
            layer.precision = precision;
        }
    }

    /// Takes the rows of a part of a step through all layers; leaves the residual stream of those that
    /// are wanted in `team.work.hidden`. Of the others nothing is read behind the last layer's keys
    /// and values, so they end there: for most rows of a prompt.
    ///
    /// # Errors
    /// Where the embedding's file cannot be read.
    pub fn forward(
        &self,
        team: &mut Team,
        kv: &mut PageShare<'_>,
        rows: &PartRows<'_>,
    ) -> Result<()> {
        team.clock.start();
        self.embed(team, rows.tokens)?;
        let mut update: Option<&Layer> = None;
        for (index, layer) in self.layers.iter().enumerate() {
            let before = update.map(|layer| layer.norm_of(&layer.post_ffn_norm));
            team.add_and_norm(before, Some(layer.norm_for(&layer.attn_norm, Site::Qkv)));
            layer.project(team, self, index, kv, rows);
            let mut queries = rows.all;
            if index + 1 == self.layers.len() && rows.wanted_rows.len() < rows.tokens.len() {
                queries = rows.wanted;
                team.work.keep_rows(rows.wanted_rows, rows.tokens.len());
                if rows.wanted_rows.is_empty() {
                    return Ok(());
                }
            }
            layer.attention(team, index, kv, queries);
            layer.add_output_bias(&mut team.work.hidden);
            let before = Some(layer.norm_of(&layer.post_attention_norm));
            team.add_and_norm(before, Some(layer.norm_for(&layer.ffn_norm, Site::GateUp)));
            layer.feed_forward(team, index);
            update = Some(layer);
        }
        team.add_and_norm(update.map(|layer| layer.norm_of(&layer.post_ffn_norm)), None);
        Ok(())
    }

    /// How many layers there are.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Width of the residual stream.
    pub fn hidden(&self) -> usize {
        self.config.hidden
    }

    /// The norm before the head.
    pub fn output_norm(&self) -> Norm<'_> {
        Norm { weight: &self.output_norm, eps: self.config.norm_eps }
    }

    /// What the rows of a step cost.
    pub fn costs(&self) -> Costs {
        Costs::of_decoder(&self.config)
    }

    /// The window of the layers that have one.
    pub fn window(&self) -> Option<usize> {
        self.config.layers.iter().find_map(|layer| layer.window)
    }

    /// Fills the residual stream with the scaled embeddings of `tokens`.
    fn embed(&self, team: &mut Team, tokens: &[TokenId]) -> Result<()> {
        let width = self.config.hidden;
        let (hidden, bytes) = (&mut team.work.hidden, &mut team.work.bytes);
        hidden.resize(tokens.len() * width, 0.0);
        for (row, &token) in hidden.chunks_exact_mut(width).zip(tokens) {
            self.embedding.read(token, bytes, row)?;
            row.iter_mut().for_each(|x| *x *= self.config.embedding_scale);
        }
        Ok(())
    }

    fn rope(&self, rotary: Rotary) -> Rope<'_> {
        let table = self.ropes.iter().find(|table| table.rotary == rotary);
        let table = table.expect("a table for every layer");
        Rope { cos: &table.cos, sin: &table.sin, pairing: self.config.rope_pairing }
    }
}

impl Layer {
    fn new(
        config: &Config,
        kind: LayerKind,
        weights: &LayerWeights,
        exec: &mut Executor,
    ) -> Result<Layer> {
        let [mut qkv, k, v] = pack([&weights.attn_q, &weights.attn_k, &weights.attn_v], exec)?;
        qkv.append(k);
        qkv.append(v);
        let [output] = pack([&weights.attn_output], exec)?;
        let [gate, up] = pack([&weights.ffn_gate, &weights.ffn_up], exec)?;
        let [down] = pack([&weights.ffn_down], exec)?;
        Ok(Layer {
            kind,
            eps: config.norm_eps,
            attn_norm: weights.attn_norm.clone(),
            qkv_bias: weights.qkv_bias.clone(),
            qk_norm: weights.qk_norm.clone(),
            precision: LayerPrecision::int8([&qkv, &output, &gate, &down]),
            output,
            qkv,
            output_bias: weights.attn_output_bias.clone(),
            post_attention_norm: weights.post_attention_norm.clone(),
            ffn_norm: weights.ffn_norm.clone(),
            gate_up: GateUp { gate, up, activation: config.activation },
            down,
            post_ffn_norm: weights.post_ffn_norm.clone(),
        })
    }

    /// What the inputs of each site are multiplied with.
    fn weights(&self) -> [Weights; 4] {
        let gate_up = [&self.gate_up.gate, &self.gate_up.up];
        [&[&self.qkv][..], &[&self.output], &gate_up, &[&self.down]].map(Weights::of)
    }

    fn norm<'a>(&self, weight: &'a [f32]) -> Norm<'a> {
        Norm { weight, eps: self.eps }
    }

    /// A norm that only some models have.
    fn norm_of<'a>(&self, weight: &'a Option<Vec<f32>>) -> Option<Norm<'a>> {
        weight.as_ref().map(|weight| self.norm(weight))
    }

    /// The norm before a site, and how its result is rounded.
    fn norm_for<'a>(&'a self, weight: &'a [f32], site: Site) -> (Norm<'a>, &'a Arc<Precision>) {
        (self.norm(weight), self.precision.at(site))
    }

    /// From `work.input` (normed) to `work.queries`: projections, rotation, storing.
    fn project(
        &self,
        team: &mut Team,
        decoder: &Decoder,
        index: usize,
        kv: &mut PageShare<'_>,
        rows: &PartRows<'_>,
    ) {
        let Team { exec, work, clock, .. } = team;
        work.observe(index, Site::Qkv);
        gemm::gemm(exec, &work.input, &self.qkv, &mut work.product);
        clock.lap(Phase::Qkv);

        let projections = self.projections(decoder);
        let attended = rows.positions.len() * decoder.config.heads * decoder.config.head_dim;
        let (product, queries) = (&work.product, &mut work.queries);
        queries.resize(attended, 0.0);
        rows::take_heads(exec, product, rows.positions, &projections, queries, kv, index);
        clock.lap(Phase::Rope);
    }

    /// From `work.queries` to `work.product`: attention, output projection.
    fn attention(
        &self,
        team: &mut Team,
        index: usize,
        kv: &mut PageShare<'_>,
        queries: PartQueries<'_>,
    ) {
        let Team { exec, work, clock, .. } = team;
        work.attended.resize(work.queries.len(), 0.0);
        let queries = if self.kind.window.is_some() { queries.sliding } else { queries.global };
        let (scratch, out) = (&mut work.attention, &mut work.attended);
        attention::attend(exec, kv, index, queries, &work.queries, scratch, out);
        clock.lap(Phase::Attention);
        rows::quantize(exec, &work.attended, self.precision.at(Site::Output), &mut work.input);
        work.observe(index, Site::Output);
        gemm::gemm(exec, &work.input, &self.output, &mut work.product);
        clock.lap(Phase::Output);
    }

    /// Adds the bias of the output projection, where there is one, to the residual stream. Models that
    /// have it have no norm between the two.
    fn add_output_bias(&self, hidden: &mut [f32]) {
        let Some(bias) = &self.output_bias else { return };
        for row in hidden.chunks_exact_mut(bias.len()) {
            row.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
        }
    }

    /// Queries, keys and values as they lie in the product of `qkv`.
    fn projections<'a>(&'a self, decoder: &'a Decoder) -> Projections<'a> {
        let Config { heads, kv_heads, head_dim, .. } = decoder.config;
        let rope = Some(decoder.rope(self.kind.rotary));
        let bias = |which: usize| self.qkv_bias.as_ref().map(|biases| &biases[which][..]);
        let norm = |which: usize| self.qk_norm.as_ref().map(|norms| self.norm(&norms[which]));
        let query = Heads {
            first_column: 0,
            heads,
            head_dim,
            bias: bias(0),
            norm: norm(0),
            rope,
            scale: decoder.config.attention_scale(),
        };
        let key = Heads {
            first_column: heads * head_dim,
            heads: kv_heads,
            bias: bias(1),
            norm: norm(1),
            scale: 1.0,
            ..query
        };
        let value = Heads {
            first_column: (heads + kv_heads) * head_dim,
            bias: bias(2),
            norm: None,
            rope: None,
            ..key
        };
        Projections { query, key, value }
    }

    /// From `work.input` (normed) to `work.product`.
    fn feed_forward(&self, team: &mut Team, index: usize) {
        let Team { exec, work, clock, .. } = team;
        work.observe(index, Site::GateUp);
        let (precision, out) = (self.precision.at(Site::Down), &mut work.gated);
        gemm::gate_up(exec, &work.input, &self.gate_up, &mut work.gemm, precision, out);
        clock.lap(Phase::GateUp);
        work.observe(index, Site::Down);
        gemm::gemm(exec, &work.gated, &self.down, &mut work.product);
        clock.lap(Phase::Down);
    }
}

/// The kernels take widths that are multiples of a block, and heads that are not too wide.
///
/// # Errors
/// [`crate::error::ErrorKind::Model`] where the decoder that `config` describes has others.
pub fn check_shape(config: &Config) -> Result<()> {
    if config.head_dim > MAX_HEAD_DIM {
        return Err(unfit(format!("heads of {} dimensions", config.head_dim)));
    }
    let group = config.heads / config.kv_heads;
    if group > MAX_GROUP {
        return Err(unfit(format!("{group} query heads that share a key head")));
    }
    let widths = [
        ("embedding", config.hidden),
        ("feed-forward", config.ffn_hidden),
        ("head", config.head_dim),
    ];
    match widths.into_iter().find(|(_, width)| !width.is_multiple_of(BLOCK)) {
        Some((name, width)) => {
            Err(unfit(format!("{name} width {width} is no multiple of {BLOCK}")))
        }
        None => Ok(()),
    }
}
