//! A word to look for, and which others are the same.

use crate::text::words;

/// A word to compare others with.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    text: String,
    stem: String,
    /// Typed in small letters, `gpus` ends as `virus` does, which is no plural: it means GPU as well.
    acronym: Option<String>,
    case: Case,
}

/// Which case a word has to be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Any,
    /// Some capital: names in both cases are spelt in many ways, `PyTorch` and `Pytorch`, and words such
    /// as latex are something else.
    Capital,
    Exact,
}

/// Most letters of a name in both cases that is compared as it stands, such as `MoE` and `LoRA`: there
/// are other words of these letters.
const SHORT_NAME: usize = 4;

impl Pattern {
    pub(super) fn of(text: &str) -> Vec<Pattern> {
        let pattern = |word: words::Word<'_>| Pattern {
            text: words::stem(word.text).into_owned(),
            case: if word.is_acronym() { Case::Exact } else { Case::Any },
            stem: word.stem,
            acronym: None,
        };
        words::words(text).into_iter().map(pattern).collect()
    }

    /// What somebody typed, who may not know how a name is spelt.
    pub(super) fn typed(text: &str) -> Vec<Pattern> {
        let mut patterns = Pattern::of(text);
        for pattern in patterns.iter_mut().filter(|pattern| pattern.case == Case::Exact) {
            let singular = pattern.text.strip_suffix('s').unwrap_or(&pattern.text);
            let is_long = singular.chars().count() > SHORT_NAME;
            if is_long && singular.contains(char::is_lowercase) {
                pattern.case = Case::Capital;
            }
        }
        for pattern in &mut patterns {
            let is_short = pattern.text.len() <= SHORT_NAME && pattern.case == Case::Any;
            let head = pattern.stem.strip_suffix('s').filter(|head| is_short && head.len() > 2);
            pattern.acronym = head.filter(|head| head.ends_with('u')).map(str::to_owned);
        }
        patterns
    }

    pub(super) fn is(&self, word: &words::Word<'_>) -> bool {
        if self.acronym.as_ref() == Some(&word.stem) {
            return true;
        }
        self.stem == word.stem
            && match self.case {
                Case::Any => true,
                Case::Capital => word.text.contains(char::is_uppercase),
                Case::Exact => self.text == words::stem(word.text),
            }
    }
}
