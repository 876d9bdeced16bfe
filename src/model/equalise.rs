//! Channels of about equal size, in activations and in weights.
//!
//! Activations and weights are rounded in blocks of 32 that share a scale, so a channel much larger
//! than its neighbours costs them their precision; and some channels of a decoder are tens of times
//! larger than others, the same ones whatever it reads. A channel can be divided by a factor where it
//! is made and the weights it meets multiplied with it, and the model is the same: in exact
//! arithmetic. With factor √(a / w), a the size of the channel and w that of its weights, both come
//! out as √(a · w) (SmoothQuant, Xiao et al. 2023, with migration strength 1/2). What makes a
//! channel is a norm's weight, a row of the value matrix, or one of `up`, which only scales what it
//! is multiplied with.
//!
//! It is done while an adapter is merged, since only then are weights rounded anew.

use candle_core::{Device, Result, Tensor};

use super::LayerWeights;

/// Channels and weights smaller than this share of the mean count as that large: what is nearly
/// nothing is left so.
const LEAST: f32 = 0.05;

/// The root mean squares of the inputs of a layer's products: query, key and value (hidden), output
/// (kv_heads · head_dim, all query heads of a KV head together), gate and up (hidden), and down
/// (ffn_hidden).
pub struct Channels {
    pub attn_norm: Vec<f32>,
    pub attn_output: Vec<f32>,
    pub ffn_norm: Vec<f32>,
    pub ffn_down: Vec<f32>,
}

/// The names of the tensors that hold them, behind `blk.N.`.
pub const NAMES: [&str; 4] = ["attn_norm.rms", "attn_output.rms", "ffn_norm.rms", "ffn_down.rms"];

/// Equalises the channels of a layer whose seven matrices, in the order of
/// [`LayerWeights::matrices`], are `matrices`: f32, and about to be rounded.
///
/// # Errors
/// Where the lengths of `channels` are not those of the layer.
pub fn equalise(
    layer: &mut LayerWeights,
    matrices: &mut [Tensor; 7],
    channels: &Channels,
    head_dim: usize,
) -> Result<()> {
    let [q, k, v, output, gate, up, down] = matrices;
    let attn_norm = factors(&channels.attn_norm, column_squares(&[q, k, v])?)?;
    let ffn_norm = factors(&channels.ffn_norm, column_squares(&[gate, up])?)?;
    let ffn_down = factors(&channels.ffn_down, column_squares(&[down])?)?;
    // The query heads of a KV head, one after another, meet the same values.
    let of_heads = column_squares(&[output])?;
    let group = of_heads.len() / channels.attn_output.len().max(1);
    let value_of = |column: usize| column / (group * head_dim) * head_dim + column % head_dim;
    let mut of_values = vec![0.0; channels.attn_output.len()];
    for (column, square) in of_heads.iter().enumerate() {
        if let Some(sum) = of_values.get_mut(value_of(column)) {
            *sum += square;
        }
    }
    let attn_output = factors(&channels.attn_output, of_values)?;

    for matrix in [&mut *q, k, v] {
        *matrix = scale(matrix, &attn_norm, 1)?;
    }
    for matrix in [&mut *gate, up] {
        *matrix = scale(matrix, &ffn_norm, 1)?;
    }
    *down = scale(down, &ffn_down, 1)?;
    *up = scale(up, &inverse(&ffn_down), 0)?;
    let spread: Vec<f32> = (0..of_heads.len()).map(|at| attn_output[value_of(at)]).collect();
    *output = scale(output, &spread, 1)?;
    *v = scale(v, &inverse(&attn_output), 0)?;
    divide(&mut layer.attn_norm, &attn_norm);
    divide(&mut layer.ffn_norm, &ffn_norm);
    if let Some([_, _, bias]) = &mut layer.qkv_bias {
        divide(bias, &attn_output);
    }
    Ok(())
}

/// √(a / w) of each channel, of geometric mean 1; `squares` are those of w.
fn factors(activations: &[f32], squares: Vec<f32>) -> Result<Vec<f32>> {
    if activations.len() != squares.len() {
        let (found, needed) = (activations.len(), squares.len());
        candle_core::bail!("sizes of {found} channels, of which the layer has {needed}");
    }
    let weights: Vec<f32> = squares.into_iter().map(f32::sqrt).collect();
    let floor = |values: &[f32]| LEAST * values.iter().sum::<f32>() / values.len() as f32;
    let (least_a, least_w) = (floor(activations), floor(&weights));
    let logs: Vec<f32> = activations
        .iter()
        .zip(&weights)
        .map(|(a, w)| 0.5 * (a.max(least_a) / w.max(least_w)).ln())
        .collect();
    let mean = logs.iter().sum::<f32>() / logs.len() as f32;
    let factors: Vec<f32> = logs.into_iter().map(|log| (log - mean).exp()).collect();
    if factors.iter().any(|factor| !factor.is_normal()) {
        candle_core::bail!("sizes of channels that are no positive numbers");
    }
    Ok(factors)
}

/// The sum of the squares of each column of matrices side by side.
fn column_squares(matrices: &[&mut Tensor]) -> Result<Vec<f32>> {
    let mut sums = vec![0.0; matrices[0].dim(1)?];
    for matrix in matrices {
        let squares = matrix.sqr()?.sum(0)?.to_vec1::<f32>()?;
        sums.iter_mut().zip(squares).for_each(|(sum, square)| *sum += square);
    }
    Ok(sums)
}

/// Rows (dimension 0) or columns (1) times a factor each.
fn scale(matrix: &Tensor, factors: &[f32], dimension: usize) -> Result<Tensor> {
    let factors = Tensor::new(factors, &Device::Cpu)?;
    matrix.broadcast_mul(&factors.unsqueeze(1 - dimension)?)
}

fn inverse(factors: &[f32]) -> Vec<f32> {
    factors.iter().map(|factor| 1.0 / factor).collect()
}

fn divide(values: &mut [f32], factors: &[f32]) {
    values.iter_mut().zip(factors).for_each(|(value, factor)| *value /= factor);
}
