//! Days of a category that were announced since its feed was read last and are in no digest: the pages that
//! bring them, and what is remembered of them once a digest is written.

use super::{Inputs, Observer};
use crate::error::Result;
use crate::feed::Source;
use crate::feed::arxiv::{self, Named, Request};
use crate::paper::Date;
use crate::store::{Announcement, DaysRead, Run, Store};
use crate::text::quantity::count;

/// A day of a category.
type DayOf = (String, Date);

/// The sources of a digest with the days beside them: of each category that is followed by its feed those that
/// were missed since it was read last. In this order:
///
/// 1. [`Days::before`] adds what was missed,
/// 2. [`super::read`] reads [`Days::sources`], and [`Days::settle`] says which announcements count as read,
/// 3. [`Days::beside`] adds what belongs beside feeds that turned out to be of an earlier day,
/// 4. [`Days::forget_lost`] before the digest is written, and [`Days::remember`] behind it.
///
/// ```no_run
/// use wenzhai::digest::{self, Overview};
/// use wenzhai::pipeline::{self, Days, Place};
/// use wenzhai::{feed::Source, store::Store, writer::{Choices, Writer}};
///
/// # fn main() -> wenzhai::Result<()> {
/// let writer = Writer::find(Choices::new("default")?, &mut ())?;
/// let mut store = Store::open("papers.sqlite".as_ref())?;
/// let asked = vec![Source::parse("arxiv:cs.CL")?];
/// let mut days = Days::before(asked, true, None, &store, &mut ())?;
/// let mut run = store.begin(writer.identity(), false)?;
/// let mut inputs = pipeline::read(days.sources(), Default::default(), &mut run, &mut ())?;
/// days.settle(&mut inputs);
/// if !days.beside(&inputs.announced, &run)?.is_empty() {
///     run = run.begin_again()?;
///     inputs = pipeline::read(days.sources(), Default::default(), &mut run, &mut ())?;
///     days.settle(&mut inputs);
/// }
/// writer.load(&mut ())?.summarise(&mut run, &mut ())?;
/// if let Some(day) = Overview::of(&run)?.day {
///     let place = Place { day, is_of_any_day: true };
///     days.forget_lost(place, &inputs.announced, &mut run, &mut ())?;
///     digest::markdown(&run, &mut std::io::stdout())?;
///     days.remember(&inputs.announced, Some(day), &mut run)?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Days {
    sources: Vec<Source>,
    are_wanted: bool,
    /// Whether days stand behind all that was asked for.
    come_last: bool,
    /// Those that were missed and are read.
    caught_up: Vec<DayOf>,
    /// Those that an earlier digest of the same day had, and that are not read.
    left_out: Vec<DayOf>,
    /// Those that no page has any more, so that they are told of once.
    given_up: Vec<Announcement>,
}

/// The digest in whose place another one may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its day.
    pub day: Date,
    /// Whether the digest of any other day has the same name.
    pub is_of_any_day: bool,
}

impl Days {
    /// What was asked for and nothing beside it.
    pub fn none(asked: Vec<Source>) -> Days {
        Days {
            sources: asked,
            are_wanted: false,
            come_last: false,
            caught_up: Vec::new(),
            left_out: Vec::new(),
            given_up: Vec::new(),
        }
    }

    /// Puts before each feed of a category the days that were missed, unless they are not wanted, and tells
    /// `observer` of them. They come first, since they tell a feed that is one of theirs from today's; where only so
    /// many papers are read, today's come first (`limit`).
    ///
    /// # Errors
    /// Those of the store.
    pub fn before(
        asked: Vec<Source>,
        are_wanted: bool,
        limit: Option<u64>,
        store: &Store,
        observer: &mut dyn Observer,
    ) -> Result<Days> {
        let mut found = Days { are_wanted, come_last: limit.is_some(), ..Days::none(Vec::new()) };
        let mut later: Vec<Source> = Vec::new();
        for source in &asked {
            if let Some((named, category)) = feed(source) {
                let known = store.days_read(category)?;
                let today = named.service.today();
                let mut days = found.missed(category, named, &known, observer);
                let mut again = caught_up_in(&known, today, today);
                let is_there = |day: &Date| {
                    let page = page(named, category, *day);
                    [&asked, &found.sources, &later].iter().any(|there| there.contains(&page))
                };
                days.retain(|day| !is_there(day));
                again.retain(|day| !is_there(day));
                if !days.is_empty() {
                    observer.missed(named, &days, are_wanted);
                }
                if are_wanted {
                    days.extend(again);
                    days.sort_unstable();
                    found.caught_up.extend(days.iter().map(|day| (category.to_owned(), *day)));
                    let pages = days.iter().map(|day| page(named, category, *day));
                    if found.come_last { &mut later } else { &mut found.sources }.extend(pages);
                } else {
                    found.left_out.extend(again.into_iter().map(|day| (category.to_owned(), day)));
                }
            }
            found.sources.push(source.clone());
        }
        found.sources.append(&mut later);
        Ok(found)
    }

    /// What is read, in this order.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Says of the announcements that were read which ones count: those that were caught up on are known as such, and
    /// to look at some papers of a day is not to read the day; of what is followed, the rest is left out.
    pub fn settle(&self, inputs: &mut Inputs) {
        for Announcement { category, day, caught_up, .. } in &mut inputs.announced {
            *caught_up = self.caught_up.iter().any(|(of, on)| of == category && on == day);
        }
        inputs.announced.retain(|one| one.followed || one.caught_up || !one.is_cut);
    }

    /// Puts before each feed that turned out to be of a day that an earlier run has read the days that run
    /// caught up on: they are in the digest of that day, which is written anew. Answers with what it has put there.
    ///
    /// # Errors
    /// Those of the store.
    pub fn beside(&mut self, announced: &[Announcement], run: &Run<'_>) -> Result<Vec<Source>> {
        let mut added = Vec::new();
        for Announcement { category, day, .. } in announced.iter().filter(|day| day.followed) {
            let is_feed = |source: &Source| feed(source).is_some_and(|(_, of)| of == category);
            let Some(at) = self.sources.iter().position(is_feed) else { continue };
            let Source::Arxiv(named) = self.sources[at].clone() else { continue };
            let known = run.days_read(category)?;
            let Some(read) = known.days.get(day) else { continue };
            for day in caught_up_in(&known, *read, *day) {
                let page = page(&named, category, day);
                if self.sources.contains(&page) {
                    continue;
                }
                if !self.are_wanted {
                    self.left_out.push((category.clone(), day));
                    continue;
                }
                self.caught_up.push((category.clone(), day));
                added.push(page.clone());
                match self.sources.iter().position(is_feed).filter(|_| !self.come_last) {
                    Some(at) => self.sources.insert(at, page),
                    None => self.sources.push(page),
                }
            }
        }
        Ok(added)
    }

    /// Forgets the days that an earlier digest had in whose `place` another one is written, and that this one has
    /// not, because a source failed or was left out: another run brings them. Before that digest is gone: a run that
    /// ends here brings them twice rather than never.
    ///
    /// # Errors
    /// Those of the store.
    pub fn forget_lost(
        &self,
        place: Place,
        announced: &[Announcement],
        run: &mut Run<'_>,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let is_here = |category: &str, day: &Date| {
            announced.iter().any(|one| one.category == category && one.day == *day)
        };
        let mut lost = self.left_out.clone();
        let mut before = Vec::new();
        for source in &self.sources {
            let Source::Arxiv(named) = source else { continue };
            let today = named.service.today();
            match &named.request {
                Request::Feed(category) => before.push((category, run.days_read(category)?, today)),
                Request::Day(category, day) if !is_here(category, day) => {
                    let one = (category.clone(), *day);
                    let read = run.days_read(category)?.days.get(day).copied();
                    if read.is_some_and(|read| read == today || self.caught_up.contains(&one)) {
                        lost.push(one);
                    }
                }
                _ => {}
            }
        }
        // One name for all days: the last digest is written over, be it of this day or of a later one, and so is
        // what an earlier run of today wrote.
        let last = before.iter().filter_map(|(_, known, _)| known.digests.values().max()).max();
        let last = last.copied().filter(|last| place.is_of_any_day && *last >= place.day);
        for (category, known, today) in &before {
            let of_today = |day: &Date| place.is_of_any_day && known.days.get(day) == Some(today);
            let is_written_over = |day: &&Date| {
                known.digests.get(*day).is_some_and(|of| {
                    *of == place.day || Some(*of) == last || (of_today(day) && *of < place.day)
                })
            };
            let had = known.from_feed.union(&known.caught_up).filter(is_written_over);
            lost.extend(
                had.filter(|day| !is_here(category, day)).map(|day| ((*category).clone(), *day)),
            );
        }
        lost.sort_unstable();
        lost.dedup();
        for (category, day) in &lost {
            observer.warning(&format!(
                "arxiv:{category}: {day} was in the digest of an earlier run and is not in this one; another \
                 run brings it"
            ));
        }
        run.forget(&lost)
    }

    /// Remembers what was read: its papers are in the digest of a day, or in none where nothing was written.
    ///
    /// # Errors
    /// Those of the store; another run brings the days again then.
    pub fn remember(
        &self,
        announced: &[Announcement],
        digest: Option<Date>,
        run: &mut Run<'_>,
    ) -> Result<()> {
        run.remember(announced, digest)
            .map_err(|error| error.hint("another run brings its days again"))?;
        run.remember(&self.given_up, None)
    }

    /// The days of a category since it is followed that were not read; today's is its feed's.
    fn missed(
        &mut self,
        category: &str,
        named: &Named,
        known: &DaysRead,
        observer: &mut dyn Observer,
    ) -> Vec<Date> {
        let today = named.service.today();
        let Some(since) = known.followed_since else { return Vec::new() };
        let mut days = arxiv::announcement_days(since, today);
        days.retain(|day| *day < today && !known.days.contains_key(day));
        let first = arxiv::first_caught_up(today);
        let gone: Vec<Date> = days.extract_if(.., |day| *day < first).collect();
        if let [oldest, .., newest] | [oldest @ newest] = &gone[..] {
            observer.warning(&format!(
                "arxiv:{category}: announcement days never read, from {oldest} to {newest}: {}; that is \
                 more than {} days ago, and arxiv:oai:SET@{oldest}..{newest} has what changed then",
                count(gone.len() as u64),
                arxiv::CATCH_UP_DAYS
            ));
        }
        self.given_up.extend(gone.into_iter().map(|day| Announcement {
            category: category.to_owned(),
            day,
            followed: false,
            papers: Vec::new(),
            read: today,
            caught_up: false,
            is_cut: false,
        }));
        days
    }
}

/// The category whose feed `source` is.
fn feed(source: &Source) -> Option<(&Named, &str)> {
    let Source::Arxiv(named) = source else { return None };
    let Request::Feed(category) = &named.request else { return None };
    Some((named, category))
}

/// The page of a day of `category`, of the same server as `named`.
fn page(named: &Named, category: &str, day: Date) -> Source {
    Source::Arxiv(named.with(Request::Day(category.to_owned(), day)))
}

/// The days before `end` that runs from the day `read` on caught up on.
fn caught_up_in(known: &DaysRead, read: Date, end: Date) -> Vec<Date> {
    let is_of_run = |day: &Date| {
        known.days.get(day).is_some_and(|known| *known >= read)
            && *day < end
            && known.followed_since.is_some_and(|since| *day >= since)
    };
    known.caught_up.iter().copied().filter(is_of_run).collect()
}
