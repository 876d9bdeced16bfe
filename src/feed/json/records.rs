//! Our own records, as [`crate::record`] writes them, and others with the same keys.

use serde_json::Value;

use crate::feed::raw::{Mapped, Raw};
use crate::paper::Date;
use crate::record::Record;

pub(super) fn raw(mut record: Value) -> Mapped {
    // A record must have these to be rendered; here a missing one is judged with the paper.
    for key in ["title", "link", "abstract"] {
        if let Value::Object(fields) = &mut record {
            fields.entry(key).or_insert_with(|| Value::String(String::new()));
        }
    }
    let record: Record = serde_json::from_value(record).map_err(|cause| cause.to_string())?;
    let raw = Raw {
        ids: vec![record.id.clone()],
        version: record.version,
        link: record.link.clone(),
        title: record.title.clone(),
        abstract_text: record.abstract_text.clone(),
        authors: record.authors.clone(),
        categories: record.categories.clone(),
        announce: record.announce,
        comment: String::new(),
        published: date_text(record.published),
        updated: date_text(record.updated),
    };
    // A part may be missing where a mark says so.
    let written = record.into_written();
    Ok((raw, written.filter(|w| w.summary.is_whole() || !w.marks.is_empty())))
}

fn date_text(date: Option<Date>) -> String {
    date.map(|date| date.to_string()).unwrap_or_default()
}
