//! Numbers as texts write them: digits with separators, powers of ten, and words.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// A decimal number: `digits` without zeros at its ends, times ten to the `exponent`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Decimal {
    digits: String,
    exponent: i32,
}

impl Decimal {
    /// The power of ten of its first digit: 2 for 345.
    pub(crate) fn magnitude(&self) -> i32 {
        self.exponent + self.digits.len() as i32 - 1
    }

    /// Whether it has no digits behind the full stop.
    pub(crate) fn is_whole(&self) -> bool {
        self.exponent >= 0
    }
}

/// A number and the place where it stands, in bytes.
pub(crate) struct Found {
    pub(crate) value: Decimal,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Words and letters for powers of ten; the words come first.
pub(crate) const SCALES: [(&str, i32); 9] = [
    ("hundred", 2),
    ("thousand", 3),
    ("million", 6),
    ("billion", 9),
    ("trillion", 12),
    ("k", 3),
    ("m", 6),
    ("b", 9),
    ("t", 12),
];
/// Chinese units of magnitude by which numbers are grouped, the largest first.
pub(crate) const CHINESE_UNITS: [(&str, i32); 3] = [("万亿", 12), ("亿", 8), ("万", 4)];
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

impl Decimal {
    /// The value of ASCII digits with separators of thousands and at most one full stop; what else
    /// stands in `text` counts for nothing.
    pub(crate) fn parse(text: &str) -> Self {
        let plain: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
        let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
        let digits = format!("{whole}{fraction}");
        let stripped = digits.trim_end_matches('0');
        let zeros = digits.len() - stripped.len();
        let digits = stripped.trim_start_matches('0').to_owned();
        let exponent = if digits.is_empty() { 0 } else { zeros as i32 - fraction.len() as i32 };
        Decimal { digits, exponent }
    }

    pub(crate) fn times_ten(&self, zeros: i32) -> Self {
        let exponent = if self.digits.is_empty() { 0 } else { self.exponent + zeros };
        Decimal { digits: self.digits.clone(), exponent }
    }

    /// The number as it is written without a power of ten; nothing where it would have more
    /// zeros than people write.
    pub(crate) fn plain(&self) -> Option<String> {
        const MAX_ZEROS: i32 = 6;
        if self.digits.is_empty() {
            return Some("0".to_owned());
        }
        let whole = self.digits.len() as i32 + self.exponent;
        if self.exponent > MAX_ZEROS || whole < -MAX_ZEROS {
            return None;
        }
        Some(if self.exponent >= 0 {
            format!("{}{}", self.digits, "0".repeat(self.exponent as usize))
        } else if whole > 0 {
            let (whole, fraction) = self.digits.split_at(whole as usize);
            format!("{whole}.{fraction}")
        } else {
            format!("0.{}{}", "0".repeat(-whole as usize), self.digits)
        })
    }
}

/// All numbers of `text`: digits, groups of thousands, one fraction.
pub(crate) fn scan(text: &str) -> Vec<Found> {
    let bytes = text.as_bytes();
    let digits_from = |at: usize| bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut found = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let mut end = start + digits_from(start);
        if end == start {
            start += 1;
            continue;
        }
        if end - start <= 3 {
            while bytes.get(end) == Some(&b',') && digits_from(end + 1) == 3 {
                end += 4;
            }
        }
        if bytes.get(end) == Some(&b'.') {
            let fraction = digits_from(end + 1);
            end += if fraction > 0 { fraction + 1 } else { 0 };
        }
        found.push(Found { value: Decimal::parse(&text[start..end]), start, end });
        start = end;
    }
    found
}

/// The values of whole numbers in Chinese characters: 12 for 十二, 3 and 1 for 三分之一, 35,000 for
/// 三万五千. Digits without units are read one by one (2024 for 二〇二四). What is mostly a part of
/// a word, or of a number in digits, is none: a lone 一 (统一) unless it is of a fraction, and a lone
/// unit (20万, 百分点).
pub(crate) fn in_characters(text: &str) -> Vec<Decimal> {
    let is_numeral = |c: char| NUMERALS.iter().any(|(numeral, _)| *numeral == c);
    let mut values = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_numeral) {
        let (before, from) = rest.split_at(start);
        let (run, after) = from.split_at(from.find(|c| !is_numeral(c)).unwrap_or(from.len()));
        let is_number = match run {
            "一" => before.ends_with("分之"),
            "十" => !after.starts_with('分'),
            "百" | "千" | "万" | "亿" | "兆" | "万亿" => false,
            _ => true,
        };
        if is_number {
            values.push(Decimal::parse(&value_of(run).to_string()));
        }
        rest = after;
    }
    values
}

/// Numerals, and what they stand for.
const NUMERALS: [(char, Numeral); 18] = [
    ('零', Numeral::Digit(0)),
    ('〇', Numeral::Digit(0)),
    ('一', Numeral::Digit(1)),
    ('二', Numeral::Digit(2)),
    ('两', Numeral::Digit(2)),
    ('三', Numeral::Digit(3)),
    ('四', Numeral::Digit(4)),
    ('五', Numeral::Digit(5)),
    ('六', Numeral::Digit(6)),
    ('七', Numeral::Digit(7)),
    ('八', Numeral::Digit(8)),
    ('九', Numeral::Digit(9)),
    ('十', Numeral::Unit(10)),
    ('百', Numeral::Unit(100)),
    ('千', Numeral::Unit(1000)),
    ('万', Numeral::Scale(10_000)),
    ('亿', Numeral::Scale(100_000_000)),
    ('兆', Numeral::Scale(1_000_000_000_000)),
];

#[derive(Clone, Copy)]
enum Numeral {
    Digit(u64),
    /// Multiplies the digit before it, or one.
    Unit(u64),
    /// Multiplies all before it.
    Scale(u64),
}

/// The value of a run of numerals; one that is too large for any text is the largest there is.
fn value_of(run: &str) -> u64 {
    // What is behind a scale, the units added up, and the digits that are still without a unit.
    let (mut scaled, mut units, mut digits) = (0u64, 0u64, 0u64);
    let numerals = run.chars().filter_map(|c| NUMERALS.iter().find(|(known, _)| *known == c));
    for (_, numeral) in numerals {
        match *numeral {
            Numeral::Digit(digit) => digits = digits.saturating_mul(10).saturating_add(digit),
            Numeral::Unit(unit) => {
                units = units.saturating_add(digits.max(1).saturating_mul(unit));
                digits = 0;
            }
            Numeral::Scale(scale) => {
                let group = units.saturating_add(digits);
                scaled = match (scaled, group) {
                    (0, _) => group.max(1).saturating_mul(scale),
                    (_, 0) => scaled.saturating_mul(scale),
                    _ => scaled.saturating_add(group.saturating_mul(scale)),
                };
                (units, digits) = (0, 0);
            }
        }
    }
    scaled.saturating_add(units).saturating_add(digits)
}

/// Which of the numbers `found` of an English text are per cent: those before a sign or word for it,
/// points among them, and those that a list or range joins to one (`10, 20 and 30 %`, `5-10%`).
pub(crate) fn percents(text: &str, found: &[Found]) -> Vec<bool> {
    let mut percents = vec![false; found.len()];
    for (at, one) in found.iter().enumerate().rev() {
        let after = text[one.end..].trim_start_matches([' ', '-', '$', '~', '\\', '}', '\u{a0}']);
        let joined = found
            .get(at + 1)
            .is_some_and(|next| percents[at + 1] && joins(&text[one.end..next.start]));
        percents[at] = joined || is_percent(after);
    }
    percents
}

/// Whether `after` begins with a sign or word for per cent.
fn is_percent(after: &str) -> bool {
    let word: String = after.chars().take_while(char::is_ascii_alphabetic).collect();
    let words = ["percent", "percentage", "pp", "pt", "pts", "point", "points"];
    after.starts_with(['%', '％'])
        || words.iter().any(|known| word.eq_ignore_ascii_case(known))
        || after.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("per cent"))
}

/// Whether nothing stands in `between` but what joins two numbers of a list or a range.
fn joins(between: &str) -> bool {
    let mut words = between.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    words
        .all(|word| ["to", "and", "or", "vs", "versus", "from", "pm", "by", "over"].contains(&word))
        && !between.contains(['.', ';', ':', '!', '?', '(', ')'])
}

/// The exponent, if `found` is the 10 of `10^6` or `10^{6}`.
pub(crate) fn power_of_ten(text: &str, found: &Found) -> Option<i32> {
    let power = text[found.end..].strip_prefix('^')?.trim_start_matches(['{', ' ']);
    let (sign, power) = power.strip_prefix('-').map_or((1, power), |rest| (-1, rest));
    let digits: String = power.chars().take_while(char::is_ascii_digit).collect();
    let is_ten = &text[found.start..found.end] == "10" && digits.len() <= 2;
    digits.parse::<i32>().ok().filter(|_| is_ten).map(|power| sign * power)
}

pub(crate) fn is_times(text: &str) -> bool {
    matches!(text.trim_matches([' ', '$', '{', '}']), "\\times" | "×" | "x" | "*" | "\\cdot" | "·")
}

/// Each of `found` with the power of ten of the unit of magnitude behind it, or behind the last number
/// of its list or range (`5-10 million`); none without one.
pub(crate) fn scales(text: &str, found: &[Found]) -> Vec<Option<i32>> {
    let mut scales = vec![None; found.len()];
    for (at, one) in found.iter().enumerate().rev() {
        let after = text[one.end..].trim_start_matches([' ', '-', '$', '~', '\\', '}']);
        let word: String = after.chars().take_while(char::is_ascii_alphabetic).collect();
        let word = word.to_lowercase();
        let own = SCALES.iter().chain(&[("decades", 1)]).find(|(scale, _)| *scale == word);
        let own = own.map(|(_, zeros)| *zeros);
        let joined = found.get(at + 1).filter(|next| joins(&text[one.end..next.start]));
        scales[at] = own.or_else(|| joined.and(scales.get(at + 1).copied().flatten()));
    }
    scales
}

/// The second year of `2008-09`, where `found` is its `09`.
pub(crate) fn second_year(text: &str, before: Option<&Found>, found: &Found) -> Option<String> {
    let first = &text[before?.start..before?.end];
    let (between, second) = (&text[before?.end..found.start], &text[found.start..found.end]);
    let is_range = matches!(between, "-" | "--" | "–" | "/");
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    (is_range && digits(first, 4) && digits(second, 2)).then(|| format!("{}{second}", &first[..2]))
}

/// The century that a year is in, counted from 1: 20 for 1990.
pub(crate) fn century(year: &str) -> Option<u32> {
    let is_year = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
    let hundreds: u32 = year.get(..2).filter(|_| is_year)?.parse().ok()?;
    Some(hundreds + 1)
}

/// Whether digits are likely a year, which counts nothing.
pub(crate) fn is_recent_year(digits: &str) -> bool {
    digits.len() == 4
        && digits.parse().is_ok_and(|year| (1980..2036).contains(&year) && year != 2000)
}

/// Numbers with a word for a power of ten that `lower`, a text in small letters, has in words (`fifty
/// thousand`, `half a million`), and the numbers of decades that it speaks of.
pub(crate) fn scaled_in_words(lower: &str) -> (Vec<Decimal>, Vec<Decimal>) {
    let (mut scaled, mut decades) = (Vec::new(), Vec::new());
    let (mut before, mut tens): (Option<Decimal>, Option<usize>) = (None, None);
    for word in lower.split(|c: char| !c.is_ascii_alphabetic()).filter(|w| !w.is_empty()) {
        let digits = WORDS.iter().find(|row| row.words.contains(&word)).map(|row| row.digits);
        let scale = SCALES[..5].iter().find(|(scale, _)| *scale == word);
        let ten = TENS.iter().position(|name| *name == word).map(|index| index + 2);
        if let ("decades", Some(number)) = (word, &before) {
            decades.push(number.clone());
        }
        before = match (word, scale, ten, digits) {
            ("half", ..) => Some(Decimal::parse("0.5")),
            ("a", ..) => before.filter(|before| !before.is_whole()).or(Some(Decimal::parse("1"))),
            (_, Some((_, zeros)), ..) => {
                let number = before.map(|before| before.times_ten(*zeros));
                scaled.extend(number.clone());
                number
            }
            (_, _, Some(ten), _) => Some(Decimal::parse(&format!("{ten}0"))),
            (.., Some(digits)) => {
                let tens = tens.filter(|_| digits.len() == 1).map(|tens| tens.to_string());
                Some(Decimal::parse(&format!("{}{digits}", tens.unwrap_or_default())))
            }
            _ => None,
        };
        tens = ten;
    }
    (scaled, decades)
}

/// Numbers of more than three digits that `text` has in groups with a space between, `10 000`: where, and
/// with commas. What follows a letter or is followed by one is a name: `GPT-3 175B`.
pub(crate) fn in_spaced_groups(text: &str) -> Vec<(Range<usize>, String)> {
    static GROUPS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"[1-9]\d{0,2}(?:[ \u{a0}\u{2009}\u{202f}]\d{3})+\b").unwrap());
    let is_number = |found: &regex::Match<'_>| {
        let mut before = text[..found.start()].chars().rev();
        match before.next() {
            Some('-' | '–') => before.next().is_none_or(|c| !c.is_alphabetic()),
            before => before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '.' | ',')),
        }
    };
    let with_commas = |text: &str| text.replace(|c: char| !c.is_ascii_digit(), ",");
    let found = GROUPS.find_iter(text).filter(is_number);
    found.map(|found| (found.range(), with_commas(found.as_str()))).collect()
}

/// TeX's and full-width ways to write a number, made plain.
pub(crate) fn without_tex_separators(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let text = text.replace("{,}", ",").replace("\\%", "%");
    let mut pieces = text.split("\\,").peekable();
    while let Some(piece) = pieces.next() {
        plain.push_str(piece);
        // A thin space between digits separates thousands, and stands before a sign of per cent, too.
        if let Some(next) = pieces.peek() {
            let is_inside = plain.ends_with(|c: char| c.is_ascii_digit())
                && next.starts_with(|c: char| c.is_ascii_digit());
            plain.push(if is_inside { ',' } else { ' ' });
        }
    }
    plain.chars().map(|c| if let '０'..='９' = c { narrow_digit(c) } else { c }).collect()
}

pub(crate) fn narrow_digit(c: char) -> char {
    char::from_digit(c as u32 - '０' as u32, 10).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_chinese_characters_have_their_values() {
        let check = |text: &str, expected: &[&str]| {
            let expected: Vec<Decimal> =
                expected.iter().map(|value| Decimal::parse(value)).collect();
            assert_eq!(in_characters(text), expected, "{text}");
        };
        check("约三分之一，十二个，二十项，两百零五篇", &["3", "1", "12", "20", "205"]);
        check(
            "三万五千，一亿二千万，两万亿，二〇二四年",
            &["35000", "120000000", "2000000000000", "2024"],
        );
        check("没有3个，一种统一的，20万，5个百分点，十分", &[]);
        check(&"九".repeat(40), &[&u64::MAX.to_string()]);
    }
}
