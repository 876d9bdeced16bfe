//! The decoder in plain f32 loops: the truth that engines are measured against.
//!
//! One sequence, no cache, no batch, no tensor library: every position is computed from the
//! dequantized weights as the papers write it down. Slow, short, and permanent. It shares
//! nothing with the engines but [`crate::model`].

use candle_core::Device;
use rayon::prelude::*;

use crate::generate::TokenId;
use crate::model::{self, Activation, Config, LayerWeights, Matrix, Model, RopePairing, Rotary};
use crate::{Error, Result, error::ErrorKind};

/// The decoder with all its matrices expanded to f32.
pub struct PlainDecoder {
    config: Config,
    embedding: Dense,
    head: Option<Dense>,
    output_norm: Vec<f32>,
    rope_factors: Option<Vec<f32>>,
    layers: Vec<PlainLayer>,
}

struct PlainLayer {
    weights: LayerWeights,
    q: Dense,
    k: Dense,
    v: Dense,
    o: Dense,
    gate: Dense,
    up: Dense,
    down: Dense,
}

/// A matrix (outputs, inputs), row by row.
struct Dense {
    inputs: usize,
    values: Vec<f32>,
}

/// One vector a position.
type Rows = Vec<Vec<f32>>;

impl PlainDecoder {
    /// Expands the weights of `model`.
    pub fn new(model: &Model) -> Result<PlainDecoder> {
        let weights = model.weights();
        let layers = weights.layers.iter().map(|layer| {
            Ok(PlainLayer {
                q: Dense::new(&layer.attn_q)?,
                k: Dense::new(&layer.attn_k)?,
                v: Dense::new(&layer.attn_v)?,
                o: Dense::new(&layer.attn_output)?,
                gate: Dense::new(&layer.ffn_gate)?,
                up: Dense::new(&layer.ffn_up)?,
                down: Dense::new(&layer.ffn_down)?,
                weights: layer.clone(),
            })
        });
        Ok(PlainDecoder {
            config: model.config().clone(),
            embedding: Dense::new(&weights.token_embedding)?,
            head: weights.output.as_ref().map(Dense::new).transpose()?,
            output_norm: weights.output_norm.clone(),
            rope_factors: weights.rope_factors.clone(),
            layers: layers.collect::<Result<_>>()?,
        })
    }

    /// The logits that follow every one of `tokens`: a vector over the vocabulary each.
    pub fn logits(&self, tokens: &[TokenId]) -> Rows {
        self.logits_from(tokens, 0)
    }

    /// The same that follow the tokens from number `first` on. A row of logits reads the whole head, and
    /// nobody wants those of a prompt.
    ///
    /// # Panics
    /// When there are fewer tokens than `first`.
    pub fn logits_from(&self, tokens: &[TokenId], first: usize) -> Rows {
        let mut hidden: Rows = tokens.iter().map(|&token| self.embed(token)).collect();
        for index in 0..self.layers.len() {
            self.attention(index, &mut hidden);
            self.feed_forward(index, &mut hidden);
        }
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        let normed = self.norm_rows(&hidden.split_off(first), &self.output_norm);
        normed.iter().map(|row| head.times(row)).collect()
    }

    fn embed(&self, token: TokenId) -> Vec<f32> {
        let row = self.embedding.row(token as usize);
        row.iter().map(|x| x * self.config.embedding_scale).collect()
    }

    /// hidden += [norm] (O · softmax(q kᵀ / √d) v + b)
    fn attention(&self, index: usize, hidden: &mut Rows) {
        let (layer, weights) = (&self.layers[index], &self.layers[index].weights);
        let normed = self.norm_rows(hidden, &weights.attn_norm);
        let [q_bias, k_bias, v_bias] = match &weights.qkv_bias {
            Some([q, k, v]) => [Some(q), Some(k), Some(v)],
            None => [None; 3],
        };
        let [q_norm, k_norm] = match &weights.qk_norm {
            Some([q, k]) => [Some(q), Some(k)],
            None => [None; 2],
        };
        let turned = |matrix: &Dense, bias: Option<&Vec<f32>>, norm: Option<&Vec<f32>>| -> Rows {
            let project = |(position, row): (usize, &Vec<f32>)| {
                let mut x = plus(matrix.times(row), bias);
                for head in x.chunks_mut(self.config.head_dim) {
                    if let Some(norm) = norm {
                        head.copy_from_slice(&rms_norm(head, norm, self.config.norm_eps));
                    }
                    self.rotate(head, position, self.config.layers[index].rotary);
                }
                x
            };
            normed.iter().enumerate().map(project).collect()
        };
        let q = turned(&layer.q, q_bias, q_norm);
        let k = turned(&layer.k, k_bias, k_norm);
        let v: Rows = normed.iter().map(|row| plus(layer.v.times(row), v_bias)).collect();
        for (position, row) in hidden.iter_mut().enumerate() {
            let attended = self.attend(index, position, &q[position], &k, &v);
            let projected = plus(layer.o.times(&attended), weights.attn_output_bias.as_ref());
            let update = self.post_norm(projected, &weights.post_attention_norm);
            add(row, &update);
        }
    }

    /// All query heads of one position: (heads · head_dim).
    fn attend(&self, index: usize, position: usize, q: &[f32], k: &Rows, v: &Rows) -> Vec<f32> {
        let Config { heads, kv_heads, head_dim, .. } = self.config;
        let first = match self.config.layers[index].window {
            Some(window) => (position + 1).saturating_sub(window),
            None => 0,
        };
        let mut attended = vec![0.0; heads * head_dim];
        for head in 0..heads {
            let kv = head / (heads / kv_heads) * head_dim;
            let q = &q[head * head_dim..][..head_dim];
            let scores: Vec<f32> = (first..=position)
                .map(|key| dot(q, &k[key][kv..][..head_dim]) * self.config.attention_scale())
                .collect();
            let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let weights: Vec<f32> = scores.iter().map(|score| (score - highest).exp()).collect();
            let total: f32 = weights.iter().sum();
            let out = &mut attended[head * head_dim..][..head_dim];
            for (key, weight) in (first..=position).zip(weights) {
                for (out, v) in out.iter_mut().zip(&v[key][kv..][..head_dim]) {
                    *out += weight / total * v;
                }
            }
        }
        attended
    }

    /// hidden += [norm] D · (act(G x) ⊙ U x)
    fn feed_forward(&self, index: usize, hidden: &mut Rows) {
        let (layer, weights) = (&self.layers[index], &self.layers[index].weights);
        let normed = self.norm_rows(hidden, &weights.ffn_norm);
        for (row, normed) in hidden.iter_mut().zip(&normed) {
            let mut gated = layer.gate.times(normed);
            for (gate, up) in gated.iter_mut().zip(layer.up.times(normed)) {
                *gate = activate(*gate, self.config.activation) * up;
            }
            add(row, &self.post_norm(layer.down.times(&gated), &weights.post_ffn_norm));
        }
    }

    /// Rotary embedding (Su et al. 2021) of one head at `position`.
    fn rotate(&self, head: &mut [f32], position: usize, rotary: Rotary) {
        let half = head.len() / 2;
        for i in 0..half {
            let exponent = 2.0 * i as f64 / head.len() as f64;
            let factor = self.rope_factors.as_ref().map_or(1.0, |f| f64::from(f[i]));
            let divisor = factor * f64::from(rotary.stretch);
            let angle = position as f64 / f64::from(rotary.base).powf(exponent) / divisor;
            let (sin, cos) = (angle.sin() as f32, angle.cos() as f32);
            let (a, b) = match self.config.rope_pairing {
                RopePairing::Halves => (i, i + half),
                RopePairing::Adjacent => (2 * i, 2 * i + 1),
            };
            (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[a] * sin + head[b] * cos);
        }
    }

    fn norm_rows(&self, rows: &Rows, weight: &[f32]) -> Rows {
        rows.iter().map(|row| rms_norm(row, weight, self.config.norm_eps)).collect()
    }

    fn post_norm(&self, x: Vec<f32>, weight: &Option<Vec<f32>>) -> Vec<f32> {
        match weight {
            Some(weight) => rms_norm(&x, weight, self.config.norm_eps),
            None => x,
        }
    }
}

impl Dense {
    fn new(matrix: &Matrix) -> Result<Dense> {
        let inputs = matrix.shape().dims()[1];
        let values = matrix
            .dequantize(&Device::Cpu)
            .and_then(|matrix| matrix.flatten_all()?.to_vec1())
            .map_err(|e| {
                Error::new(ErrorKind::Model, "cannot expand a matrix").because(model::cause(e))
            })?;
        Ok(Dense { inputs, values })
    }

    fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.inputs..][..self.inputs]
    }

    fn times(&self, x: &[f32]) -> Vec<f32> {
        self.values.par_chunks(self.inputs).with_min_len(256).map(|row| dot(row, x)).collect()
    }
}

/// Sums in sixteen interleaved parts, so that the compiler may use vector registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut parts = [0f32; 16];
    let (a_chunks, b_chunks) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for i in 0..16 {
            parts[i] += a[i] * b[i];
        }
    }
    parts.iter().sum::<f32>() + rest
}

fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let mean_square = x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32;
    let scale = (mean_square + eps).sqrt().recip();
    x.iter().zip(weight).map(|(x, w)| x * scale * w).collect()
}

fn activate(x: f32, activation: Activation) -> f32 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => {
            let inner = std::f32::consts::FRAC_2_PI.sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + inner.tanh())
        }
    }
}

fn plus(mut x: Vec<f32>, bias: Option<&Vec<f32>>) -> Vec<f32> {
    if let Some(bias) = bias {
        add(&mut x, bias);
    }
    x
}

fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}
