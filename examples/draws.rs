//! Several summaries of each paper by one adapter, to learn from which is the best of them.
//!
//! `cargo run --release --example draws -- MODEL ADAPTER.safetensors PAPERS.jsonl 4`
//!
//! A line of PAPERS has `id`, `title` and `abstract`; a line that is written has `id`, `draw`,
//! `zh_title`, `zh_abstract` and `zh_tldr`. Draw 0 is the greedy summary, which would be the
//! first attempt with `--beams 1`, the others are drawn at a temperature of 0.7 from the 40 likeliest
//! tokens. Prompt, glossary, shortlist and guards are those of MODEL, the name of a card. The
//! same arguments give the same lines, in any order, on standard output.

use std::collections::HashMap;
use std::io::{BufWriter, Write};

use wenzhai::generate::{Generator, RequestId, Sampling};
use wenzhai::paper::Paper;
use wenzhai::writer::{AdapterChoice, Choices, Writer};

const SEQUENCES: usize = 64;
const POSITIONS_PER_SEQUENCE: usize = 1024;

#[derive(serde::Deserialize)]
struct Line {
    id: String,
    title: String,
    #[serde(rename = "abstract")]
    abstract_text: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, adapter, papers, draws] = &arguments[..] else {
        return Err("usage: draws MODEL ADAPTER.safetensors PAPERS.jsonl COUNT".into());
    };
    let draws: u64 = draws.parse()?;
    let mut choices = Choices::new(model)?;
    choices.model.adapter = AdapterChoice::File(adapter.into());
    // Draws, and greedy texts beside them.
    choices.beams = Some(1);
    let writer = Writer::find(choices, &mut ())?;
    let model = writer.load_model(&mut ())?;
    let limits = writer.limits(&model, SEQUENCES, POSITIONS_PER_SEQUENCE);
    let codec = writer.codec(model.tokenizer(), limits.max_context)?;
    let mut engine = writer.engine(&model, limits)?.engine;
    let mut generator = Generator::new(&mut *engine, limits, codec.prefix().to_vec())?;
    let mut asked: HashMap<RequestId, (String, u64)> = HashMap::new();
    for line in std::fs::read_to_string(papers)?.lines() {
        let Line { id, title, abstract_text } = serde_json::from_str(line)?;
        let paper = Paper { plain_title: title, plain_abstract: abstract_text, ..Paper::default() };
        let prompt = codec.prompt(&paper)?;
        for draw in 0..draws {
            let request = asked.len() as RequestId;
            let sampling = match draw {
                0 => Sampling::Greedy,
                _ => Sampling::Sampled { temperature: 0.7, top_k: 40, seed: request },
            };
            generator.push(codec.request(request, &prompt, sampling))?;
            asked.insert(request, (id.clone(), draw));
        }
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    while let Some(turn) = generator.step()? {
        if let Some((_, error)) = turn.failed.into_iter().next() {
            return Err(error.into());
        }
        for finished in &turn.finished {
            let (id, draw) = &asked[&finished.id];
            let (summary, _) = codec.summary(finished);
            let record = serde_json::json!({
                "id": id,
                "draw": draw,
                "zh_title": summary.zh_title,
                "zh_abstract": summary.zh_abstract,
                "zh_tldr": summary.zh_tldr,
            });
            writeln!(out, "{record}")?;
        }
    }
    Ok(out.flush()?)
}
