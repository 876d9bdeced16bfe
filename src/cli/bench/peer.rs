//! Other programs on the same weights and the same tokens, each through a Python script of ours.
//!
//! The model is exported with its adapter merged, and prompts are handed over as token ids, so
//! that nothing but the speed can differ.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;

use super::super::settings::{BenchSettings, Program};
use super::measure::Spread;
use super::workload::Workload;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;

/// Numbers of sequences at which each is tried; on two cores llama.cpp's best lay at 16 to 24.
const PARALLEL: [usize; 4] = [8, 16, 32, 48];

/// A program's name in messages, the Python package that brings it, and the script that runs it.
fn parts(program: Program) -> [&'static str; 3] {
    match program {
        Program::LlamaCpp => {
            let script = include_str!("../../../benches/llama_cpp_peer.py");
            ["llama.cpp", "llama-cpp-python", script]
        }
        Program::OpenVino => {
            let script = include_str!("../../../benches/openvino_peer.py");
            ["OpenVINO", "openvino-genai", script]
        }
    }
}

/// What peers are given, and what was measured of each.
#[derive(Debug)]
pub(super) struct Peers {
    python: PathBuf,
    folder: TempDir,
    tokens: usize,
    threads: usize,
    papers: usize,
    peers: Vec<Peer>,
}

/// What was measured of one.
#[derive(Debug)]
pub(super) struct Peer {
    program: Program,
    measured: Vec<(usize, Answer)>,
}

/// What the script says.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Answer {
    pub(super) program: String,
    pub(super) load_s: f64,
    pub(super) wall_s: f64,
    pub(super) steps: u64,
    pub(super) peak_bytes: u64,
}

impl Peers {
    /// Lays everything ready that the scripts need.
    pub(super) fn new(
        python: &Path,
        model: &Model,
        workload: &Workload,
        settings: &BenchSettings,
    ) -> Result<Peers> {
        let folder = tempfile::tempdir().map_err(|cause| {
            Error::new(ErrorKind::Io, "cannot make a folder for peers' files").because(cause)
        })?;
        let json = serde_json::to_vec(workload).map_err(|cause| {
            Error::new(ErrorKind::Io, "cannot hand the prompts over").because(cause)
        })?;
        let path = folder.path().join("workload.json");
        std::fs::write(&path, json).map_err(|cause| Error::io("write", &path, cause))?;
        model.export(&folder.path().join("model.gguf"), false)?;
        let peers = settings.programs.iter();
        Ok(Peers {
            python: python.to_owned(),
            folder,
            tokens: settings.tokens,
            threads: settings.writer.engine.thread_count(),
            papers: workload.papers(),
            peers: peers.map(|&program| Peer { program, measured: Vec::new() }).collect(),
        })
    }

    /// Measures each once, at first with several numbers of sequences, then with its best. Tells
    /// `said` the program, the sequences, and the time it took.
    pub(super) fn take_turns(&mut self, mut said: impl FnMut(&str, usize, Duration)) -> Result<()> {
        for at in 0..self.peers.len() {
            for parallel in self.peers[at].candidates(self.papers) {
                let program = self.peers[at].program;
                let [name, ..] = parts(program);
                let answer = self.ask(program, parallel)?;
                let wall = Duration::try_from_secs_f64(answer.wall_s).map_err(|cause| {
                    let message = format!("{name} told an impossible time");
                    Error::new(ErrorKind::Engine, message).because(cause)
                })?;
                self.peers[at].measured.push((parallel, answer));
                said(name, parallel, wall);
            }
        }
        Ok(())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter()
    }

    fn ask(&self, program: Program, parallel: usize) -> Result<Answer> {
        let [name, package, script] = parts(program);
        let python = self.python.display();
        let file = |name: &str| self.folder.path().join(name);
        let path = file("peer.py");
        std::fs::write(&path, script).map_err(|cause| Error::io("write", &path, cause))?;
        let output = Command::new(&self.python)
            .args([path, file("model.gguf"), file("workload.json")])
            .args(["--parallel", &parallel.to_string(), "--tokens", &self.tokens.to_string()])
            .args(["--threads", &self.threads.to_string()])
            .output()
            .map_err(|cause| {
                Error::new(ErrorKind::Usage, format!("cannot start {python}")).because(cause)
            })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().last().unwrap_or("it said nothing");
            let message = format!("{name} in {python} failed: {last}");
            return Err(Error::new(ErrorKind::Engine, message)
                .hint(format!("it needs {package}: {python} -m pip install {package}")));
        }
        serde_json::from_slice(&output.stdout).map_err(|cause| {
            Error::new(ErrorKind::Engine, format!("cannot read what {python} measured"))
                .because(cause)
        })
    }
}

impl Peer {
    /// The numbers of sequences to measure next: all at first, then the fastest.
    fn candidates(&self, papers: usize) -> Vec<usize> {
        if let Some((parallel, _)) = self.best() {
            return vec![parallel];
        }
        // More sequences than papers are no more than there are papers.
        let mut candidates = PARALLEL.map(|parallel| parallel.min(papers)).to_vec();
        candidates.dedup();
        candidates
    }

    /// The number of sequences at which it is fastest, and everything measured there.
    pub(super) fn best(&self) -> Option<(usize, Vec<&Answer>)> {
        let at = |parallel: usize| -> Vec<&Answer> {
            self.measured.iter().filter(|(p, _)| *p == parallel).map(|(_, answer)| answer).collect()
        };
        let median = |parallel| Spread::of(at(parallel).iter().map(|answer| answer.wall_s)).median;
        let tried = self.measured.iter().map(|(parallel, _)| *parallel);
        let best = tried.min_by(|a, b| median(*a).total_cmp(&median(*b)))?;
        Some((best, at(best)))
    }

    /// Every measurement: sequences and seconds, in the order in which they were made.
    pub(super) fn tried(&self) -> impl Iterator<Item = (usize, f64)> {
        self.measured.iter().map(|(parallel, answer)| (*parallel, answer.wall_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_number_of_sequences_is_measured_again() {
        let mut peer = Peer { program: Program::LlamaCpp, measured: Vec::new() };
        assert_eq!(peer.candidates(20), [8, 16, 20], "never more sequences than papers");
        let answer = |wall_s| Answer {
            program: "llama.cpp".into(),
            load_s: 1.0,
            wall_s,
            steps: 1,
            peak_bytes: 1,
        };
        peer.measured = vec![(8, answer(9.0)), (16, answer(7.0)), (20, answer(8.0))];
        assert_eq!(peer.candidates(20), [16]);
        peer.measured.push((16, answer(7.5)));
        let (parallel, answers) = peer.best().unwrap();
        let walls: Vec<f64> = answers.iter().map(|answer| answer.wall_s).collect();
        assert_eq!((parallel, walls), (16, vec![7.0, 7.5]));
    }
}
