//! One measurement, and several of them summed up.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::workload::Workload;
use crate::error::Result;
use crate::generate::{Engine, Generator, Limits, Profile, Sampling};

/// What one measurement found.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    /// From the prefix to the last token.
    pub(super) wall: Duration,
    /// Time to make the engine.
    pub(super) engine_load: Duration,
    pub(super) steps: u64,
    /// Rows of all steps, the shared prefix excluded.
    pub(super) rows: u64,
    pub(super) profile: Option<Profile>,
}

/// The middle and the extremes of repeated measurements.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

/// Lets `engine` write `tokens` tokens about every paper of `workload`, picked by `sampling`.
pub(super) fn measure(
    engine: impl Engine,
    limits: Limits,
    workload: &Workload,
    tokens: usize,
    sampling: Sampling,
) -> Result<Run> {
    let mut run = Run::default();
    let started = Instant::now();
    let mut generator = Generator::new(engine, limits, workload.prefix().to_vec())?;
    for request in workload.requests(tokens, sampling) {
        generator.push(request)?;
    }
    while let Some(turn) = generator.step()? {
        run.steps += 1;
        run.rows += turn.rows as u64;
        if let Some((_, error)) = turn.failed.into_iter().next() {
            return Err(error);
        }
    }
    run.wall = started.elapsed();
    run.profile = generator.engine().profile();
    Ok(run)
}

impl Spread {
    /// Of at least one value.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            (values[middle - 1] + values[middle]) / 2.0
        };
        Spread { median, min: values[0], max: values[values.len() - 1] }
    }
}

/// Most memory that this process has held so far, where the system tells (Linux).
pub(super) fn peak_bytes() -> Option<u64> {
    peak_of(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_have_a_middle_and_two_ends() {
        let check = |values: &[f64], median, min, max| {
            assert_eq!(Spread::of(values.iter().copied()), Spread { median, min, max });
        };
        check(&[7.0], 7.0, 7.0, 7.0);
        check(&[3.0, 1.0], 2.0, 1.0, 3.0);
        check(&[9.0, 1.0, 2.0], 2.0, 1.0, 9.0);
    }

    #[test]
    fn the_peak_is_told_in_kib() {
        let status = "Name:\twenzhai\nVmPeak:\t  900 kB\nVmHWM:\t  512 kB\nVmRSS:\t  300 kB\n";
        assert_eq!(peak_of(status), Some(512 << 10));
        assert_eq!(peak_of("Name:\twenzhai\n"), None);
        assert_eq!(peak_of("VmHWM:\tmuch\n"), None);
    }
}
