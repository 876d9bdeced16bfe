//! The output head: which token follows each row that samples.
//!
//! Of Gemma's 262,144 tokens a Chinese summary uses some twenty thousand, and scoring all of them
//! would be two thirds of a step. The head scores a base list, learned from Chinese text, and the
//! tokens of the request's own prompt behind what all prompts begin with, which its names and numbers
//! come from. What is scored gets the
//! very logits of the full head; what is not cannot be written. A greedy choice never stores the
//! logits: each task keeps the best of its columns.

use std::sync::{Arc, Mutex, PoisonError};

use super::vocabulary::Rowwise;
use crate::Result;
use crate::generate::Misses;
use crate::generate::{
    Batch, Candidate, Picked, Sample, Sampling, TokenId, TokenSet, likeliest, next_token,
};
use crate::kernels::gemm::{self, Scratch};
use crate::kernels::packed::Packed;
use crate::kernels::rows::{self, Norm};
use crate::kernels::{Executor, Precision, Quantized, Tiled};
use crate::model::Model;
use crate::shortlist::Shortlist;

/// The head's matrix, packed as far as it is used.
pub struct Head {
    matrix: Rowwise,
    /// What all sequences may write; `None` is the whole vocabulary.
    base: Option<Base>,
    /// The columns of all sequences: those of the base, or all.
    packed: Packed,
    /// Score everything, and count choices outside base and prompt.
    counting: bool,
    misses: u64,
    choices: u64,
    /// Shared by the texts of a beam.
    slots: Vec<Arc<PromptTokens>>,
    /// 14 bits for every block: with 8, rounding the input of the head alone would make half of the
    /// whole divergence from the plain forward.
    precision: Arc<Precision>,
    work: Workspace,
}

/// Buffers that live from step to step.
#[derive(Default)]
struct Workspace {
    /// The residual stream of the rows that are scored, (rows, hidden).
    hidden: Vec<f32>,
    input: Quantized,
    product: Tiled,
    best: Vec<(f32, u32)>,
    /// One row by itself, for the tokens of its prompt.
    one: Quantized,
    one_product: Tiled,
    logits: Vec<f32>,
    /// Those of a row that are of its prompt's tokens.
    own: Vec<(TokenId, f32)>,
    /// Rows of which the highest logit does not decide.
    undecided: Vec<usize>,
    /// The token of the highest logit of each of these rows, while choices are counted.
    highest: Vec<Option<TokenId>>,
    scratch: Scratch,
    bytes: Vec<u8>,
}

struct Base {
    ids: Vec<TokenId>,
    set: TokenSet,
}

/// What one sequence may write beyond the base: tokens of its prompt.
struct PromptTokens {
    ids: Vec<TokenId>,
    packed: Packed,
}

/// A row of a beam, number `at` of those that are scored and `row` of those that sample.
struct BeamRow<'a> {
    at: usize,
    row: usize,
    width: usize,
    sample: &'a Sample<'a>,
    own: Vec<(TokenId, f32)>,
    /// The candidates, and the token of the highest logit.
    found: Mutex<(Vec<Candidate>, Option<TokenId>)>,
}

/// The token of the highest logit, of equal ones the lowest; none where one is no number.
fn highest(scored: &[(TokenId, f32)]) -> Option<TokenId> {
    let better = |best: (TokenId, f32), one: (TokenId, f32)| {
        if one.1 > best.1 || one.1 == best.1 && one.0 < best.0 { one } else { best }
    };
    let best = scored.iter().copied().reduce(better)?;
    scored.iter().all(|(_, logit)| !logit.is_nan()).then_some(best.0)
}

impl Head {
    /// Packs the head of `model`.
    pub fn new(
        model: &Model,
        shortlist: Option<&Shortlist>,
        full: bool,
        exec: &mut Executor,
    ) -> Result<Head> {
        let matrix = Rowwise::new(model, model.weights().head())?;
        let base = shortlist.map(|list| Base {
            ids: list.ids().to_vec(),
            set: list.ids().iter().copied().collect(),
        });
        let packed = match &base {
            Some(base) if !full => {
                let mut packed = Packed::empty(exec.isa);
                matrix.pack(exec, &base.ids, &mut Vec::new(), &mut packed)?;
                packed
            }
            _ => matrix.pack_all(exec)?,
        };
        Ok(Head {
            counting: full && base.is_some(),
            base,
            packed,
            misses: 0,
            choices: 0,
            slots: Vec::new(),
            precision: Arc::new(Precision::int14(matrix.width())),
            work: Workspace::default(),
            matrix,
        })
    }

    /// Choices outside base and prompt; counted only where a shortlist is known and the whole
    /// vocabulary is scored all the same.
    pub fn misses(&self) -> Option<Misses> {
        let (misses, choices) = (self.misses, self.choices);
        (self.counting && choices > 0).then_some(Misses { misses, choices })
    }

    /// A sequence begins in `slot`.
    pub fn open(&mut self, exec: &Executor, slot: usize) {
        let none = || Arc::new(PromptTokens { ids: Vec::new(), packed: Packed::empty(exec.isa) });
        self.make_room(slot, none);
        match Arc::get_mut(&mut self.slots[slot]) {
            Some(own) => own.ids.clear(),
            None => self.slots[slot] = none(),
        }
    }

    /// The sequence in `slot` may write `tokens`, which it has read.
    pub fn allow(&mut self, exec: &mut Executor, slot: usize, tokens: &[TokenId]) -> Result<()> {
        let Some(base) = &self.base else { return Ok(()) };
        let slot = &mut self.slots[slot];
        let is_new = |token: &TokenId, ids: &[TokenId]| {
            !base.set.contains(*token) && ids.binary_search(token).is_err()
        };
        if !tokens.iter().any(|token| is_new(token, &slot.ids)) {
            return Ok(());
        }
        if Arc::get_mut(slot).is_none() {
            let (ids, packed) = (slot.ids.clone(), Packed::empty(exec.isa));
            *slot = Arc::new(PromptTokens { ids, packed });
        }
        let PromptTokens { ids, packed } = Arc::get_mut(slot).expect("nobody else has it");
        for token in tokens.iter().filter(|token| !base.set.contains(**token)) {
            if let Err(place) = ids.binary_search(token) {
                ids.insert(place, *token);
            }
        }
        if !self.counting {
            self.matrix.pack(exec, ids, &mut self.work.bytes, packed)?;
        }
        Ok(())
    }

    /// The sequence in `to` may write what the one in `from` may.
    pub fn fork(&mut self, from: usize, to: usize) {
        let of_other = Arc::clone(&self.slots[from]);
        self.make_room(to, || Arc::clone(&of_other));
        self.slots[to] = of_other;
    }

    fn make_room(&mut self, slot: usize, fill: impl FnMut() -> Arc<PromptTokens>) {
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, fill);
        }
    }

    /// No row is to be scored yet.
    pub fn clear(&mut self) {
        self.work.hidden.clear();
    }

    /// The residual stream of the next row that is to be scored.
    pub fn add_row(&mut self, hidden: &[f32]) {
        self.work.hidden.extend_from_slice(hidden);
    }

    /// Picks for each sampling span of `batch`, whose rows have been added in order.
    pub fn pick(&mut self, exec: &mut Executor, norm: Norm<'_>, batch: &Batch<'_>) -> Vec<Picked> {
        let rows = self.work.hidden.len() / self.matrix.width();
        if rows == 0 {
            return Vec::new();
        }
        if batch.sampling().all(|(_, sample)| matches!(sample.sampling, Sampling::Beam { .. })) {
            // No row is decided by its highest logit.
            self.work.undecided.clear();
            self.work.undecided.extend(0..rows);
            let mut picked = vec![Picked::Nothing; rows];
            self.pick_by_logits(exec, norm, batch, &mut picked);
            if self.counting {
                let highest = std::mem::take(&mut self.work.highest);
                self.count(batch, highest.iter().copied());
                self.work.highest = highest;
            }
            return picked;
        }
        self.normalise(exec, norm);
        let Workspace { input, best, scratch, .. } = &mut self.work;
        best.resize(rows, (0.0, 0));
        gemm::argmax(exec, input, &self.packed, scratch, best);
        let mut picked = Vec::with_capacity(rows);
        for (row, (span, _)) in batch.sampling().enumerate() {
            picked.push(self.best(exec, row, span.slot).into());
        }
        if self.counting {
            self.count(batch, picked.iter().map(Picked::token));
        }
        self.work.undecided.clear();
        for (row, ((_, sample), picked)) in batch.sampling().zip(&picked).enumerate() {
            let allows = sample.filter.map(|filter| filter.after(sample.written));
            let is_refused =
                picked.token().is_some_and(|token| allows.is_some_and(|allows| !allows(token)));
            if sample.sampling != Sampling::Greedy || is_refused {
                self.work.undecided.push(row);
            }
        }
        if !self.work.undecided.is_empty() {
            self.pick_by_logits(exec, norm, batch, &mut picked);
        }
        picked
    }

    /// The logits of the rows that have been added, over the whole vocabulary; minus infinity where
    /// none is computed.
    pub fn logits(&mut self, exec: &mut Executor, norm: Norm<'_>) -> Vec<Vec<f32>> {
        self.normalise(exec, norm);
        gemm::gemm(exec, &self.work.input, &self.packed, &mut self.work.product);
        let rows = 0..self.work.product.rows();
        rows.map(|row| {
            self.scatter(row);
            self.work.logits.clone()
        })
        .collect()
    }

    /// The better of a row's best base token and the best token of its prompt, if its logit is a number.
    fn best(&mut self, exec: &mut Executor, row: usize, slot: usize) -> Option<TokenId> {
        let (logit, column) = self.work.best[row];
        let token = self.token(column);
        let PromptTokens { ids, packed } = &*self.slots[slot];
        if ids.is_empty() || self.counting {
            return logit.is_finite().then_some(token);
        }
        let Workspace { input, one, scratch, .. } = &mut self.work;
        let mut best = [(0.0, 0)];
        input.copy_row(row, one);
        gemm::argmax(exec, one, packed, scratch, &mut best);
        let [(own_logit, own_column)] = best;
        let own = ids[own_column as usize];
        let is_better = own_logit > logit || (own_logit == logit && own < token);
        let (logit, token) = if is_better { (own_logit, own) } else { (logit, token) };
        logit.is_finite().then_some(token)
    }

    /// Picks anew for the undecided rows, by all their logits.
    fn pick_by_logits(
        &mut self,
        exec: &mut Executor,
        norm: Norm<'_>,
        batch: &Batch<'_>,
        picked: &mut [Picked],
    ) {
        let width = self.matrix.width();
        for (to, row) in self.work.undecided.iter().enumerate() {
            self.work.hidden.copy_within(row * width..(row + 1) * width, to * width);
        }
        self.work.hidden.truncate(self.work.undecided.len() * width);
        self.normalise(exec, norm);
        gemm::gemm(exec, &self.work.input, &self.packed, &mut self.work.product);
        let mut sampling = batch.sampling().enumerate();
        let mut of_beams = Vec::new();
        for at in 0..self.work.undecided.len() {
            let undecided = self.work.undecided[at];
            let Some((row, (span, sample))) = sampling.find(|(row, _)| *row == undecided) else {
                return;
            };
            self.find_own_logits(exec, at, span.slot);
            if let Sampling::Beam { width } = sample.sampling {
                let (own, found) = (self.work.own.clone(), Mutex::default());
                of_beams.push(BeamRow { at, row, width, sample, own, found });
                continue;
            }
            self.scatter(at);
            let Workspace { logits, own, .. } = &mut self.work;
            own.iter().for_each(|(token, logit)| logits[*token as usize] = *logit);
            picked[row] = next_token(logits, sample.sampling, sample.written, sample.filter).into();
        }
        exec.pool.run(of_beams.len(), |_, row| {
            let BeamRow { at, width, sample, own, found, .. } = &of_beams[row];
            let columns = (0..self.packed.outputs())
                .map(|column| (self.token(column as u32), self.work.product.value(*at, column)));
            let mut scored: Vec<(TokenId, f32)> = columns.chain(own.iter().copied()).collect();
            let highest = self.counting.then(|| highest(&scored)).flatten();
            let likeliest = likeliest(&mut scored, 2 * width, sample.written, sample.filter);
            *found.lock().unwrap_or_else(PoisonError::into_inner) = (likeliest, highest);
        });
        self.work.highest.clear();
        for BeamRow { row, found, .. } in of_beams {
            let (found, highest) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
            picked[row] = found.into();
            self.work.highest.push(highest);
        }
    }

    /// Computes the logits of those tokens that the sequence in `slot` may write beyond the base, in row `at` of
    /// the input.
    fn find_own_logits(&mut self, exec: &mut Executor, at: usize, slot: usize) {
        let PromptTokens { ids, packed } = &*self.slots[slot];
        let Workspace { input, one, one_product, own, .. } = &mut self.work;
        own.clear();
        if ids.is_empty() || self.counting {
            return;
        }
        input.copy_row(at, one);
        gemm::gemm(exec, one, packed, one_product);
        let logit = |(column, id): (usize, &TokenId)| (*id, one_product.value(0, column));
        own.extend(ids.iter().enumerate().map(logit));
    }

    /// Norm and quantization of the rows that have been added.
    fn normalise(&mut self, exec: &mut Executor, norm: Norm<'_>) {
        let Workspace { hidden, input, .. } = &mut self.work;
        rows::add_and_norm(exec, hidden, None, Some((norm, &self.precision, input)));
    }

    /// Spreads a row of the product over the whole vocabulary.
    fn scatter(&mut self, row: usize) {
        let mut logits = std::mem::take(&mut self.work.logits);
        logits.clear();
        logits.resize(self.matrix.rows(), f32::NEG_INFINITY);
        for column in 0..self.packed.outputs() {
            logits[self.token(column as u32) as usize] = self.work.product.value(row, column);
        }
        self.work.logits = logits;
    }

    /// The token of a column of `packed`.
    fn token(&self, column: u32) -> TokenId {
        match &self.base {
            Some(base) if !self.counting => base.ids[column as usize],
            _ => column,
        }
    }

    fn count(&mut self, batch: &Batch<'_>, picked: impl Iterator<Item = Option<TokenId>>) {
        let Some(base) = &self.base else { return };
        for ((span, _), token) in batch.sampling().zip(picked) {
            let Some(token) = token else { continue };
            let ids = &self.slots[span.slot].ids;
            let inside = base.set.contains(token) || ids.binary_search(&token).is_ok();
            self.misses += u64::from(!inside);
            self.choices += 1;
        }
    }
}
