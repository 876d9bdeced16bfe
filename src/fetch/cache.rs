//! The cache folder: where a file lives, how it is known to be verified, who may fill it.
//!
//! ```text
//! <root>/models/<first 16 digits of the SHA-256>/model.gguf
//!                                                verified.json   size, time and SHA-256
//!                                                lock            held while fetching
//!                                                partial/        what has not arrived wholly
//! ```
//! What killed runs leave there is the business of [`super::leftovers`].
//!
//! Cards that name the same file share it; different files of one name do not collide. The marker
//! `verified.json` saves reading a gigabyte at every start: as long as size and time
//! of the file are those noted, it is taken for the file that was hashed. Somebody who wants to
//! deceive can; this protects from accidents. Nothing is ever evicted: a model is fetched because
//! somebody asked for it, and deleted by deleting its folder.

use std::fs::{self, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::expected::Expected;
use super::progress::Progress;
use crate::atomic::write_atomically;
use crate::card::{Card, HubFile, is_file_name};
use crate::error::{Error, ErrorKind, Result};
use crate::hash;

/// How many digits of a SHA-256 name a folder: 64 bits, no accidental collision among models.
const FOLDER_DIGITS: usize = 16;

/// The folder that holds fetched models.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// A model file that is here and was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: String,
}

/// The place of one file in the cache, filled or not.
pub(super) struct Slot {
    folder: PathBuf,
    file: PathBuf,
}

/// What `verified.json` says.
#[derive(Serialize, Deserialize)]
struct Marker {
    bytes: u64,
    modified_ns: u64,
    sha256: String,
}

impl Cache {
    /// The cache under `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Cache { root: root.into() }
    }

    /// `$WENZHAI_HOME`, or `wenzhai` in the folder that the platform has for caches.
    pub fn from_env() -> Result<Self> {
        crate::system::cache_folder().map(Cache::new).ok_or_else(|| {
            Error::new(ErrorKind::Io, "this machine names no folder for caches")
                .hint("set WENZHAI_HOME to a folder for models")
        })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn slot_of_card(&self, card: &Card) -> Slot {
        self.slot(&card.file.sha256, &card.file.name)
    }

    /// What such a file must hash to is not known beforehand, so its address names its folder; a
    /// branch that moved on is therefore not noticed.
    pub(super) fn slot_of_hub_file(&self, file: &HubFile) -> Result<Slot> {
        let HubFile { repo, revision, file: path } = file;
        let name = path.rsplit('/').next().unwrap_or_default();
        if !is_file_name(name) {
            let message = format!("`{path}` does not end in a plain file name");
            return Err(Error::new(ErrorKind::Usage, message));
        }
        Ok(self.slot(&hash::sha256(format!("hf:{repo}:{path}@{revision}")), name))
    }

    fn slot(&self, key: &str, name: &str) -> Slot {
        let folder = self.root.join("models").join(key.get(..FOLDER_DIGITS).unwrap_or(key));
        Slot { file: folder.join(name), folder }
    }
}

impl Slot {
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The folder of the file.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn file_name(&self) -> &str {
        self.file.file_name().and_then(|name| name.to_str()).unwrap_or("the model")
    }

    /// The folder for what has not arrived wholly; on the same file system as the file.
    pub(super) fn partial(&self) -> PathBuf {
        self.folder.join("partial")
    }

    /// How much of it lies there.
    pub(super) fn partial_bytes(&self) -> u64 {
        let files = fs::read_dir(self.partial()).into_iter().flatten().flatten();
        files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
    }

    /// The file, if it is as it was when it was verified.
    pub(super) fn verified(&self) -> Option<Present> {
        let now = Marker::of_file(&self.file, String::new()).ok()?;
        let then = self.marker_found()?;
        let same = (now.bytes, now.modified_ns) == (then.bytes, then.modified_ns);
        let Marker { bytes, sha256, .. } = then;
        same.then(|| Present { path: self.file.clone(), bytes, sha256 })
    }

    /// Waits until no other process fills this slot; until the answer is dropped, none can.
    pub(super) fn lock(&self, progress: &mut dyn Progress) -> Result<fs::File> {
        fs::create_dir_all(&self.folder)
            .map_err(|cause| Error::io("create", &self.folder, cause))?;
        let path = lock_of(&self.folder);
        let failed = |cause| Error::io("lock", &path, cause);
        let file = fs::File::create(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let name = self.file_name();
                progress.note(&format!("another process is fetching {name}; waiting for it"));
                file.lock().map_err(failed)?;
            }
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        Ok(file)
    }

    /// Takes over a file that lies in its place without having been verified: put there by hand,
    /// copied, or touched since. Answers with its SHA-256 if it is the expected one, or, where none is
    /// known beforehand, the one that it had.
    pub(super) fn adopt(
        &self,
        expected: &Expected,
        progress: &mut dyn Progress,
    ) -> Result<Option<String>> {
        let (bytes, wanted) = match expected {
            Expected { bytes: Some(bytes), sha256: Some(wanted) } => (*bytes, (*wanted).to_owned()),
            _ => match self.marker_found() {
                Some(then) => (then.bytes, then.sha256),
                None => return Ok(None),
            },
        };
        let name = self.file_name();
        match self.file.metadata() {
            Ok(data) if data.is_file() && data.len() == bytes => {}
            Ok(data) => {
                let found = data.len();
                progress.note(&format!("{name} has {found} bytes instead of {bytes}; fetching it"));
                return Ok(None);
            }
            Err(_) => return Ok(None),
        }
        progress.begin(&format!("check {name}"), Some(bytes));
        let hashed = hash::sha256_of_file(&self.file, &mut |bytes| progress.advance(bytes));
        progress.finish();
        let sha256 = hashed.map_err(|cause| Error::io("read", &self.file, cause))?;
        if sha256 != wanted {
            progress.note(&format!("{name} is damaged; fetching it"));
            return Ok(None);
        }
        Ok(Some(sha256))
    }

    /// Moves a file that arrived, and was verified, to its place.
    pub(super) fn install(&self, received: &Path, sha256: &str) -> Result<()> {
        let failed = |cause| Error::io("write", &self.file, cause);
        fs::rename(received, &self.file).map_err(failed)?;
        // The content is on the disk, and some file systems cannot synchronise folders.
        let _ = sync_folder(&self.folder);
        self.mark(sha256)
    }

    fn marker(&self) -> PathBuf {
        self.folder.join("verified.json")
    }

    fn marker_found(&self) -> Option<Marker> {
        serde_json::from_slice(&fs::read(self.marker()).ok()?).ok()
    }

    /// Notes that the file was verified.
    pub(super) fn mark(&self, sha256: &str) -> Result<()> {
        let failed = |cause| Error::io("write", &self.marker(), cause);
        let marker = Marker::of_file(&self.file, sha256.to_owned()).map_err(failed)?;
        let json = serde_json::to_vec(&marker).map_err(io::Error::from).map_err(failed)?;
        write_atomically(&self.marker(), |out| out.write_all(&json).map_err(failed))
    }
}

impl Marker {
    fn of_file(path: &Path, sha256: String) -> io::Result<Self> {
        let data = path.metadata()?;
        let since = data.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified_ns = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        Ok(Marker { bytes: data.len(), modified_ns, sha256 })
    }
}

/// The file that whoever fills `folder` has locked.
pub(super) fn lock_of(folder: &Path) -> PathBuf {
    folder.join("lock")
}

/// Makes a rename durable. Only Unix knows folders that can be synchronised.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}
