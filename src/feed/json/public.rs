//! Records of the public digest cn-chat-arxiv, a file a paper, with their Chinese summaries.

use serde::Deserialize;
use serde_json::Value;

use crate::feed::raw::{Mapped, Raw};
use crate::record::WrittenSummary;
use crate::summary::Summary;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Record {
    title: String,
    link: String,
    #[serde(rename = "abstract")]
    abstract_text: String,
    translated_title: String,
    translated_abstract: String,
    tldr: String,
}

pub(super) fn raw(record: Value) -> Mapped {
    let record: Record = serde_json::from_value(record).map_err(|cause| cause.to_string())?;
    let summary = Summary {
        zh_title: record.translated_title,
        zh_tldr: record.tldr,
        zh_abstract: record.translated_abstract,
    };
    let written =
        summary.is_whole().then(|| WrittenSummary { summary, ..WrittenSummary::default() });
    let (link, title, abstract_text) = (record.link, record.title, record.abstract_text);
    Ok((Raw { link, title, abstract_text, ..Raw::default() }, written))
}
