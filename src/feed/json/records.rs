//! Our own records, as [`crate::record`] writes them, and others with the same keys.

use serde_json::Value;

use super::Mapped;
use crate::feed::ImportedSummary;
use crate::feed::raw::Raw;
use crate::record::Record;

pub(super) fn raw(mut record: Value) -> Mapped {
    // A record must have these to be rendered; here a missing one is judged with the paper.
    for key in ["title", "link", "abstract"] {
        if let Value::Object(fields) = &mut record {
            fields.entry(key).or_insert_with(|| Value::String(String::new()));
        }
    }
    let record: Record = serde_json::from_value(record).map_err(|cause| cause.to_string())?;
    let summary = ImportedSummary::of(record.zh_title, record.zh_tldr, record.zh_abstract);
    let raw = Raw {
        ids: vec![record.id],
        version: record.version,
        link: record.link,
        title: record.title,
        abstract_text: record.abstract_text,
        authors: record.authors,
        categories: record.categories,
        announce: None,
    };
    Ok((raw, summary.filter(|_| record.error.is_none())))
}
