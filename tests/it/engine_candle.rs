//! The engine on candle as cards have it, on the CPU: matrices that stay quantized, sequences that
//! share blocks of keys and values, and a head that scores a shortlist.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use wenzhai::engine::SplitEngine;
use wenzhai::engine::candle::{CandleEngine, CandleSettings, DeviceChoice, Handling, Matrices};
use wenzhai::engine::plain::PlainDecoder;
use wenzhai::error::{Error, ErrorKind};
use wenzhai::generate::{
    Batch, Beside, Engine, Field, Fork, Generator, Limits, Picked, Request, RequestId, Sample,
    Sampling, Span, TokenFilter, TokenId, TokenSet, next_token,
};
use wenzhai::model::Model;
use wenzhai::shortlist::Shortlist;

use crate::support::logits::{divergence, first_choice};
use crate::support::tiny::{self, FAMILIES, tokens};
use crate::support::whole_texts::whole_texts;

const CONTEXT: usize = 2000;
const LIMITS: Limits = Limits {
    max_sequences: 20,
    rows_per_step: 64,
    prefill_rows: 64,
    max_context: CONTEXT,
    kv_positions: 20_000,
};

/// As on a CPU, but for blocks that sequences share.
const SHARED: Handling = Handling { matrices: Matrices::F32, lanes: 4 };
/// As on a card.
const CARD: Handling = Handling { matrices: Matrices::F16, lanes: 4 };
/// As on a card that has not the memory for it.
const SMALL_CARD: Handling = Handling { matrices: Matrices::Quantized, lanes: 4 };

fn model(folder: &Path, family: &str, seed: u64) -> Model {
    let path = folder.join(format!("{family}-{seed}.gguf"));
    tiny::write_model_for(&path, family, seed, CONTEXT);
    Model::load(&path, None).unwrap()
}

fn engine(model: &Model, handling: Handling, shortlist: Option<&Shortlist>) -> CandleEngine {
    let device = DeviceChoice::Cpu;
    let settings =
        CandleSettings { device, max_context: CONTEXT, shortlist, handling: Some(handling) };
    CandleEngine::with_settings(model, &settings).unwrap()
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

/// How a request is picked, and what is refused.
type Rule = (Sampling, Option<Arc<dyn TokenFilter>>);

/// Beams of three widths, every other one guarded.
fn beams(id: RequestId) -> Rule {
    let width = 4 - id as usize % 3;
    let filter = id.is_multiple_of(2).then(|| Arc::new(Picky) as Arc<dyn TokenFilter>);
    (Sampling::Beam { width }, filter)
}

/// These, and draws and greedy texts among them.
fn mixed(id: RequestId) -> Rule {
    match id {
        0..5 => beams(id),
        // A penalty, a draw.
        5 => rule(3),
        _ => rule(4),
    }
}

/// How a request is picked, and whether something is refused, by its number.
fn rule(id: RequestId) -> Rule {
    let sampling = match id % 5 {
        3 => Sampling::Penalised { penalty: 1.3, window: 8 },
        4 => Sampling::Sampled { temperature: 0.8, top_k: 10, seed: id },
        _ => Sampling::Greedy,
    };
    (sampling, id.is_multiple_of(3).then(|| Arc::new(Picky) as Arc<dyn TokenFilter>))
}

/// What stands before each field.
const LABEL: [TokenId; 2] = [40, 41];
/// Tokens of each of the two fields.
const FIELD: usize = 4;

/// What is written after each prompt by its rule, so many at a time.
fn write(
    engine: impl Engine,
    prompts: &[Vec<TokenId>],
    prefix: &[TokenId],
    sequences: usize,
) -> BTreeMap<RequestId, Vec<TokenId>> {
    write_by(rule, FIELD, &Arc::default(), engine, prompts, prefix, sequences)
}

/// The same by another rule, with fields of so many tokens that `stop` ends, in so many slots.
fn write_by(
    rule: fn(RequestId) -> Rule,
    max_tokens: usize,
    stop: &Arc<TokenSet>,
    engine: impl Engine,
    prompts: &[Vec<TokenId>],
    prefix: &[TokenId],
    slots: usize,
) -> BTreeMap<RequestId, Vec<TokenId>> {
    let limits = Limits { max_sequences: slots, ..LIMITS };
    let mut generator = Generator::new(engine, limits, prefix.to_vec()).unwrap();
    for (id, prompt) in (0..).zip(prompts) {
        let (sampling, filter) = rule(id);
        let field =
            |filter| Field { label: LABEL.to_vec(), stop: Arc::clone(stop), max_tokens, filter };
        // The labels between the fields are spans of several rows among those of one.
        let fields = vec![field(filter.clone()), field(filter)];
        let prompt = prompt.clone();
        generator.push(Request { id, prompt, fields, sampling }).unwrap();
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

/// How many tokens of `texts` are those that `logits` of the whole text make the rule pick, of the
/// tokens that `may` allows behind what was read, and how many there are.
fn as_picked_by(
    logits: &mut dyn FnMut(&[TokenId]) -> Vec<Vec<f32>>,
    prompts: &[Vec<TokenId>],
    texts: &BTreeMap<RequestId, Vec<TokenId>>,
    may: &dyn Fn(&[TokenId], TokenId) -> bool,
) -> [usize; 2] {
    assert_eq!(texts.len(), prompts.len());
    let (mut same, mut all) = (0, 0);
    for ((id, text), prompt) in texts.iter().zip(prompts) {
        assert_eq!(text.len(), 2 * FIELD);
        let (sampling, filter) = rule(*id);
        let (first, second) = text.split_at(FIELD);
        let whole = [&prompt[..], &LABEL, first, &LABEL, second].concat();
        let rows = logits(&whole);
        for field in 0..2 {
            let start = prompt.len() + LABEL.len() + field * (FIELD + LABEL.len());
            for at in start..start + FIELD {
                let mut row = rows[at - 1].clone();
                for (token, logit) in (0..).zip(&mut row) {
                    if !may(&whole[..at], token) {
                        *logit = f32::NEG_INFINITY;
                    }
                }
                let token = next_token(&row, sampling, &whole[start..at], filter.as_deref());
                same += usize::from(token == Some(whole[at]));
                all += 1;
            }
        }
    }
    [same, all]
}

/// Nine prompts of many lengths that begin with `prefix`, one of which may need a longer block than the
/// others.
fn prompts(prefix: &[TokenId], longest: usize) -> Vec<Vec<TokenId>> {
    let length = |i: usize| if i == 4 { longest } else { 3 + 7 * i % 40 };
    (0..9).map(|i| [prefix, &tokens(50 + i as u64, length(i))].concat()).collect()
}

#[test]
fn sequences_that_share_a_block_write_what_the_plain_forward_writes() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = tokens(3, 17);
    for family in FAMILIES {
        let prompts = prompts(&prefix, if family == "gemma3" { 1600 } else { 60 });
        let model = model(folder.path(), family, 7);
        let plain = PlainDecoder::new(&model).unwrap();
        let mut texts = None;
        for (sequences, prefix) in [(9, &prefix[..]), (9, &[]), (3, &prefix[..])] {
            let written = write(engine(&model, SHARED, None), &prompts, prefix, sequences);
            assert_eq!(*texts.get_or_insert(written.clone()), written, "{family}, {sequences}");
        }
        let mut logits = |whole: &[TokenId]| plain.logits(whole);
        let [same, all] = as_picked_by(&mut logits, &prompts, &texts.unwrap(), &|_, _| true);
        assert_eq!((same, all), (72, 72), "{family}");
    }
}

/// An engine that has no memory for more than so many sequences a step.
struct Small(CandleEngine, usize);

impl Engine for Small {
    fn set_prefix(&mut self, tokens: &[TokenId]) -> wenzhai::Result<()> {
        self.0.set_prefix(tokens)
    }

    fn step(&mut self, batch: &Batch<'_>) -> wenzhai::Result<Vec<Picked>> {
        if batch.spans.len() > self.1 {
            return Err(Error::new(ErrorKind::Memory, "no memory left"));
        }
        self.0.step(batch)
    }
}

#[test]
fn engines_that_share_the_papers_write_what_one_writes() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = tokens(3, 17);
    let prompts = prompts(&prefix, 60);
    for family in ["gemma3", "qwen2"] {
        let model = model(folder.path(), family, 13);
        let make = || engine(&model, SHARED, None);
        let alone = write(make(), &prompts, &prefix, 9);
        for sequences in [1, 2, 9] {
            let three = SplitEngine::new(vec![make(), make(), make()]);
            assert_eq!(write(three, &prompts, &prefix, sequences), alone, "{family}, {sequences}");
        }
        // Of the nine that begin, one engine has four, and room for two.
        let uneven = SplitEngine::new(vec![Small(make(), 9), Small(make(), 2)]);
        assert_eq!(write(uneven, &prompts, &prefix, 9), alone, "{family}, with memory run out");
    }
}

/// An engine that has no memory for some of its steps, and finds out when it has computed them.
struct Late(CandleEngine, Vec<usize>, usize);

impl Engine for Late {
    fn set_prefix(&mut self, tokens: &[TokenId]) -> wenzhai::Result<()> {
        self.0.set_prefix(tokens)
    }

    fn step(&mut self, batch: &Batch<'_>) -> wenzhai::Result<Vec<Picked>> {
        self.2 += 1;
        let picked = self.0.step(batch)?;
        match self.1.contains(&self.2) {
            true => Err(Error::new(ErrorKind::Memory, "no memory left")),
            false => Ok(picked),
        }
    }

    fn searches_beams(&self) -> bool {
        true
    }
}

/// The longest fields of these tests: texts come to the same tokens, part, and end.
const LONG: usize = 10;

#[test]
fn a_beam_is_that_of_whole_texts_whatever_shares_its_block() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = tokens(3, 17);
    let stop = Arc::new((0..9000).filter(|id| id % 9 == 4).collect());
    for family in ["gemma3", "qwen2"] {
        let mut prompts = prompts(&prefix, 40);
        prompts.truncate(7);
        let model = model(folder.path(), family, 7);
        let one_lane = Handling { lanes: 1, ..SHARED };
        let mut reference = engine(&model, one_lane, None);
        let last = move |text: &[TokenId]| reference.logits(text).unwrap().pop().unwrap();
        let whole = whole_texts(last, |_, _| true);
        let expected = write_by(beams, LONG, &stop, whole, &prompts[..4], &[], 20);
        for (handling, prefix, slots) in
            [(SHARED, &prefix[..], 20), (SHARED, &[], 9), (one_lane, &prefix[..], 20)]
        {
            let engine = engine(&model, handling, None);
            let written = write_by(beams, LONG, &stop, engine, &prompts[..4], prefix, slots);
            assert_eq!(written, expected, "{family}, {handling:?}, {slots}");
        }
        prompts.rotate_left(1);
        let make = || engine(&model, SHARED, None);
        let alone = write_by(mixed, LONG, &stop, make(), &prompts, &prefix, 5);
        assert_eq!(write_by(mixed, LONG, &stop, make(), &prompts, &prefix, 20), alone, "{family}");
        let two = SplitEngine::new(vec![make(), make()]);
        assert_eq!(
            write_by(mixed, LONG, &stop, two, &prompts, &prefix, 20),
            alone,
            "{family}, two"
        );
        let late = |fails: &[usize]| Late(make(), fails.to_vec(), 0);
        let one = write_by(mixed, LONG, &stop, late(&[4, 13]), &prompts, &prefix, 20);
        assert_eq!(one, alone, "{family}, with memory run out");
        let two = SplitEngine::new(vec![late(&[]), late(&[4, 13])]);
        let two = write_by(mixed, LONG, &stop, two, &prompts, &prefix, 20);
        assert_eq!(two, alone, "{family}, with memory run out in one of two");
    }
}

/// Where a text ends, the sequence's own slot takes it over, and another text its slot: done twice, that would be
/// something else.
#[test]
fn a_step_for_which_there_was_no_memory_forks_once() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path(), "qwen2", 7);
    let prompt = tokens(5, 20);
    let after = prompt.len();
    let fork = |from, to, positions| Fork { from, to, positions, capacity: 64 };
    let play = |engine: &mut dyn Engine, fails: bool| {
        let sampling = Sampling::Beam { width: 4 };
        let beside = Beside { slots: 4, positions: 80 };
        let mut step = |rows: &[(usize, usize, &[TokenId])], forks: &[Fork], last_failed| {
            let mut batch = Batch { forks: forks.to_vec(), last_failed, ..Batch::default() };
            for (slot, start, tokens) in rows {
                let first = batch.tokens.len();
                batch.tokens.extend_from_slice(tokens);
                let sample = Some(Sample { sampling, written: &[], filter: None });
                let rows = first..batch.tokens.len();
                let (slot, start) = (*slot, *start);
                batch.spans.push(Span {
                    slot,
                    capacity: 64,
                    beside,
                    prefix_len: 0,
                    start,
                    rows,
                    sample,
                });
            }
            engine.step(&batch).unwrap()
        };
        step(&[(0, 0, &prompt)], &[], false);
        let forks = [fork(0, 1, after), fork(0, 2, after)];
        step(&[(1, after, &[50]), (2, after, &[60])], &forks, false);
        let (rows, forks): ([(usize, usize, &[TokenId]); 2], _) = (
            [(1, after + 1, &[51]), (2, after + 1, &[61])],
            [fork(1, 0, after + 1), fork(2, 1, after + 1)],
        );
        let once = step(&rows, &forks, false);
        if fails {
            assert_eq!(step(&rows, &forks, true), once);
        }
        step(&[(0, after + 1, &[70, 71]), (1, after + 2, &[52])], &[], false)
    };
    let make = || engine(&model, SHARED, None);
    let once = play(&mut make(), false);
    assert_eq!(once.len(), 2);
    assert_eq!(play(&mut make(), true), once);
    assert_eq!(play(&mut SplitEngine::new(vec![make(), make()]), true), once);
}

#[test]
fn texts_of_a_beam_may_say_what_their_sequence_has_read() {
    let folder = tempfile::tempdir().unwrap();
    let prompts = prompts(&[], 60);
    for family in ["gemma3", "qwen2"] {
        let model = model(folder.path(), family, 11);
        let vocabulary = model.tokenizer().vocab_size();
        let ids: Vec<TokenId> = (0..vocabulary as TokenId).filter(|id| id % 40 == 7).collect();
        let list = Shortlist::new(vocabulary, ids.clone()).unwrap();
        let written = write_by(
            beams,
            LONG,
            &Arc::default(),
            engine(&model, SHARED, Some(&list)),
            &prompts[..5],
            &[],
            20,
        );
        let base = ids.clone();
        let mut reference = engine(&model, Handling { lanes: 1, ..SHARED }, None);
        let last = move |text: &[TokenId]| reference.logits(text).unwrap().pop().unwrap();
        let whole =
            whole_texts(last, move |text, token| base.contains(&token) || text.contains(&token));
        assert_eq!(
            written,
            write_by(beams, LONG, &Arc::default(), whole, &prompts[..5], &[], 20),
            "{family}"
        );
        let mut all = written.values().flatten();
        assert!(all.any(|token| !ids.contains(token)), "nothing is written beside the shortlist");
    }
}

#[test]
fn what_is_refused_penalised_or_drawn_is_picked_among_the_shortlist_and_the_prompt() {
    let folder = tempfile::tempdir().unwrap();
    let prompts = prompts(&[], 60);
    // Gemma's head is its embedding, Qwen2's a matrix of its own.
    for family in ["gemma3", "qwen2"] {
        let model = model(folder.path(), family, 11);
        let vocabulary = model.tokenizer().vocab_size();
        let ids: Vec<TokenId> = (0..vocabulary as TokenId).filter(|id| id % 4 == 1).collect();
        let list = Shortlist::new(vocabulary, ids.clone()).unwrap();
        let may = |held: &[TokenId], token| ids.contains(&token) || held.contains(&token);
        for handling in [SHARED, CARD, SMALL_CARD, Handling { lanes: 1, ..SHARED }] {
            let written = write(engine(&model, handling, Some(&list)), &prompts, &[], 9);
            let outside = |text: &Vec<TokenId>| text.iter().any(|token| !ids.contains(token));
            assert!(written.values().any(outside), "something is written of a prompt alone");
            let mut whole = engine(&model, handling, Some(&list));
            let mut logits = |held: &[TokenId]| whole.logits(held).unwrap();
            let [same, all] = as_picked_by(&mut logits, &prompts, &written, &may);
            assert_eq!((same, all), (72, 72), "{family}, {handling:?}");
        }
    }
}

/// What an engine chooses after every token of a text, against the plain forward: the same with
/// matrices that are expanded, in f16 but for near ties, which are frequent where weights are
/// random (796 of 800 choices were the same, with a divergence of 3.7e-6 nats at most). Quantized
/// products round what goes into them to 8 bits, which turns more of them over (759, 1.3e-3).
#[test]
fn choices_and_logits_are_near_those_of_the_plain_forward() {
    let folder = tempfile::tempdir().unwrap();
    let handlings = [SHARED, CARD, SMALL_CARD];
    let (mut same, mut all, mut worst) = ([0; 3], 0, [0f64; 3]);
    for (family, seed) in FAMILIES.into_iter().flat_map(|family| [(family, 20), (family, 21)]) {
        let model = model(folder.path(), family, seed);
        let tokens = tokens(seed, 100);
        let truth = PlainDecoder::new(&model).unwrap().logits(&tokens);
        all += truth.len();
        for (at, handling) in handlings.into_iter().enumerate() {
            let logits = engine(&model, handling, None).logits(&tokens).unwrap();
            let pairs = || truth.iter().zip(&logits);
            same[at] += pairs().filter(|(p, q)| first_choice(p) == first_choice(q)).count();
            let mean = pairs().map(|(p, q)| divergence(p, q)).sum::<f64>() / truth.len() as f64;
            worst[at] = worst[at].max(mean);
        }
    }
    println!("{same:?} of {all} choices, divergence up to {worst:?} nats");
    for (at, (share, bound)) in [(0.995, 1e-6), (0.99, 1e-5), (0.93, 3e-3)].into_iter().enumerate()
    {
        let handling = handlings[at];
        assert!(
            same[at] as f64 >= share * f64::from(all as u32),
            "{handling:?}: {same:?} of {all}"
        );
        assert!(worst[at] < bound, "{handling:?}: {worst:?}");
    }
}
