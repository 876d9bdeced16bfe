//! Magnitudes without a number, such as `数十亿` and `几十亿`: billions, and not tens of billions, which are `数百亿`.
//!
//! One of the summary is *invented* if the source has neither it nor a number of as many digits. Such a one is
//! refused while it is written as well ([`crate::guard`]).

use std::collections::BTreeSet;

use super::numbers::SourceNumbers;
use crate::text::is_han;
use crate::text::numbers::{CHINESE_UNITS, SCALE_WORDS, begins_measure};

/// Characters after which `数` ends a word: 参数, 指数, 多数. Not those of 对数, 有理数 or 个数: before a
/// unit they nearly always belong to the word before, as in 拥有数十亿, 处理数十亿 and 对数十亿.
const BEFORE: &str = "参函指常整系分负奇偶实多总基倍秩级层维人样代变导虚因质正";

const SMALL: [(char, i32); 3] = [('十', 1), ('百', 2), ('千', 3)];

/// What does not stand behind one of these: 数百百万 is no number, and 数百千米 is one of kilometres.
const DOUBLED: [&str; 6] = ["十万", "百万", "千万", "十亿", "百亿", "千亿"];
/// The power of such a number.
const NONE: i32 = i32::MIN;

/// What is counted in a unit, or alone.
const COUNTS: [(&str, i32); 4] = [("tens", 1), ("dozens", 1), ("hundreds", 2), ("thousands", 3)];
/// Times and shares that have a magnitude of their own.
const OTHERS: [(&str, i32); 10] = [
    ("dozen", 1),
    ("decade", 1),
    ("decadal", 1),
    ("multidecadal", 1),
    ("decades", 1),
    ("century", 2),
    ("centuries", 2),
    ("percent", 2),
    ("millennia", 3),
    ("millennium", 3),
];

/// Units, written as they are: MPC is no megaparsec.
const MEASURES: [(&str, i32); 6] =
    [("kyr", 3), ("Myr", 6), ("Gyr", 9), ("kpc", 3), ("Mpc", 6), ("Gpc", 9)];

/// The magnitudes that `text` states, with their powers of ten.
fn stated(text: &str) -> Vec<(String, i32)> {
    let mut stated = Vec::new();
    for (at, sign) in text.match_indices(['数', '几']) {
        let before = text[..at].chars().next_back();
        let ends_word = |before: char| match sign {
            "数" => is_han(before) && BEFORE.contains(before),
            // 十几万 is one of ten thousands and some.
            _ => before.is_ascii_digit() || "十百千".contains(before),
        };
        if before.is_some_and(ends_word) {
            continue;
        }
        let after = &text[at + sign.len()..];
        // 数以百万计.
        let after = after.strip_prefix('以').filter(|_| sign == "数").unwrap_or(after);
        let sign = &text[at..text.len() - after.len()];
        let small = SMALL.iter().find(|(unit, _)| after.starts_with(*unit));
        let rest = small.map_or(after, |(unit, _)| &after[unit.len_utf8()..]);
        let begins = |rest: &&str| CHINESE_UNITS.iter().any(|(unit, _)| rest.starts_with(*unit));
        // `数十个亿` is `数十亿`.
        let counted = rest.strip_prefix('个').filter(begins).unwrap_or(rest);
        let large = CHINESE_UNITS.iter().find(|(unit, _)| counted.starts_with(*unit));
        let doubled = DOUBLED.iter().find(|unit| small.is_some() && rest.starts_with(**unit));
        if let Some(unit) = doubled {
            let end = after.len() - rest.len() + unit.len();
            stated.push((format!("{sign}{}", &after[..end]), NONE));
            continue;
        }
        // 数千米 is one of kilometres.
        let is_of_measure = matches!(small, Some((_, 3))) && begins_measure(rest);
        let is_of_megaparsecs = after.starts_with("百万秒差距");
        if is_of_measure || is_of_megaparsecs {
            continue;
        }
        let power = small.map_or(0, |(_, power)| *power) + large.map_or(0, |(_, power)| *power);
        if power > 0 {
            let end = after.len() - counted.len() + large.map_or(0, |(unit, _)| unit.len());
            stated.push((format!("{sign}{}", &after[..end]), power));
        }
    }
    stated
}

/// The powers of ten that words of an English text stand for.
fn powers(text: &str) -> BTreeSet<i32> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.filter(|word| *word != "of").collect();
    let unit = |word: &str| {
        let word = word.strip_suffix('s').unwrap_or(word);
        let word = word.strip_prefix("multi").unwrap_or(word);
        SCALE_WORDS.iter().find(|(unit, _)| word == *unit)
    };
    let of = |table: &[(&str, i32)], word: &str| {
        table.iter().find(|(known, _)| *known == word).map(|(_, power)| *power)
    };
    let written = text.split(|c: char| !c.is_ascii_alphabetic());
    let mut powers: BTreeSet<i32> = written.filter_map(|word| of(&MEASURES, word)).collect();
    let mut skipped = false;
    for (at, word) in words.iter().enumerate() {
        let next = words.get(at + 1).and_then(|next| unit(next)).map(|(_, power)| *power);
        let own = of(&COUNTS, word).or_else(|| unit(word).map(|(_, power)| *power));
        match (own, next) {
            // "Tens of billions" and "hundred thousand" are one magnitude, and no billions.
            (Some(own), Some(next)) => drop(powers.insert(own + next)),
            (Some(own), None) if !skipped => drop(powers.insert(own)),
            _ => powers.extend(of(&OTHERS, word)),
        }
        skipped = own.is_some() && next.is_some();
    }
    powers
}

/// The magnitudes that a summary may state.
#[derive(Debug)]
pub(crate) struct Magnitudes {
    /// Their powers of ten.
    known: BTreeSet<i32>,
}

/// Characters that one is written with, its 数 or 数以 and a 个 included.
const MOST_CHARS: usize = 6;
/// What may still follow one that the text ends with.
const ENDS: [&str; 5] = ["", "万", "亿", "万亿", "个亿"];

impl Magnitudes {
    /// Those that `sources` have in words or in digits.
    pub(crate) fn of(sources: &[&str]) -> Magnitudes {
        Magnitudes::beside(sources, &SourceNumbers::of(sources))
    }

    /// Those that `sources` have in words, or among their `numbers`.
    pub(super) fn beside(sources: &[&str], numbers: &SourceNumbers) -> Magnitudes {
        let mut known = numbers.magnitudes().clone();
        known.extend(sources.iter().flat_map(|source| powers(source)));
        Magnitudes { known }
    }

    /// The magnitudes of `text` that the sources do not have.
    pub(super) fn invented_in(&self, text: &str) -> Vec<String> {
        let mut invented: Vec<String> = Vec::new();
        for (words, power) in stated(text) {
            if !self.known.contains(&power) && !invented.contains(&words) {
                invented.push(words);
            }
        }
        invented
    }

    /// Whether the last `new` of `chars` may stand there: they do not end a magnitude that the sources do
    /// not have, nor begin one that cannot become one that they have.
    pub(crate) fn allows(&self, chars: &[char], new: usize) -> bool {
        let first_new = chars.len() - new;
        let first = first_new.saturating_sub(MOST_CHARS);
        let mut places = (first..chars.len()).filter(|at| matches!(chars[*at], '数' | '几'));
        let may_stand = |at: usize, end: usize| {
            let end = end.min(at + MOST_CHARS + 1);
            let written: String = chars[at.saturating_sub(1)..end].iter().collect();
            ENDS.iter().any(|end| self.has_all(&format!("{written}{end}")))
        };
        places.all(|at| may_stand(at, chars.len()) || at < first_new && !may_stand(at, first_new))
    }

    fn has_all(&self, text: &str) -> bool {
        stated(text).iter().all(|(_, power)| self.known.contains(power))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_magnitudes_are_powers_of_ten() {
        let check = |text: &str, expected: &[(&str, i32)]| {
            let expected: Vec<_> = expected.iter().map(|(w, p)| ((*w).to_owned(), *p)).collect();
            assert_eq!(stated(text), expected, "{text}");
        };
        check(
            "数十倍、数百个、数千篇、数万",
            &[("数十", 1), ("数百", 2), ("数千", 3), ("数万", 4)],
        );
        check("数十万与数百万", &[("数十万", 5), ("数百万", 6)]);
        check(
            "数亿、数百亿、数千亿、数万亿",
            &[("数亿", 8), ("数百亿", 10), ("数千亿", 11), ("数万亿", 12)],
        );
        check("参数十分多，指数百倍，参数百分位，数个数量级", &[]);
        check(
            "拥有数十亿件商品，每日处理数十亿次，对数千种、来自数万家",
            &[("数十亿", 9), ("数十亿", 9), ("数千", 3), ("数万", 4)],
        );
        check("数十个亿的商品，数百个", &[("数十个亿", 9), ("数百", 2)]);
        check("数百百万次，数百千米", &[("数百百万", NONE), ("数百", 2)]);
        check(
            "几百万用户、几十个、数以百万计的用户、数以千计",
            &[("几百万", 6), ("几十", 1), ("数以百万", 6), ("数以千", 3)],
        );
        check("十几万人、几何、几个、20几万、百分之几", &[]);
        check("数千米、数千电子伏、数百万秒差距，数千名", &[("数千", 3)]);
    }

    #[test]
    fn english_magnitudes_are_taken_with_what_counts_them() {
        let check = |text: &str, expected: &[i32]| {
            assert_eq!(powers(text).into_iter().collect::<Vec<_>>(), expected, "{text}");
        };
        check("tens of billions of parameters", &[10]);
        check("Hundreds of thousands, and several hundred more", &[2, 5]);
        check("a few hundred thousand", &[5]);
        check("billions; tens of times; two decades", &[1, 9]);
        check("a few Myr at several kpc", &[3, 6]);
        check("multibillion-dollar, multi-million, decadal", &[1, 6, 9]);
        check("nothing; an F1 score; BLEU scores", &[]);
    }

    #[test]
    fn a_magnitude_is_invented_where_the_source_has_another() {
        let known =
            Magnitudes::of(&["tens of billions of items in thousands of shops, 12,345,678 clicks"]);
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(known.invented_in(text), expected, "{text}");
        };
        check("数百亿件商品，数千家店铺，数千万次点击", &[]);
        check("数十亿件商品、数十亿件商品", &["数十亿"]);
        check("数百百万次", &["数百百万"]);
    }
}
