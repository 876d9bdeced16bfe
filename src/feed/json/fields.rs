//! The fields of one record, by their types.
//!
//! Only what a paper cannot do without has to be of its type. Whatever else is of another type
//! than it should be counts as not there: `"authors": NaN` is what Python writes for a table's
//! empty cell, and the paper has a title and an abstract all the same.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::plain;

/// The fields of one record; each is taken out once.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// The fields that are not null.
    pub(super) fn of(mut record: Map<String, Value>) -> Self {
        record.retain(|_, value| !value.is_null());
        Fields(record)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Text that a paper cannot do without; where it is missing it is empty, and is judged with
    /// the paper. The error says what stands there instead.
    pub(super) fn needed(&mut self, key: &'static str) -> Result<String, String> {
        match self.0.remove(key) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(format!("`{key}` is {}, not a text", kind(&other))),
        }
    }

    /// Text that a paper can do without.
    pub(super) fn text(&mut self, key: &str) -> String {
        match self.0.remove(key) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        }
    }

    /// The texts of a list.
    pub(super) fn texts(&mut self, key: &str) -> Vec<String> {
        texts(self.values(key))
    }

    /// The entries of a list.
    pub(super) fn values(&mut self, key: &str) -> Vec<Value> {
        match self.0.remove(key) {
            Some(Value::Array(values)) => values,
            _ => Vec::new(),
        }
    }

    pub(super) fn put(&mut self, key: &str, text: String) {
        self.0.insert(key.to_owned(), Value::String(text));
    }

    /// All that is left, as a `T`; the error says which field does not fit.
    pub(super) fn parse<T: DeserializeOwned>(self) -> Result<T, String> {
        serde_json::from_value(Value::Object(self.0)).map_err(|cause| plain(&cause))
    }
}

/// Those of `values` that are texts.
pub(super) fn texts(values: Vec<Value>) -> Vec<String> {
    let texts = values.into_iter().map(|value| match value {
        Value::String(text) => Some(text),
        _ => None,
    });
    texts.flatten().collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
