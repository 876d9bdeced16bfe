//! `wenzhai plan`: what so many papers take on what device, before anything is bought or started.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::PlanArgs;
use super::bench::machine;
use super::console::Console;
use super::outcome::Outcome;
use super::output::{Output, write_report};
use super::settings::{Verbosity, weights};
use super::wording::{bytes, count};
use crate::batch::limits_of;
use crate::error::{Error, ErrorKind, Result};
use crate::feed::{self, Event};
use crate::fetch::{self, Cache, ModelRef};
use crate::generate::Beside;
use crate::model::{Model, Shape};
use crate::plan::{CARDS, Card, Estimate, Job, Work, measure, texts_of_beam};
use crate::system;
use crate::writer::{Choices, EngineChoice, Writer, read_shape, scored_tokens};

/// Twelve made-up papers, by whose prompts the tokens of a paper are counted.
const SAMPLE: &str = include_str!("../../examples/cs.CL-sample.xml");

/// What `--device` calls this machine's processor.
const CPU: &str = "cpu";

/// Everything that is planned.
#[derive(Debug, Serialize)]
struct Report {
    program: &'static str,
    model: String,
    layers: usize,
    /// Tokens that are scored for every paper.
    scored_tokens: usize,
    multiply_adds_per_row: u64,
    multiply_adds_per_scored_token: u64,
    multiply_adds_per_position: u64,
    weight_bytes: u64,
    kv_bytes_per_token: u64,
    kv_bytes_per_paper: u64,
    /// Texts of a paper that are written side by side.
    texts: usize,
    /// Bytes that are reserved for these beside the paper.
    kv_bytes_of_other_texts: u64,
    shared_prompt_tokens: usize,
    prompt_tokens: usize,
    /// Whether that is what the sample's papers have, and not what was asked for.
    prompt_tokens_counted: bool,
    written_tokens: usize,
    /// Of the roofline, for devices that are computed.
    share: f64,
    devices: Vec<Device>,
}

#[derive(Debug, Serialize)]
struct Device {
    device: String,
    name: String,
    /// Whether it was measured here; the others are computed.
    measured: bool,
    /// Absent: the model does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows_per_step: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multiply_adds_per_step: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_step: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    papers_per_hour: Option<f64>,
    /// Board power at most, or what was given with `--watts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    watts: Option<f64>,
    papers: Vec<Amount>,
}

/// What so many papers take.
#[derive(Debug, Serialize)]
struct Amount {
    papers: u64,
    hours: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    kwh: Option<f64>,
}

pub(super) fn run(args: PlanArgs) -> Result<Outcome> {
    let json = args.json.clone().map(|path| Output::of(Some(path)));
    json.iter().try_for_each(|json| json.check(&weights(&args.model, None)))?;
    let devices = devices(&args.device)?;
    let mut console = Console::new(Verbosity::Normal);
    let beams = args.beams.map(|beams| beams as usize);
    let choices = Choices { beams, ..Choices::new(&args.model)? };
    let path = local_path(&choices, &args.model)?;
    let shape = read_shape(&choices.model, &path)?;
    let scored = scored_tokens(&choices.model)?.unwrap_or(shape.vocabulary);
    let beam = choices.sampling();
    let (job, beside) = job(&args, choices, &shape, &path, &mut console)?;
    check_context(&job, &shape)?;
    let work = Work::of(&shape, scored).reserving(&job);
    let share = f64::from(args.share) / 100.0;
    let batch = args.batch.map(|batch| batch as usize);
    let papers = args.papers.iter().copied().max().unwrap_or(u64::MAX);
    let at_once = usize::try_from(papers).unwrap_or(usize::MAX).max(1);
    let mut planned = Vec::with_capacity(devices.len());
    for device in devices {
        planned.push(match device {
            Some(card) => {
                let batch = work.batch_on(card, batch, beside).map(|batch| batch.min(at_once));
                let estimate = batch.map(|batch| work.on_card(&job, card, batch, share));
                Device::new(
                    card.name,
                    card.full_name,
                    false,
                    estimate,
                    Some(card.watts),
                    &args.papers,
                )
            }
            None => {
                let free = system::available_memory();
                let batch = work.batch_on_processor(free, batch, beside).min(at_once);
                let texts = (batch as f64 * job.texts).round() as usize;
                console.say(&format!("measuring this processor, {batch} papers at a time"));
                let threads = args.threads.map(|threads| threads as usize);
                let threads = EngineChoice { threads, ..EngineChoice::default() }.thread_count();
                let speed = measure(&shape, scored, &job, texts, threads)?;
                let estimate = work.on_processor(&job, &speed);
                let (threads, isa) = (speed.threads, speed.isa.name());
                let name = format!("{}, {threads} threads, {isa}", machine());
                Device::new(CPU, &name, true, Some(estimate), args.watts, &args.papers)
            }
        });
    }
    let report = Report {
        program: concat!("wenzhai ", env!("CARGO_PKG_VERSION")),
        model: args.model,
        layers: shape.config.layers.len(),
        scored_tokens: scored,
        multiply_adds_per_row: work.row,
        multiply_adds_per_scored_token: work.head,
        multiply_adds_per_position: work.position,
        weight_bytes: work.weight_bytes,
        kv_bytes_per_token: work.token_bytes,
        kv_bytes_per_paper: work.paper_bytes(),
        texts: beam.width(),
        kv_bytes_of_other_texts: beside.positions as u64 * work.token_bytes,
        shared_prompt_tokens: job.prefix_tokens,
        prompt_tokens: job.prompt_tokens,
        prompt_tokens_counted: args.prompt_tokens.is_none(),
        written_tokens: job.written_tokens,
        share,
        devices: planned,
    };
    write_report(&report, json.as_ref(), &report.table())?;
    Ok(Outcome::Complete)
}

/// The cards that were named; `None` is the processor.
fn devices(names: &[String]) -> Result<Vec<Option<&'static Card>>> {
    if names.is_empty() {
        return Ok([None].into_iter().chain(CARDS.iter().map(Some)).collect());
    }
    let device = |name: &String| match name.as_str() {
        CPU => Ok(None),
        name => Card::find(name).map(Some).ok_or_else(|| {
            let known: Vec<&str> = CARDS.iter().map(|card| card.name).collect();
            Error::new(ErrorKind::Usage, format!("unknown device {name:?}"))
                .hint(format!("known are cpu, {}", known.join(", ")))
        }),
    };
    names.iter().map(device).collect()
}

/// The file of a model, which has to be here.
fn local_path(choices: &Choices, name: &str) -> Result<PathBuf> {
    let cache = Cache::from_env()?;
    let path = match &choices.model.model {
        ModelRef::Path(path) => Some(path.clone()),
        ModelRef::Card(card) => fetch::status(card, &cache).map(|present| present.path),
        ModelRef::Hub(file) => fetch::status_of_hub_file(file, &cache)?.map(|present| present.path),
    };
    path.ok_or_else(|| {
        let message = format!("the model {name} is not here, and its file tells its shape");
        Error::new(ErrorKind::Model, message)
            .hint(format!("`wenzhai models fetch {name}` brings it"))
    })
}

/// Refuses papers that are longer than what the model reads at a time.
fn check_context(job: &Job, shape: &Shape) -> Result<()> {
    let (tokens, most) = (job.positions(), limits_of(&shape.config, 1, 0).max_context);
    if tokens <= most {
        return Ok(());
    }
    let message = format!("a paper of {tokens} tokens, in a context of {most}");
    Err(Error::new(ErrorKind::Usage, message)
        .hint("lower --prompt-tokens or --written-tokens, or take a model of a longer context"))
}

/// The tokens of a paper: as asked for, or those of the sample's prompts; and what the texts of its beam take
/// beside it.
fn job(
    args: &PlanArgs,
    choices: Choices,
    shape: &Shape,
    path: &Path,
    console: &mut Console,
) -> Result<(Job, Beside)> {
    let written_tokens = args.written_tokens as usize;
    let texts = texts_of_beam(choices.sampling().width());
    if let Some(prompt_tokens) = args.prompt_tokens {
        let prompt_tokens = prompt_tokens as usize;
        let job = Job { prefix_tokens: 0, prompt_tokens, written_tokens, texts };
        let longest = choices.sampling().beside(written_tokens);
        let writer = Writer::find(choices, console);
        return Ok((job, writer.map_or(longest, |writer| writer.beside())));
    }
    let writer = Writer::find(choices, console).map_err(|error| match error.hint_text() {
        Some(_) => error,
        None => error.hint("--prompt-tokens says how many tokens a prompt has"),
    })?;
    let tokenizer = Model::load_tokenizer(path)?;
    let codec = writer.codec(&tokenizer, limits_of(&shape.config, 1, 0).max_context)?;
    let (mut papers, mut tokens) = (0, 0);
    let prefix_tokens = codec.prefix().len();
    feed::read_from("the sample feed", SAMPLE.as_bytes(), &mut |event| {
        if let Event::Item(item) = event {
            papers += 1;
            tokens += codec.prompt(&item.paper)?.tokens.len().saturating_sub(prefix_tokens);
        }
        Ok(())
    })?;
    let prompt_tokens = tokens / papers.max(1);
    let job = Job { prefix_tokens, prompt_tokens, written_tokens, texts };
    Ok((job, writer.beside()))
}

impl Device {
    fn new(
        device: &str,
        name: &str,
        measured: bool,
        estimate: Option<Estimate>,
        watts: Option<f64>,
        papers: &[u64],
    ) -> Device {
        let amount = |(papers, estimate): (&u64, Estimate)| {
            let hours = estimate.seconds(*papers) / 3600.0;
            Amount { papers: *papers, hours, kwh: watts.map(|watts| hours * watts / 1000.0) }
        };
        Device {
            device: device.to_owned(),
            name: name.to_owned(),
            measured,
            batch: estimate.map(|of| of.batch),
            rows_per_step: estimate.map(|of| of.rows_per_step),
            multiply_adds_per_step: estimate.map(|of| of.multiply_adds_per_step),
            bytes_per_step: estimate.map(|of| of.bytes_per_step),
            papers_per_hour: estimate.map(|of| of.papers_per_hour),
            watts,
            papers: papers.iter().filter_map(|p| estimate.map(|of| (p, of))).map(amount).collect(),
        }
    }
}

impl Report {
    fn table(&self) -> String {
        let millions = |number: u64| format!("{:.1} million", number as f64 / 1e6);
        let counted = match self.prompt_tokens_counted {
            true => format!(
                "the mean of twelve sample papers, and {} that all share",
                self.shared_prompt_tokens
            ),
            false => "as asked for".to_owned(),
        };
        let mut text = format!(
            "{}: {}, {} layers, {} tokens scored\n\
             multiply-adds: {} a row, {} a scored row, {} a position attended to\n\
             bytes: {} of weights a step, {} of keys and values a token, {} reserved for a paper\n\
             a paper: {} tokens of prompt ({counted}), {} written (assumed; --written-tokens)\n",
            self.program,
            self.model,
            self.layers,
            count(self.scored_tokens as u64),
            millions(self.multiply_adds_per_row),
            millions(self.multiply_adds_per_scored_token),
            count(self.multiply_adds_per_position),
            bytes(self.weight_bytes),
            bytes(self.kv_bytes_per_token),
            bytes(self.kv_bytes_per_paper),
            self.prompt_tokens,
            self.written_tokens,
        );
        if self.texts > 1 {
            let _ = writeln!(
                text,
                "{} texts of a paper side by side, {:.1} of them at a time, and {} more",
                self.texts,
                texts_of_beam(self.texts),
                bytes(self.kv_bytes_of_other_texts),
            );
        }
        text += "\ndevice     batch  rows/step  10^9 multiply-adds/step  MiB/step   papers/h\n";
        for device in &self.devices {
            text += &device.line();
        }
        text += "\npapers     device          time         energy\n";
        let mut amounts: Vec<(&Device, &Amount)> =
            self.devices.iter().flat_map(|d| d.papers.iter().map(move |a| (d, a))).collect();
        amounts.sort_by_key(|(_, amount)| amount.papers);
        for (device, Amount { papers, hours, kwh }) in amounts {
            let energy = kwh.map_or("not known".to_owned(), |kwh| format!("{} kWh", figure(kwh)));
            let _ = writeln!(
                text,
                "{:<9}  {:<9}  {:>9}  {energy:>13}",
                count(*papers),
                device.device,
                long(*hours)
            );
        }
        text.push('\n');
        if let Some(cpu) = self.devices.iter().find(|device| device.measured) {
            let _ = writeln!(
                text,
                "cpu was measured just now, on {}:\n\
                 the engine's kernels at the model's shapes. Guards, checks and second tries come on top.",
                cpu.name
            );
        }
        if self.devices.iter().any(|device| !device.measured) {
            let _ = writeln!(
                text,
                "Cards are computed, not measured: {} % of the roofline (--share) of what their maker\n\
                 publishes, for products of f16, or of int8 where f16 takes more than half of their memory;\n\
                 energy is their board power at most, times the time. What it takes to start kernels is\n\
                 left out, and is much of a step of a small model.",
                (100.0 * self.share).round()
            );
        }
        text
    }
}

impl Device {
    fn line(&self) -> String {
        let figures = self.batch.zip(self.rows_per_step).zip(self.papers_per_hour);
        let of_step = self.multiply_adds_per_step.zip(self.bytes_per_step);
        let (Some(((batch, rows), papers)), Some((macs, read))) = (figures, of_step) else {
            return format!("{:<9}  the model does not fit into its memory\n", self.device);
        };
        format!(
            "{:<9}  {batch:>5}  {rows:>9.1}  {:>23.1}  {:>8}  {:>9}\n",
            self.device,
            macs / 1e9,
            count((read / f64::from(1 << 20)).round() as u64),
            count(papers.round() as u64),
        )
    }
}

/// Days above two of them, hours above two of these, minutes, or seconds.
fn long(hours: f64) -> String {
    match hours {
        48.0.. => format!("{} d", figure(hours / 24.0)),
        2.0.. => format!("{} h", figure(hours)),
        0.033.. => format!("{} min", figure(hours * 60.0)),
        _ => format!("{} s", figure(hours * 3600.0)),
    }
}

/// Two figures or more.
fn figure(number: f64) -> String {
    match number {
        10.0.. => count(number.round() as u64),
        1.0.. => format!("{number:.1}"),
        0.1.. => format!("{number:.2}"),
        _ => format!("{number:.5}"),
    }
}
