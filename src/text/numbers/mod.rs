//! Numbers as texts write them: digits with separators, powers of ten, and words.

mod characters;
mod words;

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

pub(crate) use characters::{begins_measure, in_characters, units_in_characters};
pub(crate) use words::{TENS, WORDS, orders_in_words, scaled_in_words, shares_in_words};

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

    /// Whether it is a number of hundreds.
    pub(crate) fn is_of_hundreds(&self) -> bool {
        self.exponent >= 2
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

/// Words for powers of ten.
pub(crate) const SCALE_WORDS: [(&str, i32); 5] =
    [("hundred", 2), ("thousand", 3), ("million", 6), ("billion", 9), ("trillion", 12)];

/// Letters for them, in lower case.
pub(crate) const SCALE_LETTERS: [(&str, i32); 4] = [("k", 3), ("m", 6), ("b", 9), ("t", 12)];

/// Abbreviations and units of measure that have a power of ten in them, as they are written: the number before
/// them may be told with it (`$350bn`, `10 Myr`, `13 TeV`) or as it stands.
const UNITS_WITH_SCALES: [(&str, i32); 30] = [
    ("mn", 6),
    ("mln", 6),
    ("mio", 6),
    ("bn", 9),
    ("bln", 9),
    ("tn", 12),
    ("kyr", 3),
    ("Myr", 6),
    ("Myrs", 6),
    ("Gyr", 9),
    ("Gyrs", 9),
    ("ka", 3),
    ("Ma", 6),
    ("Ga", 9),
    ("kpc", 3),
    ("Mpc", 6),
    ("Gpc", 9),
    ("Mt", 6),
    ("Gt", 9),
    ("kb", 3),
    ("Mb", 6),
    ("Gb", 9),
    ("kbp", 3),
    ("Mbp", 6),
    ("Gbp", 9),
    ("keV", 3),
    ("MeV", 6),
    ("GeV", 9),
    ("TeV", 12),
    ("PeV", 15),
];

/// Chinese units of magnitude by which numbers are grouped, the largest first.
pub(crate) const CHINESE_UNITS: [(&str, i32); 3] = [("万亿", 12), ("亿", 8), ("万", 4)];

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

/// Which of the numbers `found` of an English text are per cent: those before a sign or word for it,
/// points among them, and those that a list or range joins to one (`10, 20 and 30 %`, `5-10%`).
pub(crate) fn percents(text: &str, found: &[Found]) -> Vec<bool> {
    let mut percents = vec![false; found.len()];
    for (at, one) in found.iter().enumerate().rev() {
        let after = without_marks_of_tex(&text[one.end..]);
        let joined = found
            .get(at + 1)
            .is_some_and(|next| percents[at + 1] && joins(&text[one.end..next.start]));
        percents[at] = joined || is_percent(after);
    }
    percents
}

/// `after` without what TeX, and a hyphen, put between a number and what it is a number of: `\(12\)\%`.
fn without_marks_of_tex(after: &str) -> &str {
    let mut rest = after;
    loop {
        let next = rest.strip_prefix("\\)").or_else(|| rest.strip_prefix("\\("));
        let next =
            next.or_else(|| rest.strip_prefix([' ', '-', '$', '~', '\\', '{', '}', '\u{a0}']));
        let Some(next) = next else { return rest };
        rest = next;
    }
}

/// Whether `after` begins with a sign or word for per cent.
fn is_percent(after: &str) -> bool {
    let word: String = after.chars().take_while(char::is_ascii_alphabetic).collect();
    let words = ["percent", "percentage", "pp", "pt", "pts", "point", "points"];
    after.starts_with(['%', '％'])
        || words.iter().any(|known| word.eq_ignore_ascii_case(known))
        || after.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("per cent"))
}

/// What stands between the two numbers of a range in Chinese.
pub(crate) const RANGES: [char; 7] = ['-', '–', '—', '~', '～', '至', '到'];

/// What stands behind the sign of a range that `after`, what follows a number of a Chinese text, begins with.
pub(crate) fn behind_range(after: &str) -> Option<&str> {
    Some(after.trim_start().strip_prefix(RANGES)?.trim_start())
}

/// Whether nothing stands in `between` but what joins two numbers of a list or a range.
fn joins(between: &str) -> bool {
    const WORDS: [&str; 13] = [
        "to",
        "and",
        "or",
        "vs",
        "versus",
        "from",
        "pm",
        "by",
        "over",
        "up",
        "through",
        "sim",
        "rightarrow",
    ];
    // Where TeX's formulas begin and end.
    let between = between.replace("\\(", " ").replace("\\)", " ");
    let mut words = between.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    words.all(|word| WORDS.contains(&word))
        && !between.contains(['.', ';', ':', '!', '?', '(', ')'])
}

/// The exponent, if `found` is the 10 of `10^6`, `10^{6}` or `10$^6$`.
pub(crate) fn power_of_ten(text: &str, found: &Found) -> Option<i32> {
    // Astronomers write `10$^{6}$`.
    let after = text[found.end..].trim_start_matches('$');
    let power = after.strip_prefix('^')?.trim_start_matches(['{', ' ']);
    let (sign, power) = power.strip_prefix(['-', '−']).map_or((1, power), |rest| (-1, rest));
    let digits: String = power.chars().take_while(char::is_ascii_digit).collect();
    let is_ten = &text[found.start..found.end] == "10" && digits.len() <= 2;
    digits.parse::<i32>().ok().filter(|_| is_ten).map(|power| sign * power)
}

/// What the 10 of `2\times10^6` is, the number at `at` of `found`: a million, and two of them; of `(6 \pm 2)\times10^6`
/// both factors count.
pub(crate) fn powers(text: &str, found: &[Found], at: usize) -> Vec<Decimal> {
    let Some(power) = power_of_ten(text, &found[at]) else { return Vec::new() };
    let mut powers = vec![Decimal::parse("1").times_ten(power)];
    let between = |first: usize| &text[found[first].end..found[first + 1].start];
    if at == 0 || !is_times(between(at - 1)) {
        return powers;
    }
    powers.push(found[at - 1].value.times_ten(power));
    // One more, of a range or an error, and the value of two errors, but not the exponent of another power.
    let is_exponent =
        |found: &Found| text[..found.start].trim_end_matches(['{', '-', '−']).ends_with('^');
    let is_error = |between: &str| between.contains(['^', '_', '±']) || between.contains("pm");
    for other in (0..at - 1).rev().take(2) {
        let is_joined = joins(between(other)) && !between(other).contains(',');
        let is_third = other + 3 == at;
        let of_errors = is_error(between(other)) && is_error(between(other + 1));
        if is_exponent(&found[other]) || !is_joined || is_third && !of_errors {
            break;
        }
        powers.push(found[other].value.times_ten(power));
    }
    powers
}

fn is_times(text: &str) -> bool {
    matches!(
        text.trim_matches([' ', '$', '{', '}', ')']),
        "\\times" | "×" | "x" | "*" | "\\cdot" | "·"
    )
}

/// A unit of magnitude behind a number.
pub(crate) struct Scale {
    /// In small letters.
    pub(crate) word: &'static str,
    pub(crate) zeros: i32,
    /// Whether it can be nothing else.
    pub(crate) is_certain: bool,
}

/// What stands behind a number that ends at `end`, as far as it may be a unit of magnitude. A letter is one
/// where it follows at once (`7B`, `$1.15$M`) and is not the beginning of something else (`M_\odot`); behind a
/// blank only `M` and `B` may be, and may be something else: 500 M dwarfs, but 14 T and 300 K are tesla and kelvin.
pub(crate) fn scale_behind(text: &str, end: usize) -> Option<Scale> {
    let rest = &text[end..];
    let after = rest.trim_start_matches([' ', '-', '$', '~', '\\', '}']);
    let length = after.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (written, behind) = after.split_at(length);
    let lower = written.to_lowercase();
    if let Some((word, zeros)) = UNITS_WITH_SCALES.iter().find(|(unit, _)| *unit == written) {
        return Some(Scale { word, zeros: *zeros, is_certain: false });
    }
    let all = SCALE_WORDS.iter().chain(&SCALE_LETTERS).chain(&[("decades", 1)]);
    let (word, zeros) = all.into_iter().find(|(scale, _)| *scale == lower)?;
    let (word, zeros) = (*word, *zeros);
    if length > 1 {
        return Some(Scale { word, zeros, is_certain: true });
    }
    let is_at_once = rest.strip_prefix('$').unwrap_or(rest).starts_with(written);
    let mut next = behind.trim_start_matches('$').chars();
    let goes_on = match next.next() {
        Some('.') => next.next().is_some_and(char::is_alphabetic),
        Some(c) => c.is_alphanumeric() || matches!(c, '_' | '^'),
        None => false,
    };
    if goes_on || !is_at_once && !matches!(written, "M" | "B") {
        return None;
    }
    // `5m` may be metres.
    Some(Scale { word, zeros, is_certain: is_at_once && written != lower })
}

/// Each of `found` with the power of ten of the unit of magnitude behind it, or behind the last number
/// of its list or range (`5-10 million`); none without one.
pub(crate) fn scales(text: &str, found: &[Found]) -> Vec<Option<i32>> {
    let mut scales = vec![None; found.len()];
    for (at, one) in found.iter().enumerate().rev() {
        let own = scale_behind(text, one.end).map(|scale| scale.zeros);
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

/// Whether `after`, what stands behind the last two digits of a year in a Chinese text, makes it a decade: 年代, or
/// one or two more of them that have it (`80和90年代`).
pub(crate) fn is_of_decade(after: &str) -> bool {
    let mut rest = after;
    for _ in 0..3 {
        if rest.starts_with("年代") {
            return true;
        }
        let joined = DECADES_JOINED_BY.iter().find_map(|word| rest.strip_prefix(word));
        let Some(joined) = joined else { return false };
        rest = joined.trim_start_matches(|c: char| c.is_ascii_digit());
        if joined.len() != rest.len() + 2 {
            return false;
        }
    }
    false
}

/// What joins decades in Chinese.
const DECADES_JOINED_BY: [&str; 9] = ["、", "和", "与", "及", "至", "到", "-", "–", "—"];

/// Whether digits are likely a year, which counts nothing.
pub(crate) fn is_recent_year(digits: &str) -> bool {
    digits.len() == 4
        && digits.parse().is_ok_and(|year| (1980..2036).contains(&year) && year != 2000)
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

/// `text`, a translation, without numbers that have a Chinese unit of magnitude: the 200 of `200万` is none
/// by itself, and the English that it translates has its value.
pub(crate) fn without_chinese_scales(text: &str) -> String {
    let mut rest = text.to_owned();
    let has_unit = |after: &str| CHINESE_UNITS.iter().any(|(unit, _)| after.starts_with(unit));
    for found in scan(text).into_iter().rev().filter(|found| has_unit(&text[found.end..])) {
        rest.replace_range(found.start..found.end, "");
    }
    rest
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
    fn powers_of_ten_are_read_however_they_are_set() {
        for text in ["10^6", "10^{6}", "10$^6$", "10$^{6}$", "10^ 6"] {
            let found = scan(text).into_iter().next().unwrap();
            assert_eq!(power_of_ten(text, &found), Some(6), "{text}");
        }
        let found = scan("10^{−3}").into_iter().next().unwrap();
        assert_eq!(power_of_ten("10^{−3}", &found), Some(-3));
    }
}
