//! `wenzhai eval`, run as a user runs it.
//!
//! The figures of the fixtures and of the public digest were computed with sacrebleu 2.6.0
//! (`CHRF(word_order=0).corpus_score`, of all papers and of each alone) and, all but chrF, with the
//! script `quality/score.py` that lies beside the public digest, under Python 3.11. Both know only
//! ids that are the same to the letter and take the last record of several, so that they were given
//! ids without versions and, of paper 2699.10002, the record of version 2 alone.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use insta::assert_snapshot;
use serde_json::{Value, json};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/eval");

fn eval_in(folder: &Path, args: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wenzhai"))
        .arg("eval")
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that reads nothing closes the pipe early.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

/// The fixtures.
fn eval(args: &[&str]) -> Output {
    let files = ["records.jsonl", "references.jsonl"];
    eval_in(Path::new(FIXTURES), &[&files, args].concat(), "")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn report(finished: &Output) -> Value {
    assert_eq!(finished.status.code(), Some(0), "{}", text(&finished.stderr));
    serde_json::from_slice(&finished.stdout).unwrap()
}

/// What `expected` says is what `found` says; it may say more.
#[track_caller]
fn check_holds(found: &Value, expected: &Value) {
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&found[key], value, "{key} of {found}");
    }
}

#[test]
fn figures_are_those_of_sacrebleu_and_of_the_script() {
    let report = report(&eval(&["--json", "-"]));
    let expected = json!({
        "papers": 8, "chrf_title": 31.98, "chrf_tldr": 32.49, "chrf_abstract": 29.09,
        "complete": 0.75, "chinese": 0.625, "one_line": 0.5, "clean": 0.375, "length": 0.625,
        "numbers": 0.5625, "names": 0.5833,
    });
    check_holds(&report, &expected);
    let expected = json!({
        "matched": 7, "missing": 1, "failed": 1, "records": 10, "without_reference": 1,
        "repeated_records": 2, "repeated_references": 0, "retried": 4, "flagged": 3, "cut": 2,
    });
    check_holds(&report, &expected);
}

#[test]
fn papers_stand_in_the_order_of_their_own_chrf() {
    let worst = report(&eval(&["--json", "-"]))["worst"].take();
    let papers: Vec<Value> = worst
        .as_array()
        .unwrap()
        .iter()
        .map(|p| json!([p["id"], p["chrf_title"], p["chrf_tldr"], p["chrf_abstract"], p["chrf"]]))
        .collect();
    let expected = json!([
        ["2699.10005", 0.0, 0.0, 0.0, 0.0],
        ["2699.10007", 0.0, 0.0, 0.0, 0.0],
        ["2699.10003", 0.0, 4.14, 1.12, 1.75],
        ["2699.10006", 11.28, 2.76, 37.15, 17.06],
        ["2699.10004", 52.27, 26.05, 18.7, 32.34],
        ["2699.10002v2", 31.61, 50.19, 44.47, 42.09],
        ["2699.10001", 48.81, 55.58, 48.37, 50.92],
        ["2699.10008", 100.0, 100.0, 100.0, 100.0],
    ]);
    assert_eq!(Value::from(papers), expected);
    assert_eq!(worst[0]["error"], "the prompt does not fit");
    assert_eq!(worst[1]["ours"], Value::Null);
    assert_eq!(worst[3]["ours"]["zh_tldr"], "干草就够了。");
    assert_eq!(worst[3]["reference"]["zh_title"], "干草就是你所需的一切");
    assert_eq!(worst[4]["cut"], true);
    assert_eq!((&worst[5]["retries"], worst[5]["marks"].as_array().unwrap().len()), (&1.into(), 1));
}

#[test]
fn a_table_goes_to_standard_output_and_everything_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["records.jsonl", "references.jsonl"] {
        std::fs::copy(Path::new(FIXTURES).join(name), folder.path().join(name)).unwrap();
    }
    let args = ["records.jsonl", "references.jsonl", "--json", "figures.json"];
    let finished = eval_in(folder.path(), &args, "");
    let alone = eval(&["--json", "-"]);
    let file = std::fs::read(folder.path().join("figures.json")).unwrap();
    assert_eq!(text(&file), text(&alone.stdout));
    assert_eq!(text(&finished.stdout), text(&eval(&[]).stdout));
    assert!(!text(&eval(&["--worst", "0"]).stdout).contains("2699"));
}

#[test]
fn the_table_reads_well() {
    let finished = eval(&["--worst", "6"]);
    assert_snapshot!(
        "eval-table",
        text(&finished.stdout).replace(env!("CARGO_PKG_VERSION"), "VERSION")
    );
    assert_snapshot!(text(&finished.stderr), @r"
    warning: records.jsonl: 2 of papers that came before; the one of the reference's version counts, or else the last
    warning: records.jsonl: 1 without a reference, left out
    warning: references.jsonl: 1 without a record, counted as failed
    ");
}

const REFERENCE: &str = r#"{"id":"2699.10001","title":"Counting sheep","abstract":"We count sheep.","zh_title":"数羊","zh_tldr":"我们数羊。","zh_abstract":"我们在牧场上数羊。"}
"#;

/// Measures `records` against `references`, which come through standard input.
fn eval_texts(records: &str, references: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("records.jsonl"), records).unwrap();
    eval_in(folder.path(), &["records.jsonl", "-"], references)
}

#[test]
fn what_cannot_be_measured_is_told() {
    let check = |records: &str, references: &str, message: &str, hint: &str| {
        let finished = eval_texts(records, references);
        assert_eq!((finished.status.code(), text(&finished.stdout)), (Some(1), ""), "{message}");
        let said = text(&finished.stderr);
        assert!(said.starts_with(message), "{said}");
        assert!(said.contains(&format!("\n  hint: {hint}")), "{said}");
    };
    let reference_hint = "a reference is one line of JSON with `id`, `title`, `abstract`, ";
    let record_hint = "a record is one line of JSON, as `wenzhai digest --format jsonl` writes it";
    check("", REFERENCE, "error: records.jsonl holds no record\n", record_hint);
    check(REFERENCE, "\n", "error: standard input holds no reference\n", reference_hint);
    check(
        &format!("{REFERENCE}\n{{\"id\": 1}}\n"),
        REFERENCE,
        "error: records.jsonl, line 3: not a record: a whole number stands where a",
        record_hint,
    );
    check(
        REFERENCE,
        &format!("{REFERENCE}{}", REFERENCE.replace("zh_tldr", "tldr")),
        "error: standard input, line 2: not a reference: missing field `zh_tldr`",
        reference_hint,
    );
    check(
        &REFERENCE.replace("10001", "10002"),
        REFERENCE,
        "error: no record of records.jsonl belongs to a reference of standard input\n",
        "they must have the same `id`; the first record has \"2699.10002\", the first reference \
         \"2699.10001\"",
    );
    let twice = eval_in(Path::new(FIXTURES), &["-", "-"], "");
    assert_eq!(text(&twice.stderr), "error: standard input (-) is named more than once\n");
}

#[test]
fn references_that_repeat_an_id_count_each_and_are_told() {
    let finished = eval_texts(REFERENCE, &REFERENCE.repeat(3));
    let warning = "warning: standard input: 2 of papers that came before; each of them counts\n";
    assert_eq!(text(&finished.stderr), warning);
    assert!(text(&finished.stdout).contains("\n3 papers: 3 with a record, 0 without\n"));
}

#[test]
fn texts_cannot_act_on_a_terminal() {
    let record = REFERENCE.replace("数羊。", r"\u001b[2J数\n羊\u202e\r。");
    let table = eval_texts(&record, &REFERENCE.replace("sheep", r"\u001b]0;sheep")).stdout;
    let controls = text(&table).chars().filter(|c| c.is_control() && *c != '\n').count();
    assert_eq!(controls, 0, "{}", text(&table));
    assert!(text(&table).contains("ours       我们\u{fffd}[2J数⏎羊\u{fffd}\u{fffd}。\n"));
}

/// The public digest's summaries with things taken from them, against themselves.
#[test]
fn figures_of_the_public_digest_are_those_of_the_script() {
    let dev = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/dev.jsonl"));
    let Ok(references) = std::fs::read_to_string(dev) else {
        crate::support::skipped(format_args!("no {}", dev.display()));
        return;
    };
    let expected = json!({
        "papers": 300, "chrf_title": 47.14, "chrf_tldr": 46.67, "chrf_abstract": 37.18,
        "complete": 0.9, "chinese": 0.8, "one_line": 0.8, "clean": 0.6667, "length": 0.7,
        "numbers": 0.5576, "names": 0.428, "matched": 270, "missing": 30,
    });
    let records: String = references.lines().enumerate().filter_map(damaged).collect();
    check_holds(&report(&eval_texts_as_json(&records, &references)), &expected);
}

fn eval_texts_as_json(records: &str, references: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("records.jsonl"), records).unwrap();
    eval_in(folder.path(), &["records.jsonl", "-", "--json", "-"], references)
}

/// Every seventh character lost, every tenth paper too; now and then English, loops, labels and
/// line breaks.
fn damaged((index, line): (usize, &str)) -> Option<String> {
    let mut record: BTreeMap<String, String> = serde_json::from_str(line).unwrap();
    for key in ["zh_title", "zh_tldr", "zh_abstract"] {
        let kept = record[key].chars().zip(index..).filter(|(_, at)| at % 7 != 0);
        record.insert(key.into(), kept.map(|(character, _)| character).collect());
    }
    let paragraph = &record["zh_abstract"];
    match index % 10 {
        0 => return None,
        1 => record.insert("zh_abstract".into(), record["abstract"].clone()),
        2 => record
            .insert("zh_abstract".into(), paragraph.chars().take(30).collect::<String>().repeat(4)),
        3 => record.insert("zh_tldr".into(), format!("一句话：{}", record["zh_tldr"])),
        4 => record.insert("zh_tldr".into(), record["zh_tldr"].replace('，', "\n")),
        _ => None,
    };
    record.insert("id".into(), format!("{}v{}", record["id"], index % 3 + 1));
    Some(serde_json::to_string(&record).unwrap() + "\n")
}
