//! Ends of sentences: where an abstract may be cut, and whether a summary is finished.

/// Abbreviations that end in a full stop without ending a sentence, in lower case, and without
/// that stop. `etc` is not here: with a capital after it, it mostly does end one.
const ABBREVIATIONS: [&str; 36] = [
    "al", "approx", "art", "cf", "ch", "def", "dr", "e.g", "eq", "eqn", "eqns", "eqs", "fig",
    "figs", "i.e", "i.i.d", "jr", "lem", "mr", "mrs", "ms", "no", "nos", "p", "pp", "prof", "prop",
    "ref", "refs", "resp", "sec", "sect", "st", "tab", "thm", "vs",
];

/// Cuts `text` where it does not fit: after as many whole sentences as do.
///
/// `fits` tells whether a beginning of `text` fits; it must not refuse a text and accept a
/// longer one. Where not even the first sentence fits, the cut is between words, and where not
/// even the first word does, between characters. The flag tells whether anything was cut.
pub fn cut_at_sentence(text: &str, mut fits: impl FnMut(&str) -> bool) -> (String, bool) {
    if fits(text) {
        return (text.to_owned(), false);
    }
    let mut longest = |ends: Vec<usize>| {
        let count = ends.partition_point(|end| fits(&text[..*end]));
        count.checked_sub(1).map(|last| text[..ends[last]].to_owned())
    };
    let word_ends =
        || text.match_indices(char::is_whitespace).map(|(at, _)| at).filter(|at| *at > 0);
    let kept = longest(sentence_ends(text))
        .or_else(|| longest(word_ends().collect()))
        .or_else(|| longest(text.char_indices().map(|(at, _)| at).skip(1).collect()))
        .unwrap_or_default();
    (kept.trim_end().to_owned(), true)
}

/// Byte offsets just behind each sentence of `text`.
fn sentence_ends(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut rest = text.char_indices().peekable();
    while let Some((at, mark)) = rest.next() {
        if !matches!(mark, '.' | '?' | '!' | '。' | '？' | '！') {
            continue;
        }
        while rest.next_if(|(_, c)| is_closing(*c)).is_some() {}
        let end = rest.peek().map_or(text.len(), |(next, _)| *next);
        if matches!(mark, '。' | '？' | '！')
            || (starts_sentence(&text[end..]) && !(mark == '.' && is_abbreviation(&text[..at])))
        {
            ends.push(end);
        }
    }
    ends
}

/// Whether a sentence may begin with `rest`: after white space, and not in lower case.
fn starts_sentence(rest: &str) -> bool {
    let next = rest.trim_start();
    next.is_empty() || (next.len() < rest.len() && !next.starts_with(char::is_lowercase))
}

/// Whether the full stop behind `text` belongs to an abbreviation or to an initial ("J. Smith").
fn is_abbreviation(text: &str) -> bool {
    let word = text.rsplit(|c: char| c.is_whitespace() || "([{~,;-".contains(c)).next();
    let word = word.unwrap_or_default();
    let mut chars = word.chars();
    let is_initial = chars.next().is_some_and(char::is_uppercase) && chars.next().is_none();
    is_initial || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

/// Whether `text` ends with a mark that ends sentences.
pub(crate) fn ends_sentence(text: &str) -> bool {
    let end = text.trim_end().trim_end_matches(is_closing);
    end.ends_with(['。', '？', '！', '…', '.', '?', '!'])
}

/// Whether `text` stops within a number, as `提高到0.` does; not behind a name (`GPT-4.`).
pub(crate) fn ends_in_a_number(text: &str) -> bool {
    let Some(before) = text.trim_end().strip_suffix('.') else { return false };
    let ahead = before.trim_end_matches(|c: char| c.is_ascii_digit() || ".,".contains(c));
    let is_name = ahead.trim_end_matches([' ', '-']).ends_with(|c: char| c.is_ascii_alphabetic());
    before.ends_with(|c: char| c.is_ascii_digit()) && !is_name
}

fn is_closing(c: char) -> bool {
    matches!(c, ')' | ']' | '"' | '\'' | '”' | '’' | '）' | '」' | '』' | '》' | '】')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, max_chars: usize, expected: &str) {
        let (kept, cut) = cut_at_sentence(text, |text| text.chars().count() <= max_chars);
        assert_eq!(kept, expected);
        assert_eq!(cut, kept != text);
    }

    #[test]
    fn cuts_after_whole_sentences() {
        check("One two. Three four. Five.", 100, "One two. Three four. Five.");
        check("One two. Three four. Five.", 22, "One two. Three four.");
        check("One two. Three four. Five.", 19, "One two.");
        check("Is it \"so?\" Yes. No.", 12, "Is it \"so?\"");
        check("第一句。第二句。第三句。", 9, "第一句。第二句。");
    }

    #[test]
    fn does_not_cut_at_stops_that_end_no_sentence() {
        for text in [
            "We start. We use e.g. Adam with",
            "We start. We follow Li et al. Smith and",
            "We start. It gains 3.5 points over",
            "We start. As in Fig. 3 we show",
            "We start. See Eq. (2) and Refs. [3] for",
            "We start. By J. Smith and",
            "We start. It is fast, i.e. Linear in",
            "We start. The tool foo.bar. is lower",
        ] {
            check(text, text.chars().count() - 1, "We start.");
        }
    }

    #[test]
    fn falls_back_to_words_and_characters() {
        check("one two three four", 9, "one two");
        check("onetwothree", 4, "onet");
        check("one", 0, "");
    }

    #[test]
    fn tells_finished_texts() {
        let check = |text: &str, expected: bool| {
            assert_eq!(ends_sentence(text), expected, "{text}");
        };
        check("我们提出了方法。", true);
        check("（见代码。）", true);
        check("我们提出...", true);
        check("我们提出了", false);
        check("我们提出（方法）", false);
    }
}
