//! The cards that are compiled in agree with each other and with the files that they name.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use wenzhai::card::{self, Source};
use wenzhai::shortlist::Shortlist;

use super::sha256;

#[test]
fn cards_are_found_by_unique_names_and_the_default_is_first() {
    let names = card::all().iter().map(|card| card.name.as_str());
    let aliases = card::all().iter().filter_map(|card| card.alias.as_deref());
    let all: Vec<&str> = names.clone().chain(aliases.clone()).collect();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    assert_eq!(aliases.collect::<Vec<_>>(), [card::DEFAULT, card::SMALL]);
    for name in names {
        assert_eq!(card::find(name).map(|card| card.name.as_str()), Some(name));
    }
    let alias = |name: &str| card::find(name).and_then(|card| card.alias.as_deref());
    assert_eq!(alias(card::DEFAULT), Some(card::DEFAULT));
    assert_eq!(alias("gemma3-270m-zh"), Some(card::SMALL));
    assert!(card::find("no such model").is_none());
}

#[test]
fn every_card_file_is_compiled_in() {
    let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/models")).expect("models/");
    let names = files.flatten().map(|file| file.file_name().into_string().expect("UTF-8"));
    let cards: Vec<String> = names.filter(|name| name.ends_with(".toml")).collect();
    assert_eq!(cards.len(), card::all().len(), "{cards:?}");
    for name in cards {
        assert!(
            card::find(name.trim_end_matches(".toml")).is_some(),
            "{name} names itself otherwise"
        );
    }
}

#[test]
fn adapters_are_the_ones_that_the_cards_mean() {
    for adapter in card::all().iter().filter_map(|card| card.adapter.as_ref()) {
        assert_eq!(adapter.data().len() as u64, adapter.bytes, "{}", adapter.name);
        assert_eq!(sha256(adapter.data()), adapter.sha256, "{}", adapter.name);
    }
    let adapters = [card::DEFAULT, card::SMALL].map(|name| card::find(name)?.adapter.as_ref());
    let bytes: u64 = adapters.iter().map(|adapter| adapter.expect("an adapter").bytes).sum();
    assert!(bytes <= 40_000_000, "{bytes} bytes are compiled in");
}

#[test]
fn shortlists_are_the_ones_that_the_cards_mean() {
    for list in card::all().iter().filter_map(|card| card.shortlist.as_ref()) {
        assert_eq!(list.data().len() as u64, list.bytes, "{}", list.name);
        assert_eq!(sha256(list.data()), list.sha256, "{}", list.name);
        let list = Shortlist::decode(list.data()).expect("a shortlist");
        assert!((10_000..32_000).contains(&list.ids().len()), "{}", list.ids().len());
    }
    assert!(card::find(card::DEFAULT).is_some_and(|card| card.shortlist.is_some()));
}

#[test]
fn gemma_cards_carry_the_notice_and_the_terms() {
    for card in card::all().iter().filter(|card| card.licence.contains("Gemma")) {
        let notice = card.notice_text().unwrap_or_default();
        for sentence in [
            "Gemma is provided under and subject to the Gemma Terms of Use found at \
             ai.google.dev/gemma/terms",
            "Section 3: DISTRIBUTION AND RESTRICTIONS",
        ] {
            assert!(notice.contains(sentence), "{}: {sentence}", card.name);
        }
    }
}

#[test]
fn wheels_are_pinned_to_a_version() {
    for card in card::all() {
        for source in &card.sources {
            let Source::Pypi { parts } = source else { continue };
            for part in parts {
                assert!(!part.version.is_empty() && !part.package.starts_with('-'), "{part:?}");
            }
        }
    }
}

/// Files are known by their SHA-256 whatever the revision. A commit besides keeps a card working
/// when a branch gets another file.
#[test]
fn hub_sources_are_pinned_to_a_commit_except_where_the_package_index_is_asked_first() {
    for card in card::all() {
        let pinned = |source: &Source| match source {
            Source::Hub(file) => {
                file.revision.len() == 40 && file.revision.bytes().all(|b| b.is_ascii_hexdigit())
            }
            Source::Pypi { .. } => true,
        };
        let index_first = matches!(card.sources[0], Source::Pypi { .. });
        assert!(index_first || card.sources.iter().all(pinned), "{}", card.name);
    }
}

#[test]
fn prompts_that_cards_name_exist() {
    let prompts = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/prompts"));
    if !prompts.is_dir() {
        crate::support::skipped("there is no prompts/");
        return;
    }
    let files = fs::read_dir(prompts).expect("prompts/").flatten();
    let files: Vec<String> =
        files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    for name in card::all().iter().filter_map(|card| card.prompt.as_deref()) {
        let begins = |file: &String| {
            file.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        assert!(files.iter().any(begins), "no {name} among {files:?}");
    }
}
