//! What one answer of several says of the whole: how many there are, and how to ask for the rest.

/// One answer of several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Page {
    /// How many items there are in all, where the answer tells.
    pub(super) total: Option<u64>,
    /// The number of its first item, from 0.
    pub(super) start: u64,
    /// The items that it says to hold itself.
    pub(super) promised: Option<u64>,
    /// The items that it holds, those that cannot be read and those that are deleted included.
    pub(super) items: u64,
    /// Whether it is an answer that came before, once more.
    pub(super) is_again: bool,
    /// What to ask for the next one with.
    pub(super) token: Option<String>,
}
