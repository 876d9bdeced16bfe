//! What runs that were killed leave in the cache goes, or is gone on with.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use wenzhai::card::Card;
use wenzhai::fetch::{Cache, ModelRef, Origins, ensure_from};

use super::server::{Server, send};
use super::{Recorder, card_for, content, nothing};

const SOURCE: &str =
    "source = [{ kind = 'hub', repo = 'o/r', revision = 'main', file = 'm.gguf' }]";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn folder_of(card: &Card, cache: &Cache) -> PathBuf {
    cache.root().join("models").join(&card.file.sha256[..16])
}

/// A file with its folders.
fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
    fs::write(path, bytes).expect("a file");
}

fn make_older(path: &Path, by: Duration) {
    let file = File::options().write(true).open(path).expect("a file");
    file.set_modified(SystemTime::now() - by).expect("a time");
}

fn fetch(card: &'static Card, cache: &Cache, origins: &Origins) -> (bool, Vec<String>) {
    let mut told = Recorder::default();
    let outcome = ensure_from(&ModelRef::Card(card), cache, origins, &mut told);
    (outcome.is_ok(), told.notes)
}

#[test]
fn what_nobody_can_go_on_with_is_removed_by_the_next_fetch() {
    let file = content(10_000);
    let card = card_for(&file, SOURCE);
    let (_folder, cache, offline) = nothing();
    let folder = folder_of(card, &cache);
    let partial = folder.join("partial");
    let useless = [
        folder.join(".tmpXy12Za"),
        partial.join("copy"),
        partial.join("assembled"),
        partial.join("pip/temporary/pip-unpack-1/half.whl"),
    ];
    let useful = [
        partial.join(format!("{}.part", &card.file.sha256[..16])),
        partial.join("part-one-1.0.whl"),
    ];
    useless.iter().for_each(|path| put(path, b"left"));
    useful.iter().for_each(|path| put(path, &file[..4_000]));
    let elsewhere = partial.join("0123456789abcdef.part");
    put(&elsewhere, b"of a file that the hub had before");

    assert!(!fetch(card, &cache, &offline).0, "there is no network");
    for path in useless {
        assert!(!path.exists(), "{}", path.display());
    }
    assert!(!partial.join("pip").exists() && !elsewhere.exists());
    assert!(useful.iter().all(|path| path.exists()));

    let server = Server::start(move |request, _, stream| send(stream, request, &file, usize::MAX));
    assert!(fetch(card, &cache, &server.origins(&offline)).0);
    assert_eq!(server.ranges(), [Some("bytes=4000-".to_owned())]);
    assert!(!partial.exists());
}

#[test]
fn old_halves_of_other_models_are_removed() {
    let (_folder, cache, offline) = nothing();
    let models = cache.root().join("models");
    let half = |name: &str| models.join(name).join("partial/0123456789abcdef.part");
    let [old, new, held] = ["00000000000000aa", "00000000000000bb", "00000000000000cc"].map(half);
    let finished = models.join("00000000000000aa/other.gguf");
    for path in [&old, &new, &held] {
        put(path, &[1; 1 << 20]);
    }
    put(&finished, b"a model");
    make_older(&finished, 100 * DAY);
    make_older(&old, DAY + DAY / 24);
    make_older(&held, DAY + DAY / 24);
    make_older(&new, DAY - DAY / 24);
    let lock = File::create(models.join("00000000000000cc/lock")).expect("a lock");
    lock.lock().expect("locked");

    let (_, notes) = fetch(card_for(&content(100), SOURCE), &cache, &offline);
    assert_eq!(notes[0], "removed 1 MiB of downloads that ended more than a day ago");
    assert!(!old.exists() && finished.exists() && new.exists() && held.exists());
}

#[test]
fn what_lies_beside_a_finished_file_is_removed_when_it_is_used() {
    let file = content(10_000);
    let card = card_for(&file, SOURCE);
    let (_folder, cache, offline) = nothing();
    let server = Server::start(move |request, _, stream| send(stream, request, &file, usize::MAX));
    assert!(fetch(card, &cache, &server.origins(&offline)).0);
    let wheel = folder_of(card, &cache).join("partial/part-one-1.0.whl");
    put(&wheel, b"left");
    assert!(fetch(card, &cache, &offline).0);
    assert!(!wheel.exists());
}
