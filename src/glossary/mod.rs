//! Glossaries: how a field's terms are to be translated.
//!
//! A small model knows common words and guesses at rare ones. A glossary says what they are in
//! Chinese, and the terms that a paper has are told to the model in its prompt. A file has a term
//! a line:
//!
//! ```text
//! # term ⇥ translation, where ⇥ is a tab
//! point cloud ⇥ 点云
//! transformer ⇥ transformer
//! ```
//!
//! The file is text as `text_file` reads it. A term that is its own translation is one to keep in English. A third column, which the
//! glossary of a model has, tells in how many of the papers that a model was taught on the term
//! occurs: where a paper has more terms than a prompt should, those are told that are rare, or that
//! it uses often.
//!
//! A fourth column is for terms that mean different things in different fields: words, separated by
//! commas, of which a paper has to have one (and of several lines for a term that counts of which it has most).
//!
//! ```text
//! edge ⇥ 边缘 ⇥ ⇥ device, server
//! edge ⇥ 边 ⇥ ⇥ node, subgraph
//! ```
//!
//! Words are compared without their case, singular or plural, and may be joined by a
//! hyphen instead of a space or by an apostrophe; a term of capitals, such as `RAG`, is compared with its case.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::hash;
use crate::text::words::{self, Word};
use crate::text_file;

/// Most words of a term.
pub const MAX_WORDS: usize = 4;

/// Most terms of a model's glossary that a prompt tells.
pub const MAX_TOLD: usize = 16;

/// Most terms of a user's glossary that a prompt tells.
pub const MAX_OWN_TOLD: usize = 24;

/// Largest file: some two hundred thousand terms.
pub const MAX_FILE_BYTES: u64 = 8 << 20;

/// Most characters of a term or a translation.
const MAX_CHARS: usize = 80;

/// Terms and their translations.
#[derive(Debug, Clone, Default)]
pub struct Glossary {
    /// Those of one key in the order in which they are asked: a user's before a model's.
    entries: HashMap<Vec<String>, Vec<Entry>>,
    /// The longest key, in words.
    longest: usize,
    identity: Option<String>,
}

#[derive(Debug, Clone)]
struct Entry {
    term: Term,
    /// In how many papers the term was seen; `None` where a user gave it.
    papers: Option<u32>,
    /// Stems of words one of which a paper has to have; none where the term is clear by itself.
    context: Vec<String>,
}

/// An entry that a paper has.
struct Found<'a> {
    entry: &'a Entry,
    /// How often.
    times: u64,
}

/// A term and its translation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// As the glossary writes it.
    pub term: String,
    /// What to call it in Chinese; the term itself, where it stays as it is.
    pub translation: String,
}

impl Glossary {
    /// Reads the glossary in the file at `path`.
    ///
    /// # Errors
    /// Those of [`text_file::read`] and [`Self::parse`].
    pub fn read(path: &Path) -> Result<Glossary> {
        let text = text_file::read(path, "glossary", MAX_FILE_BYTES)?;
        Glossary::parse(&path.display().to_string(), &text)
    }

    /// Reads a glossary; `name` is what messages call it. Of two lines for the same term, and for the same
    /// words beside it, the later one counts.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] with the line, where it is not of the form that the module describes.
    pub fn parse(name: &str, text: &str) -> Result<Glossary> {
        let text = text_file::unified(text);
        let mut glossary = Glossary::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.trim_start().starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let (key, entry) = entry(line).map_err(|fault| {
                let message = format!("glossary {name}, line {}: {fault}", number + 1);
                Error::new(ErrorKind::Usage, message)
                    .hint("a line is a term, a tab and its translation; # begins a remark")
            })?;
            glossary.longest = glossary.longest.max(key.len());
            let of_key = glossary.entries.entry(key).or_default();
            of_key.retain(|known| known.context != entry.context || !known.is_written_as(&entry));
            of_key.push(entry);
        }
        glossary.identity = Some(hash::sha256(&text));
        Ok(glossary)
    }

    /// This glossary, and where it is silent `base`: also about a term that it knows beside other words only.
    pub fn over(mut self, base: Glossary) -> Glossary {
        self.identity = match (self.identity, base.identity) {
            (Some(own), Some(base)) => Some(format!("{own} over {base}")),
            (own, base) => own.or(base),
        };
        self.longest = self.longest.max(base.longest);
        for (key, of_base) in base.entries {
            self.entries.entry(key).or_default().extend(of_base);
        }
        self
    }

    /// How many terms there are; one of several meanings is one.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What tells it from another: SHA-256, in hexadecimal, of all that it was read from.
    pub fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    /// The terms whose translation is `translation`, each with the stems of which a paper has to have
    /// one; none where it means nothing else.
    pub fn terms_for(&self, translation: &str) -> impl Iterator<Item = (&str, &[String])> {
        let entries = self.entries.values().flatten();
        let entries = entries.filter(move |entry| entry.term.translation == translation);
        entries.map(|entry| (entry.term.term.as_str(), &entry.context[..]))
    }

    /// The terms of a paper that its prompt is to tell, in the order in which they stand there.
    /// Where terms overlap the longest counts; a user's own come before others, and of these the
    /// ones that are rare, or stand there more often.
    pub fn terms_of(&self, title: &str, abstract_text: &str) -> Vec<Term> {
        let mut found: Vec<Found> = Vec::new();
        let texts = [title, abstract_text].map(|text| (text, words::words(text)));
        let stems: HashSet<&str> =
            texts.iter().flat_map(|(_, words)| words).map(|word| &*word.stem).collect();
        for entry in texts.iter().flat_map(|(text, words)| self.found_in(text, words, &stems)) {
            match found.iter_mut().find(|known| std::ptr::eq(known.entry, entry)) {
                Some(known) => known.times += 1,
                None => found.push(Found { entry, times: 1 }),
            }
        }
        let mut chosen: Vec<usize> = (0..found.len()).collect();
        chosen.sort_by(|&a, &b| found[a].cmp_urgency(&found[b]).then(a.cmp(&b)));
        let own = found.iter().filter(|found| found.entry.papers.is_none()).count();
        chosen.truncate(own.clamp(MAX_TOLD, MAX_OWN_TOLD));
        chosen.sort_unstable();
        chosen.into_iter().map(|at| found[at].entry.term.clone()).collect()
    }

    /// Entries in the order in which they stand in `text`, whose words are `words`, with repetitions; `stems`
    /// are those of the whole paper.
    fn found_in(&self, text: &str, words: &[Word<'_>], stems: &HashSet<&str>) -> Vec<&Entry> {
        let (mut found, mut at) = (Vec::new(), 0);
        while at < words.len() {
            if words::is_command(text, &words[at]) {
                at += 1;
                continue;
            }
            let shortest = if at > 0 && is_denied(text, &words[at - 1..]) { 2 } else { 1 };
            let joined = words::joined(text, &words[at..], self.longest);
            let (entry, length) = (shortest..=joined)
                .rev()
                .find_map(|length| {
                    Some((self.entry_of(text, &words[at..at + length], stems)?, length))
                })
                .map_or((None, 1), |(entry, length)| (Some(entry), length));
            found.extend(entry);
            at += length;
        }
        found
    }

    /// The entry for `words`: one that names words that are among `stems` before one that names none, and a user's
    /// before both.
    fn entry_of(&self, text: &str, words: &[Word<'_>], stems: &HashSet<&str>) -> Option<&Entry> {
        let key: Vec<String> = words.iter().map(|word| word.stem.clone()).collect();
        let mut best: Option<((bool, usize, usize), &Entry)> = None;
        for entry in self.entries.get(&key)? {
            let beside = entry.context.iter().filter(|word| stems.contains(&***word)).count();
            // A term of capitals before one that any case will do for.
            let rank = (entry.papers.is_none(), beside, entry.capitals());
            let is_meant = beside > 0 || entry.context.is_empty();
            let is_better = best.is_none_or(|(best, _)| rank > best);
            if is_meant && is_better && entry.fits(text, words) {
                best = Some((rank, entry));
            }
        }
        best.map(|(_, entry)| entry)
    }
}

impl Entry {
    /// How many of its words capitals tell from others.
    fn capitals(&self) -> usize {
        words::words(&self.term.term).iter().filter(|word| word.is_acronym()).count()
    }

    /// Whether the terms of both, whose stems are the same, are written alike where that matters: LoRA is not LoRa.
    fn is_written_as(&self, other: &Entry) -> bool {
        let (own, of_other) = (words::words(&self.term.term), words::words(&other.term.term));
        own.iter().zip(&of_other).all(|(one, other)| {
            let is_either = one.is_acronym() || other.is_acronym();
            !is_either || words::stem(one.text) == words::stem(other.text)
        })
    }

    /// Whether `words` of `text`, whose stems are those of the term, are written as it is where that matters.
    fn fits(&self, text: &str, words: &[Word<'_>]) -> bool {
        let as_written = words::words(&self.term.term);
        let are_same = as_written.iter().zip(words).all(|(term, word)| {
            !term.is_acronym() || words::stem(word.text) == words::stem(term.text)
        });
        are_same && keeps_hyphen(&self.term.term, &as_written, text, words)
    }
}

/// What turns the word behind it into another, often its opposite.
const PREFIXES: [&str; 5] = ["anti", "non", "quasi", "pseudo", "un"];

/// Whether the second of `words` is not what it says, because of the first: non-local, anti-ferromagnetic.
/// A term that has both is found before, and one that goes on says what it says: non-small cell lung cancer.
fn is_denied(text: &str, words: &[Word<'_>]) -> bool {
    let is_joined = |joint: &str| words::is_hyphen(joint) || joint == " " && words[0].stem == "non";
    PREFIXES.contains(&&*words[0].stem) && words::joints(text, &words[..2]).any(is_joined)
}

/// Whether a term such as `in-domain` or `corpus-based` stands in `text` as one, and not as words like `in domains`
/// or `corpora based on`.
fn keeps_hyphen(term: &str, of_term: &[Word<'_>], text: &str, words: &[Word<'_>]) -> bool {
    let is_preposition = matches!(&*of_term[0].stem, "in" | "on" | "off" | "at");
    let is_based = of_term.get(1).is_some_and(|second| second.stem == "based")
        && words.last().is_some_and(|last| words::is_before(text, last, " on "));
    let hyphen = |text, words| words::joints(text, words).next().is_some_and(words::is_hyphen);
    !(is_preposition || is_based) || !hyphen(term, of_term) || hyphen(text, words)
}

impl Found<'_> {
    /// Which of two is to be told first: a user's, and else the one with fewer papers for each time
    /// that it stands there.
    fn cmp_urgency(&self, other: &Found<'_>) -> Ordering {
        match (self.entry.papers, other.entry.papers) {
            (Some(ours), Some(theirs)) => {
                (u64::from(ours) * other.times).cmp(&(u64::from(theirs) * self.times))
            }
            (ours, theirs) => ours.is_some().cmp(&theirs.is_some()),
        }
    }
}

/// Key and entry of a line.
fn entry(line: &str) -> std::result::Result<(Vec<String>, Entry), String> {
    let mut columns = line.split('\t').map(str::trim);
    let term = columns.next().unwrap_or_default();
    let translation =
        columns.next().filter(|column| !column.is_empty()).ok_or("has no translation")?;
    let papers = columns
        .next()
        .filter(|column| !column.is_empty())
        .map(|column| column.parse().map_err(|_| format!("`{column}` is not a number of papers")))
        .transpose()?;
    let context = columns.next().map(context).transpose()?.unwrap_or_default();
    if columns.next().is_some() {
        return Err("has more than four columns".into());
    }
    for text in [term, translation] {
        if text.chars().any(char::is_control) {
            return Err(format!("`{}` has a control character", text.escape_debug()));
        }
        if text.chars().count() > MAX_CHARS {
            return Err(format!("`{text}` is longer than {MAX_CHARS} characters"));
        }
    }
    let words = words::words(term);
    let joined = words::joined(term, &words, MAX_WORDS + 1);
    // What is at its ends would be taken for nothing: `C++` is no `C`, and `A*` no `a`.
    let begins_and_ends =
        term.starts_with(char::is_alphanumeric) && term.ends_with(char::is_alphanumeric);
    if !begins_and_ends || joined != words.len() || joined > MAX_WORDS {
        let what = format!(
            "`{term}` is not one to {MAX_WORDS} words with a space, hyphen or apostrophe between"
        );
        return Err(what);
    }
    let key = words.into_iter().map(|word| word.stem).collect();
    let term = Term { term: term.to_owned(), translation: translation.to_owned() };
    Ok((key, Entry { term, papers, context }))
}

/// The stems, in order, of the words in a fourth column.
fn context(column: &str) -> std::result::Result<Vec<String>, String> {
    let word = |text: &str| match &words::words(text)[..] {
        [word] if word.text == text => Ok(word.stem.clone()),
        _ => Err(format!("`{}` is not a word", text.escape_debug())),
    };
    let mut stems: Vec<String> =
        column.split(',').map(|text| word(text.trim())).collect::<std::result::Result<_, _>>()?;
    stems.sort_unstable();
    stems.dedup();
    Ok(stems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(glossary: &str, title: &str, abstract_text: &str) -> Vec<String> {
        let glossary = Glossary::parse("g", glossary).unwrap();
        let terms = glossary.terms_of(title, abstract_text);
        terms.into_iter().map(|term| format!("{}={}", term.term, term.translation)).collect()
    }

    #[test]
    fn terms_are_found_in_any_case_number_and_joint_and_the_longest_counts() {
        let glossary = "point cloud\t点云\ncloud\t云\nRAG\tRAG\nbias\t偏差\n";
        assert_eq!(
            told(glossary, "Point-Clouds", "A cloud. Rags for bias."),
            ["point cloud=点云", "cloud=云", "bias=偏差"]
        );
        assert_eq!(
            told(glossary, "RAGs", "point, cloud of point clouds"),
            ["RAG=RAG", "cloud=云", "point cloud=点云"]
        );
        assert!(told(glossary, "pointcloud", "clouded cloud9").is_empty());
    }

    #[test]
    fn a_preposition_with_a_hyphen_is_no_preposition() {
        let glossary = "in-domain\t域内\ndomain\t域\noff-policy\t异策略\nin vitro\t体外\n";
        let text = "In domains off policy; in-domain, Off-policies, in-vitro";
        assert_eq!(
            told(glossary, "", text),
            ["domain=域", "in-domain=域内", "off-policy=异策略", "in vitro=体外"]
        );
    }

    #[test]
    fn a_user_has_the_last_word_and_no_bound_of_a_models_glossary() {
        let base = Glossary::parse("base", "agent\t代理\t9\nreward\t奖励\t8\n").unwrap();
        let own = Glossary::parse("own", "Agents\t智能体\n").unwrap();
        let identity = base.identity().unwrap().to_owned();
        let both = own.over(base);
        assert_ne!(both.identity(), Some(identity.as_str()));
        let terms = both.terms_of("", "the reward of an agent");
        let translations: Vec<_> = terms.iter().map(|term| term.translation.as_str()).collect();
        assert_eq!(translations, ["奖励", "智能体"]);
    }

    #[test]
    fn a_term_of_several_meanings_has_the_one_of_the_words_beside_it() {
        let glossary = "edge\t边缘\t9\tdevice, server\nedge\t边\t9\tnode, subgraph, degree\n\
                        bank\t银行\t9\nbank\t组\t9\tfilter\nedge weight\t边权\t9\n";
        for (text, expected) in [
            ("Edges between nodes.", &["edge=边"][..]),
            ("An edge on edge devices", &["edge=边缘"]),
            ("The edge of a device whose subgraphs have nodes", &["edge=边"]),
            ("cutting edge", &[]),
            ("A bank of filters", &["bank=组"]),
            ("A bank", &["bank=银行"]),
            ("edge weights at edges", &["edge weight=边权"]),
        ] {
            assert_eq!(told(glossary, "", text), expected, "{text}");
            assert_eq!(told(glossary, text, ""), expected, "{text}");
        }
        assert_eq!(told(glossary, "Nodes", "An edge"), ["edge=边"]);
        let own = Glossary::parse("own", "edge\t棱\t\tcube\nbank\t岸\n").unwrap();
        let both = own.over(Glossary::parse("base", glossary).unwrap());
        let told = |text: &str| both.terms_of("", text).pop().map(|term| term.translation);
        for (text, expected) in [
            ("edges of a cube with nodes of high degree", "棱"),
            ("edges and nodes", "边"),
            ("a bank of filters", "岸"),
        ] {
            assert_eq!(told(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(both.len(), 3);
        let twice = "a\tb\t1\tx, y\na\tc\t1\ty, x\n";
        assert_eq!(Glossary::parse("g", twice).unwrap().terms_of("", "a y")[0].translation, "c");
    }

    #[test]
    fn of_many_terms_a_users_are_told_then_the_rarest() {
        let words: Vec<String> = (b'a'..=b'z').map(|c| format!("{}x", c as char)).collect();
        let line = |(at, word): (usize, &String)| match at {
            3 => format!("{word}\t自\n"),
            _ => format!("{word}\t词\t{}\n", 100 - at),
        };
        let glossary: String = words.iter().enumerate().map(line).collect();
        let told = told(&glossary, &words.join(" "), "");
        let rarest = words[words.len() - (MAX_TOLD - 1)..].iter().map(|word| format!("{word}=词"));
        assert_eq!(told, std::iter::once("dx=自".to_owned()).chain(rarest).collect::<Vec<_>>());
        let own: String = words.iter().map(|word| format!("{word}\t自\n")).collect();
        let glossary = Glossary::parse("own", &own).unwrap();
        assert_eq!(glossary.terms_of(&words.join(" "), "").len(), MAX_OWN_TOLD);
    }

    #[test]
    fn a_term_that_stands_there_often_is_told_before_a_rarer_one() {
        let rare: Vec<String> = ('a'..).take(MAX_TOLD).map(|c| format!("{c}x")).collect();
        let mut glossary: String = rare.iter().map(|word| format!("{word}\t词\t11\n")).collect();
        glossary.push_str("common\t常\t30\n");
        let told = |title: &str| {
            let told = told(&glossary, title, &rare.join(" "));
            assert_eq!(told.len(), MAX_TOLD);
            told.contains(&"common=常".to_owned())
        };
        assert!(!told("Common, common"));
        assert!(told("Common, common, common"));
    }

    #[test]
    fn a_line_that_is_no_term_is_refused_with_its_number() {
        let check = |line: &str, fault: &str| {
            let error = Glossary::parse("mine.tsv", &format!("# terms\n\n{line}\n")).unwrap_err();
            assert_eq!(error.to_string(), format!("glossary mine.tsv, line 3: {fault}"));
            assert!(error.hint_text().unwrap().contains("a tab"));
        };
        check("point cloud", "has no translation");
        check("point cloud\t", "has no translation");
        check("a\tb\tc", "`c` is not a number of papers");
        check("a\tb\t1\td\te", "has more than four columns");
        check("a\tb\t1\tc, d e", "`d e` is not a word");
        check("a\tb\t\tc,", "`` is not a word");
        check("\t点云", "`` is not one to 4 words with a space, hyphen or apostrophe between");
        check(
            "A*\tA星算法",
            "`A*` is not one to 4 words with a space, hyphen or apostrophe between",
        );
        check("a\u{b}b\t五", "`a\\u{b}b` has a control character");
        check(
            "a b c d e\t五",
            "`a b c d e` is not one to 4 words with a space, hyphen or apostrophe between",
        );
        check(
            "a, b\t五",
            "`a, b` is not one to 4 words with a space, hyphen or apostrophe between",
        );
        check(
            &format!("{}\t五", "a".repeat(81)),
            &format!("`{}` is longer than 80 characters", "a".repeat(81)),
        );
    }
}
