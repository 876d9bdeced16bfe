//! Arbitrary text as what is named in an argument: sources, terms, shards, announcements, ids. Each
//! is refused with a hint or means something, and what it is called afterwards means the same.
//!
//! Days are held against today's, so that `WENZHAI_ARXIV_TODAY=2026-11-26` repeats a run.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use wenzhai::error::Error;
use wenzhai::feed::{Source, arxiv::Service, expand};
use wenzhai::fetch;
use wenzhai::paper::{Paper, PaperId};
use wenzhai::select::{Announcements, Shard, Term};
use wenzhai::summary::Summary;

static SERVICE: LazyLock<Arc<Service>> =
    LazyLock::new(|| Arc::new(Service::from_env().expect("nothing odd in the environment")));

static PAPER: LazyLock<Paper> = LazyLock::new(|| Paper {
    plain_title: "Counting sheep".to_owned(),
    plain_abstract: "We count sheep, 一只羊 after the other, with RAG.".to_owned(),
    authors: vec!["Ada Shepherd".to_owned()],
    categories: vec!["cs.CL".to_owned(), "math".to_owned()],
    ..Paper::default()
});

static SUMMARY: LazyLock<Summary> =
    LazyLock::new(|| Summary { zh_tldr: "一只羊，RAG".to_owned(), ..Summary::default() });

fn source(text: &str) -> Option<Source> {
    match Source::parse_with(text, || Ok(Arc::clone(&SERVICE))) {
        Ok(source) => Some(source),
        Err(error) => refused(&error),
    }
}

/// Whoever mistypes a name is told how to write it.
fn refused<T>(error: &Error) -> Option<T> {
    assert!(error.hint_text().is_some(), "{error}");
    None
}

fuzz_target!(|text: &str| {
    for name in [text.to_owned(), format!("arxiv:{text}")] {
        let Some(read @ Source::Arxiv(_)) = source(&name) else { continue };
        let all = expand(vec![read.clone()]).expect("names need no folder");
        assert!(!all.is_empty());
        for one in all.into_iter().chain([read]) {
            assert_eq!(source(&one.to_string()), Some(one));
        }
    }
    if let Ok(shard) = text.parse::<Shard>().map_err(|error| refused::<()>(&error)) {
        assert_eq!(shard.to_string().parse::<Shard>().ok(), Some(shard));
        shard.has(&PAPER);
    }
    if let Ok(term) = text.parse::<Term>().map_err(|error| refused::<()>(&error)) {
        term.is_in(&PAPER, None);
        term.is_in(&PAPER, Some(&SUMMARY));
    }
    let _ = text.parse::<Announcements>().map_err(|error| refused::<()>(&error));
    if let Some((id, version)) = PaperId::parse(text) {
        let name = version.map_or(id.to_string(), |version| format!("{id}v{version}"));
        assert_eq!(PaperId::parse(&name), Some((id.clone(), version)));
        assert_eq!(PaperId::parse(&id.link()), Some((id, None)));
    }
    let _ = fetch::resolve(&format!("hf:{text}"));
});
