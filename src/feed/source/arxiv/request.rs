//! What a source of arXiv's asks for.

use crate::paper::Date;

/// What a source asks arXiv for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The feed of a category: today's announcement.
    Feed(String),
    /// The announcement of a day in a category.
    Day(String, Date),
    /// Several categories, days or both; to be expanded first.
    Many(Vec<String>, Option<Vec<Date>>),
    /// What a query of the API finds.
    Query(String),
    /// Papers by their ids, with or without versions.
    Ids(Vec<String>),
    /// What changed in a set of OAI-PMH from one day to another, both included.
    Oai {
        /// The set: `cs`, `physics:hep-th`, `cs:cs:CL`.
        set: String,
        /// The first day.
        from: Date,
        /// The last day.
        until: Date,
    },
}
