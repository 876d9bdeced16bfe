//! The bytes of a header, in order and never past the end of the file.
//!
//! A length that the file claims is held against what is left of it before anything is reserved
//! for it, so that a damaged or hostile file is refused at once.

use std::io::{BufReader, Read, Seek, SeekFrom};

use crate::{Error, Result, error::ErrorKind};

/// Largest header. A vocabulary of 262,144 tokens with its merges takes some 16 MiB.
const MAX_HEADER_BYTES: u64 = 128 << 20;

/// A reader that knows where it is and where the file ends.
pub struct Bytes<'a, R> {
    reader: &'a mut BufReader<R>,
    at: u64,
    end: u64,
}

impl<'a, R: Read + Seek> Bytes<'a, R> {
    /// The bytes of `reader` from its beginning.
    pub fn new(reader: &'a mut BufReader<R>) -> Result<Self> {
        let end = reader.seek(SeekFrom::End(0)).map_err(unreadable)?;
        reader.rewind().map_err(unreadable)?;
        Ok(Bytes { reader, at: 0, end })
    }

    /// How many bytes have been read.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Size of the file.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether `count` more bytes are there; an error where they are not.
    pub fn need(&self, count: u64) -> Result<()> {
        if count > self.end - self.at {
            let message = format!(
                "the file ends within its header: it has {} bytes, and {count} more are needed \
                 after byte {}",
                self.end, self.at
            );
            return Err(Error::new(ErrorKind::Model, message).hint(FETCH_AGAIN));
        }
        if self.at + count > MAX_HEADER_BYTES {
            let message = format!("its header is larger than {} MiB", MAX_HEADER_BYTES >> 20);
            return Err(Error::new(ErrorKind::Model, message));
        }
        Ok(())
    }

    /// The next `N` bytes.
    pub fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.need(N as u64)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(unreadable)?;
        self.at += N as u64;
        Ok(bytes)
    }

    /// The next `count` bytes; the caller bounds them.
    pub fn take_all(&mut self, count: u64) -> Result<Vec<u8>> {
        self.need(count)?;
        let mut bytes = vec![0; count as usize];
        self.reader.read_exact(&mut bytes).map_err(unreadable)?;
        self.at += count;
        Ok(bytes)
    }

    /// Leaves `count` bytes out.
    pub fn skip(&mut self, count: u64) -> Result<()> {
        self.need(count)?;
        // At most MAX_HEADER_BYTES.
        self.reader.seek_relative(count as i64).map_err(unreadable)?;
        self.at += count;
        Ok(())
    }

    /// Goes back to byte `at`, which has been read.
    pub fn back_to(&mut self, at: u64) -> Result<()> {
        self.reader.seek(SeekFrom::Start(at)).map_err(unreadable)?;
        self.at = at;
        Ok(())
    }

    /// A little-endian integer of 32 bits.
    pub fn u32(&mut self) -> Result<u32> {
        self.take().map(u32::from_le_bytes)
    }

    /// A little-endian integer of 64 bits.
    pub fn u64(&mut self) -> Result<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

/// What helps where bytes are missing.
pub const FETCH_AGAIN: &str = "it is cut or damaged: fetch it again";

fn unreadable(cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "it cannot be read").because(cause)
}

/// An error about what the file says.
pub fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Model, message)
}
