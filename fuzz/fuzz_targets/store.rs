//! Changed bytes in the file of a store: it is refused, or tells of a paper's summary what was
//! written, or that it is damaged; it never tells another one.
//!
//! The input is a list of changes of three bytes each: two say where, one is what stands there then.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use wenzhai::Result;
use wenzhai::digest::Records;
use wenzhai::paper::{Paper, PaperId};
use wenzhai::record::Record;
use wenzhai::store::{Identity, Store};

/// A folder of this process, in memory where the system has one for that.
static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = folder.join(format!("wenzhai-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("room for a folder");
    folder.join("store.sqlite")
});

static PAPER: LazyLock<Paper> = LazyLock::new(|| Paper {
    id: PaperId::parse("2699.00001").map(|(id, _)| id),
    version: Some(2),
    link: "https://arxiv.org/abs/2699.00001".to_owned(),
    plain_title: "Counting sheep".to_owned(),
    plain_abstract: "We count sheep.".to_owned(),
    ..Paper::default()
});

/// What was written about the paper, and the file that keeps it.
static WRITTEN: LazyLock<(Record, Vec<u8>)> = LazyLock::new(|| {
    clear();
    let mut store = Store::open(&PATH).expect("a new store");
    let mut run = store.begin(&Identity::default(), false).expect("a run");
    run.offer(&PAPER).expect("a paper");
    let pending = run.next(1).expect("a paper").remove(0);
    let record = Record {
        zh_title: "数羊".to_owned(),
        zh_tldr: "数羊。".to_owned(),
        zh_abstract: "我们数羊，一只又一只。".to_owned(),
        ..Record::of(&PAPER)
    };
    run.finish(&pending.ticket, &record).expect("it is kept");
    drop(store);
    (record, std::fs::read(&*PATH).expect("the file"))
});

/// Removes the file, and what SQLite puts beside it.
fn clear() {
    for end in ["", "-wal", "-shm", "-journal"] {
        let _ = std::fs::remove_file(format!("{}{end}", PATH.display()));
    }
}

/// What the store at `path` has of the paper; `None` where it has nothing whole.
fn summary(path: &Path) -> Result<Option<Record>> {
    let mut store = Store::open(path)?;
    store.len()?;
    store.days_read("cs.CL")?;
    let mut run = store.begin(&Identity::default(), false)?;
    run.offer(&PAPER)?;
    let account = run.account()?;
    assert_eq!((account.read, account.reused + account.pending), (1, 1));
    let mut found = None;
    run.for_each_record(&mut |record| {
        found = Some(record.clone()).filter(Record::has_summary);
        Ok(())
    })?;
    Ok(found)
}

fuzz_target!(|bytes: &[u8]| {
    let (written, whole) = &*WRITTEN;
    let mut file = whole.clone();
    for change in bytes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        let place = at % file.len();
        file[place] = change[2];
    }
    clear();
    std::fs::write(&*PATH, &file).expect("room for a small file");
    if let Ok(Some(record)) = summary(&PATH) {
        assert_eq!(record, *written);
    }
});
