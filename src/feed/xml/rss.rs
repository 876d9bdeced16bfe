//! RSS 2.0 of rss.arxiv.org, since 2024.

use super::fields::Fields;
use crate::feed::raw::Raw;
use crate::feed::text::authors;
use crate::paper::announce_type;

pub(super) fn raw(item: &Fields) -> Raw {
    Raw {
        ids: vec![item.text("guid").to_owned()],
        link: item.text("link").to_owned(),
        title: item.text("title").to_owned(),
        abstract_text: item.text("description").to_owned(),
        authors: authors(&item.texts("creator").collect::<Vec<_>>().join(",")),
        categories: item.texts("category").map(str::to_owned).collect(),
        announce: announce_type(item.text("announce_type")),
        published: item.text("pubDate").to_owned(),
        ..Raw::default()
    }
}
