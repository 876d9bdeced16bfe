//! What a digest says of a paper, in whatever form it says it. Nothing is escaped here.

use super::line::is_blank;
use super::wording;
use crate::paper::{Date, split_boilerplate, split_suffix};
use crate::record::{Record, UNKNOWN_VERSION};
use crate::summary::{Field, FlawKind};

/// How a paper fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Summarised, and nothing was found wrong.
    Clean,
    /// Summarised, with something that the reader must know.
    Marked,
    /// There was nothing to summarise.
    Noticed,
    /// Not summarised.
    Failed,
}

/// How the paper of `record` fared.
pub(super) fn state(record: &Record) -> State {
    if record.notice.is_some() {
        State::Noticed
    } else if !record.has_summary() {
        State::Failed
    } else if notes(record).is_empty() {
        State::Clean
    } else {
        State::Marked
    }
}

/// The latest day that the record tells of the paper: of its announcement, its publication or its
/// last change.
pub(super) fn day(record: &Record) -> Option<Date> {
    told(record.published).max(told(record.updated))
}

/// A day of our era, which every format can write.
pub(super) fn told(day: Option<Date>) -> Option<Date> {
    day.filter(|day| day.year() >= 1)
}

/// The Chinese title, or the English one where there is none.
pub(super) fn heading(record: &Record) -> &str {
    if record.has_summary() && !is_blank(&record.zh_title) {
        &record.zh_title
    } else {
        short_title(&record.title)
    }
}

/// The title without the suffix that old feeds put behind it: `. (arXiv:1805.06430v2 [nucl-th])`.
/// The full stop stays; a title that is nothing else stays whole.
pub(super) fn short_title(title: &str) -> &str {
    let title = title.trim();
    match split_suffix(title) {
        Some((short, _)) if !is_blank(short) => short,
        _ if is_blank(title) => "（无题）",
        _ => title,
    }
}

/// The abstract without what feeds put before it:
/// `arXiv:2403.02839v1 Announce Type: new  Abstract: `.
pub(super) fn plain_abstract(text: &str) -> &str {
    let text = text.trim();
    split_boilerplate(text).map_or(text, |(_, plain)| plain)
}

/// The text of `field`.
pub(super) fn text(record: &Record, field: Field) -> &str {
    match field {
        Field::Title => &record.zh_title,
        Field::Tldr => &record.zh_tldr,
        Field::Paragraph => &record.zh_abstract,
    }
}

/// What stands in one line for a paper that has a summary: the one-liner, or the Chinese title
/// where no one-liner was asked for.
pub(super) fn one_liner(record: &Record) -> &str {
    if record.fields.has(Field::Tldr) { &record.zh_tldr } else { heading(record) }
}

/// What the reader must know about a summary; empty for a clean one.
pub(super) fn notes(record: &Record) -> Vec<String> {
    let mut notes = Vec::new();
    let marks: Vec<_> = record.marks.iter().map(wording::chinese).collect();
    if !marks.is_empty() {
        notes.push(format!("未通过检查：{}", marks.join("；")));
    } else if record.fields.iter().any(|field| is_blank(text(record, field))) {
        notes.push("总结不完整".to_owned());
    }
    if let Some(older) = record.summarised_version {
        let older = match older {
            UNKNOWN_VERSION => "总结的是较早的一版".to_owned(),
            older => format!("总结的是第 {older} 版"),
        };
        let now = record.version.map(|version| format!("，本文现为第 {version} 版"));
        notes.push(older + &now.unwrap_or_default());
    }
    if record.cut {
        notes.push("原文摘要过长，模型只读到其中一句为止，后文未予总结".to_owned());
    }
    notes
}

/// Why there is no summary: what was wrong with all that was written, or what failed, as it was told.
pub(super) fn failure(record: &Record) -> String {
    // A mark of another program may have no words.
    let marks = record.marks.iter().filter(|m| m.kind != FlawKind::Other || !m.detail.is_empty());
    let marks: Vec<String> = marks.map(wording::chinese).collect();
    let reason = match (marks.is_empty(), record.error.as_deref()) {
        (false, _) => marks.join("，"),
        (true, error) => error.unwrap_or("没有记录原因").to_owned(),
    };
    format!("未能生成摘要：{reason}")
}
