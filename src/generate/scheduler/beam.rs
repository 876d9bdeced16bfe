//! Beam search: the likeliest texts of a field side by side, each in a slot of its own.
//!
//! Of all texts that those of the last step can become, the likeliest go on. Two that have come to the same
//! words go on as one, so that the beam is not filled with what was decided long ago: recombination (Zhang et
//! al. 2018, "Exploring Recombination for Efficient Decoding of Neural Machine Translation"). One that is far
//! behind does not go on: threshold pruning (Freitag and Al-Onaizan 2017, "Beam Search Strategies for Neural
//! Machine Translation"). One that reaches the field's end is kept; the field is over once as many have ended as
//! the beam is wide, or none that goes on is likelier, a token, than the best of them.
//!
//! The sequence's own slot holds what stands before the field, and behind it the best text that has ended, so
//! that nothing is read twice.

use super::super::sampling::PRUNED_BELOW;
use super::super::{Candidate, Field, Fork, TokenId};

/// Texts that end with as many of the same tokens go on in the same way.
const SAME_TOKENS: usize = 6;
/// By how many tokens one of them may have come there sooner.
const MOST_AHEAD: usize = 6;

/// The texts of one sequence.
#[derive(Debug)]
pub(super) struct Beam {
    /// The sequence's own slot.
    own: usize,
    /// Those of its texts.
    slots: Vec<usize>,
    /// Most positions of the sequence, the shared prefix included.
    capacity: usize,
    texts: Vec<Text>,
    /// The best text that has ended, and how many have.
    best: Option<Ended>,
    ended: usize,
    forks: Vec<Fork>,
}

/// A text that goes on.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) slot: usize,
    /// What it holds of the field, one token at least, of which the last is not computed yet.
    pub(super) tokens: Vec<TokenId>,
    /// The log probability up to each of them.
    totals: Vec<f64>,
}

/// A text that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) tokens: Vec<TokenId>,
    /// How many of them the sequence's own slot holds.
    pub(super) computed: usize,
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
    /// A beam of a sequence of `capacity` positions in slot `own`, as wide as there are `slots` beside it.
    pub(super) fn new(own: usize, slots: Vec<usize>, capacity: usize) -> Beam {
        let (texts, best, ended, forks) = (Vec::new(), None, 0, Vec::new());
        Beam { own, slots, capacity, texts, best, ended, forks }
    }

    /// How many texts go on; none at the beginning of a field.
    pub(super) fn texts(&self) -> usize {
        self.texts.len()
    }

    pub(super) fn text(&self, index: usize) -> &Text {
        &self.texts[index]
    }

    /// The slots beside the sequence's own.
    pub(super) fn slots(&self) -> &[usize] {
        &self.slots
    }

    /// What is to be copied before the next step that has rows of the sequence.
    pub(super) fn forks(&self) -> &[Fork] {
        &self.forks
    }

    /// That step is over.
    pub(super) fn has_forked(&mut self) {
        self.forks.clear();
    }

    /// Goes on with the likeliest of all candidates, those of each text, or of the beginning of a field, before
    /// which stand `before` positions. The best text where the field is over.
    pub(super) fn widen(
        &mut self,
        candidates: &[&[Candidate]],
        field: &Field,
        before: usize,
    ) -> Option<Ended> {
        let width = self.slots.len();
        let going_on = self.end_texts(self.steps(candidates), field, before);
        let best = self.best.as_ref().map_or(f64::NEG_INFINITY, |best| best.score);
        let is_likelier =
            |step: &Step| step.log_probability / (self.length(step.text) + 1) as f64 > best;
        if self.ended >= width || !going_on.iter().any(is_likelier) {
            self.texts.clear();
            self.ended = 0;
            return self.best.take();
        }
        self.go_on(&going_on, before, before + field.max_tokens);
        None
    }

    /// All ways on, likeliest first.
    fn steps(&self, candidates: &[&[Candidate]]) -> Vec<Step> {
        let texts = (0..self.texts.len()).map(Some).chain([None]);
        let mut steps: Vec<Step> = Vec::new();
        for (text, candidates) in texts.zip(candidates) {
            let before = text.and_then(|text| self.texts[text].totals.last()).unwrap_or(&0.0);
            steps.extend(candidates.iter().map(|candidate| Step {
                text,
                token: candidate.token,
                log_probability: before + candidate.log_probability,
            }));
        }
        // The sort is stable: of equal ones the first text's and the first candidate.
        steps.sort_by(|a, b| b.log_probability.total_cmp(&a.log_probability));
        let least = steps.first().map_or(0.0, |first| first.log_probability) - PRUNED_BELOW;
        steps.retain(|step| step.log_probability >= least);
        steps
    }

    /// Keeps the best of those of `steps` that end their text; the likeliest of the others.
    fn end_texts(&mut self, steps: Vec<Step>, field: &Field, before: usize) -> Vec<Step> {
        let width = self.slots.len();
        let mut going_on = Vec::new();
        let mut best_slot = None;
        for (rank, step) in steps.into_iter().enumerate() {
            let length = self.length(step.text) + 1;
            let is_end = field.stop.contains(step.token);
            if !is_end && length < field.max_tokens {
                if going_on.iter().any(|other| self.is_outdone(&step, other)) {
                    continue;
                }
                going_on.retain(|other| !self.is_outdone(other, &step));
                if going_on.len() < width {
                    going_on.push(step);
                }
            } else if rank < width {
                self.ended += 1;
                let score = step.log_probability / length as f64;
                if self.best.as_ref().is_none_or(|best| score > best.score) {
                    let mut tokens = self.tokens(step.text);
                    let computed = tokens.len();
                    tokens.extend((!is_end).then_some(step.token));
                    let stop = is_end.then_some(step.token);
                    self.best = Some(Ended { tokens, computed, stop, score });
                    best_slot = Some(step.text.map(|text| self.texts[text].slot));
                }
            }
        }
        // One that has ended with its first token is not computed, and the own slot is where it was.
        if let (Some(slot), Some(best)) = (best_slot, &self.best) {
            let (to, capacity) = (self.own, self.capacity);
            let positions = before + best.computed;
            self.forks.extend(slot.map(|from| Fork { from, to, positions, capacity }));
        }
        going_on
    }

    /// Gives each of `steps` a slot of at most `capacity` positions: the first one of a text has the text's own,
    /// the others one that nobody goes on with. `before` positions stand before the field.
    fn go_on(&mut self, steps: &[Step], before: usize, capacity: usize) {
        let parent = |step: &Step| step.text.map_or(self.own, |text| self.texts[text].slot);
        let mut taken: Vec<usize> = vec![self.own];
        let mut kept = Vec::new();
        for step in steps {
            let slot = Some(parent(step)).filter(|slot| !taken.contains(slot));
            taken.extend(slot);
            kept.push(slot);
        }
        let mut texts = Vec::new();
        for (step, kept) in steps.iter().zip(kept) {
            let mut tokens = self.tokens(step.text);
            let slot = kept.unwrap_or_else(|| {
                let is_free = |slot: &&usize| !taken.contains(slot);
                let slot = *self.slots.iter().find(is_free).expect("a slot for each text");
                taken.push(slot);
                let positions = before + tokens.len();
                self.forks.push(Fork { from: parent(step), to: slot, positions, capacity });
                slot
            });
            tokens.push(step.token);
            let of_parent = step.text.map(|text| &self.texts[text].totals);
            let mut totals = of_parent.cloned().unwrap_or_default();
            totals.push(step.log_probability);
            texts.push(Text { slot, tokens, totals });
        }
        self.texts = texts;
    }

    /// Whether `step` has come to the same words as `other`, and is not likelier, a token, up to there. Where
    /// it came to them before the two parted, that is the past of both: a text that repeats itself has not come
    /// to the words of one that does not.
    fn is_outdone(&self, step: &Step, other: &Step) -> bool {
        let length = self.length(step.text) + 1;
        let parted = |ahead: usize| {
            ahead == 0
                || (0..length - ahead).any(|at| self.token(step, at) != self.token(other, at))
        };
        let is_same = |ahead: usize, behind: usize| {
            (1..=SAME_TOKENS).all(|back| {
                self.token(step, length - ahead - back) == self.token(other, length - behind - back)
            })
        };
        let mean = |step: &Step, length: usize| self.total(step, length - 1) / length as f64;
        let most = MOST_AHEAD.min(length.saturating_sub(SAME_TOKENS));
        let mut pairs = (0..=most).flat_map(|shift| [(shift, 0), (0, shift)]);
        let met = pairs.find(|(ahead, behind)| {
            length >= SAME_TOKENS && is_same(*ahead, *behind) && parted(*ahead.max(behind))
        });
        met.is_some_and(|(ahead, behind)| {
            mean(step, length - ahead) <= mean(other, length - behind)
        })
    }

    /// The token of `step` at a place of the field.
    fn token(&self, step: &Step, place: usize) -> TokenId {
        let of_text = step.text.and_then(|text| self.texts[text].tokens.get(place));
        of_text.copied().unwrap_or(step.token)
    }

    /// Its log probability up to there.
    fn total(&self, step: &Step, place: usize) -> f64 {
        let of_text = step.text.and_then(|text| self.texts[text].totals.get(place));
        of_text.copied().unwrap_or(step.log_probability)
    }

    fn length(&self, text: Option<usize>) -> usize {
        text.map_or(0, |text| self.texts[text].tokens.len())
    }

    fn tokens(&self, text: Option<usize>) -> Vec<TokenId> {
        text.map_or_else(Vec::new, |text| self.texts[text].tokens.clone())
    }
}
