//! Answers of the API: what they say of themselves, against what they hold.

use super::*;

/// An answer that counts `total` results and holds `held` of them, from number `start` on.
fn answer(total: u32, start: u32, held: u32) -> String {
    let entry = |number: u32| {
        format!(
            "<entry><id>http://arxiv.org/abs/2699.{number:05}v1</id><title>T</title>\
             <summary>A</summary></entry>"
        )
    };
    let entries: String = (start..start + held).map(entry).collect();
    format!(
        "<feed xmlns='http://www.w3.org/2005/Atom' xmlns:o='http://a9.com/-/spec/opensearch/1.1/'>\
         <o:totalResults>{total}</o:totalResults><o:startIndex>{start}</o:startIndex>\
         <o:itemsPerPage>10</o:itemsPerPage>{entries}</feed>"
    )
}

#[test]
fn an_answer_that_counts_results_and_holds_none_is_an_error() {
    let result = read_bytes(answer(1200, 0, 0));
    let error = check_error(result, ErrorKind::Input, &["counts 1,200 results and holds none"]);
    assert!(error.hint_text().is_some_and(|hint| hint.contains("again")));
    check_error(read_bytes(answer(1200, 1199, 0)), ErrorKind::Input, &["1,200"]);
    for (total, start) in [(0, 0), (1200, 1200), (1200, 5000)] {
        let outcome = read_bytes(answer(total, start, 0)).expect("an empty answer");
        assert!(outcome.report().well_formed_empty, "{total} from {start} on");
    }
}

#[test]
fn a_page_says_that_there_are_others() {
    let outcome = read_bytes(answer(1200, 20, 10)).expect("ten papers");
    assert_eq!(outcome.more.len(), 1);
    let page = outcome.more[0].to_string();
    assert_eq!(page, "in: holds 10 of 1,200 results; further pages begin at start=30");
    assert_eq!((outcome.report().items, outcome.report().malformed), (10, 0));
    for (total, start, held) in [(10, 0, 10), (30, 20, 10), (3, 0, 10)] {
        let outcome = read_bytes(answer(total, start, held)).expect("papers");
        assert!(outcome.more.is_empty(), "{:?}", outcome.more);
    }
}

#[test]
fn an_answer_that_breaks_off_is_told_as_that_alone() {
    let whole = answer(1200, 0, 10);
    let outcome = read_bytes(&whole[..whole.len() - 20]).expect("nine papers");
    assert!(outcome.report().cut_short && outcome.more.is_empty());
}

#[test]
fn entries_that_cannot_be_read_are_held_all_the_same() {
    let bad = answer(2, 0, 2).replacen("<title>T</title>", "", 1);
    let outcome = read_bytes(bad).expect("one paper");
    assert_eq!((outcome.items.len(), outcome.malformed.len(), outcome.more.len()), (1, 1, 0));
}
