//! Typed reading of a GGUF file's metadata; every error names the key.

use std::collections::HashMap;

use candle_core::quantized::gguf_file::Value;

use crate::error::{Error, ErrorKind, Result};

/// A GGUF file's metadata: values by key.
pub(super) struct Metadata<'a>(&'a HashMap<String, Value>);

/// A list of texts, as it stands in the metadata.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texts<'a>(&'a [Value]);

impl<'a> Metadata<'a> {
    pub(super) fn new(values: &'a HashMap<String, Value>) -> Self {
        Metadata(values)
    }

    pub(super) fn string(&self, key: &str) -> Result<&'a str> {
        self.optional_string(key)?.ok_or_else(|| missing(key))
    }

    pub(super) fn optional_string(&self, key: &str) -> Result<Option<&'a str>> {
        self.optional(key, "a string", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    pub(super) fn optional_bool(&self, key: &str) -> Result<Option<bool>> {
        self.optional(key, "true or false", |value| value.to_bool().ok())
    }

    /// A token id, which must lie in a vocabulary of `vocab_size` tokens.
    pub(super) fn optional_id(&self, key: &str, vocab_size: usize) -> Result<Option<u32>> {
        let below = format!("a token id below {vocab_size}");
        self.optional(key, &below, |value| {
            let id = integer(value)?;
            u32::try_from(id).ok().filter(|&id| (id as usize) < vocab_size)
        })
    }

    pub(super) fn strings(&self, key: &str) -> Result<Texts<'a>> {
        let texts = self.optional(key, "a list of strings", |value| match value {
            Value::Array(values) => {
                values.iter().all(|value| text(value).is_some()).then_some(Texts(values))
            }
            _ => None,
        })?;
        texts.ok_or_else(|| missing(key))
    }

    pub(super) fn floats(&self, key: &str) -> Result<Vec<f32>> {
        self.array(key, "a list of numbers", |value| match value {
            Value::F32(number) => Some(*number).filter(|number| !number.is_nan()),
            value => integer(value).map(|number| number as f32),
        })?
        .ok_or_else(|| missing(key))
    }

    pub(super) fn optional_integers(&self, key: &str) -> Result<Option<Vec<i64>>> {
        self.array(key, "a list of integers", integer)
    }

    fn array<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        self.optional(key, expected, |value| match value {
            Value::Array(values) => values.iter().map(&read).collect(),
            _ => None,
        })
    }

    fn optional<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        let wrong = || Error::new(ErrorKind::Model, format!("{key} is not {expected}"));
        read(value).map(Some).ok_or_else(wrong)
    }
}

impl<'a> Texts<'a> {
    pub(super) fn len(self) -> usize {
        self.0.len()
    }

    /// The text at place `index`; empty behind the end.
    pub(super) fn at(self, index: usize) -> &'a str {
        self.0.get(index).and_then(text).unwrap_or_default()
    }

    pub(super) fn iter(self) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(text)
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// The value of any of GGUF's integer types.
fn integer(value: &Value) -> Option<i64> {
    match *value {
        Value::I8(number) => Some(number.into()),
        Value::I16(number) => Some(number.into()),
        Value::I32(number) => Some(number.into()),
        Value::I64(number) => Some(number),
        ref unsigned => unsigned.to_u64().ok()?.try_into().ok(),
    }
}

fn missing(key: &str) -> Error {
    Error::new(ErrorKind::Model, format!("the GGUF file has no {key}"))
        .hint("the file may be cut or hold no language model; fetch the model again")
}
