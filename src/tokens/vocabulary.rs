//! The pieces of a vocabulary: their texts, their kinds, and text to id.

use super::metadata::Metadata;
use crate::error::{Error, ErrorKind, Result};

/// Four times the largest vocabulary in use; a larger number tells of a damaged file.
const MAX_PIECES: usize = 1 << 20;

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

/// Text to id.
pub(super) type Ids = tokenizers::models::bpe::Vocab;

/// Every token's text and kind.
#[derive(Debug)]
pub(super) struct Vocabulary(Vec<(String, Kind)>);

impl Vocabulary {
    /// Reads the vocabulary; a token without text has no place in [`Ids`].
    pub(super) fn from_metadata(metadata: &Metadata) -> Result<(Self, Ids)> {
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
        let mut ids = Ids::with_capacity(count);
        let mut pieces = Vec::with_capacity(count);
        for ((text, kind), id) in texts.zip(types).zip(0..) {
            let kind = kind_of(kind, text)?;
            if !text.is_empty() && ids.insert(text.to_owned(), id).is_some() {
                return Err(damaged(format!("token {text:?} occurs twice in the vocabulary")));
            }
            pieces.push((text.to_owned(), kind));
        }
        Ok((Vocabulary(pieces), ids))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = u32> {
        (0..).take(self.0.len())
    }

    /// Whether merges may lead to token `id`. Control tokens and the like are not for merging, nor
    /// are byte tokens: the text `<0x0A>` is six characters, not a line break.
    pub(super) fn is_mergeable(&self, id: u32) -> bool {
        matches!(self.kind(id), Some(Kind::Normal | Kind::UserDefined | Kind::Unused))
    }

    /// The kind of token `id`; `None` outside the vocabulary.
    pub(super) fn kind(&self, id: u32) -> Option<Kind> {
        self.0.get(id as usize).map(|&(_, kind)| kind)
    }

    /// The spelling of token `id`; empty outside the vocabulary.
    pub(super) fn text(&self, id: u32) -> &str {
        self.0.get(id as usize).map_or("", |(text, _)| text)
    }

    /// Makes token `id` one that stands for no text, unless it stands for white space or a byte.
    pub(super) fn mark_control(&mut self, id: u32) {
        // Spaces and line breaks as the two families spell them.
        let is_space =
            |letter: char| letter.is_whitespace() || matches!(letter, '▁' | 'Ġ' | 'ĉ' | 'Ċ' | 'č');
        if let Some((text, kind)) = self.0.get_mut(id as usize)
            && !matches!(kind, Kind::Byte(_))
            && !text.chars().all(is_space)
        {
            *kind = Kind::Control;
        }
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
