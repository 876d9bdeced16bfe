//! The output head: which token follows each row that samples.
//!
//! Of Gemma's 262,144 tokens a Chinese summary uses some twenty thousand, and scoring all of them
//! would be two thirds of a step. The head scores a base list, learned from Chinese text, and the
//! tokens of the job's own prompt, which its names and numbers come from. What is scored gets the
//! very logits of the full head; what is not cannot be written. A greedy choice never stores the
//! logits: each task keeps the best of its columns.

use std::sync::Arc;

use super::decoder::Decoder;
use super::vocabulary::Rowwise;
use crate::Result;
use crate::generate::{Misses, Sample, Sampling, Span, TokenId, TokenSet, next_token};
use crate::kernels::gemm::{self, Scratch};
use crate::kernels::packed::Packed;
use crate::kernels::rows;
use crate::kernels::{Grain, Isa, Pool, Quantized, Tiled};
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
    slots: Vec<Own>,
    /// Fine: the last rounding before the logits would make half of the error of all.
    grain: Arc<Grain>,
    input: Quantized,
    hidden: Vec<f32>,
    product: Tiled,
    best: Vec<(f32, u32)>,
    scratch: Scratch,
}

struct Base {
    ids: Vec<TokenId>,
    set: TokenSet,
}

/// What one sequence may write beyond the base: tokens of its prompt.
#[derive(Default)]
struct Own {
    ids: Vec<TokenId>,
    packed: Option<Packed>,
}

impl Head {
    /// Packs the head of `model`.
    pub fn new(
        model: &Model,
        shortlist: Option<&Shortlist>,
        full: bool,
        pool: &mut Pool,
    ) -> Result<Head> {
        let matrix = Rowwise::new(model, model.weights().head())?;
        let base = shortlist.map(|list| Base {
            ids: list.ids().to_vec(),
            set: list.ids().iter().copied().collect(),
        });
        let chosen = base.as_ref().filter(|_| !full).map(|base| &base.ids[..]);
        let packed = matrix.pack(pool, chosen)?;
        Ok(Head {
            counting: full && base.is_some(),
            base,
            packed,
            misses: 0,
            choices: 0,
            slots: Vec::new(),
            grain: Arc::new(Grain::fine(matrix.width())),
            input: Quantized::default(),
            hidden: Vec::new(),
            product: Tiled::default(),
            best: Vec::new(),
            scratch: Scratch::default(),
            matrix,
        })
    }

    /// Choices outside base and prompt; counted only where a shortlist is known and the whole
    /// vocabulary is scored all the same.
    pub fn misses(&self) -> Option<Misses> {
        let (misses, choices) = (self.misses, self.choices);
        self.counting.then_some(Misses { misses, choices })
    }

    /// A sequence begins in `slot`.
    pub fn open(&mut self, slot: usize) {
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, Own::default);
        }
        self.slots[slot] = Own::default();
    }

    /// The sequence in `slot` has ended.
    pub fn close(&mut self, slot: usize) {
        if let Some(own) = self.slots.get_mut(slot) {
            *own = Own::default();
        }
    }

    /// The sequence in `slot` may write `tokens`, which it has read.
    pub fn allow(&mut self, pool: &mut Pool, slot: usize, tokens: &[TokenId]) -> Result<()> {
        let Some(base) = &self.base else { return Ok(()) };
        let own = &mut self.slots[slot];
        let known = own.ids.len();
        for token in tokens {
            if !base.set.contains(*token)
                && let Err(place) = own.ids.binary_search(token)
            {
                own.ids.insert(place, *token);
            }
        }
        if own.ids.len() > known && !self.counting {
            own.packed = Some(self.matrix.pack(pool, Some(&own.ids))?);
        }
        Ok(())
    }

    /// Picks a token for each sampling span, in order; `last_rows` are their last rows in
    /// `hidden` (rows, hidden).
    pub fn pick<'a>(
        &mut self,
        isa: Isa,
        pool: &mut Pool,
        decoder: &Decoder,
        hidden: &[f32],
        sampling: impl Iterator<Item = (&'a Span<'a>, &'a Sample<'a>)>,
        last_rows: &[usize],
    ) -> Vec<TokenId> {
        let (spans, samples): (Vec<&Span<'_>>, Vec<&Sample<'_>>) = sampling.unzip();
        if spans.is_empty() {
            return Vec::new();
        }
        self.normalise(isa, pool, decoder, hidden, last_rows);
        self.best.resize(spans.len(), (0.0, 0));
        gemm::argmax(isa, pool, &self.input, &self.packed, &mut self.scratch, &mut self.best);
        let mut picked: Vec<TokenId> = Vec::with_capacity(spans.len());
        for (row, span) in spans.iter().enumerate() {
            let (logit, column) = self.best[row];
            let best = self.own_best(isa, pool, row, span.slot, logit, column);
            picked.push(best);
        }
        if self.counting {
            self.count(&spans, &picked);
        }
        let is_final = |(sample, token): (&&Sample<'_>, &TokenId)| {
            let allows = sample.filter.map(|filter| filter.after(sample.written));
            sample.sampling == Sampling::Greedy && allows.is_none_or(|allows| allows(*token))
        };
        let undecided: Vec<usize> =
            (0..spans.len()).filter(|&row| !is_final((&samples[row], &picked[row]))).collect();
        if !undecided.is_empty() {
            let rows: Vec<usize> = undecided.iter().map(|&row| last_rows[row]).collect();
            self.normalise(isa, pool, decoder, hidden, &rows);
            for (row, token) in
                undecided.iter().zip(self.pick_by_logits(isa, pool, &undecided, &spans, &samples))
            {
                picked[*row] = token;
            }
        }
        picked
    }

    /// The logits of rows over the whole vocabulary; minus infinity where none is computed.
    pub fn logits(
        &mut self,
        isa: Isa,
        pool: &mut Pool,
        decoder: &Decoder,
        hidden: &[f32],
        last_rows: &[usize],
    ) -> Vec<Vec<f32>> {
        self.normalise(isa, pool, decoder, hidden, last_rows);
        gemm::gemm(isa, pool, &self.input, &self.packed, &mut self.product);
        (0..last_rows.len()).map(|row| self.scatter(row)).collect()
    }

    /// The better of a row's best base token and its own tokens.
    fn own_best(
        &mut self,
        isa: Isa,
        pool: &mut Pool,
        row: usize,
        slot: usize,
        logit: f32,
        column: u32,
    ) -> TokenId {
        let token = self.token(column);
        let Some(packed) = &self.slots[slot].packed else { return token };
        let mut own = [(0.0, 0)];
        let input = self.input.row(row);
        gemm::argmax(isa, pool, &input, packed, &mut self.scratch, &mut own);
        let (own_logit, own_column) = own[0];
        let own_token = self.slots[slot].ids[own_column as usize];
        if own_logit > logit || (own_logit == logit && own_token < token) {
            own_token
        } else {
            token
        }
    }

    /// Picks for rows of which the highest logit does not decide, and which are all of the input.
    fn pick_by_logits(
        &mut self,
        isa: Isa,
        pool: &mut Pool,
        rows: &[usize],
        spans: &[&Span<'_>],
        samples: &[&Sample<'_>],
    ) -> Vec<TokenId> {
        gemm::gemm(isa, pool, &self.input, &self.packed, &mut self.product);
        let mut own_product = Tiled::default();
        let mut picked = Vec::with_capacity(rows.len());
        for (at, &row) in rows.iter().enumerate() {
            let mut logits = self.scatter(at);
            let own = &self.slots[spans[row].slot];
            if let Some(packed) = &own.packed {
                gemm::gemm(isa, pool, &self.input.row(at), packed, &mut own_product);
                for (column, id) in own.ids.iter().enumerate() {
                    logits[*id as usize] = own_product.value(0, column);
                }
            }
            let Sample { sampling, written, filter } = *samples[row];
            picked.push(next_token(&logits, sampling, written, filter));
        }
        picked
    }

    /// Norm and quantization of the rows that sample, into `self.input`.
    fn normalise(
        &mut self,
        isa: Isa,
        pool: &mut Pool,
        decoder: &Decoder,
        hidden: &[f32],
        last_rows: &[usize],
    ) {
        let width = decoder.hidden();
        self.hidden.clear();
        for row in last_rows {
            self.hidden.extend_from_slice(&hidden[row * width..(row + 1) * width]);
        }
        let next = Some((decoder.output_norm(), &self.grain, &mut self.input));
        rows::add_and_norm(isa, pool, &mut self.hidden, None, next);
    }

    /// A row of `self.product` over the whole vocabulary.
    fn scatter(&self, row: usize) -> Vec<f32> {
        let mut logits = vec![f32::NEG_INFINITY; self.matrix.rows()];
        for column in 0..self.packed.outputs() {
            logits[self.token(column as u32) as usize] = self.product.value(row, column);
        }
        logits
    }

    fn token(&self, column: u32) -> TokenId {
        match &self.base {
            Some(base) if !self.counting => base.ids[column as usize],
            _ => column,
        }
    }

    fn count(&mut self, spans: &[&Span<'_>], picked: &[TokenId]) {
        let Some(base) = &self.base else { return };
        for (span, token) in spans.iter().zip(picked) {
            let own = &self.slots[span.slot];
            let inside = base.set.contains(*token) || own.ids.binary_search(token).is_ok();
            self.misses += u64::from(!inside);
            self.choices += 1;
        }
    }
}
