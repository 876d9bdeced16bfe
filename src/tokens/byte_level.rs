//! The `gpt2` family: words are cut by regexes, a word's bytes merged by the file's list of merges.
//!
//! Pieces are spelled in an alphabet of 256 printable letters, one a byte (GPT-2's
//! `bytes_to_unicode`). Some vocabularies lack bytes that their training text did not have;
//! llama.cpp drops them and merges nothing across the gap, and so do we.

use std::collections::HashMap;

use super::merge::{Merge, Symbol, merge};
use super::metadata::Metadata;
use super::split::PreTokenizer;
use super::vocabulary::{Vocabulary, damaged};
use crate::error::{Error, ErrorKind, Result};

/// Four times the longest list in use; a larger number tells of a damaged file.
const MAX_MERGES: usize = 1 << 20;

/// Merges bytes by a list of merges.
#[derive(Debug)]
pub(super) struct ByteLevel {
    pre_tokenizer: PreTokenizer,
    /// Token by byte.
    bytes: Vec<Option<u32>>,
    /// What two tokens become.
    merges: HashMap<(u32, u32), Merge>,
}

impl ByteLevel {
    pub(super) fn new(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<Self> {
        let name = metadata.optional_string("tokenizer.ggml.pre")?.unwrap_or("default");
        let pre_tokenizer = PreTokenizer::named(name)?;
        let bytes = (0..=u8::MAX)
            .map(|byte| vocabulary.mergeable(letter(byte).encode_utf8(&mut [0; 4])))
            .collect();
        let texts = metadata.strings("tokenizer.ggml.merges")?;
        if texts.len() > MAX_MERGES {
            let count = texts.len();
            let message = format!("the vocabulary has {count} merges, the limit is {MAX_MERGES}");
            return Err(Error::new(ErrorKind::Model, message));
        }
        let mut merges = HashMap::with_capacity(texts.len());
        for (text, rank) in texts.zip(0..) {
            if let Some((pair, id)) = read_merge(text, vocabulary)? {
                // Where a pair is listed twice, the first is meant.
                merges.entry(pair).or_insert(Merge { rank, id });
            }
        }
        Ok(ByteLevel { pre_tokenizer, bytes, merges })
    }

    /// Whether vocabularies of this kind begin a sequence with a token of its own, unless the file
    /// says otherwise.
    pub(super) fn add_bos(&self) -> bool {
        self.pre_tokenizer.add_bos()
    }

    /// Appends the tokens of `text`.
    pub(super) fn encode(&self, vocabulary: &Vocabulary, text: &str, ids: &mut Vec<u32>) {
        for word in self.pre_tokenizer.split(text) {
            if self.pre_tokenizer.whole_words() {
                let spelled: String = word.bytes().map(letter).collect();
                if let Some(id) = vocabulary.mergeable(&spelled) {
                    ids.push(id);
                    continue;
                }
            }
            let symbols = word
                .bytes()
                .enumerate()
                .map(|(start, byte)| Symbol { start, len: 1, id: self.bytes[usize::from(byte)] })
                .collect();
            let merged =
                merge(symbols, |left, right| self.merges.get(&(left.id?, right.id?)).copied());
            ids.extend(merged.iter().filter_map(|symbol| symbol.id));
        }
    }
}

/// The bytes of a piece; what is spelled in other letters stands for itself.
pub(super) fn piece_bytes(text: &str) -> Vec<u8> {
    let bytes: Option<Vec<u8>> = text.chars().map(byte).collect();
    bytes.unwrap_or_else(|| text.as_bytes().to_vec())
}

/// Reads a merge such as `Ġ t`; `None` where it leads to a control token.
fn read_merge(text: &str, vocabulary: &Vocabulary) -> Result<Option<((u32, u32), u32)>> {
    let unknown = || damaged(format!("merge {text:?} names tokens that the vocabulary lacks"));
    let (left, right) = text.split_once(' ').ok_or_else(unknown)?;
    let find = |text: &str| vocabulary.id(text).ok_or_else(unknown);
    let pair = (find(left)?, find(right)?);
    let joint = [left, right].concat();
    find(&joint)?;
    Ok(vocabulary.mergeable(&joint).map(|id| (pair, id)))
}

/// The letter that spells `byte`: itself where it is printable Latin-1, else one from U+0100 on.
fn letter(byte: u8) -> char {
    match byte {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
        0x00..=0x20 => shifted(0x100, byte),
        0x7F..=0xA0 => shifted(0x121, byte - 0x7F),
        0xAD => '\u{143}',
    }
}

fn shifted(first: u32, offset: u8) -> char {
    char::from_u32(first + u32::from(offset)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte that `letter` spells.
fn byte(letter: char) -> Option<u8> {
    let code = u32::from(letter);
    let byte = match code {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => code,
        0x100..=0x120 => code - 0x100,
        0x121..=0x142 => code - 0x121 + 0x7F,
        0x143 => 0xAD,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

#[cfg(test)]
mod tests {
    use super::{byte, letter};

    #[test]
    fn every_byte_has_a_letter_of_its_own() {
        for value in 0..=u8::MAX {
            assert_eq!(byte(letter(value)), Some(value), "byte {value:#04x}");
        }
        assert_eq!([letter(b' '), letter(b'\n'), letter(0xAD)], ['Ġ', 'Ċ', 'Ń']);
    }
}
