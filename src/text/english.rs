//! English that was left in the midst of Chinese: "regret bound的系数".
//!
//! Much that is written in Latin letters belongs there: names, symbols, and words that Chinese takes
//! over, such as "softmax". What does not is told by a list: words of small letters that stand in
//! several of 28,000 abstracts, and that next to none of their Chinese paragraphs has kept
//! (`models/zh.english.txt`, which `models/training/glossary.py` learned). A compound is English where
//! all of its parts are. Of 300 references 1.3 % have such a word.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::formula::{Piece, pieces};
use super::is_han;

static WORDS: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("../../models/zh.english.txt").lines().collect());

/// Names of operators in formulas, which the list has: `1 mod 4`, `det A`.
const OPERATORS: [&str; 5] = ["det", "exp", "inf", "mod", "var"];

/// What joins the parts of a compound.
const JOINTS: [char; 3] = ['-', '\'', '’'];

/// Marks next to which a word is a part of a name, a path, a formula or a command; joints among them,
/// behind what is no word, as in `GPT-2-small`.
pub(crate) const MARKS: &str = "-'’_./\\@$^{}<>=+#&~`";

/// Whether `word`, of Latin letters and joints, says something that Chinese has words for. A first
/// capital does not matter.
pub(crate) fn is_english(word: &str) -> bool {
    let mut chars = word.chars();
    let rest_is_small = chars.next().is_some() && !chars.any(char::is_uppercase);
    let word = word.to_lowercase();
    let is_one = |part: &str| WORDS.contains(part) && !OPERATORS.contains(&part);
    rest_is_small && word.split(JOINTS).all(is_one)
}

/// The words of small letters in `text` that are English; not those that `allowed` has.
pub(crate) fn left_in(text: &str, allowed: &str) -> Vec<String> {
    let allowed: HashSet<&str> = words(allowed).map(|(_, word)| word).collect();
    let mut found: Vec<String> = Vec::new();
    for word in small_words(text) {
        if is_english(word) && !allowed.contains(word) && !found.iter().any(|known| known == word) {
            found.push(word.to_owned());
        }
    }
    found
}

/// The words of small letters in `text`, but for parts of names, paths, formulas and commands.
pub(crate) fn small_words(text: &str) -> impl Iterator<Item = &str> {
    outside_formulas(text)
        .filter(move |(start, word)| {
            let after = &text[start + word.len()..];
            let is_part =
                is_part(text[..*start].chars().rev()) || is_part(after.chars()) || is_call(after);
            !word.contains(char::is_uppercase) && !is_part
        })
        .map(|(_, word)| word)
}

/// Whether a word is a part of a name, a path, a formula or a command, by what stands next to it on one side,
/// nearest first. One that a hyphen joins to Chinese is none: 语音-enabled.
fn is_part(mut beside: impl Iterator<Item = char>) -> bool {
    match beside.next() {
        Some('-') => !beside.next().is_some_and(is_han),
        Some(c) => is_other(c) || MARKS.contains(c),
        None => false,
    }
}

/// The words of `text` that stand in no formula between dollar signs, as [`words`] has them.
pub(crate) fn outside_formulas(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let texts = pieces(text).into_iter().filter_map(|piece| match piece {
        Piece::Text(piece) => Some((piece.as_ptr() as usize - text.as_ptr() as usize, piece)),
        Piece::Formula(_) => None,
    });
    texts.flat_map(|(from, piece)| words(piece).map(move |(at, word)| (from + at, word)))
}

/// Whether what stands behind a word makes a function or a command of it (`cost(x)`, `reset()`): a
/// parenthesis without a blank, in which there is neither Chinese nor a plural or an abbreviation
/// (`model(s)`, `learning(RL)`).
pub(crate) fn is_call(after: &str) -> bool {
    let Some(inside) = after.strip_prefix('(') else { return false };
    let inside = inside.split(')').next().unwrap_or_default();
    let capitals = inside.strip_suffix('s').unwrap_or(inside);
    let is_abbreviation = capitals.len() > 1 && capitals.bytes().all(|b| b.is_ascii_uppercase());
    !inside.starts_with(is_han) && !["s", "es"].contains(&inside) && !is_abbreviation
}

/// The words of Latin letters in `text`, compounds whole, and where they start.
pub(crate) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_ascii_alphabetic() || JOINTS.contains(&c);
    text.split(move |c| !is_word(c)).filter(|word| !word.is_empty()).map(move |word| {
        let word = word.trim_matches(JOINTS);
        (word.as_ptr() as usize - text.as_ptr() as usize, word)
    })
}

/// A letter or digit that is neither Chinese nor one of a word.
fn is_other(c: char) -> bool {
    c.is_alphanumeric() && !is_han(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_chinese_has_are_english_names_and_symbols_are_not() {
        let check =
            |text: &str, expected: &[&str]| assert_eq!(left_in(text, ""), expected, "{text}");
        check("regret bound的系数", &["regret", "bound"]);
        check("一种low-rank近似，without额外成本", &["low-rank", "without"]);
        check("用softmax与k-means，pass@1，`find`，$log n$，GPT-based，https://a.b/find", &[]);
        check("Transformer的Attention模块", &[]);
        check("statgram是一种方法", &[]);
        check("速度exp(-Ω(T))，cost(·)与reset()/step()，$n \\text{ find } 3$", &[]);
        check("regret(RL)与bound(s)，find(LLMs)", &["regret", "bound", "find"]);
        check("$p$ ≡ 1 (mod 4)，regret(后悔)，价为$5，without至$6", &["regret", "without"]);
        check("在GPT-2-small上，$v$-prediction与2-shot", &[]);
        check("bound和bound", &["bound"]);
        check("语音-enabled的系统，low-秩，k-均值，径-GPT，$v$-prediction", &["enabled", "low"]);
    }

    #[test]
    fn what_is_allowed_is_not_found() {
        assert_eq!(left_in("bandit的agent", "agent\nbandit"), Vec::<String>::new());
        assert_eq!(left_in("一种form的方法", "transformer"), ["form"]);
        assert!(is_english("Regret") && !is_english("REGRET") && !is_english(""));
    }
}
