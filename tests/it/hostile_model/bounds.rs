//! What files that are made to do harm take before they are refused: less than a second of a processor
//! and 100 MB, each of them, whatever they announce.

use std::path::PathBuf;
use std::process::Command;

use candle_core::quantized::gguf_file::Value;
use wenzhai::model::{Model, Shape};

use super::changed;
use crate::support::raw_gguf::{RawModel, RawValue, put_text};

/// Most seconds of a processor for one file, and most bytes beyond what the process had before.
const MAX_SECONDS: f64 = 1.0;
const MAX_BYTES: u64 = 100_000_000;

/// GGUF's numbers of types: bytes, numbers of 64 bits, texts, lists.
const U8: u32 = 0;
const U64: u32 = 10;
const TEXT: u32 = 8;
const LIST: u32 = 9;

/// What a list begins with.
fn list(kind: u32, count: u64) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &count.to_le_bytes()].concat()
}

/// A list of `count` texts.
fn texts(count: u64, text: impl Fn(u64) -> String) -> Vec<u8> {
    let mut bytes = list(TEXT, count);
    (0..count).for_each(|at| put_text(&mut bytes, &text(at)));
    bytes
}

/// Takes away what a model says of its tokens, and lists others.
fn set_tokens(raw: &mut RawModel, tokens: Vec<u8>) {
    for list_name in ["tokens", "scores", "token_type"] {
        raw.remove(&format!("tokenizer.ggml.{list_name}"));
    }
    let tokens = RawValue::Bytes(LIST, tokens);
    raw.entries.push(("tokenizer.ggml.tokens".into(), tokens));
}

/// A tiny Llama with a key of its own, or another value for one that it has.
fn with(key: &str, kind: u32, bytes: Vec<u8>) -> Vec<u8> {
    changed(|raw| {
        raw.remove(key);
        raw.entries.push((key.into(), RawValue::Bytes(kind, bytes)));
    })
}

/// A tensor of a tiny Llama, otherwise described.
fn tensor(dimensions: &[u64], offset: u64) -> Vec<u8> {
    changed(|raw| {
        let tensor = raw.tensor("blk.3.attn_q.weight");
        (tensor.dimensions, tensor.offset) = (dimensions.to_vec(), offset);
    })
}

/// Files by the names of what is odd in them.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let size = |family: &str, key: &str, number: u32| {
        let mut raw = RawModel::tiny(family);
        raw.set(&format!("{family}.{key}"), Value::U32(number));
        raw.bytes()
    };
    let alignment = |value: Value| changed(|raw| raw.set("general.alignment", value));
    let tokenizer = changed(|raw| {
        for list_name in ["tokens", "scores", "token_type", "merges"] {
            let key = format!("tokenizer.ggml.{list_name}");
            raw.remove(&key);
            let content = [list(U8, 1 << 19), vec![0; 1 << 19]].concat();
            raw.entries.insert(0, (key, RawValue::Bytes(LIST, content)));
        }
    });
    let mut empty_texts = list(TEXT, 1 << 19);
    empty_texts.resize(empty_texts.len() + (8 << 19), 0);
    let mut cut_texts = list(TEXT, 1 << 19);
    (0..100_000).for_each(|_| put_text(&mut cut_texts, "sheep"));
    cut_texts.resize(12 + (8 << 19), 0xff);
    let unscored = changed(|raw| set_tokens(raw, texts(1 << 19, |at| format!("{at:x}"))));
    // Half of the tokens are what the others make twice, and so are the merges but for the last.
    let merged = changed(|raw| {
        let half = 1 << 17;
        let token = |at: u64| format!("<{:x}>", at / 2).repeat(1 + at as usize % 2);
        set_tokens(raw, texts(2 * half, token));
        let merges = texts(half, |at| match at + 1 < half {
            true => format!("<{at:x}> <{at:x}>"),
            false => "a sheep".into(),
        });
        raw.entries.push(("tokenizer.ggml.merges".into(), RawValue::Bytes(LIST, merges)));
        raw.set("tokenizer.ggml.model", Value::String("gpt2".into()));
        raw.set("tokenizer.ggml.pre", Value::String("gpt-2".into()));
    });
    let lists = (0..200_000).flat_map(|_| list(U8, 0));
    let crowd = changed(|raw| {
        for at in 0..60_000 {
            raw.add_vector(&format!("crowd.{at}"), &[]);
            let tensor = raw.tensors.last_mut().expect("it was added");
            tensor.dimensions = vec![64];
        }
    });
    let keys = changed(|raw| {
        let key = |at: u32| (format!("sheep.{at}"), RawValue::Bytes(U8, vec![0]));
        raw.entries.extend((0..60_000).map(key));
        raw.entries.push(("sheep.0".into(), RawValue::Bytes(U8, vec![0])));
    });
    vec![
        ("2^60 keys", changed(|raw| raw.more[0] = 1 << 60)),
        ("2^64 - 70 tensors", changed(|raw| raw.more[1] = u64::MAX - 70)),
        ("60,000 keys that are not there", changed(|raw| raw.more[0] = 60_000)),
        ("60,000 tensors that are not there", changed(|raw| raw.more[1] = 60_000)),
        ("60,000 keys, one of them twice", keys),
        ("a text of 2^64 - 1 bytes", with("x", TEXT, u64::MAX.to_le_bytes().into())),
        ("a text of 2^63 bytes", with("x", TEXT, (1u64 << 63).to_le_bytes().into())),
        ("a list of 2^64 - 1 bytes", with("x", LIST, list(U8, u64::MAX))),
        ("a list whose bytes are counted modulo 2^64", with("x", LIST, list(U64, 1 << 61))),
        ("a list of 2^40 texts", with("x", LIST, list(TEXT, 1 << 40))),
        ("a list of 2^40 lists", with("x", LIST, list(LIST, 1 << 40))),
        ("100,000 lists in one another", {
            with("x", LIST, (0..100_000).flat_map(|_| list(LIST, 1)).collect())
        }),
        ("200,000 empty lists, of which the last is cut", {
            with("x", LIST, list(LIST, 300_000).into_iter().chain(lists).collect())
        }),
        ("half a million bytes in each list of the tokenizer", tokenizer),
        ("half a million tokens without a letter", {
            with("tokenizer.ggml.tokens", LIST, empty_texts)
        }),
        ("half a million tokens without scores", unscored),
        ("131,072 merges, of which the last names an unknown token", merged),
        ("tokens that end in the middle", with("tokenizer.ggml.tokens", LIST, cut_texts)),
        ("no dimensions", tensor(&[], 0)),
        ("a dimension of 0", tensor(&[0, 64], 0)),
        ("dimensions whose product is 2^64", tensor(&[1 << 32, 1 << 32], 0)),
        ("2^40 rows", tensor(&[64, 1 << 40], 0)),
        ("an offset behind the end", tensor(&[64, 128], 1 << 50)),
        ("an offset that turns round", tensor(&[64, 128], u64::MAX - 4096)),
        ("60,000 tensors in the same place", crowd),
        ("an alignment of 0", alignment(Value::U32(0))),
        ("an alignment of 2^63", alignment(Value::U64(1 << 63))),
        ("an alignment below 0", alignment(Value::I32(-32))),
        ("a million layers", size("llama", "block_count", 1 << 20)),
        ("a million layers, some of them local", size("gemma3", "block_count", 1 << 20)),
        ("a million heads", size("llama", "attention.head_count", 1 << 20)),
        ("a context of 0", size("llama", "context_length", 0)),
        ("a million dimensions", size("llama", "embedding_length", 1 << 20)),
    ]
}

/// Loads a file, and looks at what that takes.
#[test]
#[ignore = "runs only as a child process of another test"]
fn child_that_loads() {
    let Some(path) = std::env::var_os("WENZHAI_TEST_MODEL_FILE").map(PathBuf::from) else { return };
    let before = memory("VmRSS");
    // Those who want less of a file stop at other places.
    let ways: [(&str, &dyn Fn() -> bool); 4] = [
        ("model", &|| Model::load(&path, None).is_ok()),
        ("tokenizer", &|| Model::load_tokenizer(&path).is_ok()),
        ("architecture", &|| Model::architecture(&path).is_ok()),
        ("shape", &|| Shape::read(&path, None).is_ok()),
    ];
    for (what, load) in ways {
        let began = processor_seconds();
        assert!(!load() || what != "model");
        let took = processor_seconds() - began;
        assert!(took < MAX_SECONDS, "{what}: {took} s");
        let more = memory("VmHWM") - before;
        assert!(more < MAX_BYTES, "{what}: {more} bytes");
    }
}

/// Bytes, by what Linux calls them.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// What this thread has computed so far; what other tests do meanwhile is none of it.
fn processor_seconds() -> f64 {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    schedule.split(' ').next().unwrap().parse::<f64>().unwrap() * 1e-9
}

/// A process a file: memory that was freed after one is not always given back before the next.
#[cfg(target_os = "linux")]
#[test]
fn files_made_to_do_harm_are_refused_at_once_and_take_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    for (name, bytes) in files() {
        std::fs::write(&path, bytes).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "hostile_model::bounds::child_that_loads", "--ignored"])
            .env("WENZHAI_TEST_MODEL_FILE", &path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && said.contains("1 passed"), "{name}: {said}");
    }
}
