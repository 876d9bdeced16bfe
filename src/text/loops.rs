//! Loops: the way in which small models fail most often.
//!
//! Four kinds are told apart. *Scattered*: a run of [`WINDOW_CHARS`] characters comes three times
//! anywhere, as when a model writes the same sentence again with small changes. *Periodic*: a
//! short unit follows itself, as in "精度精度精度精度精度" or "0.0.0.0.0.". What stands in the paper itself, as long names and
//! identifiers do, may be said more often before it is scattered or woven.
//! *Woven*: a fifth of a longer text are runs of [`SHORT_CHARS`] characters that it has had before,
//! which is what a model writes that may not close a loop and finds nothing else to say: "而英语是
//! 0.02%，而日语是0.02%". Of 28,000 references one in five hundred repeats itself so much. *Narrow*:
//! [`NARROW_CHARS`] characters in a row are a few different ones in turns that keep no period, as
//! in "卡罗·罗·卡罗·卡罗·罗·"; no reference of 6,000 has fewer than nine. The first two are refused
//! while they are written as well ([`crate::guard`]); the others have no one token that completes
//! them.

use std::collections::{HashMap, HashSet};

use super::is_han;

/// Length of a run that must not come three times: a clause of Chinese, two words of English.
const WINDOW_CHARS: usize = 12;
/// How often such a run may come where most of it is a name that the paper has.
const MAX_NAMED: usize = 6;
/// Shortest such name.
const NAME_CHARS: usize = 8;
/// Longest unit of a periodic loop; longer ones are found as scattered.
const MAX_PERIOD_CHARS: usize = 12;
/// How often a unit may follow itself: honest text reaches 4 ("10 01 10 01"), not 5.
const MAX_UNIT_REPEATS: usize = 4;
/// Length of a run that is not written twice.
const CLAUSE_CHARS: usize = 24;
/// Shortest word that is not said twice with 的 or a mark of lists between: those of two may be parts of
/// others, as in 速度、速度变化.
const JOINED_CHARS: usize = 3;
/// How often one character may follow itself: "1000000" has six zeros, an ellipsis six dots.
const MAX_CHAR_REPEATS: usize = 7;
/// Length of a run that a woven text repeats.
const SHORT_CHARS: usize = 4;
/// Most of a text's short runs that may have come before: one in so many.
const MAX_WOVEN: usize = 5;
/// Shortest text that can be woven; shorter ones repeat a name and little else.
const MIN_WOVEN_CHARS: usize = 100;
/// Length of a run that is narrow where it has few different characters.
const NARROW_CHARS: usize = 24;
/// Most different characters of a narrow run.
const MAX_DIFFERENT: usize = 7;

/// The stretch of `text` that is repeated, if one is; `sources` are the texts of the paper.
pub(crate) fn find_loop(text: &str, sources: &[&str]) -> Option<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut ends = (1..=chars.len()).map(|end| &chars[..end]);
    let unit = ends
        .clone()
        .find_map(periodic_end)
        .or_else(|| ends.find_map(|chars| scattered_end(chars, sources)));
    let unit = unit.map(|unit| unit.iter().collect());
    unit.or_else(|| narrow(&chars)).or_else(|| woven(&chars, sources))
}

/// The first run that has few different characters, and no digits: lists of numbers have few.
fn narrow(chars: &[char]) -> Option<String> {
    let is_narrow = |run: &&[char]| {
        let different: HashSet<char> = run.iter().copied().collect();
        different.len() <= MAX_DIFFERENT && !different.iter().any(char::is_ascii_digit)
    };
    chars.windows(NARROW_CHARS).find(is_narrow).map(|run| run.iter().collect())
}

/// The short run that comes most often, and first among equals, where too many come again.
/// What stands in the paper does not count.
fn woven(chars: &[char], sources: &[&str]) -> Option<String> {
    let mut named = vec![false; chars.len()];
    for (start, run) in chars.windows(NAME_CHARS).enumerate() {
        if stands_in(run, sources) {
            named[start..start + NAME_CHARS].fill(true);
        }
    }
    let mut counts: HashMap<&[char], usize> = HashMap::new();
    let mut most: (usize, &[char]) = (0, &[]);
    let mut again = 0;
    for (run, named) in chars.windows(SHORT_CHARS).zip(named.windows(SHORT_CHARS)) {
        if named.iter().all(|named| *named) {
            continue;
        }
        let count = counts.entry(run).or_default();
        again += usize::from(*count > 0);
        *count += 1;
        if *count > most.0 {
            most = (*count, run);
        }
    }
    let runs = (chars.len() + 1).saturating_sub(SHORT_CHARS);
    let is_woven = chars.len() >= MIN_WOVEN_CHARS && again * MAX_WOVEN > runs;
    is_woven.then(|| most.1.iter().collect())
}

/// Whether one of the last `new` characters completes a loop, or a stutter: what is no flaw yet,
/// and not worth another try, but worth another token. Stutters are a clause that comes twice, or
/// a Chinese word that follows itself; of 4,300 references 0.4 % have the one, 0.1 % the other.
/// `sources` are the texts of the paper.
pub(crate) fn completes_loop(chars: &[char], new: usize, sources: &[&str]) -> bool {
    let first_end = chars.len().saturating_sub(new) + 1;
    (first_end..=chars.len()).map(|end| &chars[..end]).any(|chars| {
        periodic_end(chars).is_some()
            || scattered_end(chars, sources).is_some()
            || is_stutter(chars, sources)
    })
}

fn is_stutter(chars: &[char], sources: &[&str]) -> bool {
    let follows_itself = |period: usize| {
        let repeats = if period == 2 { 2 } else { 1 };
        equal_end(chars, period, repeats * period)
            && chars[chars.len() - period..].iter().all(|c| is_han(*c))
    };
    // As in "最先进的最先进方法" and "可扩展、可扩展".
    let is_joined_to_itself = |length: usize| {
        let end = &chars[chars.len() - length..];
        let before = chars[..chars.len() - length].split_last();
        end.iter().all(|c| is_han(*c))
            && before
                .is_some_and(|(joint, before)| "的、".contains(*joint) && before.ends_with(end))
    };
    (2..=MAX_PERIOD_CHARS.min(chars.len())).any(follows_itself)
        || (JOINED_CHARS..=MAX_PERIOD_CHARS.min(chars.len())).any(is_joined_to_itself)
        || comes_too_often(chars, CLAUSE_CHARS, 1, sources)
}

/// The unit that follows itself at the end of `chars`, if one does.
fn periodic_end(chars: &[char]) -> Option<&[char]> {
    let period = (1..=MAX_PERIOD_CHARS.min(chars.len())).find(|&period| {
        let max_repeats = if period == 1 { MAX_CHAR_REPEATS } else { MAX_UNIT_REPEATS };
        equal_end(chars, period, max_repeats * period)
    })?;
    Some(&chars[chars.len() - period..])
}

/// The run at the end of `chars` that comes there for the third time, if it does.
fn scattered_end<'a>(chars: &'a [char], sources: &[&str]) -> Option<&'a [char]> {
    comes_too_often(chars, WINDOW_CHARS, 2, sources).then(|| &chars[chars.len() - WINDOW_CHARS..])
}

/// Whether the last `length` characters come `times` before; where most of them are a name of the
/// paper, whether they come [`MAX_NAMED`] times before.
fn comes_too_often(chars: &[char], length: usize, times: usize, sources: &[&str]) -> bool {
    comes_again(chars, length, times)
        && (comes_again(chars, length, MAX_NAMED)
            || !is_named(&chars[chars.len() - length..], sources))
}

/// Whether most of `run` is a name of the paper.
fn is_named(run: &[char], sources: &[&str]) -> bool {
    run.windows(NAME_CHARS.max(run.len() * 2 / 3)).any(|name| stands_in(name, sources))
}

fn stands_in(run: &[char], sources: &[&str]) -> bool {
    let run: String = run.iter().collect();
    sources.iter().any(|source| source.contains(&run))
}

/// Whether each of the last `count` characters is the one `period` before it.
fn equal_end(chars: &[char], period: usize, count: usize) -> bool {
    let earlier = chars[..chars.len() - period].iter().rev();
    let equal = chars.iter().rev().zip(earlier).take(count).take_while(|(a, b)| a == b);
    equal.count() == count
}

/// Whether the last `length` characters come `times` before. Occurrences are counted without
/// overlap, as a reader would.
fn comes_again(chars: &[char], length: usize, times: usize) -> bool {
    let Some(end) = chars.len().checked_sub(length) else { return false };
    let (before, run) = chars.split_at(end);
    let (mut start, mut earlier) = (0, 0);
    while start + length <= before.len() && earlier < times {
        if before[start] == run[0] && before[start..start + length] == *run {
            earlier += 1;
            start += length;
        } else {
            start += 1;
        }
    }
    earlier == times
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(find_loop(text, &[]).as_deref(), expected, "{text}");
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
    fn finds_texts_that_turn_in_circles_without_a_loop() {
        let circles = "九种分词器的损失为0.02%，而英语是0.02%，而波斯语为0.02%，而德语为0.03%，而英语\
                       只有0.02%，而日语是0.05%，而波语为0.02%；而英语都是0.02%，而越南语是0.04%，而日语\
                       大约0.02%，而缅甸语则为0.02%。";
        check(circles, Some("0.02"));
        let honest = "我们研究了不同长度答案的显示顺序是否影响性能。该方法将412,000条指令按答案长度排序，\
                      每隔2,500步释放一组，使模型先学会结束回答。在四个模型上，胜率从41.3%提高到48.9%，\
                      从不结束的答案由6.2%减少到0.7%；在70亿参数时，增益处于标准误差之内。";
        check(honest, None);
        check(&circles.chars().take(MIN_WOVEN_CHARS - 1).collect::<String>(), None);
    }

    #[test]
    fn finds_runs_of_few_characters() {
        let run = "罗·卡罗·罗·卡罗·卡罗·罗·罗·卡罗·卡";
        let text = format!("从《牛津》到《科罗纳·{run}罗·罗·长期老化也存在差异。");
        let chars: Vec<char> = text.chars().collect();
        let found = narrow(&chars).expect("it has a run of three characters");
        assert!(text.contains(&found) && found.chars().count() == NARROW_CHARS);
        assert!(find_loop(&text, &[]).is_some());
        check("准确率分别为0.01、0.10、0.12、0.55和0.11%，召回率为0.10。", None);
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
    fn what_the_paper_names_may_come_more_often() {
        let source = "The first part is arXiv:2699.00050.";
        let said = |times: usize, clause: &str| -> String {
            "甲乙丙丁戊己庚辛".chars().take(times).map(|other| format!("{other}{clause}")).collect()
        };
        let check = |times, clause, sources: &[&str], is_loop| {
            assert_eq!(find_loop(&said(times, clause), sources).is_some(), is_loop, "{times}");
        };
        let id = "见arXiv:2699.00050，";
        check(3, id, &[], true);
        check(6, id, &[source], false);
        check(8, id, &[source], true);
        // Here the Chinese around it is what comes again.
        check(3, "证明文献arXiv:2699.00050的界是紧的，", &[source], true);
    }

    #[test]
    fn leaves_honest_text_alone() {
        check("在1000000个样本上，准确率为99.99%……", None);
        check("", None);
        check("我们提出三种方法：一种、两种、三种。", None);
    }
}
