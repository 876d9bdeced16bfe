//! What texts are made of, English and Chinese: characters, words, numbers, sentences, repetition.
//!
//! Pure functions without a notion of papers or summaries; prompts, guards, checks and measures all
//! see the same text through them.

mod chars;
pub(crate) mod english;
pub(crate) mod formula;
pub(crate) mod loops;
pub(crate) mod numbers;
pub(crate) mod patterns;
pub(crate) mod quantity;
mod sentence;
mod unsourced;
pub(crate) mod words;

pub use chars::tidy;
pub(crate) use chars::{is_han, is_invisible, printable};
pub use sentence::cut_at_sentence;
pub(crate) use sentence::{ends_in_a_number, ends_sentence};
pub(crate) use unsourced::Unsourced;
