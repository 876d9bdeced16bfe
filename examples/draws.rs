//! Several summaries of each paper by one adapter, to learn from which is the best of them.
//!
//! `cargo run --release --example draws -- MODEL BASE.gguf ADAPTER.safetensors PAPERS.jsonl 4`
//!
//! A line of PAPERS has `id`, `title` and `abstract`; a line that is written has `id`, `draw`,
//! `zh_title`, `zh_abstract` and `zh_tldr`. Draw 0 is the greedy summary, which the program would
//! make its first attempt, the others are drawn at a temperature of 0.7 from the 40 likeliest
//! tokens. Prompt, glossary, shortlist and guards are those of MODEL, the name of a card. The
//! same arguments give the same lines, in any order, on standard output.

use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::path::Path;

use wenzhai::card;
use wenzhai::engine::cpu::{CpuEngine, CpuSettings};
use wenzhai::engine::{Engine, turn};
use wenzhai::glossary::Glossary;
use wenzhai::guard::Rules;
use wenzhai::model::{Adapter, Model};
use wenzhai::paper::Paper;
use wenzhai::pick::Pick;
use wenzhai::prompt::{Codec, Template};
use wenzhai::scheduler::{JobId, Limits, Scheduler};
use wenzhai::shortlist::Shortlist;

const SEQUENCES: usize = 64;
const CONTEXT: usize = 2048;
const LIMITS: Limits = Limits {
    max_sequences: SEQUENCES,
    rows_per_step: 512,
    max_context: CONTEXT,
    kv_positions: SEQUENCES * 1024,
};

#[derive(serde::Deserialize)]
struct Line {
    id: String,
    title: String,
    #[serde(rename = "abstract")]
    abstract_text: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, base, adapter, papers, draws] = &arguments[..] else {
        return Err("usage: draws MODEL BASE.gguf ADAPTER.safetensors PAPERS.jsonl COUNT".into());
    };
    let draws: u64 = draws.parse()?;
    let card = card::find(name).ok_or("the program has no card of the model")?;
    let bytes = std::fs::read(adapter)?;
    let model = Model::load(Path::new(base), Some(Adapter { name: adapter, bytes: &bytes }))?;
    let shortlist = card.shortlist.as_ref().map(|file| Shortlist::decode(file.data()));
    let shortlist = shortlist.transpose()?;
    let threads = std::thread::available_parallelism()?.get();
    let settings = CpuSettings {
        threads,
        limits: LIMITS,
        shortlist: shortlist.as_ref(),
        full_vocabulary: false,
    };
    let mut engine = CpuEngine::new(&model, &settings)?;
    let template = Template::built_in(card.prompt.as_deref().ok_or("the card names no prompt")?)?;
    let glossary = Glossary::parse("of the model", card.glossary_text().unwrap_or_default())?;
    let codec = Codec::new(&template, model.tokenizer(), CONTEXT)?
        .guarded(Rules::ALL)
        .with_glossary(&glossary);

    let mut scheduler = Scheduler::new(LIMITS, codec.prefix().to_vec());
    engine.set_prefix(codec.prefix())?;
    let mut asked: HashMap<JobId, (String, u64)> = HashMap::new();
    for line in std::fs::read_to_string(papers)?.lines() {
        let Line { id, title, abstract_text } = serde_json::from_str(line)?;
        let paper = Paper { plain_title: title, plain_abstract: abstract_text, ..Paper::default() };
        let prompt = codec.prompt(&paper)?;
        for draw in 0..draws {
            let job = asked.len() as JobId;
            let pick = match draw {
                0 => Pick::Greedy,
                _ => Pick::Sampled { temperature: 0.7, top_k: 40, seed: job },
            };
            scheduler.push(codec.job(job, &prompt, pick))?;
            asked.insert(job, (id.clone(), draw));
        }
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    while let Some(turn) = turn(&mut engine, &mut scheduler)? {
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
