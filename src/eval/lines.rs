//! What the two files hold a line: references to compare with, and what was written.
//!
//! Of a record only what is measured is read, and all of it may be missing: predictions of other
//! programs need nothing but `id` and the texts, and a text that is `null` is an empty one. A
//! reference must be whole, or the measures would be of something else.

use serde::Deserialize;

use crate::json::{or_default, or_no_text, or_none};
use crate::paper::PaperId;
use crate::record::JsonLine;
use crate::summary::{Flaw, Summary};

/// A paper, and the summary that others are compared with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ReferenceLine")]
pub struct Reference {
    /// Without version where it is one of arXiv's, or else as it stands.
    pub id: String,
    /// Version, where the line names one.
    pub version: Option<u32>,
    /// English title.
    pub title: String,
    /// English abstract.
    pub abstract_text: String,
    /// The summary to compare with.
    pub summary: Summary,
}

/// What was written about a paper, or that nothing could be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "WrittenLine")]
pub struct Written {
    /// Without version where it is one of arXiv's; empty where the paper has none.
    pub id: String,
    /// Version, where the line names one.
    pub version: Option<u32>,
    /// Empty where the paper failed.
    pub summary: Summary,
    /// What the checks found.
    pub marks: Vec<Flaw>,
    /// How often the paper was tried again.
    pub retries: u32,
    /// Whether the abstract was cut before the model read it.
    pub cut: bool,
    /// Why there is no summary.
    pub error: Option<String>,
}

impl JsonLine for Reference {
    const NAME: &'static str = "a reference";
    const HINT: &'static str = "a reference is one line of JSON with `id`, `title`, `abstract`, \
                                `zh_title`, `zh_tldr` and `zh_abstract`";
}

impl JsonLine for Written {
    const NAME: &'static str = "a record";
    const HINT: &'static str =
        "a record is one line of JSON, as `wenzhai digest --format jsonl` writes it";
}

impl Written {
    /// Whether there is no text at all.
    pub fn is_failed(&self) -> bool {
        self.summary == Summary::default()
    }
}

#[derive(Deserialize)]
struct ReferenceLine {
    id: String,
    title: String,
    #[serde(rename = "abstract")]
    abstract_text: String,
    zh_title: String,
    zh_tldr: String,
    zh_abstract: String,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct WrittenLine {
    id: Option<String>,
    #[serde(deserialize_with = "or_default")]
    version: Option<u32>,
    zh_title: Option<String>,
    zh_tldr: Option<String>,
    zh_abstract: Option<String>,
    #[serde(alias = "flags", deserialize_with = "or_none")]
    marks: Vec<Flaw>,
    #[serde(deserialize_with = "or_default")]
    retries: u32,
    #[serde(deserialize_with = "or_default")]
    cut: bool,
    #[serde(deserialize_with = "or_no_text")]
    error: Option<String>,
}

impl TryFrom<ReferenceLine> for Reference {
    type Error = &'static str;

    fn try_from(line: ReferenceLine) -> Result<Self, Self::Error> {
        let ReferenceLine { title, abstract_text, zh_title, zh_tldr, zh_abstract, .. } = line;
        let (id, version) = split_id(&line.id);
        if id.is_empty() {
            return Err("its `id` is empty");
        }
        let summary = Summary { zh_title, zh_tldr, zh_abstract };
        Ok(Reference { id, version, title, abstract_text, summary })
    }
}

impl From<WrittenLine> for Written {
    fn from(line: WrittenLine) -> Self {
        let (id, version) = split_id(&line.id.unwrap_or_default());
        let summary = Summary {
            zh_title: line.zh_title.unwrap_or_default(),
            zh_tldr: line.zh_tldr.unwrap_or_default(),
            zh_abstract: line.zh_abstract.unwrap_or_default(),
        };
        Written {
            id,
            version: line.version.or(version),
            summary: if line.error.is_none() { summary } else { Summary::default() },
            marks: line.marks,
            retries: line.retries,
            cut: line.cut,
            error: line.error,
        }
    }
}

/// References may be of papers that are not arXiv's; their ids have no version.
fn split_id(id: &str) -> (String, Option<u32>) {
    match PaperId::parse(id) {
        Some((id, version)) => (id.to_string(), version),
        None => (id.trim().to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_from_ids_and_failures_from_texts() {
        let read = |line| serde_json::from_str::<Written>(line).unwrap();
        let with = read(r#"{"id": "2699.00001v2", "zh_title": "数羊", "zh_tldr": null}"#);
        assert_eq!((with.id.as_str(), with.version), ("2699.00001", Some(2)));
        assert_eq!((with.summary.zh_title.as_str(), with.is_failed()), ("数羊", false));
        let own =
            read(r#"{"id": "2699.00001", "version": 3, "zh_tldr": "数", "error": "no room"}"#);
        assert_eq!((own.id.as_str(), own.version), ("2699.00001", Some(3)));
        assert!(own.is_failed(), "what failed has no text, whatever is left of it");
        assert_eq!(read(r#"{"id": "lab notes v2"}"#).id, "lab notes v2");
        assert!(read("{}").is_failed());
        // As tables write a value that is missing.
        let nulls = r#"{"id":"a","version":null,"marks":null,"retries":null,"cut":null}"#;
        assert_eq!(read(nulls), Written { id: "a".into(), ..Written::default() });
        let odd = r#"{"id":"a","retries":-1,"cut":"","error":""}"#;
        assert_eq!(read(odd), Written { id: "a".into(), ..Written::default() });
    }

    #[test]
    fn a_reference_is_whole() {
        let whole =
            r#"{"id":"1","title":"","abstract":"","zh_title":"","zh_tldr":"","zh_abstract":""}"#;
        assert!(serde_json::from_str::<Reference>(whole).is_ok());
        let check = |line: &str, message: &str| {
            let error = serde_json::from_str::<Reference>(line).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        };
        check(&whole.replace("\"1\"", "\" \""), "its `id` is empty");
        check(&whole.replace("zh_tldr", "tldr"), "missing field `zh_tldr`");
    }
}
