//! Which encoding an input is in, and its bytes as UTF-8 text.
//!
//! An input says it in one of four ways, and the first that is there counts: a byte order mark,
//! zeros beside the first character (UTF-16 without a mark), the charset of an HTTP answer, the
//! declaration of an XML document. That is the order of RFC 7303, chapter 3, and of XML 1.0,
//! appendix F. Where nothing says it, the text is UTF-8.
//!
//! Names are those of the WHATWG's Encoding Standard, so that `gb2312` is read with the tables of
//! GB 18030 and `ISO-8859-1` with those of windows-1252, as browsers do. A name that is not among
//! them is an error: a guess would give letters that nobody wrote.

use encoding_rs::{CoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// Most bytes in which an XML declaration is looked for.
const MAX_DECLARATION_BYTES: usize = 1 << 10;

/// Bytes of one encoding into UTF-8; what is not valid in it becomes U+FFFD.
pub(super) enum Decoder {
    Utf8 {
        /// The beginning of a character whose other bytes are not read yet.
        partial: Vec<u8>,
    },
    Other(encoding_rs::Decoder),
}

/// An encoding that cannot be read, by the name that the input gives it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown(pub(super) String);

impl Decoder {
    pub(super) fn utf8() -> Self {
        Decoder::Utf8 { partial: Vec::new() }
    }

    /// For an input that begins with `start`; `charset` is what HTTP says about it. A byte order
    /// mark stays in the text.
    pub(super) fn of(start: &[u8], charset: Option<&str>) -> Result<Self, Unknown> {
        let encoding = encoding(start, charset)?;
        Ok(if encoding == UTF_8 {
            Decoder::utf8()
        } else {
            Decoder::Other(encoding.new_decoder_without_bom_handling())
        })
    }

    /// What the encoding is called.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Decoder::Utf8 { .. } => UTF_8.name(),
            Decoder::Other(decoder) => decoder.encoding().name(),
        }
    }

    /// Appends `bytes` to `text`, but for a character at their end that is not whole yet, unless
    /// they are the last ones. Tells where in `text` the first U+FFFD stands that was put in place
    /// of something.
    pub(super) fn append(
        &mut self,
        bytes: &[u8],
        are_last: bool,
        text: &mut Vec<u8>,
    ) -> Option<usize> {
        match self {
            Decoder::Utf8 { partial } => {
                let joined;
                let bytes = if partial.is_empty() {
                    bytes
                } else {
                    joined = [&std::mem::take(partial)[..], bytes].concat();
                    &joined
                };
                append_utf8(bytes, are_last, partial, text)
            }
            Decoder::Other(decoder) => append_other(decoder, bytes, are_last, text),
        }
    }
}

fn append_utf8(
    bytes: &[u8],
    are_last: bool,
    partial: &mut Vec<u8>,
    text: &mut Vec<u8>,
) -> Option<usize> {
    let mut replaced = None;
    for chunk in bytes.utf8_chunks() {
        text.extend_from_slice(chunk.valid().as_bytes());
        let invalid = chunk.invalid();
        if invalid.is_empty() {
            continue;
        }
        let is_last = invalid.as_ptr_range().end == bytes.as_ptr_range().end;
        let is_partial = std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
        if is_last && is_partial && !are_last {
            partial.extend_from_slice(invalid);
        } else {
            replaced.get_or_insert(text.len());
            text.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    replaced
}

fn append_other(
    decoder: &mut encoding_rs::Decoder,
    bytes: &[u8],
    are_last: bool,
    text: &mut Vec<u8>,
) -> Option<usize> {
    let start = text.len();
    let (mut rest, mut any_replaced) = (bytes, false);
    loop {
        let at = text.len();
        let room = decoder.max_utf8_buffer_length(rest.len()).unwrap_or(rest.len());
        text.resize(at + room.max(16), 0);
        let (result, read, written, replaced) =
            decoder.decode_to_utf8(rest, &mut text[at..], are_last);
        text.truncate(at + written);
        rest = &rest[read..];
        any_replaced |= replaced;
        if result == CoderResult::InputEmpty {
            break;
        }
    }
    let mark = "\u{fffd}".as_bytes();
    let first = || text[start..].windows(mark.len()).position(|three| three == mark);
    any_replaced.then(|| start + first().unwrap_or(0))
}

/// Whether `start` is enough of an input to tell its encoding by.
pub(super) fn is_told_by(start: &[u8]) -> bool {
    let blanks = start.len() - start.trim_ascii_start().len();
    let declared = start[blanks..].starts_with(b"<?xml");
    start.len() >= MAX_DECLARATION_BYTES
        || start.len() >= blanks + b"<?xml".len()
            && blanks < start.len()
            && (!declared || start.windows(2).any(|two| two == b"?>"))
}

fn encoding(start: &[u8], charset: Option<&str>) -> Result<&'static Encoding, Unknown> {
    if let Some(name) = four_bytes_a_character(start) {
        return Err(Unknown(name.to_owned()));
    }
    if let Some((encoding, _)) = Encoding::for_bom(start) {
        return Ok(encoding);
    }
    match start {
        [0, 1..=0x7f, ..] => return Ok(UTF_16BE),
        [1..=0x7f, 0, ..] => return Ok(UTF_16LE),
        _ => {}
    }
    let Some(label) = charset.or_else(|| declared(start)) else { return Ok(UTF_8) };
    let encoding = Encoding::for_label_no_replacement(label.as_bytes())
        .ok_or_else(|| Unknown(label.to_owned()))?;
    // Of a name that could be read byte by byte. Programs that write text for UTF-16 and save it
    // as UTF-8 leave such a declaration.
    let is_wide = encoding == UTF_16LE || encoding == UTF_16BE;
    Ok(if is_wide { UTF_8 } else { encoding })
}

/// The name of an encoding of four bytes a character, by its mark or by the zeros of the first one.
fn four_bytes_a_character(start: &[u8]) -> Option<&'static str> {
    match start {
        [0xff, 0xfe, 0, 0, ..] | [1..=0x7f, 0, 0, 0, ..] => Some("UTF-32LE"),
        [0, 0, 0xfe, 0xff, ..] | [0, 0, 0, 1..=0x7f, ..] => Some("UTF-32BE"),
        _ => None,
    }
}

/// The encoding that an XML declaration names.
fn declared(start: &[u8]) -> Option<&str> {
    let start = &start[..start.len().min(MAX_DECLARATION_BYTES)];
    let declaration = start.trim_ascii_start().strip_prefix(b"<?xml")?;
    let end = declaration.windows(2).position(|two| two == b"?>")?;
    let declaration = std::str::from_utf8(&declaration[..end]).ok()?;
    let (_, value) = declaration.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    value[1..].split_once(quote).map(|(name, _)| name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(start: &[u8], charset: Option<&str>, expected: Result<&str, &str>) {
        let found = encoding(start, charset);
        let found = found.as_ref().map(|e| e.name()).map_err(|unknown| &unknown.0[..]);
        assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(start));
    }

    #[test]
    fn what_says_it_first_counts() {
        let gbk = b"<?xml version='1.0' encoding = 'gb2312'?><rss/>";
        check(gbk, None, Ok("GBK"));
        check(gbk, Some("utf-8"), Ok("UTF-8"));
        check(&[b"\xef\xbb\xbf", &gbk[..]].concat(), Some("latin1"), Ok("UTF-8"));
        check(b" \n<?xml encoding=\"ISO-8859-1\" version=\"1.0\"?>", None, Ok("windows-1252"));
        check(b"<rss>encoding='gbk'?></rss>", None, Ok("UTF-8"));
        check(b"<?xml version='1.0' encoding='UTF-16'?><rss/>", None, Ok("UTF-8"));
        check(b"<?xml version='1.0' encoding='ebcdic-cp-us'?>", None, Err("ebcdic-cp-us"));
        check(b"<?xml version='1.0' encoding='iso-2022-kr'?>", None, Err("iso-2022-kr"));
        check(b"{}", Some("x-mine"), Err("x-mine"));
        check(b"", None, Ok("UTF-8"));
    }

    #[test]
    fn wide_characters_are_told_with_and_without_a_mark() {
        check(b"\xff\xfe{\0", None, Ok("UTF-16LE"));
        check(b"\xfe\xff\0{", Some("utf-8"), Ok("UTF-16BE"));
        check(b"<\0?\0", None, Ok("UTF-16LE"));
        check(b"\0<\0?", None, Ok("UTF-16BE"));
        check(b"\xff\xfe\0\0{\0\0\0", None, Err("UTF-32LE"));
        check(b"\0\0\0<", None, Err("UTF-32BE"));
    }

    #[test]
    fn enough_is_a_declaration_or_the_sign_that_there_is_none() {
        let check = |start: &str, expected| assert_eq!(is_told_by(start.as_bytes()), expected);
        check("", false);
        check("<?xm", false);
        check("<?xml version='1.0'", false);
        check("<?xml version='1.0'?>", true);
        check("{\"a\":1}", true);
        check(&" ".repeat(2000), true);
    }
}
