//! A morning's digest with a real model: one profile of three sources and four outputs, killed
//! twice. It needs weights, so it runs only where `WENZHAI_TEST_HOME` is a `WENZHAI_HOME` with them
//! and `WENZHAI_TEST_PROFILE_MODEL` names one of its models, and says so where they are not.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use wenzhai::record::Record;

use crate::support::arxiv_server::{Announced, ArxivServer, Kind};
use crate::support::place::Place;

const TODAY: &str = "2026-11-25";

const OUTPUTS: [&str; 4] = ["day.md", "day.jsonl", "day.html", "day.xml"];

const SETTINGS: &str = r#"
[digest.morning]
sources = ["arxiv:cs.CL", "arxiv:cs.LG@2026-11-24", "arxiv:query:cat:cs.SD"]
output = ["day.md", "day.jsonl", "day.html", "day.xml"]
keep = ["language model", "/[a-z]/"]
drop = ["title:watermark"]
like = ["library.bib"]
"#;

const LIBRARY: &str = "@article{a, title = {Retrieval of passages for question answering}, \
    abstract = {We retrieve passages by dense vectors and answer questions from them.}}\n";

/// The papers of the sample, as arXiv announces them.
fn papers(place: &Place) -> Vec<Announced> {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cs.CL-sample.xml");
    let run = place.run(&["digest", sample.to_str().unwrap(), "--announce", "all", "--dry-run"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let records = run.stdout.lines().map(|line| serde_json::from_str::<Record>(line).unwrap());
    records
        .map(|record| Announced {
            id: record.id,
            version: 1,
            kind: Kind::New,
            title: record.title,
            abstract_text: record.abstract_text,
        })
        .collect()
}

/// Key and moment of each summary in the store at `path`: one that is written again differs.
fn kept(path: &Path) -> BTreeSet<(String, i64)> {
    let Ok(store) = rusqlite::Connection::open(path) else { return BTreeSet::new() };
    let Ok(mut rows) = store.prepare("SELECT key, created FROM summary") else {
        return BTreeSet::new();
    };
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.map(|rows| rows.flatten().collect()).unwrap_or_default()
}

#[test]
fn a_profile_that_is_killed_twice_loses_and_repeats_nothing() {
    let (Ok(home), Ok(model)) =
        (std::env::var("WENZHAI_TEST_HOME"), std::env::var("WENZHAI_TEST_PROFILE_MODEL"))
    else {
        crate::support::skipped("it needs WENZHAI_TEST_HOME and WENZHAI_TEST_PROFILE_MODEL");
        return;
    };
    let server = ArxivServer::start();
    let papers = papers(&Place::new());
    assert_eq!(papers.len(), 12);
    server.set_feed("cs.CL", TODAY, papers[..5].to_vec());
    // One paper comes from two sources.
    server.set_day("cs.LG", "2026-11-24", papers[4..9].to_vec());
    server.set_papers(papers[9..].to_vec());
    let begin = |place: &Place| {
        let arguments = ["digest", "morning", "--model", &model, "--store", "store.sqlite"];
        let mut command = server.command(place, TODAY, &arguments);
        command.env("WENZHAI_HOME", &home);
        command
    };
    let new_place = || {
        let place = Place::new();
        place.write("wenzhai.toml", SETTINGS);
        place.write("library.bib", LIBRARY);
        place
    };

    let killed = new_place();
    let store = killed.path().join("store.sqlite");
    let mut before = BTreeSet::new();
    for kill in 1..=2 {
        let mut run = begin(&killed).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while kept(&store).len() <= before.len() {
            assert!(run.try_wait().unwrap().is_none(), "kill {kill} came too late");
            std::thread::sleep(Duration::from_millis(20));
        }
        run.kill().unwrap();
        run.wait().unwrap();
        let after = kept(&store);
        assert!(after.is_superset(&before), "kill {kill}: what was finished stays as it was");
        eprintln!("killed after {} papers", after.len());
        before = after;
        assert!(OUTPUTS.iter().all(|output| !killed.has(output)), "no output is half of one");
    }
    let run = begin(&killed).output().unwrap();
    let said = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(0), "{said}");
    eprintln!("{}", said.lines().last().unwrap_or_default());
    assert!(kept(&store).is_superset(&before), "nothing is written twice");

    let undisturbed = new_place();
    let run = begin(&undisturbed).output().unwrap();
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
    for output in OUTPUTS {
        assert_eq!(killed.read(output), undisturbed.read(output), "{output}");
    }
    let records: BTreeSet<String> = killed
        .read("day.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<Record>(line).unwrap().id)
        .collect();
    let expected = papers.iter().filter(|paper| !paper.title.to_lowercase().contains("watermarks"));
    assert_eq!(records, expected.map(|paper| paper.id.clone()).collect());
}
