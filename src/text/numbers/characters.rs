//! Numbers in Chinese characters.

use super::Decimal;

/// The values of whole numbers in Chinese characters: 12 for 十二, 3 and 1 for 三分之一, 35,000 for
/// 三万五千. Digits without units are read one by one (2024 for 二〇二四). What is mostly a part of
/// a word, or of a number in digits, is none: a lone 一 (统一) unless it is of a fraction, and a lone
/// unit (20万, 百分点).
pub(crate) fn in_characters(text: &str) -> Vec<Decimal> {
    let is_number = |(start, run): &(usize, &str)| match *run {
        "一" => text[..*start].ends_with("分之"),
        "十" => !text[start + run.len()..].starts_with('分'),
        "百" | "千" | "万" | "亿" | "兆" | "万亿" => false,
        _ => true,
    };
    let runs = numeral_runs(text).into_iter().filter(is_number);
    runs.map(|(_, run)| decimal_of_run(run)).collect()
}

/// Whole numbers in Chinese characters that can be nothing else, since they have digits and units
/// (十二, 三百五十): where they stand, how they are written, and their values. A 一 at either end may be a
/// part of a word (统一, 一致) and is none then; what is no whole number (二三十) is left out.
pub(crate) fn units_in_characters(text: &str) -> Vec<(usize, &str, Decimal)> {
    const WORDS_WITH_ONE: ([char; 6], [char; 7]) =
        (['统', '单', '唯', '同', '归', '专'], ['致', '般', '样', '些', '直', '定', '旦']);
    let without_words = |(start, run): (usize, &'_ str)| {
        let (before, after) = (&text[..start], &text[start + run.len()..]);
        let tail = run.strip_suffix('一').filter(|_| after.starts_with(WORDS_WITH_ONE.1));
        let end = start + tail.unwrap_or(run).len();
        let is_in_word = before.ends_with(WORDS_WITH_ONE.0) && run.starts_with('一');
        let start = if is_in_word { (start + '一'.len_utf8()).min(end) } else { start };
        (start, start..end)
    };
    let runs = numeral_runs(text).into_iter().map(without_words);
    let runs = runs.map(|(start, range)| (start, &text[range]));
    let is_measure = |(start, run): &(usize, &str)| {
        run.ends_with(['百', '千', '兆']) && begins_measure(&text[start + run.len()..])
    };
    runs.filter(|found| is_whole(found.1) && !is_measure(found))
        .map(|(start, run)| (start, run, decimal_of_run(run)))
        .collect()
}

/// Whether a unit of measure begins with `text`, which a 千 or 百 before it may be a part of (千米, 百帕).
pub(crate) fn begins_measure(text: &str) -> bool {
    const MEASURES: [&str; 12] =
        ["米", "克", "瓦", "赫", "焦", "帕", "伏", "卡", "牛", "字", "电子伏", "秒差距"];
    MEASURES.iter().any(|measure| text.starts_with(measure))
}

/// Whether a run has digits and units, and is neither rough (二三十, no digit stands beside another but
/// 零) nor short for more (一百二), a word (万一) or a part of a unit of measure (五千米).
fn is_whole(run: &str) -> bool {
    let numerals: Vec<Numeral> = run
        .chars()
        .filter_map(|c| NUMERALS.iter().find(|(known, _)| *known == c).map(|(_, what)| *what))
        .collect();
    let is_digit = |numeral: &Numeral| matches!(numeral, Numeral::Digit(1..));
    let are_apart = numerals.windows(2).all(|pair| !(is_digit(&pair[0]) && is_digit(&pair[1])));
    let is_unit = |numeral: &Numeral| !matches!(numeral, Numeral::Digit(_));
    let is_large = |numeral: &Numeral| is_unit(numeral) && !matches!(numeral, Numeral::Unit(10));
    let is_short = matches!(&numerals[..], [.., unit, digit] if is_large(unit) && is_digit(digit));
    are_apart
        && numerals.iter().any(is_digit)
        && numerals.iter().any(is_unit)
        && !numerals.first().is_some_and(is_large)
        && !is_short
        && !run.starts_with("一十")
}

/// All runs of Chinese numerals, with their places.
fn numeral_runs(text: &str) -> Vec<(usize, &str)> {
    let is_numeral = |c: char| NUMERALS.iter().any(|(numeral, _)| *numeral == c);
    let (mut runs, mut at) = (Vec::new(), 0);
    while let Some(start) = text[at..].find(is_numeral).map(|found| at + found) {
        let rest = &text[start..];
        let run = &rest[..rest.find(|c| !is_numeral(c)).unwrap_or(rest.len())];
        runs.push((start, run));
        at = start + run.len();
    }
    runs
}

fn decimal_of_run(run: &str) -> Decimal {
    Decimal::parse(&value_of(run).to_string())
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
