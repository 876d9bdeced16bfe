//! Qwen3 with a mixture of experts (Qwen3 technical report 2025, section 2), put together from
//! parts of candle-transformers.
//!
//! The crate's own `quantized_qwen3_moe` cannot be used: its experts are computed by CUDA kernels
//! alone, and it never forgets a sequence. Here each expert is a matrix of its own, and the rows
//! that a layer sends to it are one product, on any device.

use std::io::{Read, Seek};

use candle_core::quantized::gguf_file::Content;
use candle_core::quantized::{QMatMul, QStorage, QTensor};
use candle_core::{D, DType, Device, Module, Result, Tensor, bail};
use candle_nn::Embedding;
use candle_nn::kv_cache::ConcatKvCache;
use candle_nn::ops::{silu, softmax_last_dim};
use candle_transformers::models::quantized_qwen3::RotaryEmbedding;
use candle_transformers::quantized_nn::RmsNorm;
use candle_transformers::utils::{build_additive_causal_mask, repeat_kv};

/// The weights, shared by all sequences.
pub(super) struct Qwen3Moe {
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: QMatMul,
    rotary: RotaryEmbedding,
    device: Device,
}

/// Keys and values of one sequence, a cache for each layer.
pub(super) struct Caches(Vec<ConcatKvCache>);

struct Layer {
    attention_norm: RmsNorm,
    attention: Attention,
    experts_norm: RmsNorm,
    experts: Experts,
}

struct Attention {
    query: QMatMul,
    key: QMatMul,
    value: QMatMul,
    output: QMatMul,
    query_norm: RmsNorm,
    key_norm: RmsNorm,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

/// Gated feed-forward networks, of which each row takes those that its router scores highest.
struct Experts {
    router: QMatMul,
    gate: Vec<QMatMul>,
    up: Vec<QMatMul>,
    down: Vec<QMatMul>,
    /// Experts that a row takes.
    used: usize,
}

/// Reads parts of a file.
struct Parts<'a, R> {
    content: &'a Content,
    reader: &'a mut R,
    device: &'a Device,
    norm_eps: f64,
}

impl Qwen3Moe {
    /// Reads the network that `content` describes.
    pub(super) fn read<R: Read + Seek>(
        content: &Content,
        reader: &mut R,
        device: &Device,
    ) -> Result<Qwen3Moe> {
        let get = |key: &str| match content.metadata.get(&format!("qwen3moe.{key}")) {
            Some(value) => Ok(value),
            None => bail!("GGUF metadata lacks qwen3moe.{key}"),
        };
        let size = |key: &str| Ok::<usize, candle_core::Error>(get(key)?.to_u32()? as usize);
        let (hidden, heads) = (size("embedding_length")?, size("attention.head_count")?);
        let kv_heads = size("attention.head_count_kv")?;
        let head_dim = size("attention.key_length")?;
        let (experts, used) = (size("expert_count")?, size("expert_used_count")?);
        if used == 0 || used > experts {
            bail!("qwen3moe.expert_used_count is {used}, of {experts} experts");
        }
        let norm_eps = f64::from(get("attention.layer_norm_rms_epsilon")?.to_f32()?);
        let mut parts = Parts { content, reader, device, norm_eps };
        let mut layers = Vec::new();
        for layer in 0..size("block_count")? {
            let name = |part: &str| format!("blk.{layer}.{part}.weight");
            layers.push(Layer {
                attention_norm: parts.norm(&name("attn_norm"))?,
                attention: Attention {
                    query: parts.matrix(&name("attn_q"))?,
                    key: parts.matrix(&name("attn_k"))?,
                    value: parts.matrix(&name("attn_v"))?,
                    output: parts.matrix(&name("attn_output"))?,
                    query_norm: parts.norm(&name("attn_q_norm"))?,
                    key_norm: parts.norm(&name("attn_k_norm"))?,
                    heads,
                    kv_heads,
                    head_dim,
                },
                experts_norm: parts.norm(&name("ffn_norm"))?,
                experts: Experts {
                    gate: parts.matrices(&name("ffn_gate_exps"), experts)?,
                    up: parts.matrices(&name("ffn_up_exps"), experts)?,
                    down: parts.matrices(&name("ffn_down_exps"), experts)?,
                    router: parts.matrix_of(&name("ffn_gate_inp"), [experts, hidden])?,
                    used,
                },
            });
        }
        let has_head = content.tensor_infos.contains_key("output.weight");
        let head = if has_head { "output.weight" } else { "token_embd.weight" };
        Ok(Qwen3Moe {
            embedding: Embedding::new(
                parts.tensor("token_embd.weight")?.dequantize(device)?,
                hidden,
            ),
            norm: parts.norm("output_norm.weight")?,
            head: parts.matrix(head)?,
            rotary: RotaryEmbedding::new(
                DType::F32,
                head_dim,
                size("context_length")?,
                f64::from(get("rope.freq_base")?.to_f32()?),
                device,
            )?,
            layers,
            device: device.clone(),
        })
    }

    /// The caches of a sequence that begins.
    pub(super) fn caches(&self) -> Caches {
        /// Of (1, heads, positions, head_dim).
        const POSITIONS: usize = 2;
        Caches(self.layers.iter().map(|_| ConcatKvCache::new(POSITIONS)).collect())
    }

    /// Computes `tokens` (1, rows), the first of which stands at position `start`, and returns the
    /// logits that follow the last: (1, vocabulary).
    pub(super) fn forward(
        &self,
        caches: &mut Caches,
        tokens: &Tensor,
        start: usize,
    ) -> Result<Tensor> {
        let rows = tokens.elem_count();
        let mask = match rows {
            1 => None,
            _ => Some(build_additive_causal_mask(rows, start, None, &self.device, DType::F32)?),
        };
        let mut hidden = self.embedding.forward(tokens)?;
        for (layer, cache) in self.layers.iter().zip(&mut caches.0) {
            let normed = layer.attention_norm.forward(&hidden)?;
            let attended =
                layer.attention.forward(&normed, &self.rotary, mask.as_ref(), cache, start)?;
            hidden = (hidden + attended)?;
            let normed = layer.experts_norm.forward(&hidden)?;
            hidden = (hidden + layer.experts.forward(&normed.squeeze(0)?)?.unsqueeze(0)?)?;
        }
        let last = self.norm.forward(&hidden.narrow(1, rows - 1, 1)?)?;
        self.head.forward(&last)?.squeeze(1)
    }
}

impl Attention {
    /// x (1, rows, hidden) → (1, rows, hidden).
    fn forward(
        &self,
        x: &Tensor,
        rotary: &RotaryEmbedding,
        mask: Option<&Tensor>,
        cache: &mut ConcatKvCache,
        start: usize,
    ) -> Result<Tensor> {
        let rows = x.dim(1)?;
        let split = |x: Tensor, heads: usize| {
            x.reshape((1, rows, heads, self.head_dim))?.transpose(1, 2)?.contiguous()
        };
        let query = self.query_norm.forward(&split(self.query.forward(x)?, self.heads)?)?;
        let key = self.key_norm.forward(&split(self.key.forward(x)?, self.kv_heads)?)?;
        let value = split(self.value.forward(x)?, self.kv_heads)?;
        let (query, key) = rotary.apply(&query, &key, start)?;
        let (keys, values) = cache.append(&key, &value)?;
        let shared = self.heads / self.kv_heads;
        let (keys, values) = (repeat_kv(keys, shared)?, repeat_kv(values, shared)?);
        let scores = (query.matmul(&keys.t()?)? / (self.head_dim as f64).sqrt())?;
        let scores = match mask {
            Some(mask) => scores.broadcast_add(mask)?,
            None => scores,
        };
        let attended = softmax_last_dim(&scores)?.matmul(&values)?;
        let width = self.heads * self.head_dim;
        self.output.forward(&attended.transpose(1, 2)?.reshape((1, rows, width))?)
    }
}

impl Experts {
    /// x (rows, hidden) → (rows, hidden).
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let shares: Vec<Vec<f32>> = softmax_last_dim(&self.router.forward(x)?)?.to_vec2()?;
        // For each expert the rows that take it, and its share in each.
        let mut rows = vec![Vec::new(); self.gate.len()];
        let mut weights = vec![Vec::new(); self.gate.len()];
        for (row, shares) in (0u32..).zip(&shares) {
            let chosen = highest(shares, self.used);
            let total: f32 = chosen.iter().map(|expert| shares[*expert]).sum();
            for expert in chosen {
                rows[expert].push(row);
                weights[expert].push(shares[expert] / total);
            }
        }
        let mut sum = x.zeros_like()?;
        for (expert, (rows, weights)) in rows.into_iter().zip(weights).enumerate() {
            if rows.is_empty() {
                continue;
            }
            let weights = Tensor::new(weights, x.device())?.unsqueeze(D::Minus1)?;
            let rows = Tensor::new(rows, x.device())?;
            let x = x.index_select(&rows, 0)?;
            let gate = silu(&self.gate[expert].forward(&x)?)?;
            let y = self.down[expert].forward(&(gate * self.up[expert].forward(&x)?)?)?;
            sum = sum.index_add(&rows, &y.broadcast_mul(&weights)?, 0)?;
        }
        Ok(sum)
    }
}

/// The indices of the `count` highest of `values`, highest first; of equal ones the lower index.
fn highest(values: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    order.truncate(count);
    order
}

impl<R: Read + Seek> Parts<'_, R> {
    fn tensor(&mut self, name: &str) -> Result<QTensor> {
        self.content.tensor(self.reader, name, self.device)
    }

    fn matrix(&mut self, name: &str) -> Result<QMatMul> {
        QMatMul::from_qtensor(self.tensor(name)?)
    }

    /// A matrix of so many outputs and inputs.
    fn matrix_of(&mut self, name: &str, shape: [usize; 2]) -> Result<QMatMul> {
        let tensor = self.tensor(name)?;
        let found = tensor.shape().dims();
        if found != shape {
            bail!("tensor {name} has shape {found:?} instead of {shape:?}");
        }
        QMatMul::from_qtensor(tensor)
    }

    fn norm(&mut self, name: &str) -> Result<RmsNorm> {
        RmsNorm::from_qtensor(self.tensor(name)?, self.norm_eps)
    }

    /// A tensor (count, outputs, inputs) as `count` matrices.
    fn matrices(&mut self, name: &str, count: usize) -> Result<Vec<QMatMul>> {
        let tensor = self.content.tensor(self.reader, name, &Device::Cpu)?;
        let (found, outputs, inputs) = tensor.shape().dims3()?;
        if found != count {
            bail!("{name} has the matrices of {found} experts, not of {count}");
        }
        let data = tensor.data()?;
        let matrix = |bytes| {
            let storage = QStorage::from_data(
                std::borrow::Cow::Borrowed(bytes),
                self.device,
                tensor.dtype(),
            )?;
            QMatMul::from_qtensor(QTensor::new(storage, (outputs, inputs))?)
        };
        data.chunks_exact(data.len() / count).map(matrix).collect()
    }
}
