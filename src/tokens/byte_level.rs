//! The `gpt2` family: words are cut by regexes, a word's bytes merged by the file's list of merges.
//!
//! Pieces are spelled in an alphabet of 256 printable letters, one a byte (GPT-2's
//! `bytes_to_unicode`). Some vocabularies lack bytes that their training text did not have;
//! llama.cpp drops them and merges nothing across the gap, and so do we.

use std::collections::HashSet;

use tokenizers::models::bpe::{BPE, Merges};

use super::metadata::Metadata;
use super::split::PreTokenizer;
use super::vocabulary::{Listed, Spellings, damaged};
use crate::error::{Error, ErrorKind, Result};

/// More than the longest list in use has, some 450,000; a larger number tells of a damaged file.
const MAX_MERGES: usize = 1 << 19;

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
    pub(super) fn new(metadata: &Metadata, listed: &Listed) -> Result<Self> {
        let name = metadata.optional_string("tokenizer.ggml.pre")?.unwrap_or("default");
        let pre_tokenizer = PreTokenizer::named(name)?;
        let merges = read_merges(metadata, listed)?;
        let mut ids = listed.mergeable_ids();
        let gap = listed.len() as u32;
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
            damaged("no tokenizer can be made of the vocabulary and its merges".into())
                .because(cause)
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

/// The file's merges, such as `Ġ t`, without those that lead to or from a control token. All are
/// looked at before the first is kept.
fn read_merges(metadata: &Metadata, listed: &Listed) -> Result<Merges> {
    let texts = metadata.strings("tokenizer.ggml.merges")?;
    if texts.len() > MAX_MERGES {
        let count = texts.len();
        let message = format!("the vocabulary has {count} merges, the limit is {MAX_MERGES}");
        return Err(Error::new(ErrorKind::Model, message));
    }
    let spellings = listed.spellings()?;
    let mut joint = String::new();
    for text in texts.iter() {
        halves(text, &spellings, &mut joint)?;
    }
    let mut merges = Vec::with_capacity(texts.len());
    let mut seen = HashSet::with_capacity(texts.len());
    for text in texts.iter() {
        // Where a pair is listed twice, the first is meant.
        if let Some((left, right)) = halves(text, &spellings, &mut joint)?
            && seen.insert(text)
        {
            merges.push((left.to_owned(), right.to_owned()));
        }
    }
    Ok(merges)
}

/// The two tokens that the merge `text` makes one of; `None` where one of the three is not for
/// merging. `joint` is room for the third.
fn halves<'a>(
    text: &'a str,
    spellings: &Spellings,
    joint: &mut String,
) -> Result<Option<(&'a str, &'a str)>> {
    let unknown = || damaged(format!("merge {text:?} names tokens that the vocabulary lacks"));
    let (left, right) = text.split_once(' ').ok_or_else(unknown)?;
    joint.clear();
    joint.extend([left, right]);
    let three = [left, right, joint.as_str()];
    if three.iter().all(|text| spellings.mergeable.contains(*text)) {
        return Ok(Some((left, right)));
    }
    match three.iter().any(|text| spellings.others.contains(*text)) {
        true => Ok(None),
        false => Err(unknown()),
    }
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
