//! LaTeX's markup of text, undone for the model: arXiv hands titles and abstracts on as their authors
//! typed them, `\emph{so}`, `95\%` and `R\'enyi`. Mathematics stays as it stands.
//!
//! What is no markup that is known here stays as well, unbalanced braces and commands of a paper's
//! own included: a text is never cut.

mod accents;
mod groups;
mod names;

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use accents::{accent_by_letter, accent_by_mark, accented};
use groups::{argument, formula, without_options};
use names::{ASIDES, CHARACTERS, CITATIONS, DECLARATIONS, LETTERS, SECOND_IS_TEXT, WRAPPERS};

/// `text`, whose white space is folded, without markup, and with each letter and its accent as one character, as
/// models know them (Unicode's NFC).
pub(super) fn without_latex(text: &str) -> String {
    let composed: Cow<'_, str> = match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        _ => Cow::Owned(text.nfc().collect()),
    };
    if !composed.contains(['\\', '{', '~']) && !composed.contains("``") {
        return composed.into_owned();
    }
    super::text::fold(&inside_of(&composed))
}

struct Reader<'a> {
    rest: &'a str,
    plain: String,
    /// Quotation marks that are open: ```` ``so'' ````.
    quotes: usize,
}

impl<'a> Reader<'a> {
    /// Reads what comes next: a character, a command, a group or a formula.
    fn piece(&mut self) {
        let rest = self.rest;
        let c = rest.chars().next().expect("something is left");
        match c {
            '$' => match formula(rest) {
                Some(length) => self.verbatim(length),
                None => self.keep(1),
            },
            '\\' => self.command(),
            '{' => self.group(),
            '~' if self.is_tie() => self.replace(1, " "),
            '`' if rest.starts_with("``") => {
                self.quotes += 1;
                self.replace(2, "\"");
            }
            '\'' if rest.starts_with("''") && self.quotes > 0 => {
                self.quotes -= 1;
                self.replace(2, "\"");
            }
            _ => self.keep(c.len_utf8()),
        }
    }

    /// A tie stands between what it holds together; `~` for "about" and in an address does not.
    fn is_tie(&self) -> bool {
        let mut ahead = self.plain.chars().rev();
        let (before, second) = (ahead.next(), ahead.next());
        let after = self.rest.chars().nth(1);
        match (before, after) {
            // 1%~2% is a range.
            (Some('%' | '$'), Some(after)) => after.is_alphabetic() || "\\$([".contains(after),
            // 79.3~80.2 and 350M~66B are ranges as well, z~2 is about 2, and 40~000 is a number.
            (Some('0'..='9'), Some('0'..='9')) => {
                let digits = self.rest[1..].bytes().take_while(u8::is_ascii_digit).count();
                &self.rest[1..=digits] == "000"
            }
            (Some(before), Some('0'..='9')) if is_quantity(second, before) => false,
            (Some(_), Some('0'..='9')) if names_quantity(self.plain.as_str()) => false,
            (Some(before), Some(after)) => {
                (before.is_alphanumeric() || ".,;:)]}".contains(before))
                    && (after.is_alphanumeric() || "\\$({[".contains(after))
            }
            _ => false,
        }
    }

    /// `{\em so}`, `{\"o}` and `{}` lose their braces, and letters of a word, as in `{A}nomaly`; those of
    /// `{0, 1}` are the text's own.
    fn group(&mut self) {
        let Some(inside) = argument(self.rest) else { return self.keep(1) };
        // Those of an argument (\foo{a}), an index or a power do not.
        let mut before = self.plain.chars().rev().take(LONGEST);
        let stem = before.find(|c| !c.is_ascii_alphabetic());
        let is_argument = stem.is_some_and(|c| matches!(c, '\\' | '_' | '^' | '}'));
        // `sqrt{s}`, of whose command the backslash was lost.
        let letters = self.plain.bytes().rev().take(LONGEST);
        let letters = letters.take_while(u8::is_ascii_alphabetic).count();
        let name = &self.plain[self.plain.len() - letters..];
        let is_of_word = inside.chars().all(char::is_alphabetic)
            && !is_argument
            && !["sqrt", "log", "ln", "exp", "frac", "max", "min"].contains(&name)
            && stem != Some('\'')
            && (self.plain.ends_with(char::is_alphabetic)
                || self.rest[inside.len() + 2..].starts_with(char::is_alphabetic));
        let is_markup = inside.trim().is_empty()
            || inside == ","
            || (inside.starts_with('\\') && !is_argument)
            || is_of_word;
        if is_markup {
            self.replace(inside.len() + 2, &inside_of(inside));
        } else {
            self.replace(inside.len() + 2, &format!("{{{}}}", inside_of(inside)));
        }
    }

    fn command(&mut self) {
        let after = &self.rest[1..];
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        if letters == 0 {
            return self.command_of_a_mark();
        }
        let name = &after[..letters];
        let behind = after[letters..].strip_prefix('*').unwrap_or(&after[letters..]);
        let behind = match CITATIONS.contains(&name) {
            true => without_options(behind),
            false => behind,
        };
        let read = self.rest.len() - behind.len();
        let first = argument(behind);
        let both = |text: &str| text.len() + 2;
        if let Some(mark) = accent_by_letter(name)
            && let Some((length, c)) = accented(behind, mark)
        {
            self.replace(read + length, c.encode_utf8(&mut [0; 4]));
        } else if WRAPPERS.contains(&name)
            && let Some(text) = first
        {
            let is_power =
                name == "textsuperscript" && self.plain.ends_with(|c: char| c.is_ascii_digit());
            let inside = inside_of(text);
            match is_power && inside.parse::<i32>().is_ok() {
                true => self.replace(read + both(text), &format!("^{{{inside}}}")),
                false => self.replace(read + both(text), &inside),
            }
        } else if SECOND_IS_TEXT.contains(&name)
            && let Some(aside) = first
            && let Some(text) = argument(&behind[both(aside)..])
        {
            self.replace(read + both(aside) + both(text), &inside_of(text));
        } else if name == "citet"
            && let Some(key) = first
        {
            self.replace(read + both(key), key);
        } else if ASIDES.contains(&name)
            && let Some(aside) = first
        {
            self.drop(read + both(aside));
        } else if DECLARATIONS.contains(&name) {
            let gap = behind.len() - behind.trim_start().len();
            match argument(&behind[gap..]) {
                Some(text) => self.replace(read + gap + both(text), &inside_of(text)),
                None => self.replace(read + gap, ""),
            }
        } else if let Some(at) = CHARACTERS.iter().position(|(known, _)| *known == name) {
            // The space behind the name of a letter ends the name: \O rsted. That of a unit, 5 \AA in
            // size, is meant.
            let is_unit = self.plain.trim_end().ends_with(|c: char| c.is_ascii_digit() || c == '$')
                || (name == "AA" && !behind.starts_with(" ngstr"));
            let is_ended = at < LETTERS
                && !is_unit
                && behind
                    .strip_prefix(' ')
                    .is_some_and(|next| next.starts_with(char::is_lowercase));
            let end = match behind {
                _ if is_ended => 1,
                _ if behind.starts_with("{}") => 2,
                _ => 0,
            };
            self.replace(read + end, CHARACTERS[at].1);
        } else {
            self.keep(read);
        }
    }

    /// A command whose name is no letter: `\%`, `\'e`, `\,`, `\(`.
    fn command_of_a_mark(&mut self) {
        let Some(c) = self.rest[1..].chars().next() else { return self.keep(1) };
        let behind = &self.rest[1 + c.len_utf8()..];
        if c == '"' && self.is_escaped_quote(behind) {
            return self.replace(2, "\"");
        }
        if c == '\'' && self.is_apostrophe(behind) {
            return self.replace(2, "'");
        }
        if c == '~' && self.plain.ends_with('/') {
            // In an address.
            return self.replace(2, "~");
        }
        if matches!(c, '~' | '^') && behind.starts_with("{}") {
            return self.replace(4, c.encode_utf8(&mut [0; 4]));
        }
        if let Some(mark) = accent_by_mark(c)
            && let Some((length, accented)) = accented(behind, mark)
        {
            return self.replace(2 + length, accented.encode_utf8(&mut [0; 4]));
        }
        match c {
            '%' | '&' | '#' | '_' | '{' | '}' | '$' => self.replace(2, c.encode_utf8(&mut [0; 4])),
            ',' if self.is_in_number(behind) => self.replace(2, ","),
            ' ' | ',' | ';' | ':' | '\\' => self.replace(2, " "),
            '!' | '/' | '-' => self.replace(2, ""),
            '(' | '[' => match formula(self.rest) {
                Some(length) => self.verbatim(length),
                None => self.keep(2),
            },
            _ => self.keep(1),
        }
    }

    /// Whether the quotation mark of a `\"` stands before `behind` because somebody escaped it, as JSON
    /// has it, and is no accent: nothing that could have one follows, or it begins a word and one that
    /// ends a word follows.
    fn is_escaped_quote(&self, behind: &str) -> bool {
        let ends = |behind: &str| {
            !behind.starts_with(|c: char| c.is_ascii_alphabetic() || c == '{' || c == '\\')
        };
        let begins_word = !self.plain.ends_with(char::is_alphanumeric);
        let mut others = behind.match_indices("\\\"").map(|(at, mark)| &behind[at + mark.len()..]);
        ends(behind) || (begins_word && others.next().is_some_and(ends))
    }

    /// Whether the mark of a `\'` before `behind` is an apostrophe that somebody escaped: `it\'s`.
    fn is_apostrophe(&self, behind: &str) -> bool {
        let is_letter = |c: char| c.is_alphabetic();
        let is_s = behind.strip_prefix('s').is_some_and(|rest| !rest.starts_with(is_letter));
        self.plain.ends_with(is_letter) && (is_s || behind.starts_with(' '))
    }

    /// Whether what comes next stands between a digit and three more, as in `10\,000`.
    fn is_in_number(&self, behind: &str) -> bool {
        let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
        digits == 3 && self.plain.ends_with(|c: char| c.is_ascii_digit())
    }

    fn keep(&mut self, length: usize) {
        let (kept, rest) = self.rest.split_at(length);
        self.plain.push_str(kept);
        self.rest = rest;
    }

    fn replace(&mut self, length: usize, text: &str) {
        self.plain.push_str(text);
        self.rest = &self.rest[length..];
    }

    /// Leaves out an aside and the gap before it, where punctuation or another gap follows.
    fn drop(&mut self, length: usize) {
        self.rest = &self.rest[length..];
        if self.rest.is_empty() || self.rest.starts_with([' ', '.', ',', ';', ':', ')']) {
            self.plain.truncate(self.plain.trim_end().len());
        }
    }

    /// A formula; only the braces that keep a comma of thousands close go.
    fn verbatim(&mut self, length: usize) {
        let (formula, rest) = self.rest.split_at(length);
        self.plain.push_str(&formula.replace("{,}", ","));
        self.rest = rest;
    }
}

/// `text` without markup, its white space as it comes.
fn inside_of(text: &str) -> String {
    let mut reader = Reader { rest: text, plain: String::with_capacity(text.len()), quotes: 0 };
    while !reader.rest.is_empty() {
        reader.piece();
    }
    reader.plain
}

/// More characters than the name of a command or of a quantity has.
const LONGEST: usize = 40;

/// Whether a letter is a number's unit (350M) or a variable that stands by itself (z), by the character
/// that stands before it.
fn is_quantity(before: Option<char>, letter: char) -> bool {
    letter.is_alphabetic()
        && match before {
            Some('0'..='9') => true,
            Some(before) if !before.is_whitespace() && before != '(' => false,
            _ => !matches!(letter, 'a' | 'A'),
        }
}

/// Whether the last word of `plain` is the name of a quantity: `N_H`, `S/N`, `kT` or `SNR`, and no `Theorem`.
fn names_quantity(plain: &str) -> bool {
    let is_end = |c: &char| c.is_whitespace() || "($,".contains(*c);
    let word = plain.chars().rev().take(LONGEST).take_while(|c| !is_end(c));
    let word = &plain[plain.len() - word.map(char::len_utf8).sum::<usize>()..];
    let is_pair = |word: &str| {
        let mut letters = word.chars();
        word.len() == 2
            && letters.next().is_some_and(|c| c.is_ascii_lowercase())
            && letters.next().is_some_and(|c| c.is_ascii_uppercase())
    };
    word.contains(['_', '/']) || word == "SNR" || is_pair(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(without_latex(text), expected, "{text}");
        assert_eq!(without_latex(expected), expected, "again: {expected}");
    }

    #[test]
    fn accents_become_letters() {
        check("e\u{301} of Erdo\u{30b}s", "é of Erdős");
        check(
            r#"R\'enyi, Poincar\'{e}, Schr\"odinger and {\"O}rebro"#,
            "Rényi, Poincaré, Schrödinger and Örebro",
        );
        check(
            r"Monge-Amp\`ere, It\^o, Mart\'{\i}nez, Nu\~nez",
            "Monge-Ampère, Itô, Martínez, Nuñez",
        );
        check(r"Erd\H{o}s, \v{C}ech, Bo\c cek, c\`adl\`ag", "Erdős, Čech, Boçek, càdlàg");
        check(
            r"{\L}ojasiewicz, \O rsted, \L ukasiewicz, \AA{} and \deg C, Stra\ss{}e, 38{\deg}C",
            "Łojasiewicz, Ørsted, Łukasiewicz, Å and ° C, Straße, 38°C",
        );
        check(r#"5007 \AA emission, \AA ngstr\"om, \AA in"#, "5007 Å emission, Ångström, Å in");
        check(
            r#"Mart\'\i nez, na\"\i ve, it\'s the authors\' work"#,
            "Martínez, naïve, it's the authors' work",
        );
        check(r"Nguy\~{\^e}n and Vi\d{\^e}t", "Nguyễn and Việt");
    }

    #[test]
    fn markup_goes_and_its_text_stays() {
        check(
            r"We \emph{do}, {\em really}, \textbf{H}yper\textit{\textsc{b}olic}.",
            "We do, really, Hyperbolic.",
        );
        check(r"a {\it{cdf}} and {\color{black} this}", "a cdf and this");
        check(
            r"\textcolor{black}{In it} see \href{https://x.org/~a}{here} or \url{https://y.org}",
            "In it see here or https://y.org",
        );
        check(
            r"95\% of R\&D, simple\_spread, \$0.35, 11.8\,KB, data\-base",
            "95% of R&D, simple_spread, $0.35, 11.8 KB, database",
        );
        check(
            r"10\,000 stars, 10\textsuperscript{6} and 10\textsuperscript{-9}",
            "10,000 stars, 10^{6} and 10^{-9}",
        );
        check(r"x\textsuperscript{2}, 2\textsuperscript{nd}", "x2, 2nd");
        check("the ``so-called'' one's ''", "the \"so-called\" one's ''");
        check(
            r"{\epsilon}-optimal \ldots 3{,}011 and {0, 1} and {}",
            "ε-optimal … 3,011 and {0, 1} and",
        );
    }

    #[test]
    fn escaped_quotes_are_no_accents_and_letters_of_a_word_need_no_braces() {
        check(
            r#"The \"attention\" mechanism of G\"odel and \"Orebro, said \"so.\""#,
            "The \"attention\" mechanism of Gödel and Örebro, said \"so.\"",
        );
        check("{T}ransparent {A}nomaly Bi{LSTM} of {a, b}", "Transparent Anomaly BiLSTM of {a, b}");
        check(r"\frac{\alpha}{\beta}=e^{\alpha x}", r"\frac{α}{β}=e^{α x}");
        for text in [
            r"\mathcal{O}(n)",
            r"\frac{a}{b}+\sqrt{n}c",
            "SU(3)_{c}xSU(2)",
            "10^{a}b",
            r"\ac{GAM}s",
        ] {
            assert_eq!(without_latex(text), text);
        }
    }

    #[test]
    fn asides_leave_no_gap() {
        check(r"due to Mualem \& Feldman~\cite{a2023} shows", "due to Mualem & Feldman shows");
        check(r"gradients \cite{b,c}, and more~\citep{d}.", "gradients, and more.");
        check(r"by \cite[Theorem 1]{x} and (\citep[e.g.][p. 3]{y}).", "by and ().");
        check(
            r"the result of \citet{gold:62} in time\footnote{We use $x$.}",
            "the result of gold:62 in time",
        );
    }

    #[test]
    fn a_tie_is_a_space_and_about_is_not() {
        check(
            "Claude Fable~5 of ~2.7 (~4.4), Sec.~$3$ at x.edu/~me",
            "Claude Fable 5 of ~2.7 (~4.4), Sec. $3$ at x.edu/~me",
        );
        check(
            r"at $13$~TeV, 95\%~CL, shown in~[12], http://x.edu/\~me, 10\^{}6 and \~{}5",
            "at $13$ TeV, 95% CL, shown in [12], http://x.edu/~me, 10^6 and ~5",
        );
        check("(0.01%~1%) of $z$~2", "(0.01%~1%) of $z$~2");
        let quantities = "N_H~1, S/N~100, kT~0.2, SNR~10";
        check(quantities, quantities);
        let braces = "at sqrt{s}=13 TeV in O(n log{n})";
        check(braces, braces);
        let ranges = "79.3~80.2%, 350M~66B, z~2, (N~100), 5~10, 1~1000, 10~100";
        check(ranges, ranges);
        check(
            "40~000 of Table~5, Eq.~3, 5~km, 7B~models",
            "40 000 of Table 5, Eq. 3, 5 km, 7B models",
        );
    }

    #[test]
    fn mathematics_and_what_is_unknown_stay() {
        for text in [
            r"at most $\textbf{x}\,\{~\}$ and $$\alpha$$ or \(n\emph{x}\)",
            r"our \foo{bar {baz} costs $5",
            r"a lone \@ and } and {open and \emph open and \'",
        ] {
            assert_eq!(without_latex(text), text);
        }
        check(r"our \methodname{} is", r"our \methodname is");
        check(r"\(1{,}183\) of $1{,}126$", r"\(1,183\) of $1,126$");
    }

    #[test]
    fn what_is_nested_or_open_without_end_stays_and_takes_no_time() {
        const TIMES: usize = 100_000;
        let nested = format!("{}a{}", "{".repeat(TIMES), "}".repeat(TIMES));
        for text in [nested, r"\emph{".repeat(TIMES), r"\(".repeat(TIMES), r"\[\(".repeat(TIMES)] {
            assert_eq!(without_latex(&text), text);
        }
        let letters = format!("b{}", "{a}".repeat(TIMES));
        assert_eq!(without_latex(&letters), format!("b{}", "a".repeat(TIMES)));
        assert_eq!(without_latex(&"\\\"a ".repeat(TIMES)).chars().count(), 2 * TIMES - 1);
        let about = format!("_{}", "~1_".repeat(TIMES));
        assert_eq!(without_latex(&about), about);
    }
}
