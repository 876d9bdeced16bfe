//! The tables of a store, and whether a file is one.

use rusqlite::Connection;

use super::failure::failed;
use super::row;
use crate::error::{Error, ErrorKind, Result};

/// Marks an SQLite file as ours: `wnzh` in ASCII.
const APPLICATION_ID: i64 = 0x776e_7a68;
/// The schema that this program writes, in SQLite's `user_version`.
const VERSION: i64 = 5;

/// Summaries of all runs. The English text is not kept: it comes with the feed.
const DURABLE: &str = "
    CREATE TABLE main.summary (
        key         TEXT PRIMARY KEY NOT NULL, -- SHA-256 of all that the summary depends on
        paper       TEXT NOT NULL,             -- id, link or title, for people
        version     INTEGER,
        zh_title    TEXT NOT NULL,
        zh_tldr     TEXT NOT NULL,
        zh_abstract TEXT NOT NULL,
        fields      TEXT NOT NULL DEFAULT 'title,one-liner,paragraph', -- what was asked for
        model       TEXT NOT NULL,
        flags       TEXT NOT NULL,             -- array of JSON: what the checks found
        retries     INTEGER NOT NULL,
        cut         INTEGER NOT NULL,
        created     INTEGER NOT NULL,          -- seconds since 1970
        checksum    TEXT NOT NULL              -- SHA-256 of the row, see `row::checksum`
    ) STRICT;
    CREATE INDEX IF NOT EXISTS main.papers ON summary (paper, version);";

/// Schema 1 had no checksums.
const CHECKSUMS: &str = "
    ALTER TABLE main.summary ADD COLUMN checksum TEXT NOT NULL DEFAULT '';";

/// Before schema 4 all fields were always asked for; the index came after schema 2.
const FIELDS: &str = "
    ALTER TABLE main.summary ADD COLUMN fields TEXT NOT NULL DEFAULT 'title,one-liner,paragraph';
    CREATE INDEX IF NOT EXISTS main.papers ON summary (paper, version);";

/// The first announcements of schema 3 told no readers.
const WITHOUT_READERS: &str = "DROP TABLE main.announcement; DROP TABLE main.announced;";

/// Since schema 3: which announcements were read, and which papers they had.
const ANNOUNCED: &str = "
    CREATE TABLE IF NOT EXISTS main.announcement (
        reader   TEXT NOT NULL,    -- for whose digest: the profile, or nothing
        category TEXT NOT NULL,
        day      TEXT NOT NULL,    -- 2026-11-25
        followed INTEGER NOT NULL, -- whether it came by the category's feed
        papers   INTEGER NOT NULL,
        read     INTEGER NOT NULL, -- seconds since 1970
        digest   TEXT,             -- the day of the digest that has its papers; none: nothing was written
        PRIMARY KEY (reader, category, day)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS main.announced (
        reader   TEXT NOT NULL,
        category TEXT NOT NULL,
        paper    TEXT NOT NULL,    -- arXiv id
        day      TEXT NOT NULL,
        version  INTEGER,
        PRIMARY KEY (reader, category, paper, day)
    ) STRICT, WITHOUT ROWID;";

/// Papers of one run. `fate` is a number of `fate::Fate`. A row that was replaced by a newer
/// version gets a new `ticket`, so that an old ticket finds nothing. The queries name their index,
/// since with another one SQLite would sort all papers of the run for each batch.
const OF_ONE_RUN: &str = "
    DROP TABLE IF EXISTS temp.offered;
    CREATE TABLE temp.offered (
        ticket  INTEGER PRIMARY KEY AUTOINCREMENT,
        paper   TEXT UNIQUE NOT NULL,
        version INTEGER,
        link    TEXT NOT NULL,
        chars   INTEGER NOT NULL,
        fate    INTEGER NOT NULL,
        key     TEXT NOT NULL,
        content TEXT NOT NULL, -- the paper, JSON
        outcome TEXT,          -- the record, JSON, where no summary of the store belongs to it
        score   REAL NOT NULL DEFAULT 0, -- likeness to the reader's library
        relevance TEXT         -- why the reader gets it, JSON
    ) STRICT;
    DROP TABLE IF EXISTS temp.existing;
    CREATE TABLE temp.existing ( -- papers that an output has from earlier runs
        paper   TEXT PRIMARY KEY NOT NULL,
        version INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX temp.pending ON offered (chars DESC, ticket) WHERE fate = 0;
    CREATE INDEX temp.fates ON offered (fate);
    CREATE INDEX temp.digest_order ON offered (score DESC, link DESC, ticket);";

/// Before schema 5 it was not told which digest had a day's papers.
const DIGESTS: &str = "ALTER TABLE main.announcement ADD COLUMN digest TEXT;";

/// Makes `connection` a store, or finds out why it cannot be.
pub(super) fn prepare(connection: &Connection, name: &str) -> Result<()> {
    let failed = |cause| failed(name, cause);
    let read = |pragma: &str| -> Result<i64> {
        connection.pragma_query_value(None, pragma, |row| row.get(0)).map_err(failed)
    };
    let version = read("user_version")?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM main.sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    let is_ours = read("application_id")? == APPLICATION_ID;
    if !is_ours && (tables > 0 || version != 0) {
        let message = format!("{name} is a database, but no store of wenzhai");
        return Err(Error::new(ErrorKind::Store, message).hint("give another store"));
    }
    if version > VERSION {
        let message = format!(
            "the store {name} was written by a newer wenzhai: \
             its schema is {version}, this program knows {VERSION}"
        );
        return Err(
            Error::new(ErrorKind::Store, message).hint("update wenzhai, or give another store")
        );
    }
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = ON;
             PRAGMA temp_store = FILE; PRAGMA temp.journal_mode = MEMORY;",
        )
        .map_err(failed)?;
    if version == VERSION {
        // What cannot be written is told before the work, not behind it.
        let write = format!("BEGIN IMMEDIATE; PRAGMA user_version = {VERSION}; COMMIT;");
        return connection.execute_batch(&write).map_err(failed);
    }
    // One transaction: a store that a kill leaves behind has all of its schema or nothing.
    let transaction = connection.unchecked_transaction().map_err(failed)?;
    let count =
        |sql: &str| transaction.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(failed);
    let announcements = "SELECT count(*) FROM pragma_table_info('announcement')";
    let has_announcements = count(announcements)? > 0;
    let lacks = |column: &str| -> Result<bool> {
        let of_name = format!("{announcements} WHERE name = '{column}'");
        Ok(has_announcements && count(&of_name)? == 0)
    };
    let mut changes: Vec<&str> = match version {
        0 => vec![DURABLE],
        1 => vec![CHECKSUMS, FIELDS],
        2 | 3 => vec![FIELDS],
        _ => vec![],
    };
    match lacks("reader")? {
        true => changes.extend([WITHOUT_READERS, ANNOUNCED]),
        false if lacks("digest")? => changes.push(DIGESTS),
        false => changes.push(ANNOUNCED),
    }
    for change in changes {
        transaction.execute_batch(change).map_err(failed)?;
    }
    if version == 1 {
        row::add_checksums(&transaction).map_err(failed)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    transaction.pragma_update(None, "user_version", VERSION).map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// Makes the tables of a new run, and drops those of the one before.
pub(super) fn prepare_run(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(OF_ONE_RUN)
}
