//! Arbitrary bytes as an adapter of a tiny model: it is merged or refused, and never panics.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use wenzhai::model::{Adapter, Model};

/// The tiny model, in a file of this process.
static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("wenzhai-fuzz-{}.gguf", std::process::id()));
    std::fs::write(&path, include_bytes!("../seeds/gguf/llama.gguf")).expect("room for a file");
    path
});

fuzz_target!(|bytes: &[u8]| {
    let _ = Model::load(&PATH, Some(Adapter { name: "fuzz", bytes }));
});
