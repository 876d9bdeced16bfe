//! Why a header is refused, in words for whoever named the file.

use crate::gguf::{Fault, MAX_ENTRIES};
use crate::{Error, error::ErrorKind};

/// What helps where bytes are missing.
pub const FETCH_AGAIN: &str = "it is cut or damaged: fetch it again";

/// An error about what the file says.
pub fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Model, message)
}

/// Where the name of a key or tensor belongs into the message, `super` puts it there before.
impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Short { at, count, end } => bad(format!(
                "the file ends within its header: it has {end} bytes, and {count} more are needed \
                 after byte {at}"
            ))
            .hint(FETCH_AGAIN),
            Fault::Long(most) => bad(format!("its header is larger than {} MiB", most >> 20)),
            Fault::OtherBeginning(begin) => no_gguf(&begin),
            Fault::BigEndian => {
                bad("it is a big-endian GGUF file, which this program does not read").hint(
                    "fetch the ordinary file, which is little-endian, or convert this one with \
                     gguf_convert_endian.py of llama.cpp",
                )
            }
            Fault::Version(version) => bad(format!("it is a GGUF file of version {version}"))
                .hint("versions 2 and 3 are read; fetch a newer file of the model"),
            Fault::Entries(count, what) => {
                bad(format!("its header announces {count} {what}, more than {MAX_ENTRIES}"))
                    .hint(FETCH_AGAIN)
            }
            Fault::Dimensions(count) => {
                bad(format!("a tensor has {count} dimensions")).hint(FETCH_AGAIN)
            }
            Fault::Depth => bad("a key has lists in lists in lists"),
            Fault::UnknownType(kind) => {
                bad(format!("a key has a value of type {kind}, which GGUF does not have"))
                    .hint(FETCH_AGAIN)
            }
            Fault::Unreadable(cause) => {
                Error::new(ErrorKind::Io, "it cannot be read").because(cause)
            }
        }
    }
}

/// What a file is that is no GGUF file, as far as its beginning shows.
fn no_gguf(begin: &[u8]) -> Error {
    let text = String::from_utf8_lossy(begin);
    let start = text.trim_start().to_lowercase();
    let what = match begin {
        [] => "it is empty".to_owned(),
        _ if start.starts_with("<!doctype") || start.starts_with("<html") => {
            "it is a web page".to_owned()
        }
        _ if begin.starts_with(b"version https://git-lfs") => {
            "it is a pointer of Git LFS, not the file itself".to_owned()
        }
        _ if begin.starts_with(b"PK\x03\x04") => {
            "it is a ZIP archive, as PyTorch writes".to_owned()
        }
        _ if [b"ggml", b"lmgg", b"tjgg", b"fmgg"].iter().any(|magic| begin.starts_with(*magic)) => {
            "it has a format that llama.cpp had before GGUF".to_owned()
        }
        _ if begin.get(8) == Some(&b'{') => "it looks like a safetensors file".to_owned(),
        _ => format!("it begins with {:?}", text.chars().take(16).collect::<String>()),
    };
    bad(format!("it is not a GGUF file: {what}")).hint("models are GGUF files of version 2 or 3")
}
