//! The account of a run: what was read, and what became of it.

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
    /// Of other shards than the one that was asked for.
    pub other_shards: u64,
    /// In the output already, from an earlier run.
    pub existing: u64,
    /// Left out by the user's limit.
    pub over_limit: u64,
    /// Could not be read.
    pub malformed: u64,
    /// Said to be deleted.
    pub deleted: u64,
    /// Tried and not summarised.
    pub failed: u64,
    /// Not settled: the run was ended early.
    pub pending: u64,
}

impl Account {
    /// Papers that the run need not or could not look at.
    pub fn skipped(&self) -> u64 {
        self.duplicates + self.existing + self.over_limit + self.malformed + self.deleted
    }

    /// Whether everything that was read is accounted for.
    pub fn adds_up(&self) -> bool {
        let settled = self.summarised + self.reused + self.imported + self.noticed + self.failed;
        self.read == settled + self.filtered + self.other_shards + self.skipped() + self.pending
    }
}
