//! exp and the activations built on it, in plain arithmetic that compilers turn into vector code.
//!
//! Every operation here is exactly rounded (or a fixed sequence of such), so the results are the
//! same bits in scalar code and in any vector width. Inlined into functions that enable an
//! instruction set, so that loops over them use it.

/// e^x with a relative error below 2e-7 for x in [-87, 88]; 0 below, e^88 above.
///
/// x = n · ln 2 + r with |r| <= ln 2 / 2, and e^r by a polynomial of degree 6 (the minimax
/// coefficients of Cephes' expf, Moshier 1992).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5 · 2^23 leaves the nearest integer in the low bits of the sum, without a rounding
    // instruction that some processors lack and a conversion that checks its range.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.0, 88.0);
    let rounded = clamped.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, clamped));
    let mut p = 1.987_569_1e-4;
    p = r.mul_add(p, 1.398_2e-3);
    p = r.mul_add(p, 8.333_452e-3);
    p = r.mul_add(p, 4.166_579_6e-2);
    p = r.mul_add(p, 1.666_666_5e-1);
    p = r.mul_add(p, 0.5);
    let power = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    let value = (r * r).mul_add(p, r + 1.0) * power;
    if x < -87.0 { 0.0 } else { value }
}

/// x · sigmoid(x).
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// GELU by its tanh approximation: x · sigmoid(2 √(2/π) (x + 0.044715 x³)), since
/// (1 + tanh u) / 2 = sigmoid(2 u).
#[inline(always)]
pub fn gelu_tanh(x: f32) -> f32 {
    const TWICE_SQRT_2_OVER_PI: f32 = 1.595_769;
    let inner = (x * x * x).mul_add(0.044_715, x) * TWICE_SQRT_2_OVER_PI;
    x / (1.0 + exp(-inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate_over_its_whole_range() {
        for i in -870_000..880_000 {
            let x = i as f32 * 1e-4;
            let truth = f64::from(x).exp();
            let error = (f64::from(exp(x)) - truth).abs() / truth;
            assert!(error < 2e-7, "exp({x}): {error:e}");
        }
        assert_eq!([exp(-90.0), exp(f32::NEG_INFINITY)], [0.0, 0.0]);
        assert!(exp(1000.0).is_finite());
    }

    #[test]
    fn activations_are_what_their_names_say() {
        for i in -2000..2000 {
            let x = i as f32 * 0.01;
            let wide = f64::from(x);
            let u = (2.0 / std::f64::consts::PI).sqrt() * (wide + 0.044715 * wide.powi(3));
            let checks = [
                (silu(x), wide / (1.0 + (-wide).exp())),
                (gelu_tanh(x), 0.5 * wide * (1.0 + u.tanh())),
            ];
            for (value, truth) in checks {
                assert!((f64::from(value) - truth).abs() < 1e-6 * (1.0 + wide.abs()), "{x}");
            }
        }
    }
}
