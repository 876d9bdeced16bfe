//! What a check found, as data: which kind, where, and the words or numbers that it is about.
//!
//! Records and stores keep flaws as they are here; how a flaw is worded is the digest's matter.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::json::or_default;

/// One of the three texts of a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    /// The Chinese title.
    Title,
    /// The one-line summary.
    #[serde(rename = "one-liner")]
    Tldr,
    /// The paragraph.
    Paragraph,
}

/// What can be wrong with a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlawKind {
    /// The field is empty.
    Missing,
    /// The title has no Chinese character, or another field fewer than letters of other languages, names
    /// and formulas aside.
    NotChinese,
    /// The field has more than one line.
    LineBreak,
    /// The field is too short or too long. The detail is the length: of a one-line summary in
    /// characters, of a paragraph in per cent of the abstract's.
    Length,
    /// A stretch of text, the detail, comes again and again.
    Loop,
    /// A label of the prompt or boilerplate of the feed, the detail.
    Boilerplate,
    /// Text of the prompt itself, the detail, such as its worked example.
    Copied,
    /// English words, the details, in the midst of Chinese.
    English,
    /// Numbers, the details, that the source does not have.
    InventedNumbers,
    /// Words, the details, for which the source has nothing.
    Unsourced,
    /// The paragraph lacks two numbers of the abstract or more, and a quarter of them or more: the
    /// details.
    LostNumbers,
    /// The model ran into its bound in the middle of a sentence, or stopped in the middle of a number.
    Unfinished,
    /// What another program, or a later version of this one, found; the detail says it.
    #[serde(other)]
    Other,
}

/// One thing that is wrong with a summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "AsRead")]
pub struct Flaw {
    /// What it is.
    pub kind: FlawKind,
    /// Where it is, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<Field>,
    /// What it is about, as [`FlawKind`] says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub detail: Vec<String>,
}

/// How bad a flaw is. Any calls for another try, and is told to the reader if it stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing that is written is wrong, but there should be more of it.
    Lean,
    /// What is written cannot be left like this.
    Wrong,
}

impl Field {
    /// All fields. Prompts have an order of their own in which they are written.
    pub const ALL: [Field; 3] = [Field::Title, Field::Tldr, Field::Paragraph];
}

/// The name that prompts give it.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Title => "title",
            Field::Tldr => "one-liner",
            Field::Paragraph => "paragraph",
        })
    }
}

impl Flaw {
    /// A flaw of `field`.
    pub fn new(
        kind: FlawKind,
        field: Field,
        detail: impl IntoIterator<Item = impl Into<String>>,
    ) -> Flaw {
        Flaw { kind, field: Some(field), detail: detail.into_iter().map(Into::into).collect() }
    }

    /// A flaw that has nothing more to be said of it.
    pub fn plain(kind: FlawKind, field: Field) -> Flaw {
        Flaw { kind, field: Some(field), detail: Vec::new() }
    }

    /// How bad the flaw is.
    pub fn severity(&self) -> Severity {
        match self.kind {
            FlawKind::LostNumbers => Severity::Lean,
            _ => Severity::Wrong,
        }
    }
}

/// A flaw as files have it: data, or a sentence of the first version.
#[derive(Deserialize)]
#[serde(untagged)]
enum AsRead {
    Sentence(String),
    Data {
        kind: FlawKind,
        #[serde(default, deserialize_with = "or_default")]
        field: Option<Field>,
        #[serde(default, deserialize_with = "or_default")]
        detail: Vec<String>,
    },
}

impl From<AsRead> for Flaw {
    fn from(read: AsRead) -> Flaw {
        match read {
            AsRead::Data { kind, field, detail } => Flaw { kind, field, detail },
            AsRead::Sentence(text) => of_sentence(&text).unwrap_or_else(|| Flaw {
                kind: FlawKind::Other,
                field: None,
                detail: vec![text],
            }),
        }
    }
}

/// Reads `FIELD WORDING[: DETAIL]`, as records of the first version have it.
fn of_sentence(text: &str) -> Option<Flaw> {
    const FIELDS: [(&str, Field); 3] = [
        ("title ", Field::Title),
        ("one-line summary ", Field::Tldr),
        ("paragraph ", Field::Paragraph),
    ];
    const WORDINGS: [(&str, FlawKind); 12] = [
        ("is missing", FlawKind::Missing),
        ("is not Chinese", FlawKind::NotChinese),
        ("has more than one line", FlawKind::LineBreak),
        ("has not 10 to 160 characters but", FlawKind::Length),
        ("has not 12 to 70 per cent of the abstract's length but", FlawKind::Length),
        ("repeats itself", FlawKind::Loop),
        ("contains boilerplate", FlawKind::Boilerplate),
        ("has numbers that the source lacks", FlawKind::InventedNumbers),
        ("lacks numbers of the abstract", FlawKind::LostNumbers),
        ("is unfinished", FlawKind::Unfinished),
        ("repeats the prompt", FlawKind::Copied),
        ("has English words", FlawKind::English),
    ];
    let (rest, field) =
        FIELDS.iter().find_map(|(name, field)| Some((text.strip_prefix(name)?, *field)))?;
    let (wording, detail) = rest.split_once(": ").unwrap_or((rest, ""));
    let (_, kind) = *WORDINGS.iter().find(|(known, _)| *known == wording)?;
    let is_list =
        matches!(kind, FlawKind::InventedNumbers | FlawKind::LostNumbers | FlawKind::English);
    Some(match (detail, is_list) {
        ("", _) => Flaw::plain(kind, field),
        (list, true) => Flaw::new(kind, field, list.split(", ")),
        (one, false) => Flaw::new(kind, field, [one]),
    })
}
