//! The architectures that can be run, and what a file must say so that its model is computed rightly.
//!
//! The networks take for granted what the first models of their kind had in common, and read no
//! more of a file than they need. Where a later model is another, its text would be wrong and nothing
//! would tell, so such files are refused here.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_core::quantized::gguf_file::{Content, TensorInfo, Value, VersionedMagic};

use crate::engine::candle::is_out_of_memory;
use crate::model::{self, cannot_load, gguf::Header};
use crate::{Error, Result, error::ErrorKind};

/// An architecture that candle-transformers knows and our own decoder does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Phi-3 mini and medium with a context of 4k (Microsoft).
    Phi3,
    /// GLM-4 and GLM-Z1 of April 2025 (Z.ai).
    Glm4,
    /// LFM2 without experts (Liquid AI): attention in some layers, short convolutions in the others.
    Lfm2,
    /// Qwen3 with a mixture of experts (Alibaba).
    Qwen3Moe,
}

/// The base of the rotary embedding that `quantized_phi3` always takes.
const PHI3_ROPE_BASE: f32 = 10_000.0;

/// Most dimensions of a head. Networks keep tables of their angles, whatever the tensors are.
const MAX_HEAD_DIM: usize = 512;

/// Largest size that is accepted: beyond it a file is damaged, not large.
const MAX_SIZE: usize = 1 << 20;

/// Keys that no decoder of ours has; networks read them, or find the same in the shapes of tensors.
const OTHER_KEYS: [&str; 2] = ["expert_feed_forward_length", "shortconv.l_cache"];

impl Architecture {
    /// All of them.
    pub const ALL: [Architecture; 4] =
        [Architecture::Phi3, Architecture::Glm4, Architecture::Lfm2, Architecture::Qwen3Moe];

    /// The one that GGUF calls `name`.
    pub fn named(name: &str) -> Option<Architecture> {
        Self::ALL.into_iter().find(|architecture| architecture.name() == name)
    }

    /// GGUF's `general.architecture`.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::Phi3 => "phi3",
            Architecture::Glm4 => "glm4",
            Architecture::Lfm2 => "lfm2",
            Architecture::Qwen3Moe => "qwen3moe",
        }
    }
}

/// A file to read weights from, as often as they are needed.
pub(super) struct Source {
    path: PathBuf,
    pub(super) architecture: Architecture,
    pub(super) device: Device,
    max_context: usize,
    /// What the file says that is not followed, or should say and does not.
    pub(super) warnings: Vec<String>,
}

impl Source {
    /// Checks the file at `path`.
    pub(super) fn new(
        path: &Path,
        architecture: Architecture,
        device: &Device,
        max_context: usize,
    ) -> Result<Source> {
        let (mut reader, header) = open(path)?;
        let most = check(architecture, &header)
            .and_then(|most| header.check_tensors(&mut reader).map(|()| most))
            .map_err(|cause| cannot_load(path, cause))?;
        let unknown = model::unknown_keys(architecture.name(), &header.metadata, &OTHER_KEYS);
        let lacking = model::lacks_pre_tokenizer(&header.metadata);
        Ok(Source {
            path: path.to_owned(),
            architecture,
            device: device.clone(),
            max_context: max_context.min(most),
            warnings: unknown.into_iter().chain(lacking).collect(),
        })
    }

    /// Most positions of a sequence.
    pub(super) fn max_context(&self) -> usize {
        self.max_context
    }

    /// Hands the file to `read`, with a context no longer than is needed: networks keep tables of
    /// that length, and Phi-3 keys and values.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(Content, &mut BufReader<File>) -> candle_core::Result<T>,
    ) -> Result<T> {
        let (mut reader, header) = open(&self.path)?;
        let mut content = content_of(header);
        let key = format!("{}.context_length", self.architecture.name());
        content.metadata.insert(key, Value::U32(self.max_context as u32));
        read(content, &mut reader).map_err(|cause| cannot_read(&self.path, cause))
    }
}

/// Opens the file at `path` and reads its header, within its bounds.
fn open(path: &Path) -> Result<(BufReader<File>, Header)> {
    let file = File::open(path).map_err(|cause| Error::io("open", path, cause))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let header = Header::read(&mut reader).map_err(|cause| cannot_load(path, cause))?;
    Ok((reader, header))
}

/// A header as the networks take it.
fn content_of(header: Header) -> Content {
    let info = |(name, info): (String, model::gguf::TensorInfo)| {
        let (ggml_dtype, shape, offset) = (info.kind, info.shape.into(), info.bytes.start);
        (name, TensorInfo { ggml_dtype, shape, offset })
    };
    Content {
        magic: VersionedMagic::GgufV3,
        metadata: header.metadata,
        tensor_infos: header.tensors.into_iter().map(info).collect(),
        // Offsets are those in the file.
        tensor_data_offset: 0,
    }
}

/// The same, where a network said so. Sequences of LFM2 read weights of their own, for which a device may
/// have no memory left.
fn cannot_read(path: &Path, cause: candle_core::Error) -> Error {
    if is_out_of_memory(&cause) {
        let message = format!("the device has no memory left to load {}", path.display());
        return Error::new(ErrorKind::Memory, message)
            .because(model::cause(cause))
            .hint("take a smaller model");
    }
    cannot_load(path, model::cause(cause))
}

/// Refuses what would be computed wrongly, and says how many positions can be computed.
fn check(architecture: Architecture, header: &Header) -> Result<usize> {
    let keys = Keys { name: architecture.name(), metadata: &header.metadata };
    keys.check_numbers()?;
    let context = keys.size("context_length")?;
    let (hidden, heads) = (keys.size("embedding_length")?, keys.size("attention.head_count")?);
    keys.size("block_count")?;
    // LFM2 has a list of them, with none for a convolution.
    if architecture != Architecture::Lfm2 {
        let kv_heads = keys.size("attention.head_count_kv")?;
        if heads % kv_heads != 0 {
            return Err(keys.refused("attention.head_count_kv", &kv_heads.to_string()));
        }
    }
    let head_dim = match architecture {
        Architecture::Phi3 | Architecture::Lfm2 => hidden / heads,
        Architecture::Glm4 | Architecture::Qwen3Moe => keys.size("attention.key_length")?,
    };
    keys.check_rotated(match architecture {
        // Half of each head is turned, whatever the file says.
        Architecture::Glm4 => head_dim / 2,
        _ => head_dim,
    })?;
    keys.check_heads(head_dim)?;
    if architecture == Architecture::Phi3 {
        if let Some(base) = keys.number("rope.freq_base").filter(|base| *base != PHI3_ROPE_BASE) {
            return Err(keys.refused("rope.freq_base", &base.to_string()));
        }
        if header.tensors.keys().any(|name| name.starts_with("rope_factors_")) {
            let message = "its rotary embedding is one for long contexts (LongRoPE)";
            return Err(Error::new(ErrorKind::Model, message)
                .hint("use the model with a context of 4k, where there is one"));
        }
    }
    // GLM-4.1V and GLM-OCR have the same name of an architecture.
    if architecture == Architecture::Glm4 && keys.get("rope.dimension_sections").is_some() {
        let message = "its rotary embedding is one for images and text (M-RoPE)";
        return Err(Error::new(ErrorKind::Model, message)
            .hint("use a model of this architecture that is for text alone"));
    }
    let followed: &[&str] = match architecture {
        Architecture::Qwen3Moe => &["expert_count", "expert_used_count"],
        _ => &[],
    };
    model::check_keys(keys.name, &header.metadata, followed)?;
    check_vocabulary(header)?;
    // Within a window all attention is the same as without one.
    Ok(keys.size("attention.sliding_window").unwrap_or(context).min(context))
}

/// Whether every token has a row in the embedding, and every row one in the head.
fn check_vocabulary(header: &Header) -> Result<()> {
    let name = "token_embd.weight";
    let embedding = header.tensors.get(name).ok_or_else(|| model::gguf::missing(name))?;
    if let Some(head) = header.tensors.get("output.weight").filter(|h| h.shape != embedding.shape) {
        let (found, expected) = (&head.shape, &embedding.shape);
        let message = format!("tensor output.weight has shape {found:?} instead of {expected:?}");
        return Err(Error::new(ErrorKind::Model, message));
    }
    model::check_rows(header)
}

/// The metadata below one architecture's name.
struct Keys<'a> {
    name: &'static str,
    metadata: &'a HashMap<String, Value>,
}

impl<'a> Keys<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.metadata.get(&format!("{}.{key}", self.name))
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.get(key)?.to_string().ok().map(String::as_str)
    }

    fn number(&self, key: &str) -> Option<f32> {
        match self.get(key)? {
            Value::F64(number) => Some(*number as f32),
            value => value.to_f32().ok(),
        }
    }

    /// A size that is neither zero nor beyond all reason.
    fn size(&self, key: &str) -> Result<usize> {
        let size = self.get(key).and_then(|value| value.to_u32().ok());
        size.map(|size| size as usize).filter(|size| (1..=MAX_SIZE).contains(size)).ok_or_else(
            || {
                let message =
                    format!("GGUF metadata has no size {}.{key} up to {MAX_SIZE}", self.name);
                Error::new(ErrorKind::Model, message)
            },
        )
    }

    /// Whether what networks divide by is sound, and whether the rotary embedding is stretched, which
    /// none of them follows. A stretch is linear where its kind is not named.
    fn check_numbers(&self) -> Result<()> {
        for key in ["attention.layer_norm_rms_epsilon", "rope.freq_base"] {
            let is_sound = |number: f32| number.is_finite() && number > 0.0;
            if self.get(key).is_some() && !self.number(key).is_some_and(is_sound) {
                let message = format!("GGUF key {}.{key} is no positive number", self.name);
                return Err(Error::new(ErrorKind::Model, message));
            }
        }
        let key = "rope.scaling.type";
        let scaling = match self.get(key) {
            Some(_) => self.text(key).unwrap_or("no text"),
            None => "linear",
        };
        if !["none", "linear"].contains(&scaling) {
            return Err(self.refused(key, scaling));
        }
        for key in ["rope.scaling.factor", "rope.scale_linear"] {
            let factor = self.number(key);
            // Some files write 0 where there is none.
            let is_none = factor.is_some_and(|factor| [0.0, 1.0].contains(&factor));
            if scaling == "linear" && self.get(key).is_some() && !is_none {
                let factor = factor.map_or("no number".to_owned(), |factor| factor.to_string());
                return Err(self.refused(key, &factor));
            }
        }
        Ok(())
    }

    /// Whether so many dimensions of a head are turned.
    fn check_rotated(&self, width: usize) -> Result<()> {
        if !(1..=MAX_HEAD_DIM).contains(&width) || !width.is_multiple_of(2) {
            let message = format!("{width} dimensions of a head would be rotated");
            return Err(Error::new(ErrorKind::Model, message)
                .hint("the file is damaged; fetch the model again"));
        }
        self.check_width("rope.dimension_count", width)
    }

    /// Whether keys and values of all heads are `width` wide.
    fn check_heads(&self, width: usize) -> Result<()> {
        self.check_width("attention.key_length", width)?;
        self.check_width("attention.value_length", width)
    }

    /// Whether the file says of `key` what is taken for granted, or nothing.
    fn check_width(&self, key: &str, width: usize) -> Result<()> {
        let given = if self.get(key).is_some() { self.size(key)? } else { width };
        match given == width {
            true => Ok(()),
            false => Err(self.refused(key, &given.to_string())),
        }
    }

    fn refused(&self, key: &str, value: &str) -> Error {
        let message = format!("{}.{key} is {value}, which is not supported", self.name);
        Error::new(ErrorKind::Model, message)
            .hint("use an earlier model of this architecture, or one of another")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OTHER_ARCHITECTURES;

    #[test]
    fn messages_name_the_architectures_that_are_run() {
        assert_eq!(Architecture::ALL.map(Architecture::name), OTHER_ARCHITECTURES);
        assert_eq!(Architecture::named("lfm2"), Some(Architecture::Lfm2));
        assert_eq!(Architecture::named("llama"), None);
    }

    #[test]
    fn no_memory_is_told_from_a_file_that_cannot_be_read() {
        let error = |cause: &str| {
            cannot_read(Path::new("a.gguf"), candle_core::Error::Msg(cause.to_owned()))
        };
        let of_cuda = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
        assert_eq!(error(of_cuda).kind(), ErrorKind::Memory);
        assert_eq!(error("cannot find tensor info").kind(), ErrorKind::Model);
        assert_eq!(error("cannot find tensor info").to_string(), "cannot load a.gguf");
    }
}
