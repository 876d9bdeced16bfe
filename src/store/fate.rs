//! What becomes of a paper within a run, and how it comes to it.

/// The fate of an offered paper, as the column `fate` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Pending = 0,
    Taken = 1,
    Summarised = 2,
    Reused = 3,
    Imported = 4,
    Failed = 5,
    Noticed = 6,
}

impl Fate {
    pub(super) fn from_column(value: i64) -> Option<Self> {
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

/// A paper that was met in this run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// May be unknown itself.
    pub(super) version: Option<u32>,
    pub(super) fate: Option<Fate>,
    /// Whether it is a new version that is listed with the summary of an older one.
    pub(super) is_older_summary: bool,
}

/// How a paper is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brings {
    /// As what is to be written about.
    Text,
    /// With its summary.
    Summary,
    /// As a new version that is not written about.
    Replacement,
}
