//! The catch-up page and OAI-PMH as files, compared with what a person counts in them.

use proptest::prelude::*;
use wenzhai::Result;
use wenzhai::feed::{self, Event, FeedReport, Format};
use wenzhai::paper::{Announce, Paper};

#[derive(Default)]
struct Found {
    papers: Vec<Paper>,
    malformed: Vec<String>,
    more: Vec<String>,
    lost: u64,
    deleted: u64,
}

fn read(bytes: &[u8]) -> Result<(FeedReport, Found)> {
    let mut found = Found::default();
    let report = feed::read_from("in", bytes, &mut |event| {
        match event {
            Event::Item(item) => found.papers.push(item.paper),
            // Pieces of a text may begin in the midst of a letter.
            Event::Malformed { lost: 0, .. } => {}
            Event::Malformed { what, lost } => {
                found.malformed.push(what.to_string());
                found.lost += lost;
            }
            Event::More(what) => found.more.push(what.to_string()),
            Event::Deleted => found.deleted += 1,
            Event::Fetching(text) => panic!("{text}"),
        }
        Ok(())
    })?;
    Ok((report, found))
}

fn fixture(name: &str) -> String {
    let path = format!("{}/tests/fixtures/feed/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_page_of_a_day_has_the_six_papers_that_a_person_counts_on_it() {
    let (report, found) = read(fixture("catchup.html").as_bytes()).unwrap();
    assert_eq!((report.format, report.items, report.malformed), (Format::CatchUp, 6, 0));
    assert_eq!(report.day.unwrap().to_string(), "2026-11-25");
    assert!(found.malformed.is_empty() && found.more.is_empty(), "{:?}", found.malformed);
    let announced: Vec<_> = found.papers.iter().map(|paper| paper.announce.unwrap()).collect();
    let [new, cross, replace] = [Announce::New, Announce::Cross, Announce::Replace];
    assert_eq!(announced, [new, new, cross, replace, replace, replace]);

    let first = &found.papers[0];
    assert_eq!(first.title, "Herons & Their Reflections: A Study of $n < 3$ Ponds");
    assert_eq!(
        first.plain_abstract,
        "We count herons and their reflections. The second part is a proof that $a<b$, at \
         https://example.org/proof."
    );
    assert_eq!(first.authors, ["Ida Moor", "Jö Reed"]);
    assert_eq!(first.categories, ["cs.CL", "q-bio.PE"]);
    assert_eq!(first.comment, "12 pages, see https://example.org/herons");
    assert_eq!(first.link, "https://arxiv.org/abs/2699.00301");
    assert_eq!((first.version, found.papers[3].version), (Some(1), None));
    assert_eq!(first.published.unwrap().to_string(), "2026-11-25");
    assert_eq!(found.papers[4].id.as_ref().unwrap().as_str(), "math.GT/9901002");
}

#[test]
fn counts_that_disagree_with_the_page_are_a_loss() {
    let page = fixture("catchup.html");
    let more = page.replace("showing 3 of 3", "showing 5 of 5");
    let (report, found) = read(more.as_bytes()).unwrap();
    assert_eq!((report.items, report.missing, found.lost), (6, 2, 2));
    assert_eq!(found.malformed, ["in: counts 8 entries and holds 6"]);
    // One entry's heading is all that is left of it.
    let from = page.find("<div class='meta'>").unwrap();
    let to = page[from..].find("</dd>").unwrap() + from;
    let (report, found) = read(format!("{}{}", &page[..from], &page[to..]).as_bytes()).unwrap();
    assert_eq!((report.items, report.malformed), (5, 1));
    assert!(found.malformed[0].starts_with("in, item 1: 2699.00301 has no abstract"));
}

#[test]
fn one_of_several_pages_of_a_day_says_so() {
    let page = fixture("catchup.html")
        .replace("Total of 6 entries", "Total of 2,006 entries")
        .replace("showing 3 of 3", "continued, showing last 3 of 2003");
    let (report, found) = read(page.as_bytes()).unwrap();
    assert_eq!((report.items, report.missing), (6, 0));
    assert!(found.more[0].contains("holds 6 of 2,006 entries of its day"), "{:?}", found.more);
}

#[test]
fn a_page_that_is_cut_is_told_wherever_it_is_cut() {
    let page = fixture("catchup.html");
    let begin = page.find("</dl>").unwrap();
    for end in (begin..page.find("</body>").unwrap()).step_by(97) {
        let (report, _) = read(&page.as_bytes()[..end]).unwrap();
        assert!(report.cut_short, "cut at {end}");
        assert!((2..=6).contains(&report.items), "{} papers, cut at {end}", report.items);
    }
}

#[test]
fn a_holiday_is_an_empty_page_and_no_error() {
    let page = "<!DOCTYPE html><html><body><h1>Catchup results for Ponds on Thu, 26 Nov 2026</h1>
        <div>Total of 0 entries for Thu, 26 Nov 2026</div><p>No updates for Thu, 26 Nov 2026. There
        was either no announcement for this day, or no updates.</p></body></html>";
    let (report, _) = read(page.as_bytes()).unwrap();
    assert!(report.well_formed_empty && !report.cut_short);
    assert_eq!(report.day.unwrap().to_string(), "2026-11-26");
}

#[test]
fn other_web_pages_are_no_feeds() {
    for page in ["<!DOCTYPE html><html><p>Sign in</p>", "\n<HTML>\n<dl><dt><dd>x</dl></html>"] {
        let error = read(page.as_bytes()).err().unwrap();
        assert!(error.to_string().starts_with("in is a web page, and no catch-up page"), "{error}");
        assert!(error.hint_text().unwrap().contains("arxiv:cs.CL"));
    }
}

#[test]
fn the_tenth_version_is_newer_than_the_second() {
    let (report, found) = read(fixture("oai-raw.xml").as_bytes()).unwrap();
    assert_eq!((report.format, report.items, report.malformed), (Format::Oai, 1, 1));
    assert_eq!(found.deleted, 1);
    assert!(found.malformed[0].contains("2699.00403 has no metadata in the formats"));
    assert!(found.more[0].contains("holds 3 records of 5"), "{:?}", found.more);
    let paper = &found.papers[0];
    assert_eq!((paper.version, paper.title.as_str()), (Some(10), "Ten Versions of One Pond"));
    assert_eq!(paper.authors, ["Ida Moor", "Jo Reed", "Bo Ek"]);
    assert_eq!(paper.plain_abstract, "We look at a pond ten times & find $a<b$.");
    let days = [paper.published, paper.updated].map(|day| day.unwrap().to_string());
    assert_eq!(days, ["2026-11-02", "2026-11-24"]);
}

#[test]
fn names_of_authors_that_come_in_parts_are_put_together() {
    let (report, found) = read(fixture("oai.xml").as_bytes()).unwrap();
    assert_eq!((report.items, report.malformed, found.deleted), (1, 0, 1));
    assert!(found.more.is_empty());
    let paper = &found.papers[0];
    assert_eq!(paper.authors, ["Ida Moor Jr.", "Reed"]);
    assert_eq!(paper.id.as_ref().unwrap().as_str(), "math.GT/9901003");
    assert_eq!(paper.categories, ["math.GT", "math.AT"]);
    assert_eq!(paper.comment, "in French");
}

#[test]
fn what_oai_pmh_says_to_be_wrong_is_handed_on_and_nothing_found_is_no_error() {
    let answer = |code: &str| {
        format!("<OAI-PMH><error code=\"{code}\">The from date is no date</error></OAI-PMH>")
    };
    let error = read(answer("badArgument").as_bytes()).err().unwrap();
    let message = "in is an error message of OAI-PMH: badArgument: The from date is no date";
    assert_eq!(error.to_string(), message);
    let (report, _) = read(answer("noRecordsMatch").as_bytes()).unwrap();
    assert!(report.well_formed_empty);
}

proptest! {
    /// Pages of anyone's making: whatever they hold, it is read or told, and counted.
    #[test]
    fn mangled_pages_and_records_are_read_or_told(
        pieces in prop::collection::vec((0usize..1000, 0usize..300), 1..12),
        is_page in any::<bool>(),
    ) {
        let (whole, start) = match is_page {
            true => (fixture("catchup.html"), "<html><h1>Catchup results for X on "),
            false => (fixture("oai-raw.xml"), "<OAI-PMH><ListRecords>"),
        };
        let bytes = whole.as_bytes();
        let mut mangled = start.as_bytes().to_vec();
        for (from, length) in pieces {
            let from = from * bytes.len() / 1000;
            mangled.extend_from_slice(&bytes[from..(from + length * 4).min(bytes.len())]);
        }
        if let Ok((report, found)) = read(&mangled) {
            prop_assert_eq!(report.items, found.papers.len() as u64);
            prop_assert_eq!(report.malformed, found.lost);
            for paper in &found.papers {
                prop_assert!(!paper.plain_title.is_empty());
            }
        }
    }
}
