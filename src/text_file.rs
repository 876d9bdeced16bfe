//! Text files that a person wrote: prompts, glossaries, settings and lists of papers.
//!
//! Editors save the same text in several ways: as UTF-8 with or without a byte order mark, as UTF-16
//! with one, with the line breaks of Unix or of Windows. It is the same text here, so that it has
//! the same hash, too. Any other encoding is refused with the place that shows it: guessed wrongly,
//! it would go into every prompt. No more is read than a file may have, whatever it is (a device,
//! a pipe).

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// Reads the file at `path`, which is a `what` (`glossary`) and has at most `max_bytes`.
///
/// # Errors
/// [`ErrorKind::Io`] where it cannot be read, [`ErrorKind::Usage`] where it is too large, or in an
/// encoding that is not read.
pub fn read(path: &Path, what: &str, max_bytes: u64) -> Result<String> {
    let failed = |cause| Error::io(&format!("read the {what}"), path, cause);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(max_bytes + 1).read_to_end(&mut bytes).map_err(failed)?;
    let name = path.display();
    if bytes.len() as u64 > max_bytes {
        let message = format!("{name} is larger than a {what} may be: {max_bytes} bytes");
        return Err(Error::new(ErrorKind::Usage, message));
    }
    decode(&bytes).map_err(|fault| {
        let message = format!("the {what} {name} cannot be read as text: {fault}");
        Error::new(ErrorKind::Usage, message).hint(
            "save it as UTF-8, as the editor's \"Save with encoding\" does, or \
             `iconv -f GB18030 -t UTF-8`, where GB18030 is the encoding that it has now",
        )
    })
}

/// The text in `bytes`, with line breaks as [`unified`] has them.
///
/// # Errors
/// What shows that it is in another encoding, in words.
pub fn decode(bytes: &[u8]) -> std::result::Result<String, String> {
    let text = match bytes {
        [0xef, 0xbb, 0xbf, utf8 @ ..] => decode_utf8(utf8)?,
        [0xff, 0xfe, units @ ..] => decode_utf16(units, u16::from_le_bytes)?,
        [0xfe, 0xff, units @ ..] => decode_utf16(units, u16::from_be_bytes)?,
        utf8 => decode_utf8(utf8)?,
    };
    if let Some(at) = text.find('\0') {
        let line = line_of(&text.as_bytes()[..at]);
        return Err(format!(
            "line {line} has a NUL character, as in UTF-16 without a byte order mark"
        ));
    }
    Ok(unified(&text))
}

/// `text` with line breaks of one kind, `\n`, and without a byte order mark.
pub fn unified(text: &str) -> String {
    text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n")
}

fn decode_utf8(bytes: &[u8]) -> std::result::Result<String, String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => {
            let at = error.valid_up_to();
            let line_start =
                bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |n| n + 1);
            Err(format!(
                "line {}, byte {} (0x{:02X}) is not UTF-8",
                line_of(&bytes[..at]),
                at - line_start + 1,
                bytes[at]
            ))
        }
    }
}

fn decode_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> std::result::Result<String, String> {
    let (units, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err("it is UTF-16 and ends within a character".into());
    }
    let mut text = String::with_capacity(units.len());
    for decoded in char::decode_utf16(units.iter().map(|pair| unit(*pair))) {
        match decoded {
            Ok(character) => text.push(character),
            Err(error) => {
                return Err(format!(
                    "line {} is not UTF-16, which its byte order mark announces (0x{:04X})",
                    line_of(text.as_bytes()),
                    error.unpaired_surrogate()
                ));
            }
        }
    }
    Ok(text)
}

/// The number of the line that follows `before`.
fn line_of(before: &[u8]) -> usize {
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(bytes).collect()
    }

    #[test]
    fn what_is_no_unicode_is_refused_with_its_place() {
        let check = |bytes: &[u8], fault: &str| assert_eq!(decode(bytes).unwrap_err(), fault);
        // "点云" in GB18030, and "é" in Latin-1.
        check(b"a\n\xb5\xe3\xd4\xc6", "line 2, byte 1 (0xB5) is not UTF-8");
        check(b"a\r\nbc\xe9", "line 2, byte 3 (0xE9) is not UTF-8");
        check(b"a\0b\0", "line 1 has a NUL character, as in UTF-16 without a byte order mark");
        check(b"\xff\xfea\0b", "it is UTF-16 and ends within a character");
        let surrogate = "line 2 is not UTF-16, which its byte order mark announces (0xDC00)";
        check(b"\xff\xfe\n\0\0\xdca\0", surrogate);
        let utf32 = "line 1 has a NUL character, as in UTF-16 without a byte order mark";
        check(b"\xff\xfe\0\0a\0\0\0", utf32);
    }

    #[test]
    fn no_more_is_read_than_a_file_may_have() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("g.tsv");
        std::fs::write(&path, "a\tb\r\n").unwrap();
        assert_eq!(read(&path, "glossary", 5).unwrap(), "a\tb\n");
        let error = read(&path, "glossary", 4).unwrap_err().to_string();
        assert!(error.ends_with("g.tsv is larger than a glossary may be: 4 bytes"), "{error}");
        #[cfg(unix)]
        {
            let error = read(Path::new("/dev/zero"), "prompt", 1 << 20).unwrap_err().to_string();
            assert_eq!(error, "/dev/zero is larger than a prompt may be: 1048576 bytes");
        }
    }

    proptest! {
        #[test]
        fn a_text_is_the_same_however_it_was_saved(text in "[a-z中\u{1f600}\t\n]{0,40}") {
            let windows = text.replace('\n', "\r\n");
            for text_saved in [&text, &windows, &text.replace('\n', "\r")] {
                let marked = [b"\xef\xbb\xbf", text_saved.as_bytes()].concat();
                for bytes in [
                    text_saved.as_bytes().to_vec(),
                    marked,
                    utf16(text_saved, u16::to_le_bytes),
                    utf16(text_saved, u16::to_be_bytes),
                ] {
                    prop_assert_eq!(decode(&bytes).unwrap(), text.as_str());
                }
            }
        }
    }
}
