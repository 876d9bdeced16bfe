//! The CPU engine on tiny models: near the plain forward, and the same text whatever surrounds it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use wenzhai::engine::cpu::{CpuEngine, CpuSettings};
use wenzhai::engine::plain::PlainDecoder;
use wenzhai::engine::scripted::ScriptedEngine;
use wenzhai::generate::{
    Engine, Field, Generator, Limits, Request, RequestId, Sampling, TokenFilter, TokenId, TokenSet,
};
use wenzhai::model::Model;
use wenzhai::shortlist::Shortlist;

use crate::support::logits::divergence;
use crate::support::tiny::{self, FAMILIES, tokens};

const LIMITS: Limits = Limits {
    max_sequences: 64,
    rows_per_step: 96,
    prefill_rows: 64,
    max_context: 256,
    kv_positions: 64 * 128,
};

fn model(folder: &Path, family: &str) -> Model {
    let path = folder.join(format!("{family}.gguf"));
    tiny::write_model(&path, family, 11);
    Model::load(&path, None).unwrap()
}

fn engine(model: &Model, threads: usize, limits: Limits) -> CpuEngine {
    let settings = CpuSettings { threads, limits, shortlist: None, full_vocabulary: false };
    CpuEngine::new(model, &settings).unwrap()
}

/// Twelve tokens that `engine` writes after `prompt`, greedily.
fn continued(
    engine: &mut CpuEngine,
    prompt: &[TokenId],
    filter: Option<Arc<dyn TokenFilter>>,
) -> Vec<TokenId> {
    let mut generator = Generator::new(engine, LIMITS, Vec::new()).unwrap();
    let field = Field { label: Vec::new(), stop: Arc::default(), max_tokens: 12, filter };
    let (prompt, fields) = (prompt.to_vec(), vec![field]);
    generator.push(Request { id: 0, prompt, fields, sampling: Sampling::Greedy }).unwrap();
    let mut written = Vec::new();
    while let Some(turn) = generator.step().unwrap() {
        written.extend(turn.finished.into_iter().flat_map(|f| f.fields).flat_map(|f| f.tokens));
    }
    written
}

#[test]
fn logits_are_near_the_plain_forward_for_every_family() {
    let folder = tempfile::tempdir().unwrap();
    for family in FAMILIES {
        let model = model(folder.path(), family);
        // Beyond a page and beyond the sliding window.
        let tokens = tokens(1, 90);
        let truth = PlainDecoder::new(&model).unwrap().logits(&tokens);
        let logits = engine(&model, 2, LIMITS).logits(&tokens).unwrap();
        assert_eq!(logits.len(), truth.len());
        let all: Vec<f64> = truth.iter().zip(&logits).map(|(p, q)| divergence(p, q)).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        assert!(mean < 2e-3, "{family}: KL divergence {mean:.1e}");
    }
}

struct Setting {
    limits: Limits,
    threads: usize,
    prefix: Vec<TokenId>,
    order: Vec<usize>,
    sampling: fn(usize) -> Sampling,
}

/// A rule for each request.
fn ruled(id: usize) -> Sampling {
    match id % 4 {
        0 => Sampling::Penalised { penalty: 1.2, window: 16 },
        1 => Sampling::Sampled { temperature: 0.8, top_k: 20, seed: id as u64 },
        _ => Sampling::Greedy,
    }
}

/// Beams of two widths, and a draw among them.
fn beams(id: usize) -> Sampling {
    match id % 4 {
        1 => Sampling::Sampled { temperature: 0.8, top_k: 20, seed: id as u64 },
        2 => Sampling::Beam { width: 2 },
        _ => Sampling::Beam { width: 3 },
    }
}

/// Allows one token in three, others in every place: most of what is highest is refused.
#[derive(Debug)]
struct Picky;

impl TokenFilter for Picky {
    fn after<'a>(&'a self, written: &[TokenId]) -> Box<dyn Fn(TokenId) -> bool + 'a> {
        let place = written.len() as TokenId;
        Box::new(move |token| (token + place).is_multiple_of(3))
    }
}

/// Requests of different lengths, rules and guards, in the order asked for.
fn write(
    model: &Model,
    prompts: &[Vec<TokenId>],
    setting: &Setting,
) -> BTreeMap<RequestId, Vec<TokenId>> {
    write_on(engine(model, setting.threads, setting.limits), prompts, setting)
}

/// The same on an engine of another kind.
fn write_on(
    engine: impl Engine,
    prompts: &[Vec<TokenId>],
    setting: &Setting,
) -> BTreeMap<RequestId, Vec<TokenId>> {
    let mut generator = Generator::new(engine, setting.limits, setting.prefix.clone()).unwrap();
    let never = Arc::new(TokenSet::default());
    for &id in &setting.order {
        let field = |label: &[TokenId], max_tokens| Field {
            label: label.to_vec(),
            stop: never.clone(),
            max_tokens,
            filter: (id % 3 == 0).then(|| Arc::new(Picky) as Arc<dyn TokenFilter>),
        };
        let sampling = (setting.sampling)(id);
        let fields = vec![field(&[], 9), field(&[40, 41, 42], 12)];
        let prompt = prompts[id].clone();
        generator.push(Request { id: id as RequestId, prompt, fields, sampling }).unwrap();
    }
    let mut texts = BTreeMap::new();
    while let Some(turn) = generator.step().unwrap() {
        for finished in turn.finished {
            let text = finished.fields.into_iter().flat_map(|field| field.tokens).collect();
            texts.insert(finished.id, text);
        }
    }
    texts
}

#[test]
fn a_text_depends_on_nothing_but_its_request() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = tokens(5, 70);
    let prompts: Vec<Vec<TokenId>> = (0..12)
        .map(|i| [prefix.clone(), tokens(20 + i as u64, 3 + 5 * (i * 7 % 12))].concat())
        .collect();
    let straight: Vec<usize> = (0..prompts.len()).collect();
    let shuffled: Vec<usize> = (0..prompts.len()).map(|i| i * 5 % prompts.len()).collect();
    let limits = |max_sequences, rows_per_step| Limits { max_sequences, rows_per_step, ..LIMITS };
    for family in ["gemma3", "qwen2"] {
        let model = model(folder.path(), family);
        let setting = |limits, threads, prefix: &[TokenId], order: &[usize]| Setting {
            limits,
            threads,
            prefix: prefix.to_vec(),
            order: order.to_vec(),
            sampling: ruled,
        };
        let alone = write(&model, &prompts, &setting(limits(1, 512), 1, &[], &straight));
        assert!(alone.values().all(|text| text.len() == 21));
        for (id, text) in alone.iter().filter(|(id, _)| *id % 3 == 0) {
            for (place, token) in text[..9].iter().enumerate().chain(text[9..].iter().enumerate()) {
                assert!((token + place as TokenId).is_multiple_of(3), "{id}: {text:?}");
            }
        }
        let others = [
            setting(limits(7, 96), 2, &[], &straight),
            setting(limits(64, 256), 2, &[], &shuffled),
            setting(limits(5, 11), 3, &[], &shuffled),
            setting(limits(64, 64), 2, &prefix, &straight),
            setting(limits(3, 31), 1, &prefix, &shuffled),
        ];
        for other in others {
            assert_eq!(write(&model, &prompts, &other), alone, "{family}, {:?}", other.limits);
        }
    }
}

#[test]
fn a_beam_is_that_of_whole_texts_whatever_surrounds_it() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = tokens(5, 70);
    let prompts: Vec<Vec<TokenId>> = (0..5)
        .map(|i| [prefix.clone(), tokens(20 + i as u64, 3 + 5 * (i * 7 % 8))].concat())
        .collect();
    let limits = |max_sequences, rows_per_step| Limits { max_sequences, rows_per_step, ..LIMITS };
    for family in ["gemma3", "qwen2"] {
        let model = model(folder.path(), family);
        let setting = |limits, threads, prefix: &[TokenId], stride: usize| Setting {
            limits,
            threads,
            prefix: prefix.to_vec(),
            order: (0..prompts.len()).map(|i| i * stride % prompts.len()).collect(),
            sampling: beams,
        };
        let alone = write(&model, &prompts, &setting(limits(4, 512), 1, &[], 1));
        // One of either width, the wider one guarded: to read whole texts anew takes its time.
        let id = if family == "gemma3" { 3 } else { 2 };
        let only = Setting { order: vec![id], ..setting(LIMITS, 1, &[], 1) };
        let whole = write_on(whole_texts(&model, |_, _| true), &prompts, &only);
        assert_eq!(alone[&(id as RequestId)], whole[&(id as RequestId)], "{family}, {id}");
        let others = [
            setting(limits(9, 96), 2, &[], 1),
            setting(limits(64, 256), 2, &prefix, 3),
            setting(limits(5, 11), 3, &prefix, 2),
        ];
        for other in others {
            assert_eq!(write(&model, &prompts, &other), alone, "{family}, {:?}", other.limits);
        }
    }
}

/// The reference for beams, by the engine's own logits of whole texts.
fn whole_texts(
    model: &Model,
    may: impl Fn(&[TokenId], TokenId) -> bool + 'static,
) -> ScriptedEngine<impl FnMut(&[TokenId]) -> TokenId> {
    let mut engine = engine(model, 1, LIMITS);
    let last = move |text: &[TokenId]| engine.logits(text).unwrap().pop().unwrap();
    crate::support::whole_texts::whole_texts(last, may)
}

/// Beside the shortlist, a field may say what the prompt and the labels before it say.
#[test]
fn all_texts_of_a_beam_may_say_what_their_sequence_has_read() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path(), "qwen2");
    let vocabulary = model.tokenizer().vocab_size();
    // Few, so that much of what is written is the prompt's.
    let ids: Vec<TokenId> = (0..vocabulary as TokenId).filter(|id| id % 40 == 7).collect();
    let shortlist = Shortlist::new(vocabulary, ids.clone()).unwrap();
    let settings = CpuSettings {
        threads: 2,
        limits: LIMITS,
        shortlist: Some(&shortlist),
        full_vocabulary: false,
    };
    let setting = Setting {
        limits: LIMITS,
        threads: 2,
        prefix: Vec::new(),
        order: vec![0, 2],
        sampling: beams,
    };
    let prompts = [tokens(9, 20), tokens(8, 5), tokens(10, 30)];
    let short = CpuEngine::new(&model, &settings).unwrap();
    let written = write_on(short, &prompts, &setting);
    let base = ids.clone();
    let whole =
        whole_texts(&model, move |text, token| base.contains(&token) || text.contains(&token));
    assert_eq!(written, write_on(whole, &prompts, &setting));
    let mut all = written.values().flatten();
    assert!(all.any(|token| !ids.contains(token)), "nothing is written beside the shortlist");
}

/// A run that was stopped leaves sequences behind, whose pages the next one needs.
#[test]
fn an_engine_whose_sequences_were_left_serves_another_generator() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path(), "qwen2");
    let limits = Limits { max_sequences: 16, max_context: 1024, kv_positions: 16 * 384, ..LIMITS };
    let mut engine = engine(&model, 1, limits);
    // Sequences that reserve all there is, sixteen or six of them, of which each begins.
    for (number, max_tokens) in [(16, 370), (6, 1010), (16, 370)] {
        let mut generator = Generator::new(&mut engine, limits, Vec::new()).unwrap();
        for id in 0..number {
            let (label, stop) = (Vec::new(), Arc::default());
            let fields = vec![Field { label, stop, max_tokens, filter: None }];
            let (prompt, sampling) = (tokens(20 + id, 5), Sampling::Greedy);
            generator.push(Request { id, prompt, fields, sampling }).unwrap();
        }
        let turn = generator.step().unwrap().unwrap();
        assert_eq!(turn.sampled as u64, number);
    }
}

#[test]
fn threads_with_rows_of_their_own_write_what_one_thread_writes() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path(), "gemma3");
    // So many that each thread takes a part of a step, and so long that prompts are cut.
    let length = |i: usize| if i.is_multiple_of(9) { 150 + 10 * i } else { 5 + i };
    let prompts: Vec<Vec<TokenId>> = (0..40).map(|i| tokens(i as u64, length(i))).collect();
    let limits = Limits {
        max_sequences: 40,
        rows_per_step: 400,
        prefill_rows: 64,
        max_context: 600,
        kv_positions: 9000,
    };
    let setting = |threads| Setting {
        limits,
        threads,
        prefix: Vec::new(),
        order: (0..40).collect(),
        sampling: ruled,
    };
    let one = write(&model, &prompts, &setting(1));
    for threads in [2, 3] {
        assert_eq!(write(&model, &prompts, &setting(threads)), one, "{threads} threads");
    }
}

#[test]
fn a_neighbour_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path(), "gemma3");
    let mut prompts: Vec<Vec<TokenId>> = (0..8).map(|i| tokens(i, 20 + i as usize)).collect();
    let setting = || Setting {
        limits: LIMITS,
        threads: 2,
        prefix: Vec::new(),
        order: (0..8).collect(),
        sampling: ruled,
    };
    let before = write(&model, &prompts, &setting());
    prompts[3] = tokens(77, 45);
    let after = write(&model, &prompts, &setting());
    assert_ne!(before[&3], after[&3]);
    assert!(before.iter().all(|(id, text)| *id == 3 || after[id] == *text));
}

#[test]
fn a_refused_token_gives_way_to_the_best_that_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path(), "gemma3");
    let vocabulary = model.tokenizer().vocab_size();
    let ids: Vec<TokenId> = (0..vocabulary as TokenId).filter(|id| id % 5 != 1).collect();
    let shortlist = Shortlist::new(vocabulary, ids.clone()).unwrap();
    let settings =
        |shortlist| CpuSettings { threads: 2, limits: LIMITS, shortlist, full_vocabulary: false };
    let prompt = tokens(9, 30);
    let mut engine = CpuEngine::new(&model, &settings(Some(&shortlist))).unwrap();
    let written = continued(&mut engine, &prompt, Some(Arc::new(Picky)));
    let whole = [&prompt[..], &written].concat();
    let truth = CpuEngine::new(&model, &settings(None)).unwrap().logits(&whole).unwrap();
    for (at, token) in written.iter().enumerate() {
        let row = &truth[prompt.len() - 1 + at];
        let best = (0..vocabulary as TokenId)
            .filter(|id| (id + at as TokenId).is_multiple_of(3))
            .filter(|id| ids.contains(id) || prompt.contains(id))
            .max_by(|a, b| row[*a as usize].total_cmp(&row[*b as usize]).then(b.cmp(a)));
        assert_eq!(Some(*token), best, "token {at}");
    }
}

#[test]
fn the_shortlist_keeps_logits_and_offers_the_tokens_of_the_prompt() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path(), "gemma3");
    let vocabulary = model.tokenizer().vocab_size() as u32;
    let ids: Vec<TokenId> = (0..vocabulary).filter(|id| id % 3 != 1).collect();
    let shortlist = Shortlist::new(vocabulary as usize, ids.clone()).unwrap();
    let tokens = tokens(9, 30);
    let with = |full_vocabulary, shortlist| {
        let settings = CpuSettings { threads: 2, limits: LIMITS, shortlist, full_vocabulary };
        CpuEngine::new(&model, &settings).unwrap()
    };
    let full = with(false, None).logits(&tokens).unwrap();
    let short = with(false, Some(&shortlist)).logits(&tokens).unwrap();
    for (full, short) in full.iter().zip(&short) {
        for id in 0..vocabulary {
            let (full, short) = (full[id as usize], short[id as usize]);
            let kept = ids.binary_search(&id).is_ok();
            assert_eq!(short, if kept { full } else { f32::NEG_INFINITY });
        }
    }

    // What is written: the best of the base and of the prompt's own tokens.
    let prompt = tokens.clone();
    let mut engine = with(false, Some(&shortlist));
    let written = continued(&mut engine, &prompt, None);
    let whole = [&prompt[..], &written].concat();
    let truth = with(false, None).logits(&whole).unwrap();
    for (at, token) in written.iter().enumerate() {
        let row = &truth[prompt.len() - 1 + at];
        let allowed = (0..vocabulary).filter(|id| ids.contains(id) || prompt.contains(id));
        let best = allowed.fold(None, |best: Option<u32>, id| match best {
            Some(best) if row[best as usize] >= row[id as usize] => Some(best),
            _ => Some(id),
        });
        assert_eq!(Some(*token), best, "token {at}");
    }
}
