//! The integration tests: one binary, a module for each area.

mod digest;
mod engine;
mod real_model;
mod store;
mod summary;
mod support;
