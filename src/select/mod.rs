//! Which papers are summarised, and in which order they stand: what is new, and what matters to a
//! reader.
//!
//! [`Selection`] looks at one paper at a time: why it was announced, its day, and the terms that it
//! must or must not have ([`Term`]). [`Library`] holds papers that the reader likes, and [`rank`]
//! puts others in the order of their likeness to these. [`Shard`] is a share of all papers, for one of several machines.
//! None of them needs a model.

mod library;
mod likeness;
mod pattern;
mod searched;
mod shard;
mod term;

use crate::error::{Error, ErrorKind, Result};
use crate::glossary::Glossary;
use crate::paper::{Announce, Date, Paper};
use crate::summary::Summary;
use searched::Searched;

pub use library::{Library, MAX_LIBRARY_BYTES, MAX_LIKED};
pub use likeness::{MAX_QUERY_TERMS, Rank, rank};
pub use shard::{MAX_SHARDS, Shard};
pub use term::Term;

/// Which announcements are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcements {
    /// First announcements.
    pub new: bool,
    /// Papers that are at home in another category.
    pub cross: bool,
    /// New versions of known papers.
    pub replace: bool,
}

/// What a paper must be like.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Which announcements; papers of which no announcement is known are always taken.
    pub announce: Announcements,
    /// Of these terms a paper must have one, where there are any.
    pub keep: Vec<Term>,
    /// Of these terms a paper may have none.
    pub drop: Vec<Term>,
    /// The first day, by the later of the paper's publication and its last change; papers without
    /// a day are taken.
    pub since: Option<Date>,
    /// The last day.
    pub until: Option<Date>,
}

/// What is done with a paper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is taken, for the kept terms that it has, as they were typed.
    Take(Vec<String>),
    /// It is a new version that was not asked for: listed, where an older one has a summary.
    Replacement(Vec<String>),
    /// It is left out.
    Leave,
}

impl Announcements {
    /// Everything that is announced.
    pub const ALL: Announcements = Announcements { new: true, cross: true, replace: true };

    fn take(self, announce: Announce) -> bool {
        match announce {
            Announce::New => self.new,
            Announce::Cross => self.cross,
            // A replacement elsewhere is both.
            Announce::Replace => self.replace,
            Announce::ReplaceCross => self.replace && self.cross,
        }
    }
}

impl std::str::FromStr for Announcements {
    type Err = Error;

    /// `all`, or some of `new`, `cross` and `replace` with commas between them.
    fn from_str(text: &str) -> Result<Self> {
        let mut announce = Announcements { new: false, cross: false, replace: false };
        for name in text.split(',').map(str::trim) {
            match name {
                "all" => announce = Announcements::ALL,
                "new" => announce.new = true,
                "cross" => announce.cross = true,
                "replace" => announce.replace = true,
                _ => {
                    let message = format!("unknown announcement {name:?}");
                    return Err(Error::new(ErrorKind::Usage, message)
                        .hint("announcements are new, cross and replace, or all"));
                }
            }
        }
        Ok(announce)
    }
}

impl Selection {
    /// Takes every paper.
    pub const ALL: Selection = Selection {
        announce: Announcements::ALL,
        keep: Vec::new(),
        drop: Vec::new(),
        since: None,
        until: None,
    };

    /// Lets Chinese terms find the English ones that `glossary` translates by them.
    #[must_use]
    pub fn translated(mut self, glossary: &Glossary) -> Self {
        let terms = self.keep.iter_mut().chain(&mut self.drop);
        terms.for_each(|term| term.translate(glossary));
        self
    }

    /// Whether a glossary would have something to say of its terms.
    pub fn has_chinese(&self) -> bool {
        self.keep.iter().chain(&self.drop).any(Term::is_chinese)
    }

    /// Terms in Chinese for which no English one is known, so that they find none but summaries
    /// that come with the input.
    pub fn untranslated(&self) -> impl Iterator<Item = &Term> {
        self.keep.iter().chain(&self.drop).filter(|term| term.is_untranslated())
    }

    /// What is done with `paper`; `summary` is what is known of it in Chinese.
    pub fn judge(&self, paper: &Paper, summary: Option<&Summary>) -> Verdict {
        let day = paper.published.max(paper.updated);
        let too_early = day.zip(self.since).is_some_and(|(day, since)| day < since);
        let too_late = day.zip(self.until).is_some_and(|(day, until)| day > until);
        if too_early || too_late {
            return Verdict::Leave;
        }
        let texts = searched::texts(paper);
        let searched = Searched::new(paper, summary, &texts);
        if self.drop.iter().any(|term| term.is_found_in(&searched)) {
            return Verdict::Leave;
        }
        let terms = self.keep.iter().filter(|term| term.is_found_in(&searched));
        let terms: Vec<String> = terms.map(ToString::to_string).collect();
        if terms.is_empty() && !self.keep.is_empty() {
            return Verdict::Leave;
        }
        match paper.announce {
            Some(announce) if !self.announce.take(announce) => match announce {
                Announce::Replace | Announce::ReplaceCross => Verdict::Replacement(terms),
                Announce::New | Announce::Cross => Verdict::Leave,
            },
            _ => Verdict::Take(terms),
        }
    }
}
