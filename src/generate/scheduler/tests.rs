//! The scheduler against a scripted engine whose answers depend on the whole context, so any
//! mix-up of slots, positions or order shows in what is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::engine::scripted::ScriptedEngine;
use crate::generate::{
    Engine, Field, Generator, Request, RequestId, Sampling, TokenFilter, TokenSet,
};

const STOP: TokenId = 0;

/// Next token: a hash of everything before it; about one in twelve is the stop token.
fn script(context: &[TokenId]) -> TokenId {
    let hash = context.iter().fold(17u32, |h, &t| (h ^ t).wrapping_mul(0x0100_0193));
    (hash >> 8) % 12
}

fn request(id: RequestId, prompt: Vec<TokenId>, bounds: &[usize]) -> Request {
    labelled(id, prompt, bounds, &[0, 1, 2])
}

/// A request whose labels are of these lengths.
fn labelled(id: RequestId, prompt: Vec<TokenId>, bounds: &[usize], labels: &[usize]) -> Request {
    let stop: Arc<TokenSet> = Arc::new([STOP].into_iter().collect());
    let fields = bounds
        .iter()
        .enumerate()
        .map(|(i, &max_tokens)| Field {
            label: vec![100 + i as u32; labels[i]],
            stop: stop.clone(),
            max_tokens,
            filter: None,
        })
        .collect();
    Request { id, prompt, fields, sampling: Sampling::Greedy }
}

/// What a request must write, computed one token at a time without a scheduler.
fn expected(request: &Request) -> Vec<Written> {
    let mut context = request.prompt.clone();
    let mut fields = Vec::new();
    for field in &request.fields {
        let has_stopped = matches!(fields.last(), Some(Written { ending: Ending::Stopped, .. }));
        context.extend(&field.label);
        // What stands before a field without a label is what stopped the one before it.
        context.extend((has_stopped && field.label.is_empty()).then_some(STOP));
        let mut tokens = Vec::new();
        let ending = loop {
            let token = script(&context);
            tokens.push(token);
            if token == STOP {
                break Ending::Stopped;
            }
            context.push(token);
            if tokens.len() == field.max_tokens {
                break Ending::Bound;
            }
        };
        fields.push(Written { tokens, ending });
    }
    fields
}

fn run(
    limits: Limits,
    prefix: Vec<TokenId>,
    requests: Vec<Request>,
) -> BTreeMap<RequestId, Vec<Written>> {
    run_on(ScriptedEngine::new(script as fn(&[TokenId]) -> _), limits, prefix, requests)
}

fn run_on(
    mut engine: ScriptedEngine<fn(&[TokenId]) -> TokenId>,
    limits: Limits,
    prefix: Vec<TokenId>,
    requests: Vec<Request>,
) -> BTreeMap<RequestId, Vec<Written>> {
    engine.set_prefix(&prefix).unwrap();
    let mut scheduler = Scheduler::new(limits, prefix);
    for request in requests {
        scheduler.push(request).unwrap();
    }
    let mut results = BTreeMap::new();
    while let Some(batch) = scheduler.schedule() {
        assert!(batch.tokens.len() <= limits.rows_per_step);
        let picked = engine.step(&batch).unwrap();
        assert!(scheduler.admitted.len() <= limits.max_sequences);
        assert!(scheduler.reserved_positions <= limits.kv_positions);
        for finished in scheduler.commit(&picked).finished {
            assert!(results.insert(finished.id, finished.fields).is_none(), "finished twice");
        }
    }
    assert_eq!(scheduler.reserved_positions, 0, "everything reserved is given back");
    results
}

/// Up to five tokens that may follow, by a hash of everything before them, likeliest first.
fn scores(context: &[TokenId]) -> Vec<Candidate> {
    let hash = context.iter().fold(29u64, |h, &t| (h ^ u64::from(t)).wrapping_mul(0x100_0000_01b3));
    let mut candidates: Vec<Candidate> = Vec::new();
    for index in 0..5 {
        let token = (hash >> (8 * index) & 0xff) as TokenId % 9;
        if candidates.iter().all(|candidate| candidate.token != token) {
            let log_probability = -((hash >> (5 * index) & 0x3ff) as f64) / 200.0;
            candidates.push(Candidate { token, log_probability });
        }
    }
    candidates.sort_by(|a, b| b.log_probability.total_cmp(&a.log_probability));
    candidates
}

/// The same by the last token alone, so that texts which come to the same token go on in the same way.
fn forgetful(context: &[TokenId]) -> Vec<Candidate> {
    scores(&context[context.len() - 1..])
}

/// A text, and the log probability up to each of its tokens.
type Text = Vec<(TokenId, f64)>;

fn mean(text: &[(TokenId, f64)]) -> f64 {
    text.last().map_or(0.0, |(_, total)| total / text.len() as f64)
}

/// Whether two texts end with the same six tokens, or would if one were up to six tokens shorter, and `a`, so
/// far, is the worse.
fn is_outdone(a: &Text, b: &Text) -> bool {
    for shift in 0..=6 {
        for (of_a, of_b) in [(shift, 0), (0, shift)] {
            let a = &a[..a.len().saturating_sub(of_a)];
            let b = &b[..b.len().saturating_sub(of_b)];
            let ends = [a, b].map(|text| {
                let end = text.iter().rev().take(6).map(|(token, _)| *token);
                end.collect::<Vec<_>>()
            });
            // What is the beginning of the other is its past.
            let is_past = |one: &[(TokenId, f64)], of: &[(TokenId, f64)]| {
                one.len() < of.len() && one.iter().zip(of).all(|(a, b)| a.0 == b.0)
            };
            if ends[0].len() == 6 && ends[0] == ends[1] && !is_past(a, b) && !is_past(b, a) {
                return mean(a) <= mean(b);
            }
        }
    }
    false
}

/// What a request of a beam must write, its texts held whole and without slots.
fn expected_of_beam(request: &Request, scores: fn(&[TokenId]) -> Vec<Candidate>) -> Vec<Written> {
    let width = request.sampling.width();
    let mut context = request.prompt.clone();
    let mut fields: Vec<Written> = Vec::new();
    for field in &request.fields {
        let has_stopped = matches!(fields.last(), Some(Written { ending: Ending::Stopped, .. }));
        context.extend(&field.label);
        context.extend((has_stopped && field.label.is_empty()).then_some(STOP));
        let mut going_on: Vec<Text> = vec![Vec::new()];
        let mut ended: Vec<Text> = Vec::new();
        let best = loop {
            let mut steps: Vec<Text> = Vec::new();
            for text in &going_on {
                let tokens: Vec<TokenId> = text.iter().map(|(token, _)| *token).collect();
                let before = text.last().map_or(0.0, |(_, total)| *total);
                let follow = scores(&[&context[..], &tokens].concat());
                steps.extend(follow.iter().take(2 * width).map(|candidate| {
                    let last = (candidate.token, before + candidate.log_probability);
                    [&text[..], &[last]].concat()
                }));
            }
            let total = |text: &Text| text.last().unwrap().1;
            steps.sort_by(|a, b| total(b).total_cmp(&total(a)));
            let highest = total(&steps[0]);
            steps.retain(|text| total(text) >= highest - 2.0);
            let is_end =
                |text: &Text| text.last().unwrap().0 == STOP || text.len() == field.max_tokens;
            ended.extend(steps.iter().take(width).filter(|text| is_end(text)).cloned());
            going_on.clear();
            for text in steps.into_iter().filter(|text| !is_end(text)) {
                if !going_on.iter().any(|other| is_outdone(&text, other)) {
                    going_on.retain(|other| !is_outdone(other, &text));
                    going_on.push(text);
                }
                going_on.truncate(width);
            }
            let highest = ended.iter().map(|text| mean(text)).fold(f64::NEG_INFINITY, f64::max);
            if ended.len() >= width || going_on.iter().all(|text| mean(text) <= highest) {
                break ended.into_iter().find(|text| mean(text) == highest).unwrap();
            }
        };
        let tokens: Vec<TokenId> = best.into_iter().map(|(token, _)| token).collect();
        let stopped = tokens.last() == Some(&STOP);
        context.extend(tokens.iter().take(tokens.len() - usize::from(stopped)));
        let ending = if stopped { Ending::Stopped } else { Ending::Bound };
        fields.push(Written { tokens, ending });
    }
    fields
}

proptest! {
    #[test]
    fn every_beam_is_searched_as_if_alone(
        prompts in prop::collection::vec(prop::collection::vec(1u32..50, 1..20), 1..9),
        bounds in prop::collection::vec(1usize..25, 1..4),
        labels in prop::collection::vec(0usize..3, 3),
        scores in prop::sample::select(vec![scores as fn(&[TokenId]) -> _, forgetful]),
        widths in prop::collection::vec(1usize..5, 9),
        (max_sequences, rows_per_step) in (5usize..14, 4usize..40),
        prefix in prop::collection::vec(1u32..3, 0..2),
    ) {
        let limits = Limits {
            max_sequences, rows_per_step, prefill_rows: 4, max_context: 100, kv_positions: 300,
        };
        let requests: Vec<Request> = prompts
            .into_iter()
            .zip(&widths)
            .enumerate()
            .map(|(i, (prompt, &width))| Request {
                sampling: Sampling::Beam { width },
                ..labelled(i as RequestId, prompt, &bounds, &labels)
            })
            .collect();
        if widths[..requests.len()].iter().all(|width| *width == 1) {
            return Ok(());
        }
        let alone = requests
            .iter()
            .map(|request| (request.id, expected_of_beam(request, scores)))
            .collect();
        let engine = ScriptedEngine::new(script as fn(&[TokenId]) -> _).with_scores(scores);
        prop_assert_eq!(run_on(engine, limits, prefix, requests), alone);
    }

    #[test]
    fn every_job_is_written_as_if_alone(
        prompts in prop::collection::vec(prop::collection::vec(1u32..50, 1..40), 1..20),
        bounds in prop::collection::vec(1usize..12, 1..4),
        labels in prop::collection::vec(0usize..3, 3),
        max_sequences in 1usize..9,
        rows_per_step in 1usize..40,
        prefill_rows in 1usize..40,
        prefix in prop::collection::vec(1u32..3, 0..2),
    ) {
        let limits =
            Limits { max_sequences, rows_per_step, prefill_rows, max_context: 100, kv_positions: 150 };
        let requests: Vec<Request> = prompts
            .into_iter()
            .enumerate()
            .map(|(i, prompt)| labelled(i as RequestId, prompt, &bounds, &labels))
            .collect();
        let alone = requests.iter().map(|request| (request.id, expected(request))).collect();
        prop_assert_eq!(run(limits, prefix, requests), alone);
    }
}

/// Refuses even tokens, and in the first place all but the one that it is named after.
#[derive(Debug)]
struct Odd(TokenId);

impl TokenFilter for Odd {
    fn after<'a>(&'a self, written: &[TokenId]) -> Box<dyn Fn(TokenId) -> bool + 'a> {
        let is_first = written.is_empty();
        Box::new(move |token| if is_first { token == self.0 } else { token % 2 == 1 })
    }
}

#[test]
fn each_field_is_held_to_its_own_guard_from_its_beginning() {
    let mut guarded = request(0, vec![1; 4], &[5, 6, 3]);
    guarded.fields[0].filter = Some(Arc::new(Odd(7)));
    guarded.fields[1].filter = Some(Arc::new(Odd(9)));
    let limits = Limits {
        max_sequences: 2,
        rows_per_step: 16,
        prefill_rows: 64,
        max_context: 100,
        kv_positions: 200,
    };
    let results = run(limits, Vec::new(), vec![guarded, request(1, vec![1; 5], &[5, 6, 3])]);
    let fields = &results[&0];
    assert_eq!((fields[0].tokens[0], fields[1].tokens[0]), (7, 9));
    for field in &fields[..2] {
        assert!(field.tokens.iter().all(|token| token % 2 == 1), "{field:?}");
        assert_eq!(field.ending, Ending::Bound, "the stop token is even");
    }
    assert_eq!(results[&1], expected(&request(1, vec![1; 5], &[5, 6, 3])), "a neighbour is free");
}

#[test]
fn a_job_that_can_never_fit_is_refused_with_its_numbers() {
    let limits = Limits {
        max_sequences: 1,
        rows_per_step: 8,
        prefill_rows: 64,
        max_context: 20,
        kv_positions: 1000,
    };
    let mut scheduler = Scheduler::new(limits, Vec::new());
    let error = scheduler.push(request(7, vec![1; 15], &[6])).unwrap_err();
    assert_eq!(error.to_string(), "request 7: needs 21 positions, a sequence has 20");
    assert!(scheduler.push(request(7, vec![1; 15], &[5])).is_ok());
    assert!(scheduler.push(request(8, vec![], &[5])).is_err());
    assert!(scheduler.push(request(9, vec![1], &[])).is_err());
}

#[test]
fn sequences_that_write_are_never_held_up_by_prefill() {
    let limits = Limits {
        max_sequences: 2,
        rows_per_step: 10,
        prefill_rows: 64,
        max_context: 500,
        kv_positions: 1000,
    };
    let mut scheduler = Scheduler::new(limits, Vec::new());
    scheduler.push(request(0, vec![1; 4], &[50])).unwrap();
    scheduler.push(request(1, vec![1; 100], &[50])).unwrap();
    let rows: Vec<Vec<usize>> = (0..3)
        .map(|_| {
            let batch = scheduler.schedule().unwrap();
            let rows = batch.spans.iter().map(|s| s.rows.len()).collect();
            let picked = vec![Picked::Token(1); batch.sampling().count()];
            scheduler.commit(&picked);
            rows
        })
        .collect();
    assert_eq!(rows, [vec![4, 6], vec![1, 9], vec![1, 9]]);
}

#[test]
fn beside_sequences_that_write_prompts_are_read_as_far_as_the_limits_say() {
    let rows_of_second_step = |prefill_rows| {
        let limits = Limits {
            max_sequences: 2,
            rows_per_step: 100,
            prefill_rows,
            max_context: 500,
            kv_positions: 1000,
        };
        let mut scheduler = Scheduler::new(limits, Vec::new());
        scheduler.push(request(0, vec![1; 4], &[50])).unwrap();
        scheduler.push(request(1, vec![1; 200], &[50])).unwrap();
        assert_eq!(scheduler.schedule().unwrap().tokens.len(), 100.min(4 + prefill_rows));
        scheduler.commit(&[Picked::Token(1)]);
        scheduler.schedule().unwrap().tokens.len()
    };
    assert_eq!(rows_of_second_step(20), 21);
    assert_eq!(rows_of_second_step(1000), 100);
}

/// Of four rows a step three are the other's texts, so that the label behind the first field is read one token
/// at a time: what the field was decided on is taken over once.
#[test]
fn a_label_behind_a_beam_may_be_read_in_pieces() {
    fn steady(_: &[TokenId]) -> Vec<Candidate> {
        let candidate =
            |token: TokenId| Candidate { token, log_probability: -f64::from(token) / 9.0 };
        (1..5).map(candidate).collect()
    }
    let limits = Limits {
        max_sequences: 6,
        rows_per_step: 4,
        prefill_rows: 4,
        max_context: 100,
        kv_positions: 300,
    };
    let beam = |width, request| Request { sampling: Sampling::Beam { width }, ..request };
    let requests = vec![
        beam(3, labelled(0, vec![1], &[20], &[0])),
        beam(1, labelled(1, vec![2], &[2, 5], &[0, 2])),
    ];
    let alone = requests.iter().map(|request| (request.id, expected_of_beam(request, steady)));
    let alone: BTreeMap<RequestId, Vec<Written>> = alone.collect();
    let engine = ScriptedEngine::new(script as fn(&[TokenId]) -> _).with_scores(steady);
    assert_eq!(run_on(engine, limits, Vec::new(), requests), alone);
}

/// The likeliest text need not begin with the likeliest token.
#[test]
fn a_beam_finds_what_a_greedy_choice_misses() {
    let scores = |context: &[TokenId]| {
        let candidate =
            |(token, p): &(TokenId, f64)| Candidate { token: *token, log_probability: p.ln() };
        let follow: &[(TokenId, f64)] = match context {
            [.., 7] => &[(1, 0.6), (2, 0.4)],
            [.., 1] => &[(3, 0.5), (4, 0.5)],
            [.., 2] => &[(5, 0.9), (6, 0.1)],
            _ => &[(STOP, 1.0)],
        };
        follow.iter().map(candidate).collect::<Vec<_>>()
    };
    let limits = Limits {
        max_sequences: 3,
        rows_per_step: 8,
        prefill_rows: 8,
        max_context: 50,
        kv_positions: 100,
    };
    for (width, expected) in [(1, [1, 3, STOP]), (2, [2, 5, STOP])] {
        let mut engine = ScriptedEngine::new(script).with_scores(scores);
        let mut scheduler = Scheduler::new(limits, Vec::new());
        let sampling = Sampling::Beam { width };
        scheduler.push(Request { sampling, ..request(1, vec![9, 7], &[5]) }).unwrap();
        let mut written = Vec::new();
        while let Some(batch) = scheduler.schedule() {
            let picked = engine.step(&batch).unwrap();
            written.extend(scheduler.commit(&picked).finished);
        }
        assert_eq!(written[0].fields[0].tokens, expected, "width {width}");
    }
    let wide = Request { sampling: Sampling::Beam { width: 3 }, ..request(1, vec![7], &[5]) };
    let refused = Scheduler::new(limits, Vec::new()).push(wide).unwrap_err();
    assert_eq!(refused.to_string(), "request 1: a beam of 3 texts");
}

/// What was to be copied is asked for again where a step had no memory, which had copied nothing.
#[test]
fn a_beam_is_the_same_where_memory_runs_out() {
    let limits = Limits {
        max_sequences: 16,
        rows_per_step: 40,
        prefill_rows: 40,
        max_context: 100,
        kv_positions: 1200,
    };
    let requests: Vec<Request> = (0..9)
        .map(|id| Request {
            sampling: Sampling::Beam { width: 3 },
            ..request(id, vec![id as TokenId + 1; 5], &[8, 6, 7])
        })
        .collect();
    let engine = ScriptedEngine::new(script).with_scores(scores).with_room(9);
    let mut generator = Generator::new(engine, limits, Vec::new()).unwrap();
    let mut expected = BTreeMap::new();
    for request in requests {
        expected.insert(request.id, expected_of_beam(&request, scores));
        generator.push(request).unwrap();
    }
    let (mut written, mut reduced) = (BTreeMap::new(), None);
    while let Some(turn) = generator.step().unwrap() {
        reduced = reduced.or(turn.reduced_to);
        written.extend(turn.finished.into_iter().map(|finished| (finished.id, finished.fields)));
    }
    assert_eq!((written, reduced), (expected, Some(2)));
}
