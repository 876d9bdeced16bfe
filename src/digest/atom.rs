//! The digest as an Atom feed (RFC 4287), for the readers that people have on phones and desktops.
//!
//! An entry's id is the address of the paper's abstract without its version. It is permanent, and it
//! is known of every arXiv paper wherever it came from; so a new version is an update of the entry
//! that a reader has already, and not a second one. (A `tag:` needs an authority and a day that
//! belong to whoever publishes the feed, and this program knows neither.) What has no arXiv id has a
//! name that is made of its link and title. Days come from the records; the same records give the
//! same bytes.

use std::io::Write;

use minijinja::context;

use super::entry;
use super::line::{one_line, web_address};
use super::templates::Templates;
use super::view::view;
use super::{Overview, Records};
use crate::error::{Error, ErrorKind, Result};
use crate::hash;
use crate::paper::{Date, PaperId};
use crate::record::Record;

/// What a feed is called.
#[derive(Debug, Clone)]
pub struct Feed<'a> {
    /// Tells this feed of a user from the others, day after day, such as `cs.CL`; may be empty.
    pub name: &'a str,
    /// The day of what tells none.
    pub today: Date,
    /// Where the feed and its page will stand, where that is known.
    pub site: Option<&'a FeedSite>,
}

/// Addresses of a feed, which RFC 4287 recommends to tell in it: readers find by them what moved.
#[derive(Debug, Clone)]
pub struct FeedSite {
    /// The page that the feed belongs to.
    page: String,
    /// The feed.
    feed: String,
}

impl FeedSite {
    /// The folder at `address`, with or without a slash at its end, where the feed has the name
    /// `file`; none if `address` is none of the web.
    pub fn new(address: &str, file: &str) -> Option<Self> {
        let address = web_address(address).filter(|address| !address.contains(['?', '#']))?;
        let page = format!("{}/", address.trim_end_matches('/'));
        Some(FeedSite { feed: format!("{page}{file}"), page })
    }
}

/// Writes the feed of `records`, reading them twice: for the day of the feed and for its entries.
///
/// # Errors
/// [`ErrorKind::Io`] where `out` cannot be written to, and what `records` fails with.
pub fn atom(records: &dyn Records, feed: &Feed, out: &mut dyn Write) -> Result<()> {
    let templates = Templates::new()?;
    let day = Overview::of(records)?.day.unwrap_or(feed.today);
    let name = one_line(feed.name);
    let title = if name.is_empty() { "文摘".to_owned() } else { format!("文摘 {name}") };
    let head = context! {
        // The address of a feed is its own; a name may be another's, too.
        id => urn("feed", &name, feed.site.map_or("", |site| &site.feed)),
        title => title,
        updated => midnight(day),
        address => feed.site.map(|site| &site.feed),
        page => feed.site.map(|site| &site.page),
    };
    put(out, &templates.fill("feed-head.xml", head)?)?;
    records.for_each_record(&mut |record| {
        let paper = view(record);
        let content = templates.fill("content.html", context! { paper => paper.clone() })?;
        let values = context! {
            id => id(record),
            updated => midnight(entry::day(record).unwrap_or(day)),
            published => entry::told(record.published).map(midnight),
            paper => paper,
            content => content,
        };
        put(out, &templates.fill("entry.xml", values)?)
    })?;
    put(out, "</feed>\n")
}

/// The name under which readers remember an entry.
fn id(record: &Record) -> String {
    let of = |text: &str| PaperId::parse(text).map(|(id, _)| id.link());
    of(&record.id).or_else(|| of(&record.link)).unwrap_or_else(|| {
        // Two papers may have one title.
        let link = web_address(&record.link).unwrap_or_else(|| one_line(&record.link));
        let link = if link.is_empty() { one_line(&record.abstract_text) } else { link };
        urn("paper", &link, &one_line(&record.title))
    })
}

/// A UUID that is made of texts (version 8 of RFC 9562: the bits of a SHA-256).
fn urn(kind: &str, one: &str, other: &str) -> String {
    let mut bytes = hash::digest(format!("wenzhai\n{kind}\n{one}\n{other}"));
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits: String = bytes[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "urn:uuid:{}-{}-{}-{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..]
    )
}

/// A day in the form of RFC 3339. Feeds tell days, so there is no hour to keep.
fn midnight(day: Date) -> String {
    format!("{day}T00:00:00Z")
}

fn put(out: &mut dyn Write, text: &str) -> Result<()> {
    let failed = |cause| Error::new(ErrorKind::Io, "cannot write the feed").because(cause);
    out.write_all(text.as_bytes()).map_err(failed)
}
