//! Words of a text, and how two of them are compared.

/// A word: letters and digits without a break.
#[derive(Debug, Clone)]
pub(crate) struct Word<'a> {
    /// As it stands.
    pub(crate) text: &'a str,
    /// What it is compared by.
    pub(crate) stem: String,
    /// Where it begins and ends, in bytes.
    start: usize,
    end: usize,
}

impl Word<'_> {
    /// Whether capitals are what tells it from another word.
    pub(crate) fn is_acronym(&self) -> bool {
        self.text.chars().filter(|c| c.is_uppercase()).count() > 1
    }
}

/// The words of `text`.
pub(crate) fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (start, c.is_alphanumeric()) {
            (None, true) => start = Some(at),
            (Some(begin), false) => {
                let word = &text[begin..at];
                let stem = singular(&word.to_lowercase()).to_owned();
                words.push(Word { text: word, stem, start: begin, end: at });
                start = None;
            }
            _ => {}
        }
    }
    words
}

/// `word` without the s of a plural: something to compare by, not always a word.
pub(crate) fn singular(word: &str) -> &str {
    let mut chars = word.chars().rev();
    let is_plural = chars.next() == Some('s')
        && chars.next().is_some_and(|before| !matches!(before, 's' | 'i' | 'u'))
        && chars.count() >= 2;
    if is_plural { &word[..word.len() - 1] } else { word }
}

/// How many of the first `most` words follow each other with a space, a hyphen or an apostrophe
/// between.
pub(crate) fn joined(text: &str, words: &[Word<'_>], most: usize) -> usize {
    let pairs = words.iter().zip(words.iter().skip(1)).take(most.saturating_sub(1));
    let is_joint = |joint: &str| matches!(joint, " " | "-" | "'" | "’");
    let joints = pairs.take_while(|(a, b)| is_joint(&text[a.end..b.start])).count();
    words.len().min(joints + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plural_loses_its_s() {
        let check = |word: &str, stem: &str| assert_eq!(singular(word), stem);
        check("models", "model");
        check("LLMs", "LLM");
        check("gas", "gas");
        check("loss", "loss");
        check("analysis", "analysis");
        check("corpus", "corpus");
        check("s", "s");
    }

    #[test]
    fn words_are_joined_by_one_space_hyphen_or_apostrophe() {
        let text = "graph-based  models, Schrödinger bridge";
        let words = words(text);
        let texts: Vec<&str> = words.iter().map(|word| word.text).collect();
        assert_eq!(texts, ["graph", "based", "models", "Schrödinger", "bridge"]);
        assert_eq!(joined(text, &words, 4), 2, "two spaces");
        assert_eq!(joined(text, &words[3..], 4), 2);
        assert_eq!(joined(text, &words[3..], 1), 1);
        assert_eq!(joined(text, &[], 4), 0);
        for text in ["Parkinson's disease", "Parkinson’s-disease"] {
            assert_eq!(joined(text, &super::words(text), 4), 3, "{text}");
        }
    }
}
