//! The account of a run, whatever is done in whatever order.

use std::collections::HashMap;

use proptest::prelude::*;
use wenzhai::record::WrittenSummary;
use wenzhai::store::{Skip, Store, Ticket};

use super::{failure, finish_all, identity, paper, records, written};

/// One thing that a pipeline may do.
#[derive(Debug, Clone)]
enum Step {
    Offer { number: usize, version: u32 },
    Import { number: usize, version: u32 },
    Skip(Skip),
    Next(usize),
    Finish(usize),
    Fail(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let number_and_version = (0usize..6, 1u32..4);
    prop_oneof![
        4 => number_and_version.clone().prop_map(|(number, version)| Step::Offer { number, version }),
        1 => number_and_version.prop_map(|(number, version)| Step::Import { number, version }),
        1 => prop::sample::select(vec![Skip::Malformed, Skip::Filtered, Skip::OverLimit]).prop_map(Step::Skip),
        2 => (0usize..4).prop_map(Step::Next),
        2 => (0usize..8).prop_map(Step::Finish),
        1 => (0usize..8).prop_map(Step::Fail),
    ]
}

/// The account as a table in memory would have it.
#[derive(Default)]
struct Model {
    /// Version and fate of each paper.
    papers: HashMap<usize, (u32, &'static str)>,
    /// Versions whose summary is in the store.
    kept: std::collections::HashSet<(usize, u32)>,
    read: u64,
    skipped: u64,
}

impl Model {
    fn offer(&mut self, number: usize, version: u32, fate: &'static str) {
        self.read += 1;
        let known = self.papers.get(&number);
        self.skipped += u64::from(known.is_some());
        let gives_way = |&(known, settled): &(u32, &str)| {
            known < version || known == version && settled == "pending" && fate == "imported"
        };
        if known.is_none_or(gives_way) {
            self.papers.insert(number, (version, fate));
        }
    }

    fn settle(&mut self, number: usize, version: u32, fate: &'static str) {
        if let Some(entry) = self.papers.get_mut(&number)
            && entry.0 == version
        {
            entry.1 = fate;
        }
    }

    fn unsettled(&self) -> u64 {
        self.count("pending") + self.count("taken")
    }

    fn count(&self, fate: &str) -> u64 {
        self.papers.values().filter(|(_, settled)| *settled == fate).count() as u64
    }
}

proptest! {
    #[test]
    fn the_account_adds_up(
        steps in prop::collection::vec(step(), 0..60),
        earlier in prop::collection::hash_set((0usize..6, 1u32..4), 0..4),
    ) {
        let mut store = Store::in_memory().unwrap();
        for (number, version) in &earlier {
            let mut run = store.begin(&identity(), false).unwrap();
            run.offer(&paper(*number, *version)).unwrap();
            finish_all(&mut run);
        }
        let mut model = Model { kept: earlier, ..Model::default() };
        let mut run = store.begin(&identity(), false).unwrap();
        let mut tickets: Vec<(usize, u32, Ticket)> = Vec::new();
        for step in steps {
            match step {
                Step::Offer { number, version } => {
                    run.offer(&paper(number, version)).unwrap();
                    let kept = model.kept.contains(&(number, version));
                    model.offer(number, version, if kept { "reused" } else { "pending" });
                }
                Step::Import { number, version } => {
                    run.import(&paper(number, version), WrittenSummary::default()).unwrap();
                    model.offer(number, version, "imported");
                }
                Step::Skip(why) => {
                    run.skip(why);
                    model.read += 1;
                    model.skipped += 1;
                }
                Step::Next(limit) => {
                    for pending in run.next(limit).unwrap() {
                        let title = &pending.paper.plain_title;
                        let number = title.trim_start_matches("Sheep ").parse().unwrap();
                        let version = pending.paper.version.unwrap();
                        model.settle(number, version, "taken");
                        tickets.push((number, version, pending.ticket));
                    }
                }
                Step::Finish(at) if at < tickets.len() => {
                    let (number, version, ticket) = tickets.swap_remove(at);
                    run.finish(&ticket, &written("")).unwrap();
                    model.kept.insert((number, version));
                    model.settle(number, version, "summarised");
                }
                Step::Fail(at) if at < tickets.len() => {
                    let (number, version, ticket) = tickets.swap_remove(at);
                    run.fail(&ticket, &failure("no")).unwrap();
                    model.settle(number, version, "failed");
                }
                Step::Finish(_) | Step::Fail(_) => {}
            }
            let account = run.account().unwrap();
            prop_assert!(account.adds_up());
            prop_assert_eq!(account.read, model.read);
            prop_assert_eq!(account.skipped() + account.filtered, model.skipped);
            prop_assert_eq!(account.pending, model.unsettled());
            prop_assert_eq!(account.summarised, model.count("summarised"));
            prop_assert_eq!(account.reused, model.count("reused"));
            prop_assert_eq!(account.imported, model.count("imported"));
            prop_assert_eq!(account.failed, model.count("failed"));
        }
        let shown = records(&run).len();
        prop_assert_eq!(shown as u64, model.papers.len() as u64 - model.unsettled());
    }
}
