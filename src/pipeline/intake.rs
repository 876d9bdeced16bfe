//! Inputs into a run of the store.

use super::register::Register;
use crate::error::{Error, ErrorKind, Result};
use crate::feed::{self, Event, Item, Source};
use crate::paper::Paper;
use crate::pipeline::Observer;
use crate::record::{Relevance, WrittenSummary};
use crate::select::{self, Library, Selection, Shard, Verdict};
use crate::store::{Announcement, Offered, Run, Skip};
use crate::summary::notice;

/// Most items that are counted behind the limit; what is more is not read.
pub const MAX_COUNTED: u64 = 10_000;

/// What is taken in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Intake<'a> {
    /// What papers must be like; `None` takes all.
    pub selection: Option<&'a Selection>,
    /// The shard whose papers are taken in; those of others are counted and nothing else. `None`
    /// takes all.
    pub shard: Option<Shard>,
    /// Most papers. Of files the rest is counted and left out, up to [`MAX_COUNTED`] items; pipes
    /// and addresses, which may never end, are not read any further.
    pub limit: Option<u64>,
    /// What is done with the papers.
    pub treatment: Treatment,
}

/// What is done with papers that are taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Treatment {
    /// Those that bring a summary along keep it; the others are to be summarised.
    #[default]
    Write,
    /// All are to be summarised, whether they bring a summary along or not; one that the store has is taken all
    /// the same, unless the run was begun to redo them.
    Rewrite,
    /// Each is settled as it is, without a summary: the run then lists what would be read.
    List,
}

/// What became of the inputs.
#[must_use = "an input that cannot be read is no error, but told here"]
#[derive(Debug, Default)]
pub struct Inputs {
    /// Why inputs could not be read at all.
    pub failed: Vec<Error>,
    /// Whether papers that an input should hold are not known of.
    pub cut_short: bool,
    /// Whether another try, later, may bring papers that inputs lack.
    pub may_pass: bool,
    /// Whole inputs without a paper, as feeds are on weekends.
    pub empty: usize,
    /// How many papers count towards the limit.
    pub taken: u64,
    /// Whether reading ended at the limit, so that what follows is not known of.
    pub stopped: bool,
    /// The announcements of arXiv's that were read as a whole, to be remembered when they are in
    /// a digest.
    pub announced: Vec<Announcement>,
}

impl Inputs {
    /// Adds what became of others.
    pub fn add(&mut self, others: Inputs) {
        self.failed.extend(others.failed);
        self.cut_short |= others.cut_short;
        self.may_pass |= others.may_pass;
        self.empty += others.empty;
        self.taken += others.taken;
        self.stopped |= others.stopped;
        self.announced.extend(others.announced);
    }
}

/// Takes the papers of all `sources` into `run`, those of folders and of several categories or days in the
/// order of [`feed::expand`].
///
/// An input that cannot be read does not keep the others from being read.
///
/// # Errors
/// Those of the store, and of a folder that holds no file.
pub fn read(
    sources: &[Source],
    intake: Intake<'_>,
    run: &mut Run<'_>,
    observer: &mut dyn Observer,
) -> Result<Inputs> {
    let mut inputs = Inputs::default();
    let register = Register::default();
    let mut desk = Desk { register, intake, taken: 0, counted: 0, run, observer };
    for source in &feed::expand(sources.to_vec())? {
        if desk.is_full() && !source.is_finite() {
            inputs.stopped = true;
            break;
        }
        desk.observer.reading(source);
        desk.register.begin(source);
        // All three come back from reading; of the errors only those of the store end the run.
        let mut store_error = None;
        let outcome = feed::read(source, &mut |event| {
            desk.take_in(event).map_err(|error| {
                let stop = Error::new(error.kind(), "the store failed");
                store_error = Some(error);
                stop
            })?;
            inputs.stopped = desk.has_enough(source);
            if inputs.stopped {
                return Err(Error::new(ErrorKind::Usage, "the limit is reached"));
            }
            Ok(())
        });
        if let Some(error) = store_error {
            return Err(error);
        }
        if inputs.stopped {
            desk.register.end_early(source, desk.run, desk.observer)?;
            break;
        }
        match outcome {
            Ok(report) => {
                inputs.cut_short |= report.cut_short;
                inputs.may_pass |= report.may_pass;
                desk.register.end(source, &report, desk.run, desk.observer)?;
                inputs.empty += usize::from(report.well_formed_empty);
            }
            Err(error) => inputs.failed.push(error),
        }
    }
    inputs.taken = desk.taken;
    inputs.announced = desk.register.read;
    Ok(inputs)
}

/// Where what is read goes.
struct Desk<'a, 'run> {
    register: Register,
    intake: Intake<'a>,
    /// Papers taken in.
    taken: u64,
    /// Items met behind the limit.
    counted: u64,
    run: &'a mut Run<'run>,
    observer: &'a mut dyn Observer,
}

impl Desk<'_, '_> {
    fn is_full(&self) -> bool {
        self.intake.limit.is_some_and(|limit| self.taken >= limit)
    }

    /// Whether no more of `source` is to be read.
    fn has_enough(&self, source: &Source) -> bool {
        self.is_full() && (self.counted >= MAX_COUNTED || !source.is_finite())
    }

    fn take_in(&mut self, event: Event) -> Result<()> {
        let is_full = self.is_full();
        let Item { paper, written, notice: told } = match event {
            Event::Item(item) => item,
            Event::Malformed { what, lost } => {
                self.observer.malformed(&what, lost);
                self.counted += if is_full { lost } else { 0 };
                self.run.skip_many(Skip::Malformed, lost);
                return Ok(());
            }
            Event::Deleted => {
                self.run.skip(Skip::Deleted);
                return Ok(());
            }
            Event::Fetching(text) => {
                self.observer.note(&text);
                return Ok(());
            }
            Event::More(what) => {
                self.observer.warning(&what.to_string());
                return Ok(());
            }
        };
        self.register.add(&paper);
        if self.intake.shard.is_some_and(|shard| !shard.has(&paper)) {
            self.counted += u64::from(is_full);
            self.run.skip(Skip::OtherShard);
            return Ok(());
        }
        if self.run.has_existing(&paper)? {
            self.counted += u64::from(is_full);
            self.run.skip(Skip::Existing);
            return Ok(());
        }
        if is_full {
            self.counted += 1;
            self.run.skip(Skip::OverLimit);
            return Ok(());
        }
        let (is_listed, terms) = match self.judge(&paper, written.as_ref()) {
            Verdict::Take(terms) => (false, terms),
            Verdict::Replacement(terms) => (true, terms),
            Verdict::Leave => {
                self.run.skip(Skip::Filtered);
                return Ok(());
            }
        };
        // Withdrawals come as new versions; to tell of them takes no writing.
        let notice = told.or_else(|| notice(&paper.plain_abstract, &paper.comment));
        let is_listed = is_listed && notice.is_none();
        let offered = match (self.intake.treatment, written) {
            (Treatment::List, None) if is_listed => {
                self.run.skip(Skip::Filtered);
                return Ok(());
            }
            (Treatment::List, _) => self.run.import(&paper, WrittenSummary::default())?,
            (Treatment::Write | Treatment::Rewrite, None) if is_listed => {
                self.run.list_replacement(&paper)?
            }
            (Treatment::Write, Some(written)) => self.run.import(&paper, written)?,
            (Treatment::Write | Treatment::Rewrite, _) => match notice {
                Some(notice) => self.run.note(&paper, notice)?,
                None => self.run.offer(&paper)?,
            },
        };
        self.taken += u64::from(offered == Offered::New);
        if !terms.is_empty() && offered != Offered::Duplicate {
            self.run.explain(&paper, &Relevance { terms, ..Relevance::default() })?;
        }
        Ok(())
    }

    fn judge(&self, paper: &Paper, written: Option<&WrittenSummary>) -> Verdict {
        let Some(selection) = self.intake.selection else { return Verdict::Take(Vec::new()) };
        selection.judge(paper, written.map(|written| &written.summary))
    }
}

/// Puts the papers of `run` in the order of their likeness to `library`, and leaves out those
/// behind the first `top`. Answers with how many papers were ranked: none where nothing is known of
/// the library's papers.
pub fn rank(run: &mut Run<'_>, library: &Library, top: Option<u64>) -> Result<usize> {
    let (mut offered, mut papers) = (Vec::new(), Vec::new());
    run.for_each_offered(&mut |of_run, paper, relevance| {
        offered.push((of_run, relevance));
        // What likeness is told by; all papers are held at a time.
        let Paper { id, plain_title, plain_abstract, .. } = paper;
        papers.push(Paper { id, plain_title, plain_abstract, ..Paper::default() });
    })?;
    let ranks = select::rank(&papers, library);
    for (place, rank) in (1..).zip(&ranks) {
        let (of_run, relevance) = &offered[rank.paper];
        if top.is_some_and(|top| place > top) {
            run.leave_out(*of_run)?;
            continue;
        }
        let nearest = rank.nearest.clone();
        let relevance = Relevance { place: Some(place), nearest, ..relevance.clone() };
        run.place(*of_run, rank.score, &relevance)?;
    }
    Ok(ranks.len())
}
