//! The tensors of a decoder, by their places in it, still quantized.
//!
//! Names are GGUF's (`blk.3.attn_q.weight`); shapes are checked against the [`Config`] here, once,
//! so that engines may rely on them. Norms and biases are plain f32 vectors. GGUF has already
//! folded the `1 +` of Gemma's norms into their weights.

use std::io::{BufReader, Read, Seek};
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor, gguf_file::Content};
use candle_core::{Device, Shape, Tensor};

use super::Config;
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
    /// Query, key and value biases, where [`Config::qkv_bias`].
    pub qkv_bias: Option<[Vec<f32>; 3]>,
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
    /// Reads all tensors of the decoder that `config` describes.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] where a tensor is missing, damaged or of another shape.
    pub fn read<R: Read + Seek>(
        config: &Config,
        content: &Content,
        reader: &mut BufReader<R>,
    ) -> Result<Weights> {
        let mut tensors = Tensors { content, reader };
        let layers = (0..config.layers.len())
            .map(|layer| read_layer(config, &mut tensors, &format!("blk.{layer}.")))
            .collect::<Result<_>>()?;
        let vocabulary = tensors.outputs("token_embd.weight")?;
        Ok(Weights {
            token_embedding: tensors.matrix("token_embd.weight", vocabulary, config.hidden)?,
            output: tensors
                .has("output.weight")
                .then(|| tensors.matrix("output.weight", vocabulary, config.hidden))
                .transpose()?,
            output_norm: tensors.vector("output_norm.weight", config.hidden)?,
            rope_factors: tensors
                .has("rope_freqs.weight")
                .then(|| tensors.vector("rope_freqs.weight", config.head_dim / 2))
                .transpose()?,
            layers,
        })
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

fn read_layer<R: Read + Seek>(
    config: &Config,
    tensors: &mut Tensors<'_, R>,
    block: &str,
) -> Result<LayerWeights> {
    let Config { hidden, ffn_hidden, head_dim, .. } = *config;
    let (q, kv) = (config.heads * head_dim, config.kv_heads * head_dim);
    let name = |part: &str| format!("{block}{part}");
    let mut post_norm =
        |part: &str| config.post_norms.then(|| tensors.vector(&name(part), hidden)).transpose();
    let post_attention_norm = post_norm("post_attention_norm.weight")?;
    let post_ffn_norm = post_norm("post_ffw_norm.weight")?;
    let qkv_bias = match config.qkv_bias {
        true => Some([
            tensors.vector(&name("attn_q.bias"), q)?,
            tensors.vector(&name("attn_k.bias"), kv)?,
            tensors.vector(&name("attn_v.bias"), kv)?,
        ]),
        false => None,
    };
    let qk_norm = match config.qk_norm {
        true => Some([
            tensors.vector(&name("attn_q_norm.weight"), head_dim)?,
            tensors.vector(&name("attn_k_norm.weight"), head_dim)?,
        ]),
        false => None,
    };
    Ok(LayerWeights {
        attn_norm: tensors.vector(&name("attn_norm.weight"), hidden)?,
        attn_q: tensors.matrix(&name("attn_q.weight"), q, hidden)?,
        attn_k: tensors.matrix(&name("attn_k.weight"), kv, hidden)?,
        attn_v: tensors.matrix(&name("attn_v.weight"), kv, hidden)?,
        attn_output: tensors.matrix(&name("attn_output.weight"), hidden, q)?,
        qkv_bias,
        qk_norm,
        post_attention_norm,
        ffn_norm: tensors.vector(&name("ffn_norm.weight"), hidden)?,
        ffn_gate: tensors.matrix(&name("ffn_gate.weight"), ffn_hidden, hidden)?,
        ffn_up: tensors.matrix(&name("ffn_up.weight"), ffn_hidden, hidden)?,
        ffn_down: tensors.matrix(&name("ffn_down.weight"), hidden, ffn_hidden)?,
        post_ffn_norm,
    })
}

/// A GGUF file's tensors, read one by one and checked.
struct Tensors<'a, R> {
    content: &'a Content,
    reader: &'a mut BufReader<R>,
}

impl<R: Read + Seek> Tensors<'_, R> {
    fn has(&self, name: &str) -> bool {
        self.content.tensor_infos.contains_key(name)
    }

    /// The number of rows of a matrix.
    fn outputs(&self, name: &str) -> Result<usize> {
        let info = self.content.tensor_infos.get(name);
        info.and_then(|info| info.shape.dims().first().copied()).ok_or_else(|| missing(name))
    }

    fn matrix(&mut self, name: &str, outputs: usize, inputs: usize) -> Result<Matrix> {
        self.read(name, Shape::from((outputs, inputs))).map(Arc::new)
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<Vec<f32>> {
        let tensor = self.read(name, Shape::from(length))?;
        let values = tensor.dequantize(&Device::Cpu).and_then(|tensor| tensor.to_vec1());
        values.map_err(|e| damaged(name, e))
    }

    fn read(&mut self, name: &str, shape: Shape) -> Result<QTensor> {
        let info = self.content.tensor_infos.get(name).ok_or_else(|| missing(name))?;
        if info.shape != shape {
            let (is, should) = (info.shape.dims(), shape.dims());
            let message = format!("tensor {name} has shape {is:?} instead of {should:?}");
            return Err(Error::new(ErrorKind::Model, message));
        }
        self.content.tensor(self.reader, name, &Device::Cpu).map_err(|e| damaged(name, e))
    }
}

fn missing(name: &str) -> Error {
    Error::new(ErrorKind::Model, format!("the GGUF file lacks tensor {name}"))
}

fn damaged(name: &str, cause: candle_core::Error) -> Error {
    Error::new(ErrorKind::Model, format!("cannot read tensor {name}"))
        .because(cause)
        .hint("the file may be incomplete: fetch it again")
}
