//! What is asked for: the tokens that a paper takes.

use crate::writer::ROWS_PER_STEP;

/// The tokens that a paper takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Job {
    /// Tokens of a prompt that all papers share; they are read once.
    pub prefix_tokens: usize,
    /// Tokens of a paper's own prompt.
    pub prompt_tokens: usize,
    /// Tokens that are written about it.
    pub written_tokens: usize,
}

impl Job {
    /// Rows of a paper; the last token is written and never read.
    pub fn rows(&self) -> usize {
        (self.prompt_tokens + self.written_tokens).saturating_sub(1)
    }

    /// Positions that a paper comes to hold, with those that all papers share.
    pub fn positions(&self) -> usize {
        self.prefix_tokens + self.prompt_tokens + self.written_tokens
    }

    /// Steps that a paper takes for itself where `batch` are written about at a time, and a step
    /// reads `prefill_rows` of prompts beside them.
    pub(super) fn steps(&self, batch: usize, prefill_rows: usize) -> f64 {
        let by_tokens = self.written_tokens as f64 / batch as f64;
        let by_prompt = self.prompt_tokens as f64 / prefill_rows as f64;
        by_tokens.max(by_prompt).max(self.rows() as f64 / ROWS_PER_STEP as f64)
    }
}
