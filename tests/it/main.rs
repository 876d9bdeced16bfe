//! The integration tests: one binary, a module for each area.

mod architecture;
mod bench;
mod chat;
mod circles;
mod cli;
mod digest;
mod engine;
mod engine_cpu;
mod eval;
mod feed;
mod fetch;
mod glossary;
mod guard;
mod kernels_attention;
mod kernels_gemm;
mod marks;
mod notices;
mod overwriting;
mod pipeline;
mod real_model;
mod shortlist;
mod store;
mod summary;
mod support;
mod tokens;
