//! How long a model takes for many papers, and on what: before it is fetched to a hundred machines.
//!
//! A paper costs multiply-adds and bytes that follow from the model's shape and the tokens that it
//! takes ([`Work`], [`Job`]). What that comes to is measured where the machine is at hand
//! ([`measure`]: the engine's own kernels at the model's shapes), and computed where it is a card
//! of which only the maker's figures are known ([`Card`]): a share of the roofline (Williams,
//! Waterman and Patterson 2009), which is the larger of the time that the arithmetic takes and the
//! time that memory takes.
//!
//! Left out: loading, guards and checks, papers that are tried again, and the network between
//! machines.

mod card;
mod job;
mod processor;
mod work;

pub use card::{CARDS, Card};
pub use job::{Job, texts_of_beam};
pub use processor::{Speed, measure};
pub use work::{Estimate, Work};
