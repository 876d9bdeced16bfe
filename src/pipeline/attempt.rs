//! The ladder of attempts at one paper, and which of them is the best.

use sha2::{Digest, Sha256};

use crate::generate::Sampling;
use crate::paper::Paper;
use crate::summary::{Flaw, FlawKind, Severity, Summary};

/// Most attempts at one paper.
pub const MAX_TRIES: u32 = 3;

/// What was tried for one paper so far.
///
/// The rungs: greedy, or the likeliest of a beam; greedy with a penalty on repetition, which ends most loops and leaves
/// other texts nearly as they were; then a draw, which is the last way out of whatever the
/// greedy texts ran into. Where a text is only lean, both other rungs are draws: it has nothing
/// to penalise. Each is the same on every run.
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

    /// Takes in the outcome of an attempt; of equally good ones the first stays.
    pub(super) fn add(&mut self, summary: Summary, flaws: Vec<Flaw>) {
        self.tries += 1;
        if self.best.as_ref().is_none_or(|(_, best)| badness(&flaws) < badness(best)) {
            self.best = Some((summary, flaws));
        }
    }

    /// Whether the best attempt is good enough, or was the last one.
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

    pub(super) fn into_best(self) -> Option<(Summary, Vec<Flaw>)> {
        self.best
    }
}

/// Less is better: missing fields count first, then all that is wrong, then lost numbers.
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
    let mut hash = Sha256::new();
    hash.update(&paper.plain_title);
    hash.update([0]);
    hash.update(&paper.plain_abstract);
    hash.finalize().iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
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
        Summary { zh_tldr: text.into(), ..Summary::default() }
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
    fn the_best_attempt_lacks_nothing_then_has_the_fewest_flaws() {
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
        attempts.add(written("2"), vec![Flaw::plain(FlawKind::Unfinished, Field::Tldr)]);
        let Sampling::Sampled { seed: second, .. } = attempts.next_sampling() else {
            panic!("no draw")
        };
        assert_ne!(first, second);
        attempts.add(written("3"), vec![lost(2)]);
        assert!(attempts.is_over());
        assert_eq!(attempts.into_best().unwrap().0, written("3"));
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
