//! Hands events to the caller, counts them, and decides at the end what the input as a whole was.

use std::io;

use super::page::Page;
use super::{Event, FeedReport, Format, Item, Malformed, Place, Position};
use crate::error::{ErrorKind, plain};
use crate::paper::{Announce, Date, PaperId};
use crate::text::printable;
use crate::{Error, Result};

/// Most characters of what a message says is wrong; it may quote what anyone wrote.
const MAX_REASON_CHARS: usize = 500;

pub(super) struct Delivery<'a> {
    input: String,
    sink: &'a mut dyn FnMut(Event) -> Result<()>,
    format: Option<Format>,
    items: u64,
    malformed: u64,
    /// What was wrong first; the best explanation there is when no paper comes out.
    first_fault: Option<Malformed>,
    /// The break, until it is known whether any paper came before it.
    break_off: Option<Malformed>,
    pub(super) missing: u64,
    /// Whether another try may bring what is lacking.
    pub(super) may_pass: bool,
    /// Whether the input comes over the network, where another try may bring what this one lacks.
    pub(super) is_fetched: bool,
    day: Option<Date>,
    /// Whether the input is read answer by answer, so that what one lacks another may have.
    pub(super) follows_pages: bool,
    /// Whether papers may have been replaced since the input says what they were.
    pub(super) may_be_replaced: bool,
    /// What the answer read last says of the whole.
    pub(super) last_page: Option<Page>,
    /// The papers of the answer that is being read, where it is looked whether they came before.
    pub(super) of_answer: Option<Vec<Entry>>,
}

/// What tells entries of an answer apart: a day may list a paper as new and as cross-listed.
pub(super) type Entry = (PaperId, Option<Announce>);

impl<'a> Delivery<'a> {
    pub(super) fn new(input: &str, sink: &'a mut dyn FnMut(Event) -> Result<()>) -> Self {
        Delivery {
            input: printable(input, MAX_REASON_CHARS),
            sink,
            format: None,
            items: 0,
            malformed: 0,
            first_fault: None,
            break_off: None,
            missing: 0,
            may_pass: false,
            is_fetched: false,
            day: None,
            follows_pages: false,
            may_be_replaced: false,
            last_page: None,
            of_answer: None,
        }
    }

    /// Notes what the input is; the first word on it stands.
    pub(super) fn is_a(&mut self, format: Format) {
        self.format.get_or_insert(format);
    }

    /// What the input is, as far as it is known.
    pub(super) fn format(&self) -> Option<Format> {
        self.format
    }

    /// Notes of which day of announcement the input is; the first word on it stands.
    pub(super) fn is_of(&mut self, day: Date) {
        self.day.get_or_insert(day);
    }

    /// The day of announcement that the input says to be of.
    pub(super) fn day(&self) -> Option<Date> {
        self.day
    }

    /// How many papers were handed over.
    pub(super) fn items(&self) -> u64 {
        self.items
    }

    /// Hands a paper over.
    pub(super) fn item(&mut self, mut item: Item) -> Result<()> {
        self.items += 1;
        if let Some(papers) = &mut self.of_answer {
            papers.extend(item.paper.id.clone().map(|id| (id, item.paper.announce)));
        }
        if self.may_be_replaced {
            item.paper.version = None;
        }
        (self.sink)(Event::Item(item))
    }

    /// Reports an item that has to be left out.
    pub(super) fn malformed(&mut self, position: Position, reason: String) -> Result<()> {
        self.lose(position, reason, 1)
    }

    /// Reports that so many papers are not where they should be.
    pub(super) fn lose(&mut self, position: Position, reason: String, lost: u64) -> Result<()> {
        let what = self.fault(position, reason);
        self.malformed = self.malformed.saturating_add(lost);
        self.first_fault.get_or_insert_with(|| what.clone());
        (self.sink)(Event::Malformed { what, lost })
    }

    /// Reports a record of a paper that is not there any more.
    pub(super) fn deleted(&mut self) -> Result<()> {
        (self.sink)(Event::Deleted)
    }

    /// Tells how fetching goes on.
    pub(super) fn fetching(&mut self, text: &str) -> Result<()> {
        (self.sink)(Event::Fetching(text.to_owned()))
    }

    /// Reports bytes that are not valid in the input's encoding, and were replaced.
    pub(super) fn mended(&mut self, line: u64, encoding: &str) -> Result<()> {
        let reason = format!("bytes that are not {encoding} were replaced by U+FFFD");
        let what = self.fault(Position::Line(line), reason);
        (self.sink)(Event::Malformed { what, lost: 0 })
    }

    /// Reports that the input says itself that there is more than it holds.
    pub(super) fn more(&mut self, reason: String) -> Result<()> {
        let page = self.fault(Position::Whole, reason);
        (self.sink)(Event::More(page))
    }

    /// Notes that nothing can be read after `line`, and whether another try may read on.
    pub(super) fn break_off(&mut self, line: u64, reason: String, may_pass: bool) {
        self.break_off = Some(self.fault(Position::Line(line), reason));
        self.may_pass |= may_pass;
    }

    /// Notes that the input is not whole, though nothing in it breaks off.
    pub(super) fn cut_off(&mut self, reason: String) {
        self.break_off = Some(self.fault(Position::Whole, reason));
    }

    /// Papers that were lost so far, as far as they are known of.
    pub(super) fn losses(&self) -> u64 {
        self.malformed
    }

    /// Whether the input has broken off.
    pub(super) fn is_broken(&self) -> bool {
        self.break_off.is_some()
    }

    /// Sums the input up once it is read.
    pub(super) fn finish(mut self) -> Result<FeedReport> {
        let break_off = self.break_off.take();
        let cut_short = break_off.is_some();
        if self.items == 0
            && let Some(fault) = self.first_fault.take().or(break_off.clone())
        {
            let error = Error::new(ErrorKind::Input, format!("no paper in {fault}"));
            return Err(match self.may_pass {
                true => error.passing().hint("run again in a while; it may be whole then"),
                false => {
                    error.hint("check that the input is whole, and is what it was meant to be")
                }
            });
        }
        if let Some(what) = break_off {
            self.malformed += 1;
            (self.sink)(Event::Malformed { what, lost: 1 })?;
        }
        let Some(format) = self.format else { return Err(self.lacks("holds no paper")) };
        Ok(FeedReport {
            format,
            items: self.items,
            malformed: self.malformed,
            cut_short,
            well_formed_empty: self.items == 0,
            missing: self.missing,
            may_pass: self.may_pass,
            day: self.day,
        })
    }

    /// An error of the input as a whole: "NAME is empty".
    pub(super) fn error(&self, what: &str) -> Error {
        let what = printable(what, MAX_REASON_CHARS);
        Error::new(ErrorKind::Input, format!("{} {what}", self.input))
    }

    /// [`Delivery::error`], where what is fetched another time may have what this lacks.
    pub(super) fn lacks(&self, what: &str) -> Error {
        let error = self.error(what);
        if self.is_fetched { error.passing() } else { error }
    }

    /// The error for an input of which not even the beginning can be read.
    pub(super) fn unreadable(&self, cause: io::Error) -> Error {
        let may_pass = self.can_go_on(&cause);
        let message = format!("cannot read {}: {}", self.input, plain(&cause));
        let error = Error::new(ErrorKind::Input, message).because(cause);
        if may_pass { error.passing() } else { error }
    }

    /// Whether reading, which failed for `cause`, may go on another time.
    pub(super) fn can_go_on(&self, cause: &io::Error) -> bool {
        // So ends what is packed, where it is cut without a sign.
        let is_cut = self.is_fetched && cause.kind() == io::ErrorKind::UnexpectedEof;
        // What passes is told by the kind alone, and a cause cannot be copied.
        let error = Error::new(ErrorKind::Input, "").because(io::Error::from(cause.kind()));
        is_cut || error.may_pass()
    }

    fn fault(&self, position: Position, reason: String) -> Malformed {
        let reason = printable(&reason, MAX_REASON_CHARS);
        Malformed { place: Place { input: self.input.clone(), position }, reason }
    }
}
