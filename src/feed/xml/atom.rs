//! Atom: that of rss.arxiv.org, where authors are one list, and that of the API, where each
//! author is an element and the primary category is told.

use super::fields::Fields;
use crate::feed::raw::Raw;
use crate::feed::text::{authors, fold};
use crate::paper::PaperId;
use crate::paper::announce_type;

pub(super) fn raw(entry: &Fields) -> Raw {
    let id = entry.text("id").trim();
    let link = entry
        .attribute_where("link", ("rel", "alternate"), "href")
        .or_else(|| entry.attributes("link", "href").next())
        .unwrap_or(if id.starts_with("http") { id } else { "" });
    let mut names: Vec<String> = entry.texts("author/name").map(str::to_owned).collect();
    if names.is_empty() {
        names = authors(&entry.texts("creator").collect::<Vec<_>>().join(","));
    }
    let primary = entry.attributes("primary_category", "term");
    Raw {
        ids: vec![id.to_owned()],
        link: link.to_owned(),
        title: entry.text("title").to_owned(),
        abstract_text: entry.text("summary").to_owned(),
        authors: names,
        categories: primary
            .chain(entry.attributes("category", "term"))
            .map(str::to_owned)
            .collect(),
        announce: announce_type(entry.text("announce_type")),
        comment: entry.text("comment").to_owned(),
        published: entry.text("published").to_owned(),
        updated: entry.text("updated").to_owned(),
        ..Raw::default()
    }
}

/// The API's way to say that a request was wrong: an entry titled `Error` that names no paper.
pub(super) fn error_message(entry: &Raw) -> Option<String> {
    let mut names = entry.ids.iter().chain([&entry.link]);
    let is_error =
        entry.title.trim() == "Error" && names.all(|name| PaperId::parse(name).is_none());
    is_error.then(|| fold(&entry.abstract_text))
}
