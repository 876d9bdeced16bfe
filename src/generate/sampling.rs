//! From logits to one token, or to the candidates of a beam: greedy, greedy with a penalty on repetition, or
//! seeded sampling, each among those tokens that a [`TokenFilter`] leaves.
//!
//! A first attempt is a beam or greedy; the other two exist for papers whose text failed its checks and
//! are deterministic as well: a sampled token depends on the seed and on how much was written,
//! never on the batch around it.

use std::cmp::Ordering;
use std::fmt;

/// A token's index in the model's vocabulary.
pub type TokenId = u32;

/// How the next token is picked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampling {
    /// The highest logit; of equal ones the lowest token id.
    Greedy,
    /// The highest logit after lowering the tokens written last (repetition penalty of
    /// Keskar et al. 2019, "CTRL": positive logits are divided by it, negative ones multiplied).
    Penalised {
        /// Above 0; 1 is no penalty.
        penalty: f32,
        /// How many of the tokens written last it applies to.
        window: usize,
    },
    /// The likeliest of `width` texts that are written side by side: beam search, in which the score of a
    /// text is its log probability a token.
    Beam {
        /// How many texts there are at a time, at least two.
        width: usize,
    },
    /// A draw from the `top_k` highest logits at a temperature; what a filter refuses is drawn
    /// again without it.
    Sampled {
        /// Above 0; logits are divided by it.
        temperature: f32,
        /// How many candidates there are.
        top_k: usize,
        /// Two draws with the same seed and the same text before them are equal.
        seed: u64,
    },
}

/// What the texts of a beam take beside their sequence; nothing where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Beside {
    /// Slots.
    pub slots: usize,
    /// Most positions, those of all texts together.
    pub positions: usize,
}

impl Sampling {
    /// How many texts are written at a time.
    pub fn width(self) -> usize {
        match self {
            Sampling::Beam { width } => width.max(1),
            _ => 1,
        }
    }

    /// How many slots a sequence takes: its own, and one for each text of a beam.
    pub fn slots(self) -> usize {
        match self {
            Sampling::Beam { .. } => 1 + self.width(),
            _ => 1,
        }
    }

    /// What the texts of a beam take beside their sequence, where no field has more than `longest` tokens: a
    /// slot and a field each.
    pub fn beside(self, longest: usize) -> Beside {
        let slots = self.slots() - 1;
        Beside { slots, positions: slots * longest }
    }
}

/// What a field may say: refuses tokens while it is written.
///
/// A filter knows nothing but what the field holds, so that what it refuses does not depend on the
/// batch. Where it refuses everything that can be picked, or the [`MAX_ASKED`] highest logits, the
/// pick is the one without a filter.
pub trait TokenFilter: fmt::Debug + Send + Sync {
    /// Tells of each token whether it may follow `written`.
    fn after<'a>(&'a self, written: &[TokenId]) -> Box<dyn Fn(TokenId) -> bool + 'a>;
}

/// Most tokens that a filter is asked about for one pick: more than the models' own shortlists
/// have. What stands so far down a larger vocabulary is noise.
pub const MAX_ASKED: usize = 1 << 15;

/// Picks a token from one row of logits; `written` is what the field holds so far. None where the highest
/// is no finite number, or there is none.
pub fn next_token(
    logits: &[f32],
    rule: Sampling,
    written: &[TokenId],
    filter: Option<&dyn TokenFilter>,
) -> Option<TokenId> {
    let allows = filter.map(|filter| filter.after(written));
    let highest = |logits: &[f32]| {
        let first = argmax(logits)?;
        let refusing = allows.as_ref().filter(|allows| !allows(first));
        let other = refusing.and_then(|allows| {
            candidates(&mut scored(logits), 1, f32::INFINITY, allows).first().copied()
        });
        Some(other.map_or(first, |(token, _)| token))
    };
    match rule {
        Sampling::Greedy | Sampling::Beam { .. } => highest(logits),
        Sampling::Penalised { penalty, window } => {
            let mut logits = logits.to_vec();
            let mut recent = written[written.len().saturating_sub(window)..].to_vec();
            recent.sort_unstable();
            recent.dedup();
            for token in recent {
                let logit = &mut logits[token as usize];
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
            highest(&logits)
        }
        Sampling::Sampled { temperature, top_k, seed } => {
            argmax(logits)?;
            let top_k = top_k.clamp(1, logits.len());
            let mut candidates = candidates(&mut scored(logits), top_k, f32::INFINITY, |_| true);
            // Asking a filter takes longer than drawing, so only what is drawn is asked about.
            for refused in 0.. {
                let draw = uniform(seed.wrapping_add(refused), written.len() as u64);
                let Some(at) = sample(&candidates, temperature, draw) else { break };
                let (token, _) = candidates.remove(at);
                if allows.as_ref().is_none_or(|allows| allows(token)) {
                    return Some(token);
                }
            }
            highest(logits)
        }
    }
}

/// A token that a text of a beam may go on with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The token.
    pub token: TokenId,
    /// The natural logarithm of its probability among all tokens that are scored.
    pub log_probability: f64,
}

/// A text of a beam does not go on whose log probability is lower than the highest by more than this.
pub(super) const PRUNED_BELOW: f64 = 2.0;

/// The `count` likeliest of the tokens in `scored`, each with its logit, that `filter` allows behind `written`:
/// likeliest first, of equal ones the lowest token id first. Those that a beam would prune beside the
/// likeliest are left out, so that a filter is not asked about all that there are where it allows only one.
/// Where it allows none, the likeliest that it refuses. `scored` is in another order afterwards. Nothing is
/// likeliest where logits are no finite numbers, or there are none.
pub fn likeliest(
    scored: &mut [(TokenId, f32)],
    count: usize,
    written: &[TokenId],
    filter: Option<&dyn TokenFilter>,
) -> Vec<Candidate> {
    let highest = scored.iter().map(|(_, logit)| *logit).fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = scored.iter().map(|(_, logit)| f64::from(logit - highest).exp()).sum();
    if !highest.is_finite() || !total.is_finite() {
        return Vec::new();
    }
    let allows = filter.map(|filter| filter.after(written));
    let is_allowed = |token| allows.as_ref().is_none_or(|allows| allows(token));
    // A little more than what is pruned, since sums of logarithms are rounded.
    let mut found = candidates(scored, count, PRUNED_BELOW as f32 + 0.01, is_allowed);
    if found.is_empty() {
        found.extend(scored.iter().min_by(|a, b| by_logit(a, b)));
    }
    let candidate = |(token, logit): (TokenId, f32)| Candidate {
        token,
        log_probability: f64::from(logit - highest) - total.ln(),
    };
    found.into_iter().map(candidate).collect()
}

/// The highest of `logits`, if it is finite; of equal ones the first.
fn argmax(logits: &[f32]) -> Option<TokenId> {
    let mut best = (0, f32::NEG_INFINITY);
    for (token, &logit) in (0..).zip(logits) {
        if logit > best.1 {
            best = (token, logit);
        }
    }
    best.1.is_finite().then_some(best.0)
}

/// The higher logit first, of equal ones the lower token id.
fn by_logit(a: &(TokenId, f32), b: &(TokenId, f32)) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// The tokens that are scored, each with its logit.
fn scored(logits: &[f32]) -> Vec<(TokenId, f32)> {
    let of_all = logits.iter().enumerate().map(|(token, logit)| (token as TokenId, *logit));
    of_all.filter(|(_, logit)| *logit > f32::NEG_INFINITY).collect()
}

/// The `count` highest logits in `scored` among the tokens that are allowed, highest first; those
/// beyond the highest [`MAX_ASKED`] are not asked about.
fn candidates(
    scored: &mut [(TokenId, f32)],
    count: usize,
    within: f32,
    allows: impl Fn(TokenId) -> bool,
) -> Vec<(TokenId, f32)> {
    let mut rest = scored;
    // Mostly the first few are enough; sorting all of them would take longer than the step.
    let mut portion = 64.max(count);
    let mut chosen = Vec::with_capacity(count);
    let mut left = MAX_ASKED.max(count);
    while !rest.is_empty() && left > 0 && chosen.len() < count {
        portion = portion.min(rest.len()).min(left);
        left -= portion;
        if portion < rest.len() {
            rest.select_nth_unstable_by(portion - 1, by_logit);
        }
        let (highest, others) = rest.split_at_mut(portion);
        highest.sort_unstable_by(by_logit);
        for &(token, logit) in &*highest {
            let is_behind = chosen.first().is_some_and(|(_, first)| logit < first - within);
            if is_behind || chosen.len() == count {
                return chosen;
            }
            chosen.extend(allows(token).then_some((token, logit)));
        }
        rest = others;
        portion *= 8;
    }
    chosen
}

/// Draws one of the candidates, the likeliest of which is first, by inverting their cumulative
/// distribution at `draw` in [0, 1); `None` where there are none.
fn sample(candidates: &[(TokenId, f32)], temperature: f32, draw: f64) -> Option<usize> {
    let (_, highest) = *candidates.first()?;
    let weights: Vec<f64> = candidates
        .iter()
        .map(|(_, logit)| f64::from((logit - highest) / temperature).exp())
        .collect();
    let mut left = draw * weights.iter().sum::<f64>();
    let drawn = weights.iter().position(|weight| {
        left -= weight;
        left < 0.0
    });
    drawn.or(Some(candidates.len() - 1))
}

/// A number in [0, 1) from a seed and a counter (SplitMix64, Steele et al. 2014): stateless, so a
/// draw does not depend on what was drawn for other papers.
fn uniform(seed: u64, counter: u64) -> f64 {
    let mut z = seed.wrapping_add((counter + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greedy_takes_the_highest_and_the_first_of_equals() {
        assert_eq!(next_token(&[0.0, 3.0, -1.0, 3.0], Sampling::Greedy, &[], None), Some(1));
    }

    #[test]
    fn penalty_lowers_what_was_written_within_the_window_only() {
        let rule = Sampling::Penalised { penalty: 2.0, window: 2 };
        let logits = [3.0, 2.0, 1.0];
        assert_eq!(next_token(&logits, rule, &[0, 2], None), Some(1), "3.0 became 1.5");
        assert_eq!(
            next_token(&logits, rule, &[0, 2, 2], None),
            Some(0),
            "token 0 is outside the window"
        );
        assert_eq!(
            next_token(&[-1.0, -1.5], rule, &[0], None),
            Some(1),
            "negative logits are lowered too"
        );
    }

    /// Refuses some tokens, whatever was written.
    #[derive(Debug)]
    struct Without(&'static [TokenId]);

    impl TokenFilter for Without {
        fn after<'a>(&'a self, _: &[TokenId]) -> Box<dyn Fn(TokenId) -> bool + 'a> {
            Box::new(|token| !self.0.contains(&token))
        }
    }

    #[test]
    fn what_a_guard_refuses_is_picked_by_no_rule() {
        let logits: Vec<f32> = (0..100).map(|token| token as f32 / 10.0).collect();
        let filter = Without(&[99, 98, 96]);
        let pick =
            |rule, written: &[TokenId]| next_token(&logits, rule, written, Some(&filter)).unwrap();
        assert_eq!(pick(Sampling::Greedy, &[]), 97);
        let penalised = Sampling::Penalised { penalty: 2.0, window: 4 };
        assert_eq!(pick(penalised, &[97]), 95, "97 is lowered, and 96 not allowed");
        let drawn: Vec<TokenId> = (0..200)
            .map(|seed| pick(Sampling::Sampled { temperature: 1.0, top_k: 6, seed }, &[]))
            .collect();
        assert!(drawn.iter().all(|token| [97, 95, 94].contains(token)), "{drawn:?}");
        assert!([97, 95, 94].iter().all(|token| drawn.contains(token)), "{drawn:?}");
    }

    #[test]
    fn a_guard_that_refuses_everything_is_not_asked() {
        let filter = Without(&[0, 1]);
        let logits = [0.0, 1.0, f32::NEG_INFINITY];
        for rule in [
            Sampling::Greedy,
            Sampling::Penalised { penalty: 1.0, window: 4 },
            Sampling::Sampled { temperature: 0.1, top_k: 1, seed: 3 },
        ] {
            assert_eq!(next_token(&logits, rule, &[], Some(&filter)), Some(1), "{rule:?}");
        }
    }

    #[test]
    fn sampling_is_a_function_of_seed_and_length_and_follows_the_distribution() {
        let rule = |seed| Sampling::Sampled { temperature: 1.0, top_k: 3, seed };
        let logits = [0.0, (2.0f32).ln(), f32::NEG_INFINITY, (5.0f32).ln()];
        let mut counts = [0usize; 4];
        for seed in 0..8000 {
            let token = next_token(&logits, rule(seed), &[7], None).unwrap();
            assert_eq!(Some(token), next_token(&logits, rule(seed), &[9], None));
            counts[token as usize] += 1;
        }
        for (count, expected) in counts.into_iter().zip([1000, 2000, 0, 5000]) {
            assert!(count.abs_diff(expected) < 200, "{counts:?}");
        }
        let top_one = Sampling::Sampled { temperature: 1.0, top_k: 1, seed: 1 };
        assert_eq!(next_token(&logits, top_one, &[], None), Some(3));
    }

    /// Allows one token, and counts how often it is asked.
    #[derive(Debug)]
    struct Only(TokenId, std::sync::atomic::AtomicUsize);

    impl TokenFilter for Only {
        fn after<'a>(&'a self, _: &[TokenId]) -> Box<dyn Fn(TokenId) -> bool + 'a> {
            Box::new(|token| {
                self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                token == self.0
            })
        }
    }

    #[test]
    fn nothing_is_picked_from_what_is_no_number() {
        let (none, nan, infinite) = (f32::NEG_INFINITY, f32::NAN, f32::INFINITY);
        let rules = [
            Sampling::Greedy,
            Sampling::Penalised { penalty: 2.0, window: 4 },
            Sampling::Sampled { temperature: 1.0, top_k: 2, seed: 3 },
        ];
        for logits in [vec![], vec![nan; 3], vec![none; 3], vec![nan, none], vec![1.0, infinite]] {
            for rule in rules {
                let filter = Without(&[0]);
                assert_eq!(next_token(&logits, rule, &[], Some(&filter)), None, "{logits:?}");
            }
            let mut scored: Vec<(TokenId, f32)> = (0..).zip(logits).collect();
            assert_eq!(likeliest(&mut scored, 2, &[], None), [], "{scored:?}");
        }
        assert_eq!(next_token(&[nan, 1.0, 2.0], Sampling::Greedy, &[], None), Some(2));
        assert_eq!(likeliest(&mut [(0, nan), (1, 1.0)], 2, &[], None), [], "nor is a share known");
    }

    #[test]
    fn what_a_beam_would_prune_is_not_asked_about() {
        let mut scored: Vec<(TokenId, f32)> = (0..9999).map(|token| (token, 0.0)).collect();
        (scored[5].1, scored[7].1, scored[9].1) = (9.0, 8.0, 7.5);
        let only = Only(7, 0.into());
        let found = likeliest(&mut scored, 8, &[], Some(&only));
        assert_eq!(found.iter().map(|candidate| candidate.token).collect::<Vec<_>>(), [7]);
        assert_eq!(only.1.into_inner(), 3, "those of 5, 7 and 9");
    }

    #[test]
    fn the_likeliest_are_told_with_their_share_of_all_that_are_scored() {
        let mut scored = [(4, 1f32.ln()), (2, 5f32.ln()), (9, 2f32.ln()), (7, 2f32.ln())];
        let found = likeliest(&mut scored, 3, &[], Some(&Without(&[2])));
        let tokens: Vec<TokenId> = found.iter().map(|candidate| candidate.token).collect();
        assert_eq!(tokens, [7, 9, 4]);
        for (candidate, share) in found.iter().zip([0.2, 0.2, 0.1]) {
            assert!((candidate.log_probability.exp() - share).abs() < 1e-6, "{candidate:?}");
        }
        let refused = likeliest(&mut scored, 3, &[], Some(&Without(&[2, 4, 7, 9])));
        assert_eq!((refused.len(), refused[0].token), (1, 2), "something has to be written");
    }
}
