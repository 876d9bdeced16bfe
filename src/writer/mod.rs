//! The library's front door: who writes the summaries, put together from a model and what goes with
//! it.
//!
//! What writes a summary is a part of the key under which it is kept, so it must be known before
//! a feed is read. The weights need not be: a run that finds everything in the store, or a feed
//! that is empty, fetches and loads nothing. A [`Writer`] is therefore found first and loaded when
//! there is something to write:
//!
//! ```no_run
//! use wenzhai::digest::Records;
//! use wenzhai::{feed::Source, pipeline, store::Store, writer::{Choices, Writer}};
//!
//! # fn main() -> wenzhai::Result<()> {
//! let writer = Writer::find(Choices::new("default")?, &mut ())?;
//! let mut store = Store::in_memory()?;
//! let mut run = store.begin(writer.identity(), false)?;
//! let inputs = pipeline::read(&[Source::parse("cs.CL.xml")?], Default::default(), &mut run, &mut ())?;
//! if let Some(error) = inputs.failed.into_iter().next() {
//!     return Err(error);
//! }
//! writer.load(&mut ())?.summarise(&mut run, &mut ())?;
//! run.for_each_record(&mut |record| Ok(println!("{}", record.zh_title)))
//! # }
//! ```
//!
//! # What it does to the process
//! Loading sets the number of threads of rayon's global pool, unless there is one already, and opening a card
//! silences the panic hook while it does so. A writer that is loaded may be moved to another thread.

mod choices;
mod loading;
mod other;

use std::path::Path;

use crate::batch::{POSITIONS_PER_SEQUENCE, limits_of};
use crate::card::{self, Card};
use crate::engine::candle::BLOCK_CAPACITY;
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::{self, Cache, ModelRef, Progress};
use crate::generate::{Beside, Engine, Generator, Limits, Misses};
use crate::glossary::Glossary;
use crate::hash;
use crate::model::Model;
use crate::pipeline::{self, Observer};
use crate::prompt::{CHAT, Codec, PLAIN, Template};
use crate::store::{Identity, Run};
use crate::system;
use crate::tokens::Tokenizer;

pub use crate::batch::Batch;
pub use choices::{
    AdapterChoice, Choices, EngineChoice, EngineKind, GlossaryChoice, MAX_BEAMS, MAX_PAPERS,
    ModelChoice,
};
pub use loading::{Made, load_model, read_shape, scored_tokens, use_threads};

/// Who writes the summaries of a run.
#[derive(Debug)]
pub struct Writer {
    choices: Choices,
    name: String,
    identity: Identity,
    prompt: Template,
    glossary: Option<Glossary>,
}

/// A writer that is ready: its weights are the engine's by then.
pub struct Loaded<'a> {
    writer: &'a Writer,
    tokenizer: Tokenizer,
    engine: Box<dyn Engine + Send>,
    limits: Limits,
    batch: Batch,
}

impl Writer {
    /// Finds out who writes; a model without a card has to be here for that, and is fetched where
    /// it is not. Its file is read from beginning to end each time, for its SHA-256.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where the choices do not go together, or are out of bounds; errors of fetching and
    /// of files.
    pub fn find(choices: Choices, progress: &mut dyn Progress) -> Result<Self> {
        choices.check()?;
        let (choice, prompt) = (&choices.model, choices.prompt.clone());
        let (prompt, name, model) = match &choice.model {
            ModelRef::Card(card) => {
                let prompt = prompt.map_or_else(|| prompt_of(card), Ok)?;
                (prompt, card.name.clone(), card.file.sha256.clone())
            }
            ModelRef::Path(_) | ModelRef::Hub(_) => {
                let local = fetch::ensure(&choice.model, &Cache::from_env()?, progress)?;
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
        let prompt = prompt.only(choices.fields);
        let (name, adapter) = match (&choice.adapter, choice.own_adapter()) {
            (AdapterChoice::File(path), _) => {
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                (format!("{name} with {file}"), Some(sha256(path)?))
            }
            (AdapterChoice::Own, Some(own)) => (name, Some(own.sha256.clone())),
            (AdapterChoice::None, Some(_)) => (format!("{name} without adapter"), None),
            (_, None) => (name, None),
        };
        let glossary = choice.glossary(&choices.glossary, &prompt)?;
        let identity = Identity {
            model,
            adapter,
            prompt: prompt.identity().to_owned(),
            glossary: glossary.as_ref().and_then(Glossary::identity).map(str::to_owned),
            guards: choices.guards.to_string(),
            full_vocabulary: choices.engine.full_vocabulary,
            beams: choices.beams(),
        };
        Ok(Writer { choices, name, identity, prompt, glossary })
    }

    /// What records call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its summaries are kept under.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its prompt.
    pub fn prompt(&self) -> &Template {
        &self.prompt
    }

    /// The terms that its prompts tell.
    pub fn glossary(&self) -> Option<&Glossary> {
        self.glossary.as_ref()
    }

    /// Between papers and `tokenizer`'s tokens: prompt, terms and guards of this writer.
    pub fn codec<'a>(&'a self, tokenizer: &'a Tokenizer, max_context: usize) -> Result<Codec<'a>> {
        let codec = Codec::new(&self.prompt, tokenizer, max_context)?
            .guarded(self.choices.guards)
            .sampled_by(self.choices.sampling());
        Ok(match self.glossary() {
            Some(glossary) => codec.with_glossary(glossary),
            None => codec,
        })
    }

    /// Fetches the weights where they are not here.
    pub fn fetch(&self, progress: &mut dyn Progress) -> Result<()> {
        fetch::ensure(&self.choices.model.model, &Cache::from_env()?, progress).map(drop)
    }

    /// The model with its adapter, fetched where it is not here. Threads are set once a process.
    pub fn load_model(&self, progress: &mut dyn Progress) -> Result<Model> {
        self.choices.engine.devices.check()?;
        loading::use_threads(&self.choices.engine)?;
        load_model(&self.choices.model, progress)
    }

    /// The bounds of steps for `papers` at a time, each of which reserves `positions` for one text.
    pub fn limits(&self, model: &Model, papers: usize, positions: usize) -> Limits {
        let beside = self.beside().positions;
        let limits = limits_of(model.config(), papers, positions + beside);
        let max_sequences = papers * self.choices.sampling().slots();
        // One paper fits, however long, with all of its texts.
        let kv_positions = limits.kv_positions.max(limits.max_context + beside);
        let limits = Limits { max_sequences, kv_positions, ..limits };
        match self.choices.engine.devices.is_cpu() {
            true => limits,
            false => {
                // Each card computes its share of a step.
                let rows = limits.rows_per_step * self.choices.engine.devices.all().len();
                Limits { rows_per_step: rows, prefill_rows: rows, ..limits }
            }
        }
    }

    /// What the texts of a paper's beam take beside the paper.
    pub fn beside(&self) -> Beside {
        let longest = self.prompt.fields().iter().map(|form| form.max_tokens).max().unwrap_or(0);
        self.choices.sampling().beside(longest)
    }

    /// An engine for `model`, which is this writer's.
    pub fn engine(&self, model: &Model, limits: Limits) -> Result<Made> {
        let shortlist = loading::load_shortlist(&self.choices.model, model.tokenizer())?;
        loading::make_engine(model, shortlist, &self.choices.engine, limits, self.beside())
    }

    /// Fetches the weights where they are not here, and loads them.
    pub fn load(&self, progress: &mut dyn Progress) -> Result<Loaded<'_>> {
        self.choices.engine.devices.check()?;
        loading::use_threads(&self.choices.engine)?;
        let local = loading::fetch_model(&self.choices.model, progress)?;
        if let Some(architecture) = other::architecture(&self.choices.model, &local)? {
            let (tokenizer, engine, limits) =
                other::load(architecture, &local, &self.choices, progress)?;
            let batch = Batch::of(limits.max_sequences);
            let engine = Box::new(engine);
            return Ok(Loaded { writer: self, tokenizer, engine, limits, batch });
        }
        let model = loading::read_model(&self.choices.model, &local, progress)?;
        let engine = &self.choices.engine;
        let free = match engine.devices.is_cpu() && engine.kind != EngineKind::Candle {
            true => loading::free_once_packed(&model, &self.choices.model, engine.full_vocabulary)?,
            false => system::available_memory(),
        };
        let batch = match self.choices.batch {
            Some(papers) => Batch::of(papers),
            None => {
                let beside = self.beside();
                let positions = POSITIONS_PER_SEQUENCE + beside.positions;
                let each = (positions * model.config().position_bytes()) as u64;
                Batch::on_processor(free, each, None, beside)
            }
        };
        // The positions that the batch counts for each of its papers.
        let positions = match self.choices.engine.devices.is_cpu() {
            true => POSITIONS_PER_SEQUENCE,
            false => BLOCK_CAPACITY,
        };
        let limits_for = |papers: usize| self.limits(&model, papers, positions);
        let Made { engine, room, .. } = self.engine(&model, limits_for(batch.papers))?;
        // An engine with memory of its own tells how much room it has once the weights are there.
        let batch = room.filter(|_| self.choices.batch.is_none()).unwrap_or(batch);
        let limits = limits_for(batch.papers);
        Ok(Loaded { writer: self, tokenizer: model.into_tokenizer(), engine, limits, batch })
    }
}

impl Loaded<'_> {
    /// How many papers it writes at a time.
    pub fn batch(&self) -> Batch {
        self.batch
    }

    /// Summarises every pending paper of `run`; see [`pipeline::summarise`].
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where the run was begun for another writer, under whose name summaries would be kept.
    pub fn summarise(
        &mut self,
        run: &mut Run<'_>,
        observer: &mut dyn Observer,
    ) -> Result<pipeline::Progress> {
        if run.identity() != self.writer.identity() {
            let message = "the run was begun for another writer";
            return Err(
                Error::new(ErrorKind::Usage, message).hint("begin it with this one's identity")
            );
        }
        let codec = self.writer.codec(&self.tokenizer, self.limits.max_context)?;
        let mut generator =
            Generator::new(&mut *self.engine, self.limits, codec.prefix().to_vec())?;
        pipeline::summarise(run, &codec, &mut generator, self.writer.name(), observer)
    }

    /// What a shortlist would have missed so far, where the engine keeps count.
    pub fn misses(&self) -> Option<Misses> {
        self.engine.misses()
    }
}

/// The prompt for a model without a card.
fn general_prompt(tokenizer: &Tokenizer) -> &'static str {
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

fn sha256(path: &Path) -> Result<String> {
    hash::sha256_of_file(path, &mut |_| {}).map_err(|cause| Error::io("read", path, cause))
}
