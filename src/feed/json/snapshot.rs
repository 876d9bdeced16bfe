//! The metadata snapshot of all papers (Kaggle's copy of arXiv's): one record a line.

use serde_json::Value;

use super::fields::{Fields, texts};
use crate::feed::raw::{Mapped, Raw};
use crate::feed::text::{authors, fold};

pub(super) fn raw(mut record: Fields) -> Mapped {
    // Last name, first names, suffix; more where the snapshot adds an affiliation.
    let parsed = record.values("authors_parsed").into_iter().map(|name| match name {
        Value::Array(parts) => full_name(&texts(parts)),
        _ => String::new(),
    });
    let mut names: Vec<String> = parsed.collect();
    let list = record.text("authors");
    if names.is_empty() {
        names = authors(&fold(&list).replace(" and ", ", "));
    }
    let versions = record.values("versions");
    let created = versions.first().and_then(|version| version.get("created")?.as_str());
    let raw = Raw {
        ids: vec![record.text("id")],
        version: versions.iter().filter_map(number).max(),
        title: record.needed("title")?,
        abstract_text: record.needed("abstract")?,
        authors: names,
        // One string, separated by spaces; primary first.
        categories: record.text("categories").split_whitespace().map(str::to_owned).collect(),
        published: created.unwrap_or_default().to_owned(),
        updated: record.text("update_date"),
        comment: record.text("comments"),
        ..Raw::default()
    };
    Ok((raw, None))
}

/// Versions come as `v1`, `v10`, `v2`: the highest is not the last.
fn number(version: &Value) -> Option<u32> {
    version.get("version")?.as_str()?.trim_start_matches('v').parse().ok()
}

fn full_name(parts: &[String]) -> String {
    let part = |index: usize| parts.get(index).map_or("", |part| part.trim());
    [part(1), part(0), part(2)].join(" ")
}
