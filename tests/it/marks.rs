//! What is known of a summary goes wherever the summary goes: through records, digests of records,
//! and files that are put together, in the forms of this version and of the first.

use wenzhai::record::Record;

use crate::support::place::Place;

/// A marked summary, in this version's form.
const MARKED: &str = r#"{"id":"2699.00001","version":2,"link":"http://arxiv.org/abs/2699.00001","title":"Counting Sheep","abstract":"We count 12 sheep.","authors":["A. Shepherd"],"categories":["cs.CL"],"announce":"cross","published":"2699-01-05","updated":"2699-01-07","zh_title":"数羊","zh_tldr":"我们数羊，以此入睡。","zh_abstract":"我们数羊。","model":"tiny with a.safetensors","marks":[{"kind":"lost-numbers","field":"paragraph","detail":["12"]},{"kind":"unfinished","field":"paragraph"}],"retries":2,"cut":true}"#;

/// The same as the first version wrote it.
const FIRST: &str = r#"{"id":"2699.00002","link":"http://arxiv.org/abs/2699.00002","title":"Counting Goats","abstract":"We count goats.","zh_title":"数山羊","zh_tldr":"我们数山羊，以此入睡。","zh_abstract":"我们数山羊。","model":"tiny","flags":["paragraph is unfinished","smells"],"retries":2}"#;

/// A summary whose missing part a mark names.
const TITLELESS: &str = r#"{"link":"http://a/3","title":"Counting Cows","abstract":"We count cows.","zh_tldr":"我们数牛，以此入睡。","zh_abstract":"我们数牛。","model":"tiny","marks":[{"kind":"missing","field":"title"}]}"#;

fn digested(place: &Place, inputs: &[&str], output: &str) -> Vec<Record> {
    let options = ["--no-store", "--format", "jsonl", "-o", output];
    let run = place.run(&[&["digest"], inputs, &options].concat());
    assert_eq!((run.status, run.stderr.contains("summarised 0")), (0, true), "{}", run.stderr);
    let lines = place.read(output);
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_marked_summary_goes_through_digests_of_records_as_it_is() {
    let place = Place::new();
    place.write("one.jsonl", &format!("{MARKED}\n"));
    place.write("two.jsonl", &format!("{FIRST}\n{TITLELESS}\n"));
    let once = digested(&place, &["one.jsonl", "two.jsonl"], "once.jsonl");
    assert_eq!(digested(&place, &["once.jsonl"], "again.jsonl"), once, "nothing is lost");
    assert!(place.read("once.jsonl").lines().any(|line| line == MARKED));
    let first: Record = serde_json::from_str(FIRST).unwrap();
    assert_eq!((once[0].marks.len(), &once[0].marks), (2, &first.marks));
}

#[test]
fn a_mark_of_another_program_breaks_no_feed() {
    let place = Place::new();
    let loop_mark = r#"{"kind":"loop","field":"paragraph","detail":["a\u0001b\ufffe\nc"]}"#;
    let record = MARKED.replace(r#"{"kind":"unfinished","field":"paragraph"}"#, loop_mark);
    place.write("one.jsonl", &format!("{record}\n"));
    let feed = place.run(&["render", "one.jsonl", "--format", "atom"]).stdout;
    assert!(feed.contains("段落有重复的文字"), "{feed}");
    let is_allowed = |c: char| matches!(c, '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert_eq!(feed.chars().find(|c| !is_allowed(*c)), None, "XML 1.0, production 2");
}

#[test]
fn marks_of_both_forms_are_worded_in_the_digest() {
    let place = Place::new();
    place.write("all.jsonl", &format!("{MARKED}\n{FIRST}\n{TITLELESS}\n"));
    let rendered = place.run(&["render", "all.jsonl"]).stdout;
    for note in [
        "⚠ 未通过检查：段落遗漏了原文的数字：12；段落没有写完",
        "⚠ 原文摘要过长",
        "⚠ 未通过检查：段落没有写完；smells",
        "⚠ 未通过检查：标题缺失",
    ] {
        assert!(rendered.contains(note), "{note} in {rendered}");
    }
    let digest = place.run(&["digest", "all.jsonl", "--no-store"]).stdout;
    assert_eq!(digest, rendered, "both doors give the same digest");
}
