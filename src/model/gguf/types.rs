//! Which types of tensors can be read, and whether a tensor's scales are numbers.
//!
//! Numbers and names are GGUF's ([`crate::gguf`]), layouts of blocks those of ggml's
//! `ggml-common.h`.

use candle_core::quantized::GgmlDType;

use crate::gguf::type_name;

/// The types that can be read, with their numbers.
const SUPPORTED: [(u32, GgmlDType); 13] = [
    (0, GgmlDType::F32),
    (1, GgmlDType::F16),
    (30, GgmlDType::BF16),
    (2, GgmlDType::Q4_0),
    (3, GgmlDType::Q4_1),
    (6, GgmlDType::Q5_0),
    (7, GgmlDType::Q5_1),
    (8, GgmlDType::Q8_0),
    (10, GgmlDType::Q2K),
    (11, GgmlDType::Q3K),
    (12, GgmlDType::Q4K),
    (13, GgmlDType::Q5K),
    (14, GgmlDType::Q6K),
];

/// The type of this number, if it can be read.
pub fn of_number(number: u32) -> Option<GgmlDType> {
    SUPPORTED.iter().find(|(known, _)| *known == number).map(|(_, kind)| *kind)
}

/// The number that files have for `kind`, which can be read.
pub fn number_of(kind: GgmlDType) -> Option<u32> {
    SUPPORTED.iter().find(|(_, known)| *known == kind).map(|(number, _)| *number)
}

/// What the type of this number is called: `IQ4_NL (20)`.
pub fn name(number: u32) -> String {
    match type_name(number) {
        Some(name) => format!("{name} ({number})"),
        None => format!("number {number}, which ggml did not have when this program was made"),
    }
}

/// The names of all types that can be read.
pub fn supported() -> String {
    SUPPORTED.map(|(number, _)| type_name(number).unwrap_or_default()).join(", ")
}

/// Whether every value of `bytes`, which are whole blocks of `kind`, is finite. Levels are integers,
/// so the scales and minima of blocks decide.
pub fn is_finite(kind: GgmlDType, bytes: &[u8]) -> bool {
    // The 16-bit floats of a block: where the first begins, and how many there are.
    let halves = |first: usize, count: usize| {
        let scales = first..first + 2 * count;
        bytes.chunks_exact(kind.type_size()).all(|block| {
            let mut scales = block[scales.clone()].chunks_exact(2);
            scales.all(|half| u16::from_le_bytes([half[0], half[1]]) & F16_EXPONENT != F16_EXPONENT)
        })
    };
    match kind {
        GgmlDType::F32 => bytes
            .as_chunks()
            .0
            .iter()
            .all(|value| u32::from_le_bytes(*value) & F32_EXPONENT != F32_EXPONENT),
        GgmlDType::BF16 => bytes
            .as_chunks()
            .0
            .iter()
            .all(|value| u16::from_le_bytes(*value) & BF16_EXPONENT != BF16_EXPONENT),
        GgmlDType::F16 => halves(0, 1),
        GgmlDType::Q4_0 | GgmlDType::Q5_0 | GgmlDType::Q8_0 => halves(0, 1),
        GgmlDType::Q4_1 | GgmlDType::Q5_1 | GgmlDType::Q8_1 => halves(0, 2),
        GgmlDType::Q4K | GgmlDType::Q5K => halves(0, 2),
        // Scales and minima of 4 or 6 bits and the levels stand before the block's own.
        GgmlDType::Q2K => halves(80, 2),
        GgmlDType::Q3K => halves(108, 1),
        GgmlDType::Q6K => halves(208, 1),
        // Begins with a scale of 32 bits.
        GgmlDType::Q8K => bytes.chunks_exact(kind.type_size()).all(|block| {
            let scale = u32::from_le_bytes([block[0], block[1], block[2], block[3]]);
            scale & F32_EXPONENT != F32_EXPONENT
        }),
    }
}

/// All ones where a float is infinite or no number.
const F32_EXPONENT: u32 = 0x7f80_0000;
const F16_EXPONENT: u16 = 0x7c00;
const BF16_EXPONENT: u16 = 0x7f80;

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::quantized::QTensor;
    use candle_core::{Device, Tensor};

    /// Each byte pair of a block is set to a float of 16 bits that is no number: exactly those count
    /// that make dequantized values other than finite.
    #[test]
    fn a_block_is_finite_where_its_values_are() {
        for (number, kind) in SUPPORTED {
            let name = name(number);
            let columns = 256;
            let values: Vec<f32> = (0..columns).map(|i| (i as f32 * 0.37).sin()).collect();
            let tensor = Tensor::from_vec(values, columns, &Device::Cpu).unwrap();
            let sound = QTensor::quantize(&tensor, kind).unwrap().data().unwrap().into_owned();
            assert!(is_finite(kind, &sound), "{name}");
            let mut refused = 0;
            for at in (0..kind.type_size()).step_by(2) {
                let mut bytes = sound.clone();
                bytes[at..at + 2].copy_from_slice(&0x7fc0u16.to_le_bytes());
                let decoded = candle_core::quantized::ggml_file::qtensor_from_ggml(
                    kind,
                    &bytes,
                    vec![columns],
                    &Device::Cpu,
                );
                let decoded = decoded.unwrap().dequantize(&Device::Cpu).unwrap();
                let decoded: Vec<f32> = decoded.to_vec1().unwrap();
                let finite = decoded.iter().all(|value| value.is_finite());
                assert_eq!(is_finite(kind, &bytes), finite, "{name}, byte {at}");
                refused += usize::from(!finite);
            }
            assert!(refused > 0, "{name}");
        }
    }

    #[test]
    fn types_have_the_names_that_ggml_gives_them() {
        assert_eq!(name(20), "IQ4_NL (20)");
        assert_eq!(name(12), "Q4_K (12)");
        assert!(name(99).starts_with("number 99"));
        assert_eq!(of_number(30), Some(GgmlDType::BF16));
        assert_eq!(of_number(20), None);
        assert_eq!(number_of(GgmlDType::Q6K), Some(14));
        assert!(supported().starts_with("F32, F16, BF16, Q4_0, "));
    }

    #[test]
    fn blocks_have_the_size_that_candle_reads() {
        for (number, kind) in SUPPORTED {
            let (values, bytes) = crate::gguf::block(number).unwrap();
            let of_candle = (kind.block_size() as u64, kind.type_size() as u64);
            assert_eq!((values, bytes), of_candle, "{}", name(number));
        }
    }
}
