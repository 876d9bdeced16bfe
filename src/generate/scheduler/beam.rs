//! Beam search: the likeliest texts of a field side by side, each in a slot of its own.
//!
//! Of all texts that those of the last step can become, the likeliest go on. One that reaches the field's end is
//! kept; the field is over once as many have ended as the beam is wide, or none that goes on is likelier, a
//! token, than the best of them. What follows is read behind that one alone, by the sequence's own slot.

use super::super::{Candidate, Field, Fork, TokenId};

/// The texts of one sequence.
#[derive(Debug)]
pub(super) struct Beam {
    /// The sequence's own slot, and those beside it.
    slots: Vec<usize>,
    /// Which of them hold the prompt.
    opened: Vec<bool>,
    prefix_len: usize,
    capacity: usize,
    /// Positions of the prompt, which all slots that are open have in common.
    prompt: usize,
    texts: Vec<Text>,
    ended: Vec<Ended>,
    forks: Vec<Fork>,
}

/// A text that goes on.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) slot: usize,
    /// What it holds of the field, one token at least, of which the last is not computed yet.
    pub(super) tokens: Vec<TokenId>,
    log_probability: f64,
}

/// A text that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) tokens: Vec<TokenId>,
    /// What ended it; nothing where it came to the field's bound.
    pub(super) stop: Option<TokenId>,
    /// Its log probability a token, what ended it included.
    score: f64,
}

/// A way on for one of the texts.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// The text, or none at the beginning of a field.
    text: Option<usize>,
    token: TokenId,
    log_probability: f64,
}

impl Beam {
    /// A beam in `slots`, for sequences of `capacity` positions, whose prompt is a prefix that is shared and
    /// `context` tokens.
    pub(super) fn new(
        slots: Vec<usize>,
        prefix_len: usize,
        capacity: usize,
        context: usize,
    ) -> Beam {
        let opened = (0..slots.len()).map(|index| index == 0).collect();
        let prompt = prefix_len + context;
        let (texts, ended, forks) = (Vec::new(), Vec::new(), Vec::new());
        Beam { slots, opened, prefix_len, capacity, prompt, texts, ended, forks }
    }

    /// How many texts go on; none at the beginning of a field.
    pub(super) fn texts(&self) -> usize {
        self.texts.len()
    }

    pub(super) fn text(&self, index: usize) -> &Text {
        &self.texts[index]
    }

    /// The slots beside the sequence's own.
    pub(super) fn lent(&self) -> &[usize] {
        &self.slots[1..]
    }

    /// What is to be copied before the next step; a step that is asked again copies it again.
    pub(super) fn forks(&self) -> &[Fork] {
        &self.forks
    }

    /// Goes on with the likeliest of all candidates, those of each text, or of the beginning of a field;
    /// `context` tokens stand before the field, the shared prefix excluded. The best text where the field is over.
    pub(super) fn widen(
        &mut self,
        candidates: &[&Vec<Candidate>],
        field: &Field,
        context: usize,
    ) -> Option<Ended> {
        self.forks.clear();
        let width = self.slots.len();
        let texts = (0..self.texts.len()).map(Some).chain([None]);
        let mut steps: Vec<Step> = Vec::new();
        for (text, candidates) in texts.zip(candidates) {
            let before = text.map_or(0.0, |text| self.texts[text].log_probability);
            steps.extend(candidates.iter().map(|candidate| Step {
                text,
                token: candidate.token,
                log_probability: before + candidate.log_probability,
            }));
        }
        // The sort is stable: of equal ones the first text's and the first candidate.
        steps.sort_by(|a, b| b.log_probability.total_cmp(&a.log_probability));
        let mut going_on = Vec::new();
        for (rank, step) in steps.into_iter().enumerate() {
            let length = self.length(step.text) + 1;
            let is_end = field.stop.contains(step.token);
            if !is_end && length < field.max_tokens {
                if going_on.len() < width {
                    going_on.push(step);
                }
            } else if rank < width {
                let mut tokens = self.tokens(step.text);
                tokens.extend((!is_end).then_some(step.token));
                let stop = is_end.then_some(step.token);
                let score = step.log_probability / length as f64;
                self.ended.push(Ended { tokens, stop, score });
            }
        }
        let best = self.ended.iter().map(|ended| ended.score).fold(f64::NEG_INFINITY, f64::max);
        let is_likelier =
            |step: &Step| step.log_probability / (self.length(step.text) + 1) as f64 > best;
        if self.ended.len() >= width || !going_on.iter().any(is_likelier) {
            self.texts.clear();
            let at = self.ended.iter().position(|ended| ended.score == best)?;
            let ended = std::mem::take(&mut self.ended);
            return ended.into_iter().nth(at);
        }
        self.go_on(&going_on, self.prefix_len + context);
        None
    }

    /// Gives each of `steps` a slot: the first one of a text has the text's own, the others one that nobody goes
    /// on with. `before` positions stand before the field.
    fn go_on(&mut self, steps: &[Step], before: usize) {
        let parent = |step: &Step| step.text.map_or(self.slots[0], |text| self.texts[text].slot);
        let mut taken: Vec<usize> = Vec::new();
        let mut kept = Vec::new();
        for step in steps {
            let slot = Some(parent(step)).filter(|slot| !taken.contains(slot));
            taken.extend(slot);
            kept.push(slot);
        }
        let mut texts = Vec::new();
        for (step, kept) in steps.iter().zip(kept) {
            let mut tokens = self.tokens(step.text);
            let positions = before + tokens.len();
            let slot = kept.unwrap_or_else(|| {
                let is_free = |slot: &usize| !taken.contains(slot);
                let index = self.slots.iter().position(is_free).expect("a slot for each text");
                let slot = self.slots[index];
                taken.push(slot);
                let opens = !std::mem::replace(&mut self.opened[index], true);
                self.forks.push(Fork {
                    from: step.text.map_or(self.slots[0], |text| self.texts[text].slot),
                    to: slot,
                    opens,
                    capacity: self.capacity,
                    prefix_len: self.prefix_len,
                    shared: if opens { self.prefix_len } else { self.prompt },
                    positions,
                });
                slot
            });
            tokens.push(step.token);
            texts.push(Text { slot, tokens, log_probability: step.log_probability });
        }
        self.texts = texts;
    }

    fn length(&self, text: Option<usize>) -> usize {
        text.map_or(0, |text| self.texts[text].tokens.len())
    }

    fn tokens(&self, text: Option<usize>) -> Vec<TokenId> {
        text.map_or_else(Vec::new, |text| self.texts[text].tokens.clone())
    }
}
