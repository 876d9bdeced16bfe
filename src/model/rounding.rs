//! Rounding matrices to Q8_0, with one scale for several of its blocks.
//!
//! The type has a scale for 32 weights. Where neighbouring blocks have the same one, an engine may add
//! up their products as integers, which is fewer operations for each multiply-add; any other program
//! reads the same file as ever. Merged weights are rounded here, so their scales are ours to choose.

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

/// Groups of `group` blocks, each block behind its scale: the largest magnitude of the group / 127,
/// as an f16.
fn encode(values: &[f32], group: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() / BLOCK * (BLOCK + size_of::<f16>()));
    for values in values.chunks(group * BLOCK) {
        // Magnitudes are ordered as their bits are, and what is no number is above all.
        let largest = values.iter().map(|value| value.abs().to_bits()).max();
        let largest = f32::from_bits(largest.unwrap_or(0));
        let scale = f16::from_f32(largest / LARGEST);
        let inverse = if scale == f16::ZERO { 0.0 } else { 1.0 / scale.to_f32() };
        for values in values.chunks(BLOCK) {
            bytes.extend(scale.to_le_bytes());
            let quants = values.iter().map(|value| (value * inverse).round());
            bytes.extend(quants.map(|quant| quant.clamp(-LARGEST, LARGEST) as i8 as u8));
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(values: &[f32], inputs: usize) -> (Vec<u8>, Vec<f32>) {
        let matrix = Tensor::from_slice(values, (values.len() / inputs, inputs), &Device::Cpu);
        let rounded = q8_0(&matrix.unwrap()).unwrap();
        let decoded = rounded.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap();
        (rounded.data().unwrap().into_owned(), decoded.to_vec1().unwrap())
    }

    #[test]
    fn neighbours_share_a_scale_that_fits_the_larger_and_nothing_is_farther_than_half_of_it() {
        let values: Vec<f32> = (0..3 * 128).map(|i| (i as f32 * 0.37).sin() * i as f32).collect();
        let (bytes, decoded) = rounded(&values, 128);
        let blocks: Vec<&[u8]> = bytes.chunks(34).collect();
        for (group, values) in values.chunks(64).enumerate() {
            let scale = f16::from_le_bytes([blocks[2 * group][0], blocks[2 * group][1]]).to_f32();
            assert_eq!(blocks[2 * group][..2], blocks[2 * group + 1][..2], "group {group}");
            let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
            assert!((scale * 127.0 / largest - 1.0).abs() < 1e-3, "{scale} for {largest}");
            // An f16 may be smaller than the largest / 127 by a part in 2,048.
            let bound = scale * 0.5 + largest / 2048.0;
            for (value, decoded) in values.iter().zip(&decoded[group * 64..]) {
                assert!((value - decoded).abs() <= bound, "{decoded} for {value}");
            }
        }
    }

    #[test]
    fn rows_of_an_odd_number_of_blocks_are_what_candle_makes_of_them() {
        let values: Vec<f32> = (0..2 * 96).map(|i| (i as f32 * 0.71).cos()).collect();
        let matrix = Tensor::from_slice(&values, (2, 96), &Device::Cpu).unwrap();
        let expected = QTensor::quantize(&matrix, GgmlDType::Q8_0).unwrap();
        let scales = |bytes: &[u8]| -> Vec<[u8; 2]> {
            bytes.chunks(34).map(|block| [block[0], block[1]]).collect()
        };
        assert_eq!(scales(&rounded(&values, 96).0), scales(&expected.data().unwrap()));
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
