//! Rounding matrices to Q8_0, with one scale for several of its blocks.
//!
//! The type has a scale for 32 weights. Where neighbouring blocks have the same one, an engine may add
//! up their products as integers, which is fewer operations for each multiply-add; any other program
//! reads the same file as ever. Merged weights are rounded here, so their scales are ours to choose.
//!
//! They are chosen large enough for processors whose only products of bytes have sums of 16 bits
//! (`vpmaddubsw` of AVX2): of certain four neighbours ([`SUMMED`]) the quants of one sign add up to
//! [`MOST_OF_ONE_SIGN`] at most.

use half::f16;

use crate::kernels::blocks::{MOST_OF_ONE_SIGN, SUMMED};

/// Weights of a block.
const BLOCK: usize = 32;

/// Bytes of one, its scale included.
const BLOCK_BYTES: usize = size_of::<f16>() + BLOCK;

/// Blocks that share a scale, where a row has a whole number of such groups.
const GROUP: usize = 2;

/// The largest quant.
const LARGEST: f32 = 127.0;

/// What quants of one sign may add up to in [`SUMMED`] places.
const LARGEST_SUM: f32 = MOST_OF_ONE_SIGN as f32;

/// The bytes of a row of `inputs` weights.
///
/// # Errors
/// Where they are no whole number of blocks.
pub fn row_bytes(inputs: usize) -> candle_core::Result<usize> {
    if !inputs.is_multiple_of(BLOCK) {
        candle_core::bail!("rows of {inputs} weights are no blocks of {BLOCK}");
    }
    Ok(inputs / BLOCK * BLOCK_BYTES)
}

/// Rounds a row into its blocks, each behind its scale, an f16: the smallest with which quants are small
/// enough, alone and added up. What a block cannot hold becomes a scale that is no number.
pub fn round_row(row: &[f32], bytes: &mut [u8]) {
    let group = if row.len().is_multiple_of(GROUP * BLOCK) { GROUP } else { 1 };
    for (values, bytes) in row.chunks(group * BLOCK).zip(bytes.chunks_mut(group * BLOCK_BYTES)) {
        let values = values.as_chunks().0;
        let scale = scale_of(values);
        let inverse = if scale == f16::ZERO { 0.0 } else { 1.0 / scale.to_f32() };
        for (values, bytes) in values.iter().zip(bytes.as_chunks_mut::<BLOCK_BYTES>().0) {
            let (scale_bytes, quant_bytes) = bytes.split_at_mut(size_of::<f16>());
            scale_bytes.copy_from_slice(&scale.to_le_bytes());
            let quants = quants(values, inverse);
            for (byte, quant) in quant_bytes.iter_mut().zip(quants) {
                *byte = quant as i8 as u8;
            }
        }
    }
}

fn scale_of(values: &[[f32; BLOCK]]) -> f16 {
    // Magnitudes are ordered as their bits are, and what is no number is above all.
    let bits = values.as_flattened().iter().map(|value| value.abs().to_bits().cast_signed());
    let largest = f32::from_bits(bits.fold(0, i32::max).cast_unsigned());
    let least = values.iter().map(largest_sum).fold(0.0, greater) / LARGEST_SUM;
    let scale = largest / LARGEST;
    // What is no number stays it.
    f16::from_f32(if scale < least { least } else { scale })
}

/// The largest sum of the magnitudes of one sign in [`SUMMED`] places.
fn largest_sum(values: &[f32; BLOCK]) -> f32 {
    let mut largest = 0.0;
    for values in values.as_chunks::<8>().0 {
        for sign in [1.0, -1.0] {
            let of_sign = |place: usize| greater(sign * values[place], 0.0);
            for [a, b, c, d] in SUMMED {
                largest = greater(largest, (of_sign(a) + of_sign(c)) + (of_sign(b) + of_sign(d)));
            }
        }
    }
    largest
}

/// The greater one; the second where one is no number. (`f32::max` makes sure to be a number, and takes
/// three instructions for that.)
fn greater(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The integers next to these values times `inverse`, small enough alone and added up.
fn quants(values: &[f32; BLOCK], inverse: f32) -> [f32; BLOCK] {
    let mut quants = [0.0; BLOCK];
    for (quant, value) in quants.iter_mut().zip(values) {
        *quant = nearest(value * inverse).clamp(-LARGEST, LARGEST);
    }
    if largest_sum(&quants) > LARGEST_SUM {
        let values = values.map(|value| value * inverse);
        let eights = values.as_chunks().0.iter().zip(quants.as_chunks_mut().0);
        eights.for_each(|(values, quants)| lower(quants, values));
    }
    quants
}

/// Where so many values were rounded up that a sum is too large, those that were rounded up the farthest
/// are rounded down.
fn lower(quants: &mut [f32; 8], values: &[f32; 8]) {
    for places in SUMMED {
        for sign in [1.0, -1.0] {
            let sum = |quants: &[f32; 8]| -> f32 {
                places.iter().map(|&place| greater(sign * quants[place], 0.0)).sum()
            };
            while sum(quants) > LARGEST_SUM {
                let excess = |place: &usize| sign * (quants[*place] - values[*place]);
                let of_sign = places.into_iter().filter(|place| sign * quants[*place] > 0.0);
                let farthest = of_sign.max_by(|a, b| excess(a).total_cmp(&excess(b)));
                let place = farthest.expect("something was added up");
                quants[place] -= sign;
            }
        }
    }
}

/// The integer next to a value below 2^22, the even one of two.
fn nearest(value: f32) -> f32 {
    /// From here to twice as much f32 holds integers only.
    const INTEGERS: f32 = 1.5 * (1 << 23) as f32;
    (value + INTEGERS) - INTEGERS
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use candle_core::quantized::{GgmlDType, QStorage, QTensor};
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::kernels::blocks::has_int16_sums;

    fn rounded(values: &[f32], inputs: usize) -> (Vec<u8>, Vec<f32>) {
        let row_bytes = row_bytes(inputs).unwrap();
        let mut bytes = vec![0; values.len() / inputs * row_bytes];
        for (row, bytes) in values.chunks(inputs).zip(bytes.chunks_mut(row_bytes)) {
            round_row(row, bytes);
        }
        let blocks = Cow::Borrowed(&bytes[..]);
        let storage = QStorage::from_data(blocks, &Device::Cpu, GgmlDType::Q8_0).unwrap();
        let decoded = QTensor::new(storage, values.len()).unwrap();
        let decoded = decoded.dequantize(&Device::Cpu).unwrap().to_vec1().unwrap();
        (bytes, decoded)
    }

    #[test]
    fn neighbours_share_a_scale_that_is_as_small_as_quants_and_their_sums_allow() {
        let values: Vec<f32> = (0..9 * 128)
            .map(|i| ((i * i) as f32 * 0.37).sin().powi(1 + (i / 64) % 5) * (1 + i / 3) as f32)
            .collect();
        // Rows of an even number of blocks, and of an odd one, whose blocks have their own.
        for (inputs, group) in [(128, 64), (96, 32)] {
            let (bytes, decoded) = rounded(&values, inputs);
            let scale =
                |block: usize| f16::from_le_bytes([bytes[34 * block], bytes[34 * block + 1]]);
            let mut bound_by_sums = 0;
            for (at, values) in values.chunks(group).enumerate() {
                let blocks = at * group / 32..(at + 1) * group / 32;
                assert!(blocks.clone().all(|block| scale(block) == scale(blocks.start)));
                let scale = scale(blocks.start).to_f32();
                let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
                let sum = values.as_chunks().0.iter().map(largest_sum).fold(0.0, f32::max);
                let least = (largest / 127.0).max(sum / 128.0);
                bound_by_sums += usize::from(sum / 128.0 > largest / 127.0);
                assert!((scale / least - 1.0).abs() < 1e-3, "{scale} for {least}");
                // An f16 may be smaller by a part in 2,048, and some are rounded down that were to be
                // rounded up.
                for (value, decoded) in values.iter().zip(&decoded[at * group..]) {
                    let off = (value - decoded).abs() / scale;
                    assert!(off <= 1.1, "{decoded} for {value}: {off} steps");
                }
            }
            assert!(bound_by_sums > 3, "{bound_by_sums} groups of {group}");
            for block in bytes.chunks(34) {
                let quants = std::array::from_fn(|i| block[2 + i] as i8);
                assert!(has_int16_sums(&quants), "{quants:?}");
            }
        }
    }

    #[test]
    fn where_no_sum_is_too_large_blocks_are_what_candle_makes_of_them() {
        // One value in eight: never two in the same places.
        let values: Vec<f32> =
            (0..2 * 96).map(|i| if i % 8 == 3 { (i as f32 * 0.71).cos() } else { 0.0 }).collect();
        let matrix = Tensor::from_slice(&values, (2, 96), &Device::Cpu).unwrap();
        let expected = QTensor::quantize(&matrix, GgmlDType::Q8_0).unwrap();
        assert_eq!(rounded(&values, 96).0, *expected.data().unwrap());
    }

    #[test]
    fn sums_that_rounding_makes_too_large_are_made_smaller_by_a_step() {
        let mut values = [0.0; BLOCK];
        values[8..16].copy_from_slice(&[31.8, 31.6, 0.0, 0.0, 32.2, 32.5, -64.0, -64.4]);
        let quants = quants(&values, 1.0);
        assert_eq!(quants[8..16], [32.0, 32.0, 0.0, 0.0, 32.0, 32.0, -64.0, -64.0]);
    }

    #[test]
    fn what_no_block_can_hold_shows_in_its_scale() {
        for value in [f32::NAN, f32::INFINITY, -1e30] {
            let mut values = [1.0; 64];
            values[40] = value;
            let scale = rounded(&values, 64).0;
            assert!(!f16::from_le_bytes([scale[0], scale[1]]).is_finite(), "{value}");
        }
        assert_eq!(rounded(&[0.0; 64], 64).1, [0.0; 64]);
    }
}
