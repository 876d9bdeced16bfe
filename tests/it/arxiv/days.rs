//! No day is lost in silence: what is known of a category's days, what is missing, and how it comes.
//!
//! The papers of these tests were withdrawn, so that a digest of them needs no model.

use std::io::{BufRead, BufReader};

use crate::support::arxiv_server::{ArxivServer, Fault, withdrawn};
use crate::support::place::{Finished, Place};

/// A person who reads cs.CL, and the arXiv that is read.
pub(super) struct Reader {
    pub(super) server: ArxivServer,
    pub(super) place: Place,
}

impl Reader {
    /// Wednesday 18 to Thursday 26 November 2026, with papers 1 to 6 on the weekdays but one.
    pub(super) fn new() -> Self {
        let server = ArxivServer::start();
        let days = [
            ("2026-11-18", 1..3),
            ("2026-11-19", 3..5),
            ("2026-11-20", 5..6),
            ("2026-11-23", 6..9),
            ("2026-11-24", 9..10),
            ("2026-11-25", 10..13),
        ];
        for (day, numbers) in days {
            server.set_day("cs.CL", day, withdrawn(numbers));
        }
        Reader { server, place: Place::new() }
    }

    /// Reads on a day whose feed has these papers, and says to be of `of`.
    pub(super) fn read_on(&self, today: &str, of: &str, numbers: std::ops::Range<u32>) -> Finished {
        self.server.set_feed("cs.CL", of, withdrawn(numbers));
        self.read(today, &["arxiv:cs.CL"])
    }

    pub(super) fn read(&self, today: &str, args: &[&str]) -> Finished {
        self.server.run(&self.place, today, &[&["digest", "-o", "digest.md"], args].concat())
    }

    /// The numbers of the papers in the digest, ascending.
    pub(super) fn digest(&self) -> Vec<u32> {
        let digest = self.place.read("digest.md");
        let titles = digest.split("[Counting Herons ").skip(1);
        let mut numbers: Vec<u32> =
            titles.map(|title| title.split(']').next().unwrap().parse().unwrap()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// The days whose pages were asked for.
    pub(super) fn pages(&self) -> Vec<String> {
        let page = |path: String| {
            path.strip_prefix("/catchup/cs.CL/")
                .map(|rest| rest.split('?').next().unwrap().to_owned())
        };
        self.server.paths().into_iter().filter_map(page).collect()
    }
}

#[test]
fn two_days_do_not_vanish_silently() {
    let reader = Reader::new();
    let first = reader.read_on("2026-11-18", "2026-11-18", 1..3);
    assert_eq!((first.status, reader.digest()), (0, vec![1, 2]), "{}", first.stderr);
    assert!(!first.stderr.contains("not read yet"), "{}", first.stderr);

    // Nobody reads on Thursday and Friday.
    let monday = reader.read_on("2026-11-23", "2026-11-23", 6..9);
    let told = "arxiv:cs.CL: 2 announcement days were not read yet: 2026-11-19, 2026-11-20; reading \
        them by arXiv's catch-up pages\n";
    assert!(monday.stderr.contains(told), "{}", monday.stderr);
    assert_eq!((monday.status, reader.digest()), (0, vec![3, 4, 5, 6, 7, 8]));
    assert_eq!(reader.pages(), ["2026-11-19", "2026-11-20"]);

    // What was brought is not missing any more.
    let tuesday = reader.read_on("2026-11-24", "2026-11-24", 9..10);
    assert_eq!((tuesday.status, reader.digest()), (0, vec![9]), "{}", tuesday.stderr);
    assert_eq!(reader.pages().len(), 2);
}

/// Below the headings of an old day arXiv shows what is there now.
#[test]
fn a_new_paper_of_an_old_day_may_be_a_later_version() {
    let reader = Reader::new();
    for (day, version) in [("2026-11-24", "null"), ("2026-11-25", "1")] {
        let finished =
            reader.read("2026-11-25", &[&format!("arxiv:cs.CL@{day}"), "-o", "records.jsonl"]);
        assert_eq!(finished.status, 0, "{}", finished.stderr);
        let records = reader.place.read("records.jsonl");
        let record: serde_json::Value =
            serde_json::from_str(records.lines().next().unwrap()).unwrap();
        assert_eq!(record["version"].to_string(), version, "{day}");
    }
}

/// arXiv puts 2,000 items into a feed, new papers last.
#[test]
fn a_feed_that_is_as_long_as_feeds_get_is_not_taken_for_the_whole_day() {
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    let cut = reader.read_on("2026-11-19", "2026-11-19", 1_001..3_001);
    let told = "holds 2,000 items, the most that arXiv puts into a feed";
    assert!(cut.stderr.contains(told), "{}", cut.stderr);
    assert!(cut.stderr.contains("arxiv:cs.CL@2026-11-19 has all"), "{}", cut.stderr);
    assert_eq!((cut.status, reader.digest().len()), (2, 2_000));
    let next = reader.read_on("2026-11-20", "2026-11-20", 5..6);
    assert_eq!((next.status, reader.digest()), (0, vec![3, 4, 5]), "{}", next.stderr);
}

#[test]
fn a_limit_does_not_hide_that_a_feed_is_yesterdays() {
    let reader = Reader::new();
    let limited = |day: &str, numbers: std::ops::Range<u32>| {
        reader.server.set_feed("cs.CL", day, withdrawn(numbers));
        reader.read(day, &["arxiv:cs.CL", "--limit", "2"])
    };
    limited("2026-11-23", 6..9);
    let stale = limited("2026-11-24", 6..9);
    let told = "each of the 2 papers dated 2026-11-24 was announced on 2026-11-23 already";
    assert!(stale.stderr.contains(told), "{}", stale.stderr);
    let next = reader.read_on("2026-11-25", "2026-11-25", 10..13);
    assert_eq!((next.status, reader.digest()), (0, vec![9, 10, 11, 12]), "{}", next.stderr);
}

#[test]
fn a_stale_feed_is_found_out_even_where_yesterday_was_not_read() {
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    let friday = reader.read_on("2026-11-20", "2026-11-20", 3..5);
    let told = "each of the 2 papers dated 2026-11-20 was announced on 2026-11-19 already";
    assert!(friday.stderr.contains(told), "{}", friday.stderr);
    assert_eq!(reader.digest(), [3, 4]);
    let monday = reader.read_on("2026-11-23", "2026-11-23", 6..9);
    assert_eq!((monday.status, reader.digest()), (0, vec![5, 6, 7, 8]), "{}", monday.stderr);
}

/// The day begins before its announcement is out.
#[test]
fn a_page_that_was_kept_while_it_was_empty_is_asked_for_again() {
    let reader = Reader::new();
    reader.server.set_day("cs.CL", "2026-11-24", withdrawn(0..0));
    let early = reader.read("2026-11-24", &["arxiv:cs.CL@2026-11-24"]);
    assert!(early.stderr.contains("nothing was written"), "{}", early.stderr);
    reader.server.set_day("cs.CL", "2026-11-24", withdrawn(9..10));
    for _ in 1..=2 {
        let next = reader.read("2026-11-25", &["arxiv:cs.CL@2026-11-24"]);
        assert_eq!((next.status, reader.digest()), (0, vec![9]), "{}", next.stderr);
    }
    assert_eq!(reader.pages().len(), 2, "what is settled is not asked for again");
}

#[test]
fn a_paper_that_is_replaced_every_day_does_not_make_a_feed_stale() {
    let reader = Reader::new();
    let version = |version| {
        let mut papers = withdrawn(1..2);
        papers[0].version = version;
        papers
    };
    reader.server.set_feed("cs.CL", "2026-11-18", version(2));
    reader.read("2026-11-18", &["arxiv:cs.CL"]);
    reader.server.set_feed("cs.CL", "2026-11-19", version(3));
    let thursday = reader.read("2026-11-19", &["arxiv:cs.CL"]);
    assert!(!thursday.stderr.contains("warning"), "{}", thursday.stderr);
}

#[test]
fn a_holiday_is_asked_for_once_and_known_to_be_empty_from_then_on() {
    let reader = Reader::new();
    reader.read_on("2026-11-25", "2026-11-25", 10..13);
    // Thanksgiving has no announcement, and its feed no papers.
    let thursday = reader.read_on("2026-11-26", "2026-11-26", 0..0);
    assert!(thursday.stderr.contains("no paper was announced"), "{}", thursday.stderr);
    let friday = reader.read_on("2026-11-27", "2026-11-27", 13..14);
    assert_eq!((friday.status, reader.digest()), (0, vec![13]), "{}", friday.stderr);
    assert_eq!(reader.pages(), ["2026-11-26"]);
    let monday = reader.read_on("2026-11-30", "2026-11-30", 14..15);
    assert!(!monday.stderr.contains("not read yet"), "{}", monday.stderr);
    assert_eq!(reader.pages().len(), 1);
}

#[test]
fn weekends_are_no_missing_days() {
    let reader = Reader::new();
    reader.read_on("2026-11-20", "2026-11-20", 5..6);
    for weekend in ["2026-11-21", "2026-11-22"] {
        let finished = reader.read_on(weekend, weekend, 0..0);
        assert_eq!(finished.status, 0);
        assert!(!finished.stderr.contains("not read yet"), "{}", finished.stderr);
    }
    assert!(reader.pages().is_empty());
}

#[test]
fn missed_days_can_be_left_out_and_that_is_said() {
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    reader.server.set_feed("cs.CL", "2026-11-20", withdrawn(5..6));
    let without = reader.read("2026-11-20", &["arxiv:cs.CL", "--no-catch-up"]);
    let told = "warning: arxiv:cs.CL: 1 announcement day was not read yet: 2026-11-19; left out, as \
        --no-catch-up asks; a run without it brings them\n";
    assert!(without.stderr.contains(told), "{}", without.stderr);
    assert_eq!((without.status, reader.digest()), (0, vec![5]));
    // It is missing still, though a later day is not.
    let with = reader.read("2026-11-20", &["arxiv:cs.CL"]);
    assert_eq!((with.status, reader.digest()), (0, vec![3, 4, 5]));
}

#[test]
fn a_day_whose_page_did_not_come_is_missing_still() {
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    for _ in 0..3 {
        reader.server.fail("/catchup", Fault::Status(503, None));
    }
    let friday = reader.read_on("2026-11-20", "2026-11-20", 5..6);
    assert_eq!((friday.status, reader.digest()), (2, vec![5]));
    assert!(friday.stderr.contains("error: cannot fetch arxiv:cs.CL@2026-11-19: HTTP status 503"));
    let again = reader.read_on("2026-11-20", "2026-11-20", 5..6);
    assert_eq!((again.status, reader.digest()), (0, vec![3, 4, 5]), "{}", again.stderr);
}

#[test]
fn a_day_that_lacks_papers_is_missing_still() {
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    reader.server.fail("/catchup", Fault::CountsTooMany(4));
    let friday = reader.read_on("2026-11-20", "2026-11-20", 5..6);
    assert!(friday.stderr.contains("counts 6 entries, and 2 came"), "{}", friday.stderr);
    assert!(friday.stderr.contains("skipped 4"), "{}", friday.stderr);
    assert_eq!((friday.status, reader.digest()), (2, vec![3, 4, 5]));
    let again = reader.read_on("2026-11-20", "2026-11-20", 5..6);
    assert_eq!((again.status, reader.digest()), (0, vec![3, 4, 5]));
}

#[test]
fn days_whose_digest_could_not_be_written_are_not_taken_for_read() {
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    reader.server.set_feed("cs.CL", "2026-11-19", withdrawn(3..5));
    // Standard output is closed: what was read is in no digest.
    let mut command =
        reader.server.command(&reader.place, "2026-11-19", &["digest", "arxiv:cs.CL"]);
    let full = std::fs::File::options().write(true).open("/dev/full");
    let Ok(full) = full else {
        crate::support::skipped("this system has no /dev/full");
        return;
    };
    let failed = command.stdout(full).output().unwrap();
    assert_eq!(failed.status.code(), Some(75), "{}", String::from_utf8_lossy(&failed.stderr));
    let friday = reader.read_on("2026-11-20", "2026-11-20", 5..6);
    assert!(friday.stderr.contains("not read yet: 2026-11-19"), "{}", friday.stderr);
    assert_eq!(reader.digest(), [3, 4, 5]);
}

#[test]
fn a_list_of_what_would_be_read_marks_nothing_as_read() {
    let reader = Reader::new();
    reader.server.set_feed("cs.CL", "2026-11-18", withdrawn(1..3));
    let listed =
        reader.server.run(&reader.place, "2026-11-18", &["digest", "arxiv:cs.CL", "--dry-run"]);
    assert_eq!(listed.status, 0);
    let friday = reader.read_on("2026-11-20", "2026-11-20", 5..6);
    assert!(!friday.stderr.contains("not read yet"), "{}", friday.stderr);
}

#[test]
fn a_day_that_was_asked_for_by_its_date_says_nothing_of_those_after_it() {
    let reader = Reader::new();
    let asked = reader.read("2026-11-25", &["arxiv:cs.CL@2026-11-18"]);
    assert_eq!((asked.status, reader.digest()), (0, vec![1, 2]), "{}", asked.stderr);
    let today = reader.read_on("2026-11-25", "2026-11-25", 10..13);
    assert!(!today.stderr.contains("not read yet"), "{}", today.stderr);
    // The last three announcements are those of Monday to Wednesday.
    let last = reader.read("2026-11-25", &["arxiv:cs.CL@-3"]);
    assert_eq!((last.status, reader.digest()), (0, (6..13).collect()), "{}", last.stderr);
}

#[test]
fn to_look_at_a_paper_of_a_day_is_not_to_read_the_day() {
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    let look = reader.read("2026-11-19", &["arxiv:cs.CL@2026-11-19", "--limit", "1"]);
    assert_eq!((look.status, reader.digest()), (0, vec![3]), "{}", look.stderr);
    let friday = reader.read_on("2026-11-20", "2026-11-20", 5..6);
    assert!(friday.stderr.contains("1 announcement day was not read yet: 2026-11-19;"));
    assert_eq!((friday.status, reader.digest()), (0, vec![3, 4, 5]));
}

#[test]
fn days_out_of_reach_are_told_and_where_else_to_find_them() {
    let reader = Reader::new();
    reader.read_on("2026-08-26", "2026-08-26", 1..3);
    let late = reader.read_on("2026-11-26", "2026-11-26", 13..14);
    let told =
        "warning: arxiv:cs.CL: announcement days never read, from 2026-08-27 to 2026-08-27: 1;";
    assert!(late.stderr.contains(told), "{}", late.stderr);
    assert!(
        late.stderr
            .contains("64 announcement days were not read yet: from 2026-08-28 to 2026-11-25")
    );
    // And told once.
    let next = reader.read_on("2026-11-27", "2026-11-27", 14..15);
    assert!(!next.stderr.contains("warning"), "{}", next.stderr);
}

#[test]
fn a_feed_that_is_not_out_yet_is_told_from_todays() {
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    // Early on Thursday the feed is Wednesday's, and says so.
    let early = reader.read_on("2026-11-19", "2026-11-18", 1..3);
    let told =
        "arxiv:cs.CL: the feed is that of 2026-11-18, which was read before; none is out since";
    assert!(early.stderr.contains(told), "{}", early.stderr);
    let later = reader.read_on("2026-11-19", "2026-11-19", 3..5);
    assert!(!later.stderr.contains("not read yet") && !later.stderr.contains(told));
    assert_eq!((later.status, reader.digest()), (0, vec![3, 4]));
}

#[test]
fn a_limit_begins_with_today_and_does_not_lag_behind_for_ever() {
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    reader.server.set_feed("cs.CL", "2026-11-23", withdrawn(6..9));
    let limited = reader.read("2026-11-23", &["arxiv:cs.CL", "--limit", "4"]);
    assert_eq!((limited.status, reader.digest()), (0, vec![3, 6, 7, 8]), "{}", limited.stderr);
    assert!(limited.stderr.contains("what follows the limit was not read"), "{}", limited.stderr);
    // Thursday was cut at the limit, Friday not reached.
    let next = reader.read_on("2026-11-23", "2026-11-23", 6..9);
    assert!(next.stderr.contains("1 announcement day was not read yet: 2026-11-20"));
}

#[test]
fn a_long_way_back_says_how_long_it_takes() {
    let reader = Reader::new();
    reader.read_on("2026-11-02", "2026-11-02", 1..3);
    reader.server.set_feed("cs.CL", "2026-11-26", withdrawn(13..14));
    let args = ["digest", "arxiv:cs.CL", "-o", "d.md"];
    let mut command = reader.server.command(&reader.place, "2026-11-26", &args);
    // Only what is said first is waited for.
    let mut child = command.env("WENZHAI_ARXIV_PAUSE", "60").spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let told = "17 announcement days were not read yet: from 2026-11-03 to 2026-11-25; reading them by \
        arXiv's catch-up pages, which takes 16 min 0 s at least\n";
    assert!(line.ends_with(told), "{line}");
}

#[test]
fn a_category_is_followed_by_itself_whatever_it_is_read_together_with() {
    let reader = Reader::new();
    reader.server.set_feed("cs.LG", "2026-11-18", withdrawn(20..21));
    reader.server.set_feed("cs.CL", "2026-11-18", withdrawn(1..3));
    reader.read("2026-11-18", &["arxiv:cs.CL+cs.LG"]);
    reader.server.set_feed("cs.LG", "2026-11-19", withdrawn(21..22));
    reader.read("2026-11-19", &["arxiv:cs.LG"]);
    reader.server.set_feed("cs.LG", "2026-11-20", withdrawn(22..23));
    reader.server.set_feed("cs.CL", "2026-11-20", withdrawn(5..6));
    let both = reader.read("2026-11-20", &["arxiv:cs.CL+cs.LG"]);
    assert!(both.stderr.contains("arxiv:cs.CL: 1 announcement day was not read yet: 2026-11-19"));
    assert!(!both.stderr.contains("arxiv:cs.LG: "), "{}", both.stderr);
    assert_eq!((both.status, reader.digest()), (0, vec![3, 4, 5, 22]));
}

#[test]
fn what_is_in_the_digest_of_one_profile_is_missing_in_that_of_another() {
    let reader = Reader::new();
    let profile = |name: &str| {
        format!("[digest.{name}]\nsources = [\"arxiv:cs.CL\"]\noutput = [\"{name}.md\"]\n")
    };
    reader.place.write("wenzhai.toml", &(profile("herons") + &profile("geese")));
    let read = |today: &str, numbers: std::ops::Range<u32>, args: &[&str]| {
        reader.server.set_feed("cs.CL", today, withdrawn(numbers));
        reader.server.run(&reader.place, today, &[&["digest"], args].concat())
    };
    read("2026-11-18", 1..3, &[]);
    read("2026-11-19", 3..5, &["herons"]);
    let both = read("2026-11-20", 5..6, &[]);
    assert_eq!(both.status, 0, "{}", both.stderr);
    assert_eq!(both.stderr.matches("not read yet: 2026-11-19").count(), 1, "{}", both.stderr);
    let has = |name: &str, number: u32| {
        reader.place.read(name).contains(&format!("[Counting Herons {number}]"))
    };
    assert!(has("geese.md", 3) && has("geese.md", 4) && has("geese.md", 5));
    assert!(has("herons.md", 5) && !has("herons.md", 3));
}

#[test]
fn a_store_of_the_version_before_is_opened_and_keeps_its_summaries() {
    let reader = Reader::new();
    let path = reader.place.path().join("old.sqlite");
    let old = rusqlite::Connection::open(&path).unwrap();
    // Schema 1, as version 0.1.0 wrote it.
    old.execute_batch(
        "CREATE TABLE summary (key TEXT PRIMARY KEY NOT NULL, paper TEXT NOT NULL, version INTEGER,
            zh_title TEXT NOT NULL, zh_tldr TEXT NOT NULL, zh_abstract TEXT NOT NULL,
            model TEXT NOT NULL, flags TEXT NOT NULL, retries INTEGER NOT NULL,
            cut INTEGER NOT NULL, created INTEGER NOT NULL) STRICT;
         INSERT INTO summary VALUES ('k', 'id:2699.00001', 1, '题', '句', '段', 'm', '[]', 0, 0, 0);
         PRAGMA application_id = 2003729000; PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(old);
    reader.server.set_feed("cs.CL", "2026-11-18", withdrawn(1..3));
    let finished = reader.read("2026-11-18", &["arxiv:cs.CL", "--store", "old.sqlite"]);
    assert_eq!((finished.status, reader.digest()), (0, vec![1, 2]), "{}", finished.stderr);
    let store = rusqlite::Connection::open(&path).unwrap();
    let number = |sql: &str| store.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number("SELECT count(*) FROM summary WHERE zh_title = '题'"), 1);
    assert_eq!(number("SELECT papers FROM announcement WHERE day = '2026-11-18'"), 2);
    assert_eq!(number("PRAGMA user_version"), 5);
    // As schema 3 was at first: announcements without readers, and no index of papers.
    store
        .execute_batch(
            "DROP INDEX papers; DROP TABLE announcement; DROP TABLE announced;
             ALTER TABLE summary DROP COLUMN fields;
             CREATE TABLE announcement (category TEXT NOT NULL, day TEXT NOT NULL,
                followed INTEGER NOT NULL, papers INTEGER NOT NULL, read INTEGER NOT NULL);
             CREATE TABLE announced (category TEXT NOT NULL, paper TEXT NOT NULL,
                day TEXT NOT NULL, version INTEGER);
             PRAGMA user_version = 3;",
        )
        .unwrap();
    let finished = reader.read("2026-11-18", &["arxiv:cs.CL", "--store", "old.sqlite"]);
    assert_eq!((finished.status, reader.digest()), (0, vec![1, 2]), "{}", finished.stderr);
    assert_eq!(number("SELECT count(*) FROM summary WHERE zh_title = '题'"), 1);
    assert_eq!(number("SELECT count(*) FROM sqlite_schema WHERE name = 'papers'"), 1);
    // As schema 4 was: days without the digest that has them.
    store
        .execute_batch("ALTER TABLE announcement DROP COLUMN digest; PRAGMA user_version = 4;")
        .unwrap();
    let finished = reader.read("2026-11-18", &["arxiv:cs.CL", "--store", "old.sqlite"]);
    assert_eq!((finished.status, reader.digest()), (0, vec![1, 2]), "{}", finished.stderr);
    assert_eq!(number("SELECT count(*) FROM announcement WHERE digest = '2026-11-18'"), 1);
}
