//! Which tokens begin and end things: from the file's keys, and from the tokens' names where files
//! are known not to tell. The names are those of llama.cpp (`src/llama-vocab.cpp`).

use std::collections::{HashMap, HashSet};

use super::metadata::Metadata;
use super::vocabulary::Listed;
use crate::error::Result;

/// Names of the token that ends a turn, the most telling first.
const TURN_ENDS: [&str; 12] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<end_of_turn>",
    "<|end|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<end_of_utterance>",
    "<|end_of_text|>",
    "<｜end▁of▁sentence｜>",
    "<|endoftext|>",
    "<|eom_id|>",
];

/// Further names after which there is nothing to generate: ends of texts, of calls and of files.
const OTHER_ENDS: [&str; 22] = [
    "</s>",
    "<eos>",
    "[EOS]",
    "<turn|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<|tool_response>",
    "[e~[",
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
    "<|fim_sep|>",
];

/// Names of tokens that stand between parts of code: none ends anything, and none is text, though some files
/// mark them as words of a user.
const FILLS: [&str; 15] = [
    "<|fim_prefix|>",
    "<fim-prefix>",
    "<fim_prefix>",
    "<PRE>",
    "▁<PRE>",
    "<|fim_suffix|>",
    "<fim-suffix>",
    "<fim_suffix>",
    "<SUF>",
    "▁<SUF>",
    "<|fim_middle|>",
    "<fim-middle>",
    "<fim_middle>",
    "<MID>",
    "▁<MID>",
];

/// The tokens that mean something to the program that runs the model.
#[derive(Debug)]
pub(super) struct SpecialTokens {
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) eot: Option<u32>,
    /// Ascending.
    pub(super) end_of_generation: Vec<u32>,
}

impl SpecialTokens {
    /// Finds the special tokens and marks those that end something as control tokens, which some
    /// files forget to do. White space stays text, though it may end one.
    pub(super) fn find(metadata: &Metadata, listed: &mut Listed) -> Result<Self> {
        let by_key = |name: &str| {
            metadata.optional_id(&format!("tokenizer.ggml.{name}_token_id"), listed.len())
        };
        let (bos, eos, eot) = (by_key("bos")?, by_key("eos")?, by_key("eot")?);
        let keyed = [eos, eot, by_key("eom")?, by_key("fim_pad")?, by_key("fim_rep")?];
        let fim_sep = by_key("fim_sep")?;

        let names: HashSet<&str> = TURN_ENDS.into_iter().chain(OTHER_ENDS).chain(FILLS).collect();
        let ids: HashMap<&str, u32> = listed
            .tokens()
            .filter(|(_, text, _)| names.contains(*text))
            .map(|(id, text, _)| (text, id))
            .collect();
        let turn_ends: Vec<u32> =
            TURN_ENDS.iter().filter_map(|&name| ids.get(name).copied()).collect();
        let other_ends = OTHER_ENDS.iter().filter_map(|&name| ids.get(name).copied());
        let named: Vec<u32> = turn_ends.iter().copied().chain(other_ends).collect();
        let mut end_of_generation: Vec<u32> =
            keyed.into_iter().chain([fim_sep]).flatten().chain(named).collect();
        let fills = FILLS.iter().filter_map(|name| ids.get(name));
        for &id in end_of_generation.iter().chain(fills) {
            listed.mark_control(id);
        }
        end_of_generation.sort_unstable();
        end_of_generation.dedup();
        let eot = eot.or(turn_ends.first().copied());
        Ok(SpecialTokens { bos, eos, eot, end_of_generation })
    }
}
