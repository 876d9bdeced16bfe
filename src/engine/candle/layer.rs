//! One block of the decoder: norms, projections and the gated feed-forward network.

use candle_core::quantized::{QMatMul, QStorage, QTensor};
use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::ops::silu;

use super::attention::Plan;
use super::device::Matrices;
use super::rotary::{Rotations, rotate};
use crate::model::{Activation, Config, LayerKind, LayerWeights, Matrix};

/// A block's tensors on their device.
pub struct Layer {
    config: Config,
    kind: LayerKind,
    attn_norm: Tensor,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    qk_norm: Option<[Tensor; 2]>,
    post_attention_norm: Option<Tensor>,
    ffn_norm: Tensor,
    gate: Linear,
    up: Linear,
    down: Linear,
    post_ffn_norm: Option<Tensor>,
}

/// y = x · Wᵀ + b.
pub struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
}

enum Weight {
    /// (outputs, inputs) in f32 or f16.
    Dense(Tensor),
    Quantized(QMatMul),
}

impl Layer {
    pub fn new(
        config: &Config,
        index: usize,
        weights: &LayerWeights,
        device: &Device,
        matrices: Matrices,
    ) -> Result<Self> {
        let linear = |matrix: &Matrix| Linear::new(matrix, device, matrices);
        let biased = |matrix: &Matrix, which: usize| {
            let bias = weights.qkv_bias.as_ref().map(|biases| vector(&biases[which], device));
            Ok::<_, candle_core::Error>(Linear { bias: bias.transpose()?, ..linear(matrix)? })
        };
        let optional =
            |norm: &Option<Vec<f32>>| norm.as_ref().map(|norm| vector(norm, device)).transpose();
        let qk_norm = match &weights.qk_norm {
            Some([q, k]) => Some([vector(q, device)?, vector(k, device)?]),
            None => None,
        };
        Ok(Layer {
            config: config.clone(),
            kind: config.layers[index],
            attn_norm: vector(&weights.attn_norm, device)?,
            q: biased(&weights.attn_q, 0)?,
            k: biased(&weights.attn_k, 1)?,
            v: biased(&weights.attn_v, 2)?,
            o: Linear {
                bias: optional(&weights.attn_output_bias)?,
                ..linear(&weights.attn_output)?
            },
            qk_norm,
            post_attention_norm: optional(&weights.post_attention_norm)?,
            ffn_norm: vector(&weights.ffn_norm, device)?,
            gate: linear(&weights.ffn_gate)?,
            up: linear(&weights.ffn_up)?,
            down: linear(&weights.ffn_down)?,
            post_ffn_norm: optional(&weights.post_ffn_norm)?,
        })
    }

    /// (rows, hidden) to (rows, hidden).
    pub fn forward(
        &self,
        hidden: &Tensor,
        index: usize,
        rotations: &Rotations,
        plan: &Plan<'_>,
    ) -> Result<Tensor> {
        let normed = self.norm(hidden, &self.attn_norm)?;
        let attended = self.attention(&normed, index, rotations, plan)?;
        let hidden = (hidden + self.post_norm(attended, &self.post_attention_norm)?)?;
        let normed = self.norm(&hidden, &self.ffn_norm)?;
        let fed = self.feed_forward(&normed)?;
        hidden + self.post_norm(fed, &self.post_ffn_norm)?
    }

    fn attention(
        &self,
        normed: &Tensor,
        index: usize,
        rotations: &Rotations,
        plan: &Plan<'_>,
    ) -> Result<Tensor> {
        let Config { heads, kv_heads, head_dim, rope_pairing, .. } = self.config;
        let rows = normed.dim(0)?;
        let normed = &self.q.input(normed)?;
        let split = |projected: Tensor, heads| projected.reshape((rows, heads, head_dim));
        let mut q = split(self.q.forward(normed)?, heads)?;
        let mut k = split(self.k.forward(normed)?, kv_heads)?;
        let v = split(self.v.forward(normed)?, kv_heads)?;
        if let Some([q_norm, k_norm]) = &self.qk_norm {
            q = self.norm(&q, q_norm)?;
            k = self.norm(&k, k_norm)?;
        }
        let rotation = rotations.of(self.kind.rotary);
        q = rotate(&q, rotation, rope_pairing)?;
        k = rotate(&k, rotation, rope_pairing)?;
        let q = (q * f64::from(self.config.attention_scale()))?;
        let attended = plan.attend(index, self.kind.window, [&q, &k, &v])?;
        self.o.forward(&attended.reshape((rows, heads * head_dim))?)
    }

    fn feed_forward(&self, normed: &Tensor) -> Result<Tensor> {
        let normed = &self.gate.input(normed)?;
        let gate = self.gate.forward(normed)?;
        let gate = match self.config.activation {
            Activation::Silu => silu(&gate)?,
            // candle's `gelu` is the tanh approximation.
            Activation::GeluTanh => gate.gelu()?,
        };
        self.down.forward(&(gate * self.up.forward(normed)?)?)
    }

    fn norm(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        rms_norm(x, weight, self.config.norm_eps)
    }

    fn post_norm(&self, x: Tensor, weight: &Option<Tensor>) -> Result<Tensor> {
        match weight {
            Some(weight) => self.norm(&x, weight),
            None => Ok(x),
        }
    }
}

impl Linear {
    /// Takes a matrix of blocks over, and holds it as it is to be held.
    pub fn new(matrix: &Matrix, device: &Device, matrices: Matrices) -> Result<Linear> {
        let weight = match matrices {
            Matrices::F32 => Weight::Dense(matrix.dequantize(device)?),
            Matrices::F16 => Weight::Dense(matrix.dequantize(device)?.to_dtype(DType::F16)?),
            Matrices::Quantized => {
                let storage = QStorage::from_data(matrix.data()?, device, matrix.dtype())?;
                let moved = QTensor::new(storage, matrix.shape())?;
                Weight::Quantized(QMatMul::from_qtensor(moved)?)
            }
        };
        Ok(Linear { weight, bias: None })
    }

    /// A product with a matrix (outputs, inputs) that is expanded already.
    pub fn dense(matrix: Tensor) -> Linear {
        Linear { weight: Weight::Dense(matrix), bias: None }
    }

    /// What products with this matrix, and with others that are held like it, take `x` as.
    pub fn input(&self, x: &Tensor) -> Result<Tensor> {
        match &self.weight {
            Weight::Dense(weight) => x.to_dtype(weight.dtype()),
            Weight::Quantized(_) => Ok(x.clone()),
        }
    }

    /// (rows, inputs) to (rows, outputs), f32.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = match &self.weight {
            Weight::Dense(weight) => self.input(x)?.matmul(&weight.t()?)?.to_dtype(DType::F32)?,
            Weight::Quantized(weight) => weight.forward(x)?,
        };
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// x / rms(x) · weight over the last dimension.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f32) -> Result<Tensor> {
    candle_nn::ops::rms_norm(&x.contiguous()?, weight, eps)
}

/// A vector of f32 on `device`.
pub fn vector(values: &[f32], device: &Device) -> Result<Tensor> {
    Tensor::new(values, device)
}
