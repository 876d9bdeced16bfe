//! Engines: what computes a step.
//!
//! An engine turns a [`Batch`](crate::generate::Batch) into one token for each of its sampling
//! spans. It owns the weights and the KV cache, knows nothing of papers, prompts or text, and must
//! not let the rows of one sequence influence another's.

pub mod candle;
mod context;
pub mod cpu;
pub mod plain;
pub mod scripted;
mod split;
pub mod transformers;

pub use split::SplitEngine;
