//! What several areas need.

mod arxiv_answers;
pub mod arxiv_server;
pub mod chromium;
pub mod logits;
pub mod networks;
pub mod noise;
pub mod place;
pub mod raw_gguf;
pub mod scribe;
pub mod tiny;
pub mod whole_texts;

use std::io::Write;

/// Says that the test that calls it does not run, and why. `eprintln!` would not do: what it writes of
/// a test that passes, `cargo test` keeps to itself.
pub fn skipped(why: impl std::fmt::Display) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    let line = format!("skipped: {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
