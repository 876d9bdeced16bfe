//! What a file says of a model's shape, without its weights: enough to plan with.

use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;

use super::{Adapter, Config, EQUALISED, adapter, cannot_load, open, unfollowed, weights};
use crate::{Error, Result};

/// The shape of a model whose adapter is merged.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Shape and switches of the decoder.
    pub config: Config,
    /// Rows of the token embedding and of the head.
    pub vocabulary: usize,
    /// Whether channels are about equal in size; see [`super::Model::is_equalised`].
    pub equalised: bool,
    /// Whether most weights of the layers have a minimum beside their scale.
    pub minimums: bool,
}

impl Shape {
    /// Reads the header of the GGUF file at `path`; `adapter` is what would be merged into it.
    ///
    /// # Errors
    /// As [`super::Model::load`].
    pub fn read(path: &Path, adapter: Option<Adapter<'_>>) -> Result<Shape> {
        let named = |e: Error| cannot_load(path, e);
        let (_, header) = open(path)?;
        let config = Config::from_gguf(&header.metadata).map_err(named)?;
        unfollowed::check(&config, &header.metadata).map_err(named)?;
        weights::check(&config, &header).map_err(named)?;
        let embedding = header.tensors.get("token_embd.weight");
        let vocabulary = embedding.and_then(|info| info.shape.first().copied());
        let of_file = matches!(header.metadata.get(EQUALISED), Some(Value::Bool(true)));
        // Merging rounds anew, to blocks without minimums.
        let (by_adapter, requantized) = match adapter {
            Some(adapter) => {
                let factors = adapter::Factors::read(&config, adapter)?;
                (factors.equalises(config.layers.len()), true)
            }
            None => (false, false),
        };
        let (mut with, mut without) = (0, 0);
        for (name, info) in &header.tensors {
            let values: usize = info.shape.iter().product();
            let has = matches!(
                info.kind,
                GgmlDType::Q4_1 | GgmlDType::Q5_1 | GgmlDType::Q4K | GgmlDType::Q5K
            );
            if name.starts_with("blk.") {
                *(if has { &mut with } else { &mut without }) += values;
            }
        }
        Ok(Shape {
            config,
            vocabulary: vocabulary.unwrap_or_default(),
            equalised: of_file || by_adapter,
            minimums: with > without && !requantized,
        })
    }
}
