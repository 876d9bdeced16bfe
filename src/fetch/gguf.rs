//! Whether a file is a whole GGUF file, as far as its header shows.
//!
//! Nobody may know the SHA-256 of a file on a hub, and then a page that asks to sign in, or half a
//! file, would be installed like a model and fail in every later run. So the header is walked from
//! end to end ([`crate::gguf`]), and the file must reach as far as its tensors do. Nothing of it is
//! kept, and whether this program can run the model is for [`crate::model`] to say.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::reason::{Reason, cannot};
pub(super) use crate::gguf::MAGIC;
use crate::gguf::{self, Bytes, Fault, Opening, TensorEntry};
use crate::http::shown_text;

/// Longest header, which is mostly a vocabulary; one of 262,144 tokens takes some 16 MiB.
const HEADER_BYTES_MAX: u64 = 256 << 20;

/// How much of what came instead is looked at, in bytes, and repeated, in characters.
const BEGINNING_BYTES: usize = 200;
const BEGINNING_CHARS: usize = 16;

const PAGE_HINT: &str = "a network that asks to sign in answers so: open any page in a browser, \
                         sign in, and run this again";

/// What is wrong with a file.
#[derive(Debug)]
pub(super) enum Wrong {
    /// It ends too early.
    Short(String),
    /// It is none, whatever may follow.
    Bad(String),
    /// It cannot be read.
    Unreadable(io::Error),
}

impl Wrong {
    pub(super) fn reason(self, path: &Path) -> Reason {
        match self {
            Wrong::Short(what) => format!("delivers a part of a GGUF file: {what}").into(),
            Wrong::Bad(what) => format!("delivers a GGUF file that cannot be used: {what}").into(),
            Wrong::Unreadable(cause) => cannot("read", path, &cause),
        }
    }
}

impl From<io::Error> for Wrong {
    fn from(cause: io::Error) -> Self {
        Wrong::Unreadable(cause)
    }
}

impl From<Fault> for Wrong {
    fn from(fault: Fault) -> Self {
        let within = |end| Wrong::Short(format!("it ends within its header, after {end} bytes"));
        Wrong::Bad(match fault {
            Fault::Unreadable(cause) => return Wrong::Unreadable(cause),
            // Whatever may still come, there is no such header.
            Fault::Short { at, count, .. } if at.saturating_add(count) > HEADER_BYTES_MAX => {
                return Fault::Long(HEADER_BYTES_MAX).into();
            }
            Fault::Short { end, .. } => return within(end),
            Fault::OtherBeginning(begin) if MAGIC.starts_with(&begin) => {
                return within(begin.len() as u64);
            }
            Fault::OtherBeginning(_) => "it does not begin as one".to_owned(),
            Fault::Long(most) => format!("its header has more than {} MiB", most >> 20),
            Fault::BigEndian => "it is big-endian".to_owned(),
            Fault::Version(version) => {
                format!("it has version {version}, and 2 and 3 are known")
            }
            Fault::Entries(count, what) => {
                format!("it announces {count} {what}, and {} are the most", gguf::MAX_ENTRIES)
            }
            Fault::Dimensions(count) => {
                let most = gguf::MAX_DIMENSIONS;
                format!("a tensor has {count} dimensions, and {most} are the most")
            }
            Fault::Depth => "it has arrays in arrays in arrays".to_owned(),
            Fault::UnknownType(kind) => format!("it has a value of the unknown type {kind}"),
        })
    }
}

/// Refuses `bytes` of a file, which stand at byte `at`, if no GGUF file has them there.
/// `media_type` is what the server says they are.
pub(super) fn check_beginning(
    at: u64,
    bytes: &[u8],
    media_type: Option<&str>,
) -> Result<(), Reason> {
    let expected = MAGIC.iter().skip(usize::try_from(at).unwrap_or(usize::MAX));
    if bytes.iter().zip(expected).all(|(byte, expected)| byte == expected) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(BEGINNING_BYTES)]);
    let start = text.trim_start_matches('\u{feff}').trim_start().to_lowercase();
    let is_type = |name: &str| {
        media_type.is_some_and(|media_type| media_type.trim().to_lowercase().starts_with(name))
    };
    let is_page = ["<!doctype html", "<html", "<head", "<script", "<body"]
        .iter()
        .any(|tag| start.starts_with(tag));
    if is_page || is_type("text/html") {
        let text = "delivers an HTML page instead of a GGUF file".to_owned();
        return Err(Reason::with_hint(text, PAGE_HINT));
    }
    let what = if start.starts_with("version https://git-lfs") {
        "a pointer of Git LFS".to_owned()
    } else if start.starts_with('{') || is_type("application/json") {
        "a JSON text".to_owned()
    } else if bytes.starts_with(b"PK\x03\x04") {
        "a ZIP archive".to_owned()
    } else if bytes.get(8..10) == Some(b"{\"") {
        "a safetensors file".to_owned()
    } else {
        let beginning: String = text.chars().take(BEGINNING_CHARS).collect();
        format!("something that begins with `{}`", shown_text(&beginning))
    };
    Err(format!("delivers {what} instead of a GGUF file").into())
}

/// Walks the header of the file and looks whether its tensors are there. The place in the file is
/// at its end afterwards.
pub(super) fn look(file: &mut (impl Read + Seek)) -> Result<(), Wrong> {
    let mut reader = BufReader::with_capacity(1 << 16, &mut *file);
    let looked = whole(&mut reader);
    file.seek(SeekFrom::End(0))?;
    looked
}

fn whole<R: Read + Seek>(reader: &mut BufReader<R>) -> Result<(), Wrong> {
    let mut bytes = Bytes::new(reader, HEADER_BYTES_MAX)?;
    let Opening { tensors, keys, .. } = gguf::opening(&mut bytes)?;
    let mut alignment = gguf::DEFAULT_ALIGNMENT;
    for _ in 0..keys {
        if let Some(other) = entry(&mut bytes)? {
            alignment = other;
        }
    }
    let mut reach = 0;
    for _ in 0..tensors {
        bytes.skip_text()?;
        reach = reach.max(end_of(&gguf::tensor(&mut bytes)?));
    }
    let needed = match tensors {
        0 => bytes.at(),
        _ => bytes.at().next_multiple_of(alignment).saturating_add(reach),
    };
    let end = bytes.end();
    if end < needed {
        return Err(Wrong::Short(format!("it has {end} bytes, and its tensors need {needed}")));
    }
    Ok(())
}

/// Passes a key and its value; answers with the alignment if it is that.
fn entry<R: Read + Seek>(bytes: &mut Bytes<'_, R>) -> Result<Option<u64>, Wrong> {
    const KEY: &[u8] = gguf::ALIGNMENT.as_bytes();
    let length = bytes.u64()?;
    let mut is_alignment = length == KEY.len() as u64;
    match is_alignment {
        true => is_alignment = bytes.take_all(length)? == KEY,
        false => bytes.skip(length)?,
    }
    let kind = bytes.u32()?;
    if !is_alignment || kind != gguf::U32 {
        gguf::skip_value(bytes, kind)?;
        return Ok(None);
    }
    let alignment = u64::from(bytes.u32()?);
    match alignment.is_power_of_two() {
        true => Ok(Some(alignment)),
        false => Err(Wrong::Bad(format!("its alignment is {alignment}, no power of two"))),
    }
}

/// Where a tensor ends, behind the beginning of all tensors. Of a type that came later only the
/// beginning is known.
fn end_of(tensor: &TensorEntry) -> u64 {
    let values = tensor.dimensions.iter().fold(1, |product: u64, n| product.saturating_mul(*n));
    let bytes = gguf::block(tensor.kind)
        .map_or(0, |(block, bytes)| values.div_ceil(block).saturating_mul(bytes));
    tensor.offset.saturating_add(bytes)
}
