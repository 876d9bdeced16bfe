//! Whether a file is a whole GGUF file, as far as its header shows.
//!
//! Nobody may know the SHA-256 of a file on a hub, and then a page that asks to sign in, or half a
//! file, would be installed like a model and fail in every later run. So the header is walked from
//! end to end, and the file must reach as far as its tensors do. Nothing of it is kept, and whether
//! this program can run the model is for [`crate::model`] to say. The format is ggml's
//! (`docs/gguf.md` there), versions 2 and 3, little-endian.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::reason::{Reason, cannot};
use crate::http::shown_text;

/// What every GGUF file begins with.
pub(super) const MAGIC: [u8; 4] = *b"GGUF";

/// Most keys, and most tensors; large models have a thousand.
const ENTRIES_MAX: u64 = 1 << 16;

/// Longest header, which is mostly a vocabulary; one of 262,144 tokens takes some 16 MiB.
const HEADER_BYTES_MAX: u64 = 256 << 20;

/// Most dimensions of a tensor (`GGML_MAX_DIMS`).
const DIMENSIONS_MAX: u32 = 4;

/// Deepest arrays in arrays that are walked.
const DEPTH_MAX: u32 = 4;

/// The key that says what offsets are multiples of, and its value where it is missing.
const ALIGNMENT: (&[u8], u64) = (b"general.alignment", 32);

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
    let end = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let looked = Walk { bytes: BufReader::with_capacity(1 << 16, &mut *file), at: 0, end }.whole();
    file.seek(SeekFrom::End(0))?;
    looked
}

/// Reads a file from its beginning and knows where it ends.
struct Walk<R> {
    bytes: BufReader<R>,
    at: u64,
    end: u64,
}

impl<R: Read + Seek> Walk<R> {
    fn whole(mut self) -> Result<(), Wrong> {
        let magic: [u8; 4] = self.read()?;
        if magic != MAGIC {
            return Err(Wrong::Bad("it does not begin as one".into()));
        }
        let version = self.u32()?;
        if matches!(version.swap_bytes(), 2 | 3) {
            return Err(Wrong::Bad("it is big-endian".into()));
        }
        if !matches!(version, 2 | 3) {
            return Err(Wrong::Bad(format!("it has version {version}, and 2 and 3 are known")));
        }
        let (tensors, keys) = (self.u64()?, self.u64()?);
        for (count, what) in [(tensors, "tensors"), (keys, "keys")] {
            if count > ENTRIES_MAX {
                let most = format!("and {ENTRIES_MAX} are the most");
                return Err(Wrong::Bad(format!("it announces {count} {what}, {most}")));
            }
        }
        let mut alignment = ALIGNMENT.1;
        for _ in 0..keys {
            if let Some(other) = self.entry()? {
                alignment = other;
            }
        }
        let mut reach = 0;
        for _ in 0..tensors {
            reach = reach.max(self.tensor()?);
        }
        let needed = match tensors {
            0 => self.at,
            _ => self.at.next_multiple_of(alignment).saturating_add(reach),
        };
        if self.end < needed {
            let end = self.end;
            return Err(Wrong::Short(format!("it has {end} bytes, and its tensors need {needed}")));
        }
        Ok(())
    }

    /// Passes a key and its value; answers with the alignment if it is that.
    fn entry(&mut self) -> Result<Option<u64>, Wrong> {
        const U32: u32 = 4;
        let length = self.u64()?;
        let is_alignment = length == ALIGNMENT.0.len() as u64 && {
            let key: [u8; ALIGNMENT.0.len()] = self.read()?;
            key == ALIGNMENT.0
        };
        if length != ALIGNMENT.0.len() as u64 {
            self.skip(length)?;
        }
        let kind = self.u32()?;
        if !is_alignment || kind != U32 {
            return self.value(kind, 0).map(|()| None);
        }
        let alignment = u64::from(self.u32()?);
        match alignment.is_power_of_two() {
            true => Ok(Some(alignment)),
            false => Err(Wrong::Bad(format!("its alignment is {alignment}, no power of two"))),
        }
    }

    fn value(&mut self, kind: u32, depth: u32) -> Result<(), Wrong> {
        const TEXT: u32 = 8;
        const ARRAY: u32 = 9;
        match (value_bytes(kind), kind) {
            (Some(bytes), _) => self.skip(bytes),
            (None, TEXT) => {
                let length = self.u64()?;
                self.skip(length)
            }
            (None, ARRAY) if depth < DEPTH_MAX => {
                let (kind, count) = (self.u32()?, self.u64()?);
                if let Some(bytes) = value_bytes(kind) {
                    return self.skip(count.saturating_mul(bytes));
                }
                for _ in 0..count {
                    self.value(kind, depth + 1)?;
                }
                Ok(())
            }
            (None, ARRAY) => Err(Wrong::Bad("it has arrays in arrays in arrays".into())),
            (None, kind) => Err(Wrong::Bad(format!("it has a value of the unknown type {kind}"))),
        }
    }

    /// Passes what the header says of a tensor; answers with where it ends, behind the beginning of
    /// all tensors.
    fn tensor(&mut self) -> Result<u64, Wrong> {
        let length = self.u64()?;
        self.skip(length)?;
        let dimensions = self.u32()?;
        if dimensions > DIMENSIONS_MAX {
            let most = format!("and {DIMENSIONS_MAX} are the most");
            return Err(Wrong::Bad(format!("a tensor has {dimensions} dimensions, {most}")));
        }
        let mut values = 1_u64;
        for _ in 0..dimensions {
            values = values.saturating_mul(self.u64()?);
        }
        let (kind, offset) = (self.u32()?, self.u64()?);
        // Of a type that came later only the beginning is known.
        let bytes =
            block(kind).map_or(0, |(block, bytes)| values.div_ceil(block).saturating_mul(bytes));
        Ok(offset.saturating_add(bytes))
    }

    fn u32(&mut self) -> Result<u32, Wrong> {
        self.read().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Wrong> {
        self.read().map(u64::from_le_bytes)
    }

    fn read<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        self.pass(N as u64)?;
        let mut bytes = [0; N];
        self.bytes.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn skip(&mut self, count: u64) -> Result<(), Wrong> {
        self.pass(count)?;
        // Bounded by the longest header.
        Ok(self.bytes.seek_relative(count as i64)?)
    }

    /// Whether the next `count` bytes are there and belong to a header of reasonable size.
    fn pass(&mut self, count: u64) -> Result<(), Wrong> {
        let to = self.at.saturating_add(count);
        if to > HEADER_BYTES_MAX {
            let most = HEADER_BYTES_MAX >> 20;
            return Err(Wrong::Bad(format!("its header has more than {most} MiB")));
        }
        if to > self.end {
            let end = self.end;
            return Err(Wrong::Short(format!("it ends within its header, after {end} bytes")));
        }
        self.at = to;
        Ok(())
    }
}

/// Bytes of a value of the types that have a fixed size (`gguf_metadata_value_type`).
fn value_bytes(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// Values in a block of a tensor type, and its bytes (`ggml_type` and the structures of
/// `ggml-common.h`).
fn block(kind: u32) -> Option<(u64, u64)> {
    Some(match kind {
        // F32, F16, BF16, F64, and integers of 8 to 64 bits.
        0 | 26 => (1, 4),
        1 | 25 | 30 => (1, 2),
        27 | 28 => (1, 8),
        24 => (1, 1),
        // Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1, IQ4_NL, MXFP4.
        2 | 20 => (32, 18),
        3 => (32, 20),
        6 => (32, 22),
        7 => (32, 24),
        8 => (32, 34),
        9 => (32, 36),
        39 => (32, 17),
        // Q2_K to Q6_K, Q8_K.
        10 => (256, 84),
        11 => (256, 110),
        12 => (256, 144),
        13 => (256, 176),
        14 => (256, 210),
        15 => (256, 292),
        // IQ2_XXS, IQ2_XS, IQ3_XXS, IQ1_S, IQ3_S, IQ2_S, IQ4_XS, IQ1_M, TQ1_0, TQ2_0.
        16 => (256, 66),
        17 => (256, 74),
        18 => (256, 98),
        19 => (256, 50),
        21 => (256, 110),
        22 => (256, 82),
        23 => (256, 136),
        29 => (256, 56),
        34 => (256, 54),
        35 => (256, 66),
        _ => return None,
    })
}
