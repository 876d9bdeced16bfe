//! Chinese words that never stand in a summary without their English in the source: "马尔可夫" where a
//! paper speaks of Moran, "首次" where it claims to be first in nothing.
//!
//! Which words these are is told by a list (`models/zh.sources.tsv`, which
//! `models/training/sources.py` measures): terms and claims that 28,017 references have often, and
//! 99 of 100 times beside their English. A word's English is one of several phrases, each of which is
//! beginnings of words, or whole words behind `=`; where in the source these stand does not matter.
//! Behind a mark stands what a word is mistaken for (`!equivarian` for 等价): such a word is wrong only
//! where the source has that.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

/// Beginnings of words, or whole words behind [`WHOLE`].
type Phrase = Vec<&'static str>;

/// A Chinese word that needs a source.
struct Entry {
    chinese: &'static str,
    chars: Vec<char>,
    english: Vec<Phrase>,
    /// What it is mistaken for, if it is wrong only there.
    mistaken: Vec<Phrase>,
    /// The longer words of the list that it is a part of, and where in them it begins.
    longer: Vec<(usize, usize)>,
    /// What stands behind it where it only looks like the word.
    other: &'static str,
    /// What stands before it there.
    no_beginning: &'static str,
}

/// All of them.
struct List {
    entries: Vec<Entry>,
    /// Which words end with a character.
    ending: HashMap<char, Vec<usize>>,
}

const MARK: char = '!';
const WHOLE: char = '=';

/// What begins otherwise than the word that it looks like, before one of these characters: 随后验证 is no 后验.
const NOT_BEFORE: [(&str, &str); 19] = [
    ("后验", "证"),
    ("超时", "空"),
    ("张量积", "分"),
    ("嵌入层", "次"),
    ("在线", "性圈粒索段"),
    ("无梯度", "裁"),
    ("二阶矩", "阵"),
    ("期权", "衡重"),
    ("视频", "率"),
    ("全息", "息"),
    ("图灵", "活敏巧"),
    ("泡利", "用于"),
    ("极化子", "信空阵系带矩块孔码"),
    ("光年", "龄代"),
    ("纳米", "比"),
    ("里奇", "异怪数点"),
    ("欧拉", "美丁脱"),
    ("千克", "隆"),
    ("无源", "代"),
];

/// What ends otherwise, behind one of these: 神经元训练 is no 元训练.
const NOT_BEHIND: [(&str, &str); 27] = [
    ("元训练", "经"),
    ("高维", "提"),
    ("三维", "第"),
    ("域自适应", "区"),
    ("同步", "不"),
    ("全局", "完"),
    ("持续学习", "可"),
    ("参数高效", "半"),
    ("同质", "不"),
    ("前向", "当目"),
    ("速度场", "加"),
    ("引理", "牵吸"),
    ("全息", "安"),
    ("泡利", "气微"),
    ("康托", "健"),
    ("磁振子", "电"),
    ("光年", "释风曝观"),
    ("生物多样性", "微"),
    ("尾部", "末结"),
    ("风险敏感", "高"),
    ("费米", "消"),
    ("朗道", "晴"),
    ("引力子", "吸"),
    ("非交换", "并"),
    ("纵向", "操"),
    ("秒差距", "毫几"),
    ("纳什", "采"),
];

static LIST: LazyLock<List> = LazyLock::new(|| {
    let lines = include_str!("../../models/zh.sources.tsv").lines();
    let entry = |line: &'static str| {
        let (chinese, phrases) = line.split_once('\t')?;
        let (mistaken, english): (Vec<&str>, Vec<&str>) =
            phrases.split(", ").partition(|phrase| phrase.starts_with(MARK));
        let words = |phrase: &&'static str| phrase.trim_start_matches(MARK).split(' ').collect();
        let [english, mistaken] = [english, mistaken].map(|list| list.iter().map(words).collect());
        let chars = chinese.chars().collect();
        let of = |list: &[(&'static str, &'static str)]| {
            list.iter().find(|(known, _)| *known == chinese).map_or("", |(_, chars)| *chars)
        };
        let (other, no_beginning) = (of(&NOT_BEFORE), of(&NOT_BEHIND));
        Some(Entry { chinese, chars, english, mistaken, longer: Vec::new(), other, no_beginning })
    };
    let mut entries: Vec<Entry> = lines.filter_map(entry).collect();
    let longer = |chars: &[char]| {
        let places = |(index, other): (usize, &Entry)| {
            let is_longer = other.chars.len() > chars.len();
            let places = other.chars.windows(chars.len()).enumerate();
            let places = places.filter(|(_, part)| is_longer && *part == chars);
            places.map(|(at, _)| (index, at)).collect::<Vec<_>>()
        };
        entries.iter().enumerate().flat_map(places).collect()
    };
    let all: Vec<Vec<(usize, usize)>> = entries.iter().map(|entry| longer(&entry.chars)).collect();
    let mut ending: HashMap<char, Vec<usize>> = HashMap::new();
    for (index, (entry, longer)) in entries.iter_mut().zip(all).enumerate() {
        entry.longer = longer;
        let last = entry.chars.last().expect("split at a tabulator, lines have a word");
        ending.entry(*last).or_default().push(index);
    }
    List { entries, ending }
});

/// A word, and the unit of a number that it is written together with: `5nm` is `nm` as well.
fn with_unit(word: &str) -> [&str; 2] {
    [word, word.trim_start_matches(|c: char| c.is_ascii_digit())]
}

/// The words of the list that a summary of certain sources may not have.
#[derive(Debug)]
pub(crate) struct Unsourced {
    /// Of each word of the list whether it needs a source and has none.
    is_refused: Vec<bool>,
}

impl Unsourced {
    /// Those that need a source and have none in `sources`.
    pub(crate) fn of(sources: &[&str]) -> Unsourced {
        let told = |chinese: &str| sources.iter().any(|source| source.contains(chinese));
        let lower = sources.iter().map(|source| source.to_lowercase().replace('℃', " c "));
        let lower: Vec<String> = lower.collect();
        let words = lower.iter().flat_map(|s| s.split(|c: char| !c.is_ascii_alphanumeric()));
        let words: BTreeSet<&str> =
            words.flat_map(with_unit).filter(|word| !word.is_empty()).collect();
        // In order, what begins with a prefix follows the prefix itself.
        let begins = |prefix: &&str| match prefix.strip_prefix(WHOLE) {
            Some(word) => words.contains(word),
            None => words.range(*prefix..).next().is_some_and(|word| word.starts_with(*prefix)),
        };
        let has = |phrases: &[Phrase]| phrases.iter().any(|phrase| phrase.iter().all(begins));
        let is_refused = |entry: &Entry| {
            !has(&entry.english)
                && (entry.mistaken.is_empty() || has(&entry.mistaken))
                && !told(entry.chinese)
        };
        Unsourced { is_refused: LIST.entries.iter().map(is_refused).collect() }
    }

    /// Those that `text` has; of words within others the longest. What stands within a longer word that
    /// has its source needs none of its own: with an RKHS there, 再生核 in 再生核希尔伯特空间.
    pub(crate) fn words_in(&self, text: &str) -> Vec<String> {
        let chars: Vec<char> = text.chars().chain(['\n']).collect();
        let stands = |(index, end): &(usize, usize)| {
            let entry = &LIST.entries[*index];
            !entry.other.contains(chars[*end])
                && !entry.longer.iter().any(|longer| is_within(*longer, entry, &chars, *end))
        };
        let ends = (1..chars.len())
            .flat_map(|end| self.refused_before(&chars, end).map(move |index| (index, end)));
        let found: BTreeSet<usize> = ends.filter(stands).map(|(index, _)| index).collect();
        found.into_iter().map(|index| LIST.entries[index].chinese.to_owned()).collect()
    }

    /// The words without a source near the end of `chars` that may stand there so far, since they may become
    /// longer ones that have a source; and where each ends.
    pub(crate) fn open(&self, chars: &[char]) -> Vec<(usize, usize)> {
        let near = chars.len().saturating_sub(*MOST_CHARS) + 1..=chars.len();
        let words = near.flat_map(|end| self.refused_before(chars, end).map(move |w| (w, end)));
        words.filter(|(index, end)| self.may_stand(*index, chars, *end)).collect()
    }

    /// Whether the last `new` of `chars` may stand there, behind what has the words that are `open`: they
    /// do not complete a word without a source, unless it may still become a longer one that has one, nor end
    /// what might have become one.
    pub(crate) fn allows(&self, open: &[(usize, usize)], chars: &[char], new: usize) -> bool {
        let mut ends = chars.len() - new + 1..=chars.len();
        open.iter().all(|(index, end)| self.may_stand(*index, chars, *end))
            && ends.all(|end| {
                self.refused_before(chars, end).all(|index| self.may_stand(index, chars, end))
            })
    }

    /// Whether the word `index` that ends at `end` may stand there, or may become one that may.
    fn may_stand(&self, index: usize, chars: &[char], end: usize) -> bool {
        let entry = &LIST.entries[index];
        let is_other = || match chars.get(end) {
            Some(c) => entry.other.contains(*c),
            // It may still become another one if that may stand there.
            None => {
                let goes_on = |c: char| self.allows(&[], &[chars, &[c]].concat(), 1);
                entry.other.chars().any(goes_on)
            }
        };
        let is_sourced = |longer: &(usize, usize)| {
            !self.is_refused[longer.0] && is_within(*longer, entry, chars, end)
        };
        is_other() || entry.longer.iter().any(is_sourced)
    }

    /// The words without a source that stand before `end`.
    fn refused_before(&self, chars: &[char], end: usize) -> impl Iterator<Item = usize> {
        let ending = chars[..end].last().and_then(|last| LIST.ending.get(last));
        let ending = ending.into_iter().flatten().copied();
        ending.filter(move |index| {
            let Entry { chars: word, no_beginning, .. } = &LIST.entries[*index];
            let stands =
                |before: &[char]| !before.last().is_some_and(|c| no_beginning.contains(*c));
            self.is_refused[*index] && chars[..end].strip_suffix(&word[..]).is_some_and(stands)
        })
    }
}

/// The length of the longest word of the list.
static MOST_CHARS: LazyLock<usize> = LazyLock::new(|| {
    let lengths = LIST.entries.iter().map(|entry| entry.chars.len());
    lengths.max().unwrap_or(0)
});

/// Whether `entry`, which ends at `end` of `chars`, stands in a longer word there, as far as `chars` go.
fn is_within((longer, before): (usize, usize), entry: &Entry, chars: &[char], end: usize) -> bool {
    let start = (end - entry.chars.len()).checked_sub(before);
    let longer = &LIST.entries[longer].chars;
    start.is_some_and(|start| chars[start..].iter().zip(longer).all(|(a, b)| a == b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_need_their_english_in_any_order_and_form() {
        let source = "A pioneering study of Markovian replacement; adversarial attacks.";
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(
                Unsourced::of(&[source, "point cloud\t点云"]).words_in(text),
                expected,
                "{text}"
            );
        };
        check("本文首次研究马尔可夫式替换与对抗攻击。", &[]);
        check("本文研究点云。", &[]);
        check("本文用贝叶斯推断研究羊群。", &["贝叶斯推断"]);
        check("超时准确率与联邦学习。", &["联邦学习", "超时"]);
        check("随后验证了结论，张量积分与嵌入层次结构。", &[]);
        check("单神经元训练、提高维护性、第三维度、区域自适应、不同步长。", &[]);
        check("高维的三维张量积。", &["三维", "张量积", "高维"]);
        check("", &[]);
    }

    #[test]
    fn what_stands_in_a_longer_word_with_a_source_needs_none() {
        let check = |source: &str, text: &str, expected: &[&str]| {
            assert_eq!(Unsourced::of(&[source]).words_in(text), expected, "{source}: {text}");
        };
        check("An MCMC sampler.", "用马尔可夫链蒙特卡洛抽样", &[]);
        check("An RKHS.", "在再生核希尔伯特空间中", &[]);
        check("An RKHS.", "在再生核空间中", &["再生核"]);
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
            assert_eq!(Unsourced::of(&[source]).words_in("等价的网络"), expected, "{source}");
        };
        check("A network that is equivariant.", &["等价"]);
        check("An equivariant network is equivalent to others.", &[]);
        check("A network.", &[]);
    }

    #[test]
    fn units_and_names_need_theirs() {
        let check = |source: &str, text: &str, expected: &[&str]| {
            assert_eq!(Unsourced::of(&[source]).words_in(text), expected, "{source}: {text}");
        };
        check("Bands of 211 Angstroms.", "211纳米波段", &["纳米"]);
        check("Bands of 211nm, 5 km away.", "5公里外的211纳米波段", &[]);
        check(r"Grains of 3 $\mu$m in 20 ms.", "20毫秒内3微米的颗粒", &[]);
        check("A holographic theory.", "霍尔理论", &["霍尔"]);
        check("Transversely projected.", "纵向投影", &["纵向"]);
        check("Projected.", "纵向投影", &[]);
        check("At 25℃ in Namibia.", "25摄氏度的纳米比亚，健康托管息息相关", &[]);
        check("Safe.", "与安全息息相关的意图灵活", &[]);
        check("HJB equations and BECs.", "哈密顿-雅可比-贝尔曼方程", &[]);
    }

    #[test]
    fn every_line_of_the_list_is_a_chinese_word_and_english_in_small_letters() {
        let entries = &LIST.entries;
        assert!(entries.len() > 100);
        assert_eq!(entries.len(), include_str!("../../models/zh.sources.tsv").lines().count());
        for Entry { chinese, english, mistaken, .. } in entries {
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
