//! What is asked for: the tokens that a paper takes.

use crate::batch::ROWS_PER_STEP;

/// The tokens that a paper takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Job {
    /// Tokens of a prompt that all papers share; they are read once.
    pub prefix_tokens: usize,
    /// Tokens of a paper's own prompt.
    pub prompt_tokens: usize,
    /// Tokens that are written about it.
    pub written_tokens: usize,
    /// Texts of a paper that go on at a time, on average: more than one where a beam is searched.
    pub texts: f64,
}

/// Texts that go on of a beam of `width`, on average: of 4 they are 2.9, as it was counted over eight papers.
pub fn texts_of_beam(width: usize) -> f64 {
    const SHARE: f64 = 2.9 / 4.0;
    (SHARE * width as f64).max(1.0)
}

impl Job {
    /// Rows of a paper with one text; the last token is written and never read.
    pub fn rows(&self) -> usize {
        (self.prompt_tokens + self.written_tokens).saturating_sub(1)
    }

    /// Rows of a paper with all of its texts.
    pub fn rows_of_all(&self) -> f64 {
        let read = self.written_tokens.saturating_sub(1) as f64;
        self.rows() as f64 + (self.texts - 1.0) * read
    }

    /// Tokens that are picked, in all texts.
    pub fn picked(&self) -> f64 {
        self.texts * self.written_tokens as f64
    }

    /// Positions that a paper comes to hold, with those that all papers share.
    pub fn positions(&self) -> usize {
        self.prefix_tokens + self.prompt_tokens + self.written_tokens
    }

    /// Steps that a paper takes for itself where `batch` texts are written at a time, and a step
    /// reads `prefill_rows` of prompts beside them.
    pub(super) fn steps(&self, batch: usize, prefill_rows: usize) -> f64 {
        let by_tokens = self.picked() / batch as f64;
        let by_prompt = self.prompt_tokens as f64 / prefill_rows as f64;
        by_tokens.max(by_prompt).max(self.rows_of_all() / ROWS_PER_STEP as f64)
    }
}
