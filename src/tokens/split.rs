//! Pre-tokenizers: how vocabularies of the `gpt2` family cut text into words before merging.
//!
//! The regexes are those of llama.cpp (`src/llama-vocab.cpp`), by the names that it writes into
//! `tokenizer.ggml.pre`. They run on the `regex` crate, which takes linear time on any input but
//! has no look-ahead. The one look-ahead that they need, `\s+(?!\S)|\s+`, is written `(\s+)`: what
//! group 1 matches gives its last character back to the word that follows. Letters that are newer
//! than the Unicode tables of llama.cpp are cut as letters here and as punctuation there.

use regex::Regex;

use crate::error::{Error, ErrorKind, Result};

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|(\s+)";

const LLAMA3: &str = concat!(
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|(\s+)"
);

const QWEN2: &str = concat!(
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+",
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|(\s+)"
);

const QWEN35: &str = concat!(
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+",
    r"|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|(\s+)"
);

/// One way of cutting, and the habits that go with it.
#[derive(Debug)]
struct Rule {
    names: &'static [&'static str],
    /// Each step cuts the parts that the steps before it left.
    steps: &'static [&'static str],
    /// Whether a word that is a token is taken as such, whatever the merges say.
    whole_words: bool,
    /// Whether a sequence begins with a token of its own.
    add_bos: bool,
}

const RULES: &[Rule] = &[
    Rule {
        names: &["default"],
        steps: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
        whole_words: false,
        add_bos: false,
    },
    Rule {
        names: &["gpt-2", "phi-2", "mpt", "olmo", "jais", "exaone4", "trillion", "gigachat"],
        steps: &[GPT2],
        whole_words: false,
        add_bos: false,
    },
    Rule {
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"],
        steps: &[r"\p{N}", GPT2],
        whole_words: false,
        add_bos: false,
    },
    Rule {
        names: &["falcon"],
        steps: &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
        whole_words: false,
        add_bos: false,
    },
    Rule {
        names: &["qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan"],
        steps: &[QWEN2],
        whole_words: false,
        add_bos: false,
    },
    Rule { names: &["qwen35"], steps: &[QWEN35], whole_words: false, add_bos: false },
    Rule {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "lfm2"],
        steps: &[LLAMA3],
        whole_words: true,
        add_bos: true,
    },
    Rule { names: &["glm4"], steps: &[LLAMA3], whole_words: true, add_bos: false },
];

/// Cuts text into words.
#[derive(Debug)]
pub(super) struct PreTokenizer {
    rule: &'static Rule,
    steps: Vec<Regex>,
}

impl PreTokenizer {
    /// The pre-tokenizer that files call `name`.
    pub(super) fn named(name: &str) -> Result<Self> {
        let rule = RULES.iter().find(|rule| rule.names.contains(&name)).ok_or_else(|| {
            let known: Vec<&str> = RULES.iter().flat_map(|rule| rule.names).copied().collect();
            let message = format!("tokenizer.ggml.pre is \"{name}\", an unknown pre-tokenizer");
            Error::new(ErrorKind::Model, message).hint(format!("known are {}", known.join(", ")))
        })?;
        let compile = |step: &&str| {
            Regex::new(step).map_err(|cause| {
                let message = format!("cannot compile pre-tokenizer \"{name}\"");
                Error::new(ErrorKind::Model, message).because(cause)
            })
        };
        let steps = rule.steps.iter().map(compile).collect::<Result<_>>()?;
        Ok(PreTokenizer { rule, steps })
    }

    /// Whether a word that is a token is taken as such, whatever the merges say.
    pub(super) fn whole_words(&self) -> bool {
        self.rule.whole_words
    }

    /// Whether a sequence begins with a token of its own.
    pub(super) fn add_bos(&self) -> bool {
        self.rule.add_bos
    }

    /// The words of `text`; together they are `text`.
    pub(super) fn split<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let mut words = vec![text];
        for step in &self.steps {
            let mut finer = Vec::with_capacity(words.len());
            for word in words {
                split_one(step, word, &mut finer);
            }
            words = finer;
        }
        words
    }
}

/// Appends the matches of `regex` in `text` and what lies between them.
fn split_one<'a>(regex: &Regex, text: &'a str, words: &mut Vec<&'a str>) {
    let mut at = 0;
    while let Some(found) = regex.captures_at(text, at) {
        let Some(whole) = found.get(0).filter(|whole| !whole.is_empty()) else { break };
        let end = match found.get(1) {
            Some(spaces) if spaces.end() < text.len() => before_last(spaces.as_str(), whole.end()),
            _ => whole.end(),
        };
        let between = &text[at..whole.start()];
        words.extend(Some(between).filter(|between| !between.is_empty()));
        words.push(&text[whole.start()..end]);
        at = end;
    }
    words.extend(Some(&text[at..]).filter(|rest| !rest.is_empty()));
}

/// Where the last character of `spaces` begins, which end at `end`; `end` where it is the only one.
fn before_last(spaces: &str, end: usize) -> usize {
    match spaces.char_indices().next_back() {
        Some((offset, last)) if offset > 0 => end - last.len_utf8(),
        _ => end,
    }
}
