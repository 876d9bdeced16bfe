//! Which announcements of arXiv's were read in a run, and whether a feed is today's.

use std::collections::HashMap;

use crate::error::Result;
use crate::feed::arxiv::Request;
use crate::feed::{FeedReport, Source};
use crate::paper::{Date, Paper};
use crate::pipeline::Observer;
use crate::store::{Announcement, Entry, Run};
use crate::text::quantity::count;

/// The announcements of a run.
#[derive(Debug, Default)]
pub(super) struct Register {
    /// The papers of the source that is being read, where it is one of announcements.
    open: Option<Open>,
    /// Those that were read as a whole.
    pub(super) read: Vec<Announcement>,
}

#[derive(Debug)]
struct Open {
    category: String,
    is_feed: bool,
    papers: Vec<Entry>,
    latest: Option<Date>,
}

impl Register {
    /// A source is about to be read.
    pub(super) fn begin(&mut self, source: &Source) {
        let (category, is_feed) = match source {
            Source::Arxiv(named) => match &named.request {
                Request::Feed(category) => (category, true),
                Request::Day(category, _) => (category, false),
                _ => return self.open = None,
            },
            _ => return self.open = None,
        };
        let (papers, latest) = (Vec::new(), None);
        self.open = Some(Open { category: category.clone(), is_feed, papers, latest });
    }

    /// A paper of the source.
    pub(super) fn add(&mut self, paper: &Paper) {
        if let Some(open) = &mut self.open {
            open.papers.extend(Announcement::entry(paper));
            open.latest = open.latest.max(paper.published);
        }
    }

    /// The source was read to its end. What lacks papers is not taken for read, nor is a feed that
    /// is another day's; a page may show that an earlier feed was.
    pub(super) fn end(
        &mut self,
        source: &Source,
        report: &FeedReport,
        run: &mut Run<'_>,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let Some(announcement) = self.close(source, report.day, false) else { return Ok(()) };
        let Announcement { day, followed: is_feed, read: today, .. } = announcement;
        // A feed is empty on holidays, and when it is late; a page of today may still be filled.
        let is_early = announcement.papers.is_empty() && (is_feed || day >= today);
        if report.cut_short || report.missing > 0 || is_early {
            return Ok(());
        }
        if !is_feed {
            self.doubt_next_feed(source, &announcement, run, observer)?;
        }
        if self.is_another_days(source, &announcement, run, observer)? {
            return Ok(());
        }
        let category = &announcement.category;
        let known = run.days_read(category)?;
        if is_feed && day < today && known.days.contains_key(&day) {
            let since = match known.from_feed.last() {
                Some(last) if *last > day => format!("that of {last} was, too"),
                _ => "none is out since".to_owned(),
            };
            observer.note(&format!(
                "{source}: the feed is that of {day}, which was read before; {since}"
            ));
        }
        self.read.push(announcement);
        Ok(())
    }

    /// Reading ended in the midst of the source, at the limit that was asked for. What follows is
    /// said to be left out, and is not missing then.
    pub(super) fn end_early(
        &mut self,
        source: &Source,
        run: &Run<'_>,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let Some(announcement) = self.close(source, None, true) else { return Ok(()) };
        if !self.is_another_days(source, &announcement, run, observer)? {
            self.read.push(announcement);
        }
        Ok(())
    }

    /// What was read of the source; `told` is the day that it says to be of. `None` where it is none of
    /// announcements, or of no day.
    fn close(&mut self, source: &Source, told: Option<Date>, is_cut: bool) -> Option<Announcement> {
        let (Some(open), Source::Arxiv(named)) = (self.open.take(), source) else { return None };
        let Open { category, is_feed, papers, latest } = open;
        let day = match &named.request {
            Request::Day(_, day) => *day,
            _ => told.or(latest)?,
        };
        Some(Announcement {
            category,
            day,
            followed: is_feed,
            papers,
            read: named.service.today(),
            caught_up: false,
            is_cut,
        })
    }

    /// The next feed that was read, and had nothing but papers of this page, was likely this day's still: what
    /// was announced on its own is missing.
    fn doubt_next_feed(
        &mut self,
        source: &Source,
        page: &Announcement,
        run: &mut Run<'_>,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let Announcement { category, day, papers, .. } = page;
        let known = run.days_read(category)?;
        let of_run = self.read.iter().filter(|other| other.category == *category && other.followed);
        let days = known.from_feed.iter().copied().chain(of_run.map(|other| other.day));
        let Some(next) = days.filter(|other| other > day).min() else { return Ok(()) };
        let is_of_page = |read: &[Entry]| !read.is_empty() && are_among(read, papers);
        let read_before = self.read.len();
        self.read.retain(|feed| {
            let is_next = feed.category == *category && feed.day == next && feed.followed;
            !(is_next && is_of_page(&feed.papers))
        });
        let is_earlier_runs =
            known.from_feed.contains(&next) && is_of_page(&run.announced_on(category, next)?);
        if !is_earlier_runs && self.read.len() == read_before {
            return Ok(());
        }
        // It is read again whether this run comes to its end or not: rather twice than never.
        run.forget(&[(category.clone(), next)])?;
        observer.warning(&format!(
            "{source}: each of the papers that the feed of {category} had under {next} was announced on \
             {day}; it was likely that day's still. {next} is not taken for read any more: a later run \
             brings it, or arxiv:{category}@{next} now"
        ));
        Ok(())
    }

    /// Whether a feed is another day's, all of whose papers were announced then; says so.
    fn is_another_days(
        &self,
        source: &Source,
        announcement: &Announcement,
        run: &Run<'_>,
        observer: &mut dyn Observer,
    ) -> Result<bool> {
        let Announcement { category, day, followed, papers, .. } = announcement;
        if !followed {
            return Ok(false);
        }
        let Some(other) = self.announced_before(category, papers, *day, run)? else {
            return Ok(false);
        };
        let number = count(papers.len() as u64);
        observer.warning(&format!(
            "{source}: each of the {number} papers dated {day} was announced on {other} already; \
             the feed is likely that day's still. {day} is not taken for read: a later run brings \
             it, or arxiv:{category}@{day} now"
        ));
        Ok(true)
    }

    /// The other day on which all papers were announced, be it in an earlier run or in this one.
    fn announced_before(
        &self,
        category: &str,
        papers: &[Entry],
        day: Date,
        run: &Run<'_>,
    ) -> Result<Option<Date>> {
        let others =
            self.read.iter().filter(|other| other.category == category && other.day != day);
        let in_this_run =
            others.filter(|other| are_among(papers, &other.papers)).map(|other| other.day).max();
        match in_this_run {
            Some(day) => Ok(Some(day)),
            None => run.announced_before(category, papers, day),
        }
    }
}

/// Whether all of `papers` are among `others`; a version that was not told may be any.
fn are_among(papers: &[Entry], others: &[Entry]) -> bool {
    let known: HashMap<&str, Option<u32>> =
        others.iter().map(|(id, version)| (id.as_str(), *version)).collect();
    papers.iter().all(|(id, version)| match known.get(id.as_str()) {
        Some(known) => known.is_none() || version.is_none() || known == version,
        None => false,
    })
}
