//! The `gpt2` family: words are cut by regexes, a word's bytes merged by the file's list of merges.
//!
//! Pieces are spelled in an alphabet of 256 printable letters, one a byte (GPT-2's
//! `bytes_to_unicode`). Some vocabularies lack bytes that their training text did not have;
//! llama.cpp drops them and merges nothing across the gap, and so do we.

use std::collections::HashSet;

use tokenizers::models::bpe::{BPE, Merges};

use super::metadata::Metadata;
use super::split::PreTokenizer;
use super::vocabulary::{Ids, Vocabulary, damaged};
use crate::error::{Error, ErrorKind, Result};

/// Four times the longest list in use; a larger number tells of a damaged file.
const MAX_MERGES: usize = 1 << 20;

/// What stands in place of a byte that the vocabulary lacks: a token beyond its end, which no text
/// spells and no merge has a use for.
const GAP: &str = "";

/// Merges bytes by a list of merges.
#[derive(Debug)]
pub(super) struct ByteLevel {
    tokenizer: tokenizers::Tokenizer,
    gap: u32,
    /// Whether vocabularies of this kind begin a sequence with a token of its own, unless the file
    /// says otherwise.
    pub(super) add_bos: bool,
}

impl ByteLevel {
    pub(super) fn new(metadata: &Metadata, vocabulary: &Vocabulary, mut ids: Ids) -> Result<Self> {
        let name = metadata.optional_string("tokenizer.ggml.pre")?.unwrap_or("default");
        let pre_tokenizer = PreTokenizer::named(name)?;
        ids.retain(|_, id| vocabulary.is_mergeable(*id));
        let merges = read_merges(metadata, vocabulary, &ids)?;
        let gap = vocabulary.len() as u32;
        ids.insert(GAP.to_owned(), gap);
        let bpe = BPE::builder()
            .vocab_and_merges(ids, merges)
            .unk_token(GAP.to_owned())
            .ignore_merges(pre_tokenizer.whole_words)
            .build();
        let built = bpe.and_then(|bpe| {
            let mut tokenizer = tokenizers::Tokenizer::new(bpe);
            tokenizer.with_pre_tokenizer(Some(pre_tokenizer.compile()?));
            Ok(ByteLevel { tokenizer, gap, add_bos: pre_tokenizer.add_bos })
        });
        built.map_err(|cause| {
            damaged("the merges name a token that the vocabulary lacks".into()).because(cause)
        })
    }

    /// Appends the tokens of `text`.
    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        let tokens = self.tokenizer.encode_fast(text, false).expect("every byte has a token");
        ids.extend(tokens.get_ids().iter().filter(|&&id| id != self.gap));
    }
}

/// The bytes of a piece; what is spelled in other letters stands for itself.
pub(super) fn piece_bytes(text: &str) -> Vec<u8> {
    let bytes: Option<Vec<u8>> = text.chars().map(byte).collect();
    bytes.unwrap_or_else(|| text.as_bytes().to_vec())
}

/// The file's merges, such as `Ġ t`, without those that lead to or from a control token; `ids` are
/// the other tokens.
fn read_merges(metadata: &Metadata, vocabulary: &Vocabulary, ids: &Ids) -> Result<Merges> {
    let texts = metadata.strings("tokenizer.ggml.merges")?;
    if texts.len() > MAX_MERGES {
        let count = texts.len();
        let message = format!("the vocabulary has {count} merges, the limit is {MAX_MERGES}");
        return Err(Error::new(ErrorKind::Model, message));
    }
    let control = vocabulary.ids().filter(|&id| !vocabulary.is_mergeable(id));
    let control: HashSet<&str> = control.map(|id| vocabulary.text(id)).collect();
    let longest = ids.keys().map(String::len).max().unwrap_or_default();
    let mut merges = Vec::with_capacity(texts.len());
    let mut listed = HashSet::with_capacity(texts.len());
    let mut joint = String::new();
    for text in texts {
        let unknown = || damaged(format!("merge {text:?} names tokens that the vocabulary lacks"));
        let (left, right) = text.split_once(' ').ok_or_else(unknown)?;
        joint.clear();
        joint.extend([left, right]);
        // Where a pair is listed twice, the first is meant.
        if [left, right, &joint].iter().any(|text| control.contains(text)) || !listed.insert(text) {
            continue;
        }
        // What else the vocabulary lacks is found when the merges are looked up; on a piece longer
        // than all tokens that look-up panics.
        if joint.len() > longest {
            return Err(unknown());
        }
        merges.push((left.to_owned(), right.to_owned()));
    }
    Ok(merges)
}

/// The byte that `letter` spells: itself where it is printable Latin-1, else one from U+0100 on.
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
    use std::collections::BTreeSet;

    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    use super::byte;

    #[test]
    fn every_byte_has_a_letter_of_its_own() {
        let letters = ByteLevel::alphabet();
        let bytes: BTreeSet<u8> = letters.iter().filter_map(|&letter| byte(letter)).collect();
        assert_eq!((letters.len(), bytes.len()), (256, 256));
        assert_eq!(['Ġ', 'Ċ', 'Ń'].map(byte), [Some(b' '), Some(b'\n'), Some(0xAD)]);
    }
}
