//! Papers that a reader likes: a bibliography, an export of Zotero, records, or a list of ids.

use std::path::Path;

use biblatex::{Bibliography, ChunksExt};
use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::paper::{Paper, PaperId};
use crate::text_file;

/// Largest file.
pub const MAX_LIBRARY_BYTES: u64 = 256 << 20;

/// Most papers of a library; of more the last ones count.
pub const MAX_LIKED: usize = 20_000;

const HINT: &str = "a library is a BibTeX file, an export of Zotero as BibTeX or CSL JSON, records of \
                    wenzhai, or a list of arXiv ids, one a line";

/// Papers that a reader likes.
#[derive(Debug, Clone, Default)]
pub struct Library {
    pub(super) liked: Vec<Liked>,
}

/// A paper that a reader likes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Liked {
    pub(super) id: Option<PaperId>,
    /// Empty where nothing but the id is known.
    pub(super) title: String,
    pub(super) abstract_text: String,
}

/// An entry of CSL JSON (the Citation Style Language's format, which Zotero exports), or a record.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    id: serde_json::Value,
    title: String,
    #[serde(rename = "abstract")]
    abstract_text: String,
    #[serde(rename = "URL")]
    url: String,
    #[serde(rename = "DOI")]
    doi: String,
    link: String,
    number: serde_json::Value,
}

impl Library {
    /// Reads the file at `path` and adds its papers; what it is, is told by its content.
    ///
    /// # Errors
    /// Those of [`text_file::read`]; [`ErrorKind::Usage`] where it holds no paper.
    pub fn add(&mut self, path: &Path) -> Result<()> {
        let text = text_file::read(path, "library", MAX_LIBRARY_BYTES)?;
        let liked = parse(&text).map_err(|fault| {
            let message = format!("library {}: {fault}", path.display());
            Error::new(ErrorKind::Usage, message).hint(HINT)
        })?;
        self.liked.extend(liked);
        let excess = self.liked.len().saturating_sub(MAX_LIKED);
        self.liked.drain(..excess);
        Ok(())
    }

    /// How many papers there are.
    pub fn len(&self) -> usize {
        self.liked.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.liked.is_empty()
    }

    /// Adds what `papers` tell of those of which nothing but the id is known, and leaves away the
    /// others.
    pub(super) fn known(&self, papers: &[Paper]) -> Vec<Liked> {
        let known = |liked: &Liked| {
            if !liked.title.is_empty() {
                return Some(liked.clone());
            }
            let paper = papers.iter().find(|paper| paper.id.is_some() && paper.id == liked.id)?;
            Some(Liked {
                id: liked.id.clone(),
                title: paper.plain_title.clone(),
                abstract_text: paper.plain_abstract.clone(),
            })
        };
        self.liked.iter().filter_map(known).collect()
    }
}

fn parse(text: &str) -> std::result::Result<Vec<Liked>, String> {
    let liked = match text.trim_start().chars().next() {
        None => return Err("it is empty".to_owned()),
        Some('[') => {
            let entries: Vec<Entry> = serde_json::from_str(text)
                .map_err(|cause| format!("line {} is no JSON of a library", cause.line()))?;
            entries.into_iter().map(Liked::from).collect()
        }
        Some('{') => json_lines(text)?,
        Some('@' | '%') => bibliography(text)?,
        Some(_) if text.contains("\n@") => bibliography(text)?,
        Some(_) => ids(text)?,
    };
    let liked: Vec<Liked> =
        liked.into_iter().filter(|liked| !liked.title.is_empty() || liked.id.is_some()).collect();
    if liked.is_empty() { Err("it holds no paper".to_owned()) } else { Ok(liked) }
}

fn json_lines(text: &str) -> std::result::Result<Vec<Liked>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| match serde_json::from_str::<Entry>(line) {
            Ok(entry) => Ok(Liked::from(entry)),
            Err(_) => Err(format!("line {} is no record", number + 1)),
        })
        .collect()
}

fn bibliography(text: &str) -> std::result::Result<Vec<Liked>, String> {
    let bibliography = Bibliography::parse(text).map_err(|cause| {
        let line = text[..cause.span.start.min(text.len())].lines().count().max(1);
        format!("line {line} is no BibTeX")
    })?;
    let field = |entry: &biblatex::Entry, name| {
        entry.get(name).map(|chunks| chunks.format_verbatim()).unwrap_or_default()
    };
    let liked = bibliography.iter().map(|entry| {
        let names = ["eprint", "doi", "url", "journal", "note"].map(|name| field(entry, name));
        Liked {
            id: names.iter().find_map(|name| Some(PaperId::parse(name)?.0)),
            title: field(entry, "title"),
            abstract_text: field(entry, "abstract"),
        }
    });
    Ok(liked.collect())
}

fn ids(text: &str) -> std::result::Result<Vec<Liked>, String> {
    let lines = text.lines().enumerate().map(|(number, line)| (number, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| match PaperId::parse(line) {
            Some((id, _)) => Ok(Liked { id: Some(id), ..Liked::default() }),
            None => Err(format!("line {} is no arXiv id", number + 1)),
        })
        .collect()
}

impl From<Entry> for Liked {
    fn from(entry: Entry) -> Self {
        let Entry { id, title, abstract_text, url, doi, link, number } = entry;
        let names = [&id, &number].map(|value| value.as_str().unwrap_or_default());
        let mut names = names.into_iter().chain([link.as_str(), &url, &doi]);
        let id = names.find_map(|name| Some(PaperId::parse(name)?.0));
        Liked { id, title, abstract_text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(Option<&str>, &str, &str)]) {
        let liked = parse(text).unwrap();
        let found: Vec<_> = liked
            .iter()
            .map(|l| {
                (l.id.as_ref().map(PaperId::as_str), l.title.as_str(), l.abstract_text.as_str())
            })
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn every_form_of_a_library_is_read() {
        let bib = "% mine\n@article{a, title={Counting {Sheep}}, eprint={2699.00001v2},\n \
                   abstract={We count.}}\n@misc{b, title=\"Goats\", url={https://arxiv.org/abs/2699.00002}}";
        let id = Some("2699.00001");
        check(bib, &[(id, "Counting Sheep", "We count."), (Some("2699.00002"), "Goats", "")]);
        let csl = r#"[{"id":"http://zotero.org/items/1","title":"Sheep","abstract":"We count.",
                      "DOI":"10.48550/arXiv.2699.00001","number":"arXiv:2699.00001"}]"#;
        check(csl, &[(id, "Sheep", "We count.")]);
        let record = r#"{"id":"2699.00001","title":"Sheep","link":"l","abstract":"We count."}"#;
        check(record, &[(id, "Sheep", "We count.")]);
        check(
            "# liked\n2699.00001\n\narXiv:2699.00002v3\n",
            &[(id, "", ""), (Some("2699.00002"), "", "")],
        );
    }

    #[test]
    fn what_is_no_library_is_told_with_its_line() {
        for (text, fault) in [
            ("", "it is empty"),
            ("2699.00001\nsheep", "line 2 is no arXiv id"),
            ("{\"title\":\"a\"}\n{", "line 2 is no record"),
            ("[{\"title\":\n3}]", "line 2 is no JSON of a library"),
            ("[]", "it holds no paper"),
            ("@article{a,\n title={", "line 2 is no BibTeX"),
        ] {
            assert_eq!(parse(text).unwrap_err(), fault, "{text}");
        }
    }
}
