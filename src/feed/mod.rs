//! Papers out of everything in which arXiv, and those who build on it, hand papers out.
//!
//! What an input is, is told by its content and never by its name: [`read`] opens a source,
//! unpacks gzip where the magic bytes are there, and looks at the first sign. `<` is XML, and the
//! root element says which (`rdf`, `rss`, `atom`); `{` and `[` are JSON, and the keys say which,
//! record by record (`snapshot`, `daily`, `public`, `records`). Each of these files maps one form
//! to a `Raw` paper; `raw` alone knows how text is folded and boilerplate taken off. One more form
//! is one more file, and one more arm where root elements or keys are told apart.
//!
//! Everything streams: one item is in memory at a time, so that a snapshot of millions of lines
//! needs no more than a feed of ten. One bad item is an event and not an error.
//!
//! Left out: OAI-PMH, and papers met twice, which is the store's matter.

mod atom;
mod daily;
mod delivery;
pub mod fetch;
mod json;
mod public;
mod raw;
mod rdf;
mod reader;
mod records;
mod rss;
mod snapshot;
mod source;
mod text;
mod xml;

use std::fmt;
use std::io::Read;

use crate::paper::Paper;
use crate::{Error, Result};
use delivery::Delivery;
use reader::TextReader;

pub use source::{MAX_FOLDER_FILES, MAX_FOLDER_LEVELS, Source, expand};

/// Most bytes of one item's text: an abstract has two thousand, a list of 3,000 authors 60,000.
pub const MAX_ITEM_BYTES: usize = 1 << 20;

/// Most bytes of one piece of markup, or of the text between two; it has to be held in memory
/// before an item that is over [`MAX_ITEM_BYTES`] can be skipped.
pub const MAX_PIECE_BYTES: usize = 4 << 20;

/// Most bytes of a JSON document that is not one record a line and has to be read as a whole.
pub const MAX_DOCUMENT_BYTES: usize = 16 << 20;

/// Most bytes of one input, unpacked; the snapshot of all papers has 5 GiB.
pub const MAX_INPUT_BYTES: u64 = 64 << 30;

/// Most elements inside one another; the deepest form, API Atom, has five.
pub const MAX_XML_LEVELS: usize = 32;

/// What one input turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RSS 1.0, as arXiv's feeds were to January 2024.
    Rdf,
    /// RSS 2.0 of rss.arxiv.org.
    Rss,
    /// Atom of rss.arxiv.org.
    Atom,
    /// Atom of the API, export.arxiv.org.
    ApiAtom,
    /// Records of the metadata snapshot of all papers.
    Snapshot,
    /// Records of daily-arXiv-ai-enhanced.
    Daily,
    /// Records of the public digest cn-chat-arxiv.
    Public,
    /// Our own records.
    Records,
}

/// Where in an input something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The input's name: a path, an address, or `standard input`.
    pub input: String,
    /// The position in it.
    pub position: Position,
}

/// A position in an input; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Line of the unpacked text.
    Line(u64),
    /// Record of a JSON document whose lines say nothing.
    Item(u64),
}

/// One paper, and the Chinese summary that its record brought along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The paper.
    pub paper: Paper,
    /// The summary, where the record has all three parts of one.
    pub summary: Option<ImportedSummary>,
}

/// A Chinese summary that an input brought along; no part is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedSummary {
    /// Chinese title.
    pub zh_title: String,
    /// Chinese one-line summary.
    pub zh_tldr: String,
    /// Chinese paragraph.
    pub zh_abstract: String,
}

/// Something in an input that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Where it is; of an item, where it begins.
    pub place: Place,
    /// What is wrong.
    pub reason: String,
}

/// What reading hands over, in the input's order.
#[expect(clippy::large_enum_variant, reason = "nearly all events are items, and none is kept")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A paper.
    Item(Item),
    /// A paper that had to be left out, or the break after which nothing more could be read.
    Malformed(Malformed),
    /// Damage that could be mended: bytes that are not UTF-8. No paper is lost.
    Mended(Malformed),
}

/// What became of one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedReport {
    /// What the input is; where records of several forms are mixed, the first paper's form.
    pub format: Format,
    /// Papers handed over.
    pub items: u64,
    /// [`Event::Malformed`] handed over.
    pub malformed: u64,
    /// Whether the input broke off, so that papers after the break are not known of.
    pub cut_short: bool,
    /// Whether the input is whole and holds no paper, as feeds do on weekends.
    pub well_formed_empty: bool,
}

/// Reads one source and hands every paper, and whatever is wrong with one, to `sink`.
///
/// An item without title or abstract is reported and skipped; where the input breaks off, the
/// papers before the break have been handed over and the break is reported. It is an error when
/// the input cannot be opened, is of no known form, is a feed's error message, or holds no paper
/// without being a well-formed empty feed. An error of `sink` ends reading and is handed on.
/// A folder is to be [`expand`]ed first.
pub fn read(source: &Source, sink: &mut dyn FnMut(Event) -> Result<()>) -> Result<FeedReport> {
    read_from(&source.to_string(), source.open()?, sink)
}

/// [`read`] for bytes that are already open; `name` is what messages call them.
pub fn read_from(
    name: &str,
    bytes: impl Read,
    sink: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<FeedReport> {
    let mut delivery = Delivery::new(name, sink);
    let bytes = source::unpack(bytes).map_err(|cause| delivery.unreadable(cause))?;
    let mut text = TextReader::new(bytes);
    let opening = text.opening().map_err(|cause| delivery.unreadable(cause))?;
    match opening.chars().next() {
        Some('<') => xml::read(&mut text, &mut delivery)?,
        Some('{' | '[') if json::is_document(&opening) => {
            json::read_document(&mut text, &mut delivery)?;
        }
        Some('{') => json::read_lines(&mut text, &mut delivery)?,
        Some(_) => return Err(unknown_form(name, &opening)),
        None => return Err(delivery.error("is empty")),
    }
    delivery.finish()
}

impl ImportedSummary {
    /// A summary whose three parts are all there.
    fn of(zh_title: String, zh_tldr: String, zh_abstract: String) -> Option<Self> {
        let is_whole =
            [&zh_title, &zh_tldr, &zh_abstract].iter().all(|part| !part.trim().is_empty());
        is_whole.then_some(ImportedSummary { zh_title, zh_tldr, zh_abstract })
    }
}

/// The error for an input that begins like nothing we know.
fn unknown_form(name: &str, opening: &str) -> Error {
    let start: String = opening.chars().take(40).collect();
    Error::new(
        crate::error::ErrorKind::Input,
        format!("{name} is of no known form; it begins with {start:?}"),
    )
    .hint(
        "known are RSS 1.0, RSS 2.0 and Atom of arXiv's feeds and API, the metadata snapshot \
         (JSON lines), records of daily-arXiv-ai-enhanced and cn-chat-arxiv, and wenzhai's own \
         records; each also packed with gzip",
    )
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Rdf => "RSS 1.0 feed",
            Format::Rss => "RSS 2.0 feed",
            Format::Atom => "Atom feed",
            Format::ApiAtom => "Atom of the arXiv API",
            Format::Snapshot => "metadata snapshot",
            Format::Daily => "records of daily-arXiv-ai-enhanced",
            Format::Public => "records of cn-chat-arxiv",
            Format::Records => "wenzhai records",
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Position::Line(line) => write!(f, "{}, line {line}", self.input),
            Position::Item(item) => write!(f, "{}, item {item}", self.input),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}
