//! wenzhai (文摘) reads arXiv feeds and writes a Chinese digest of them with a quantized language
//! model that runs on the user's own machine.
//!
//! The modules are the stations of one line; data flows downwards and imports point upwards:
//!
//! | station | module | hands on |
//! |---|---|---|
//! | bytes of a feed | [`feed`] | [`paper::Paper`] |
//! | paper and template | [`prompt`], [`tokens`] | [`scheduler::Job`] |
//! | jobs, a step at a time | [`scheduler`], [`engine`] | token ids |
//! | token ids to fields, and every check | [`summary`] | [`record::Record`] |
//! | finished papers, durable at once | [`store`] | records, in digest order |
//! | records | [`digest`] | Markdown |
//!
//! [`pipeline`] tells the whole story on one page; [`cli`] is the only module that prints;
//! [`card`] and [`fetch`] bring a model's weights here, [`model`] loads them, [`kernels`] compute
//! with them, [`shortlist`] says which tokens need to be scored, [`guard`] which may be written, and
//! [`pick`] makes a token of an engine's logits; [`glossary`] says how terms are to be translated;
//! [`eval`] measures how good summaries are; [`system`] tells what memory and disk are left;
//! [`atomic`] writes files whole or not at all.

pub mod atomic;
pub mod card;
pub mod cli;
pub mod digest;
pub mod engine;
pub mod error;
pub mod eval;
pub mod feed;
pub mod fetch;
pub mod glossary;
pub mod guard;
pub mod kernels;
pub mod model;
pub mod paper;
pub mod pick;
pub mod pipeline;
pub mod prompt;
pub mod record;
pub mod scheduler;
pub mod shortlist;
pub mod store;
pub mod summary;
pub mod system;
pub mod tokens;

pub use error::{Error, Result};
