//! Whole archives: shards of them, what puts these together, appending to records, and the exit
//! statuses by which a script knows whether to run a shard again.

use std::collections::BTreeSet;

use wenzhai::record::Record;

use crate::support::place::{Finished, Place};
use crate::support::tiny;

/// A prompt within the context of a tiny model.
const PROMPT: &str = r#"
abstract_tokens = 12
template = "{{ title }}: {{ abstract }} "
[[field]]
name = "title"
label = ""
max_tokens = 2
[[field]]
name = "paragraph"
label = " a "
max_tokens = 3
[[field]]
name = "one-liner"
label = " b "
max_tokens = 2
"#;

const PAPERS: u32 = 8;

fn paper(number: u32, version: u32) -> String {
    let id = format!("2699.{number:05}");
    format!(
        r#"{{"id":"{id}","version":{version},"link":"https://arxiv.org/abs/{id}","title":"Sheep {number}","abstract":"We count sheep number {number}."}}"#
    ) + "\n"
}

/// A paper that brings its summary along, so that no model is needed.
fn summed_up(number: u32, version: u32) -> String {
    let end = format!(r#","zh_title":"题","zh_tldr":"数羊{version}。","zh_abstract":"数羊。"}}"#);
    paper(number, version).replace('}', &end)
}

/// A folder with papers, a model and a prompt.
fn place() -> Place {
    let place = Place::new();
    tiny::write_model(&place.path().join("tiny.gguf"), "gemma3", 1);
    place.write("prompt.toml", PROMPT);
    place.write("papers.jsonl", &(0..PAPERS).map(|number| paper(number, 1)).collect::<String>());
    place
}

fn digest(place: &Place, more: &[&str]) -> Finished {
    let start = ["digest", "papers.jsonl", "--model", "tiny.gguf", "--prompt", "prompt.toml"];
    place.run(&[&start, more].concat())
}

fn ids(records: &str) -> Vec<String> {
    records.lines().map(|line| serde_json::from_str::<Record>(line).unwrap().id).collect()
}

/// The numbers of the account behind `word`, or 0.
fn counted(run: &Finished, word: &str) -> u32 {
    let account = run.stderr.lines().find(|line| line.starts_with("read ")).unwrap_or_default();
    let end = account.split(';').next().unwrap_or_default();
    let number = end.split(" + ").flat_map(|part| part.split(" = "));
    let number = number.filter_map(|part| part.strip_prefix(word)?.trim().parse::<u32>().ok());
    number.sum()
}

#[test]
fn the_digest_of_all_shards_is_that_of_one_machine() {
    let place = place();
    let whole = digest(&place, &["--store", "one.sqlite", "-o", "one.md", "-o", "one.jsonl"]);
    assert_eq!(whole.status, 0, "{}", whole.stderr);
    let (mut seen, mut names) = (BTreeSet::new(), Vec::new());
    for number in 1..=2 {
        let (shard, name) = (format!("{number}/2"), format!("{number}.jsonl"));
        let store = format!("{number}.sqlite");
        let run = digest(&place, &["--shard", &shard, "--store", &store, "-o", &name]);
        assert_eq!(run.status, 0, "{}", run.stderr);
        let own = ids(&place.read(&name));
        let read: u32 =
            ["summarised", "left to other shards"].map(|word| counted(&run, word)).iter().sum();
        assert_eq!(counted(&run, "summarised"), own.len() as u32, "{}", run.stderr);
        assert_eq!((counted(&run, "read"), read), (PAPERS, PAPERS), "{}", run.stderr);
        assert!(
            own.len() > 1 && own.into_iter().all(|id| seen.insert(id)),
            "a paper of two shards"
        );
        names.push(name);
    }
    assert_eq!(seen.len() as u32, PAPERS);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let both = ["-o", "all.md", "-o", "all.jsonl"];
    assert_eq!(place.run(&[&["render"][..], &names, &both].concat()).status, 0);
    assert!(place.read("all.md") == place.read("one.md"), "the digests differ");
    assert!(place.read("all.jsonl") == place.read("one.jsonl"), "the records differ");
    // Without holding all records in memory.
    let streamed = ["-o", "streamed.md", "--no-store", "--model", "tiny.gguf"];
    assert_eq!(place.run(&[&["digest"][..], &names, &streamed].concat()).status, 0);
    assert!(place.read("streamed.md") == place.read("one.md"), "the streamed digest differs");
}

#[test]
fn a_dry_run_lists_the_papers_of_a_shard() {
    let place = place();
    let list = |shard: &str| ids(&digest(&place, &["--dry-run", "--shard", shard]).stdout);
    let [one, other, all] = ["1/2", "2/2", "1/1"].map(list);
    assert!(!one.is_empty() && !other.is_empty());
    assert_eq!([one.clone(), other.clone()].concat().len(), all.len());
    assert_eq!(one.iter().chain(&other).collect::<BTreeSet<_>>(), all.iter().collect());
    // The limit is one of the shard's own papers.
    let limited = digest(&place, &["--dry-run", "--shard", "2/2", "--limit", "2"]).stdout;
    assert_eq!(ids(&limited).len(), 2);
    assert!(ids(&limited).iter().all(|id| other.contains(id)));
}

#[test]
fn a_shard_without_papers_leaves_a_file_without_records() {
    let place = Place::new();
    place.write("papers.jsonl", &summed_up(1, 1));
    let run = |shard: &str| {
        place.run(&["digest", "papers.jsonl", "--no-store", "--shard", shard, "-o", "s.jsonl"])
    };
    let runs = ["1/2", "2/2"].map(|shard| (run(shard), place.read("s.jsonl")));
    let empty: Vec<_> = runs.iter().filter(|(_, records)| records.is_empty()).collect();
    let [(empty, _)] = empty.as_slice() else { panic!("one of two shards has the paper") };
    let account =
        "read 1 = summarised 0 + reused 0 + left to other shards 1 + skipped 0 + failed 0\n";
    assert_eq!((empty.status, empty.stderr.as_str()), (0, account));
}

#[test]
fn a_shard_can_stand_in_the_file_of_settings() {
    let place = place();
    let profile =
        "[digest.all]\nsources = [\"papers.jsonl\"]\nmodel = \"tiny.gguf\"\nshard = \"1/2\"\n";
    place.write("wenzhai.toml", profile);
    let list =
        |more: &[&str]| ids(&place.run(&[&["digest", "all", "--dry-run"], more].concat()).stdout);
    let (of_profile, typed) = (list(&[]), list(&["--shard", "2/2"]));
    assert_eq!((of_profile.len() + typed.len()) as u32, PAPERS);
    assert!(of_profile.iter().all(|id| !typed.contains(id)));
}

#[test]
fn shards_that_make_no_sense_are_refused_with_a_hint() {
    let place = place();
    let refused = |arguments: &[&str], what: &str, hint: &str| {
        let run = digest(&place, arguments);
        assert_eq!((run.status, run.stdout.as_str()), (1, ""), "{arguments:?}");
        assert!(run.stderr.contains(what) && run.stderr.contains(hint), "{}", run.stderr);
    };
    refused(&["--shard", "0/4"], "error: the shard \"0/4\": shards are counted from 1", "1/8");
    refused(&["--shard", "5/4"], "there are only 4", "8/8");
    refused(&["--shard", "four"], "the shard \"four\": no shard", "2/8: the second of eight");
    place.write("ids.txt", "2699.00001\n");
    refused(&["--shard", "1/4", "--like", "ids.txt"], "--like ranks all papers", "put together");
}

#[test]
fn records_are_extended_by_what_they_lack() {
    let place = Place::new();
    let run = |more: &[&str]| {
        let fixed = ["digest", "papers.jsonl", "--no-store", "--announce", "all"];
        place.run(&[&fixed, more].concat())
    };
    let extend = ["--skip-existing", "-o", "archive.jsonl", "-o", "new.md"];
    place.write("papers.jsonl", &(summed_up(1, 1) + &summed_up(2, 1)));
    assert_eq!(run(&extend).status, 0, "a file that is not there yet is begun");
    let first = place.read("archive.jsonl");
    assert_eq!(ids(&first), ["2699.00002", "2699.00001"]);
    // What somebody else noted in a record stays.
    let first = first.replace("{\"id\":\"2699.00001\"", "{\"read\": true, \"id\":\"2699.00001\"");
    assert!(first.contains("\"read\": true"), "{first}");
    place.write("archive.jsonl", &first);

    let again = run(&extend);
    let told = "no paper is left of 2: 2 already in the output; nothing was written";
    assert_eq!((again.status, again.stderr.lines().last()), (0, Some(told)));
    assert_eq!(place.read("archive.jsonl"), first);

    // One is known, one is a new version, one is new.
    place.write("papers.jsonl", &(summed_up(1, 1) + &summed_up(2, 2) + &summed_up(3, 1)));
    let third = run(&extend);
    let account = "read 3 = summarised 0 + reused 2 + skipped 1 + failed 0\n";
    assert_eq!((third.status, third.stderr.as_str()), (0, account));
    let archive = place.read("archive.jsonl");
    assert_eq!(ids(&archive), ["2699.00001", "2699.00003", "2699.00002"]);
    assert!(archive.contains("数羊2。") && archive.starts_with(first.lines().last().unwrap()));
    let new = place.read("new.md");
    assert!(new.contains("Sheep 3") && !new.contains("Sheep 1"), "{new}");
}

#[test]
fn a_paper_that_failed_is_tried_again_and_its_record_replaced() {
    let place = place();
    place.write("papers.jsonl", &(paper(1, 1) + &paper(2, 1)));
    let failed = paper(1, 1).replace('}', r#","error":"the model wrote no summary"}"#);
    place.write("archive.jsonl", &failed);
    let run = digest(&place, &["--no-store", "--skip-existing", "-o", "archive.jsonl"]);
    assert_eq!((run.status, counted(&run, "summarised")), (0, 2), "{}", run.stderr);
    let archive = place.read("archive.jsonl");
    assert_eq!((ids(&archive).len(), archive.contains("error")), (2, false), "{archive}");
}

/// The archive has all papers; the day's page has those of the last run.
#[test]
fn a_page_of_the_day_that_loses_papers_to_a_second_run_is_told() {
    let place = place();
    let extend = ["--no-store", "--skip-existing", "-o", "archive.jsonl", "-o", "{date}.md"];
    place.write("papers.jsonl", &summed_up(1, 1));
    let first = digest(&place, &extend);
    assert!(first.status == 0 && !first.stderr.contains("warning"), "{}", first.stderr);
    place.write("papers.jsonl", &(summed_up(1, 1) + &summed_up(2, 1)));
    let second = digest(&place, &extend);
    let told = ".md is written anew with the papers of this run alone; 1 that it may have had are in \
        archive.jsonl\n";
    assert!(second.status == 0 && second.stderr.contains(told), "{}", second.stderr);
}

#[test]
fn a_summary_stays_where_the_new_version_fails() {
    let place = place();
    let long = "On counting sheep ".repeat(2_000);
    let failing = paper(1, 2).replacen("\"title\":\"", &format!("\"title\":\"{long}"), 1);
    assert!(failing.contains(&long));
    place.write("papers.jsonl", &failing);
    let archive = summed_up(1, 1);
    place.write("archive.jsonl", &archive);
    let extend = ["--no-store", "--skip-existing", "-o", "archive.jsonl", "-o", "new.md"];
    let run = digest(&place, &extend);
    assert_eq!((run.status, counted(&run, "failed")), (2, 1), "{}", run.stderr);
    assert_eq!(place.read("archive.jsonl"), archive);
    assert!(place.read("new.md").contains("too long"), "the digest of the day tells of it");
}

#[test]
fn an_empty_file_of_records_has_none() {
    let place = Place::new();
    place.write("empty.jsonl", "");
    place.write("one.jsonl", &summed_up(1, 1));
    let run = place.run(&["digest", "empty.jsonl", "one.jsonl", "--no-store", "-o", "d.jsonl"]);
    assert_eq!((run.status, ids(&place.read("d.jsonl")).len()), (0, 1), "{}", run.stderr);
}

#[test]
fn what_cannot_be_extended_is_refused_before_the_work() {
    let place = Place::new();
    place.write("papers.jsonl", &summed_up(1, 1));
    let refused = |output: &[&str], what: &str| {
        let run = place.run(&[&["digest", "papers.jsonl", "--skip-existing"], output].concat());
        assert_eq!(run.status, 1, "{output:?}");
        assert!(run.stderr.contains(what), "{output:?}: {}", run.stderr);
    };
    let none = "looks into one file of records, and there is not one\n  hint: name one";
    refused(&[], none);
    refused(&["-o", "a.md"], none);
    refused(&["-o", "{date}.jsonl"], none);
    refused(&["-o", "a.jsonl", "-o", "b.jsonl"], none);
    refused(&["--dry-run"], "cannot be used with");
    place.write("letter.jsonl", "Dear editor,\n");
    refused(&["-o", "letter.jsonl"], "letter.jsonl, line 1: not a record");
    assert_eq!(place.read("letter.jsonl"), "Dear editor,\n");
}

#[test]
fn a_script_can_tell_whether_to_run_again() {
    let place = Place::new();
    place.write("papers.jsonl", &summed_up(1, 1));
    let status = |arguments: &[&str]| place.run(&[&["digest"], arguments].concat()).status;
    assert_eq!(status(&["papers.jsonl", "--store", "s.sqlite"]), 0);
    for wrong in [
        &["papers.jsonl", "--shard", "9/8"][..],
        &["papers.jsonl", "--no-such-option"],
        &["nowhere.jsonl"],
        &["papers.jsonl", "-o", "no/folder/a.md"],
    ] {
        assert_eq!(status(wrong), 1, "{wrong:?}");
    }
    place.write("broken.jsonl", &(summed_up(1, 1) + "no record\n"));
    assert_eq!(status(&["broken.jsonl", "--no-store"]), 2);
    let held = wenzhai::store::Store::open(&place.path().join("s.sqlite")).unwrap();
    assert_eq!(status(&["papers.jsonl", "--store", "s.sqlite"]), 75, "another run has the store");
    drop(held);
    assert_eq!(status(&["papers.jsonl", "--store", "s.sqlite"]), 0);
    // Nobody listens at port 9.
    assert_eq!(status(&["http://127.0.0.1:9/rss/cs.CL", "--no-store"]), 75, "no server");
}

/// While one run waits for whoever reads its standard output, another one extends the same archive.
#[cfg(unix)]
#[test]
fn an_archive_that_another_run_extends_meanwhile_loses_nothing() {
    use std::io::Read;

    let place = Place::new();
    // More than a pipe holds.
    let many: String = (10..2_000).map(|number| summed_up(number, 1)).collect();
    place.write("many.jsonl", &many);
    place.write("one.jsonl", &summed_up(2, 1));
    place.write("archive.jsonl", &summed_up(1, 1));
    let extend = ["--no-store", "--skip-existing", "-o", "archive.jsonl"];
    let outputs = ["-o", "-", "--format", "md"];
    let first = [&["digest", "many.jsonl"], &extend[..], &outputs[..]].concat();
    let mut first = place.command(&first).spawn().unwrap();
    // The archive has been read when the document begins.
    let mut reader = first.stdout.take().unwrap();
    let mut beginning = [0; 10];
    reader.read_exact(&mut beginning).unwrap();
    let second = place.run(&[&["digest", "one.jsonl"], &extend[..]].concat());
    assert_eq!(second.status, 0, "{}", second.stderr);
    std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
    let first = first.wait_with_output().unwrap();
    let said = String::from_utf8(first.stderr).unwrap();
    assert_eq!(first.status.code(), Some(75), "{said}");
    assert!(said.contains("archive.jsonl was changed by another run meanwhile"), "{said}");
    let archive = place.read("archive.jsonl");
    assert_eq!(ids(&archive).len(), 2, "{archive}");
    let again = place.run(&[&["digest", "many.jsonl"], &extend[..]].concat());
    assert_eq!((again.status, ids(&place.read("archive.jsonl")).len()), (0, 1_992));
}
