//! Papers out of everything in which arXiv, and those who build on it, hand papers out.
//!
//! What an input is, is told by its content, and by its name only where it is empty: [`read`] opens a source,
//! unpacks gzip where the magic bytes are there, and looks at the first sign. `<` is XML, and the
//! root element says which (`rdf`, `rss`, `atom`, `oai`), a web page apart (`html`); `{` and `[` are JSON, and the keys say which,
//! record by record (`snapshot`, `daily`, `public`, `records`). Each of these files maps one form
//! to a `Raw` paper; `raw` alone knows how text is folded and boilerplate taken off. One more form
//! is one more file, and one more arm where root elements or keys are told apart.
//!
//! The encoding is the one that the input names (`encoding`), UTF-8 where it names none.
//!
//! Everything streams: one item is in memory at a time, so that a snapshot of millions of lines
//! needs no more than a feed of ten. One bad item is an event and not an error.
//!
//! A source of arXiv's that was named, such as `arxiv:cs.CL@2026-11-25`, is read answer by answer
//! (`live`) into one report.
//!
//! Left out: papers met twice, which is the store's matter.

mod delivery;
mod encoding;
mod event;
mod form;
mod html;
mod json;
mod latex;
mod limits;
mod live;
mod page;
mod pages;
mod raw;
mod reader;
pub mod source;
mod text;
mod xml;

use std::io::{BufRead, Read};

use crate::error::ErrorKind;
use crate::{Error, Result};
use delivery::Delivery;
use form::{parse, unknown_encoding};
use reader::Unreadable;
use source::Opened;

pub use event::{Event, FeedReport, Format, Item, Malformed, Place, Position};
pub use limits::{
    MAX_BARREN_BYTES, MAX_DOCUMENT_BYTES, MAX_HTML_BYTES, MAX_INPUT_BYTES, MAX_ITEM_BYTES,
    MAX_PIECE_BYTES, MAX_XML_LEVELS,
};
pub use raw::plain;
pub use source::{MAX_FOLDER_FILES, MAX_FOLDER_LEVELS, Source, arxiv, expand};

/// Reads one source and hands every paper, and whatever is wrong with one, to `sink`.
///
/// An item without title or abstract is reported and skipped; where the input breaks off, the
/// papers before the break have been handed over and the break is reported. It is an error when
/// the input cannot be opened, is of no known form or encoding, is a feed's error message, or
/// holds no paper without being a well-formed empty feed; an answer of the API that counts results
/// and holds none of them is not one. It is one that may pass ([`Error::may_pass`]) where another try
/// may bring what is lacking. An error of `sink` ends reading and is handed on.
/// A folder, and a name that stands for several sources (`arxiv:cs.CL+cs.LG`), is to be [`expand`]ed first.
///
/// It blocks: servers are waited for, arXiv with the pauses that it wishes (3 s between calls, 15 s between
/// catch-up pages), and what is asked of it is locked against other processes and kept below `WENZHAI_HOME`.
pub fn read(source: &Source, sink: &mut dyn FnMut(Event) -> Result<()>) -> Result<FeedReport> {
    let name = source.to_string();
    if let Source::Arxiv(named) = source {
        return live::read(named, &name, sink);
    }
    let Opened { bytes, charset } =
        source.open(&mut |text| drop(sink(Event::Fetching(text.to_owned()))))?;
    let mut delivery = Delivery::new(&name, sink);
    delivery.is_fetched = matches!(source, Source::Url { .. });
    parse(&name, bytes, charset.as_deref(), &mut delivery)?;
    delivery.finish()
}

/// [`read`] for bytes that are already open; `name` is what messages call them.
pub fn read_from(
    name: &str,
    bytes: impl Read,
    sink: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<FeedReport> {
    let mut delivery = Delivery::new(name, sink);
    parse(name, bytes, None, &mut delivery)?;
    delivery.finish()
}

/// The lines of records: unpacked, where they are gzip, and as UTF-8, where a byte order mark says that they are in
/// UTF-16, as Windows PowerShell saves what a program prints; bytes in UTF-8 stay as they are, valid or not.
///
/// # Errors
/// Where the beginning cannot be read, or is in UTF-32.
pub fn utf8_lines(name: &str, bytes: impl Read + 'static) -> Result<Box<dyn BufRead>> {
    let cannot_read =
        |cause| Error::new(ErrorKind::Io, format!("cannot read {name}")).because(cause);
    let bytes = source::unpack(bytes).map_err(cannot_read)?;
    reader::utf8_lines(bytes).map_err(|cause| match cause {
        Unreadable::Io(cause) => cannot_read(cause),
        Unreadable::Encoding(unknown) => unknown_encoding(name, unknown),
    })
}
