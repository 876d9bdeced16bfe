//! Letters with accents.

use unicode_normalization::UnicodeNormalization;

use super::groups::argument;

/// Length of the letter that `text` begins with, in braces or not, and that letter with an accent; it
/// may have one already.
pub(super) fn accented(text: &str, mark: char) -> Option<(usize, char)> {
    let letter = |text: &str| match text.trim() {
        "\\i" => Some('i'),
        "\\j" => Some('j'),
        text if text.starts_with('\\') => {
            let c = text[1..].chars().next()?;
            let mark = accent_by_mark(c)?;
            let (length, letter) = accented_once(&text[2..], mark)?;
            (length == text.len() - 2).then_some(letter)
        }
        text => {
            let mut chars = text.chars();
            chars.next().filter(|c| c.is_ascii_alphabetic() && chars.next().is_none())
        }
    };
    let (length, base) = match argument(text) {
        Some(inside) => (inside.len() + 2, letter(inside)?),
        None => {
            let gap = text.len() - text.trim_start().len();
            let bytes = if text[gap..].starts_with('\\') { 2 } else { 1 };
            let base = letter(text.get(gap..gap + bytes)?)?;
            // The space behind \i ends the name.
            let is_ended = bytes == 2
                && text[gap + bytes..]
                    .strip_prefix(' ')
                    .is_some_and(|next| next.starts_with(char::is_lowercase));
            (gap + bytes + usize::from(is_ended), base)
        }
    };
    Some((length, with_mark(base, mark)?))
}

/// Length of the plain letter that `text` begins with, and that letter with an accent.
fn accented_once(text: &str, mark: char) -> Option<(usize, char)> {
    let (length, inside) = match argument(text) {
        Some(inside) => (inside.len() + 2, inside),
        None => (1, text.get(..1)?),
    };
    let mut chars = inside.trim().chars();
    let base = chars.next().filter(|c| c.is_ascii_alphabetic() && chars.next().is_none())?;
    Some((length, with_mark(base, mark)?))
}

/// The character that `letter` and a combining mark make, where there is one.
fn with_mark(letter: char, mark: char) -> Option<char> {
    let mut composed = [letter, mark].into_iter().nfc();
    let first = composed.next();
    first.filter(|_| composed.next().is_none())
}

pub(super) fn accent_by_mark(c: char) -> Option<char> {
    Some(match c {
        '`' => '\u{300}',
        '\'' => '\u{301}',
        '^' => '\u{302}',
        '~' => '\u{303}',
        '=' => '\u{304}',
        '.' => '\u{307}',
        '"' => '\u{308}',
        _ => return None,
    })
}

pub(super) fn accent_by_letter(name: &str) -> Option<char> {
    Some(match name {
        "u" => '\u{306}',
        "r" => '\u{30a}',
        "H" => '\u{30b}',
        "v" => '\u{30c}',
        "d" => '\u{323}',
        "c" => '\u{327}',
        "k" => '\u{328}',
        _ => return None,
    })
}
