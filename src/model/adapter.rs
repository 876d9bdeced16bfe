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
//!
//! Names, shapes and types are held against the model before anything is computed: a file may claim
//! what it likes, and a wrong one is refused before the weights are read.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::equalise::{self, Channels, NAMES};
use super::merge::Merged;
use super::{Config, LayerWeights, Weights, cause};
use crate::{Error, Result, error::ErrorKind};

/// Largest adapter file accepted, in bytes.
pub const MAX_ADAPTER_BYTES: usize = 1 << 30;
/// Largest header of one: fifty times that of an adapter for all matrices of 28 layers.
const MAX_HEADER_BYTES: u64 = 4 << 20;
/// Largest change of a weight that is computed with: far below what an f32 can hold.
const MAX_CHANGE: f64 = 1e30;

/// The bytes of a safetensors file and a name for messages.
#[derive(Debug, Clone, Copy)]
pub struct Adapter<'a> {
    /// What messages call it.
    pub name: &'a str,
    /// The whole file.
    pub bytes: &'a [u8],
}

/// An adapter that fits a model.
#[derive(Debug)]
pub struct Factors<'a> {
    /// What messages call it.
    name: &'a str,
    scale: f64,
    tensors: HashMap<String, Tensor>,
}

/// What a name stands for in a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// (rank, inputs).
    A { inputs: usize },
    /// (outputs, rank).
    B { outputs: usize },
    /// (rank).
    Worth,
    /// As long as there are channels.
    Channels(usize),
}

impl<'a> Factors<'a> {
    /// Reads a safetensors file for the model that `config` describes.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] where the file is no adapter, does not fit the model, or holds a tensor
    /// that belongs to no matrix: nothing of an adapter is ignored.
    pub fn read(config: &Config, adapter: Adapter<'a>) -> Result<Factors<'a>> {
        let Adapter { name, bytes } = adapter;
        let bad = |message: String| bad(name, &message);
        if bytes.len() > MAX_ADAPTER_BYTES {
            return Err(bad(format!("{} bytes, more than {MAX_ADAPTER_BYTES}", bytes.len())));
        }
        let header_bytes = bytes.first_chunk().map(|length| u64::from_le_bytes(*length));
        if let Some(length) = header_bytes.filter(|length| *length > MAX_HEADER_BYTES) {
            let message = format!("not a safetensors file: a header of {length} bytes");
            return Err(bad(format!("{message}, more than {MAX_HEADER_BYTES}")));
        }
        let (_, header) = SafeTensors::read_metadata(bytes)
            .map_err(|e| bad("not a safetensors file".into()).because(e))?;
        let scale =
            header.metadata().as_ref().and_then(|map| map.get("scale")?.parse::<f64>().ok());
        let scale = scale
            .filter(|scale| scale.is_finite())
            .ok_or_else(|| bad("its metadata lacks a number `scale`".into()))?;
        let file = SafeTensors::deserialize(bytes)
            .map_err(|e| bad("not a safetensors file".into()).because(e))?;
        let views: HashMap<String, TensorView<'_>> =
            file.iter().map(|(name, view)| (name.to_owned(), view)).collect();
        check_shapes(config, name, &views)?;
        let tensors = views
            .iter()
            .map(|(part, view)| Ok((part.clone(), values(name, part, view)?)))
            .collect::<Result<_>>()?;
        let factors = Factors { name, scale, tensors };
        factors.check_sizes()?;
        Ok(factors)
    }

    /// Whether it says how large channels are, in all of `layers` layers, so that merging equalises
    /// them.
    pub fn equalises(&self, layers: usize) -> bool {
        let has = |layer, name: &&str| self.tensors.contains_key(&format!("blk.{layer}.{name}"));
        (0..layers).all(|layer| NAMES.iter().all(|name| has(layer, name)))
    }

    /// Merges them into `weights`, whose heads have `head_dim` dimensions. Says whether channels
    /// were equalised, in all layers.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] where the result cannot be rounded.
    pub fn merge(&self, weights: &mut Weights, head_dim: usize) -> Result<bool> {
        let mut equalised = true;
        for (index, layer) in weights.layers.iter_mut().enumerate() {
            equalised &= self.merge_layer(index, layer, head_dim)?;
        }
        Ok(equalised)
    }

    fn merge_layer(&self, index: usize, layer: &mut LayerWeights, head_dim: usize) -> Result<bool> {
        let place = |part: &str| format!("blk.{index}.{part}");
        let mut merged = [const { None }; 7];
        for ((part, matrix), merged) in layer.matrices().into_iter().zip(&mut merged) {
            let factor = |which: &str| self.tensors.get(&format!("{}.{which}", place(part)));
            let (Some(a), Some(b)) = (factor("lora_a"), factor("lora_b")) else { continue };
            let change = Merged::new(matrix, [a, b], factor("lora_scale"), self.scale);
            *merged = Some(change.map_err(|e| self.unfit(&place(part), e))?);
        }
        let rms = NAMES.map(|name| self.tensors.get(&place(name)));
        let factors = match rms {
            [Some(norm), Some(output), Some(ffn_norm), Some(down)] => {
                let all = merged.each_ref().map(Option::as_ref);
                let rms = [norm, output, ffn_norm, down];
                equalising(all, rms, head_dim)
                    .map_err(|e| self.unfit(&format!("blk.{index}"), e))?
            }
            _ => None,
        };
        let scales = factors.as_ref().map(equalise::Factors::scales).unwrap_or_default();
        let mut rounded = [const { None }; 7];
        for (at, (part, _)) in layer.matrices().into_iter().enumerate() {
            let Some(merged) = &merged[at] else { continue };
            let failed = || bad(self.name, &format!("{} cannot be rounded", place(part)));
            let matrix = merged.round(scales[at]).map_err(|e| failed().because(cause(e)))?;
            rounded[at] =
                Some(matrix.ok_or_else(|| {
                    failed().because("it is larger than a block of 8 bits can hold")
                })?);
        }
        for ((_, matrix), rounded) in layer.matrices_mut().into_iter().zip(rounded) {
            if let Some(rounded) = rounded {
                *matrix = Arc::new(rounded);
            }
        }
        if let Some(factors) = &factors {
            factors.divide(layer);
        }
        Ok(factors.is_some())
    }

    /// Whether no product of factors leaves the range of f32, in which sums become no numbers.
    fn check_sizes(&self) -> Result<()> {
        let largest = |tensor: &Tensor| -> candle_core::Result<f64> {
            let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
            Ok(values.iter().fold(0.0, |most, value| f64::from(value.abs()).max(most)))
        };
        for (name, a) in &self.tensors {
            let Some(place) = name.strip_suffix(".lora_a") else { continue };
            let factor = |which: &str| self.tensors.get(&format!("{place}.{which}"));
            let mut change = self.scale.abs() * a.dims()[0] as f64;
            for tensor in [Some(a), factor("lora_b"), factor("lora_scale")].into_iter().flatten() {
                change *= largest(tensor).map_err(|e| self.unfit(place, e))?;
            }
            if change > MAX_CHANGE {
                return Err(bad(self.name, &format!("its factors of {place} are too large")));
            }
        }
        Ok(())
    }

    fn unfit(&self, place: &str, error: candle_core::Error) -> Error {
        bad(self.name, &format!("does not fit {place} of this model")).because(cause(error))
    }
}

fn bad(name: &str, message: &str) -> Error {
    Error::new(ErrorKind::Model, format!("adapter {name}: {message}"))
}

/// The role of a tensor called `name`, and the matrix or layer that it belongs to.
fn role<'n>(config: &Config, name: &'n str) -> Option<(&'n str, Role)> {
    let (place, which) = name.rsplit_once('.')?;
    let (layer, part) = place.strip_prefix("blk.")?.split_once('.')?;
    let number: usize = layer.parse().ok()?;
    if number >= config.layers.len() || number.to_string() != layer {
        return None;
    }
    let Config { hidden, ffn_hidden, head_dim, .. } = *config;
    let (q, kv) = (config.heads * head_dim, config.kv_heads * head_dim);
    let (outputs, inputs) = match part {
        "attn_q" => (q, hidden),
        "attn_k" | "attn_v" => (kv, hidden),
        "attn_output" => (hidden, q),
        "ffn_gate" | "ffn_up" => (ffn_hidden, hidden),
        "ffn_down" => (hidden, ffn_hidden),
        "attn_norm" | "ffn_norm" => (0, 0),
        _ => return None,
    };
    let role = match (which, part) {
        ("rms", "attn_norm" | "ffn_norm") => Role::Channels(hidden),
        // All query heads of a KV head together.
        ("rms", "attn_output") => Role::Channels(kv),
        ("rms", "ffn_down") => Role::Channels(ffn_hidden),
        (_, "attn_norm" | "ffn_norm") => return None,
        ("lora_a", _) => Role::A { inputs },
        ("lora_b", _) => Role::B { outputs },
        ("lora_scale", _) => Role::Worth,
        _ => return None,
    };
    Some((place, role))
}

/// Whether all tensors belong to the model and fit it.
fn check_shapes(
    config: &Config,
    name: &str,
    views: &HashMap<String, TensorView<'_>>,
) -> Result<()> {
    let shape = |place: &str, which: &str| Some(views.get(&format!("{place}.{which}"))?.shape());
    let mut used = 0;
    for (part, view) in views {
        let Some((place, role)) = role(config, part) else { continue };
        let has_factors =
            |place: &str| shape(place, "lora_a").is_some() && shape(place, "lora_b").is_some();
        let belongs = match role {
            Role::Channels(_) => {
                let layer = place.rsplit_once('.').map_or("", |(layer, _)| layer);
                let is_there = |name: &str| views.contains_key(&format!("{layer}.{name}"));
                let all_merged = MATRICES.iter().all(|one| has_factors(&format!("{layer}.{one}")));
                NAMES.into_iter().all(is_there) && all_merged
            }
            _ => has_factors(place),
        };
        if !belongs {
            continue;
        }
        used += 1;
        let rank = shape(place, "lora_a").and_then(|shape| shape.first().copied());
        let rank = rank.unwrap_or_default();
        let expected = match role {
            Role::A { inputs } => vec![rank, inputs],
            Role::B { outputs } => vec![outputs, rank],
            Role::Worth => vec![rank],
            Role::Channels(count) => vec![count],
        };
        let is_rank = |rank: usize, most: usize| (1..=most).contains(&rank);
        let fits = match role {
            Role::A { inputs: most } | Role::B { outputs: most } => is_rank(rank, most),
            Role::Worth | Role::Channels(_) => true,
        };
        if view.shape() != expected || !fits {
            let found = view.shape();
            let message = format!(
                "does not fit {place} of this model: {part} has shape {found:?} instead of {expected:?}"
            );
            let message = match fits {
                true => message,
                false => format!("does not fit {place} of this model: a rank of {rank}"),
            };
            return Err(bad(name, &message));
        }
    }
    if used != views.len() || used == 0 {
        let message = format!("{used} of its {} tensors belong to this model", views.len());
        return Err(bad(name, &message).hint("was the adapter trained for another model?"));
    }
    Ok(())
}

/// The matrices that channels of a layer are equalised with, all of which are rounded anew.
const MATRICES: [&str; 7] =
    ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];

/// The numbers of a tensor, as f32, all of them finite.
fn values(name: &str, part: &str, view: &TensorView<'_>) -> Result<Tensor> {
    let tensor = match view.dtype() {
        Dtype::I8 => {
            let values: Vec<f32> =
                view.data().iter().map(|byte| f32::from(byte.cast_signed())).collect();
            Tensor::from_vec(values, view.shape(), &Device::Cpu)
        }
        Dtype::F32 | Dtype::F16 | Dtype::BF16 => {
            view.load(&Device::Cpu).and_then(|tensor| tensor.to_dtype(DType::F32))
        }
        other => {
            let message = format!("{part} has type {other:?}; F32, F16, BF16 and I8 are read");
            return Err(bad(name, &message));
        }
    };
    let failed = |e| bad(name, &format!("cannot read {part}")).because(cause(e));
    let tensor = tensor.map_err(failed)?;
    let numbers = tensor.flatten_all().and_then(|tensor| tensor.to_vec1::<f32>());
    if numbers.map_err(failed)?.iter().any(|value| !value.is_finite()) {
        let message = format!("{part} holds infinite values or such that are no numbers");
        return Err(bad(name, &message));
    }
    Ok(tensor)
}

/// What equalises channels of these sizes, where all matrices are rounded anew.
fn equalising(
    matrices: [Option<&Merged<'_>>; 7],
    rms: [&Tensor; 4],
    head_dim: usize,
) -> candle_core::Result<Option<equalise::Factors>> {
    let mut squares = [const { Vec::new() }; 7];
    for (matrix, squares) in matrices.into_iter().zip(&mut squares) {
        let Some(matrix) = matrix else { return Ok(None) };
        *squares = matrix.column_squares()?;
    }
    let [attn_norm, attn_output, ffn_norm, ffn_down] = rms.map(Tensor::to_vec1);
    let channels = Channels {
        attn_norm: attn_norm?,
        attn_output: attn_output?,
        ffn_norm: ffn_norm?,
        ffn_down: ffn_down?,
    };
    equalise::Factors::new(&squares, &channels, head_dim).map(Some)
}
