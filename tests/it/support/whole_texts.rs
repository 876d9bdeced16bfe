//! The reference for beams: an engine that knows nothing of slots.

use std::cell::RefCell;

use wenzhai::engine::scripted::ScriptedEngine;
use wenzhai::generate::{TokenId, likeliest};

/// An engine that reads a whole text anew for each of its tokens: `logits` of the text follow it, of which those
/// tokens are scored that `may`.
pub fn whole_texts(
    logits: impl FnMut(&[TokenId]) -> Vec<f32> + 'static,
    may: impl Fn(&[TokenId], TokenId) -> bool + 'static,
) -> ScriptedEngine<impl FnMut(&[TokenId]) -> TokenId> {
    let logits = RefCell::new(logits);
    ScriptedEngine::new(|_: &[TokenId]| unreachable!("beams alone are written")).with_scores(
        move |text| {
            let all = (0..).zip(logits.borrow_mut()(text));
            let mut scored: Vec<(TokenId, f32)> =
                all.filter(|(token, _)| may(text, *token)).collect();
            let count = scored.len();
            likeliest(&mut scored, count, &[], None)
        },
    )
}
