//! One entry of a catch-up page: collected from its tags and texts, then made a paper of.

use html5gum::StartTag;

use crate::feed::MAX_ITEM_BYTES;
use crate::feed::raw::Raw;
use crate::feed::text::authors;
use crate::paper::{Announce, Date, PaperId};

/// A part of an entry whose text is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Title,
    Authors,
    Comments,
    Subjects,
    Abstract,
    /// One that is of no interest.
    Other,
}

/// What an entry has said so far.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Bytes of its text so far, what is passed over included.
    pub(super) bytes: usize,
    id: String,
    part: Option<Part>,
    /// Whether the text is that of a label: `Title:`.
    in_label: bool,
    title: String,
    authors: String,
    comments: String,
    subjects: String,
    abstract_text: String,
    has_abstract: bool,
    /// The address of the link whose text is being collected, and where that text begins.
    link: Option<(String, usize)>,
}

/// What arXiv shows for an address that an abstract or a comment has.
const ADDRESSES: [&str; 3] = ["this http URL", "this https URL", "this ftp URL"];

impl Entry {
    pub(super) fn start(&mut self, tag: &StartTag<()>) {
        match &tag.name[..] {
            b"a" if self.id.is_empty() && self.part.is_none() => {
                let link = attribute(tag, b"href").unwrap_or_default();
                if let Some((_, id)) = link.split_once("/abs/")
                    && PaperId::parse(id).is_some()
                {
                    self.id = id.to_owned();
                }
            }
            b"a" => {
                let begin = self.collected().map(|text| text.len());
                self.link = attribute(tag, b"href").zip(begin);
            }
            // What breaks a line parts words.
            b"br" => self.text("\n"),
            b"span" => {
                self.in_label = attribute(tag, b"class").as_deref() == Some("descriptor");
            }
            _ => {
                if let Some(part) = part_of(tag) {
                    self.part = Some(part);
                }
            }
        }
    }

    pub(super) fn end(&mut self, name: &[u8]) {
        match (name, self.part) {
            (b"span", _) => self.in_label = false,
            (b"a", _) => self.end_link(),
            (b"p", Some(Part::Abstract)) => {
                self.part = None;
                self.has_abstract = true;
            }
            (b"div", Some(part)) if part != Part::Abstract => self.part = None,
            _ => {}
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes += text.len();
        if self.in_label || self.bytes > MAX_ITEM_BYTES {
            return;
        }
        if let Some(into) = self.collected() {
            into.push_str(text);
        }
    }

    /// The text of the part that is being read.
    fn collected(&mut self) -> Option<&mut String> {
        match self.part? {
            Part::Title => Some(&mut self.title),
            Part::Authors => Some(&mut self.authors),
            Part::Comments => Some(&mut self.comments),
            Part::Subjects => Some(&mut self.subjects),
            Part::Abstract => Some(&mut self.abstract_text),
            Part::Other => None,
        }
    }

    /// Puts the address itself where the page says that there is one, as other forms of the feed have it.
    fn end_link(&mut self) {
        let Some((address, begin)) = self.link.take() else { return };
        let is_text_of_address =
            |text: &&mut String| text.get(begin..).is_some_and(|said| ADDRESSES.contains(&said));
        if self.bytes + address.len() > MAX_ITEM_BYTES {
            return;
        }
        if let Some(text) = self.collected().filter(is_text_of_address) {
            text.replace_range(begin.., &address);
            self.bytes += address.len();
        }
    }

    /// Whether its last part, the abstract, has come to its end.
    pub(super) fn is_complete(&self) -> bool {
        self.has_abstract
    }

    /// The paper as the page has it; the error says what is missing.
    pub(super) fn into_raw(
        self,
        announce: Option<Announce>,
        day: Option<Date>,
    ) -> Result<Raw, String> {
        if self.id.is_empty() {
            return Err("the entry has no link to its abstract".to_owned());
        }
        if self.abstract_text.trim().is_empty() {
            return Err(format!("{} has no abstract; ask for the page with abs=True", self.id));
        }
        let version = match announce {
            Some(Announce::New) => Some(1),
            _ => None,
        };
        Ok(Raw {
            ids: vec![self.id],
            version,
            title: self.title,
            abstract_text: self.abstract_text,
            authors: authors(&self.authors),
            categories: self.subjects.split(';').filter_map(category).collect(),
            announce,
            comment: self.comments,
            published: day.map(|day| day.to_string()).unwrap_or_default(),
            ..Raw::default()
        })
    }
}

/// `cs.CL` of `Computation and Language (cs.CL)`.
fn category(subject: &str) -> Option<String> {
    let (_, name) = subject.trim().strip_suffix(')')?.rsplit_once('(')?;
    Some(name.trim().to_owned())
}

/// Which part of an entry a tag opens.
fn part_of(tag: &StartTag<()>) -> Option<Part> {
    let class = attribute(tag, b"class")?;
    let has = |name: &str| class.split_ascii_whitespace().any(|class| class == name);
    Some(match &tag.name[..] {
        b"div" if has("list-title") => Part::Title,
        b"div" if has("list-authors") => Part::Authors,
        b"div" if has("list-comments") => Part::Comments,
        b"div" if has("list-subjects") => Part::Subjects,
        b"div" if has("list-journal-ref") => Part::Other,
        b"p" if has("mathjax") => Part::Abstract,
        _ => return None,
    })
}

fn attribute(tag: &StartTag<()>, name: &[u8]) -> Option<String> {
    let (_, value) = tag.attributes.iter().find(|(key, _)| &key[..] == name)?;
    Some(String::from_utf8_lossy(&value.value).into_owned())
}
