//! Low-rank adapters (LoRA, Hu et al. 2021), merged into the weights when a model is loaded.
//!
//! An adapter is a safetensors file with, for a matrix W of the model named `blk.3.attn_q`, the
//! factors `blk.3.attn_q.lora_a` (rank × inputs) and `blk.3.attn_q.lora_b` (outputs × rank), and
//! the metadata key `scale`; the merged matrix is W + scale · B · A. It is requantized to Q8_0:
//! finer than any type the base is likely to have, symmetric, and fast on every engine. Merging
//! before the first step means that no engine needs to know of adapters.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use safetensors::SafeTensors;

use super::{LayerWeights, Weights};
use crate::{Error, Result, error::ErrorKind};

/// Largest adapter file accepted, in bytes.
const MAX_ADAPTER_BYTES: usize = 1 << 30;

/// Merges the adapter in `bytes` (a safetensors file; `name` is for messages) into `weights`.
///
/// # Errors
/// [`ErrorKind::Model`] where the file is no adapter, does not fit the model, or holds a tensor
/// that belongs to no matrix: nothing of an adapter is ignored.
pub fn merge(weights: &mut Weights, name: &str, bytes: &[u8]) -> Result<()> {
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
    let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu)
        .map_err(|e| bad("cannot be read".into()).because(e))?;

    // Layers are independent, and requantizing them one by one would be most of loading.
    let merge_layer = |(index, layer): (usize, &mut LayerWeights)| -> Result<usize> {
        let mut used = 0;
        for (part, matrix) in layer.matrices_mut() {
            let place = format!("blk.{index}.{part}");
            let factor = |which: &str| tensors.get(&format!("{place}.{which}"));
            let (Some(a), Some(b)) = (factor("lora_a"), factor("lora_b")) else { continue };
            let merged = merge_one(matrix, a, b, scale)
                .map_err(|e| bad(format!("does not fit {place} of this model")).because(e))?;
            *matrix = Arc::new(merged);
            used += 2;
        }
        Ok(used)
    };
    let used: Vec<usize> =
        weights.layers.par_iter_mut().enumerate().map(merge_layer).collect::<Result<_>>()?;
    let used: usize = used.iter().sum();
    if used != tensors.len() || used == 0 {
        return Err(bad(format!("{used} of its {} tensors belong to this model", tensors.len()))
            .hint("was the adapter trained for another model?"));
    }
    Ok(())
}

fn merge_one(matrix: &QTensor, a: &Tensor, b: &Tensor, scale: f64) -> candle_core::Result<QTensor> {
    let delta = b.to_dtype(DType::F32)?.matmul(&a.to_dtype(DType::F32)?)?;
    let merged = (matrix.dequantize(&Device::Cpu)? + (delta * scale)?)?;
    QTensor::quantize(&merged, GgmlDType::Q8_0)
}
