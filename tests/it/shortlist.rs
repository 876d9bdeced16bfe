//! Shortlists: learned through the program from records, and the default model's own one against
//! summaries that it was not learned from.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use wenzhai::card;
use wenzhai::model::Model;
use wenzhai::shortlist::Shortlist;

use crate::support::tiny;

/// Of the tiny model: `摘要` once and `题` three times, in two records.
const RECORDS: &str = r#"{"title":"a","abstract":"b","zh_title":"题","zh_tldr":"题","zh_abstract":"摘要"}
{"title":"c","abstract":"d"}
{"title":"e","abstract":"f","zh_title":"题","zh_tldr":"标","zh_abstract":"标"}
"#;

fn learn(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wenzhai"))
        .args(["models", "shortlist", "tiny.gguf", "-o", "tiny.shortlist"])
        .args(args)
        .current_dir(folder)
        .env("WENZHAI_HOME", folder.join("cache"))
        .output()
        .unwrap()
}

#[test]
fn a_list_holds_what_occurs_often_enough_and_what_is_always_needed() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("tiny.gguf");
    tiny::write_model(&model, "gemma3", 1);
    let tokenizer = Model::load_tokenizer(&model).unwrap();
    std::fs::write(folder.path().join("records.jsonl"), RECORDS).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(RECORDS.as_bytes()).unwrap();
    std::fs::write(folder.path().join("records.jsonl.gz"), packed.finish().unwrap()).unwrap();

    // By how often it must occur: which of 摘要, 标 and 题 are there.
    let check = |file: &str, min_count: &str, expected: [bool; 3]| {
        let finished = learn(folder.path(), &[file, "--min-count", min_count]);
        let said = String::from_utf8(finished.stderr).unwrap();
        assert!(finished.status.success(), "{said}");
        let bytes = std::fs::read(folder.path().join("tiny.shortlist")).unwrap();
        let list = Shortlist::decode(&bytes).unwrap();
        let holds = |text: &str| match tokenizer.encode(text)[..] {
            [token] => list.ids().binary_search(&token).is_ok(),
            ref tokens => panic!("{text} is {tokens:?}"),
        };
        assert_eq!(["摘要", "标", "题"].map(holds), expected, "at least {min_count} times");
        assert!(["t", "：", "\n"].into_iter().all(holds), "letters, punctuation, line breaks");
        assert!(!holds("要") && !holds(" the"), "never seen");
        assert!((4..260).all(|byte| list.ids().contains(&byte)), "the 256 bytes");
        assert!(list.ids().contains(&1) && !list.ids().contains(&0), "<eos>, but not <pad>");
        assert!(said.starts_with(&format!("{} of 274 tokens, from 2", list.ids().len())), "{said}");
    };
    check("records.jsonl", "1", [true, true, true]);
    check("records.jsonl", "2", [false, true, true]);
    check("records.jsonl.gz", "3", [false, false, true]);
}

#[test]
fn records_without_summaries_teach_nothing() {
    let folder = tempfile::tempdir().unwrap();
    tiny::write_model(&folder.path().join("tiny.gguf"), "gemma3", 1);
    std::fs::write(folder.path().join("bare.jsonl"), r#"{"title":"a","abstract":"b"}"#).unwrap();
    let finished = learn(folder.path(), &["bare.jsonl"]);
    let message = "error: there is no summary to learn from\n";
    assert!(String::from_utf8(finished.stderr).unwrap().starts_with(message));
    assert!(!folder.path().join("tiny.shortlist").exists());
}

#[test]
fn what_of_an_input_cannot_be_read_is_told_and_in_the_status() {
    let folder = tempfile::tempdir().unwrap();
    tiny::write_model(&folder.path().join("tiny.gguf"), "gemma3", 1);
    let broken = format!("{RECORDS}{{\"title\": \"g\"\n");
    std::fs::write(folder.path().join("broken.jsonl"), broken).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(RECORDS.as_bytes()).unwrap();
    let mut packed = packed.finish().unwrap();
    packed.truncate(packed.len() - 4);
    std::fs::write(folder.path().join("cut.jsonl.gz"), packed).unwrap();
    for (file, warning) in [
        ("broken.jsonl", "warning: broken.jsonl, line 4: no JSON: "),
        ("cut.jsonl.gz", "warning: cut.jsonl.gz, line 4: the input breaks off: "),
    ] {
        let finished = learn(folder.path(), &[file, "--min-count", "1"]);
        let said = String::from_utf8(finished.stderr).unwrap();
        assert_eq!(finished.status.code(), Some(2), "{said}");
        assert!(said.starts_with(warning), "{said}");
        assert!(said.contains(" tokens, from 2 summaries"), "{said}");
        std::fs::remove_file(folder.path().join("tiny.shortlist")).unwrap();
    }
}

/// What the list and a paper's own tokens leave out of reference summaries of newer papers.
#[test]
fn few_tokens_of_reference_summaries_are_missed() {
    let dev = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/dev.jsonl"));
    let model = std::env::var_os("WENZHAI_TEST_MODEL").map(PathBuf::from);
    let (Some(model), true) = (model, dev.exists()) else {
        crate::support::skipped(format_args!("it needs WENZHAI_TEST_MODEL and {}", dev.display()));
        return;
    };
    let tokenizer = Model::load_tokenizer(&model).unwrap();
    let file = card::find(card::SMALL).and_then(|card| card.shortlist.as_ref()).unwrap();
    let list = Shortlist::decode(file.data()).unwrap();
    let list: HashSet<u32> = list.ids().iter().copied().collect();
    let (mut tokens, mut missed, mut papers, mut touched) = (0, 0, 0, 0);
    for line in BufReader::new(std::fs::File::open(dev).unwrap()).lines() {
        let paper: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let text = |key: &str| paper[key].as_str().unwrap_or_default().to_owned();
        let prompt = format!("Title: {}\nAbstract: {}\n", text("title"), text("abstract"));
        let own: HashSet<u32> = tokenizer.encode(&prompt).into_iter().collect();
        let mut missed_here = 0;
        for key in ["zh_title", "zh_abstract", "zh_tldr"] {
            let written = tokenizer.encode(&text(key));
            tokens += written.len();
            let is_out = |token: &&u32| !list.contains(*token) && !own.contains(*token);
            missed_here += written.iter().filter(is_out).count();
        }
        papers += 1;
        missed += missed_here;
        touched += usize::from(missed_here > 0);
    }
    eprintln!("{missed} of {tokens} tokens are missed, in {touched} of {papers} papers");
    assert!(papers > 0 && missed as f64 <= 0.005 * tokens as f64);
}
