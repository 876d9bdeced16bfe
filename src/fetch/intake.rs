//! The one way in for bytes: written to the side folder and hashed on the way, then compared with
//! what is expected. Only a [`Received`] can be installed, and only [`Writer::finish`] makes one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::Progress;
use super::cache::{Present, Slot};
use crate::card::Card;
use crate::hash::Hasher;

/// Largest file that is taken in where the size is not known beforehand: beyond any model that
/// this program can run, small enough to save a disk from an endless answer.
const FILE_BYTES_MAX: u64 = 64 << 30;

const BUFFER_BYTES: usize = 1 << 16;

/// Why a source did not deliver: a clause of the error that names all sources.
pub(super) type Reason = String;

/// What a file must be.
#[derive(Clone, Copy)]
pub(super) enum Expected<'a> {
    File { bytes: u64, sha256: &'a str },
    Anything,
}

/// Where a source delivers to, and what.
pub(super) struct Intake<'a> {
    pub(super) slot: &'a Slot,
    pub(super) expected: Expected<'a>,
}

/// A file in the side folder that is complete, verified and on the disk.
pub(super) struct Received {
    pub(super) path: PathBuf,
    pub(super) sha256: String,
}

/// A file on its way in.
pub(super) struct Writer<'a> {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    written: u64,
    expected: Expected<'a>,
}

/// Why [`Writer::copy_from`] stopped before the end.
pub(super) enum CopyError {
    /// The source broke off; what came before it is kept.
    Read(io::Error),
    /// It is no use to go on: the disk is full, or the source sends too much.
    Write(Reason),
}

impl<'a> Expected<'a> {
    pub(super) fn of_card(card: &'a Card) -> Self {
        Expected::File { bytes: card.file.bytes, sha256: &card.file.sha256 }
    }

    /// Whether a file of the cache is the expected one.
    pub(super) fn fits(&self, present: &Present) -> bool {
        self.check(present.bytes, &present.sha256).is_ok()
    }

    pub(super) fn bytes(&self) -> Option<u64> {
        match self {
            Expected::File { bytes, .. } => Some(*bytes),
            Expected::Anything => None,
        }
    }

    /// Whether a file of this size and content is the expected one; else why not.
    fn check(&self, bytes: u64, sha256: &str) -> Result<(), Reason> {
        match self {
            Expected::File { bytes: wanted, .. } if *wanted != bytes => {
                Err(format!("delivered {bytes} bytes instead of {wanted}"))
            }
            Expected::File { sha256: wanted, .. } if *wanted != sha256 => {
                Err(format!("delivered a file with SHA-256 {sha256} instead of {wanted}"))
            }
            _ => Ok(()),
        }
    }
}

impl<'a> Intake<'a> {
    /// Begins the file anew.
    pub(super) fn create(&self, name: &str) -> Result<Writer<'a>, Reason> {
        let mut writer = self.open(name)?;
        writer.restart()?;
        Ok(writer)
    }

    /// Goes on with what an earlier run left, which counts as progress.
    pub(super) fn resume(
        &self,
        name: &str,
        progress: &mut dyn Progress,
    ) -> Result<Writer<'a>, Reason> {
        let mut writer = self.open(name)?;
        writer.written = writer
            .hasher
            .update_from(&mut writer.file, &mut |bytes| progress.advance(bytes))
            .map_err(|cause| cannot("read", &writer.path, &cause))?;
        if writer.written > writer.limit() {
            writer.restart()?;
        }
        Ok(writer)
    }

    /// Takes in a copy of a file of this machine.
    pub(super) fn copy(
        &self,
        from: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Received, Reason> {
        let source = File::open(from).map_err(|cause| cannot("read", from, &cause))?;
        let bytes = source.metadata().map_err(|cause| cannot("read", from, &cause))?.len();
        if self.expected.bytes().is_some_and(|wanted| wanted != bytes) {
            self.expected.check(bytes, "")?;
        }
        progress.begin(&format!("copy {}", from.display()), Some(bytes));
        let mut writer = self.create("copy")?;
        let copied = writer.copy_from(source, progress);
        progress.finish();
        copied.map_err(|error| error.reason())?;
        writer.finish()
    }

    fn open(&self, name: &str) -> Result<Writer<'a>, Reason> {
        let path = self.slot.partial().join(name);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|cause| cannot("write", &path, &cause))?;
        let expected = self.expected;
        Ok(Writer { path, file, hasher: Hasher::default(), written: 0, expected })
    }
}

impl Writer<'_> {
    /// How many bytes are in.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Whether all bytes are in, where their number is known.
    pub(super) fn is_full(&self) -> bool {
        self.expected.bytes() == Some(self.written)
    }

    /// Throws away what is in.
    pub(super) fn restart(&mut self) -> Result<(), Reason> {
        self.hasher = Hasher::default();
        self.written = 0;
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .map_err(|cause| cannot("write", &self.path, &cause))
    }

    /// Takes in all that `source` has.
    pub(super) fn copy_from(
        &mut self,
        mut source: impl Read,
        progress: &mut dyn Progress,
    ) -> Result<(), CopyError> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = match source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                Err(cause) => return Err(CopyError::Read(cause)),
            };
            let limit = self.limit();
            if self.written + count as u64 > limit {
                return Err(CopyError::Write(format!("delivers more than {limit} bytes")));
            }
            let bytes = &buffer[..count];
            self.file
                .write_all(bytes)
                .map_err(|cause| CopyError::Write(cannot("write", &self.path, &cause)))?;
            self.hasher.update(bytes);
            self.written += count as u64;
            progress.advance(count as u64);
        }
    }

    /// Verifies the file and makes it durable; a file that is not the expected one is removed.
    pub(super) fn finish(self) -> Result<Received, Reason> {
        let Writer { path, file, hasher, written, expected } = self;
        let sha256 = hasher.finish();
        if let Err(reason) = expected.check(written, &sha256) {
            drop(file);
            let _ = fs::remove_file(&path);
            return Err(reason);
        }
        file.sync_all().map_err(|cause| cannot("write", &path, &cause))?;
        Ok(Received { path, sha256 })
    }

    fn limit(&self) -> u64 {
        self.expected.bytes().unwrap_or(FILE_BYTES_MAX)
    }
}

impl CopyError {
    pub(super) fn reason(self) -> Reason {
        match self {
            CopyError::Read(cause) => cause.to_string(),
            CopyError::Write(reason) => reason,
        }
    }
}

/// "cannot write FILE: cause".
pub(super) fn cannot(action: &str, path: &Path, cause: &io::Error) -> Reason {
    format!("cannot {action} {}: {cause}", path.display())
}
