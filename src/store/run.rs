//! One run over a store: papers are offered, taken, settled, and read back in digest order.
//!
//! Every paper that is read meets one fate, kept in its row and counted there: the account of a
//! run is not a set of counters that could drift, but a question to the table. The one number
//! that is counted apart is how many papers were read, so that the sum can be checked.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{OptionalExtension, Row, params};

use super::failure::{START_AFRESH, failed};
use super::key::{Identity, paper_key, summary_key};
use super::row::{self, Found, SummaryRow};
use super::{Store, schema};
use crate::digest::Records;
use crate::error::{Error, ErrorKind, Result};
use crate::paper::Paper;
use crate::record::{Record, WrittenSummary};
use crate::summary::Notice;

/// What [`Run::offer`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// Not met before in this run.
    New,
    /// Met before in this run, in the same or a newer version: passed over.
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
}

/// A paper that waits for its summary.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// To settle it with.
    pub ticket: Ticket,
    /// The paper.
    pub paper: Paper,
}

/// The right to settle one paper, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    row: i64,
    paper: String,
    version: Option<u32>,
    key: String,
}

/// What became of the papers of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Account {
    /// Everything that the input held.
    pub read: u64,
    /// Summarised in this run.
    pub summarised: u64,
    /// Summarised in an earlier run.
    pub reused: u64,
    /// Came with a summary.
    pub imported: u64,
    /// Not to be summarised, since there is nothing to summarise.
    pub noticed: u64,
    /// Met more than once: every offer but the one that counts.
    pub duplicates: u64,
    /// Left out by the user's filters.
    pub filtered: u64,
    /// Could not be read.
    pub malformed: u64,
    /// Tried and not summarised.
    pub failed: u64,
    /// Not settled: the run was ended early.
    pub pending: u64,
}

/// The fate of an offered paper, as the column `fate` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pending = 0,
    Taken = 1,
    Summarised = 2,
    Reused = 3,
    Imported = 4,
    Failed = 5,
    Noticed = 6,
}

/// One run over a [`Store`]; the store is its own as long as it lasts.
#[derive(Debug)]
pub struct Run<'a> {
    store: &'a mut Store,
    identity: Identity,
    redo: bool,
    read: u64,
    duplicates: u64,
    filtered: u64,
    malformed: u64,
    damaged: Vec<String>,
}

impl<'a> Run<'a> {
    pub(super) fn begin(store: &'a mut Store, identity: Identity, redo: bool) -> Result<Self> {
        schema::prepare_run(&store.connection).map_err(|cause| failed(&store.name, cause))?;
        let (read, duplicates, filtered, malformed) = (0, 0, 0, 0);
        let damaged = Vec::new();
        Ok(Run { store, identity, redo, read, duplicates, filtered, malformed, damaged })
    }

    /// Takes in a paper of the input: it is pending now, unless a summary of it is in the store.
    pub fn offer(&mut self, paper: &Paper) -> Result<Offered> {
        self.take_in(paper, |run, key| {
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
        let record = Record::with(paper, written);
        self.take_in(paper, |run, _| Ok((Fate::Imported, Some(run.to_json(&record)?))))
    }

    /// Takes in a paper in which there is nothing to summarise.
    pub fn note(&mut self, paper: &Paper, notice: Notice) -> Result<Offered> {
        let record = Record { notice: Some(notice), ..Record::of(paper) };
        self.take_in(paper, |run, _| Ok((Fate::Noticed, Some(run.to_json(&record)?))))
    }

    /// Counts an item of the input that is not offered.
    pub fn skip(&mut self, why: Skip) {
        self.read += 1;
        match why {
            Skip::Malformed => self.malformed += 1,
            Skip::Filtered => self.filtered += 1,
        }
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
        let mut account = Account {
            read: self.read,
            duplicates: self.duplicates,
            filtered: self.filtered,
            malformed: self.malformed,
            ..Account::default()
        };
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

    /// One row a paper: met again, the newest version stays, and of one version the first.
    fn take_in(
        &mut self,
        paper: &Paper,
        decide: impl FnOnce(&mut Self, &str) -> Result<(Fate, Option<String>)>,
    ) -> Result<Offered> {
        let id = paper_key(paper);
        let known = self.known_version(&id).map_err(|cause| self.failed(cause))?;
        let offered = match known {
            None => Offered::New,
            Some(known) if known < paper.version => Offered::Replaced,
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
        self.read += 1;
        self.duplicates += u64::from(offered != Offered::New);
        Ok(offered)
    }

    fn failed(&self, cause: rusqlite::Error) -> Error {
        failed(&self.store.name, cause)
    }

    fn to_json(&self, value: &impl serde::Serialize) -> Result<String> {
        serde_json::to_string(value).map_err(|cause| self.bad_json(cause))
    }

    fn parse_json<T: serde::de::DeserializeOwned>(&self, text: &str) -> Result<T> {
        serde_json::from_str(text).map_err(|cause| self.bad_json(cause))
    }

    fn bad_json(&self, cause: serde_json::Error) -> Error {
        let message = format!("the store {} holds what it cannot hold", self.store.name);
        Error::new(ErrorKind::Store, message).because(cause).hint(START_AFRESH)
    }
}

/// The statements.
impl Run<'_> {
    fn execute(&self, sql: &str, values: impl rusqlite::Params) -> Result<()> {
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

    /// The version in which a paper was met, if it was; a version may be unknown itself.
    fn known_version(&self, paper: &str) -> rusqlite::Result<Option<Option<u32>>> {
        let sql = "SELECT version FROM temp.offered WHERE paper = ?1";
        let mut statement = self.store.connection.prepare_cached(sql)?;
        statement.query_row([paper], |row| row.get(0)).optional()
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
        let columns = || -> rusqlite::Result<(String, Option<String>, String)> {
            Ok((row.get("content")?, row.get("outcome")?, row.get("key")?))
        };
        let (content, outcome, key) = columns().map_err(|cause| self.failed(cause))?;
        let paper: Paper = self.parse_json(&content)?;
        let written: Record = match outcome {
            Some(outcome) => self.parse_json(&outcome)?,
            None => self.kept(&key)?,
        };
        let Record {
            zh_title,
            zh_tldr,
            zh_abstract,
            model,
            marks,
            retries,
            cut,
            notice,
            error,
            ..
        } = written;
        let paper = Record::of(&paper);
        Ok(Record {
            zh_title,
            zh_tldr,
            zh_abstract,
            model,
            marks,
            retries,
            cut,
            notice,
            error,
            ..paper
        })
    }
}

/// In digest order: the papers of this run that are settled, whoever summarised them.
impl Records for Run<'_> {
    fn for_each_record(&self, visit: &mut dyn FnMut(&Record) -> Result<()>) -> Result<()> {
        let sql = "SELECT content, outcome, key FROM temp.offered INDEXED BY digest_order
            WHERE fate NOT IN (0, 1) ORDER BY link DESC, ticket";
        let failed = |cause| self.failed(cause);
        let mut statement = self.store.connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            visit(&self.record(row)?)?;
        }
        Ok(())
    }
}

impl Account {
    /// Papers that the run need not or could not look at.
    pub fn skipped(&self) -> u64 {
        self.duplicates + self.filtered + self.malformed
    }

    /// Whether everything that was read is accounted for.
    pub fn adds_up(&self) -> bool {
        let settled = self.summarised + self.reused + self.imported + self.noticed + self.failed;
        self.read == settled + self.skipped() + self.pending
    }
}

impl Fate {
    fn from_column(value: i64) -> Option<Self> {
        let all = [
            Fate::Pending,
            Fate::Taken,
            Fate::Summarised,
            Fate::Reused,
            Fate::Imported,
            Fate::Failed,
            Fate::Noticed,
        ];
        all.into_iter().find(|fate| *fate as i64 == value)
    }
}
