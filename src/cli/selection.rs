//! Which papers a digest is to have, as they were asked for.

use std::path::PathBuf;

use super::args::SelectionArgs;
use crate::card::{self, Card};
use crate::error::{Error, ErrorKind, Result};
use crate::glossary::Glossary;
use crate::paper::Date;
use crate::select::{Library, Selection, Shard, Term};

/// Which papers a digest is to have, and in which order.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) selection: Selection,
    /// Which of several machines' papers.
    pub(super) shard: Option<Shard>,
    /// Papers to be like.
    pub(super) library: Option<Library>,
    /// How many of the most alike are kept.
    pub(super) top: Option<u64>,
}

impl Choice {
    /// `glossary` is the user's, which is asked for the English of Chinese terms before the default
    /// model's.
    pub(super) fn of(args: &SelectionArgs, glossary: Option<&Glossary>) -> Result<Self> {
        let terms = |typed: &[String]| -> Result<Vec<Term>> {
            typed.iter().map(|term| term.parse()).collect()
        };
        let mut selection = Selection {
            announce: args.announce.parse()?,
            keep: terms(&args.keep)?,
            drop: terms(&args.drop)?,
            since: args.since.as_deref().map(|day| date("--since", day)).transpose()?,
            until: args.until.as_deref().map(|day| date("--until", day)).transpose()?,
        };
        if let (Some(since), Some(until)) = (selection.since, selection.until)
            && since > until
        {
            let message = format!("--since {since} is later than --until {until}");
            return Err(Error::new(ErrorKind::Usage, message).hint("change the two of them"));
        }
        if let Some(top) = args.top
            && args.like.is_empty()
        {
            let message =
                format!("--top {top} keeps the papers most like a library, and there is none");
            return Err(Error::new(ErrorKind::Usage, message)
                .hint("name one with --like FILE; --limit N takes the first N papers"));
        }
        if let Some(glossary) = glossary {
            selection = selection.translated(glossary);
        }
        if selection.has_chinese()
            && let Some(text) = card::find(card::DEFAULT).and_then(Card::glossary_text)
        {
            selection = selection.translated(&Glossary::parse(card::DEFAULT, text)?);
        }
        let shard: Option<Shard> = args.shard.as_deref().map(str::parse).transpose()?;
        if let Some(shard) = shard
            && !args.like.is_empty()
        {
            let message =
                format!("--like ranks all papers, and --shard {shard} has a part of them");
            return Err(Error::new(ErrorKind::Usage, message).hint(
                "rank when the shards are put together: \
                 `wenzhai digest 1.jsonl 2.jsonl --like FILE --no-store`",
            ));
        }
        Ok(Choice { selection, shard, library: library(&args.like)?, top: args.top })
    }

    /// What is to be said of terms that will find little, and of entries of a library that are left
    /// out.
    pub(super) fn warnings(&self) -> Vec<String> {
        let unknown: Vec<String> = self.selection.untranslated().map(Term::to_string).collect();
        let unknown = (!unknown.is_empty()).then(|| {
            let unknown = unknown.join(", ");
            format!("no English is known for {unknown}: give it as well, or in a --glossary")
        });
        let faults = self.library.iter().flat_map(Library::faults).cloned();
        unknown.into_iter().chain(faults).collect()
    }
}

fn library(paths: &[PathBuf]) -> Result<Option<Library>> {
    let mut library = Library::default();
    paths.iter().try_for_each(|path| library.add(path))?;
    Ok((!paths.is_empty()).then_some(library))
}

fn date(option: &str, text: &str) -> Result<Date> {
    text.parse().map_err(|_| {
        Error::new(ErrorKind::Usage, format!("{option} {text} is no day"))
            .hint("days are written as 2026-11-25")
    })
}
