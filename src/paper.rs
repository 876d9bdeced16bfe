//! A paper as a feed hands it over: plain data, no behaviour beyond its identity.

use serde::{Deserialize, Serialize};

/// An arXiv identifier without its version: `2403.02839` or, for old papers, `astro-ph/0601001`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PaperId(String);

/// Why a feed carries a paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Announce {
    /// First announcement.
    New,
    /// Listed here too, at home in another category.
    Cross,
    /// A new version of a known paper.
    Replace,
    /// A new version, listed here too.
    ReplaceCross,
}

/// One paper of a feed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Paper {
    /// Identifier without version; `None` where the input carries no arXiv id.
    pub id: Option<PaperId>,
    /// Version, where the feed tells it: 1 for `v1`.
    pub version: Option<u32>,
    /// The feed's own link, as it stands.
    pub link: String,
    /// Title as the digest shows it, white space folded; a suffix such as
    /// `. (arXiv:2401.08491v2 [cs.CL] UPDATED)` is kept.
    pub title: String,
    /// Abstract as the digest shows it, white space folded; boilerplate such as
    /// `arXiv:2403.02839v1 Announce Type: new  Abstract: ` is kept.
    pub abstract_text: String,
    /// Title as the model reads it: no suffix.
    pub plain_title: String,
    /// Abstract as the model reads it: no boilerplate.
    pub plain_abstract: String,
    /// Authors in the feed's order.
    pub authors: Vec<String>,
    /// Categories, primary first where the feed tells.
    pub categories: Vec<String>,
    /// Why the feed carries the paper, where it tells.
    pub announce: Option<Announce>,
}

impl PaperId {
    /// The identifier as text, without version.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for PaperId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
