//! Which version of a paper stands, and summaries of older ones.

use wenzhai::paper::Paper;
use wenzhai::record::UNKNOWN_VERSION;
use wenzhai::store::{Offered, Store};

use super::{finish_all, identity, paper, records};

#[test]
fn a_new_version_is_listed_with_an_older_summary_though_its_number_is_not_known() {
    let mut store = Store::in_memory().unwrap();
    let mut run = store.begin(&identity(), false).unwrap();
    run.offer(&paper(1, 1)).unwrap();
    finish_all(&mut run);
    drop(run);
    for version in [Some(2), None] {
        let mut run = store.begin(&identity(), false).unwrap();
        let plain_abstract = "We count more sheep.".into();
        let replacement = Paper { version, plain_abstract, ..paper(1, 2) };
        assert_eq!(run.list_replacement(&replacement).unwrap(), Offered::New, "{version:?}");
        assert_eq!(records(&run)[0].summarised_version, Some(1));
        let unknown = Paper { version, ..paper(2, 2) };
        assert_eq!(run.list_replacement(&unknown).unwrap(), Offered::Duplicate, "{version:?}");
    }
}

/// Pages of arXiv's days tell no versions but of new papers; the day of a replacement does.
#[test]
fn a_replacement_without_a_version_takes_the_place_of_what_came_before() {
    use wenzhai::paper::Announce::{Cross, New, Replace};
    let on = |day: &str, version, announce, text: &str| Paper {
        version,
        announce: Some(announce),
        published: Some(day.parse().unwrap()),
        plain_abstract: text.into(),
        ..paper(1, 1)
    };
    let new = on("2026-11-23", Some(1), New, "new");
    let replaced = on("2026-11-26", None, Replace, "replaced");
    let crossed = on("2026-11-24", None, Cross, "crossed");
    let numbered = on("2026-11-26", Some(2), Replace, "numbered");
    for (papers, expected) in [
        ([&new, &replaced], "replaced"),
        ([&replaced, &new], "replaced"),
        ([&new, &crossed], "new"),
        ([&crossed, &replaced], "replaced"),
        ([&replaced, &crossed], "replaced"),
        ([&numbered, &replaced], "numbered"),
        ([&replaced, &numbered], "numbered"),
    ] {
        let mut store = Store::in_memory().unwrap();
        let mut run = store.begin(&identity(), false).unwrap();
        for paper in papers {
            run.offer(paper).unwrap();
        }
        let pending = run.next(9).unwrap();
        assert_eq!(pending.len(), 1);
        assert_eq!(pending[0].paper.plain_abstract, expected);
        assert_eq!(run.account().unwrap().duplicates, 1);
    }
}

/// A run that was killed, or is repeated, ends in the digest of the first: a new version that is not written
/// about takes nothing from a paper of the same run, whether that has its summary yet or not.
#[test]
fn a_new_version_beside_the_paper_itself_changes_nothing_whenever_it_is_read() {
    for replacement_first in [false, true] {
        let mut store = Store::in_memory().unwrap();
        for (redo, summarised) in [(false, 1), (false, 0), (true, 1)] {
            let mut run = store.begin(&identity(), redo).unwrap();
            let replacement = Paper { plain_abstract: "We count more.".into(), ..paper(1, 2) };
            if replacement_first {
                run.list_replacement(&replacement).unwrap();
                run.offer(&paper(1, 1)).unwrap();
            } else {
                run.offer(&paper(1, 1)).unwrap();
                run.list_replacement(&replacement).unwrap();
            }
            finish_all(&mut run);
            let account = run.account().unwrap();
            assert_eq!((account.read, account.summarised), (2, summarised), "{redo}");
            let records = records(&run);
            assert_eq!((records.len(), records[0].version), (1, Some(1)));
            assert_eq!(records[0].summarised_version, None);
        }
    }
}

#[test]
fn a_summary_of_an_unknown_version_is_an_older_one() {
    let mut store = Store::in_memory().unwrap();
    let mut run = store.begin(&identity(), false).unwrap();
    run.offer(&Paper { version: None, ..paper(1, 1) }).unwrap();
    finish_all(&mut run);
    drop(run);
    let mut run = store.begin(&identity(), false).unwrap();
    let plain_abstract = "We count more sheep.".into();
    let replacement = Paper { plain_abstract, ..paper(1, 2) };
    assert_eq!(run.list_replacement(&replacement).unwrap(), Offered::New);
    assert_eq!(records(&run)[0].summarised_version, Some(UNKNOWN_VERSION));
}
