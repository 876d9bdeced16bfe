//! An engine that has no memory for as many sequences as it is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use wenzhai::digest::Records;
use wenzhai::engine::scripted::ScriptedEngine;
use wenzhai::error::ErrorKind;
use wenzhai::generate::{
    Batch, Engine, Field, Generator, Limits, Picked, Request, RequestId, Sampling, Span, TokenId,
};
use wenzhai::pipeline::{self, Progress};
use wenzhai::prompt::{Codec, Template};
use wenzhai::store::{Identity, Store};
use wenzhai::{Error, Result};

use crate::support::scribe::{Characters, Scribe, Warnings, good, paper};

const LIMITS: Limits = Limits {
    max_sequences: 16,
    rows_per_step: 40,
    prefill_rows: 64,
    max_context: 100,
    kv_positions: 1600,
};

/// What it writes depends on all that was read and written before.
fn script(held: &[TokenId]) -> TokenId {
    held.iter().fold(7, |sum, token| (sum * 31 + token) % 1000)
}

type Texts = BTreeMap<RequestId, Vec<TokenId>>;

/// What is written about thirty prompts with room for so many at a time, and what the batch was
/// reduced to, one time after another.
fn write(room: usize) -> Result<(Texts, Vec<usize>)> {
    let engine = ScriptedEngine::new(script).with_room(room);
    let mut generator = Generator::new(engine, LIMITS, vec![1, 2, 3])?;
    for id in 0..30 {
        let field =
            |max_tokens| Field { label: vec![5], stop: Arc::default(), max_tokens, filter: None };
        let fields = vec![field(4 + id as usize % 7), field(9)];
        let prompt = [vec![1, 2, 3], vec![id as TokenId; 3 + id as usize % 11]].concat();
        generator.push(Request { id, prompt, fields, sampling: Sampling::Greedy })?;
    }
    let (mut texts, mut reductions) = (BTreeMap::new(), Vec::new());
    while let Some(turn) = generator.step()? {
        reductions.extend(turn.reduced_to);
        for finished in turn.finished {
            let text = finished.fields.into_iter().flat_map(|field| field.tokens).collect();
            assert_eq!(texts.insert(finished.id, text), None, "each is finished once");
        }
    }
    Ok((texts, reductions))
}

#[test]
fn with_less_memory_fewer_are_written_at_a_time_and_the_texts_are_the_same() {
    let (truth, never) = write(usize::MAX).unwrap();
    assert_eq!((truth.len(), never), (30, Vec::new()));
    for (room, reductions) in
        [(16, vec![]), (15, vec![8]), (5, vec![4]), (3, vec![2]), (1, vec![1])]
    {
        let (texts, reduced) = write(room).unwrap();
        assert_eq!(texts, truth, "room for {room}");
        assert_eq!(reduced, reductions, "room for {room}");
    }
    let error = write(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Memory, "no one alone has room");
}

/// An engine without memory for more than some spans a step, nor for a sequence of more than some
/// positions.
struct Cramped {
    scribe: Scribe,
    most_spans: usize,
    most_positions: usize,
    /// Most positions that one may hold, which it comes to while it is read.
    most_held: usize,
    /// How many spans each step had that was computed.
    spans: Vec<usize>,
}

impl Cramped {
    fn of(most_spans: usize, most_positions: usize) -> Self {
        let most_held = usize::MAX;
        Cramped { scribe: Scribe::new(good), most_spans, most_positions, most_held, spans: vec![] }
    }
}

impl Engine for Cramped {
    fn set_prefix(&mut self, tokens: &[TokenId]) -> Result<()> {
        self.scribe.set_prefix(tokens)
    }

    fn step(&mut self, batch: &Batch<'_>) -> Result<Vec<Picked>> {
        let is_too_long = batch.spans.iter().any(|span| span.capacity > self.most_positions);
        let holds_too_much = |span: &Span<'_>| span.start + span.rows.len() > self.most_held;
        let is_full = batch.spans.iter().any(holds_too_much);
        if batch.spans.len() > self.most_spans || is_too_long || is_full {
            return Err(Error::new(ErrorKind::Memory, "no memory"));
        }
        self.spans.push(batch.spans.len());
        self.scribe.step(batch)
    }
}

/// Twenty papers, summarised by `engine` eight at a time; `longer` makes some of them longer than others.
/// What came of it, what was warned of, why papers failed, and how many spans the steps had.
fn summarise(
    engine: Cramped,
    longer: impl Fn(u32) -> bool,
) -> (Result<Progress>, Warnings, Vec<String>, Vec<usize>) {
    let mut store = Store::in_memory().unwrap();
    let mut run = store.begin(&Identity::default(), false).unwrap();
    for number in 0..20 {
        let mut paper = paper(number);
        if longer(number) {
            paper.plain_abstract = "We count sheep. ".repeat(40);
        }
        run.offer(&paper).unwrap();
    }
    let template = Template::built_in("gemma3-270m-zh").unwrap();
    let codec = Codec::new(&template, &Characters, 2000).unwrap();
    let limits = Limits {
        max_sequences: 8,
        rows_per_step: 2000,
        prefill_rows: 64,
        max_context: 2000,
        kv_positions: 16_000,
    };
    let mut generator = Generator::new(engine, limits, codec.prefix().to_vec()).unwrap();
    let mut ears = Warnings::default();
    let progress = pipeline::summarise(&mut run, &codec, &mut generator, "scribe", &mut ears);
    let mut reasons = Vec::new();
    run.for_each_record(&mut |record| {
        reasons.extend(record.error.clone());
        Ok(())
    })
    .unwrap();
    (progress, ears, reasons, generator.engine().spans.clone())
}

#[test]
fn a_run_goes_on_with_fewer_papers_at_a_time_and_says_so() {
    let engine = Cramped::of(5, usize::MAX);
    let (progress, ears, reasons, _) = summarise(engine, |_| false);
    let progress = progress.unwrap();
    assert_eq!((progress.settled, progress.failed), (20, 0));
    let said = "there is no memory for as many papers at a time; going on with 4";
    assert_eq!(ears.0, [said]);
    assert_eq!(reasons, [""; 0]);
}

/// One paper must not end the run of all, nor make it go on one at a time.
#[test]
fn a_paper_without_memory_for_it_alone_fails_by_itself() {
    let engine = Cramped::of(8, 900);
    let (progress, ears, reasons, spans) = summarise(engine, |number| [7, 8].contains(&number));
    let progress = progress.unwrap();
    assert_eq!((progress.settled, progress.failed), (20, 2), "{ears:?}");
    assert_eq!(reasons, ["no memory"; 2]);
    // Until it was found out there seemed to be room for one at a time.
    let first = spans.iter().position(|spans| *spans == 8).expect("as many as before at last");
    assert!(spans[..first].iter().all(|spans| *spans == 1), "{spans:?}");
    let [fewer, given_up @ ..] = &ears.0[..] else { panic!("nothing was said") };
    assert!(fewer.ends_with("going on with 1"), "{ears:?}");
    assert_eq!(given_up, ["a paper is given up: no memory"; 2]);
    // The same where that is found out in the midst of it.
    let engine = Cramped { most_held: 700, ..Cramped::of(8, usize::MAX) };
    let (progress, ears, reasons, _) = summarise(engine, |number| [7, 8].contains(&number));
    let progress = progress.unwrap();
    assert_eq!((progress.settled, progress.failed), (20, 2), "{ears:?}");
    assert_eq!(reasons, ["no memory"; 2]);
    // Where it is not one paper's fault, the run ends and says why.
    let (progress, ..) = summarise(Cramped::of(8, 10), |_| false);
    assert_eq!(progress.unwrap_err().kind(), ErrorKind::Memory);
}
