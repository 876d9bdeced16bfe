//! The `llama` family: SentencePiece vocabularies, merged by score.
//!
//! A space is spelled `▁`; two neighbours merge where their joint spelling is a piece, the piece
//! with the highest score first. Ranks are numbered from the scores so that pieces with equal
//! scores have equal ranks and merge leftmost first: a list of merges, where each has a rank of
//! its own, could not say this. Characters without a piece become the tokens of their bytes.

use super::merge::{Merge, Symbol, merge};
use super::metadata::Metadata;
use super::vocabulary::{Ids, Kind, Listed, damaged};
use crate::error::Result;

const SPACE: &str = "▁";

/// Merges by the score of the merged piece.
#[derive(Debug)]
pub(super) struct ScoreMerge {
    /// The tokens that merges may lead to.
    ids: Ids,
    /// Rank by token: 0 for the highest score, equal for equal scores.
    ranks: Vec<u32>,
    /// Token by byte.
    bytes: Vec<u32>,
    adds_space: bool,
}

impl ScoreMerge {
    pub(super) fn new(metadata: &Metadata, listed: &Listed) -> Result<Self> {
        let scores = metadata.floats("tokenizer.ggml.scores")?;
        if scores.len() != listed.len() {
            let (tokens, found) = (listed.len(), scores.len());
            return Err(damaged(format!("{tokens} tokens but {found} tokenizer.ggml.scores")));
        }
        let adds_space = metadata.optional_bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
        let bytes = byte_tokens(listed)?;
        // Each text is there once.
        listed.spellings()?;
        Ok(ScoreMerge { ids: listed.mergeable_ids(), ranks: ranks(&scores), bytes, adds_space })
    }

    /// Whether a space is set before text at the beginning and after added tokens.
    pub(super) fn adds_space(&self) -> bool {
        self.adds_space
    }

    /// Appends the tokens of `text`; `after_token` tells that it is at the beginning or follows an
    /// added token.
    pub(super) fn encode(&self, text: &str, after_token: bool, ids: &mut Vec<u32>) {
        let mut spelled = String::with_capacity(text.len() + text.len() / 2);
        if self.adds_space && after_token {
            spelled.push_str(SPACE);
        }
        spelled.push_str(&text.replace(' ', SPACE));

        let symbols = spelled
            .char_indices()
            .map(|(start, character)| {
                let len = character.len_utf8();
                Symbol { start, len, id: self.ids.get(&spelled[start..start + len]).copied() }
            })
            .collect();
        let merged = merge(symbols, |left, right| {
            let &id = self.ids.get(&spelled[left.start..right.start + right.len])?;
            Some(Merge { rank: self.ranks[id as usize], id })
        });
        for Symbol { start, len, id } in merged {
            match id {
                Some(id) => ids.push(id),
                None => {
                    let bytes = spelled[start..start + len].bytes();
                    ids.extend(bytes.map(|byte| self.bytes[usize::from(byte)]));
                }
            }
        }
    }
}

/// The bytes of a piece.
pub(super) fn piece_bytes(text: &str) -> Vec<u8> {
    text.replace(SPACE, " ").into_bytes()
}

/// Numbers the scores: 0 for the highest, equal numbers for equal scores.
fn ranks(scores: &[f32]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut ranks = vec![0; scores.len()];
    let mut rank = 0;
    for pair in order.windows(2) {
        // Numbers are compared, so that 0 and -0, both of which occur, are equal.
        rank += u32::from(scores[pair[0]] != scores[pair[1]]);
        ranks[pair[1]] = rank;
    }
    ranks
}

/// The token of every byte; with all of them in place, no text is without tokens.
fn byte_tokens(listed: &Listed) -> Result<Vec<u32>> {
    let mut tokens = vec![None; 256];
    for (id, _, kind) in listed.tokens() {
        if let Kind::Byte(byte) = kind {
            tokens[usize::from(byte)] = Some(id);
        }
    }
    let missing = |byte| damaged(format!("the vocabulary has no token <0x{byte:02X}>"));
    tokens.into_iter().enumerate().map(|(byte, id)| id.ok_or_else(|| missing(byte))).collect()
}
