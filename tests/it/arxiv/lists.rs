//! Queries, ids, days of several pages and lists of OAI-PMH: read to their ends, and what they count
//! compared with what came.

use super::{ids, records};
use crate::support::arxiv_server::{Announced, ArxivServer, Fault, Kind, paper};
use crate::support::place::{Finished, Place};

/// Thursday.
const TODAY: &str = "2026-11-26";

fn list(server: &ArxivServer, args: &[&str]) -> Finished {
    server.run(&Place::new(), TODAY, &[&["digest", "--dry-run"], args].concat())
}

#[test]
fn a_query_is_read_to_its_end_page_by_page() {
    let server = ArxivServer::start();
    server.set_papers((1..=7).map(paper).collect());
    server.set_page_size(3);
    let finished = list(&server, &["arxiv:query:cat:cs.CL AND ti:\"herons\""]);
    assert_eq!((finished.status, ids(&finished).len()), (0, 7), "{}", finished.stderr);
    let paths = server.paths();
    assert_eq!(paths.len(), 3);
    let query = "/api/query?search_query=cat%3Acs.CL%20AND%20ti%3A%22herons%22&start=";
    for (path, start) in paths.iter().zip([0, 3, 6]) {
        assert!(path.starts_with(&format!("{query}{start}&")), "{path}");
    }
    let limited = list(&server, &["arxiv:query:cat:cs.CL", "--limit", "2"]);
    assert_eq!((ids(&limited).len(), server.paths().len()), (2, 4), "no page too many");
}

#[test]
fn an_answer_that_is_empty_by_mistake_is_asked_for_again() {
    let server = ArxivServer::start();
    server.set_papers((1..=4).map(paper).collect());
    server.set_page_size(2);
    server.fail("start=2", Fault::Empty);
    let finished = list(&server, &["arxiv:query:all:herons"]);
    assert_eq!((finished.status, ids(&finished).len()), (0, 4), "{}", finished.stderr);
    for _ in 0..3 {
        server.fail("start=2", Fault::Empty);
    }
    let finished = list(&server, &["arxiv:query:all:herons"]);
    assert_eq!((finished.status, ids(&finished).len()), (2, 2));
    let loss = "warning: arxiv:query:all:herons: counts 4 results, and 2 came (left out)";
    assert!(finished.stderr.contains(loss), "{}", finished.stderr);
    // Where there is no paper at all, another run may find some.
    for (source, part, counted) in
        [("arxiv:query:all:herons", "start=0", "4"), ("arxiv:2699.00001", "id_list", "1")]
    {
        for _ in 0..3 {
            server.fail(part, Fault::Empty);
        }
        let finished = list(&server, &[source]);
        let error = format!("error: {source} counts {counted} results, and none came\n  hint: ");
        assert_eq!(finished.status, 75, "{}", finished.stderr);
        assert!(finished.stderr.starts_with(&error), "{}", finished.stderr);
    }
}

#[test]
fn an_address_whose_answer_holds_none_of_its_results_may_hold_them_later() {
    let server = ArxivServer::start();
    let answer = "<feed xmlns='http://www.w3.org/2005/Atom' \
        xmlns:o='http://a9.com/-/spec/opensearch/1.1/'><o:totalResults>450</o:totalResults></feed>";
    server.set_page("/answer", answer);
    let place = Place::new();
    place.write("saved.xml", answer);
    for (source, status) in [(server.address("/answer"), 75), ("saved.xml".to_owned(), 1)] {
        let finished = server.run(&place, TODAY, &["digest", "--dry-run", &source]);
        assert_eq!(finished.status, status, "{}", finished.stderr);
        let error = format!("error: {source} is an answer of the API that counts 450 results");
        assert!(finished.stderr.starts_with(&error), "{}", finished.stderr);
    }
}

#[test]
fn a_query_that_finds_nothing_is_no_error() {
    let server = ArxivServer::start();
    let finished = list(&server, &["arxiv:query:ti:nothing"]);
    assert_eq!((finished.status, finished.stdout.as_str()), (0, ""), "{}", finished.stderr);
    assert!(finished.stderr.ends_with("arXiv has no such paper; nothing was written\n"));
}

#[test]
fn ids_that_arxiv_does_not_have_are_missed() {
    let server = ArxivServer::start();
    server.set_papers((1..=3).map(paper).collect());
    let finished = list(&server, &["arxiv:2699.00001,2699.00003"]);
    assert_eq!(finished.status, 0, "{}", finished.stderr);
    assert_eq!(ids(&finished), ["2699.00003", "2699.00001"]);
    assert!(server.paths()[0].contains("id_list=2699.00001%2C2699.00003&"));
    let finished = list(&server, &["arxiv:2699.00001,2699.00099,2699.00098"]);
    assert_eq!((finished.status, ids(&finished).len()), (2, 1));
    assert!(finished.stderr.contains("3 ids were asked for, and 1 of them came (left out)"));
    let finished = list(&server, &["arxiv:2699.00099"]);
    let error = "error: arxiv:2699.00099 names no paper that arXiv has\n  hint: check the id\n";
    assert_eq!((finished.status, finished.stderr.as_str()), (1, error));
}

#[test]
fn a_day_of_three_pages_has_all_its_papers() {
    let server = ArxivServer::start();
    let papers = (1..=8).map(|number| Announced {
        kind: match number {
            1..=3 => Kind::New,
            4..=5 => Kind::Cross,
            _ => Kind::Replace,
        },
        ..paper(number)
    });
    server.set_day("cs.CL", "2026-11-25", papers.collect());
    server.set_page_size(3);
    let finished = list(&server, &["arxiv:cs.CL@2026-11-25", "--announce", "new,cross,replace"]);
    assert_eq!((finished.status, server.paths().len()), (0, 3), "{}", finished.stderr);
    let found = records(&finished);
    let count = |kind: &str| found.iter().filter(|record| record["announce"] == kind).count();
    assert_eq!((found.len(), count("new"), count("cross"), count("replace")), (8, 3, 2, 3));
}

/// 486 entries in the feed, 239 on the page: whichever number is right, the difference is told.
#[test]
fn a_page_that_counts_more_papers_than_came_is_a_loss_in_the_account() {
    let server = ArxivServer::start();
    server.set_day("cs.CL", "2026-11-25", (1..=5).map(paper).collect());
    // Both pages that are asked for count two more.
    server.fail("page=1", Fault::CountsTooMany(2));
    let finished = list(&server, &["arxiv:cs.CL@2026-11-25"]);
    let loss = "warning: arxiv:cs.CL@2026-11-25: counts 7 entries, and 5 came (left out)";
    assert!(finished.stderr.contains(loss), "{}", finished.stderr);
    assert_eq!((finished.status, ids(&finished).len()), (2, 5));
    server.fail("page=1", Fault::Empty);
    let finished = list(&server, &["arxiv:cs.CL@2026-11-25"]);
    let error = "error: arxiv:cs.CL@2026-11-25 counts 5 entries, and none came\n";
    assert!(finished.status == 75 && finished.stderr.starts_with(error), "{}", finished.stderr);
}

/// Newest first: one that comes in between two answers moves the others on.
#[test]
fn papers_that_come_twice_do_not_stand_for_those_that_never_came() {
    let server = ArxivServer::start();
    server.set_papers((1..=7).map(paper).collect());
    server.set_day("cs.CL", "2026-11-25", (1..=7).map(paper).collect());
    server.set_page_size(3);
    server.fail("start=3", Fault::BeginsWith(2));
    let finished = list(&server, &["arxiv:query:all:herons"]);
    let loss = "warning: arxiv:query:all:herons: counts 7 results, and 6 came (left out)";
    assert!(finished.stderr.contains(loss), "{}", finished.stderr);
    assert_eq!((finished.status, ids(&finished).len()), (2, 6));

    // A mirror that does not look at what is asked for.
    let asked = server.paths().len();
    for (source, part, what) in [
        ("arxiv:query:all:herons", "start=3", "results"),
        ("arxiv:cs.CL@2026-11-25", "page=2", "entries"),
    ] {
        server.fail(part, Fault::BeginsWith(0));
        let finished = list(&server, &[source]);
        let loss = format!("warning: {source}: counts 7 {what}, and 3 came (left out)");
        assert!(finished.stderr.contains(&loss), "{}", finished.stderr);
        assert_eq!((finished.status, ids(&finished).len()), (2, 3));
    }
    assert_eq!(server.paths().len(), asked + 4, "it is not asked on and on");
}

#[test]
fn papers_that_come_twice_on_the_pages_of_a_day_do_not_stand_for_others() {
    let server = ArxivServer::start();
    server.set_day("cs.CL", "2026-11-25", (1..=7).map(paper).collect());
    server.set_page_size(3);
    server.fail("page=2", Fault::BeginsWith(1));
    let finished = list(&server, &["arxiv:cs.CL@2026-11-25"]);
    assert!(finished.stderr.contains("counts 7 entries, and 5 came"), "{}", finished.stderr);
    assert_eq!((finished.status, ids(&finished).len()), (2, 5));
}

/// New, and replaced on the same day: both stand on its pages.
#[test]
fn a_day_may_end_with_a_page_of_papers_that_came_before() {
    let server = ArxivServer::start();
    let again = Announced { version: 2, kind: Kind::Replace, ..paper(2) };
    server.set_day("cs.CL", "2026-11-25", (1..=3).map(paper).chain([again]).collect());
    server.set_page_size(3);
    let finished = list(&server, &["arxiv:cs.CL@2026-11-25"]);
    assert_eq!((finished.status, ids(&finished).len()), (0, 3), "{}", finished.stderr);
    assert!(!finished.stderr.contains("left out"), "{}", finished.stderr);
}

#[test]
fn a_page_of_another_day_is_not_taken_for_the_one_that_was_asked_for() {
    let server = ArxivServer::start();
    server.set_day("cs.CL", "2026-11-24", vec![paper(1)]);
    // A mirror that answers with the day before.
    let page = "<!DOCTYPE html><html><body><h1>Catchup results for Ponds on Tue, 24 Nov 2026</h1>\
        Total of 0 entries for Tue, 24 Nov 2026</body></html>";
    server.set_page("/catchup/cs.CL/2026-11-25", page);
    let finished = list(&server, &["arxiv:cs.CL@2026-11-25"]);
    let error = "error: arxiv:cs.CL@2026-11-25 was asked for, and the page is of 2026-11-24\n";
    assert!(finished.status == 1 && finished.stderr.starts_with(error), "{}", finished.stderr);
}

#[test]
fn a_list_of_an_archive_is_followed_by_its_tokens_and_deleted_records_are_counted() {
    let server = ArxivServer::start();
    let records = (1..=7)
        .map(|number| Announced { version: if number == 4 { 0 } else { number }, ..paper(number) });
    server.set_records("cs:cs:CL", records.collect());
    server.set_page_size(3);
    let source = "arxiv:oai:cs:cs:CL@2026-11-01..2026-11-07";
    let finished = list(&server, &[source]);
    assert_eq!((finished.status, ids(&finished).len()), (0, 6), "{}", finished.stderr);
    let first = "/oai?verb=ListRecords&metadataPrefix=arXivRaw&set=cs%3Acs%3ACL\
        &from=2026-11-01&until=2026-11-07";
    assert_eq!(
        server.paths(),
        [
            first,
            "/oai?verb=ListRecords&resumptionToken=cs%3Acs%3ACL%7C3",
            "/oai?verb=ListRecords&resumptionToken=cs%3Acs%3ACL%7C6",
        ]
    );
    // Its last answer counts one more.
    server.fail("7C6", Fault::CountsTooMany(1));
    let finished = list(&server, &[source]);
    assert_eq!(finished.status, 2);
    assert!(finished.stderr.contains("counts 8 records, and 7 came"), "{}", finished.stderr);
}

#[test]
fn a_list_whose_token_has_expired_can_be_asked_for_again() {
    let server = ArxivServer::start();
    let deleted = Announced { version: 0, ..paper(1) };
    server.set_page_size(1);
    for (papers, status) in [(vec![deleted, paper(2)], 75), (vec![paper(1), paper(2)], 2)] {
        server.set_records("cs:cs:CL", papers);
        server.fail("resumptionToken", Fault::Expired);
        let finished = list(&server, &["arxiv:oai:cs:cs:CL@2026-11-01..2026-11-07"]);
        let told =
            "is an error message of OAI-PMH: badResumptionToken: expired\n  hint: run again: ";
        assert_eq!(finished.status, status, "{}", finished.stderr);
        assert!(finished.stderr.contains(told), "{}", finished.stderr);
    }
}

#[test]
fn the_same_paper_in_two_categories_is_read_once() {
    let server = ArxivServer::start();
    server.set_feed("cs.CL", TODAY, vec![paper(1), paper(2)]);
    server.set_feed("cs.LG", TODAY, vec![Announced { kind: Kind::Cross, ..paper(2) }, paper(3)]);
    let finished = list(&server, &["arxiv:cs.CL+cs.LG"]);
    assert_eq!(ids(&finished), ["2699.00003", "2699.00002", "2699.00001"]);
    assert_eq!(server.paths(), ["/rss/cs.CL", "/rss/cs.LG"]);
}
