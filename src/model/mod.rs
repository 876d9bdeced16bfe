//! A model as it lies on disk: description, weights and tokenizer from one GGUF file, with an
//! adapter merged in. Engines take it from here.

mod adapter;
mod cause;
mod config;
mod equalise;
pub(crate) mod gguf;
mod merge;
mod rounding;
mod shape;
mod unfollowed;
mod weights;

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Value;
use candle_core::quantized::{GgmlDType, QTensor};

pub use adapter::{Adapter, MAX_ADAPTER_BYTES};
pub use cause::cause;
pub use config::{Activation, Config, LayerKind, OTHER_ARCHITECTURES, RopePairing, Rotary};
pub use shape::Shape;
pub(crate) use unfollowed::{check_keys, lacks_pre_tokenizer, unknown_keys};
pub use weights::{LayerWeights, Matrix, Weights};

use crate::atomic::write_atomically;
use crate::tokens::Tokenizer;
use crate::{Error, Result, error::ErrorKind};
use gguf::{Entries, Header, Outline};

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
    warnings: Vec<String>,
    /// Where the file has the token embedding and, if it is another matrix, the head.
    vocabulary_places: [Option<u64>; 2],
}

impl Model {
    /// Loads the GGUF file at `path` and merges `adapter` into it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the file cannot be opened, [`ErrorKind::Model`] where it is not a
    /// model this program can run; the message names the file.
    pub fn load(path: &Path, adapter: Option<Adapter<'_>>) -> Result<Model> {
        let named = |e: Error| cannot_load(path, e);
        let (mut reader, header) = open(path)?;
        let config = Config::from_gguf(&header.metadata).map_err(named)?;
        unfollowed::check(&config, &header.metadata).map_err(named)?;
        weights::check(&config, &header).map_err(named)?;
        check_rows(&header).map_err(named)?;
        let tokenizer = Tokenizer::from_gguf(&header.metadata).map_err(named)?;
        let factors =
            adapter.map(|adapter| adapter::Factors::read(&config, adapter)).transpose()?;
        let mut weights = Weights::read(&config, &header, &mut reader).map_err(named)?;
        let mut equalised = matches!(header.metadata.get(EQUALISED), Some(Value::Bool(true)));
        if let Some(factors) = factors {
            equalised |= factors.merge(&mut weights, config.head_dim)?;
        }
        let place = |name| Some(header.tensors.get(name)?.bytes.start);
        let vocabulary_places = ["token_embd.weight", "output.weight"].map(place);
        let warnings = unfollowed::warnings(&config, &header.metadata);
        let path = path.to_owned();
        Ok(Model { path, config, weights, tokenizer, equalised, warnings, vocabulary_places })
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
        let (_, header) = open(path)?;
        Tokenizer::from_gguf(&header.metadata).map_err(|e| cannot_load(path, e))
    }

    /// The architecture of the GGUF file at `path`, by GGUF's name for it, whether it can be run or
    /// not.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the file cannot be opened, [`ErrorKind::Model`] where it is no GGUF
    /// file or does not say.
    pub fn architecture(path: &Path) -> Result<String> {
        let (_, header) = open(path)?;
        let name = config::architecture(&header.metadata).map_err(|e| cannot_load(path, e))?;
        Ok(name.to_owned())
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

    /// What the file says that is not followed, or should say and does not: a sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
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
        let (mut reader, header) = open(&self.path)?;
        let failed = |e: candle_core::Error| {
            let message = format!("cannot export to {}", to.display());
            Error::new(ErrorKind::Model, message).because(cause(e))
        };
        let read_failed = |e: std::io::Error| Error::io("read", &self.path, e);
        let mut names: Vec<&String> = header.tensors.keys().collect();
        names.sort_unstable();
        // Everything as the original file has it, or as it is now.
        let mut outlines = Vec::with_capacity(names.len());
        for name in names {
            let info = &header.tensors[name];
            let merged = self.weights.of_layers(name).map_err(failed)?;
            let kind = merged.map_or(info.kind, |matrix| matrix.dtype());
            let kind = if expanded { GgmlDType::F32 } else { kind };
            outlines.push(Outline { name: name.clone(), kind, shape: info.shape.clone() });
        }
        let data = |name: &str| -> Result<Vec<u8>> {
            let merged = self.weights.of_layers(name).map_err(failed)?;
            let tensor = match merged {
                Some(matrix) => matrix,
                None => header.tensor(&mut reader, name)?.into(),
            };
            let tensor = if expanded { expand(&tensor).map_err(failed)? } else { tensor };
            Ok(tensor.data().map_err(failed)?.into_owned())
        };
        let mut entries = copy_entries(&self.path, &header).map_err(read_failed)?;
        if self.equalised && !header.metadata.contains_key(EQUALISED) {
            entries.add_true(EQUALISED);
        }
        let Header { version, alignment, .. } = header;
        write_atomically(to, |mut out| {
            let failed = |e| Error::io("write", to, e);
            gguf::write(&mut out, version, &entries, alignment, &outlines, data, failed)
        })
    }
}

/// The metadata of the file at `path`, as it stands there.
fn copy_entries(path: &Path, header: &Header) -> std::io::Result<Entries> {
    let (count, place) = &header.entries;
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(place.start))?;
    let mut bytes = vec![0; (place.end - place.start) as usize];
    file.read_exact(&mut bytes)?;
    Ok(Entries { count: *count, bytes })
}

/// A token without a row could be read and not computed. Tokens are counted as the file lists them: a
/// tokenizer is made of them later.
pub(crate) fn check_rows(header: &Header) -> Result<()> {
    let rows = header.tensors.get("token_embd.weight").and_then(|info| info.shape.first().copied());
    let rows = rows.unwrap_or_default();
    let tokens = match header.metadata.get("tokenizer.ggml.tokens") {
        Some(Value::Array(tokens)) => tokens.len(),
        _ => 0,
    };
    if rows < tokens {
        let message = format!("tensor token_embd.weight has {rows} rows for {tokens} tokens");
        return Err(Error::new(ErrorKind::Model, message)
            .hint("the vocabulary is another model's: fetch the file again, or another one"));
    }
    Ok(())
}

fn expand(tensor: &QTensor) -> candle_core::Result<Matrix> {
    let values = tensor.dequantize(&candle_core::Device::Cpu)?;
    QTensor::quantize(&values, GgmlDType::F32).map(Matrix::new)
}

fn open(path: &Path) -> Result<(BufReader<File>, Header)> {
    let file = File::open(path).map_err(|e| {
        Error::io("open", path, e).hint("name a .gguf file, or a model of `wenzhai models list`")
    })?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let header = Header::read(&mut reader).map_err(|e| cannot_load(path, e))?;
    Ok((reader, header))
}

/// The error for a file that is no model that can be run.
pub(crate) fn cannot_load(
    path: &Path,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
) -> Error {
    Error::new(ErrorKind::Model, format!("cannot load {}", path.display())).because(cause)
}
