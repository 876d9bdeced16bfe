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
