//! The walk through an XML feed: collects the elements of one item at a time and hands them to
//! the form that the root element told.
//!
//! Names are compared without their prefixes, since intermediaries rewrite those. Entities other
//! than XML's own are left as they stand and document types are passed over, so that no input
//! can make the text longer than it is.

mod atom;
mod fields;
mod oai;
mod rdf;
mod rss;

use std::io::Read;

use quick_xml::Reader;
use quick_xml::errors::SyntaxError;
use quick_xml::events::{BytesStart, Event};

use super::delivery::Delivery;
use super::page::Page;
use super::raw::day;
use super::reader::TextReader;
use super::text::{fold, unescape};
use super::{Format, Item, MAX_ITEM_BYTES, MAX_XML_LEVELS, Position};
use crate::error::plain;
use crate::text::printable;
use crate::{Error, Result};
use fields::{Field, Fields};

/// Most characters that are kept of a name; those that mean something have twenty at most.
const MAX_KEPT_CHARS: usize = 100;

/// Most characters of an element's name in a message.
const MAX_NAME_CHARS: usize = 60;

/// Most characters of a feed's own words in a message.
const MAX_TEXT_CHARS: usize = 200;

/// Where a list of OAI-PMH says how it goes on.
const TOKEN: &str = "ListRecords/resumptionToken";

/// The root elements that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    Rdf,
    Rss,
    Feed,
    Oai,
}

/// Where in the document the walk is.
#[derive(Debug, Default)]
struct Walk {
    root: Option<Root>,
    /// The elements that are open, from the root down.
    names: Vec<String>,
    open: Vec<Field>,
    head: Fields,
    head_is_checked: bool,
    /// Items since the root element began, whether they could be read or not.
    items: u64,
    item: Option<OpenItem>,
}

#[derive(Debug)]
struct OpenItem {
    /// How many elements are open around it.
    depth: usize,
    line: u64,
    bytes: usize,
    fields: Fields,
}

/// Reads a feed to its end, or to where it breaks off.
pub(super) fn read<R: Read>(text: &mut TextReader<R>, out: &mut Delivery) -> Result<()> {
    let mut reader = Reader::from_reader(text);
    reader.config_mut().allow_dangling_amp = true;
    reader.config_mut().trim_markup_names_in_closing_tags = true;
    let mut walk = Walk::default();
    let mut piece = Vec::new();
    loop {
        piece.clear();
        reader.get_mut().next_piece();
        let event = reader.read_event_into(&mut piece);
        let (line, mended) = (reader.get_ref().line(), reader.get_mut().take_mended_line());
        if let Some(line) = mended {
            out.mended(line, reader.get_ref().encoding())?;
        }
        match event {
            Ok(Event::Start(tag)) => walk.start(&tag, line, out)?,
            Ok(Event::Empty(tag)) => {
                walk.start(&tag, line, out)?;
                walk.end(out)?;
            }
            Ok(Event::End(_)) => walk.end(out)?,
            Ok(Event::Text(text)) => walk.text(&text),
            Ok(Event::CData(text)) => walk.text(&text),
            Ok(Event::GeneralRef(name)) => walk.text(&unescape(&format!("&{};", &*name))),
            Ok(Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::DocType(_)) => {}
            Ok(Event::Eof) => match walk.names.last() {
                Some(name) => {
                    let name = printable(name, MAX_NAME_CHARS);
                    let reason = format!("the feed ends in the middle of <{name}>");
                    out.break_off(line, reason, out.is_fetched);
                    return walk.check_head(out);
                }
                None => return Ok(()),
            },
            Err(cause) => {
                let may_pass = match &cause {
                    quick_xml::Error::Io(cause) => out.can_go_on(cause),
                    // All but one of these are an end in the middle of something.
                    quick_xml::Error::Syntax(SyntaxError::InvalidBangMarkup) => false,
                    quick_xml::Error::Syntax(_) => out.is_fetched,
                    _ => false,
                };
                out.break_off(line, format!("the feed breaks off: {}", plain(&cause)), may_pass);
                return walk.check_head(out);
            }
        }
        reader.get_mut().note_papers(out.items());
        if walk.names.len() > MAX_XML_LEVELS {
            let reason = format!("more than {MAX_XML_LEVELS} elements inside one another");
            out.break_off(line, reason, false);
            return Ok(());
        }
    }
}

impl Walk {
    fn start(&mut self, tag: &BytesStart, line: u64, out: &mut Delivery) -> Result<()> {
        let name = local_name(tag.name().as_ref());
        if self.names.is_empty() {
            self.root = Some(Root::of(&name, out)?);
            self.head_is_checked = false;
            self.head = Fields::default();
            self.items = 0;
        }
        let begins_item = self.item.is_none() && self.root.is_some_and(|r| r.item_name() == name);
        self.names.push(name);
        if begins_item {
            self.check_head(out)?;
            let fields = Fields::default();
            self.item = Some(OpenItem { depth: self.names.len(), line, bytes: 0, fields });
        }
        let base = self.item.as_ref().map_or(1, |item| item.depth);
        let mut attributes = tag.attributes();
        // Looking for doubles takes the square of their number; the first of them counts here.
        attributes.with_checks(false);
        let attributes: Vec<_> = attributes
            .filter_map(|attribute| attribute.ok())
            .map(|a| (local_name(a.key.as_ref()), unescape(&a.value)))
            .collect();
        let path = self.names.get(base..).unwrap_or_default().join("/");
        if let Some(item) = &mut self.item {
            let attribute_bytes = attributes.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
            item.bytes += size_of::<Field>() + path.len() + attribute_bytes;
        }
        self.open.push(Field { path, attributes, text: String::new() });
        Ok(())
    }

    fn text(&mut self, text: &str) {
        let Some(field) = self.open.last_mut() else { return };
        match &mut self.item {
            Some(item) => {
                item.bytes += text.len();
                if item.bytes > MAX_ITEM_BYTES {
                    return;
                }
            }
            None if !is_of_head(&field.path) || field.text.len() > MAX_ITEM_BYTES => return,
            None => {}
        }
        field.text.push_str(text);
    }

    fn end(&mut self, out: &mut Delivery) -> Result<()> {
        let depth = self.names.len();
        self.names.pop();
        let Some(field) = self.open.pop() else { return Ok(()) };
        match self.item.take() {
            Some(item) if item.depth == depth => self.deliver(item, out),
            Some(mut item) => {
                // Markup within a text; of the authors of OAI-PMH each part is read by itself.
                let is_in_text = |parent: &&mut Field| {
                    item.depth < depth - 1 && !parent.path.starts_with("metadata/arXiv/authors")
                };
                if let Some(parent) = self.open.last_mut().filter(is_in_text) {
                    item.bytes += field.text.len();
                    if item.bytes <= MAX_ITEM_BYTES {
                        parent.text.push_str(&field.text);
                    }
                }
                if item.bytes <= MAX_ITEM_BYTES {
                    item.fields.0.push(field);
                }
                self.item = Some(item);
                Ok(())
            }
            None => {
                if is_of_head(&field.path) && !self.head.has(&field.path) {
                    self.head.0.push(field);
                }
                if depth > 1 {
                    return Ok(());
                }
                self.check_head(out)?;
                self.tell_page(out)
            }
        }
    }

    /// Says what the feed is, and refuses one that says that it is an error.
    fn check_head(&mut self, out: &mut Delivery) -> Result<()> {
        let Some(root) = self.root.filter(|_| !self.head_is_checked) else { return Ok(()) };
        self.head_is_checked = true;
        out.is_a(match root {
            Root::Rdf => Format::Rdf,
            Root::Rss => Format::Rss,
            Root::Feed if self.head.has("totalResults") => Format::ApiAtom,
            Root::Feed => Format::Atom,
            Root::Oai => Format::Oai,
        });
        let head = |atom, rss| {
            let text = fold(&[self.head.text(atom), self.head.text(rss)].concat());
            printable(&text, MAX_TEXT_CHARS)
        };
        let title = head("title", "channel/title");
        if title.starts_with("Feed error for query") {
            let detail = head("subtitle", "channel/description");
            return Err(out.error(&format!("is an error message of arXiv: {title}: {detail}")));
        }
        if root == Root::Oai && self.head.has("error") {
            let code = self.head.attributes("error", "code").next().unwrap_or_default();
            if code != "noRecordsMatch" {
                let detail = printable(&fold(self.head.text("error")), MAX_TEXT_CHARS);
                let code = printable(code, MAX_NAME_CHARS);
                let what = format!("is an error message of OAI-PMH: {code}: {detail}");
                // Tokens expire; a list that is followed begins anew with another run.
                return Err(match code.as_str() {
                    "badResumptionToken" if out.follows_pages => {
                        out.lacks(&what).hint("run again: it begins the list anew")
                    }
                    _ => out.error(&what),
                });
            }
        }
        Ok(())
    }

    /// Tells what the document says of the whole that it may be a part of: by OpenSearch 1.1 how
    /// many results there are and the number of the first one that it holds, from 0; by OAI-PMH 2.0
    /// the size of the list and the token that leads on; and which day a feed is of.
    fn tell_page(&self, out: &mut Delivery) -> Result<()> {
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let page = match self.root {
            Some(Root::Feed) => Page {
                total: number(self.head.text("totalResults")),
                start: number(self.head.text("startIndex")).unwrap_or(0),
                ..Page::default()
            },
            Some(Root::Oai) => {
                let sizes = self.head.attributes(TOKEN, "completeListSize");
                let token = fold(self.head.text(TOKEN));
                Page {
                    total: sizes.filter_map(number).next(),
                    token: (!token.is_empty()).then_some(token),
                    ..Page::default()
                }
            }
            _ => {
                let days = ["channel/pubDate", "channel/lastBuildDate"];
                if let Some(day) = days.into_iter().find_map(|path| day(self.head.text(path))) {
                    out.is_of(day);
                }
                Page::default()
            }
        };
        out.page(Page { items: self.items, ..page })
    }

    fn deliver(&mut self, item: OpenItem, out: &mut Delivery) -> Result<()> {
        self.items += 1;
        let position = Position::Line(item.line);
        if item.bytes > MAX_ITEM_BYTES {
            let mib = MAX_ITEM_BYTES >> 20;
            return out.malformed(position, format!("the item is longer than {mib} MiB"));
        }
        if self.root == Some(Root::Oai) {
            if oai::is_deleted(&item.fields) {
                return out.deleted();
            }
            return match oai::raw(&item.fields).and_then(|raw| raw.into_paper()) {
                Ok(paper) => out.item(Item { paper, written: None, notice: None }),
                Err(reason) => out.malformed(position, reason),
            };
        }
        let raw = match self.root {
            Some(Root::Rdf) => rdf::raw(&item.fields),
            Some(Root::Rss) => rss::raw(&item.fields),
            Some(Root::Feed) => atom::raw(&item.fields),
            Some(Root::Oai) | None => return Ok(()),
        };
        if let Some(message) = atom::error_message(&raw) {
            let message = printable(&message, MAX_TEXT_CHARS);
            return Err(out.error(&format!("is an error message of arXiv: {message}")));
        }
        match raw.into_paper() {
            Ok(paper) => out.item(Item { paper, written: None, notice: None }),
            Err(reason) => out.malformed(position, reason),
        }
    }
}

impl Root {
    fn of(name: &str, out: &Delivery) -> Result<Root> {
        match name {
            "RDF" => Ok(Root::Rdf),
            "rss" => Ok(Root::Rss),
            "feed" => Ok(Root::Feed),
            "OAI-PMH" => Ok(Root::Oai),
            _ => Err(Self::unknown(name, out)),
        }
    }

    fn unknown(name: &str, out: &Delivery) -> Error {
        let shown = printable(name, MAX_NAME_CHARS);
        let error = out.error(&format!("is XML of no known form; its root element is <{shown}>"));
        error.hint(match name {
            "html" => "this is a web page; name the address of the feed itself",
            _ => "known root elements are <rdf:RDF>, <rss>, <feed> and <OAI-PMH>",
        })
    }

    fn item_name(self) -> &'static str {
        match self {
            Root::Rdf | Root::Rss => "item",
            Root::Feed => "entry",
            Root::Oai => "record",
        }
    }
}

/// What of a feed's head is of interest; everything else outside of items is passed over.
fn is_of_head(path: &str) -> bool {
    matches!(
        path,
        "title"
            | "subtitle"
            | "totalResults"
            | "startIndex"
            | "channel/title"
            | "channel/description"
            | "channel/pubDate"
            | "channel/lastBuildDate"
            | TOKEN
            | "error"
    )
}

/// The name of an element or attribute without its prefix; one that is longer than any that means
/// something here is cut, since the names of all open elements are kept.
fn local_name(name: &str) -> String {
    let name = name.rsplit(':').next().unwrap_or(name);
    name.chars().take(MAX_KEPT_CHARS).collect()
}
