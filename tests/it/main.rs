//! The integration tests: one binary, a module for each area.

mod engine;
mod real_model;
mod support;
