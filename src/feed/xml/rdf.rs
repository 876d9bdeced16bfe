//! RSS 1.0, as arXiv's feeds were to January 2024.
//!
//! The description is escaped HTML whose text is escaped once more, authors are escaped links,
//! and category, version and kind of announcement stand at the end of the title alone.

use super::fields::Fields;
use crate::feed::raw::Raw;
use crate::feed::text::{authors, unescape, without_tags};

pub(super) fn raw(item: &Fields) -> Raw {
    Raw {
        link: item.text("link").to_owned(),
        title: unescape(&without_tags(item.text("title"))),
        abstract_text: unescape(&without_tags(item.text("description"))),
        authors: authors(&unescape(&without_tags(item.text("creator")))),
        published: item.text("date").to_owned(),
        ..Raw::default()
    }
}
