//! What arXiv's feeds do to text, undone: white space, entities and tags. Pure functions from text to text.

use crate::paper::split_boilerplate;

/// Every run of white space and control characters becomes one space, the ends are trimmed.
pub(super) fn fold(text: &str) -> String {
    let is_gap = |c: char| c.is_whitespace() || c.is_control();
    let words: Vec<&str> = text.split(is_gap).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// [`fold`] for an abstract as the digest shows it: the boilerplate keeps the two spaces that
/// stand for its ` \n`, since the public digest has them: `Announce Type: new  Abstract: …`.
pub(super) fn fold_shown(text: &str) -> String {
    let folded = fold(text);
    let Some((_, body)) = split_boilerplate(&folded) else { return folded };
    let Some(label) = folded[..folded.len() - body.len()].rfind("Abstract:") else { return folded };
    let written = text.find("Abstract:").map(|at| &text[..at]).unwrap_or_default();
    let gap = written.chars().rev().take_while(|c| c.is_whitespace()).count();
    if gap < 2 {
        return folded;
    }
    format!("{} {}", &folded[..label], &folded[label..])
}

/// Splits a list of authors at its commas; affiliations, in parentheses, are dropped.
pub(super) fn authors(list: &str) -> Vec<String> {
    without_parentheses(list).split(',').map(fold).filter(|name| !name.is_empty()).collect()
}

/// Drops what stands in balanced parentheses; one that is never closed is text.
pub(super) fn without_parentheses(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut open = Vec::new();
    for c in text.chars() {
        kept.push(c);
        match c {
            '(' => open.push(kept.len() - 1),
            ')' => {
                if let Some(start) = open.pop() {
                    kept.truncate(start);
                }
            }
            _ => {}
        }
    }
    kept
}

/// Replaces the entities of XML, a no-break space, and characters named by number; once, so that
/// `&amp;lt;` becomes `&lt;`. What is no entity stays as it is, and nothing else is ever expanded.
pub(super) fn unescape(text: &str) -> String {
    /// `#x10FFFF`, and a few leading zeros.
    const LONGEST_NAME: usize = 12;
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let end = after.bytes().take(LONGEST_NAME).position(|b| b == b';');
        match end.and_then(|end| Some((character(&after[..end])?, &after[end + 1..]))) {
            Some((c, after)) => {
                plain.push(c);
                rest = after;
            }
            None => {
                plain.push('&');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// Drops the tags of HTML that feeds put into text. `<` that opens none of them stays: abstracts
/// have `$a<b$`.
pub(super) fn without_tags(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = tag_length(rest);
        if length == 0 {
            plain.push('<');
        }
        rest = &rest[length.max(1)..];
    }
    plain.push_str(rest);
    plain
}

fn character(entity: &str) -> Option<char> {
    Some(match entity {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        _ => {
            let number = entity.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            return code.ok().and_then(char::from_u32);
        }
    })
}

/// Length in bytes of the tag that `text` begins with, 0 where it begins with none. Beyond its
/// name a tag has attributes with values; `<b and c>` is mathematics.
fn tag_length(text: &str) -> usize {
    /// An author's link has 80 bytes.
    const LONGEST_TAG: usize = 1024;
    const TAGS: [&str; 11] =
        ["p", "a", "br", "i", "b", "em", "strong", "sub", "sup", "span", "div"];
    let Some(end) = text.bytes().take(LONGEST_TAG).position(|b| b == b'>') else { return 0 };
    let inside = text[1..end].trim_end_matches('/').trim_end();
    let inside = inside.strip_prefix('/').unwrap_or(inside);
    let (name, attributes) = inside.split_once(char::is_whitespace).unwrap_or((inside, "="));
    if TAGS.contains(&name) && attributes.contains('=') { end + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_abstracts_keep_the_two_spaces_of_the_boilerplate() {
        let check = |text: &str, expected: &str| assert_eq!(fold_shown(text), expected);
        let two = "arXiv:2699.00001v1 Announce Type: new  Abstract: A b.";
        check("arXiv:2699.00001v1 Announce Type: new \nAbstract: A\n  b.\n", two);
        check(two, two);
        let one = "arXiv:2699.00001v1 Announce Type: new Abstract: A b.";
        check("arXiv:2699.00001v1 Announce Type: new\nAbstract: A b.", one);
        check("  An  Abstract:\n\tnot theirs\u{1b}. ", "An Abstract: not theirs .");
    }

    #[test]
    fn author_lists_split_outside_parentheses() {
        #[track_caller]
        fn check(list: &str, expected: &[&str]) {
            assert_eq!(authors(list), expected, "{list}");
        }
        check("Ada Li, Bo Ek", &["Ada Li", "Bo Ek"]);
        check("Ada Li (1, 2), Bo Ek (ETH (Zurich), CERN)\n, C", &["Ada Li", "Bo Ek", "C"]);
        check("Andr\\'e X (a, B", &["Andr\\'e X (a", "B"]);
        check(" , ", &[]);
    }

    #[test]
    fn entities_and_tags_are_undone_once() {
        assert_eq!(unescape("a&amp;lt;b &#x3c0;&#960; &nope; AT&T &"), "a&lt;b ππ &nope; AT&T &");
        assert_eq!(unescape("&#xD800; &摘要摘要;"), "&#xD800; &摘要摘要;");
        assert_eq!(
            without_tags("<p>a<b and c>d <a href=\"x\">e</a><br/>\n</p>"),
            "a<b and c>d e\n"
        );
    }
}
