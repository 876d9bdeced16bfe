//! What reading hands over: papers, what is wrong with an input and where, and a report of the whole.

use std::fmt;

use crate::paper::{Date, Paper};
use crate::record::WrittenSummary;
use crate::summary::Notice;

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
    /// A catch-up page of arxiv.org.
    CatchUp,
    /// Records of OAI-PMH in the formats `arXiv` and `arXivRaw`.
    Oai,
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

/// A position in an input; lines and records count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Line of the unpacked text.
    Line(u64),
    /// Record of a JSON document whose lines say nothing.
    Item(u64),
    /// The input as a whole.
    Whole,
}

/// One paper, and the Chinese summary that its record brought along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The paper.
    pub paper: Paper,
    /// The summary, with all that its record says of it, where the record has all three parts of
    /// one or says which are missing.
    pub written: Option<WrittenSummary>,
    /// Why there is nothing to summarise, where the record says so.
    pub notice: Option<Notice>,
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
    /// Something is not as it should be, and `lost` papers are lost by it: one that had to be left out, or the
    /// break after which nothing more could be read (1); those that the input counts and does not hold, which
    /// nothing else does; or none, where bytes that are not valid in the input's encoding were replaced.
    Malformed {
        /// What is wrong, and where.
        what: Malformed,
        /// How many papers are lost.
        lost: u64,
    },
    /// The input says itself that there are more papers than it holds: it is one page of an answer
    /// of the API. None that it holds is lost.
    More(Malformed),
    /// A record that says that its paper is not there any more.
    Deleted,
    /// How fetching goes on, in words: a server is silent, or asks for a pause.
    Fetching(String),
}

/// What became of one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedReport {
    /// What the input is; where records of several forms are mixed, the first paper's form.
    pub format: Format,
    /// Papers handed over.
    pub items: u64,
    /// Items that could not be read, and those that an answer counts and does not hold.
    pub malformed: u64,
    /// Whether the input broke off, so that papers after the break are not known of.
    pub cut_short: bool,
    /// Whether the input is whole and holds no paper, as feeds do on weekends.
    pub well_formed_empty: bool,
    /// Papers that the input counts and does not hold.
    pub missing: u64,
    /// Whether another try, later, may bring what is lacking: a connection broke off, or arXiv was
    /// busy.
    pub may_pass: bool,
    /// The day of announcement, where the input says that it is that day's.
    pub day: Option<Date>,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Rdf => "RSS 1.0 feed",
            Format::Rss => "RSS 2.0 feed",
            Format::Atom => "Atom feed",
            Format::ApiAtom => "Atom of the arXiv API",
            Format::CatchUp => "catch-up page of arXiv",
            Format::Oai => "OAI-PMH records",
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
            Position::Whole => f.write_str(&self.input),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}
