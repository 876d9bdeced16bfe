//! The integration tests: one binary, a module for each area.

mod architecture;
mod cli;
mod digest;
mod engine;
mod feed;
mod fetch;
mod kernels_attention;
mod kernels_gemm;
mod pipeline;
mod real_model;
mod store;
mod summary;
mod support;
mod tokens;
