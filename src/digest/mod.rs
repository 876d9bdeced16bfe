//! Records into documents: Markdown, pages and feeds for people, JSON lines for programs.
//!
//! A renderer reads its records from a [`Records`], in digest order: by link, descending. It may
//! read them twice and never holds more than one, so that a digest of millions of papers needs
//! no more memory than one of ten. The order is the source's duty: a run of the store reads in
//! it, and [`InOrder`] sorts what fits into memory, in another order where one is asked for.
//!
//! Renderers write to any `Write`; [`crate::atomic::write_atomically`] makes one a file.

mod atom;
mod entry;
mod escape;
mod html;
mod jsonl;
mod line;
mod markdown;
mod order;
mod overview;
mod templates;
mod view;
pub mod wording;

pub use atom::{Feed, FeedSite, atom};
pub use html::{DayOfSite, Page, TitleOfSite, html, site_index};
pub use jsonl::jsonl;
pub use markdown::{markdown, markdown_in_groups};
pub use order::{Group, InOrder, Order};
pub use overview::Overview;

use crate::error::Result;
use crate::record::Record;

/// Records in digest order that can be read more than once.
pub trait Records {
    /// Hands every record to `visit`, the same ones in the same order each time.
    fn for_each_record(&self, visit: &mut dyn FnMut(&Record) -> Result<()>) -> Result<()>;
}
