//! Arbitrary bytes as a GGUF file, from header to tokenizer and weights: loading never panics, and
//! takes no more memory than the file explains. What loads can be computed and written again.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use wenzhai::engine::plain::PlainDecoder;
use wenzhai::model::Model;

/// A file of this process, in memory where the system has a folder for that.
static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("wenzhai-fuzz-{}.gguf", std::process::id()))
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*PATH, bytes).expect("room for a small file");
    let Ok(model) = Model::load(&PATH, None) else { return };
    let tokens = model.tokenizer().encode("Title: the sheep\n标题：");
    let tokens = &tokens[..tokens.len().min(4)];
    let decoder = PlainDecoder::new(&model).expect("loaded weights can be expanded");
    let logits = decoder.logits(tokens);
    assert_eq!(logits.len(), tokens.len());
    let copy = PATH.with_extension("copy");
    model.export(&copy, false).expect("a loaded model can be written");
    let again = Model::load(&copy, None).expect("what was written can be loaded");
    assert_eq!(again.config(), model.config());
});
