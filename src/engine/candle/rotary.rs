//! Rotary positions, row by row.

use candle_core::{Device, Result, Tensor};
use candle_nn::rotary_emb::{rope_i, rope_thd};

use crate::generate::Batch;
use crate::model::{Config, RopePairing, Rotary};

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
        let shape = (max_context, config.head_dim / 2);
        let tables = config.rotaries().into_iter().map(|rotary| {
            let [cos, sin] = config
                .rotations(rotary, factors, max_context)
                .map(|values| Tensor::from_vec(values, shape, device));
            Ok((rotary, cos?, sin?))
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
