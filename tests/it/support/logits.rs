//! What is measured of rows of logits.

/// Kullback-Leibler divergence of two distributions given as logits, in nats.
pub fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let (p_total, q_total) = (log_total(p), log_total(q));
    let logs = p.iter().zip(q).map(|(p, q)| (f64::from(*p) - p_total, f64::from(*q) - q_total));
    logs.map(|(p, q)| p.exp() * (p - q)).sum()
}

/// The logarithm of the sum of exponentials, which takes logits to logarithms of probabilities.
pub fn log_total(logits: &[f32]) -> f64 {
    let highest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    highest + logits.iter().map(|x| (f64::from(*x) - highest).exp()).sum::<f64>().ln()
}

/// The highest logit, and the lowest token of equal ones.
pub fn first_choice(logits: &[f32]) -> u32 {
    (0..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best }) as u32
}
