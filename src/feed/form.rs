//! Tells what an input is by how it begins, and hands it to the parser of its form.

use std::io::Read;
use std::path::Path;

use super::delivery::Delivery;
use super::encoding::Unknown;
use super::reader::{TextReader, Unreadable};
use super::{Format, html, json, source, xml};
use crate::error::ErrorKind;
use crate::text::printable;
use crate::{Error, Result};

/// Tells what `bytes` are, and hands over what they hold.
pub(super) fn parse(
    name: &str,
    bytes: impl Read,
    charset: Option<&str>,
    delivery: &mut Delivery,
) -> Result<()> {
    let bytes = source::unpack(bytes).map_err(|cause| delivery.unreadable(cause))?;
    let mut text = TextReader::new(bytes);
    let opening = text.opening(charset).map_err(|cause| match cause {
        Unreadable::Io(cause) => delivery.unreadable(cause),
        Unreadable::Encoding(unknown) => unknown_encoding(name, unknown),
    })?;
    match opening.chars().next() {
        Some('<') if html::is_html(&opening) => html::read(&mut text, delivery),
        Some('<') => xml::read(&mut text, delivery),
        Some('{' | '[') if json::is_document(&opening) => json::read_document(&mut text, delivery),
        Some('{') => json::read_lines(&mut text, delivery),
        Some(_) => Err(unknown_form(delivery, &opening)),
        // Records of nothing, as of a shard without papers.
        None if Path::new(name.trim_end_matches(".gz"))
            .extension()
            .is_some_and(|e| e == "jsonl") =>
        {
            delivery.is_a(Format::Records);
            Ok(())
        }
        None => Err(delivery.lacks("is empty")),
    }
}

/// The error for an input whose encoding we have no tables for.
pub(super) fn unknown_encoding(name: &str, Unknown(label): Unknown) -> Error {
    let label = printable(&label, 40);
    let message = format!("{name} is in the encoding {label}, which is not known");
    Error::new(ErrorKind::Input, message)
        .hint("save it as UTF-8; UTF-16, GBK and the other encodings of the web are read, too")
}

/// The error for an input that begins like nothing we know.
fn unknown_form(out: &Delivery, opening: &str) -> Error {
    let start: String = opening.chars().take(40).collect();
    out.error(&format!("is of no known form; it begins with {start:?}")).hint(
        "known are RSS 1.0, RSS 2.0 and Atom of arXiv's feeds and API, its catch-up pages and \
         OAI-PMH records, the metadata snapshot (JSON lines), records of daily-arXiv-ai-enhanced and cn-chat-arxiv, and wenzhai's own \
         records; each also packed with gzip",
    )
}
