//! The integration tests: one binary, a module for each area.

mod digest;
mod engine;
mod feed;
mod real_model;
mod store;
mod summary;
mod support;
