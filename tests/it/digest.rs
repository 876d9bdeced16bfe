//! The digest, read back by an independent Markdown parser.

use std::path::Path;

use proptest::prelude::*;
use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd};
use wenzhai::digest::{InOrder, Records, jsonl, markdown};
use wenzhai::record::{MAX_LINE_BYTES, Record, read_jsonl};
use wenzhai::summary::{Field, Flaw, FlawKind};

fn render(records: Vec<Record>) -> String {
    let mut out = Vec::new();
    markdown(&InOrder::new(records), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn record(link: &str, title: &str) -> Record {
    Record {
        link: link.into(),
        title: title.into(),
        abstract_text: "We count sheep.".into(),
        zh_title: "数羊".into(),
        zh_tldr: "本文数羊。".into(),
        zh_abstract: "我们数了羊。".into(),
        ..Record::default()
    }
}

#[test]
fn renders_the_public_digest_byte_for_byte() {
    let seed = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/seed"));
    let Ok(lines) = std::fs::read(seed.join("records.jsonl")) else {
        crate::support::skipped(format_args!("no {}", seed.display()));
        return;
    };
    let mut records: Vec<_> = read_jsonl(&lines[..], "seed").map(Result::unwrap).collect();
    records.reverse();
    let expected = std::fs::read_to_string(seed.join("000_f2126629403c3e4d.md")).unwrap();
    assert_eq!(render(records), expected);
}

#[test]
fn lays_out_a_clean_paper() {
    let title = "Counting Sheep. (arXiv:2401.00001v2 [cs.CL] UPDATED)";
    let expected = "\
# 摘要

| Ref | Title | Summary |
| --- | --- | --- |
| [^1] | [Counting Sheep.](http://arxiv.org/abs/2401.00001) | 本文数羊。 |

# 详细

[^1]: 数羊

    Counting Sheep. (arXiv:2401.00001v2 [cs.CL] UPDATED)

    [http://arxiv.org/abs/2401.00001](http://arxiv.org/abs/2401.00001)

    本文数羊。

    \n
    我们数了羊。

    We count sheep.
    \n
";
    assert_eq!(render(vec![record("http://arxiv.org/abs/2401.00001", title)]), expected);
}

#[test]
fn sorts_by_link_descending_as_it_stands() {
    let links = ["http://a/2", "https://a/1", "http://a/3"];
    let digest = render(links.iter().map(|link| record(link, link)).collect());
    let positions: Vec<_> = ["https://a/1]", "http://a/3]", "http://a/2]"]
        .iter()
        .map(|title| digest.find(title).unwrap())
        .collect();
    assert!(positions.is_sorted(), "{digest}");
}

#[test]
fn says_that_there_is_no_paper() {
    assert_eq!(render(Vec::new()), "# 摘要\n\n没有论文。\n");
}

#[test]
fn marks_what_failed_a_check() {
    let odd = Flaw { kind: FlawKind::Other, field: None, detail: vec!["odd".into()] };
    let marks = vec![Flaw::new(FlawKind::InventedNumbers, Field::Paragraph, ["42"]), odd];
    let flagged = Record { marks, cut: true, ..record("http://a/1", "Sheep") };
    let digest = render(vec![flagged]);
    let check = |expected: &str| assert!(digest.contains(expected), "{expected}\n{digest}");
    check("| [^1] | [Sheep](http://a/1) | ⚠ 本文数羊。 |\n");
    check("\n\n    ⚠ 未通过检查：段落有原文没有的数字：42；odd\n\n");
    check("\n\n    ⚠ 原文摘要过长，模型只读到其中一句为止，后文未予总结\n\n");
}

#[test]
fn marks_an_incomplete_summary_even_without_flags() {
    let incomplete = Record { zh_title: String::new(), ..record("http://a/1", "Sheep") };
    let digest = render(vec![incomplete]);
    assert!(digest.contains("| ⚠ 本文数羊。 |") && digest.contains("[^1]: Sheep\n"), "{digest}");
}

#[test]
fn never_shows_the_abstract_for_a_summary() {
    let failed = Record { error: Some("the model ran\ninto | a wall".into()), ..Record::default() };
    let failed = Record {
        link: "http://a/1".into(),
        title: "Sheep".into(),
        abstract_text: "We count sheep.".into(),
        ..failed
    };
    let digest = render(vec![failed]);
    let check = |expected: &str| assert!(digest.contains(expected), "{expected}\n{digest}");
    check("| ❌ 未能生成摘要：the model ran into &#124; a wall |\n");
    check("[^1]: Sheep\n");
    check("    ❌ 未能生成摘要：the model ran into | a wall\n");
    let (table, _) = digest.split_once("# 详细").unwrap();
    assert!(!table.contains("We count sheep."));
}

#[test]
fn a_source_that_changes_between_passes_is_an_error() {
    struct Fickle(std::cell::Cell<usize>);
    impl Records for Fickle {
        fn for_each_record(
            &self,
            visit: &mut dyn FnMut(&Record) -> wenzhai::Result<()>,
        ) -> wenzhai::Result<()> {
            self.0.set(self.0.get() + 1);
            (0..self.0.get()).try_for_each(|_| visit(&record("http://a/1", "Sheep")))
        }
    }
    let error = markdown(&Fickle(0.into()), &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "the digest's records changed while it was written: 1, then 2");
}

#[test]
fn a_title_that_is_an_address_is_none_where_footnotes_are_not_known() {
    let title = "javascript:alert(1)";
    let digest = render(vec![Record { zh_title: title.into(), ..record("http://a/1", title) }]);
    assert!(digest.contains("\n[^1]: javascript:alert(1) &#32;\n\n"), "{digest}");
    for options in dialects() {
        assert_eq!(acting(&digest, options), Vec::<String>::new(), "{options:?}");
    }
    // With footnotes, the title is the first of theirs, and a blank at its end is not seen.
    assert_eq!(paragraphs(&digest)[0].trim_end(), title);
    let unguarded = digest.replace(" &#32;", "");
    assert_ne!(acting(&unguarded, Options::empty()), Vec::<String>::new());
}

/// What an independent parser sees in a digest.
#[derive(Debug, Default, PartialEq)]
struct Structure {
    rows: usize,
    cells: usize,
    headings: usize,
    references: Vec<String>,
    definitions: Vec<String>,
    links: Vec<String>,
    /// Anything that only the input could have brought in.
    foreign: Vec<String>,
}

fn structure(digest: &str) -> Structure {
    let mut seen = Structure::default();
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_WIKILINKS
        | Options::ENABLE_DEFINITION_LIST;
    for event in Parser::new_ext(digest, options) {
        match event {
            Event::Start(Tag::TableRow) => seen.rows += 1,
            Event::Start(Tag::TableCell) => seen.cells += 1,
            Event::Start(Tag::Heading { .. }) => seen.headings += 1,
            Event::FootnoteReference(name) => seen.references.push(name.to_string()),
            Event::Start(Tag::FootnoteDefinition(name)) => seen.definitions.push(name.to_string()),
            Event::Start(Tag::Link { link_type: LinkType::Inline, dest_url, .. }) => {
                seen.links.push(dest_url.to_string());
            }
            Event::Start(Tag::Paragraph | Tag::Table(_) | Tag::TableHead)
            | Event::End(_)
            | Event::Text(_)
            | Event::SoftBreak => {}
            other => seen.foreign.push(format!("{other:?}")),
        }
    }
    seen
}

/// Sets of what parsers know beyond CommonMark.
fn dialects() -> [Options; 4] {
    let both = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES;
    [Options::empty(), Options::ENABLE_TABLES, Options::ENABLE_FOOTNOTES, both]
}

/// What acts in a digest and is neither one of its two headings nor a link to the web.
fn acting(digest: &str, options: Options) -> Vec<String> {
    let mut headings = 0;
    let is_strange = |event: &Event| match event {
        Event::Html(_) | Event::InlineHtml(_) | Event::Start(Tag::Image { .. }) => true,
        Event::Start(Tag::Link { link_type: LinkType::Inline, dest_url, .. }) => {
            !(dest_url.starts_with("http://") || dest_url.starts_with("https://"))
        }
        // Where footnotes are not known, a title of one word is the name of a page that is not there.
        Event::Start(Tag::Link { link_type: LinkType::Shortcut, dest_url, .. }) => {
            let name = dest_url.split(['/', '?', '#']).next().unwrap_or_default();
            let scheme = name.split_once(':').map_or("", |(scheme, _)| scheme);
            let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && !scheme.contains(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c));
            is_scheme || dest_url.starts_with(['/', '\\', ' '])
        }
        Event::Start(Tag::Link { .. }) => true,
        Event::Start(Tag::Heading { .. }) => {
            headings += 1;
            headings > 2
        }
        _ => false,
    };
    Parser::new_ext(digest, options).filter(is_strange).map(|event| format!("{event:?}")).collect()
}

/// The text of the footnotes' paragraphs, as a reader sees it.
fn paragraphs(digest: &str) -> Vec<String> {
    let mut paragraphs: Vec<String> = Vec::new();
    let mut open = false;
    let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES;
    for event in Parser::new_ext(digest, options) {
        match event {
            Event::Start(Tag::Paragraph) => {
                paragraphs.push(String::new());
                open = true;
            }
            Event::End(TagEnd::Paragraph) => open = false,
            Event::Text(text) if open => paragraphs.last_mut().unwrap().push_str(&text),
            _ => {}
        }
    }
    paragraphs
}

/// Text from the pieces that Markdown is made of, and anything else.
fn hostile_text() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "|",
        "\n",
        "\r\n",
        "\n\n",
        "[",
        "]",
        "](",
        ")",
        "`",
        "```",
        "<",
        ">",
        "<b>",
        "<!--",
        "-->",
        "<http://x>",
        "&",
        "&amp;",
        "&#124;",
        "#",
        "# ",
        "-",
        "- ",
        "---",
        "1. ",
        "2) ",
        "[^1]",
        "[^1]: ",
        "[^",
        "*",
        "**",
        "_",
        "__",
        "~",
        "~~",
        "$",
        "$$",
        "\\",
        "\\\\",
        "!",
        "![",
        "    ",
        "\t",
        " ",
        "  ",
        "\u{202e}",
        "\u{200b}",
        "\u{2028}",
        "\u{0}",
        "\u{1b}",
        "=",
        "===",
        ": ",
        "+ ",
        "^[",
        "[[",
        "]]",
        "a",
        "b",
        "词",
        "。",
        "http://x.org/a_b",
        "javascript:",
        "javascript:alert(1)",
        "//x.org",
        "<1@x.org>",
        "#123",
        "@",
        "(arXiv:",
        "\\frac{a}{b}",
        "x_1",
        "x^*",
        "{",
        "}",
        "[x]: /y",
        "'",
        "\"",
    ]);
    let piece = prop_oneof![9 => pieces.prop_map(str::to_owned), 1 => any::<String>()];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

fn hostile_link() -> impl Strategy<Value = String> {
    prop_oneof![
        hostile_text(),
        hostile_text().prop_map(|rest| format!("https://arxiv.org/{rest}")),
        hostile_text().prop_map(|rest| format!("HTTP://{rest}")),
    ]
}

prop_compose! {
    fn hostile_record()(
        texts in prop::collection::vec(hostile_text(), 6),
        link in hostile_link(),
        details in prop::collection::vec(hostile_text(), 0..2),
        error in prop::option::weighted(0.2, hostile_text()),
        cut in any::<bool>(),
    ) -> Record {
        let [title, abstract_text, zh_title, zh_tldr, zh_abstract, model] =
            texts.try_into().unwrap();
        let mark = |detail| Flaw { kind: FlawKind::Other, field: None, detail: vec![detail] };
        let marks = details.into_iter().map(mark).collect();
        Record {
            link, title, abstract_text, zh_title, zh_tldr, zh_abstract, model, marks, error, cut,
            ..Record::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_leaves_its_place(records in prop::collection::vec(hostile_record(), 1..4)) {
        let count = records.len();
        let digest = render(records);
        let seen = structure(&digest);
        let names: Vec<_> = (1..=count).map(|number| number.to_string()).collect();
        prop_assert_eq!(&seen.foreign, &Vec::<String>::new(), "{}", &digest);
        prop_assert_eq!(seen.rows, count, "{}", &digest);
        prop_assert_eq!(seen.cells, 3 * count + 3, "{}", &digest);
        prop_assert_eq!(seen.headings, 2, "{}", &digest);
        prop_assert_eq!(&seen.references, &names, "{}", &digest);
        prop_assert_eq!(&seen.definitions, &names, "{}", &digest);
        prop_assert!(
            seen.links.iter().all(|l| l.starts_with("http://") || l.starts_with("https://")),
            "{}", &digest
        );
        let hidden = digest.contains(['\u{202e}', '\u{200b}', '\u{0}', '\u{1b}', '\u{2028}']);
        prop_assert!(!hidden);
    }

    /// A parser that knows neither footnotes nor tables may see anything in a digest but this.
    #[test]
    fn nothing_acts_whatever_the_parser_knows(
        mut records in prop::collection::vec(hostile_record(), 1..4),
        start in prop::sample::select(vec!["", "javascript:", "data:x", "#", "//", "<", "\\"]),
    ) {
        for record in &mut records {
            for text in [&mut record.title, &mut record.zh_title, &mut record.abstract_text] {
                text.insert_str(0, start);
            }
        }
        let digest = render(records);
        for options in dialects() {
            let acting = acting(&digest, options);
            prop_assert_eq!(&acting, &Vec::<String>::new(), "{:?}\n{}", options, &digest);
        }
    }

    /// Where no backslash of the input is itself an escape, the reader sees the text as it was.
    #[test]
    fn text_is_shown_as_it_is(text in "[a-z |\\[\\]()`<>&#;*_~$!^:.{}=+\"'0-9-]{1,40}") {
        let digest = render(vec![Record { abstract_text: text.clone(), ..record("x", "y") }]);
        let shown = paragraphs(&digest).pop().unwrap();
        let expected = if text.trim().is_empty() { "我们数了羊。" } else { text.trim() };
        prop_assert_eq!(shown, expected, "{}", digest);
    }

    #[test]
    fn jsonl_is_read_back_as_it_was(records in prop::collection::vec(hostile_record(), 0..4)) {
        let records = InOrder::new(records);
        let mut lines = Vec::new();
        jsonl(&records, &mut lines).unwrap();
        let mut expected = Vec::new();
        records.for_each_record(&mut |record| {
            // A reason without a word is none.
            let error = record.error.clone().filter(|reason| !reason.trim().is_empty());
            expected.push(Record { error, ..record.clone() });
            Ok(())
        }).unwrap();
        let read: Vec<_> = read_jsonl(&lines[..], "test").map(Result::unwrap).collect();
        prop_assert_eq!(read, expected);
    }
}

#[test]
fn bad_lines_are_named_and_the_rest_goes_on() {
    let long = "x".repeat(MAX_LINE_BYTES + 10);
    let good = r#"{"link": "l", "title": "t", "abstract": "a"}"#;
    let lines = format!("\u{feff}{good}\n\n{{\"link\": 1}}\n{long}\n{good}\r\n{good}");
    let read: Vec<_> = read_jsonl(lines.as_bytes(), "day.jsonl")
        .map(|record| record.map(|record| record.title).map_err(|error| error.to_string()))
        .collect();
    let errors: Vec<_> = read.iter().filter_map(|record| record.as_ref().err()).collect();
    assert_eq!(read.len() - errors.len(), 3, "{read:?}");
    assert!(
        errors[0].starts_with("day.jsonl, line 3: not a record: a whole number stands where"),
        "{errors:?}"
    );
    assert_eq!(errors[1], "day.jsonl, line 4: longer than 4194304 bytes");
    assert_eq!(errors.len(), 2);
}

#[test]
fn null_is_no_summary_and_an_array_no_record() {
    let lines = r#"{"link":"l","title":"t","abstract":"a","zh_title":null,"zh_tldr":null,"zh_abstract":null,"marks":null}
[1]"#;
    let mut read = read_jsonl(lines.as_bytes(), "day.jsonl");
    let record = read.next().unwrap().unwrap();
    assert!(!record.has_summary() && record.marks.is_empty());
    let message = read.next().unwrap().unwrap_err().to_string();
    assert!(!message.contains("struct") && message.contains("an object"), "{message}");
}
