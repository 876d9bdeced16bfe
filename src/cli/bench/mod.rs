//! `wenzhai bench`: how fast a model writes on this machine.
//!
//! Every paper gets the same number of tokens, whatever they say, so that two runs do the same
//! work however their engines round. The engine is made anew for every measurement: none profits
//! from what another left behind. Where there are peers, they take turns with us, because
//! shared machines have slow minutes that should strike all.

mod measure;
mod peer;
mod report;
mod workload;

use std::time::{Duration, Instant};

use super::args::BenchArgs;
use super::console::Console;
use super::outcome::Outcome;
use super::output::write_report;
use super::settings::{BenchSettings, Verbosity};
use super::wording;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::Isa;
use crate::model::Model;
use crate::writer::{Made, Writer};
use measure::{Run, measure, peak_bytes};
use peer::Peers;
pub(super) use report::machine;
use report::{Report, Setting};
use workload::Workload;

pub(super) fn run(args: BenchArgs) -> Result<Outcome> {
    let settings = BenchSettings::of(args)?;
    let mut console = Console::new(Verbosity::Normal);
    let writer = Writer::find(settings.writer.clone(), &mut console)?;
    // What has to be fetched is here before the clock starts.
    writer.fetch(&mut console)?;
    let started = Instant::now();
    let model = writer.load_model(&mut console)?;
    let model_load = started.elapsed();
    let workload = Workload::read(&settings, &writer, &model)?;
    console.say(&workload.to_string());
    let bench = Bench {
        settings: &settings,
        writer: &writer,
        model: &model,
        workload: &workload,
        model_load,
    };
    let report = bench.run(&console)?;
    write_report(&report, settings.json.as_ref(), &report.table())?;
    Ok(Outcome::Complete)
}

struct Bench<'a> {
    settings: &'a BenchSettings,
    writer: &'a Writer,
    model: &'a Model,
    workload: &'a Workload,
    model_load: Duration,
}

impl Bench<'_> {
    fn run(&self, console: &Console) -> Result<Report> {
        let Bench { settings, workload, .. } = self;
        let mut ours = vec![Vec::new(); settings.batches.len()];
        let mut setting = None;
        let mut peak = None;
        let mut peers: Option<Peers> = None;
        for round in 1..=settings.repeats {
            let heading = |what: &str, number: usize| {
                format!("{what} {number}, {round} of {}", settings.repeats)
            };
            for (batch, runs) in settings.batches.iter().zip(&mut ours) {
                let (run, made) = self.measure_once(*batch)?;
                say_run(console, &heading("batch", *batch), workload, run.wall);
                runs.push(run);
                setting.get_or_insert(made);
            }
            let Some(python) = &settings.peer else { continue };
            // Before the peers' weights are written, which takes memory that an engine does not.
            peak = peak.or_else(peak_bytes);
            let peers = match &mut peers {
                Some(peers) => peers,
                None => peers.insert(Peers::new(python, self.model, workload, settings)?),
            };
            peers.take_turns(|program, parallel, wall| {
                let heading = heading(&format!("{program}, sequences"), parallel);
                say_run(console, &heading, workload, wall);
            })?;
        }
        let setting = setting.ok_or_else(|| {
            Error::new(ErrorKind::Usage, "there is nothing to measure").hint("give a batch")
        })?;
        let peak = peak.or_else(peak_bytes);
        Ok(Report::new(settings, workload, setting, self.model_load, peak, &ours, peers.as_ref()))
    }

    fn measure_once(&self, batch: usize) -> Result<(Run, Setting)> {
        let Bench { settings, writer, model, workload, .. } = self;
        let started = Instant::now();
        let sampling = settings.writer.sampling();
        // Room for the whole batch, whatever the lengths: a writer reserves for the texts of a beam
        // what its own prompt's fields can hold.
        let longer = sampling.beside(settings.tokens).positions;
        let longer = longer.saturating_sub(writer.beside().positions);
        let limits = writer.limits(model, batch, workload.longest() + settings.tokens + longer);
        let Made { mut engine, name, shortlisted, .. } = writer.engine(model, limits)?;
        let engine_load = started.elapsed();
        let run = measure(&mut *engine, limits, workload, settings.tokens, sampling)?;
        // The engine of our own says which of its kernels ran.
        let isa = if name == "cpu" { Some(Isa::detect()?.name()) } else { None };
        Ok((Run { engine_load, ..run }, Setting { engine: name, isa, shortlisted }))
    }
}

fn say_run(console: &Console, heading: &str, workload: &Workload, wall: Duration) {
    let hour = Duration::from_secs(3600);
    let papers = wording::rate(workload.papers() as u64, wall, hour);
    console.say(&format!("{heading}: {} papers/h", wording::count(papers)));
}
