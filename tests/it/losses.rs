//! What is lost is told, in the exit status and in words; and what has no end is not waited for.

use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::place::{Finished, Place};

fn record(number: u32, more: &str) -> String {
    format!(
        "{{\"id\":\"2699.{number:05}\",\"link\":\"https://arxiv.org/abs/2699.{number:05}\",\
         \"title\":\"Counting geese {number}\",\"abstract\":\"We count.\",\"zh_title\":\"数鹅\",\
         \"zh_tldr\":\"我们数鹅。\",\"zh_abstract\":\"我们在河边数鹅。\"{more}}}\n"
    )
}

/// Four lines, of which the second and the last are none.
fn half_lost() -> String {
    let cut = |number| record(number, "").replace("}\n", "\n");
    [record(1, ""), cut(2), record(3, ""), cut(4)].concat()
}

#[test]
fn lost_lines_are_in_the_status_of_both_commands() {
    let place = Place::new();
    place.write("half.jsonl", &half_lost());
    place.write("whole.jsonl", &(record(1, "") + &record(2, ",\"doi\":NaN,\"retries\":NaN")));
    for command in [&["digest"][..], &["render"], &["digest", "--dry-run"]] {
        let status = |name: &str| place.run(&[command, &[name]].concat()).status;
        assert_eq!((status("half.jsonl"), status("whole.jsonl")), (2, 0), "{command:?}");
    }
    let digests = ["digest", "render"].map(|command| place.run(&[command, "half.jsonl"]).stdout);
    assert_eq!(digests[0], digests[1]);
    assert!(digests[0].contains("Counting geese 3") && !digests[0].contains("Counting geese 2"));
}

#[test]
fn quiet_runs_say_how_much_is_lost_and_where_it_begins() {
    let place = Place::new();
    place.write("half.jsonl", &half_lost());
    let said = place.run(&["digest", "half.jsonl", "-q"]).stderr;
    let start =
        "warning: left out because it could not be read: 2; first half.jsonl, line 2: no JSON";
    assert!(said.starts_with(start), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let normal = place.run(&["digest", "half.jsonl"]).stderr;
    assert_eq!(normal.matches("warning: half.jsonl, line ").count(), 2, "{normal}");
    place.write("whole.jsonl", &record(1, ""));
    assert_eq!(place.run(&["digest", "whole.jsonl", "-q"]).stderr, "");
}

/// An answer of the API, with or without an entry.
fn answer(total: u32, entry: &str) -> String {
    format!(
        "<feed xmlns='http://www.w3.org/2005/Atom' xmlns:o='http://a9.com/-/spec/opensearch/1.1/'>\
         <o:totalResults>{total}</o:totalResults><o:startIndex>0</o:startIndex>{entry}</feed>"
    )
}

#[test]
fn an_answer_without_its_results_is_no_weekend() {
    let place = Place::new();
    place.write("none.xml", &answer(1200, ""));
    place.write("digest.md", "yesterday");
    let finished = place.run(&["digest", "none.xml", "-o", "digest.md"]);
    assert_eq!(finished.status, 1, "{}", finished.stderr);
    assert!(finished.stderr.contains("counts 1,200 results and holds none"), "{}", finished.stderr);
    assert_eq!(place.read("digest.md"), "yesterday");
    place.write("empty.xml", &answer(0, ""));
    assert_eq!(place.run(&["digest", "empty.xml"]).status, 0);

    let entry = "<entry><id>http://arxiv.org/abs/2699.00001v1</id><title>T</title>\
                 <summary>A</summary></entry>";
    place.write("page.xml", &answer(1200, entry));
    let finished = place.run(&["digest", "page.xml", "--dry-run"]);
    let expected = "warning: page.xml: holds 1 of 1,200 results; further pages begin at start=1\n\
                    read 1 = listed 1 + skipped 0\n";
    assert_eq!((finished.status, finished.stderr.as_str()), (0, expected));
}

#[test]
fn messages_do_not_write_on_the_terminal() {
    let place = Place::new();
    let name = "a\u{1b}[2J.xml";
    place.write(name, "<a\u{1b}]0;x\u{7}/>");
    for args in [&["digest", name][..], &["digest", "b\u{1b}[31m.xml"], &["render", name]] {
        let Finished { status, stderr, .. } = place.run(args);
        assert_eq!(status, 1, "{stderr}");
        assert!(stderr.contains("\\u{1b}["), "{stderr}");
        assert!(!stderr.replace('\n', "").contains(char::is_control), "{stderr:?}");
    }
}

/// The program with standard input open, and the bytes that are written to it.
fn start(place: &Place, args: &[&str], input: &[u8]) -> Child {
    let mut child = place.command(args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(input).unwrap();
    child.stdin.as_mut().unwrap().flush().unwrap();
    child
}

/// What the program leaves behind, while its standard input stays open.
fn end(mut child: Child) -> Finished {
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code().unwrap();
        }
        if started.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("the program waits for input that it does not need");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    Finished { status, stdout, stderr }
}

#[test]
fn a_pipe_is_read_to_the_limit_and_no_further() {
    let place = Place::new();
    let rss = "<rss><channel><item><title>T</title><description>A</description></item>";
    for input in [record(1, ""), rss.to_owned()] {
        let listed =
            end(start(&place, &["digest", "-", "--limit", "1", "--dry-run"], input.as_bytes()));
        assert_eq!((listed.status, listed.stdout.lines().count()), (0, 1), "{}", listed.stderr);
    }
    let finished = end(start(&place, &["digest", "-", "--limit", "1"], record(1, "").as_bytes()));
    assert_eq!(finished.status, 0);
    let account = "read 1 = summarised 0 + reused 1 + skipped 0 + failed 0; what follows the limit \
                   was not read\n";
    assert_eq!(finished.stderr, account);
}

#[test]
fn the_rest_of_a_file_is_counted_up_to_a_bound() {
    let place = Place::new();
    place.write("few.jsonl", &(1..=4).map(|number| record(number, "")).collect::<String>());
    let account = place.run(&["digest", "few.jsonl", "--limit", "1"]).stderr;
    assert_eq!(account, "read 4 = summarised 0 + reused 1 + skipped 3 + failed 0\n");
    place.write("many.jsonl", &(1..=12_000).map(|number| record(number, "")).collect::<String>());
    let account = place.run(&["digest", "many.jsonl", "few.jsonl", "--limit", "1"]).stderr;
    let expected = "read 10,001 = summarised 0 + reused 1 + skipped 10,000 + failed 0; what follows \
                    the limit was not read\n";
    assert_eq!(account, expected);
}

#[test]
fn a_limit_of_no_papers_is_an_error_before_a_pipe_is_read() {
    let place = Place::new();
    let finished = end(start(&place, &["digest", "-", "--limit", "0"], b""));
    assert_eq!(finished.status, 1);
    assert_eq!(finished.stderr, "error: the limit of 0 papers leaves none to read\n");
}

#[test]
fn no_more_threads_are_started_than_there_are_cores() {
    use wenzhai::writer::EngineChoice;

    let cores = std::thread::available_parallelism().unwrap().get();
    let count = |threads| EngineChoice { threads, ..EngineChoice::default() }.thread_count();
    assert_eq!((count(Some(1024)), count(None), count(Some(1))), (cores, cores, 1));
}
