//! Decides what every step computes: which sequences advance, by how many rows, in which slots.
//!
//! Integers only; no tensor is named here, so the same scheduler drives every engine and can be
//! tested exhaustively without weights. One step is: [`Scheduler::schedule`] hands out a
//! [`Batch`], the engine computes it and picks one token for every span that samples, and
//! [`Scheduler::commit`] takes these tokens in.
//!
//! A sequence has tokens that wait to be computed: its prompt at first (prefill), afterwards the
//! one token picked last (decode) or a forced label. All three are the same thing here, a
//! stretch of waiting tokens, and share the rows of a step: short stretches first, since they
//! are the sequences that write, then as much of the long ones as the row budget leaves.
//! A request reserves room for everything it can ever hold when it is admitted, so a step does not run
//! out of positions half way (a card's memory can be less than was thought: [`Scheduler::retreat`]);
//! a finished sequence is replaced in the very next step.

use std::collections::VecDeque;

mod beam;

use beam::Beam;

use super::{
    Batch, Beside, Candidate, Ending, Finished, Picked, Request, RequestId, Sample, Span, TokenId,
    Written,
};
use crate::{Error, Result, error::ErrorKind};

/// What bounds a step and the memory behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most slots of the KV cache: one for each sequence in flight, and one for each text of its beam.
    pub max_sequences: usize,
    /// Most rows (tokens) a step computes.
    pub rows_per_step: usize,
    /// Most rows of prompts beside sequences that write. The fewer, the sooner the first of them are
    /// finished, so that a run that is killed has kept something.
    pub prefill_rows: usize,
    /// Most positions of one sequence, the shared prefix included.
    pub max_context: usize,
    /// Most positions that all sequences in flight reserve together, shared prefix excluded.
    pub kv_positions: usize,
}

/// The requests that a step brought to an end.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Those whose fields are all written.
    pub finished: Vec<Finished>,
    /// Most positions of one of these.
    pub longest: usize,
    /// Those that nothing can be written for, since their logits are no numbers.
    pub lost: Vec<RequestId>,
}

/// The sequences in flight and the requests that wait for a slot.
#[derive(Debug)]
pub struct Scheduler {
    limits: Limits,
    prefix: Vec<TokenId>,
    waiting: VecDeque<Request>,
    /// Slot → the sequence that lives there.
    slots: Vec<Option<Sequence>>,
    /// Slot → whether a text of a beam lives there beside its sequence.
    lent: Vec<bool>,
    /// Slots in the order in which their sequences were admitted.
    admitted: Vec<usize>,
    /// Most sequences in flight, since there was no memory for more.
    most: usize,
    reserved_positions: usize,
    /// Slots given free since the last batch.
    closed: Vec<usize>,
    /// Whether there was no memory for the last batch.
    last_failed: bool,
    /// The spans of the step under way.
    planned: Vec<Planned>,
}

/// A span of the step under way.
#[derive(Debug, Clone, Copy)]
struct Planned {
    /// The slot of the sequence.
    slot: usize,
    /// Which text of its beam the row is of.
    text: Option<usize>,
    rows: usize,
    samples: bool,
}

/// A request in a slot.
#[derive(Debug)]
struct Sequence {
    request: Request,
    prefix_len: usize,
    capacity: usize,
    /// All tokens after the shared prefix: prompt, labels and what was written.
    context: Vec<TokenId>,
    /// How many of `context` the engine has computed.
    computed: usize,
    /// Where in `context` the field being written begins.
    field_start: usize,
    fields: Vec<Written>,
    /// The texts of the field being written, where a beam is searched.
    beam: Option<Beam>,
}

impl Scheduler {
    /// A scheduler without work. `prefix` is what every request's prompt is expected to begin with;
    /// the engine computes it once ([`super::Engine::set_prefix`]).
    pub fn new(limits: Limits, prefix: Vec<TokenId>) -> Self {
        let Limits { max_sequences, rows_per_step, prefill_rows, .. } = limits;
        assert!(max_sequences.min(rows_per_step).min(prefill_rows) > 0, "a step needs room");
        Scheduler {
            limits,
            prefix,
            waiting: VecDeque::new(),
            slots: (0..limits.max_sequences).map(|_| None).collect(),
            lent: vec![false; limits.max_sequences],
            admitted: Vec::new(),
            most: usize::MAX,
            reserved_positions: 0,
            closed: Vec::new(),
            last_failed: false,
            planned: Vec::new(),
        }
    }

    /// Queues a request; requests are admitted in the order in which they are pushed.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where the request could never run: it holds no field, an empty prompt,
    /// or needs more positions than a sequence may have.
    pub fn push(&mut self, request: Request) -> Result<()> {
        self.check(&request)?;
        self.waiting.push_back(request);
        Ok(())
    }

    /// Queues a request before all others that wait: for another attempt at something that was begun
    /// early, and would otherwise end alone long after the rest.
    ///
    /// # Errors
    /// As [`Scheduler::push`].
    pub fn push_first(&mut self, request: Request) -> Result<()> {
        self.check(&request)?;
        self.waiting.push_front(request);
        Ok(())
    }

    fn check(&self, request: &Request) -> Result<()> {
        let (width, needed) = (request.sampling.width(), request.max_positions());
        if request.sampling.slots() > self.slots.len() || width > self.limits.rows_per_step {
            let message = format!("request {}: a beam of {width} texts", request.id);
            return Err(Error::new(ErrorKind::Usage, message)
                .hint("take a narrower one, or more sequences at a time"));
        }
        let room = self.limits.kv_positions.saturating_sub(request.beside().positions);
        let most = self.limits.max_context.min(room);
        if needed > most {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("request {}: needs {needed} positions, a sequence has {most}", request.id),
            )
            .hint("shorten the prompt or the bounds of its fields, or use a longer context"));
        }
        if request.prompt.is_empty() || request.fields.is_empty() {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("request {}: a request needs a prompt and at least one field", request.id),
            ));
        }
        Ok(())
    }

    /// Requests that wait for a slot.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Plans the next step; `None` when nothing is left to do.
    pub fn schedule(&mut self) -> Option<Batch<'_>> {
        self.admit();
        self.plan();
        if self.planned.is_empty() {
            return None;
        }
        let (closed, last_failed) =
            (std::mem::take(&mut self.closed), std::mem::take(&mut self.last_failed));
        let mut batch = Batch { closed, last_failed, ..Batch::default() };
        for slot in self.planned.chunk_by(|a, b| a.slot == b.slot).map(|spans| spans[0].slot) {
            let sequence = self.slots[slot].as_ref().expect("planned slots hold a sequence");
            batch.forks.extend(sequence.beam.iter().flat_map(Beam::forks));
        }
        for &Planned { slot, text, rows, samples } in &self.planned {
            let sequence = self.slots[slot].as_ref().expect("planned slots hold a sequence");
            if let Some(text) = text {
                let text = sequence.beam().text(text);
                let first_row = batch.tokens.len();
                batch.tokens.extend(text.tokens.last());
                batch.spans.push(Span {
                    slot: text.slot,
                    capacity: sequence.prefix_len + sequence.capacity,
                    beside: Beside::default(),
                    prefix_len: sequence.prefix_len,
                    start: sequence.prefix_len + sequence.context.len() + text.tokens.len() - 1,
                    rows: first_row..batch.tokens.len(),
                    sample: Some(Sample { written: &text.tokens, ..sequence.sample() }),
                });
                continue;
            }
            let tokens = &sequence.context[sequence.computed..sequence.computed + rows];
            let first_row = batch.tokens.len();
            batch.tokens.extend_from_slice(tokens);
            batch.spans.push(Span {
                slot,
                capacity: sequence.prefix_len + sequence.capacity,
                beside: sequence.request.beside(),
                prefix_len: sequence.prefix_len,
                start: sequence.prefix_len + sequence.computed,
                rows: first_row..batch.tokens.len(),
                sample: samples.then(|| sequence.sample()),
            });
        }
        Some(batch)
    }

    /// How many sequences write a token in the step under way; one whose beam is searched writes one.
    pub(super) fn writing(&self) -> usize {
        let sequences = self.planned.chunk_by(|a, b| a.slot == b.slot);
        sequences.filter(|spans| spans[0].samples).count()
    }

    /// Takes in what the engine picked for each sampling span of the batch, in order, and returns the requests
    /// that are over with it.
    ///
    /// # Panics
    /// When that is not as much as there are sampling spans, or of another kind than they sample: an engine's
    /// bug.
    pub fn commit(&mut self, picked: &[Picked]) -> Committed {
        let planned = std::mem::take(&mut self.planned);
        let mut picked = picked;
        let mut committed = Committed::default();
        for spans in planned.chunk_by(|a, b| a.slot == b.slot) {
            let slot = spans[0].slot;
            let sequence = self.slots[slot].as_mut().expect("planned slots hold a sequence");
            sequence.beam.iter_mut().for_each(Beam::has_forked);
            if spans[0].text.is_none() {
                sequence.computed += spans[0].rows;
            }
            if !spans[0].samples {
                continue;
            }
            let of_spans = picked.split_off(..spans.len());
            let of_spans = of_spans.expect("something is picked for every sampling span");
            let is_finished = match &sequence.beam {
                Some(_) => {
                    let found: Option<Vec<&[Candidate]>> =
                        of_spans.iter().map(candidates_of).collect();
                    found.map(|found| sequence.widen(&found))
                }
                None => token_of(&of_spans[0]).map(|token| sequence.write(token)),
            };
            match is_finished {
                Some(true) => {
                    let positions = sequence.prefix_len + sequence.capacity;
                    committed.longest = committed.longest.max(positions);
                    committed.finished.push(self.release(slot));
                }
                Some(false) => {}
                None => committed.lost.push(self.take(slot).request.id),
            }
        }
        assert!(picked.is_empty(), "more is picked than there are sampling spans");
        committed
    }

    /// Sends the sequences in flight back to the front of the queue, since there was no memory for the step that
    /// was planned, and admits half as many at a time from now on: those that stayed would keep memory that they
    /// share with the others. They begin anew, and write what they would have written. `closed` are the slots
    /// that the step was to close.
    ///
    /// How many there are at a time; `None`, and nothing changes, where only one is in flight.
    pub fn retreat(&mut self, closed: &[usize]) -> Option<usize> {
        let left = self.admitted.len() / 2;
        if left == 0 {
            return None;
        }
        self.planned.clear();
        self.last_failed = true;
        self.closed.extend(closed);
        for &slot in self.admitted.clone().iter().rev() {
            let request = self.take(slot).request;
            self.waiting.push_front(request);
        }
        self.most = left;
        Some(left)
    }

    /// Drops the only sequence in flight, for which there was no memory, and admits as many at a time as
    /// there are slots for again; `closed` are the slots that the step was to close.
    ///
    /// # Panics
    /// When another number is in flight.
    pub fn give_up(&mut self, closed: &[usize]) -> RequestId {
        let [slot] = self.admitted[..] else { panic!("one sequence in flight") };
        self.planned.clear();
        self.last_failed = true;
        self.closed.extend(closed);
        self.most = usize::MAX;
        self.take(slot).request.id
    }

    /// Fills free slots from the queue, in order, as far as the reserved positions allow.
    fn admit(&mut self) {
        while let Some(request) = self.waiting.front() {
            let count = request.sampling.slots();
            let is_free = |slot: &usize| self.slots[*slot].is_none() && !self.lent[*slot];
            // Counted before there is a list: a step that admits nothing allocates nothing.
            let is_full = (0..self.slots.len()).filter(is_free).take(count).count() < count;
            if is_full || self.admitted.len() >= self.most {
                return;
            }
            let mut free = (0..self.slots.len()).filter(is_free).take(count).collect::<Vec<_>>();
            let prefix_len = if request.prompt.starts_with(&self.prefix)
                && request.prompt.len() > self.prefix.len()
            {
                self.prefix.len()
            } else {
                0
            };
            let capacity = request.max_positions() - prefix_len;
            let reserved = capacity + request.beside().positions;
            if self.reserved_positions + reserved > self.limits.kv_positions {
                return;
            }
            let request = self.waiting.pop_front().expect("the request just seen");
            self.reserved_positions += reserved;
            let slot = free.remove(0);
            free.iter().for_each(|slot| self.lent[*slot] = true);
            let capacity_in_all = prefix_len + capacity;
            let beam = (!free.is_empty()).then(|| Beam::new(slot, free, capacity_in_all));
            self.slots[slot] = Some(Sequence::new(request, prefix_len, capacity, beam));
            self.admitted.push(slot);
        }
    }

    /// Shares the rows of a step out: first every stretch that is short, then the long ones.
    fn plan(&mut self) {
        /// Waiting tokens up to this many count as writing (a token, or a label and a token),
        /// not as prefill; labels are three or four tokens long.
        const SHORT: usize = 8;
        let mut rows_left = self.limits.rows_per_step;
        self.planned.clear();
        for short in [true, false] {
            if !short && !self.planned.is_empty() {
                rows_left = rows_left.min(self.limits.prefill_rows);
            }
            for &slot in &self.admitted {
                let sequence = self.slots[slot].as_ref().expect("admitted slots hold a sequence");
                let texts = sequence.beam.as_ref().map_or(0, Beam::texts);
                if texts > 0 {
                    if short && texts <= rows_left {
                        let text =
                            |text| Planned { slot, text: Some(text), rows: 1, samples: true };
                        self.planned.extend((0..texts).map(text));
                        rows_left -= texts;
                    }
                    continue;
                }
                let waiting = sequence.context.len() - sequence.computed;
                let rows = waiting.min(rows_left);
                if rows > 0 && (waiting <= SHORT) == short {
                    self.planned.push(Planned { slot, text: None, rows, samples: rows == waiting });
                    rows_left -= rows;
                }
            }
        }
    }

    /// Takes the sequence of `slot` out.
    fn take(&mut self, slot: usize) -> Sequence {
        let sequence = self.slots[slot].take().expect("only a living sequence is taken out");
        self.admitted.retain(|&other| other != slot);
        self.closed.push(slot);
        for &slot in sequence.beam.iter().flat_map(Beam::slots) {
            self.lent[slot] = false;
            self.closed.push(slot);
        }
        self.reserved_positions -= sequence.capacity + sequence.request.beside().positions;
        sequence
    }

    fn release(&mut self, slot: usize) -> Finished {
        let sequence = self.take(slot);
        Finished {
            id: sequence.request.id,
            prompt_tokens: sequence.request.prompt.len(),
            fields: sequence.fields,
        }
    }
}

/// What was picked for a text of a beam; `None` where it is nothing.
fn candidates_of(picked: &Picked) -> Option<&[Candidate]> {
    match picked {
        Picked::Likeliest(found) => Some(found),
        Picked::Nothing => None,
        Picked::Token(_) => panic!("candidates are picked for every text of a beam"),
    }
}

/// What was picked for a sequence that writes one text; `None` where it is nothing.
fn token_of(picked: &Picked) -> Option<TokenId> {
    match picked {
        Picked::Token(token) => Some(*token),
        Picked::Nothing => None,
        Picked::Likeliest(_) => panic!("a token is picked for every other sequence"),
    }
}

impl Sequence {
    fn new(request: Request, prefix_len: usize, capacity: usize, beam: Option<Beam>) -> Self {
        let mut context = Vec::with_capacity(capacity);
        context.extend_from_slice(&request.prompt[prefix_len..]);
        context.extend_from_slice(&request.fields[0].label);
        let field_start = context.len();
        let fields = Vec::with_capacity(request.fields.len());
        Sequence { request, prefix_len, capacity, context, computed: 0, field_start, fields, beam }
    }

    fn beam(&self) -> &Beam {
        self.beam.as_ref().expect("texts are of a beam")
    }

    /// Takes in the candidates of each text of the beam, or of the beginning of a field; true when that
    /// ended the last field.
    fn widen(&mut self, candidates: &[&[Candidate]]) -> bool {
        let field = &self.request.fields[self.fields.len()];
        let beam = self.beam.as_mut().expect("candidates are of a beam");
        let before = self.prefix_len + self.context.len();
        let Some(best) = beam.widen(candidates, field, before) else { return false };
        self.computed += best.computed;
        self.context.extend_from_slice(&best.tokens);
        self.end_field(best.stop)
    }

    fn sample(&self) -> Sample<'_> {
        let field = self.request.fields.get(self.fields.len());
        Sample {
            sampling: self.request.sampling,
            written: &self.context[self.field_start..],
            filter: field.and_then(|field| field.filter.as_deref()),
        }
    }

    /// Takes in one picked token; true when it ended the last field.
    fn write(&mut self, token: TokenId) -> bool {
        let field = &self.request.fields[self.fields.len()];
        let stopped = field.stop.contains(token);
        if !stopped {
            self.context.push(token);
        }
        let length = self.context.len() - self.field_start;
        if !stopped && length < field.max_tokens {
            return false;
        }
        self.end_field(stopped.then_some(token))
    }

    /// Ends the field that stands in the context, by the token `stop` where one ended it; true when it was
    /// the last.
    fn end_field(&mut self, stop: Option<TokenId>) -> bool {
        let mut tokens = self.context[self.field_start..].to_vec();
        // The token that stopped the field can carry text before its line break.
        tokens.extend(stop);
        let ending = if stop.is_some() { Ending::Stopped } else { Ending::Bound };
        self.fields.push(Written { tokens, ending });
        let Some(next) = self.request.fields.get(self.fields.len()) else { return true };
        self.context.extend_from_slice(&next.label);
        if next.label.is_empty() {
            // Something has to be read before the next token is picked.
            self.context.extend(stop);
        }
        self.field_start = self.context.len();
        false
    }
}

#[cfg(test)]
mod tests;
