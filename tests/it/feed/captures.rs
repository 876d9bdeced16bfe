//! Captures of the real feeds, which are not part of the project.

use super::*;

/// Reads a capture; `None`, said aloud, where it is not there.
fn read_capture(name: &str, format: Format, items: usize) -> Option<Outcome> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")).join(name);
    if !path.exists() {
        crate::support::skipped(format_args!("{} is not there", path.display()));
        return None;
    }
    let outcome = read_source(&Source::Path(path)).expect(name);
    assert_eq!((outcome.report().format, outcome.items.len()), (format, items), "{name}");
    assert!(outcome.malformed.is_empty() && outcome.mended.is_empty(), "{outcome:?}");
    Some(outcome)
}

#[test]
fn rdf_of_2018() {
    let Some(outcome) = read_capture("feeds/rdf-2018-hep-ex.xml", Format::Rdf, 3) else {
        return;
    };
    let papers = outcome.papers();
    check_id(papers[0], Some("1805.08875"), Some(1), "http://arxiv.org/abs/1805.08875");
    assert_eq!(papers[0].plain_title, "Measurement of Transverse Single Spin Asymmetries");
    assert!(papers[0].plain_abstract.contains("range of $2.6<\\eta<4$. Within this"));
    assert!(papers[0].plain_abstract.starts_with("In 2015 the first"));
    assert!(papers[0].plain_abstract.ends_with("in $p+A$ production."));
    assert_eq!(papers[0].authors, ["Christopher Dilks"]);
    let kinds = [Announce::New, Announce::Cross, Announce::Replace].map(Some);
    assert_eq!(papers.iter().map(|paper| paper.announce).collect::<Vec<_>>(), kinds);
    assert_eq!((papers[2].version, papers[2].categories[0].as_str()), (Some(2), "nucl-th"));
    assert_eq!(papers[2].authors.len(), 6);
    assert_eq!(papers[2].authors[4], "Craig D. Roberts");
}

#[test]
fn atom_of_2025() {
    let Some(outcome) = read_capture("feeds/atom-2025-cs.AI.xml", Format::Atom, 7) else {
        return;
    };
    let paper = outcome.papers()[0];
    check_id(paper, Some("2508.13426"), Some(1), "https://arxiv.org/abs/2508.13426");
    assert_eq!(paper.announce, Some(Announce::Cross));
    assert_eq!(paper.categories, ["cs.CL", "cs.AI"]);
    assert_eq!(paper.authors, ["Chunhua Liu", "Kabir Manandhar Shrestha", "Sukai Huang"]);
    assert!(paper.abstract_text.starts_with(
        "arXiv:2508.13426v1 Announce Type: cross  Abstract: As large language models (LLMs)"
    ));
    assert!(paper.plain_abstract.starts_with("As large language models (LLMs)"));
}

#[test]
fn api_answers() {
    if let Some(outcome) = read_capture("feeds/api-id_1605.08386.xml", Format::ApiAtom, 1) {
        let paper = outcome.papers()[0];
        check_id(paper, Some("1605.08386"), Some(1), "https://arxiv.org/abs/1605.08386v1");
        assert_eq!(paper.authors, ["Caprice Stanley", "Tobias Windisch"]);
        assert_eq!(paper.categories, ["math.CO", "math.ST"]);
    }
    let old = read_capture("feeds/api-id_astro-ph_0601001.xml", Format::ApiAtom, 1);
    if let Some(outcome) = old {
        let paper = outcome.papers()[0];
        let link = "https://arxiv.org/abs/astro-ph/0601001v1";
        check_id(paper, Some("astro-ph/0601001"), Some(1), link);
        assert!(paper.plain_abstract.contains("Gould & Morgan (2003)"));
        assert!(paper.plain_abstract.contains("V_max<17.5"));
        assert_eq!(paper.authors.last().map(String::as_str), Some("Andrzej Udalski"));
    }
    let query = read_capture("feeds/api-q_testing-m10.xml", Format::ApiAtom, 10);
    if let Some(outcome) = query {
        assert!(outcome.papers().iter().all(|paper| paper.id.is_some()));
    }
}

#[test]
fn a_whole_day() {
    let Some(outcome) = read_capture("feeds/day-2026-06-29.jsonl", Format::Daily, 230) else {
        return;
    };
    let papers = outcome.papers();
    check_id(papers[0], Some("2606.27531"), None, "https://arxiv.org/abs/2606.27531");
    assert_eq!(papers[0].authors.len(), 5);
    assert!(papers.iter().all(|p| p.id.is_some() && !p.categories.is_empty()));
}

#[test]
fn records_of_the_seed_come_back_as_they_are() {
    let Some(outcome) = read_capture("seed/records.jsonl", Format::Records, 4) else { return };
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/seed/records.jsonl");
    let lines = std::fs::read_to_string(path).expect("the seed");
    for (item, line) in outcome.items.iter().zip(lines.lines()) {
        let record: wenzhai::record::Record = serde_json::from_str(line).expect("a record");
        let paper = &item.paper;
        let found = [&paper.title, &paper.abstract_text, &paper.link];
        assert_eq!(found, [&record.title, &record.abstract_text, &record.link]);
        let summary = &item.written.as_ref().expect("a summary").summary;
        assert_eq!(summary.zh_abstract, record.zh_abstract);
        assert!(!paper.plain_abstract.contains("Announce Type"));
        assert!(!paper.plain_title.contains("arXiv:") && !paper.plain_title.ends_with('.'));
    }
    assert_eq!(outcome.papers()[1].version, Some(2));
}
