//! What was measured: as a table for people, and whole as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::NonZero;
use std::time::Duration;

use serde::Serialize;

use super::super::settings::BenchSettings;
use super::super::wording;
use super::measure::{Run, Spread};
use super::peer::{Peer, Peers};
use super::workload::Workload;

/// The engine that was measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub(super) engine: &'static str,
    /// Instruction set of its kernels, where they are ours.
    pub(super) isa: Option<&'static str>,
    /// Tokens that are scored for every paper; `None`: all.
    pub(super) shortlisted: Option<usize>,
}

/// Everything that was measured. Speeds are over the whole time: those of prefill and decoding
/// share it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    program: &'static str,
    machine: String,
    model: String,
    engine: &'static str,
    /// Instruction set of the kernels that ran; absent: not ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    kernels: Option<&'static str>,
    device: String,
    threads: usize,
    /// Tokens that are scored for every paper; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    shortlisted_tokens: Option<usize>,
    papers: usize,
    prefix_tokens: usize,
    /// Of all papers, each without the prefix.
    prompt_tokens: usize,
    tokens_per_paper: usize,
    /// Texts of a paper that are written side by side.
    texts: usize,
    model_load_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_bytes: Option<u64>,
    batches: Vec<Batch>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    peers: Vec<PeerReport>,
}

/// Papers that are written about at a time, and how fast that is.
#[derive(Debug, Serialize)]
struct Batch {
    batch: usize,
    papers_per_hour: Spread,
    prefill_tokens_per_s: Spread,
    decode_tokens_per_s: Spread,
    wall_s: Spread,
    engine_load_s: Spread,
    steps: u64,
    rows_per_step: f64,
    /// Seconds by phase of a step, on average over the repeats; absent: not told.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    phases_s: BTreeMap<&'static str, f64>,
}

#[derive(Debug, Serialize)]
struct PeerReport {
    program: String,
    sequences: usize,
    papers_per_hour: Spread,
    wall_s: Spread,
    load_s: Spread,
    steps: u64,
    peak_bytes: u64,
    /// Sequences and seconds of every measurement, in order.
    tried: Vec<(usize, f64)>,
    /// Our fastest batch over its own, in papers an hour.
    ratio: f64,
}

impl Report {
    pub(super) fn new(
        settings: &BenchSettings,
        workload: &Workload,
        setting: Setting,
        model_load: Duration,
        peak_bytes: Option<u64>,
        ours: &[Vec<Run>],
        peers: Option<&Peers>,
    ) -> Report {
        let papers = workload.papers();
        let batches: Vec<Batch> = settings
            .batches
            .iter()
            .zip(ours)
            .map(|(batch, runs)| Batch::new(*batch, workload, settings.tokens, runs))
            .collect();
        let fastest = batches.iter().map(|b| b.papers_per_hour.median).fold(0.0, f64::max);
        let peers = peers.into_iter().flat_map(Peers::iter);
        Report {
            program: concat!("wenzhai ", env!("CARGO_PKG_VERSION")),
            machine: machine(),
            model: settings.model_name.clone(),
            engine: setting.engine,
            kernels: setting.isa,
            device: settings.writer.engine.devices.to_string(),
            threads: settings.writer.engine.thread_count(),
            shortlisted_tokens: setting.shortlisted,
            papers,
            prefix_tokens: workload.prefix().len(),
            prompt_tokens: workload.prompt_tokens(),
            tokens_per_paper: settings.tokens,
            texts: settings.writer.beams(),
            model_load_s: model_load.as_secs_f64(),
            peak_bytes,
            batches,
            peers: peers.filter_map(|peer| PeerReport::new(peer, papers, fastest)).collect(),
        }
    }

    pub(super) fn table(&self) -> String {
        let vocabulary = match self.shortlisted_tokens {
            Some(tokens) => format!("shortlist of {} tokens", wording::count(tokens as u64)),
            None => "full vocabulary".into(),
        };
        let kernels = self.kernels.map(|isa| format!(", kernels {isa}")).unwrap_or_default();
        let mut lines = vec![
            format!("{}, {}", self.program, self.machine),
            format!(
                "{}, {} on {}{kernels}, threads {}, {vocabulary}",
                self.model, self.engine, self.device, self.threads
            ),
            format!(
                "{} papers: {} tokens of prompts in all, {} shared; {} written about each{}",
                self.papers,
                self.prompt_tokens,
                self.prefix_tokens,
                self.tokens_per_paper,
                match self.texts {
                    1 => String::new(),
                    texts => format!(", {texts} texts side by side"),
                }
            ),
            String::new(),
            "batch  papers/h     min to max  prefill/s  decode/s   wall s  steps  rows/step".into(),
        ];
        lines.extend(self.batches.iter().map(Batch::line));
        lines.push(String::new());
        let engine_load = self.batches.first().map_or(0.0, |batch| batch.engine_load_s.median);
        let peak = self.peak_bytes.map(|peak| format!("; peak memory {}", wording::bytes(peak)));
        lines.push(format!(
            "load {:.2} s (model {:.2}, engine {engine_load:.2}){}",
            self.model_load_s + engine_load,
            self.model_load_s,
            peak.unwrap_or_default()
        ));
        lines.extend(self.batches.iter().filter_map(Batch::phase_line));
        lines.extend(self.peers.iter().map(PeerReport::line));
        lines.join("\n") + "\n"
    }
}

impl Batch {
    fn new(batch: usize, workload: &Workload, tokens: usize, runs: &[Run]) -> Batch {
        let papers = workload.papers();
        let spread = |of: fn(&Run) -> f64| Spread::of(runs.iter().map(of));
        let a_second = |number: usize| {
            Spread::of(runs.iter().map(|run| number as f64 / run.wall.as_secs_f64()))
        };
        let seconds = |run: &Run| run.wall.as_secs_f64();
        let mut phases_s = BTreeMap::new();
        let profiles = runs.iter().filter_map(|run| run.profile.as_ref());
        for (phase, time) in profiles.flat_map(|profile| &profile.phases) {
            *phases_s.entry(*phase).or_default() += time.as_secs_f64() / runs.len() as f64;
        }
        let first = &runs[0];
        Batch {
            batch,
            papers_per_hour: Spread::of(runs.iter().map(|r| papers as f64 * 3600.0 / seconds(r))),
            prefill_tokens_per_s: a_second(workload.prompt_tokens()),
            decode_tokens_per_s: a_second(papers * tokens),
            wall_s: spread(|run| run.wall.as_secs_f64()),
            engine_load_s: spread(|run| run.engine_load.as_secs_f64()),
            steps: first.steps,
            rows_per_step: first.rows as f64 / first.steps as f64,
            phases_s,
        }
    }

    fn line(&self) -> String {
        let Spread { median, min, max } = self.papers_per_hour;
        format!(
            "{:>5}  {:>8}  {:>13}  {:>9}  {:>8}  {:>7.2}  {:>5}  {:>9.1}",
            self.batch,
            whole(median),
            format!("{} to {}", whole(min), whole(max)),
            whole(self.prefill_tokens_per_s.median),
            whole(self.decode_tokens_per_s.median),
            self.wall_s.median,
            self.steps,
            self.rows_per_step,
        )
    }

    /// Phases, the longest first.
    fn phase_line(&self) -> Option<String> {
        let total: f64 = self.phases_s.values().sum();
        let mut phases: Vec<(&str, f64)> = self.phases_s.iter().map(|(p, s)| (*p, *s)).collect();
        phases.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let mut line = format!("phases at batch {}:", self.batch);
        for (index, (phase, seconds)) in phases.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let percent = 100.0 * seconds / total;
            let _ = write!(line, "{comma} {phase} {seconds:.2} s ({percent:.0} %)");
        }
        (total > 0.0).then_some(line)
    }
}

impl PeerReport {
    fn new(peer: &Peer, papers: usize, fastest: f64) -> Option<PeerReport> {
        let (sequences, answers) = peer.best()?;
        let last = answers.last()?;
        let speeds = answers.iter().map(|answer| papers as f64 * 3600.0 / answer.wall_s);
        let papers_per_hour = Spread::of(speeds);
        Some(PeerReport {
            program: last.program.clone(),
            sequences,
            ratio: fastest / papers_per_hour.median,
            papers_per_hour,
            wall_s: Spread::of(answers.iter().map(|answer| answer.wall_s)),
            load_s: Spread::of(answers.iter().map(|answer| answer.load_s)),
            steps: last.steps,
            peak_bytes: answers.iter().map(|answer| answer.peak_bytes).max()?,
            tried: peer.tried().collect(),
        })
    }

    fn line(&self) -> String {
        let Spread { median, min, max } = self.papers_per_hour;
        format!(
            "{}, {} sequences: {} papers/h ({} to {}), {:.1} s, peak memory {}; ratio {:.2}",
            self.program,
            self.sequences,
            whole(median),
            whole(min),
            whole(max),
            self.wall_s.median,
            wording::bytes(self.peak_bytes),
            self.ratio,
        )
    }
}

/// The processor, as far as the system tells (Linux), and its cores.
pub(in crate::cli) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let name = name.map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    format!("{name}, {cores} cores")
}

fn whole(number: f64) -> String {
    wording::count(number.round() as u64)
}
