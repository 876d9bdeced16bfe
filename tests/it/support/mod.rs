//! What several areas need.

pub mod scribe;
pub mod tiny;
