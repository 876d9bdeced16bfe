//! What a GGUF file says that changes a model: it is computed, refused by name, or warned of.
//!
//! Biases and rotary embeddings are held against a decoder that is written here once more, in f64
//! and from the formulas, and the engines against the plain forward.

use std::path::Path;

use candle_core::Device;
use candle_core::quantized::gguf_file::{Content, Value};
use wenzhai::engine::candle::{CandleEngine, DeviceChoice};
use wenzhai::engine::cpu::{CpuEngine, CpuSettings};
use wenzhai::engine::plain::PlainDecoder;
use wenzhai::error::Error;
use wenzhai::generate::{Limits, TokenId};
use wenzhai::model::Model;

use crate::support::noise::Noise;
use crate::support::raw_gguf::RawModel;
use crate::support::tiny;

const LIMITS: Limits = Limits {
    max_sequences: 2,
    rows_per_step: 32,
    prefill_rows: 64,
    max_context: 64,
    kv_positions: 128,
};
const TOKENS: [TokenId; 12] = [2, 265, 70, 71, 262, 100, 7, 8, 264, 40, 41, 266];

fn load(raw: &RawModel) -> Result<Model, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    raw.write(&path);
    Model::load(&path, None)
}

fn plain(raw: &RawModel) -> Vec<Vec<f32>> {
    PlainDecoder::new(&load(raw).unwrap()).unwrap().logits(&TOKENS)
}

/// The message of what refuses `raw`, its cause.
fn refusal(raw: &RawModel) -> String {
    let error = load(raw).expect_err("it is refused");
    let cause = std::error::Error::source(&error).expect("what is wrong");
    cause.to_string()
}

/// Largest difference, relative to the largest logit.
fn distance(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    let (a, b): (Vec<f32>, Vec<f32>) = (a.concat(), b.concat());
    assert_eq!(a.len(), b.len());
    let largest = a.iter().fold(0f32, |most, x| most.max(x.abs()));
    a.iter().zip(&b).fold(0f32, |most, (a, b)| most.max((a - b).abs())) / largest
}

/// All engines compute what the plain forward does.
fn check_engines(raw: &RawModel) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    raw.write(&path);
    let model = Model::load(&path, None).unwrap();
    let truth = PlainDecoder::new(&model).unwrap().logits(&TOKENS);
    let mut candle = CandleEngine::new(&model, DeviceChoice::Cpu, 64).unwrap();
    let far = distance(&truth, &candle.logits(&TOKENS).unwrap());
    assert!(far < 1e-4, "candle: {far}");
    let settings =
        CpuSettings { threads: 1, limits: LIMITS, shortlist: None, full_vocabulary: false };
    let far =
        distance(&truth, &CpuEngine::new(&model, &settings).unwrap().logits(&TOKENS).unwrap());
    // It rounds activations.
    assert!(far < 0.05, "cpu: {far}");
}

/// A tiny Llama by the formulas: one position after the other, in f64.
struct ByHand {
    folder: tempfile::TempDir,
    /// What rotary frequencies are divided by, a dimension pair each.
    divisors: Vec<f64>,
}

impl ByHand {
    fn new(raw: &RawModel, divisors: Vec<f64>) -> ByHand {
        let folder = tempfile::tempdir().unwrap();
        raw.write(&folder.path().join("model.gguf"));
        ByHand { folder, divisors }
    }

    fn tensor(&self, name: &str) -> Option<Vec<f64>> {
        let mut file = std::fs::File::open(self.folder.path().join("model.gguf")).unwrap();
        let content = Content::read(&mut file).unwrap();
        let tensor = content.tensor(&mut file, name, &Device::Cpu).ok()?;
        let values = tensor.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap();
        Some(values.to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect())
    }

    fn logits(&self) -> Vec<Vec<f32>> {
        let embedding = self.tensor("token_embd.weight").unwrap();
        let row =
            |token: &TokenId| embedding[*token as usize * tiny::HIDDEN..][..tiny::HIDDEN].to_vec();
        let mut stream: Vec<Vec<f64>> = TOKENS.iter().map(row).collect();
        for layer in 0..tiny::LAYERS {
            self.layer(layer, &mut stream);
        }
        let norm = self.tensor("output_norm.weight").unwrap();
        let logits = |row: &Vec<f64>| times(&embedding, &normed(row, &norm));
        stream.iter().map(|row| logits(row).into_iter().map(|x| x as f32).collect()).collect()
    }

    fn layer(&self, layer: usize, stream: &mut [Vec<f64>]) {
        let tensor = |part: &str| self.tensor(&format!("blk.{layer}.{part}"));
        let project = |part: &str, x: &[f64]| -> Vec<f64> {
            let y = times(&tensor(&format!("{part}.weight")).unwrap(), x);
            match tensor(&format!("{part}.bias")) {
                Some(bias) => y.iter().zip(bias).map(|(y, b)| y + b).collect(),
                None => y,
            }
        };
        let norm = tensor("attn_norm.weight").unwrap();
        let inputs: Vec<Vec<f64>> = stream.iter().map(|x| normed(x, &norm)).collect();
        let turned = |part: &str, at: usize| {
            let mut heads = project(part, &inputs[at]);
            heads.chunks_mut(tiny::HEAD_DIM).for_each(|head| self.turn(head, at));
            heads
        };
        let keys: Vec<Vec<f64>> = (0..inputs.len()).map(|at| turned("attn_k", at)).collect();
        let values: Vec<Vec<f64>> = inputs.iter().map(|x| project("attn_v", x)).collect();
        for at in 0..stream.len() {
            let queries = turned("attn_q", at);
            let mut attended = Vec::new();
            for (head, query) in queries.chunks(tiny::HEAD_DIM).enumerate() {
                let kv = head / (tiny::HEADS / tiny::KV_HEADS) * tiny::HEAD_DIM;
                let of_head = |row: &Vec<f64>| row[kv..kv + tiny::HEAD_DIM].to_vec();
                let score = |key: &Vec<f64>| {
                    let product: f64 = query.iter().zip(of_head(key)).map(|(q, k)| q * k).sum();
                    (product / (tiny::HEAD_DIM as f64).sqrt()).exp()
                };
                let scores: Vec<f64> = keys[..=at].iter().map(score).collect();
                let total: f64 = scores.iter().sum();
                for column in 0..tiny::HEAD_DIM {
                    let sum = scores.iter().zip(&values).map(|(s, v)| s * of_head(v)[column]);
                    attended.push(sum.sum::<f64>() / total);
                }
            }
            let update = project("attn_output", &attended);
            stream[at].iter_mut().zip(update).for_each(|(x, y)| *x += y);
            let x = normed(&stream[at], &tensor("ffn_norm.weight").unwrap());
            let (gate, up) = (project("ffn_gate", &x), project("ffn_up", &x));
            let gated: Vec<f64> =
                gate.iter().zip(up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
            let update = project("ffn_down", &gated);
            stream[at].iter_mut().zip(update).for_each(|(x, y)| *x += y);
        }
    }

    /// Turns the pairs (2 i, 2 i + 1) of a head at `position` by base^(-2 i / width) a position.
    fn turn(&self, head: &mut [f64], position: usize) {
        let width = head.len() as f64;
        for (i, pair) in head.chunks_mut(2).enumerate() {
            let frequency = 1e6f64.powf(-2.0 * i as f64 / width) / self.divisors[i];
            let (sin, cos) = (position as f64 * frequency).sin_cos();
            (pair[0], pair[1]) = (pair[0] * cos - pair[1] * sin, pair[0] * sin + pair[1] * cos);
        }
    }
}

fn times(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    matrix.chunks(x.len()).map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()).collect()
}

fn normed(x: &[f64], weight: &[f64]) -> Vec<f64> {
    let square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    x.iter().zip(weight).map(|(x, w)| x / (square + 1e-6).sqrt() * w).collect()
}

/// A tiny Llama with biases: of queries alone in layer 1, of all four projections in layer 2.
fn biased() -> RawModel {
    let mut raw = RawModel::tiny("llama");
    let mut noise = Noise(9);
    let mut add = |name: &str, length: usize| {
        raw.add_vector(name, &noise.values(length));
    };
    let (q, kv) = (tiny::HEADS * tiny::HEAD_DIM, tiny::KV_HEADS * tiny::HEAD_DIM);
    add("blk.1.attn_q.bias", q);
    add("blk.2.attn_q.bias", q);
    add("blk.2.attn_k.bias", kv);
    add("blk.2.attn_v.bias", kv);
    add("blk.2.attn_output.bias", tiny::HIDDEN);
    raw
}

/// Factors as Llama 3 has them: 1 for what turns fast, more for what turns slowly.
fn factors() -> Vec<f32> {
    (0..tiny::HEAD_DIM / 2).map(|i| 1.0 + i as f32 * 0.4).collect()
}

#[test]
fn biases_of_a_llama_are_added() {
    let raw = biased();
    let ones = vec![1.0; tiny::HEAD_DIM / 2];
    let far = distance(&plain(&raw), &ByHand::new(&raw, ones.clone()).logits());
    assert!(far < 1e-4, "{far}");
    let without = RawModel::tiny("llama");
    let far = distance(&plain(&without), &ByHand::new(&without, ones).logits());
    assert!(far < 1e-4, "{far}");
    assert!(distance(&plain(&raw), &plain(&without)) > 0.01, "they matter");
    check_engines(&raw);
}

#[test]
fn rotary_embeddings_are_stretched_as_the_file_says() {
    let with = |key: &str, factor: f32| {
        let mut raw = RawModel::tiny("llama");
        raw.remove("llama.rope.scaling.factor");
        raw.set(&format!("llama.rope.{key}"), Value::F32(factor));
        raw
    };
    let stretched = with("scaling.factor", 4.0);
    let by_hand = ByHand::new(&stretched, vec![4.0; tiny::HEAD_DIM / 2]).logits();
    let far = distance(&plain(&stretched), &by_hand);
    assert!(far < 1e-4, "{far}");
    assert_eq!(plain(&with("scale_linear", 4.0)), plain(&stretched), "its older name");
    let mut both = with("scale_linear", 2.0);
    both.set("llama.rope.scaling.factor", Value::F32(4.0));
    assert_eq!(plain(&both), plain(&stretched), "the newer name counts");
    let mut none = with("scaling.factor", 4.0);
    none.set("llama.rope.scaling.type", Value::String("none".into()));
    assert!(distance(&plain(&none), &plain(&stretched)) > 0.01);
    assert_eq!(plain(&none), plain(&with("scaling.factor", 1.0)));
    check_engines(&with("scale_linear", 4.0));

    let mut raw = RawModel::tiny("llama");
    raw.add_vector("rope_freqs.weight", &factors());
    let divisors = factors().into_iter().map(f64::from).collect();
    let far = distance(&plain(&raw), &ByHand::new(&raw, divisors).logits());
    assert!(far < 1e-4, "{far}");
    check_engines(&raw);
    let mut fours = RawModel::tiny("llama");
    fours.add_vector("rope_freqs.weight", &[4.0; tiny::HEAD_DIM / 2]);
    assert_eq!(plain(&fours), plain(&stretched));
}

#[test]
fn which_layers_of_gemma_see_a_window_is_what_the_file_says() {
    let with = |key: &str, value: Value| {
        let mut raw = RawModel::tiny("gemma3");
        // Shorter than the tokens, so that it counts.
        raw.set("gemma3.attention.sliding_window", Value::U32(3));
        raw.set(&format!("gemma3.{key}"), value);
        raw
    };
    let usual = plain(&with("attention.sliding_window", Value::U32(3)));
    let pattern = |value| with("attention.sliding_window_pattern", value);
    let list = |locals: [bool; tiny::LAYERS]| Value::Array(locals.map(Value::Bool).into());
    assert_eq!(plain(&pattern(Value::U32(6))), usual);
    assert_eq!(plain(&pattern(list([true, true, true, true, true, false, true]))), usual);
    let other = plain(&pattern(Value::U32(2)));
    assert!(distance(&other, &usual) > 0.001);
    assert_eq!(plain(&pattern(list([true, false, true, false, true, false, true]))), other);
    assert_eq!(plain(&with("rope.freq_base_swa", Value::F32(1e4))), usual);
    assert!(distance(&plain(&with("rope.freq_base_swa", Value::F32(50.0))), &usual) > 0.001);
    check_engines(&with("rope.freq_base_swa", Value::F32(50.0)));
    let short = list([true; tiny::LAYERS]);
    let Value::Array(mut short) = short else { unreachable!() };
    short.pop();
    let message = "gemma3.attention.sliding_window_pattern does not say of 7 layers true or false";
    assert_eq!(refusal(&pattern(Value::Array(short))), message);
    // Without a window all layers are global ones.
    let mut none = RawModel::tiny("gemma3");
    none.remove("gemma3.attention.sliding_window");
    assert_eq!(plain(&none), plain(&pattern(list([false; tiny::LAYERS]))));
}

#[test]
fn where_it_is_not_known_whether_layers_see_a_window_contexts_end_there() {
    for family in ["llama", "qwen2", "qwen3"] {
        let mut raw = RawModel::tiny(family);
        raw.set(&format!("{family}.attention.sliding_window"), Value::U32(100));
        let model = load(&raw).unwrap();
        assert_eq!(model.config().context_length, 100);
        let [warning] = model.warnings() else { panic!("{:?}", model.warnings()) };
        assert!(
            warning.starts_with(&format!("{family}.attention.sliding_window is 100")),
            "{warning}"
        );
        for harmless in [0, 256, 1 << 20] {
            raw.set(&format!("{family}.attention.sliding_window"), Value::U32(harmless));
            let model = load(&raw).unwrap();
            assert_eq!((model.config().context_length, model.warnings().len()), (256, 0));
        }
    }
}

#[test]
fn keys_that_nothing_follows_are_refused_by_name() {
    let text = |text: &str| Value::String(text.into());
    for (key, value, message) in [
        ("expert_count", Value::U32(8), "llama.expert_count is 8: a mixture of experts"),
        ("attn_logit_softcapping", Value::F32(50.0), "llama.attn_logit_softcapping is 50: a cap"),
        ("final_logit_softcapping", Value::F32(30.0), "llama.final_logit_softcapping is 30: a cap"),
        ("attention.value_length", Value::U32(16), "llama.attention.value_length is 16: another"),
        ("rope.dimension_count", Value::U32(16), "llama.rope.dimension_count is 16: another width"),
        ("attention.causal", Value::Bool(false), "llama.attention.causal is false: attention to"),
        (
            "attention.scale",
            Value::F32(1.0),
            "llama.attention.scale is 1: another scale of attention",
        ),
        ("logit_scale", Value::F32(0.5), "llama.logit_scale is 0.5: a factor on logits"),
        ("pooling_type", Value::U32(3), "llama.pooling_type is 3: one vector for a whole text"),
        (
            "rope.scaling.attn_factor",
            Value::F32(2.0),
            "llama.rope.scaling.attn_factor is 2: a factor",
        ),
        ("rope.scaling.type", text("yarn"), "llama.rope.scaling.type is \"yarn\", which is not"),
        ("rope.scaling.type", text("longrope"), "llama.rope.scaling.type is \"longrope\", which"),
        ("rope.scaling.type", Value::U32(1), "llama.rope.scaling.type is no text"),
        ("rope.scaling.factor", Value::F32(0.0), "GGUF key llama.rope.scaling.factor is no"),
        ("rope.scale_linear", Value::F32(f32::NAN), "GGUF key llama.rope.scale_linear is no"),
        (
            "attention.head_count",
            Value::Array(vec![Value::U32(4); 7]),
            "GGUF key llama.attention.head_count is",
        ),
    ] {
        let mut raw = RawModel::tiny("llama");
        raw.set(&format!("llama.{key}"), value);
        let found = refusal(&raw);
        assert!(found.starts_with(message), "{key}: {found}");
    }
    let mut neutral = RawModel::tiny("llama");
    let usual = plain(&neutral);
    for (key, value) in [
        ("expert_count", Value::U32(0)),
        ("final_logit_softcapping", Value::F32(0.0)),
        ("attention.causal", Value::Bool(true)),
        ("logit_scale", Value::F32(1.0)),
        ("attention.scale", Value::F32((tiny::HEAD_DIM as f32).sqrt().recip())),
        ("vocab_size", Value::U32(274)),
    ] {
        neutral.set(&format!("llama.{key}"), value);
    }
    assert_eq!(plain(&neutral), usual);
    assert!(load(&neutral).unwrap().warnings().is_empty());
}

#[test]
fn tensors_that_nothing_uses_are_refused_by_name() {
    for (family, name) in [
        ("llama", "blk.0.ffn_up.bias"),
        ("llama", "blk.3.attn_sinks.weight"),
        ("llama", "blk.7.attn_norm.weight"),
        ("llama", "output.bias"),
        ("qwen2", "blk.1.attn_output.bias"),
        ("qwen3", "blk.0.attn_q.bias"),
        ("gemma3", "rope_freqs.weight"),
        ("qwen3", "cls.output.weight"),
    ] {
        let mut raw = RawModel::tiny(family);
        raw.add_vector(name, &[1.0; 64]);
        let expected = format!("tensor {name} is none that is used of a {family} model");
        assert_eq!(refusal(&raw), expected);
    }
    let mut many = RawModel::tiny("llama");
    for layer in 0..3 {
        many.add_vector(&format!("blk.{layer}.layer_scale.weight"), &[1.0]);
    }
    let expected = "tensor blk.0.layer_scale.weight is none that is used of a llama model, nor are \
                    2 others that the file has";
    assert_eq!(refusal(&many), expected);
}

#[test]
fn what_is_not_known_is_warned_of() {
    let mut raw = RawModel::tiny("qwen3");
    raw.set("qwen3.later_idea", Value::F32(2.0));
    raw.set("qwen3.attention.new_thing", Value::Array(vec![Value::U32(1)]));
    raw.set("general.name", Value::String("a name".into()));
    let model = load(&raw).unwrap();
    let expected = "the GGUF file has keys of qwen3 that are not known here, and that nothing follows: \
                    attention.new_thing, later_idea";
    assert_eq!(model.warnings(), [expected]);

    let mut raw = RawModel::tiny("qwen3");
    raw.set("tokenizer.ggml.model", Value::String("gpt2".into()));
    raw.set("tokenizer.ggml.merges", Value::Array(vec![Value::String("h e".into())]));
    let model = load(&raw).unwrap();
    let [warning] = model.warnings() else { panic!("{:?}", model.warnings()) };
    assert!(warning.contains("lacks tokenizer.ggml.pre"), "{warning}");
    assert!(warning.contains("`default` is used"), "{warning}");
    raw.set("tokenizer.ggml.pre", Value::String("qwen2".into()));
    assert!(load(&raw).unwrap().warnings().is_empty());
}

#[test]
fn an_exported_model_has_all_that_the_file_had() {
    let folder = tempfile::tempdir().unwrap();
    let [path, exported] = ["a.gguf", "b.gguf"].map(|name| folder.path().join(name));
    let mut raw = biased();
    raw.add_vector("rope_freqs.weight", &factors());
    raw.set("general.alignment", Value::U32(32));
    raw.set("general.tags", Value::Array(vec![Value::String("sheep".into())]));
    // A list that is not read, and a key that is not known.
    raw.set("general.long", Value::Array(vec![Value::U8(7); 10_000]));
    raw.write(&path);
    Model::load(&path, None).unwrap().export(&exported, false).unwrap();
    assert_eq!(metadata(&exported), metadata(&path));
    let (before, after) = (RawModel::read(&path), RawModel::read(&exported));
    for (before, after) in before.tensors.iter().zip(&after.tensors) {
        assert!(before.name == after.name && before.data == after.data, "{}", before.name);
    }
    assert_eq!(before.tensors.len(), after.tensors.len());
    let expanded = folder.path().join("c.gguf");
    Model::load(&path, None).unwrap().export(&expanded, true).unwrap();
    let logits =
        |path: &Path| PlainDecoder::new(&Model::load(path, None).unwrap()).unwrap().logits(&TOKENS);
    assert_eq!(logits(&expanded), logits(&path));
}

/// All keys and values, in words, as another reader finds them.
fn metadata(path: &Path) -> Vec<String> {
    let content = Content::read(&mut std::fs::File::open(path).unwrap()).unwrap();
    let mut all: Vec<String> =
        content.metadata.iter().map(|(key, value)| format!("{key}: {value:?}")).collect();
    all.sort();
    all
}
