//! What was typed, turned into what it means.
//!
//! Everything that can be found wrong without reading a feed or loading a model is found here.

use std::path::{Path, PathBuf};

use super::args::{BenchArgs, DigestArgs, EngineArg, EngineArgs, EvalArgs, PeerArg, VocabArg};
use super::output::Output;
use super::outputs::Outputs;
use super::selection::Choice;
use super::sources::sources;
use crate::error::{Error, ErrorKind, Result};
use crate::feed::{self, Source};
use crate::fetch;
use crate::glossary::Glossary;
use crate::prompt::Template;
use crate::writer::{
    AdapterChoice, Choices, EngineChoice, EngineKind, GlossaryChoice, ModelChoice,
};

/// One digest to be made.
#[derive(Debug)]
pub(super) struct DigestSettings {
    pub(super) sources: Vec<Source>,
    pub(super) outputs: Outputs,
    pub(super) dry_run: bool,
    pub(super) verbosity: Verbosity,
    pub(super) catch_up: bool,
    pub(super) limit: Option<u64>,
    pub(super) redo: bool,
    pub(super) store: StoreChoice,
    pub(super) choice: Choice,
    pub(super) writer: Choices,
}

/// Speed to be measured.
#[derive(Debug)]
pub(super) struct BenchSettings {
    /// Who writes; what is measured is what it would write.
    pub(super) writer: Choices,
    /// What the model is called in the report.
    pub(super) model_name: String,
    /// Papers or prompts; `None`: the built-in ones.
    pub(super) papers: Option<PathBuf>,
    pub(super) limit: Option<usize>,
    /// Tokens to write about each paper.
    pub(super) tokens: usize,
    /// Numbers of papers at a time, ascending, each once.
    pub(super) batches: Vec<usize>,
    pub(super) repeats: usize,
    /// Python interpreter that has the programs to compare with.
    pub(super) peer: Option<PathBuf>,
    /// These programs, each once.
    pub(super) programs: Vec<Program>,
    pub(super) json: Option<Output>,
}

/// A program to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    LlamaCpp,
    OpenVino,
}

/// Summaries to be measured.
#[derive(Debug)]
pub(super) struct EvalSettings {
    pub(super) records: Source,
    pub(super) references: Source,
    /// How many papers are shown.
    pub(super) worst: usize,
    pub(super) json: Option<Output>,
}

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verbosity {
    Quiet,
    Normal,
    Verbose,
}

/// Where finished papers are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StoreChoice {
    Memory,
    File(PathBuf),
}

impl DigestSettings {
    /// `config` is the file of settings that has a say in it.
    pub(super) fn of(args: DigestArgs, config: Option<&Path>) -> Result<Self> {
        let sources = sources(&args.inputs, args.contact.as_deref())?;
        let sources = expand(sources)?;
        let store = StoreChoice::of(args.store, args.no_store)?;
        let mut kept = inputs(&sources);
        kept.extend(store.files());
        kept.extend(config.map(|path| ("the file of settings", path.to_owned())));
        kept.extend(args.prompt.clone().map(|path| ("the prompt", path)));
        kept.extend(args.glossary.clone().map(|path| ("the glossary", path)));
        kept.extend(weights(&args.model.model, args.model.adapter.as_deref()));
        kept.extend(args.selection.like.iter().map(|path| ("the library", path.clone())));
        let glossary = glossary_choice(args.glossary.as_deref())?;
        let own = match &glossary {
            GlossaryChoice::File(glossary) => Some(glossary),
            GlossaryChoice::Own | GlossaryChoice::None => None,
        };
        let mut outputs = Outputs::of(args.outputs, kept)?;
        if args.skip_existing {
            outputs = outputs.extending()?;
        }
        Ok(DigestSettings {
            choice: Choice::of(&args.selection, own)?,
            sources,
            outputs,
            dry_run: args.dry_run,
            verbosity: Verbosity::of(args.quiet, args.verbose),
            catch_up: !args.no_catch_up,
            limit: args.limit,
            redo: args.redo,
            store,
            writer: Choices {
                model: model_choice(&args.model.model, args.model.adapter)?,
                prompt: args.prompt.as_deref().map(Template::find).transpose()?,
                glossary,
                fields: args.fields.parse()?,
                guards: args.guards.parse()?,
                beams: args.beams.map(|beams| beams as usize),
                engine: engine_choice(&args.engine)?,
                batch: args.batch.map(|batch| batch as usize),
            },
        })
    }
}

impl BenchSettings {
    pub(super) fn of(args: BenchArgs) -> Result<Self> {
        let mut batches: Vec<usize> = args.batch.iter().map(|&batch| batch as usize).collect();
        batches.sort_unstable();
        batches.dedup();
        let mut kept = weights(&args.model, args.adapter.as_deref());
        let writer = Choices {
            model: model_choice(&args.model, args.adapter)?,
            engine: engine_choice(&args.engine)?,
            beams: Some(args.beams as usize),
            ..Choices::new(&args.model)?
        };
        let json = args.json.map(|path| Output::of(Some(path)));
        if let Some(json) = &json {
            kept.extend(args.papers.clone().map(|path| ("an input", path)));
            json.check(&kept)?;
        }
        let model_name = writer.model.card().map_or(args.model, |card| card.name.clone());
        let mut programs: Vec<Program> = Vec::new();
        for arg in args.peer_program {
            let program = match arg {
                PeerArg::LlamaCpp => Program::LlamaCpp,
                PeerArg::OpenVino => Program::OpenVino,
            };
            if !programs.contains(&program) {
                programs.push(program);
            }
        }
        Ok(BenchSettings {
            writer,
            model_name,
            papers: args.papers,
            limit: args.limit.map(|limit| limit as usize),
            tokens: args.tokens as usize,
            batches,
            repeats: args.repeat as usize,
            peer: args.peer,
            programs,
            json,
        })
    }
}

impl EvalSettings {
    pub(super) fn of(args: EvalArgs) -> Result<Self> {
        let (records, references) =
            (Source::parse(&args.records)?, Source::parse(&args.references)?);
        only_one_stdin(&[&records, &references])?;
        let json = args.json.map(|path| Output::of(Some(path)));
        let kept = inputs([&records, &references]);
        json.iter().try_for_each(|json| json.check(&kept))?;
        Ok(EvalSettings { records, references, worst: args.worst as usize, json })
    }
}

fn engine_choice(args: &EngineArgs) -> Result<EngineChoice> {
    let choice = EngineChoice {
        kind: match args.engine {
            EngineArg::Auto => EngineKind::Auto,
            EngineArg::Cpu => EngineKind::Cpu,
            EngineArg::Candle => EngineKind::Candle,
        },
        devices: args.device.parse()?,
        full_vocabulary: args.vocab == VocabArg::Full,
        threads: args.threads.map(|threads| threads as usize),
    };
    choice.check()?;
    Ok(choice)
}

fn expand(sources: Vec<Source>) -> Result<Vec<Source>> {
    only_one_stdin(&sources.iter().collect::<Vec<_>>())?;
    feed::expand(sources)
}

/// The files among `sources`, which no output may replace.
pub(super) fn inputs<'a>(
    sources: impl IntoIterator<Item = &'a Source>,
) -> Vec<(&'static str, PathBuf)> {
    let path = |source: &Source| match source {
        Source::Path(path) => Some(("an input", path.clone())),
        Source::Stdin | Source::Url { .. } | Source::Arxiv(_) => None,
    };
    sources.into_iter().filter_map(path).collect()
}

/// The files of a model, which no output may replace.
pub(super) fn weights(model: &str, adapter: Option<&Path>) -> Vec<(&'static str, PathBuf)> {
    let adapter = adapter.map(|path| ("the adapter", path.to_owned()));
    [("the model", PathBuf::from(model))].into_iter().chain(adapter).collect()
}

/// Standard input can be read once, so it can be named once.
fn only_one_stdin(sources: &[&Source]) -> Result<()> {
    if sources.iter().filter(|source| ***source == Source::Stdin).count() > 1 {
        return Err(Error::new(ErrorKind::Usage, "standard input (-) is named more than once"));
    }
    Ok(())
}

impl Verbosity {
    pub(super) fn of(quiet: bool, verbose: bool) -> Self {
        match (quiet, verbose) {
            (true, _) => Verbosity::Quiet,
            (false, true) => Verbosity::Verbose,
            (false, false) => Verbosity::Normal,
        }
    }
}

impl StoreChoice {
    /// The store's file and those that stand beside it.
    fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let StoreChoice::File(path) = self else { return Vec::new() };
        let beside = |suffix: &str| {
            let mut name = path.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        let of_store = |suffix| ("a file of the store", beside(suffix));
        let beside = ["-wal", "-shm", "-journal", ".lock"].map(of_store);
        [("the store", path.clone())].into_iter().chain(beside).collect()
    }

    pub(super) fn of(path: Option<PathBuf>, no_store: bool) -> Result<Self> {
        if no_store {
            return Ok(StoreChoice::Memory);
        }
        let default = || Some(dirs::data_dir()?.join("wenzhai").join("store.sqlite"));
        path.or_else(default).map(StoreChoice::File).ok_or_else(|| {
            Error::new(ErrorKind::Usage, "this machine names no folder for data of programs")
                .hint("give a file with --store, or keep nothing with --no-store")
        })
    }
}

pub(super) fn model_choice(model: &str, adapter: Option<PathBuf>) -> Result<ModelChoice> {
    Ok(ModelChoice { model: fetch::resolve(model)?, adapter: adapter_choice(adapter)? })
}

fn glossary_choice(path: Option<&Path>) -> Result<GlossaryChoice> {
    let Some(path) = path else { return Ok(GlossaryChoice::Own) };
    if path.as_os_str() == "none" {
        return Ok(GlossaryChoice::None);
    }
    let glossary = Glossary::read(path).map_err(|error| match error.kind() {
        ErrorKind::Io => {
            error.hint("a glossary has a term, a tab and its translation a line; `none` is none")
        }
        _ => error,
    })?;
    Ok(GlossaryChoice::File(glossary))
}

fn adapter_choice(path: Option<PathBuf>) -> Result<AdapterChoice> {
    match path {
        None => Ok(AdapterChoice::Own),
        Some(path) if path.as_os_str() == "none" => Ok(AdapterChoice::None),
        Some(path) if path.is_file() => Ok(AdapterChoice::File(path)),
        Some(path) => {
            let message = format!("there is no adapter {}", path.display());
            Err(Error::new(ErrorKind::Usage, message)
                .hint("an adapter is a safetensors file; `none` leaves out the model's own"))
        }
    }
}
