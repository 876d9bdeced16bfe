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

use candle_core::Result;

use super::LayerWeights;
use super::merge::Scales;

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

/// What the channels of a layer are divided by where they are made, and multiplied with where they meet
/// weights; see [`Channels`].
pub struct Factors {
    attn_norm: Vec<f32>,
    attn_output: Vec<f32>,
    /// The same for each input of the output matrix: the query heads of a KV head, one after another,
    /// meet the same values.
    attn_output_inputs: Vec<f32>,
    ffn_norm: Vec<f32>,
    ffn_down: Vec<f32>,
    /// One over those of the output matrix and of `down`.
    of_values: Vec<f32>,
    of_up: Vec<f32>,
}

impl Factors {
    /// The factors of a layer whose seven matrices, in the order of [`LayerWeights::matrices`], have
    /// columns of these sums of squares.
    ///
    /// # Errors
    /// Where the lengths of `channels` are not those of the layer.
    pub fn new(squares: &[Vec<f32>; 7], channels: &Channels, head_dim: usize) -> Result<Factors> {
        let [q, k, v, output, gate, up, down] = squares;
        let attn_norm = factors(&channels.attn_norm, sum(&[q, k, v]))?;
        let ffn_norm = factors(&channels.ffn_norm, sum(&[gate, up]))?;
        let ffn_down = factors(&channels.ffn_down, down.clone())?;
        let group = output.len() / channels.attn_output.len().max(1);
        let value_of = |column: usize| column / (group * head_dim) * head_dim + column % head_dim;
        let mut of_heads = vec![0.0; channels.attn_output.len()];
        for (column, square) in output.iter().enumerate() {
            if let Some(sum) = of_heads.get_mut(value_of(column)) {
                *sum += square;
            }
        }
        let attn_output = factors(&channels.attn_output, of_heads)?;
        Ok(Factors {
            attn_output_inputs: (0..output.len()).map(|at| attn_output[value_of(at)]).collect(),
            of_values: inverse(&attn_output),
            of_up: inverse(&ffn_down),
            attn_norm,
            attn_output,
            ffn_norm,
            ffn_down,
        })
    }

    /// For each of the seven matrices.
    pub fn scales(&self) -> [Scales<'_>; 7] {
        let columns = |columns| Scales { columns: Some(columns), rows: None };
        let attn_norm = columns(&self.attn_norm[..]);
        let ffn_norm = columns(&self.ffn_norm[..]);
        [
            attn_norm,
            attn_norm,
            Scales { rows: Some(&self.of_values), ..attn_norm },
            columns(&self.attn_output_inputs),
            ffn_norm,
            Scales { rows: Some(&self.of_up), ..ffn_norm },
            columns(&self.ffn_down),
        ]
    }

    /// Divides what else makes the channels of `layer`.
    pub fn divide(&self, layer: &mut LayerWeights) {
        divide(&mut layer.attn_norm, &self.attn_norm);
        divide(&mut layer.ffn_norm, &self.ffn_norm);
        if let Some([_, _, bias]) = &mut layer.qkv_bias {
            divide(bias, &self.attn_output);
        }
    }
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
    // Logarithms differ from one system's library to another's, but not so much that an f32 would.
    let logs: Vec<f64> = activations
        .iter()
        .zip(&weights)
        .map(|(a, w)| 0.5 * f64::from(a.max(least_a) / w.max(least_w)).ln())
        .collect();
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    let factors: Vec<f32> = logs.into_iter().map(|log| (log - mean).exp() as f32).collect();
    if factors.iter().any(|factor| !factor.is_normal()) {
        candle_core::bail!("sizes of channels that are no positive numbers");
    }
    Ok(factors)
}

/// Of matrices side by side.
fn sum(squares: &[&Vec<f32>]) -> Vec<f32> {
    let mut sums = squares[0].clone();
    for squares in &squares[1..] {
        sums.iter_mut().zip(*squares).for_each(|(sum, square)| *sum += square);
    }
    sums
}

fn inverse(factors: &[f32]) -> Vec<f32> {
    factors.iter().map(|factor| 1.0 / factor).collect()
}

fn divide(values: &mut [f32], factors: &[f32]) {
    values.iter_mut().zip(factors).for_each(|(value, factor)| *value /= factor);
}
