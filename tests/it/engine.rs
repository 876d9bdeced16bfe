//! Engines against the plain forward, on tiny models of all four families.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use wenzhai::engine::candle::{CandleEngine, DeviceChoice, Devices};
use wenzhai::engine::plain::PlainDecoder;
use wenzhai::generate::{Engine, Field, Generator, Limits, Request, Sampling, TokenId, TokenSet};
use wenzhai::model::{Adapter, Model};

use crate::support::noise::Noise;
use crate::support::tiny::{self, FAMILIES, tokens};

const CONTEXT: usize = 256;

fn model(folder: &Path, family: &str) -> Model {
    let path = folder.join(format!("{family}.gguf"));
    tiny::write_model(&path, family, 7);
    Model::load(&path, None).unwrap()
}

fn engine(model: &Model) -> CandleEngine {
    CandleEngine::new(model, DeviceChoice::Cpu, CONTEXT).unwrap()
}

/// Largest difference, relative to the largest logit of the row.
fn distance(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let row = |(a, b): (&Vec<f32>, &Vec<f32>)| {
        let largest = a.iter().fold(0f32, |m, x| m.max(x.abs()));
        assert!(largest > 0.0 && a.len() == b.len());
        a.iter().zip(b).fold(0f32, |m, (a, b)| m.max((a - b).abs())) / largest
    };
    a.iter().zip(b).map(row).fold(0.0, f32::max)
}

#[test]
fn candle_engine_computes_what_the_plain_forward_computes() {
    let folder = tempfile::tempdir().unwrap();
    for family in FAMILIES {
        let model = model(folder.path(), family);
        // Longer than the sliding window several times over.
        let tokens = tokens(1, 5 * tiny::WINDOW);
        let plain = PlainDecoder::new(&model).unwrap().logits(&tokens);
        let candle = engine(&model).logits(&tokens).unwrap();
        let distance = distance(&plain, &candle);
        assert!(distance < 1e-4, "{family}: {distance}");
    }
}

/// Greedy text by the plain forward, computed anew for every token.
fn plain_greedy(plain: &PlainDecoder, prompt: &[TokenId], count: usize) -> Vec<TokenId> {
    let mut context = prompt.to_vec();
    for _ in 0..count {
        let logits = plain.logits(&context).pop().unwrap();
        let best = (0..logits.len()).fold(0, |b, i| if logits[i] > logits[b] { i } else { b });
        context.push(best as TokenId);
    }
    context.split_off(prompt.len())
}

fn generate(
    engine: &mut dyn Engine,
    limits: Limits,
    prefix: &[TokenId],
    prompts: &[Vec<TokenId>],
    count: usize,
) -> BTreeMap<u64, Vec<TokenId>> {
    let mut generator = Generator::new(engine, limits, prefix.to_vec()).unwrap();
    let never = Arc::new(TokenSet::default());
    for (id, prompt) in prompts.iter().enumerate() {
        let field =
            Field { label: Vec::new(), stop: never.clone(), max_tokens: count, filter: None };
        let prompt = prompt.clone();
        let fields = vec![field];
        let request = Request { id: id as u64, prompt, fields, sampling: Sampling::Greedy };
        generator.push(request).unwrap();
    }
    let mut texts = BTreeMap::new();
    while let Some(turn) = generator.step().unwrap() {
        for mut finished in turn.finished {
            texts.insert(finished.id, finished.fields.remove(0).tokens);
        }
    }
    texts
}

#[test]
fn batches_prefixes_and_chunks_write_what_the_plain_forward_writes() {
    let folder = tempfile::tempdir().unwrap();
    let wide = Limits {
        max_sequences: 5,
        rows_per_step: 48,
        prefill_rows: 64,
        max_context: CONTEXT,
        kv_positions: 1000,
    };
    let narrow = Limits { max_sequences: 2, rows_per_step: 7, ..wide };
    for family in ["gemma3", "llama"] {
        let model = model(folder.path(), family);
        let plain = PlainDecoder::new(&model).unwrap();
        let prefix = tokens(2, 9);
        let mut prompts: Vec<Vec<TokenId>> =
            (0..6).map(|i| [prefix.clone(), tokens(10 + i, 5 + 6 * i as usize)].concat()).collect();
        prompts.push(tokens(99, 11)); // does not begin with the prefix
        let expected: BTreeMap<u64, Vec<TokenId>> =
            (0..).zip(&prompts).map(|(id, p)| (id, plain_greedy(&plain, p, 8))).collect();
        for (limits, prefix) in [(wide, &prefix[..]), (narrow, &prefix[..]), (wide, &[])] {
            let written = generate(&mut engine(&model), limits, prefix, &prompts, 8);
            assert_eq!(written, expected, "{family}, {limits:?}, prefix {}", prefix.len());
        }
    }
}

fn adapter_bytes(scale: &str, tensors: &[(&str, usize, usize)]) -> Vec<u8> {
    let mut random = Noise(3);
    let tensors: HashMap<String, Tensor> = tensors
        .iter()
        .map(|&(name, rows, columns)| {
            let values: Vec<f32> = (0..rows * columns).map(|_| 0.3 * random.next()).collect();
            (name.to_owned(), Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap())
        })
        .collect();
    let metadata = HashMap::from([("scale".to_owned(), scale.to_owned())]);
    safetensors::serialize(&tensors, Some(metadata)).unwrap()
}

#[test]
fn an_adapter_is_merged_and_survives_export() {
    let folder = tempfile::tempdir().unwrap();
    let base = model(folder.path(), "gemma3");
    let (q, hidden) = (tiny::HEADS * tiny::HEAD_DIM, tiny::HIDDEN);
    let names = [("blk.2.attn_q.lora_a", 4, hidden), ("blk.2.attn_q.lora_b", q, 4)];
    let bytes = adapter_bytes("0.5", &names);
    let path = folder.path().join("gemma3.gguf");
    let merged = Model::load(&path, Some(Adapter { name: "test", bytes: &bytes })).unwrap();

    // W + 0.5 · B · A, up to the rounding of Q8_0: half a level of 1/127 of each block's maximum.
    let dense = |model: &Model| {
        let matrix = model.weights().layers[2].attn_q.dequantize(&Device::Cpu).unwrap();
        matrix.to_vec2::<f32>().unwrap()
    };
    let factors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
    let [a, b] = ["lora_a", "lora_b"]
        .map(|part| factors[&format!("blk.2.attn_q.{part}")].to_vec2::<f32>().unwrap());
    for (row, (base, merged)) in dense(&base).iter().zip(dense(&merged)).enumerate() {
        for (column, (base, merged)) in base.iter().zip(merged).enumerate() {
            let delta: f32 = (0..4).map(|r| 0.5 * b[row][r] * a[r][column]).sum();
            assert!((base + delta - merged).abs() < 0.01, "{row} {column}");
        }
    }

    let exported = folder.path().join("merged.gguf");
    merged.export(&exported, false).unwrap();
    let again = Model::load(&exported, None).unwrap();
    let tokens = tokens(4, 20);
    let logits = |model: &Model| engine(model).logits(&tokens).unwrap();
    assert_eq!(logits(&again), logits(&merged));
    assert_ne!(logits(&merged), logits(&base));
    merged.export(&path, true).unwrap();
    let replaced = Model::load(&path, None).unwrap();
    assert_eq!(
        logits(&replaced),
        logits(&merged),
        "exported as f32 onto the file that it came from"
    );
}

#[test]
fn factors_of_8_bits_are_worth_what_their_scale_says() {
    let folder = tempfile::tempdir().unwrap();
    model(folder.path(), "qwen2");
    let path = folder.path().join("qwen2.gguf");
    let (q, hidden) = (tiny::HEADS * tiny::HEAD_DIM, tiny::HIDDEN);
    let mut random = Noise(5);
    let mut integers = |count: usize| -> Vec<i8> {
        (0..count).map(|_| (127.0 * random.next()).round().clamp(-127.0, 127.0) as i8).collect()
    };
    let (a, b, worth) = (integers(2 * hidden), integers(q * 2), [2e-4_f32, 5e-5]);
    let as_bytes =
        |values: &[i8]| -> Vec<u8> { values.iter().map(|v| v.cast_unsigned()).collect() };
    let worth_bytes: Vec<u8> = worth.iter().flat_map(|value| value.to_le_bytes()).collect();
    let (a_bytes, b_bytes) = (as_bytes(&a), as_bytes(&b));
    let view = |kind, shape: &[usize], bytes| {
        safetensors::tensor::TensorView::new(kind, shape.to_vec(), bytes).unwrap()
    };
    let small = HashMap::from([
        ("blk.1.attn_q.lora_a", view(safetensors::Dtype::I8, &[2, hidden], &a_bytes)),
        ("blk.1.attn_q.lora_b", view(safetensors::Dtype::I8, &[q, 2], &b_bytes)),
        ("blk.1.attn_q.lora_scale", view(safetensors::Dtype::F32, &[2], &worth_bytes)),
    ]);
    let metadata = HashMap::from([("scale".to_owned(), "0.5".to_owned())]);
    let small = safetensors::serialize(small, Some(metadata.clone())).unwrap();
    let tensor = |values: Vec<f32>, rows, columns| {
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    };
    let wide_a = a.iter().enumerate().map(|(at, v)| f32::from(*v) * worth[at / hidden]).collect();
    let wide_b = b.iter().map(|v| f32::from(*v)).collect();
    let wide = HashMap::from([
        ("blk.1.attn_q.lora_a", tensor(wide_a, 2, hidden)),
        ("blk.1.attn_q.lora_b", tensor(wide_b, q, 2)),
    ]);
    let wide = safetensors::serialize(&wide, Some(metadata)).unwrap();
    let dense = |bytes: &[u8]| {
        let merged = Model::load(&path, Some(Adapter { name: "test", bytes })).unwrap();
        let matrix = merged.weights().layers[1].attn_q.dequantize(&Device::Cpu).unwrap();
        matrix.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let untouched = Model::load(&path, None).unwrap().weights().layers[1].attn_q.clone();
    let untouched = untouched.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap();
    let (small, wide, untouched) = (dense(&small), dense(&wide), untouched.to_vec1().unwrap());
    let furthest = |other: &[f32]| {
        small.iter().zip(other).map(|(a, b): (&f32, &f32)| (a - b).abs()).fold(0.0, f32::max)
    };
    assert!(furthest(&wide) < 0.01 && furthest(&untouched) > 0.1);
}

/// Low-rank factors for all matrices of a tiny model, and with `sizes` those of its channels, which
/// differ by factors of up to seven.
fn whole_adapter(sizes: bool) -> Vec<u8> {
    const Q: usize = tiny::HEADS * tiny::HEAD_DIM;
    const KV: usize = tiny::KV_HEADS * tiny::HEAD_DIM;
    let (hidden, ffn) = (tiny::HIDDEN, tiny::FFN);
    let mut random = Noise(8);
    let mut tensors = HashMap::new();
    let mut add = |name: String, dims: &[usize], value: &mut dyn FnMut() -> f32| {
        let values: Vec<f32> = (0..dims.iter().product()).map(|_| value()).collect();
        tensors.insert(name, Tensor::from_vec(values, dims, &Device::Cpu).unwrap());
    };
    for layer in 0..tiny::LAYERS {
        for (part, outputs, inputs) in [
            ("attn_q", Q, hidden),
            ("attn_k", KV, hidden),
            ("attn_v", KV, hidden),
            ("attn_output", hidden, Q),
            ("ffn_gate", ffn, hidden),
            ("ffn_up", ffn, hidden),
            ("ffn_down", hidden, ffn),
        ] {
            let mut small = || 0.02 * random.next();
            add(format!("blk.{layer}.{part}.lora_a"), &[2, inputs], &mut small);
            add(format!("blk.{layer}.{part}.lora_b"), &[outputs, 2], &mut small);
        }
        let places =
            [("attn_norm", hidden), ("attn_output", KV), ("ffn_norm", hidden), ("ffn_down", ffn)];
        for (part, channels) in places.into_iter().filter(|_| sizes) {
            let mut size = || random.next().exp();
            add(format!("blk.{layer}.{part}.rms"), &[channels], &mut size);
        }
    }
    let metadata = HashMap::from([("scale".to_owned(), "1".to_owned())]);
    safetensors::serialize(&tensors, Some(metadata)).unwrap()
}

#[test]
fn channels_of_equal_size_leave_a_model_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = tokens(6, 40);
    for family in FAMILIES {
        model(folder.path(), family);
        let path = folder.path().join(format!("{family}.gguf"));
        let [without, with] = [false, true].map(|sizes| {
            let bytes = whole_adapter(sizes);
            Model::load(&path, Some(Adapter { name: "test", bytes: &bytes })).unwrap()
        });
        let norms = |model: &Model| model.weights().layers[3].ffn_norm.clone();
        let ratios = norms(&without).into_iter().zip(norms(&with)).map(|(a, b)| a / b);
        let (least, most) = ratios.fold((f32::MAX, 0f32), |(l, m), r| (l.min(r), m.max(r)));
        assert!(most > 2.0 * least, "{family}: norms are divided by {least} to {most}");
        let plain = |model: &Model| PlainDecoder::new(model).unwrap().logits(&tokens);
        let distance = distance(&plain(&without), &plain(&with));
        // Rounding weights alone is 0.07 here; one factor forgotten is 0.3 and more.
        assert!(distance < 0.2, "{family}: {distance}");

        let exported = folder.path().join("exported.gguf");
        with.export(&exported, false).unwrap();
        let again = Model::load(&exported, None).unwrap();
        assert_eq!(plain(&again), plain(&with), "{family}");
        let told = [&without, &with, &again].map(Model::is_equalised);
        assert_eq!(told, [false, true, true], "{family}");
    }
}

#[test]
fn adapters_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    model(folder.path(), "gemma3");
    let path = folder.path().join("gemma3.gguf");
    let check = |bytes: Vec<u8>, expected: &str| {
        let error = Model::load(&path, Some(Adapter { name: "x", bytes: &bytes })).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    let (q, hidden) = (tiny::HEADS * tiny::HEAD_DIM, tiny::HIDDEN);
    let fitting = [("blk.2.attn_q.lora_a", 4, hidden), ("blk.2.attn_q.lora_b", q, 4)];
    check(b"no safetensors".to_vec(), "not a safetensors file");
    check(adapter_bytes("none", &fitting), "lacks a number `scale`");
    let foreign = [fitting[0], fitting[1], ("blk.99.attn_q.lora_a", 4, hidden)];
    check(adapter_bytes("1", &foreign), "2 of its 3 tensors belong to this model");
    let wide = [fitting[0], ("blk.2.attn_q.lora_b", q + 1, 4)];
    check(adapter_bytes("1", &wide), "does not fit blk.2.attn_q");
    let sizes = [fitting[0], fitting[1], ("blk.2.attn_norm.rms", 1, hidden)];
    check(adapter_bytes("1", &sizes), "2 of its 3 tensors belong to this model");
}

#[test]
fn devices_have_names_and_missing_ones_say_how_to_get_them() {
    let parse = |text: &str| text.parse::<DeviceChoice>();
    assert_eq!(parse("cuda:1").unwrap(), DeviceChoice::Cuda(1));
    assert_eq!(parse("metal").unwrap().to_string(), "metal");
    assert_eq!(
        parse("tpu").unwrap_err().hint_text(),
        Some("devices are cpu, cuda, cuda:N, cuda:0,1 and metal")
    );
    let several = |text: &str| text.parse::<Devices>();
    assert_eq!(several("cuda:2,0").unwrap().all(), [2, 0].map(DeviceChoice::Cuda));
    for text in ["cpu", "cuda:0", "metal", "cuda:0,1,3"] {
        assert_eq!(several(text).unwrap().to_string(), text);
    }
    for (text, message) in [
        ("cuda:0,1,0", "device cuda:0,1,0 names a card twice"),
        ("cuda:0,", "unknown device \"cuda:\""),
        ("cuda:0,cpu", "unknown device \"cuda:cpu\""),
        ("cpu,cuda:0", "unknown device \"cpu,cuda:0\""),
    ] {
        assert_eq!(several(text).unwrap_err().to_string(), message);
    }
}
