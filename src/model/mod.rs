//! A model as it lies on disk: description, weights and tokenizer from one GGUF file, with an
//! adapter merged in. Engines take it from here.

mod adapter;
mod config;
mod equalise;
mod weights;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};

pub use config::{Activation, Config, LayerKind, OTHER_ARCHITECTURES, RopePairing, Rotary};
pub use weights::{LayerWeights, Matrix, Weights};

use crate::atomic::write_atomically;
use crate::tokens::Tokenizer;
use crate::{Error, Result, error::ErrorKind};

/// The metadata key of an exported model whose channels are equalised.
const EQUALISED: &str = "wenzhai.channels_equalised";

/// A loaded model.
#[derive(Debug)]
pub struct Model {
    path: PathBuf,
    config: Config,
    weights: Weights,
    tokenizer: Tokenizer,
    equalised: bool,
    /// Where the file has the token embedding and, if it is another matrix, the head.
    vocabulary_places: [Option<u64>; 2],
}

/// The bytes of a safetensors file and a name for messages.
#[derive(Debug, Clone, Copy)]
pub struct Adapter<'a> {
    /// What messages call it.
    pub name: &'a str,
    /// The whole file.
    pub bytes: &'a [u8],
}

impl Model {
    /// Loads the GGUF file at `path` and merges `adapter` into it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the file cannot be opened, [`ErrorKind::Model`] where it is not a
    /// model this program can run; the message names the file.
    pub fn load(path: &Path, adapter: Option<Adapter<'_>>) -> Result<Model> {
        let named = |e: Error| {
            Error::new(ErrorKind::Model, format!("cannot load {}", path.display())).because(e)
        };
        let (mut reader, content) = open(path)?;
        let config = Config::from_gguf(&content.metadata).map_err(named)?;
        let mut weights = Weights::read(&config, &content, &mut reader).map_err(named)?;
        let tokenizer = Tokenizer::from_gguf(&content.metadata).map_err(named)?;
        let mut equalised = matches!(content.metadata.get(EQUALISED), Some(Value::Bool(true)));
        if let Some(Adapter { name, bytes }) = adapter {
            equalised |= adapter::merge(&mut weights, config.head_dim, name, bytes)?;
        }
        let place =
            |name| Some(content.tensor_data_offset + content.tensor_infos.get(name)?.offset);
        let vocabulary_places = ["token_embd.weight", "output.weight"].map(place);
        let path = path.to_owned();
        Ok(Model { path, config, weights, tokenizer, equalised, vocabulary_places })
    }

    /// The file and the first byte there of `matrix`, if it is one of the vocabulary: these are
    /// as the file has them, whatever was merged into others.
    pub fn place_in_file(&self, matrix: &Matrix) -> Option<(&Path, u64)> {
        let [embedding, output] = self.vocabulary_places;
        let is = |other: &Matrix| std::sync::Arc::ptr_eq(matrix, other);
        let place = match &self.weights.output {
            Some(head) if is(head) => output,
            _ if is(&self.weights.token_embedding) => embedding,
            _ => None,
        };
        place.map(|place| (&*self.path, place))
    }

    /// The tokenizer of the GGUF file at `path`, without its weights.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_tokenizer(path: &Path) -> Result<Tokenizer> {
        let (_, content) = open(path)?;
        Tokenizer::from_gguf(&content.metadata).map_err(|e| {
            Error::new(ErrorKind::Model, format!("cannot load {}", path.display())).because(e)
        })
    }

    /// The architecture of the GGUF file at `path`, by GGUF's name for it, whether it can be run or
    /// not.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the file cannot be opened, [`ErrorKind::Model`] where it is no GGUF
    /// file or does not say.
    pub fn architecture(path: &Path) -> Result<String> {
        let (_, content) = open(path)?;
        let named = |e: Error| {
            Error::new(ErrorKind::Model, format!("cannot load {}", path.display())).because(e)
        };
        config::architecture(&content.metadata).map(str::to_owned).map_err(named)
    }

    /// Shape and switches of the decoder.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The decoder's tensors.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Whether channels are about equal in size, so that few activations need to be rounded finely:
    /// an adapter said how large they were when it was merged.
    pub fn is_equalised(&self) -> bool {
        self.equalised
    }

    /// The model's own tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The tokenizer alone, once an engine has taken the weights over.
    pub fn into_tokenizer(self) -> Tokenizer {
        self.tokenizer
    }

    /// Writes the model, adapter merged, as a GGUF file that other programs can run too. All
    /// metadata of the original is kept, its tokenizer included. The file is there whole or not at
    /// all, and may be the one that was loaded.
    ///
    /// With `expanded`, matrices are written as the f32 values that their blocks stand for: for
    /// programs that round activations as coarsely as they find weights, and for other tools.
    pub fn export(&self, to: &Path, expanded: bool) -> Result<()> {
        let (mut reader, content) = open(&self.path)?;
        let failed = |e: candle_core::Error| {
            Error::new(ErrorKind::Model, format!("cannot export to {}", to.display())).because(e)
        };
        // Everything as the original file has it, or as it is now.
        let mut tensors: Vec<(String, Matrix)> = Vec::new();
        for name in content.tensor_infos.keys() {
            let tensor = match self.weights.of_layers(name).map_err(failed)? {
                Some(matrix) => matrix,
                None => {
                    let device = candle_core::Device::Cpu;
                    content.tensor(&mut reader, name, &device).map_err(failed)?.into()
                }
            };
            let tensor = if expanded { expand(&tensor).map_err(failed)? } else { tensor };
            tensors.push((name.clone(), tensor));
        }
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        let mut metadata: Vec<_> = content.metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
        let equalised = Value::Bool(true);
        if self.equalised && !content.metadata.contains_key(EQUALISED) {
            metadata.push((EQUALISED, &equalised));
        }
        metadata.sort_by_key(|(key, _)| *key);
        let tensors: Vec<(&str, &QTensor)> =
            tensors.iter().map(|(name, tensor)| (name.as_str(), &**tensor)).collect();

        write_atomically(to, |out| gguf_file::write(out, &metadata, &tensors).map_err(failed))
    }
}

fn expand(tensor: &QTensor) -> candle_core::Result<Matrix> {
    let values = tensor.dequantize(&candle_core::Device::Cpu)?;
    QTensor::quantize(&values, GgmlDType::F32).map(Matrix::new)
}

fn open(path: &Path) -> Result<(BufReader<File>, gguf_file::Content)> {
    let file = File::open(path).map_err(|e| {
        Error::io("open", path, e).hint("name a .gguf file, or a model of `wenzhai models list`")
    })?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let content = gguf_file::Content::read(&mut reader).map_err(|e| {
        Error::new(ErrorKind::Model, format!("{} is not a GGUF file", path.display()))
            .because(e)
            .hint("models are GGUF files of version 2 or 3")
    })?;
    Ok((reader, content))
}
