//! One decoder with switches: what a GGUF file says of a Llama, Qwen2, Qwen3 or Gemma 3 model.
//!
//! These families are the same decoder; they differ in the points that [`Config`] names. The
//! engines read the switches and never the name of the family. Where a family fixes a value
//! that GGUF files leave out, the constant stands here with its source.

use std::collections::HashMap;

use candle_core::quantized::gguf_file::Value;

use super::gguf::as_u64;
pub use crate::kernels::gemm::Activation;
pub use crate::kernels::rows::RopePairing;
use crate::{Error, Result, error::ErrorKind};

/// Shape and switches of a decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// GGUF's `general.architecture`.
    pub architecture: String,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside the gated feed-forward network.
    pub ffn_hidden: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Longest context that can be computed as the model was made for, in positions.
    pub context_length: usize,
    /// The context that the file names, where a window that its layers may or may not follow makes
    /// [`Self::context_length`] shorter.
    pub context_unlimited: Option<usize>,
    /// Epsilon of every RMS norm.
    pub norm_eps: f32,
    /// Activation of the gate.
    pub activation: Activation,
    /// How the halves of a head are paired by the rotary embedding.
    pub rope_pairing: RopePairing,
    /// Whether queries and keys are RMS-normalised a head (Qwen3, Gemma 3).
    pub qk_norm: bool,
    /// Whether the query, key and value projections have a bias (Qwen2).
    pub qkv_bias: bool,
    /// Whether these and the output projection may have one, as the file's tensors tell (Llama).
    pub optional_bias: bool,
    /// Whether the file may have factors for its rotary frequencies (Llama 3).
    pub optional_rope_factors: bool,
    /// Whether a norm follows attention and feed-forward before the residual is added (Gemma 3).
    pub post_norms: bool,
    /// Token embeddings are multiplied by it.
    pub embedding_scale: f32,
    /// Scores of attention are divided by its root: [`Self::head_dim`], or a width of its own.
    pub query_scale_width: usize,
    /// What each layer attends to, and its rotary embedding.
    pub layers: Vec<LayerKind>,
}

/// What differs from layer to layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerKind {
    /// Keys further back than this many positions (the query's own included) are out of sight;
    /// `None` sees everything.
    pub window: Option<usize>,
    /// The rotary embedding.
    pub rotary: Rotary,
}

/// Frequencies of a rotary embedding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rotary {
    /// Dimension pair i of a head turns by base^(-2 i / head_dim) a position.
    pub base: f32,
    /// What all frequencies are divided by; 1 leaves them alone (Gemma 3 of 4B parameters and
    /// more has 8 in its global layers).
    pub stretch: f32,
}

/// Architectures that are no decoder of this kind; [`crate::engine`] has another way to run them.
pub const OTHER_ARCHITECTURES: [&str; 4] = ["phi3", "glm4", "lfm2", "qwen3moe"];

/// Gemma 3 (technical report 2025, section 2.1): five local layers, then a global one.
const GEMMA3_GLOBAL_EVERY: usize = 6;
/// Base of the rotary embedding of Gemma 3's local layers, of which few files say anything.
const GEMMA3_LOCAL_BASE: f32 = 10_000.0;
/// Gemma 3 of 27B parameters has this many layers, and scales its queries by the width that its
/// heads would have without their own (`query_pre_attn_scalar` 168 of `google/gemma-3-27b-it`).
const GEMMA3_27B_LAYERS: usize = 62;
/// Largest value accepted for any dimension: beyond it a file is damaged, not large.
const MAX_DIMENSION: usize = 1 << 20;

impl Config {
    /// Cosines and sines of the angles by which `rotary` turns, (positions, head_dim / 2) each; `factors` divide the
    /// frequencies (Llama 3).
    pub fn rotations(
        &self,
        rotary: Rotary,
        factors: Option<&[f32]>,
        positions: usize,
    ) -> [Vec<f32>; 2] {
        let half = self.head_dim / 2;
        let angle = |at: usize| {
            let (position, i) = (at / half, at % half);
            let exponent = 2.0 * i as f64 / self.head_dim as f64;
            let factor = factors.map_or(1.0, |factors| f64::from(factors[i]));
            let divisor = factor * f64::from(rotary.stretch);
            position as f64 / f64::from(rotary.base).powf(exponent) / divisor
        };
        [f64::cos, f64::sin]
            .map(|of| (0..positions * half).map(|at| of(angle(at)) as f32).collect())
    }

    /// Reads the description from a file's metadata.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] where the architecture is not one of the four, a key is missing, or
    /// the shapes contradict each other.
    pub fn from_gguf(metadata: &HashMap<String, Value>) -> Result<Config> {
        let architecture = architecture(metadata)?.to_owned();
        let family = Family::of(&architecture)?;
        let keys = Keys { metadata, architecture: &architecture };

        let hidden = keys.size("embedding_length")?;
        let heads = keys.size("attention.head_count")?;
        let kv_heads = keys.optional_size("attention.head_count_kv")?.unwrap_or(heads);
        let head_dim = match keys.optional_size("attention.key_length")? {
            Some(head_dim) => head_dim,
            None => hidden / heads,
        };
        let fits = heads % kv_heads == 0 && head_dim % 2 == 0 && head_dim > 0 && hidden >= heads;
        if !fits {
            return Err(bad(format!(
                "{heads} query heads, {kv_heads} key heads of width {head_dim} do not fit together, or \
                 not {hidden} dimensions"
            )));
        }
        let layer_count = keys.size("block_count")?;
        let rotary = Rotary {
            base: keys.optional_number("rope.freq_base")?.unwrap_or(10_000.0),
            stretch: keys.rope_stretch()?,
        };
        let window = keys.window()?;
        let context_named = keys.context_length()?;
        // Of what other families do with a window files say nothing, and published models of Qwen2
        // name one that they do not use. Within one window there is no difference.
        let context_length = match window {
            Some(window) if family != Family::Gemma3 => context_named.min(window),
            _ => context_named,
        };
        let layers = match (family, window) {
            (Family::Gemma3, Some(window)) => {
                let base = keys.optional_number("rope.freq_base_swa")?;
                let local = LayerKind {
                    window: Some(window),
                    rotary: Rotary { base: base.unwrap_or(GEMMA3_LOCAL_BASE), stretch: 1.0 },
                };
                let global = LayerKind { window: None, rotary };
                let is_local = keys.local_layers(layer_count)?;
                is_local.into_iter().map(|is_local| if is_local { local } else { global }).collect()
            }
            _ => vec![LayerKind { window: None, rotary }; layer_count],
        };
        Ok(Config {
            hidden,
            ffn_hidden: keys.size("feed_forward_length")?,
            heads,
            kv_heads,
            head_dim,
            context_length,
            context_unlimited: Some(context_named).filter(|named| *named > context_length),
            norm_eps: keys.number("attention.layer_norm_rms_epsilon")?,
            activation: match family {
                Family::Gemma3 => Activation::GeluTanh,
                _ => Activation::Silu,
            },
            rope_pairing: match family {
                Family::Llama => RopePairing::Adjacent,
                _ => RopePairing::Halves,
            },
            qk_norm: matches!(family, Family::Gemma3 | Family::Qwen3),
            qkv_bias: family == Family::Qwen2,
            optional_bias: family == Family::Llama,
            optional_rope_factors: family == Family::Llama,
            post_norms: family == Family::Gemma3,
            embedding_scale: match family {
                Family::Gemma3 => (hidden as f32).sqrt(),
                _ => 1.0,
            },
            query_scale_width: match family {
                Family::Gemma3 if layer_count == GEMMA3_27B_LAYERS => hidden / heads,
                _ => head_dim,
            },
            layers,
            architecture,
        })
    }

    /// Bytes that the keys and values of one position take, in 16 bits each.
    pub fn position_bytes(&self) -> usize {
        2 * size_of::<u16>() * self.layers.len() * self.kv_heads * self.head_dim
    }

    /// Every rotary embedding that a layer has, each once.
    pub fn rotaries(&self) -> Vec<Rotary> {
        let mut rotaries: Vec<Rotary> = Vec::new();
        for layer in &self.layers {
            if !rotaries.contains(&layer.rotary) {
                rotaries.push(layer.rotary);
            }
        }
        rotaries
    }

    /// Factor on the dot product of a query and a key: 1 / √[`Self::query_scale_width`].
    pub fn attention_scale(&self) -> f32 {
        (self.query_scale_width as f32).sqrt().recip()
    }
}

/// What a file says its architecture is.
pub(super) fn architecture(metadata: &HashMap<String, Value>) -> Result<&str> {
    metadata
        .get("general.architecture")
        .and_then(|value| value.to_string().ok())
        .map(String::as_str)
        .ok_or_else(|| bad("GGUF metadata lacks general.architecture"))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Llama,
    Qwen2,
    Qwen3,
    Gemma3,
}

impl Family {
    fn of(architecture: &str) -> Result<Family> {
        match architecture {
            "llama" => Ok(Family::Llama),
            "qwen2" => Ok(Family::Qwen2),
            "qwen3" => Ok(Family::Qwen3),
            "gemma3" => Ok(Family::Gemma3),
            other if OTHER_ARCHITECTURES.contains(&other) => Err(bad(format!(
                "a model of architecture {other:?} can write digests, no more"
            ))
            .hint("adapters, `bench` and `models export` are for llama, qwen2, qwen3 and gemma3")),
            other => Err(bad(format!("architecture {other:?} is not supported")).hint(format!(
                "supported are llama, qwen2, qwen3 and gemma3, and, slowly, {}",
                OTHER_ARCHITECTURES.join(", ")
            ))),
        }
    }
}

/// The metadata below one architecture's name.
struct Keys<'a> {
    metadata: &'a HashMap<String, Value>,
    architecture: &'a str,
}

impl Keys<'_> {
    fn size(&self, key: &str) -> Result<usize> {
        self.optional_size(key)?.ok_or_else(|| self.missing(key))
    }

    fn number(&self, key: &str) -> Result<f32> {
        self.optional_number(key)?.ok_or_else(|| self.missing(key))
    }

    fn optional_size(&self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let size = as_u64(value).and_then(|size| usize::try_from(size).ok());
        size.filter(|size| (1..=MAX_DIMENSION).contains(size)).map(Some).ok_or_else(|| {
            bad(format!(
                "GGUF key {}.{key} is no size from 1 to {MAX_DIMENSION}",
                self.architecture
            ))
        })
    }

    /// No dimension of a matrix: models say that they take a million positions and more. What is
    /// beyond the bound of dimensions is not used.
    fn context_length(&self) -> Result<usize> {
        let named = self.get("context_length").and_then(as_u64);
        match named {
            Some(named) if named > MAX_DIMENSION as u64 => Ok(MAX_DIMENSION),
            _ => self.size("context_length"),
        }
    }

    fn optional_number(&self, key: &str) -> Result<Option<f32>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = match value {
            Value::F64(number) => Some(*number as f32),
            value => value.to_f32().ok(),
        };
        number.filter(|n| n.is_finite() && *n > 0.0).map(Some).ok_or_else(|| {
            bad(format!("GGUF key {}.{key} is no positive number", self.architecture))
        })
    }

    /// A stretch that is of another kind (YaRN) would be computed wrongly, and nothing would tell.
    /// Older files have the factor under another key.
    fn rope_stretch(&self) -> Result<f32> {
        let wrong = |kind: &str| {
            let key = format!("{}.rope.scaling.type", self.architecture);
            Err(bad(format!("{key} is {kind}, which is not supported"))
                .hint("supported are \"linear\" and \"none\""))
        };
        match self.get("rope.scaling.type") {
            Some(Value::String(kind)) if kind == "none" => return Ok(1.0),
            Some(Value::String(kind)) if kind == "linear" => {}
            Some(Value::String(kind)) => return wrong(&format!("{kind:?}")),
            Some(_) => return wrong("no text"),
            None => {}
        }
        let factor = self.optional_number("rope.scaling.factor")?;
        let older = self.optional_number("rope.scale_linear")?;
        Ok(factor.or(older).unwrap_or(1.0))
    }

    /// Some files write 0 where there is no window.
    fn window(&self) -> Result<Option<usize>> {
        let key = "attention.sliding_window";
        match self.get(key).and_then(as_u64) {
            Some(0) => Ok(None),
            _ => self.optional_size(key),
        }
    }

    /// Which layers see a window alone: a list says it for each, a number n that each nth does not.
    fn local_layers(&self, count: usize) -> Result<Vec<bool>> {
        let key = "attention.sliding_window_pattern";
        if let Some(Value::Array(list)) = self.get(key) {
            let truths = list.iter().map(|value| value.to_bool().ok()).collect::<Option<Vec<_>>>();
            return truths.filter(|truths| truths.len() == count).ok_or_else(|| {
                bad(format!(
                    "{}.{key} does not say of {count} layers true or false",
                    self.architecture
                ))
            });
        }
        let every = self.optional_size(key)?.unwrap_or(GEMMA3_GLOBAL_EVERY);
        Ok((1..=count).map(|layer| !layer.is_multiple_of(every)).collect())
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.get(&format!("{}.{key}", self.architecture))
    }

    fn missing(&self, key: &str) -> Error {
        bad(format!("GGUF metadata lacks {}.{key}", self.architecture))
    }
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Model, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(architecture: &str, extra: &[(&str, Value)]) -> HashMap<String, Value> {
        let mut map =
            HashMap::from([("general.architecture".into(), Value::String(architecture.into()))]);
        let sizes = [
            ("embedding_length", 64),
            ("feed_forward_length", 96),
            ("attention.head_count", 4),
            ("context_length", 128),
            ("block_count", 7),
        ];
        for (key, n) in sizes {
            map.insert(format!("{architecture}.{key}"), Value::U32(n));
        }
        map.insert(format!("{architecture}.attention.layer_norm_rms_epsilon"), Value::F32(1e-6));
        for (key, value) in extra {
            map.insert(format!("{architecture}.{key}"), value.clone());
        }
        map
    }

    #[test]
    fn gemma3_gets_the_constants_that_its_files_leave_out() {
        let extra = [
            ("attention.sliding_window", Value::U32(512)),
            ("rope.freq_base", Value::F32(1e6)),
            ("rope.scaling.type", Value::String("linear".into())),
            ("rope.scaling.factor", Value::F32(8.0)),
            ("attention.key_length", Value::U32(32)),
        ];
        let config = Config::from_gguf(&metadata("gemma3", &extra)).unwrap();
        let local = LayerKind { window: Some(512), rotary: Rotary { base: 1e4, stretch: 1.0 } };
        let global = LayerKind { window: None, rotary: Rotary { base: 1e6, stretch: 8.0 } };
        assert_eq!(config.layers, [local, local, local, local, local, global, local]);
        assert_eq!((config.head_dim, config.embedding_scale), (32, 8.0));
        assert!(config.qk_norm && config.post_norms && !config.qkv_bias);
    }

    #[test]
    fn the_families_differ_in_their_switches() {
        let of = |name| Config::from_gguf(&metadata(name, &[])).unwrap();
        let (llama, qwen2, qwen3) = (of("llama"), of("qwen2"), of("qwen3"));
        assert_eq!(llama.rope_pairing, RopePairing::Adjacent);
        assert_eq!(qwen2.rope_pairing, RopePairing::Halves);
        assert_eq!([llama.qkv_bias, qwen2.qkv_bias, qwen3.qkv_bias], [false, true, false]);
        assert_eq!([llama.qk_norm, qwen2.qk_norm, qwen3.qk_norm], [false, false, true]);
        assert_eq!((llama.head_dim, llama.kv_heads), (16, 4));
    }

    #[test]
    fn a_context_beyond_a_million_positions_is_no_damage() {
        let of = |named| Config::from_gguf(&metadata("llama", &[("context_length", named)]));
        assert_eq!(of(Value::U32(4_194_304)).unwrap().context_length, 1 << 20);
        assert!(of(Value::U32(0)).is_err());
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let check = |metadata: HashMap<String, Value>, expected: &str| {
            let message = Config::from_gguf(&metadata).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        check(metadata("mamba", &[]), "\"mamba\" is not supported");
        check(metadata("phi3", &[]), "\"phi3\" can write digests, no more");
        check(metadata("llama", &[("block_count", Value::U32(0))]), "llama.block_count");
        check(metadata("llama", &[("attention.head_count_kv", Value::U32(3))]), "3 key heads");
        let yarn = ("rope.scaling.type", Value::String("yarn".into()));
        check(metadata("qwen3", &[yarn]), "qwen3.rope.scaling.type is \"yarn\"");
        let mut lacking = metadata("llama", &[]);
        lacking.remove("llama.feed_forward_length");
        check(lacking, "lacks llama.feed_forward_length");
    }
}
