//! Cards, and fetching against a hub on the loopback interface and a pip that is a script.

mod cards;
mod hub;
mod leftovers;
mod network;
#[cfg(unix)]
mod pip;
mod server;
mod unknown;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use wenzhai::card::Card;
use wenzhai::fetch::{Cache, ModelRef, Origins, Progress, ensure_from};
use wenzhai::http::Limits;

/// Bytes that do not repeat at any power of two, so that a piece in the wrong place shows. They begin
/// as every model does.
fn content(bytes: usize) -> Vec<u8> {
    let rest = (4..bytes).map(|i| (i % 251) as u8 ^ (i / 251 % 241) as u8);
    b"GGUF".iter().copied().chain(rest).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A card for a file that is `wanted`, from `sources` (TOML).
fn card_for(wanted: &[u8], sources: &str) -> &'static Card {
    card_of(wanted.len() as u64, wanted, sources)
}

/// The same for a file that is said to have so many bytes.
fn card_of(bytes: u64, wanted: &[u8], sources: &str) -> &'static Card {
    let text = format!(
        r#"
        name = "test"
        description = "made up"
        family = "llama"
        parameters = "none"
        licence = "none"
        context_tokens = 1
        file = {{ name = "m.gguf", bytes = {bytes}, sha256 = "{}" }}
        {sources}
        "#,
        sha256(wanted)
    );
    Box::leak(Box::new(Card::from_toml(&text).expect("test card")))
}

/// A machine with nothing on it: an empty cache, no Python, no hub.
fn nothing() -> (tempfile::TempDir, Cache, Origins) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let cache = Cache::new(folder.path().join("cache"));
    let origins = Origins {
        python: Some(folder.path().join("no-python")),
        hub_endpoint: "http://127.0.0.1:9".into(),
        limits: quick(),
        ..Origins::default()
    };
    (folder, cache, origins)
}

/// Tests do not pause for seconds.
fn quick() -> Limits {
    let (connect, pause) = (Duration::from_secs(5), Duration::from_millis(10));
    Limits { connect, pause, ..Limits::default() }
}

#[test]
fn a_disk_that_is_too_small_is_told_before_anything_is_fetched() {
    let source = r#"source = [{ kind = "hub", repo = "o/r", revision = "main", file = "m.gguf" }]"#;
    let card = card_of(1 << 60, &content(10), source);
    let (folder, cache, origins) = nothing();
    let mut told = Recorder::default();
    let error = ensure_from(&ModelRef::Card(card), &cache, &origins, &mut told).unwrap_err();
    let message = error.to_string();
    let begin = "m.gguf takes 1099511627776 MiB of disk while it is fetched, and ";
    assert!(message.starts_with(begin) && message.ends_with(" MiB free"), "{message}");
    let hint = error.hint_text().unwrap_or_default();
    assert!(hint.contains("WENZHAI_HOME; or take --model small, which takes 483 MiB"), "{hint}");
    assert!(told.begun.is_empty() && files_called("m.gguf", folder.path()).is_empty());
}

/// Every file under `folder` called `name`.
fn files_called(name: &str, folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files_called(name, &path),
            false => vec![path],
        })
        .filter(|path| path.ends_with(name))
        .collect()
}

/// Remembers what it is told.
#[derive(Default)]
struct Recorder {
    begun: Vec<String>,
    bytes: u64,
    notes: Vec<String>,
}

impl Progress for Recorder {
    fn begin(&mut self, what: &str, _total_bytes: Option<u64>) {
        self.begun.push(what.to_owned());
    }

    fn advance(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    fn finish(&mut self) {}

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }
}
