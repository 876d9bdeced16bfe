//! A long run that is killed again and again: nothing is lost, nothing written twice, and the digest
//! is that of a run that nobody disturbed.
//!
//! `WENZHAI_SOAK=10000,100` runs it with 10,000 papers and 100 kills; without it the run is short.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wenzhai::digest;
use wenzhai::generate::{Generator, Limits};
use wenzhai::pipeline;
use wenzhai::prompt::{Codec, Template};
use wenzhai::store::{Identity, Store};

use crate::support::noise::Noise;
use crate::support::scribe::{Characters, Scribe, good, paper};

/// Papers and kills where nothing else is asked for.
const SHORT: (u32, u32) = (400, 8);
/// Papers at a time, and most positions of one.
const BATCH: usize = 16;
const POSITIONS: usize = 1000;

/// What a child does, from the store to the digest; it notes each paper that it begins.
#[test]
#[ignore = "runs only as a child process of another test"]
fn child_that_is_killed() {
    let Some(folder) = std::env::var_os("WENZHAI_TEST_FOLDER").map(PathBuf::from) else { return };
    let papers: u32 = std::env::var("WENZHAI_TEST_PAPERS").unwrap().parse().unwrap();
    let mut store = Store::open(&folder.join("store.sqlite")).unwrap();
    let mut run = store.begin(&Identity::default(), false).unwrap();
    for number in 0..papers {
        run.offer(&paper(number)).unwrap();
    }
    let mut begun =
        OpenOptions::new().create(true).append(true).open(folder.join("begun")).unwrap();
    let mut scribe = Scribe::new(good);
    scribe.on_begin = Box::new(move |title| writeln!(begun, "{title}").unwrap());
    let template = Template::built_in("gemma3-270m-zh").unwrap();
    let codec = Codec::new(&template, &Characters, POSITIONS).unwrap();
    let limits = Limits {
        max_sequences: BATCH,
        rows_per_step: 256,
        prefill_rows: 64,
        max_context: POSITIONS,
        kv_positions: POSITIONS * BATCH,
    };
    let mut generator = Generator::new(&mut scribe, limits, codec.prefix().to_vec()).unwrap();
    pipeline::summarise(&mut run, &codec, &mut generator, "scribe", &mut ()).unwrap();
    let account = run.account().unwrap();
    assert_eq!((account.read, account.pending, account.failed), (u64::from(papers), 0, 0));
    digest::markdown(&run, &mut File::create(folder.join("digest.md")).unwrap()).unwrap();
}

fn begin(folder: &Path, papers: u32) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "soak::child_that_is_killed", "--ignored"])
        .env("WENZHAI_TEST_FOLDER", folder)
        .env("WENZHAI_TEST_PAPERS", papers.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The titles whose summaries the store holds.
fn kept(folder: &Path) -> HashSet<String> {
    let Ok(store) = rusqlite::Connection::open(folder.join("store.sqlite")) else {
        return HashSet::new();
    };
    let Ok(mut rows) = store.prepare("SELECT paper FROM summary") else { return HashSet::new() };
    let titles = rows.query_map([], |row| row.get::<_, String>(0)).unwrap();
    titles.map(Result::unwrap).collect()
}

/// The papers begun since `from` bytes of the notes, as the store names them, and how long these are.
fn begun(folder: &Path, from: usize) -> (Vec<String>, usize) {
    let notes = std::fs::read_to_string(folder.join("begun")).unwrap_or_default();
    let number = |title: &str| title.rsplit_once(' ')?.1.parse::<u32>().ok();
    let ids = notes[from..].lines().filter_map(number);
    (ids.map(|number| format!("id:2401.{number:05}")).collect(), notes.len())
}

#[cfg(unix)]
#[test]
fn a_run_that_is_killed_again_and_again_loses_and_repeats_nothing() {
    let asked = std::env::var("WENZHAI_SOAK").ok();
    let (papers, kills) = asked.as_deref().map_or(SHORT, |text| {
        let (papers, kills) = text.split_once(',').expect("papers and kills");
        (papers.parse().unwrap(), kills.parse().unwrap())
    });
    let quiet = tempfile::tempdir().unwrap();
    let started = Instant::now();
    assert!(begin(quiet.path(), papers).wait().unwrap().success());
    let alone = started.elapsed();

    let folder = tempfile::tempdir().unwrap();
    let mut noise = Noise(u64::from(kills));
    let (mut notes, mut dead) = (0, 0);
    for round in 0..kills {
        let before = kept(folder.path());
        let mut child = begin(folder.path(), papers);
        // One in four dies at any moment, the others once they have begun to write.
        let share = f64::from(noise.next() + 1.0) / 2.0;
        if round % 4 > 0 {
            while begun(folder.path(), notes).1 == notes && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        std::thread::sleep(alone.mul_f64(share * 1.6 / f64::from(kills)));
        dead += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        let (again, length) = begun(folder.path(), notes);
        notes = length;
        let repeated: Vec<_> = again.iter().filter(|id| before.contains(*id)).collect();
        assert!(repeated.is_empty(), "written again: {repeated:?}");
        let lost: Vec<_> = before.difference(&kept(folder.path())).cloned().collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
    }
    assert!(dead > 0, "no child lived long enough to be killed");
    let last = kept(folder.path()).len();
    assert!(begin(folder.path(), papers).wait().unwrap().success());
    println!(
        "{papers} papers, {dead} of {kills} kills in the work, {last} finished before the last run"
    );
    let [one, other] =
        [&quiet, &folder].map(|folder| std::fs::read(folder.path().join("digest.md")));
    assert!(one.unwrap() == other.unwrap(), "the digests differ");
    assert_eq!(kept(folder.path()).len() as u32, papers);
}
