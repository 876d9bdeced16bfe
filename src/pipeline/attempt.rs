//! The ladder of attempts at one paper, and the best of what they wrote.

use crate::generate::Sampling;
use crate::hash;
use crate::paper::Paper;
use crate::summary::{Field, Flaw, FlawKind, Severity, Summary};

/// Most attempts at one paper.
pub const MAX_TRIES: u32 = 3;

/// What was tried for one paper so far.
///
/// The rungs: greedy, or the likeliest of a beam; greedy with a penalty on repetition, which ends most loops and leaves
/// other texts nearly as they were; then a draw, which is the last way out of whatever the
/// greedy texts ran into. Where a text is only lean, both other rungs are draws: it has nothing
/// to penalise. Each is the same on every run.
///
/// Of each field the best text of all attempts is kept: a one-liner that ran into its bound costs the
/// paper nothing of what a beam found for its paragraph.
#[derive(Debug)]
pub(super) struct Attempts {
    /// How tokens are picked in the first attempt.
    first: Sampling,
    seed: u64,
    tries: u32,
    best: Option<(Summary, Vec<Flaw>)>,
}

impl Attempts {
    pub(super) fn new(paper: &Paper, first: Sampling) -> Self {
        Attempts { first, seed: seed(paper), tries: 0, best: None }
    }

    /// How tokens are picked in the attempt that comes next.
    pub(super) fn next_sampling(&self) -> Sampling {
        let is_lean = self.best.as_ref().is_some_and(|(_, flaws)| wrong(flaws) == 0);
        match self.tries {
            0 => self.first,
            1 if !is_lean => Sampling::Penalised { penalty: 1.15, window: 64 },
            tries => Sampling::Sampled {
                temperature: 0.7,
                top_k: 40,
                seed: self.seed.wrapping_add(u64::from(tries)),
            },
        }
    }

    /// Takes in the outcome of an attempt, field by field: what is wrong with one does not depend on
    /// the others. Of equally good texts the first stays.
    pub(super) fn add(&mut self, mut summary: Summary, flaws: Vec<Flaw>) {
        self.tries += 1;
        let Some((best, best_flaws)) = &mut self.best else {
            self.best = Some((summary, flaws));
            return;
        };
        for field in Field::ALL {
            let is_of_field = |flaw: &Flaw| flaw.field == Some(field);
            let (new, old): (Vec<_>, Vec<_>) = (
                flaws.iter().filter(|flaw| is_of_field(flaw)).cloned().collect(),
                best_flaws.iter().filter(|flaw| is_of_field(flaw)).cloned().collect(),
            );
            if badness(&new) < badness(&old) {
                *best.field_mut(field) = std::mem::take(summary.field_mut(field));
                best_flaws.retain(|flaw| !is_of_field(flaw));
                best_flaws.extend(new);
            }
        }
    }

    /// Whether what there is is good enough, or the last attempt was made.
    pub(super) fn is_over(&self) -> bool {
        let is_good = self.best.as_ref().is_some_and(|(_, flaws)| flaws.is_empty());
        is_good || self.tries >= MAX_TRIES
    }

    /// Whether no attempt was made yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.tries == 0
    }

    /// How often the paper was tried again.
    pub(super) fn retries(&self) -> u32 {
        self.tries.saturating_sub(1)
    }

    /// The best text of each field, and what is still wrong with them.
    pub(super) fn into_best(self) -> Option<(Summary, Vec<Flaw>)> {
        self.best
    }
}

/// Less is better: a missing text counts first, then all that is wrong, then lost numbers.
fn badness(flaws: &[Flaw]) -> (usize, usize, usize) {
    let missing = flaws.iter().filter(|flaw| flaw.kind == FlawKind::Missing).count();
    let lost = flaws.iter().filter(|flaw| flaw.kind == FlawKind::LostNumbers);
    (missing, wrong(flaws), lost.map(|flaw| flaw.detail.len()).sum())
}

fn wrong(flaws: &[Flaw]) -> usize {
    flaws.iter().filter(|flaw| flaw.severity() == Severity::Wrong).count()
}

/// From what the model reads of the paper, so that a draw is the same in every run.
fn seed(paper: &Paper) -> u64 {
    hash::first_u64(format!("{}\0{}", paper.plain_title, paper.plain_abstract))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::Field;

    fn attempts() -> Attempts {
        let paper = Paper { plain_title: "A title".into(), ..Paper::default() };
        Attempts::new(&paper, Sampling::Greedy)
    }

    fn lost(numbers: usize) -> Flaw {
        Flaw::new(FlawKind::LostNumbers, Field::Paragraph, vec!["7"; numbers])
    }

    fn written(text: &str) -> Summary {
        Summary { zh_title: text.into(), zh_tldr: text.into(), zh_abstract: text.into() }
    }

    #[test]
    fn three_rungs_and_no_more() {
        let mut attempts = attempts();
        let flaw = || vec![Flaw::plain(FlawKind::Unfinished, Field::Paragraph)];
        assert_eq!(attempts.next_sampling(), Sampling::Greedy);
        attempts.add(written("1"), flaw());
        assert!(
            matches!(attempts.next_sampling(), Sampling::Penalised { .. }) && !attempts.is_over()
        );
        attempts.add(written("2"), flaw());
        assert!(
            matches!(attempts.next_sampling(), Sampling::Sampled { .. }) && !attempts.is_over()
        );
        attempts.add(written("3"), flaw());
        assert!(attempts.is_over());
        assert_eq!(attempts.retries(), 2);
        assert_eq!(attempts.into_best().unwrap().0, written("1"), "the first of equals");
    }

    #[test]
    fn what_was_well_written_stays_where_another_field_is_tried_again() {
        let unfinished = |field| Flaw::plain(FlawKind::Unfinished, field);
        let mut attempts = attempts();
        attempts.add(written("1"), vec![unfinished(Field::Tldr), lost(2)]);
        attempts.add(written("2"), vec![unfinished(Field::Title), unfinished(Field::Paragraph)]);
        assert!(!attempts.is_over(), "the first paragraph is lean, the second unfinished");
        attempts.add(written("3"), vec![unfinished(Field::Title), lost(1)]);
        let [zh_title, zh_tldr, zh_abstract] = ["1", "2", "3"].map(String::from);
        let best = Summary { zh_title, zh_tldr, zh_abstract };
        assert_eq!(attempts.into_best().unwrap(), (best, vec![lost(1)]));
    }

    #[test]
    fn two_attempts_that_are_clean_together_are_enough() {
        let mut attempts = attempts();
        attempts.add(written("1"), vec![Flaw::plain(FlawKind::Unfinished, Field::Tldr)]);
        attempts.add(written("2"), vec![Flaw::plain(FlawKind::Missing, Field::Title)]);
        assert!(attempts.is_over());
        let best = Summary { zh_tldr: "2".into(), ..written("1") };
        assert_eq!(attempts.into_best().unwrap(), (best, vec![]));
    }

    #[test]
    fn the_best_text_is_there_then_has_the_fewest_flaws() {
        let ranked = [
            vec![],
            vec![lost(2)],
            vec![lost(3)],
            vec![Flaw::plain(FlawKind::Unfinished, Field::Tldr)],
            vec![Flaw::plain(FlawKind::Unfinished, Field::Tldr), lost(2)],
            vec![
                Flaw::plain(FlawKind::NotChinese, Field::Tldr),
                Flaw::plain(FlawKind::Unfinished, Field::Tldr),
            ],
            vec![Flaw::plain(FlawKind::Missing, Field::Tldr)],
        ];
        assert!(ranked.is_sorted_by(|a, b| badness(a) < badness(b)));
    }

    #[test]
    fn a_lean_text_is_drawn_again_and_kept_unless_a_draw_is_better() {
        let mut attempts = attempts();
        attempts.add(written("1"), vec![lost(3)]);
        let Sampling::Sampled { seed: first, .. } = attempts.next_sampling() else {
            panic!("no draw")
        };
        attempts.add(written("2"), vec![Flaw::plain(FlawKind::Unfinished, Field::Paragraph)]);
        let Sampling::Sampled { seed: second, .. } = attempts.next_sampling() else {
            panic!("no draw")
        };
        assert_ne!(first, second);
        attempts.add(written("3"), vec![lost(2)]);
        assert!(attempts.is_over());
        assert_eq!(attempts.into_best().unwrap().0.zh_abstract, "3");
    }

    #[test]
    fn seeds_tell_papers_apart() {
        let of = |title: &str, abstract_text: &str| {
            seed(&Paper {
                plain_title: title.into(),
                plain_abstract: abstract_text.into(),
                ..Paper::default()
            })
        };
        assert_eq!(of("a", "b"), of("a", "b"));
        assert_ne!(of("ab", ""), of("a", "b"));
    }
}
