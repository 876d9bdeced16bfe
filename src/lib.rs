//! wenzhai (文摘) reads arXiv feeds and writes a Chinese digest of them with a quantized language
//! model that runs on the user's own machine.
//!
//! The modules are the stations of one line, down which data flows:
//!
//! | station | module | hands on |
//! |---|---|---|
//! | bytes of a feed | [`feed`] | [`paper::Paper`] |
//! | which papers to keep, and how near they are to liked ones | [`select`] | papers of a run |
//! | paper and template | [`prompt`], [`tokens`] | [`generate::Request`] |
//! | requests, a step at a time | [`generate`], [`engine`] | token ids |
//! | token ids to fields, and every check | [`summary`] | [`record::Record`] |
//! | finished papers, durable at once | [`store`] | records, in digest order |
//! | records | [`digest`] | Markdown, pages, Atom feeds and JSON lines |
//!
//! [`writer`] is the front door: it puts a model, its prompt, terms and guards together; [`pipeline`]
//! tells the whole story on one page; `cli` is the only module that prints. [`card`] and [`fetch`] bring
//! a model's weights here, [`gguf`] and [`model`] load them, [`kernels`] compute with them; [`shortlist`]
//! says which tokens need to be scored, [`guard`] which may be written, and [`glossary`] how terms are to be
//! translated. [`eval`] measures how good summaries are, [`plan`] how long many papers take. [`text`],
//! [`hash`] and [`error`] are what others build on; [`system`] tells what memory and disk are left, [`http`]
//! is how servers are asked, [`text_file`] reads text that a person wrote, and [`atomic`] writes files whole
//! or not at all.
//!
//! What is stable are [`writer`], [`pipeline`], [`store`], [`feed`], [`select`], [`paper`], [`record`] and
//! [`digest`]; the other modules are public for tests, benches and examples, and may change with any version.
//!
//! Features, both there by default: `cli` is the program, without which the library needs no `clap`; `gemma` compiles
//! the small model's adapter in, which is a derivative of Gemma, so that a program that has it must pass Gemma's terms
//! on (`models/NOTICE-gemma.md`). The default model's adapter, which is ours, is always there. `cuda` and `metal` are for
//! cards.

pub mod atomic;
mod batch;
pub mod card;
#[cfg(feature = "cli")]
pub mod cli;
pub mod digest;
pub mod engine;
pub mod error;
pub mod eval;
pub mod feed;
pub mod fetch;
pub mod generate;
pub mod gguf;
pub mod glossary;
pub mod guard;
pub mod hash;
pub mod http;
mod json;
pub mod kernels;
pub mod model;
pub mod paper;
pub mod pipeline;
pub mod plan;
pub mod prompt;
pub mod record;
pub mod select;
pub mod shortlist;
pub mod store;
pub mod summary;
pub mod system;
pub mod text;
pub mod text_file;
pub mod tokens;
pub mod writer;

pub use error::{Error, Result};
