//! How a command ended, and the exit statuses by which scripts know whether to run it again.

/// Wrong usage, or an input, model or file that another run would find as wrong: do not run it again.
pub(super) const WRONG: u8 = 1;
/// The output was written and lacks something: run it again, which tries what failed anew.
pub(super) const INCOMPLETE: u8 = 2;
/// Nothing was written, for a reason that may pass (`EX_TEMPFAIL` of BSD's sysexits.h): run it again
/// later.
pub(super) const TRY_LATER: u8 = 75;

/// What a command that came to its end has to say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Complete,
    /// There was nothing to write, and nothing went wrong.
    Nothing,
    /// The output was written, but something that was read is not in it.
    Incomplete,
    /// A signal ended it early: the exit status that tells which.
    Interrupted(u8),
    /// All that it should do failed, one thing after another, each with its error told: the exit status.
    Failed(u8),
}
