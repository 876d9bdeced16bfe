//! The feed, read by parsers that are not ours: quick-xml always, feedparser and libxml2 where
//! `WENZHAI_TEST_PYTHON` names a Python that has them.

use std::path::Path;
use std::process::Command;

use quick_xml::events::Event;
use serde_json::Value;
use wenzhai::digest::{Feed, FeedSite, InOrder, atom};
use wenzhai::paper::Date;
use wenzhai::record::{Record, read_jsonl};

const FIXTURE: &str = include_str!("../fixtures/digest/2026-11-25.jsonl");

fn fixture() -> Vec<Record> {
    read_jsonl(FIXTURE.as_bytes(), "fixture").map(Result::unwrap).collect()
}

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

fn feed(records: Vec<Record>, today: &str) -> String {
    let mut out = Vec::new();
    let site = FeedSite::new("https://example.org/papers", "cs.CL.xml");
    let feed = Feed { name: "cs.CL", today: day(today), site: site.as_ref() };
    atom(&InOrder::new(records), &feed, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn hostile() -> Record {
    let text =
        "]]></content></entry><script>alert(1)</script>&lt;b&gt; \u{0}\u{b}\u{ffff}\u{202e}\"'";
    Record {
        id: "no id".into(),
        link: "javascript:alert(1)".into(),
        title: text.into(),
        abstract_text: text.into(),
        authors: vec![text.into(), "  ".into()],
        categories: vec![text.into(), String::new()],
        zh_title: text.into(),
        zh_tldr: text.into(),
        zh_abstract: text.into(),
        ..Record::default()
    }
}

/// The text of all elements called `name`, in order.
fn texts(feed: &str, name: &str) -> Vec<String> {
    let mut reader = quick_xml::Reader::from_str(feed);
    let (mut path, mut found) = (Vec::new(), Vec::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => {
                path.push(start.name().as_ref().to_owned());
                if path.last().is_some_and(|last| last == name) {
                    found.push(String::new());
                }
            }
            Event::End(_) => drop(path.pop()),
            Event::Text(text) if path.last().is_some_and(|last| last == name) => {
                found.last_mut().unwrap().push_str(&text);
            }
            Event::GeneralRef(reference) if path.last().is_some_and(|last| last == name) => {
                let entity = format!("&{};", &*reference);
                let text = quick_xml::escape::unescape(&entity).unwrap().into_owned();
                found.last_mut().unwrap().push_str(&text);
            }
            Event::Eof => return found,
            _ => {}
        }
    }
}

#[test]
fn days_come_from_the_records_and_bytes_do_not_depend_on_the_clock() {
    let one = feed(fixture(), "2026-12-01");
    assert_eq!(one, feed(fixture(), "2027-01-01"));
    assert!(texts(&one, "updated").iter().all(|day| day == "2026-11-25T00:00:00Z"), "{one}");
    let undated = Record { published: None, ..fixture().remove(0) };
    let other = feed(vec![undated], "2027-01-01");
    assert_eq!(texts(&other, "updated"), ["2027-01-01T00:00:00Z"; 2]);
    assert!(texts(&other, "published").is_empty());
}

#[test]
fn an_entry_keeps_its_id_from_version_to_version() {
    let first = fixture().remove(0);
    let link = "http://arxiv.org/abs/2699.01101v2".to_owned();
    let second =
        Record { link, version: Some(2), zh_title: "别的标题".into(), ..first.clone() };
    let third = Record { id: String::new(), ..second.clone() };
    for record in [first, second, third] {
        let ids = texts(&feed(vec![record], "2027-01-01"), "id");
        assert_eq!(ids[1], "https://arxiv.org/abs/2699.01101");
    }
}

#[test]
fn feeds_of_two_folders_are_two_feeds() {
    let place = crate::support::place::Place::new();
    place.write("in.jsonl", &serde_json::to_string(&fixture()[0]).unwrap());
    let id = |folder: &str| {
        std::fs::create_dir(place.path().join(folder)).unwrap();
        let name = format!("{folder}/feed.xml");
        assert_eq!(place.run(&["render", "in.jsonl", "-o", &name]).status, 0);
        texts(&place.read(&name), "id").remove(0)
    };
    assert_ne!(id("sheep"), id("goats"));
}

#[test]
fn feeds_whose_names_look_like_ends_and_papers_of_one_title_are_told_apart() {
    let place = crate::support::place::Place::new();
    let record = |link: &str, text: &str| Record {
        link: link.into(),
        title: "Erratum".into(),
        abstract_text: text.into(),
        ..Record::default()
    };
    let records =
        [record("doi:10.1/x", ""), record("doi:10.1/y", ""), record("", "A"), record("", "B")];
    let lines: Vec<String> =
        records.iter().map(|record| serde_json::to_string(record).unwrap()).collect();
    place.write("in.jsonl", &lines.join("\n"));
    let args = ["render", "in.jsonl", "--format", "atom", "-o", "cs.CL", "-o", "cs.LG"];
    assert_eq!(place.run(&args).status, 0);
    let ids = |name: &str| texts(&place.read(name), "id");
    let (one, other) = (ids("cs.CL"), ids("cs.LG"));
    assert_ne!(one[0], other[0]);
    assert_eq!(one[1..], other[1..]);
    let entries: std::collections::HashSet<&String> = one[1..].iter().collect();
    assert_eq!(entries.len(), records.len());
}

#[test]
fn no_text_of_a_paper_leaves_its_element() {
    let feed = feed(vec![hostile()], "2027-01-01");
    assert_eq!(texts(&feed, "entry").len(), 1, "{feed}");
    let (_, entry) = feed.split_once("<entry>").unwrap();
    assert!(texts(&feed, "script").is_empty() && !entry.contains("href"), "{feed}");
    let shown = "]]></content></entry><script>alert(1)</script>&lt;b&gt;   \"'";
    assert_eq!(texts(&feed, "title")[1], shown);
    assert_eq!(texts(&feed, "name"), ["wenzhai", shown]);
    // The content is HTML; there the text is text once more.
    let content = &texts(&feed, "content")[0];
    assert!(!content.contains("<script>") && content.contains("&lt;script&gt;"), "{content}");
    assert!(content.contains("&amp;lt;b&amp;gt;"), "{content}");
    assert!(texts(&feed, "id")[1].starts_with("urn:uuid:"));
}

#[test]
fn readers_see_whole_entries() {
    let Some(seen) = read_by_others(&feed(fixture(), "2027-01-01")) else { return };
    assert_eq!(seen["version"], "atom10");
    assert_eq!(seen["feed"]["title"], "文摘 cs.CL");
    assert_eq!(seen["feed"]["link"], "https://example.org/papers/");
    let links = seen["feed"]["links"].as_array().unwrap();
    let own = links.iter().find(|link| link["rel"] == "self").unwrap();
    assert_eq!(own["href"], "https://example.org/papers/cs.CL.xml");
    let entries = seen["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 8);
    let of = |id: &str| {
        let id = format!("https://arxiv.org/abs/2699.{id}");
        entries.iter().find(|entry| entry["id"] == id.as_str()).unwrap()
    };
    let tokenizer = of("01102");
    assert_eq!(tokenizer["title"], "从不遗忘空格的分词器：面向 84 种文字的可逆子词");
    assert_eq!(tokenizer["link"], tokenizer["id"]);
    assert_eq!(tokenizer["updated"], "2026-11-25T00:00:00Z");
    assert_eq!(tokenizer["authors"].as_array().unwrap().len(), 10);
    assert_eq!(tokenizer["categories"], serde_json::json!(["cs.CL", "cs.LG"]));
    assert_eq!(tokenizer["type"], "text/html");
    let content = tokenizer["content"].as_str().unwrap();
    assert!(
        content.contains("代码补全提高 1.9 分。") && content.contains("Subword tokenizers fold")
    );
    assert!(!content.contains("Announce Type"), "{content}");
    assert!(of("01103")["summary"].as_str().unwrap().starts_with("⚠ "));
    assert!(of("01103")["content"].as_str().unwrap().contains("段落有原文没有的数字：1,200"));
    assert!(of("01105")["summary"].as_str().unwrap().starts_with("❌ 未能生成摘要："));
    assert_eq!(of("01106")["summary"], "本文已被撤回。");
    assert!(of("01108")["content"].as_str().unwrap().contains("<code>n-1</code>"));
}

#[test]
fn readers_are_not_misled_by_hostile_papers() {
    let records = vec![hostile(), fixture().remove(0)];
    let Some(seen) = read_by_others(&feed(records, "2027-01-01")) else { return };
    let entries = seen["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    let is_arxiv = |entry: &Value| entry["id"].as_str().unwrap().contains("arxiv.org");
    let bad = entries.iter().find(|entry| !is_arxiv(entry)).unwrap();
    assert!(!bad.to_string().contains("javascript:"), "{bad}");
    assert!(!bad["content"].as_str().unwrap().contains("<script"), "{bad}");
}

/// What feedparser saw in `feed`, once libxml2 found it valid.
fn read_by_others(feed: &str) -> Option<Value> {
    let Some(python) = std::env::var_os("WENZHAI_TEST_PYTHON") else {
        crate::support::skipped("WENZHAI_TEST_PYTHON names no Python");
        return None;
    };
    let has = Command::new(&python).args(["-c", "import feedparser, lxml"]).output().unwrap();
    if !has.status.success() {
        crate::support::skipped("the Python has no feedparser or no lxml");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("feed.xml");
    std::fs::write(&path, feed).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/feed/read.py");
    let output = Command::new(&python).arg(script).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{feed}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}
