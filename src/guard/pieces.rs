//! The texts of a vocabulary's tokens, one after the other in one buffer.

use crate::generate::TokenId;

/// What each token writes, in bytes: tokens can end in the middle of a character.
#[derive(Debug, Default)]
pub struct Pieces {
    bytes: Vec<u8>,
    /// Where in `bytes` the piece of each token ends.
    ends: Vec<u32>,
}

impl Pieces {
    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// What `token` writes; nothing where it stands for no text or is not in the vocabulary.
    pub fn bytes(&self, token: TokenId) -> &[u8] {
        let token = token as usize;
        let Some(&end) = self.ends.get(token) else { return &[] };
        let start = token.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..end as usize]
    }
}

/// The pieces of the tokens 0, 1, 2 and so on.
impl<P: AsRef<[u8]>> FromIterator<P> for Pieces {
    fn from_iter<I: IntoIterator<Item = P>>(pieces: I) -> Self {
        let mut all = Pieces::default();
        for piece in pieces {
            all.bytes.extend_from_slice(piece.as_ref());
            all.ends.push(all.bytes.len() as u32);
        }
        all
    }
}
