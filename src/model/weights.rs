//! The tensors of a decoder, by their places in it, still quantized.
//!
//! Names are GGUF's (`blk.3.attn_q.weight`). [`check`] holds names and shapes of a file against the
//! [`Config`] before a tensor is read, so that engines may rely on them, and refuses a file with
//! tensors that nothing here would use: the model would be another one. Norms and biases are plain
//! f32 vectors. GGUF has already folded the `1 +` of Gemma's norms into their weights.

use std::collections::HashSet;
use std::io::{BufReader, Read, Seek};
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

use super::gguf::{Header, missing};
use super::{Config, cause};
use crate::{Error, Result, error::ErrorKind};

/// A quantized matrix of shape (outputs, inputs).
pub type Matrix = Arc<QTensor>;

/// All tensors of a decoder.
#[derive(Debug, Clone)]
pub struct Weights {
    /// (vocabulary, hidden).
    pub token_embedding: Matrix,
    /// (vocabulary, hidden); `None` where the head is tied to the embedding.
    pub output: Option<Matrix>,
    /// (hidden).
    pub output_norm: Vec<f32>,
    /// Factors that the rotary frequencies are divided by (head_dim / 2), where the file has them.
    pub rope_factors: Option<Vec<f32>>,
    /// The blocks.
    pub layers: Vec<LayerWeights>,
}

/// The tensors of one block; see [`Config`] for the dimensions.
#[derive(Debug, Clone)]
pub struct LayerWeights {
    /// (hidden), before attention.
    pub attn_norm: Vec<f32>,
    /// (heads · head_dim, hidden).
    pub attn_q: Matrix,
    /// (kv_heads · head_dim, hidden).
    pub attn_k: Matrix,
    /// (kv_heads · head_dim, hidden).
    pub attn_v: Matrix,
    /// (hidden, heads · head_dim).
    pub attn_output: Matrix,
    /// Query, key and value biases, where the file has them.
    pub qkv_bias: Option<[Vec<f32>; 3]>,
    /// (hidden), added to what the output projection gives, where the file has it.
    pub attn_output_bias: Option<Vec<f32>>,
    /// Norms over a query and a key head (head_dim), where [`Config::qk_norm`].
    pub qk_norm: Option<[Vec<f32>; 2]>,
    /// (hidden), after attention, where [`Config::post_norms`].
    pub post_attention_norm: Option<Vec<f32>>,
    /// (hidden), before the feed-forward network.
    pub ffn_norm: Vec<f32>,
    /// (ffn_hidden, hidden).
    pub ffn_gate: Matrix,
    /// (ffn_hidden, hidden).
    pub ffn_up: Matrix,
    /// (hidden, ffn_hidden).
    pub ffn_down: Matrix,
    /// (hidden), after the feed-forward network, where [`Config::post_norms`].
    pub post_ffn_norm: Option<Vec<f32>>,
}

impl LayerWeights {
    /// The seven matrices with their GGUF names.
    pub fn matrices(&self) -> [(&'static str, &Matrix); 7] {
        [
            ("attn_q", &self.attn_q),
            ("attn_k", &self.attn_k),
            ("attn_v", &self.attn_v),
            ("attn_output", &self.attn_output),
            ("ffn_gate", &self.ffn_gate),
            ("ffn_up", &self.ffn_up),
            ("ffn_down", &self.ffn_down),
        ]
    }

    /// The same, to be replaced.
    pub fn matrices_mut(&mut self) -> [(&'static str, &mut Matrix); 7] {
        [
            ("attn_q", &mut self.attn_q),
            ("attn_k", &mut self.attn_k),
            ("attn_v", &mut self.attn_v),
            ("attn_output", &mut self.attn_output),
            ("ffn_gate", &mut self.ffn_gate),
            ("ffn_up", &mut self.ffn_up),
            ("ffn_down", &mut self.ffn_down),
        ]
    }
}

impl Weights {
    /// Bytes that the matrices take.
    pub fn bytes(&self) -> u64 {
        let of_layers =
            self.layers.iter().flat_map(|layer| layer.matrices()).map(|(_, matrix)| matrix);
        let vocabulary = [Some(&self.token_embedding), self.output.as_ref()].into_iter().flatten();
        of_layers.chain(vocabulary).map(|matrix| matrix.storage_size_in_bytes() as u64).sum()
    }

    /// Reads all tensors of the decoder that `config` describes, from a file that `check` found
    /// to have them.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] where a tensor is missing or damaged.
    pub fn read<R: Read + Seek>(
        config: &Config,
        header: &Header,
        reader: &mut BufReader<R>,
    ) -> Result<Weights> {
        let mut tensors = Tensors { header, reader };
        let layers = (0..config.layers.len())
            .map(|layer| read_layer(config, &mut tensors, layer))
            .collect::<Result<_>>()?;
        let weights = Weights {
            token_embedding: tensors.matrix(EMBEDDING)?,
            output: tensors.has(HEAD).then(|| tensors.matrix(HEAD)).transpose()?,
            output_norm: tensors.vector("output_norm.weight")?,
            rope_factors: tensors.optional_vector(ROPE_FACTORS)?,
            layers,
        };
        if weights.rope_factors.iter().flatten().any(|factor| *factor <= 0.0) {
            let message = format!("tensor {ROPE_FACTORS} holds factors that are not positive");
            return Err(Error::new(ErrorKind::Model, message));
        }
        Ok(weights)
    }

    /// The output head: its own matrix or the token embedding.
    pub fn head(&self) -> &Matrix {
        self.output.as_ref().unwrap_or(&self.token_embedding)
    }

    /// What the GGUF tensor `name` holds, where it is one of a block's that merging an adapter may
    /// change: its matrices, the norms before them, and the bias of values.
    pub fn of_layers(&self, name: &str) -> candle_core::Result<Option<Matrix>> {
        let part = name.strip_prefix("blk.").and_then(|name| name.split_once('.'));
        let Some((layer, part)) = part else { return Ok(None) };
        let layer = layer.parse().ok().and_then(|layer: usize| self.layers.get(layer));
        let Some(layer) = layer else { return Ok(None) };
        let matrix = layer
            .matrices()
            .into_iter()
            .find(|(name, _)| part.strip_suffix(".weight") == Some(name));
        let vector = match part {
            "attn_norm.weight" => Some(&layer.attn_norm),
            "ffn_norm.weight" => Some(&layer.ffn_norm),
            "attn_v.bias" => layer.qkv_bias.as_ref().map(|[_, _, bias]| bias),
            _ => None,
        };
        match (matrix, vector) {
            (Some((_, matrix)), _) => Ok(Some(matrix.clone())),
            (None, Some(vector)) => {
                let values = Tensor::new(&vector[..], &Device::Cpu)?;
                Ok(Some(Arc::new(QTensor::quantize(&values, GgmlDType::F32)?)))
            }
            (None, None) => Ok(None),
        }
    }
}

const EMBEDDING: &str = "token_embd.weight";
const HEAD: &str = "output.weight";
const ROPE_FACTORS: &str = "rope_freqs.weight";

/// A tensor that a file has or may have.
struct Expected {
    name: String,
    shape: Vec<usize>,
    optional: bool,
}

/// Whether the tensors of a file are those of the decoder that `config` describes: all of them,
/// no other, in their shapes.
///
/// # Errors
/// [`ErrorKind::Model`] with the tensor that is missing, has another shape, or would not be used.
pub fn check(config: &Config, header: &Header) -> Result<()> {
    let mut used: HashSet<String> = HashSet::new();
    let mut take = |expected: Expected| -> Result<()> {
        let Expected { name, shape, optional } = expected;
        match header.tensors.get(&name) {
            None if optional => return Ok(()),
            None => return Err(missing(&name)),
            Some(info) if info.shape != shape => {
                let message =
                    format!("tensor {name} has shape {:?} instead of {shape:?}", info.shape);
                return Err(Error::new(ErrorKind::Model, message));
            }
            Some(_) => {}
        }
        used.insert(name);
        Ok(())
    };
    let embedding = header.tensors.get(EMBEDDING).ok_or_else(|| missing(EMBEDDING))?;
    let vocabulary = embedding.shape.first().copied().unwrap_or_default();
    of_model(config, vocabulary).try_for_each(&mut take)?;
    for layer in 0..config.layers.len() {
        of_layer(config, layer).into_iter().try_for_each(&mut take)?;
    }
    let mut others: Vec<&String> =
        header.tensors.keys().filter(|name| !used.contains(*name)).collect();
    others.sort_unstable();
    let Some(first) = others.first() else { return Ok(()) };
    let more = match others.len() - 1 {
        0 => String::new(),
        more => format!(", nor are {more} others that the file has"),
    };
    let architecture = &config.architecture;
    let message = format!("tensor {first} is none that is used of a {architecture} model{more}");
    Err(Error::new(ErrorKind::Model, message).hint(
        "computed without it, the model would be another one; take a file of it without such",
    ))
}

fn of_model(config: &Config, vocabulary: usize) -> impl Iterator<Item = Expected> {
    let expected = |name: &str, shape: &[usize], optional| Expected {
        name: name.into(),
        shape: shape.to_vec(),
        optional,
    };
    let factors = config.optional_rope_factors;
    let factors = factors.then(|| expected(ROPE_FACTORS, &[config.head_dim / 2], true));
    [
        expected(EMBEDDING, &[vocabulary, config.hidden], false),
        expected(HEAD, &[vocabulary, config.hidden], true),
        expected("output_norm.weight", &[config.hidden], false),
    ]
    .into_iter()
    .chain(factors)
}

fn of_layer(config: &Config, layer: usize) -> Vec<Expected> {
    let Config { hidden, ffn_hidden, head_dim, .. } = *config;
    let (q, kv) = (config.heads * head_dim, config.kv_heads * head_dim);
    let mut all = Vec::new();
    let mut add = |has: bool, optional: bool, parts: &[(&str, &[usize])]| {
        all.extend(parts.iter().filter(|_| has).map(|(part, shape)| Expected {
            name: name(layer, part),
            shape: shape.to_vec(),
            optional,
        }));
    };
    add(
        true,
        false,
        &[
            ("attn_norm.weight", &[hidden]),
            ("attn_q.weight", &[q, hidden]),
            ("attn_k.weight", &[kv, hidden]),
            ("attn_v.weight", &[kv, hidden]),
            ("attn_output.weight", &[hidden, q]),
            ("ffn_norm.weight", &[hidden]),
            ("ffn_gate.weight", &[ffn_hidden, hidden]),
            ("ffn_up.weight", &[ffn_hidden, hidden]),
            ("ffn_down.weight", &[hidden, ffn_hidden]),
        ],
    );
    let biases: [(&str, &[usize]); 3] =
        [("attn_q.bias", &[q]), ("attn_k.bias", &[kv]), ("attn_v.bias", &[kv])];
    add(config.qkv_bias || config.optional_bias, !config.qkv_bias, &biases);
    add(config.optional_bias, true, &[("attn_output.bias", &[hidden])]);
    let head_norms: [(&str, &[usize]); 2] =
        [("attn_q_norm.weight", &[head_dim]), ("attn_k_norm.weight", &[head_dim])];
    add(config.qk_norm, false, &head_norms);
    let post_norms: [(&str, &[usize]); 2] =
        [("post_attention_norm.weight", &[hidden]), ("post_ffw_norm.weight", &[hidden])];
    add(config.post_norms, false, &post_norms);
    all
}

fn name(layer: usize, part: &str) -> String {
    format!("blk.{layer}.{part}")
}

fn read_layer<R: Read + Seek>(
    config: &Config,
    tensors: &mut Tensors<'_, R>,
    layer: usize,
) -> Result<LayerWeights> {
    let (q, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
    let name = |part: &str| name(layer, part);
    // A bias that a file leaves out is 0.
    let biases = [("attn_q.bias", q), ("attn_k.bias", kv), ("attn_v.bias", kv)];
    let has_bias = biases.iter().any(|(part, _)| tensors.has(&name(part)));
    let mut bias = |at: usize| {
        let (part, length) = biases[at];
        Ok::<_, Error>(tensors.optional_vector(&name(part))?.unwrap_or_else(|| vec![0.0; length]))
    };
    let qkv_bias = if has_bias { Some([bias(0)?, bias(1)?, bias(2)?]) } else { None };
    let qk_norm = match config.qk_norm {
        true => Some([
            tensors.vector(&name("attn_q_norm.weight"))?,
            tensors.vector(&name("attn_k_norm.weight"))?,
        ]),
        false => None,
    };
    Ok(LayerWeights {
        attn_norm: tensors.vector(&name("attn_norm.weight"))?,
        attn_q: tensors.matrix(&name("attn_q.weight"))?,
        attn_k: tensors.matrix(&name("attn_k.weight"))?,
        attn_v: tensors.matrix(&name("attn_v.weight"))?,
        attn_output: tensors.matrix(&name("attn_output.weight"))?,
        qkv_bias,
        attn_output_bias: tensors.optional_vector(&name("attn_output.bias"))?,
        qk_norm,
        post_attention_norm: tensors.optional_vector(&name("post_attention_norm.weight"))?,
        ffn_norm: tensors.vector(&name("ffn_norm.weight"))?,
        ffn_gate: tensors.matrix(&name("ffn_gate.weight"))?,
        ffn_up: tensors.matrix(&name("ffn_up.weight"))?,
        ffn_down: tensors.matrix(&name("ffn_down.weight"))?,
        post_ffn_norm: tensors.optional_vector(&name("post_ffw_norm.weight"))?,
    })
}

/// A GGUF file's tensors, read one by one.
struct Tensors<'a, R> {
    header: &'a Header,
    reader: &'a mut BufReader<R>,
}

impl<R: Read + Seek> Tensors<'_, R> {
    fn has(&self, name: &str) -> bool {
        self.header.tensors.contains_key(name)
    }

    fn matrix(&mut self, name: &str) -> Result<Matrix> {
        self.header.tensor(self.reader, name).map(Arc::new)
    }

    fn vector(&mut self, name: &str) -> Result<Vec<f32>> {
        let tensor = self.header.tensor(self.reader, name)?;
        let values = tensor.dequantize(&Device::Cpu).and_then(|tensor| tensor.to_vec1());
        values.map_err(|e| {
            let message = format!("tensor {name} cannot be expanded");
            Error::new(ErrorKind::Model, message).because(cause(e))
        })
    }

    fn optional_vector(&mut self, name: &str) -> Result<Option<Vec<f32>>> {
        self.has(name).then(|| self.vector(name)).transpose()
    }
}
