//! The decoder's weights, packed for the kernels, and the phases of a layer.

use std::sync::Arc;

use super::census::{Census, Grains, Site, Weights};
use super::plan::Costs;
use super::profile::Phase;
use super::vocabulary::Rowwise;
use super::{Crew, PartRows, unfit};
use crate::generate::TokenId;
use crate::kernels::attention::{self, PageShare};
use crate::kernels::blocks::BlockType;
use crate::kernels::gemm::{self, Gate};
use crate::kernels::heads::{self, Heads, Pairing, Projections, Rope};
use crate::kernels::packed::Packed;
use crate::kernels::rows::{self, Norm};
use crate::kernels::{BLOCK, Grain, Isa, Pool};
use crate::model::{
    Activation, Config, LayerKind, LayerWeights, Matrix, Model, RopePairing, Rotary,
};
use crate::{Error, Result, error::ErrorKind};

use candle_core::quantized::GgmlDType;

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
pub struct Layer {
    kind: LayerKind,
    eps: f32,
    gate_activation: Gate,
    attn_norm: Vec<f32>,
    /// Queries, keys and values side by side.
    qkv: Packed,
    qkv_bias: Option<[Vec<f32>; 3]>,
    qk_norm: Option<[Vec<f32>; 2]>,
    output: Packed,
    post_attention_norm: Option<Vec<f32>>,
    ffn_norm: Vec<f32>,
    gate: Packed,
    up: Packed,
    down: Packed,
    post_ffn_norm: Option<Vec<f32>>,
    grains: Grains,
}

impl Decoder {
    /// Packs the weights of `model`; positions stay below `max_context`.
    pub fn new(model: &Model, max_context: usize, pool: &mut Pool) -> Result<Decoder> {
        let (config, weights) = (model.config(), model.weights());
        check_shape(config)?;
        let factors = weights.rope_factors.as_deref();
        let table = |rotary| RopeTable::new(config, rotary, factors, max_context);
        let ropes = config.rotaries().into_iter().map(table);
        let layers = config.layers.iter().zip(&weights.layers);
        Ok(Decoder {
            embedding: Rowwise::new(model, &weights.token_embedding)?,
            layers: layers
                .map(|(kind, layer)| Layer::new(config, *kind, layer, pool))
                .collect::<Result<_>>()?,
            output_norm: weights.output_norm.clone(),
            ropes: ropes.collect(),
            config: config.clone(),
        })
    }

    /// Rounds more finely where `census` found that it gains the most.
    pub fn use_census(&mut self, census: &Census, equalised: bool) {
        let weights: Vec<[Weights; 4]> = self.layers.iter().map(Layer::weights).collect();
        for (layer, grains) in self.layers.iter_mut().zip(census.grains(&weights, equalised)) {
            layer.grains = grains;
        }
    }

    /// The layers in order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
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
        let Config { heads, head_dim, layers, .. } = &self.config;
        let row = self.layers.iter().map(Layer::multiply_adds).sum();
        Costs { row, position: 2 * heads * head_dim * layers.len() }
    }

    /// The window of the layers that have one.
    pub fn window(&self) -> Option<usize> {
        self.config.layers.iter().find_map(|layer| layer.window)
    }

    /// Fills `hidden` (tokens, hidden) with the scaled embeddings of `tokens`.
    ///
    /// # Errors
    /// Where the embedding's file cannot be read.
    pub fn embed(&self, tokens: &[TokenId], hidden: &mut [f32]) -> Result<()> {
        let width = self.config.hidden;
        for (row, &token) in hidden.chunks_exact_mut(width).zip(tokens) {
            self.embedding.read(token, row)?;
            row.iter_mut().for_each(|x| *x *= self.config.embedding_scale);
        }
        Ok(())
    }

    fn rope(&self, rotary: Rotary) -> Rope<'_> {
        let table = self.ropes.iter().find(|table| table.rotary == rotary);
        let table = table.expect("a table for every layer");
        let pairing = match self.config.rope_pairing {
            RopePairing::Halves => Pairing::Halves,
            RopePairing::Adjacent => Pairing::Adjacent,
        };
        Rope { cos: &table.cos, sin: &table.sin, pairing }
    }
}

impl Layer {
    fn new(
        config: &Config,
        kind: LayerKind,
        weights: &LayerWeights,
        pool: &mut Pool,
    ) -> Result<Layer> {
        let mut qkv = pack(&weights.attn_q, pool)?;
        qkv.append(pack(&weights.attn_k, pool)?);
        qkv.append(pack(&weights.attn_v, pool)?);
        Ok(Layer {
            kind,
            eps: config.norm_eps,
            gate_activation: match config.activation {
                Activation::Silu => Gate::Silu,
                Activation::GeluTanh => Gate::GeluTanh,
            },
            attn_norm: weights.attn_norm.clone(),
            qkv,
            qkv_bias: weights.qkv_bias.clone(),
            qk_norm: weights.qk_norm.clone(),
            output: pack(&weights.attn_output, pool)?,
            post_attention_norm: weights.post_attention_norm.clone(),
            ffn_norm: weights.ffn_norm.clone(),
            gate: pack(&weights.ffn_gate, pool)?,
            up: pack(&weights.ffn_up, pool)?,
            down: pack(&weights.ffn_down, pool)?,
            post_ffn_norm: weights.post_ffn_norm.clone(),
            grains: Grains::coarse(
                config.hidden,
                config.heads * config.head_dim,
                config.ffn_hidden,
            ),
        })
    }

    /// Of a row, without attention.
    fn multiply_adds(&self) -> usize {
        let matrices = [&self.qkv, &self.output, &self.gate, &self.up, &self.down];
        matrices.map(|matrix| matrix.inputs() * matrix.outputs()).iter().sum()
    }

    /// What the inputs of each site are multiplied with.
    fn weights(&self) -> [Weights; 4] {
        let gate_up = [&self.gate, &self.up];
        [&[&self.qkv][..], &[&self.output], &gate_up, &[&self.down]].map(Weights::of)
    }

    /// How the input of a product is rounded.
    pub fn grain(&self, site: Site) -> &Arc<Grain> {
        self.grains.at(site)
    }

    /// The norm before attention.
    pub fn attn_norm(&self) -> Norm<'_> {
        self.norm(&self.attn_norm)
    }

    /// The norm before the feed-forward network.
    pub fn ffn_norm(&self) -> Norm<'_> {
        self.norm(&self.ffn_norm)
    }

    /// The norm after attention, where there is one.
    pub fn post_attention_norm(&self) -> Option<Norm<'_>> {
        self.post_attention_norm.as_ref().map(|weight| self.norm(weight))
    }

    /// The norm after the feed-forward network, where there is one.
    pub fn post_ffn_norm(&self) -> Option<Norm<'_>> {
        self.post_ffn_norm.as_ref().map(|weight| self.norm(weight))
    }

    fn norm<'a>(&self, weight: &'a [f32]) -> Norm<'a> {
        Norm { weight, eps: self.eps }
    }

    /// From `work.input` (normed) to `work.product`: projections, rotation, storing, attention,
    /// output projection.
    pub fn attention(
        &self,
        isa: Isa,
        crew: &mut Crew,
        decoder: &Decoder,
        index: usize,
        kv: &mut PageShare<'_>,
        rows: &PartRows<'_>,
    ) {
        let Crew { pool, work, clock } = crew;
        let Config { heads: query_heads, kv_heads, head_dim, .. } = decoder.config;
        let count = rows.positions.len();
        work.count(index, Site::Qkv);
        gemm::gemm(isa, pool, &work.input, &self.qkv, &mut work.product);
        clock.lap(Phase::Qkv);

        let rope = Some(decoder.rope(self.kind.rotary));
        let bias = |which: usize| self.qkv_bias.as_ref().map(|biases| &biases[which][..]);
        let norm = |which: usize| self.qk_norm.as_ref().map(|norms| self.norm(&norms[which]));
        let (q, kv_width) = (query_heads * head_dim, kv_heads * head_dim);
        let query = Heads {
            first_column: 0,
            heads: query_heads,
            head_dim,
            bias: bias(0),
            norm: norm(0),
            rope,
            scale: decoder.config.attention_scale(),
        };
        let key = Heads {
            first_column: q,
            heads: kv_heads,
            bias: bias(1),
            norm: norm(1),
            scale: 1.0,
            ..query
        };
        let value =
            Heads { first_column: q + kv_width, bias: bias(2), norm: None, rope: None, ..key };
        work.queries.resize(count * q, 0.0);
        heads::take_heads(
            isa,
            pool,
            &work.product,
            rows.positions,
            &Projections { query, key, value },
            &mut work.queries,
            kv,
            index,
        );
        clock.lap(Phase::Rope);

        work.attended.resize(count * q, 0.0);
        let queries = if self.kind.window.is_some() { rows.sliding } else { rows.global };
        attention::attend(
            isa,
            pool,
            kv,
            index,
            queries,
            &work.queries,
            &mut work.attention,
            &mut work.attended,
        );
        clock.lap(Phase::Attention);
        rows::quantize(isa, pool, &work.attended, self.grain(Site::Output), &mut work.input);
        work.count(index, Site::Output);
        gemm::gemm(isa, pool, &work.input, &self.output, &mut work.product);
        clock.lap(Phase::Output);
    }

    /// From `work.input` (normed) to `work.product`.
    pub fn feed_forward(&self, isa: Isa, crew: &mut Crew, index: usize) {
        let Crew { pool, work, clock } = crew;
        work.count(index, Site::GateUp);
        gemm::gate_up(
            isa,
            pool,
            &work.input,
            &self.gate,
            &self.up,
            self.gate_activation,
            &mut work.gemm,
            self.grain(Site::Down),
            &mut work.gated,
        );
        clock.lap(Phase::GateUp);
        work.count(index, Site::Down);
        gemm::gemm(isa, pool, &work.gated, &self.down, &mut work.product);
        clock.lap(Phase::Down);
    }
}

impl RopeTable {
    fn new(
        config: &Config,
        rotary: Rotary,
        factors: Option<&[f32]>,
        positions: usize,
    ) -> RopeTable {
        let half = config.head_dim / 2;
        let angle = |at: usize| {
            let (position, i) = (at / half, at % half);
            let exponent = 2.0 * i as f64 / config.head_dim as f64;
            let factor = factors.map_or(1.0, |factors| f64::from(factors[i]));
            let divisor = factor * f64::from(rotary.stretch);
            position as f64 / f64::from(rotary.base).powf(exponent) / divisor
        };
        let table = |f: fn(f64) -> f64| -> Vec<f32> {
            (0..positions * half).map(|at| f(angle(at)) as f32).collect()
        };
        RopeTable { rotary, cos: table(f64::cos), sin: table(f64::sin) }
    }
}

fn pack(matrix: &Matrix, pool: &mut Pool) -> Result<Packed> {
    let kind = block_type(matrix.dtype())?;
    let dims = matrix.shape().dims();
    let bytes = matrix
        .data()
        .map_err(|e| Error::new(ErrorKind::Model, "cannot read a matrix").because(e))?;
    Ok(Packed::from_blocks(pool, kind, &bytes, dims[0], dims[1]))
}

/// The kernels take widths that are multiples of a block, and heads that are not too wide.
fn check_shape(config: &Config) -> Result<()> {
    if config.head_dim > heads::MAX_HEAD_DIM {
        return Err(unfit(format!("heads of {} dimensions", config.head_dim)));
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

pub fn block_type(dtype: GgmlDType) -> Result<BlockType> {
    Ok(match dtype {
        GgmlDType::F32 => BlockType::F32,
        GgmlDType::F16 => BlockType::F16,
        GgmlDType::BF16 => BlockType::BF16,
        GgmlDType::Q4_0 => BlockType::Q4_0,
        GgmlDType::Q4_1 => BlockType::Q4_1,
        GgmlDType::Q5_0 => BlockType::Q5_0,
        GgmlDType::Q5_1 => BlockType::Q5_1,
        GgmlDType::Q8_0 => BlockType::Q8_0,
        GgmlDType::Q2K => BlockType::Q2K,
        GgmlDType::Q3K => BlockType::Q3K,
        GgmlDType::Q4K => BlockType::Q4K,
        GgmlDType::Q5K => BlockType::Q5K,
        GgmlDType::Q6K => BlockType::Q6K,
        other => return Err(unfit(format!("block type {other:?} is not supported"))),
    })
}
