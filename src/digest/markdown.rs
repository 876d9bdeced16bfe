//! The Markdown digest: a table of all papers, and a footnote with the details of each.
//!
//! The layout is the public digest's, byte for byte, trailing spaces included, so that what
//! reads the one reads the other. Additions appear only where there is something to tell: `⚠`
//! where a check failed, `❌` where there is no summary. The English abstract stands in its
//! usual place then, under its mark; it is never shown as if it were the summary.

use std::io::Write;

use super::{Records, escape, wording};
use crate::error::{Error, ErrorKind, Result};
use crate::record::Record;

/// Writes the digest of `records`, reading them twice: for the table and for the details.
pub fn markdown(records: &dyn Records, out: &mut dyn Write) -> Result<()> {
    put(out, "# 摘要\n\n")?;
    let rows = table(records, out)?;
    if rows == 0 {
        return put(out, "没有论文。\n");
    }
    put(out, "\n# 详细\n\n")?;
    let mut number = 0;
    records.for_each_record(&mut |record| {
        number += 1;
        put(out, &detail(number, record))
    })?;
    if number == rows {
        return put(out, "\n");
    }
    let message =
        format!("the digest's records changed while it was written: {rows}, then {number}");
    Err(Error::new(ErrorKind::Store, message))
}

/// Writes the table, if there is a record, and counts its rows.
fn table(records: &dyn Records, out: &mut dyn Write) -> Result<u64> {
    let mut number = 0;
    records.for_each_record(&mut |record| {
        if number == 0 {
            put(out, "| Ref | Title | Summary |\n| --- | --- | --- |\n")?;
        }
        number += 1;
        let title = escape::cell_link(short_title(&record.title), &record.link);
        put(out, &format!("| [^{number}] | {title} | {} |\n", one_liner(record)))
    })?;
    Ok(number)
}

fn put(out: &mut dyn Write, text: &str) -> Result<()> {
    let failed = |cause| Error::new(ErrorKind::Io, "cannot write the digest").because(cause);
    out.write_all(text.as_bytes()).map_err(failed)
}

/// The title without the suffix that old feeds put behind it: `. (arXiv:1805.06430v2 [nucl-th])`.
/// The full stop stays; a title that is nothing else stays whole.
fn short_title(title: &str) -> &str {
    let title = title.trim();
    match title.rfind("(arXiv:") {
        Some(start) if start > 0 && title.ends_with(')') => title[..start].trim_end(),
        _ if escape::is_blank(title) => "（无题）",
        _ => title,
    }
}

fn one_liner(record: &Record) -> String {
    if let Some(notice) = record.notice {
        return wording::notice(notice).to_owned();
    }
    if !record.has_summary() {
        return format!("❌ {}", escape::cell(&failure(record)));
    }
    let mark = if notes(record).is_empty() { "" } else { "⚠ " };
    format!("{mark}{}", escape::cell(&record.zh_tldr))
}

fn detail(number: u64, record: &Record) -> String {
    let heading = if record.has_summary() && !escape::is_blank(&record.zh_title) {
        &record.zh_title
    } else {
        short_title(&record.title)
    };
    let mut detail = format!("[^{number}]: {}\n\n", escape::footnote_start(heading));
    let mut paragraph = |text: &str| {
        detail.push_str("    ");
        detail.push_str(text);
        detail.push_str("\n\n");
    };
    paragraph(&escape::paragraph(&record.title));
    paragraph(&escape::paragraph_link(&record.link));
    if let Some(reason) = record.relevance.as_ref().and_then(wording::relevance) {
        paragraph(&escape::paragraph(&reason));
    }
    if let Some(notice) = record.notice {
        paragraph(wording::notice(notice));
        paragraph("");
    } else if record.has_summary() {
        for note in notes(record) {
            paragraph(&format!("⚠ {}", escape::paragraph(&note)));
        }
        paragraph(&escape::paragraph(&record.zh_tldr));
        paragraph("");
        paragraph(&escape::paragraph(&record.zh_abstract));
    } else {
        paragraph(&format!("❌ {}", escape::paragraph(&failure(record))));
        paragraph("");
    }
    // The format sets a line of spaces, and nothing else, between one abstract and the next entry.
    format!("{detail}    {}\n    \n", escape::paragraph(&record.abstract_text))
}

/// What the reader must know about a summary; empty for a clean one.
fn notes(record: &Record) -> Vec<String> {
    let mut notes = Vec::new();
    let marks: Vec<_> = record.marks.iter().map(wording::chinese).collect();
    if !marks.is_empty() {
        notes.push(format!("未通过检查：{}", marks.join("；")));
    } else if [&record.zh_title, &record.zh_tldr, &record.zh_abstract]
        .iter()
        .any(|field| escape::is_blank(field))
    {
        notes.push("总结不完整".to_owned());
    }
    if let Some(older) = record.summarised_version {
        notes.push(match record.version {
            Some(version) => format!("总结的是第 {older} 版，本文现为第 {version} 版"),
            None => format!("总结的是第 {older} 版"),
        });
    }
    if record.cut {
        notes.push("原文摘要过长，模型只读到其中一句为止，后文未予总结".to_owned());
    }
    notes
}

fn failure(record: &Record) -> String {
    format!("未能生成摘要：{}", record.error.as_deref().unwrap_or("没有记录原因"))
}
