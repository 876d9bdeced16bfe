//! Texts of records as one line of what can be seen, and their links as addresses of the web.

use std::fmt::Write;

use crate::text::is_invisible;

/// One line of what can be seen. Runs of spaces stay: feeds have them, and the format keeps them.
/// The two characters that are none (U+FFFE, U+FFFF) go, since XML forbids them.
pub(super) fn one_line(text: &str) -> String {
    let is_break = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let is_none = |c: char| matches!(c, '\u{fffe}' | '\u{ffff}');
    let visible = text.chars().filter(|c| !is_invisible(*c) && !is_none(*c));
    let line: String = visible.map(|c| if is_break(c) { ' ' } else { c }).collect();
    line.trim().to_owned()
}

/// Whether a text is empty once what cannot be seen is gone.
pub(super) fn is_blank(text: &str) -> bool {
    one_line(text).is_empty()
}

/// `link` as an address, if it is of the web. Characters that no address has, and those that would
/// end the destination of a Markdown link or start a formula, are percent-encoded.
pub(super) fn web_address(link: &str) -> Option<String> {
    let link = one_line(link);
    let (scheme, rest) = link.split_once("://")?;
    if !(scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"))
        || rest.is_empty()
    {
        return None;
    }
    let mut address = format!("{}://", scheme.to_ascii_lowercase());
    // Brackets stand around an address of IPv6, and nowhere else.
    let host = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    if host == 0 {
        return None;
    }
    let is_hex = |at: usize| rest.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => address.push(byte.into()),
            b'%' if is_hex(at + 1) && is_hex(at + 2) => address.push('%'),
            b'[' | b']' if at < host => address.push(byte.into()),
            _ if b"-._~:/?#@!+,;='&".contains(&byte) => address.push(byte.into()),
            // Writing into a string cannot fail.
            _ => write!(address, "%{byte:02X}").unwrap_or_default(),
        }
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_the_web_and_whole() {
        let check = |link: &str, expected: Option<&str>| {
            assert_eq!(web_address(link).as_deref(), expected, "{link}");
        };
        check("HTTP://x.org/a b(c)?d=%41%zz%", Some("http://x.org/a%20b%28c%29?d=%41%25zz%25"));
        check("http://[::1]:80/[a]", Some("http://[::1]:80/%5Ba%5D"));
        check("https:///a", None);
        check("https://", None);
        check("doi:10.1/x", None);
    }
}
