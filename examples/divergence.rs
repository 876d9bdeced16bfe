//! How far an engine is from the plain forward over many texts: the mean Kullback-Leibler
//! divergence, and how often the first choice is the same.
//!
//! `cargo run --release --example divergence -- MODEL.gguf TEXTS.jsonl TRUTH [cpu|f16|quantized]`
//!
//! The engine is that of the CPU, or that on candle as a card has it, computed by candle on the CPU:
//! with matrices of f16, or with matrices that stay quantized.
//!
//! A line of TEXTS is `{"read": "…", "written": "…"}`; the positions that choose `written` are
//! measured. The truth comes from candle's f32 engine, which is within 1e-6 nats of the plain
//! forward and faster. It is kept in the file TRUTH, as the likeliest tokens of each position, so
//! that the next measurement need not compute it. All other tokens count as one, so divergences
//! are lower bounds, by less than what these tokens weigh.

#[allow(dead_code, reason = "tests need the rest of it")]
#[path = "../tests/it/support/logits.rs"]
mod logits;

use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use logits::{first_choice, log_total};
use wenzhai::engine::candle::{CandleEngine, CandleSettings, DeviceChoice, Handling, Matrices};
use wenzhai::engine::cpu::{CpuEngine, CpuSettings};
use wenzhai::generate::{Limits, TokenId};
use wenzhai::model::Model;

/// Likeliest tokens that are kept of a position.
const KEPT: usize = 1024;
const CONTEXT: usize = 2048;

#[derive(serde::Deserialize)]
struct Text {
    read: String,
    written: String,
}

const USAGE: &str = "usage: divergence MODEL.gguf TEXTS.jsonl TRUTH [cpu|f16|quantized]";

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// The likeliest tokens of a position, the first choice first, with their logarithms of
/// probabilities.
type Likeliest = Vec<(TokenId, f32)>;

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (model, texts, truth, engine) = match &arguments[..] {
        [model, texts, truth] => (model, texts, truth, "cpu"),
        [model, texts, truth, engine] => (model, texts, truth, engine.as_str()),
        _ => return Err(USAGE.into()),
    };
    let model = Model::load(Path::new(model), None)?;
    let texts = std::fs::read_to_string(texts)?;
    let texts: Vec<Text> = texts.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let texts = (1..).zip(&texts).map(|(number, text)| tokens(&model, text, number));
    let texts: Vec<(Vec<TokenId>, usize)> = texts.collect::<Fallible<_>>()?;
    if !Path::new(truth).exists() {
        write_truth(&model, &texts, Path::new(truth))?;
    }
    let mut truth = BufReader::new(std::fs::File::open(truth)?);

    let mut logits = match engine {
        "cpu" => of_cpu(&model)?,
        "f16" => of_card(&model, Matrices::F16)?,
        "quantized" => of_card(&model, Matrices::Quantized)?,
        _ => return Err(USAGE.into()),
    };
    let (mut divergences, mut same) = (Vec::new(), 0);
    for (tokens, read) in &texts {
        for row in &logits(tokens)?[read - 1..tokens.len() - 1] {
            let likeliest = read_position(&mut truth)?;
            divergences.push(divergence(&likeliest, row));
            same += usize::from(likeliest[0].0 == first_choice(row));
        }
    }
    let count = divergences.len();
    if count == 0 {
        return Err("no text has a token that is written".into());
    }
    let mean = divergences.iter().sum::<f64>() / count as f64;
    divergences.sort_by(f64::total_cmp);
    println!(
        "{} texts, {count} positions: mean {mean:.3e}, median {:.3e}, maximum {:.3e} nats; first \
         choice the same in {same} ({:.2} %)",
        texts.len(),
        divergences[count / 2],
        divergences[count - 1],
        100.0 * same as f64 / count as f64
    );
    Ok(())
}

/// The logits behind every token of a text.
type Logits<'a> = Box<dyn FnMut(&[TokenId]) -> wenzhai::error::Result<Vec<Vec<f32>>> + 'a>;

fn of_cpu(model: &Model) -> Fallible<Logits<'_>> {
    let limits = Limits {
        max_sequences: 1,
        rows_per_step: 512,
        prefill_rows: 64,
        max_context: CONTEXT,
        kv_positions: CONTEXT,
    };
    let settings = CpuSettings { threads: 2, limits, shortlist: None, full_vocabulary: false };
    let mut engine = CpuEngine::new(model, &settings)?;
    Ok(Box::new(move |tokens| engine.logits(tokens)))
}

fn of_card(model: &Model, matrices: Matrices) -> Fallible<Logits<'_>> {
    let handling = Some(Handling { matrices, lanes: 1 });
    let device = DeviceChoice::Cpu;
    let settings = CandleSettings { device, max_context: CONTEXT, shortlist: None, handling };
    let mut engine = CandleEngine::with_settings(model, &settings)?;
    Ok(Box::new(move |tokens| engine.logits(tokens)))
}

/// The tokens of a text, as many as a context has, and how many of them are read.
fn tokens(model: &Model, text: &Text, number: usize) -> Fallible<(Vec<TokenId>, usize)> {
    let tokenizer = model.tokenizer();
    let beginning = tokenizer.bos().filter(|_| tokenizer.add_bos());
    let read: Vec<TokenId> = beginning.into_iter().chain(tokenizer.encode(&text.read)).collect();
    let count = read.len();
    let written = tokenizer.encode(&text.written);
    if !(1..CONTEXT).contains(&count) {
        let message = format!("`read` has {count} tokens, which must be from 1 to {}", CONTEXT - 1);
        return Err(format!("line {number}: {message}").into());
    }
    Ok((read.into_iter().chain(written).take(CONTEXT).collect(), count))
}

fn write_truth(model: &Model, texts: &[(Vec<TokenId>, usize)], path: &Path) -> Fallible<()> {
    let mut engine = CandleEngine::new(model, DeviceChoice::Cpu, CONTEXT)?;
    let mut out = BufWriter::new(std::fs::File::create(path)?);
    for (number, (tokens, read)) in texts.iter().enumerate() {
        eprintln!("truth {} of {}", number + 1, texts.len());
        for row in &engine.logits(tokens)?[read - 1..tokens.len() - 1] {
            let total = log_total(row);
            let mut order: Vec<TokenId> = (0..row.len() as TokenId).collect();
            let likelier = |a: &TokenId, b: &TokenId| {
                row[*b as usize].total_cmp(&row[*a as usize]).then(a.cmp(b))
            };
            order.select_nth_unstable_by(KEPT, likelier);
            order.truncate(KEPT);
            order.sort_by(likelier);
            for token in order {
                let log = (f64::from(row[token as usize]) - total) as f32;
                out.write_all(&token.to_le_bytes())?;
                out.write_all(&log.to_le_bytes())?;
            }
        }
    }
    Ok(out.flush()?)
}

fn read_position(truth: &mut impl Read) -> Fallible<Likeliest> {
    let mut bytes = [0; 8 * KEPT];
    truth.read_exact(&mut bytes)?;
    let pairs = bytes.as_chunks::<8>().0.iter();
    Ok(pairs
        .map(|[a, b, c, d, e, f, g, h]| {
            (TokenId::from_le_bytes([*a, *b, *c, *d]), f32::from_le_bytes([*e, *f, *g, *h]))
        })
        .collect())
}

fn divergence(truth: &Likeliest, row: &[f32]) -> f64 {
    let total = log_total(row);
    let (mut sum, mut p_kept, mut q_kept) = (0.0, 0.0, 0.0);
    for (token, log) in truth {
        let (p, q) = (f64::from(*log), f64::from(row[*token as usize]) - total);
        sum += p.exp() * (p - q);
        p_kept += p.exp();
        q_kept += q.exp();
    }
    let (p, q) = (1.0 - p_kept, 1.0 - q_kept);
    if p > 1e-6 && q > 1e-6 { sum + p * (p / q).ln() } else { sum }
}
