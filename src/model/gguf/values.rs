//! The metadata of a header: keys and values.
//!
//! Values become candle's, which take 32 bytes each whatever they are. So lists are read that this
//! program uses, and others left empty; all together take less than 45 MiB beside their texts, which
//! are as long as the file has them.

use std::collections::HashMap;
use std::io::{Read, Seek};

use candle_core::quantized::gguf_file::Value;

use super::fault::{FETCH_AGAIN, bad};
use crate::gguf::{self, Bytes, Fault, LIST, MAX_DEPTH, TEXT, value_bytes};
use crate::{Error, Result};

/// Longest text that is read, in bytes: four times the longest chat template that is accepted.
const MAX_TEXT_BYTES: u64 = 1 << 20;
/// Most values of a list of the tokenizer: twice the largest vocabulary in use.
const MAX_TOKENIZER_VALUES: u64 = 1 << 19;
/// Most values of all lists of the tokenizer together: what 262,144 tokens have with a score, a type
/// and two merges each.
const MAX_TOKENIZER_VALUES_OF_ALL: u64 = 5 << 18;
/// Most values of another list that is read; some models have one value a layer.
const MAX_VALUES: u64 = 4096;
/// Most values of all such lists together.
const MAX_VALUES_OF_ALL: u64 = 1 << 16;
/// Longest name of a key or tensor, in bytes; the format allows no longer keys.
const MAX_NAME_BYTES: u64 = 65_535;

/// Reads `keys` keys and their values.
pub fn read_metadata<R: Read + Seek>(
    bytes: &mut Bytes<'_, R>,
    keys: u64,
) -> Result<HashMap<String, Value>> {
    let mut metadata = HashMap::new();
    let mut room = Room { of_tokenizer: MAX_TOKENIZER_VALUES_OF_ALL, of_others: MAX_VALUES_OF_ALL };
    for _ in 0..keys {
        let key = read_name(bytes)?;
        let kind = bytes.u32()?;
        let value = match kind {
            LIST => read_list(bytes, &key, &mut room)?,
            kind => read_value(bytes, kind, &key)?,
        };
        if metadata.contains_key(&key) {
            return Err(bad(format!("it has the key {key} twice")));
        }
        metadata.insert(key, value);
    }
    Ok(metadata)
}

/// Reads the name of a key or tensor.
pub fn read_name<R: Read + Seek>(bytes: &mut Bytes<'_, R>) -> Result<String> {
    let length = bytes.u64()?;
    bytes.need(length)?;
    if length > MAX_NAME_BYTES {
        return Err(bad(format!("it has a name of {length} bytes, more than {MAX_NAME_BYTES}"))
            .hint(FETCH_AGAIN));
    }
    read_text(bytes, length)
}

/// Text of `length` bytes. What is no UTF-8 is shown as U+FFFD, and zeros at the end, which some
/// programs write, are none of it.
fn read_text<R: Read + Seek>(bytes: &mut Bytes<'_, R>, length: u64) -> Result<String> {
    let text = bytes.take_all(length)?;
    Ok(String::from_utf8_lossy(&text).trim_end_matches('\0').to_owned())
}

fn read_value<R: Read + Seek>(bytes: &mut Bytes<'_, R>, kind: u32, key: &str) -> Result<Value> {
    match kind {
        TEXT => {
            let length = bytes.u64()?;
            bytes.need(length)?;
            if length <= MAX_TEXT_BYTES {
                return read_text(bytes, length).map(Value::String);
            }
            if key.starts_with("tokenizer.") || key == "general.architecture" {
                let message = format!("{key} has {length} bytes, more than {MAX_TEXT_BYTES}");
                return Err(bad(message));
            }
            bytes.skip(length)?;
            Ok(Value::String(String::new()))
        }
        kind => read_number(bytes, kind, key),
    }
}

/// The long lists that are read.
const TOKENIZER_LISTS: [&str; 4] = [
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.scores",
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.merges",
];

/// How many values of lists may still be kept.
struct Room {
    of_tokenizer: u64,
    of_others: u64,
}

/// A list, which is empty if nobody reads it or there is no room for it.
fn read_list<R: Read + Seek>(
    bytes: &mut Bytes<'_, R>,
    key: &str,
    room: &mut Room,
) -> Result<Value> {
    let (kind, count) = (bytes.u32()?, bytes.u64()?);
    let least = value_bytes(kind).unwrap_or(8);
    bytes.need(count.saturating_mul(least))?;
    if TOKENIZER_LISTS.contains(&key) {
        if count > MAX_TOKENIZER_VALUES {
            let message = format!("{key} has {count} values, more than {MAX_TOKENIZER_VALUES}");
            return Err(bad(message));
        }
        room.of_tokenizer = room.of_tokenizer.checked_sub(count).ok_or_else(|| {
            let most = MAX_TOKENIZER_VALUES_OF_ALL;
            bad(format!("the tokenizer's lists have more than {most} values up to {key}"))
        })?;
    } else if kind == LIST || count > MAX_VALUES.min(room.of_others) {
        gguf::skip_list(bytes, kind, count).map_err(|fault| of_key(fault, key))?;
        return Ok(Value::Array(Vec::new()));
    } else {
        room.of_others -= count;
    }
    let mut values = Vec::with_capacity(count as usize);
    for _ in 0..count {
        values.push(read_value(bytes, kind, key)?);
    }
    Ok(Value::Array(values))
}

/// A fault of the value of `key`.
fn of_key(fault: Fault, key: &str) -> Error {
    match fault {
        Fault::Depth => bad(format!("{key} has lists in lists in more than {MAX_DEPTH} levels")),
        Fault::UnknownType(kind) => unknown_kind(key, kind),
        fault => fault.into(),
    }
}

fn read_number<R: Read + Seek>(bytes: &mut Bytes<'_, R>, kind: u32, key: &str) -> Result<Value> {
    Ok(match kind {
        0 => Value::U8(u8::from_le_bytes(bytes.take()?)),
        1 => Value::I8(i8::from_le_bytes(bytes.take()?)),
        2 => Value::U16(u16::from_le_bytes(bytes.take()?)),
        3 => Value::I16(i16::from_le_bytes(bytes.take()?)),
        4 => Value::U32(u32::from_le_bytes(bytes.take()?)),
        5 => Value::I32(i32::from_le_bytes(bytes.take()?)),
        6 => Value::F32(f32::from_le_bytes(bytes.take()?)),
        7 => match bytes.take()? {
            [0] => Value::Bool(false),
            [1] => Value::Bool(true),
            [other] => {
                let message = format!("{key} is {other} where 0 (false) or 1 (true) is expected");
                return Err(bad(message).hint(FETCH_AGAIN));
            }
        },
        10 => Value::U64(u64::from_le_bytes(bytes.take()?)),
        11 => Value::I64(i64::from_le_bytes(bytes.take()?)),
        12 => Value::F64(f64::from_le_bytes(bytes.take()?)),
        kind => return Err(unknown_kind(key, kind)),
    })
}

fn unknown_kind(key: &str, kind: u32) -> Error {
    bad(format!("{key} has a value of type {kind}, which GGUF does not have")).hint(FETCH_AGAIN)
}

/// The value of any of GGUF's integer types that is not negative.
pub fn as_u64(value: &Value) -> Option<u64> {
    match *value {
        Value::U8(n) => Some(n.into()),
        Value::I8(n) => n.try_into().ok(),
        Value::U16(n) => Some(n.into()),
        Value::I16(n) => n.try_into().ok(),
        Value::U32(n) => Some(n.into()),
        Value::I32(n) => n.try_into().ok(),
        Value::U64(n) => Some(n),
        Value::I64(n) => n.try_into().ok(),
        _ => None,
    }
}
