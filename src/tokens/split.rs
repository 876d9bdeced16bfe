//! Pre-tokenizers: how vocabularies of the `gpt2` family cut text into words before merging.
//!
//! The regexes are those of llama.cpp (`src/llama-vocab.cpp`), by the names that it writes into
//! `tokenizer.ggml.pre`. Letters that are newer than the Unicode tables of llama.cpp are cut as
//! letters here and as punctuation there. White space that goes on for a million characters is cut
//! otherwise than there, because the regexes' steps are bounded.

use tokenizers::SplitDelimiterBehavior::Isolated;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};

use crate::error::{Error, ErrorKind, Result};

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

const LLAMA3: &str = concat!(
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

const QWEN2: &str = concat!(
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+",
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

const QWEN35: &str = concat!(
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+",
    r"|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

/// One way of cutting, and the habits that go with it.
#[derive(Debug)]
pub(super) struct PreTokenizer {
    names: &'static [&'static str],
    /// Each step cuts the parts that the steps before it left.
    steps: &'static [&'static str],
    /// Whether a word that is a token is taken as such, whatever the merges say.
    pub(super) whole_words: bool,
    /// Whether a sequence begins with a token of its own.
    pub(super) add_bos: bool,
}

const KNOWN: &[PreTokenizer] = &[
    PreTokenizer {
        names: &["default"],
        steps: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
        whole_words: false,
        add_bos: false,
    },
    PreTokenizer {
        names: &["gpt-2", "phi-2", "mpt", "olmo", "jais", "exaone4", "trillion", "gigachat"],
        steps: &[GPT2],
        whole_words: false,
        add_bos: false,
    },
    PreTokenizer {
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"],
        steps: &[r"\p{N}", GPT2],
        whole_words: false,
        add_bos: false,
    },
    PreTokenizer {
        names: &["falcon"],
        steps: &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
        whole_words: false,
        add_bos: false,
    },
    PreTokenizer {
        names: &["qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan"],
        steps: &[QWEN2],
        whole_words: false,
        add_bos: false,
    },
    PreTokenizer { names: &["qwen35"], steps: &[QWEN35], whole_words: false, add_bos: false },
    PreTokenizer {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "lfm2"],
        steps: &[LLAMA3],
        whole_words: true,
        add_bos: true,
    },
    PreTokenizer { names: &["glm4"], steps: &[LLAMA3], whole_words: false, add_bos: false },
];

impl PreTokenizer {
    /// The pre-tokenizer that files call `name`.
    pub(super) fn named(name: &str) -> Result<&'static PreTokenizer> {
        KNOWN.iter().find(|known| known.names.contains(&name)).ok_or_else(|| {
            let known: Vec<&str> = KNOWN.iter().flat_map(|known| known.names).copied().collect();
            let message = format!("tokenizer.ggml.pre is \"{name}\", an unknown pre-tokenizer");
            Error::new(ErrorKind::Model, message).hint(format!("known are {}", known.join(", ")))
        })
    }

    /// Cuts text into words, and spells their bytes as letters.
    pub(super) fn compile(&self) -> tokenizers::Result<Sequence> {
        let split = |&step: &&str| {
            Split::new(SplitPattern::Regex(step.into()), Isolated, false).map(Into::into)
        };
        let spelling = ByteLevel::new(false, false, false);
        let steps = self.steps.iter().map(split).chain([Ok(spelling.into())]);
        Ok(Sequence::new(steps.collect::<tokenizers::Result<_>>()?))
    }
}
