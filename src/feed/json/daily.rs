//! Records of daily-arXiv-ai-enhanced: the paper's page is `abs`, its abstract `summary`.
//!
//! What its model wrote (`AI`) is of other parts than our summaries and is not imported.

use serde::Deserialize;
use serde_json::Value;

use crate::feed::raw::{Mapped, Raw};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Record {
    id: String,
    abs: String,
    title: String,
    summary: String,
    authors: Vec<String>,
    categories: Vec<String>,
}

pub(super) fn raw(record: Value) -> Mapped {
    let record: Record = serde_json::from_value(record).map_err(|cause| cause.to_string())?;
    let raw = Raw {
        ids: vec![record.id],
        link: record.abs,
        title: record.title,
        abstract_text: record.summary,
        authors: record.authors,
        categories: record.categories,
        ..Raw::default()
    };
    Ok((raw, None))
}
