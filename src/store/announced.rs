//! What was announced where, and which days of it were read: so that a day that was missed is
//! noticed, and a feed that is yesterday's is told from today's.
//!
//! A day is noted once the digest with its papers is written. A run that ends before reads it again. It is
//! forgotten where a digest without it takes that one's place.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::{Connection, params};

use super::failure::failed;
use super::{Run, Store};
use crate::error::Result;
use crate::paper::{Date, Paper};

/// A paper of an announcement: its arXiv id, and its version where that was told.
pub type Entry = (String, Option<u32>);

/// A day's announcement in one category, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The category.
    pub category: String,
    /// The day.
    pub day: Date,
    /// Whether it was read from the category's feed, whose days follow one another; a day that was
    /// asked for by its date says nothing of those around it.
    pub followed: bool,
    /// Its papers.
    pub papers: Vec<Entry>,
    /// The day of the run that read it. Of a day that is known already the first is kept.
    pub read: Date,
    /// Whether it was read by its date because an earlier feed was missed.
    pub caught_up: bool,
    /// Whether reading ended in its midst, at the limit that was asked for.
    pub is_cut: bool,
}

/// What is known of a category's days.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DaysRead {
    /// The first day that was read from its feed.
    pub followed_since: Option<Date>,
    /// All days that were read, with the days of the runs that read them first.
    pub days: BTreeMap<Date, Date>,
    /// Those that were read from the category's feed.
    pub from_feed: BTreeSet<Date>,
    /// Those whose papers came from a page and not from the feed.
    pub caught_up: BTreeSet<Date>,
    /// The days of the digests that had the papers of each first.
    pub digests: BTreeMap<Date, Date>,
}

impl Announcement {
    /// How a paper is noted; none without an arXiv id.
    pub fn entry(paper: &Paper) -> Option<Entry> {
        paper.id.as_ref().map(|id| (id.as_str().to_owned(), paper.version))
    }
}

impl Store {
    /// Remembers days for the digests of `reader` from now on: what is in the digest of one profile
    /// is not in that of another.
    pub fn read_for(&mut self, reader: &str) {
        reader.clone_into(&mut self.reader);
    }

    /// The days of a category that were read in earlier runs.
    pub fn days_read(&self, category: &str) -> Result<DaysRead> {
        days_read(&self.connection, &self.reader, category)
            .map_err(|cause| failed(&self.name, cause))
    }
}

impl Run<'_> {
    /// The days of a category that were read in earlier runs.
    pub fn days_read(&self, category: &str) -> Result<DaysRead> {
        self.store.days_read(category)
    }

    /// The latest day other than `day` on which all of `papers` had been announced in a category
    /// by earlier runs; `None` where one of them had not been.
    pub fn announced_before(
        &self,
        category: &str,
        papers: &[Entry],
        day: Date,
    ) -> Result<Option<Date>> {
        let find = || -> rusqlite::Result<Option<Date>> {
            // Which version it was, the catch-up page does not always tell.
            let sql = "SELECT day FROM main.announced
                WHERE reader = ?5 AND category = ?1 AND paper = ?2 AND day <> ?3
                AND (version IS NULL OR ?4 IS NULL OR version = ?4)
                ORDER BY day DESC LIMIT 1";
            let mut statement = self.store.connection.prepare_cached(sql)?;
            let (day, reader) = (day.to_string(), &self.store.reader);
            let mut latest = None;
            for (paper, version) in papers {
                let mut rows = statement.query(params![category, paper, day, version, reader])?;
                let Some(row) = rows.next()? else { return Ok(None) };
                latest = latest.max(date(&row.get::<_, String>(0)?));
            }
            Ok(latest)
        };
        find().map_err(|cause| failed(&self.store.name, cause))
    }

    /// The papers that earlier runs read of a day, with their versions where they were told.
    pub fn announced_on(&self, category: &str, day: Date) -> Result<Vec<Entry>> {
        let find = || -> rusqlite::Result<Vec<Entry>> {
            let sql = "SELECT paper, version FROM main.announced
                WHERE reader = ?1 AND category = ?2 AND day = ?3";
            let mut statement = self.store.connection.prepare_cached(sql)?;
            let values = params![self.store.reader, category, day.to_string()];
            statement.query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        find().map_err(|cause| failed(&self.store.name, cause))
    }

    /// Notes that these days, each of a category, are in no digest any more, all or none.
    pub fn forget(&mut self, days: &[(String, Date)]) -> Result<()> {
        let store = &mut *self.store;
        forget(&mut store.connection, &store.reader, days)
            .map_err(|cause| failed(&store.name, cause))
    }

    /// Notes that these days were read, all or none, and that their papers are in the digest of a day;
    /// in none where nothing was written.
    pub fn remember(&mut self, announcements: &[Announcement], digest: Option<Date>) -> Result<()> {
        let store = &mut *self.store;
        remember(&mut store.connection, &store.reader, announcements, digest)
            .map_err(|cause| failed(&store.name, cause))
    }
}

/// What the column `followed` has; 0 is a day that was asked for by its date.
const FOLLOWED: i64 = 1;
const CAUGHT_UP: i64 = -1;
/// A day that was read from its feed and is in no digest any more: the category is followed since.
const FORGOTTEN: i64 = 2;
/// One of these that was caught up on.
const FOUND_AGAIN: i64 = 3;

fn days_read(connection: &Connection, reader: &str, category: &str) -> rusqlite::Result<DaysRead> {
    let sql = "SELECT day, followed, papers, read, digest FROM main.announcement
        WHERE category = ?1 AND reader = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([category, reader])?;
    let mut known = DaysRead::default();
    while let Some(row) = rows.next()? {
        let Some(day) = date(&row.get::<_, String>(0)?) else { continue };
        let (how, papers): (i64, i64) = (row.get(1)?, row.get(2)?);
        if [FOLLOWED, FORGOTTEN, FOUND_AGAIN].contains(&how)
            && known.followed_since.is_none_or(|since| day < since)
        {
            known.followed_since = Some(day);
        }
        if how == FORGOTTEN {
            continue;
        }
        known.days.insert(day, day_of(row.get(3)?));
        let digest: Option<String> = row.get(4)?;
        known.digests.extend(digest.and_then(|text| date(&text)).map(|digest| (day, digest)));
        if how == FOLLOWED {
            known.from_feed.insert(day);
        }
        if [CAUGHT_UP, FOUND_AGAIN].contains(&how) && papers > 0 {
            known.caught_up.insert(day);
        }
    }
    Ok(known)
}

fn remember(
    connection: &mut Connection,
    reader: &str,
    announcements: &[Announcement],
    digest: Option<Date>,
) -> rusqlite::Result<()> {
    // A day that is read again is in the digest of its first run still; one that was caught up on stays so
    // where it is only asked for by its date.
    let day_read = "INSERT INTO main.announcement
        (category, day, followed, papers, read, reader, digest)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET
        digest = CASE WHEN followed IN (0, 2) THEN excluded.digest
            ELSE coalesce(digest, excluded.digest) END,
        followed = CASE WHEN excluded.followed = 1 THEN 1 WHEN followed = 2 THEN 3 ELSE followed END,
        read = CASE followed WHEN 2 THEN excluded.read ELSE read END, papers = excluded.papers";
    let announced = "INSERT OR REPLACE INTO main.announced (category, paper, day, version, reader)
        VALUES (?1, ?2, ?3, ?4, ?5)";
    let transaction = connection.transaction()?;
    for announcement in announcements {
        let Announcement { category, day, followed, papers, read, caught_up, .. } = announcement;
        let followed = match (followed, caught_up) {
            (true, _) => FOLLOWED,
            (false, true) => CAUGHT_UP,
            (false, false) => 0,
        };
        let (day, read) = (day.to_string(), seconds_of(*read));
        let number = i64::try_from(papers.len()).unwrap_or(i64::MAX);
        let digest = digest.map(|day| day.to_string());
        let values = params![category, day, followed, number, read, reader, digest];
        transaction.prepare_cached(day_read)?.execute(values)?;
        let mut statement = transaction.prepare_cached(announced)?;
        for (paper, version) in papers {
            statement.execute(params![category, paper, day, version, reader])?;
        }
    }
    transaction.commit()
}

fn forget(
    connection: &mut Connection,
    reader: &str,
    days: &[(String, Date)],
) -> rusqlite::Result<()> {
    let of_day = "WHERE reader = ?1 AND category = ?2 AND day = ?3";
    let transaction = connection.transaction()?;
    for (category, day) in days {
        let values = params![reader, category, day.to_string()];
        let run = |sql: String| transaction.prepare_cached(&sql)?.execute(values).map(drop);
        run(format!("DELETE FROM main.announced {of_day}"))?;
        run(format!("DELETE FROM main.announcement {of_day} AND followed IN (0, {CAUGHT_UP})"))?;
        run(format!("UPDATE main.announcement SET followed = {FORGOTTEN} {of_day}"))?;
    }
    transaction.commit()
}

fn date(text: &str) -> Option<Date> {
    text.parse().ok()
}

/// Seconds from the beginning of 1970 to that of `day`, in UTC.
fn seconds_of(day: Date) -> i64 {
    day.to_zoned(TimeZone::UTC).map_or(0, |start| start.timestamp().as_second())
}

/// The day in UTC of so many seconds after the beginning of 1970.
fn day_of(seconds: i64) -> Date {
    Timestamp::from_second(seconds).unwrap_or_default().to_zoned(TimeZone::UTC).date()
}
