//! Terms that readers keep papers for, or drop them for.

use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};
use unicode_normalization::UnicodeNormalization;

use super::pattern::Pattern;
use super::searched::{self, InWords, Place, Searched, with_hyphens};
use crate::error::{Error, ErrorKind, Result};
use crate::feed::arxiv::categories;
use crate::glossary::Glossary;
use crate::paper::Paper;
use crate::summary::Summary;
use crate::text::is_han;

/// Largest compiled regular expression, in bytes.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// A word, some words in a row, a category, or a regular expression, and where it is looked for.
///
/// A term in Chinese is looked for in summaries, and in English where a list of common terms or a
/// glossary says what that is. Words are compared whole, without their case, singular or plural, and may be joined by
/// a hyphen instead of a space; a word of capitals, such as `RAG`, is compared with its case, and so are
/// short names in both, such as `LoRA`; longer ones (`PyTorch`) need some capital. What has
/// signs in it, such as `C++` and `Qwen2.5`, is looked for as it stands.
#[derive(Debug, Clone)]
pub struct Term {
    /// As it was typed.
    typed: String,
    place: Place,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// Words in a row.
    Words(Vec<Pattern>),
    /// What has signs in it, such as `TCP/IP` and `C++`, in small letters and without hyphens; see
    /// [`InWords::has_literally`].
    Literal(String),
    /// A category, or an archive with all of its categories.
    Category(String),
    /// Chinese, and what it may be in English.
    Chinese {
        text: String,
        english: Vec<Form>,
    },
    Regex(Regex),
}

/// Words in a row that a Chinese term is in English, and stems of which a paper has to have one, if any.
#[derive(Debug, Clone)]
struct Form {
    words: Vec<Pattern>,
    beside: Vec<String>,
}

impl FromStr for Term {
    type Err = Error;

    /// `WORDS` or `/REGEX/`, with `title:`, `abstract:`, `author:` or `category:` before it where it
    /// is to be looked for nowhere else.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a term without a word, and for a regular expression that is none.
    fn from_str(typed: &str) -> Result<Self> {
        let places = [
            ("title:", Place::Title),
            ("abstract:", Place::Abstract),
            ("author:", Place::Author),
            ("category:", Place::Category),
        ];
        let place =
            places.iter().find_map(|(name, place)| Some((typed.strip_prefix(name)?, *place)));
        let (text, place) = place.unwrap_or((typed, Place::Anywhere));
        // As papers have accents.
        let text: String = text.trim().nfc().collect();
        let text = text.as_str();
        let regex = text.strip_prefix('/').and_then(|text| text.strip_suffix('/'));
        let what = match regex {
            Some(regex) => What::Regex(compile(regex, typed)?),
            None if place == Place::Category || place == Place::Anywhere && is_category(text) => {
                What::Category(text.trim_end_matches(".*").to_owned())
            }
            // Words have no dots in them.
            None if text.contains('.') && is_category(text) => {
                let message = format!("the term {typed:?} looks for a category where none stands");
                return Err(Error::new(ErrorKind::Usage, message)
                    .hint(format!("write {text} alone, or category:{text}")));
            }
            None if text.chars().any(is_han) => {
                What::Chinese { text: text.to_owned(), english: common_english(text) }
            }
            None => {
                // What encloses or ends a phrase is none of it.
                let phrase = text.trim_start_matches(QUOTES).trim_end_matches(ENDS);
                let phrase = with_hyphens(phrase);
                match phrase.contains(is_sign) && phrase.contains(char::is_alphanumeric) {
                    true => What::Literal(phrase.to_lowercase().replace('-', " ")),
                    false => What::Words(Pattern::typed(&phrase)),
                }
            }
        };
        let is_empty = match &what {
            What::Words(words) => words.is_empty(),
            What::Category(name) => name.is_empty(),
            What::Chinese { .. } | What::Regex(_) | What::Literal(_) => false,
        };
        if is_empty {
            let message = format!("the term {typed:?} has no word");
            return Err(Error::new(ErrorKind::Usage, message)
                .hint("a term is one word or some, a category such as cs.CL, or /a regex/"));
        }
        Ok(Term { typed: typed.to_owned(), place, what })
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

impl Term {
    /// Lets a Chinese term find the English ones that `glossary` translates by it.
    pub(super) fn translate(&mut self, glossary: &Glossary) {
        if let What::Chinese { text, english } = &mut self.what {
            let form = |(term, beside): (&str, &[String])| Form {
                words: Pattern::of(term),
                beside: beside.to_vec(),
            };
            english.extend(glossary.terms_for(text).map(form));
        }
    }

    pub(super) fn is_chinese(&self) -> bool {
        matches!(self.what, What::Chinese { .. })
    }

    pub(super) fn is_untranslated(&self) -> bool {
        matches!(&self.what, What::Chinese { english, .. } if english.is_empty())
    }

    /// Whether `paper` has it, or `summary`, which is what is known of the paper in Chinese: its title
    /// counts as the paper's, and the rest as the abstract.
    pub fn is_in(&self, paper: &Paper, summary: Option<&Summary>) -> bool {
        self.is_found_in(&Searched::new(paper, summary, &searched::texts(paper)))
    }

    /// [`Term::is_in`], where other terms are looked for as well.
    pub(super) fn is_found_in(&self, searched: &Searched<'_>) -> bool {
        let is_at = |place| self.place.includes(place);
        let mut texts = searched.at(self.place);
        let mut categories =
            searched.paper.categories.iter().filter(|_| is_at(Place::Category)).map(String::as_str);
        match &self.what {
            What::Category(name) => categories.any(|category| is_within(category, name)),
            What::Words(words) => texts.any(|text| text.has(words)),
            What::Literal(literal) => texts.any(|text| text.has_literally(literal)),
            What::Regex(regex) => {
                texts.map(|text| text.text.plain).chain(categories).any(|it| regex.is_match(it))
            }
            What::Chinese { text, english } => {
                let has = |chinese: &String| chinese.contains(text.as_str());
                let is_in_summary = |summary: &Summary| {
                    is_at(Place::Title) && has(&summary.zh_title)
                        || is_at(Place::Abstract)
                            && (has(&summary.zh_tldr) || has(&summary.zh_abstract))
                };
                let has_form = |text: &InWords<'_>| {
                    english.iter().any(|form| text.has(&form.words) && form.is_meant_in(searched))
                };
                searched.summary.is_some_and(is_in_summary)
                    || texts
                        .any(|other| other.text.plain.contains(text.as_str()) || has_form(other))
            }
        }
    }
}

fn compile(regex: &str, typed: &str) -> Result<Regex> {
    let built = RegexBuilder::new(regex).case_insensitive(true).size_limit(MAX_REGEX_BYTES).build();
    built.map_err(|cause| {
        let reason = match cause {
            regex::Error::CompiledTooBig(_) => "it is too large",
            _ => "it is no regular expression",
        };
        Error::new(ErrorKind::Usage, format!("the term {typed}: {reason}"))
            .hint("without the slashes it is looked for as words; inside them \\ escapes a sign")
    })
}

/// The English of a common term.
fn common_english(chinese: &str) -> Vec<Form> {
    let lines = include_str!("chinese.tsv").lines().filter_map(|line| line.split_once('\t'));
    let forms =
        lines.filter(|(term, _)| *term == chinese).flat_map(|(_, english)| english.split('|'));
    forms.map(|form| Form { words: Pattern::of(form), beside: Vec::new() }).collect()
}

/// Whether `text` looks like one of arXiv's categories: `cs.CL`, `cs.*`, `hep-th`. Names of archives
/// that are words (`math`) are words. Those with subject classes are known in small letters as well.
fn is_category(text: &str) -> bool {
    let mut categories = categories();
    let Some((archive, class)) = text.split_once('.') else {
        return categories.any(|name| name.contains('-') && text.eq_ignore_ascii_case(name));
    };
    let mut archives = categories.filter_map(|name| Some(name.split_once('.')?.0));
    let is_known = archives.any(|name| archive.eq_ignore_ascii_case(name));
    if is_known && class.len() > 1 && class.chars().all(|c| c.is_ascii_alphabetic() || c == '-') {
        return true;
    }
    let is_archive = |c: char| c.is_ascii_lowercase() || c == '-';
    let is_class = class == "*"
        || class.len() == 2 && class.chars().all(|c| c.is_ascii_uppercase())
        || class.contains('-') && class.chars().all(is_archive);
    !archive.is_empty() && archive.chars().all(is_archive) && is_class
}

/// Whether `category` is `name`, or one of the archive `name`.
fn is_within(category: &str, name: &str) -> bool {
    let head = category.get(..name.len()).filter(|head| head.eq_ignore_ascii_case(name));
    head.is_some() && matches!(category.as_bytes().get(name.len()), None | Some(b'.'))
}

impl Form {
    fn is_meant_in(&self, searched: &Searched<'_>) -> bool {
        self.beside.is_empty() || searched.has_stem(&self.beside)
    }
}

const QUOTES: [char; 6] = ['"', '\'', '“', '”', '‘', '’'];
const ENDS: [char; 12] = ['"', '\'', '“', '”', '‘', '’', ',', ';', ':', '.', '!', '?'];

/// Whether words are not joined by `c`.
fn is_sign(c: char) -> bool {
    !c.is_alphanumeric() && !matches!(c, ' ' | '-' | '\'' | '’')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paper() -> Paper {
        Paper {
            plain_title: "Retrieval-Augmented Sheep".into(),
            plain_abstract: "LLMs count sheep (RAG helps), say Smith et al.".into(),
            authors: vec!["Ada O'Neil-Smith".into(), "Bo Ek".into()],
            categories: vec!["cs.CL".into(), "math-ph".into()],
            ..Paper::default()
        }
    }

    #[track_caller]
    fn check(term: &str, expected: bool) {
        let summary =
            Summary { zh_title: "数羊".into(), zh_tldr: "夜里".into(), ..Summary::default() };
        let is_in = term.parse::<Term>().unwrap().is_in(&paper(), Some(&summary));
        assert_eq!(is_in, expected, "{term}");
    }

    #[test]
    fn words_are_whole_and_may_be_plural_or_joined() {
        check("llm", true);
        check("LLM", true);
        check("RAG", true);
        check("rag", true);
        check("rags", true);
        check("retrieval augmented", true);
        check("retrieval sheep", false);
        check("sheepdog", false);
        check("count sheep", true);
        check("heep", false);
    }

    #[test]
    fn capitals_tell_acronyms_from_words() {
        let paper = Paper { plain_title: "A rag doll".into(), ..Paper::default() };
        assert!(!"RAG".parse::<Term>().unwrap().is_in(&paper, None));
        assert!("rag".parse::<Term>().unwrap().is_in(&paper, None));
        let paper = Paper { plain_title: "On GPUs and one CPU".into(), ..Paper::default() };
        for term in ["gpus", "gpu", "GPUs", "cpus"] {
            assert!(term.parse::<Term>().unwrap().is_in(&paper, None), "{term}");
        }
        let paper = Paper { plain_title: "A gpu by Erdős".into(), ..Paper::default() };
        for term in ["gpus", "gpu", "Erdo\u{30b}s"] {
            assert!(term.parse::<Term>().unwrap().is_in(&paper, None), "{term}");
        }
        let authors = vec!["Daniela Rus".to_owned()];
        let paper = Paper { plain_title: "On Opus by bus".into(), authors, ..Paper::default() };
        for (term, expected) in
            [("opus", true), ("Opus", true), ("author:Rus", true), ("bus", true), ("gpus", false)]
        {
            assert_eq!(term.parse::<Term>().unwrap().is_in(&paper, None), expected, "{term}");
        }
        let paper = Paper { plain_title: "Latex in Pytorch".into(), ..Paper::default() };
        assert!("PyTorch".parse::<Term>().unwrap().is_in(&paper, None), "spelt otherwise");
        assert!("LaTeX".parse::<Term>().unwrap().is_in(&paper, None));
        let paper = Paper { plain_title: "We react: latex, rope, GAN".into(), ..Paper::default() };
        for name in ["ReAct", "LaTeX", "RoPE", "GaN"] {
            assert!(!name.parse::<Term>().unwrap().is_in(&paper, None), "{name}");
        }
    }

    #[test]
    fn signs_are_part_of_a_term() {
        let check = |term: &str, title: &str, expected: bool| {
            let paper = Paper { plain_title: title.into(), ..Paper::default() };
            assert_eq!(
                term.parse::<Term>().unwrap().is_in(&paper, None),
                expected,
                "{term}: {title}"
            );
        };
        for (term, title) in [
            ("Qwen2.5", "On Qwen2.5-VL"),
            ("llama 3.1", "Llama 3.1: sheep"),
            ("TCP/IP", "TCP/IP"),
            ("R&D", "R&D of sheep"),
            ("DALL·E", "DALL·E 3"),
            ("C++", "A C++ library"),
            ("A*", "(A*)"),
            ("Kullback--Leibler", "Kullback–Leibler bounds"),
            ("Kullback–Leibler", "A Kullback--Leibler bound"),
            ("vision-language", "Vision–language models"),
            ("I/O", "I/O-bound"),
            ("Llama 3.1", "Llama-3.1-8B"),
            ("\"large language model\"", "Large language models"),
            ("large language model,", "A large language model"),
            ("/Kullback–Leibler/", "Kullback–Leibler bounds"),
            (r"/\]--\[/", "Graph [1]--[2] codes"),
        ] {
            check(term, title, true);
        }
        for (term, title) in [
            ("C++", "C is a language"),
            ("C#", "C"),
            ("A*", "A survey"),
            ("A*", "A**"),
            ("Qwen2.5", "Qwen2.57"),
            ("Node.js", "Node"),
        ] {
            check(term, title, false);
        }
    }

    #[test]
    fn places_are_told_apart() {
        check("author:Smith", true);
        check("title:smith", false);
        check("abstract:Smith", true);
        check("author:Bo Ek", true);
        check("author:/^bo /", true);
        check("title:/^bo /", false);
        // Beside authors and categories, what looks like a category is words.
        let title = Paper { plain_title: "A Survey of Q-Bio".into(), ..Paper::default() };
        assert!("title:q-bio".parse::<Term>().unwrap().is_in(&title, None));
        check("title:q-bio", false);
    }

    #[test]
    fn categories_are_whole_or_an_archive() {
        check("cs.CL", true);
        check("cs.*", true);
        check("category:cs", true);
        check("category:c", false);
        check("category:math-ph", true);
        check("math-ph", true);
        check("hep-th", false);
        check("cs.cl", true);
        assert!(is_category("physics.optics") && is_category("cond-mat.mes-hall"));
        check("cs.C", false);
        check("cs", false);
    }

    #[test]
    fn chinese_is_looked_for_in_summaries_and_by_its_english() {
        check("数羊", true);
        check("绵羊", false);
        let glossary = Glossary::parse("g", "sheep\t绵羊\nflock of sheep\t绵羊群\n").unwrap();
        let mut term: Term = "绵羊".parse().unwrap();
        assert!(term.is_untranslated());
        term.translate(&glossary);
        assert!(!term.is_untranslated() && term.is_in(&paper(), None));
    }

    #[test]
    fn common_chinese_terms_are_known_once_and_have_english_words() {
        let mut seen = std::collections::HashSet::new();
        for line in include_str!("chinese.tsv").lines().filter(|line| !line.starts_with('#')) {
            let (chinese, english) = line.split_once('\t').unwrap();
            assert!(seen.insert(chinese) && chinese.chars().all(is_han), "{line}");
            for form in english.split('|') {
                let term: Term = form.parse().unwrap();
                assert!(matches!(term.what, What::Words(_)), "{line}");
            }
        }
        check("大语言模型", true);
        check("检索增强生成", true);
        check("扩散模型", false);
    }

    #[test]
    fn what_is_no_term_is_refused() {
        for term in ["", "...", "title:", "category:", "title:cs.CL", "author:math.*", "/(/"] {
            assert_eq!(term.parse::<Term>().unwrap_err().kind(), ErrorKind::Usage, "{term}");
        }
    }
}
