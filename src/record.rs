//! A finished paper as one line of JSON: what `--format jsonl` writes and `render` reads.
//!
//! A record is plain data; [`read_jsonl`] streams records from a file of millions of lines in
//! constant memory, and a bad line is an error that names it while the rest goes on. What else
//! stands in files of JSON lines ([`JsonLine`]) is read by the same rules.

use std::borrow::Cow;
use std::io::{BufRead, Read};
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result, plain};
use crate::json::{or_default, or_no_text, or_none};
use crate::paper::{Announce, Date, Paper, PaperId, key_of};
use crate::summary::{Fields, Flaw, Notice, Summary};

/// Stands for an earlier version whose number nothing told; arXiv counts from 1.
pub const UNKNOWN_VERSION: u32 = 0;

/// Longest line that [`read_jsonl`] accepts. The longest abstracts of arXiv have some 6,000
/// characters and author lists some 100,000, so that this is no limit to a real paper.
pub const MAX_LINE_BYTES: usize = 4 << 20;

/// One paper with its summary, or with the reason why it has none.
///
/// Only `title`, `link` and `abstract` are required on reading, so that records of other
/// programs (the public digest's among them) can be rendered. Fields that no digest shows count as
/// not there where they are of another type.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub struct Record {
    /// arXiv identifier without version; empty where the source carries none.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Version, where known.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The feed's own link.
    pub link: String,
    /// English title, as the feed has it.
    pub title: String,
    /// English abstract, as the feed has it.
    #[serde(rename = "abstract")]
    pub abstract_text: String,
    /// Authors in the feed's order.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<String>,
    /// Categories, primary first where known.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Why the feed carries the paper, where it tells.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub announce: Option<Announce>,
    /// The day that the feed calls the paper's publication.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub published: Option<Date>,
    /// The day of the paper's last change, where the feed tells it.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub updated: Option<Date>,
    /// Why a reader who chose papers gets this one.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub relevance: Option<Relevance>,
    /// Chinese title; empty where the paper has no summary (yet).
    #[serde(default, deserialize_with = "or_none", skip_serializing_if = "String::is_empty")]
    pub zh_title: String,
    /// Chinese one-line summary.
    #[serde(default, deserialize_with = "or_none", skip_serializing_if = "String::is_empty")]
    pub zh_tldr: String,
    /// Chinese paragraph.
    #[serde(default, deserialize_with = "or_none", skip_serializing_if = "String::is_empty")]
    pub zh_abstract: String,
    /// Which of the three were asked for, where not all were.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Fields::are_all")]
    pub fields: Fields,
    /// Which model wrote it, with an adapter that is not its own.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// What the checks still found after the last try; empty means clean. The first version called
    /// it `flags` and wrote sentences.
    #[serde(
        default,
        alias = "flags",
        deserialize_with = "or_none",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub marks: Vec<Flaw>,
    /// How often the paper was tried again.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub retries: u32,
    /// Whether the abstract was cut before the model read it.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// The version that the summary is of, where it is an older one than the paper's; maybe
    /// [`UNKNOWN_VERSION`].
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub summarised_version: Option<u32>,
    /// Why there is nothing to summarise, where that is so.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub notice: Option<Notice>,
    /// Why there is no summary, where the paper failed.
    #[serde(default, deserialize_with = "or_no_text", skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Record {
    /// What its paper is known by in all its versions; see [`key_of`].
    pub fn key(&self) -> String {
        let id = PaperId::parse(&self.id).or_else(|| PaperId::parse(&self.link));
        key_of(id.as_ref().map(|(id, _)| id), &self.link, &self.title, &self.abstract_text)
    }

    /// Whether it tells more than that its paper failed: a summary, or why there is none to write.
    pub fn says_something(&self) -> bool {
        self.has_summary() || self.notice.is_some()
    }

    /// The record of `paper` before anything was written about it.
    pub fn of(paper: &Paper) -> Self {
        Record::default().about(paper)
    }

    /// The same record, whose paper is `paper`.
    #[must_use]
    pub(crate) fn about(self, paper: &Paper) -> Self {
        Record {
            id: paper.id.as_ref().map(ToString::to_string).unwrap_or_default(),
            version: paper.version,
            link: paper.link.clone(),
            title: paper.title.clone(),
            abstract_text: paper.abstract_text.clone(),
            authors: paper.authors.clone(),
            categories: paper.categories.clone(),
            announce: paper.announce,
            published: paper.published,
            updated: paper.updated,
            ..self
        }
    }

    /// The record of `paper` with what was written about it.
    pub fn with(paper: &Paper, written: WrittenSummary) -> Self {
        let WrittenSummary { summary, fields, model, marks, retries, cut, version } = written;
        let Summary { zh_title, zh_tldr, zh_abstract } = summary;
        Record {
            zh_title,
            zh_tldr,
            zh_abstract,
            fields,
            model,
            marks,
            retries,
            cut,
            summarised_version: version,
            ..Record::of(paper)
        }
    }

    /// What was written about the paper, if anything was.
    pub fn into_written(self) -> Option<WrittenSummary> {
        self.has_summary().then(|| {
            let Record { zh_title, zh_tldr, zh_abstract, fields, .. } = self;
            let Record { model, marks, retries, cut, summarised_version: version, .. } = self;
            let summary = Summary { zh_title, zh_tldr, zh_abstract };
            WrittenSummary { summary, fields, model, marks, retries, cut, version }
        })
    }

    /// Whether something was written about the paper, flagged or not.
    pub fn has_summary(&self) -> bool {
        self.error.is_none() && !(self.zh_tldr.is_empty() && self.zh_abstract.is_empty())
    }
}

/// Why a paper is in a digest of chosen papers, and stands where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Relevance {
    /// Terms that it was kept for, as the reader typed them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<String>,
    /// Its place by likeness to the reader's library, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<u64>,
    /// Title of the library's nearest paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
}

/// A summary, and everything that is known of how it came about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WrittenSummary {
    /// The three texts.
    pub summary: Summary,
    /// Which of them were asked for.
    pub fields: Fields,
    /// Which model wrote it, with an adapter that is not its own; empty where that is not known.
    pub model: String,
    /// What the checks found; empty means clean.
    pub marks: Vec<Flaw>,
    /// How often the paper was tried again.
    pub retries: u32,
    /// Whether the abstract was cut before the model read it.
    pub cut: bool,
    /// The version that it is of, where it is an older one than the paper's.
    pub version: Option<u32>,
}

impl WrittenSummary {
    /// Whether none of the texts that were asked for is empty.
    pub fn is_whole(&self) -> bool {
        self.summary.has(self.fields)
    }
}

/// What a line of a JSONL source can be.
pub trait JsonLine: DeserializeOwned {
    /// What it is called, with its article.
    const NAME: &'static str;
    /// What to say where a line is none.
    const HINT: &'static str;
}

impl JsonLine for Record {
    const NAME: &'static str = "a record";
    const HINT: &'static str = "a record is one line of JSON with `title`, `link` and `abstract`";
}

/// Reads one record a line; `name` is what messages call the source.
///
/// A line that is no record gives an error with its number and does not end the iteration; a
/// source that cannot be read does. Empty lines are passed over.
pub fn read_jsonl<R: BufRead>(source: R, name: impl Into<String>) -> JsonlReader<R> {
    read_lines(source, name)
}

/// Reads one `T` a line, by the rules of [`read_jsonl`].
pub fn read_lines<T: JsonLine, R: BufRead>(
    source: R,
    name: impl Into<String>,
) -> JsonlReader<R, T> {
    let name = name.into();
    JsonlReader { source, name, line_number: 0, line: Vec::new(), ended: false, of: PhantomData }
}

/// Iterator over the records of a JSONL source, made by [`read_jsonl`], or over what else is in
/// it.
#[derive(Debug)]
pub struct JsonlReader<R, T = Record> {
    source: R,
    name: String,
    line_number: u64,
    line: Vec<u8>,
    ended: bool,
    of: PhantomData<T>,
}

impl<R, T> JsonlReader<R, T> {
    /// The line that the last item was read from, as it stands and without its end.
    pub fn line(&self) -> &[u8] {
        self.line.trim_ascii()
    }
}

impl<R: BufRead, T: JsonLine> Iterator for JsonlReader<R, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.read_line() {
                Ok(true) if self.line.trim_ascii().is_empty() => {}
                Ok(true) => return Some(self.parse_line()),
                Ok(false) => self.ended = true,
                Err(cause) => {
                    self.ended = true;
                    let message = format!("cannot read {}", self.name);
                    return Some(Err(Error::new(ErrorKind::Io, message).because(cause)));
                }
            }
        }
        None
    }
}

impl<R: BufRead, T: JsonLine> JsonlReader<R, T> {
    /// Reads the next line, at most one byte over the limit; false at the end.
    fn read_line(&mut self) -> std::io::Result<bool> {
        self.line.clear();
        let limit = MAX_LINE_BYTES as u64 + 1;
        self.source.by_ref().take(limit).read_until(b'\n', &mut self.line)?;
        if self.line.is_empty() {
            return Ok(false);
        }
        self.line_number += 1;
        if self.line.len() > MAX_LINE_BYTES && self.line.last() != Some(&b'\n') {
            self.source.skip_until(b'\n')?;
        }
        if self.line_number == 1 && self.line.starts_with(b"\xef\xbb\xbf") {
            self.line.drain(..3);
        }
        Ok(true)
    }

    fn parse_line(&self) -> Result<T> {
        let place = || format!("{}, line {}", self.name, self.line_number);
        if self.line.len() > MAX_LINE_BYTES {
            let message = format!("{}: longer than {MAX_LINE_BYTES} bytes", place());
            return Err(Error::new(ErrorKind::Input, message));
        }
        let parsed = serde_json::from_slice(&self.line);
        parsed.or_else(|_| serde_json::from_slice(&as_valid_json(&self.line))).map_err(|cause| {
            let message = format!("{}: not {}: {}", place(), T::NAME, plain(&cause));
            Error::new(ErrorKind::Input, message).hint(T::HINT)
        })
    }
}

/// `json` with `null` in place of the tokens `NaN`, `Infinity` and `-Infinity`, which JSON does not
/// have (RFC 8259, chapter 6) and Python's `json` writes all the same, and with U+FFFD in place of
/// halves of characters (chapter 8.2), which stand where a text was cut within a pair of surrogates.
pub(crate) fn as_valid_json(json: &[u8]) -> Cow<'_, [u8]> {
    const TOKENS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];
    const SURROGATES: [&[u8]; 2] = [b"\\ud", b"\\uD"];
    let signs: [&[u8]; 4] = [TOKENS[0], TOKENS[1], SURROGATES[0], SURROGATES[1]];
    if !signs.iter().any(|sign| json.windows(sign.len()).any(|bytes| bytes == *sign)) {
        return Cow::Borrowed(json);
    }
    let mut valid = Vec::with_capacity(json.len() + 8);
    let mut in_string = false;
    let mut at = 0;
    while at < json.len() {
        let rest = &json[at..];
        let token = TOKENS.iter().find(|token| !in_string && rest.starts_with(token));
        let length = match (token, rest[0]) {
            (Some(token), _) => {
                valid.extend_from_slice(b"null");
                at += token.len();
                continue;
            }
            // An escape hides the quote behind it.
            (None, b'\\') if in_string && rest.len() > 1 => match escaped(rest) {
                Some(0xd800..=0xdbff) if matches!(escaped(&rest[6..]), Some(0xdc00..=0xdfff)) => 12,
                Some(0xd800..=0xdfff) => {
                    valid.extend_from_slice(b"\\ufffd");
                    at += 6;
                    continue;
                }
                _ => 2,
            },
            (None, byte) => {
                in_string ^= byte == b'"';
                1
            }
        };
        valid.extend_from_slice(&rest[..length]);
        at += length;
    }
    Cow::Owned(valid)
}

/// The code unit that an escape at the beginning of `text` stands for, if it is of the form `\u1234`.
fn escaped(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    u16::from_str_radix(digits, 16).ok()
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}
