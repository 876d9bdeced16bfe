//! The encoding that an input names is the one that it is read in.

use std::io::BufRead;

use super::addresses::{http, serve};
use super::*;

/// A feed of one paper in bytes; `title` is in the encoding that `declaration` may name.
fn rss(declaration: &str, title: &[u8]) -> Vec<u8> {
    let head = format!("{declaration}<rss><channel><item><title>");
    let tail = "</title><link>https://arxiv.org/abs/2699.01001</link>\n<description>We count.\
                </description></item></channel></rss>";
    [head.as_bytes(), title, tail.as_bytes()].concat()
}

fn declared(encoding: &str) -> String {
    format!("<?xml version='1.0' encoding='{encoding}'?>\n")
}

/// UTF-16 with a byte order mark.
fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
    std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(order).collect()
}

#[track_caller]
fn check_title(bytes: &[u8], expected: &str) {
    let outcome = read_bytes(bytes).expect(expected);
    assert_eq!(outcome.papers()[0].title, expected);
    assert!(outcome.mended.is_empty() && outcome.malformed.is_empty(), "{outcome:?}");
}

#[test]
fn a_declaration_is_honoured() {
    // The bytes are those of the encodings' own tables.
    check_title(&rss(&declared("ISO-8859-1"), b"Ab\xe9lien"), "Abélien");
    check_title(&rss(&declared("windows-1252"), b"\x93Ab\xe9lien\x94 \x80"), "“Abélien” €");
    check_title(&rss(&declared("gb2312"), b"\xd5\xaa\xd2\xaa"), "摘要");
    check_title(&rss(&declared("GBK"), b"\x99\x64"), "檇");
    check_title(&rss(&declared("gb18030"), b"\x81\x30\x84\x36\xd5\xaa"), "¥摘");
    check_title(&rss(&declared("iso-8859-2"), b"Erd\xf5s"), "Erdős");
    check_title(&rss(&declared("koi8-r"), b"\xf3\xd5\xcd\xcd\xc1"), "Сумма");
    check_title(&rss(&declared("utf-8"), "摘要".as_bytes()), "摘要");
    check_title(&rss("", "摘要".as_bytes()), "摘要");
    check_title(&gzip(&rss(&declared("gb2312"), b"\xd5\xaa\xd2\xaa")), "摘要");
}

#[test]
fn a_byte_order_mark_comes_before_a_declaration() {
    for declaration in ["utf-8", "UTF-16", "ISO-8859-1"] {
        let text = String::from_utf8(rss(&declared(declaration), "摘要".as_bytes())).unwrap();
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            check_title(&utf16(&text, order), "摘要");
            check_title(&gzip(&utf16(&text, order)), "摘要");
            check_title(&utf16(&text, order)[2..], "摘要");
        }
        check_title(&[b"\xef\xbb\xbf", text.as_bytes()].concat(), "摘要");
    }
    // .NET writes this into what it then saves as UTF-8.
    check_title(&rss(&declared("utf-16"), "摘要".as_bytes()), "摘要");
}

#[test]
fn json_and_lines_of_it_may_be_in_utf16() {
    let record =
        |title: &str| format!("{{\"title\": \"{title}\", \"abstract\": \"We count 羊.\"}}\r\n");
    let lines = record("摘要") + &record("π𝔸");
    let document = format!("[{},\n{}]", record("摘要"), record("π𝔸"));
    for text in [lines, document] {
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            let outcome = read_bytes(utf16(&text, order)).expect("two papers");
            let titles: Vec<_> = outcome.papers().iter().map(|paper| &paper.title[..]).collect();
            assert_eq!(titles, ["摘要", "π𝔸"]);
            assert_eq!(outcome.papers()[0].abstract_text, "We count 羊.");
        }
    }
}

#[test]
fn an_encoding_that_is_not_known_is_named() {
    for encoding in ["x-user-table", "cp037", "iso-2022-kr", "UTF-7"] {
        let result = read_bytes(rss(&declared(encoding), b"A"));
        let error = check_error(result, ErrorKind::Input, &["in is in the encoding", encoding]);
        assert!(error.hint_text().is_some_and(|hint| hint.contains("UTF-8")));
    }
    let wide: Vec<u8> = "\u{feff}{}".chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
    check_error(read_bytes(wide), ErrorKind::Input, &["encoding UTF-32LE"]);
    let long = declared(&"x\u{1b}".repeat(200));
    let message = read_bytes(rss(&long, b"A")).expect_err("no such encoding").to_string();
    assert!(message.len() < 400 && !message.contains('\u{1b}'), "{message}");
}

#[test]
fn what_is_not_valid_in_its_encoding_is_replaced_and_reported() {
    let outcome = read_bytes(rss(&declared("gb2312"), b"\n\xd5\xaa\xff\xd2\xaa")).expect("mended");
    assert_eq!(outcome.papers()[0].title, "摘\u{fffd}要");
    let mended: Vec<_> = outcome.mended.iter().map(Malformed::to_string).collect();
    assert_eq!(mended, ["in, line 3: bytes that are not GBK were replaced by U+FFFD"]);

    let mut record = utf16("{\"title\": \"T\", \"abstract\": \"A?\"}\n", u16::to_le_bytes);
    let at = record.windows(2).position(|two| two == b"?\0").expect("a mark");
    record[at + 1] = 0xd8;
    let outcome = read_bytes(record).expect("mended");
    assert_eq!(outcome.papers()[0].abstract_text, "A\u{fffd}");
    assert!(outcome.mended[0].reason.contains("not UTF-16LE"), "{:?}", outcome.mended);
}

#[test]
fn the_charset_of_an_answer_comes_before_a_declaration() {
    let proxies = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
    if let Some(name) = proxies.iter().find(|name| std::env::var_os(name).is_some()) {
        crate::support::skipped(format_args!(
            "{name} is set, the loopback server would not be reached"
        ));
        return;
    }
    let fetch = |content_type: &str, body: &[u8]| {
        let (url, _) = serve(http("200 OK", &format!("Content-Type: {content_type}\r\n"), body));
        read_source(&address(url))
    };
    let title = |content_type: &str, body: &[u8]| {
        fetch(content_type, body).expect(content_type).papers()[0].title.clone()
    };
    let gb2312 = b"\xd5\xaa\xd2\xaa";
    assert_eq!(title("text/xml; charset=gb2312", &rss("", gb2312)), "摘要");
    assert_eq!(title("text/xml; charset=\"GBK\"", &rss(&declared("utf-8"), gb2312)), "摘要");
    assert_eq!(title("application/rss+xml", &rss(&declared("gb2312"), gb2312)), "摘要");
    let marked = [b"\xef\xbb\xbf", &rss("", "摘要".as_bytes())[..]].concat();
    assert_eq!(title("text/xml; charset=iso-8859-1", &marked), "摘要");
    let result = fetch("text/xml; charset=x-mine", &rss("", b"A"));
    check_error(result, ErrorKind::Input, &["encoding x-mine"]);
}

#[test]
fn records_are_read_in_utf16_and_otherwise_as_they_are() {
    let read = |bytes: Vec<u8>| {
        let mut lines = feed::utf8_lines("r", std::io::Cursor::new(bytes)).expect("an encoding");
        let mut text = Vec::new();
        loop {
            match lines.read_until(b'\n', &mut text) {
                Ok(0) => return Ok(text),
                Ok(_) => {}
                Err(cause) => return Err(cause.to_string()),
            }
        }
    };
    let text = "{\"title\": \"摘要\"}\r\n".repeat(5_000);
    for order in [u16::to_le_bytes, u16::to_be_bytes] {
        let expected = ["\u{feff}", &text].concat().into_bytes();
        assert_eq!(read(utf16(&text, order)), Ok(expected));
    }
    for plain in [&b""[..], b"{", b"{\"a\": \"\xff\"}\n", b"\xef\xbb\xbf{}\n"] {
        assert_eq!(read(plain.to_vec()), Ok(plain.to_vec()));
    }
    let broken = [&utf16("{}\n", u16::to_le_bytes)[..], b"\x00\xd8\n\0"].concat();
    assert_eq!(read(broken), Err("line 2 is not valid UTF-16LE".to_owned()));
    assert!(feed::utf8_lines("r", &b"\xff\xfe\0\0{\0\0\0"[..]).is_err());
}
