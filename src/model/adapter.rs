//! Low-rank adapters (LoRA, Hu et al. 2021), merged into the weights when a model is loaded.
//!
//! An adapter is a safetensors file with, for a matrix W of the model named `blk.3.attn_q`, the
//! factors `blk.3.attn_q.lora_a` (rank × inputs) and `blk.3.attn_q.lora_b` (outputs × rank), and
//! the metadata key `scale`; the merged matrix is W + scale · B · A. Factors are f32, f16, bf16, or
//! integers of 8 bits (I8), and then `blk.3.attn_q.lora_scale` (rank) is what each row of A times the
//! column of B that it meets is worth: W + scale · B · diag(lora_scale) · A. The merged matrix is
//! requantized to Q8_0: finer than any type the base is likely to have, symmetric, and fast on every
//! engine. Merging before the first step means that no engine needs to know of adapters.
//!
//! The file may say, too, how large the channels of the merged model are ([`super::equalise`]).

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::equalise::{Channels, NAMES, equalise};
use super::{LayerWeights, Weights};
use crate::{Error, Result, error::ErrorKind};

/// Largest adapter file accepted, in bytes.
const MAX_ADAPTER_BYTES: usize = 1 << 30;

/// Merges the adapter in `bytes` (a safetensors file; `name` is for messages) into `weights`, whose
/// heads have `head_dim` dimensions. Says whether channels were equalised, in all layers.
///
/// # Errors
/// [`ErrorKind::Model`] where the file is no adapter, does not fit the model, or holds a tensor
/// that belongs to no matrix: nothing of an adapter is ignored.
pub fn merge(weights: &mut Weights, head_dim: usize, name: &str, bytes: &[u8]) -> Result<bool> {
    let bad = |message: String| Error::new(ErrorKind::Model, format!("adapter {name}: {message}"));
    if bytes.len() > MAX_ADAPTER_BYTES {
        return Err(bad(format!("{} bytes, more than {MAX_ADAPTER_BYTES}", bytes.len())));
    }
    let (_, header) = SafeTensors::read_metadata(bytes)
        .map_err(|e| bad("not a safetensors file".into()).because(e))?;
    let scale = header.metadata().as_ref().and_then(|map| map.get("scale")?.parse::<f64>().ok());
    let scale = scale
        .filter(|scale| scale.is_finite())
        .ok_or_else(|| bad("its metadata lacks a number `scale`".into()))?;
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| bad("not a safetensors file".into()).because(e))?;
    let tensors: HashMap<String, Tensor> = file
        .iter()
        .map(|(name, view)| {
            let tensor = values(&view).map_err(|e| bad(format!("cannot read {name}")).because(e));
            Ok((name.to_owned(), tensor?))
        })
        .collect::<Result<_>>()?;

    // Layers are independent, and requantizing them one by one would be most of loading.
    let merge_layer = |(index, layer): (usize, &mut LayerWeights)| -> Result<(usize, bool)> {
        let (mut used, mut equalised) = (0, false);
        let mut merged = [const { None::<Tensor> }; 7];
        for ((part, matrix), merged) in layer.matrices().into_iter().zip(&mut merged) {
            let place = format!("blk.{index}.{part}");
            let factor = |which: &str| tensors.get(&format!("{place}.{which}"));
            let (Some(a), Some(b)) = (factor("lora_a"), factor("lora_b")) else { continue };
            let worth = factor("lora_scale");
            let matrix = merge_one(matrix, [a, b], worth, scale)
                .map_err(|e| bad(format!("does not fit {place} of this model")).because(e))?;
            *merged = Some(matrix);
            used += 2 + usize::from(worth.is_some());
        }
        let rms = NAMES.map(|name| tensors.get(&format!("blk.{index}.{name}")));
        if let [Some(_), Some(_), Some(_), Some(_)] = rms
            && merged.iter().all(Option::is_some)
        {
            let mut all = merged.map(|matrix| matrix.expect("all are there"));
            channels(rms.map(|rms| rms.expect("all are there")))
                .and_then(|channels| equalise(layer, &mut all, &channels, head_dim))
                .map_err(|e| bad(format!("does not fit blk.{index} of this model")).because(e))?;
            merged = all.map(Some);
            used += rms.len();
            equalised = true;
        }
        for ((part, matrix), merged) in layer.matrices_mut().into_iter().zip(merged) {
            let Some(merged) = merged else { continue };
            let rounded = QTensor::quantize(&merged, GgmlDType::Q8_0)
                .map_err(|e| bad(format!("blk.{index}.{part} cannot be rounded")).because(e))?;
            *matrix = Arc::new(rounded);
        }
        Ok((used, equalised))
    };
    let layers: Vec<(usize, bool)> =
        weights.layers.par_iter_mut().enumerate().map(merge_layer).collect::<Result<_>>()?;
    let used: usize = layers.iter().map(|(used, _)| used).sum();
    if used != tensors.len() || used == 0 {
        return Err(bad(format!("{used} of its {} tensors belong to this model", tensors.len()))
            .hint("was the adapter trained for another model?"));
    }
    Ok(layers.iter().all(|(_, equalised)| *equalised))
}

/// The numbers of a tensor, as f32.
fn values(view: &TensorView<'_>) -> candle_core::Result<Tensor> {
    match view.dtype() {
        Dtype::I8 => {
            let values: Vec<f32> =
                view.data().iter().map(|byte| f32::from(byte.cast_signed())).collect();
            Tensor::from_vec(values, view.shape(), &Device::Cpu)
        }
        _ => view.load(&Device::Cpu)?.to_dtype(DType::F32),
    }
}

fn merge_one(
    matrix: &QTensor,
    [a, b]: [&Tensor; 2],
    worth: Option<&Tensor>,
    scale: f64,
) -> candle_core::Result<Tensor> {
    let delta = match worth {
        Some(worth) => b.broadcast_mul(worth)?.matmul(a)?,
        None => b.matmul(a)?,
    };
    matrix.dequantize(&Device::Cpu)? + (delta * scale)?
}

fn channels(rms: [&Tensor; 4]) -> candle_core::Result<Channels> {
    let [attn_norm, attn_output, ffn_norm, ffn_down] = rms.map(Tensor::to_vec1);
    Ok(Channels {
        attn_norm: attn_norm?,
        attn_output: attn_output?,
        ffn_norm: ffn_norm?,
        ffn_down: ffn_down?,
    })
}
