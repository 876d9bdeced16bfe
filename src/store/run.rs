//! One run over a store: papers are offered, taken, settled, and read back in digest order.
//!
//! Every paper that is read meets one fate, kept in its row and counted there: the account of a
//! run is not a set of counters that could drift, but a question to the table. The one number
//! that is counted apart is how many papers were read, so that the sum can be checked.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{OptionalExtension, Row, params};

use super::account::Account;
use super::failure::{START_AFRESH, failed};
use super::fate::{Brings, Fate, Known};
use super::key::{Identity, summary_key};
use super::row::{self, Found, SummaryRow};
use super::{Store, schema};
use crate::digest::Records;
use crate::error::{Error, ErrorKind, Result};
use crate::paper::{Announce, Paper};
use crate::record::{Record, Relevance, WrittenSummary};
use crate::summary::Notice;

/// What [`Run::offer`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// Not met before in this run.
    New,
    /// Passed over: met before in this run, in the same or a newer version, or a new version of a paper that
    /// has no summary to list it with.
    Duplicate,
    /// Met before in an older version, which it replaces.
    Replaced,
}

/// Why an item of the input is passed over before it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// It could not be read.
    Malformed,
    /// The user's filters leave it out.
    Filtered,
    /// The user's limit leaves it out.
    OverLimit,
    /// It says that its paper is not there any more.
    Deleted,
    /// It is of another shard than the one that was asked for.
    OtherShard,
    /// The output has it already.
    Existing,
}

/// A paper that waits for its summary.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// To settle it with.
    pub ticket: Ticket,
    /// The paper.
    pub paper: Paper,
}

/// A paper of a run that was taken to be settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    row: i64,
    paper: String,
    version: Option<u32>,
    key: String,
}

/// One run over a [`Store`]; the store is its own as long as it lasts.
#[derive(Debug)]
pub struct Run<'a> {
    pub(super) store: &'a mut Store,
    identity: Identity,
    redo: bool,
    /// What is counted; the fates of papers are in their rows.
    pub(super) counted: Account,
    damaged: Vec<String>,
}

impl<'a> Run<'a> {
    /// The same run from its beginning, without any paper.
    ///
    /// # Errors
    /// Those of the store.
    pub fn begin_again(self) -> Result<Self> {
        Run::begin(self.store, self.identity, self.redo)
    }

    pub(super) fn begin(store: &'a mut Store, identity: Identity, redo: bool) -> Result<Self> {
        schema::prepare_run(&store.connection).map_err(|cause| failed(&store.name, cause))?;
        let counted = Account::default();
        Ok(Run { store, identity, redo, counted, damaged: Vec::new() })
    }

    /// Takes in a paper of the input: it is pending now, unless a summary of it is in the store.
    pub fn offer(&mut self, paper: &Paper) -> Result<Offered> {
        self.take_in(paper, Brings::Text, |run, key| {
            let fate = if !run.redo && run.has_summary(paper, key)? {
                Fate::Reused
            } else {
                Fate::Pending
            };
            Ok((fate, None))
        })
    }

    /// Papers that were offered and whose summaries are damaged in the store, so that they are
    /// pending again.
    pub fn damaged(&self) -> &[String] {
        &self.damaged
    }

    /// Takes in a paper that came with its summary. The store does not keep it, since it comes
    /// again with the input and no model of ours wrote it.
    pub fn import(&mut self, paper: &Paper, written: WrittenSummary) -> Result<Offered> {
        // Its English is that of `paper`, which is kept beside it.
        let record = Record::with(&Paper::default(), written);
        self.take_in(paper, Brings::Summary, |run, _| {
            Ok((Fate::Imported, Some(run.to_json(&record)?)))
        })
    }

    /// Takes in a paper in which there is nothing to summarise.
    pub fn note(&mut self, paper: &Paper, notice: Notice) -> Result<Offered> {
        let record = Record { notice: Some(notice), ..Record::default() };
        self.take_in(paper, Brings::Text, |run, _| Ok((Fate::Noticed, Some(run.to_json(&record)?))))
    }

    /// Takes in a new version of a paper that is not to be summarised again: it is listed with the
    /// summary of this version or of an older one, if there is one, and else left out. So it is where the
    /// older one is a paper of this run: whether that has its summary yet makes no difference then.
    pub fn list_replacement(&mut self, paper: &Paper) -> Result<Offered> {
        let key = summary_key(paper, &self.identity);
        let mut older = None;
        if !self.has_summary(paper, &key)? {
            let id = paper.key();
            let known = self.known(&id).map_err(|cause| self.failed(cause))?;
            if known.is_none_or(|known| known.is_older_summary) {
                let found = row::find_older(&self.store.connection, &id, paper.version);
                older = found.map_err(|cause| self.failed(cause))?;
            }
            if older.is_none() {
                self.skip(Skip::Filtered);
                return Ok(Offered::Duplicate);
            }
        }
        self.take_in(paper, Brings::Replacement, |run, _| match older {
            None => Ok((Fate::Reused, None)),
            Some((version, record)) => {
                let record = Record { summarised_version: Some(version), ..record };
                Ok((Fate::Reused, Some(run.to_json(&record)?)))
            }
        })
    }

    /// Says why the reader gets `paper`, which was offered.
    pub fn explain(&mut self, paper: &Paper, relevance: &Relevance) -> Result<()> {
        let relevance = self.to_json(relevance)?;
        let sql = "UPDATE temp.offered SET relevance = ?2 WHERE paper = ?1";
        self.execute(sql, params![paper.key(), relevance])
    }

    /// Papers that were taken and not settled wait again, as after a call that was ended.
    pub fn put_back_unfinished(&mut self) -> Result<()> {
        let sql = "UPDATE temp.offered SET fate = ?2 WHERE fate = ?1";
        self.execute(sql, params![Fate::Taken as i64, Fate::Pending as i64])
    }

    /// Who writes its summaries.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Counts an item of the input that is not offered.
    pub fn skip(&mut self, why: Skip) {
        self.skip_many(why, 1);
    }

    /// Counts so many papers that the run does not look at.
    pub fn skip_many(&mut self, why: Skip, number: u64) {
        let counted = &mut self.counted;
        counted.read += number;
        *match why {
            Skip::Malformed => &mut counted.malformed,
            Skip::Filtered => &mut counted.filtered,
            Skip::OverLimit => &mut counted.over_limit,
            Skip::Deleted => &mut counted.deleted,
            Skip::OtherShard => &mut counted.other_shards,
            Skip::Existing => &mut counted.existing,
        } += number;
    }

    /// Up to `limit` papers that nobody has taken yet, longest abstract first, so that papers of
    /// one batch have similar lengths and the run's last batches are short ones.
    pub fn next(&mut self, limit: usize) -> Result<Vec<Pending>> {
        self.take(limit, "DESC")
    }

    /// Up to `limit` papers that nobody has taken yet, shortest abstract first: they are finished
    /// soonest.
    pub fn next_shortest(&mut self, limit: usize) -> Result<Vec<Pending>> {
        self.take(limit, "ASC")
    }

    fn take(&mut self, limit: usize, order: &str) -> Result<Vec<Pending>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.take_rows(limit, order).map_err(|cause| self.failed(cause))?;
        rows.into_iter()
            .map(|(ticket, content)| Ok(Pending { ticket, paper: self.parse_json(&content)? }))
            .collect()
    }

    /// Keeps what was written about a paper; it is on the disk when this returns.
    ///
    /// Of `record`, only what the model wrote is kept: title, abstract and link are those of the
    /// paper that was offered.
    pub fn finish(&mut self, ticket: &Ticket, record: &Record) -> Result<()> {
        if !record.has_summary() {
            let message = format!("cannot keep {}: the record has no summary", ticket.paper);
            return Err(Error::new(ErrorKind::Store, message));
        }
        let marks = self.to_json(&record.marks)?;
        self.keep(ticket, record, &marks).map_err(|cause| self.failed(cause))
    }

    /// Notes that a paper could not be summarised, for the digest of this run; the next run
    /// tries it again.
    pub fn fail(&mut self, ticket: &Ticket, record: &Record) -> Result<()> {
        let error = record.error.clone().unwrap_or_else(|| "no reason was given".to_owned());
        let outcome = self.to_json(&Record { error: Some(error), ..record.clone() })?;
        let settle = "UPDATE temp.offered SET fate = ?2, outcome = ?3 WHERE ticket = ?1";
        self.execute(settle, params![ticket.row, Fate::Failed as i64, outcome])
    }

    /// What became of everything read so far. That it does not add up would be a bug of this
    /// program, and is an error.
    pub fn account(&self) -> Result<Account> {
        let mut account = self.counted;
        for (fate, count) in self.count_fates().map_err(|cause| self.failed(cause))? {
            match Fate::from_column(fate) {
                Some(Fate::Summarised) => account.summarised += count,
                Some(Fate::Reused) => account.reused += count,
                Some(Fate::Imported) => account.imported += count,
                Some(Fate::Failed) => account.failed += count,
                Some(Fate::Noticed) => account.noticed += count,
                Some(Fate::Pending | Fate::Taken) => account.pending += count,
                None => {}
            }
        }
        if account.adds_up() {
            return Ok(account);
        }
        let message = format!("the account of the run does not add up: {account:?}");
        Err(Error::new(ErrorKind::Store, message)
            .hint("this is a bug of wenzhai; please report it"))
    }

    /// One row a paper: met again, the newest version stays, and of one version the first, unless it
    /// would have to be written and the other brings its summary. A new version that is only listed with an
    /// older one's summary gives way to any that is not.
    fn take_in(
        &mut self,
        paper: &Paper,
        brings: Brings,
        decide: impl FnOnce(&mut Self, &str) -> Result<(Fate, Option<String>)>,
    ) -> Result<Offered> {
        let id = paper.key();
        let known = self.known(&id).map_err(|cause| self.failed(cause))?;
        let is_newer = match &known {
            Some(known) => self.is_newer(paper, &id, known.version)?,
            None => false,
        };
        let offered = match known {
            None => Offered::New,
            Some(_) if is_newer => Offered::Replaced,
            Some(known) if known.is_older_summary && brings != Brings::Replacement => {
                Offered::Replaced
            }
            Some(Known { version, fate: Some(Fate::Pending), .. })
                if version == paper.version && brings == Brings::Summary =>
            {
                Offered::Replaced
            }
            Some(_) => Offered::Duplicate,
        };
        if offered != Offered::Duplicate {
            let key = summary_key(paper, &self.identity);
            let (fate, outcome) = decide(self, &key)?;
            let content = self.to_json(paper)?;
            let chars = paper.plain_title.chars().count() + paper.plain_abstract.chars().count();
            // Replacing deletes the older row, so that its ticket settles nothing any more.
            let insert = "INSERT OR REPLACE INTO temp.offered
                (paper, version, link, chars, fate, key, content, outcome)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            let chars = i64::try_from(chars).unwrap_or(i64::MAX);
            let (version, fate) = (paper.version, fate as i64);
            self.execute(
                insert,
                params![id, version, paper.link, chars, fate, key, content, outcome],
            )?;
        }
        self.counted.read += 1;
        self.counted.duplicates += u64::from(offered != Offered::New);
        Ok(offered)
    }

    /// Whether `paper` is a later version of the one that is there as `id`, whose version is `known`. The
    /// pages of arXiv's days tell no versions of replacements, so that the later day of a replacement tells.
    fn is_newer(&self, paper: &Paper, id: &str, known: Option<u32>) -> Result<bool> {
        if let (Some(known), Some(version)) = (known, paper.version) {
            return Ok(known < version);
        }
        let sql = "SELECT content FROM temp.offered WHERE paper = ?1";
        let content = || -> rusqlite::Result<String> {
            self.store.connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))
        };
        let other: Paper = self.parse_json(&content().map_err(|cause| self.failed(cause))?)?;
        let replaces = |later: &Paper, earlier: &Paper| {
            matches!(later.announce, Some(Announce::Replace | Announce::ReplaceCross))
                && earlier.announce.is_some()
                && earlier.published.is_some()
                && later.published > earlier.published
        };
        Ok(replaces(paper, &other) || (known < paper.version && !replaces(&other, paper)))
    }

    pub(super) fn failed(&self, cause: rusqlite::Error) -> Error {
        failed(&self.store.name, cause)
    }

    pub(super) fn to_json(&self, value: &impl serde::Serialize) -> Result<String> {
        serde_json::to_string(value).map_err(|cause| self.bad_json(cause))
    }

    pub(super) fn parse_json<T: serde::de::DeserializeOwned>(&self, text: &str) -> Result<T> {
        serde_json::from_str(text).map_err(|cause| self.bad_json(cause))
    }

    fn bad_json(&self, cause: serde_json::Error) -> Error {
        let message = format!("the store {} holds what it cannot hold", self.store.name);
        Error::new(ErrorKind::Store, message).because(cause).hint(START_AFRESH)
    }
}

/// The statements.
impl Run<'_> {
    pub(super) fn execute(&self, sql: &str, values: impl rusqlite::Params) -> Result<()> {
        let run = || self.store.connection.prepare_cached(sql)?.execute(values);
        run().map(drop).map_err(|cause| self.failed(cause))
    }

    fn has_summary(&mut self, paper: &Paper, key: &str) -> Result<bool> {
        let found = row::find(&self.store.connection, key).map_err(|cause| self.failed(cause))?;
        if let Found::Damaged = found {
            let id = paper.id.as_ref().map(ToString::to_string);
            self.damaged.push(id.unwrap_or_else(|| paper.title.clone()));
        }
        Ok(matches!(found, Found::Whole(_)))
    }

    /// What is known of a paper of this run, if it was met.
    pub(super) fn known(&self, paper: &str) -> rusqlite::Result<Option<Known>> {
        let sql = "SELECT version, fate, outcome IS NOT NULL FROM temp.offered WHERE paper = ?1";
        let mut statement = self.store.connection.prepare_cached(sql)?;
        let known = |row: &rusqlite::Row<'_>| {
            let fate = Fate::from_column(row.get(1)?);
            let is_older_summary = fate == Some(Fate::Reused) && row.get(2)?;
            Ok(Known { version: row.get(0)?, fate, is_older_summary })
        };
        statement.query_row([paper], known).optional()
    }

    fn take_rows(&mut self, limit: i64, order: &str) -> rusqlite::Result<Vec<(Ticket, String)>> {
        let select = format!(
            "SELECT ticket, paper, version, key, content FROM temp.offered INDEXED BY pending
            WHERE fate = 0 ORDER BY chars {order}, ticket LIMIT ?1"
        );
        let take = "UPDATE temp.offered SET fate = ?2 WHERE ticket = ?1";
        let transaction = self.store.connection.transaction()?;
        let rows = transaction
            .prepare_cached(&select)?
            .query_map([limit], |row| {
                let (row_id, paper) = (row.get(0)?, row.get(1)?);
                let (version, key) = (row.get(2)?, row.get(3)?);
                Ok((Ticket { row: row_id, paper, version, key }, row.get(4)?))
            })?
            .collect::<rusqlite::Result<Vec<(Ticket, String)>>>()?;
        for (ticket, _) in &rows {
            transaction.prepare_cached(take)?.execute(params![ticket.row, Fate::Taken as i64])?;
        }
        transaction.commit()?;
        Ok(rows)
    }

    /// The summary and the paper's fate, both or neither.
    fn keep(&mut self, ticket: &Ticket, record: &Record, marks: &str) -> rusqlite::Result<()> {
        let settle = "UPDATE temp.offered SET fate = ?2, outcome = NULL WHERE ticket = ?1";
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let created = i64::try_from(created).unwrap_or(i64::MAX);
        let kept = SummaryRow {
            key: ticket.key.clone(),
            paper: ticket.paper.clone(),
            version: ticket.version,
            zh_title: record.zh_title.clone(),
            zh_tldr: record.zh_tldr.clone(),
            zh_abstract: record.zh_abstract.clone(),
            fields: record.fields.to_string(),
            model: record.model.clone(),
            marks: marks.to_owned(),
            retries: record.retries,
            cut: record.cut,
        };
        let transaction = self.store.connection.transaction()?;
        row::keep(&transaction, &kept, created)?;
        transaction
            .prepare_cached(settle)?
            .execute(params![ticket.row, Fate::Summarised as i64])?;
        transaction.commit()
    }

    fn count_fates(&self) -> rusqlite::Result<Vec<(i64, u64)>> {
        let sql = "SELECT fate, count(*) FROM temp.offered GROUP BY fate";
        let mut statement = self.store.connection.prepare_cached(sql)?;
        let counts = statement
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
        counts.collect()
    }

    /// What the store holds under `key`.
    fn kept(&self, key: &str) -> Result<Record> {
        let found = row::find(&self.store.connection, key).map_err(|cause| self.failed(cause))?;
        let lost = |error: &str| Record { error: Some(error.to_owned()), ..Record::default() };
        Ok(match found {
            Found::Whole(record) => *record,
            Found::Absent => lost("its summary is gone from the store"),
            Found::Damaged => lost("its summary is damaged in the store"),
        })
    }

    /// A settled row: the English of this run's paper, the Chinese of the store or of the outcome.
    fn record(&self, row: &Row) -> Result<Record> {
        type Columns = (String, Option<String>, String, Option<String>);
        let columns = || -> rusqlite::Result<Columns> {
            let (content, outcome) = (row.get("content")?, row.get("outcome")?);
            Ok((content, outcome, row.get("key")?, row.get("relevance")?))
        };
        let (content, outcome, key, relevance) = columns().map_err(|cause| self.failed(cause))?;
        let paper: Paper = self.parse_json(&content)?;
        let written: Record = match outcome {
            Some(outcome) => self.parse_json(&outcome)?,
            None => self.kept(&key)?,
        };
        let relevance = relevance.map(|text| self.parse_json(&text)).transpose()?;
        Ok(Record { relevance, ..written.about(&paper) })
    }
}

/// In digest order: the papers of this run that are settled, whoever summarised them.
impl Records for Run<'_> {
    fn for_each_record(&self, visit: &mut dyn FnMut(&Record) -> Result<()>) -> Result<()> {
        let sql = "SELECT content, outcome, key, relevance FROM temp.offered
            INDEXED BY digest_order WHERE fate NOT IN (0, 1)
            ORDER BY score DESC, link DESC, ticket";
        let failed = |cause| self.failed(cause);
        let mut statement = self.store.connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            visit(&self.record(row)?)?;
        }
        Ok(())
    }
}
