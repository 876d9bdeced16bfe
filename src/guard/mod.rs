//! Guards: what a summary may say, held while it is written and not only looked at afterwards.
//!
//! A small model knows well where a number or a name has to stand and slips while it spells it:
//! a digit is lost, a capital is not. What can be told from the source letter by letter is
//! therefore refused token by token ([`crate::generate::TokenFilter`]), and the next best token is written
//! instead. Six rules, each for itself:
//!
//! * `numbers`: digits spell a number of the source, in one of the forms that Chinese has for it; 数十亿 and
//!   its like are a magnitude of the source.
//! * `names`: letters other than Chinese ones spell a word of the source, to its end.
//! * `english`: no word of the source that Chinese has a word for.
//! * `unsourced`: no Chinese word that always has its English in the source, and has none there.
//! * `emphasis`: nothing is 显著 where the source emphasises nothing.
//! * `loops`: nothing completes what [`crate::summary`] calls a loop, or a clause said before.
//!   A run of characters is looked for in the source only where it came before.
//!
//! The rules read characters, not tokens: the vocabulary's pieces are joined to what is written,
//! so that every vocabulary obeys them alike. Bytes of a character that is not whole yet stand for
//! a character that is neither digit nor letter, and are judged again when it is whole.
//!
//! A step asks about one token, mostly; but where a rule leaves little to write, or nothing at all,
//! it asks about the whole vocabulary. What is written is therefore gone through once a step, no
//! rule but this goes through the source, and of tokens that begin with a character that may not
//! follow no more than that is looked at.

mod emphasis;
mod english;
mod names;
mod numbers;
mod pieces;
mod words;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::generate::{TokenFilter, TokenId, TokenSet};
use crate::summary::{Magnitudes, Source};
use crate::text::Unsourced;
use crate::text::loops::completes_loop;

use emphasis::Emphasis;
use english::English;
use names::Names;
use numbers::Numbers;
pub use pieces::Pieces;

/// Which rules are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Numbers are those of the source.
    pub numbers: bool,
    /// Words in other letters than Chinese ones are those of the source.
    pub names: bool,
    /// Words that Chinese has words for are not those of the source.
    pub english: bool,
    /// Chinese words that always have their English in the source have it.
    pub unsourced: bool,
    /// Nothing is emphasised that the source does not emphasise.
    pub emphasis: bool,
    /// Nothing is looped.
    pub loops: bool,
}

type OfRules = fn(&mut Rules) -> &mut bool;

/// What the rules are called.
const NAMED: [(&str, OfRules); 6] = [
    ("numbers", |rules| &mut rules.numbers),
    ("names", |rules| &mut rules.names),
    ("english", |rules| &mut rules.english),
    ("unsourced", |rules| &mut rules.unsourced),
    ("emphasis", |rules| &mut rules.emphasis),
    ("loops", |rules| &mut rules.loops),
];

impl Rules {
    /// All of them.
    pub const ALL: Rules = Rules::each(true);
    /// None of them.
    pub const NONE: Rules = Rules::each(false);

    const fn each(is_held: bool) -> Rules {
        Rules {
            numbers: is_held,
            names: is_held,
            english: is_held,
            unsourced: is_held,
            emphasis: is_held,
            loops: is_held,
        }
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rules = *self;
        let held = NAMED.iter().filter(|(_, of)| *of(&mut rules)).map(|(name, _)| *name);
        let held: Vec<&str> = held.collect();
        f.write_str(if held.is_empty() { "none" } else { "" })?;
        f.write_str(&held.join(","))
    }
}

impl FromStr for Rules {
    type Err = Error;

    /// `all`, `none`, or names of rules with commas between them.
    fn from_str(text: &str) -> Result<Self> {
        match text.trim() {
            "all" => return Ok(Rules::ALL),
            "none" => return Ok(Rules::NONE),
            _ => {}
        }
        let mut rules = Rules::NONE;
        for name in text.split(',').map(str::trim) {
            let Some((_, of)) = NAMED.iter().find(|(known, _)| *known == name) else {
                let known = NAMED.map(|(name, _)| name).join(", ");
                return Err(Error::new(ErrorKind::Usage, format!("unknown guard {name:?}"))
                    .hint(format!("guards are all, none, or some of {known}")));
            };
            *of(&mut rules) = true;
        }
        Ok(rules)
    }
}

/// What the fields of one paper's summary may say.
#[derive(Debug)]
pub struct PaperGuard {
    numbers: Option<(Numbers, Magnitudes)>,
    names: Option<Names>,
    english: Option<English>,
    unsourced: Option<Unsourced>,
    emphasis: Option<Emphasis>,
    /// Where loops are refused, the texts of the paper, whose words may come more often.
    loops: Option<[String; 2]>,
}

/// What one field may say.
#[derive(Debug)]
pub struct FieldGuard {
    paper: Arc<PaperGuard>,
    pieces: Arc<Pieces>,
    /// Tokens that end the field.
    ends: Arc<TokenSet>,
}

/// What is written of a field, what a token would make of it, and what is known of what may follow.
struct Draft<'a> {
    paper: &'a PaperGuard,
    chars: Vec<char>,
    /// The last bytes, where they are no whole character yet.
    partial: Vec<u8>,
    name: Option<names::Place>,
    english: Option<english::Word>,
    /// Words without a source that may still become others, and where each ends.
    unsourced: Vec<(usize, usize)>,
    /// Of characters that were asked about, whether one of them may follow what is written.
    may_follow: HashMap<char, bool>,
}

impl PaperGuard {
    /// The guard of a summary of `source`.
    pub fn new(source: &Source<'_>, rules: Rules) -> PaperGuard {
        let texts = [source.title, source.abstract_text, source.translations];
        PaperGuard {
            numbers: rules.numbers.then(|| (Numbers::of(source), Magnitudes::of(&texts))),
            names: rules.names.then(|| Names::of(source)),
            english: rules.english.then(|| English::of(source)),
            unsourced: rules.unsourced.then(|| Unsourced::of(&texts)),
            emphasis: rules.emphasis.then(|| Emphasis::of(source)),
            loops: rules.loops.then(|| [source.title, source.abstract_text].map(str::to_owned)),
        }
    }
}

impl FieldGuard {
    /// The guard of a field that is written in `pieces` and ends with one of `ends`.
    pub fn new(paper: Arc<PaperGuard>, pieces: Arc<Pieces>, ends: Arc<TokenSet>) -> FieldGuard {
        FieldGuard { paper, pieces, ends }
    }

    fn allows(&self, draft: &mut Draft<'_>, token: TokenId) -> bool {
        let piece = self.pieces.bytes(token);
        let ends = self.ends.contains(token);
        if piece.is_empty() && !ends {
            // A token without text would be a way to write nothing for ever.
            return false;
        }
        let written = draft.chars.len();
        draft.add(piece);
        if ends {
            // Only what stands before the line break is the field's.
            let line_end = draft.chars[written..].iter().position(|c| *c == '\n');
            draft.chars.truncate(line_end.map_or(draft.chars.len(), |at| written + at));
            draft.chars.push('\n');
        }
        let allowed = draft.allows(written);
        draft.chars.truncate(written);
        allowed
    }
}

impl TokenFilter for FieldGuard {
    fn after<'a>(&'a self, written: &[TokenId]) -> Box<dyn Fn(TokenId) -> bool + 'a> {
        let bytes: Vec<u8> =
            written.iter().flat_map(|token| self.pieces.bytes(*token)).copied().collect();
        let draft = RefCell::new(Draft::of(&self.paper, bytes));
        Box::new(move |token| self.allows(&mut draft.borrow_mut(), token))
    }
}

impl<'a> Draft<'a> {
    fn of(paper: &'a PaperGuard, mut bytes: Vec<u8>) -> Draft<'a> {
        let partial = match std::str::from_utf8(&bytes) {
            Err(error) if error.error_len().is_none() => bytes.split_off(error.valid_up_to()),
            _ => Vec::new(),
        };
        let chars: Vec<char> = String::from_utf8_lossy(&bytes).chars().collect();
        Draft {
            paper,
            name: paper.names.as_ref().map(|rule| rule.place(&chars)),
            english: paper.english.as_ref().map(|rule| rule.word(&chars)),
            unsourced: paper.unsourced.as_ref().map_or(Vec::new(), |rule| rule.open(&chars)),
            chars,
            partial,
            may_follow: HashMap::new(),
        }
    }

    /// Appends `piece` to the characters.
    fn add(&mut self, piece: &[u8]) {
        if self.partial.is_empty() {
            self.chars.extend(String::from_utf8_lossy(piece).chars());
        } else {
            let bytes = [&self.partial, piece].concat();
            self.chars.extend(String::from_utf8_lossy(&bytes).chars());
        }
    }

    /// Whether the characters from `written` on may stand there.
    fn allows(&mut self, written: usize) -> bool {
        let Some(&first) = self.chars.get(written) else { return true };
        let may_follow = self.may_follow.get(&first).copied().unwrap_or_else(|| {
            let may_follow = self.may_stand(written, written + 1);
            self.may_follow.insert(first, may_follow);
            may_follow
        });
        may_follow
            && (self.chars.len() == written + 1 || self.may_stand(written, self.chars.len()))
            && self.paper.english.as_ref().zip(self.english).is_none_or(|(rule, word)| {
                rule.allows(word, &self.chars, self.chars.len() - written)
            })
    }

    /// Whether the characters from `written` to `end` may stand there, by the rules that refuse
    /// what begins with something that they refuse.
    fn may_stand(&self, written: usize, end: usize) -> bool {
        let PaperGuard { numbers, names, unsourced, emphasis, loops, .. } = self.paper;
        let (chars, new) = (&self.chars[..end], end - written);
        numbers.as_ref().is_none_or(|(numbers, magnitudes)| {
            numbers.allows(chars, new) && magnitudes.allows(chars, new)
        }) && unsourced.as_ref().is_none_or(|rule| rule.allows(&self.unsourced, chars, new))
            && names.as_ref().zip(self.name).is_none_or(|(rule, at)| rule.allows(at, chars, new))
            && emphasis.is_none_or(|rule| rule.allows(chars, new))
            && !loops
                .as_ref()
                .is_some_and(|[title, text]| completes_loop(chars, new, &[title, text]))
    }
}
