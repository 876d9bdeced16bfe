//! Arbitrary text as the chat template of a model: it says the turns of a chat or is refused, in
//! bounded time and memory, and what it says contains no paper's text in a place of its own.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use wenzhai::generate::{TokenId, TokenSet};
use wenzhai::paper::Paper;
use wenzhai::prompt::{ChatTemplate, Codec, Encoding, Template};

/// A token a character.
struct Characters<'a>(&'a str);

impl Encoding for Characters<'_> {
    fn encode(&self, text: &str) -> Vec<TokenId> {
        text.chars().map(|c| c as TokenId).collect()
    }
    fn control(&self, _: &str) -> Option<TokenId> {
        None
    }
    fn decode(&self, tokens: &[TokenId]) -> String {
        tokens.iter().filter_map(|token| char::from_u32(*token)).collect()
    }
    fn beginning(&self) -> Option<TokenId> {
        None
    }
    fn line_ends(&self) -> TokenSet {
        TokenSet::default()
    }
    fn chat_template(&self) -> Option<ChatTemplate<'_>> {
        Some(ChatTemplate { source: self.0, beginning: "<s>", end: "</s>" })
    }
}

/// Reading it takes a thread and some milliseconds.
static TEMPLATE: LazyLock<Template> =
    LazyLock::new(|| Template::built_in("chat").expect("it is built in"));

fuzz_target!(|source: &str| {
    let encoding = Characters(source);
    let Ok(codec) = Codec::new(&TEMPLATE, &encoding, 1 << 16) else { return };
    let paper = Paper {
        plain_title: "On sheep".into(),
        plain_abstract: "We count {{ sheep }}.".into(),
        ..Paper::default()
    };
    let prompt = codec.prompt(&paper).expect("a short paper fits");
    let text = encoding.decode(&prompt.tokens);
    assert_eq!(text.matches("We count {{ sheep }}.").count(), 1);
});
