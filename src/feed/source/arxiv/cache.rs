//! Answers that were whole, kept for a day, so that running again does not ask for the same again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::atomic::write_atomically;
use crate::hash;

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// How many digits of the address's SHA-256 name its files.
const NAME_DIGITS: usize = 20;

/// What is known of an answer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) url: String,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
    pub(super) charset: Option<String>,
    /// Whether it cannot change any more. A page of today is asked for again tomorrow: it may have been
    /// kept before it was filled.
    #[serde(default)]
    pub(super) is_settled: bool,
    /// Seconds since 1970 when it was last known to be what the server has.
    pub(super) confirmed: u64,
    pub(super) sha256: String,
}

/// The folder of answers.
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The cache in `folder`; what is older than a day is deleted.
    pub(super) fn open(folder: &Path) -> Self {
        let folder = folder.join("answers");
        let age = |file: &fs::DirEntry| file.metadata().ok()?.modified().ok()?.elapsed().ok();
        for file in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if age(&file).is_some_and(|age| age > KEPT) {
                // Another run may have done so already.
                let _ = fs::remove_file(file.path());
            }
        }
        Cache { folder }
    }

    /// The answer that is kept for an address, not older than a day.
    pub(super) fn find(&self, url: &str) -> Option<(Head, Vec<u8>)> {
        let (head, body) = self.paths(url);
        let head: Head = serde_json::from_slice(&fs::read(head).ok()?).ok()?;
        let is_fresh = now().checked_sub(head.confirmed)? <= KEPT.as_secs();
        if head.url != url || !is_fresh {
            return None;
        }
        let body = fs::read(body).ok()?;
        (hash::sha256(&body) == head.sha256).then_some((head, body))
    }

    /// Keeps an answer. That there is no room for it is no reason to fail.
    pub(super) fn keep(&self, head: Head, body: &[u8]) {
        let (head_path, body_path) = self.paths(&head.url);
        let head = Head { confirmed: now(), sha256: hash::sha256(body), ..head };
        let write = |path: &Path, bytes: &[u8]| {
            write_atomically(path, |out| {
                out.write_all(bytes).map_err(|cause| Error::io("write", path, cause))
            })
        };
        let _ = fs::create_dir_all(&self.folder);
        if let Ok(head) = serde_json::to_vec(&head) {
            let _ = write(&body_path, body).and_then(|()| write(&head_path, &head));
        }
    }

    fn paths(&self, url: &str) -> (PathBuf, PathBuf) {
        let name = hash::sha256(url);
        let name = name.get(..NAME_DIGITS).unwrap_or(&name);
        (self.folder.join(format!("{name}.json")), self.folder.join(format!("{name}.body")))
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
