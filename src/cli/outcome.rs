//! How a command ended.

/// What a command that came to its end has to say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Complete,
    /// The output was written, but something that was read is not in it.
    Incomplete,
    /// A signal ended it early: the exit status that tells which.
    Interrupted(u8),
}
