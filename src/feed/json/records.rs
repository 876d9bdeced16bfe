//! Our own records, as [`crate::record`] writes them, and others with the same keys.

use super::fields::Fields;
use crate::feed::raw::{Mapped, Raw};
use crate::paper::Date;
use crate::record::Record;

pub(super) fn raw(mut record: Fields) -> Mapped {
    // A record must have these to be rendered; here a missing one is judged with the paper, and
    // a summary that is not whole is written anew.
    for key in ["title", "abstract"] {
        let text = record.needed(key)?;
        record.put(key, text);
    }
    for key in ["link", "zh_title", "zh_tldr", "zh_abstract"] {
        let text = record.text(key);
        record.put(key, text);
    }
    let record: Record = record.parse()?;
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
        notice: record.notice,
        published: date_text(record.published),
        updated: date_text(record.updated),
    };
    // A part may be missing where a mark says so.
    let written = record.into_written();
    Ok((raw, written.filter(|w| w.is_whole() || !w.marks.is_empty())))
}

fn date_text(date: Option<Date>) -> String {
    date.map(|date| date.to_string()).unwrap_or_default()
}
