//! The header of a GGUF file, checked: what the file says of itself, and where its tensors are.
//!
//! [`crate::gguf`] reads the format. candle has a reader of its own; this one is for files that come
//! from anywhere. It holds every count and length against the size of the file before it believes it,
//! says what is wrong in the words of the format, keeps no list that nobody reads, and leaves nothing
//! to find out for what computes with the tensors: their types can be read, their shapes are whole
//! blocks, their bytes are there.
//!
//! Left out: parts of a model that was split, and big-endian files. Both are told apart and refused
//! with what to do.

mod fault;
mod types;
mod values;
mod write;

use std::collections::HashMap;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;

use candle_core::Device;
use candle_core::quantized::{GgmlDType, QTensor, ggml_file, gguf_file::Value};

pub use types::is_finite;
pub use values::as_u64;
pub use write::{Entries, Outline, write};

use crate::gguf::{self, ALIGNMENT, Bytes, DEFAULT_ALIGNMENT, Fault, Opening};
use crate::{Error, Result, error::ErrorKind};
use fault::{FETCH_AGAIN, bad};
use values::{read_metadata, read_name};

/// Largest header. A vocabulary of 262,144 tokens with its merges takes some 16 MiB.
const MAX_HEADER_BYTES: u64 = 128 << 20;
/// Largest alignment: beyond it a file is damaged.
const MAX_ALIGNMENT: u64 = 1 << 20;

/// What stands before the tensors.
#[derive(Debug)]
pub struct Header {
    /// Version of the format.
    pub version: u32,
    /// Values by key. A list that nobody reads is empty here, whatever the file has.
    pub metadata: HashMap<String, Value>,
    /// Tensors by name.
    pub tensors: HashMap<String, TensorInfo>,
    /// How many entries the metadata has, and the bytes of the file that they take.
    pub entries: (u64, Range<u64>),
    /// Tensors begin at multiples of it, in bytes.
    pub alignment: u64,
}

/// Where a tensor is, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its type.
    pub kind: GgmlDType,
    /// Its dimensions, the one that lies together in memory last: (outputs, inputs).
    pub shape: Vec<usize>,
    /// Its bytes in the file.
    pub bytes: Range<u64>,
}

impl Header {
    /// Reads and checks the header of the file that `reader` is at the beginning of.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] where the file is no GGUF file that can be read, [`ErrorKind::Io`]
    /// where it cannot be read at all. Messages do not name the file.
    pub fn read<R: Read + Seek>(reader: &mut BufReader<R>) -> Result<Header> {
        let mut bytes = Bytes::new(reader, MAX_HEADER_BYTES)?;
        let Opening { version, tensors, keys } = gguf::opening(&mut bytes)?;
        let first = bytes.at();
        let metadata = read_metadata(&mut bytes, keys)?;
        let entries = (keys, first..bytes.at());
        refuse_parts(&metadata)?;
        let found = read_tensor_infos(&mut bytes, tensors)?;
        let alignment = alignment(&metadata)?;
        let data = bytes.at().next_multiple_of(alignment);
        let tensors = place(found, data, bytes.end())?;
        Ok(Header { version, metadata, tensors, entries, alignment })
    }

    /// Reads a tensor.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] where a value is not finite, [`ErrorKind::Io`] where the file cannot
    /// be read.
    pub fn tensor<R: Read + Seek>(&self, reader: &mut BufReader<R>, name: &str) -> Result<QTensor> {
        let info = self.tensors.get(name).ok_or_else(|| missing(name))?;
        let data = self.bytes(reader, name, info)?;
        ggml_file::qtensor_from_ggml(info.kind, &data, info.shape.clone(), &Device::Cpu).map_err(
            |cause| bad(format!("tensor {name} cannot be used")).because(super::cause(cause)),
        )
    }

    /// Whether every tensor of the file is one that [`Self::tensor`] can read, for those who read them
    /// otherwise.
    ///
    /// # Errors
    /// As [`Self::tensor`], of the first such tensor in the file.
    pub fn check_tensors<R: Read + Seek>(&self, reader: &mut BufReader<R>) -> Result<()> {
        let mut tensors: Vec<(&String, &TensorInfo)> = self.tensors.iter().collect();
        tensors.sort_unstable_by_key(|(_, info)| info.bytes.start);
        tensors.into_iter().try_for_each(|(name, info)| self.bytes(reader, name, info).map(drop))
    }

    /// The bytes of a tensor, whose values are finite.
    fn bytes<R: Read + Seek>(
        &self,
        reader: &mut BufReader<R>,
        name: &str,
        info: &TensorInfo,
    ) -> Result<Vec<u8>> {
        let failed = |cause: std::io::Error| {
            Error::new(ErrorKind::Io, format!("tensor {name} cannot be read")).because(cause)
        };
        let mut data = vec![0; (info.bytes.end - info.bytes.start) as usize];
        reader.seek(SeekFrom::Start(info.bytes.start)).map_err(failed)?;
        reader.read_exact(&mut data).map_err(failed)?;
        if !is_finite(info.kind, &data) {
            let message =
                format!("tensor {name} holds infinite values or such that are no numbers");
            return Err(bad(message).hint("the file is damaged: fetch it again"));
        }
        Ok(data)
    }
}

/// A model that was split is refused: one part alone is none.
fn refuse_parts(metadata: &HashMap<String, Value>) -> Result<()> {
    let number = |key: &str| metadata.get(key).and_then(as_u64);
    match number("split.count") {
        Some(count) if count > 1 => {
            let part = number("split.no").unwrap_or(0).saturating_add(1);
            let message = format!("it is part {part} of {count} of a model that was split");
            Err(bad(message).hint(
                "merge the parts with `llama-gguf-split --merge FIRST-PART OUTPUT` of llama.cpp, \
                 and name the output",
            ))
        }
        _ => Ok(()),
    }
}

fn alignment(metadata: &HashMap<String, Value>) -> Result<u64> {
    let Some(value) = metadata.get(ALIGNMENT) else { return Ok(DEFAULT_ALIGNMENT) };
    let alignment = as_u64(value).filter(|n| n.is_power_of_two() && *n <= MAX_ALIGNMENT);
    alignment.ok_or_else(|| {
        bad(format!("{ALIGNMENT} is no power of two up to {MAX_ALIGNMENT}")).hint(FETCH_AGAIN)
    })
}

/// What a header says of a tensor, before it is believed.
struct Found {
    name: String,
    tensor: gguf::TensorEntry,
}

fn read_tensor_infos<R: Read + Seek>(bytes: &mut Bytes<'_, R>, count: u64) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for _ in 0..count {
        let name = read_name(bytes)?;
        let tensor = gguf::tensor(bytes).map_err(|fault| match fault {
            Fault::Dimensions(count) => {
                let most = gguf::MAX_DIMENSIONS;
                let message = format!("tensor {name} has {count} dimensions, more than {most}");
                bad(message).hint(FETCH_AGAIN)
            }
            fault => fault.into(),
        })?;
        found.push(Found { name, tensor });
    }
    Ok(found)
}

/// The tensors of a file of `end` bytes, in which they begin at byte `data`.
fn place(found: Vec<Found>, data: u64, end: u64) -> Result<HashMap<String, TensorInfo>> {
    refuse_types(&found)?;
    let mut tensors = HashMap::with_capacity(found.len());
    let mut sum: u64 = 0;
    for Found { name, tensor } in found {
        let info = place_one(&name, &tensor, data)?;
        if info.bytes.end > end {
            let message = format!(
                "the file ends at byte {end}, and tensor {name} at byte {}",
                info.bytes.end
            );
            return Err(bad(message).hint(FETCH_AGAIN));
        }
        sum += info.bytes.end - info.bytes.start;
        if sum > end {
            let message = "its tensors take more bytes than the file has, so some lie on others";
            return Err(bad(message).hint(FETCH_AGAIN));
        }
        if tensors.contains_key(&name) {
            return Err(bad(format!("it has the tensor {name} twice")));
        }
        tensors.insert(name, info);
    }
    refuse_overlap(&tensors)?;
    Ok(tensors)
}

/// No program writes two tensors into the same bytes; a header that says so is damaged.
fn refuse_overlap(tensors: &HashMap<String, TensorInfo>) -> Result<()> {
    let mut places: Vec<(&Range<u64>, &String)> =
        tensors.iter().map(|(name, info)| (&info.bytes, name)).collect();
    places.sort_unstable_by_key(|(bytes, name)| (bytes.start, *name));
    match places.windows(2).find(|pair| pair[1].0.start < pair[0].0.end) {
        Some(pair) => {
            let message = format!("tensor {} lies on tensor {}", pair[1].1, pair[0].1);
            Err(bad(message).hint(FETCH_AGAIN))
        }
        None => Ok(()),
    }
}

fn refuse_types(found: &[Found]) -> Result<()> {
    let is_other = |found: &&Found| types::of_number(found.tensor.kind).is_none();
    let Some(first) = found.iter().find(is_other) else { return Ok(()) };
    let count = found.iter().filter(|other| other.tensor.kind == first.tensor.kind).count();
    let more = match count - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let kind = types::name(first.tensor.kind);
    let message = format!("tensors of type {kind} are not supported: {}{more}", first.name);
    Err(bad(message).hint(format!(
        "supported are {}; take a file of the model in one of them, such as Q4_K_M or Q8_0",
        types::supported()
    )))
}

fn place_one(name: &str, tensor: &gguf::TensorEntry, data: u64) -> Result<TensorInfo> {
    let gguf::TensorEntry { dimensions, kind, offset } = tensor;
    let wrong = |what: &str| {
        bad(format!("tensor {name} has dimensions {dimensions:?}, {what}")).hint(FETCH_AGAIN)
    };
    let kind = types::of_number(*kind).ok_or_else(|| missing(name))?;
    let (block, block_bytes) = (kind.block_size() as u64, kind.type_size() as u64);
    let Some(row) = dimensions.first().copied() else { return Err(wrong("that is, none")) };
    if dimensions.contains(&0) {
        return Err(wrong("one of which is 0"));
    }
    if !row.is_multiple_of(block) {
        let name = types::number_of(kind).map(types::name).unwrap_or_default();
        return Err(wrong(&format!("and type {name} has blocks of {block} values")));
    }
    let values = dimensions.iter().try_fold(1u64, |product, n| product.checked_mul(*n));
    let size = values.and_then(|values| (values / block).checked_mul(block_bytes));
    // No more than a slice may have on any machine.
    let size = size.filter(|size| *size <= isize::MAX as u64);
    let start = data.checked_add(*offset);
    let bytes = start.zip(size).and_then(|(start, size)| Some(start..start.checked_add(size)?));
    let bytes = bytes.ok_or_else(|| wrong("more than a file can hold"))?;
    let shape = dimensions.iter().rev().map(|n| *n as usize).collect();
    Ok(TensorInfo { kind, shape, bytes })
}

/// A tensor that should be there.
pub fn missing(name: &str) -> Error {
    bad(format!("the GGUF file lacks tensor {name}"))
}
