//! Summaries of which only some fields were asked for: what records and digests make of them.

use wenzhai::digest::Records;
use wenzhai::generate::{Generator, Limits};
use wenzhai::pipeline;
use wenzhai::prompt::{Codec, Template};
use wenzhai::record::Record;
use wenzhai::store::{Identity, Store};
use wenzhai::summary::{Field, Fields};

use crate::support::place::Place;
use crate::support::scribe::{Characters, Scribe, good, paper};

/// Title and one-liner.
const BRIEF: &str = r#"{"id":"2699.00001","version":2,"link":"http://arxiv.org/abs/2699.00001","title":"Counting Sheep","abstract":"We count sheep.","zh_title":"数羊","zh_tldr":"我们数羊，以此入睡。","fields":["title","one-liner"],"model":"tiny"}"#;

/// Title and paragraph.
const LONG: &str = r#"{"id":"2699.00002","version":1,"link":"http://arxiv.org/abs/2699.00002","title":"Counting Goats","abstract":"We count goats.","zh_title":"数山羊","zh_abstract":"我们数山羊。","fields":["title","paragraph"],"model":"tiny"}"#;

/// One in which the paragraph is missing, whatever was asked for.
const BROKEN: &str = r#"{"link":"http://arxiv.org/abs/2699.00003","title":"Counting Cows","abstract":"We count cows.","zh_title":"数牛","zh_tldr":"我们数牛，以此入睡。","model":"other"}"#;

#[test]
fn what_was_not_asked_for_is_not_missed() {
    let place = Place::new();
    place.write("two.jsonl", &format!("{BRIEF}\n{LONG}\n"));
    let digest = place.run(&["render", "two.jsonl"]).stdout;
    assert_eq!(
        digest,
        "# 摘要

| Ref | Title | Summary |
| --- | --- | --- |
| [^1] | [Counting Goats](http://arxiv.org/abs/2699.00002) | 数山羊 |
| [^2] | [Counting Sheep](http://arxiv.org/abs/2699.00001) | 我们数羊，以此入睡。 |

# 详细

[^1]: 数山羊

    Counting Goats

    [http://arxiv.org/abs/2699.00002](http://arxiv.org/abs/2699.00002)

    我们数山羊。

    We count goats.
    
[^2]: 数羊

    Counting Sheep

    [http://arxiv.org/abs/2699.00001](http://arxiv.org/abs/2699.00001)

    我们数羊，以此入睡。

    

    We count sheep.
    

"
    );
    let page = place.run(&["render", "two.jsonl", "--format", "html"]).stdout;
    assert_eq!(page.matches("class=\"tldr\"").count(), 1, "{page}");
    assert_eq!(page.matches("class=\"paragraph\"").count(), 1);
    assert!(!page.contains("总结不完整"));
}

#[test]
fn what_is_missing_of_other_records_is_told() {
    let place = Place::new();
    place.write("one.jsonl", &format!("{BROKEN}\n"));
    assert!(place.run(&["render", "one.jsonl"]).stdout.contains("⚠ 总结不完整"));
}

#[test]
fn brief_records_go_through_digests_as_they_are() {
    let place = Place::new();
    place.write("brief.jsonl", &format!("{BRIEF}\n{LONG}\n"));
    let run = place.run(&["digest", "brief.jsonl", "--no-store", "--format", "jsonl"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert_eq!(run.stdout, format!("{LONG}\n{BRIEF}\n"));
    let record: Record = serde_json::from_str(BRIEF).unwrap();
    assert!(record.fields.has(Field::Tldr) && !record.fields.has(Field::Paragraph));
    assert_eq!(serde_json::from_str::<Record>(BROKEN).unwrap().fields, Fields::ALL);
}

#[test]
fn fields_that_are_no_summary_are_refused_before_anything_is_read() {
    let place = Place::new();
    let run = place.run(&["digest", "nowhere.xml", "--fields", "title"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("the fields `title` are no summary"), "{}", run.stderr);
    assert!(run.stderr.contains("ask for one-liner, paragraph or both"), "{}", run.stderr);
}

#[test]
fn a_paragraph_that_is_not_asked_for_is_not_written() {
    let all = Template::built_in("gemma3-270m-zh").unwrap();
    let asked: Fields = "title,one-liner".parse().unwrap();
    let brief = all.clone().only(asked);
    assert_ne!(brief.identity(), all.identity(), "summaries are kept apart");
    assert_eq!(all.clone().only(Fields::ALL).identity(), all.identity());
    let written = |template: &Template| {
        let codec = Codec::new(template, &Characters, 2000).unwrap();
        let limits = Limits {
            max_sequences: 2,
            rows_per_step: 256,
            prefill_rows: 64,
            max_context: 2000,
            kv_positions: 4000,
        };
        let mut store = Store::in_memory().unwrap();
        let mut run = store.begin(&Identity::default(), false).unwrap();
        for number in 0..3 {
            run.offer(&paper(number)).unwrap();
        }
        let prefix = codec.prefix().to_vec();
        let mut generator = Generator::new(Scribe::new(good), limits, prefix).unwrap();
        let progress = pipeline::summarise(&mut run, &codec, &mut generator, "scribe", &mut ());
        let progress = progress.unwrap();
        assert_eq!((progress.settled, progress.flagged, progress.retried), (3, 0, 0));
        let mut records = Vec::new();
        run.for_each_record(&mut |record| {
            records.push(record.clone());
            Ok(())
        })
        .unwrap();
        (records, progress.decode_tokens)
    };
    let ((whole, of_whole), (brief, of_brief)) = (written(&all), written(&brief));
    for (whole, brief) in whole.iter().zip(&brief) {
        let expected = Record { zh_abstract: String::new(), fields: asked, ..whole.clone() };
        assert_eq!(*brief, expected);
    }
    assert!(3 * of_brief < 2 * of_whole, "{of_brief} of {of_whole} tokens");
}
