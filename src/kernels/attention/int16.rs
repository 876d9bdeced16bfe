//! Keys and queries as integers of 16 bits.
//!
//! A score is a product of two long vectors, and what rounding adds to it is an error of a
//! logarithm: bf16, with 8 bits, made two thirds of all error of attention in keys. Integers of 16
//! bits cost the same and are a hundred times nearer. A vector is quant · scale, its quants as long
//! as [`LENGTH`]: so no sum of products exceeds 2^30 (Cauchy and Schwarz), it is exact in any order,
//! and every instruction set has it.

use crate::kernels::BLOCK;
use crate::kernels::lanes::{LANES, Lanes, both, load_block, sum_of_squares};

/// The length (Euclidean norm) that the quants of a vector have before they are rounded.
const LENGTH: f32 = 32_760.0;

/// The square of the shortest length that is told from 0, 2^-100: far above where the squares of what
/// matters for it lose bits.
const SHORTEST: f32 = f32::from_bits((127 - 100) << 23);

/// Gives the quants of a vector, block by block with the place of its first element, to `take`,
/// and returns their scale. The scale of what is not all numbers is not a number either.
#[inline(always)]
pub(super) fn quantize<L: Lanes>(
    lanes: L,
    values: &[f32],
    mut take: impl FnMut(usize, &[u16; BLOCK]),
) -> f32 {
    let squares = sum_of_squares(lanes, values.chunks_exact(BLOCK));
    let length = squares.sqrt();
    // Of a vector so short that its squares are no longer exact, or its inverse no number, all quants
    // are 0.
    let inverse = if squares >= SHORTEST { LENGTH / length } else { 0.0 };
    let mut integers = [[0.0; LANES]; 2];
    let mut quants = [0; BLOCK];
    for (block, values) in values.chunks_exact(BLOCK).enumerate() {
        let values = load_block(lanes, values);
        let factor = lanes.splat(inverse);
        let nearest = both!(i => lanes.nearest(lanes.mul(values[i], factor)));
        lanes.store(nearest[0], &mut integers[0]);
        lanes.store(nearest[1], &mut integers[1]);
        for (quant, integer) in quants.iter_mut().zip(integers.as_flattened()) {
            *quant = low_bits(*integer);
        }
        take(block * BLOCK, &quants);
    }
    // Infinity over infinity, or what is no number at all.
    if length.is_finite() { length / LENGTH } else { f32::NAN }
}

/// The quants of a query, two in a word, the first above; returns their scale. Inlined into
/// functions that enable an instruction set.
#[inline(always)]
pub(super) fn quantize_query<L: Lanes>(lanes: L, values: &[f32], words: &mut [u32]) -> f32 {
    quantize(lanes, values, |first, quants| {
        for (word, pair) in words[first / 2..].iter_mut().zip(quants.as_chunks::<2>().0) {
            *word = u32::from(pair[0]) << 16 | u32::from(pair[1]);
        }
    })
}

/// An integer below 2^22 in two's complement, its lowest 16 bits.
#[inline(always)]
fn low_bits(integer: f32) -> u16 {
    (integer + 12_582_912.0).to_bits() as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::lanes::Plain;

    fn quants(values: &[f32]) -> (Vec<i16>, f32) {
        let mut all = Vec::new();
        let scale = quantize(Plain, values, |first, quants| {
            assert_eq!(first, all.len());
            all.extend(quants.iter().map(|quant| *quant as i16));
        });
        (all, scale)
    }

    #[test]
    fn quants_are_near_and_products_of_them_fit() {
        for (seed, size) in [(1.0, 1.0), (2.0, 1e-12), (3.0, 1e15), (4.0, 1e-15)] {
            let values: Vec<f32> = (0..256).map(|i| (i as f32 * seed).sin() * size).collect();
            let length = values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            let (quants, scale) = quants(&values);
            for (quant, value) in quants.iter().zip(&values) {
                let off = f64::from(*quant) * f64::from(scale) - f64::from(*value);
                assert!(off.abs() <= length / 65_000.0, "{quant} {value}");
            }
            let square: i64 = quants.iter().map(|quant| i64::from(*quant).pow(2)).sum();
            assert!(square < 1 << 30 | 1 << 24, "{square}");
        }
        let one = |value: f32| [vec![0.0; 37], vec![value], vec![0.0; 26]].concat();
        assert_eq!(quants(&one(-5.0)).0.into_iter().min(), Some(-32_760));
        // Its square is one step of f32, from which the length cannot be told.
        assert_eq!(quants(&one(4.5e-23)).0, [0; 64]);
    }

    #[test]
    fn nothing_is_zero_and_what_is_no_number_stays_so() {
        assert_eq!(quants(&[0.0; 32]), (vec![0; 32], 0.0));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38] {
            let mut values = [1.0; 64];
            values[40] = bad;
            assert!(quants(&values).1.is_nan(), "{bad}");
        }
    }
}
