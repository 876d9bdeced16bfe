//! GGUF's block types: what the bytes of a block of weights mean.
//!
//! The layouts are those of ggml's `ggml-common.h`, little-endian. Types with one scale (and maybe
//! a minimum) for 32 weights are read as integers, which ggml calls quants and the matrix products
//! use as they are; the others are only ever decoded to f32. Nothing here encodes.

/// Weights, or activations, that lie together: the block of every format of the kernels.
pub const BLOCK: usize = 32;

/// How many blocks may share a scale: a group. The fewer scales, the fewer operations between those
/// that multiply; the more values share one, the coarser they are.
pub const GROUPS: [usize; 3] = [1, 2, 4];

/// Places among eight neighbours whose products AVX2 adds up in 16 bits: those of two neighbours, as
/// `vpmaddubsw` does, and of the two four places behind them.
pub const SUMMED: [[usize; 4]; 2] = [[0, 1, 4, 5], [2, 3, 6, 7]];

/// What quants of one sign may add up to in [`SUMMED`] places: 255 times as much is below 2^15.
pub const MOST_OF_ONE_SIGN: i32 = 128;

/// How a run of weights is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are ggml's and say it all")]
pub enum BlockType {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

/// What a type offers for 32 weights without going through f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Native {
    /// Quants around zero and a scale.
    Symmetric,
    /// Quants from zero on, a scale and a minimum.
    Minimum,
    /// Scales for other runs than 32, or none: f32 values only.
    Values,
}

/// 32 weights: scale · quant + minimum each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuantBlock {
    /// The integers.
    pub quants: [i8; BLOCK],
    /// Their factor: the step from one quant to the next.
    pub scale: f32,
    /// The weight whose quant is 0; zero for symmetric types.
    pub minimum: f32,
}

/// Weights of a block of the "K" types.
const SUPER: usize = 256;

impl BlockType {
    /// All types.
    pub const ALL: [BlockType; 13] = {
        use BlockType::*;
        [F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2K, Q3K, Q4K, Q5K, Q6K]
    };

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        match self {
            BlockType::F32 => 4,
            BlockType::F16 | BlockType::BF16 => 2,
            BlockType::Q4_0 => 18,
            BlockType::Q4_1 => 20,
            BlockType::Q5_0 => 22,
            BlockType::Q5_1 => 24,
            BlockType::Q8_0 => 34,
            BlockType::Q2K => 84,
            BlockType::Q3K => 110,
            BlockType::Q4K => 144,
            BlockType::Q5K => 176,
            BlockType::Q6K => 210,
        }
    }

    /// Weights of a block.
    pub fn block_values(self) -> usize {
        match self {
            BlockType::F32 | BlockType::F16 | BlockType::BF16 => 1,
            BlockType::Q4_0
            | BlockType::Q4_1
            | BlockType::Q5_0
            | BlockType::Q5_1
            | BlockType::Q8_0 => BLOCK,
            BlockType::Q2K | BlockType::Q3K | BlockType::Q4K | BlockType::Q5K | BlockType::Q6K => {
                SUPER
            }
        }
    }

    /// Bytes of `values` weights.
    ///
    /// # Panics
    /// When they are no whole number of blocks.
    pub fn bytes_of(self, values: usize) -> usize {
        let block = self.block_values();
        assert!(values.is_multiple_of(block), "{values} weights in {self:?} blocks of {block}");
        values / block * self.block_bytes()
    }

    /// What 32 weights are natively.
    pub fn native(self) -> Native {
        match self {
            BlockType::Q4_0 | BlockType::Q5_0 | BlockType::Q8_0 => Native::Symmetric,
            BlockType::Q4_1 | BlockType::Q5_1 | BlockType::Q4K | BlockType::Q5K => Native::Minimum,
            BlockType::F32
            | BlockType::F16
            | BlockType::BF16
            | BlockType::Q2K
            | BlockType::Q3K
            | BlockType::Q6K => Native::Values,
        }
    }
}

/// The largest group whose weights have one scale, in all rows of `inputs` weights: more than one
/// block where whoever made them meant it so.
///
/// # Panics
/// When `inputs` is no whole number of blocks.
pub fn group(kind: BlockType, bytes: &[u8], inputs: usize) -> usize {
    if kind != BlockType::Q8_0 {
        return 1;
    }
    let row_bytes = kind.bytes_of(inputs);
    let is_shared = |group: usize| {
        let mut groups = bytes.chunks(group * kind.block_bytes());
        let of_one_scale =
            |group: &[u8]| group.chunks(kind.block_bytes()).all(|block| block[..2] == group[..2]);
        row_bytes.is_multiple_of(group * kind.block_bytes()) && groups.all(of_one_scale)
    };
    GROUPS.into_iter().rev().find(|group| is_shared(*group)).unwrap_or(1)
}

/// Whether products of these quants with unsigned bytes can be added up by fours in 16 bits. It is so
/// for all types of 4 and 5 bits, and for Q8_0 where whoever rounded the weights saw to it.
pub fn has_int16_sums(quants: &[i8; BLOCK]) -> bool {
    quants.as_chunks::<8>().0.iter().all(|eight| {
        SUMMED.iter().all(|places| {
            let quants = places.map(|place| i32::from(eight[place]));
            let positive: i32 = quants.iter().map(|quant| quant.max(&0)).sum();
            let negative: i32 = quants.iter().map(|quant| quant.min(&0)).sum();
            positive <= MOST_OF_ONE_SIGN && -negative <= MOST_OF_ONE_SIGN
        })
    })
}

/// Decodes whole blocks to f32.
///
/// # Panics
/// When `out` is no whole number of blocks, or `bytes` not as long as that number needs.
pub fn decode(kind: BlockType, bytes: &[u8], out: &mut [f32]) {
    assert_eq!(bytes.len(), kind.bytes_of(out.len()), "{} {kind:?} weights", out.len());
    let blocks = || bytes.chunks_exact(kind.block_bytes());
    let outs = out.chunks_exact_mut(kind.block_values());
    match kind {
        BlockType::F32 => out.iter_mut().zip(bytes.as_chunks().0).for_each(|(out, bytes)| {
            *out = f32::from_le_bytes(*bytes);
        }),
        BlockType::F16 => out.iter_mut().zip(bytes.as_chunks().0).for_each(|(out, bytes)| {
            *out = widen(u16::from_le_bytes(*bytes));
        }),
        BlockType::BF16 => out.iter_mut().zip(bytes.as_chunks().0).for_each(|(out, bytes)| {
            *out = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
        }),
        BlockType::Q2K => blocks().zip(outs).for_each(|(block, out)| decode_q2k(block, out)),
        BlockType::Q3K => blocks().zip(outs).for_each(|(block, out)| decode_q3k(block, out)),
        BlockType::Q6K => blocks().zip(outs).for_each(|(block, out)| decode_q6k(block, out)),
        _ => blocks().zip(outs).for_each(|(block, out)| {
            for (group, out) in out.chunks_exact_mut(BLOCK).enumerate() {
                let QuantBlock { quants, scale, minimum } = quants(kind, block, group);
                for (out, quant) in out.iter_mut().zip(quants) {
                    *out = scale * f32::from(quant) + minimum;
                }
            }
        }),
    }
}

/// The 32 weights of number `group` of a block, for types that are not [`Native::Values`].
///
/// # Panics
/// For other types, and when `block` is shorter than a block.
#[inline]
pub fn quants(kind: BlockType, block: &[u8], group: usize) -> QuantBlock {
    match kind {
        BlockType::Q4_0 => {
            let quants = nibbles(&block[2..18], |_, nibble| nibble as i8 - 8);
            QuantBlock { quants, scale: half(block, 0), minimum: 0.0 }
        }
        BlockType::Q4_1 => {
            let quants = nibbles(&block[4..20], |_, nibble| nibble as i8);
            QuantBlock { quants, scale: half(block, 0), minimum: half(block, 2) }
        }
        BlockType::Q5_0 => {
            let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
            let fifth = |i: usize, nibble: u8| (nibble | fifth_bit(high, i)) as i8 - 16;
            let quants = nibbles(&block[6..22], fifth);
            QuantBlock { quants, scale: half(block, 0), minimum: 0.0 }
        }
        BlockType::Q5_1 => {
            let high = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
            let fifth = |i: usize, nibble: u8| (nibble | fifth_bit(high, i)) as i8;
            let quants = nibbles(&block[8..24], fifth);
            QuantBlock { quants, scale: half(block, 0), minimum: half(block, 2) }
        }
        BlockType::Q8_0 => {
            let quants = std::array::from_fn(|i| block[2 + i] as i8);
            QuantBlock { quants, scale: half(block, 0), minimum: 0.0 }
        }
        BlockType::Q4K => {
            let (scale, minimum) = k_scale(block, group);
            let shift = group % 2 * 4;
            let low: &[u8] = &block[16 + group / 2 * BLOCK..][..BLOCK];
            QuantBlock {
                quants: std::array::from_fn(|i| (low[i] >> shift & 15) as i8),
                scale,
                minimum,
            }
        }
        BlockType::Q5K => {
            let (scale, minimum) = k_scale(block, group);
            let shift = group % 2 * 4;
            let high = &block[16..48];
            let low = &block[48 + group / 2 * BLOCK..][..BLOCK];
            let quant = |i: usize| (low[i] >> shift & 15 | (high[i] >> group & 1) << 4) as i8;
            QuantBlock { quants: std::array::from_fn(quant), scale, minimum }
        }
        _ => panic!("{kind:?} has no quants for 32 weights"),
    }
}

/// 16 bytes of two weights: the low halves come first, then the high ones.
#[inline(always)]
fn nibbles(bytes: &[u8], quant: impl Fn(usize, u8) -> i8) -> [i8; BLOCK] {
    let mut quants = [0; BLOCK];
    for (i, &byte) in bytes.iter().enumerate() {
        quants[i] = quant(i, byte & 15);
        quants[i + 16] = quant(i + 16, byte >> 4);
    }
    quants
}

/// Bit `i` of `high`, at its place above a nibble.
#[inline(always)]
fn fifth_bit(high: u32, i: usize) -> u8 {
    ((high >> i & 1) << 4) as u8
}

/// Scale and minimum of 32 weights of a Q4_K or Q5_K block: 6-bit multiples of the block's two
/// f16 steps, eight of each in 12 bytes.
fn k_scale(block: &[u8], group: usize) -> (f32, f32) {
    let packed = &block[4..16];
    let (scale, minimum) = if group < 4 {
        (packed[group] & 63, packed[group + 4] & 63)
    } else {
        let both = packed[group + 4];
        (both & 15 | packed[group - 4] >> 6 << 4, both >> 4 | packed[group] >> 6 << 4)
    };
    (half(block, 0) * f32::from(scale), -(half(block, 2) * f32::from(minimum)))
}

/// 16 groups of 16 weights of 2 bits, each with a scale and a minimum of 4 bits.
fn decode_q2k(block: &[u8], out: &mut [f32]) {
    let (scales, low) = (&block[..16], &block[16..80]);
    let (step, step_minimum) = (half(block, 80), half(block, 82));
    for (group, out) in out.chunks_exact_mut(16).enumerate() {
        let (part, shift, side) = (group / 8, group % 8 / 2 * 2, group % 2);
        let scale = step * f32::from(scales[group] & 15);
        let minimum = step_minimum * f32::from(scales[group] >> 4);
        let low = &low[part * 32 + side * 16..][..16];
        for (out, byte) in out.iter_mut().zip(low) {
            *out = scale * f32::from(byte >> shift & 3) - minimum;
        }
    }
}

/// 16 groups of 16 weights of 2 + 1 bits, each with a signed scale of 4 + 2 bits.
fn decode_q3k(block: &[u8], out: &mut [f32]) {
    let (high, low, scales) = (&block[..32], &block[32..96], &block[96..108]);
    let step = half(block, 108);
    for (group, out) in out.chunks_exact_mut(16).enumerate() {
        let (part, slot, side) = (group / 8, group % 8 / 2, group % 2);
        let scale_low = scales[group % 8] >> (group / 8 * 4) & 15;
        let scale_high = scales[8 + group % 4] >> (group / 4 * 2) & 3;
        let scale = step * f32::from((scale_low | scale_high << 4) as i8 - 32);
        let low = &low[part * 32 + side * 16..][..16];
        let high = &high[side * 16..][..16];
        for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
            let quant = low >> (slot * 2) & 3 | (high >> (part * 4 + slot) & 1) << 2;
            *out = scale * f32::from(quant as i8 - 4);
        }
    }
}

/// 16 groups of 16 weights of 4 + 2 bits, each with a signed scale of 8 bits.
fn decode_q6k(block: &[u8], out: &mut [f32]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let step = half(block, 208);
    for (group, out) in out.chunks_exact_mut(16).enumerate() {
        let (part, slot, side) = (group / 8, group % 8 / 2, group % 2);
        let scale = step * f32::from(scales[group] as i8);
        let low = &low[part * 64 + slot % 2 * 32 + side * 16..][..16];
        let high = &high[part * 32 + side * 16..][..16];
        for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
            let quant = low >> (slot / 2 * 4) & 15 | (high >> (slot * 2) & 3) << 4;
            *out = scale * f32::from(quant as i8 - 32);
        }
    }
}

/// The f16 at byte `at`.
#[inline(always)]
fn half(block: &[u8], at: usize) -> f32 {
    widen(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// The value of an f16.
#[inline(always)]
fn widen(bits: u16) -> f32 {
    let bits = u32::from(bits);
    let (sign, magnitude) = ((bits & 0x8000) << 16, (bits & 0x7fff) << 13);
    let value = if magnitude >= 0x0f80_0000 {
        // Infinities and NaNs keep an exponent of ones.
        f32::from_bits(magnitude | 0x7f80_0000)
    } else {
        // As an f32 the bits mean 2^(bias of f32 - bias of f16) too little; subnormals as well.
        f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23)
    };
    f32::from_bits(value.to_bits() | sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_of_every_kind() {
        for (bits, value) in [
            (0x0000, 0.0),
            (0x0001, 2f32.powi(-24)),
            (0x03ff, 1023.0 * 2f32.powi(-24)),
            (0x0400, 2f32.powi(-14)),
            (0x3c00, 1.0),
            (0x3555, 0.333_251_95),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(half(&u16::to_le_bytes(bits), 0), value, "{bits:#06x}");
        }
        assert!(half(&0x7e00u16.to_le_bytes(), 0).is_nan());
    }
}
