//! `wenzhai bench`, run as a user runs it, with a tiny model and a peer that is a script.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::tiny;

const PROMPTS: &str = r#"{"prefix": "", "prompt": "the the the", "stop": []}
{"prompt": "the heat"}

{"prompt": "hat"}
"#;

/// A folder with a tiny model and prompts.
fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    tiny::write_model(&place.path().join("tiny.gguf"), "gemma3", 1);
    std::fs::write(place.path().join("prompts.jsonl"), PROMPTS).unwrap();
    place
}

fn bench(place: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wenzhai"))
        .args(["bench", "tiny.gguf", "--papers", "prompts.jsonl"])
        .args(args)
        .current_dir(place)
        .env("WENZHAI_HOME", place.join("cache"))
        .output()
        .unwrap()
}

/// Five tokens about each paper.
fn bench_five(place: &Path, args: &[&str]) -> Output {
    bench(place, &[args, &["--tokens", "5"]].concat())
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn check_near(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() <= 1e-6 * expected.abs(), "{what}: {found}, not {expected}");
}

/// Median, least and greatest in order, and all of them more than nothing.
fn check_spread(spread: &Value) {
    let [min, median, max] = ["min", "median", "max"].map(|key| number(&spread[key]));
    assert!(0.0 < min && min <= median && median <= max, "{spread}");
}

#[test]
fn the_numbers_of_a_report_agree_with_each_other() {
    let place = place();
    let args = ["--batch", "2,1,2", "--repeat", "3", "--threads", "1", "--json", "-"];
    let finished = bench_five(place.path(), &args);
    assert!(finished.status.success(), "{}", text(&finished.stderr));
    let report: Value = serde_json::from_slice(&finished.stdout).unwrap();
    assert_eq!((&report["papers"], &report["tokens_per_paper"]), (&3.into(), &5.into()));
    assert_eq!((&report["engine"], &report["threads"]), (&"cpu".into(), &1.into()));
    assert_eq!(report["shortlisted_tokens"], Value::Null, "the tiny model has no shortlist");
    let known: Vec<&str> = wenzhai::kernels::Isa::all().iter().map(|isa| isa.name()).collect();
    assert!(known.contains(&report["kernels"].as_str().unwrap()), "{report}");
    let sizes: Vec<&Value> =
        report["batches"].as_array().unwrap().iter().map(|b| &b["batch"]).collect();
    assert_eq!(sizes, [&Value::from(1), &Value::from(2)]);
    for batch in report["batches"].as_array().unwrap() {
        for spread in ["papers_per_hour", "wall_s", "prefill_tokens_per_s", "decode_tokens_per_s"] {
            check_spread(&batch[spread]);
        }
        // Of three repeats the median of all is that of the same one.
        let wall = number(&batch["wall_s"]["median"]);
        let of = |key: &str| number(&batch[key]["median"]);
        check_near(of("papers_per_hour") * wall / 3600.0, 3.0, "papers");
        check_near(of("decode_tokens_per_s") * wall, 15.0, "tokens written");
        let prompts = number(&report["prompt_tokens"]);
        check_near(of("prefill_tokens_per_s") * wall, prompts, "tokens read");
        // The last token of each paper has no row.
        let rows = number(&batch["rows_per_step"]) * number(&batch["steps"]);
        check_near(rows, prompts + 15.0 - 3.0, "rows");
    }
    let steps = |index: usize| &report["batches"][index]["steps"];
    assert_eq!((steps(0), steps(1)), (&15.into(), &10.into()), "one by one, and two at a time");
}

#[test]
fn a_table_goes_to_standard_output_and_everything_to_a_file() {
    let place = place();
    let args = ["--batch", "1,2", "--repeat", "1", "--limit", "2", "--json", "record.json"];
    let finished = bench_five(place.path(), &args);
    assert!(finished.status.success(), "{}", text(&finished.stderr));
    let record = std::fs::read_to_string(place.path().join("record.json")).unwrap();
    let report: Value = serde_json::from_str(&record).unwrap();
    let table = text(&finished.stdout);
    let lines: Vec<&str> = table.lines().collect();
    let kernels = report["kernels"].as_str().unwrap();
    let start = format!("tiny.gguf, cpu on cpu, kernels {kernels}, threads ");
    assert!(lines[1].starts_with(&start), "{table}");
    assert!(lines[1].ends_with(", full vocabulary"), "{table}");
    let start =
        format!("2 papers: {} tokens of prompts in all, 0 shared; 5", report["prompt_tokens"]);
    assert!(lines[2].starts_with(&start), "{table}");
    for (line, batch) in lines[5..7].iter().zip(report["batches"].as_array().unwrap()) {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let speed = number(&batch["papers_per_hour"]["median"]).round();
        assert_eq!(cells[0], batch["batch"].to_string());
        assert_eq!(cells[1].replace(',', ""), format!("{speed}"), "{table}");
        assert_eq!(cells[8], batch["steps"].to_string(), "{table}");
    }
    assert!(lines[8].starts_with("load "), "{table}");
}

/// As many tokens as of one text, by more rows: the texts of a beam have one each.
#[test]
fn texts_side_by_side_are_measured_as_they_are_written() {
    let place = place();
    let report = |beams: &str| -> Value {
        let args = ["--batch", "3", "--repeat", "1", "--beams", beams, "--json", "-"];
        let finished = bench_five(place.path(), &args);
        assert!(finished.status.success(), "{}", text(&finished.stderr));
        serde_json::from_slice(&finished.stdout).unwrap()
    };
    let (one, four) = (report("1"), report("4"));
    assert_eq!((&one["texts"], &four["texts"]), (&1.into(), &4.into()));
    let rows = |report: &Value| {
        let batch = &report["batches"][0];
        number(&batch["rows_per_step"]) * number(&batch["steps"])
    };
    let one_text = number(&one["prompt_tokens"]) + 15.0 - 3.0;
    check_near(rows(&one), one_text, "rows");
    assert!(rows(&four) > one_text && rows(&four) < 4.0 * one_text, "{four}");
    let batch = &four["batches"][0];
    let written = number(&batch["decode_tokens_per_s"]["median"]);
    check_near(written * number(&batch["wall_s"]["median"]), 15.0, "tokens written");
    let table = bench_five(place.path(), &["--repeat", "1", "--beams", "4"]).stdout;
    assert!(text(&table).contains("5 written about each, 4 texts side by side"), "{table:?}");

    let with_peer = bench_five(place.path(), &["--beams", "4", "--peer", "python"]);
    assert_eq!(with_peer.status.code(), Some(1));
    assert!(text(&with_peer.stderr).contains("cannot be used with"), "{with_peer:?}");
}

#[test]
fn a_prefix_is_shared_and_prompts_follow_it() {
    let place = place();
    let prompts =
        "{\"prefix\":\"the he\",\"prompt\":\"at\"}\n{\"prefix\":\"the he\",\"prompt\":\"e\"}\n";
    std::fs::write(place.path().join("prompts.jsonl"), prompts).unwrap();
    let finished = bench_five(place.path(), &["--repeat", "1", "--json", "-"]);
    let report: Value = serde_json::from_slice(&finished.stdout).unwrap();
    assert_eq!(report["prefix_tokens"], 5, "<bos>, t, he, ▁, he");
    assert_eq!(report["prompt_tokens"], 3, "a and t, e");
}

#[test]
fn without_a_file_the_sample_is_written_about_behind_a_shared_prompt() {
    let place = tempfile::tempdir().unwrap();
    tiny::write_model_for(&place.path().join("tiny.gguf"), "gemma3", 1, 4096);
    let finished = Command::new(env!("CARGO_BIN_EXE_wenzhai"))
        .args(["bench", "tiny.gguf", "--tokens", "2", "--repeat", "1", "--limit", "2"])
        .args(["--json", "-"])
        .current_dir(place.path())
        .output()
        .unwrap();
    assert!(finished.status.success(), "{}", text(&finished.stderr));
    let report: Value = serde_json::from_slice(&finished.stdout).unwrap();
    assert_eq!(report["papers"], 2);
    // The plain prompt has an example of some 600 characters, two thirds of them Chinese.
    assert!(number(&report["prefix_tokens"]) > 1_000.0, "{report}");
    assert!(number(&report["prompt_tokens"]) > 500.0, "{report}");
}

#[test]
fn what_cannot_be_measured_is_told() {
    let check = |prompts: &str, args: &[&str], message: &str| {
        let place = place();
        std::fs::write(place.path().join("prompts.jsonl"), prompts).unwrap();
        let finished = bench(place.path(), args);
        assert_eq!((finished.status.code(), text(&finished.stdout)), (Some(1), ""), "{message}");
        assert!(text(&finished.stderr).contains(message), "{}", text(&finished.stderr));
    };
    check("", &[], "error: prompts.jsonl holds no paper");
    check("{\"prompt\":\"a\"}\n{}\n", &[], "error: prompts.jsonl, line 2: not a prompt");
    check(
        "{\"prompt\":\"a\"}\n{\"prompt\":\"a\",\"prefix\":\"b\"}\n",
        &[],
        "prompts.jsonl, line 2: its prefix is another",
    );
    check("{\"prompt\":\"a\"}\n", &["--tokens", "300"], "needs 302 positions, a sequence has 256");
    check(
        "{\"prompt\":\"a\"}\n",
        &["--tokens", "1", "--peer", "no-python"],
        "error: cannot start no-python",
    );
    check(
        "{\"prompt\":\"a\"}\n",
        &["--engine", "cpu", "--device", "cuda"],
        "error: the engine cpu does not run on cuda",
    );
}

#[cfg(unix)]
mod peer {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// Puts a shell script where a Python interpreter is expected.
    fn write_interpreter(place: &Path, script: &str) {
        let path = place.join("python");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_fastest_peer_is_measured_again_and_compared_with() {
        let place = place();
        // It answers without running anything. There are three papers, so that it is asked for
        // three sequences and no other number.
        let script = r#"
            test -s "$1" && test -s "$2" && test -s "$3" || exit 1
            echo "$*" >> calls
            cp "$3" workload
            echo '{"program": "llama 1", "load_s": 1, "wall_s": 2.5, "steps": 7, "peak_bytes": 1}'"#;
        write_interpreter(place.path(), script);
        let args = ["--peer", "./python", "--repeat", "2", "--threads", "1", "--json", "r.json"];
        let finished = bench_five(place.path(), &args);
        assert!(finished.status.success(), "{}", text(&finished.stderr));
        let report = std::fs::read_to_string(place.path().join("r.json")).unwrap();
        let report: Value = serde_json::from_str(&report).unwrap();
        let peer = &report["peers"][0];
        check_near(number(&peer["papers_per_hour"]["median"]), 3.0 * 3600.0 / 2.5, "papers/h");
        let ours = number(&report["batches"][0]["papers_per_hour"]["median"]);
        let ratio = number(&peer["ratio"]);
        check_near(ratio, ours / number(&peer["papers_per_hour"]["median"]), "ratio");
        assert_eq!(peer["tried"], serde_json::json!([[3, 2.5], [3, 2.5]]));
        assert!(text(&finished.stdout).ends_with(&format!("; ratio {ratio:.2}\n")));
        let calls = std::fs::read_to_string(place.path().join("calls")).unwrap();
        assert!(calls.contains("--parallel 3 --tokens 5 --threads 1"), "{calls}");
        let workload = std::fs::read_to_string(place.path().join("workload")).unwrap();
        let workload: Value = serde_json::from_str(&workload).unwrap();
        let prompts = workload["prompts"].as_array().unwrap();
        let tokens: usize = prompts.iter().map(|prompt| prompt.as_array().unwrap().len()).sum();
        assert_eq!(report["prompt_tokens"], tokens);
    }

    #[test]
    fn several_programs_take_turns() {
        let place = place();
        // The scripts differ: each is known by a word of its own.
        let script = r#"
            name=$(grep -q openvino_genai "$1" && echo second || echo first)
            echo "$name" >> calls
            echo '{"program": "'$name'", "load_s": 1, "wall_s": 2, "steps": 7, "peak_bytes": 1}'"#;
        write_interpreter(place.path(), script);
        let programs = ["--peer", "./python", "--peer-program", "llama.cpp,openvino,llama.cpp"];
        let finished =
            bench_five(place.path(), &[&programs[..], &["--repeat", "2", "--json", "-"]].concat());
        assert!(finished.status.success(), "{}", text(&finished.stderr));
        let report: Value = serde_json::from_slice(&finished.stdout).unwrap();
        let peers = report["peers"].as_array().unwrap();
        let names: Vec<&Value> = peers.iter().map(|peer| &peer["program"]).collect();
        assert_eq!(names, ["first", "second"]);
        assert!(peers.iter().all(|peer| number(&peer["ratio"]) > 0.0));
        let calls = std::fs::read_to_string(place.path().join("calls")).unwrap();
        assert_eq!(calls, "first\nsecond\nfirst\nsecond\n");
    }

    #[test]
    fn a_peer_that_fails_is_quoted() {
        let place = place();
        write_interpreter(place.path(), "echo 'No module named llama_cpp' >&2; exit 1");
        let finished = bench_five(place.path(), &["--peer", "./python", "--repeat", "1"]);
        let message = "error: llama.cpp in ./python failed: No module named llama_cpp\n";
        assert!(text(&finished.stderr).contains(message), "{}", text(&finished.stderr));
        assert_eq!(finished.status.code(), Some(1));
    }

    /// `WENZHAI_TEST_PYTHON` names an interpreter that has llama-cpp-python.
    #[test]
    fn llama_cpp_writes_as_many_tokens_in_as_many_steps() {
        let Some(python) = std::env::var_os("WENZHAI_TEST_PYTHON") else {
            crate::support::skipped("it needs WENZHAI_TEST_PYTHON");
            return;
        };
        let place = place();
        let python = python.into_string().unwrap();
        let check = |prompts: &str| {
            std::fs::write(place.path().join("prompts.jsonl"), prompts).unwrap();
            let args = ["--peer", &python, "--batch", "3", "--repeat", "1", "--json", "-"];
            let finished = bench_five(place.path(), &args);
            assert!(finished.status.success(), "{}", text(&finished.stderr));
            let report: Value = serde_json::from_slice(&finished.stdout).unwrap();
            let peer = &report["peers"][0];
            assert!(peer["program"].as_str().unwrap().starts_with("llama-cpp-python "), "{peer}");
            assert_eq!((&peer["steps"], &report["batches"][0]["steps"]), (&5.into(), &5.into()));
            check_spread(&peer["wall_s"]);
            check_spread(&peer["load_s"]);
        };
        check(PROMPTS);
        check(
            &["at", "e", "he"]
                .map(|p| format!("{{\"prefix\":\"the he\",\"prompt\":{p:?}}}\n"))
                .concat(),
        );
    }
}
