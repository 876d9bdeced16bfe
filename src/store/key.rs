//! Under which key a summary is kept.

use crate::hash::Hasher;

use crate::paper::Paper;

/// Who writes the summaries of a run.
///
/// Each part tells one version from another, so a hash of the content serves best: a name stays
/// the same when what it names has changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The model: SHA-256 of its file.
    pub model: String,
    /// The adapter, where there is one: SHA-256 of its file.
    pub adapter: Option<String>,
    /// The prompt: SHA-256 of template and worked examples.
    pub prompt: String,
    /// The glossary whose terms prompts tell, where they do: SHA-256 of its content.
    pub glossary: Option<String>,
    /// What guards held the text while it was written.
    pub guards: String,
    /// Whether tokens beyond the model's shortlist could be written.
    pub full_vocabulary: bool,
    /// How many texts were written side by side; one, or none, is greedy.
    pub beams: usize,
}

/// SHA-256, in hexadecimal, of everything that the summary of `paper` depends on.
pub(super) fn summary_key(paper: &Paper, identity: &Identity) -> String {
    let version = paper.version.map(|version| version.to_string());
    let parts = [
        Some(paper.key()),
        version,
        Some(paper.plain_title.clone()),
        Some(paper.plain_abstract.clone()),
        Some(identity.model.clone()),
        identity.adapter.clone(),
        Some(identity.prompt.clone()),
        identity.glossary.clone(),
        Some(identity.guards.clone()),
    ];
    // Without it the key is what it was before this was a part of it.
    let vocabulary = identity.full_vocabulary.then_some(Some("full vocabulary"));
    let beams = (identity.beams > 1).then(|| format!("{} beams", identity.beams));
    let later = vocabulary.into_iter().chain(beams.as_deref().map(Some));
    hash_parts(parts.iter().map(Option::as_deref).chain(later))
}

/// SHA-256, in hexadecimal, of texts in a row, of which some may be missing.
pub(super) fn hash_parts<'a>(parts: impl IntoIterator<Item = Option<&'a str>>) -> String {
    let mut hash = Hasher::default();
    for part in parts {
        // The length keeps `ab` + `c` apart from `a` + `bc`, and nothing apart from an empty text.
        match part {
            Some(text) => {
                hash.update(&(text.len() as u64 + 1).to_le_bytes());
                hash.update(text.as_bytes());
            }
            None => hash.update(&0u64.to_le_bytes()),
        }
    }
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(paper: &Paper) -> String {
        summary_key(paper, &Identity::default())
    }

    #[test]
    fn depends_on_what_the_model_reads_and_on_nothing_else() {
        let paper = Paper { link: "l".into(), plain_title: "t".into(), ..Paper::default() };
        let shown = Paper { title: "T".into(), authors: vec!["A".into()], ..paper.clone() };
        assert_eq!(key(&paper), key(&shown));
        assert_eq!(key(&paper).len(), 64);
        for other in [
            Paper { link: "m".into(), ..paper.clone() },
            Paper { version: Some(1), ..paper.clone() },
            Paper { plain_title: "u".into(), ..paper.clone() },
            Paper { plain_title: String::new(), plain_abstract: "t".into(), ..paper.clone() },
        ] {
            assert_ne!(key(&paper), key(&other), "{other:?}");
        }
    }

    #[test]
    fn depends_on_each_part_of_the_identity() {
        let paper = Paper::default();
        let plain = Identity::default();
        for other in [
            Identity { model: "m".into(), ..plain.clone() },
            Identity { adapter: Some(String::new()), ..plain.clone() },
            Identity { prompt: "m".into(), ..plain.clone() },
            Identity { glossary: Some("m".into()), ..plain.clone() },
            Identity { guards: "m".into(), ..plain.clone() },
            Identity { full_vocabulary: true, ..plain.clone() },
            Identity { beams: 2, ..plain.clone() },
            Identity { beams: 3, ..plain.clone() },
        ] {
            assert_ne!(summary_key(&paper, &plain), summary_key(&paper, &other), "{other:?}");
        }
    }
}
