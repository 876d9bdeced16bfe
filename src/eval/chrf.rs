//! chrF: how many character n-grams two texts share, as an F-score in which recall counts twice.
//!
//! It fits Chinese, which has no blanks to cut words at, and needs neither a tokenizer nor a
//! model. This is the score of Popović (2015) as sacrebleu 2 computes it with its defaults:
//! n-grams of one to six characters, white space left out, β = 2. Over several papers the counts
//! are summed and not the scores. Precision and recall are averaged over the orders of which both
//! sides have n-grams, the "effective order"; an order that one side lacks counts for nothing.
//! Left out: words (chrF++), upper and lower case, more than one reference.

use std::collections::HashMap;
use std::ops::AddAssign;

use super::patterns::is_blank;

/// Longest n-gram, in characters.
const MAX_ORDER: usize = 6;
/// β²: how many times as much as precision recall weighs.
const BETA_SQUARED: f64 = 4.0;

/// n-grams of one paper or of many, counted for every order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chrf {
    orders: [Order; MAX_ORDER],
}

/// n-grams of one length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Order {
    /// Those of our text, in papers whose reference is long enough to have any.
    ours: u64,
    reference: u64,
    /// Those that both have, each as often as the one that has it less often.
    common: u64,
}

impl Chrf {
    /// Of one text.
    pub fn of(ours: &str, reference: &str) -> Self {
        let characters = |text: &str| -> Vec<char> {
            text.chars().filter(|character| !is_blank(*character)).collect()
        };
        let (ours, reference) = (characters(ours), characters(reference));
        let mut chrf = Chrf::default();
        for (order, n) in chrf.orders.iter_mut().zip(1..) {
            *order = Order::of(&ours, &reference, n);
        }
        chrf
    }

    /// The score, 0 to 100.
    pub fn score(&self) -> f64 {
        let (mut precision, mut recall, mut effective) = (0.0, 0.0, 0.0);
        for order in self.orders.iter().filter(|order| order.ours > 0 && order.reference > 0) {
            precision += order.common as f64 / order.ours as f64;
            recall += order.common as f64 / order.reference as f64;
            effective += 1.0;
        }
        if precision + recall == 0.0 {
            return 0.0;
        }
        let (precision, recall) = (precision / effective, recall / effective);
        let weighted = (1.0 + BETA_SQUARED) * precision * recall;
        100.0 * (weighted / (BETA_SQUARED * precision + recall))
    }
}

impl Order {
    fn of(ours: &[char], reference: &[char], n: usize) -> Self {
        let mut left: HashMap<&[char], u64> = HashMap::new();
        for gram in reference.windows(n) {
            *left.entry(gram).or_default() += 1;
        }
        let mut common = 0;
        for gram in ours.windows(n) {
            if let Some(number) = left.get_mut(gram).filter(|number| **number > 0) {
                *number -= 1;
                common += 1;
            }
        }
        let of_reference = reference.windows(n).count() as u64;
        let of_ours = if of_reference > 0 { ours.windows(n).count() as u64 } else { 0 };
        Order { ours: of_ours, reference: of_reference, common }
    }
}

impl AddAssign for Chrf {
    fn add_assign(&mut self, other: Chrf) {
        for (sum, order) in self.orders.iter_mut().zip(other.orders) {
            sum.ours += order.ours;
            sum.reference += order.reference;
            sum.common += order.common;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values are sums that can be done by hand.
    #[track_caller]
    fn check(ours: &str, reference: &str, expected: f64) {
        let score = Chrf::of(ours, reference).score();
        assert!((score - expected).abs() < 1e-9, "{ours} for {reference}: {score}");
    }

    #[test]
    fn scores_what_is_shared() {
        check("数羊", "数羊", 100.0);
        check("数羊", "赶牛", 0.0);
        // One of two characters, none of one pair: precision and recall 1/4, and so F.
        check("数羊", "数牛", 25.0);
        // Precision: (2/4 + 1/3) / 2 = 5/12, over the two orders that the reference has. Recall:
        // all. F: 5 * 5/12 / (4 * 5/12 + 1).
        check("数羊数牛", "数羊", 100.0 * 25.0 / 32.0);
        // The other way round recall is 5/12 and precision 1, and F: 5 * 5/12 / (4 + 5/12).
        check("数羊", "数羊数牛", 100.0 * 25.0 / 53.0);
    }

    #[test]
    fn counts_a_repeated_character_as_often_as_both_have_it() {
        // Characters: 1 of 3, and 1 of 1; there are no pairs in the reference.
        check("羊羊羊", "羊", 100.0 * 5.0 / 7.0);
        check("羊羊羊", "羊羊羊", 100.0);
    }

    #[test]
    fn passes_over_blanks_and_has_nothing_to_say_of_nothing() {
        check("数 羊\u{3000}\n", "\u{1f}数羊", 100.0);
        check("", "数羊", 0.0);
        check("数羊", "", 0.0);
        check("", "", 0.0);
    }

    #[test]
    fn sums_counts_and_not_scores() {
        let mut both = Chrf::of("数羊", "数羊");
        both += Chrf::of("", "赶牛");
        // Precision 1; recall (2/4 + 1/2) / 2.
        assert!((both.score() - 100.0 * 2.5 / 4.5).abs() < 1e-9);
        let mut unheard = Chrf::of("数羊", "数羊");
        unheard += Chrf::of("赶牛", "");
        assert_eq!(unheard.score(), 100.0, "a text without a reference is not held against us");
    }
}
