//! `wenzhai plan`: what is computed follows from the model's shape and the tables, by arithmetic that
//! is done here once more.

use serde_json::Value;
use wenzhai::generate::Beside;
use wenzhai::model::Shape;
use wenzhai::plan::{CARDS, Card, Job, Work, measure, texts_of_beam};

use crate::support::place::{Finished, Place};
use crate::support::tiny::{self, FFN, HEAD_DIM, HEADS, HIDDEN, KV_HEADS, LAYERS, WINDOW};

fn place() -> Place {
    let place = Place::new();
    tiny::write_model_for(&place.path().join("tiny.gguf"), "gemma3", 1, 4096);
    place
}

fn plan(place: &Place, more: &[&str]) -> Finished {
    place.run(&[&["plan", "--model", "tiny.gguf"], more].concat())
}

fn report(place: &Place, more: &[&str]) -> Value {
    let run = plan(place, &[more, &["--json", "-"]].concat());
    assert_eq!(run.status, 0, "{}", run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[track_caller]
fn check_near(found: f64, expected: f64) {
    assert!((found / expected - 1.0).abs() < 1e-3, "{found}, not {expected}");
}

/// Multiply-adds of a row in all layers, matrix by matrix.
fn row() -> usize {
    let queries = HIDDEN * HEADS * HEAD_DIM;
    let keys_and_values = 2 * HIDDEN * KV_HEADS * HEAD_DIM;
    let output = HEADS * HEAD_DIM * HIDDEN;
    LAYERS * (queries + keys_and_values + output + 3 * HIDDEN * FFN)
}

#[test]
fn papers_that_memory_or_the_context_has_no_room_for_are_not_planned() {
    let place = place();
    let batch = |tokens: &str, papers: &str| {
        let prompt = ["--prompt-tokens", tokens, "--written-tokens", "50", "--batch", "1024"];
        let more = ["--device", "t4", "--papers", papers];
        number(&report(&place, &[&prompt[..], &more].concat())["devices"][0]["batch"])
    };
    assert_eq!(batch("100", "2000"), 1024.0, "as asked for");
    assert_eq!(batch("100", "7"), 7.0);
    let run = plan(&place, &["--prompt-tokens", "4090", "--written-tokens", "50"]);
    assert_eq!(run.status, 1);
    let refused = "error: a paper of 4140 tokens, in a context of 4096\n";
    assert!(run.stderr.starts_with(refused), "{}", run.stderr);
}

#[test]
fn a_card_is_as_fast_as_its_arithmetic_or_its_memory_allows() {
    let place = place();
    let vocabulary = tiny::vocabulary().len();
    let tokens = ["--prompt-tokens", "10", "--written-tokens", "5", "--batch", "2"];
    let more = ["--device", "l4", "--papers", "1000,7200", "--share", "50"];
    let report = report(&place, &[&tokens[..], &more].concat());
    assert_eq!(number(&report["multiply_adds_per_row"]), row() as f64);
    assert_eq!(number(&report["multiply_adds_per_scored_token"]), (vocabulary * HIDDEN) as f64);
    let kv = 2 * 2 * LAYERS * KV_HEADS * HEAD_DIM;
    assert_eq!(number(&report["kv_bytes_per_token"]), kv as f64);
    // A paper has 14 rows; local layers see WINDOW positions of them at most, one of seven all.
    let seen = |most: usize| (1..=14).map(|row: usize| row.min(most)).sum::<usize>() as f64;
    let positions = (6.0 * seen(WINDOW) + seen(99)) / 7.0;
    let written = (6.0 * (11..=14).map(|row: usize| row.min(WINDOW)).sum::<usize>() as f64
        + (11..=14).sum::<usize>() as f64)
        / 7.0;
    // Layers in f16, the head in f32, and keys and values, too.
    let weights = (2 * row() + 4 * vocabulary * HIDDEN) as f64;
    let card = Card::find("l4").unwrap();
    let products = (14 * row() + 5 * vocabulary * HIDDEN) as f64;
    let attention = positions * (2 * HEADS * HEAD_DIM * LAYERS) as f64;
    let arithmetic = 2.0 * (products + attention) / card.bf16_ops;
    // 5 tokens, two papers at a time: two and a half steps a paper.
    let memory = (2.5 * weights + (written + 10.0) * 2.0 * kv as f64) / card.bandwidth;
    let seconds = arithmetic.max(memory) / 0.5;
    let device = &report["devices"][0];
    check_near(number(&device["papers_per_hour"]), 3600.0 / seconds);
    check_near(number(&device["rows_per_step"]), 14.0 / 2.5);
    check_near(number(&device["bytes_per_step"]), memory * card.bandwidth / 2.5);
    check_near(number(&device["multiply_adds_per_step"]), (products + attention) / 2.5);
    let [small, large] = [&device["papers"][0], &device["papers"][1]];
    check_near(number(&large["hours"]), 7200.0 * seconds / 3600.0);
    check_near(number(&large["kwh"]), 7200.0 * seconds * card.watts / 3.6e6);
    check_near(number(&large["hours"]) / number(&small["hours"]), 7.2);
    assert_eq!((device["measured"].as_bool(), device["batch"].as_u64()), (Some(false), Some(2)));
}

#[test]
fn half_the_share_takes_twice_the_time_and_a_larger_batch_is_never_slower() {
    let place = place();
    let shape = Shape::read(&place.path().join("tiny.gguf"), None).unwrap();
    let work = Work::of(&shape, shape.vocabulary);
    let job = Job { prefix_tokens: 7, prompt_tokens: 300, written_tokens: 200, texts: 1.0 };
    for card in &CARDS {
        let rate = |batch, share| work.on_card(&job, card, batch, share).papers_per_hour;
        check_near(rate(8, 0.2), rate(8, 0.4) / 2.0);
        assert!(rate(1, 1.0) < rate(8, 1.0) && rate(8, 1.0) <= rate(64, 1.0), "{}", card.name);
        assert!(card.bf16_ops < card.int8_ops && card.watts > 50.0, "{}", card.name);
    }
}

#[test]
fn a_model_that_is_too_large_for_a_card_is_told() {
    let place = place();
    let mut shape = Shape::read(&place.path().join("tiny.gguf"), None).unwrap();
    let t4 = Card::find("t4").unwrap();
    let fits =
        |shape: &Shape| Work::of(shape, shape.vocabulary).batch_on(t4, None, Beside::default());
    assert_eq!(fits(&shape), Some(256), "as many as there may be");
    // 14 GB of weights leave 2 GB, seven tenths of which are for keys and values.
    shape.config.ffn_hidden = 14_000_000_000 * 8 / 9 / (3 * HIDDEN * LAYERS);
    shape.config.head_dim = 32 * 16;
    let each = Work::of(&shape, shape.vocabulary).paper_bytes();
    // Blocks have room for half as much again as is reserved for a paper on a processor.
    let in_block = (3 * each) as f64;
    let expected = (16_000_000_000.0 - 14_000_000_000.0) * 0.7 / in_block;
    let found = fits(&shape).unwrap() as f64;
    assert!((found / expected - 1.0).abs() < 0.1, "{found}, not some {expected:.1}");
    // Of papers twice as long as a block has room for half as many go there, and no more than that.
    let job = Job { prefix_tokens: 8, prompt_tokens: 2824, written_tokens: 240, texts: 1.0 };
    let long = Work::of(&shape, shape.vocabulary).reserving(&job);
    assert_eq!(long.paper_bytes(), 3 * each);
    for asked in [None, Some(1024)] {
        let most = long.batch_on(t4, asked, Beside::default()).unwrap() as f64;
        assert!((2.0 * most / expected - 1.0).abs() < 0.15, "{most}, not some {expected:.1} / 2");
    }
    shape.config.ffn_hidden *= 2;
    assert_eq!(fits(&shape), None);
}

#[test]
fn the_processor_is_measured_and_more_work_takes_longer() {
    let place = place();
    let shape = Shape::read(&place.path().join("tiny.gguf"), None).unwrap();
    let work = Work::of(&shape, shape.vocabulary);
    let rate = |written_tokens| {
        let job = Job { prefix_tokens: 0, prompt_tokens: 20, written_tokens, texts: 1.0 };
        let speed = measure(&shape, shape.vocabulary, &job, 4, 1).unwrap();
        assert!(speed.step_s > 0.0 && speed.prompt_row_s > 0.0);
        work.on_processor(&job, &speed).papers_per_hour
    };
    assert!(rate(5) > 1.5 * rate(50), "ten times as much to write");
}

/// 20 rows of prompt, and of four texts 2.9 at a time read 9 tokens and pick 10, each seeing what one would.
#[test]
fn texts_side_by_side_are_rows_of_the_same_step() {
    let place = place();
    let mut shape = Shape::read(&place.path().join("tiny.gguf"), None).unwrap();
    shape.config.layers.iter_mut().for_each(|layer| layer.window = None);
    let work = Work::of(&shape, shape.vocabulary);
    let one = Job { prefix_tokens: 0, prompt_tokens: 20, written_tokens: 10, texts: 1.0 };
    let four = Job { texts: texts_of_beam(4), ..one };
    let [products, attention] = work.multiply_adds(&four);
    let head = shape.vocabulary * HIDDEN;
    check_near(products, (20.0 + 2.9 * 9.0) * row() as f64 + 2.9 * 10.0 * head as f64);
    let seen = (1..=20).sum::<usize>() as f64 + 2.9 * (21..=29).sum::<usize>() as f64;
    check_near(attention, seen * (2 * HEADS * HEAD_DIM * LAYERS) as f64);
    // Eight papers at a time are 23 texts.
    let speed = measure(&shape, shape.vocabulary, &four, 23, 1).unwrap();
    let estimate = work.on_processor(&four, &speed);
    assert_eq!(estimate.batch, 8);
    let seconds = 20.0 * speed.prompt_row_s + 2.9 * 10.0 * speed.step_s / 23.0;
    check_near(estimate.papers_per_hour, 3600.0 / seconds);
    // On a card as well, whose step reads the weights once for all of them.
    let on_card = work.on_card(&four, Card::find("l4").unwrap(), 8, 1.0);
    assert_eq!(on_card.batch, 8);
    check_near(on_card.rows_per_step, (20.0 + 2.9 * 9.0) / (2.9 * 10.0 / 23.0));
    // A paper that reserves a field for each of four texts takes two and a half times the memory.
    let four = Beside { slots: 4, positions: 1600 };
    let [alone, beside] =
        [Beside::default(), four].map(|beside| work.batch_on_processor(None, None, beside));
    assert_eq!((alone, beside), (64, 24));
    let t4 = Card::find("t4").unwrap();
    assert_eq!(work.batch_on(t4, None, four), Some(128), "a row for each text in a step of 512");
    assert_eq!(texts_of_beam(1), 1.0);
}

/// What is asked for counts, and not what the model's card says.
#[test]
fn texts_side_by_side_can_be_asked_for() {
    let place = place();
    let of = |beams: &str| {
        let tokens = ["--prompt-tokens", "20", "--written-tokens", "10"];
        let more = ["--device", "l4", "--batch", "8", "--beams", beams];
        report(&place, &[&tokens[..], &more].concat())
    };
    let (one, four) = (of("1"), of("4"));
    assert_eq!((&one["texts"], &four["texts"]), (&1.into(), &4.into()));
    let rows = |report: &Value| number(&report["devices"][0]["rows_per_step"]);
    check_near(rows(&one), (20.0 + 9.0) / (10.0 / 8.0));
    // Eight papers are 23 texts.
    check_near(rows(&four), (20.0 + 2.9 * 9.0) / (2.9 * 10.0 / 23.0));
}

#[test]
fn a_shape_that_the_kernels_do_not_take_is_an_error_and_no_crash() {
    let place = place();
    let mut shape = Shape::read(&place.path().join("tiny.gguf"), None).unwrap();
    shape.config.hidden = 100;
    let job = Job { prefix_tokens: 0, prompt_tokens: 5, written_tokens: 5, texts: 1.0 };
    let error = measure(&shape, 10, &job, 1, 1).unwrap_err();
    assert!(error.to_string().contains("embedding width 100 is no multiple of 32"), "{error}");
    let mut shape = Shape::read(&place.path().join("tiny.gguf"), None).unwrap();
    (shape.config.heads, shape.config.kv_heads) = (32, 1);
    let error = measure(&shape, 10, &job, 1, 1).unwrap_err();
    assert!(error.to_string().contains("32 query heads that share a key head"), "{error}");
}

#[test]
fn the_table_says_what_is_measured_and_what_is_computed() {
    let place = place();
    let tokens = ["--prompt-tokens", "10", "--written-tokens", "5", "--threads", "1"];
    let run = plan(&place, &[&tokens[..], &["--device", "cpu,h100", "--papers", "30"]].concat());
    assert_eq!(run.status, 0, "{}", run.stderr);
    for part in [
        "tiny.gguf, 7 layers, 274 tokens scored",
        "a paper: 10 tokens of prompt (as asked for), 5 written (assumed; --written-tokens)",
        "\ncpu was measured just now, on ",
        "\nCards are computed, not measured: 30 % of the roofline (--share)",
    ] {
        assert!(run.stdout.contains(part), "{part} in {}", run.stdout);
    }
    let energy = |device: &str| {
        run.stdout.lines().rfind(|line| line.contains(device) && line.starts_with("30 ")).unwrap()
    };
    assert!(energy("cpu").ends_with("not known") && energy("h100").ends_with(" kWh"));
}

#[test]
fn without_numbers_the_sample_is_counted() {
    let report = report(&place(), &["--device", "t4"]);
    assert_eq!(report["prompt_tokens_counted"], true);
    assert!(number(&report["prompt_tokens"]) > 500.0, "{report}");
    let amounts = report["devices"][0]["papers"].as_array().unwrap();
    let papers: Vec<_> = amounts.iter().map(|amount| amount["papers"].as_u64().unwrap()).collect();
    assert_eq!(papers, [1_000, 1_000_000, 2_700_000]);
}

#[test]
fn what_cannot_be_planned_is_told() {
    let place = place();
    let refused = |arguments: &[&str], what: &str, hint: &str| {
        let run = place.run(&[&["plan"], arguments].concat());
        assert_eq!((run.status, run.stdout.as_str()), (1, ""), "{arguments:?}");
        assert!(run.stderr.contains(what) && run.stderr.contains(hint), "{}", run.stderr);
    };
    let missing = "error: the model small is not here, and its file tells its shape";
    refused(&["--model", "small"], missing, "hint: `wenzhai models fetch small` brings it");
    let hub = "hf:owner/name:model.gguf";
    refused(&["--model", hub], "is not here", "`wenzhai models fetch hf:owner/name:model.gguf`");
    refused(&["--model", "tiny.gguf", "--device", "abacus"], "unknown device", "h200, h100");
    refused(&["--model", "tiny.gguf", "--watts=-3"], "above 0", "");
    refused(&["--papers", "0"], "--papers", "");
    assert!(!place.has("cache/models"), "nothing was fetched");
}
