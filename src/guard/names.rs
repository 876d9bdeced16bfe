//! Words in other letters than Chinese ones: those of the source, to the letter.
//!
//! A word is a run of letters and digits with a letter in it, joined by single marks as in
//! `Qwen2.5-VL`. While it is written it must begin as a word of the source does, and where it ends
//! a word of the source, or a part of a compound, must end: `LLMs` is not written `LLM`, nor
//! `DeepSeek` `Deepseek`. A first capital is free, since titles and terms get one in Chinese. Of
//! the words of 300 references 1.4 % would be refused, half of them singulars of plurals.

use crate::summary::Source;

/// Marks that join the parts of a word.
const JOINTS: &str = "-._+/'’";

/// The words of a source.
#[derive(Debug)]
pub(super) struct Names {
    /// The source as it stands, and in the plainer ways in which summaries write it.
    text: String,
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
        Names { text: [text, plain, joined].join("\n") }
    }

    /// Whether the words that the last `new` of `chars` are part of may stand there.
    pub(super) fn allows(&self, chars: &[char], new: usize) -> bool {
        let mut at = chars.len() - new;
        while at > 0 && (is_part(chars[at - 1]) || JOINTS.contains(chars[at - 1])) {
            at -= 1;
        }
        while at < chars.len() {
            let end = word_end(chars, at);
            if end == at {
                at += 1;
                continue;
            }
            if !self.has(&chars[..at], &chars[at..end], end < chars.len()) {
                return false;
            }
            at = end;
        }
        true
    }

    /// Whether the source has `word`, or, where it has not `ended`, a word that begins so; `before`
    /// is what the field says before it.
    fn has(&self, before: &[char], word: &[char], ended: bool) -> bool {
        if !word.iter().any(|c| is_letter(*c)) {
            return true;
        }
        let word: String = word.iter().collect();
        self.find(&word, ended)
            || self.find_lower(&word, ended)
            || ended && self.has_plural(before, &word)
    }

    fn find(&self, word: &str, ended: bool) -> bool {
        self.text.match_indices(word).any(|(start, _)| {
            let before = self.text[..start].chars().next_back();
            let after = self.text[start + word.len()..].chars().next();
            starts_word(before, word) && !(ended && after.is_some_and(is_part))
        })
    }

    /// A first capital, or capitals alone (`ID`), for what the source has in small letters.
    fn find_lower(&self, word: &str, ended: bool) -> bool {
        let mut rest = word.chars();
        let first = rest.next().is_some_and(char::is_uppercase);
        let lower = word.to_lowercase();
        let rest = rest.as_str();
        first
            && (!rest.contains(char::is_uppercase) || !rest.contains(char::is_lowercase))
            && self.find(&lower, ended)
    }

    /// Chinese has no plural: `LLM` may stand for `LLMs` once that was written.
    fn has_plural(&self, before: &[char], word: &str) -> bool {
        let plural: Vec<char> = word.chars().chain(['s']).collect();
        word.chars().all(char::is_uppercase)
            && self.find(&format!("{word}s"), true)
            && before.windows(plural.len()).any(|written| written == plural)
    }
}

/// Whether `word` begins one behind `before`: where no word is, or at a hump (`Maze` of `RuleMaze`).
fn starts_word(before: Option<char>, word: &str) -> bool {
    let hump = |before: char| before.is_lowercase() && word.starts_with(char::is_uppercase);
    before.is_none_or(|before| !is_part(before) || hump(before))
}

/// Where the word that begins at `at` ends; at `at` where none does.
fn word_end(chars: &[char], at: usize) -> usize {
    let mut end = at;
    while end < chars.len() {
        let joins = end > at && JOINTS.contains(chars[end]);
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

fn is_part(c: char) -> bool {
    c.is_ascii_digit() || is_letter(c)
}

/// Letters but for Chinese ones, and for Greek ones, which stand for what TeX has a name for.
fn is_letter(c: char) -> bool {
    c.is_alphabetic()
        && !matches!(c, '\u{370}'..='\u{3ff}' | '\u{3005}'..='\u{3007}' | '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}
