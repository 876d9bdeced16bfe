//! Digests as pages: one file each, which asks nothing of the network.
//!
//! Style and script stand in the file, and a Content-Security-Policy names both by their hashes and
//! allows nothing else; so even a mistake in escaping could run no script, load no picture and send
//! nothing anywhere. Without script a page shows everything and lacks search and filters.

mod index;
mod policy;

use std::io::Write;

use minijinja::{Value, context};

pub use index::{DayOfSite, TitleOfSite, site_index};

use super::overview::Overview;
use super::templates::Templates;
use super::view::view;
use super::{Group, Records};
use crate::error::{Error, ErrorKind, Result};
use crate::paper::Date;
use policy::policy;

/// What all pages look like.
const STYLE: &str = include_str!("../templates/page.css");
/// Search, filters and the choice between light and dark.
const SCRIPT: &str =
    concat!(include_str!("../templates/theme.js"), include_str!("../templates/page.js"));

/// How a page is laid out.
#[derive(Debug, Clone, Default)]
pub struct Page<'a> {
    /// Which records get a heading together.
    pub group: Option<Group>,
    /// The file of the index that the page belongs to, as seen from the page.
    pub index: Option<&'a str>,
    /// The day that it is of; where there is none, the latest that a record tells.
    pub day: Option<Date>,
}

/// Writes the page of `records`, reading them twice: for the head, which counts them, and for the
/// papers.
///
/// # Errors
/// [`ErrorKind::Io`] where `out` cannot be written to, and what `records` fails with.
pub fn html(records: &dyn Records, page: &Page, out: &mut dyn Write) -> Result<()> {
    let templates = Templates::new()?;
    let mut overview = Overview::of(records)?;
    overview.day = page.day.or(overview.day);
    put(out, &templates.fill("page-head.html", head(&overview, page))?)?;
    let day = overview.day.map(|day| day.to_string());
    let mut number = 0;
    let mut name = None;
    records.for_each_record(&mut |record| {
        number += 1;
        let next = page.group.map(|group| group.name_of(record));
        let starts = number == 1 || next != name;
        let values = context! {
            paper => view(record),
            number => number,
            day => day.as_deref(),
            starts_section => starts,
            ends_section => starts && number > 1,
            section => next.clone(),
        };
        name = next;
        put(out, &templates.fill("paper.html", values)?)
    })?;
    let is_empty = number == 0;
    let tail = context! { script => SCRIPT, has_section => !is_empty, is_empty => is_empty };
    put(out, &templates.fill("page-tail.html", tail)?)
}

fn head(overview: &Overview, page: &Page) -> Value {
    let categories: Vec<Value> = overview
        .categories()
        .into_iter()
        .map(|(name, count)| context! { name => name, count => count })
        .collect();
    context! {
        policy => policy(STYLE, SCRIPT),
        style => STYLE,
        day => overview.day.map(|day| day.to_string()),
        papers => overview.papers,
        marked => overview.marked,
        without => overview.failed + overview.noticed,
        categories => categories,
        index => page.index,
    }
}

fn put(out: &mut dyn Write, text: &str) -> Result<()> {
    let failed = |cause| Error::new(ErrorKind::Io, "cannot write the page").because(cause);
    out.write_all(text.as_bytes()).map_err(failed)
}
