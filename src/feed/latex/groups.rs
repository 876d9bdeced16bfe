//! Arguments, options and formulas: how far each reaches.

/// Deepest nesting of braces that is looked into.
const DEEPEST: usize = 16;

/// What stands in the braces that `text` begins with, unless braces are nested deeper than anybody
/// writes: each level is read by itself.
pub(super) fn argument(text: &str) -> Option<&str> {
    let mut depth = 0usize;
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return (at > 0).then(|| &text[1..at]);
        }
        if depth > DEEPEST {
            return None;
        }
    }
    None
}

/// Length of the formula that `text` begins with, delimiters included. None begins in another, so
/// that of many that are never closed each is read up to the next.
pub(super) fn formula(text: &str) -> Option<usize> {
    const DELIMITERS: [(&str, &str); 4] =
        [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")];
    let (open, close) = DELIMITERS.iter().find(|(open, _)| text.starts_with(open))?;
    let mut at = open.len();
    loop {
        let rest = &text[at..];
        if rest.starts_with(close) {
            return (at > open.len()).then_some(at + close.len());
        }
        if open.starts_with('\\') && (rest.starts_with("\\(") || rest.starts_with("\\[")) {
            return None;
        }
        let mut chars = rest.chars();
        at += chars.next()?.len_utf8();
        if rest.starts_with('\\') {
            at += chars.next()?.len_utf8();
        }
    }
}

/// `text` without the options in brackets that it begins with: `[Theorem 1]`.
pub(super) fn without_options(text: &str) -> &str {
    const MOST: usize = 2;
    let mut rest = text;
    for _ in 0..MOST {
        let end = rest.strip_prefix('[').and_then(|inside| inside.find([']', '[', '{']));
        match end.map(|end| &rest[end + 1..]) {
            Some(behind) if behind.starts_with(']') => rest = &behind[1..],
            _ => break,
        }
    }
    rest
}
