//! Days of a category that were announced since its feed was read last, and are not in any digest:
//! what is said of them, and the pages that bring them.

use super::console::{self, Console};
use super::settings::DigestSettings;
use super::wording::{count, duration};
use crate::error::Result;
use crate::feed::Source;
use crate::feed::arxiv::{self, Named, Request};
use crate::paper::Date;
use crate::store::{Announcement, DaysRead, Run, Store};

/// How many days are named one by one.
const DAYS_NAMED: usize = 5;

/// Puts before each feed of a category the days that were missed, or says that they are left out.
/// The days come first, since they tell a feed that is one of theirs from today's; where only so many
/// papers are read, today's come first. Handed back are days that no page has any more, so that they are
/// told of once.
pub(super) fn add_missed_days(
    settings: &mut DigestSettings,
    store: &Store,
    console: &Console,
) -> Result<Vec<Announcement>> {
    let sources = std::mem::take(&mut settings.sources);
    let is_wanted = settings.catch_up;
    let mut all: Vec<Source> = Vec::with_capacity(sources.len());
    let (mut later, mut given_up) = (Vec::new(), Vec::new());
    let named_anyway = sources.clone();
    for source in sources {
        if let Source::Arxiv(named) = &source
            && let Request::Feed(category) = &named.request
        {
            let page = |day: &Date| Source::Arxiv(named.with(Request::Day(category.clone(), *day)));
            let mut days = missed(category, named, store, &mut given_up)?;
            let (today, known) = (named.service.today(), store.days_read(category)?);
            let mut again = caught_up_in(&known, today, today);
            let is_there = |page: &Source| {
                named_anyway.contains(page) || all.contains(page) || later.contains(page)
            };
            days.retain(|day| !is_there(&page(day)));
            again.retain(|day| !is_there(&page(day)));
            tell(named, &days, is_wanted, console);
            if !is_wanted {
                settings.left_out.extend(again.into_iter().map(|day| (category.clone(), day)));
            } else {
                days.extend(again);
                days.sort_unstable();
                settings.caught_up.extend(days.iter().map(|day| (category.clone(), *day)));
                let pages = days.iter().map(page);
                if settings.limit.is_some() { later.extend(pages) } else { all.extend(pages) }
            }
        }
        all.push(source);
    }
    all.append(&mut later);
    settings.sources = all;
    Ok(given_up)
}

/// Puts before each feed that turned out to be of a day that an earlier run has read the days that run
/// caught up on: they are in the digest of that day, which is written anew. Whether there are any.
pub(super) fn add_days_beside(
    settings: &mut DigestSettings,
    announced: &[Announcement],
    run: &Run<'_>,
) -> Result<bool> {
    let mut is_more = false;
    for Announcement { category, day, .. } in announced.iter().filter(|day| day.followed) {
        let is_feed = |source: &&Source| match source {
            Source::Arxiv(named) => named.request == Request::Feed(category.clone()),
            _ => false,
        };
        let Some(Source::Arxiv(named)) = settings.sources.iter().find(is_feed).cloned() else {
            continue;
        };
        let known = run.days_read(category)?;
        let Some(read) = known.days.get(day) else { continue };
        for day in caught_up_in(&known, *read, *day) {
            let page = Source::Arxiv(named.with(Request::Day(category.clone(), day)));
            if settings.sources.contains(&page) {
                continue;
            }
            if !settings.catch_up {
                settings.left_out.push((category.clone(), day));
                continue;
            }
            is_more = true;
            settings.caught_up.push((category.clone(), day));
            let feed = settings.sources.iter().position(|source| is_feed(&source));
            match feed.filter(|_| settings.limit.is_none()) {
                Some(at) => settings.sources.insert(at, page),
                None => settings.sources.push(page),
            }
        }
    }
    Ok(is_more)
}

/// Forgets the days that an earlier digest had in whose place this one, that of `digest`, is written, and that
/// this one has not, because a source failed or was left out: another run brings them.
pub(super) fn forget_lost_days(
    settings: &DigestSettings,
    digest: Date,
    announced: &[Announcement],
    run: &mut Run<'_>,
) -> Result<()> {
    if settings.outputs.extended().is_some() {
        return Ok(());
    }
    let is_here = |category: &str, day: &Date| {
        announced.iter().any(|one| one.category == category && one.day == *day)
    };
    let mut lost = settings.left_out.clone();
    let mut before = Vec::new();
    for source in &settings.sources {
        let Source::Arxiv(named) = source else { continue };
        let today = named.service.today();
        match &named.request {
            Request::Feed(category) => before.push((category, run.days_read(category)?, today)),
            Request::Day(category, day) if !is_here(category, day) => {
                let one = (category.clone(), *day);
                let read = run.days_read(category)?.days.get(day).copied();
                if read.is_some_and(|read| read == today || settings.caught_up.contains(&one)) {
                    lost.push(one);
                }
            }
            _ => {}
        }
    }
    // One name for all days: the last digest is written over, be it of this day or of a later one, and so is
    // what an earlier run of today wrote.
    let last = before.iter().filter_map(|(_, known, _)| known.digests.values().max()).max();
    let last = last.copied().filter(|last| settings.outputs.is_of_any_day() && *last >= digest);
    for (category, known, today) in &before {
        let of_today =
            |day: &Date| settings.outputs.is_of_any_day() && known.days.get(day) == Some(today);
        let is_written_over = |day: &&Date| {
            known.digests.get(*day).is_some_and(|of| {
                *of == digest || Some(*of) == last || (of_today(day) && *of < digest)
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
        console::warn(&format!(
            "arxiv:{category}: {day} was in the digest of an earlier run and is not in this one; another \
             run brings it"
        ));
    }
    run.forget(&lost)
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

/// The days of a category since it is followed that were not read; today's is its feed's.
fn missed(
    category: &str,
    named: &Named,
    store: &Store,
    given_up: &mut Vec<Announcement>,
) -> Result<Vec<Date>> {
    let today = named.service.today();
    let known = store.days_read(category)?;
    let Some(since) = known.followed_since else { return Ok(Vec::new()) };
    let mut days = arxiv::announcement_days(since, today);
    days.retain(|day| *day < today && !known.days.contains_key(day));
    let first = arxiv::first_caught_up(today);
    let gone: Vec<Date> = days.extract_if(.., |day| *day < first).collect();
    if let [oldest, .., newest] | [oldest @ newest] = &gone[..] {
        console::warn(&format!(
            "arxiv:{category}: announcement days never read, from {oldest} to {newest}: {}; that is \
             more than {} days ago, and arxiv:oai:SET@{oldest}..{newest} has what changed then",
            count(gone.len() as u64),
            arxiv::CATCH_UP_DAYS
        ));
    }
    given_up.extend(gone.into_iter().map(|day| Announcement {
        category: category.to_owned(),
        day,
        followed: false,
        papers: Vec::new(),
        read: today,
        caught_up: false,
        is_cut: false,
    }));
    Ok(days)
}

fn tell(source: &Named, days: &[Date], is_wanted: bool, console: &Console) {
    let ([first, .., last] | [first @ last]) = days else { return };
    let number = match days.len() {
        1 => "1 announcement day was".to_owned(),
        number => format!("{} announcement days were", count(number as u64)),
    };
    let which = match days.len() {
        ..=DAYS_NAMED => days.iter().map(Date::to_string).collect::<Vec<_>>().join(", "),
        _ => format!("from {first} to {last}"),
    };
    let missed = format!("{source}: {number} not read yet: {which}");
    match is_wanted {
        true => {
            let time = source.service.time_of_pages(days.len());
            let time = match time.as_secs() {
                ..60 => String::new(),
                _ => format!(", which takes {} at least", duration(time)),
            };
            console.say(&format!("{missed}; reading them by arXiv's catch-up pages{time}"));
        }
        false => console::warn(&format!(
            "{missed}; left out, as --no-catch-up asks; a run without it brings them"
        )),
    }
}
