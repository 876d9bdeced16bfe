//! Token ids in, token ids out: requests are scheduled into steps, engines compute them, tokens are
//! picked.
//!
//! Integers only: no tensor, no text and no paper is named here, so that one scheduler drives every
//! engine and can be tested without weights. A [`Generator`] owns the loop; an [`Engine`] is what
//! computes a [`Batch`].

mod batch;
mod engine;
mod generator;
mod request;
mod sampling;
mod scheduler;

pub use batch::{Batch, Fork, Sample, Span};
pub use engine::{Engine, Misses, Picked, Profile};
pub use generator::{Generator, Turn};
pub use request::{Ending, Field, Finished, Request, RequestId, TokenSet, Written};
pub use sampling::{
    Beside, Candidate, MAX_ASKED, Sampling, TokenFilter, TokenId, likeliest, next_token,
};
pub use scheduler::{Committed, Limits, Scheduler};
