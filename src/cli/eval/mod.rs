//! `wenzhai eval`: how good summaries are, against references.
//!
//! A line that cannot be read ends it, other than in a digest: figures over a part of the papers
//! would pass for those over all. A paper without a record is no such thing; it counts as failed.

mod report;

use super::args::EvalArgs;
use super::console;
use super::input;
use super::outcome::Outcome;
use super::output::write_report;
use super::settings::EvalSettings;
use super::wording;
use crate::error::{Error, ErrorKind, Result};
use crate::eval::{Coverage, Evaluator, Matching, PaperChrf, Reference, Written};
use crate::feed::Source;
use crate::record::{JsonLine, read_lines};
use crate::summary::Summary;
use report::{Paper, Report};

/// Most references, since all of them are held in memory: some 3 KB each.
const MAX_REFERENCES: usize = 100_000;

pub(super) fn run(args: EvalArgs) -> Result<Outcome> {
    let settings = EvalSettings::of(args)?;
    let mut matching = Matching::new(read_references(&settings.references)?);
    let first_id = take_records(&settings.records, &mut matching)?;
    let coverage = matching.coverage();
    if coverage.matched == 0 {
        return Err(no_match(&settings, &matching, first_id.as_deref()));
    }
    warn(&settings, &coverage);
    let report = measure(&settings, &matching, coverage);
    write_report(&report, settings.json.as_ref(), &report.table())?;
    Ok(Outcome::Complete)
}

fn read_references(source: &Source) -> Result<Vec<Reference>> {
    let mut references = Vec::new();
    for reference in read_lines(input::open(source)?, source.to_string()) {
        references.push(reference?);
        if references.len() > MAX_REFERENCES {
            let most = wording::count(MAX_REFERENCES as u64);
            let message = format!("{source} holds more than {most} references");
            return Err(Error::new(ErrorKind::Input, message).hint("measure with a part of them"));
        }
    }
    if references.is_empty() {
        let message = format!("{source} holds no reference");
        return Err(Error::new(ErrorKind::Input, message).hint(Reference::HINT));
    }
    Ok(references)
}

/// Returns the first record's id.
fn take_records(source: &Source, matching: &mut Matching) -> Result<Option<String>> {
    let mut first_id = None;
    for record in read_lines(input::open(source)?, source.to_string()) {
        let record: Written = record?;
        matching.take(&record);
        first_id.get_or_insert(record.id);
    }
    Ok(first_id)
}

/// Figures would be of nothing; most likely a file is the wrong one.
fn no_match(settings: &EvalSettings, matching: &Matching, first_id: Option<&str>) -> Error {
    let EvalSettings { records, references, .. } = settings;
    let Some(record) = first_id else {
        return Error::new(ErrorKind::Input, format!("{records} holds no record"))
            .hint(Written::HINT);
    };
    let message = format!("no record of {records} belongs to a reference of {references}");
    let reference = matching.pairs().next().map_or("", |(reference, _)| &reference.id);
    Error::new(ErrorKind::Input, message).hint(format!(
        "they must have the same `id`; the first record has {record:?}, the first reference \
         {reference:?}"
    ))
}

/// Says what may be a mistake, and what was made of it.
fn warn(settings: &EvalSettings, coverage: &Coverage) {
    let EvalSettings { records, references, .. } = settings;
    let Coverage { repeated_references, repeated_records, without_reference, missing, .. } =
        *coverage;
    for (file, number, what) in [
        (references, repeated_references, "of papers that came before; each of them counts"),
        (
            records,
            repeated_records,
            "of papers that came before; the one of the reference's version counts, or else the last",
        ),
        (records, without_reference, "without a reference, left out"),
        (references, missing, "without a record, counted as failed"),
    ] {
        if number > 0 {
            console::warn(&format!("{file}: {} {what}", wording::count(number)));
        }
    }
}

fn measure(settings: &EvalSettings, matching: &Matching, coverage: Coverage) -> Report {
    let mut evaluator = Evaluator::new();
    let nothing = Summary::default();
    let mut scored: Vec<(PaperChrf, &Reference, Option<&Written>)> = matching
        .pairs()
        .map(|(reference, written)| {
            let ours = written.map_or(&nothing, |written| &written.summary);
            (evaluator.add(reference, ours), reference, written)
        })
        .collect();
    // Equals stay in the order of the references.
    scored.sort_by(|(a, ..), (b, ..)| a.average().total_cmp(&b.average()));
    let worst = scored.into_iter().take(settings.worst);
    Report {
        program: concat!("wenzhai ", env!("CARGO_PKG_VERSION")),
        written: settings.records.to_string(),
        references: settings.references.to_string(),
        figures: evaluator.figures(),
        coverage,
        worst: worst.map(|(chrf, reference, ours)| Paper::new(chrf, reference, ours)).collect(),
    }
}
