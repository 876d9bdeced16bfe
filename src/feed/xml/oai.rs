//! OAI-PMH 2.0 as arXiv has it: records in the metadata formats `arXiv`, which parts the names of
//! authors, and `arXivRaw`, which lists the versions. Records that were deleted have a header alone.

use super::fields::Fields;
use crate::feed::raw::Raw;
use crate::feed::text::{authors, fold};

/// Whether the record says that its paper is not there any more.
pub(super) fn is_deleted(record: &Fields) -> bool {
    record.attributes("header", "status").any(|status| status == "deleted")
}

/// The paper of a record; the error says what is wrong.
pub(super) fn raw(record: &Fields) -> Result<Raw, String> {
    if record.has("metadata/arXivRaw") {
        Ok(raw_format(record))
    } else if record.has("metadata/arXiv") {
        Ok(arxiv_format(record))
    } else {
        let id = fold(record.text("header/identifier"));
        Err(format!("{id} has no metadata in the formats arXiv or arXivRaw"))
    }
}

fn arxiv_format(record: &Fields) -> Raw {
    let text = |path| record.text(path).to_owned();
    Raw {
        ids: vec![text("metadata/arXiv/id"), text("header/identifier")],
        title: text("metadata/arXiv/title"),
        abstract_text: text("metadata/arXiv/abstract"),
        authors: names(record),
        categories: categories(record.text("metadata/arXiv/categories")),
        comment: text("metadata/arXiv/comments"),
        published: text("metadata/arXiv/created"),
        updated: text("metadata/arXiv/updated"),
        ..Raw::default()
    }
}

fn raw_format(record: &Fields) -> Raw {
    let text = |path| record.text(path).to_owned();
    let versions = versions(record);
    // They come as v1, v10, v2: neither the first nor the last is the highest.
    let newest = versions.iter().max_by_key(|(number, _)| *number);
    let oldest = versions.iter().min_by_key(|(number, _)| *number);
    let day = |version: Option<&(u32, String)>| version.map(|(_, day)| day.clone());
    Raw {
        ids: vec![text("metadata/arXivRaw/id"), text("header/identifier")],
        version: newest.map(|(number, _)| *number),
        title: text("metadata/arXivRaw/title"),
        abstract_text: text("metadata/arXivRaw/abstract"),
        authors: authors(&fold(record.text("metadata/arXivRaw/authors")).replace(" and ", ", ")),
        categories: categories(record.text("metadata/arXivRaw/categories")),
        comment: text("metadata/arXivRaw/comments"),
        published: day(oldest).unwrap_or_default(),
        updated: day(newest).unwrap_or_default(),
        ..Raw::default()
    }
}

/// One string, separated by spaces; primary first.
fn categories(list: &str) -> Vec<String> {
    list.split_whitespace().map(str::to_owned).collect()
}

/// First names, last name, suffix. The elements of an author end before the author does.
fn names(record: &Fields) -> Vec<String> {
    let mut names = Vec::new();
    let (mut last, mut first, mut suffix) = ("", "", "");
    for field in &record.0 {
        match field.path.as_str() {
            "metadata/arXiv/authors/author/keyname" => last = &field.text,
            "metadata/arXiv/authors/author/forenames" => first = &field.text,
            "metadata/arXiv/authors/author/suffix" => suffix = &field.text,
            "metadata/arXiv/authors/author" => {
                names.push([first, last, suffix].join(" "));
                (last, first, suffix) = ("", "", "");
            }
            _ => {}
        }
    }
    names
}

/// The versions and their days. The date of a version ends before the version does.
fn versions(record: &Fields) -> Vec<(u32, String)> {
    let mut versions = Vec::new();
    let mut day = "";
    for field in &record.0 {
        match field.path.as_str() {
            "metadata/arXivRaw/version/date" => day = &field.text,
            "metadata/arXivRaw/version" => {
                let name = field.attributes.iter().find(|(key, _)| key == "version");
                let number = name.and_then(|(_, name)| name.trim_start_matches('v').parse().ok());
                versions.extend(number.map(|number| (number, day.to_owned())));
                day = "";
            }
            _ => {}
        }
    }
    versions
}
