//! Sources of arXiv's by name, its catch-up pages and OAI-PMH: each test answers a complaint of those
//! who read such digests every morning.

mod days;
mod faults;
mod forms;
mod lists;
mod names;
mod second_runs;
mod stale;

use crate::support::place::Finished;

/// The records that a dry run lists, as JSON.
fn records(finished: &Finished) -> Vec<serde_json::Value> {
    finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Their ids, in the order of the digest.
fn ids(finished: &Finished) -> Vec<String> {
    records(finished).iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
}
