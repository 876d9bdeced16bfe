//! The Markdown digest: a table of all papers, and a footnote with the details of each.
//!
//! The layout is the public digest's, byte for byte, trailing spaces included, so that what
//! reads the one reads the other. Additions appear only where there is something to tell: `⚠`
//! where a check failed, `❌` where there is no summary. The English abstract stands in its
//! usual place then, under its mark; it is never shown as if it were the summary.

use std::io::Write;

use super::entry::{self, failure, heading, notes, short_title};
use super::order::Group;
use super::{Records, escape, wording};
use crate::error::{Error, ErrorKind, Result};
use crate::record::Record;
use crate::summary::Field;

/// Writes the digest of `records`, reading them twice: for the table and for the details.
pub fn markdown(records: &dyn Records, out: &mut dyn Write) -> Result<()> {
    markdown_in_groups(records, None, out)
}

/// Writes the digest of `records` with a heading and a table for each group: for each stretch of
/// records of which `group` says the same.
pub fn markdown_in_groups(
    records: &dyn Records,
    group: Option<Group>,
    out: &mut dyn Write,
) -> Result<()> {
    put(out, "# 摘要\n\n")?;
    let rows = table(records, group, out)?;
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

/// Writes the table, if there is a record, or one for each group, and counts the rows.
fn table(records: &dyn Records, group: Option<Group>, out: &mut dyn Write) -> Result<u64> {
    let mut number = 0;
    let mut name = None;
    records.for_each_record(&mut |record| {
        let next = group.map(|group| group.name_of(record));
        if number > 0 && next != name {
            put(out, "\n")?;
        }
        if number == 0 || next != name {
            if let Some(next) = &next {
                put(out, &format!("## {}\n\n", escape::paragraph(next)))?;
            }
            put(out, "| Ref | Title | Summary |\n| --- | --- | --- |\n")?;
            name = next;
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

fn one_liner(record: &Record) -> String {
    if let Some(notice) = record.notice {
        return wording::notice(notice).to_owned();
    }
    if !record.has_summary() {
        return format!("❌ {}", escape::cell(&failure(record)));
    }
    let mark = if notes(record).is_empty() { "" } else { "⚠ " };
    format!("{mark}{}", escape::cell(entry::one_liner(record)))
}

fn detail(number: u64, record: &Record) -> String {
    let mut detail = format!("[^{number}]: {}\n\n", escape::footnote_start(heading(record)));
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
        // What was not asked for leaves no gap.
        if record.fields.has(Field::Tldr) {
            paragraph(&escape::paragraph(&record.zh_tldr));
            paragraph("");
        }
        if record.fields.has(Field::Paragraph) {
            paragraph(&escape::paragraph(&record.zh_abstract));
        }
    } else {
        paragraph(&format!("❌ {}", escape::paragraph(&failure(record))));
        paragraph("");
    }
    // The format sets a line of spaces, and nothing else, between one abstract and the next entry.
    format!("{detail}    {}\n    \n", escape::paragraph(&record.abstract_text))
}
