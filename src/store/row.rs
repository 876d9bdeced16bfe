//! A summary as the store keeps it, and the checksum that tells a damaged row from a whole one.
//!
//! A disk that loses a bit loses it in silence, and SQLite does not look at what texts hold. A row
//! whose checksum is not that of its columns, or whose columns cannot be read, counts as not there:
//! its paper is summarised again, and the row written over.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::key::hash_parts;
use crate::record::{Record, UNKNOWN_VERSION};
use crate::summary::Fields;

/// A row of `summary`, but for when it was made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SummaryRow {
    pub(super) key: String,
    pub(super) paper: String,
    pub(super) version: Option<u32>,
    pub(super) zh_title: String,
    pub(super) zh_tldr: String,
    pub(super) zh_abstract: String,
    /// Which texts were asked for.
    pub(super) fields: String,
    pub(super) model: String,
    /// What the checks found, JSON.
    pub(super) marks: String,
    pub(super) retries: u32,
    pub(super) cut: bool,
}

/// The columns of a [`SummaryRow`], in its order.
const COLUMNS: &str =
    "key, paper, version, zh_title, zh_tldr, zh_abstract, fields, model, flags, retries, cut";

/// How a row is found to be.
#[derive(Debug)]
pub(super) enum Found {
    Absent,
    Damaged,
    /// What was written, without the paper.
    Whole(Box<Record>),
}

/// The row under `key`.
pub(super) fn find(connection: &Connection, key: &str) -> rusqlite::Result<Found> {
    let sql = format!("SELECT {COLUMNS}, checksum FROM main.summary WHERE key = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_row([key], |row| {
        Ok(SummaryRow::read(row).ok().zip(row.get::<_, String>("checksum").ok()))
    });
    let Some(found) = found.optional()? else { return Ok(Found::Absent) };
    let whole = found.filter(|(row, checksum)| row.checksum() == *checksum);
    let record = whole.and_then(|(row, _)| row.into_record());
    Ok(record.map_or(Found::Damaged, |record| Found::Whole(Box::new(record))))
}

/// The newest whole summary of an older version of `paper` than `version`, with its version; where
/// `version` is not known, as in arXiv's catch-up pages, of any.
pub(super) fn find_older(
    connection: &Connection,
    paper: &str,
    version: Option<u32>,
) -> rusqlite::Result<Option<(u32, Record)>> {
    let sql = "SELECT key, version FROM main.summary INDEXED BY papers WHERE paper = ?1
        AND (version < ?2 OR version IS NULL OR ?2 IS NULL) ORDER BY version DESC, created DESC, key";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![paper, version])?;
    while let Some(row) = rows.next()? {
        // What cannot be read is damaged.
        let (Ok(key), Ok(older)) = (row.get::<_, String>(0), row.get::<_, Option<u32>>(1)) else {
            continue;
        };
        if let Found::Whole(record) = find(connection, &key)? {
            return Ok(Some((older.unwrap_or(UNKNOWN_VERSION), *record)));
        }
    }
    Ok(None)
}

/// Writes `row`, in the place of an older one.
pub(super) fn keep(
    connection: &Connection,
    row: &SummaryRow,
    created: i64,
) -> rusqlite::Result<()> {
    let sql = format!(
        "INSERT OR REPLACE INTO main.summary ({COLUMNS}, created, checksum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
    );
    let SummaryRow { key, paper, version, zh_title, zh_tldr, zh_abstract, .. } = row;
    let SummaryRow { fields, model, marks, retries, cut, .. } = row;
    let checksum = row.checksum();
    #[rustfmt::skip]
    let values = params![
        key, paper, version, zh_title, zh_tldr, zh_abstract, fields, model, marks, retries, cut,
        created, checksum
    ];
    connection.prepare_cached(&sql)?.execute(values).map(drop)
}

/// Gives every row that can be read its checksum.
pub(super) fn add_checksums(connection: &Connection) -> rusqlite::Result<()> {
    let mut update =
        connection.prepare("UPDATE main.summary SET checksum = ?2 WHERE rowid = ?1")?;
    let select = format!("SELECT rowid, {COLUMNS} FROM main.summary");
    let mut select = connection.prepare(&select)?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        if let Ok(whole) = SummaryRow::read(row) {
            update.execute(params![row.get::<_, i64>("rowid")?, whole.checksum()])?;
        }
    }
    Ok(())
}

impl SummaryRow {
    fn read(row: &Row) -> rusqlite::Result<Self> {
        Ok(SummaryRow {
            key: row.get("key")?,
            paper: row.get("paper")?,
            version: row.get("version")?,
            zh_title: row.get("zh_title")?,
            zh_tldr: row.get("zh_tldr")?,
            zh_abstract: row.get("zh_abstract")?,
            fields: row.get("fields")?,
            model: row.get("model")?,
            marks: row.get("flags")?,
            retries: row.get("retries")?,
            cut: row.get("cut")?,
        })
    }

    /// SHA-256 of all columns.
    fn checksum(&self) -> String {
        let (version, retries) = (self.version.map(|v| v.to_string()), self.retries.to_string());
        // All fields are passed over, as they are in rows of older schemas.
        let fields = Some(&self.fields).filter(|fields| **fields != Fields::ALL.to_string());
        let parts = [
            Some(self.key.as_str()),
            Some(&self.paper),
            version.as_deref(),
            Some(&self.zh_title),
            Some(&self.zh_tldr),
            Some(&self.zh_abstract),
            Some(&self.model),
            Some(&self.marks),
            Some(&retries),
            Some(if self.cut { "cut" } else { "whole" }),
        ];
        hash_parts(parts.into_iter().chain(fields.map(|fields| Some(fields.as_str()))))
    }

    /// What was written, without the paper; `None` where marks or fields cannot be read.
    fn into_record(self) -> Option<Record> {
        Some(Record {
            marks: serde_json::from_str(&self.marks).ok()?,
            fields: self.fields.parse().ok()?,
            zh_title: self.zh_title,
            zh_tldr: self.zh_tldr,
            zh_abstract: self.zh_abstract,
            model: self.model,
            retries: self.retries,
            cut: self.cut,
            ..Record::default()
        })
    }
}
