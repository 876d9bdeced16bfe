//! Texts from elsewhere made fit for a message: without secrets, without what a terminal would
//! obey, and not too long.
//!
//! Addresses carry secrets in two places: before the `@` of the host, and in the query, where
//! signed addresses of storages have a signature. Both are taken out wherever an address stands in a
//! text. Left out: secrets elsewhere, which no form tells.

use crate::text::is_invisible;

/// Longest text that is repeated, in characters.
const CHARS_MAX: usize = 500;

/// What stands in place of a secret.
const HIDDEN: &str = "***";

/// Names of a query whose values are secrets contain one of these.
const SECRET_NAMES: [&str; 8] =
    ["token", "key", "secret", "sig", "pass", "auth", "credential", "policy"];

/// `text` of a server or another program, on one line.
pub fn shown_text(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '\\');
    cut(&escaped(&hide_secrets(text, is_end)))
}

/// An address that the user or a server gave.
pub fn shown_address(address: &str) -> String {
    cut(&escaped(&without_secrets(address)))
}

/// An address that is nothing else, without its secrets and in its whole length.
pub fn without_secrets(address: &str) -> String {
    // Somebody may have left the scheme away.
    let bare = !address.contains("://");
    let host = address.find(['/', '?', '#']).unwrap_or(address.len());
    match address[..host].rfind('@').filter(|_| bare) {
        Some(at) => hide_secrets(&format!("{HIDDEN}{}", &address[at..]), |_| false),
        None => hide_secrets(address, |_| false),
    }
}

/// `text` with control characters and those that cannot be seen written as escapes, `\u{1b}`.
pub fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) || matches!(c, '\u{2028}' | '\u{2029}') {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Takes the secrets out of every address in `text`; an address goes as far as no character
/// `is_end`.
fn hide_secrets(text: &str, is_end: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let is_end_of_host = |c: char| is_end(c) || "/?#".contains(c);
        let host = &after[..after.find(is_end_of_host).unwrap_or(after.len())];
        if let Some(at) = host.rfind('@') {
            shown.push_str(HIDDEN);
            shown.push_str(&host[at..]);
        } else {
            shown.push_str(host);
        }
        let after = &after[host.len()..];
        let path = &after[..after.find(&is_end).unwrap_or(after.len())];
        rest = &after[path.len()..];
        match path.split_once('?') {
            None => shown.push_str(path),
            Some((path, query)) => {
                shown.push_str(path);
                for (number, pair) in query.split('&').enumerate() {
                    shown.push(if number == 0 { '?' } else { '&' });
                    push_pair(pair, &mut shown);
                }
            }
        }
    }
    shown.push_str(rest);
    shown
}

/// `name=value`, or `name=***`.
fn push_pair(pair: &str, shown: &mut String) {
    let name = pair.split('=').next().unwrap_or_default();
    let is_secret = {
        let name = name.to_lowercase();
        SECRET_NAMES.iter().any(|secret| name.contains(secret))
    };
    if is_secret && name.len() < pair.len() {
        shown.push_str(name);
        shown.push('=');
        shown.push_str(HIDDEN);
    } else {
        shown.push_str(pair);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_addresses_are_hidden() {
        let check = |text: &str, expected: &str| assert_eq!(shown_text(text), expected);
        check("https://ann:pa55@hub/m", "https://***@hub/m");
        check(
            "see http://a:b@c@d:80?x=1, or https://e/f",
            "see http://***@d:80?x=1, or https://e/f",
        );
        check("https://hub/m@main", "https://hub/m@main");
        check(
            "'https://s/m?Expires=3&X-Amz-Signature=0a&access_token=b'",
            "'https://s/m?Expires=3&X-Amz-Signature=***&access_token=***'",
        );
        check(
            "https://export.arxiv.org/api/query?search_query=cat:cs.CL&start=0",
            "https://export.arxiv.org/api/query?search_query=cat:cs.CL&start=0",
        );
        assert_eq!(shown_address("ann:pa55@hub:8080/m"), "***@hub:8080/m");
        assert_eq!(shown_address("hub/m@main"), "hub/m@main");
        // In an address that is nothing else, a quotation mark ends nothing.
        let odd = "http://ann:pa'55@hub/m?q='a'&token=b";
        assert_eq!(without_secrets(odd), "http://***@hub/m?q='a'&token=***");
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        let check = |text: &str, expected: &str| assert_eq!(shown_text(text), expected);
        check("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}");
        check("two\r\nlines\tor 文摘", "two\\r\\nlines\\tor 文摘");
        check("\u{202e}gpj.exe\u{9b}", "\\u{202e}gpj.exe\\u{9b}");
    }

    #[test]
    fn long_texts_are_cut() {
        let long = "文".repeat(3 << 20);
        assert_eq!(shown_text(&long).chars().count(), CHARS_MAX + 1);
        assert_eq!(escaped(&long), long);
    }
}
