//! Models that are no decoder of ours, run by another engine, a paper at a time.

use super::choices::{AdapterChoice, Choices, EngineKind, ModelChoice};
use super::loading::load_shortlist;
use crate::batch::{MAX_CONTEXT, ROWS_PER_STEP};
use crate::engine::transformers::{Architecture, TransformersEngine};
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::{LocalModel, Progress};
use crate::generate::Limits;
use crate::model::Model;
use crate::tokens::Tokenizer;

/// The architecture of a model that is no decoder of ours but can be run.
pub(super) fn architecture(
    choice: &ModelChoice,
    local: &LocalModel,
) -> Result<Option<Architecture>> {
    Ok(match choice.card() {
        Some(card) => Architecture::named(&card.family),
        None => Architecture::named(&Model::architecture(&local.path)?),
    })
}

/// Loads such a model.
pub(super) fn load(
    architecture: Architecture,
    local: &LocalModel,
    choices: &Choices,
    progress: &mut dyn Progress,
) -> Result<(Tokenizer, TransformersEngine, Limits)> {
    let name = architecture.name();
    let refused = |what: &str, hint: &str| {
        let message = format!("{what} of architecture {name:?}");
        Err(Error::new(ErrorKind::Usage, message).hint(hint))
    };
    if matches!(choices.model.adapter, AdapterChoice::File(_)) {
        return refused("no adapter can be merged into a model", "leave out --adapter");
    }
    if choices.engine.kind != EngineKind::Auto {
        return refused("neither cpu nor candle runs a model", "leave out --engine");
    }
    if choices.beams() > 1 {
        return refused("one text of a paper at a time is written by a model", "leave out --beams");
    }
    progress.note(&format!(
        "warning: a model of architecture {name:?} is slow here: it writes one paper at a time, \
         whatever --batch says"
    ));
    let tokenizer = Model::load_tokenizer(&local.path)?;
    let shortlist = match choices.engine.full_vocabulary {
        false => load_shortlist(&choices.model, &tokenizer)?,
        true => None,
    };
    let &[device] = choices.engine.devices.all() else {
        return refused("a single card runs a model", "name one of them: --device cuda:0");
    };
    let engine = TransformersEngine::load(
        &local.path,
        architecture,
        device,
        MAX_CONTEXT,
        shortlist.as_ref(),
    )?;
    engine.warnings().iter().for_each(|warning| progress.note(&format!("warning: {warning}")));
    let max_context = engine.max_context();
    let limits = Limits {
        max_sequences: 1,
        rows_per_step: ROWS_PER_STEP,
        prefill_rows: ROWS_PER_STEP,
        max_context,
        kv_positions: max_context,
    };
    Ok((tokenizer, engine, limits))
}
