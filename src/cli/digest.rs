//! `wenzhai digest`: feeds into a digest.

use std::path::Path;
use std::time::{Duration, Instant};

use super::args::DigestArgs;
use super::console::{self, Console};
use super::extended;
use super::outcome::Outcome;
use super::settings::{DigestSettings, StoreChoice};
use super::wording;
use crate::error::{Error, ErrorKind, Result};
use crate::feed::Source;
use crate::paper::Date;
use crate::pipeline::{self, Days, Inputs, Intake, Observer, Place, Progress, Treatment};
use crate::store::{Account, Identity, Run, Store};
use crate::writer::{self, Batch, Writer};

/// Makes a digest; `profile` is the one of `config`, the file of settings, for which days are
/// remembered.
pub(super) fn run(
    profile: Option<&str>,
    args: DigestArgs,
    config: Option<&Path>,
) -> Result<Outcome> {
    let settings = DigestSettings::of(args, config)?;
    let mut console = Console::new(settings.verbosity);
    if settings.choice.library.is_some() {
        // Papers are compared with it before there is a model.
        writer::use_threads(&settings.writer.engine)?;
    }
    if settings.dry_run {
        return dry_run(&settings, &mut console);
    }
    let writer = Writer::find(settings.writer.clone(), &mut console)?;
    let terms = writer.glossary().map(|glossary| format!(", glossary: {} terms", glossary.len()));
    console.detail(&format!(
        "model: {}, prompt: {}{}",
        writer.name(),
        writer.prompt().name(),
        terms.unwrap_or_default()
    ));
    let mut store = open_store(&settings, &console)?;
    store.read_for(&reader(profile, &settings));
    let (asked, wanted, limit) = (settings.sources.clone(), settings.catch_up, settings.limit);
    let mut days = Days::before(asked, wanted, limit, &store, &mut console)?;
    let run = store.begin(writer.identity(), settings.redo)?;
    let (mut run, inputs) = take_in(&settings, &mut days, run, &mut console)?;
    let Some(inputs) = inputs else {
        days.remember(&[], None, &mut run)?;
        return Ok(Outcome::Nothing);
    };
    let progress = summarise(&settings, &writer, &mut run, &mut console)?;
    if let Some(status) = console.stop_listening()
        && run.account()?.pending > 0
    {
        tell_interruption(&settings, &run)?;
        return Ok(Outcome::Interrupted(status));
    }
    let day = settings.outputs.day(&run)?;
    if settings.outputs.extended().is_none() {
        let place = Place { day, is_of_any_day: settings.outputs.is_of_any_day() };
        days.forget_lost(place, &inputs.announced, &mut run, &mut console)?;
    }
    let account = run.account()?;
    if account.existing > 0 {
        tell_parted(&settings, day, account.existing, &mut console);
    }
    settings.outputs.write(&run, &|record| run.successor(record))?;
    let noted = days.remember(&inputs.announced, Some(day), &mut run);
    let effort = progress.map(|(progress, time)| wording::effort(&progress, time));
    let (effort, stopped) = (effort.unwrap_or_default(), stopped(&inputs));
    console.say(&format!("{}{effort}{stopped}", wording::account(&account)));
    tell_skipped(&account, &console);
    if let Err(error) = noted {
        let message = format!("the digest is written, and not noted: {error}");
        console.error(&error.saying(message));
        return Ok(Outcome::Incomplete);
    }
    Ok(outcome(&inputs, &account))
}

/// Takes in all that `days` has, with what belongs beside it. `None` where there is nothing to write.
fn take_in<'a>(
    settings: &DigestSettings,
    days: &mut Days,
    mut run: Run<'a>,
    console: &mut Console,
) -> Result<(Run<'a>, Option<Inputs>)> {
    let mut inputs = read_all(settings, days, &mut run, console)?;
    let announced = inputs.as_ref().map_or(&[][..], |inputs| &inputs.announced);
    let can_be_repeated = days.sources().iter().all(Source::is_repeatable);
    let pages = days.beside(announced, &run)?;
    if pages.is_empty() {
        return Ok((run, inputs));
    }
    // From the beginning, so that the days stand where they stood; what can be read only once stays
    // as it was read, and they come behind it. What was said is not said again.
    console.read_again();
    if can_be_repeated {
        run = run.begin_again()?;
        inputs = read_all(settings, days, &mut run, console)?;
    } else if let Some(inputs) = &mut inputs {
        let limit = settings.limit.map(|limit| limit.saturating_sub(inputs.taken));
        if limit == Some(0) {
            inputs.stopped = true;
        } else if let Some(more) = read(settings, days, &pages, limit, &mut run, console)? {
            inputs.add(more);
        }
    }
    Ok((run, inputs))
}

/// Takes in what the output holds already, and all that `days` has.
fn read_all(
    settings: &DigestSettings,
    days: &Days,
    run: &mut Run<'_>,
    console: &mut Console,
) -> Result<Option<Inputs>> {
    if let Some(path) = settings.outputs.extended() {
        extended::read(path, &mut |record, _| run.add_existing(record))?;
    }
    read(settings, days, days.sources(), settings.limit, run, console)
}

/// For whose digests days are remembered: those of a profile, and of its shards one by one, since a
/// day that one shard has read is not in the others' digests.
fn reader(profile: Option<&str>, settings: &DigestSettings) -> String {
    let profile = profile.unwrap_or_default();
    match settings.choice.shard {
        Some(shard) => format!("{profile} {shard}"),
        None => profile.to_owned(),
    }
}

/// Warns of the outputs of `day` that are there already, where what they have is in the records that are extended.
fn tell_parted(settings: &DigestSettings, day: Date, existing: u64, console: &mut Console) {
    let Some(archive) = settings.outputs.extended() else { return };
    for path in settings.outputs.of_day_already(day) {
        console.warning(&format!(
            "{} is written anew with the papers of this run alone; {} that it may have had are in {}",
            path.display(),
            wording::count(existing),
            archive.display()
        ));
    }
}

/// Lists what would be read.
fn dry_run(settings: &DigestSettings, console: &mut Console) -> Result<Outcome> {
    let mut store = Store::in_memory()?;
    let mut run = store.begin(&Identity::default(), true)?;
    let days = Days::none(settings.sources.clone());
    let Some(inputs) = read(settings, &days, days.sources(), settings.limit, &mut run, console)?
    else {
        return Ok(Outcome::Nothing);
    };
    settings.outputs.list(&run)?;
    let account = run.account()?;
    console.say(&format!("{}{}", wording::listing(&account), stopped(&inputs)));
    tell_skipped(&account, console);
    Ok(outcome(&inputs, &account))
}

/// What follows an account where reading ended at the limit.
fn stopped(inputs: &Inputs) -> &'static str {
    if inputs.stopped { "; what follows the limit was not read" } else { "" }
}

fn tell_skipped(account: &Account, console: &Console) {
    if account.skipped() > 0 {
        console.detail(&format!("skipped: {}", wording::skipped(account)));
    }
}

fn open_store(settings: &DigestSettings, console: &Console) -> Result<Store> {
    match &settings.store {
        StoreChoice::Memory => Store::in_memory(),
        StoreChoice::File(path) => {
            console.detail(&format!("store: {}", path.display()));
            Store::open(path)
        }
    }
}

/// Takes `sources` in, which are some or all of those of `days`. `None` where they are whole and empty, so that there is
/// nothing to write.
fn read(
    settings: &DigestSettings,
    days: &Days,
    sources: &[Source],
    limit: Option<u64>,
    run: &mut Run<'_>,
    console: &mut Console,
) -> Result<Option<Inputs>> {
    let treatment = match (settings.dry_run, settings.redo) {
        (true, _) => Treatment::List,
        (false, true) => Treatment::Rewrite,
        (false, false) => Treatment::Write,
    };
    let selection = &settings.choice.selection;
    settings.choice.warnings().iter().for_each(|warning| console.warning(warning));
    let shard = settings.choice.shard;
    let intake = Intake { selection: Some(selection), shard, limit, treatment };
    let mut inputs = pipeline::read(sources, intake, run, console)?;
    days.settle(&mut inputs);
    console.finish_reading();
    if let Some(damaged) = wording::damaged(run.damaged()) {
        console.warning(&damaged);
    }
    let account = run.account()?;
    let others = account.filtered + account.other_shards;
    let papers = account.read - others - account.skipped();
    if let Some(library) = &settings.choice.library
        && papers > 0
        && pipeline::rank(run, library, settings.choice.top)? == 0
    {
        let all = if settings.choice.top.is_some() { "; --top leaves out none" } else { "" };
        console.warning(&format!(
            "nothing is known of the library's papers but their ids, and the inputs have none of \
             them{all}"
        ));
    }
    // One that may pass tells to run again.
    let failed = &mut inputs.failed;
    let telling = failed.iter().position(Error::may_pass).or(failed.len().checked_sub(1));
    let last = telling.filter(|_| papers == 0).map(|at| failed.remove(at));
    inputs.failed.iter().for_each(|error| console.error(error));
    let may_pass = inputs.may_pass;
    let lacking = |error: Error| if may_pass { error.passing() } else { error };
    if let Some(error) = last {
        return Err(lacking(error));
    }
    // A shard may be empty, and whoever puts shards together looks for a file of each.
    if papers > 0 || (account.other_shards > 0 && account.existing == 0) {
        return Ok(Some(inputs));
    }
    if account.read > 0 {
        let message = format!("no paper is left of {}", wording::count(account.read));
        if others + account.existing + account.deleted > 0 && account.malformed == 0 {
            run.remember(&inputs.announced, None)?;
            console.say(&format!("{message}: {}; nothing was written", wording::skipped(&account)));
            return Ok(None);
        }
        let error = Error::new(ErrorKind::Input, message).hint(wording::skipped(&account));
        return Err(lacking(error));
    }
    if inputs.stopped {
        return Err(Error::new(ErrorKind::Usage, "the limit of 0 papers leaves none to read"));
    }
    run.remember(&inputs.announced, None)?;
    console.say(match sources.iter().all(Source::is_search) {
        true => "arXiv has no such paper; nothing was written",
        false => "no paper was announced, as on weekends; nothing was written",
    });
    Ok(None)
}

/// Writes what is pending, and tells how long the writing took. A model is loaded only where
/// something is pending.
fn summarise(
    settings: &DigestSettings,
    writer: &Writer,
    run: &mut Run<'_>,
    console: &mut Console,
) -> Result<Option<(Progress, Duration)>> {
    if run.account()?.pending == 0 {
        return Ok(None);
    }
    let mut loaded = writer.load(console)?;
    if let Batch { papers, memory: Some((free, each)) } = loaded.batch() {
        let (free, each) = (wording::bytes(free), wording::bytes(each));
        console.detail(&format!(
            "{papers} papers at a time: each takes {each} at most, {free} are free"
        ));
    }
    let started = Instant::now();
    console.listen()?;
    let progress = loaded.summarise(run, console);
    console.clear();
    if let Some(misses) = loaded.misses() {
        console.detail(&wording::misses(misses));
    }
    match progress {
        Ok(progress) => Ok(Some((progress, started.elapsed()))),
        Err(error) => Err(match settings.store {
            StoreChoice::File(_) if error.hint_text().is_none() => {
                error.hint(match settings.redo {
                    true => "with --redo all papers are written about again",
                    false => "what is finished is kept; run again to go on",
                })
            }
            _ => error,
        }),
    }
}

/// Says what is kept, and how to go on.
fn tell_interruption(settings: &DigestSettings, run: &Run<'_>) -> Result<()> {
    let account = run.account()?;
    let finished = wording::count(account.summarised + account.reused);
    let rest = wording::count(account.pending);
    let how = match settings.redo {
        true => "the same command begins anew, because of --redo",
        false => "run the same command again to go on",
    };
    console::note(&match &settings.store {
        StoreChoice::File(_) => {
            format!("stopped: {finished} papers are finished and kept, {rest} are not; {how}")
        }
        StoreChoice::Memory => {
            format!("stopped: nothing is kept of {finished} finished papers, because of --no-store")
        }
    });
    Ok(())
}

/// Complete is what lacks nothing that was read.
fn outcome(inputs: &Inputs, account: &Account) -> Outcome {
    let is_whole = inputs.failed.is_empty() && !inputs.cut_short;
    if is_whole && account.failed == 0 && account.malformed == 0 {
        Outcome::Complete
    } else {
        Outcome::Incomplete
    }
}
