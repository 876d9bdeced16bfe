//! Softmax of the scores of some heads, in one order for all instruction sets.

use super::bf16::rounded;
use super::layout::PAGE;
use crate::kernels::math;

/// Partial sums of a head.
const LANES: usize = 16;

/// Turns scores, `[pages][HEADS][64]`, into e^(score - largest of the head) and returns the sums
/// of these weights. A score of minus infinity becomes a weight of 0.
///
/// Weights are rounded to bf16, as values are, before they are summed: so their mixture has
/// weights whose sum is 1.
///
/// Lane l sums, in ascending order, the positions p with p mod 16 = l, and the lanes are added in
/// halves: 16 to 8, 4, 2, 1. Pages begin at multiples of 64 and zeros change no sum, so the order
/// depends on positions alone. Inlined into functions that enable an instruction set.
#[inline(always)]
pub(super) fn in_place<const HEADS: usize>(scores: &mut [f32]) -> [f32; HEADS] {
    let mut sums = [0.0; HEADS];
    for (head, sum) in sums.iter_mut().enumerate() {
        let mut largest = [f32::NEG_INFINITY; LANES];
        for page in scores.chunks_exact(HEADS * PAGE) {
            for scores in page[head * PAGE..][..PAGE].as_chunks::<LANES>().0 {
                for (largest, score) in largest.iter_mut().zip(scores) {
                    *largest = larger(*score, *largest);
                }
            }
        }
        let largest = fold(largest, larger);
        let mut partial = [0.0; LANES];
        for page in scores.chunks_exact_mut(HEADS * PAGE) {
            for scores in page[head * PAGE..][..PAGE].as_chunks_mut::<LANES>().0 {
                for (partial, score) in partial.iter_mut().zip(scores) {
                    *score = f32::from_bits(rounded(math::exp(*score - largest)));
                    *partial += *score;
                }
            }
        }
        *sum = fold(partial, |a, b| a + b);
    }
    sums
}

/// As one instruction does it, unlike [`f32::max`], whose care for what is no number takes three.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Combines lane l with lane l + n for n = 8, 4, 2, 1.
#[inline(always)]
fn fold(mut lanes: [f32; LANES], combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        let (low, high) = lanes.split_at_mut(half);
        for (low, high) in low.iter_mut().zip(high) {
            *low = combine(*low, *high);
        }
        half /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_scores_weigh_nothing_and_heads_are_apart() {
        let mut scores = [f32::NEG_INFINITY; 2 * 2 * PAGE];
        scores[3] = 5.0; // head 0, position 3
        scores[2 * PAGE + 63] = 5.0; // head 0, position 127
        scores[3 * PAGE] = -1000.0; // head 1, position 64
        let sums = in_place::<2>(&mut scores);
        assert_eq!(sums, [2.0, 1.0]);
        let ones: Vec<_> = (0..scores.len()).filter(|&at| scores[at] == 1.0).collect();
        assert_eq!(ones, [3, 2 * PAGE + 63, 3 * PAGE]);
        assert_eq!(scores.iter().filter(|&&weight| weight == 0.0).count(), scores.len() - 3);
    }
}
