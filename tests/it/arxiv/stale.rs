//! Feeds that still carry an earlier day's papers.

use super::days::Reader;
use crate::support::arxiv_server::{Announced, Fault, withdrawn};

#[test]
fn a_feed_that_still_carries_yesterday_under_todays_date_is_found_out() {
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    let stale = reader.read_on("2026-11-19", "2026-11-19", 1..3);
    let told = "warning: arxiv:cs.CL: each of the 2 papers dated 2026-11-19 was announced on \
        2026-11-18 already; the feed is likely that day's still.";
    assert!(stale.stderr.contains(told), "{}", stale.stderr);
    // So Thursday was not read, and comes with Friday.
    let friday = reader.read_on("2026-11-20", "2026-11-20", 5..6);
    assert!(friday.stderr.contains("1 announcement day was not read yet: 2026-11-19;"));
    assert_eq!((friday.status, reader.digest()), (0, vec![3, 4, 5]));
}

#[test]
fn a_stale_feed_is_found_out_when_the_page_of_its_day_comes_later() {
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    // On Friday arXiv gives Thursday's papers under Friday's date, and Thursday's page fails.
    (0..3).for_each(|_| reader.server.fail("/catchup", Fault::Status(503, None)));
    let friday = reader.read_on("2026-11-20", "2026-11-20", 3..5);
    assert_eq!((friday.status, reader.digest()), (2, vec![3, 4]), "{}", friday.stderr);
    let monday = reader.read_on("2026-11-23", "2026-11-23", 6..9);
    let told = "warning: arxiv:cs.CL@2026-11-19: each of the papers that the feed of cs.CL had under \
        2026-11-20 was announced on 2026-11-19; it was likely that day's still.";
    assert!(monday.stderr.contains(told), "{}", monday.stderr);
    assert_eq!((monday.status, reader.digest()), (0, vec![3, 4, 6, 7, 8]));
    let tuesday = reader.read_on("2026-11-24", "2026-11-24", 9..10);
    assert!(!tuesday.stderr.contains("warning"), "{}", tuesday.stderr);
    assert_eq!((tuesday.status, reader.digest()), (0, vec![5, 9]));
    let wednesday = reader.read_on("2026-11-25", "2026-11-25", 10..13);
    assert_eq!((wednesday.status, reader.digest()), (0, vec![10, 11, 12]), "{}", wednesday.stderr);
}

/// The day before it was a holiday, whose page is empty.
#[test]
fn a_stale_feed_behind_a_holiday_is_found_out_when_the_page_of_its_day_comes_later() {
    let reader = Reader::new();
    reader.read_on("2026-11-18", "2026-11-18", 1..3);
    reader.server.set_day("cs.CL", "2026-11-20", Vec::new());
    (0..3).for_each(|_| reader.server.fail("/catchup", Fault::Status(503, None)));
    let monday = reader.read_on("2026-11-23", "2026-11-23", 3..5);
    assert_eq!((monday.status, reader.digest()), (2, vec![3, 4]), "{}", monday.stderr);
    assert_eq!(reader.pages().last().map(String::as_str), Some("2026-11-20"));
    let tuesday = reader.read_on("2026-11-24", "2026-11-24", 9..10);
    let told = "warning: arxiv:cs.CL@2026-11-19: each of the papers that the feed of cs.CL had under \
        2026-11-23 was announced on 2026-11-19;";
    assert!(tuesday.stderr.contains(told), "{}", tuesday.stderr);
    let wednesday = reader.read_on("2026-11-25", "2026-11-25", 10..13);
    assert_eq!(reader.digest(), [6, 7, 8, 10, 11, 12], "{}", wednesday.stderr);
}

/// Its papers may have been replaced days later, and be all that the feed of that day has.
#[test]
fn only_the_feed_of_the_next_day_may_be_a_pages_still() {
    let reader = Reader::new();
    reader.read_on("2026-11-19", "2026-11-19", 3..5);
    let replaced = withdrawn(1..2).into_iter().map(|paper| Announced { version: 2, ..paper });
    reader.server.set_feed("cs.CL", "2026-11-20", replaced.collect());
    reader.read("2026-11-20", &["arxiv:cs.CL"]);
    assert_eq!(reader.digest(), [1]);
    let page = reader.read("2026-11-20", &["arxiv:cs.CL@2026-11-18"]);
    assert_eq!((page.status, page.stderr.contains("warning")), (0, false), "{}", page.stderr);
}
