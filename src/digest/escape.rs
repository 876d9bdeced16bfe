//! Any text into Markdown that shows this text and nothing else.
//!
//! Titles and abstracts come from feeds and from a language model; neither is trusted. Escaping
//! every punctuation character would be safe and unreadable, and would differ from the public
//! digest's format on plain text. So a character is escaped only where it could act:
//!
//! | character | could be | is escaped where | as |
//! |---|---|---|---|
//! | `<` | HTML, autolink | not before a space, a digit or `=`, unless an address with `@` follows | `&lt;` |
//! | `&` | entity | an entity's form follows | `&amp;` |
//! | `` ` `` | code | always (TeX quotes come in pairs) | `` \` `` |
//! | `*` `_` `~` | emphasis | a pair could form in this text, by CommonMark's flanking rules | `\*` |
//! | `[` | footnote, wiki link | before `^` or `[`, after `^`, at the start; always in link texts | `\[` |
//! | `]` | link, image | before `(` or `[`; always in link texts | `\]` |
//! | `\|` | cell border | in cells | `&#124;` |
//! | `\` | escape | before a character that is escaped, and at the end | `\\` |
//! | `#` `>` `-` `+` `:` `=` `1.` | block | at the start, with what makes them one | `\#` |
//! | `javascript:…` | link definition | behind `[^1]:`, if nothing follows but a title | `… &#32;` |
//!
//! `<`, `&` and `\|` become entities, since parsers that are older than CommonMark know no
//! backslash before the first two, and differ about `\\|` inside of tables. TeX stays readable:
//! `$x_1 < \frac{a}{b}$` is left as it is. Line breaks and control characters become spaces and
//! invisible characters go, so that a text is always one line and never leaves its block.
//!
//! A parser that knows no footnotes reads `[^1]: 数羊` as the definition of a link, to which the
//! table's `[^1]` then leads. The format is as it is, and a title leads nowhere: it is a page that
//! is not there, beside the digest. But a title can be written to lead elsewhere; it gets a last
//! space that is shown as nothing and is neither an address nor a link's title.
//!
//! Some parsers make links of bare `http` addresses, with the backslashes that stand in them: what acts there is
//! percent-encoded (RFC 3986, section 2.1), so that they lead where they say.
//!
//! Left out: what only one site does (`@names`, `#123` inside of a text, `:emoji:`). `_` and `*` of two formulas
//! that would pair get their backslash as elsewhere, which a reader that sets formulas then shows, and a reader
//! without formulas shows no backslash before a mark (`\\{0\\}`).

use super::line::{one_line, web_address};

/// Text that stands in a paragraph of its own.
pub(super) fn paragraph(text: &str) -> String {
    let text = one_line(text);
    let escaped = inline(&text, Context { in_cell: false, in_link: false });
    match block_marker(&text) {
        // What comes before the marker's last character are digits, which are never escaped.
        Some(at) if escaped.as_bytes().get(at) == text.as_bytes().get(at) => {
            format!("{}\\{}", &escaped[..at], &escaped[at..])
        }
        _ => escaped,
    }
}

/// Text behind the label of a footnote, which is no address where footnotes are not known.
pub(super) fn footnote_start(text: &str) -> String {
    let escaped = paragraph(text);
    if leads_elsewhere(&one_line(text)) { format!("{escaped} &#32;") } else { escaped }
}

/// Whether `text`, as the definition of a link, leads away from the page that it is on: to another
/// host or to whatever a scheme stands for. Browsers take a backslash at the start for a slash;
/// elsewhere it is no part of the address, since most of them go when it is read.
fn leads_elsewhere(text: &str) -> bool {
    let starts_with_backslash = text.starts_with('\\');
    let text = text.replace('\\', "");
    let (address, title) = text.split_once(' ').unwrap_or((&text, ""));
    let title = title.trim();
    let is_title = title.is_empty()
        || [('"', '"'), ('\'', '\''), ('(', ')')]
            .iter()
            .any(|(open, close)| title.starts_with(*open) && title.ends_with(*close));
    let scheme = address.split_once(':').map(|(scheme, _)| scheme);
    let has_scheme = scheme.is_some_and(|scheme| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    // Between angle brackets an address may have blanks.
    text.starts_with('<') && text.contains('>')
        || is_title && (has_scheme || starts_with_backslash || address.starts_with('/'))
}

/// Text in a cell of a table.
pub(super) fn cell(text: &str) -> String {
    inline(&one_line(text), Context { in_cell: true, in_link: false })
}

/// A link in a cell, or its text alone where `link` is not one that a reader may follow.
pub(super) fn cell_link(text: &str, link: &str) -> String {
    match web_address(link) {
        Some(address) => {
            let text = inline(&one_line(text), Context { in_cell: true, in_link: true });
            format!("[{text}]({})", destination(&address))
        }
        None => cell(text),
    }
}

/// A link that shows its address, or what stands in its place as text.
pub(super) fn paragraph_link(link: &str) -> String {
    match web_address(link) {
        Some(address) => {
            let text = inline(&address, Context { in_cell: false, in_link: true });
            format!("[{text}]({})", destination(&address))
        }
        None => paragraph(link),
    }
}

/// `address` as the destination of a link: an entity's form in it would be read as one.
fn destination(address: &str) -> String {
    address.replace('&', "&amp;")
}

#[derive(Clone, Copy)]
struct Context {
    in_cell: bool,
    in_link: bool,
}

fn inline(text: &str, context: Context) -> String {
    let chars: Vec<char> = text.chars().collect();
    let acting = acting(&chars, context);
    let in_address = in_addresses(&chars);
    let mut out = String::with_capacity(text.len() + 16);
    for (at, (&c, acts)) in chars.iter().zip(acting).enumerate() {
        match c {
            _ if !acts => out.push(c),
            '_' | '*' | '`' | '|' | '~' if in_address[at] && !context.in_link => {
                out.push_str(&format!("%{:02X}", u32::from(c)));
            }
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '|' => out.push_str("&#124;"),
            '^' => out.push_str("&#94;"),
            _ => out.extend(['\\', c]),
        }
    }
    out
}

/// Which characters stand within a bare address: before its last letter or digit.
fn in_addresses(chars: &[char]) -> Vec<bool> {
    let mut within = vec![false; chars.len()];
    let begins = |at: usize| {
        let is_word = at > 0 && chars[at - 1].is_alphanumeric();
        let starts = |start: &str| start.chars().eq(chars[at..].iter().copied().take(start.len()));
        !is_word && ["http://", "https://", "www."].into_iter().any(starts)
    };
    let mut at = 0;
    while at < chars.len() {
        if !begins(at) {
            at += 1;
            continue;
        }
        // A formula behind it is none of it.
        let is_part = |c: &&char| c.is_ascii_graphic() && !"<>\"$".contains(**c);
        let address = &chars[at..][..chars[at..].iter().take_while(is_part).count()];
        let length = address.iter().rposition(|c| c.is_alphanumeric()).unwrap_or(0);
        within[at..at + length].fill(true);
        at += address.len();
    }
    within
}

/// Which characters could be more than themselves.
fn acting(chars: &[char], context: Context) -> Vec<bool> {
    let mut acts = vec![false; chars.len()];
    for mark in ['*', '_', '~'] {
        mark_pairs(chars, mark, &mut acts);
    }
    // From the end, since a backslash acts where the character behind it does.
    for at in (0..chars.len()).rev() {
        let before = at.checked_sub(1).map(|before| chars[before]);
        let next = chars.get(at + 1).copied();
        acts[at] |= match chars[at] {
            '\\' => acts.get(at + 1).copied().unwrap_or(true),
            '<' => {
                next.is_some_and(|c| !(c.is_whitespace() || c.is_ascii_digit() || c == '='))
                    || holds_mail_address(&chars[at + 1..])
            }
            '&' => starts_entity(&chars[at + 1..]),
            '`' => true,
            '|' => context.in_cell,
            // `[^1]` is a footnote.
            '^' => context.in_link && at == 0,
            '[' => {
                let footnote = before == Some('^') || matches!(next, Some('^' | '['));
                context.in_link || footnote || at == 0
            }
            ']' => context.in_link || matches!(next, Some('(' | '[')),
            _ => false,
        };
    }
    acts
}

/// Whether an address of mail and the `>` of an autolink follow; such an address may begin with any
/// character. None is longer than its two parts may be (RFC 5321, chapter 4.5.3.1).
fn holds_mail_address(rest: &[char]) -> bool {
    const LONGEST: usize = 64 + 1 + 255;
    let rest = &rest[..rest.len().min(LONGEST + 1)];
    let length = rest.iter().take_while(|c| !c.is_whitespace() && !"<>".contains(**c)).count();
    rest.get(length) == Some(&'>') && rest[..length].contains(&'@')
}

fn starts_entity(rest: &[char]) -> bool {
    let name = rest.iter().take_while(|c| c.is_ascii_alphanumeric() || **c == '#').count();
    name > 0 && rest.get(name) == Some(&';')
}

/// Marks every run of `mark` that could be a side of a pair, if there is a pair at all.
fn mark_pairs(chars: &[char], mark: char, acts: &mut [bool]) {
    let forms_pair = {
        let mut runs = runs_of(chars, mark);
        runs.any(|run| can_open(chars, &run)) && runs.any(|run| can_close(chars, &run))
    };
    if forms_pair {
        for run in runs_of(chars, mark) {
            if can_open(chars, &run) || can_close(chars, &run) {
                acts[run].fill(true);
            }
        }
    }
}

type Run = std::ops::Range<usize>;

fn runs_of(chars: &[char], mark: char) -> impl Iterator<Item = Run> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + chars[at..].iter().position(|c| *c == mark)?;
        at = start + chars[start..].iter().take_while(|c| **c == mark).count();
        Some(start..at)
    })
}

/// CommonMark's left-flanking, and for `_` not inside of a word. Strikethrough (`~~`) is no part of
/// CommonMark, and parsers let it begin and end next to more than emphasis.
fn can_open(chars: &[char], run: &Run) -> bool {
    let (before, after) = (before(chars, run), after(chars, run));
    let flanking = flanks(before, after);
    match chars[run.start] {
        '_' => flanking && !is_word(before),
        '~' => flanking || run.len() > 1,
        _ => flanking,
    }
}

/// CommonMark's right-flanking: the mirror image of [`can_open`].
fn can_close(chars: &[char], run: &Run) -> bool {
    let (before, after) = (before(chars, run), after(chars, run));
    let flanking = flanks(after, before);
    match chars[run.start] {
        '_' => flanking && !is_word(after),
        '~' => flanking || run.len() > 1,
        _ => flanking,
    }
}

/// Whether a run between `outer` and `inner` leans on `inner`. Beyond ASCII, parsers differ about
/// what is punctuation; such a character counts as whichever lets the run act.
fn flanks(outer: char, inner: char) -> bool {
    !inner.is_whitespace() && (!inner.is_ascii_punctuation() || !is_word(outer))
}

/// Whether no parser takes `c` for punctuation. Letters in circles and squares are symbols.
fn is_word(c: char) -> bool {
    let encircled = matches!(c, '\u{24b6}'..='\u{24e9}' | '\u{1f100}'..='\u{1f1ff}');
    c.is_alphanumeric() && !encircled
}

/// The ends of a text count as white space.
fn before(chars: &[char], run: &Run) -> char {
    run.start.checked_sub(1).map_or(' ', |at| chars[at])
}

fn after(chars: &[char], run: &Run) -> char {
    chars.get(run.end).copied().unwrap_or(' ')
}

/// The byte offset of the character that makes the start of `text` the start of a block.
fn block_marker(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    let ends_word = |at: usize| text[at..].chars().next().is_none_or(char::is_whitespace);
    let is_rule = || text.chars().all(|c| c == first || c.is_whitespace());
    match first {
        // Parsers that are older than CommonMark need no blank behind `#`.
        '#' | '>' | '=' | '~' | ':' => Some(0),
        '-' | '+' | '*' => (ends_word(1) || is_rule()).then_some(0),
        '_' => is_rule().then_some(0),
        '0'..='9' => {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            let marker = text[digits..].starts_with(['.', ')']);
            (marker && ends_word(digits + 1)).then_some(digits)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_plain_text_and_tex_alone() {
        for text in [
            "arXiv:2403.02839v1 Announce Type: new  Abstract: a form of \"collapse.\" (i.e., so)",
            "Language Models. (arXiv:2401.08491v2 [cs.CL] UPDATED)",
            "$x_1 < \\frac{a}{b}$ and $O(n^2)$, p < 0.05, a_b_c, 2 * 3, AT&T, A* search",
            "-1 degrees, #1 of 3, 3.5 points, 1.5) and C++ / C#, <5 at a@b.org>",
        ] {
            assert_eq!(paragraph(text), text);
        }
    }

    #[test]
    fn escapes_what_would_act() {
        let check = |text: &str, expected: &str| assert_eq!(paragraph(text), expected);
        check("<b>x</b> & &lt; &#60;", "&lt;b>x&lt;/b> & &amp;lt; &amp;#60;");
        check("``a'' and `b`", "\\`\\`a'' and \\`b\\`");
        check("*a* and **b**", "\\*a\\* and \\*\\*b\\*\\*");
        check("_a_ but a_b", "\\_a\\_ but a_b");
        check("<1@b.org> <=a@b> x <2", "&lt;1@b.org> &lt;=a@b> x <2");
        check("see [x](javascript:y)", "see [x\\](javascript:y)");
        check("see [^1] and [[x]]", "see \\[^1] and \\[[x]]");
        check("![x](y)", "![x\\](y)");
        check("\\`x\\", "\\\\\\`x\\\\");
        // Parsers that make links of bare addresses keep backslashes in them.
        check("www.x.org/$_a_$", "www.x.org/$\\_a\\_$");
        check(
            "https://x.org/foo/_bar, $Y_{m}$ and (www.y.org/*a*b_)",
            "https://x.org/foo/%5Fbar, $Y\\_{m}$ and (www.y.org/%2Aa%2Ab\\_)",
        );
        check("a\nb\u{202e}c\u{200b}d\r\n\u{2028}e", "a bcd   e");
    }

    #[test]
    fn escapes_what_would_start_a_block() {
        let check = |text: &str, expected: &str| assert_eq!(paragraph(text), expected);
        check("# a", "\\# a");
        check("#123", "\\#123");
        check("- a", "\\- a");
        check("1. a", "1\\. a");
        check("12) a", "12\\) a");
        check("> a", "\\> a");
        check("---", "\\---");
        check("[^1]: a", "\\[^1]: a");
        check("[a]: http://b", "\\[a]: http://b");
        check("* a", "\\* a");
        check("~~~", "\\~~~");
        check("    a", "a");
    }

    #[test]
    fn no_title_defines_a_link_that_leads_elsewhere() {
        for text in [
            "javascript:alert(1)",
            "java\\script\\:alert(1)",
            "data:text/html,x 'a title'",
            "http://x.org (a)",
            "//x.org",
            "\\/\\/x.org",
            "\\\\x.org",
            "\\//x.org",
            "< javascript:a> b",
            "Maze:a",
        ] {
            assert_eq!(footnote_start(text), format!("{} &#32;", paragraph(text)), "{text}");
        }
        for text in ["数羊", "RuleMaze: 迷宫", "LOT：排序", "词:句", "a/b", "A: (b) c", "< 5 GeV"]
        {
            assert_eq!(footnote_start(text), paragraph(text), "{text}");
        }
    }

    #[test]
    fn takes_long_runs_in_its_stride() {
        let run = "\\".repeat(200_000);
        assert_eq!(paragraph(&run).len(), 2 * run.len());
        let run = "*".repeat(200_000);
        assert_eq!(paragraph(&run).len(), run.len() + 1);
    }

    #[test]
    fn links_only_to_the_web() {
        let check = |text: &str, link: &str, expected: &str| {
            assert_eq!(cell_link(text, link), expected);
        };
        check("a", "http://x.org/a", "[a](http://x.org/a)");
        check(
            "a|b]",
            "HTTPS://x.org/(a b)?c&d",
            "[a&#124;b\\]](https://x.org/%28a%20b%29?c&amp;d)",
        );
        check("^1 and ^2", "http://x.org/a", "[&#94;1 and ^2](http://x.org/a)");
        check("a", "javascript:alert(1)", "a");
        check("a", "", "a");
        check("a\\", "http://数", "[a\\\\](http://%E6%95%B0)");
        assert_eq!(
            paragraph_link("https://x.org/a&b=(c)"),
            "[https://x.org/a&b=%28c%29](https://x.org/a&amp;b=%28c%29)"
        );
        assert_eq!(paragraph_link("data:text/html,<b>"), "data:text/html,&lt;b>");
    }
}
