//! Fields of records: only those that a paper needs decide whether it is read.

use super::*;

/// The record of each form with what a paper needs, and `field` beside it.
fn forms(field: &str) -> [(Format, String); 4] {
    [
        (Format::Snapshot, format!(r#"{{"title":"T","abstract":"A","update_date":"",{field}}}"#)),
        (Format::Daily, format!(r#"{{"title":"T","summary":"A",{field}}}"#)),
        (Format::Public, format!(r#"{{"title":"T","abstract":"A","tldr":"",{field}}}"#)),
        (Format::Records, format!(r#"{{"title":"T","abstract":"A",{field}}}"#)),
    ]
}

#[test]
fn a_field_that_nobody_needs_may_hold_anything() {
    let names = ["doi", "id", "authors", "categories", "version", "retries", "model", "announce"];
    let lists = ["versions", "authors_parsed", "published", "updated", "zh_title", "link", "cut"];
    let values = ["NaN", "-Infinity", "Infinity", "7", "\"x\"", "[1, {}]", "{}", "true", "null"];
    for name in names.iter().chain(&lists) {
        for value in values {
            for (format, record) in forms(&format!("\"{name}\": {value}")) {
                if format == Format::Daily && ["versions", "authors_parsed"].contains(name) {
                    continue; // these keys say that it is of another form
                }
                for input in [record.clone(), format!("[{record}]"), record.replacen('{', "{\n", 1)]
                {
                    let outcome = read_bytes(&input).expect(&input);
                    assert_eq!(outcome.items.len(), 1, "{input}: {:?}", outcome.malformed);
                    assert!(outcome.malformed.is_empty(), "{input}: {:?}", outcome.malformed);
                }
            }
        }
    }
    for (format, record) in forms("\"doi\": NaN") {
        assert_eq!(read_bytes(record).expect("one paper").report().format, format);
    }
}

#[test]
fn what_is_of_another_type_counts_as_not_there() {
    let record = r#"{"title": "T", "abstract": "A", "id": 2699.01001, "authors": ["A B", 7, null],
        "categories": "cs.CL", "version": "3", "link": "https://arxiv.org/abs/2699.01002v2"}"#;
    let outcome = read_bytes(record.replace('\n', "")).expect("one paper");
    let paper = outcome.papers()[0];
    // A number has lost its zeros, and would be another paper's.
    check_id(paper, Some("2699.01002"), Some(2), "https://arxiv.org/abs/2699.01002v2");
    let record = r#"{"title":"T","abstract":"A","zh_title":"题","zh_tldr":5,"zh_abstract":"文"}"#;
    assert_eq!(read_bytes(record).expect("one paper").items[0].written, None);
}

#[test]
fn not_a_number_in_a_text_is_text() {
    let record = r#"{"title": "NaN, \"NaN\" and Infinity\\", "abstract": "-Infinity", "doi": NaN,
        "x": [NaN,-Infinity , Infinity]}"#;
    let outcome = read_bytes(record.replace('\n', "")).expect("one paper");
    assert_eq!(outcome.papers()[0].title, "NaN, \"NaN\" and Infinity\\");
    assert_eq!(outcome.papers()[0].abstract_text, "-Infinity");
    for wrong in
        [r#"{"title": NaN, "abstract": "A"}"#, r#"{"title": "T", "abstract": "A", x: NaN}"#]
    {
        assert!(read_bytes(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_field_that_is_needed_is_named_where_it_is_wrong() {
    for (record, words) in [
        (r#"{"title": 7, "abstract": "A"}"#, "`title` is a number, not a text"),
        (r#"{"title": "T", "abstract": ["A"]}"#, "`abstract` is a list, not a text"),
        (r#"{"title": "T", "summary": {}}"#, "`summary` is an object, not a text"),
    ] {
        check_error(read_bytes(record), ErrorKind::Input, &["in, line 1", words]);
    }
}

#[test]
fn rendering_reads_what_reading_does() {
    let lines = r#"{"title":"T","link":"l","abstract":"A","doi":NaN}
{"title":"T","link":"l","abstract":"A","id":7,"version":"2","authors":"A B","retries":Infinity}
{"title":"T","link":"l","abstract":"NaN","zh_tldr":"一","marks":[],"updated":NaN,"model":{}}"#;
    let records: Result<Vec<_>, _> = wenzhai::record::read_jsonl(lines.as_bytes(), "in").collect();
    let records = records.expect("three records");
    assert_eq!(records.len(), 3);
    assert_eq!(records[2].abstract_text, "NaN");
    assert_eq!(read_bytes(lines).expect("three papers").items.len(), 3);
}

/// As large collaborations have them in the format `arXiv` of OAI-PMH.
#[test]
fn three_thousand_authors_with_their_affiliations_are_read() {
    let feed = include_str!("../../fixtures/feed/oai.xml");
    let kept = |line: &&str| !line.contains("deleted");
    let feed = feed.lines().filter(kept).collect::<Vec<_>>().join("\n");
    let affiliation = "Department of Physics, University of the Far Shore, ".repeat(6);
    let author = |number: usize| {
        format!(
            "<author><keyname>Moor{number}</keyname><forenames>Ida</forenames>\
             <affiliation>{affiliation}</affiliation></author>"
        )
    };
    let authors: String = (0..3_000).map(author).collect();
    let outcome = read_bytes(feed.replace("<authors>", &format!("<authors>{authors}")));
    let outcome = outcome.expect("one paper");
    assert_eq!(outcome.faults(), [""; 0]);
    let paper = outcome.papers()[0];
    assert_eq!((paper.authors.len(), &*paper.authors[2_999]), (3_002, "Ida Moor2999"));
}

/// As JavaScript and Python write a text that was cut within a character.
#[test]
fn half_a_character_takes_no_paper_along() {
    let record =
        r#"{"title": "T \ud835 x \uD83D\uDE00 \udc00", "abstract": "A \\ud835", "id": "x"}"#;
    for input in [record.to_owned(), format!("[\n{record}]")] {
        let outcome = read_bytes(&input).expect("one paper");
        assert_eq!(outcome.faults(), [""; 0]);
        assert!(outcome.papers()[0].title.contains("x 😀"), "{}", outcome.papers()[0].title);
        assert_eq!(outcome.papers()[0].abstract_text, "A \\ud835");
    }
}
