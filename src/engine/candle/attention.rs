//! Attention span by span, rotary positions row by row, and the keys and values of a slot.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ops::softmax_last_dim;
use candle_nn::rotary_emb::{rope_i, rope_thd};
use rayon::prelude::*;

use crate::generate::{Batch, Span};
use crate::model::{Config, RopePairing, Rotary};

/// Keys and values of one sequence, a pair of tensors (kv_heads, capacity, head_dim) a layer.
pub struct KvCache {
    layers: Vec<(Tensor, Tensor)>,
}

impl KvCache {
    /// Room for `capacity` positions.
    pub fn new(config: &Config, capacity: usize, device: &Device) -> Result<KvCache> {
        let zeros =
            || Tensor::zeros((config.kv_heads, capacity, config.head_dim), DType::F32, device);
        let layers = config.layers.iter().map(|_| Ok((zeros()?, zeros()?)));
        Ok(KvCache { layers: layers.collect::<Result<_>>()? })
    }

    /// Takes over all positions of `prefix`, from position 0 on.
    pub fn copy_from(&self, prefix: &KvCache) -> Result<()> {
        for ((k, v), (prefix_k, prefix_v)) in self.layers.iter().zip(&prefix.layers) {
            k.slice_set(prefix_k, 1, 0)?;
            v.slice_set(prefix_v, 1, 0)?;
        }
        Ok(())
    }
}

/// Cosines and sines of every position, for each rotary embedding that the model uses.
pub struct RopeTable {
    tables: Vec<(Rotary, Tensor, Tensor)>,
    device: Device,
}

/// The rows of the table that a batch needs, (rows, head_dim / 2) for each of them.
pub struct Rotations(Vec<(Rotary, Tensor, Tensor)>);

impl RopeTable {
    /// Tables for positions below `max_context`; `factors` divide the frequencies (Llama 3).
    pub fn new(
        config: &Config,
        factors: Option<&[f32]>,
        max_context: usize,
        device: &Device,
    ) -> Result<RopeTable> {
        let half = config.head_dim / 2;
        let tables = config.rotaries().into_iter().map(|rotary| {
            let angle = |position: usize, i: usize| {
                let exponent = 2.0 * i as f64 / config.head_dim as f64;
                let factor = factors.map_or(1.0, |factors| f64::from(factors[i]));
                let divisor = factor * f64::from(rotary.stretch);
                position as f64 / f64::from(rotary.base).powf(exponent) / divisor
            };
            let table = |f: fn(f64) -> f64| {
                let values: Vec<f32> = (0..max_context * half)
                    .map(|at| f(angle(at / half, at % half)) as f32)
                    .collect();
                Tensor::from_vec(values, (max_context, half), device)
            };
            Ok((rotary, table(f64::cos)?, table(f64::sin)?))
        });
        Ok(RopeTable { tables: tables.collect::<Result<_>>()?, device: device.clone() })
    }

    /// What the rows of `batch` need.
    pub fn rows(&self, batch: &Batch<'_>) -> Result<Rotations> {
        let positions: Vec<u32> = batch
            .spans
            .iter()
            .flat_map(|span| (0..span.rows.len()).map(|row| (span.start + row) as u32))
            .collect();
        let positions = Tensor::new(positions, &self.device)?;
        let rows = self.tables.iter().map(|(rotary, cos, sin)| {
            Ok((*rotary, cos.index_select(&positions, 0)?, sin.index_select(&positions, 0)?))
        });
        Ok(Rotations(rows.collect::<Result<_>>()?))
    }
}

impl Rotations {
    /// Cosines and sines for a layer with this rotary embedding.
    pub fn of(&self, rotary: Rotary) -> (&Tensor, &Tensor) {
        let (_, cos, sin) =
            self.0.iter().find(|(r, ..)| *r == rotary).expect("a table for every layer");
        (cos, sin)
    }
}

/// Turns x (rows, heads, head_dim) by the angles of its rows.
pub fn rotate(x: &Tensor, (cos, sin): (&Tensor, &Tensor), pairing: RopePairing) -> Result<Tensor> {
    let x = x.contiguous()?.unsqueeze(0)?;
    let turned = match pairing {
        RopePairing::Halves => rope_thd(&x, cos, sin)?,
        RopePairing::Adjacent => {
            rope_i(&x.transpose(1, 2)?.contiguous()?, cos, sin)?.transpose(1, 2)?.contiguous()?
        }
    };
    turned.squeeze(0)
}

/// Stores the new keys and values and attends: q (rows, heads, head_dim), scaled; k and v
/// (rows, kv_heads, head_dim). Returns (rows, heads, head_dim).
pub fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    layer: usize,
    window: Option<usize>,
    spans: &[Span<'_>],
    caches: &[&KvCache],
) -> Result<Tensor> {
    let one = |(span, cache): (&Span<'_>, &KvCache)| {
        let (first, rows) = (span.rows.start, span.rows.len());
        let of_span = |x: &Tensor| x.narrow(0, first, rows)?.transpose(0, 1)?.contiguous();
        let (keys, values) = &cache.layers[layer];
        keys.slice_set(&of_span(k)?, 1, span.start)?;
        values.slice_set(&of_span(v)?, 1, span.start)?;
        attend_span(&of_span(q)?, keys, values, span.start, window)
    };
    // The spans are independent: one task each.
    let attended: Vec<Tensor> =
        spans.par_iter().zip(caches.par_iter().copied()).map(one).collect::<Result<Vec<_>>>()?;
    Tensor::cat(&attended, 0)
}

/// One sequence: q (heads, rows, head_dim) at positions from `start` on, against all keys up to
/// its own within the window. Returns (rows, heads, head_dim).
fn attend_span(
    q: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    start: usize,
    window: Option<usize>,
) -> Result<Tensor> {
    let (heads, rows, head_dim) = q.dims3()?;
    let kv_heads = keys.dim(0)?;
    let end = start + rows;
    // The first row sees furthest back.
    let first_key = window.map_or(0, |window| (start + 1).saturating_sub(window));
    let seen = end - first_key;
    let keys = keys.narrow(1, first_key, seen)?;
    let values = values.narrow(1, first_key, seen)?;
    let q = q.reshape((kv_heads, heads / kv_heads * rows, head_dim))?;
    let mut scores = q.matmul(&keys.transpose(1, 2)?)?;
    if rows > 1 {
        let mask = mask(start, rows, first_key, seen, window, q.device())?;
        scores = scores
            .reshape((kv_heads, heads / kv_heads, rows, seen))?
            .broadcast_add(&mask)?
            .reshape((kv_heads, heads / kv_heads * rows, seen))?;
    }
    let attended = softmax_last_dim(&scores)?.matmul(&values.contiguous()?)?;
    attended.reshape((heads, rows, head_dim))?.transpose(0, 1)?.contiguous()
}

/// 0 where the row may see the key, minus infinity elsewhere: (rows, keys).
fn mask(
    start: usize,
    rows: usize,
    first_key: usize,
    seen: usize,
    window: Option<usize>,
    device: &Device,
) -> Result<Tensor> {
    let visible = |position: usize, key: usize| {
        key <= position && window.is_none_or(|window| position - key < window)
    };
    let values: Vec<f32> = (0..rows * seen)
        .map(|at| match visible(start + at / seen, first_key + at % seen) {
            true => 0.0,
            false => f32::NEG_INFINITY,
        })
        .collect();
    Tensor::from_vec(values, (rows, seen), device)
}
