//! JSON: a record a line, or a document as a whole, and the forms of records told apart.
//!
//! Lines may be of several forms, so that files can be joined with `cat`; each record's keys say
//! what it is.

mod daily;
mod fields;
mod public;
mod records;
mod snapshot;

use std::io::Read;

use serde_json::Value;

use super::delivery::Delivery;
use super::reader::{Line, TextReader};
use super::{Format, Item, MAX_DOCUMENT_BYTES, MAX_ITEM_BYTES, Position};
use crate::Result;
use crate::error::plain;
use crate::record::as_valid_json;
use crate::text::printable;
use fields::Fields;

/// Most keys that are named of a record of no known form, and most characters of each.
const MAX_KEYS: usize = 8;
const MAX_KEY_CHARS: usize = 40;

/// Whether an input that begins like this is not a record a line: an array, or an object whose
/// first line is its brace alone.
pub(super) fn is_document(opening: &str) -> bool {
    opening.starts_with('[')
        || opening
            .strip_prefix('{')
            .is_some_and(|rest| rest.trim_start_matches([' ', '\t', '\r']).starts_with('\n'))
}

/// Reads a record a line; empty lines are passed over.
pub(super) fn read_lines<R: Read>(text: &mut TextReader<R>, out: &mut Delivery) -> Result<()> {
    let mut line = Vec::new();
    loop {
        let number = text.line();
        let position = Position::Line(number);
        let outcome = text.read_line(&mut line, MAX_ITEM_BYTES);
        report_mended(text, out)?;
        match outcome {
            Ok(Line::End) => return Ok(()),
            Ok(Line::TooLong) => {
                let mib = MAX_ITEM_BYTES >> 20;
                out.malformed(position, format!("the line is longer than {mib} MiB"))?;
            }
            Ok(Line::Whole) if line.trim_ascii().is_empty() => {}
            Ok(Line::Whole) => {
                // Of lines that are valid, which nearly all are, none is looked at twice.
                match serde_json::from_slice(&line)
                    .or_else(|_| serde_json::from_slice(&as_valid_json(&line)))
                {
                    Ok(record) => deliver(record, position, out)?,
                    Err(cause) => out.malformed(position, format!("no JSON: {}", plain(&cause)))?,
                }
                text.note_papers(out.items());
            }
            Err(cause) => {
                let reason = format!("the input breaks off: {}", plain(&cause));
                out.break_off(number, reason, out.can_go_on(&cause));
                return Ok(());
            }
        }
    }
}

/// Reads one or more JSON values over as many lines as they like; arrays are taken apart.
pub(super) fn read_document<R: Read>(text: &mut TextReader<R>, out: &mut Delivery) -> Result<()> {
    let mut document = Vec::new();
    loop {
        let mut line = Vec::new();
        let outcome = text.read_line(&mut line, MAX_DOCUMENT_BYTES);
        report_mended(text, out)?;
        match outcome {
            Ok(Line::End) => break,
            Ok(Line::Whole) if document.len() + line.len() < MAX_DOCUMENT_BYTES => {
                document.append(&mut line);
                document.push(b'\n');
            }
            Ok(_) => {
                let mib = MAX_DOCUMENT_BYTES >> 20;
                let error = out.error(&format!("is one JSON document of more than {mib} MiB"));
                return Err(error.hint("write one record a line; that is read without a limit"));
            }
            Err(cause) => {
                let reason = format!("the input breaks off: {}", plain(&cause));
                out.break_off(text.line(), reason, out.can_go_on(&cause));
                break;
            }
        }
    }
    let document = as_valid_json(&document);
    let mut count = 0;
    for value in serde_json::Deserializer::from_slice(&document).into_iter::<Value>() {
        let records = match value {
            Ok(Value::Array(records)) => records,
            Ok(record) => vec![record],
            Err(cause) => {
                let may_pass = cause.is_eof() && out.is_fetched;
                let reason = format!("no JSON: {}", plain(&cause));
                out.break_off(cause.line() as u64, reason, may_pass);
                return Ok(());
            }
        };
        if records.is_empty() {
            out.is_a(Format::Records);
        }
        for record in records {
            count += 1;
            deliver(record, Position::Item(count), out)?;
        }
    }
    Ok(())
}

fn deliver(record: Value, position: Position, out: &mut Delivery) -> Result<()> {
    let Value::Object(record) = record else {
        return out.malformed(position, "no JSON object".to_owned());
    };
    let record = Fields::of(record);
    let Some(format) = format_of(&record) else {
        let keys = record.keys().take(MAX_KEYS).map(|key| printable(key, MAX_KEY_CHARS));
        let keys: Vec<String> = keys.collect();
        let reason = format!("a record of no known form; its keys are: {}", keys.join(", "));
        return out.malformed(position, reason);
    };
    out.is_a(format);
    let mapped = match format {
        Format::Snapshot => snapshot::raw(record),
        Format::Daily => daily::raw(record),
        Format::Public => public::raw(record),
        _ => records::raw(record),
    };
    let item = mapped.and_then(|(raw, written)| {
        let notice = raw.notice;
        Ok(Item { paper: raw.into_paper()?, written, notice })
    });
    match item {
        Ok(item) => out.item(item),
        Err(reason) => out.malformed(position, reason),
    }
}

fn format_of(record: &Fields) -> Option<Format> {
    let has = |key: &str| record.has(key);
    Some(if has("authors_parsed") || has("versions") || has("update_date") {
        Format::Snapshot
    } else if has("translated_title") || has("translated_abstract") || has("tldr") {
        Format::Public
    } else if has("summary") && !has("abstract") {
        Format::Daily
    } else if has("title") || has("abstract") {
        Format::Records
    } else {
        return None;
    })
}

fn report_mended<R: Read>(text: &mut TextReader<R>, out: &mut Delivery) -> Result<()> {
    match text.take_mended_line() {
        Some(line) => out.mended(line, text.encoding()),
        None => Ok(()),
    }
}
