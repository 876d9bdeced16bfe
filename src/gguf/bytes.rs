//! The bytes of a header, in order and never past the end of the file.
//!
//! A length that the file claims is held against what is left of it before anything is reserved
//! for it, so that a damaged or hostile file is refused at once.

use std::io::{BufReader, Read, Seek, SeekFrom};

use super::Fault;

/// A reader that knows where it is and where the file ends.
pub struct Bytes<'a, R> {
    reader: &'a mut BufReader<R>,
    at: u64,
    end: u64,
    /// Most bytes of a header.
    most: u64,
}

impl<'a, R: Read + Seek> Bytes<'a, R> {
    /// The bytes of `reader` from its beginning, whose header may have `most` bytes.
    pub fn new(reader: &'a mut BufReader<R>, most: u64) -> Result<Self, Fault> {
        let end = reader.seek(SeekFrom::End(0)).map_err(Fault::Unreadable)?;
        reader.rewind().map_err(Fault::Unreadable)?;
        Ok(Bytes { reader, at: 0, end, most })
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
    pub fn need(&self, count: u64) -> Result<(), Fault> {
        if count > self.end - self.at {
            return Err(Fault::Short { at: self.at, count, end: self.end });
        }
        if self.at + count > self.most {
            return Err(Fault::Long(self.most));
        }
        Ok(())
    }

    /// The next `N` bytes.
    pub fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.need(N as u64)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(Fault::Unreadable)?;
        self.at += N as u64;
        Ok(bytes)
    }

    /// The next `count` bytes; the caller bounds them.
    pub fn take_all(&mut self, count: u64) -> Result<Vec<u8>, Fault> {
        self.need(count)?;
        let mut bytes = vec![0; count as usize];
        self.reader.read_exact(&mut bytes).map_err(Fault::Unreadable)?;
        self.at += count;
        Ok(bytes)
    }

    /// Leaves `count` bytes out.
    pub fn skip(&mut self, count: u64) -> Result<(), Fault> {
        self.need(count)?;
        // At most the longest header.
        self.reader.seek_relative(count as i64).map_err(Fault::Unreadable)?;
        self.at += count;
        Ok(())
    }

    /// Leaves a text out: its length, and its bytes.
    pub fn skip_text(&mut self) -> Result<(), Fault> {
        let length = self.u64()?;
        self.skip(length)
    }

    /// Goes back to byte `at`, which has been read.
    pub fn back_to(&mut self, at: u64) -> Result<(), Fault> {
        self.reader.seek(SeekFrom::Start(at)).map_err(Fault::Unreadable)?;
        self.at = at;
        Ok(())
    }

    /// A little-endian integer of 32 bits.
    pub fn u32(&mut self) -> Result<u32, Fault> {
        self.take().map(u32::from_le_bytes)
    }

    /// A little-endian integer of 64 bits.
    pub fn u64(&mut self) -> Result<u64, Fault> {
        self.take().map(u64::from_le_bytes)
    }
}
