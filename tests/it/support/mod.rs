//! What several areas need.

pub mod place;
pub mod scribe;
pub mod tiny;
