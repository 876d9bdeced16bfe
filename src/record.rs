//! A finished paper as one line of JSON: what `--format jsonl` writes and `render` reads.

use serde::{Deserialize, Serialize};

/// One paper with its summary, or with the reason why it has none.
///
/// Only `title`, `link` and `abstract` are required on reading, so that records of other
/// programs (the public digest's among them) can be rendered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Record {
    /// arXiv identifier without version; empty where the source carries none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Version, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The feed's own link.
    pub link: String,
    /// English title, as the feed has it.
    pub title: String,
    /// English abstract, as the feed has it.
    #[serde(rename = "abstract")]
    pub abstract_text: String,
    /// Authors in the feed's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<String>,
    /// Categories, primary first where known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Chinese title; empty where the paper has no summary (yet).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zh_title: String,
    /// Chinese one-line summary.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zh_tldr: String,
    /// Chinese paragraph.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zh_abstract: String,
    /// Which model, adapter and prompt wrote it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// What the checks still found after the last try, a sentence each; empty means clean.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// How often the paper was tried again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u32,
    /// Whether the abstract was cut before the model read it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// Why there is no summary, where the paper failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}
