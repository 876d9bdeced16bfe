//! Records into documents: Markdown for people, JSON lines for programs.
//!
//! A renderer reads its records from a [`Records`], in digest order: by link, descending. It may
//! read them twice and never holds more than one, so that a digest of millions of papers needs
//! no more memory than one of ten. The order is the source's duty: a run of the store reads in
//! it, and [`InOrder`] sorts what fits into memory.
//!
//! Renderers write to any `Write`; [`crate::atomic::write_atomically`] makes one a file.

mod escape;
mod jsonl;
mod markdown;
pub mod wording;

pub use jsonl::jsonl;
pub use markdown::markdown;

use crate::error::Result;
use crate::record::Record;

/// Records in digest order that can be read more than once.
pub trait Records {
    /// Hands every record to `visit`, the same ones in the same order each time.
    fn for_each_record(&self, visit: &mut dyn FnMut(&Record) -> Result<()>) -> Result<()>;
}

/// Records in memory, sorted into digest order: by link, descending; equal links keep the order
/// in which they came.
#[derive(Debug, Clone, Default)]
pub struct InOrder(Vec<Record>);

impl InOrder {
    /// Sorts `records`.
    pub fn new(mut records: Vec<Record>) -> Self {
        records.sort_by(|a, b| b.link.cmp(&a.link));
        InOrder(records)
    }
}

impl Records for InOrder {
    fn for_each_record(&self, visit: &mut dyn FnMut(&Record) -> Result<()>) -> Result<()> {
        self.0.iter().try_for_each(visit)
    }
}
