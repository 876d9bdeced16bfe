//! `wenzhai site`: a page a day, an index over all days, and a feed of the newest.
//!
//! The folder's files of records are the only source: everything else can be deleted and comes back
//! the same. One day's records are held in memory at a time, and titles up to a bound.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::args::SiteArgs;
use super::console::{self, Complaints, causes_and_hints};
use super::outcome::Outcome;
use super::outputs::{Arrangement, folder_name, today};
use super::settings::Verbosity;
use super::unique::Unique;
use super::wording;
use crate::atomic::{check_writable, write_atomically};
use crate::digest::{self, DayOfSite, Feed, FeedSite, InOrder, Page, Records};
use crate::error::{Error, ErrorKind, Result};
use crate::feed::Source;
use crate::paper::Date;
use crate::record::Record;

const INDEX: &str = "index.html";
const FEED: &str = "feed.xml";
/// How many of the newest days are in the feed: readers that sleep through a holiday miss none.
const DAYS_OF_FEED: usize = 7;
/// Papers after which no further day is in the feed.
const PAPERS_OF_FEED: u64 = 2_000;
/// Papers after which no further day has its titles in the index, some 2 MB of them: a page of more
/// opens slowly on a phone.
const PAPERS_OF_INDEX: u64 = 10_000;
/// Days after which no further one is read: more than two centuries of them.
const MAX_DAYS: usize = 100_000;
/// How often a page is written whose records change while it is.
const PAGE_TRIES: usize = 3;
/// Where a file of ours says that it is one.
const MARK_WITHIN_BYTES: u64 = 16 << 10;

/// A file of records.
struct DayFile {
    date: Date,
    records: PathBuf,
    page: PathBuf,
    page_name: String,
}

pub(super) fn run(args: &SiteArgs) -> Result<Outcome> {
    let site = Site { folder: &args.folder, arrangement: Arrangement::of(&args.arrangement) };
    let feed_site = args.url.as_deref().map(feed_site).transpose()?;
    let days = site.days()?;
    if days.is_empty() {
        let message = format!("there are no days in {}", args.folder.display());
        return Err(Error::new(ErrorKind::Usage, message).hint(
            "a day is a file of records: wenzhai digest FEED -o 'DIR/{date}.jsonl' writes one",
        ));
    }
    let (index, feed) = (args.folder.join(INDEX), args.folder.join(FEED));
    for file in [&index, &feed].into_iter().chain(days.iter().map(|day| &day.page)) {
        check_ours(file)?;
    }
    for file in [&index, &feed] {
        check_writable(file)?;
    }
    let mut complaints = Complaints::new(Verbosity::Normal);
    let (mut pages, mut papers) = (0, 0);
    let mut of_index: Vec<DayOfSite> = Vec::with_capacity(days.len());
    let mut readable = Vec::with_capacity(days.len());
    let number = days.len();
    for day in days {
        let Some((mut before, mut records)) = site.read_or_complain(&day, &mut complaints) else {
            // Its page, where there is one, may be the last that has its papers.
            if day.page.exists() {
                of_index.push(DayOfSite::unreadable(day.date, day.page_name));
            }
            continue;
        };
        if args.redo || is_older(&day.page, &day.records)? {
            let group = site.arrangement.group;
            let page = Page { group, index: Some(INDEX), day: Some(day.date) };
            for _ in 0..PAGE_TRIES {
                write_atomically(&day.page, |out| digest::html(&records, &page, out))?;
                // A digest may have replaced them meanwhile, and the page is younger than these.
                let now = modified(&day.records)?;
                if now == before {
                    break;
                }
                before = now;
                records = site.read(&day, &mut Complaints::new(Verbosity::Quiet))?;
            }
            pages += 1;
        }
        let with_titles = papers == 0 || papers + records.len() as u64 <= PAPERS_OF_INDEX;
        let of_site = DayOfSite::of(day.date, day.page_name.clone(), &records, with_titles)?;
        papers += of_site.papers();
        of_index.push(of_site);
        readable.push(day);
    }
    if readable.is_empty() {
        complaints.finish();
        let folder = args.folder.display();
        let message =
            format!("of the {} days in {folder} none can be read", wording::count(number as u64));
        return Err(Error::new(ErrorKind::Input, message).hint("the site stays as it was"));
    }
    let days = readable;
    write_atomically(&index, |out| digest::site_index(&of_index, FEED, out))?;
    let newest = Newest { site: &site, days: newest(&of_index, &days) };
    // As its folder.
    let name = folder_name(site.folder);
    let feed_of = Feed { name: &name, today: today(), site: feed_site.as_ref() };
    write_atomically(&feed, |out| digest::atom(&newest, &feed_of, out))?;
    let left_out = complaints.finish();
    console::note(&format!(
        "{} days, {} papers: {pages} pages written, {INDEX} and {FEED} renewed",
        wording::count(days.len() as u64),
        wording::count(papers)
    ));
    Ok(if left_out > 0 { Outcome::Incomplete } else { Outcome::Complete })
}

/// What `--url` says.
fn feed_site(address: &str) -> Result<FeedSite> {
    FeedSite::new(address, FEED).ok_or_else(|| {
        Error::new(ErrorKind::Usage, format!("--url {address}: not the address of a folder"))
            .hint("such as https://example.org/papers/")
    })
}

struct Site<'a> {
    folder: &'a Path,
    arrangement: Arrangement,
}

impl Site<'_> {
    /// The days of the folder, the newest first. Files whose names are no days are others'.
    fn days(&self) -> Result<Vec<DayFile>> {
        let failed = |cause| Error::io("read", self.folder, cause);
        let mut days = Vec::new();
        for entry in fs::read_dir(self.folder).map_err(failed)? {
            let records = entry.map_err(failed)?.path();
            let Some(date) = date_of(&records) else { continue };
            if !records.is_file() {
                continue;
            }
            let page_name = format!("{date}.html");
            days.push(DayFile { date, page: self.folder.join(&page_name), records, page_name });
        }
        if days.len() > MAX_DAYS {
            let message = format!("{}: more than {MAX_DAYS} days", self.folder.display());
            return Err(Error::new(ErrorKind::Input, message));
        }
        days.sort_by_key(|day| std::cmp::Reverse(day.date));
        Ok(days)
    }

    /// The records of a day, and when they were written before they were read; nothing, and a complaint, where
    /// none of them can be read.
    fn read_or_complain(
        &self,
        day: &DayFile,
        complaints: &mut Complaints,
    ) -> Option<(SystemTime, InOrder)> {
        let lost_before = complaints.lost();
        let read = modified(&day.records).and_then(|at| Ok((at, self.read(day, complaints)?)));
        match read {
            Ok((_, records)) if records.is_empty() && complaints.lost() > lost_before => None,
            Ok(read) => Some(read),
            Err(error) => {
                let (causes, _) = causes_and_hints(&error);
                complaints.add(&[vec![error.to_string()], causes].concat().join(": "), 1);
                None
            }
        }
    }

    /// The records of a day, each paper once and arranged; lines that are none are complained of and
    /// left out. What tells no day is of the file's.
    fn read(&self, day: &DayFile, complaints: &mut Complaints) -> Result<InOrder> {
        let mut unique = Unique::default();
        unique.read(&Source::Path(day.records.clone()), complaints)?;
        let mut records = unique.records;
        for record in &mut records {
            if record.published.is_none() {
                record.updated.get_or_insert(day.date);
            }
        }
        Ok(self.arrangement.arrange(InOrder::new(records)))
    }
}

/// The papers of the newest days, the newest first, each once: its newest record, but none that failed
/// where another day has a summary.
struct Newest<'a> {
    site: &'a Site<'a>,
    days: &'a [DayFile],
}

impl Records for Newest<'_> {
    fn for_each_record(&self, visit: &mut dyn FnMut(&Record) -> Result<()>) -> Result<()> {
        let mut summarised = HashSet::new();
        self.for_each_of_a_day(&mut |record| {
            if record.says_something() {
                summarised.insert(record.key());
            }
            Ok(())
        })?;
        let mut met = HashSet::new();
        self.for_each_of_a_day(&mut |record| {
            let key = record.key();
            let is_wanted = record.says_something() || !summarised.contains(&key);
            if is_wanted && met.insert(key) { visit(record) } else { Ok(()) }
        })
    }
}

impl Newest<'_> {
    /// Visits the records of all these days. What is wrong with the lines was told when the pages were
    /// written.
    fn for_each_of_a_day(&self, visit: &mut dyn FnMut(&Record) -> Result<()>) -> Result<()> {
        let mut silent = Complaints::new(Verbosity::Quiet);
        self.days
            .iter()
            .try_for_each(|day| self.site.read(day, &mut silent)?.for_each_record(&mut *visit))
    }
}

/// The days of the feed: at least one, and no more than have room.
fn newest<'a>(counted: &[DayOfSite], days: &'a [DayFile]) -> &'a [DayFile] {
    let (mut papers, mut count) = (0, 0);
    for day in counted.iter().filter(|day| day.overview.is_some()).take(DAYS_OF_FEED) {
        papers += day.papers();
        if count > 0 && papers > PAPERS_OF_FEED {
            break;
        }
        count += 1;
    }
    &days[..count]
}

/// The day that the name of a file of records is.
fn date_of(path: &Path) -> Option<Date> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".jsonl")?;
    let date: Date = stem.parse().ok()?;
    (date.to_string() == stem).then_some(date)
}

/// Whether `page` is not there, or not younger than its `records`.
fn is_older(page: &Path, records: &Path) -> Result<bool> {
    let of_records = modified(records)?;
    let of_page = fs::metadata(page).and_then(|page| page.modified());
    Ok(of_page.map_or(true, |of_page| of_page <= of_records))
}

/// When the file was written, or put where it is.
fn modified(path: &Path) -> Result<SystemTime> {
    let time = || Ok(fs::metadata(path)?.modified()?.max(put_there(path)?));
    time().map_err(|cause| Error::io("read", path, cause))
}

/// When the file took its place: one that is moved or copied there may say that it was written
/// long ago.
#[cfg(unix)]
fn put_there(path: &Path) -> std::io::Result<SystemTime> {
    use std::os::unix::fs::MetadataExt;
    let found = fs::metadata(path)?;
    let (seconds, nanoseconds) = (found.ctime(), found.ctime_nsec());
    let since = u64::try_from(seconds).unwrap_or_default();
    let since = std::time::Duration::new(since, u32::try_from(nanoseconds).unwrap_or_default());
    Ok(SystemTime::UNIX_EPOCH + since)
}

#[cfg(not(unix))]
fn put_there(path: &Path) -> std::io::Result<SystemTime> {
    fs::metadata(path)?.created()
}

/// Refuses to replace what another program, or a person, has put there.
fn check_ours(path: &Path) -> Result<()> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(Error::io("read", path, cause)),
    };
    let mut start = Vec::new();
    let read = file.take(MARK_WITHIN_BYTES).read_to_end(&mut start);
    read.map_err(|cause| Error::io("read", path, cause))?;
    let start = String::from_utf8_lossy(&start);
    let marks = ["<meta name=\"generator\" content=\"wenzhai\">", "<generator>wenzhai</generator>"];
    if marks.iter().any(|mark| start.contains(mark)) {
        return Ok(());
    }
    let message = format!("{} is not from wenzhai, and would be written over", path.display());
    Err(Error::new(ErrorKind::Usage, message).hint("move it, or put the records elsewhere"))
}
