//! Values too large for a device: its logits are no numbers, and nothing can be picked by them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use wenzhai::digest::Records;
use wenzhai::engine::candle::{CandleEngine, CandleSettings, DeviceChoice};
use wenzhai::engine::cpu::{CpuEngine, CpuSettings};
use wenzhai::engine::scripted::ScriptedEngine;
use wenzhai::generate::{
    Candidate, Engine, Field, Generator, Limits, Request, RequestId, Sampling, TokenId,
};
use wenzhai::model::Model;
use wenzhai::pipeline;
use wenzhai::prompt::{Codec, Template};
use wenzhai::store::{Identity, Store};

use crate::support::raw_gguf::RawModel;
use crate::support::scribe::{Characters, NO_NUMBER, Scribe, Warnings, good, paper};

const LIMITS: Limits = Limits {
    max_sequences: 16,
    rows_per_step: 400,
    prefill_rows: 64,
    max_context: 2000,
    kv_positions: 16_000,
};

/// Every way of picking.
const RULES: [Sampling; 4] = [
    Sampling::Greedy,
    Sampling::Penalised { penalty: 1.3, window: 8 },
    Sampling::Sampled { temperature: 0.8, top_k: 10, seed: 3 },
    Sampling::Beam { width: 2 },
];

/// What is written after prompts of the tokens `first` and two more, by each rule that the engine knows, and why
/// the others were given up.
fn write(
    engine: impl Engine,
    first: &[TokenId],
) -> (BTreeMap<RequestId, Vec<TokenId>>, BTreeMap<RequestId, String>) {
    let rules = RULES.iter().filter(|rule| rule.slots() == 1 || engine.searches_beams());
    let rules: Vec<Sampling> = rules.copied().collect();
    let mut generator = Generator::new(engine, LIMITS, Vec::new()).unwrap();
    let prompts = first.iter().flat_map(|token| rules.iter().map(|rule| (*token, *rule)));
    for (id, (token, sampling)) in (0..).zip(prompts) {
        let field =
            |label| Field { label: vec![label], stop: Arc::default(), max_tokens: 5, filter: None };
        let (prompt, fields) = (vec![token, 20, 21], vec![field(22), field(23)]);
        generator.push(Request { id, prompt, fields, sampling }).unwrap();
    }
    let (mut texts, mut reasons) = (BTreeMap::new(), BTreeMap::new());
    while let Some(turn) = generator.step().unwrap() {
        for finished in turn.finished {
            let text = finished.fields.into_iter().flat_map(|field| field.tokens).collect();
            texts.insert(finished.id, text);
        }
        reasons.extend(turn.failed.into_iter().map(|(id, error)| (id, error.to_string())));
    }
    (texts, reasons)
}

/// A tiny model; where `large`, its output norm multiplies by so much that f32 has no room for it.
fn model(folder: &Path, family: &str, large: bool) -> Model {
    let mut raw = RawModel::tiny(family);
    if large {
        let norm = &mut raw.tensor("output_norm.weight").data;
        norm.chunks_exact_mut(4).for_each(|value| value.copy_from_slice(&f32::MAX.to_le_bytes()));
    }
    let path = folder.join(format!("{family}-{large}.gguf"));
    raw.write(&path);
    Model::load(&path, None).unwrap()
}

#[test]
fn logits_that_are_no_numbers_are_said_to_be_none_on_every_engine() {
    let folder = tempfile::tempdir().unwrap();
    for family in ["gemma3", "qwen2"] {
        for (large, expected) in [(false, [8, 0]), (true, [0, 8])] {
            let model = model(folder.path(), family, large);
            let (limits, shortlist) = (LIMITS, None);
            let settings = CpuSettings { threads: 2, limits, shortlist, full_vocabulary: false };
            let (device, max_context) = (DeviceChoice::Cpu, LIMITS.max_context);
            let of_candle = CandleSettings { device, max_context, shortlist, handling: None };
            let engines: [Box<dyn Engine>; 2] = [
                Box::new(CpuEngine::new(&model, &settings).unwrap()),
                Box::new(CandleEngine::with_settings(&model, &of_candle).unwrap()),
            ];
            for mut engine in engines {
                let (texts, reasons) = write(&mut *engine, &[5, 6]);
                assert_eq!([texts.len(), reasons.len()], expected, "{family}");
                let said = "the model's probabilities are no numbers";
                assert!(reasons.values().all(|reason| reason == said), "{reasons:?}");
            }
        }
    }
}

/// Where they become too large after some tokens, in one sequence of many, the others write what they would
/// have written.
#[test]
fn the_others_go_on() {
    let engine = |poison: TokenId| {
        let scores = move |held: &[TokenId]| {
            let is_lost = held[0] == poison && held.len() > 6;
            let sum: TokenId = held.iter().sum();
            let candidate = |(token, log_probability)| Candidate { token, log_probability };
            let found = [(sum % 7, -0.5), (sum % 5 + 7, -0.7)].map(candidate);
            found.into_iter().filter(|_| !is_lost).collect()
        };
        ScriptedEngine::new(|held: &[TokenId]| held.iter().sum::<TokenId>() % 7).with_scores(scores)
    };
    let first = [50, 51, 52, 53];
    let (truth, none) = write(engine(0), &first);
    assert_eq!((truth.len(), none.len()), (16, 0));
    let (texts, reasons) = write(engine(51), &first);
    // The beam of the second prompt; the script of the other rules is not asked for scores.
    assert_eq!(reasons.keys().copied().collect::<Vec<_>>(), [7]);
    let others: BTreeMap<_, _> = truth.into_iter().filter(|(id, _)| *id != 7).collect();
    assert_eq!(texts, others);
}

#[test]
fn a_paper_is_given_up_by_itself_and_what_an_earlier_attempt_wrote_is_kept() {
    /// Of paper 3 nothing is written; of paper 5 a first attempt that loops, and no second one.
    fn script(title: &str, sampling: Sampling) -> [String; 3] {
        let [zh_title, paragraph, one_liner] = good(title, sampling);
        let is = |number| title == paper(number).title;
        match sampling {
            _ if is(3) => [zh_title, format!("我们提出{NO_NUMBER}"), one_liner],
            Sampling::Greedy if is(5) => [zh_title, paragraph, "数羊数羊".repeat(40)],
            _ if is(5) => [NO_NUMBER.to_string(), paragraph, one_liner],
            _ => [zh_title, paragraph, one_liner],
        }
    }
    let mut store = Store::in_memory().unwrap();
    let mut run = store.begin(&Identity::default(), false).unwrap();
    for number in 0..12 {
        run.offer(&paper(number)).unwrap();
    }
    let template = Template::built_in("gemma3-270m-zh").unwrap();
    let codec = Codec::new(&template, &Characters, 2000).unwrap();
    let mut generator =
        Generator::new(Scribe::new(script), LIMITS, codec.prefix().to_vec()).unwrap();
    let mut ears = Warnings::default();
    let progress =
        pipeline::summarise(&mut run, &codec, &mut generator, "scribe", &mut ears).unwrap();
    assert_eq!((progress.settled, progress.failed), (12, 1), "{ears:?}");
    let said = "a paper is given up: the model's probabilities are no numbers (its values may be too \
                large for this device; try --device cpu)";
    assert_eq!(ears.0, [said; 2]);
    let mut seen = 0;
    run.for_each_record(&mut |record| {
        seen += 1;
        let is = |number| record.title == paper(number).title;
        let reason = is(3).then_some("the model's probabilities are no numbers");
        assert_eq!(record.error.as_deref(), reason, "{}", record.title);
        assert_eq!(record.has_summary(), !is(3), "{}", record.title);
        assert_eq!(!record.marks.is_empty(), is(5), "{}", record.title);
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, 12);
}
