//! Formulas in titles and abstracts, which stand between dollar signs there.

/// A stretch of text, or of a formula in TeX without its dollar signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Text(&'a str),
    Formula(&'a str),
}

/// Longest formula, in bytes. Between dollar signs that are further apart stands text.
const MAX_BYTES: usize = 400;

/// Cuts `text` at its formulas.
///
/// A formula begins with a `$` before what is no blank, and ends with a `$` behind what is no blank
/// and before what is no digit, so that `$5 and $6` is none. `$$` counts as `$`, and `\$` is text.
pub(crate) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut start, mut from) = (0, 0);
    while let Some(open) = find_dollar(text, from) {
        let inside = open + dollars(&text[open..]);
        match formula_end(text, inside) {
            Some(close) => {
                if start < open {
                    pieces.push(Piece::Text(&text[start..open]));
                }
                pieces.push(Piece::Formula(&text[inside..close]));
                start = close + dollars(&text[close..]);
                from = start;
            }
            None => from = inside,
        }
    }
    if start < text.len() {
        pieces.push(Piece::Text(&text[start..]));
    }
    pieces
}

/// Where the formula that begins at `start` ends, if one does.
fn formula_end(text: &str, start: usize) -> Option<usize> {
    if text[start..].starts_with(|c: char| c.is_whitespace()) {
        return None;
    }
    let close = find_dollar(text, start)?;
    let behind = &text[close + dollars(&text[close..])..];
    let is_digit = |c: char| c.is_ascii_digit();
    let is_one = close > start
        && close - start <= MAX_BYTES
        && !text[..close].ends_with(char::is_whitespace)
        // 5 of `$5 and $6` is a price, not a formula that ends before 6.
        && !(text[start..].starts_with(is_digit) && behind.starts_with(is_digit));
    is_one.then_some(close)
}

/// The next dollar sign that is not escaped.
fn find_dollar(text: &str, from: usize) -> Option<usize> {
    let found = text[from..].match_indices('$').map(|(at, _)| from + at);
    let is_escaped = |at: usize| {
        let before = text[from..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
        before % 2 == 1
    };
    found.into_iter().find(|at| !is_escaped(*at))
}

/// One or two: how many dollar signs `text` begins with.
fn dollars(text: &str) -> usize {
    if text.starts_with("$$") { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_what_dollar_signs_enclose() {
        let check = |text: &str, expected: &[Piece]| assert_eq!(pieces(text), expected, "{text}");
        use Piece::{Formula, Text};
        check("", &[]);
        check("plain", &[Text("plain")]);
        check("$x$", &[Formula("x")]);
        check(
            "at $O(n^2)$, or $$a<b$$.",
            &[Text("at "), Formula("O(n^2)"), Text(", or "), Formula("a<b"), Text(".")],
        );
        check("$5 and $6", &[Text("$5 and $6")]);
        check("$5-$10 a year", &[Text("$5-$10 a year")]);
        check(r"$\sim$10$^{6}$ yr", &[Formula(r"\sim"), Text("10"), Formula("^{6}"), Text(" yr")]);
        check(r"costs \$5, $n$ times", &[Text(r"costs \$5, "), Formula("n"), Text(" times")]);
        check("a $ b $ c", &[Text("a $ b $ c")]);
        check("$", &[Text("$")]);
        check("$$$$", &[Text("$$$$")]);
        check("价 $甲$ 元", &[Text("价 "), Formula("甲"), Text(" 元")]);
        let long = format!("${}$", "x".repeat(MAX_BYTES + 1));
        check(&long, &[Text(&long)]);
    }
}
