//! One run a store: a lock on a file beside it.
//!
//! The operating system lifts the lock when its holder ends, however it ends, so that no stale
//! lock needs to be recognised. The file itself stays: removing it would let a third process
//! lock a new file while a second still waits on the old one.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::atomic::target_of;
use crate::error::{Error, ErrorKind, Result};

/// The lock on a store, held until dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of the store at `path`, or says who has it.
    pub(super) fn take(path: &Path) -> Result<Self> {
        // A link to a store is that store, also before it is there.
        let lock_path = beside(&target_of(path), ".lock");
        let failed = |cause| Error::io("lock", &lock_path, cause);
        let mut options = File::options();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                write_holder(&mut file).map_err(failed)?;
                Ok(Lock { file })
            }
            Err(TryLockError::WouldBlock) => Err(held(path, &mut file)),
            Err(TryLockError::Error(cause)) => Err(failed(cause)),
        }
    }
}

/// Closing the file is not enough: where a program is being started at that moment, it has the file
/// open, too, for an instant, and the lock with it.
impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

fn write_holder(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn held(path: &Path, file: &mut File) -> Error {
    // The number is a help, not a truth: it may be missing, or of another machine.
    let mut holder = String::new();
    let known = file.take(20).read_to_string(&mut holder).is_ok();
    let holder = match holder.trim().parse::<u32>() {
        Ok(process) if known => format!(" (process {process})"),
        _ => String::new(),
    };
    let message = format!("the store {} is in use by another run{holder}", path.display());
    Error::new(ErrorKind::Store, message)
        .hint("wait until it has ended, or give another store")
        .passing()
}

/// The file beside a store.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
