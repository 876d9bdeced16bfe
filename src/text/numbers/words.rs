//! Numbers in English words.

use super::{Decimal, SCALES};

/// Words for the tens from twenty on.
pub(crate) const TENS: [&str; 8] =
    ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
/// A number in words. Checks take every word for its number; what may be *written* for it is
/// narrower.
pub(crate) struct NumberWords {
    pub(crate) words: &'static [&'static str],
    pub(crate) digits: &'static str,
    /// What has to follow where the digits are written for one of the words, such as the `月` of
    /// `3月` for `March`; `None` where digits would not be natural.
    pub(crate) before: Option<&'static str>,
}

/// Small numbers, shares, multiples and months.
pub(crate) const WORDS: [NumberWords; 48] = [
    row(&["zero"], "0", Some("")),
    row(&["no"], "0", None),
    row(&["one", "first", "single"], "1", Some("")),
    row(&["once", "i", "hundred", "million"], "1", None),
    row(&["two", "second", "twice", "both", "ii"], "2", Some("")),
    row(&["double", "doubles", "doubled", "doubling", "twofold"], "2", Some("倍")),
    row(&["pair"], "2", None),
    row(&["three", "third", "iii"], "3", Some("")),
    row(&["triple", "triples", "tripled", "tripling", "threefold"], "3", Some("倍")),
    row(&["thirds"], "3", None),
    row(&["four", "fourth", "iv"], "4", Some("")),
    row(&["fourfold", "quadruple", "quadruples", "quadrupled"], "4", Some("倍")),
    row(&["quarter", "quarters"], "4", None),
    row(&["five", "fifth"], "5", Some("")),
    row(&["fivefold"], "5", Some("倍")),
    row(&["v", "fifths"], "5", None),
    row(&["six", "sixth"], "6", Some("")),
    row(&["seven", "seventh"], "7", Some("")),
    row(&["eight", "eighth"], "8", Some("")),
    row(&["nine", "ninth"], "9", Some("")),
    row(&["ten", "tenth"], "10", Some("")),
    row(&["tenfold"], "10", Some("倍")),
    row(&["decade"], "10", Some("年")),
    row(&["eleven", "eleventh"], "11", Some("")),
    row(&["twelve", "twelfth", "dozen"], "12", Some("")),
    row(&["thirteen", "thirteenth"], "13", Some("")),
    row(&["fourteen", "fourteenth"], "14", Some("")),
    row(&["fifteen", "fifteenth"], "15", Some("")),
    row(&["sixteen", "sixteenth"], "16", Some("")),
    row(&["seventeen", "seventeenth"], "17", Some("")),
    row(&["eighteen", "eighteenth"], "18", Some("")),
    row(&["nineteen", "nineteenth"], "19", Some("")),
    row(&["twentieth"], "20", Some("")),
    row(&["quarter"], "25", Some("%")),
    row(&["quarters"], "75", Some("%")),
    row(&["half", "halves", "halve", "halved", "halving"], "50", Some("%")),
    row(&["january", "jan"], "1", Some("月")),
    row(&["february", "feb"], "2", Some("月")),
    row(&["march", "mar"], "3", Some("月")),
    row(&["april", "apr"], "4", Some("月")),
    row(&["may"], "5", Some("月")),
    row(&["june", "jun"], "6", Some("月")),
    row(&["july", "jul"], "7", Some("月")),
    row(&["august", "aug"], "8", Some("月")),
    row(&["september", "sep"], "9", Some("月")),
    row(&["october", "oct"], "10", Some("月")),
    row(&["november", "nov"], "11", Some("月")),
    row(&["december", "dec"], "12", Some("月")),
];

const fn row(
    words: &'static [&'static str],
    digits: &'static str,
    before: Option<&'static str>,
) -> NumberWords {
    NumberWords { words, digits, before }
}

/// Numbers with a word for a power of ten that `lower`, a text in small letters, has in words (`fifty
/// thousand`, `half a million`, `one hundred and fifty`, and the hundred of that), and the numbers of
/// decades that it speaks of.
pub(crate) fn scaled_in_words(lower: &str) -> (Vec<Decimal>, Vec<Decimal>) {
    let (mut scaled, mut decades) = (Vec::new(), Vec::new());
    let (mut number, mut end) = (InWords::default(), 0);
    while let Some(start) = lower[end..].find(|c: char| c.is_ascii_alphabetic()) {
        let start = end + start;
        let rest = &lower[start..];
        let word = &rest[..rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len())];
        // Digits and signs end a number in words.
        if lower[end..start].contains(|c: char| !c.is_whitespace() && !"-‐–~".contains(c)) {
            number = InWords::default();
        }
        end = start + word.len();
        if let ("decades", Some(tenths)) = (word, number.group) {
            decades.push(decimal_of_tenths(tenths));
        }
        number = number.followed_by(word);
        let value = decimal_of_tenths(number.tenths());
        if number.is_scaled && scaled.last() != Some(&value) {
            scaled.push(value);
        }
    }
    (scaled, decades)
}

/// A number in words, as far as it was read; in tenths, since half a million is one.
#[derive(Debug, Clone, Copy, Default)]
struct InWords {
    /// What thousands and larger units have multiplied.
    total: u64,
    /// What none has yet: up to 999.
    group: Option<u64>,
    /// Whether a unit was among the words.
    is_scaled: bool,
    /// Whether the last word was one, or an `and` behind it: smaller numbers may be added.
    is_open: bool,
    /// Whether the last word was of tens.
    is_ten: bool,
}

impl InWords {
    fn tenths(self) -> u64 {
        self.total.saturating_add(self.group.unwrap_or_default())
    }

    /// The number with one more word, or the one that begins with it; nothing where that is none.
    fn followed_by(self, word: &str) -> InWords {
        const HALF: u64 = 5;
        let begun = |group| InWords { group: Some(group), ..InWords::default() };
        let is_half = self.group == Some(HALF) && !self.is_scaled;
        match word {
            "half" => return begun(HALF),
            "a" if is_half => return self,
            "a" => return begun(10),
            "and" if self.is_open => return self,
            _ => {}
        }
        if let Some((_, zeros)) = SCALES[..5].iter().find(|(scale, _)| *scale == word) {
            let unit = 10u64.pow(zeros.unsigned_abs());
            let is_number = self.group.is_some() || self.is_open;
            let (total, group) = match (self.group, *zeros) {
                _ if !is_number => return InWords::default(),
                (Some(group), 2) => (self.total, Some(group.saturating_mul(unit))),
                // Two thousand million.
                (None, _) => (self.total.saturating_mul(unit), None),
                (Some(group), _) => (self.total.saturating_add(group.saturating_mul(unit)), None),
            };
            return InWords { total, group, is_scaled: true, is_open: true, is_ten: false };
        }
        let ten = TENS.iter().position(|name| *name == word).map(|index| 10 * (index as u64 + 2));
        let row = WORDS.iter().find(|row| row.words.contains(&word));
        let Some(value) = ten.or_else(|| row?.digits.parse().ok()) else {
            return InWords::default();
        };
        // May and twofold are added to nothing.
        let is_plain = ten.is_some() || row.is_some_and(|row| row.before == Some(""));
        let adds = is_plain && (self.is_open || (self.is_ten && value < 10));
        let group = if adds { self.group.unwrap_or_default() } else { 0 } + 10 * value;
        let before = if adds { self } else { InWords::default() };
        InWords { group: Some(group), is_open: false, is_ten: ten.is_some(), ..before }
    }
}

fn decimal_of_tenths(tenths: u64) -> Decimal {
    Decimal::parse(&format!("{}.{}", tenths / 10, tenths % 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_english_words_have_their_values() {
        let check = |text: &str, expected: &[&str]| {
            let values = |texts: &[&str]| -> Vec<Decimal> {
                texts.iter().map(|text| Decimal::parse(text)).collect()
            };
            assert_eq!(scaled_in_words(text).0, values(expected), "{text}");
        };
        check("two hundred languages", &["200"]);
        check("one hundred and fifty tasks", &["100", "150"]);
        check("one hundred twenty-five of them", &["100", "120", "125"]);
        check("three hundred fifty thousand", &["300", "350", "350000"]);
        check("one million two hundred thousand", &["1000000", "1000002", "1000200", "1200000"]);
        check("half a million", &["500000"]);
        check("a thousand may do, and the first hundred", &["1000", "100"]);
        check("hundreds of them and two thirds", &[]);
        check("a thousand, 5-10 million, twenty-five billion", &["1000", "25000000000"]);
    }
}
