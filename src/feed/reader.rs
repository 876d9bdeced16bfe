//! Bytes as valid UTF-8 text that knows its line and cannot grow without bound.
//!
//! Every parser reads through this one type, so that the limits and the handling of bytes that
//! are not UTF-8 hold for all of them: such bytes become U+FFFD, and the line is kept.

use std::io::{self, BufRead, Read};

use super::{MAX_INPUT_BYTES, MAX_PIECE_BYTES};

const CHUNK_BYTES: usize = 64 << 10;

/// How much of an input is looked at to tell what it is.
const OPENING_BYTES: usize = 1 << 10;

pub(super) struct TextReader<R> {
    bytes: R,
    /// Text not yet handed out is `text[start..]`.
    text: Vec<u8>,
    start: usize,
    /// The beginning of a character whose other bytes are not read yet.
    partial: Vec<u8>,
    at_end: bool,
    line: u64,
    read_bytes: u64,
    piece_left: usize,
    mended_line: Option<u64>,
}

/// One line of an input.
pub(super) enum Line {
    /// Its text is in the buffer.
    Whole,
    /// It is longer than allowed and was skipped.
    TooLong,
    /// There is none any more.
    End,
}

impl<R: Read> TextReader<R> {
    pub(super) fn new(bytes: R) -> Self {
        TextReader {
            bytes,
            text: Vec::new(),
            start: 0,
            partial: Vec::new(),
            at_end: false,
            line: 1,
            read_bytes: 0,
            piece_left: MAX_PIECE_BYTES,
            mended_line: None,
        }
    }

    /// The line of the next byte, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Allows for another piece of [`MAX_PIECE_BYTES`].
    pub(super) fn next_piece(&mut self) {
        self.piece_left = MAX_PIECE_BYTES;
    }

    /// The line near which bytes were replaced since this was last asked.
    pub(super) fn take_mended_line(&mut self) -> Option<u64> {
        self.mended_line.take()
    }

    /// Passes over a byte order mark and blanks, and shows what the input begins with.
    pub(super) fn opening(&mut self) -> io::Result<String> {
        const BYTE_ORDER_MARK: &str = "\u{feff}";
        if self.fill_buf()?.starts_with(BYTE_ORDER_MARK.as_bytes()) {
            self.consume(BYTE_ORDER_MARK.len());
        }
        loop {
            self.next_piece();
            let ready = self.fill_buf()?;
            let blanks = ready.len() - ready.trim_ascii_start().len();
            if blanks == 0 {
                break;
            }
            self.consume(blanks);
        }
        while self.text.len() - self.start < OPENING_BYTES && !self.at_end {
            self.read_chunk()?;
        }
        let ready = &self.text[self.start..];
        Ok(String::from_utf8_lossy(&ready[..ready.len().min(OPENING_BYTES)]).into_owned())
    }

    /// Reads the next line into `line`, without its end; longer than `max_bytes` it is skipped.
    pub(super) fn read_line(&mut self, line: &mut Vec<u8>, max_bytes: usize) -> io::Result<Line> {
        line.clear();
        let (mut any, mut too_long) = (false, false);
        loop {
            self.next_piece();
            let chunk = self.fill_buf()?;
            let newline = chunk.iter().position(|&b| b == b'\n');
            let content = &chunk[..newline.unwrap_or(chunk.len())];
            if content.is_empty() && newline.is_none() {
                break;
            }
            any = true;
            too_long |= line.len() + content.len() > max_bytes;
            if !too_long {
                line.extend_from_slice(content);
            }
            let used = content.len() + usize::from(newline.is_some());
            self.consume(used);
            if newline.is_some() {
                break;
            }
        }
        Ok(match (any, too_long) {
            (false, _) => Line::End,
            (true, true) => Line::TooLong,
            (true, false) => Line::Whole,
        })
    }

    /// Reads more bytes and appends what is whole of them as valid text.
    fn read_chunk(&mut self) -> io::Result<()> {
        let known = self.partial.len();
        self.partial.resize(known + CHUNK_BYTES, 0);
        let outcome = self.bytes.read(&mut self.partial[known..]);
        let count = *outcome.as_ref().unwrap_or(&0);
        self.partial.truncate(known + count);
        match outcome {
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => return Ok(()),
            outcome => outcome?,
        };
        self.at_end = count == 0;
        self.read_bytes += count as u64;
        if self.read_bytes > MAX_INPUT_BYTES {
            let gib = MAX_INPUT_BYTES >> 30;
            return Err(io::Error::other(format!("the input is longer than {gib} GiB unpacked")));
        }
        let bytes = std::mem::take(&mut self.partial);
        self.append_text(&bytes);
        Ok(())
    }

    fn append_text(&mut self, bytes: &[u8]) {
        for chunk in bytes.utf8_chunks() {
            self.text.extend_from_slice(chunk.valid().as_bytes());
            let invalid = chunk.invalid();
            if invalid.is_empty() {
                continue;
            }
            let is_last = invalid.as_ptr_range().end == bytes.as_ptr_range().end;
            let is_partial = std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
            if is_last && is_partial && !self.at_end {
                self.partial.extend_from_slice(invalid);
            } else {
                let before = &self.text[self.start..];
                self.mended_line.get_or_insert(self.line + newlines(before));
                self.text.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }
}

impl<R: Read> BufRead for TextReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.text.len() {
            self.text.clear();
            self.start = 0;
            while self.text.is_empty() && !self.at_end {
                self.read_chunk()?;
            }
        }
        let ready = &self.text[self.start..];
        if self.piece_left == 0 && !ready.is_empty() {
            let mib = MAX_PIECE_BYTES >> 20;
            return Err(io::Error::other(format!("one piece of markup is longer than {mib} MiB")));
        }
        Ok(&ready[..ready.len().min(self.piece_left)])
    }

    fn consume(&mut self, count: usize) {
        let end = (self.start + count).min(self.text.len());
        self.line += newlines(&self.text[self.start..end]);
        self.piece_left -= (end - self.start).min(self.piece_left);
        self.start = end;
    }
}

impl<R: Read> Read for TextReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let count = ready.len().min(into.len());
        into[..count].copy_from_slice(&ready[..count]);
        self.consume(count);
        Ok(count)
    }
}

fn newlines(text: &[u8]) -> u64 {
    text.iter().filter(|&&b| b == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands bytes out a few at a time, as a pipe may.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(into.len());
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &str, mended_line: Option<u64>) {
        for step in [1, 2, 3, 7, 4096] {
            let mut reader = TextReader::new(Trickle(bytes, step));
            let mut text = String::new();
            reader.read_to_string(&mut text).expect("always valid text");
            assert_eq!(text, expected, "in steps of {step}");
            assert_eq!(reader.take_mended_line(), mended_line, "in steps of {step}");
            assert_eq!(reader.line(), 1 + newlines(bytes), "in steps of {step}");
        }
    }

    #[test]
    fn whatever_the_steps_the_text_is_the_same() {
        check("摘要\nπ".as_bytes(), "摘要\nπ", None);
        check(b"a\nb\xff\nc\xfe", "a\nb\u{fffd}\nc\u{fffd}", Some(2));
        check(b"end\xe6\x91", "end\u{fffd}", Some(1));
        check(b"\xe6\x91(", "\u{fffd}(", Some(1));
    }

    #[test]
    fn lines_over_the_limit_are_skipped_as_a_whole() {
        let mut reader = TextReader::new(&b"short\nmuch too long\nlast"[..]);
        let mut line = Vec::new();
        assert!(matches!(reader.read_line(&mut line, 8), Ok(Line::Whole)) && line == b"short");
        assert!(matches!(reader.read_line(&mut line, 8), Ok(Line::TooLong)));
        assert!(matches!(reader.read_line(&mut line, 8), Ok(Line::Whole)) && line == b"last");
        assert!(matches!(reader.read_line(&mut line, 8), Ok(Line::End)));
    }

    #[test]
    fn a_piece_has_an_end() {
        let mut reader = TextReader::new(io::repeat(b'x'));
        let read = io::copy(&mut reader, &mut io::sink());
        assert!(read.is_err_and(|e| e.to_string().contains("longer than 4 MiB")));
    }
}
