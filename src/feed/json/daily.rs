//! Records of daily-arXiv-ai-enhanced: the paper's page is `abs`, its abstract `summary`.
//!
//! What its model wrote (`AI`) is of other parts than our summaries and is not imported.

use super::fields::Fields;
use crate::feed::raw::{Mapped, Raw};

pub(super) fn raw(mut record: Fields) -> Mapped {
    let raw = Raw {
        ids: vec![record.text("id")],
        link: record.text("abs"),
        title: record.needed("title")?,
        abstract_text: record.needed("summary")?,
        authors: record.texts("authors"),
        categories: record.texts("categories"),
        comment: record.text("comment"),
        ..Raw::default()
    };
    Ok((raw, None))
}
