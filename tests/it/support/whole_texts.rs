//! The reference for beams: an engine that knows nothing of slots.

use std::cell::RefCell;

use wenzhai::engine::scripted::ScriptedEngine;
use wenzhai::generate::{Candidate, TokenId};

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
            scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let highest = scored[0].1;
            let total: f64 = scored.iter().map(|(_, l)| f64::from(l - highest).exp()).sum();
            let candidate = |(token, logit)| {
                let log_probability = f64::from(logit - highest) - total.ln();
                Candidate { token, log_probability }
            };
            scored.into_iter().map(candidate).collect()
        },
    )
}
