//! What several areas need.

pub mod tiny;
