//! Records of the public digest cn-chat-arxiv, a file a paper, with their Chinese summaries.

use super::fields::Fields;
use crate::feed::raw::{Mapped, Raw};
use crate::record::WrittenSummary;
use crate::summary::Summary;

pub(super) fn raw(mut record: Fields) -> Mapped {
    let summary = Summary {
        zh_title: record.text("translated_title"),
        zh_tldr: record.text("tldr"),
        zh_abstract: record.text("translated_abstract"),
    };
    let written =
        summary.is_whole().then(|| WrittenSummary { summary, ..WrittenSummary::default() });
    let raw = Raw {
        link: record.text("link"),
        title: record.needed("title")?,
        abstract_text: record.needed("abstract")?,
        ..Raw::default()
    };
    Ok((raw, written))
}
