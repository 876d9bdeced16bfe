//! A paper as terms look at it: each of its texts is taken apart into words once, however many terms
//! there are, and not before one asks for words.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::pattern::Pattern;
use crate::paper::Paper;
use crate::summary::Summary;
use crate::text::words::{self, Word};

/// Where a term is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Anywhere,
    Title,
    Abstract,
    Author,
    Category,
}

impl Place {
    /// Whether what is looked for here may stand at `place`.
    pub(super) fn includes(self, place: Place) -> bool {
        self == place || self == Place::Anywhere
    }
}

/// A text of a paper.
#[derive(Debug)]
pub(super) struct Text<'a> {
    place: Place,
    /// As the paper has it, without markup.
    pub(super) plain: &'a str,
    hyphened: Cow<'a, str>,
}

/// The title, the abstract and the authors of `paper`.
pub(super) fn texts(paper: &Paper) -> Vec<Text<'_>> {
    let title_and_abstract =
        [(Place::Title, &paper.plain_title), (Place::Abstract, &paper.plain_abstract)];
    let authors = paper.authors.iter().map(|author| (Place::Author, author));
    let texts = title_and_abstract.into_iter().chain(authors);
    texts.map(|(place, plain)| Text { place, plain, hyphened: with_hyphens(plain) }).collect()
}

/// A text and, once they are asked for, its words.
#[derive(Debug)]
pub(super) struct InWords<'a> {
    pub(super) text: &'a Text<'a>,
    words: OnceCell<Vec<Word<'a>>>,
}

impl InWords<'_> {
    pub(super) fn words(&self) -> &[Word<'_>] {
        self.words.get_or_init(|| words::words(&self.text.hyphened))
    }

    /// Whether it has the words of `term` in a row.
    pub(super) fn has(&self, term: &[Pattern]) -> bool {
        let words = self.words();
        let begins = |at: usize| {
            let rest = &words[at..];
            term.iter().zip(rest).all(|(pattern, word)| pattern.is(word))
                && term.len() <= words::joined(&self.text.hyphened, rest, term.len())
        };
        !term.is_empty() && (0..words.len()).any(begins)
    }

    /// Whether `literal` stands in it as it is, whatever the case, and is no part of a longer word or of
    /// more of the same signs: `C++` and not the C of it.
    pub(super) fn has_literally(&self, literal: &str) -> bool {
        let text = self.text.hyphened.to_lowercase().replace('-', " ");
        let goes_on = |inside: Option<char>, outside: Option<char>| match (inside, outside) {
            (Some(inside), Some(outside)) if inside.is_alphanumeric() => outside.is_alphanumeric(),
            (inside, outside) => inside == outside,
        };
        text.match_indices(literal).any(|(at, _)| {
            let (before, after) = (&text[..at], &text[at + literal.len()..]);
            !goes_on(literal.chars().next(), before.chars().next_back())
                && !goes_on(literal.chars().next_back(), after.chars().next())
        })
    }
}

/// What terms are looked for in.
#[derive(Debug)]
pub(super) struct Searched<'a> {
    pub(super) paper: &'a Paper,
    /// What is known of it in Chinese.
    pub(super) summary: Option<&'a Summary>,
    texts: Vec<InWords<'a>>,
}

impl<'a> Searched<'a> {
    /// `paper`, whose texts are `texts`.
    pub(super) fn new(
        paper: &'a Paper,
        summary: Option<&'a Summary>,
        texts: &'a [Text<'a>],
    ) -> Self {
        let texts = texts.iter().map(|text| InWords { text, words: OnceCell::new() }).collect();
        Searched { paper, summary, texts }
    }

    /// The texts that stand at `place`.
    pub(super) fn at(&self, place: Place) -> impl Iterator<Item = &InWords<'a>> {
        self.texts.iter().filter(move |text| place.includes(text.text.place))
    }

    /// Whether title or abstract has a word with one of `stems`.
    pub(super) fn has_stem(&self, stems: &[String]) -> bool {
        let mut texts = self.texts.iter().filter(|text| text.text.place != Place::Author);
        texts.any(|text| text.words().iter().any(|word| stems.contains(&word.stem)))
    }
}

/// `text` with a hyphen for every dash between words: `Kullback--Leibler` and `Kullback–Leibler`.
pub(super) fn with_hyphens(text: &str) -> Cow<'_, str> {
    match text.contains('–') || text.contains("--") {
        true => Cow::Owned(text.replace("---", "—").replace("--", "-").replace('–', "-")),
        false => Cow::Borrowed(text),
    }
}
