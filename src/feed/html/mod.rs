//! The catch-up page of arXiv (`https://arxiv.org/catchup/CATEGORY/DAY?abs=True`): what was
//! announced on a day, in up to three sections, each a `<dl id="articles">` with a heading that
//! counts its entries, an entry a `<dt>` and `<dd>`.
//!
//! The page is cut into tags and text by the rules of HTML (`html5gum`); which of them mean what is
//! said here, by their classes. Markup that is not known is passed over, so that arXiv can add to
//! the page; what the page counts is compared with what was found, so that a change of what is
//! known cannot lose papers in silence.
//!
//! The page tells no versions. What is announced as new is the first.

mod entry;

use std::io::Read;

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};

use super::delivery::Delivery;
use super::page::Page;
use super::reader::TextReader;
use super::text::fold;
use super::{Format, Item, MAX_HTML_BYTES, MAX_ITEM_BYTES, Position};
use crate::error::plain;
use crate::paper::{Announce, Date};
use crate::{Error, Result};
use entry::Entry;

/// What begins the heading of a catch-up page.
const TITLE: &str = "Catchup results for ";

/// Most bytes of text between two tags that are looked at outside of entries.
const MAX_LOOSE_BYTES: usize = 1 << 10;

/// Whether an input that begins like this is a web page.
pub(super) fn is_html(opening: &str) -> bool {
    let starts_with = |start: &str| {
        opening.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start))
    };
    let ends_name =
        |at: usize| opening[at..].starts_with(|c: char| c == '>' || c.is_ascii_whitespace());
    ["<!doctype html", "<html"]
        .into_iter()
        .any(|start| starts_with(start) && ends_name(start.len()))
}

/// Reads a catch-up page.
pub(super) fn read<R: Read>(text: &mut TextReader<R>, out: &mut Delivery) -> Result<()> {
    let (page, broken) = whole(text, out)?;
    let mut walk = Walk::default();
    let mut emitter = DefaultEmitter::default();
    // Scripts may hold what looks like tags.
    emitter.naively_switch_states(true);
    for token in Tokenizer::new_with_emitter(&page, emitter) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => walk.start(&tag, out)?,
            Token::EndTag(tag) => walk.end(&tag.name, out)?,
            Token::String(text) => walk.text(&String::from_utf8_lossy(&text.value)),
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    walk.finish(broken, text.line(), out)
}

/// Why a page could not be read further, and whether another try may read on.
type Break = (String, bool);

/// The page as text, and its break, if there is one.
fn whole<R: Read>(text: &mut TextReader<R>, out: &mut Delivery) -> Result<(String, Option<Break>)> {
    use std::io::BufRead;
    let mut page = Vec::new();
    let broken = loop {
        text.next_piece();
        let chunk = match text.fill_buf() {
            Ok([]) => break None,
            Ok(chunk) => chunk,
            Err(cause) => {
                let reason = format!("the page breaks off: {}", plain(&cause));
                break Some((reason, out.can_go_on(&cause)));
            }
        };
        if page.len() + chunk.len() > MAX_HTML_BYTES {
            let mib = MAX_HTML_BYTES >> 20;
            return Err(out.error(&format!("is a web page of more than {mib} MiB")));
        }
        page.extend_from_slice(chunk);
        let count = chunk.len();
        text.consume(count);
    };
    if let Some(line) = text.take_mended_line() {
        out.mended(line, text.encoding())?;
    }
    Ok((String::from_utf8_lossy(&page).into_owned(), broken))
}

/// Where in the page the walk is.
#[derive(Debug, Default)]
struct Walk {
    is_catch_up: bool,
    day: Option<Date>,
    heading: Option<String>,
    /// Text outside of entries since the last tag.
    loose: String,
    announce: Option<Announce>,
    entry: Option<Entry>,
    /// Entries that were met, whether they could be read or not.
    entries: u64,
    /// What the page says: entries of the whole day, and the sum of what its sections say.
    total: Option<u64>,
    in_sections: Option<u64>,
    /// Entries that the headings of the page's sections promise.
    promised: u64,
    is_over: bool,
}

impl Walk {
    fn start(&mut self, tag: &StartTag<()>, out: &mut Delivery) -> Result<()> {
        self.look_at_loose_text();
        match &tag.name[..] {
            b"h1" | b"h3" => self.heading = Some(String::new()),
            b"dt" => {
                self.deliver(out)?;
                self.entries += 1;
                self.entry = Some(Entry::default());
            }
            _ => {
                if let Some(entry) = &mut self.entry {
                    entry.start(tag);
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, name: &[u8], out: &mut Delivery) -> Result<()> {
        self.look_at_loose_text();
        match name {
            b"h1" | b"h3" => {
                if let Some(heading) = self.heading.take() {
                    self.take_heading(&fold(&heading), out);
                }
            }
            b"dd" | b"dl" => self.deliver(out)?,
            b"html" | b"body" => self.is_over = true,
            _ => {
                if let Some(entry) = &mut self.entry {
                    entry.end(name);
                }
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        if let Some(heading) = &mut self.heading {
            push(heading, text, MAX_LOOSE_BYTES);
        } else if let Some(entry) = &mut self.entry {
            entry.text(text);
        } else {
            push(&mut self.loose, text, MAX_LOOSE_BYTES);
        }
    }

    /// `Total of 12 entries for Wed, 25 Nov 2026`.
    fn look_at_loose_text(&mut self) {
        if self.loose.is_empty() {
            return;
        }
        let text = fold(&std::mem::take(&mut self.loose));
        let total = text.strip_prefix("Total of ").and_then(|rest| rest.split(' ').next());
        self.total = self.total.or_else(|| total.and_then(number));
    }

    fn take_heading(&mut self, heading: &str, out: &mut Delivery) {
        if let Some(rest) = heading.strip_prefix(TITLE) {
            self.is_catch_up = true;
            let day = rest.rsplit_once(" on ").map_or("", |(_, day)| day);
            self.day = Date::strptime("%a, %d %b %Y", day).ok();
            out.is_a(Format::CatchUp);
        }
        self.announce = match heading.split(' ').next() {
            Some("New") => Some(Announce::New),
            Some("Cross" | "Cross-lists") => Some(Announce::Cross),
            Some("Replacement" | "Replacements") => Some(Announce::Replace),
            _ => return,
        };
        // `(showing 12 of 12 entries)`, `(continued, showing last 3 of 15 entries)`
        let words: Vec<&str> = heading.split(' ').collect();
        let counts = words.windows(3).find(|three| three[1] == "of");
        if let Some([shown, _, all]) = counts
            && let (Some(shown), Some(all)) = (number(shown), number(all))
        {
            self.promised = self.promised.saturating_add(shown);
            let in_sections = self.in_sections.get_or_insert(0);
            *in_sections = in_sections.saturating_add(all);
        }
    }

    /// Hands the open entry over, which is complete.
    fn deliver(&mut self, out: &mut Delivery) -> Result<()> {
        let Some(entry) = self.entry.take() else { return Ok(()) };
        let position = Position::Item(self.entries);
        if !self.is_catch_up {
            return Ok(());
        }
        if entry.bytes > MAX_ITEM_BYTES {
            let mib = MAX_ITEM_BYTES >> 20;
            return out.malformed(position, format!("the item is longer than {mib} MiB"));
        }
        match entry.into_raw(self.announce, self.day).and_then(|raw| raw.into_paper()) {
            Ok(paper) => out.item(Item { paper, written: None, notice: None }),
            Err(reason) => out.malformed(position, reason),
        }
    }

    fn finish(mut self, broken: Option<Break>, line: u64, out: &mut Delivery) -> Result<()> {
        let is_whole = broken.is_none() && self.is_over;
        if let Some(entry) = &self.entry
            && (is_whole || entry.is_complete())
        {
            self.deliver(out)?;
        }
        // One that broke off may have been going to be one.
        let may_pass = broken.as_ref().is_some_and(|(_, may_pass)| *may_pass);
        if !self.is_catch_up && !may_pass {
            return Err(no_listing(out));
        }
        if let Some(day) = self.day {
            out.is_of(day);
        }
        if !is_whole {
            let ends = || ("the page ends in its middle".to_owned(), out.is_fetched);
            let (reason, may_pass) = broken.unwrap_or_else(ends);
            out.break_off(line, reason, may_pass);
        }
        // Of two numbers that differ the larger one: it is the one that can tell of a loss.
        let total = self.total.max(self.in_sections);
        let promised = self.promised;
        out.page(Page { total, promised: Some(promised), items: self.entries, ..Page::default() })
    }
}

fn no_listing(out: &Delivery) -> Error {
    out.error("is a web page, and no catch-up page of arXiv").hint(match out.follows_pages {
        true => "is it arXiv that answers? some networks answer for others until one signs in",
        false => "name the address of the feed itself, or a source such as arxiv:cs.CL",
    })
}

/// `2,000` and `12`; none where it is no number.
fn number(text: &str) -> Option<u64> {
    text.replace(',', "").parse().ok()
}

fn push(into: &mut String, text: &str, most: usize) {
    if into.len() + text.len() <= most {
        into.push_str(text);
    }
}
