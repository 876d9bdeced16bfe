//! Keys of a file that change what a decoder computes and that this one does not follow.
//!
//! A model computed without them would write worse, or nonsense, and nothing would tell. So a file
//! with such a key is refused unless the value is the one that changes nothing, and of a key that is
//! not known at all a warning is given.

use std::collections::HashMap;

use candle_core::quantized::gguf_file::Value;

use super::Config;
use super::gguf::as_u64;
use crate::{Error, Result, error::ErrorKind};

/// Keys below the architecture's name, the value at which they change nothing, and what they mean.
const UNFOLLOWED: [(&str, f64, &str); 19] = [
    ("expert_count", 0.0, "a mixture of experts"),
    ("expert_used_count", 0.0, "a mixture of experts"),
    ("attn_logit_softcapping", 0.0, "a cap on the scores of attention"),
    ("final_logit_softcapping", 0.0, "a cap on logits"),
    ("attention.clamp_kqv", 0.0, "a cap on queries, keys and values"),
    ("attention.max_alibi_bias", 0.0, "a bias for distances (ALiBi)"),
    ("attention.causal", 1.0, "attention to later positions"),
    ("attention.temperature_scale", 0.0, "a scale for far positions"),
    ("attention.temperature_length", 0.0, "a scale for far positions"),
    ("attention.shared_kv_layers", 0.0, "layers that share keys and values"),
    ("embedding_scale", 1.0, "a factor on embeddings"),
    ("residual_scale", 1.0, "a factor on the residual stream"),
    ("logit_scale", 1.0, "a factor on logits"),
    ("rope.scaling.attn_factor", 1.0, "a factor on rotated queries and keys"),
    ("use_parallel_residual", 0.0, "attention beside the feed-forward network"),
    ("pooling_type", 0.0, "one vector for a whole text (a model of embeddings)"),
    ("nextn_predict_layers", 0.0, "layers that predict further tokens"),
    ("leading_dense_block_count", 0.0, "a mixture of experts"),
    ("interleave_moe_layer_step", 0.0, "a mixture of experts"),
];

/// Keys that state a width of heads, which is the same for all of them here.
const HEAD_WIDTHS: [&str; 6] = [
    "attention.key_length",
    "attention.value_length",
    "attention.key_length_swa",
    "attention.value_length_swa",
    "rope.dimension_count",
    "rope.dimension_count_swa",
];

/// Keys that are followed, or change nothing.
const KNOWN: [&str; 21] = [
    "attention.head_count",
    "attention.head_count_kv",
    "attention.layer_norm_rms_epsilon",
    "attention.scale",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.scale_linear",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "tensor_data_layout",
    "vocab_size",
    "vision.block_count",
    "mm.tokens_per_image",
];

/// Refuses a file whose keys say what `config` does not.
///
/// # Errors
/// [`ErrorKind::Model`] with the key, its value and what it means.
pub fn check(config: &Config, metadata: &HashMap<String, Value>) -> Result<()> {
    check_keys(&config.architecture, metadata, &[])?;
    let value = |key: &str| metadata.get(&format!("{}.{key}", config.architecture));
    let refused =
        |key: &str, value: &Value, what: &str| Err(refused(&config.architecture, key, value, what));
    for key in HEAD_WIDTHS {
        if let Some(value) = value(key)
            && as_u64(value) != Some(config.head_dim as u64)
        {
            return refused(
                key,
                value,
                &format!("another width than that of heads, {}", config.head_dim),
            );
        }
    }
    let key = "attention.scale";
    if let Some(value) = value(key) {
        let scale = f64::from(config.attention_scale());
        if !number(value).is_some_and(|given| (given / scale - 1.0).abs() < 1e-4) {
            return refused(key, value, &format!("another scale of attention than {scale:.6}"));
        }
    }
    Ok(())
}

/// Refuses a file with a key below the name of its architecture that changes what is computed, whatever
/// computes it; those of `followed` are followed.
///
/// # Errors
/// As [`check`].
pub fn check_keys(
    architecture: &str,
    metadata: &HashMap<String, Value>,
    followed: &[&str],
) -> Result<()> {
    for (key, neutral, what) in UNFOLLOWED {
        if let Some(value) = metadata.get(&format!("{architecture}.{key}"))
            && number(value) != Some(neutral)
            && !followed.contains(&key)
        {
            return Err(refused(architecture, key, value, what));
        }
    }
    Ok(())
}

fn refused(architecture: &str, key: &str, value: &Value, what: &str) -> Error {
    let message = format!("{architecture}.{key} is {}: {what}", shown(value));
    Error::new(ErrorKind::Model, format!("{message}, which is not supported"))
        .hint(format!("models of {architecture} without it are"))
}

/// What is worth a warning: keys that are not known, and what a file should have said.
pub fn warnings(config: &Config, metadata: &HashMap<String, Value>) -> Vec<String> {
    let unknown = unknown_keys(&config.architecture, metadata, &[]);
    let mut warnings: Vec<String> =
        unknown.into_iter().chain(lacks_pre_tokenizer(metadata)).collect();
    if let Some(context) = config.context_unlimited {
        let (architecture, window) = (&config.architecture, config.context_length);
        warnings.push(format!(
            "{architecture}.attention.sliding_window is {window}, and whether layers of {architecture} \
             follow it is not known; of a context of {context} positions {window} are used, for \
             which it makes no difference"
        ));
    }
    warnings
}

/// A warning of keys below the name of the architecture that are known neither here nor by `followed`.
pub fn unknown_keys(
    architecture: &str,
    metadata: &HashMap<String, Value>,
    followed: &[&str],
) -> Option<String> {
    let is_known = |key: &str| {
        UNFOLLOWED.iter().any(|(known, ..)| *known == key)
            || HEAD_WIDTHS.contains(&key)
            || KNOWN.contains(&key)
            || followed.contains(&key)
            // Of another kind of stretching only; that kind is refused.
            || key.starts_with("rope.scaling.yarn_")
    };
    let prefix = format!("{architecture}.");
    let of_architecture = metadata.keys().filter_map(|key| key.strip_prefix(&prefix));
    let mut unknown: Vec<&str> = of_architecture.filter(|key| !is_known(key)).collect();
    unknown.sort_unstable();
    (!unknown.is_empty()).then(|| {
        format!(
            "the GGUF file has keys of {architecture} that are not known here, and that nothing \
             follows: {}",
            unknown.join(", ")
        )
    })
}

/// A warning where a file should say how text is cut before it becomes tokens, and does not.
pub fn lacks_pre_tokenizer(metadata: &HashMap<String, Value>) -> Option<String> {
    let model = metadata.get("tokenizer.ggml.model").and_then(|value| value.to_string().ok());
    let is_lacking =
        model.is_some_and(|model| model == "gpt2") && !metadata.contains_key("tokenizer.ggml.pre");
    is_lacking.then(|| {
        "the GGUF file lacks tokenizer.ggml.pre, which says how text is cut before it becomes \
         tokens; `default` is used, and the model may have been trained with another: a newer \
         file of it says so"
            .into()
    })
}

/// A number or a truth, as a number.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::F32(number) => Some(f64::from(*number)),
        Value::F64(number) => Some(*number),
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        _ => as_u64(value).map(|n| n as f64),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Bool(truth) => truth.to_string(),
        Value::String(text) => format!("{text:?}"),
        Value::Array(_) => "a list".into(),
        value => number(value).map_or_else(|| "negative".into(), |number| number.to_string()),
    }
}
