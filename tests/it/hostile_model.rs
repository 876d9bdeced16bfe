//! Models, adapters and chat templates that are damaged, cut, of another kind, or made to do harm:
//! each is refused in words that name what is wrong, and nothing panics.

mod bounds;

use std::collections::HashMap;
use std::error::Error as _;
use std::path::Path;

use candle_core::quantized::gguf_file::Value;
use candle_core::{Device, Tensor};
use safetensors::tensor::TensorView;
use wenzhai::engine::candle::{CandleEngine, DeviceChoice};
use wenzhai::engine::cpu::{CpuEngine, CpuSettings};
use wenzhai::error::Error;
use wenzhai::generate::{Engine, Limits};
use wenzhai::model::{Adapter, Model};
use wenzhai::prompt::{Codec, Template};

use crate::support::raw_gguf::{RawModel, RawValue, put_text};
use crate::support::tiny;

fn load_bytes(bytes: &[u8]) -> Result<Model, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    Model::load(&path, None)
}

/// What is wrong with a file, and what helps.
fn refusal(bytes: &[u8]) -> (String, Option<String>) {
    let error = load_bytes(bytes).expect_err("it is refused");
    assert!(error.to_string().starts_with("cannot load "), "{error}");
    let cause = error.source().expect("what is wrong");
    let cause = cause.downcast_ref::<Error>().expect("in our words");
    (cause.to_string(), cause.hint_text().map(str::to_owned))
}

fn check(bytes: &[u8], message: &str) {
    let (found, _) = refusal(bytes);
    assert!(found.starts_with(message), "{found}");
}

/// A tiny Llama that `change` has changed.
fn changed(change: impl FnOnce(&mut RawModel)) -> Vec<u8> {
    let mut raw = RawModel::tiny("llama");
    change(&mut raw);
    raw.bytes()
}

#[test]
fn what_is_no_gguf_file_is_called_what_it_is() {
    check(b"", "it is not a GGUF file: it is empty");
    check(b"<!DOCTYPE html><title>Sign in</title>", "it is not a GGUF file: it is a web page");
    check(b"\n <HTML><body>", "it is not a GGUF file: it is a web page");
    check(b"PK\x03\x04 and so on", "it is not a GGUF file: it is a ZIP archive");
    check(b"tjgg\x01\0\0\0", "it is not a GGUF file: it has a format that llama.cpp had before");
    check(
        b"version https://git-lfs.github.com/spec/v1\noid",
        "it is not a GGUF file: it is a pointer of Git LFS",
    );
    let adapter = b"\x58\0\0\0\0\0\0\0{\"__metadata__\":{}}";
    check(adapter, "it is not a GGUF file: it looks like a safetensors file");
    check(b"Dear editor,\nsheep", "it is not a GGUF file: it begins with \"Dear editor,\\nshe\"");
}

#[test]
fn files_for_other_programs_are_told_apart() {
    let version = |version: u32| changed(|raw| raw.version = version);
    check(&version(1), "it is a GGUF file of version 1");
    check(&version(4), "it is a GGUF file of version 4");
    check(&version(3 << 24), "it is a big-endian GGUF file");
    check(&changed(|raw| raw.magic = *b"FUGG"), "it is a big-endian GGUF file");
    let part = changed(|raw| {
        raw.set("split.no", Value::U16(1));
        raw.set("split.count", Value::U16(3));
    });
    let (message, hint) = refusal(&part);
    assert_eq!(message, "it is part 2 of 3 of a model that was split");
    assert!(hint.unwrap().contains("llama-gguf-split --merge"));
    let whole = changed(|raw| raw.set("split.count", Value::U16(1)));
    assert!(load_bytes(&whole).is_ok());
    let iq4 = changed(|raw| {
        for name in ["blk.3.attn_q.weight", "blk.4.attn_q.weight"] {
            raw.tensor(name).kind = 20;
        }
    });
    let (message, hint) = refusal(&iq4);
    let expected = "tensors of type IQ4_NL (20) are not supported: blk.3.attn_q.weight and 1 more";
    assert_eq!(message, expected);
    assert!(hint.unwrap().starts_with("supported are F32, F16, BF16, Q4_0, "));
    let future = changed(|raw| raw.tensor("blk.3.attn_q.weight").kind = 99);
    check(&future, "tensors of type number 99, which ggml did not have when");
}

#[test]
fn a_file_that_is_cut_says_so_wherever_it_is_cut() {
    let mut raw = RawModel::tiny("llama");
    raw.tensors.iter_mut().for_each(|tensor| {
        tensor.data.resize(tensor.data.len().next_multiple_of(32), 0);
    });
    let bytes = raw.bytes();
    let header = bytes.len() - raw.tensors.iter().map(|tensor| tensor.data.len()).sum::<usize>();
    assert!(load_bytes(&bytes).is_ok());
    let mut cuts: Vec<usize> = (4..600).chain((600..header).step_by(31)).collect();
    // Up to 31 bytes behind the last tensor are padding.
    cuts.extend((header..bytes.len() - 32).step_by(9_973));
    cuts.extend([header - 1, bytes.len() - 32]);
    for cut in cuts {
        let (message, hint) = refusal(&bytes[..cut]);
        let in_header = format!("the file ends within its header: it has {cut} bytes, and ");
        let behind = format!("the file ends at byte {cut}, and tensor ");
        // Between the two there may be a few bytes of padding.
        let fits = (cut < header && message.starts_with(&in_header))
            || (cut + 32 > header && message.starts_with(&behind));
        assert!(fits, "{cut} of {header}: {message}");
        assert_eq!(hint.as_deref(), Some("it is cut or damaged: fetch it again"), "{cut}");
    }
}

#[test]
fn claims_that_no_file_can_keep_are_refused() {
    let value = |key: &str, kind: u32, bytes: Vec<u8>| {
        changed(|raw| raw.entries.push((key.into(), RawValue::Bytes(kind, bytes))))
    };
    let list = |kind: u32, count: u64| [&kind.to_le_bytes()[..], &count.to_le_bytes()].concat();
    check(&changed(|raw| raw.more[0] = 1 << 40), "its header announces 10995116277");
    check(&changed(|raw| raw.more[1] = u64::MAX - 70), "its header announces 1844674407370955");
    check(&changed(|raw| raw.more[0] = 60_000), "the file ends within its header");
    check(&value("x", 8, u64::MAX.to_le_bytes().into()), "the file ends within its header");
    check(&value("x", 9, list(5, u64::MAX)), "the file ends within its header");
    check(&value("x", 9, list(8, 1 << 40)), "the file ends within its header");
    check(&value("x", 9, list(9, 1 << 30)), "the file ends within its header");
    check(&value("x", 13, vec![]), "x has a value of type 13, which GGUF does not have");
    check(&value("x", 9, [list(77, 1), vec![0; 8]].concat()), "x has a value of type 77");
    check(&value("x", 7, vec![2]), "x is 2 where 0 (false) or 1 (true) is expected");
    let nested = (0..9).flat_map(|_| list(9, 1)).chain(list(0, 0)).collect();
    check(&value("x", 9, nested), "x has lists in lists in more than 4 levels");
    check(&changed(|raw| raw.entries.push(raw.entries[0].clone())), "it has the key general.archi");
    let long = "a".repeat(70_000);
    check(&changed(|raw| raw.set(&long, Value::U8(1))), "it has a name of 70000 bytes");
    let template = Value::String("a".repeat(2 << 20));
    let template = changed(|raw| raw.set("tokenizer.chat_template", template));
    check(&template, "tokenizer.chat_template has 2097152 bytes, more than 1048576");
    let tokens = [list(0, 1 << 20), vec![0; 1 << 20]].concat();
    let tokens = changed(|raw| {
        raw.remove("tokenizer.ggml.tokens");
        raw.entries.push(("tokenizer.ggml.tokens".into(), RawValue::Bytes(9, tokens)));
    });
    check(&tokens, "tokenizer.ggml.tokens has 1048576 values, more than 524288");
    let half_a_million = [list(0, 1 << 19), vec![0; 1 << 19]].concat();
    let lists = changed(|raw| {
        for name in ["scores", "token_type", "merges"] {
            let key = format!("tokenizer.ggml.{name}");
            raw.remove(&key);
            raw.entries.push((key, RawValue::Bytes(9, half_a_million.clone())));
        }
    });
    check(&lists, "the tokenizer's lists have more than 1310720 values up to tokenizer.ggml.");
    for alignment in [0, 1 << 21, 33] {
        let odd = changed(|raw| raw.set("general.alignment", Value::U32(alignment)));
        check(&odd, "general.alignment is no power of two up to 1048576");
    }

    let name = "blk.3.attn_q.weight";
    let dimensions =
        |dimensions: &[u64]| changed(|raw| raw.tensor(name).dimensions = dimensions.to_vec());
    check(
        &dimensions(&[64, 0]),
        "tensor blk.3.attn_q.weight has dimensions [64, 0], one of which is 0",
    );
    check(&dimensions(&[]), "tensor blk.3.attn_q.weight has dimensions [], that is, none");
    check(&dimensions(&[1; 5]), "tensor blk.3.attn_q.weight has 5 dimensions, more than 4");
    check(
        &dimensions(&[65, 64]),
        "tensor blk.3.attn_q.weight has dimensions [65, 64], and type Q5_0",
    );
    let huge =
        "tensor blk.3.attn_q.weight has dimensions [64, 4611686018427387904], more than a file";
    check(&dimensions(&[64, 1 << 62]), huge);
    check(&dimensions(&[1 << 32, 1 << 32]), "tensor blk.3.attn_q.weight has dimensions");
    check(&dimensions(&[64, 1 << 40]), "the file ends at byte");
    check(
        &dimensions(&[64, 64]),
        "tensor blk.3.attn_q.weight has shape [64, 64] instead of [128, 64]",
    );
    check(&changed(|raw| raw.tensor(name).offset = 1 << 50), "the file ends at byte");
    let first = "tensor blk.0.attn_k.weight has dimensions [64, 64], more than a file can hold";
    check(&changed(|raw| raw.tensors[0].offset = u64::MAX - 5), first);
    let twice = changed(|raw| raw.tensor(name).name = "blk.4.attn_q.weight".into());
    check(&twice, "it has the tensor blk.4.attn_q.weight twice");
    let shared = changed(|raw| {
        // With `x` the file has bytes enough for all; `y` says that it begins in the first tensor.
        raw.add_vector("x", &[0.0; 512]);
        raw.add_vector("y", &[0.0; 512]);
        let offset: usize = raw.tensors[..raw.tensors.len() - 1]
            .iter()
            .map(|tensor| tensor.data.len().next_multiple_of(32))
            .sum();
        raw.tensor("y").offset = (offset as u64).wrapping_neg() + 32;
    });
    check(&shared, "tensor y lies on tensor blk.0.attn_k.weight");
    let heap = changed(|raw| {
        for at in 0..600 {
            raw.add_vector(&format!("heap.{at}"), &[]);
            let tensor = raw.tensors.last_mut().unwrap();
            (tensor.dimensions, tensor.offset) = (vec![1 << 12], u64::MAX - (1 << 15) + 1);
        }
    });
    check(&heap, "its tensors take more bytes than the file has, so some lie on others");
    let layers = changed(|raw| raw.set("llama.block_count", Value::U32(1 << 20)));
    check(&layers, "the GGUF file lacks tensor blk.7.attn_norm.weight");
    let many = changed(|raw| raw.set("llama.attention.head_count", Value::U32(1 << 20)));
    check(&many, "1048576 query heads, 2 key heads of width 32 do not fit together");
    let hidden = changed(|raw| raw.set("llama.embedding_length", Value::U32(1 << 20)));
    check(&hidden, "tensor token_embd.weight has shape [274, 64] instead of [274, 1048576]");
}

#[test]
fn long_lists_that_nobody_reads_are_left_out() {
    let list = [&4u32.to_le_bytes()[..], &(1u64 << 20).to_le_bytes(), &[7; 4 << 20]].concat();
    let mut texts = [&8u32.to_le_bytes()[..], &100_000u64.to_le_bytes()].concat();
    (0..100_000).for_each(|_| put_text(&mut texts, "sheep"));
    let lists = changed(|raw| {
        raw.entries.push(("imatrix.counts".into(), RawValue::Bytes(9, list)));
        raw.entries.push(("imatrix.files".into(), RawValue::Bytes(9, texts)));
        raw.set("general.license", Value::String("L".repeat(3 << 20)));
    });
    assert!(load_bytes(&lists).unwrap().warnings().is_empty());
}

#[test]
fn values_that_are_no_numbers_are_refused_with_the_tensor() {
    let what = "holds infinite values or such that are no numbers";
    // A norm is f32; the others begin their blocks with scales of 16 bits, or end them so (Q6_K).
    for (name, at, bits) in [
        ("blk.3.attn_norm.weight", 0, &f32::NAN.to_le_bytes()[..]),
        ("output_norm.weight", 4, &f32::INFINITY.to_le_bytes()),
        ("blk.3.attn_q.weight", 22, &0x7c00u16.to_le_bytes()),
        ("blk.3.attn_k.weight", 2, &0x7e00u16.to_le_bytes()),
        ("blk.3.attn_v.weight", 34, &0xfc00u16.to_le_bytes()),
        ("token_embd.weight", 0, &0x7c01u16.to_le_bytes()),
    ] {
        let bytes = changed(|raw| {
            raw.tensor(name).data[at..at + bits.len()].copy_from_slice(bits);
        });
        assert_eq!(refusal(&bytes).0, format!("tensor {name} {what}"));
    }
    let down = changed(|raw| {
        let tensor = raw.tensor("blk.3.ffn_down.weight");
        let at = if tensor.kind == 14 { 208 } else { 0 };
        tensor.data[at..at + 2].copy_from_slice(&0x7c00u16.to_le_bytes());
    });
    assert_eq!(refusal(&down).0, format!("tensor blk.3.ffn_down.weight {what}"));
    let mut factors = vec![1.0; tiny::HEAD_DIM / 2];
    for (odd, message) in [
        (f32::NAN, what),
        (0.0, "holds factors that are not positive"),
        (-1.0, "holds factors that"),
    ] {
        factors[3] = odd;
        let bytes = changed(|raw| raw.add_vector("rope_freqs.weight", &factors));
        check(&bytes, &format!("tensor rope_freqs.weight {message}"));
    }
    let epsilon = "llama.attention.layer_norm_rms_epsilon";
    let bytes = changed(|raw| raw.set(epsilon, Value::F32(f32::NAN)));
    check(&bytes, "GGUF key llama.attention.layer_norm_rms_epsilon is no positive number");
}

#[test]
fn a_vocabulary_of_more_tokens_than_rows_is_refused() {
    let bytes = changed(|raw| {
        let tensor = raw.tensor("token_embd.weight");
        tensor.dimensions[1] = 200;
        tensor.data.truncate(200 * 64 / 32 * 34);
    });
    check(&bytes, "tensor token_embd.weight has 200 rows for 274 tokens");
}

/// Adapters: (name, type, shape) of tensors of zeros.
fn adapter(tensors: &[(&str, safetensors::Dtype, &[usize])]) -> Vec<u8> {
    let tensors: Vec<(String, Vec<usize>, safetensors::Dtype, Vec<u8>)> = tensors
        .iter()
        .map(|(name, kind, shape)| {
            let bytes = shape.iter().product::<usize>() * kind.bitsize() / 8;
            ((*name).to_owned(), shape.to_vec(), *kind, vec![0; bytes])
        })
        .collect();
    let views: HashMap<String, TensorView<'_>> = tensors
        .iter()
        .map(|(name, shape, kind, data)| {
            (name.clone(), TensorView::new(*kind, shape.clone(), data).unwrap())
        })
        .collect();
    let metadata = HashMap::from([("scale".to_owned(), "1".to_owned())]);
    safetensors::serialize(views, Some(metadata)).unwrap()
}

#[test]
fn adapters_whose_claims_are_odd_are_refused() {
    use safetensors::Dtype::{F32, F64, I8};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    tiny::write_model(&path, "llama", 3);
    let check = |bytes: &[u8], message: &str| {
        let error = Model::load(&path, Some(Adapter { name: "x", bytes })).expect_err(message);
        assert!(error.to_string().starts_with(&format!("adapter x: {message}")), "{error}");
    };
    let (a, b) = ("blk.0.attn_q.lora_a", "blk.0.attn_q.lora_b");
    let empty = adapter(&[(a, F32, &[0, 64]), (b, F32, &[999_999_999_999, 0])]);
    check(&empty, "does not fit blk.0.attn_q of this model: ");
    check(&adapter(&[(a, F32, &[0, 64]), (b, F32, &[128, 0])]), "does not fit blk.0.attn_q");
    check(&adapter(&[(a, F32, &[65, 64]), (b, F32, &[128, 65])]), "does not fit blk.0.attn_q");
    check(&adapter(&[(a, F32, &[4, 64]), (b, F32, &[128, 5])]), "does not fit blk.0.attn_q");
    check(&adapter(&[(a, F32, &[4, 64, 1]), (b, F32, &[128, 4])]), "does not fit blk.0.attn_q");
    check(&adapter(&[(a, F32, &[256]), (b, F32, &[128, 4])]), "does not fit blk.0.attn_q");
    check(&adapter(&[(a, F64, &[4, 64]), (b, F32, &[128, 4])]), "blk.0.attn_q.lora_a has type F64");
    check(&adapter(&[(a, F32, &[4, 64])]), "0 of its 1 tensors belong to this model");
    let twelve = "blk.00.attn_q.lora_b";
    check(&adapter(&[(a, F32, &[4, 64]), (twelve, F32, &[128, 4])]), "0 of its 2 tensors");
    let scale = ("blk.0.attn_q.lora_scale", F32, &[5][..]);
    let pair = [(a, I8, &[4, 64][..]), (b, I8, &[128, 4]), scale];
    check(&adapter(&pair), "does not fit blk.0.attn_q of this model: blk.0.attn_q.lora_scale has");
    check(&(5u64 << 20).to_le_bytes(), "not a safetensors file: a header of 5242880 bytes");
    check(&[0xff; 64], "not a safetensors file: a header of 18446744073709551615 bytes");
    check(b"\x02\0\0\0\0\0\0\0{}", "its metadata lacks a number `scale`");

    let of = |value: f32, scale: &str| {
        let tensor = |rows: usize, columns: usize| {
            Tensor::full(value, (rows, columns), &Device::Cpu).unwrap()
        };
        let tensors = HashMap::from([(a, tensor(4, 64)), (b, tensor(128, 4))]);
        let metadata = HashMap::from([("scale".to_owned(), scale.to_owned())]);
        safetensors::serialize(tensors, Some(metadata)).unwrap()
    };
    check(&of(f32::NAN, "1"), "blk.0.attn_q.lora_");
    check(&of(f32::INFINITY, "1"), "blk.0.attn_q.lora_");
    check(&of(1.0, "1e300"), "its factors of blk.0.attn_q are too large");
    check(&of(1.0, "NaN"), "its metadata lacks a number `scale`");
    check(&of(1e10, "1"), "blk.0.attn_q cannot be rounded");
    assert!(Model::load(&path, Some(Adapter { name: "x", bytes: &of(0.01, "1") })).is_ok());
}

#[test]
fn a_context_that_is_too_short_for_any_paper_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    tiny::write_model_for(&path, "llama", 3, 256);
    let model = Model::load(&path, None).unwrap();
    let template = Template::built_in("plain").unwrap();
    let error = Codec::new(&template, model.tokenizer(), 256).err().unwrap();
    let message = error.to_string();
    assert!(message.starts_with("prompt plain: "), "{message}");
    assert!(message.ends_with(" for the answer, in a context of 256"), "{message}");
    assert!(Codec::new(&template, model.tokenizer(), 16_000).is_ok());

    let limits = Limits {
        max_sequences: 1,
        rows_per_step: 64,
        prefill_rows: 64,
        max_context: 256,
        kv_positions: 256,
    };
    let settings = CpuSettings { threads: 1, limits, shortlist: None, full_vocabulary: false };
    let mut cpu = CpuEngine::new(&model, &settings).unwrap();
    let mut candle = CandleEngine::new(&model, DeviceChoice::Cpu, 256).unwrap();
    let message = "257 tokens in a context of 256";
    for engine in [&mut cpu as &mut dyn Engine, &mut candle] {
        assert_eq!(engine.set_prefix(&[5; 257]).unwrap_err().to_string(), message);
        engine.set_prefix(&[5; 256]).unwrap();
    }
    assert_eq!(cpu.logits(&[5; 257]).unwrap_err().to_string(), message);
    assert_eq!(candle.logits(&[5; 257]).unwrap_err().to_string(), message);
    let endless = Limits { kv_positions: usize::MAX / (1 << 20), ..limits };
    let settings = CpuSettings { limits: endless, ..settings };
    let error = CpuEngine::new(&model, &settings).err().unwrap();
    assert!(error.to_string().starts_with("there is no memory for "), "{error}");
}

#[test]
fn a_chat_template_is_bounded_and_may_mark_what_is_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |template: &str| codec(folder.path(), template).err().unwrap().to_string();
    let doubling = "{% set n = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(40) %}\
                    {% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}";
    let start = "the model's chat template cannot be used: ";
    assert!(refusal(doubling).starts_with(&format!("{start}it takes more than 10000 steps")));
    let nots = format!("{{{{ {}messages }}}}", "not ".repeat(50_000));
    let deep = format!("{start}a tag in line 1 has more than 1000 words and signs");
    assert_eq!(refusal(&nots), deep);
    let loud = "{% for a in range(9000) %}{{ 'a' * 9000 }}{% endfor %}";
    assert!(refusal(loud).starts_with(&format!("{start}it takes more than 10000 steps")));

    let turns = |open: &str, close: &str| {
        let template = format!(
            "{{%- for m in messages -%}}{{{{ m.role }}}}\n{open}{{{{ m.content }}}}|{close}\n\
             {{% endfor %}}assistant\n"
        );
        codec(folder.path(), &template).unwrap()
    };
    // As any other tag, it takes the line break behind it along.
    assert_eq!(
        turns("{% generation %}", "{% endgeneration %}"),
        turns("{% if true %}", "{% endif %}")
    );
    assert_eq!(turns("{%- generation -%}", "{%- endgeneration +%}"), turns("{#--#}", "{#-+#}"));
}

/// What all prompts of the built-in chat begin with, by a model with this template.
fn codec(folder: &Path, template: &str) -> Result<Vec<u32>, Error> {
    let path = folder.join("chat.gguf");
    tiny::write_chat_model(&path, "qwen3", 1, template);
    let tokenizer = Model::load_tokenizer(&path)?;
    let template = Template::built_in("chat")?;
    Ok(Codec::new(&template, &tokenizer, 1 << 14)?.prefix().to_vec())
}
