//! Tiny models with seeded random weights, written as real GGUF files: all four families, mixed
//! block types, a SentencePiece vocabulary of bytes and a few pieces.

use std::fs::File;
use std::path::Path;

use candle_core::quantized::{GgmlDType, QTensor, gguf_file, gguf_file::Value};
use candle_core::{Device, Tensor};

use super::noise::Noise;

/// The families that GGUF names this way.
pub const FAMILIES: [&str; 4] = ["llama", "qwen2", "qwen3", "gemma3"];

pub const HIDDEN: usize = 64;
pub const FFN: usize = 256;
pub const HEADS: usize = 4;
pub const KV_HEADS: usize = 2;
pub const HEAD_DIM: usize = 32;
pub const LAYERS: usize = 7;
/// Sliding window of the Gemma 3 layers that have one.
pub const WINDOW: usize = 12;

/// Writes a model of `family` to `path`, for sequences of up to 256 tokens.
pub fn write_model(path: &Path, family: &str, seed: u64) {
    write_model_for(path, family, seed, 256);
}

/// Writes a model of `family` to `path`, for sequences of up to `context` tokens.
pub fn write_model_for(path: &Path, family: &str, seed: u64, context: usize) {
    write(path, family, seed, context, None);
}

/// Writes a model to `path` that says how its chats are written.
pub fn write_chat_model(path: &Path, family: &str, seed: u64, template: &str) {
    write(path, family, seed, 256, Some(template));
}

fn write(path: &Path, family: &str, seed: u64, context: usize, chat_template: Option<&str>) {
    let vocabulary = vocabulary();
    let mut noise = Noise(seed);
    let mut tensors = vec![
        ("token_embd.weight".to_owned(), noise.matrix(vocabulary.len(), HIDDEN, GgmlDType::Q8_0)),
        ("output_norm.weight".to_owned(), noise.norm(HIDDEN)),
    ];
    if family == "qwen2" {
        let head = noise.matrix(vocabulary.len(), HIDDEN, GgmlDType::Q5_0);
        tensors.push(("output.weight".to_owned(), head));
    }
    for layer in 0..LAYERS {
        for (part, tensor) in block(family, &mut noise) {
            tensors.push((format!("blk.{layer}.{part}"), tensor));
        }
    }
    let mut metadata = metadata(family, &vocabulary, context);
    let chat_template = chat_template.map(|text| Value::String(text.to_owned()));
    metadata.extend(chat_template.map(|text| ("tokenizer.chat_template".to_owned(), text)));
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
    gguf_file::write(&mut File::create(path).unwrap(), &metadata, &tensors).unwrap();
}

fn block(family: &str, noise: &mut Noise) -> Vec<(&'static str, QTensor)> {
    use GgmlDType::{Q4_0, Q4_1, Q4K, Q5_0, Q6K, Q8_0};
    let (q, kv) = (HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM);
    let down = if noise.next() < 0.0 { Q4K } else { Q6K };
    let mut parts = vec![
        ("attn_norm.weight", noise.norm(HIDDEN)),
        ("attn_q.weight", noise.matrix(q, HIDDEN, Q5_0)),
        ("attn_k.weight", noise.matrix(kv, HIDDEN, Q4_1)),
        ("attn_v.weight", noise.matrix(kv, HIDDEN, Q8_0)),
        ("attn_output.weight", noise.matrix(HIDDEN, q, Q4_0)),
        ("ffn_norm.weight", noise.norm(HIDDEN)),
        ("ffn_gate.weight", noise.matrix(FFN, HIDDEN, Q5_0)),
        ("ffn_up.weight", noise.matrix(FFN, HIDDEN, Q5_0)),
        ("ffn_down.weight", noise.matrix(HIDDEN, FFN, down)),
    ];
    if family == "qwen2" {
        parts.push(("attn_q.bias", noise.norm(q)));
        parts.push(("attn_k.bias", noise.norm(kv)));
        parts.push(("attn_v.bias", noise.norm(kv)));
    }
    if matches!(family, "qwen3" | "gemma3") {
        parts.push(("attn_q_norm.weight", noise.norm(HEAD_DIM)));
        parts.push(("attn_k_norm.weight", noise.norm(HEAD_DIM)));
    }
    if family == "gemma3" {
        parts.push(("post_attention_norm.weight", noise.norm(HIDDEN)));
        parts.push(("post_ffw_norm.weight", noise.norm(HIDDEN)));
    }
    parts
}

/// Control tokens, all bytes, and the pieces that the tests' words are made of.
pub fn vocabulary() -> Vec<(String, f32, i32)> {
    const CONTROL: i32 = 3;
    const UNKNOWN: i32 = 2;
    const BYTE: i32 = 6;
    const NORMAL: i32 = 1;
    let mut tokens: Vec<(String, f32, i32)> =
        ["<pad>", "<eos>", "<bos>"].map(|t| (t.to_owned(), 0.0, CONTROL)).into();
    tokens.push(("<unk>".to_owned(), 0.0, UNKNOWN));
    tokens.extend((0..=255).map(|byte| (format!("<0x{byte:02X}>"), 0.0, BYTE)));
    let pieces =
        ["▁", "t", "h", "e", "▁t", "he", "▁the", "摘", "要", "摘要", "：", "\n", "标", "题"];
    let ranked = pieces.iter().enumerate();
    tokens.extend(ranked.map(|(rank, piece)| (piece.to_string(), -(rank as f32), NORMAL)));
    tokens
}

pub fn metadata(
    family: &str,
    vocabulary: &[(String, f32, i32)],
    context: usize,
) -> Vec<(String, Value)> {
    let strings = vocabulary.iter().map(|(text, ..)| Value::String(text.clone())).collect();
    let scores = vocabulary.iter().map(|(_, score, _)| Value::F32(*score)).collect();
    let types = vocabulary.iter().map(|(.., kind)| Value::I32(*kind)).collect();
    let size = |n: usize| Value::U32(n as u32);
    let of_family = [
        ("embedding_length", size(HIDDEN)),
        ("feed_forward_length", size(FFN)),
        ("block_count", size(LAYERS)),
        ("context_length", size(context)),
        ("attention.head_count", size(HEADS)),
        ("attention.head_count_kv", size(KV_HEADS)),
        ("attention.key_length", size(HEAD_DIM)),
        ("attention.value_length", size(HEAD_DIM)),
        // Of other families it is not known whether they follow it, and contexts end there.
        ("attention.sliding_window", size(if family == "gemma3" { WINDOW } else { context })),
        ("attention.layer_norm_rms_epsilon", Value::F32(1e-6)),
        ("rope.freq_base", Value::F32(1e6)),
        // As Gemma 3 of 4B parameters and more has it, in its global layers.
        ("rope.scaling.factor", Value::F32(if family == "gemma3" { 8.0 } else { 1.0 })),
        ("rope.dimension_count", size(HEAD_DIM)),
    ];
    let general = [
        ("general.architecture", Value::String(family.to_owned())),
        ("tokenizer.ggml.model", Value::String("llama".to_owned())),
        ("tokenizer.ggml.tokens", Value::Array(strings)),
        ("tokenizer.ggml.scores", Value::Array(scores)),
        ("tokenizer.ggml.token_type", Value::Array(types)),
        ("tokenizer.ggml.bos_token_id", size(2)),
        ("tokenizer.ggml.eos_token_id", size(1)),
        ("tokenizer.ggml.unknown_token_id", size(3)),
        ("tokenizer.ggml.add_bos_token", Value::Bool(true)),
        ("tokenizer.ggml.add_space_prefix", Value::Bool(false)),
    ];
    let of_family = of_family.map(|(key, value)| (format!("{family}.{key}"), value));
    general.map(|(key, value)| (key.to_owned(), value)).into_iter().chain(of_family).collect()
}

/// Tokens of the tiny vocabulary.
pub fn tokens(seed: u64, length: usize) -> Vec<u32> {
    let mut noise = Noise(seed);
    (0..length).map(|_| ((noise.next() + 1.0) * 136.0) as u32).collect()
}

impl Noise {
    fn matrix(&mut self, outputs: usize, inputs: usize, kind: GgmlDType) -> QTensor {
        let scale = 2.0 / (inputs as f32).sqrt();
        let values: Vec<f32> = (0..outputs * inputs).map(|_| self.next() * scale).collect();
        let tensor = Tensor::from_vec(values, (outputs, inputs), &Device::Cpu).unwrap();
        QTensor::quantize(&tensor, kind).unwrap()
    }

    fn norm(&mut self, length: usize) -> QTensor {
        let values: Vec<f32> = (0..length).map(|_| 1.0 + 0.3 * self.next()).collect();
        let tensor = Tensor::from_vec(values, length, &Device::Cpu).unwrap();
        QTensor::quantize(&tensor, GgmlDType::F32).unwrap()
    }
}
