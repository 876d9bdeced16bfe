//! From a choice to a model that is ready to run: memory, weights, engine, bounds.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::choices::{AdapterChoice, EngineChoice, EngineKind, ModelChoice};
use crate::batch::{Batch, POSITIONS_PER_SEQUENCE};
use crate::card::{self, Card};
use crate::engine::SplitEngine;
use crate::engine::candle::{CandleEngine, CandleSettings, Devices, Matrices};
use crate::engine::cpu::{self, CpuEngine, CpuSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::{self, Cache, LocalModel, Progress};
use crate::generate::{Beside, Engine, Limits};
use crate::model::{Adapter, MAX_ADAPTER_BYTES, Model, Shape};
use crate::shortlist::Shortlist;
use crate::system;
use crate::text::quantity;
use crate::tokens::Tokenizer;

/// An engine, and what is worth telling of it.
pub struct Made {
    /// The engine.
    pub engine: Box<dyn Engine + Send>,
    /// What it is called.
    pub name: &'static str,
    /// Tokens that are scored for every paper; `None`: all.
    pub shortlisted: Option<usize>,
    /// How many papers at a time there is room for, where the engine has memory of its own.
    pub(super) room: Option<Batch>,
}

/// Makes the engine that `choice` asks for; the texts of a paper's beam take `beside` of it beside the paper.
pub(super) fn make_engine(
    model: &Model,
    shortlist: Option<Shortlist>,
    choice: &EngineChoice,
    limits: Limits,
    beside: Beside,
) -> Result<Made> {
    if choice.kind == EngineKind::Candle || !choice.devices.is_cpu() {
        let shortlist = shortlist.filter(|_| !choice.full_vocabulary);
        let shortlisted = shortlist.as_ref().map(|list| list.ids().len());
        let make = |&device| {
            let (max_context, shortlist) = (limits.max_context, shortlist.as_ref());
            let settings = CandleSettings { device, max_context, shortlist, handling: None };
            CandleEngine::with_settings(model, &settings)
        };
        let mut engines = choice.devices.all().iter().map(make).collect::<Result<Vec<_>>>()?;
        let room = room_in(&engines, &choice.devices, beside);
        let name = match engines[0].matrices() {
            Matrices::F32 => "candle",
            Matrices::F16 => "candle, f16",
            Matrices::Quantized => "candle, quantized",
        };
        let engine: Box<dyn Engine + Send> = match engines.len() {
            1 => Box::new(engines.remove(0)),
            _ => Box::new(SplitEngine::new(engines)),
        };
        return Ok(Made { engine, name, shortlisted, room });
    }
    let full_vocabulary = choice.full_vocabulary;
    let settings = CpuSettings {
        threads: choice.thread_count(),
        limits,
        shortlist: shortlist.as_ref(),
        full_vocabulary,
    };
    let engine = CpuEngine::new(model, &settings)?;
    let shortlisted = shortlist.filter(|_| !full_vocabulary).map(|list| list.ids().len());
    Ok(Made { engine: Box::new(engine), name: "cpu", shortlisted, room: None })
}

/// The room for papers in engines, of cards or of this processor, that have loaded the model and deal the papers
/// out evenly; `None` where one does not tell. The texts of a paper's beam take `beside`.
fn room_in(engines: &[CandleEngine], devices: &Devices, beside: Beside) -> Option<Batch> {
    let each = engines[0].paper_bytes(POSITIONS_PER_SEQUENCE, beside.positions);
    let free = engines.iter().map(CandleEngine::free_memory);
    let free = free.collect::<Option<Vec<u64>>>().and_then(|free| free.into_iter().min());
    let Some(free) = free.filter(|_| !devices.is_cpu()) else {
        // That of the machine, which Apple's GPU shares.
        let free = system::available_memory()?;
        return Some(Batch::on_processor(Some(free), each, None, beside));
    };
    let of_one = Batch::on_card(free, each, engines[0].lanes(), None, beside);
    Some(Batch { papers: engines.len() * of_one.papers, ..of_one })
}

/// The shortlist of a model that has one.
pub(super) fn load_shortlist(
    choice: &ModelChoice,
    tokenizer: &Tokenizer,
) -> Result<Option<Shortlist>> {
    let file = choice.card().and_then(|card| card.shortlist.as_ref());
    let Some(file) = file else { return Ok(None) };
    let list = Shortlist::decode(file.data())?;
    let (of, found) = (list.vocabulary_size(), tokenizer.vocab_size());
    if of != found {
        let message = format!("{} is for {of} tokens, the vocabulary has {found}", file.name);
        return Err(Error::new(ErrorKind::Model, message).hint("use --vocab full"));
    }
    Ok(Some(list))
}

/// How many tokens are scored for every paper; `None`: all of the vocabulary.
pub fn scored_tokens(choice: &ModelChoice) -> Result<Option<usize>> {
    let file = choice.card().and_then(|card| card.shortlist.as_ref());
    file.map(|file| Ok(Shortlist::decode(file.data())?.ids().len())).transpose()
}

/// The shape of a model whose file is at `path`, as it is once its adapter is merged.
///
/// # Errors
/// Those of [`Shape::read`], and where an adapter cannot be read.
pub fn read_shape(choice: &ModelChoice, path: &Path) -> Result<Shape> {
    with_adapter(choice, choice.own_adapter(), |adapter| Shape::read(path, adapter))
}

/// What `read` makes of the adapter that was chosen; `own` is the model's own.
fn with_adapter<T>(
    choice: &ModelChoice,
    own: Option<&card::BuiltIn>,
    read: impl FnOnce(Option<Adapter<'_>>) -> Result<T>,
) -> Result<T> {
    match (&choice.adapter, own) {
        (AdapterChoice::File(file), _) => {
            let bytes = read_adapter(file).map_err(|cause| Error::io("read", file, cause))?;
            let name = file.display().to_string();
            read(Some(Adapter { name: &name, bytes: &bytes }))
        }
        (AdapterChoice::Own, Some(own)) => {
            read(Some(Adapter { name: &own.name, bytes: own.data() }))
        }
        (AdapterChoice::None, _) | (AdapterChoice::Own, None) => read(None),
    }
}

/// Loads a model with its adapter, after fetching it where needed.
pub fn load_model(choice: &ModelChoice, progress: &mut dyn Progress) -> Result<Model> {
    let local = fetch_model(choice, progress)?;
    read_model(choice, &local, progress)
}

/// Fetches a model where needed.
pub(super) fn fetch_model(choice: &ModelChoice, progress: &mut dyn Progress) -> Result<LocalModel> {
    if let (Some(card), Some(free)) = (choice.card(), system::available_memory()) {
        check_memory(card, free, system::total_memory().unwrap_or(free))?;
    }
    fetch::ensure(&choice.model, &Cache::from_env()?, progress)
}

/// Loads a model that is here, with its adapter, and tells what its file leaves open.
pub(super) fn read_model(
    choice: &ModelChoice,
    local: &LocalModel,
    progress: &mut dyn Progress,
) -> Result<Model> {
    let LocalModel { path, adapter, .. } = local;
    let model = with_adapter(choice, *adapter, |adapter| Model::load(path, adapter))?;
    model.warnings().iter().for_each(|warning| progress.note(&format!("warning: {warning}")));
    Ok(model)
}

/// An adapter's bytes, or one more than it may have.
fn read_adapter(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_ADAPTER_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether there is memory for a model of which it is known how much it takes: before a gigabyte is
/// fetched, and before the system kills the program without a word. Where there are `total` bytes and only
/// other programs have them, it may be tried again.
fn check_memory(card: &Card, free: u64, total: u64) -> Result<()> {
    let Some(measured) = card.measured.as_ref().filter(|m| m.least_memory > free) else {
        return Ok(());
    };
    let (needed, free) = (quantity::bytes(measured.least_memory), quantity::bytes(free));
    let message = format!("the model {} takes {needed} of memory, and {free} are free", card.name);
    let error = smaller_instead(card, Error::new(ErrorKind::Model, message));
    Err(if total < measured.least_memory { error } else { error.passing() })
}

/// The memory that is free once `model` is packed for the engine of this processor, where that is known; what its
/// file's weights take until then is free by that time.
pub(super) fn free_once_packed(
    model: &Model,
    choice: &ModelChoice,
    full: bool,
) -> Result<Option<u64>> {
    let Some(free) = system::available_memory() else { return Ok(None) };
    let scored = scored_tokens(choice)?.filter(|_| !full).unwrap_or(model.tokenizer().vocab_size());
    let (packed, read) = (cpu::packed_bytes(model, scored)?, model.weights().bytes());
    let left = free_beside(packed, free, read);
    // What a measured model takes was looked at before it was read.
    if left.is_some() || choice.card().is_some_and(|card| card.measured.is_some()) {
        return Ok(Some(left.unwrap_or(read)));
    }
    let message = format!(
        "the weights take {} of memory once they are packed, and {} are free",
        quantity::bytes(packed),
        quantity::bytes(free)
    );
    let error = Error::new(ErrorKind::Model, message)
        .hint("close other programs, or take a smaller model or --engine candle");
    let is_enough = system::total_memory().is_none_or(|total| packed + read <= total);
    Err(if is_enough { error.passing() } else { error })
}

/// What of `free` bytes is left when weights that took `read` are packed in another `packed`; `None` where these
/// have no room.
fn free_beside(packed: u64, free: u64, read: u64) -> Option<u64> {
    free.checked_sub(packed).map(|left| left + read)
}

/// `error`, which a smaller model would not have met.
fn smaller_instead(card: &Card, error: Error) -> Error {
    let small = card::find(card::SMALL).and_then(|small| Some((small, small.measured.as_ref()?)));
    match small {
        Some((small, measured)) if small.name != card.name => error.hint(format!(
            "--model {} takes {} of memory and {} of disk, and writes much worse",
            card::SMALL,
            quantity::bytes(measured.least_memory),
            quantity::bytes(fetch::disk_while_fetched(small.file.bytes, &small.sources)),
        )),
        _ => error.hint("close other programs, or take another machine"),
    }
}

/// Starts the threads that merging and ranking share (rayon's pool), as many as `choice` has. Once a process,
/// since the pool belongs to all of it: where there is one, it stays. The CPU engine has threads of its own.
///
/// # Errors
/// If the threads cannot be started, which would be a panic where the pool is first used: so also where no number of
/// threads was chosen.
pub fn use_threads(choice: &EngineChoice) -> Result<()> {
    let threads = choice.thread_count();
    match rayon::ThreadPoolBuilder::new().num_threads(threads).build_global() {
        // The system's reason; that the pool is there already has none.
        Err(cause) if std::error::Error::source(&cause).is_some() => {
            let message = format!("cannot start {threads} threads");
            Err(Error::new(ErrorKind::Engine, message).because(cause))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loaded_writer_may_be_moved_to_another_thread() {
        fn may_be_moved<T: Send>() {}
        may_be_moved::<super::super::Loaded<'_>>();
    }

    #[test]
    fn threads_are_told_once_a_process_and_may_be_there_already() {
        rayon::join(|| (), || ());
        let choice = EngineChoice { threads: Some(1), ..EngineChoice::default() };
        for _ in 0..2 {
            use_threads(&choice).unwrap();
        }
    }

    /// An 8B of 4 bits takes twice as much packed as in its file.
    #[test]
    fn what_packing_takes_is_no_memory_for_papers() {
        const GIB: u64 = 1 << 30;
        assert_eq!(free_beside(10 * GIB, 16 * GIB, 5 * GIB), Some(11 * GIB));
        assert_eq!(free_beside(2 * GIB, 20 * GIB, 2 * GIB), Some(20 * GIB));
        assert_eq!(free_beside(10 * GIB, 9 * GIB, 5 * GIB), None);
    }

    #[test]
    fn where_memory_is_short_the_small_model_is_named() {
        let default = card::find(card::DEFAULT).unwrap();
        let least = default.measured.as_ref().unwrap().least_memory;
        assert!(check_memory(default, least, least).is_ok());
        assert!(check_memory(default, 1 << 30, least).unwrap_err().may_pass(), "others have it");
        let error = check_memory(default, 1 << 30, least - 1).unwrap_err();
        assert!(!error.may_pass());
        let message = error.to_string();
        assert!(message.starts_with("the model qwen2.5-coder-1.5b-zh takes "), "{message}");
        assert!(message.ends_with(" of memory, and 1,024 MiB are free"), "{message}");
        assert!(error.hint_text().unwrap().starts_with("--model small takes "));
        let small = check_memory(card::find(card::SMALL).unwrap(), 0, 0).unwrap_err();
        assert_eq!(small.hint_text(), Some("close other programs, or take another machine"));
    }
}
