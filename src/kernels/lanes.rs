//! Sixteen f32 at a time: what rows between products are computed with.
//!
//! Compilers turn loops over arrays into vector code, but not what ends in one number: the largest
//! of a block, the sum of a row. So the steps of a row are written once, over [`Lanes`], which
//! plain arrays are and registers of AVX2, of AVX-512 and of NEON are. Every operation is exactly rounded and sums of
//! lanes have one order, so all give the same bits.

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

#[cfg(target_arch = "aarch64")]
use super::instructions::Neon;
#[cfg(target_arch = "x86_64")]
use super::instructions::{Avx2, Avx512};

/// Values of a vector.
pub(super) const LANES: usize = 16;

/// Adding 1.5 · 2^23 leaves the nearest integer in the low bits of a sum.
const ROUND: f32 = 12_582_912.0;

/// `[$value, $value]` with `$i` 0 and 1: both vectors of a block. Not `map`, whose closure a compiler
/// may leave a function of its own, and as such without the caller's instruction set.
macro_rules! both {
    ($i:ident => $value:expr) => {
        [
            {
                let $i = 0;
                $value
            },
            {
                let $i = 1;
                $value
            },
        ]
    };
}
pub(super) use both;

/// Operations on vectors of sixteen f32, and the proof that the processor has them.
pub(super) trait Lanes: Copy + Sync {
    /// A vector.
    type F: Copy;
    fn splat(self, value: f32) -> Self::F;
    fn load(self, from: &[f32; LANES]) -> Self::F;
    fn store(self, value: Self::F, to: &mut [f32; LANES]);
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// a · b + c with one rounding.
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// Lane l and lane l + n are added for n = 8, 4, 2, 1.
    fn sum(self, value: Self::F) -> f32;
    /// In each lane the larger magnitude; not a number, if one of them is not.
    fn larger(self, a: Self::F, b: Self::F) -> Self::F;
    /// The largest magnitude of all lanes; not a number, if one of them is not.
    fn largest_magnitude(self, a: Self::F, b: Self::F) -> f32;
    /// Integers from -128 to 127 as bytes.
    fn store_bytes(self, integers: Self::F, to: &mut [i8; LANES]);

    /// The nearest integers, the even ones from the middle, of values below 2^22.
    #[inline(always)]
    fn nearest(self, value: Self::F) -> Self::F {
        let round = self.splat(ROUND);
        self.sub(self.add(value, round), round)
    }
}

/// Arrays, which every processor has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plain;

impl Lanes for Plain {
    type F = [f32; LANES];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        [value; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F {
        *from
    }

    #[inline(always)]
    fn store(self, value: Self::F, to: &mut [f32; LANES]) {
        *to = value;
    }

    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        std::array::from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        std::array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }

    #[inline(always)]
    fn sum(self, mut value: Self::F) -> f32 {
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                value[i] += value[i + half];
            }
        }
        value[0]
    }

    #[inline(always)]
    fn larger(self, a: Self::F, b: Self::F) -> Self::F {
        let bits = |value: f32| value.to_bits() & 0x7fff_ffff;
        std::array::from_fn(|i| f32::from_bits(bits(a[i]).max(bits(b[i]))))
    }

    #[inline(always)]
    fn largest_magnitude(self, a: Self::F, b: Self::F) -> f32 {
        // Magnitudes are ordered as their bits are.
        let bits = |value: &f32| value.to_bits() & 0x7fff_ffff;
        f32::from_bits(a.iter().chain(&b).map(bits).fold(0, u32::max))
    }

    #[inline(always)]
    fn store_bytes(self, integers: Self::F, to: &mut [i8; LANES]) {
        *to = integers.map(|integer| (integer + ROUND).to_bits() as i8);
    }
}

// SAFETY, of all blocks here: `self` proves that the processor has AVX2 and FMA, and what is loaded and
// stored are arrays of as many bytes as is said.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::undocumented_unsafe_blocks, reason = "all for the reason above")]
impl Lanes for Avx2 {
    type F = [__m256; 2];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        unsafe { [_mm256_set1_ps(value); 2] }
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F {
        let from = from.as_chunks::<8>().0;
        unsafe { both!(i => _mm256_loadu_ps(from[i].as_ptr())) }
    }

    #[inline(always)]
    fn store(self, value: Self::F, to: &mut [f32; LANES]) {
        let to = to.as_chunks_mut::<8>().0;
        unsafe { both!(i => _mm256_storeu_ps(to[i].as_mut_ptr(), value[i])) };
    }

    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { both!(i => _mm256_add_ps(a[i], b[i])) }
    }

    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { both!(i => _mm256_sub_ps(a[i], b[i])) }
    }

    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { both!(i => _mm256_mul_ps(a[i], b[i])) }
    }

    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        unsafe { both!(i => _mm256_fmadd_ps(a[i], b[i], c[i])) }
    }

    #[inline(always)]
    fn sum(self, value: Self::F) -> f32 {
        unsafe { sum_of_eight(_mm256_add_ps(value[0], value[1])) }
    }

    #[inline(always)]
    fn larger(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe {
            let bits = _mm256_set1_epi32(0x7fff_ffff);
            both!(i => {
                let a = _mm256_and_si256(_mm256_castps_si256(a[i]), bits);
                let b = _mm256_and_si256(_mm256_castps_si256(b[i]), bits);
                _mm256_castsi256_ps(_mm256_max_epi32(a, b))
            })
        }
    }

    #[inline(always)]
    fn largest_magnitude(self, a: Self::F, b: Self::F) -> f32 {
        let larger = self.larger(a, b);
        unsafe {
            let [low, high] = both!(i => _mm256_castps_si256(larger[i]));
            largest_of_eight(_mm256_max_epi32(low, high))
        }
    }

    #[inline(always)]
    fn store_bytes(self, integers: Self::F, to: &mut [i8; LANES]) {
        unsafe {
            // The lowest byte of each word; packing keeps values of a byte, of either half by itself.
            let byte = _mm256_set1_epi32(0xff);
            let round = _mm256_set1_ps(ROUND);
            let [low, high] = both!(i => {
                let words = _mm256_castps_si256(_mm256_add_ps(integers[i], round));
                _mm256_and_si256(words, byte)
            });
            let halves = _mm256_packus_epi32(low, high);
            let halves = _mm256_permute4x64_epi64::<0b_11_01_10_00>(halves);
            let [low, high] =
                [_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves)];
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm_packus_epi16(low, high));
        }
    }
}

/// Lane l and lane l + n are added for n = 4, 2, 1.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn sum_of_eight(eight: __m256) -> f32 {
    let low = _mm256_castps256_ps128(eight);
    let four = _mm_add_ps(low, _mm256_extractf128_ps::<1>(eight));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// The largest of integers, which are bits of f32 that are not negative.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn largest_of_eight(eight: __m256i) -> f32 {
    let low = _mm256_castsi256_si128(eight);
    let four = _mm_max_epi32(low, _mm256_extracti128_si256::<1>(eight));
    let two = _mm_max_epi32(four, _mm_shuffle_epi32::<0b_01_00_11_10>(four));
    let one = _mm_max_epi32(two, _mm_shuffle_epi32::<0b_10_11_00_01>(two));
    _mm_cvtss_f32(_mm_castsi128_ps(one))
}

// SAFETY, of all blocks here: `self` proves that the processor has AVX-512 F and DQ, and what is
// loaded and stored are arrays of as many bytes as is said.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::undocumented_unsafe_blocks, reason = "all for the reason above")]
impl Lanes for Avx512 {
    type F = __m512;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> __m512 {
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, value: __m512, to: &mut [f32; LANES]) {
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), value) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn sum(self, value: __m512) -> f32 {
        unsafe {
            let low = _mm512_castps512_ps256(value);
            sum_of_eight(_mm256_add_ps(low, _mm512_extractf32x8_ps::<1>(value)))
        }
    }

    #[inline(always)]
    fn larger(self, a: __m512, b: __m512) -> __m512 {
        unsafe {
            let bits = _mm512_set1_epi32(0x7fff_ffff);
            let a = _mm512_and_si512(_mm512_castps_si512(a), bits);
            let b = _mm512_and_si512(_mm512_castps_si512(b), bits);
            _mm512_castsi512_ps(_mm512_max_epi32(a, b))
        }
    }

    #[inline(always)]
    fn largest_magnitude(self, a: __m512, b: __m512) -> f32 {
        unsafe {
            let both = _mm512_castps_si512(self.larger(a, b));
            let low = _mm512_castsi512_si256(both);
            largest_of_eight(_mm256_max_epi32(low, _mm512_extracti64x4_epi64::<1>(both)))
        }
    }

    #[inline(always)]
    fn store_bytes(self, integers: __m512, to: &mut [i8; LANES]) {
        unsafe {
            let integers = _mm512_add_ps(integers, _mm512_set1_ps(ROUND));
            let bytes = _mm512_cvtepi32_epi8(_mm512_castps_si512(integers));
            _mm_storeu_si128(to.as_mut_ptr().cast(), bytes);
        }
    }
}

/// `[$value; 4]` with `$i` from 0 to 3, for the reason that [`both`] has.
#[cfg(target_arch = "aarch64")]
macro_rules! four {
    ($i:ident => $value:expr) => {{
        let ([a, b], [c, d]) = (both!($i => $value), both!(j => { let $i = j + 2; $value }));
        [a, b, c, d]
    }};
}

// SAFETY, of all blocks here: every processor of this architecture has NEON, and what is loaded and
// stored are arrays of as many bytes as is said.
#[cfg(target_arch = "aarch64")]
#[allow(clippy::undocumented_unsafe_blocks, reason = "all for the reason above")]
impl Lanes for Neon {
    type F = [float32x4_t; 4];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        unsafe { [vdupq_n_f32(value); 4] }
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F {
        let from = from.as_chunks::<4>().0;
        unsafe { four!(i => vld1q_f32(from[i].as_ptr())) }
    }

    #[inline(always)]
    fn store(self, value: Self::F, to: &mut [f32; LANES]) {
        let to = to.as_chunks_mut::<4>().0;
        unsafe { four!(i => vst1q_f32(to[i].as_mut_ptr(), value[i])) };
    }

    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { four!(i => vaddq_f32(a[i], b[i])) }
    }

    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { four!(i => vsubq_f32(a[i], b[i])) }
    }

    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { four!(i => vmulq_f32(a[i], b[i])) }
    }

    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        unsafe { four!(i => vfmaq_f32(c[i], a[i], b[i])) }
    }

    #[inline(always)]
    fn sum(self, value: Self::F) -> f32 {
        unsafe {
            let [low, high] = both!(i => vaddq_f32(value[i], value[i + 2]));
            let four = vaddq_f32(low, high);
            let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
            vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
        }
    }

    #[inline(always)]
    fn larger(self, a: Self::F, b: Self::F) -> Self::F {
        // Magnitudes are not negative, so their bits are ordered as they are.
        unsafe {
            four!(i => {
                let (a, b) = (vabsq_f32(a[i]), vabsq_f32(b[i]));
                let bits = vmaxq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b));
                vreinterpretq_f32_u32(bits)
            })
        }
    }

    #[inline(always)]
    fn largest_magnitude(self, a: Self::F, b: Self::F) -> f32 {
        unsafe {
            let largest = self.larger(a, b);
            let largest = four!(i => vreinterpretq_u32_f32(largest[i]));
            let [low, high] = both!(i => vmaxq_u32(largest[i], largest[i + 2]));
            f32::from_bits(vmaxvq_u32(vmaxq_u32(low, high)))
        }
    }

    #[inline(always)]
    fn store_bytes(self, integers: Self::F, to: &mut [i8; LANES]) {
        unsafe {
            let words = four!(i => {
                vmovn_u32(vreinterpretq_u32_f32(vaddq_f32(integers[i], vdupq_n_f32(ROUND))))
            });
            let bytes = both!(i => vmovn_u16(vcombine_u16(words[2 * i], words[2 * i + 1])));
            vst1q_u8(to.as_mut_ptr().cast(), vcombine_u8(bytes[0], bytes[1]));
        }
    }
}

/// A block of 32 values, as two vectors.
#[inline(always)]
pub(super) fn load_block<L: Lanes>(lanes: L, from: &[f32]) -> [L::F; 2] {
    let halves = from.as_chunks::<LANES>().0;
    [lanes.load(&halves[0]), lanes.load(&halves[1])]
}

/// The sum of the squares of values that come in blocks of 32.
#[inline(always)]
pub(super) fn sum_of_squares<'a, L: Lanes>(
    lanes: L,
    blocks: impl Iterator<Item = &'a [f32]>,
) -> f32 {
    let mut squares = [lanes.splat(0.0); 2];
    for block in blocks {
        let x = load_block(lanes, block);
        squares = both!(i => lanes.mul_add(x[i], x[i], squares[i]));
    }
    lanes.sum(lanes.add(squares[0], squares[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results<L: Lanes>(lanes: L) -> Vec<f32> {
        let values = |seed: f32| std::array::from_fn(|i| ((i as f32 + seed) * 1.7).sin() * 90.0);
        let (a, b, c) =
            (lanes.load(&values(0.1)), lanes.load(&values(3.0)), lanes.load(&values(7.9)));
        let mut out = [[0.0; LANES]; 6];
        lanes.store(lanes.add(a, b), &mut out[0]);
        lanes.store(lanes.sub(a, b), &mut out[1]);
        lanes.store(lanes.mul(a, lanes.splat(0.3)), &mut out[2]);
        lanes.store(lanes.mul_add(a, b, c), &mut out[3]);
        lanes.store(lanes.nearest(a), &mut out[4]);
        lanes.store(lanes.larger(b, c), &mut out[5]);
        let mut bytes = [0; LANES];
        lanes.store_bytes(lanes.nearest(a), &mut bytes);
        for (byte, integer) in bytes.into_iter().zip(out[4]) {
            assert_eq!(f32::from(byte), integer);
        }
        let ends = [lanes.sum(a), lanes.largest_magnitude(b, c)];
        out.into_iter().flatten().chain(ends).collect()
    }

    #[test]
    fn registers_compute_what_arrays_do() {
        let plain = results(Plain);
        assert_eq!(plain[4 * LANES], (0.1f32 * 1.7).sin().mul_add(90.0, 0.0).round_ties_even());
        #[cfg(target_arch = "x86_64")]
        if let Some(registers) = Avx2::new() {
            assert_eq!(results(registers), plain);
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(registers) = Avx512::new() {
            assert_eq!(results(registers), plain);
        }
        #[cfg(target_arch = "aarch64")]
        assert_eq!(results(Neon), plain);
    }
}
