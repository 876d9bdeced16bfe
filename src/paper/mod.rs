//! A paper as a feed hands it over: plain data, no behaviour beyond its identity.

mod boilerplate;

pub use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::hash;

pub(crate) use boilerplate::{Boilerplate, announce_type, split_boilerplate, split_suffix};

/// An arXiv identifier without its version: `2403.02839` or, for old papers, `astro-ph/0601001`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PaperId(String);

/// Why a feed carries a paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// Title as the model reads it: no suffix, no markup of LaTeX's outside mathematics.
    pub plain_title: String,
    /// Abstract as the model reads it: no boilerplate, no markup of LaTeX's outside mathematics.
    pub plain_abstract: String,
    /// Authors in the feed's order.
    pub authors: Vec<String>,
    /// Categories, primary first where the feed tells.
    pub categories: Vec<String>,
    /// Why the feed carries the paper, where it tells.
    pub announce: Option<Announce>,
    /// What the authors remarked beside the abstract, where the feed has it.
    pub comment: String,
    /// The day that the feed calls the paper's publication: of the announcement in daily feeds, of
    /// the first version elsewhere.
    pub published: Option<Date>,
    /// The day of the paper's last change, where the feed tells it.
    pub updated: Option<Date>,
}

impl Paper {
    /// What makes two offers the same paper, whatever their versions; see [`key_of`].
    pub fn key(&self) -> String {
        key_of(self.id.as_ref(), &self.link, &self.title, &self.abstract_text)
    }
}

/// What a paper is known by in all its versions: the arXiv id, or else the link, or else what it says,
/// since a title alone ("Erratum") may be another paper's, too.
pub fn key_of(id: Option<&PaperId>, link: &str, title: &str, abstract_text: &str) -> String {
    match id {
        Some(id) => format!("id:{id}"),
        None if !link.is_empty() => format!("link:{link}"),
        None => format!("title:{title}:{}", hash::sha256(abstract_text)),
    }
}

impl PaperId {
    /// Reads an identifier and its version, if it has one, out of what feeds call a paper by: the
    /// bare id, `arXiv:…`, `oai:arXiv.org:…`, a DOI of arXiv's, or a link to an abstract or PDF.
    ///
    /// Whatever is not wholly an identifier of one of arXiv's two schemes is `None`. The archive
    /// of an old identifier is kept as it stands, subject class (`math.GT/0309136`) included.
    pub fn parse(text: &str) -> Option<(PaperId, Option<u32>)> {
        let name = name_in_reference(text.trim());
        let (name, version) = split_version(name);
        (is_new_id(name) || is_old_id(name)).then(|| (PaperId(name.to_owned()), version))
    }

    /// The page of the paper's abstract, in its newest version.
    pub fn link(&self) -> String {
        format!("https://arxiv.org/abs/{self}")
    }

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

/// What is left of a link or a prefixed identifier once the place it points into is taken off.
fn name_in_reference(text: &str) -> &str {
    const PAGES: [&str; 5] = ["abs/", "pdf/", "html/", "ps/", "format/"];
    const PREFIXES: [&str; 4] =
        ["oai:arXiv.org:", "10.48550/arXiv.", "doi:10.48550/arXiv.", "arXiv:"];
    let text = path_at(text, "doi.org").unwrap_or(text);
    if let Some(path) = path_at(text, "arxiv.org") {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let name = PAGES.iter().find_map(|page| path.strip_prefix(page)).unwrap_or_default();
        return name.strip_suffix(".pdf").unwrap_or(name).trim_end_matches('/');
    }
    PREFIXES.iter().find_map(|prefix| strip_prefix_ignoring_case(text, prefix)).unwrap_or(text)
}

/// What stands behind the slash of an address at `host` or below it, with or without its scheme.
fn path_at<'a>(text: &'a str, host: &str) -> Option<&'a str> {
    let address =
        ["https://", "http://"].iter().find_map(|scheme| strip_prefix_ignoring_case(text, scheme));
    let (name, path) = address.unwrap_or(text).split_once('/')?;
    let below = name.len().checked_sub(host.len()).map(|at| name.split_at_checked(at));
    let (below, name) = below.flatten()?;
    let is_there = name.eq_ignore_ascii_case(host) && (below.is_empty() || below.ends_with('.'));
    is_there.then_some(path)
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Takes a trailing `v2` off; version 0 does not exist.
fn split_version(name: &str) -> (&str, Option<u32>) {
    if let Some((head, digits)) = name.rsplit_once('v')
        && all_digits(digits)
        && let Ok(version @ 1..) = digits.parse()
    {
        return (head, Some(version));
    }
    (name, None)
}

/// Since April 2007: year and month, a dot, four digits (five since 2015).
fn is_new_id(name: &str) -> bool {
    name.split_once('.').is_some_and(|(month, number)| {
        month.len() == 4 && all_digits(month) && matches!(number.len(), 4 | 5) && all_digits(number)
    })
}

/// Before: archive, maybe a subject class, a slash, and seven digits: `math.GT/0309136`.
fn is_old_id(name: &str) -> bool {
    name.split_once('/').is_some_and(|(archive, number)| {
        archive.starts_with(|c: char| c.is_ascii_lowercase())
            && archive.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-' || b == b'.')
            && number.len() == 7
            && all_digits(number)
    })
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: Option<(&str, Option<u32>)>) {
        let found = PaperId::parse(input);
        let found = found.as_ref().map(|(id, version)| (id.as_str(), *version));
        assert_eq!(found, expected, "{input}");
    }

    #[test]
    fn reads_ids_of_both_schemes_from_every_reference() {
        check("2403.02839", Some(("2403.02839", None)));
        check("0704.0001v2", Some(("0704.0001", Some(2))));
        check("arXiv:2403.02839v10", Some(("2403.02839", Some(10))));
        check("oai:arXiv.org:2508.13426v1", Some(("2508.13426", Some(1))));
        check("https://doi.org/10.48550/arXiv.2403.02839", Some(("2403.02839", None)));
        check("10.48550/arxiv.2403.02839", Some(("2403.02839", None)));
        check("http://arxiv.org/abs/1805.08875", Some(("1805.08875", None)));
        check(" https://arxiv.org/pdf/1605.08386v1 ", Some(("1605.08386", Some(1))));
        check("arxiv.org/abs/2403.02839", Some(("2403.02839", None)));
        check("HTTPS://www.arXiv.org/abs/2403.02839", Some(("2403.02839", None)));
        check("https://dx.doi.org/10.48550/arXiv.2403.02839", Some(("2403.02839", None)));
        check("https://export.arxiv.org/pdf/1605.08386v1.pdf", Some(("1605.08386", Some(1))));
        check("https://arxiv.org/abs/2403.02839?context=cs#top", Some(("2403.02839", None)));
        check("astro-ph/0601001", Some(("astro-ph/0601001", None)));
        check("http://arxiv.org/abs/astro-ph/0601001v1", Some(("astro-ph/0601001", Some(1))));
        check("oai:arXiv.org:math.GT/0309136", Some(("math.GT/0309136", None)));
    }

    #[test]
    fn refuses_what_is_not_wholly_an_id() {
        for text in [
            "",
            "v1",
            "2403.028",
            "2403.028391",
            "24030.2839",
            "2403.02839v",
            "2403.02839v0",
            "2403.02839 and more",
            "astro-ph/060100",
            "/0601001",
            "https://arxiv.org/list/cs.CL/2403",
            "https://example.org/abs/2403.02839",
            "https://fakearxiv.org/abs/2403.02839",
            "https://example.org/arxiv.org/abs/2403.02839",
            "https://notdoi.org/10.48550/arXiv.2403.02839",
            "http://arxiv.org/api/errors#incorrect_id_format_for_1234.12345",
            "中文/0601001",
        ] {
            check(text, None);
        }
    }
}
