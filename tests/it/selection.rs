//! What is new and what matters: papers are chosen, ordered and accounted for, and the digest says why.

use wenzhai::feed::Source;
use wenzhai::paper::{Announce, Paper};
use wenzhai::pipeline::{self, Intake};
use wenzhai::record::Record;
use wenzhai::select::{Announcements, Selection};
use wenzhai::store::{Identity, Store};

use crate::support::place::{Finished, Place};

/// Records with summaries, so that no model is needed.
fn papers() -> String {
    let paper = |number: u32, announce: &str, title: &str, text: &str, author: &str, day: &str| {
        format!(
            r#"{{"id":"2699.0000{number}","version":1,"link":"https://arxiv.org/abs/2699.0000{number}","title":"{title}","abstract":"{text}","authors":["{author}"],"categories":["cs.CL"],"announce":"{announce}","published":"{day}","zh_title":"题{number}","zh_tldr":"一句话{number}。","zh_abstract":"段落{number}。"}}"#
        ) + "\n"
    };
    [
        paper(1, "new", "Counting Sheep", "LLMs count sheep at night.", "Ada Li", "2699-01-05"),
        paper(2, "new", "Baking Bread", "We bake bread by RAG.", "Bo Ek", "2699-01-06"),
        paper(3, "cross", "Goats", "We count goats at night.", "Cy Oh", "2699-01-06"),
        // Of a replacement without a summary, nothing is there to be listed.
        paper(4, "replace", "Milk", "We pour milk for LLMs.", "Ada Li", "2699-01-07")
            .replace("zh_", "no_"),
    ]
    .concat()
}

fn digest(place: &Place, arguments: &[&str]) -> (Vec<String>, Finished) {
    place.write("papers.jsonl", &papers());
    let fixed = ["digest", "papers.jsonl", "--no-store", "--format", "jsonl"];
    let run = place.run(&[&fixed, arguments].concat());
    let ids = run.stdout.lines().map(|line| serde_json::from_str::<Record>(line).unwrap().id);
    (ids.map(|id| id[id.len() - 1..].to_owned()).collect(), run)
}

#[track_caller]
fn check(arguments: &[&str], expected: &[&str], account: &str) {
    let (ids, run) = digest(&Place::new(), arguments);
    assert_eq!(ids, expected, "{arguments:?} {}", run.stderr);
    assert_eq!(run.stderr.lines().last(), Some(account), "{arguments:?}");
    assert_eq!(run.status, 0);
}

const ONE_OF_FOUR: &str = "read 4 = summarised 0 + reused 1 + filtered 3 + skipped 0 + failed 0";
const TWO_OF_FOUR: &str = "read 4 = summarised 0 + reused 2 + filtered 2 + skipped 0 + failed 0";
const THREE_OF_FOUR: &str = "read 4 = summarised 0 + reused 3 + filtered 1 + skipped 0 + failed 0";

#[test]
fn replacements_do_not_drown_what_is_new() {
    check(&[], &["3", "2", "1"], THREE_OF_FOUR);
    check(&["--announce", "new"], &["2", "1"], TWO_OF_FOUR);
    for (announce, papers, account) in [
        ("replace", &["4"][..], "read 4 = listed 1 + filtered 3 + skipped 0\n"),
        ("all", &["4", "3", "2", "1"], "read 4 = listed 4 + skipped 0\n"),
        ("new,cross", &["3", "2", "1"], "read 4 = listed 3 + filtered 1 + skipped 0\n"),
    ] {
        let (listed, finished) = digest(&Place::new(), &["--announce", announce, "--dry-run"]);
        assert_eq!(listed, papers);
        assert_eq!(finished.stderr, account);
    }
}

#[test]
fn terms_and_days_choose_papers() {
    check(&["--keep", "night"], &["3", "1"], TWO_OF_FOUR);
    check(&["--keep", "night", "--drop", "LLM"], &["3"], ONE_OF_FOUR);
    check(&["--keep", "author:Ada Li"], &["1"], ONE_OF_FOUR);
    check(&["--keep", "/^(bak|count)ing/", "--keep", "goat"], &["3", "2", "1"], THREE_OF_FOUR);
    check(&["--drop", "rag", "--drop", "sheep"], &["3"], ONE_OF_FOUR);
    check(&["--since", "2699-01-06"], &["3", "2"], TWO_OF_FOUR);
    check(&["--until", "2699-01-05"], &["1"], ONE_OF_FOUR);
    // Common terms are known in Chinese.
    check(&["--keep", "大语言模型"], &["1"], ONE_OF_FOUR);
}

#[test]
fn a_common_term_in_chinese_is_known_by_every_name_that_the_glossary_has() {
    let place = Place::new();
    let title = "Adversarial samples of sheep";
    place
        .write("feed.jsonl", &format!(r#"{{"id":"2699.00009","title":"{title}","abstract":"a"}}"#));
    let digest = ["digest", "feed.jsonl", "--dry-run", "--keep", "对抗样本"];
    let run = place.run(&digest);
    assert!(run.stdout.contains(title), "{}{}", run.stdout, run.stderr);
}

#[test]
fn nothing_left_is_told_and_writes_nothing() {
    let place = Place::new();
    let (ids, run) = digest(&place, &["--keep", "submarine"]);
    assert_eq!((ids.len(), run.status), (0, 0));
    let told = "no paper is left of 4: 4 filtered out; nothing was written";
    assert_eq!(run.stderr.lines().last(), Some(told));
}

#[test]
fn wrong_terms_and_days_are_refused_before_the_work() {
    let refused = |arguments: &[&str], what: &str| {
        let (_, run) = digest(&Place::new(), arguments);
        assert_eq!(run.status, 1, "{arguments:?}");
        assert!(run.stderr.contains(what), "{arguments:?}: {}", run.stderr);
    };
    refused(&["--announce", "old"], "unknown announcement \"old\"");
    refused(&["--keep", "..."], "the term \"...\" has no word");
    refused(&["--drop", "/(/"], "it is no regular expression");
    refused(&["--since", "yesterday"], "--since yesterday is no day");
    refused(&["--since", "2699-02-01", "--until", "2699-01-01"], "is later than");
    refused(&["--like", "nowhere.bib"], "nowhere.bib");
    refused(&["--top", "3"], "--like");
}

#[test]
fn what_is_like_my_library_comes_first() {
    let place = Place::new();
    place
        .write("mine.bib", "@misc{a, title={Goats at Night}, abstract={We count goats by night.}}");
    let (ids, run) = digest(&place, &["--like", "mine.bib"]);
    assert_eq!(ids, ["3", "1", "2"], "{}", run.stderr);
    let (ids, run) = digest(&place, &["--like", "mine.bib", "--top", "1"]);
    assert_eq!(ids, ["3"]);
    assert_eq!(run.stderr.lines().last(), Some(ONE_OF_FOUR));
    place.write("ids.txt", "2699.00002\n");
    let (ids, _) = digest(&place, &["--like", "ids.txt", "--top", "1"]);
    assert_eq!(ids, ["2"], "what is known of an id is what the inputs say");
    place.write("ids.txt", "2699.00009\n");
    let (ids, run) = digest(&place, &["--like", "ids.txt"]);
    assert_eq!(ids, ["3", "2", "1"]);
    assert!(run.stderr.contains("nothing is known of the library's papers"), "{}", run.stderr);
}

#[test]
fn the_digest_says_why_a_paper_stands_where_it_stands() {
    let place = Place::new();
    place.write("papers.jsonl", &papers());
    place
        .write("mine.bib", "@misc{a, title={Goats at Night}, abstract={We count goats by night.}}");
    let choice = ["--keep", "night", "--like", "mine.bib"];
    let fixed = ["digest", "papers.jsonl", "--no-store"];
    let markdown = place.run(&[&fixed[..], &choice].concat()).stdout;
    let first =
        "入选原因：符合“night”；与文献库的相近程度排第 1，与之最相近的一篇是《Goats at Night》";
    let [goats, sheep] = ["[^1]: 题3", "[^2]: 题1"].map(|at| markdown.find(at).unwrap());
    assert!(markdown[goats..sheep].contains(first), "{markdown}");
    assert!(markdown[sheep..].contains("排第 2"), "{markdown}");
    let records = place.run(&[&fixed[..], &choice, &["--format", "jsonl"]].concat()).stdout;
    place.write("records.jsonl", &records);
    assert_eq!(place.run(&["render", "records.jsonl"]).stdout, markdown, "records say it, too");
}

#[test]
fn a_replacement_of_a_paper_that_has_a_summary_is_listed_and_not_written_again() {
    let place = Place::new();
    let feed = |version: u32, announce: &str| {
        format!(
            r#"{{"id":"2699.00001","version":{version},"link":"l","title":"Sheep","abstract":"We count {version} sheep.","announce":"{announce}"}}"#
        )
    };
    let selection =
        Selection { announce: "new".parse::<Announcements>().unwrap(), ..Selection::ALL };
    let mut store = Store::in_memory().unwrap();
    let read = |store: &mut Store, version: u32, announce: &str| {
        place.write("feed.jsonl", &feed(version, announce));
        let source = Source::Path(place.path().join("feed.jsonl"));
        let mut run = store.begin(&Identity::default(), false).unwrap();
        let intake = Intake { selection: Some(&selection), ..Intake::default() };
        let inputs = pipeline::read(&[source], intake, &mut run, &mut ()).unwrap();
        assert!(inputs.failed.is_empty());
        if let Some(pending) = run.next(1).unwrap().pop() {
            let zh_tldr = format!("数了{version}只羊。");
            run.finish(&pending.ticket, &Record { zh_tldr, ..Record::of(&pending.paper) }).unwrap();
        }
        let mut records = Vec::new();
        wenzhai::digest::Records::for_each_record(&run, &mut |record| {
            records.push((record.version, record.zh_tldr.clone(), record.summarised_version));
            Ok(())
        })
        .unwrap();
        (records, run.account().unwrap())
    };
    let (records, account) = read(&mut store, 2, "replace");
    assert_eq!((records.len(), account.filtered), (0, 1), "nothing is known of it");
    let (records, _) = read(&mut store, 1, "new");
    assert_eq!(records, [(Some(1), "数了1只羊。".to_owned(), None)]);
    let (records, account) = read(&mut store, 2, "replace");
    assert_eq!(records, [(Some(2), "数了1只羊。".to_owned(), Some(1))]);
    assert_eq!((account.reused, account.pending), (1, 0));
    let paper = Paper { announce: Some(Announce::ReplaceCross), ..Paper::default() };
    assert_ne!(selection.judge(&paper, None), wenzhai::select::Verdict::Leave);
}
