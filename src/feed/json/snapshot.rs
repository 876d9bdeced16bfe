//! The metadata snapshot of all papers (Kaggle's copy of arXiv's): one record a line.

use serde::Deserialize;
use serde_json::Value;

use crate::feed::raw::{Mapped, Raw};
use crate::feed::text::authors;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Record {
    id: String,
    title: String,
    #[serde(rename = "abstract")]
    abstract_text: String,
    authors: String,
    /// Last name, first names, suffix; more where the snapshot adds an affiliation.
    authors_parsed: Vec<Vec<String>>,
    /// One string, separated by spaces; primary first.
    categories: String,
    versions: Vec<Version>,
    update_date: String,
    comments: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    created: String,
}

pub(super) fn raw(record: Value) -> Mapped {
    let record: Record = serde_json::from_value(record).map_err(|cause| cause.to_string())?;
    let mut names: Vec<String> = record.authors_parsed.iter().map(|name| full_name(name)).collect();
    if names.is_empty() {
        names = authors(&record.authors.replace(" and ", ", "));
    }
    let raw = Raw {
        ids: vec![record.id],
        version: record.versions.iter().filter_map(Version::number).max(),
        title: record.title,
        abstract_text: record.abstract_text,
        authors: names,
        categories: record.categories.split_whitespace().map(str::to_owned).collect(),
        published: record.versions.first().map(|v| v.created.clone()).unwrap_or_default(),
        updated: record.update_date,
        comment: record.comments,
        ..Raw::default()
    };
    Ok((raw, None))
}

impl Version {
    /// Versions come as `v1`, `v10`, `v2`: the highest is not the last.
    fn number(&self) -> Option<u32> {
        self.version.trim_start_matches('v').parse().ok()
    }
}

fn full_name(parts: &[String]) -> String {
    let part = |index: usize| parts.get(index).map_or("", |part| part.trim());
    [part(1), part(0), part(2)].join(" ")
}
