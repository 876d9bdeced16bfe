//! Output shortlists: the tokens of a large vocabulary that texts of one kind are written with.
//!
//! A vocabulary made for all languages has a quarter of a million tokens, and a small model spends
//! most of its arithmetic on scoring them; Chinese summaries are written with a few ten thousand.
//! An engine that is given a [`Shortlist`] scores its tokens and those of the request's own prompt,
//! so that a name can always be repeated. The logits of these are what they would be anyway.
//!
//! A list is learned from texts ([`Learner`]) and kept as a small file beside the model's card.
//! The file: eight bytes that say what it is, the sizes of vocabulary and list (32 bits each,
//! little-endian), then for each token, in ascending order, how many ids lie between it and the
//! one before, as LEB128. A file that repeats a token or is out of order cannot be written.

mod learn;

pub use learn::{Learner, MAX_MIN_COUNT};

use crate::error::{Error, ErrorKind, Result};
use crate::generate::TokenId;

/// The last byte is the version of the format.
const MAGIC: [u8; 8] = *b"wzshort\x01";

const HEADER_BYTES: usize = MAGIC.len() + 8;

/// Largest file. A token takes a byte or two, and a list of more than some 30,000 saves too little
/// to be worth having.
pub const MAX_FILE_BYTES: usize = 64 << 10;

/// Largest vocabulary: four times the largest in use.
pub const MAX_VOCABULARY: usize = 1 << 20;

/// Some tokens of a vocabulary: ascending, each once, all within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortlist {
    vocabulary: usize,
    ids: Vec<TokenId>,
}

impl Shortlist {
    /// A list of `ids`, in any order, repeated or not, of a vocabulary of `vocabulary` tokens.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] where an id lies outside the vocabulary, or the list would be too
    /// large for a file.
    pub fn new(vocabulary: usize, mut ids: Vec<TokenId>) -> Result<Shortlist> {
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Err(unusable("no token".to_owned()));
        }
        if vocabulary > MAX_VOCABULARY {
            let what =
                format!("a vocabulary of {vocabulary} tokens; the limit is {MAX_VOCABULARY}");
            return Err(unusable(what).hint("such a model is run without a shortlist"));
        }
        if let Some(last) = ids.last().filter(|last| **last as usize >= vocabulary) {
            return Err(unusable(format!("token {last} of a vocabulary of {vocabulary}")));
        }
        let list = Shortlist { vocabulary, ids };
        match list.encode().len() {
            0..=MAX_FILE_BYTES => Ok(list),
            bytes => Err(unusable(format!(
                "{} tokens take {bytes} bytes; the limit is {MAX_FILE_BYTES}",
                list.ids.len()
            ))
            .hint("take a higher --min-count")),
        }
    }

    /// The tokens, ascending.
    pub fn ids(&self) -> &[TokenId] {
        &self.ids
    }

    /// Size of the vocabulary that the list is of.
    pub fn vocabulary_size(&self) -> usize {
        self.vocabulary
    }

    /// The list as a file.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend((self.vocabulary as u32).to_le_bytes());
        bytes.extend((self.ids.len() as u32).to_le_bytes());
        let mut next = 0;
        for &id in &self.ids {
            put_varint(&mut bytes, id - next);
            next = id + 1;
        }
        bytes
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] where [`Self::encode`] could not have written these bytes.
    pub fn decode(bytes: &[u8]) -> Result<Shortlist> {
        if bytes.len() > MAX_FILE_BYTES {
            let found = bytes.len();
            return Err(faulty(format!("{found} bytes; the limit is {MAX_FILE_BYTES}")));
        }
        let Some((header, mut gaps)) = bytes.split_at_checked(HEADER_BYTES) else {
            return Err(faulty(format!("it breaks off after {} bytes", bytes.len())));
        };
        if !header.starts_with(&MAGIC) {
            return Err(faulty("it does not begin as shortlists of this version do".into()));
        }
        let (vocabulary, count) = (size_at(header, MAGIC.len()), size_at(header, MAGIC.len() + 4));
        if vocabulary > MAX_VOCABULARY || count > vocabulary || count == 0 {
            return Err(faulty(format!("{count} tokens of a vocabulary of {vocabulary}")));
        }
        // No more than there are bytes, whatever the header says.
        let mut ids = Vec::with_capacity(count.min(gaps.len()));
        let mut next = 0usize;
        for index in 0..count {
            let id = next.saturating_add(take_varint(&mut gaps).ok_or_else(|| {
                faulty(format!("token {index} of {count} is cut off or not well-formed"))
            })?);
            if id >= vocabulary {
                return Err(faulty(format!("token {id} of a vocabulary of {vocabulary}")));
            }
            ids.push(id as TokenId);
            next = id + 1;
        }
        match gaps.len() {
            0 => Ok(Shortlist { vocabulary, ids }),
            more => Err(faulty(format!("{more} bytes follow the last token"))),
        }
    }
}

/// The size at `offset` of a header that is whole.
fn size_at(header: &[u8], offset: usize) -> usize {
    header[offset..offset + 4].iter().rev().fold(0, |size, byte| size << 8 | usize::from(*byte))
}

fn put_varint(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number off the front; `None` where it is cut off, longer than a token id can be, or
/// longer than it would have to be.
fn take_varint(bytes: &mut &[u8]) -> Option<usize> {
    const MOST_BYTES: usize = 3;
    let length = bytes.iter().take(MOST_BYTES).position(|byte| byte & 0x80 == 0)? + 1;
    let (number, rest) = bytes.split_at(length);
    *bytes = rest;
    let is_shortest = length == 1 || number[length - 1] != 0;
    let value = |number: &[u8]| {
        number.iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f))
    };
    is_shortest.then(|| value(number))
}

fn unusable(what: String) -> Error {
    Error::new(ErrorKind::Model, format!("not a shortlist that can be used: {what}"))
}

/// A file that cannot be read.
fn faulty(what: String) -> Error {
    unusable(what).hint("`wenzhai models shortlist` makes one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(vocabulary: u32, count: u32, gaps: &[u8]) -> Vec<u8> {
        [&MAGIC[..], &vocabulary.to_le_bytes(), &count.to_le_bytes(), gaps].concat()
    }

    #[test]
    fn a_file_is_a_header_and_the_gaps_between_tokens() {
        let list = Shortlist::new(262_144, vec![300, 1, 0, 1, 262_143]).unwrap();
        assert_eq!(list.ids(), [0, 1, 300, 262_143]);
        // 298 = 0x2a + (2 << 7); 261,842 = 0x52 + (0x7d << 7) + (0xf << 14).
        let gaps = [0, 0, 0xaa, 0x02, 0xd2, 0xfd, 0x0f];
        assert_eq!(list.encode(), file(262_144, 4, &gaps));
    }

    #[test]
    fn damaged_files_are_refused() {
        let check = |bytes: &[u8], message: &str| {
            let error = Shortlist::decode(bytes).expect_err(message);
            assert!(error.to_string().contains(message), "{error}");
            assert_eq!(error.kind(), ErrorKind::Model);
            assert_eq!(error.hint_text(), Some("`wenzhai models shortlist` makes one"));
        };
        check(b"", "breaks off after 0 bytes");
        check(&file(10, 0, &[])[..15], "breaks off after 15 bytes");
        check(b"wzshort\x02\0\0\0\0\0\0\0\0", "does not begin as");
        check(&file(10, 11, &[0; 11]), "11 tokens of a vocabulary of 10");
        check(&file(10, 0, &[]), "0 tokens of a vocabulary of 10");
        check(&file(u32::MAX, u32::MAX, &[]), "of a vocabulary of 4294967295");
        check(&file(10, 2, &[9, 0]), "token 10 of a vocabulary of 10");
        check(&file(10, 2, &[3]), "token 1 of 2 is cut off");
        check(&file(1 << 20, 1, &[0x80]), "token 0 of 1 is cut off");
        check(&file(1 << 20, 1, &[0x80, 0x80, 0x80, 0x01]), "not well-formed");
        check(&file(1 << 20, 1, &[0x81, 0x00]), "not well-formed");
        check(&file(10, 1, &[3, 3]), "1 bytes follow");
        check(&[0; MAX_FILE_BYTES + 1], "65537 bytes; the limit is 65536");
    }

    #[test]
    fn lists_that_could_not_be_kept_are_refused() {
        let check = |vocabulary: usize, ids: Vec<TokenId>, message: &str, hint: Option<&str>| {
            let error = Shortlist::new(vocabulary, ids).expect_err(message);
            assert!(error.to_string().contains(message), "{error}");
            assert_eq!(error.hint_text(), hint);
        };
        check(5, vec![5], "token 5 of a vocabulary of 5", None);
        check(5, vec![], "no token", None);
        let hint = Some("such a model is run without a shortlist");
        check(MAX_VOCABULARY + 1, vec![0], "vocabulary of 1048577", hint);
        let hint = Some("take a higher --min-count");
        check(MAX_VOCABULARY, (0..65_536).collect(), "65536 tokens take 65552 bytes", hint);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            ids in prop::collection::vec(0..MAX_VOCABULARY as u32, 1..2_000)
        ) {
            let list = Shortlist::new(MAX_VOCABULARY, ids.clone()).unwrap();
            prop_assert!(list.ids().is_sorted_by(|a, b| a < b));
            prop_assert!(ids.iter().all(|id| list.ids().binary_search(id).is_ok()));
            prop_assert_eq!(Shortlist::decode(&list.encode()).unwrap(), list);
        }

        #[test]
        fn whatever_is_read_was_written_so(
            vocabulary in 0u32..3_000,
            count in 0u32..8,
            gaps in prop::collection::vec(any::<u8>(), 0..10),
        ) {
            let bytes = file(vocabulary, count, &gaps);
            if let Ok(list) = Shortlist::decode(&bytes) {
                prop_assert_eq!(list.encode(), bytes);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Shortlist::decode(&bytes);
        }
    }
}
