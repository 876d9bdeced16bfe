//! The architectures that can be run, and what a file must say so that its model is computed rightly.
//!
//! The networks take for granted what the first models of their kind had in common, and read no
//! more of a file than they need. Where a later model is another, its text would be wrong and nothing
//! would tell, so such files are refused here.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_core::quantized::gguf_file::{Content, TensorInfo, Value, VersionedMagic};

use crate::model::{self, gguf::Header};
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
}

impl Source {
    /// Checks the file at `path`.
    pub(super) fn new(
        path: &Path,
        architecture: Architecture,
        device: &Device,
        max_context: usize,
    ) -> Result<Source> {
        let (_, content) = open(path)?;
        let most = check(architecture, &content).map_err(|e| cannot_load(path, e))?;
        Ok(Source {
            path: path.to_owned(),
            architecture,
            device: device.clone(),
            max_context: max_context.min(most),
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
        let (mut reader, mut content) = open(&self.path)?;
        let key = format!("{}.context_length", self.architecture.name());
        content.metadata.insert(key, Value::U32(self.max_context as u32));
        read(content, &mut reader).map_err(|e| cannot_load(&self.path, model::cause(e)))
    }
}

/// Opens the file at `path` and reads its header as [`Header`] does, within its bounds, into what the
/// networks take.
fn open(path: &Path) -> Result<(BufReader<File>, Content)> {
    let file = File::open(path).map_err(|cause| Error::io("open", path, cause))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let header = Header::read(&mut reader).map_err(|cause| cannot_load(path, cause))?;
    let info = |(name, info): (String, model::gguf::TensorInfo)| {
        let (ggml_dtype, shape, offset) = (info.kind, info.shape.into(), info.bytes.start);
        (name, TensorInfo { ggml_dtype, shape, offset })
    };
    let content = Content {
        magic: VersionedMagic::GgufV3,
        metadata: header.metadata,
        tensor_infos: header.tensors.into_iter().map(info).collect(),
        // Offsets are those in the file.
        tensor_data_offset: 0,
    };
    Ok((reader, content))
}

fn cannot_load(
    path: &Path,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
) -> Error {
    Error::new(ErrorKind::Model, format!("cannot load {}", path.display())).because(cause)
}

/// Refuses what would be computed wrongly, and says how many positions can be computed.
fn check(architecture: Architecture, content: &Content) -> Result<usize> {
    let keys = Keys { name: architecture.name(), content };
    let scaling = keys.text("rope.scaling.type").unwrap_or("none");
    let stretch = keys.number("rope.scaling.factor").unwrap_or(1.0);
    if scaling != "none" && (scaling != "linear" || stretch != 1.0) {
        return Err(keys.refused("rope.scaling.type", scaling));
    }
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
    let rotates = |width: usize| {
        if !(1..=MAX_HEAD_DIM).contains(&width) || !width.is_multiple_of(2) {
            let message = format!("{width} dimensions of a head would be rotated");
            return Err(Error::new(ErrorKind::Model, message)
                .hint("the file is damaged; fetch the model again"));
        }
        let rotated = match keys.get("rope.dimension_count") {
            Some(_) => keys.size("rope.dimension_count")?,
            None => width,
        };
        match rotated == width {
            true => Ok(()),
            false => Err(keys.refused("rope.dimension_count", &rotated.to_string())),
        }
    };
    match architecture {
        Architecture::Phi3 => {
            rotates(hidden / heads)?;
            if let Some(base) = keys.number("rope.freq_base").filter(|b| *b != PHI3_ROPE_BASE) {
                return Err(keys.refused("rope.freq_base", &base.to_string()));
            }
            if content.tensor_infos.keys().any(|name| name.starts_with("rope_factors_")) {
                let message = "its rotary embedding is one for long contexts (LongRoPE)";
                return Err(Error::new(ErrorKind::Model, message)
                    .hint("use the model with a context of 4k, where there is one"));
            }
            // Within the window all attention is the same as without one.
            Ok(keys.size("attention.sliding_window").unwrap_or(context).min(context))
        }
        Architecture::Glm4 => {
            // Half of each head is turned, whatever the file says.
            rotates(keys.size("attention.key_length")? / 2)?;
            Ok(context)
        }
        Architecture::Lfm2 => {
            rotates(hidden / heads)?;
            Ok(context)
        }
        Architecture::Qwen3Moe => {
            rotates(keys.size("attention.key_length")?)?;
            Ok(context)
        }
    }
}

/// The metadata below one architecture's name.
struct Keys<'a> {
    name: &'static str,
    content: &'a Content,
}

impl<'a> Keys<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.content.metadata.get(&format!("{}.{key}", self.name))
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.get(key)?.to_string().ok().map(String::as_str)
    }

    fn number(&self, key: &str) -> Option<f32> {
        self.get(key)?.to_f32().ok()
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
}
