//! From the choice of a model to one that is ready to run.
//!
//! What writes a summary is a part of the key under which it is kept, so it must be known before
//! a feed is read. The weights need not be: a run that finds everything in the store, or a feed
//! that is empty, fetches and loads nothing.

use std::fs::File;
use std::io::Read;
use std::num::NonZero;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::args::{EngineChoice, VocabChoice};
use super::console::Console;
use super::settings::{AdapterChoice, DigestSettings, EngineSettings, GlossaryChoice, ModelChoice};
use super::wording;
use crate::card::{self, Card};
use crate::engine::Engine;
use crate::engine::candle::{CandleEngine, DeviceChoice};
use crate::engine::cpu::{CpuEngine, CpuSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::{self, Cache, LocalModel, ModelRef};
use crate::glossary::Glossary;
use crate::model::{Adapter, Model};
use crate::prompt::{CHAT, PLAIN, Template};
use crate::scheduler::Limits;
use crate::shortlist::Shortlist;
use crate::store::Identity;
use crate::system;
use crate::tokens::Tokenizer;

/// Most positions of one sequence: the longest prompt that templates ask for and its answer, with
/// room for a worked example or two.
const MAX_CONTEXT: usize = 4096;
/// Positions that are reserved for each sequence on average. A paper takes some 940 with the
/// default prompt (380 of prompt, 560 for the answer at its bounds); where a batch has longer
/// ones, fewer of them run at a time.
const POSITIONS_PER_SEQUENCE: usize = 1024;
/// Most papers at a time where the user says nothing; more gain little, and take memory.
const MAX_BATCH: usize = 64;
/// The share of the memory that is free once a model is loaded which keys and values may take.
/// Packing takes as much again as the model's weights, and what these took is free when it is done.
const SHARE_FOR_KEYS_AND_VALUES: f64 = 0.7;
/// Most rows of a step. Prefill is bound by arithmetic at a few hundred rows; more would only
/// keep the sequences that write waiting.
const ROWS_PER_STEP: usize = 512;

/// Who writes the summaries of a run.
pub(super) struct Writer<'a> {
    choice: &'a ModelChoice,
    name: String,
    identity: Identity,
    prompt: Template,
    glossary: Option<Glossary>,
}

/// A model that is ready to run. Its weights are the engine's by then.
pub(super) struct Loaded {
    pub(super) tokenizer: Tokenizer,
    pub(super) engine: Box<dyn Engine>,
    pub(super) limits: Limits,
}

impl<'a> Writer<'a> {
    /// Finds out who writes; a model without a card has to be here for that.
    pub(super) fn find(settings: &'a DigestSettings, console: &mut Console) -> Result<Self> {
        let (choice, prompt) = (&settings.model, settings.prompt.clone());
        let (prompt, name, model) = match &choice.model {
            ModelRef::Card(card) => {
                let prompt = prompt.map_or_else(|| prompt_of(card), Ok)?;
                (prompt, card.name.clone(), card.file.sha256.clone())
            }
            ModelRef::Path(_) | ModelRef::Hub(_) => {
                let local = fetch::ensure(&choice.model, &Cache::from_env()?, console)?;
                let own = || {
                    let tokenizer = Model::load_tokenizer(&local.path)?;
                    Template::built_in(general_prompt(&tokenizer))
                };
                let prompt = prompt.map_or_else(own, Ok)?;
                let name = local.path.file_stem().unwrap_or_default().to_string_lossy();
                let sha256 = local.sha256.clone().map_or_else(|| sha256(&local.path), Ok)?;
                (prompt, name.into_owned(), sha256)
            }
        };
        let (name, adapter) = match (&choice.adapter, choice.own_adapter()) {
            (AdapterChoice::File(path), _) => {
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                (format!("{name} with {file}"), Some(sha256(path)?))
            }
            (AdapterChoice::Own, Some(own)) => (name, Some(own.sha256.clone())),
            (AdapterChoice::None, Some(_)) => (format!("{name} without adapter"), None),
            (_, None) => (name, None),
        };
        let glossary = choice.glossary(&settings.glossary, &prompt)?;
        let identity = Identity {
            model,
            adapter,
            prompt: prompt.identity().to_owned(),
            glossary: glossary.as_ref().and_then(Glossary::identity).map(str::to_owned),
            guards: settings.guards.to_string(),
        };
        Ok(Writer { choice, name, identity, prompt, glossary })
    }

    /// What records call it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn prompt(&self) -> &Template {
        &self.prompt
    }

    pub(super) fn glossary(&self) -> Option<&Glossary> {
        self.glossary.as_ref()
    }

    /// Fetches the weights where they are not here, and loads them.
    pub(super) fn load(&self, settings: &DigestSettings, console: &mut Console) -> Result<Loaded> {
        use_threads(settings.engine.threads)?;
        let model = load_model(self.choice, console)?;
        let batch = settings.batch.unwrap_or_else(|| batch_that_fits(&model, console));
        let limits = limits(&model, batch, POSITIONS_PER_SEQUENCE);
        let shortlist = load_shortlist(self.choice, &model)?;
        let Made { engine, .. } = make_engine(&model, shortlist, &settings.engine, limits)?;
        Ok(Loaded { tokenizer: model.into_tokenizer(), engine, limits })
    }
}

/// An engine, and what is worth telling of it.
pub(super) struct Made {
    pub(super) engine: Box<dyn Engine>,
    pub(super) name: &'static str,
    /// Tokens that are scored for every paper; `None`: all.
    pub(super) shortlisted: Option<usize>,
}

/// Makes the engine that `settings` ask for. An engine that scores the whole vocabulary anyway
/// has no use for `shortlist`.
pub(super) fn make_engine(
    model: &Model,
    shortlist: Option<Shortlist>,
    settings: &EngineSettings,
    limits: Limits,
) -> Result<Made> {
    let on_cpu = settings.device == DeviceChoice::Cpu;
    if settings.engine == EngineChoice::Candle || !on_cpu {
        let engine = CandleEngine::new(model, settings.device, limits.max_context)?;
        return Ok(Made { engine: Box::new(engine), name: "candle", shortlisted: None });
    }
    let full_vocabulary = settings.vocab == VocabChoice::Full;
    let threads = settings.threads.map_or_else(std::thread::available_parallelism, |threads| {
        NonZero::try_from(threads).map_err(|_| std::io::Error::other("no threads"))
    });
    let settings = CpuSettings {
        threads: threads.map_or(1, NonZero::get),
        limits,
        shortlist: shortlist.as_ref(),
        full_vocabulary,
    };
    let engine = CpuEngine::new(model, &settings)?;
    let shortlisted = shortlist.filter(|_| !full_vocabulary).map(|list| list.ids().len());
    Ok(Made { engine: Box::new(engine), name: "cpu", shortlisted })
}

/// How many papers at a time the memory that is free has room for.
fn batch_that_fits(model: &Model, console: &Console) -> usize {
    let each = (POSITIONS_PER_SEQUENCE * model.config().position_bytes()) as u64;
    let Some(free) = system::available_memory() else { return MAX_BATCH };
    let batch = batch_for(free, each);
    let (free, each) = (wording::bytes(free), wording::bytes(each));
    console
        .detail(&format!("{batch} papers at a time: each takes {each} at most, {free} are free"));
    batch
}

/// How many papers that take `each` bytes go into the share of `free` bytes that is theirs.
fn batch_for(free: u64, each: u64) -> usize {
    let room = (free as f64 * SHARE_FOR_KEYS_AND_VALUES) as u64 / each;
    usize::try_from(room).unwrap_or(MAX_BATCH).clamp(1, MAX_BATCH)
}

/// The bounds of steps for `sequences` at a time that reserve `positions` each.
pub(super) fn limits(model: &Model, sequences: usize, positions: usize) -> Limits {
    let max_context = MAX_CONTEXT.min(model.config().context_length);
    Limits {
        max_sequences: sequences,
        rows_per_step: ROWS_PER_STEP,
        max_context,
        kv_positions: (sequences * positions).max(max_context),
    }
}

/// The shortlist of a model that has one.
pub(super) fn load_shortlist(choice: &ModelChoice, model: &Model) -> Result<Option<Shortlist>> {
    let file = choice.card().and_then(|card| card.shortlist.as_ref());
    let Some(file) = file else { return Ok(None) };
    let list = Shortlist::decode(file.data())?;
    let (of, found) = (list.vocabulary_size(), model.tokenizer().vocab_size());
    if of != found {
        let message = format!("{} is for {of} tokens, the vocabulary has {found}", file.name);
        return Err(Error::new(ErrorKind::Model, message).hint("use --vocab full"));
    }
    Ok(Some(list))
}

impl ModelChoice {
    pub(super) fn card(&self) -> Option<&'static Card> {
        match &self.model {
            ModelRef::Card(card) => Some(card),
            ModelRef::Path(_) | ModelRef::Hub(_) => None,
        }
    }

    /// The glossary whose terms `prompt` is to tell.
    fn glossary(&self, choice: &GlossaryChoice, prompt: &Template) -> Result<Option<Glossary>> {
        let own = || {
            let text = self.card().and_then(Card::glossary_text);
            text.map(|text| Glossary::parse("of the model", text)).transpose()
        };
        match choice {
            GlossaryChoice::None => Ok(None),
            GlossaryChoice::Own if prompt.tells_terms() => own(),
            GlossaryChoice::Own => Ok(None),
            GlossaryChoice::File(file) if prompt.tells_terms() => {
                Ok(Some(file.clone().over(own()?.unwrap_or_default())))
            }
            GlossaryChoice::File(_) => {
                let message = format!("the prompt {} has no place for terms", prompt.name());
                Err(Error::new(ErrorKind::Usage, message)
                    .hint("leave --glossary away, or use a prompt with `{% for t in terms %}`"))
            }
        }
    }

    /// The adapter that the card names.
    fn own_adapter(&self) -> Option<&'static card::Adapter> {
        self.card()?.adapter.as_ref()
    }
}

/// Loads a model with its adapter, after fetching it where needed.
pub(super) fn load_model(choice: &ModelChoice, console: &mut Console) -> Result<Model> {
    if let (Some(card), Some(free)) = (choice.card(), system::available_memory()) {
        check_memory(card, free)?;
    }
    let LocalModel { path, adapter, .. } =
        fetch::ensure(&choice.model, &Cache::from_env()?, console)?;
    match (&choice.adapter, adapter) {
        (AdapterChoice::File(file), _) => {
            let bytes = std::fs::read(file).map_err(|cause| Error::io("read", file, cause))?;
            let name = file.display().to_string();
            Model::load(&path, Some(Adapter { name: &name, bytes: &bytes }))
        }
        (AdapterChoice::Own, Some(own)) => {
            Model::load(&path, Some(Adapter { name: &own.name, bytes: own.data() }))
        }
        (AdapterChoice::None, _) | (AdapterChoice::Own, None) => Model::load(&path, None),
    }
}

/// Whether there is memory for a model of which it is known how much it takes: before a gigabyte is
/// fetched, and before the system kills the program without a word.
fn check_memory(card: &Card, free: u64) -> Result<()> {
    let Some(measured) = card.measured.as_ref().filter(|m| m.least_memory > free) else {
        return Ok(());
    };
    let (needed, free) = (wording::bytes(measured.least_memory), wording::bytes(free));
    let message = format!("the model {} takes {needed} of memory, and {free} are free", card.name);
    Err(smaller_instead(card, Error::new(ErrorKind::Model, message)))
}

/// `error`, which a smaller model would not have met.
fn smaller_instead(card: &Card, error: Error) -> Error {
    let small = card::find(card::SMALL).and_then(|small| Some((small, small.measured.as_ref()?)));
    match small {
        Some((small, measured)) if small.name != card.name => error.hint(format!(
            "--model {} takes {} of memory and {} of disk, and writes much worse",
            card::SMALL,
            wording::bytes(measured.least_memory),
            wording::bytes(small.file.bytes),
        )),
        _ => error.hint("close other programs, or take another machine"),
    }
}

/// The prompt for a model without a card.
pub(super) fn general_prompt(tokenizer: &Tokenizer) -> &'static str {
    if tokenizer.chat_template().is_some() { CHAT } else { PLAIN }
}

fn prompt_of(card: &Card) -> Result<Template> {
    let Some(prompt) = &card.prompt else {
        let message = format!("the model {} is not made for digests", card.name);
        return Err(Error::new(ErrorKind::Usage, message)
            .hint(format!("use {}, or give a prompt of your own with --prompt", card::DEFAULT)));
    };
    Template::built_in(prompt)
}

/// Once a process, since the pool belongs to all of it.
pub(super) fn use_threads(threads: Option<usize>) -> Result<()> {
    let Some(threads) = threads else { return Ok(()) };
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().map_err(|cause| {
        Error::new(ErrorKind::Engine, format!("cannot start {threads} threads")).because(cause)
    })
}

fn sha256(path: &Path) -> Result<String> {
    let failed = |cause| Error::io("read", path, cause);
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            bytes => hash.update(&buffer[..bytes]),
        }
    }
    Ok(hexadecimal(&hash.finalize()))
}

/// SHA-256 of `bytes`, in hexadecimal.
pub(super) fn sha256_of(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_papers_at_a_time_as_there_is_memory_for() {
        const EACH: u64 = 28 << 20;
        for (free, batch) in [(0, 1), (EACH, 1), (10 * EACH, 7), (1 << 40, MAX_BATCH)] {
            assert_eq!(batch_for(free, EACH), batch, "{free} bytes");
        }
    }

    #[test]
    fn where_memory_is_short_the_small_model_is_named() {
        let default = card::find(card::DEFAULT).unwrap();
        let least = default.measured.as_ref().unwrap().least_memory;
        assert!(check_memory(default, least).is_ok());
        let error = check_memory(default, 1 << 30).unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("the model qwen2.5-coder-1.5b-zh takes "), "{message}");
        assert!(message.ends_with(" of memory, and 1,024 MiB are free"), "{message}");
        assert!(error.hint_text().unwrap().starts_with("--model small takes "));
        let small = check_memory(card::find(card::SMALL).unwrap(), 0).unwrap_err();
        assert_eq!(small.hint_text(), Some("close other programs, or take another machine"));
    }
}
