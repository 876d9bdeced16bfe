//! Bytes as valid UTF-8 text that knows its line and cannot grow without bound.
//!
//! Every parser reads through this one type, so that the limits and the handling of encodings hold
//! for all of them: bytes that are not valid become U+FFFD, and the line is kept.

use std::io::{self, BufRead, Read};

use super::encoding::{self, Decoder, Unknown};
use super::{MAX_BARREN_BYTES, MAX_INPUT_BYTES, MAX_PIECE_BYTES};

const CHUNK_BYTES: usize = 64 << 10;

/// How much of an input is looked at to tell what it is.
const OPENING_BYTES: usize = 1 << 10;

pub(super) struct TextReader<R> {
    bytes: R,
    bounds: Bounds,
    /// Text not yet handed out is `text[start..]`.
    text: Vec<u8>,
    start: usize,
    decoder: Decoder,
    /// Bytes that are not decoded yet.
    raw: Vec<u8>,
    at_end: bool,
    line: u64,
    read_bytes: u64,
    /// Papers found so far, and how many bytes had been read then.
    papers: (u64, u64),
    piece_left: usize,
    mended_line: Option<u64>,
}

/// What is read at most, and of what kind.
struct Bounds {
    /// Bytes of one piece of markup.
    piece: usize,
    /// Bytes without a paper.
    barren: u64,
    /// Whether bytes that are not valid become U+FFFD; else they are an error.
    are_bytes_mended: bool,
}

/// Why not even the beginning of an input can be read.
pub(super) enum Unreadable {
    Io(io::Error),
    Encoding(Unknown),
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
        let bounds =
            Bounds { piece: MAX_PIECE_BYTES, barren: MAX_BARREN_BYTES, are_bytes_mended: true };
        TextReader::within(bounds, bytes, Decoder::utf8())
    }

    fn within(bounds: Bounds, bytes: R, decoder: Decoder) -> Self {
        TextReader {
            bytes,
            text: Vec::new(),
            start: 0,
            decoder,
            raw: Vec::new(),
            at_end: false,
            line: 1,
            read_bytes: 0,
            papers: (0, 0),
            piece_left: bounds.piece,
            mended_line: None,
            bounds,
        }
    }

    /// The line of the next byte, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Allows for another piece of [`MAX_PIECE_BYTES`].
    pub(super) fn next_piece(&mut self) {
        self.piece_left = self.bounds.piece;
    }

    /// The line near which bytes were replaced since this was last asked.
    pub(super) fn take_mended_line(&mut self) -> Option<u64> {
        self.mended_line.take()
    }

    /// What the encoding of the text is called.
    pub(super) fn encoding(&self) -> &'static str {
        self.decoder.name()
    }

    /// Notes how many papers there were so far; where no more come for [`MAX_BARREN_BYTES`],
    /// reading ends.
    pub(super) fn note_papers(&mut self, count: u64) {
        if count != self.papers.0 {
            self.papers = (count, self.read_bytes);
        }
    }

    /// Finds out the encoding, passes over a byte order mark and blanks, and shows what the input
    /// begins with: its first line, as far as it is read, and at most 1 KiB. `charset` is what
    /// HTTP says about the encoding.
    pub(super) fn opening(&mut self, charset: Option<&str>) -> Result<String, Unreadable> {
        while !encoding::is_told_by(&self.raw) && !self.at_end {
            self.read_raw().map_err(Unreadable::Io)?;
        }
        self.decoder = Decoder::of(&self.raw, charset).map_err(Unreadable::Encoding)?;
        self.decode();
        self.show_opening().map_err(Unreadable::Io)
    }

    fn show_opening(&mut self) -> io::Result<String> {
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
        // No more than is needed: the other end of a pipe may wait for what comes of it.
        let is_enough = |ready: &[u8]| {
            ready.starts_with(b"<") || ready.len() >= OPENING_BYTES || ready.contains(&b'\n')
        };
        while !is_enough(&self.text[self.start..]) && !self.at_end {
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
        self.read_raw()?;
        self.decode();
        match self.mended_line {
            Some(line) if !self.bounds.are_bytes_mended => {
                let message = format!("line {line} is not valid {}", self.encoding());
                Err(io::Error::new(io::ErrorKind::InvalidData, message))
            }
            _ => Ok(()),
        }
    }

    /// Reads more bytes, as many as are there, and keeps them as they are.
    fn read_raw(&mut self) -> io::Result<()> {
        let known = self.raw.len();
        self.raw.resize(known + CHUNK_BYTES, 0);
        let outcome = self.bytes.read(&mut self.raw[known..]);
        let count = *outcome.as_ref().unwrap_or(&0);
        self.raw.truncate(known + count);
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
        if self.read_bytes - self.papers.1 > self.bounds.barren {
            let mib = self.bounds.barren >> 20;
            return Err(io::Error::other(format!("there is no paper in {mib} MiB")));
        }
        Ok(())
    }

    fn decode(&mut self) {
        let replaced = self.decoder.append(&self.raw, self.at_end, &mut self.text);
        self.raw.clear();
        if let Some(at) = replaced {
            let before = &self.text[self.start..at];
            self.mended_line.get_or_insert(self.line + newlines(before));
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
            let mib = self.bounds.piece >> 20;
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

/// Bytes in UTF-8 as they are, and those in another encoding as UTF-8.
pub(super) fn utf8_lines(mut bytes: impl Read + 'static) -> Result<Box<dyn BufRead>, Unreadable> {
    /// As many as tell UTF-16 and UTF-32.
    const START_BYTES: u64 = 4;
    let mut start = Vec::new();
    bytes.by_ref().take(START_BYTES).read_to_end(&mut start).map_err(Unreadable::Io)?;
    let decoder = Decoder::of(&start, None).map_err(Unreadable::Encoding)?;
    let whole = io::Cursor::new(start).chain(bytes);
    if matches!(decoder, Decoder::Utf8 { .. }) {
        return Ok(Box::new(io::BufReader::new(whole)));
    }
    let bounds = Bounds { piece: usize::MAX, barren: u64::MAX, are_bytes_mended: false };
    Ok(Box::new(TextReader::within(bounds, whole, decoder)))
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
        assert!(read.is_err_and(|e| e.to_string().contains("longer than 8 MiB")));
    }

    #[test]
    fn no_more_is_read_than_the_opening_needs() {
        let whole = [&b"{\"a\": 1}\n"[..], &b"{\"b\": 2}\n".repeat(100)].concat();
        let mut reader = TextReader::new(Trickle(&whole, 1));
        assert!(reader.opening(None).is_ok_and(|opening| opening == "{\"a\": 1}\n"));
        let mut line = Vec::new();
        assert!(
            matches!(reader.read_line(&mut line, 80), Ok(Line::Whole)) && line == b"{\"a\": 1}"
        );
        assert_eq!(reader.read_bytes, 9);
    }
}
