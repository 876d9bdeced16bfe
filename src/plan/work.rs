//! What a model costs, and what that comes to on a device.

use super::card::Card;
use super::job::Job;
use super::processor::Speed;
use crate::batch::{Batch, POSITIONS_PER_SEQUENCE, PREFILL_ROWS, ROWS_PER_STEP};
use crate::engine::candle::{CARD_LANES, Matrices, lane_bytes, lane_capacity};
use crate::engine::cpu::Costs;
use crate::generate::Beside;
use crate::model::Shape;

/// Bytes that the engines take for a weight: an int8, and an f32 scale for 32 of them.
const WEIGHT_BYTES: f64 = 1.0 + 4.0 / 32.0;

/// Bytes of an element of the embedding and of the head on a card.
const F32_BYTES: u64 = 4;

/// What a model costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// Multiply-adds of a row in all layers, without attention.
    pub row: u64,
    /// Multiply-adds of attending to a position in all layers that see it.
    pub position: u64,
    /// Multiply-adds of scoring the tokens that may follow a row.
    pub head: u64,
    /// Bytes of the weights that a step reads: all layers, and the head as far as it is scored.
    pub weight_bytes: u64,
    /// Elements of the token embedding, of which a step reads a few rows.
    pub embedding: u64,
    /// Bytes of keys and values that a token takes.
    pub token_bytes: u64,
    /// Positions that are reserved for a paper.
    pub positions_of_paper: usize,
    /// Of each layer how far back it sees, where that has an end.
    windows: Vec<Option<usize>>,
}

/// How fast a device is at a job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Papers at a time.
    pub batch: usize,
    /// Rows of a step, of prompts and of text, on average.
    pub rows_per_step: f64,
    /// Multiply-adds of a step.
    pub multiply_adds_per_step: f64,
    /// Bytes that a step reads: weights, keys and values.
    pub bytes_per_step: f64,
    /// Papers in an hour.
    pub papers_per_hour: f64,
}

impl Work {
    /// Of a model of which `scored` tokens are scored for every paper.
    pub fn of(shape: &Shape, scored: usize) -> Work {
        let config = &shape.config;
        let Costs { row, position } = Costs::of_decoder(config);
        let bytes = |weights: usize| (weights as f64 * WEIGHT_BYTES) as u64;
        let head = scored * config.hidden;
        Work {
            row: row as u64,
            position: position as u64,
            head: head as u64,
            weight_bytes: bytes(row + head),
            embedding: (shape.vocabulary * config.hidden) as u64,
            token_bytes: config.position_bytes() as u64,
            positions_of_paper: POSITIONS_PER_SEQUENCE,
            windows: config.layers.iter().map(|layer| layer.window).collect(),
        }
    }

    /// Bytes of keys and values that are reserved for a paper.
    pub fn paper_bytes(&self) -> u64 {
        self.positions_of_paper as u64 * self.token_bytes
    }

    /// The same with room for papers of `job`, where they are longer than what is reserved otherwise.
    #[must_use]
    pub fn reserving(self, job: &Job) -> Work {
        let positions_of_paper = self.positions_of_paper.max(job.positions());
        Work { positions_of_paper, ..self }
    }

    /// Positions that the rows of a paper from the `from`th on attend to, on average over layers.
    fn positions(&self, job: &Job, from: usize) -> f64 {
        let seen = |window: &Option<usize>| -> f64 {
            let context = (from..job.rows()).map(|row| job.prefix_tokens + row + 1);
            let most = window.unwrap_or(usize::MAX);
            context.map(|positions| positions.min(most) as f64).sum()
        };
        self.windows.iter().map(seen).sum::<f64>() / self.windows.len() as f64
    }

    /// Multiply-adds of a paper in products and in attention.
    pub fn multiply_adds(&self, job: &Job) -> [f64; 2] {
        let products = job.rows_of_all() * self.row as f64;
        let head = job.picked() * self.head as f64;
        let of_others = (job.texts - 1.0) * self.positions(job, job.prompt_tokens);
        [products + head, (self.positions(job, 0) + of_others) * self.position as f64]
    }

    /// Bytes that are read for a paper in so many `steps` of its own: weights of `weights` bytes, keys
    /// and values, `token` bytes each, of the rows that are computed one by one, and those of the
    /// prompt once.
    fn bytes(&self, job: &Job, steps: f64, weights: u64, token: u64) -> f64 {
        let prompt = (job.prefix_tokens + job.prompt_tokens) as f64;
        let tokens = job.texts * self.positions(job, job.prompt_tokens) + prompt;
        steps * weights as f64 + tokens * token as f64
    }

    /// Papers at a time on a processor with `free` bytes of memory before the model is loaded: as many
    /// as were `asked` for and fit, or else by the rule of the writer. The texts of their beams take `beside`.
    pub fn batch_on_processor(
        &self,
        free: Option<u64>,
        asked: Option<usize>,
        beside: Beside,
    ) -> usize {
        let left = free.map(|free| free.saturating_sub(self.weight_bytes));
        let each = self.token_bytes * (self.positions_of_paper + beside.positions) as u64;
        Batch::on_processor(left, each, asked, beside).papers
    }

    /// The same on a card, which holds the embedding, too; `None` where the model does not fit.
    pub fn batch_on(&self, card: &Card, asked: Option<usize>, beside: Beside) -> Option<usize> {
        let (_, weights) = self.held_by(card);
        let left = card.memory_bytes.checked_sub(weights + F32_BYTES * self.embedding)?;
        let capacity = lane_capacity(CARD_LANES, self.positions_of_paper, beside.positions);
        let each = lane_bytes(capacity, self.token_bytes as usize);
        let batch = || Batch::on_card(left, each, CARD_LANES, asked, beside).papers;
        (left >= each).then(batch)
    }

    /// What `card` would do at `share` of its roofline (from 0 to 1), with `batch` papers at a time.
    pub fn on_card(&self, job: &Job, card: &Card, batch: usize, share: f64) -> Estimate {
        let [products, attention] = self.multiply_adds(job);
        let (matrices, weights) = self.held_by(card);
        let product_ops = if matrices == Matrices::F16 { card.bf16_ops } else { card.int8_ops };
        // A multiply-add is two operations.
        let arithmetic = 2.0 * (products / product_ops + attention / card.bf16_ops);
        let texts = (batch as f64 * job.texts).round() as usize;
        let steps = job.steps(texts, ROWS_PER_STEP);
        // What a lane holds is read once for all texts of a paper.
        let of_one = Job { texts: 1.0, ..*job };
        let bytes = self.bytes(&of_one, steps, weights, lane_bytes(1, self.token_bytes as usize));
        let paper_s = arithmetic.max(bytes / card.bandwidth) / share;
        self.estimate(job, batch, steps, bytes, paper_s)
    }

    /// How the engine for cards holds the matrices, and the bytes of them that a step reads, with
    /// those of the head, which are f32.
    fn held_by(&self, card: &Card) -> (Matrices, u64) {
        let free = card.memory_bytes.saturating_sub(F32_BYTES * self.embedding);
        let matrices = Matrices::on_card(Some(free), self.row);
        let each = if matrices == Matrices::F16 { 2.0 } else { WEIGHT_BYTES };
        (matrices, (self.row as f64 * each) as u64 + F32_BYTES * self.head)
    }

    /// What was measured on a processor, over a paper.
    pub fn on_processor(&self, job: &Job, speed: &Speed) -> Estimate {
        let prompt = job.prompt_tokens as f64 * speed.prompt_row_s;
        let written = job.picked() * speed.step_s / speed.batch as f64;
        let steps = job.steps(speed.batch, PREFILL_ROWS);
        let batch = (speed.batch as f64 / job.texts).round() as usize;
        let bytes = self.bytes(job, steps, self.weight_bytes, self.token_bytes);
        self.estimate(job, batch, steps, bytes, prompt + written)
    }

    fn estimate(&self, job: &Job, batch: usize, steps: f64, bytes: f64, paper_s: f64) -> Estimate {
        Estimate {
            batch,
            rows_per_step: job.rows_of_all() / steps,
            multiply_adds_per_step: self.multiply_adds(job).iter().sum::<f64>() / steps,
            bytes_per_step: bytes / steps,
            papers_per_hour: 3600.0 / paper_s,
        }
    }
}

impl Estimate {
    /// Seconds for so many papers.
    pub fn seconds(&self, papers: u64) -> f64 {
        papers as f64 * 3600.0 / self.papers_per_hour
    }
}
