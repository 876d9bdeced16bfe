//! The documents that a digest becomes: where each goes, and in which form.
//!
//! A name's end tells the form. `{date}` in a name is the digest's day, which is known when the
//! records are; so such a name is checked with today's before the work, and as it is after it. All
//! files are on the disk before one takes its name: if one cannot be written, none is new. They take their
//! names one after the other.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::args::{ArrangementArgs, Format, GroupArg, OutputArgs, SortArg};
use super::extended::{self, Successors};
use super::output::{Output, WhichFile, check_apart, is_reader_gone, naming};
use crate::atomic::{Written, check_writable, write_beside};
use crate::digest::{self, Feed, Group, InOrder, Order, Overview, Page, Records};
use crate::error::{Error, ErrorKind, Result};
use crate::paper::Date;
use crate::store::Successor;

const DATE: &str = "{date}";
/// Most outputs of a run; each is a file that is open while the next one is written.
const MAX_OUTPUTS: usize = 32;

/// Where a digest goes: at least one place.
#[derive(Debug)]
pub(super) struct Outputs {
    places: Vec<Place>,
    arrangement: Arrangement,
    /// Records that are extended instead of written anew.
    extended: Option<PathBuf>,
    /// What must not be written over, each with what it is.
    kept: Vec<(&'static str, PathBuf)>,
}

/// In which order papers stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Arrangement {
    /// Where there is none, papers stand as they come: by link, or by likeness.
    pub(super) order: Option<Order>,
    pub(super) group: Option<Group>,
}

/// One place, its name as it was typed.
#[derive(Debug)]
struct Place {
    output: Output,
    format: Format,
}

impl Outputs {
    /// What was typed, checked as far as it can be before the records are known.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where a name cannot be meant, and what [`Output::check`] finds.
    pub(super) fn of(args: OutputArgs, kept: Vec<(&'static str, PathBuf)>) -> Result<Self> {
        let outputs: Vec<Output> = match args.output.is_empty() {
            true => vec![Output::Stdout],
            false => args.output.into_iter().map(|path| Output::of(Some(path))).collect(),
        };
        if outputs.len() > MAX_OUTPUTS {
            let message = format!("{} outputs, at most {MAX_OUTPUTS}", outputs.len());
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let ends: Vec<Option<Format>> = outputs.iter().map(told_by_name).collect();
        if let Some(format) = args.format
            && !ends.iter().any(|end| end.is_none_or(|end| end == format))
        {
            let message = format!("--format {} is not the form of {}", name(format), outputs[0]);
            return Err(Error::new(ErrorKind::Usage, message)
                .hint("leave out --format, or end the name otherwise"));
        }
        let default = args.format.unwrap_or(Format::Md);
        let place = |(output, end): (Output, Option<Format>)| Place {
            output,
            format: end.unwrap_or(default),
        };
        let places = outputs.into_iter().zip(ends).map(place).collect();
        let arrangement = Arrangement::of(&args.arrangement);
        let outputs = Outputs { places, arrangement, extended: None, kept };
        outputs.check(today())?;
        Ok(outputs)
    }

    /// Lets records, of which there must be one file, keep what it has.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where there is none, more than one, or one whose name is not known yet.
    pub(super) fn extending(mut self) -> Result<Self> {
        let is_records = |place: &&Place| place.format == Format::Jsonl;
        let files = self.places.iter().filter(is_records).filter_map(|place| match &place.output {
            Output::File(path) if !path.to_string_lossy().contains(DATE) => Some(path.clone()),
            _ => None,
        });
        let files: Vec<PathBuf> = files.collect();
        let [file] = files.as_slice() else {
            let message = "--skip-existing looks into one file of records, and there is not one";
            return Err(Error::new(ErrorKind::Usage, message)
                .hint("name one, without {date}: -o archive.jsonl"));
        };
        self.extended = Some(file.clone());
        Ok(self)
    }

    /// The file of records that is extended; it need not be there yet.
    pub(super) fn extended(&self) -> Option<&Path> {
        self.extended.as_deref()
    }

    /// The day of the digest that `records` become.
    pub(super) fn day(&self, records: &dyn Records) -> Result<Date> {
        Ok(Overview::of(records)?.day.unwrap_or_else(today))
    }

    /// Files of `day` that stand beside the records that are extended, and are there already.
    pub(super) fn of_day_already(&self, day: Date) -> Vec<PathBuf> {
        let of_day = self.places.iter().filter(|place| place.output.to_string().contains(DATE));
        let files = of_day.filter_map(|place| match dated(&place.output, day) {
            Ok(Output::File(path)) => Some(path),
            _ => None,
        });
        files.filter(|path| path.is_file()).collect()
    }

    /// Whether a digest of one day takes the place of that of another: a name is without the day.
    pub(super) fn is_of_any_day(&self) -> bool {
        self.places.iter().any(|place| !place.output.to_string().contains(DATE))
    }

    /// Writes what `records` become; `successors` says what they have of the records of a file that
    /// is extended.
    pub(super) fn write(&self, records: &dyn Records, successors: Successors<'_>) -> Result<()> {
        self.arranged(records, |records| self.write_arranged(records, successors))
    }

    /// Writes `records` as such to standard output, in the digest's order.
    pub(super) fn list(&self, records: &dyn Records) -> Result<()> {
        self.arranged(records, |records| Output::Stdout.write(|out| digest::jsonl(records, out)))
    }

    /// Writes what `records` become, which are in memory.
    pub(super) fn write_in_order(&self, records: InOrder) -> Result<()> {
        self.write_arranged(&self.arrangement.arrange(records), &|_| Ok(Successor::Nothing))
    }

    fn arranged(
        &self,
        records: &dyn Records,
        write: impl FnOnce(&dyn Records) -> Result<()>,
    ) -> Result<()> {
        let Arrangement { order, group } = self.arrangement;
        match self.arrangement == Arrangement::default() {
            true => write(records),
            false => write(&InOrder::read(records, order, group)?),
        }
    }

    fn write_arranged(&self, records: &dyn Records, successors: Successors<'_>) -> Result<()> {
        let has_date = self.places.iter().any(|place| place.output.to_string().contains(DATE));
        let day = match has_date {
            true => self.day(records)?,
            false => today(),
        };
        self.check(day)?;
        let (files, streams): (Vec<&Place>, Vec<&Place>) =
            self.places.iter().partition(|place| matches!(place.output, Output::File(_)));
        let write = |place: &&Place| match dated(&place.output, day)? {
            Output::File(path) => write_beside(&path, |out| {
                naming(&path, out, |out| self.document(place, records, successors, out))
            })
            .map(Some),
            Output::Stdout => Ok(None),
        };
        let archive = || self.extended().and_then(|path| path.metadata().ok());
        let state = |file: Metadata| (file.len(), file.modified().ok());
        let before = archive().map(state);
        let written: Vec<Option<Written>> = files.iter().map(write).collect::<Result<_>>()?;
        streams.iter().try_for_each(|place| {
            let write = |out: &mut dyn Write| self.document(place, records, successors, out);
            match place.output.write(write) {
                // Whoever read some of it has what was wanted; the files take their names all the same.
                Err(error) if !files.is_empty() && is_reader_gone(&error) => Ok(()),
                outcome => outcome,
            }
        })?;
        if archive().map(state) != before {
            let path = self.extended().unwrap_or(Path::new("")).display();
            let message = format!("{path} was changed by another run meanwhile");
            return Err(Error::new(ErrorKind::Io, message).hint("run again").passing());
        }
        written.into_iter().flatten().try_for_each(Written::take_name)
    }

    fn document(
        &self,
        place: &Place,
        records: &dyn Records,
        successors: Successors<'_>,
        out: &mut dyn Write,
    ) -> Result<()> {
        let group = self.arrangement.group;
        let is_extended = |path: &Path| matches!(&place.output, Output::File(at) if at == path);
        match place.format {
            Format::Md => digest::markdown_in_groups(records, group, out),
            Format::Jsonl => match self.extended().filter(|path| is_extended(path)) {
                Some(path) => extended::write(path, records, successors, out),
                None => digest::jsonl(records, out),
            },
            Format::Html => digest::html(records, &Page { group, ..Page::default() }, out),
            Format::Atom => {
                let name = feed_name(&place.output);
                digest::atom(records, &Feed { name: &name, today: today(), site: None }, out)
            }
        }
    }

    /// Whether everything can be written on `day`, and nothing takes the place of another.
    fn check(&self, day: Date) -> Result<()> {
        let outputs = self.places.iter().map(|place| dated(&place.output, day));
        let outputs: Vec<Output> = outputs.collect::<Result<_>>()?;
        let paths = outputs.iter().filter_map(|output| match output {
            Output::File(path) => Some(path.as_path()),
            Output::Stdout => None,
        });
        let files: Vec<(&Path, WhichFile)> =
            paths.map(|path| (path, WhichFile::of(path))).collect();
        check_apart(&files, &self.kept)?;
        for (at, (path, file)) in files.iter().enumerate() {
            check_writable(path)?;
            if files[..at].iter().any(|(_, other)| file.is(other)) {
                let message = format!("{} is named for two outputs", path.display());
                return Err(Error::new(ErrorKind::Usage, message)
                    .hint("give each output a name of its own"));
            }
        }
        if outputs.len() - files.len() > 1 {
            let message = "standard output (-) is named for two outputs";
            return Err(Error::new(ErrorKind::Usage, message));
        }
        Ok(())
    }
}

/// The first file that two digests would both write, the later one over the earlier one. Where both
/// `extend` records, these are no such file.
pub(super) fn in_common(one: &OutputArgs, other: &OutputArgs, extend: bool) -> Option<PathBuf> {
    let files = |args: &OutputArgs| {
        let files = args.output.iter().filter_map(|path| {
            let output = Output::of(Some(path.clone()));
            let is_records = told_by_name(&output).or(args.format) == Some(Format::Jsonl)
                && !output.to_string().contains(DATE);
            match dated(&output, today()) {
                Ok(Output::File(path)) if !(extend && is_records) => Some(path),
                _ => None,
            }
        });
        files.collect::<Vec<PathBuf>>()
    };
    let others: Vec<WhichFile> = files(other).iter().map(|path| WhichFile::of(path)).collect();
    files(one).into_iter().find(|path| {
        let file = WhichFile::of(path);
        others.iter().any(|other| file.is(other))
    })
}

impl Arrangement {
    /// `records` in this order.
    pub(super) fn arrange(self, records: InOrder) -> InOrder {
        match self {
            Arrangement { order: None, group: None } => records,
            Arrangement { order, group } => records.arrange(order, group),
        }
    }

    pub(super) fn of(args: &ArrangementArgs) -> Self {
        Arrangement {
            order: args.sort.map(|sort| match sort {
                SortArg::Link => Order::Link,
                SortArg::Date => Order::Day,
            }),
            group: args.group.map(|group| match group {
                GroupArg::Category => Group::Category,
                GroupArg::Announce => Group::Announce,
            }),
        }
    }
}

/// Today, by the clock of Greenwich, so that a name does not depend on where a machine stands.
pub(super) fn today() -> Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// The form that the end of a name tells.
fn told_by_name(output: &Output) -> Option<Format> {
    let Output::File(path) = output else { return None };
    let end = path.extension()?.to_str()?.to_ascii_lowercase();
    match end.as_str() {
        "md" => Some(Format::Md),
        "jsonl" => Some(Format::Jsonl),
        "html" => Some(Format::Html),
        "xml" | "atom" => Some(Format::Atom),
        _ => None,
    }
}

fn name(format: Format) -> &'static str {
    match format {
        Format::Md => "md",
        Format::Jsonl => "jsonl",
        Format::Html => "html",
        Format::Atom => "atom",
    }
}

/// `output` with `day` in the place of `{date}`.
///
/// # Errors
/// [`ErrorKind::Usage`] for other words in braces, and for `{date}` in the name of a folder, which
/// would have to be made.
fn dated(output: &Output, day: Date) -> Result<Output> {
    let Output::File(path) = output else { return Ok(Output::Stdout) };
    let (folder, file) = (path.parent(), path.file_name().and_then(OsStr::to_str));
    let folder_name = folder.and_then(Path::to_str).unwrap_or_default();
    if folder_name.contains(DATE) {
        let message = format!("{}: {DATE} stands in the name of a folder", path.display());
        return Err(Error::new(ErrorKind::Usage, message)
            .hint("put it into the name of the file: 'days/{date}.html'"));
    }
    // A name that is no Unicode has no placeholder.
    let Some(file) = file else { return Ok(output.clone()) };
    if let Some(unknown) = placeholder_other_than_date(file) {
        let message = format!("{}: unknown placeholder {unknown}", path.display());
        return Err(Error::new(ErrorKind::Usage, message)
            .hint("{date} is the only one: the digest's day, as in 2026-11-25"));
    }
    let file = file.replace(DATE, &day.to_string());
    Ok(Output::File(folder.map_or_else(|| PathBuf::from(&file), |folder| folder.join(&file))))
}

/// The first word in braces that is not `date`, braces included.
fn placeholder_other_than_date(name: &str) -> Option<&str> {
    let mut rest = name;
    while let Some(open) = rest.find('{') {
        let close = open + rest[open..].find('}')? + 1;
        if &rest[open..close] != DATE {
            return Some(&rest[open..close]);
        }
        rest = &rest[close..];
    }
    None
}

/// What a feed is called: its file's name without its end and day, so that it stays the same feed; where
/// that says only what it is, its folder's name.
fn feed_name(output: &Output) -> String {
    let Output::File(path) = output else { return String::new() };
    let name = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
    let ends = [".xml", ".atom"];
    let stem = ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    let name = stem.replace(DATE, "");
    let name = name.trim_matches(|c: char| "-_. ".contains(c));
    match name {
        "" | "digest" | "feed" | "index" | "atom" => {
            folder_name(path.parent().unwrap_or(Path::new("")))
        }
        name => name.to_owned(),
    }
}

/// The name of `folder`, of the one that a link leads to as well; empty where it has none.
pub(super) fn folder_name(folder: &Path) -> String {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let resolved = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    resolved.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
