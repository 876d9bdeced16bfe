//! The words of a text in order, so that a word that is begun is compared with all of them at once.
//!
//! All words that begin alike stand in one stretch of a sorted list. Each character that is written
//! narrows the stretch, by two binary searches, so that a guard takes a few steps a character,
//! whatever the length of the text and of its words.

use std::ops::Range;

/// Most characters of a word that are looked at. The longest names of chemicals and datasets have
/// some forty; what follows is not held to anything.
pub(super) const MAX_WORD_CHARS: usize = 64;

/// The words of a text.
#[derive(Debug)]
pub(super) struct Words {
    chars: Vec<char>,
    /// Where in `chars` each word stands, sorted by what it spells; ends and joints come before
    /// letters and digits.
    words: Vec<Range<u32>>,
    is_joint: fn(char) -> bool,
}

/// The words that begin with what is written so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    first: usize,
    end: usize,
    /// How many characters are written.
    length: usize,
}

impl Begun {
    /// Whether no word begins so.
    pub(super) fn is_nothing(&self) -> bool {
        self.first == self.end
    }
}

impl Words {
    /// Those at `words` in `chars`, each cut after [`MAX_WORD_CHARS`].
    pub(super) fn of(
        chars: Vec<char>,
        words: impl Iterator<Item = Range<usize>>,
        is_joint: fn(char) -> bool,
    ) -> Words {
        // Sources have some 10,000 characters; what an index of 32 bits cannot reach is no word.
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let cut = words.map(|word| {
            let end = word.end.min(word.start + MAX_WORD_CHARS);
            narrow(word.start)..narrow(end)
        });
        let mut all = Words { words: cut.collect(), chars, is_joint };
        let mut words = std::mem::take(&mut all.words);
        words.sort_by(|a, b| all.keys(a).cmp(all.keys(b)));
        words.dedup_by(|a, b| all.keys(a).eq(all.keys(b)));
        all.words = words;
        all
    }

    /// All words: nothing is written yet.
    pub(super) fn all(&self) -> Begun {
        Begun { first: 0, end: self.words.len(), length: 0 }
    }

    /// Those of `begun` that go on with `next`. What is longer than is looked at stays as it is.
    pub(super) fn narrow(&self, begun: Begun, next: char) -> Begun {
        if begun.length >= MAX_WORD_CHARS {
            return begun;
        }
        let next = Some(self.key(next));
        let words = &self.words[begun.first..begun.end];
        let skipped = words.partition_point(|word| self.key_at(word, begun.length) < next);
        let words = &words[skipped..];
        let count = words.partition_point(|word| self.key_at(word, begun.length) == next);
        let first = begun.first + skipped;
        Begun { first, end: first + count, length: begun.length + 1 }
    }

    /// Whether one of `begun` ends there, or has a joint there.
    pub(super) fn may_end(&self, begun: Begun) -> bool {
        if begun.is_nothing() || begun.length >= MAX_WORD_CHARS {
            return !begun.is_nothing();
        }
        let next = self.key_at(&self.words[begun.first], begun.length);
        next.is_none_or(|(is_part, _)| !is_part)
    }

    fn keys(&self, word: &Range<u32>) -> impl Iterator<Item = (bool, char)> {
        self.chars[word.start as usize..word.end as usize].iter().map(|c| self.key(*c))
    }

    fn key_at(&self, word: &Range<u32>, at: usize) -> Option<(bool, char)> {
        let at = word.start as usize + at;
        (at < word.end as usize).then(|| self.key(self.chars[at]))
    }

    /// By what characters are sorted.
    fn key(&self, c: char) -> (bool, char) {
        (!(self.is_joint)(c), c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Words {
        let chars: Vec<char> = text.chars().collect();
        let mut ranges = Vec::new();
        let mut start = 0;
        for word in chars.split(|c| *c == ' ') {
            ranges.push(start..start + word.len());
            start += word.len() + 1;
        }
        Words::of(chars, ranges.into_iter(), |c| c == '-')
    }

    #[test]
    fn what_is_begun_is_found_among_all() {
        let words = words("low low-rank lower rank lower");
        let begun = |text: &str| text.chars().fold(words.all(), |at, c| words.narrow(at, c));
        let check = |text: &str, count: usize, ends: bool| {
            let begun = begun(text);
            assert_eq!((begun.end - begun.first, words.may_end(begun)), (count, ends), "{text}");
        };
        check("", 4, false);
        check("lo", 3, false);
        check("low", 3, true);
        check("lower", 1, true);
        check("low-", 1, false);
        check("low-rank", 1, true);
        check("lowest", 0, false);
        check("x", 0, false);
    }

    #[test]
    fn of_long_words_the_beginning_counts() {
        let long = "a".repeat(2 * MAX_WORD_CHARS);
        let words = words(&long);
        let begun = |text: &str| text.chars().fold(words.all(), |at, c| words.narrow(at, c));
        assert!(!words.may_end(begun(&long[..MAX_WORD_CHARS - 1])));
        assert!(words.may_end(begun(&long[..MAX_WORD_CHARS])));
        assert!(!begun(&format!("{long}b")).is_nothing());
        assert!(begun(&format!("{}b", &long[..9])).is_nothing());
    }
}
