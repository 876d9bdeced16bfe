//! Words in other letters than Chinese ones: those of the source, to the letter.
//!
//! A word is a run of letters and digits with a letter in it, joined by single marks as in
//! `Qwen2.5-VL`. While it is written it must begin as a word of the source does, and where it ends
//! a word of the source, or a part of a compound, must end: `LLMs` is not written `LLM`, nor
//! `DeepSeek` `Deepseek`. A first capital is free, since titles and terms get one in Chinese. Of
//! the words of 300 references 1.4 % would be refused, half of them singulars of plurals.
//!
//! What is refused after some characters is refused with whatever follows them.

use super::words::{Begun, MAX_WORD_CHARS, Words};
use crate::summary::Source;

/// The words of a source, which begin and end as summaries may begin and end them: as they stand,
/// and in the plainer ways in which summaries write them.
#[derive(Debug)]
pub(super) struct Names {
    words: Words,
}

/// The word that a field ends with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    /// Where in the field it begins.
    start: usize,
    /// Words of the source that begin so; and those that begin so in small letters.
    exact: Begun,
    lower: Begun,
    has_letter: bool,
    first_is_capital: bool,
    /// Of what follows the first character.
    has_capital: bool,
    has_small: bool,
    /// Whether there is nothing but capitals.
    is_capitals: bool,
}

/// Where a field stands, for the word that comes next.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    word: Option<Word>,
    /// The mark behind the word, if it may be one that joins it to what follows.
    joint: Option<char>,
}

impl Names {
    pub(super) fn of(source: &Source<'_>) -> Names {
        let text = [source.title, source.abstract_text, source.translations].join("\n");
        let plain: String = text.chars().filter(|c| !"\\${}^".contains(*c)).collect();
        let plain = plain.replace("--", "-");
        let mut joined = String::new();
        let mut chars = plain.chars().peekable();
        let mut before = ' ';
        while let Some(c) = chars.next() {
            let unit = c == ' ' && before.is_ascii_digit();
            if !(unit && chars.peek().is_some_and(|next| is_letter(*next))) {
                joined.push(c);
            }
            before = c;
        }
        // CO$_2$ is written CO2.
        let mut chars = plain.chars().peekable();
        let mut level = String::new();
        while let Some(c) = chars.next() {
            let is_subscript = c == '_' && chars.peek().is_some_and(char::is_ascii_digit);
            level.extend((!is_subscript).then_some(c));
        }
        let chars: Vec<char> = [text, plain, joined, level].join("\n").chars().collect();
        let starts = (0..chars.len()).filter(|&at| starts_word(&chars, at));
        let words: Vec<_> = starts.map(|at| at..word_end(&chars, at)).collect();
        Names { words: Words::of(chars, words.into_iter(), is_joint) }
    }

    /// Where a field stands that says `chars`.
    pub(super) fn place(&self, chars: &[char]) -> Place {
        let mut start = chars.len();
        while start > 0 && (is_part(chars[start - 1]) || is_joint(chars[start - 1])) {
            start -= 1;
        }
        (start..chars.len()).fold(Place::default(), |place, at| self.step(place, chars, at).0)
    }

    /// Whether the words that the last `new` of `chars` are part of may stand there; `place` is
    /// where the field stood before them.
    pub(super) fn allows(&self, mut place: Place, chars: &[char], new: usize) -> bool {
        (chars.len() - new..chars.len()).all(|at| {
            let (next, is_allowed) = self.step(place, chars, at);
            place = next;
            is_allowed
        })
    }

    /// Takes in the character at `at`, and tells whether it may stand there.
    fn step(&self, place: Place, chars: &[char], at: usize) -> (Place, bool) {
        let c = chars[at];
        if is_part(c) {
            let word = match (place.word, place.joint) {
                (Some(word), Some(joint)) => self.longer(self.longer(word, joint), c),
                (Some(word), None) => self.longer(word, c),
                (None, _) => self.longer(self.none(at), c),
            };
            return (Place { word: Some(word), joint: None }, self.may_go_on(&word));
        }
        match (place.word, place.joint) {
            (Some(word), None) if is_joint(c) => {
                // If it joins nothing, the word has ended before it; a compound has ended parts.
                (Place { word: Some(word), joint: Some(c) }, self.may_end(&word, chars))
            }
            (Some(word), None) => (Place::default(), self.may_end(&word, chars)),
            _ => (Place::default(), true),
        }
    }

    fn none(&self, start: usize) -> Word {
        Word {
            start,
            exact: self.words.all(),
            lower: self.words.all(),
            has_letter: false,
            first_is_capital: false,
            has_capital: false,
            has_small: false,
            is_capitals: true,
        }
    }

    fn longer(&self, word: Word, c: char) -> Word {
        let is_first = word.exact == self.words.all();
        let is_capital = c.is_uppercase();
        Word {
            exact: self.words.narrow(word.exact, c),
            lower: c.to_lowercase().fold(word.lower, |begun, c| self.words.narrow(begun, c)),
            has_letter: word.has_letter || is_letter(c),
            first_is_capital: if is_first { is_capital } else { word.first_is_capital },
            has_capital: word.has_capital || !is_first && is_capital,
            has_small: word.has_small || !is_first && c.is_lowercase(),
            is_capitals: word.is_capitals && is_capital,
            ..word
        }
    }

    /// Whether the source has a word that begins so.
    fn may_go_on(&self, word: &Word) -> bool {
        !word.has_letter
            || !word.exact.is_nothing()
            || word.is_free_in_case() && !word.lower.is_nothing()
    }

    /// Whether the source has the word, which is one of the field `chars`.
    fn may_end(&self, word: &Word, chars: &[char]) -> bool {
        !word.has_letter
            || self.words.may_end(word.exact)
            || word.is_free_in_case() && self.words.may_end(word.lower)
            || word.is_capitals && self.has_plural(word, chars)
    }

    /// Chinese has no plural: `LLM` may stand for `LLMs` once that was written.
    fn has_plural(&self, word: &Word, chars: &[char]) -> bool {
        if !self.words.may_end(self.words.narrow(word.exact, 's')) {
            return false;
        }
        let (before, rest) = chars.split_at(word.start);
        let plural: Vec<char> =
            rest.iter().copied().take_while(|c| is_part(*c)).chain(['s']).collect();
        before.windows(plural.len()).any(|written| written == plural)
    }
}

impl Word {
    /// A first capital, or capitals alone (`ID`), for what the source has in small letters.
    fn is_free_in_case(&self) -> bool {
        self.first_is_capital && !(self.has_capital && self.has_small)
    }
}

/// Whether a word begins at `at`: where none is before it, or at a hump (`Maze` of `RuleMaze`).
fn starts_word(chars: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| chars[before]);
    let hump = |before: char| before.is_lowercase() && chars[at].is_uppercase();
    is_part(chars[at]) && before.is_none_or(|before| !is_part(before) || hump(before))
}

/// Where the word that begins at `at` ends, as far as it is looked at.
fn word_end(chars: &[char], at: usize) -> usize {
    let last = chars.len().min(at + MAX_WORD_CHARS);
    let mut end = at;
    while end < last {
        let joins = end > at && is_joint(chars[end]);
        if is_part(chars[end]) {
            end += 1;
        } else if joins && chars.get(end + 1).is_some_and(|next| is_part(*next)) {
            end += 2;
        } else {
            break;
        }
    }
    end
}

/// Whether `c` joins the parts of a word.
fn is_joint(c: char) -> bool {
    "-._+/'’".contains(c)
}

fn is_part(c: char) -> bool {
    c.is_ascii_digit() || is_letter(c)
}

/// Letters but for Chinese ones, and for Greek ones, which stand for what TeX has a name for.
fn is_letter(c: char) -> bool {
    c.is_alphabetic()
        && !matches!(c, '\u{370}'..='\u{3ff}' | '\u{3005}'..='\u{3007}' | '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}
