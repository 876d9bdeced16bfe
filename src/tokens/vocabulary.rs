//! The pieces of a vocabulary: their texts, their kinds, and text to id.
//!
//! What is built of a file's list of tokens takes several times the memory of the list, so it is looked
//! through where it stands ([`Listed`]), and built once nothing can be wrong with it any more.

use std::collections::HashSet;

use super::metadata::{Metadata, Texts};
use crate::error::{Error, ErrorKind, Result};

/// Twice the largest vocabulary in use; a larger number tells of a damaged file.
const MAX_PIECES: usize = 1 << 19;

/// What a token stands for (`tokenizer.ggml.token_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A piece of text, spelled in the vocabulary's alphabet.
    Normal,
    /// Stands for text outside the vocabulary.
    Unknown,
    /// Steers the model, stands for no text.
    Control,
    /// Literal text that is cut out before anything else.
    UserDefined,
    /// A place left free.
    Unused,
    /// One byte of a character that has no piece.
    Byte(u8),
}

impl Kind {
    /// Whether merges may lead to such a token. Control tokens and the like are not for merging, nor
    /// are byte tokens: the text `<0x0A>` is six characters, not a line break.
    fn is_mergeable(self) -> bool {
        matches!(self, Kind::Normal | Kind::UserDefined | Kind::Unused)
    }
}

/// Text to id.
pub(super) type Ids = tokenizers::models::bpe::Vocab;

/// Every token's text and kind.
#[derive(Debug)]
pub(super) struct Vocabulary(Vec<(String, Kind)>);

/// The tokens that a file lists, before anything is built of them.
pub(super) struct Listed<'a> {
    texts: Texts<'a>,
    kinds: Vec<Kind>,
}

/// The texts of all tokens, by whether merges may lead to them. A token without text has no place in it.
pub(super) struct Spellings<'a> {
    pub(super) mergeable: HashSet<&'a str>,
    pub(super) others: HashSet<&'a str>,
}

impl<'a> Listed<'a> {
    /// Finds the list, and what each of its tokens stands for.
    pub(super) fn find(metadata: &Metadata<'a>) -> Result<Self> {
        let texts = metadata.strings("tokenizer.ggml.tokens")?;
        let count = texts.len();
        if count > MAX_PIECES {
            return Err(damaged(format!(
                "the vocabulary has {count} tokens, the limit is {MAX_PIECES}"
            )));
        }
        let types = metadata.optional_integers("tokenizer.ggml.token_type")?;
        let types = types.unwrap_or_else(|| vec![1; count]);
        if types.len() != count {
            let found = types.len();
            return Err(damaged(format!("{count} tokens but {found} tokenizer.ggml.token_type")));
        }
        let kinds = texts.iter().zip(types).map(|(text, kind)| kind_of(kind, text));
        Ok(Listed { texts, kinds: kinds.collect::<Result<_>>()? })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Ids, texts and kinds.
    pub(super) fn tokens(&self) -> impl Iterator<Item = (u32, &'a str, Kind)> {
        let kinds = self.kinds.iter().copied();
        (0..).zip(self.texts.iter()).zip(kinds).map(|((id, text), kind)| (id, text, kind))
    }

    /// Makes token `id` one that stands for no text, unless it stands for white space or a byte.
    pub(super) fn mark_control(&mut self, id: u32) {
        // Spaces and line breaks as the two families spell them.
        let is_space =
            |letter: char| letter.is_whitespace() || matches!(letter, '▁' | 'Ġ' | 'ĉ' | 'Ċ' | 'č');
        let text = self.texts.at(id as usize);
        if let Some(kind) = self.kinds.get_mut(id as usize)
            && !matches!(kind, Kind::Byte(_))
            && !text.chars().all(is_space)
        {
            *kind = Kind::Control;
        }
    }

    /// Every text, each of which is there once.
    pub(super) fn spellings(&self) -> Result<Spellings<'a>> {
        let mergeable = self.kinds.iter().filter(|kind| kind.is_mergeable()).count();
        let mut spellings = Spellings {
            mergeable: HashSet::with_capacity(mergeable),
            others: HashSet::with_capacity(self.len() - mergeable),
        };
        for (_, text, kind) in self.tokens().filter(|(_, text, _)| !text.is_empty()) {
            let Spellings { mergeable, others } = &mut spellings;
            let is_new = match kind.is_mergeable() {
                true => !others.contains(text) && mergeable.insert(text),
                false => !mergeable.contains(text) && others.insert(text),
            };
            if !is_new {
                return Err(damaged(format!("token {text:?} occurs twice in the vocabulary")));
            }
        }
        Ok(spellings)
    }

    /// The tokens that merges may lead to.
    pub(super) fn mergeable_ids(&self) -> Ids {
        let mut ids = Ids::with_capacity(self.len());
        let all = self.tokens().filter(|(_, text, kind)| kind.is_mergeable() && !text.is_empty());
        ids.extend(all.map(|(id, text, _)| (text.to_owned(), id)));
        ids
    }

    /// Texts and kinds, to be kept.
    pub(super) fn into_vocabulary(self) -> Vocabulary {
        Vocabulary(self.texts.iter().map(str::to_owned).zip(self.kinds).collect())
    }
}

impl Vocabulary {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = u32> {
        (0..).take(self.0.len())
    }

    /// The kind of token `id`; `None` outside the vocabulary.
    pub(super) fn kind(&self, id: u32) -> Option<Kind> {
        self.0.get(id as usize).map(|&(_, kind)| kind)
    }

    /// The spelling of token `id`; empty outside the vocabulary.
    pub(super) fn text(&self, id: u32) -> &str {
        self.0.get(id as usize).map_or("", |(text, _)| text)
    }
}

/// The kind that number `kind` means, numbered as in SentencePiece.
fn kind_of(kind: i64, text: &str) -> Result<Kind> {
    Ok(match kind {
        1 => Kind::Normal,
        2 => Kind::Unknown,
        3 => Kind::Control,
        4 => Kind::UserDefined,
        6 => Kind::Byte(byte_of(text).ok_or_else(|| {
            damaged(format!("token {text:?} is marked as a byte, but is not spelled <0xHH>"))
        })?),
        _ => Kind::Unused,
    })
}

/// The byte that a token spelled `<0xHH>` stands for.
fn byte_of(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    let digits = Some(digits).filter(|digits| digits.len() == 2)?;
    u8::from_str_radix(digits, 16).ok()
}

/// An error about a vocabulary that contradicts itself.
pub(super) fn damaged(message: String) -> Error {
    Error::new(ErrorKind::Model, message).hint("the GGUF file is damaged; fetch the model again")
}
