//! Rounding matrices to Q8_0, with one scale for several of its blocks.
//!
//! The type has a scale for 32 weights. Where neighbouring blocks have the same one, an engine may add
//! up their products as integers, which is fewer operations for each multiply-add; any other program
//! reads the same file as ever. Merged weights are rounded here, so their scales are ours to choose.
//!
//! They are chosen large enough for processors whose only products of bytes have sums of 16 bits
//! (`vpmaddubsw` of AVX2): of certain four neighbours the quants of one sign add up to 128 at most, so
//! that 255 times as much is below 2^15.

use std::borrow::Cow;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Tensor};
use half::f16;

/// Weights of a block.
const BLOCK: usize = 32;

/// Blocks that share a scale, where a row has a whole number of such groups.
const GROUP: usize = 2;

/// The largest quant.
const LARGEST: f32 = 127.0;

/// Places among eight neighbours whose products are added up in 16 bits.
const SUMMED: [[usize; 4]; 2] = [[0, 1, 4, 5], [2, 3, 6, 7]];

/// What quants of one sign may add up to in such places.
const LARGEST_SUM: f32 = 128.0;

/// Rounds a matrix. What a block of 8 bits cannot hold becomes a scale that is no number.
///
/// # Errors
/// Where its values cannot be read, or its rows are no whole number of blocks.
pub fn q8_0(matrix: &Tensor) -> candle_core::Result<QTensor> {
    let (_, inputs) = matrix.dims2()?;
    let group = if inputs.is_multiple_of(GROUP * BLOCK) { GROUP } else { 1 };
    let values = matrix.flatten_all()?.to_vec1::<f32>()?;
    let bytes = Cow::Owned(encode(&values, group));
    let storage = QStorage::from_data(bytes, &Device::Cpu, GgmlDType::Q8_0)?;
    QTensor::new(storage, matrix.shape())
}

/// Groups of `group` blocks, each block behind its scale, an f16: the smallest with which quants are
/// small enough, alone and added up.
fn encode(values: &[f32], group: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() / BLOCK * (BLOCK + size_of::<f16>()));
    for values in values.chunks(group * BLOCK) {
        // Magnitudes are ordered as their bits are, and what is no number is above all.
        let largest = values.iter().map(|value| value.abs().to_bits()).max();
        let largest = f32::from_bits(largest.unwrap_or(0));
        let sums = values.as_chunks().0.iter().map(largest_sum);
        let least = sums.fold(0.0, f32::max) / LARGEST_SUM;
        let scale = largest / LARGEST;
        // What is no number stays it.
        let scale = f16::from_f32(if scale < least { least } else { scale });
        let inverse = if scale == f16::ZERO { 0.0 } else { 1.0 / scale.to_f32() };
        for values in values.chunks(BLOCK) {
            bytes.extend(scale.to_le_bytes());
            for values in values.as_chunks().0 {
                let quants = quants(&values.map(|value| value * inverse));
                bytes.extend(quants.map(|quant| quant as i8 as u8));
            }
        }
    }
    bytes
}

/// The largest sum of the magnitudes of one sign in [`SUMMED`] places.
fn largest_sum(values: &[f32; 8]) -> f32 {
    let sums =
        |values: [f32; 8]| SUMMED.map(|[a, b, c, d]| values[a] + values[b] + values[c] + values[d]);
    let (all, magnitudes) = (sums(*values), sums(values.map(f32::abs)));
    let of_one_sign = |i: usize| 0.5 * (magnitudes[i] + all[i].abs());
    of_one_sign(0).max(of_one_sign(1))
}

/// The integers next to these values. Where so many were rounded up that a sum is too large, those that
/// were rounded up the farthest are rounded down.
fn quants(values: &[f32; 8]) -> [f32; 8] {
    let mut quants = values.map(|value| nearest(value).clamp(-LARGEST, LARGEST));
    while largest_sum(&quants) > LARGEST_SUM {
        for places in SUMMED {
            for sign in [1.0, -1.0] {
                let sum: f32 = places.iter().map(|&place| (sign * quants[place]).max(0.0)).sum();
                let excess = |place: &usize| sign * (quants[*place] - values[*place]);
                let of_sign = places.into_iter().filter(|place| sign * quants[*place] > 0.0);
                let farthest = of_sign.max_by(|a, b| excess(a).total_cmp(&excess(b)));
                if let Some(place) = farthest.filter(|_| sum > LARGEST_SUM) {
                    quants[place] -= sign;
                }
            }
        }
    }
    quants
}

/// The integer next to a value below 2^22, the even one of two.
fn nearest(value: f32) -> f32 {
    /// From here to twice as much f32 holds integers only.
    const INTEGERS: f32 = 1.5 * (1 << 23) as f32;
    (value + INTEGERS) - INTEGERS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::blocks::has_int16_sums;

    fn rounded(values: &[f32], inputs: usize) -> (Vec<u8>, Vec<f32>) {
        let matrix = Tensor::from_slice(values, (values.len() / inputs, inputs), &Device::Cpu);
        let rounded = q8_0(&matrix.unwrap()).unwrap();
        let decoded = rounded.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap();
        (rounded.data().unwrap().into_owned(), decoded.to_vec1().unwrap())
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
        let values = [31.8, 31.6, 0.0, 0.0, 32.2, 32.5, -64.0, -64.4];
        assert_eq!(quants(&values), [32.0, 32.0, 0.0, 0.0, 32.0, 32.0, -64.0, -64.0]);
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
