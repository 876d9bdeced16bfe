//! What can be written for a source, and what is said where it cannot.

use wenzhai::feed::{self, Source};

use crate::support::arxiv_server::ArxivServer;
use crate::support::place::Place;

/// Thursday.
const TODAY: &str = "2026-11-26";

fn check_error(name: &str, message: &str, hint: &str) {
    let server = ArxivServer::start();
    let finished = server.run(&Place::new(), TODAY, &["digest", name, "--dry-run"]);
    let said = &finished.stderr;
    assert!(said.starts_with(&format!("error: {message}\n  hint: ")), "{name}: {said}");
    assert!(said.contains(hint), "{name}: {said}");
    assert_eq!(finished.status, 1);
    assert!(server.paths().is_empty(), "{name}: nothing was to be asked for");
}

#[test]
fn a_wrong_name_is_answered_with_the_nearest_right_one() {
    check_error("arxiv:cs.cl", "arXiv has no category `cs.cl`", "did you mean arxiv:cs.CL?");
    check_error("arxiv:csCL", "arXiv has no category `csCL`", "did you mean arxiv:cs.CL?");
    check_error("arXiv:hepth", "arXiv has no category `hepth`", "did you mean arxiv:hep-th?");
    check_error("arxiv:cs.CL+cs.Lg", "arXiv has no category `cs.Lg`", "arxiv:cs.LG");
    check_error("arxiv:cooking", "arXiv has no category `cooking`", "arxiv:cs.CL@2026-11-25");
    check_error("arxiv:", "arxiv: names no source", "arxiv:query:");
    check_error("arxiv:2699.1", "`2699.1` is no arXiv id", "arxiv:2411.00001,");
    check_error("arxiv:query:", "arxiv:query: has no query", "arxiv:query:cat:cs.CL AND");
    check_error(
        "arxiv:oai:cs",
        "arxiv:oai:cs names no days",
        "arxiv:oai:cs@2026-11-01..2026-11-07",
    );
    check_error("arxiv:oai:c/s@2026-11-02", "`c/s` is no set of OAI-PMH", "cs:cs:CL");
}

#[test]
fn a_day_without_an_announcement_is_told_before_anything_is_asked() {
    let check = |when: &str, message: &str, hint: &str| {
        check_error(&format!("arxiv:cs.CL@{when}"), message, hint);
    };
    let saturday = "2026-11-21 is a Saturday, and arXiv announces on Monday to Friday";
    check("2026-11-21", saturday, "that of 2026-11-20");
    let sunday = "2026-11-22 is a Sunday, and arXiv announces on Monday to Friday";
    check("2026-11-22", sunday, "that of 2026-11-20");
    let future = "2026-11-27 is still to come: arXiv's day is 2026-11-26";
    check("2026-11-27", future, "20:00 in New York");
    let old = "2026-08-27 is more than 90 days ago, and arXiv's catch-up pages begin at 2026-08-28";
    check("2026-08-27", old, "arxiv:oai:SET@2026-08-27..2026-08-27");
    check("yesterday", "`yesterday` is no day", "2026-11-25");
    check("2026-11-31", "`2026-11-31` is no day", "2026-11-25");
    check("-0", "`-0` is no number of days from 1 to 64", "arxiv:cs.CL@-3");
    let backwards = "the days 2026-11-25..2026-11-20 end before they begin";
    check("2026-11-25..2026-11-20", backwards, "2026-11-20..2026-11-25");
}

/// What a name stands for at whatever day this test is run.
#[test]
fn one_name_stands_for_a_source_for_each_category_and_announcement_day() {
    let expand = |name: &str| -> Vec<String> {
        let sources = feed::expand(vec![Source::parse(name).unwrap()]).unwrap();
        sources.iter().map(Source::to_string).collect()
    };
    assert_eq!(expand("arxiv:cs.CL"), ["arxiv:cs.CL"]);
    assert_eq!(expand("arXiv: cs.CL+math+cs.CL"), ["arxiv:cs.CL", "arxiv:math"]);
    assert_eq!(expand("arxiv:2699.00001v2, hep-th/9901001"), ["arxiv:2699.00001v2,hep-th/9901001"]);
    let oai = "arxiv:oai:physics:hep-th@2016-02-27..2016-03-02";
    assert_eq!(expand(oai), [oai]);
    let last = expand("arxiv:cs.CL+cs.LG@-7");
    assert_eq!(last.len(), 14);
    let days: Vec<jiff::civil::Date> = last[..7]
        .iter()
        .map(|name| name.strip_prefix("arxiv:cs.CL@").unwrap().parse().unwrap())
        .collect();
    assert!(days.is_sorted() && days.iter().all(|day| day.weekday().to_monday_one_offset() <= 5));
    assert!(last[7..].iter().all(|name| name.starts_with("arxiv:cs.LG@")));
    let span = days[6].since(days[0]).unwrap().get_days();
    assert!((8..=10).contains(&span), "seven weekdays in a row, from {} to {}", days[0], days[6]);
}

#[test]
fn a_variable_that_says_nothing_is_told() {
    let server = ArxivServer::start();
    let place = Place::new();
    for (name, value) in [
        ("WENZHAI_ARXIV_URL", "ftp://pond"),
        ("WENZHAI_ARXIV_PAUSE", "soon"),
        ("WENZHAI_ARXIV_TRIES", "0"),
        ("WENZHAI_ARXIV_TODAY", "today"),
        ("WENZHAI_CONTACT", "me\nX-Evil: 1"),
    ] {
        let mut command = server.command(&place, TODAY, &["digest", "arxiv:cs.CL", "--dry-run"]);
        let output = command.env(name, value).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        let is_told = said.starts_with("error: ") && said.contains(name) && said.contains("hint: ");
        assert!(is_told, "{name}: {said}");
    }
    assert!(server.paths().is_empty());
}
