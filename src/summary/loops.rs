//! Loops: the way in which small models fail most often.
//!
//! Two kinds are told apart. *Scattered*: a run of [`WINDOW_CHARS`] characters comes three times
//! anywhere, as when a model writes the same sentence again with small changes. *Periodic*: a
//! short unit follows itself, as in "精度精度精度精度精度" or "0.0.0.0.0.". A long name that an honest
//! summary spells out three times counts as scattered too; 1.8 % of the references have one.

use std::collections::HashMap;

/// Length of a run that must not come three times: a clause of Chinese, two words of English.
const WINDOW_CHARS: usize = 12;
/// Longest unit of a periodic loop; longer ones are found as scattered.
const MAX_PERIOD_CHARS: usize = 12;
/// How often a unit may follow itself: honest text reaches 4 ("10 01 10 01"), not 5.
const MAX_UNIT_REPEATS: usize = 4;
/// How often one character may follow itself: "1000000" has six zeros, an ellipsis six dots.
const MAX_CHAR_REPEATS: usize = 7;

/// The stretch of `text` that is repeated, if one is.
pub(super) fn find_loop(text: &str) -> Option<String> {
    let chars: Vec<char> = text.chars().collect();
    find_periodic(&chars).or_else(|| find_scattered(&chars))
}

fn find_periodic(chars: &[char]) -> Option<String> {
    (1..=MAX_PERIOD_CHARS).find_map(|period| {
        let max_repeats = if period == 1 { MAX_CHAR_REPEATS } else { MAX_UNIT_REPEATS };
        let mut equal_chars = 0;
        for at in period..chars.len() {
            equal_chars = if chars[at] == chars[at - period] { equal_chars + 1 } else { 0 };
            if equal_chars >= max_repeats * period {
                return Some(chars[at + 1 - period..=at].iter().collect());
            }
        }
        None
    })
}

/// Occurrences are counted without overlap, as a reader would.
fn find_scattered(chars: &[char]) -> Option<String> {
    let mut seen: HashMap<&[char], (usize, usize)> = HashMap::new();
    for (start, window) in chars.windows(WINDOW_CHARS).enumerate() {
        let (count, free_from) = seen.entry(window).or_insert((0, 0));
        if start >= *free_from {
            *count += 1;
            *free_from = start + WINDOW_CHARS;
            if *count == 3 {
                return Some(window.iter().collect());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(find_loop(text).as_deref(), expected, "{text}");
    }

    #[test]
    fn finds_units_that_follow_themselves() {
        check("该方法提高了精度精度精度精度精度。", Some("精度"));
        check("结果为0.0.0.0.0.0.", Some("0."));
        check("误差为00000000", Some("0"));
        check("好的，好的，好的，好的，好的，", Some("好的，"));
        check(&"我们提出了新的方法。".repeat(5), Some("我们提出了新的方法。"));
    }

    #[test]
    fn finds_sentences_that_come_three_times() {
        let again = "实验表明该方法优于所有基线";
        check(
            &format!("{again}，甲。{again}，乙。{again}，丙。"),
            Some("实验表明该方法优于所有基"),
        );
        check(&format!("{again}，甲。{again}，乙。"), None);
    }

    #[test]
    fn leaves_honest_text_alone() {
        check("在1000000个样本上，准确率为99.99%……", None);
        check("", None);
        check("我们提出三种方法：一种、两种、三种。", None);
    }
}
