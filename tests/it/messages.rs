//! What people are told when something is wrong: what, where and what to do, in plain words.

use crate::support::place::Place;

/// Words of libraries, of the language and of the operating system, which mean nothing to a reader
/// of papers.
const JARGON: [&str; 14] = [
    "os error",
    "::",
    "panicked",
    "backtrace",
    "invalid type",
    "invalid value:",
    "EOF",
    "usize",
    "u32",
    "column 0",
    "Some(",
    "Err(",
    "Error code",
    "(in ",
];

/// Fields that a prompt needs.
const FIELDS: &str = "
[[field]]\nname = \"title\"\nlabel = \"\"\nmax_tokens = 8
[[field]]\nname = \"one-liner\"\nlabel = \"\"\nmax_tokens = 8
[[field]]\nname = \"paragraph\"\nlabel = \"\"\nmax_tokens = 8
";

#[test]
fn no_message_speaks_of_types_or_of_numbers_of_the_system() {
    let place = Place::new();
    place.write("feed.xml", "<rss><channel><item><title>Sheep</title></chan");
    place.write(
        "records.jsonl",
        "{\"title\": 1}\n{\"title\": \"a\"\nsheep\n{\"title\": \"a\", \"link\": \"l\", \"abstract\": 2}\n\
         {\"title\": \"a\", \"link\": \"l\", \"abstract\": \"b\", \"marks\": 5}\n",
    );
    place.write("document.json", "[1,\n2");
    place.write("paper.jsonl", "{\"title\": \"a\", \"link\": \"l\", \"abstract\": \"b\"}\n");
    place.write("junk.gguf", "junk");
    place.write("junk.sqlite", &"junk".repeat(999));
    place.write("unclosed.toml", "abstract_tokens = 1\n[x");
    place.write("text.toml", "abstract_tokens = \"many\"\n");
    place.write("brace.toml", &format!("abstract_tokens = 9\ntemplate = '{{{{ title'\n{FIELDS}"));
    place.write("settings.toml", "[digest.a]\nsources = 3\n");
    let failing: [&[&str]; 19] = [
        &["digest", "nothing.xml"],
        &["digest", "feed.xml"],
        &["digest", "records.jsonl", "--dry-run"],
        &["digest", "document.json", "--dry-run"],
        &["render", "records.jsonl"],
        &["render", "nothing.jsonl"],
        &["eval", "paper.jsonl", "document.json"],
        &["digest", "paper.jsonl", "--no-store", "--model", "junk.gguf"],
        &["digest", "paper.jsonl", "--no-store", "--model", "nothing.gguf"],
        &["digest", "paper.jsonl", "--no-store", "--prompt", "unclosed.toml"],
        &["digest", "paper.jsonl", "--no-store", "--prompt", "text.toml"],
        &["digest", "paper.jsonl", "--no-store", "--prompt", "brace.toml"],
        &["digest", "paper.jsonl", "--no-store", "--prompt", "nothing.toml"],
        &["digest", "paper.jsonl", "--no-store", "--glossary", "nothing.tsv"],
        &["digest", "paper.jsonl", "--no-store", "--like", "nothing.bib"],
        &["digest", "paper.jsonl", "--store", "junk.sqlite"],
        &["digest", "paper.jsonl", "--store", "feed.xml/store.sqlite"],
        &["digest", "a", "--config", "settings.toml"],
        &["digest", "paper.jsonl", "--shard", "3/2"],
    ];
    for arguments in failing {
        let run = place.command(arguments).env("RUST_BACKTRACE", "1").output().unwrap();
        let said = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("error: "), "{arguments:?}: {said}");
        for word in JARGON {
            assert!(!said.contains(word), "{arguments:?}: `{word}` in {said}");
        }
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_told_with_its_line_and_what_belongs_there() {
    let place = Place::new();
    place.write(
        "records.jsonl",
        "{\"title\": \"a\", \"link\": \"l\", \"abstract\": [2]}\n{\"title\": \"a\"\n",
    );
    let said = place.run(&["render", "records.jsonl"]).stderr;
    let expected =
        "warning: records.jsonl, line 1: not a record: a list stands where a text belongs";
    assert!(said.contains(expected), "{said}");
    let expected = "line 2: not a record: it ends in the middle of an object";
    assert!(said.contains(expected), "{said}");
}
