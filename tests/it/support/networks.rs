//! Tiny networks of many architectures with seeded random weights: as GGUF files, and as the f32
//! tensors that candle-transformers reads from other files.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;

use candle_core::quantized::{GgmlDType, QTensor, gguf_file, gguf_file::Value};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

use super::noise::Noise;
use super::tiny;

pub const HIDDEN: usize = 64;
pub const FFN: usize = 96;
pub const HEADS: usize = 4;
pub const KV_HEADS: usize = 2;
pub const LAYERS: usize = 4;
pub const CONTEXT: usize = 256;
pub const NORM_EPS: f32 = 1e-5;
/// Experts of a mixture, and how many a token takes.
pub const EXPERTS: [usize; 2] = [6, 2];
/// Positions that a short convolution of LFM2 sees.
pub const CONVOLVED: usize = 3;

/// Weights by the names that GGUF has for them.
pub struct Network {
    pub architecture: &'static str,
    tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
    random: Noise,
}

/// Width of a head: where an architecture lets it differ from that of the heads' share, it does.
pub fn head_dim(architecture: &str) -> usize {
    match architecture {
        "glm4" | "qwen3" | "qwen3moe" => 2 * HIDDEN / HEADS,
        _ => HIDDEN / HEADS,
    }
}

pub fn rope_base(architecture: &str) -> f32 {
    if architecture == "phi3" { 1e4 } else { 1e6 }
}

/// Whether a layer of LFM2 has attention; the others have a convolution.
pub fn attends(layer: usize) -> bool {
    layer % 2 == 1
}

impl Network {
    pub fn new(architecture: &'static str, seed: u64) -> Network {
        let mut network = Network { architecture, tensors: Vec::new(), random: Noise(seed) };
        let vocabulary = tiny::vocabulary().len();
        network.matrix("token_embd", &[vocabulary, HIDDEN]);
        network
            .norm(if architecture == "lfm2" { "token_embd_norm" } else { "output_norm" }, HIDDEN);
        if matches!(architecture, "phi3" | "glm4" | "qwen2") {
            network.matrix("output", &[vocabulary, HIDDEN]);
        }
        for layer in 0..LAYERS {
            network.block(layer);
        }
        network
    }

    fn block(&mut self, layer: usize) {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let head_dim = head_dim(self.architecture);
        let (q, kv) = (HEADS * head_dim, KV_HEADS * head_dim);
        self.norm(&name("attn_norm"), HIDDEN);
        match self.architecture {
            "lfm2" if !attends(layer) => {
                self.matrix(&name("shortconv.in_proj"), &[3 * HIDDEN, HIDDEN]);
                self.matrix(&name("shortconv.out_proj"), &[HIDDEN, HIDDEN]);
                self.matrix(&name("shortconv.conv"), &[HIDDEN, CONVOLVED]);
            }
            "phi3" => self.matrix(&name("attn_qkv"), &[q + 2 * kv, HIDDEN]),
            _ => {
                for (part, width) in [("attn_q", q), ("attn_k", kv), ("attn_v", kv)] {
                    self.matrix(&name(part), &[width, HIDDEN]);
                    if matches!(self.architecture, "glm4" | "qwen2") {
                        self.vector(&format!("{}.bias", name(part)), width, 0.0);
                    }
                }
            }
        }
        let has_attention = self.architecture != "lfm2" || attends(layer);
        if has_attention {
            self.matrix(&name("attn_output"), &[HIDDEN, q]);
        }
        if has_attention && matches!(self.architecture, "qwen3" | "qwen3moe" | "lfm2") {
            self.norm(&name("attn_q_norm"), head_dim);
            self.norm(&name("attn_k_norm"), head_dim);
        }
        self.norm(&name("ffn_norm"), HIDDEN);
        if self.architecture == "glm4" {
            self.norm(&name("post_attention_norm"), HIDDEN);
            self.norm(&name("post_ffw_norm"), HIDDEN);
        }
        match self.architecture {
            "phi3" | "glm4" => {
                self.matrix(&name("ffn_up"), &[2 * FFN, HIDDEN]);
                self.matrix(&name("ffn_down"), &[HIDDEN, FFN]);
            }
            "qwen3moe" => {
                let [experts, _] = EXPERTS;
                self.matrix(&name("ffn_gate_inp"), &[experts, HIDDEN]);
                self.matrix(&name("ffn_gate_exps"), &[experts, FFN, HIDDEN]);
                self.matrix(&name("ffn_up_exps"), &[experts, FFN, HIDDEN]);
                self.matrix(&name("ffn_down_exps"), &[experts, HIDDEN, FFN]);
            }
            _ => {
                self.matrix(&name("ffn_gate"), &[FFN, HIDDEN]);
                self.matrix(&name("ffn_up"), &[FFN, HIDDEN]);
                self.matrix(&name("ffn_down"), &[HIDDEN, FFN]);
            }
        }
    }

    fn matrix(&mut self, name: &str, dims: &[usize]) {
        let scale = 2.0 / (dims[dims.len() - 1] as f32).sqrt();
        let count = dims.iter().product();
        let values = (0..count).map(|_| scale * self.random.next()).collect();
        self.tensors.push((format!("{name}.weight"), dims.to_vec(), values));
    }

    fn norm(&mut self, name: &str, length: usize) {
        self.vector(&format!("{name}.weight"), length, 1.0);
    }

    fn vector(&mut self, name: &str, length: usize, around: f32) {
        let values = (0..length).map(|_| around + 0.3 * self.random.next()).collect();
        self.tensors.push((name.to_owned(), vec![length], values));
    }

    /// Writes a GGUF file with matrices of `kind`, where their width allows it, and with `changed`
    /// metadata.
    pub fn write(&self, path: &Path, kind: GgmlDType, changed: &[(&str, Value)]) {
        let tensors: Vec<(&str, QTensor)> = self
            .tensors
            .iter()
            .map(|(name, dims, values)| {
                let fits = dims.len() > 1 && dims[dims.len() - 1].is_multiple_of(kind.block_size());
                let tensor = Tensor::from_slice(values, &dims[..], &Device::Cpu).unwrap();
                let kind = if fits { kind } else { GgmlDType::F32 };
                (name.as_str(), QTensor::quantize(&tensor, kind).unwrap())
            })
            .collect();
        let mut metadata = self.metadata();
        let changed = changed.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        metadata.extend(changed);
        let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
        let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(n, t)| (*n, t)).collect();
        gguf_file::write(&mut File::create(path).unwrap(), &metadata, &tensors).unwrap();
    }

    fn metadata(&self) -> BTreeMap<String, Value> {
        let size = |n: usize| Value::U32(n as u32);
        let head_dim = head_dim(self.architecture);
        let kv_heads = match self.architecture {
            "lfm2" => Value::Array(
                (0..LAYERS).map(|n| Value::I32(i32::from(attends(n)) * KV_HEADS as i32)).collect(),
            ),
            _ => size(KV_HEADS),
        };
        let rotated = if self.architecture == "glm4" { head_dim / 2 } else { head_dim };
        let mixture = self.architecture == "qwen3moe";
        let [experts, used] = if mixture { EXPERTS } else { [0, 0] };
        let own = [
            ("embedding_length", size(HIDDEN)),
            ("feed_forward_length", size(FFN)),
            ("block_count", size(LAYERS)),
            ("attention.head_count_kv", kv_heads),
            ("attention.key_length", size(head_dim)),
            ("attention.value_length", size(head_dim)),
            ("attention.layer_norm_rms_epsilon", Value::F32(NORM_EPS)),
            ("rope.freq_base", Value::F32(rope_base(self.architecture))),
            ("rope.dimension_count", size(rotated)),
            ("shortconv.l_cache", size(CONVOLVED)),
            ("expert_count", size(experts)),
            ("expert_used_count", size(used)),
            ("expert_feed_forward_length", size(FFN)),
        ];
        let mut metadata: BTreeMap<String, Value> =
            tiny::metadata(self.architecture, &tiny::vocabulary(), CONTEXT).into_iter().collect();
        metadata.remove(&format!("{}.attention.sliding_window", self.architecture));
        metadata.extend(own.map(|(key, value)| (format!("{}.{key}", self.architecture), value)));
        // By this candle-transformers chooses the type of Qwen3's rotary embedding: f32.
        metadata.insert("general.dtype".to_owned(), Value::U32(0));
        metadata
    }

    /// The same weights by the names that `renamed` has for them; a tensor with an `{expert}` in its
    /// name is taken apart.
    pub fn variables(&self, renamed: impl Fn(&str) -> String) -> VarBuilder<'static> {
        let mut tensors = HashMap::new();
        for (name, dims, values) in &self.tensors {
            let tensor = Tensor::from_slice(values, &dims[..], &Device::Cpu).unwrap();
            let name = renamed(name);
            if name.contains("{expert}") {
                for expert in 0..dims[0] {
                    let name = name.replace("{expert}", &expert.to_string());
                    tensors.insert(name, tensor.get(expert).unwrap());
                }
            } else if name.ends_with("conv.conv.weight") {
                tensors.insert(name, tensor.unsqueeze(1).unwrap());
            } else {
                tensors.insert(name, tensor);
            }
        }
        VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)
    }
}
