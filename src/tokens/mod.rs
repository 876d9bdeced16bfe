//! Text to token ids and back, by the vocabulary that a GGUF file carries.
//!
//! The ids must be those on which the model was trained, and llama.cpp's are taken as the truth:
//! [`Tokenizer::encode`] gives what `llama_tokenize` gives with `add_special` and `parse_special`
//! off. Two families are read: `llama` (SentencePiece: pieces merged by score, unknown characters
//! as bytes) and `gpt2` (bytes merged by a list of merges, words cut beforehand by regexes).
//!
//! The `tokenizers` crate does the cutting and merging of the `gpt2` family. It wants a list of
//! merges. One can be made of the scores of the `llama` family, but not where scores are equal, and
//! at twelve times the time of loading; so there a loop of our own (`merge`) reads the scores. Ours is
//! also the cutting out of tokens that are spelled literally (`added`), by llama.cpp's order.
//!
//! One rule is stricter than llama.cpp: text never becomes a control token, not even where merges
//! happen to lead there. An abstract that says `<end_of_turn>` is an abstract about prompts.
//! Left out: stripping white space around control tokens (Phi-3), vocabularies other than the two
//! families, and gpt-oss's special cases.

mod added;
mod byte_level;
mod merge;
mod metadata;
mod score;
mod special;
mod split;
mod vocabulary;

use std::collections::HashMap;

use candle_core::quantized::gguf_file::Value;

use crate::error::{Error, ErrorKind, Result};
use added::{AddedTokens, Fragment};
use byte_level::ByteLevel;
use metadata::Metadata;
use score::ScoreMerge;
use special::SpecialTokens;
use vocabulary::{Kind, Listed, Vocabulary};

/// A stretch of text that a program or a model's file wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stretch {
    /// Text between control tokens.
    Text(String),
    /// A control token that was named.
    Control(u32),
}

/// Turns text into token ids and back.
#[derive(Debug)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
    model: Model,
    special: SpecialTokens,
    /// Tokens to cut out of plain text.
    user_defined: AddedTokens,
    /// Tokens to cut out of templates: the user-defined and the control tokens.
    template: AddedTokens,
    add_bos: bool,
    chat_template: Option<String>,
}

/// How text between added tokens becomes ids.
#[derive(Debug)]
enum Model {
    Score(ScoreMerge),
    ByteLevel(Box<ByteLevel>),
}

impl Tokenizer {
    /// Builds the tokenizer that a GGUF file's metadata describes (keys `tokenizer.*`).
    ///
    /// # Errors
    /// [`ErrorKind::Model`] where a key is missing or of another type than expected, and where the
    /// kind of vocabulary or of pre-tokenizer is unknown.
    pub fn from_gguf(metadata: &HashMap<String, Value>) -> Result<Tokenizer> {
        let metadata = Metadata::new(metadata);
        // What can be wrong is found before anything is built.
        let mut listed = Listed::find(&metadata)?;
        let special = SpecialTokens::find(&metadata, &mut listed)?;
        let add_bos = metadata.optional_bool("tokenizer.ggml.add_bos_token")?;
        let chat_template = metadata.optional_string("tokenizer.chat_template")?;
        let model = match metadata.string("tokenizer.ggml.model")? {
            "llama" => Model::Score(ScoreMerge::new(&metadata, &listed)?),
            "gpt2" => Model::ByteLevel(ByteLevel::new(&metadata, &listed)?.into()),
            other => {
                return Err(Error::new(
                    ErrorKind::Model,
                    format!("tokenizer.ggml.model is \"{other}\", an unknown kind of vocabulary"),
                )
                .hint("use a GGUF file whose vocabulary is of kind \"llama\" or \"gpt2\""));
            }
        };
        let vocabulary = listed.into_vocabulary();
        let user_defined = AddedTokens::new(&vocabulary, |kind| kind == Kind::UserDefined);
        let template = AddedTokens::new(&vocabulary, |kind| {
            matches!(kind, Kind::UserDefined | Kind::Control | Kind::Unknown)
        });
        let add_bos = add_bos.unwrap_or(match &model {
            Model::Score(_) => true,
            Model::ByteLevel(model) => model.add_bos,
        });
        let chat_template = chat_template.map(str::to_owned);
        Ok(Tokenizer { vocabulary, model, special, user_defined, template, add_bos, chat_template })
    }

    /// The ids of `text`, none of them a control token whatever the text says; no beginning of
    /// sequence is added.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.encode_around(text, &self.user_defined, true)
    }

    /// The same of text that goes on with other text: without the space that some vocabularies set before all
    /// text.
    pub fn encode_behind(&self, text: &str) -> Vec<u32> {
        self.encode_around(text, &self.user_defined, false)
    }

    /// The ids of `text`, which the program and not a paper wrote: the names of control tokens in
    /// it become those tokens. No beginning of sequence is added.
    pub fn encode_template(&self, text: &str) -> Vec<u32> {
        self.encode_around(text, &self.template, true)
    }

    /// `text`, which the program or the model's file and not a paper wrote, cut at the names of
    /// control tokens. [`Self::encode`] of the text between, together with what is next to it,
    /// gives what [`Self::encode_template`] gives of the whole, but for a name of the unknown token, which
    /// is spelled out.
    pub fn stretches(&self, text: &str) -> Vec<Stretch> {
        let mut stretches = Vec::new();
        let mut between = String::new();
        for fragment in self.template.cut(text) {
            match fragment {
                Fragment::Token(id) if self.is_control(id) => {
                    if !between.is_empty() {
                        stretches.push(Stretch::Text(std::mem::take(&mut between)));
                    }
                    stretches.push(Stretch::Control(id));
                }
                Fragment::Token(id) => between.push_str(self.vocabulary.text(id)),
                Fragment::Text(text) => between.push_str(text),
            }
        }
        if !between.is_empty() {
            stretches.push(Stretch::Text(between));
        }
        stretches
    }

    fn encode_around(&self, text: &str, added: &AddedTokens, begins: bool) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut after_token = begins;
        for fragment in added.cut(text) {
            match fragment {
                Fragment::Token(id) => ids.push(id),
                Fragment::Text(text) => match &self.model {
                    Model::Score(model) => model.encode(text, after_token, &mut ids),
                    Model::ByteLevel(model) => model.encode(text, &mut ids),
                },
            }
            after_token = matches!(fragment, Fragment::Token(_));
        }
        ids
    }

    /// The text of `ids`. Control tokens have no text; bytes that are no UTF-8, such as a
    /// character whose last bytes are still to come, are shown as U+FFFD.
    ///
    /// The space that some vocabularies set before all text is taken off again.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.piece_bytes(id)).collect();
        let text = String::from_utf8_lossy(&bytes);
        let added_space = matches!(&self.model, Model::Score(model) if model.adds_space());
        match text.strip_prefix(' ') {
            Some(rest) if added_space => rest.to_owned(),
            _ => text.into_owned(),
        }
    }

    /// The bytes that token `id` stands for, possibly a part of a character; empty for control
    /// tokens and for ids outside the vocabulary.
    pub fn piece_bytes(&self, id: u32) -> Vec<u8> {
        match (&self.model, self.vocabulary.kind(id)) {
            (_, None | Some(Kind::Control | Kind::Unknown | Kind::Unused)) => Vec::new(),
            (_, Some(Kind::UserDefined)) => self.vocabulary.text(id).as_bytes().to_vec(),
            (_, Some(Kind::Byte(byte))) => vec![byte],
            (Model::Score(_), Some(Kind::Normal)) => score::piece_bytes(self.vocabulary.text(id)),
            (Model::ByteLevel(_), Some(Kind::Normal)) => {
                byte_level::piece_bytes(self.vocabulary.text(id))
            }
        }
    }

    /// Every token whose text has a line break in it, ascending.
    pub fn line_break_tokens(&self) -> Vec<u32> {
        self.vocabulary.ids().filter(|&id| self.piece_bytes(id).contains(&b'\n')).collect()
    }

    /// Number of tokens; ids are below it.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    /// The token that begins a sequence.
    pub fn bos(&self) -> Option<u32> {
        self.special.bos
    }

    /// The token that ends a sequence.
    pub fn eos(&self) -> Option<u32> {
        self.special.eos
    }

    /// The token that ends a turn of a chat.
    pub fn eot(&self) -> Option<u32> {
        self.special.eot
    }

    /// Every token after which there is nothing more to generate, ascending.
    pub fn end_of_generation(&self) -> &[u32] {
        &self.special.end_of_generation
    }

    /// How the vocabulary spells token `id`, which for a control token is its name; empty outside
    /// the vocabulary.
    pub fn name(&self, id: u32) -> &str {
        self.vocabulary.text(id)
    }

    /// Whether `id` is a control token, one that stands for no text.
    pub fn is_control(&self, id: u32) -> bool {
        self.vocabulary.kind(id) == Some(Kind::Control)
    }

    /// Whether the model expects [`Self::bos`] before the first token of a prompt.
    pub fn add_bos(&self) -> bool {
        self.add_bos && self.special.bos.is_some()
    }

    /// The chat template that came with the model (Jinja).
    pub fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }
}
