//! Arbitrary bytes as the library of a reader: it is refused, or papers are ranked by it, each once
//! and by a score that is a number.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use wenzhai::paper::{Paper, PaperId};
use wenzhai::select::{Library, MAX_LIKED, rank};

/// A file of this process, in memory where the system has a folder for that.
static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("wenzhai-fuzz-{}.bib", std::process::id()))
});

static PAPERS: LazyLock<Vec<Paper>> = LazyLock::new(|| {
    let paper = |number: u32, title: &str, text: &str| Paper {
        id: Some(PaperId::parse(&format!("2699.{number:05}")).expect("an id").0),
        plain_title: title.to_owned(),
        plain_abstract: text.to_owned(),
        ..Paper::default()
    };
    vec![
        paper(1, "Counting sheep", "We count sheep in a meadow at night."),
        paper(2, "Goats on cliffs", "Goats climb; we measure how high."),
        paper(3, "数羊", "草地上有多少羊？"),
    ]
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*PATH, bytes).expect("room for a small file");
    let mut library = Library::default();
    if library.add(&PATH).is_err() {
        assert!(library.is_empty());
        return;
    }
    assert!((1..=MAX_LIKED).contains(&library.len()));
    let ranks = rank(&PAPERS, &library);
    let mut places: Vec<usize> = ranks.iter().map(|rank| rank.paper).collect();
    places.sort_unstable();
    assert!(places.is_empty() || places == [0, 1, 2]);
    assert!(ranks.iter().all(|rank| rank.score.is_finite() && rank.score >= 0.0));
    assert!(ranks.is_sorted_by(|a, b| a.score >= b.score));
});
