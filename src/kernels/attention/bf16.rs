//! Values and weights of attention as bf16: the upper half of an f32.
//!
//! Not fp16, since activations of some models exceed 65,504.

/// The nearest bf16 as the upper half of a word, the even one from the middle; what is not a
/// number stays so.
///
/// Magnitudes below 2^-40 become 0. They mean nothing beside others, and without them no product
/// or sum of two such values is ever subnormal: `vdpbf16ps` takes subnormal numbers for 0, other
/// instructions do not, and so nobody can tell. Inlined, so that it uses the caller's instructions.
#[inline(always)]
pub(super) fn rounded(value: f32) -> u32 {
    const INFINITY: u32 = f32::INFINITY.to_bits();
    const SMALLEST: u32 = (127 - 40) << 23;
    let bits = value.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    let number = if magnitude < SMALLEST { 0 } else { nearest };
    (if magnitude > INFINITY { bits | 0x40_0000 } else { number }) & 0xffff_0000
}

/// The f32 of a bf16.
pub(super) fn widen(value: u16) -> f32 {
    f32::from_bits(u32::from(value) << 16)
}

/// The two values of a word, the upper one first.
#[inline(always)]
pub(super) fn halves(word: u32) -> [f32; 2] {
    [f32::from_bits(word & 0xffff_0000), f32::from_bits(word << 16)]
}

/// Rounds values and puts two into each word, the first above. Inlined into functions that enable an
/// instruction set.
#[inline(always)]
pub(super) fn pack(values: &[f32], words: &mut [u32]) {
    for (pair, word) in values.as_chunks::<2>().0.iter().zip(words) {
        *word = rounded(pair[0]) | rounded(pair[1]) >> 16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_the_nearest_and_to_even_from_the_middle() {
        let check = |bits: u32, expected: u32| {
            assert_eq!(rounded(f32::from_bits(bits)), expected << 16, "{bits:#x}");
        };
        check(0x3f80_0000, 0x3f80);
        check(0x3f80_7fff, 0x3f80);
        check(0x3f80_8000, 0x3f80);
        check(0x3f80_8001, 0x3f81);
        check(0x3f81_8000, 0x3f82);
        check(0x7f7f_ffff, 0x7f80); // beyond the largest bf16
        check(0xff80_0000, 0xff80);
        check(2f32.powi(-40).to_bits(), 0x2b80);
        check(2f32.powi(-40).to_bits() - 1, 0);
        check(0x8000_0001, 0);
        assert!(f32::from_bits(rounded(f32::from_bits(0x7f80_0001))).is_nan());
        assert!(f32::from_bits(rounded(f32::from_bits(0xffff_ffff))).is_nan());
    }
}
