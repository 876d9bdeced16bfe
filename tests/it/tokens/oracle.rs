//! Random vocabularies and texts against the rules of byte-pair encoding in their plainest form:
//! look at all neighbours, merge the best, begin anew.

use std::sync::LazyLock;

use proptest::prelude::*;
use regex::Regex;

use super::*;

/// Merges neighbours until none has a rank: the lowest first, leftmost among equals.
fn merge<T: Clone>(mut symbols: Vec<T>, join: impl Fn(&T, &T) -> Option<(usize, T)>) -> Vec<T> {
    loop {
        let pairs = symbols.windows(2).enumerate();
        let joined = pairs.filter_map(|(at, pair)| Some((at, join(&pair[0], &pair[1])?)));
        let Some((at, (_, joint))) = joined.min_by_key(|(at, (rank, _))| (*rank, *at)) else {
            return symbols;
        };
        symbols.splice(at..at + 2, [joint]);
    }
}

/// The letter of every byte: itself where it is printable, the others in order from U+0100 on.
static LETTERS: LazyLock<Vec<char>> = LazyLock::new(|| {
    let is_printable = |&byte: &u8| matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..);
    let mut others = (0x100..).filter_map(char::from_u32);
    let letter = |byte| Some(byte).filter(is_printable).map(char::from).or_else(|| others.next());
    (0..=u8::MAX).filter_map(letter).collect()
});

/// How a pre-tokenizer cuts, without its last rule, which is for white space that nothing else took:
/// the last of it goes with the word that follows.
static CUTS: LazyLock<[(&str, Regex); 3]> = LazyLock::new(|| {
    let gpt_2 = r"^('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+)";
    let contraction = "(?i-u:'s|'t|'re|'ve|'m|'ll|'d)";
    let later = |digits: &str| {
        format!(
            r"^({contraction}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+)"
        )
    };
    let cuts = [gpt_2.to_owned(), later(r"\p{N}"), later(r"\p{N}{1,3}")];
    let [gpt_2, qwen2, llama_bpe] = cuts.map(|cut| Regex::new(&cut).expect("a sound pattern"));
    [("gpt-2", gpt_2), ("qwen2", qwen2), ("llama-bpe", llama_bpe)]
});

fn words<'a>(rules: &Regex, mut text: &'a str) -> Vec<&'a str> {
    let mut words = Vec::new();
    while !text.is_empty() {
        let end = rules.find(text).map(|word| word.end()).unwrap_or_else(|| {
            let spaces = text.len() - text.trim_start().len();
            match text[..spaces].char_indices().next_back() {
                Some((last, _)) if last > 0 && spaces < text.len() => last,
                _ => spaces,
            }
        });
        let (word, rest) = text.split_at(end);
        words.push(word);
        text = rest;
    }
    words
}

/// A byte-level vocabulary: pieces of `letters` and of what pairs of pieces, given by their places,
/// make; those at the places `control` must not be written.
#[derive(Debug)]
struct Pieces {
    texts: Vec<String>,
    control: Vec<bool>,
    merges: Vec<(usize, usize, usize)>,
}

impl Pieces {
    fn new(letters: &str, pairs: &[(usize, usize)], control: &[usize]) -> Self {
        let mut texts: Vec<String> = letters.chars().map(String::from).collect();
        let mut merges = Vec::new();
        for (left, right) in pairs {
            let (left, right) = (left % texts.len(), right % texts.len());
            let joint = [texts[left].as_str(), &texts[right]].concat();
            let place = texts.iter().position(|text| *text == joint);
            merges.push((left, right, place.unwrap_or(texts.len())));
            texts.extend(place.is_none().then_some(joint));
        }
        let mut is_control = vec![false; texts.len()];
        control.iter().for_each(|place| is_control[place % texts.len()] = true);
        Pieces { texts, control: is_control, merges }
    }

    fn tokenizer(&self, pre: &str) -> Tokenizer {
        let merge = |(left, right, _): &(usize, usize, usize)| {
            text(&format!("{} {}", self.texts[*left], self.texts[*right]))
        };
        let merges = self.merges.iter().map(merge).collect();
        let pieces = self.texts.iter().zip(&self.control);
        let tiny = pieces.fold(Tiny::new("gpt2"), |tiny, (piece, &control)| {
            tiny.piece(piece, if control { CONTROL } else { NORMAL }, 0.0)
        });
        tiny.set("tokenizer.ggml.pre", text(pre))
            .set("tokenizer.ggml.merges", Value::Array(merges))
            .build()
    }

    /// The place of a piece that may be written.
    fn find(&self, piece: &str) -> Option<usize> {
        let place = self.texts.iter().position(|text| text == piece)?;
        (!self.control[place]).then_some(place)
    }

    fn encode(&self, (pre, rules): &(&str, Regex), text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        for word in words(rules, text) {
            let letter = |byte: u8| LETTERS[usize::from(byte)].to_string();
            let spelled: Vec<String> = word.bytes().map(letter).collect();
            let whole = self.find(&spelled.concat()).filter(|_| *pre == "llama-bpe");
            let symbols = match whole {
                Some(place) => vec![Some(place)],
                None => merge(spelled.iter().map(|letter| self.find(letter)).collect(), |a, b| {
                    let (a, b) = ((*a)?, (*b)?);
                    let is_pair =
                        |&(left, right, _): &(usize, usize, usize)| (left, right) == (a, b);
                    let rank = self.merges.iter().position(is_pair)?;
                    let joint = self.merges[rank].2;
                    (!self.control[joint]).then_some((rank, Some(joint)))
                }),
            };
            ids.extend(symbols.into_iter().flatten().map(|place| place as u32));
        }
        ids
    }
}

fn places(count: usize) -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(any::<usize>(), 0..count)
}

proptest! {
    #[test]
    fn bytes_are_merged_by_rank(
        pairs in proptest::collection::vec(any::<(usize, usize)>(), 0..25),
        control in places(3),
        cut in 0..CUTS.len(),
        input in r"([ab1 ]|[ab]{4}|[ab]{4}|\s|'[sS]|\PC){0,30}",
    ) {
        let pieces = Pieces::new("abĠ1Ċ'Ã©", &pairs, &control);
        let cut = &CUTS[cut];
        prop_assert_eq!(pieces.tokenizer(cut.0).encode(&input), pieces.encode(cut, &input));
    }

    #[test]
    fn characters_are_merged_by_score(
        pairs in proptest::collection::vec(any::<(usize, usize)>(), 0..25),
        scores in proptest::collection::vec(0u8..20, 33),
        control in places(3),
        input in r"([ab ]|[ab]{4}|[ab]{4}|é|文){0,30}",
    ) {
        let pieces = Pieces::new("ab▁é", &pairs, &control);
        let each = pieces.texts.iter().zip(&pieces.control).zip(&scores);
        let tiny = each.fold(Tiny::score(&[]), |tiny, ((piece, &control), &score)| {
            tiny.piece(piece, if control { CONTROL } else { NORMAL }, -f32::from(score))
        });
        let spelled: Vec<String> = input.replace(' ', "▁").chars().map(String::from).collect();
        let merged = merge(spelled, |left, right| {
            let joint = [left.as_str(), right].concat();
            let place = pieces.find(&joint)?;
            Some((usize::from(scores[place]), joint))
        });
        let expected: Vec<u32> = merged
            .iter()
            .flat_map(|piece| match pieces.find(piece) {
                Some(place) => vec![259 + place as u32],
                None => piece.bytes().map(|byte| 3 + u32::from(byte)).collect(),
            })
            .collect();
        prop_assert_eq!(no_space(tiny).encode(&input), expected);
    }

    #[test]
    fn tokens_that_are_spelled_are_cut_out_longest_first(
        spellings in proptest::collection::btree_set("[aé<]{1,4}", 0..12),
        input in "[abé<]{0,30}",
    ) {
        let tokens = spellings.iter().fold(Tiny::score(&[]), |tiny, spelling| {
            tiny.piece(spelling, CONTROL, 0.0)
        });
        let mut order: Vec<(u32, &String)> = (259..).zip(&spellings).collect();
        order.sort_by_key(|(_, spelling)| std::cmp::Reverse(spelling.len()));
        let mut expected = vec![Stretch::Text(input.clone())];
        for (id, spelling) in order {
            let mut finer = Vec::new();
            for stretch in expected {
                let Stretch::Text(text) = stretch else {
                    finer.push(stretch);
                    continue;
                };
                for (at, rest) in text.split(spelling.as_str()).enumerate() {
                    finer.extend((at > 0).then_some(Stretch::Control(id)));
                    finer.push(Stretch::Text(rest.to_owned()));
                }
            }
            expected = finer;
        }
        expected.retain(|stretch| *stretch != Stretch::Text(String::new()));
        prop_assert_eq!(tokens.build().stretches(&input), expected);
    }
}
