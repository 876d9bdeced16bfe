//! Inputs into a run of the store.

use crate::error::{Error, Result};
use crate::feed::{self, Event, Item, Source};
use crate::pipeline::Observer;
use crate::record::WrittenSummary;
use crate::store::{Offered, Run, Skip};
use crate::summary::notice;

/// What is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Intake {
    /// Most papers; the rest is counted and left out.
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
    /// All are to be summarised, whether they bring a summary along or not.
    Rewrite,
    /// Each is settled as it is, without a summary: the run then lists what would be read.
    List,
}

/// What became of the inputs.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Why inputs could not be read at all.
    pub failed: Vec<Error>,
    /// Whether papers that an input should hold are not known of.
    pub cut_short: bool,
    /// Whole inputs without a paper, as feeds are on weekends.
    pub empty: usize,
}

/// Takes the papers of all `sources` into `run`.
///
/// An input that cannot be read does not keep the others from being read; an error of the store
/// does.
pub fn read(
    sources: &[Source],
    intake: Intake,
    run: &mut Run<'_>,
    observer: &mut dyn Observer,
) -> Result<Inputs> {
    let mut inputs = Inputs::default();
    let mut taken = 0;
    for source in sources {
        observer.reading(source);
        // Both come back from reading; only those of the store end the run.
        let mut store_error = None;
        let outcome = feed::read(source, &mut |event| {
            take_in(event, intake, &mut taken, run, observer).map_err(|error| {
                let stop = Error::new(error.kind(), "the store failed");
                store_error = Some(error);
                stop
            })
        });
        if let Some(error) = store_error {
            return Err(error);
        }
        match outcome {
            Ok(report) => {
                inputs.cut_short |= report.cut_short;
                inputs.empty += usize::from(report.well_formed_empty);
            }
            Err(error) => inputs.failed.push(error),
        }
    }
    Ok(inputs)
}

fn take_in(
    event: Event,
    intake: Intake,
    taken: &mut u64,
    run: &mut Run<'_>,
    observer: &mut dyn Observer,
) -> Result<()> {
    let Item { paper, written } = match event {
        Event::Item(item) => item,
        Event::Malformed(what) => {
            observer.malformed(&what, true);
            run.skip(Skip::Malformed);
            return Ok(());
        }
        Event::Mended(what) => {
            observer.malformed(&what, false);
            return Ok(());
        }
    };
    if intake.limit.is_some_and(|limit| *taken >= limit) {
        run.skip(Skip::Filtered);
        return Ok(());
    }
    let offered = match (intake.treatment, written) {
        (Treatment::List, _) => run.import(&paper, WrittenSummary::default())?,
        (Treatment::Write, Some(written)) => run.import(&paper, written)?,
        (Treatment::Write | Treatment::Rewrite, _) => {
            match notice(&paper.plain_abstract, &paper.comment) {
                Some(notice) => run.note(&paper, notice)?,
                None => run.offer(&paper)?,
            }
        }
    };
    *taken += u64::from(offered == Offered::New);
    Ok(())
}
