//! The header of a GGUF file, step by step, for those who read one: [`crate::model`] keeps what a
//! model needs, [`crate::fetch`] wants to know no more than whether a file is whole.
//!
//! The format is ggml's (`docs/gguf.md` there), versions 2 and 3, little-endian: an [`opening`], keys
//! with values, and what is said of each [`tensor`]. Every count and length is held against the size
//! of the file before it is believed. A step that fails tells why by a [`Fault`]; those who read know
//! whom they tell of what, and put it into words.

mod bytes;
mod types;

pub use bytes::Bytes;
pub use types::{block, type_name};

use std::io::{self, Read, Seek};

/// What every GGUF file begins with; what it would with the other byte order.
pub const MAGIC: [u8; 4] = *b"GGUF";
const SWAPPED_MAGIC: [u8; 4] = *b"FUGG";

/// Most keys, and most tensors: a hundred times what large models have.
pub const MAX_ENTRIES: u64 = 1 << 16;
/// Most dimensions of a tensor (`GGML_MAX_DIMS`).
pub const MAX_DIMENSIONS: u32 = 4;
/// Deepest list of lists that is passed over.
pub const MAX_DEPTH: u32 = 4;
/// The key that says what tensors begin at multiples of, in bytes, and its value where it is missing.
pub const ALIGNMENT: &str = "general.alignment";
/// See [`ALIGNMENT`].
pub const DEFAULT_ALIGNMENT: u64 = 32;

/// GGUF's numbers of types of values (`gguf_metadata_value_type`): an unsigned integer of 32 bits.
pub const U32: u32 = 4;
/// A text: its length, and its bytes.
pub const TEXT: u32 = 8;
/// A list: the type of its values, their number, and these.
pub const LIST: u32 = 9;

/// Why a header cannot be read further.
#[derive(Debug)]
pub enum Fault {
    /// The file of `end` bytes lacks some of the `count` bytes behind byte `at`.
    Short {
        /// Where reading is.
        at: u64,
        /// How many bytes come next, as the file says.
        count: u64,
        /// Size of the file.
        end: u64,
    },
    /// It is longer than so many bytes, which the reader allows.
    Long(u64),
    /// The file begins otherwise, as these bytes show.
    OtherBeginning(Vec<u8>),
    /// The other byte order.
    BigEndian,
    /// A version that is not known.
    Version(u32),
    /// More than [`MAX_ENTRIES`]: how many, of what.
    Entries(u64, &'static str),
    /// A tensor of more than [`MAX_DIMENSIONS`] dimensions.
    Dimensions(u32),
    /// Lists in lists in more than [`MAX_DEPTH`] levels.
    Depth,
    /// A value of a type that GGUF does not have.
    UnknownType(u32),
    /// The file cannot be read.
    Unreadable(io::Error),
}

/// What a file begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Version of the format.
    pub version: u32,
    /// How many tensors are announced.
    pub tensors: u64,
    /// How many keys are announced.
    pub keys: u64,
}

/// What a header says of a tensor behind its name, before it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorEntry {
    /// The dimension that lies together in memory first.
    pub dimensions: Vec<u64>,
    /// Number of its type; see [`block`].
    pub kind: u32,
    /// Where it begins, in bytes behind the beginning of all tensors.
    pub offset: u64,
}

/// Reads the beginning of a file, up to the first key.
pub fn opening<R: Read + Seek>(bytes: &mut Bytes<'_, R>) -> Result<Opening, Fault> {
    /// Enough to tell what else a file may be.
    const BEGIN_BYTES: u64 = 32;
    let begin = bytes.take_all(bytes.end().min(BEGIN_BYTES))?;
    let is_swapped = begin.starts_with(&SWAPPED_MAGIC);
    if !begin.starts_with(&MAGIC) && !is_swapped {
        return Err(Fault::OtherBeginning(begin));
    }
    bytes.back_to(MAGIC.len() as u64)?;
    let version = bytes.u32()?;
    // Another byte order shows in a version whose lower half is 0.
    if is_swapped || (version != 0 && version.trailing_zeros() >= 16) {
        return Err(Fault::BigEndian);
    }
    if !(2..=3).contains(&version) {
        return Err(Fault::Version(version));
    }
    let (tensors, keys) = (bytes.u64()?, bytes.u64()?);
    for (count, what) in [(tensors, "tensors"), (keys, "keys")] {
        if count > MAX_ENTRIES {
            return Err(Fault::Entries(count, what));
        }
    }
    Ok(Opening { version, tensors, keys })
}

/// Reads what stands behind the name of a tensor.
pub fn tensor<R: Read + Seek>(bytes: &mut Bytes<'_, R>) -> Result<TensorEntry, Fault> {
    let dimensions = bytes.u32()?;
    if dimensions > MAX_DIMENSIONS {
        return Err(Fault::Dimensions(dimensions));
    }
    let dimensions = (0..dimensions).map(|_| bytes.u64()).collect::<Result<_, _>>()?;
    Ok(TensorEntry { dimensions, kind: bytes.u32()?, offset: bytes.u64()? })
}

/// Passes over a value of type `kind`.
pub fn skip_value<R: Read + Seek>(bytes: &mut Bytes<'_, R>, kind: u32) -> Result<(), Fault> {
    if kind != LIST {
        return skip_list(bytes, kind, 1);
    }
    let (kind, count) = (bytes.u32()?, bytes.u64()?);
    skip_list(bytes, kind, count)
}

/// Passes over the `count` values of type `kind` of a list.
pub fn skip_list<R: Read + Seek>(
    bytes: &mut Bytes<'_, R>,
    kind: u32,
    count: u64,
) -> Result<(), Fault> {
    skip_list_at(bytes, kind, count, 0)
}

fn skip_list_at<R: Read + Seek>(
    bytes: &mut Bytes<'_, R>,
    kind: u32,
    count: u64,
    depth: u32,
) -> Result<(), Fault> {
    if let Some(size) = value_bytes(kind) {
        return bytes.skip(count.saturating_mul(size));
    }
    for _ in 0..count {
        match kind {
            TEXT => bytes.skip_text()?,
            LIST if depth < MAX_DEPTH => {
                let (kind, count) = (bytes.u32()?, bytes.u64()?);
                skip_list_at(bytes, kind, count, depth + 1)?;
            }
            LIST => return Err(Fault::Depth),
            kind => return Err(Fault::UnknownType(kind)),
        }
    }
    Ok(())
}

/// Bytes of a value of a type that has a fixed size.
pub fn value_bytes(kind: u32) -> Option<u64> {
    Some(match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        _ => return None,
    })
}
