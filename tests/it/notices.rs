//! Papers that there is nothing to summarise in: the digest says so, and no model is asked.

use wenzhai::record::Record;

use crate::support::place::Place;

const FEED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:arxiv="http://arxiv.org/schemas/atom">
<title>an answer of the API</title>
<entry><id>http://arxiv.org/abs/2699.00011v2</id><title>Fast Shearing of Long Wool</title>
<summary>This paper has been withdrawn by the authors.</summary></entry>
<entry><id>http://arxiv.org/abs/2699.00012v3</id><title>Sheep Codes</title>
<summary>We construct codes from flocks and bound their distance.</summary>
<arxiv:comment>This submission has been withdrawn due to an error in Lemma 2</arxiv:comment></entry>
<entry><id>http://arxiv.org/abs/2699.00013v1</id><title>Notes on Meadows</title>
<summary>These are lecture notes.</summary></entry>
<entry><id>http://arxiv.org/abs/2699.00014v1</id><title>Without a Word</title>
<summary></summary></entry>
</feed>"#;

#[test]
fn a_digest_says_that_there_is_nothing_to_summarise_without_asking_a_model() {
    let place = Place::new();
    place.write("feed.xml", FEED);
    // The model is not there: asking it would fail.
    let run = place.run(&["digest", "feed.xml", "--no-store", "-o", "d.md"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let account =
        "read 4 = summarised 0 + reused 0 + skipped 0 + failed 0 + nothing to summarise 4";
    assert_eq!(run.stderr.lines().last(), Some(account));
    let digest = place.read("d.md");
    for row in [
        "| [Fast Shearing of Long Wool](http://arxiv.org/abs/2699.00011v2) | 本文已被撤回。 |",
        "| [Sheep Codes](http://arxiv.org/abs/2699.00012v3) | 本文已被撤回。 |",
        "| [Notes on Meadows](http://arxiv.org/abs/2699.00013v1) | 原文没有可供总结的摘要。 |",
        "| [Without a Word](http://arxiv.org/abs/2699.00014v1) | 原文没有可供总结的摘要。 |",
    ] {
        assert!(digest.contains(row), "{row} in {digest}");
    }
    assert!(!digest.contains('⚠') && !digest.contains('❌'), "{digest}");

    let records = place.run(&["digest", "feed.xml", "--no-store", "--format", "jsonl"]).stdout;
    place.write("records.jsonl", &records);
    assert_eq!(place.run(&["render", "records.jsonl"]).stdout, digest, "records say it, too");
    let notices = records.lines().map(|line| serde_json::from_str::<Record>(line).unwrap().notice);
    assert!(notices.into_iter().all(|notice| notice.is_some()));
    // The remark that two of them were told by is not in the records; what it said is.
    let again = ["digest", "records.jsonl", "--announce", "all", "--no-store", "--format", "jsonl"];
    assert_eq!(place.run(&again).stdout, records);
}

#[test]
fn a_withdrawal_is_told_although_it_comes_as_a_replacement() {
    let place = Place::new();
    let paper = r#"{"id":"2699.00015","version":2,"link":"https://arxiv.org/abs/2699.00015","title":"Sheep","abstract":"This paper has been withdrawn by the author.","announce":"replace"}"#;
    place.write("feed.jsonl", paper);
    let run = place.run(&["digest", "feed.jsonl", "--no-store"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(run.stdout.contains("本文已被撤回。"), "{}", run.stdout);
}
