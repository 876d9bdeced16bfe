//! A second run of a day writes its digest in the place of the first one's: what it has of that, and what comes with
//! the next run.

use super::days::Reader;
use crate::support::arxiv_server::{Fault, withdrawn};

/// A digest is written anew as a whole, so that it must have again what an earlier run of the day had.
#[test]
fn a_second_run_on_the_same_day_has_the_days_that_the_first_caught_up_on() {
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    for run in 1..=2 {
        let caught_up = reader.read_on("2026-11-20", "2026-11-20", 5..6);
        assert_eq!((caught_up.status, reader.digest()), (0, vec![3, 4, 5]), "run {run}");
        assert_eq!(caught_up.stderr.contains("not read yet"), run == 1, "{}", caught_up.stderr);
    }
    assert_eq!(reader.pages(), ["2026-11-19"], "the page is kept");
    // A day that was asked for by its date is in another digest.
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    reader.read("2026-11-20", &["arxiv:cs.CL@2026-11-19"]);
    reader.read_on("2026-11-20", "2026-11-20", 5..6);
    assert_eq!(reader.digest(), [5]);
    // To ask for it later takes nothing from the digest that had it.
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    reader.read_on("2026-11-20", "2026-11-20", 5..6);
    reader.read("2026-11-20", &["arxiv:cs.CL@2026-11-19", "-o", "other.md"]);
    reader.read_on("2026-11-20", "2026-11-20", 5..6);
    assert_eq!(reader.digest(), [3, 4, 5]);
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    reader.read_on("2026-11-20", "2026-11-20", 5..6);
    let monday = reader.read_on("2026-11-23", "2026-11-23", 6..9);
    assert_eq!((monday.status, reader.digest()), (0, vec![6, 7, 8]), "{}", monday.stderr);
}

/// Before the next feed is out the last one is still there, and its digest is written anew.
#[test]
fn a_run_that_comes_too_early_has_the_days_that_were_caught_up_on_with_that_feed() {
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    reader.read_on("2026-11-20", "2026-11-20", 5..6);
    let first = reader.place.read("digest.md");
    for _ in 1..=2 {
        let early = reader.read_on("2026-11-23", "2026-11-20", 5..6);
        assert_eq!(early.status, 0, "{}", early.stderr);
        assert!(early.stderr.contains("none is out since"), "{}", early.stderr);
        assert_eq!(reader.place.read("digest.md"), first);
    }
    assert_eq!(reader.pages(), ["2026-11-19"], "the page is kept");
    let monday = reader.read_on("2026-11-23", "2026-11-23", 6..9);
    assert_eq!((monday.status, reader.digest()), (0, vec![6, 7, 8]), "{}", monday.stderr);
}

/// What was caught up on later than the feed was read is in that feed's digest all the same, and what
/// comes by a pipe beside it is not read twice.
#[test]
fn days_of_a_later_run_stay_in_the_digest_and_a_pipe_is_read_once() {
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    reader.server.set_feed("cs.CL", "2026-11-20", withdrawn(5..6));
    reader.read("2026-11-20", &["arxiv:cs.CL", "--no-catch-up"]);
    assert_eq!(reader.digest(), [5]);
    for today in ["2026-11-21", "2026-11-22"] {
        let late = reader.read_on(today, "2026-11-20", 5..6);
        assert_eq!((late.status, reader.digest()), (0, vec![3, 4, 5]), "{today}: {}", late.stderr);
    }
    reader.place.write(
        "more.jsonl",
        r#"{"id":"2699.00077","title":"Counting Herons 77","abstract":"We count herons for long.","zh_title":"数鹭","zh_tldr":"本文数鹭。","zh_abstract":"我们数鹭。"}"#,
    );
    let args = ["digest", "-o", "digest.md", "arxiv:cs.CL", "-"];
    let mut command = reader.server.command(&reader.place, "2026-11-22", &args);
    command.stdin(std::fs::File::open(reader.place.path().join("more.jsonl")).unwrap());
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), reader.digest()), (Some(0), vec![3, 4, 5, 77]), "{told}");
    // A limit is one for all of them.
    let mut command = reader.server.command(
        &reader.place,
        "2026-11-22",
        &[&args[..], &["--limit", "3"]].concat(),
    );
    command.stdin(std::fs::File::open(reader.place.path().join("more.jsonl")).unwrap());
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), reader.digest().len()), (Some(0), 3), "{told}");
}

#[test]
fn a_second_run_on_the_same_day_is_no_stale_feed() {
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    let again = reader.read_on("2026-11-18", "2026-11-18", 1..3);
    assert!(!again.stderr.contains("warning"), "{}", again.stderr);
    assert_eq!((again.status, reader.digest()), (0, vec![1, 2]));
}

/// Its digest takes the place of the one that had them.
#[test]
fn what_a_second_run_of_the_day_has_not_comes_with_the_next_one() {
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    reader.read_on("2026-11-20", "2026-11-20", 5..6);
    assert_eq!(reader.digest(), [3, 4, 5]);
    let without = reader.read("2026-11-20", &["arxiv:cs.CL", "--no-catch-up"]);
    assert_eq!((without.status, reader.digest()), (0, vec![5]));
    let told = "warning: arxiv:cs.CL: 2026-11-19 was in the digest of an earlier run and is not in this \
        one; another run brings it\n";
    assert!(without.stderr.contains(told), "{}", without.stderr);
    let monday = reader.read_on("2026-11-23", "2026-11-23", 6..9);
    assert_eq!((monday.status, reader.digest()), (0, vec![3, 4, 6, 7, 8]), "{}", monday.stderr);
    let again = reader.read_on("2026-11-23", "2026-11-23", 6..9);
    assert_eq!((again.status, reader.digest()), (0, vec![3, 4, 6, 7, 8]), "{}", again.stderr);
}

#[test]
fn a_feed_that_fails_in_a_second_run_of_its_first_day_comes_with_the_next_one() {
    let reader = Reader::new();
    reader.server.set_day("cs.LG", "2026-11-18", withdrawn(20..21));
    reader.server.set_feed("cs.LG", "2026-11-18", withdrawn(20..21));
    reader.server.set_feed("cs.CL", "2026-11-18", withdrawn(1..3));
    let both = ["arxiv:cs.CL+cs.LG"];
    reader.read("2026-11-18", &both);
    assert_eq!(reader.digest(), [1, 2, 20]);
    for _ in 0..3 {
        reader.server.fail("/rss/cs.LG", Fault::Status(503, None));
    }
    let second = reader.read("2026-11-18", &both);
    assert_eq!((second.status, reader.digest()), (2, vec![1, 2]), "{}", second.stderr);
    assert!(
        second
            .stderr
            .contains("warning: arxiv:cs.LG: 2026-11-18 was in the digest of an earlier run")
    );
    for _ in 0..2 {
        reader.server.set_feed("cs.LG", "2026-11-19", withdrawn(21..22));
        reader.server.set_feed("cs.CL", "2026-11-19", withdrawn(3..5));
        let thursday = reader.read("2026-11-19", &both);
        assert_eq!(
            (thursday.status, reader.digest()),
            (0, vec![3, 4, 20, 21]),
            "{}",
            thursday.stderr
        );
    }
}

/// On Saturday the one feed is empty already and the other is Friday's still: Friday's digest is written anew
/// without what the first feed had.
#[test]
fn what_the_digest_of_an_earlier_day_loses_comes_with_the_next_run() {
    for name in ["digest.md", "digest-{date}.md"] {
        let reader = Reader::new();
        let both = ["arxiv:cs.CL+cs.LG", "-o", name];
        let read = |today: &str| {
            let args = [&["digest"], &both[..]].concat();
            reader.server.run(&reader.place, today, &args)
        };
        let digest = |day: &str| {
            let text = reader.place.read(&name.replace("{date}", day));
            (1..60).filter(|number| text.contains(&format!("Herons {number}]"))).collect::<Vec<_>>()
        };
        reader.server.set_day("cs.LG", "2026-11-20", withdrawn(20..21));
        reader.server.set_day("cs.LG", "2026-11-23", withdrawn(21..22));
        reader.server.set_feed("cs.LG", "2026-11-20", withdrawn(20..21));
        reader.server.set_feed("cs.CL", "2026-11-20", withdrawn(5..6));
        read("2026-11-20");
        assert_eq!(digest("2026-11-20"), [5, 20]);
        reader.server.set_feed("cs.CL", "2026-11-21", withdrawn(0..0));
        let saturday = read("2026-11-21");
        assert_eq!((saturday.status, digest("2026-11-20")), (0, vec![20]), "{}", saturday.stderr);
        let told = "warning: arxiv:cs.CL: 2026-11-20 was in the digest of an earlier run";
        assert!(saturday.stderr.contains(told), "{}", saturday.stderr);
        reader.server.set_feed("cs.LG", "2026-11-23", withdrawn(21..22));
        reader.server.set_feed("cs.CL", "2026-11-23", withdrawn(6..9));
        let monday = read("2026-11-23");
        assert_eq!((monday.status, digest("2026-11-23")), (0, vec![5, 6, 7, 8, 21]), "{name}");
        assert!(!monday.stderr.contains("was in the digest"), "{}", monday.stderr);
        let again = read("2026-11-23");
        assert_eq!((again.status, digest("2026-11-23")), (0, vec![5, 6, 7, 8, 21]), "{name}");
        assert!(!again.stderr.contains("was in the digest"), "{}", again.stderr);
    }
}

/// Before Monday's feed is out Friday's comes, and breaks off: its digest has neither the rest of it nor the day
/// that was caught up on with it.
#[test]
fn a_feed_of_an_earlier_day_that_breaks_off_is_brought_with_its_days() {
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    reader.server.set_day("cs.CL", "2026-11-20", withdrawn(5..8));
    reader.read_on("2026-11-20", "2026-11-20", 5..8);
    assert_eq!(reader.digest(), [3, 4, 5, 6, 7]);
    // One paper more, since a feed of as many has the same tag here.
    reader.server.fail("/rss/cs.CL", Fault::CutSilently);
    let early = reader.read_on("2026-11-23", "2026-11-20", 5..9);
    assert_eq!(early.status, 2, "{}", early.stderr);
    assert!(reader.digest().len() < 5, "{:?}", reader.digest());
    for day in ["2026-11-19", "2026-11-20"] {
        let told = format!("warning: arxiv:cs.CL: {day} was in the digest of an earlier run");
        assert!(early.stderr.contains(&told), "{}", early.stderr);
    }
    reader.server.set_day("cs.CL", "2026-11-23", withdrawn(10..11));
    let monday = reader.read_on("2026-11-23", "2026-11-23", 10..11);
    assert_eq!(monday.status, 0, "{}", monday.stderr);
    assert_eq!(reader.digest(), [3, 4, 5, 6, 7, 10]);
}

/// One node of arXiv's is a day behind the other.
#[test]
fn a_digest_that_an_older_feed_takes_the_place_of_comes_again() {
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    reader.read_on("2026-11-19", "2026-11-19", 3..5);
    let behind = reader.read_on("2026-11-19", "2026-11-18", 1..3);
    assert_eq!((behind.status, reader.digest()), (0, vec![1, 2]), "{}", behind.stderr);
    assert!(behind.stderr.contains("that of 2026-11-19 was, too"), "{}", behind.stderr);
    assert!(behind.stderr.contains("2026-11-19 was in the digest"), "{}", behind.stderr);
    let friday = reader.read_on("2026-11-20", "2026-11-20", 5..6);
    assert_eq!((friday.status, reader.digest()), (0, vec![3, 4, 5]), "{}", friday.stderr);
}
