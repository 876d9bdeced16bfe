//! The output head: which token follows each row that samples.
//!
//! Where a shortlist is known, its rows of the head's matrix are scored, and those of the tokens
//! that a sequence's own prompt has; nothing else can be written. The highest logit is found on the
//! device: what comes back of a row is two numbers, or four, and all that is scored of it only
//! where the highest logit does not decide, as in a beam.

use candle_core::{D, DType, Device, Result, Tensor};
use rayon::prelude::*;

use super::layer::Linear;
use crate::generate::{
    Batch, Candidate, Picked, Sample, Sampling, TokenId, TokenSet, likeliest, next_token,
};

/// The head's matrix, as far as it is used.
pub struct Head {
    /// (columns, hidden): a row for each token that every sequence may write.
    scored: Linear,
    list: Option<List>,
    vocabulary: usize,
    device: Device,
}

/// A shortlist, and what sequences may write beyond it.
struct List {
    /// The token of each column.
    ids: Vec<TokenId>,
    set: TokenSet,
    /// (vocabulary, hidden), where rows are taken from.
    table: Tensor,
    /// What each slot's sequence may write beyond the list: tokens of its prompt, ascending.
    own: Vec<Vec<TokenId>>,
    /// Slot → the one whose `own` holds for it: that of its sequence, for a text of a beam.
    sequences: Vec<usize>,
    /// The same of all slots together; `None` where there is none.
    union: Option<Union>,
    /// Whether `union` is that of `own`.
    is_united: bool,
}

/// The tokens that any slot may write beyond the list.
struct Union {
    ids: Vec<TokenId>,
    scored: Linear,
    /// (slots, columns): 0 where the slot's sequence may write the token, minus infinity elsewhere.
    mask: Tensor,
}

/// The logits of the rows that sample, and the tokens that they are of.
struct Scores<'a> {
    /// (rows, columns).
    logits: Tensor,
    /// `None`: every column is the token of its number.
    ids: Option<&'a [TokenId]>,
}

impl Head {
    /// A head that scores all of the vocabulary.
    pub fn whole(scored: Linear, vocabulary: usize, device: &Device) -> Head {
        Head { scored, list: None, vocabulary, device: device.clone() }
    }

    /// A head that scores `ids`, which ascend, and the tokens of each prompt, of a matrix
    /// (vocabulary, hidden).
    pub fn shortlisted(table: Tensor, ids: &[TokenId]) -> Result<Head> {
        let (vocabulary, device) = (table.dim(0)?, table.device().clone());
        let scored = rows_of(&table, ids)?;
        let (set, ids) = (ids.iter().copied().collect(), ids.to_vec());
        let (own, sequences) = (Vec::new(), Vec::new());
        let list = List { ids, set, table, own, sequences, union: None, is_united: false };
        Ok(Head { scored, list: Some(list), vocabulary, device })
    }

    /// Logits over the whole vocabulary, (rows, vocabulary).
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        match &self.list {
            None => self.scored.forward(hidden),
            Some(list) => Linear::dense(list.table.clone()).forward(hidden),
        }
    }

    /// A sequence begins in `slot`, or has ended there.
    pub fn open(&mut self, slot: usize) {
        let Some(list) = &mut self.list else { return };
        list.make_room(slot);
        list.sequences[slot] = slot;
        if !list.own[slot].is_empty() {
            list.own[slot].clear();
            list.is_united = false;
        }
    }

    /// The text in `to` may write what the one in `from` may.
    pub fn fork(&mut self, from: usize, to: usize) {
        let Some(list) = &mut self.list else { return };
        list.make_room(to);
        list.sequences[to] = list.sequences[from];
    }

    /// The sequence in `slot` may write `tokens`, which it has read.
    pub fn allow(&mut self, slot: usize, tokens: &[TokenId]) {
        let Some(list) = &mut self.list else { return };
        let own = &mut list.own[list.sequences[slot]];
        for token in tokens {
            if !list.set.contains(*token)
                && let Err(place) = own.binary_search(token)
            {
                own.insert(place, *token);
                list.is_united = false;
            }
        }
    }

    /// Picks for each sampling span of `batch`; `hidden` has a row for each, in order.
    pub fn pick(&mut self, hidden: &Tensor, batch: &Batch<'_>) -> Result<Vec<Picked>> {
        if let Some(list) = &mut self.list
            && !list.is_united
        {
            list.union = list.unite()?;
            list.is_united = true;
        }
        let scores = self.score(hidden, batch)?;
        let samples: Vec<Sample<'_>> = batch.sampling().map(|(_, sample)| *sample).collect();
        let beams: Vec<usize> =
            (0..samples.len()).filter(|row| width_of(&samples[*row]).is_some()).collect();
        if beams.len() == samples.len() {
            // No row is decided by its highest logit.
            let found = self.of_beams(&scores, &beams, &samples)?;
            return Ok(found.into_iter().map(Picked::from).collect());
        }
        let best: Vec<Tensor> =
            scores.iter().map(|scores| highest(&scores.logits)).collect::<Result<_>>()?;
        let best: Vec<Vec<f32>> = Tensor::cat(&best, 1)?.to_vec2()?;
        let mut picked: Vec<Picked> = best.iter().map(|row| better(&scores, row).into()).collect();
        let undecided: Vec<usize> = samples
            .iter()
            .zip(&picked)
            .enumerate()
            .filter(|(_, (sample, picked))| {
                let allows = sample.filter.map(|filter| filter.after(sample.written));
                let is_refused =
                    picked.token().is_some_and(|token| allows.is_some_and(|allows| !allows(token)));
                width_of(sample).is_none() && (sample.sampling != Sampling::Greedy || is_refused)
            })
            .map(|(row, _)| row)
            .collect();
        let rows = self.whole_rows(&scores, &undecided)?;
        let pick = |(row, logits): (&usize, &Vec<f32>)| {
            let sample = samples[*row];
            next_token(logits, sample.sampling, sample.written, sample.filter)
        };
        let anew: Vec<Option<TokenId>> = undecided.par_iter().zip(&rows).map(pick).collect();
        undecided.iter().zip(anew).for_each(|(row, token)| picked[*row] = token.into());
        let of_beams = self.of_beams(&scores, &beams, &samples)?;
        beams.iter().zip(of_beams).for_each(|(row, found)| picked[*row] = found.into());
        Ok(picked)
    }

    /// The candidates of those rows that are of beams.
    fn of_beams(
        &self,
        scores: &[Scores<'_>],
        beams: &[usize],
        samples: &[Sample<'_>],
    ) -> Result<Vec<Vec<Candidate>>> {
        let logits = scores.iter().map(|scores| self.some_rows(&scores.logits, beams));
        let logits: Vec<Vec<Vec<f32>>> = logits.collect::<Result<_>>()?;
        let find = |(at, row): (usize, &usize)| {
            let sample = &samples[*row];
            let mut scored = Vec::new();
            for (Scores { ids, .. }, logits) in scores.iter().zip(&logits) {
                let token = |column: usize| ids.map_or(column as TokenId, |ids| ids[column]);
                let of_row = logits[at].iter().enumerate();
                let of_row = of_row.filter(|(_, logit)| **logit > f32::NEG_INFINITY);
                scored.extend(of_row.map(|(column, logit)| (token(column), *logit)));
            }
            let count = 2 * width_of(sample).unwrap_or(1);
            likeliest(&mut scored, count, sample.written, sample.filter)
        };
        Ok(beams.par_iter().enumerate().map(find).collect())
    }

    /// The logits of what every sequence may write, and of what each may write beyond that.
    fn score(&self, hidden: &Tensor, batch: &Batch<'_>) -> Result<Vec<Scores<'_>>> {
        let ids = self.list.as_ref().map(|list| &list.ids[..]);
        let mut scores = vec![Scores { logits: self.scored.forward(hidden)?, ids }];
        let union = self.list.as_ref().and_then(|list| list.union.as_ref());
        if let (Some(union), Some(list)) = (union, &self.list) {
            let slots = batch.sampling().map(|(span, _)| list.sequences[span.slot] as u32);
            let slots: Vec<u32> = slots.collect();
            let mask = union.mask.index_select(&Tensor::new(slots, &self.device)?, 0)?;
            let logits = (union.scored.forward(hidden)? + mask)?;
            scores.push(Scores { logits, ids: Some(&union.ids) });
        }
        Ok(scores)
    }

    /// Some rows of a matrix.
    fn some_rows(&self, matrix: &Tensor, rows: &[usize]) -> Result<Vec<Vec<f32>>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
        matrix.index_select(&Tensor::new(rows, &self.device)?, 0)?.to_vec2()
    }

    /// The logits of some rows over the whole vocabulary, minus infinity where none is computed.
    fn whole_rows(&self, scores: &[Scores<'_>], rows: &[usize]) -> Result<Vec<Vec<f32>>> {
        let mut whole = vec![vec![f32::NEG_INFINITY; self.vocabulary]; rows.len()];
        for Scores { logits, ids } in scores {
            let logits = self.some_rows(logits, rows)?;
            for (whole, logits) in whole.iter_mut().zip(logits) {
                match ids {
                    None => *whole = logits,
                    Some(ids) => {
                        ids.iter().zip(logits).for_each(|(id, logit)| whole[*id as usize] = logit);
                    }
                }
            }
        }
        Ok(whole)
    }
}

impl List {
    fn make_room(&mut self, slot: usize) {
        if self.own.len() <= slot {
            self.own.resize_with(slot + 1, Vec::new);
            self.sequences.extend(self.sequences.len()..=slot);
            self.is_united = false;
        }
    }

    /// What all slots may write beyond the list.
    fn unite(&self) -> Result<Option<Union>> {
        let mut ids: Vec<TokenId> = self.own.iter().flatten().copied().collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(None);
        }
        let mut mask = vec![f32::NEG_INFINITY; self.own.len() * ids.len()];
        for (own, row) in self.own.iter().zip(mask.chunks_exact_mut(ids.len())) {
            for id in own {
                row[ids.partition_point(|other| other < id)] = 0.0;
            }
        }
        let device = self.table.device();
        let mask = Tensor::from_vec(mask, (self.own.len(), ids.len()), device)?;
        Ok(Some(Union { scored: rows_of(&self.table, &ids)?, ids, mask }))
    }
}

/// How many texts the beam of a row has, if it is of one.
fn width_of(sample: &Sample<'_>) -> Option<usize> {
    match sample.sampling {
        Sampling::Beam { width } => Some(width),
        _ => None,
    }
}

/// The rows `ids` of a matrix.
fn rows_of(table: &Tensor, ids: &[TokenId]) -> Result<Linear> {
    Ok(Linear::dense(table.index_select(&Tensor::new(ids, table.device())?, 0)?))
}

/// Of each row of `logits` (rows, columns) the highest and its column, (rows, 2) in f32, in which
/// columns are exact below 2^24. Of equal ones it is the first on a CPU, and any on other devices.
fn highest(logits: &Tensor) -> Result<Tensor> {
    let column = logits.argmax_keepdim(D::Minus1)?;
    let highest = logits.gather(&column, D::Minus1)?;
    Tensor::cat(&[highest, column.to_dtype(DType::F32)?], 1)
}

/// The best token of a row, if its logit is a number: `best` has the highest logit and its column for each of
/// `scores`. Of equal ones it is the lowest.
fn better(scores: &[Scores<'_>], best: &[f32]) -> Option<TokenId> {
    let candidates = scores.iter().zip(best.chunks_exact(2)).map(|(scores, best)| {
        let column = best[1] as usize;
        (best[0], scores.ids.map_or(column as TokenId, |ids| ids[column]))
    });
    let best = candidates
        .filter(|(logit, _)| logit.is_finite())
        .reduce(|a, b| if b.0 > a.0 || (b.0 == a.0 && b.1 < a.1) { b } else { a });
    best.map(|(_, token)| token)
}
