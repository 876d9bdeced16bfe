//! Numbers in English words.

use super::{Decimal, SCALE_WORDS};

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
pub(crate) const WORDS: [NumberWords; 62] = [
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
    row(&["sixfold"], "6", Some("倍")),
    row(&["sevenfold"], "7", Some("倍")),
    row(&["eightfold"], "8", Some("倍")),
    row(&["ninefold"], "9", Some("倍")),
    row(&["hundredfold"], "100", Some("倍")),
    row(&["thousandfold"], "1000", Some("倍")),
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
    row(&["thirtieth"], "30", Some("")),
    row(&["fortieth"], "40", Some("")),
    row(&["fiftieth"], "50", Some("")),
    row(&["sixtieth"], "60", Some("")),
    row(&["seventieth"], "70", Some("")),
    row(&["eightieth"], "80", Some("")),
    row(&["ninetieth"], "90", Some("")),
    row(&["hundredth"], "100", Some("")),
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
    row(&["september", "sept", "sep"], "9", Some("月")),
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

/// Shares, and what the whole is divided by for each.
const SHARES: [(&str, &str); 9] = [
    ("half", "2"),
    ("third", "3"),
    ("quarter", "4"),
    ("fourth", "4"),
    ("fifth", "5"),
    ("sixth", "6"),
    ("eighth", "8"),
    ("tenth", "10"),
    ("hundredth", "100"),
];

/// What the whole is divided by for the shares that `lower`, a text in small letters, has in words: 3 for `a third`
/// and `one-third`, 2 for any half.
pub(crate) fn shares_in_words(lower: &str) -> Vec<&'static str> {
    let mut before = "";
    let mut shares = Vec::new();
    for word in lower.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty()) {
        let share = SHARES.iter().find(|(share, _)| *share == word).map(|(_, below)| *below);
        shares.extend(share.filter(|_| word == "half" || ["a", "an", "one"].contains(&before)));
        before = word;
    }
    shares
}

/// The factors that `lower`, a text in small letters, tells as orders of magnitude: a hundred for `two orders of
/// magnitude`, ten for an order.
pub(crate) fn orders_in_words(lower: &str) -> Vec<Decimal> {
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    let mut orders = Vec::new();
    for (at, _) in
        words.windows(3).enumerate().filter(|(_, three)| three[1..] == ["of", "magnitude"])
    {
        let before = at.checked_sub(1).map_or("", |before| words[before]);
        let row = WORDS.iter().find(|row| row.before == Some("") && row.words.contains(&before));
        let number = row.map_or(before, |row| row.digits).parse::<i32>();
        let number = match words[at] {
            "order" => number.ok().or(Some(1)),
            "orders" => number.ok(),
            _ => None,
        };
        let factor = number.filter(|number| (1..=9).contains(number));
        orders.extend(factor.map(|zeros| Decimal::parse("1").times_ten(zeros)));
    }
    orders
}

/// Numbers with a word for a power of ten or a half that `lower`, a text in small letters, has in words (`fifty
/// thousand`, `half a million`, `one hundred and fifty`, `two and a half`), and the numbers of decades that it
/// speaks of.
pub(crate) fn scaled_in_words(lower: &str) -> (Vec<Decimal>, Vec<Decimal>) {
    let (mut scaled, mut decades) = (Vec::new(), Vec::new());
    let (mut number, mut end) = (InWords::default(), 0);
    // What the word before the last had come to: the five of five preceding decades.
    let mut earlier = None;
    while let Some(start) = lower[end..].find(|c: char| c.is_ascii_alphabetic()) {
        let start = end + start;
        let rest = &lower[start..];
        let word = &rest[..rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len())];
        // Digits and signs end a number in words.
        if lower[end..start].contains(|c: char| !c.is_whitespace() && !"-‐~".contains(c)) {
            scaled.extend(number.take());
            earlier = None;
        }
        end = start + word.len();
        if let ("decades", Some(tenths)) = (word, number.group.or(earlier)) {
            decades.push(decimal_of_tenths(tenths));
        }
        if word == "decade" && lower[end..].starts_with(" and a half") {
            decades.push(decimal_of_tenths(10 + HALF));
        }
        // A few decades are not one.
        earlier = number.group.filter(|tenths| *tenths > 10);
        scaled.extend(number.add(word));
    }
    scaled.extend(number.take());
    (scaled, decades)
}

/// A number in words, as far as it was read; in tenths, since half a million is one.
#[derive(Debug, Clone, Copy, Default)]
struct InWords {
    /// What thousands and larger units have multiplied, and the last of these units.
    total: u64,
    unit: u64,
    /// What none has yet: up to 999.
    group: Option<u64>,
    /// What was added to the group last: the fifty of one hundred and fifty.
    addend: u64,
    last: Last,
}

/// What the last word of a number was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Last {
    #[default]
    None,
    Digits,
    Tens,
    /// A unit, or an `and` behind it: smaller numbers may be added.
    Unit,
    /// An `and` behind a number without a unit: `three and a half`.
    And,
}

const HUNDRED: u64 = 100;
const HALF: u64 = 5;

impl InWords {
    /// The number, if it has a unit or a half; there is none then.
    fn take(&mut self) -> Option<Decimal> {
        let InWords { total, group, unit, .. } = std::mem::take(self);
        let has_half = group.is_some_and(|group| group > HALF && group % 10 == HALF);
        let tenths = total.saturating_add(group.unwrap_or_default());
        (unit > 0 || has_half).then(|| decimal_of_tenths(tenths))
    }

    /// Takes in the next word; gives the number that it ends.
    fn add(&mut self, word: &str) -> Option<Decimal> {
        match (word, self.last) {
            ("half", Last::And) => {
                self.group = self.group.map(|group| group.saturating_add(HALF));
                self.last = Last::Digits;
                return None;
            }
            ("a", Last::And) => return None,
            ("a", _) if self.group == Some(HALF) && self.unit == 0 => return None,
            ("and", Last::Unit) => return None,
            ("and", Last::Digits | Last::Tens) if self.unit == 0 => {
                self.last = Last::And;
                return None;
            }
            _ => {}
        }
        if let Some((_, zeros)) = SCALE_WORDS.iter().find(|(scale, _)| *scale == word) {
            return self.multiply(10u64.pow(zeros.unsigned_abs()));
        }
        let begun = |group, last| InWords { group: Some(group), last, ..InWords::default() };
        let ten = TENS.iter().position(|name| *name == word).map(|index| 10 * (index as u64 + 2));
        let row = WORDS.iter().find(|row| row.words.contains(&word));
        let value: Option<u64> = ten.or_else(|| row?.digits.parse().ok());
        let next = match (word, value) {
            ("half", _) => begun(HALF, Last::Digits),
            ("a", _) => begun(10, Last::Digits),
            (_, Some(value)) => {
                // May and twofold are added to nothing.
                let is_plain = ten.is_some() || row.is_some_and(|row| row.before == Some(""));
                let adds = self.last == Last::Unit || (self.last == Last::Tens && value < 10);
                let last = if ten.is_some() { Last::Tens } else { Last::Digits };
                if is_plain && adds {
                    let tenths = 10 * value;
                    self.group = Some(self.group.unwrap_or_default().saturating_add(tenths));
                    self.addend =
                        if self.last == Last::Unit { tenths } else { self.addend + tenths };
                    self.last = last;
                    return None;
                }
                begun(10 * value, last)
            }
            _ => InWords::default(),
        };
        let ended = self.take();
        *self = next;
        ended
    }

    /// Multiplies what no unit has multiplied yet; gives the number that ends where another begins, as in
    /// `two hundred and three hundred`.
    fn multiply(&mut self, unit: u64) -> Option<Decimal> {
        let Some(group) = self.group else {
            // Two thousand million; but no unit alone is a number.
            if self.unit > 0 {
                self.total = self.total.saturating_mul(unit);
                self.unit = self.unit.saturating_mul(unit);
            }
            return None;
        };
        let is_another = match unit {
            HUNDRED => group >= 10 * HUNDRED,
            _ => self.total > 0 && unit >= self.unit,
        };
        if is_another {
            let addend = if unit == HUNDRED { self.addend } else { group };
            let ended = InWords { group: Some(group - addend), ..*self }.take();
            *self = InWords { group: Some(addend), last: Last::Digits, ..InWords::default() };
            self.multiply(unit);
            return ended;
        }
        if unit == HUNDRED {
            self.group = Some(group.saturating_mul(unit));
            self.unit = self.unit.max(unit);
        } else {
            self.total = self.total.saturating_add(group.saturating_mul(unit));
            (self.group, self.unit) = (None, unit);
        }
        (self.addend, self.last) = (0, Last::Unit);
        None
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
        check("one hundred and fifty tasks", &["150"]);
        check("one hundred twenty-five of them", &["125"]);
        check("three hundred fifty thousand", &["350000"]);
        check("one million two hundred thousand", &["1200000"]);
        check("one hundred and two thousand", &["102000"]);
        check("two thousand five hundred papers", &["2500"]);
        check("two thousand million", &["2000000000"]);
        check(
            "two hundred and three hundred, two thousand to three thousand",
            &["200", "300", "2000", "3000"],
        );
        check("two hundred and three thousand and five thousand", &["203000", "5000"]);
        check("one hundred–two hundred", &["100", "200"]);
        check("half a million, three and a half thousand", &["500000", "3500"]);
        check("two and a half times as fast, half as large, and a half", &["2.5"]);
        check("a thousand may do, and the first hundred", &["1000", "100"]);
        check("hundreds of them and two thirds", &[]);
        check("a thousand, 5-10 million, twenty-five billion", &["1000", "25000000000"]);
        let endless = "one ".to_owned() + &"hundred ".repeat(20) + "one";
        assert!(!scaled_in_words(&endless).0.is_empty());
    }

    #[test]
    fn orders_of_magnitude_are_factors() {
        let check = |text: &str, expected: &[&str]| {
            let expected: Vec<Decimal> = expected.iter().map(|text| Decimal::parse(text)).collect();
            assert_eq!(orders_in_words(text), expected, "{text}");
        };
        check("an order of magnitude faster, two orders-of-magnitude less", &["10", "100"]);
        check("2-3 orders of magnitude, several orders of magnitude", &["1000"]);
        check("the order of things of magnitude two", &[]);
    }
}
