//! Chinese words that never stand in a summary without their English in the source: "马尔可夫" where a
//! paper speaks of Moran, "首次" where it claims to be first in nothing.
//!
//! Which words these are is told by a list (`models/zh.sources.tsv`, which
//! `models/training/sources.py` measures): terms and claims that 28,017 references have often, and
//! 99 of 100 times beside their English. A word's English is one of several phrases, each of which is
//! beginnings of words, or whole words behind `=`; where in the source these stand does not matter.
//! Behind a mark stands what a word is mistaken for (`!equivarian` for 等价): such a word is wrong only
//! where the source has that.

use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Beginnings of words, or whole words behind [`WHOLE`].
type Phrase = Vec<&'static str>;

/// A Chinese word that needs a source.
struct Entry {
    chinese: &'static str,
    english: Vec<Phrase>,
    /// What it is mistaken for, if it is wrong only there.
    mistaken: Vec<Phrase>,
}

const MARK: char = '!';
const WHOLE: char = '=';

/// What begins otherwise than the word that it looks like: 随后验证 is no 后验.
const NOT_BEFORE: [(&str, char); 2] = [("后验", '证'), ("超时", '空')];

static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let lines = include_str!("../../models/zh.sources.tsv").lines();
    let entry = |line: &'static str| {
        let (chinese, phrases) = line.split_once('\t')?;
        let (mistaken, english): (Vec<&str>, Vec<&str>) =
            phrases.split(", ").partition(|phrase| phrase.starts_with(MARK));
        let words = |phrase: &&'static str| phrase.trim_start_matches(MARK).split(' ').collect();
        let [english, mistaken] = [english, mistaken].map(|list| list.iter().map(words).collect());
        Some(Entry { chinese, english, mistaken })
    };
    lines.filter_map(entry).collect()
});

/// The words of `text` that need a source and have none in `sources`; of words within others the
/// longest. What stands within a longer word that has its source needs none of its own: with MCMC there,
/// 马尔可夫链 in 马尔可夫链蒙特卡洛.
pub(crate) fn unsourced(text: &str, sources: &[&str]) -> Vec<String> {
    let candidates: Vec<&Entry> = ENTRIES.iter().filter(|e| stands(text, e.chinese)).collect();
    if candidates.is_empty() {
        return Vec::new();
    }
    let told = |chinese: &str| sources.iter().any(|source| source.contains(chinese));
    let lower: Vec<String> = sources.iter().map(|source| source.to_lowercase()).collect();
    let words: BTreeSet<&str> =
        lower.iter().flat_map(|s| s.split(|c: char| !c.is_ascii_alphanumeric())).collect();
    // In order, what begins with a prefix follows the prefix itself.
    let begins = |prefix: &&str| match prefix.strip_prefix(WHOLE) {
        Some(word) => words.contains(word),
        None => words.range(*prefix..).next().is_some_and(|word| word.starts_with(*prefix)),
    };
    let has = |phrases: &[Phrase]| phrases.iter().any(|phrase| phrase.iter().all(begins));
    let is_wrong = |entry: &Entry| {
        !told(entry.chinese)
            && !has(&entry.english)
            && (entry.mistaken.is_empty() || has(&entry.mistaken))
    };
    let within = |entry: &&&Entry| {
        let around = |other: &&&Entry| {
            other.chinese != entry.chinese && other.chinese.contains(entry.chinese)
        };
        let longer = candidates.iter().filter(around);
        let rest = longer.fold(text.to_owned(), |text, other| text.replace(other.chinese, "\n"));
        !stands(&rest, entry.chinese)
    };
    let found = candidates.iter().filter(|entry| is_wrong(entry) && !within(entry));
    found.map(|entry| entry.chinese.to_owned()).collect()
}

/// Whether `text` has the word somewhere, and not only what begins like it.
fn stands(text: &str, word: &str) -> bool {
    let other = NOT_BEFORE.iter().find(|(known, _)| *known == word).map(|(_, next)| *next);
    let mut places = text.match_indices(word).map(|(at, _)| &text[at + word.len()..]);
    places.any(|after| other.is_none_or(|next| !after.starts_with(next)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_need_their_english_in_any_order_and_form() {
        let source = "A pioneering study of Markovian replacement; adversarial attacks.";
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(unsourced(text, &[source, "point cloud\t点云"]), expected, "{text}");
        };
        check("本文首次研究马尔可夫式替换与对抗攻击。", &[]);
        check("本文研究点云。", &[]);
        check("本文用贝叶斯推断研究羊群。", &["贝叶斯推断"]);
        check("超时准确率与联邦学习。", &["联邦学习", "超时"]);
        check("随后验证了结论。", &[]);
        check("", &[]);
    }

    #[test]
    fn what_stands_in_a_longer_word_with_a_source_needs_none() {
        let check = |source: &str, text: &str, expected: &[&str]| {
            assert_eq!(unsourced(text, &[source]), expected, "{source}: {text}");
        };
        check("An MCMC sampler.", "用马尔可夫链蒙特卡洛抽样", &[]);
        check("A sampler.", "用马尔可夫链蒙特卡洛抽样", &["马尔可夫链蒙特卡洛"]);
        check("A survey of sheep.", "本文系统综述了羊", &[]);
        check("In the SM and beyond.", "标准模型及其之外", &[]);
        check("A spatio-temporal hypergraph.", "超时空图", &[]);
        check("Small models.", "标准模型及其之外", &["标准模型"]);
        check("Low-frequency waves.", "高频引力波", &["高频"]);
    }

    #[test]
    fn some_words_are_wrong_only_for_what_they_are_mistaken_for() {
        let check = |source: &str, expected: &[&str]| {
            assert_eq!(unsourced("等价的网络", &[source]), expected, "{source}");
        };
        check("A network that is equivariant.", &["等价"]);
        check("An equivariant network is equivalent to others.", &[]);
        check("A network.", &[]);
    }

    #[test]
    fn every_line_of_the_list_is_a_chinese_word_and_english_in_small_letters() {
        assert!(ENTRIES.len() > 100);
        assert_eq!(ENTRIES.len(), include_str!("../../models/zh.sources.tsv").lines().count());
        for Entry { chinese, english, mistaken } in ENTRIES.iter() {
            assert!(chinese.chars().count() > 1 && chinese.chars().all(super::super::is_han));
            assert!(!english.is_empty(), "{chinese}");
            for word in english.iter().chain(mistaken).flatten() {
                let word = word.strip_prefix(WHOLE).unwrap_or(word);
                let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
                assert!(!word.is_empty() && word.chars().all(is_plain), "{chinese}: {word:?}");
            }
        }
    }
}
