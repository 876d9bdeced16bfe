//! A real model, in CI the small one, against llama.cpp and the plain forward. Needs weights, so each test
//! runs only where its environment variables point to them and says so where they do not:
//! `WENZHAI_TEST_MODEL` names the merged model as GGUF (`wenzhai models export`), and
//! `WENZHAI_TEST_GREEDY` the output of `tests/llama_cpp/greedy.py` for the same weights exported
//! with `--f32`: with quantized ones llama.cpp rounds activations to int8 itself, and the choices
//! along its text tell as much of its rounding as of ours.

use std::path::PathBuf;

use serde::Deserialize;
use wenzhai::engine::candle::{CandleEngine, DeviceChoice};
use wenzhai::engine::cpu::{CpuEngine, CpuSettings};
use wenzhai::engine::plain::PlainDecoder;
use wenzhai::generate::{Limits, TokenId};
use wenzhai::model::Model;

use crate::support::logits::{divergence, first_choice};

#[derive(Deserialize)]
struct Greedy {
    prompt: Vec<TokenId>,
    written: Vec<TokenId>,
}

/// The model and llama.cpp's texts, or `None` with a word about it.
fn real() -> Option<(Model, Vec<Greedy>)> {
    let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let (Some(model), Some(greedy)) = (path("WENZHAI_TEST_MODEL"), path("WENZHAI_TEST_GREEDY"))
    else {
        crate::support::skipped("it needs WENZHAI_TEST_MODEL and WENZHAI_TEST_GREEDY");
        return None;
    };
    let lines = std::fs::read_to_string(greedy).unwrap();
    let greedy = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Some((Model::load(&model, None).unwrap(), greedy))
}

/// The rows of logits that chose `written`.
fn choosing_rows(logits: Vec<Vec<f32>>, greedy: &Greedy) -> Vec<Vec<f32>> {
    logits.into_iter().skip(greedy.prompt.len() - 1).take(greedy.written.len()).collect()
}

fn whole(greedy: &Greedy) -> Vec<TokenId> {
    [&greedy.prompt[..], &greedy.written].concat()
}

/// An engine that is measured: its logits along a text.
type Logits<'a> = Box<dyn FnMut(&[TokenId]) -> Vec<Vec<f32>> + 'a>;

fn engines(model: &Model) -> [(&'static str, Logits<'_>); 2] {
    let limits = Limits {
        max_sequences: 1,
        rows_per_step: 512,
        prefill_rows: 64,
        max_context: 2048,
        kv_positions: 2048,
    };
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    let settings = CpuSettings { threads, limits, shortlist: None, full_vocabulary: false };
    let mut cpu = CpuEngine::new(model, &settings).unwrap();
    let mut candle = CandleEngine::new(model, DeviceChoice::Cpu, 2048).unwrap();
    [
        ("cpu", Box::new(move |tokens: &[TokenId]| cpu.logits(tokens).unwrap())),
        ("candle", Box::new(move |tokens: &[TokenId]| candle.logits(tokens).unwrap())),
    ]
}

#[test]
fn first_choices_along_llama_cpp() {
    let Some((model, texts)) = real() else { return };
    for (name, mut logits) in engines(&model) {
        let (mut same, mut positions) = (0, 0);
        for greedy in &texts {
            let rows = choosing_rows(logits(&whole(greedy)), greedy);
            let chosen = rows.iter().zip(&greedy.written);
            same += chosen.filter(|(row, token)| first_choice(row) == **token).count();
            positions += greedy.written.len();
        }
        eprintln!("{name}: first choice that of llama.cpp in {same} of {positions} positions");
        // The CPU engine rounds activations and keys to integers and bf16, candle's does not.
        let least = if name == "cpu" { 0.975 } else { 0.99 };
        assert!(positions > 0 && same as f64 >= least * positions as f64, "{name}");
    }
}

#[test]
fn divergence_from_the_plain_forward() {
    let Some((model, texts)) = real() else { return };
    let plain = PlainDecoder::new(&model).unwrap();
    let mut engines = engines(&model).map(|(name, logits)| (name, logits, Vec::new(), 0));
    // A paper's logits over the whole vocabulary are some 300 MB, so one paper at a time.
    for greedy in &texts {
        let mut truth = plain.logits_from(&whole(greedy), greedy.prompt.len() - 1);
        truth.truncate(greedy.written.len());
        for (_, logits, divergences, same) in &mut engines {
            let rows = choosing_rows(logits(&whole(greedy)), greedy);
            for (truth, row) in truth.iter().zip(&rows) {
                divergences.push(divergence(truth, row));
                *same += usize::from(first_choice(truth) == first_choice(row));
            }
        }
    }
    for (name, _, mut divergences, same) in engines {
        divergences.sort_by(f64::total_cmp);
        let count = divergences.len();
        let mean = divergences.iter().sum::<f64>() / count as f64;
        eprintln!(
            "{name}: KL divergence from the plain forward over {count} positions: mean {mean:.2e}, \
             median {:.2e}, maximum {:.2e} nats; first choice the same in {same}",
            divergences[count / 2],
            divergences[count - 1],
        );
        let (most, least_same) = if name == "cpu" { (1e-3, 0.98) } else { (1e-6, 0.999) };
        assert!(mean < most && same as f64 >= least_same * count as f64, "{name}");
    }
}
