//! What was found of one thing, as a line.

use crate::cli::console::causes_and_hints;
use crate::error::Error;

/// One thing that was looked at.
pub(super) struct Finding {
    pub(super) what: &'static str,
    pub(super) state: State,
    pub(super) text: String,
    pub(super) hint: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Good,
    /// It works, but not as well as it could.
    Doubtful,
    Bad,
}

impl Finding {
    pub(super) fn good(what: &'static str, text: impl Into<String>) -> Self {
        Finding { what, state: State::Good, text: text.into(), hint: None }
    }

    pub(super) fn of(
        what: &'static str,
        state: State,
        text: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Finding { what, state, text: text.into(), hint: Some(hint.into()) }
    }

    pub(super) fn failed(what: &'static str, error: &Error) -> Self {
        let (causes, hints) = causes_and_hints(error);
        let text = [vec![error.to_string()], causes].concat().join(": ");
        let hint = Some(hints.join("; ")).filter(|hint| !hint.is_empty());
        Finding { what, state: State::Bad, text, hint }
    }

    pub(super) fn line(&self) -> String {
        let state = match self.state {
            State::Good => "ok  ",
            State::Doubtful => "look",
            State::Bad => "bad ",
        };
        let hint = self.hint.as_ref().map(|hint| format!("\n        hint: {hint}"));
        format!("{state}  {}: {}{}\n", self.what, self.text, hint.unwrap_or_default())
    }
}
