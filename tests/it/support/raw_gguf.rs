//! GGUF files written by hand, so that a test can say anything in them: also what no sound program
//! writes. They begin as tiny models.

use std::path::Path;

use candle_core::Device;
use candle_core::quantized::gguf_file::{Content, Value};

use super::tiny;

/// ggml's numbers of types.
pub const F32: u32 = 0;

/// A GGUF file in the making.
pub struct RawModel {
    pub magic: [u8; 4],
    pub version: u32,
    /// How many keys and tensors the header announces beyond those that are there.
    pub more: [u64; 2],
    pub entries: Vec<(String, RawValue)>,
    pub tensors: Vec<RawTensor>,
}

/// A value, or bytes that are written behind a number of a type.
#[derive(Clone)]
pub enum RawValue {
    Value(Value),
    Bytes(u32, Vec<u8>),
}

/// A tensor, and what the header says of it.
pub struct RawTensor {
    pub name: String,
    /// The one that lies together in memory first.
    pub dimensions: Vec<u64>,
    pub kind: u32,
    pub data: Vec<u8>,
    /// Added to where it is.
    pub offset: u64,
}

impl RawModel {
    /// A tiny model of `family`, its tensors as they are.
    pub fn tiny(family: &str) -> RawModel {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        tiny::write_model(&path, family, 5);
        RawModel::read(&path)
    }

    /// The sound file at `path`.
    pub fn read(path: &Path) -> RawModel {
        let mut file = std::fs::File::open(path).unwrap();
        let content = Content::read(&mut file).unwrap();
        let mut entries: Vec<_> = content.metadata.clone().into_iter().collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        let mut names: Vec<&String> = content.tensor_infos.keys().collect();
        names.sort();
        let mut tensor = |name: &String| {
            let tensor = content.tensor(&mut file, name, &Device::Cpu).unwrap();
            let dimensions = tensor.shape().dims().iter().rev().map(|n| *n as u64).collect();
            let kind = match format!("{:?}", tensor.dtype()).as_str() {
                "F32" => F32,
                "Q4_0" => 2,
                "Q4_1" => 3,
                "Q5_0" => 6,
                "Q8_0" => 8,
                "Q4K" => 12,
                "Q6K" => 14,
                other => panic!("{other} is new to tiny models"),
            };
            let data = tensor.data().unwrap().into_owned();
            RawTensor { name: name.clone(), dimensions, kind, data, offset: 0 }
        };
        let tensors = names.into_iter().map(&mut tensor).collect();
        let entries =
            entries.into_iter().map(|(key, value)| (key, RawValue::Value(value))).collect();
        RawModel { magic: *b"GGUF", version: 3, more: [0; 2], entries, tensors }
    }

    /// Sets the key to the value, whether it was there or not.
    pub fn set(&mut self, key: &str, value: Value) {
        self.remove(key);
        self.entries.push((key.into(), RawValue::Value(value)));
    }

    /// Takes the key away.
    pub fn remove(&mut self, key: &str) {
        self.entries.retain(|(known, _)| known != key);
    }

    /// The tensor called `name`.
    pub fn tensor(&mut self, name: &str) -> &mut RawTensor {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).expect("it is there")
    }

    /// Adds a vector of f32.
    pub fn add_vector(&mut self, name: &str, values: &[f32]) {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let dimensions = vec![values.len() as u64];
        self.tensors.push(RawTensor { name: name.into(), dimensions, kind: F32, data, offset: 0 });
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        const ALIGNMENT: usize = 32;
        let mut bytes = self.magic.to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).wrapping_add(self.more[1]).to_le_bytes());
        bytes.extend((self.entries.len() as u64).wrapping_add(self.more[0]).to_le_bytes());
        for (key, value) in &self.entries {
            put_text(&mut bytes, key);
            match value {
                RawValue::Value(value) => {
                    bytes.extend(number_of(value).to_le_bytes());
                    put_value(&mut bytes, value);
                }
                RawValue::Bytes(kind, content) => {
                    bytes.extend(kind.to_le_bytes());
                    bytes.extend(content);
                }
            }
        }
        let mut data = Vec::new();
        for tensor in &self.tensors {
            put_text(&mut bytes, &tensor.name);
            bytes.extend((tensor.dimensions.len() as u32).to_le_bytes());
            tensor.dimensions.iter().for_each(|n| bytes.extend(n.to_le_bytes()));
            bytes.extend(tensor.kind.to_le_bytes());
            bytes.extend((data.len() as u64).wrapping_add(tensor.offset).to_le_bytes());
            data.extend(&tensor.data);
            data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
        }
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes.extend(data);
        bytes
    }

    /// Writes the file to `path`.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.bytes()).unwrap();
    }
}

/// Text as the format has it.
pub fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn number_of(value: &Value) -> u32 {
    match value {
        Value::U8(_) => 0,
        Value::I8(_) => 1,
        Value::U16(_) => 2,
        Value::I16(_) => 3,
        Value::U32(_) => 4,
        Value::I32(_) => 5,
        Value::F32(_) => 6,
        Value::Bool(_) => 7,
        Value::String(_) => 8,
        Value::Array(_) => 9,
        Value::U64(_) => 10,
        Value::I64(_) => 11,
        Value::F64(_) => 12,
    }
}

fn put_value(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(n) => bytes.extend(n.to_le_bytes()),
        Value::I8(n) => bytes.extend(n.to_le_bytes()),
        Value::U16(n) => bytes.extend(n.to_le_bytes()),
        Value::I16(n) => bytes.extend(n.to_le_bytes()),
        Value::U32(n) => bytes.extend(n.to_le_bytes()),
        Value::I32(n) => bytes.extend(n.to_le_bytes()),
        Value::F32(n) => bytes.extend(n.to_le_bytes()),
        Value::Bool(truth) => bytes.push(u8::from(*truth)),
        Value::String(text) => put_text(bytes, text),
        Value::Array(values) => {
            bytes.extend(values.first().map_or(4, number_of).to_le_bytes());
            bytes.extend((values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| put_value(bytes, value));
        }
        Value::U64(n) => bytes.extend(n.to_le_bytes()),
        Value::I64(n) => bytes.extend(n.to_le_bytes()),
        Value::F64(n) => bytes.extend(n.to_le_bytes()),
    }
}
