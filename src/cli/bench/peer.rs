//! llama.cpp on the same weights and the same tokens, through a Python script of ours.
//!
//! The model is exported with its adapter merged, and prompts are handed over as token ids, so
//! that nothing but the speed can differ.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;

use super::super::settings::BenchSettings;
use super::measure::Spread;
use super::workload::Workload;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;

const SCRIPT: &str = include_str!("../../../benches/llama_cpp_peer.py");

/// Numbers of sequences at which it is tried; on two cores its best lay at 16 to 24.
const PARALLEL: [usize; 4] = [8, 16, 32, 48];

/// llama.cpp, and what was measured of it.
#[derive(Debug)]
pub(super) struct Peer {
    python: PathBuf,
    folder: TempDir,
    tokens: usize,
    threads: usize,
    papers: usize,
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

impl Peer {
    /// Lays everything ready that the script needs.
    pub(super) fn new(
        python: &Path,
        model: &Model,
        workload: &Workload,
        settings: &BenchSettings,
    ) -> Result<Peer> {
        let folder = tempfile::tempdir().map_err(|cause| {
            Error::new(ErrorKind::Io, "cannot make a folder for llama.cpp's files").because(cause)
        })?;
        let put = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).map_err(|cause| Error::io("write", &path, cause))
        };
        put("peer.py", SCRIPT.as_bytes())?;
        let json = serde_json::to_vec(workload).map_err(|cause| {
            Error::new(ErrorKind::Io, "cannot hand the prompts over").because(cause)
        })?;
        put("workload.json", &json)?;
        model.export(&folder.path().join("model.gguf"), false)?;
        Ok(Peer {
            python: python.to_owned(),
            folder,
            tokens: settings.tokens,
            threads: settings.writer.engine.thread_count(),
            papers: workload.papers(),
            measured: Vec::new(),
        })
    }

    /// The numbers of sequences to measure next: all at first, then the fastest.
    pub(super) fn candidates(&self) -> Vec<usize> {
        if let Some((parallel, _)) = self.best() {
            return vec![parallel];
        }
        // More sequences than papers are no more than there are papers.
        let all = PARALLEL.into_iter().map(|parallel| parallel.min(self.papers));
        let mut candidates: Vec<usize> = all.collect();
        candidates.dedup();
        candidates
    }

    /// Measures once.
    pub(super) fn measure(&mut self, parallel: usize) -> Result<Duration> {
        let answer = self.ask(parallel)?;
        let wall = Duration::try_from_secs_f64(answer.wall_s).map_err(|cause| {
            Error::new(ErrorKind::Engine, "llama.cpp told an impossible time").because(cause)
        })?;
        self.measured.push((parallel, answer));
        Ok(wall)
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

    fn ask(&self, parallel: usize) -> Result<Answer> {
        let python = self.python.display();
        let file = |name: &str| self.folder.path().join(name);
        let output = Command::new(&self.python)
            .args([file("peer.py"), file("model.gguf"), file("workload.json")])
            .args(["--parallel", &parallel.to_string(), "--tokens", &self.tokens.to_string()])
            .args(["--threads", &self.threads.to_string()])
            .output()
            .map_err(|cause| {
                Error::new(ErrorKind::Usage, format!("cannot start {python}")).because(cause)
            })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().last().unwrap_or("it said nothing");
            let message = format!("llama.cpp in {python} failed: {last}");
            return Err(Error::new(ErrorKind::Engine, message)
                .hint(format!("it needs llama-cpp-python: {python} -m pip install it")));
        }
        serde_json::from_slice(&output.stdout).map_err(|cause| {
            Error::new(ErrorKind::Engine, format!("cannot read what {python} measured"))
                .because(cause)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_number_of_sequences_is_measured_again() {
        let mut peer = Peer {
            python: PathBuf::new(),
            folder: tempfile::tempdir().unwrap(),
            tokens: 1,
            threads: 1,
            papers: 20,
            measured: Vec::new(),
        };
        assert_eq!(peer.candidates(), [8, 16, 20], "never more sequences than papers");
        let answer = |wall_s| Answer {
            program: "llama.cpp".into(),
            load_s: 1.0,
            wall_s,
            steps: 1,
            peak_bytes: 1,
        };
        peer.measured = vec![(8, answer(9.0)), (16, answer(7.0)), (20, answer(8.0))];
        assert_eq!(peer.candidates(), [16]);
        peer.measured.push((16, answer(7.5)));
        let (parallel, answers) = peer.best().unwrap();
        let walls: Vec<f64> = answers.iter().map(|answer| answer.wall_s).collect();
        assert_eq!((parallel, walls), (16, vec![7.0, 7.5]));
    }
}
