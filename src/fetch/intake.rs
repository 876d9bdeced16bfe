//! The one way in for bytes: written to the side folder and hashed on the way, then compared with
//! what is expected. Only a [`Received`] can be installed, and only [`Writer::finish`] makes one.
//!
//! Every file that comes in is a GGUF file, so whatever begins otherwise is refused at its first
//! byte, before it can spoil what is there. Of a file whose SHA-256 nobody knows, the header is
//! read as well.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::cache::Slot;
use super::expected::{Expected, check_bytes, check_sha256};
use super::gguf::{self, Wrong};
use super::progress::Progress;
use super::reason::{Reason, cannot};
use crate::hash::Hasher;
use crate::http::escaped;

/// Largest file that is taken in where the size is not known beforehand: beyond any model that
/// this program can run, small enough to save a disk from an endless answer.
const FILE_BYTES_MAX: u64 = 64 << 30;

const BUFFER_BYTES: usize = 1 << 16;

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
    /// Size of the whole file, once somebody told it.
    total: Option<u64>,
    sha256: Option<&'a str>,
    replay: Option<Replay>,
}

/// How far bytes that come again were compared with those that are in.
#[derive(Default)]
struct Replay {
    hasher: Hasher,
    at: u64,
}

/// Why [`Writer::copy_from`] stopped before the end.
pub(super) enum CopyError {
    /// The source broke off; what came before it is kept.
    Read(io::Error),
    /// It is no use to go on: the disk is full, or the source sends too much.
    Write(Reason),
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
        let mut begin = [0; gguf::MAGIC.len()];
        let count = writer.file.read(&mut begin).and_then(|count| {
            writer.file.rewind()?;
            Ok(count)
        });
        let count = count.map_err(|cause| cannot("read", &writer.path, &cause))?;
        if gguf::check_beginning(0, &begin[..count], None).is_err() {
            writer.restart()?;
            return Ok(writer);
        }
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
        // Opening a pipe would wait until somebody writes into it.
        let data = from.metadata().map_err(|cause| cannot("read", from, &cause))?;
        if !data.is_file() {
            return Err("is no file".to_owned().into());
        }
        let source = File::open(from).map_err(|cause| cannot("read", from, &cause))?;
        check_bytes(self.expected.bytes, data.len())?;
        progress.begin(&format!("copy {}", escaped(&from.display().to_string())), Some(data.len()));
        let mut writer = self.create("copy")?;
        let copied = writer.copy_from(source, progress);
        progress.finish();
        match copied {
            Ok(()) => writer.finish(),
            Err(error) => {
                writer.discard();
                Err(error.reason())
            }
        }
    }

    fn open(&self, name: &str) -> Result<Writer<'a>, Reason> {
        let path = self.slot.partial().join(name);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|cause| cannot("write", &path, &cause))?;
        let Expected { bytes: total, sha256 } = self.expected;
        let hasher = Hasher::default();
        Ok(Writer { path, file, hasher, written: 0, total, sha256, replay: None })
    }
}

impl Writer<'_> {
    /// How many bytes are in.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// How many bytes the whole file has, where that is known.
    pub(super) fn total(&self) -> Option<u64> {
        self.total
    }

    /// Whether all bytes are in, where their number is known.
    pub(super) fn is_full(&self) -> bool {
        self.total == Some(self.written)
    }

    /// A source says how many bytes the whole file has; it is another file if somebody else said
    /// otherwise.
    pub(super) fn announce(&mut self, total: u64) -> Result<(), Reason> {
        check_bytes(self.total, total)?;
        self.total = Some(total);
        Ok(())
    }

    /// Throws away what is in.
    pub(super) fn restart(&mut self) -> Result<(), Reason> {
        self.cut(0, Hasher::default())
    }

    /// What is taken next begins at byte `first`: behind the bytes that are in, or at the beginning
    /// of the file. Then it is compared with them, which costs the network and keeps what is here.
    pub(super) fn go_on_from(&mut self, first: u64) {
        self.replay = (first < self.written).then(Replay::default);
    }

    /// Takes in the next bytes.
    pub(super) fn take(&mut self, bytes: &[u8], progress: &mut dyn Progress) -> Result<(), Reason> {
        let at = self.replay.as_ref().map_or(self.written, |replay| replay.at);
        gguf::check_beginning(at, bytes, None)?;
        let bytes = self.without_known(bytes)?;
        let limit = self.limit();
        if self.written + bytes.len() as u64 > limit {
            return Err(format!("delivers more than {limit} bytes").into());
        }
        self.file.write_all(bytes).map_err(|cause| cannot("write", &self.path, &cause))?;
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        progress.advance(bytes.len() as u64);
        Ok(())
    }

    /// Takes in all that `source` has.
    pub(super) fn copy_from(
        &mut self,
        mut source: impl Read,
        progress: &mut dyn Progress,
    ) -> Result<(), CopyError> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => self.take(&buffer[..count], progress).map_err(CopyError::Write)?,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(CopyError::Read(cause)),
            }
        }
    }

    /// Whether bytes are missing at the end, as far as that can be told.
    pub(super) fn is_cut_short(&mut self) -> bool {
        match self.total {
            Some(total) => self.written < total,
            None => matches!(gguf::look(&mut self.file), Err(Wrong::Short(_))),
        }
    }

    /// Verifies the file and makes it durable; a file that is not the expected one is removed.
    pub(super) fn finish(mut self) -> Result<Received, Reason> {
        let sha256 = std::mem::take(&mut self.hasher).finish();
        if let Err(reason) = self.check(&sha256) {
            self.discard();
            return Err(reason);
        }
        self.file.sync_all().map_err(|cause| cannot("write", &self.path, &cause))?;
        Ok(Received { path: self.path, sha256 })
    }

    /// Removes what is in, where nothing can go on with it.
    pub(super) fn discard(self) {
        let Writer { path, file, .. } = self;
        drop(file);
        // What stays is removed by the next fetch.
        let _ = fs::remove_file(&path);
    }

    fn check(&mut self, sha256: &str) -> Result<(), Reason> {
        check_bytes(self.total, self.written)?;
        check_sha256(self.sha256, sha256)?;
        match self.sha256 {
            Some(_) => Ok(()),
            None => gguf::look(&mut self.file).map_err(|wrong| wrong.reason(&self.path)),
        }
    }

    /// The part of `bytes` that is not in yet. Where they differ from what is in, they are believed:
    /// they begin as a GGUF file of the right size, and what is in may be damaged.
    fn without_known<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Reason> {
        let Some(mut replay) = self.replay.take() else { return Ok(bytes) };
        let known = usize::try_from(self.written - replay.at).unwrap_or(usize::MAX);
        let (known, rest) = bytes.split_at(known.min(bytes.len()));
        let mut ours = vec![0; known.len()];
        self.file
            .seek(SeekFrom::Start(replay.at))
            .and_then(|_| self.file.read_exact(&mut ours))
            .and_then(|()| self.file.seek(SeekFrom::Start(self.written)))
            .map_err(|cause| cannot("read", &self.path, &cause))?;
        if ours != known {
            self.cut(replay.at, replay.hasher)?;
            return Ok(bytes);
        }
        replay.hasher.update(known);
        replay.at += known.len() as u64;
        if replay.at < self.written {
            self.replay = Some(replay);
        }
        Ok(rest)
    }

    /// Keeps only the first `bytes`, which hash to `hasher`.
    fn cut(&mut self, bytes: u64, hasher: Hasher) -> Result<(), Reason> {
        (self.hasher, self.written, self.replay) = (hasher, bytes, None);
        self.file
            .set_len(bytes)
            .and_then(|()| self.file.seek(SeekFrom::Start(bytes)))
            .map(drop)
            .map_err(|cause| cannot("write", &self.path, &cause))
    }

    fn limit(&self) -> u64 {
        self.total.unwrap_or(FILE_BYTES_MAX)
    }
}

impl CopyError {
    pub(super) fn reason(self) -> Reason {
        match self {
            CopyError::Read(cause) => cause.to_string().into(),
            CopyError::Write(reason) => reason,
        }
    }
}
