//! Files that are either the old one or the whole new one.
//!
//! A digest or an exported model is written into a temporary file beside its target, brought to
//! the disk, and renamed over it. If anything fails on the way, the target is as it was: no error,
//! no full disk and no kill leaves an empty file or half of one behind. What a kill leaves, the
//! temporary file `.wenzhai-….tmp`, is removed by the next run that writes into the folder: a
//! temporary file is locked as long as its program lives.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

const PREFIX: &str = ".wenzhai-";
const SUFFIX: &str = ".tmp";
/// A younger temporary file may not be locked yet.
const YOUNGEST_LEFT_BEHIND: Duration = Duration::from_secs(60);

/// Whether a file can be written at `path`, found out before there is anything to write. Its folder
/// need not be there if the folder around that is: one missing folder is made, two are a slip.
pub fn check_writable(path: &Path) -> Result<()> {
    let failed = |cause| Error::io("write", path, cause);
    match fs::metadata(path) {
        Ok(existing) if existing.is_dir() => {
            let message = format!("{} is a folder, not a file", path.display());
            return Err(Error::new(ErrorKind::Io, message).hint("name a file in it"));
        }
        // What is no regular file is written straight to; opening a pipe would wait for its reader.
        Ok(existing) if !existing.is_file() || is_descriptor(path) => return Ok(()),
        _ => {}
    }
    let target = target_of(path);
    let mut folder = folder_of(&target);
    if !folder.exists() {
        folder = folder_of(&folder);
    }
    if !folder.is_dir() {
        let message = format!("cannot write {}: its folder is not there", path.display());
        return Err(Error::new(ErrorKind::Io, message).hint("make the folder first"));
    }
    new_temporary(&folder).map(drop).map_err(failed)
}

/// Writes the file at `path` with what `write` writes, all or nothing; see [`write_beside`].
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    write_beside(path, write)?.take_name()
}

/// A file that is on the disk as a whole, and has not taken its name yet. Dropped without that, it
/// leaves nothing behind.
#[must_use]
pub struct Written {
    path: PathBuf,
    target: PathBuf,
    /// None where it was written straight to its target.
    temporary: Option<tempfile::NamedTempFile>,
}

/// Writes what `write` writes into a file beside the one at `path`, for it to take that name.
///
/// The folder of `path` is made where that alone is missing. An existing file keeps its permissions;
/// a symbolic link stays one, and its target is replaced, or made.
/// What is no regular file (a pipe, `/dev/null`) cannot be replaced and is written straight to, and so is
/// what is open already (`/dev/fd/3`), behind what is there.
pub fn write_beside(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<Written> {
    let target = target_of(path);
    let failed = |cause| Error::io("write", path, cause);
    let written = |temporary| Written { path: path.to_owned(), target: target.clone(), temporary };
    // Of a pipe that only a descriptor names (`/dev/stdout`), the target has no place.
    let existing = fs::metadata(path).or_else(|_| fs::metadata(&target)).ok();
    let is_open = is_descriptor(path);
    if is_open || existing.as_ref().is_some_and(|existing| !existing.is_file()) {
        let mut file = File::options().write(true).append(is_open).open(path).map_err(failed)?;
        let mut out = BufWriter::new(&mut file);
        write(&mut out)?;
        out.flush().map_err(failed)?;
        drop(out);
        return Ok(written(None));
    }
    let folder = folder_of(&target);
    match fs::create_dir(&folder) {
        Err(cause) if !folder.is_dir() => return Err(failed(cause)),
        _ => {}
    }
    remove_left_behind(&folder);
    let mut temporary = new_temporary(&folder).map_err(failed)?;
    let mut out = BufWriter::new(temporary.as_file_mut());
    write(&mut out)?;
    out.flush().map_err(failed)?;
    drop(out);
    if let Some(existing) = existing {
        temporary.as_file().set_permissions(existing.permissions()).map_err(failed)?;
    }
    temporary.as_file().sync_all().map_err(failed)?;
    Ok(written(Some(temporary)))
}

impl Written {
    /// Takes the name, whether another file has it or none.
    pub fn take_name(self) -> Result<()> {
        let Some(temporary) = self.temporary else { return Ok(()) };
        let outcome = match temporary.persist(&self.target) {
            Err(error) if error.error.kind() == std::io::ErrorKind::ResourceBusy => {
                write_into(&self.target, error.file)
            }
            outcome => outcome.map(drop).map_err(|error| error.error),
        };
        outcome.map_err(|cause| Error::io("write", &self.path, cause))?;
        sync_folder(&folder_of(&self.target));
        Ok(())
    }
}

/// Writes what `temporary` has into the file at `target`, which cannot be replaced: a file that is mounted
/// into a container is its own mount.
fn write_into(target: &Path, temporary: tempfile::NamedTempFile) -> std::io::Result<()> {
    let mut content = temporary.reopen()?;
    let more = content.metadata()?.len().saturating_sub(fs::metadata(target)?.len());
    if fs4::available_space(target).is_ok_and(|free| free < more) {
        return Err(std::io::ErrorKind::StorageFull.into());
    }
    let copied = File::options().write(true).truncate(true).open(target).and_then(|mut target| {
        std::io::copy(&mut content, &mut target)?;
        target.sync_all()
    });
    copied.map_err(|cause| match temporary.keep() {
        Ok((_, path)) => {
            let kept = format!("{cause}; what was to be written is in {}", path.display());
            std::io::Error::new(cause.kind(), kept)
        }
        Err(_) => cause,
    })
}

/// Whether `path` names what is open already, as a shell hands it to a program.
fn is_descriptor(path: &Path) -> bool {
    ["/dev/fd", "/dev/stderr", "/proc/self/fd"].iter().any(|folder| path.starts_with(folder))
}

/// Where links lead from `path`, also if nothing is there yet.
pub(crate) fn target_of(path: &Path) -> PathBuf {
    const MOST_LINKS: usize = 40;
    let mut target = path.to_owned();
    for _ in 0..MOST_LINKS {
        if let Ok(found) = fs::canonicalize(&target) {
            return found;
        }
        let Ok(link) = fs::read_link(&target) else { return target };
        target = folder_of(&target).join(link);
    }
    path.to_owned()
}

fn folder_of(target: &Path) -> PathBuf {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A temporary file that other users may read as far as the user's mask allows, as with any file
/// that a program creates.
fn new_temporary(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let temporary = builder.tempfile_in(folder)?;
    // Where files cannot be locked, what a kill leaves behind stays.
    let _ = temporary.as_file().try_lock();
    Ok(temporary)
}

/// Removes temporary files of programs that live no more. Whatever cannot be told is left alone.
fn remove_left_behind(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Opening a named pipe would wait for whoever writes to it.
        if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if !(name.starts_with(PREFIX) && name.ends_with(SUFFIX))
            || age().is_none_or(|age| age < YOUNGEST_LEFT_BEHIND)
        {
            continue;
        }
        let is_free = File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if is_free {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Makes the rename itself durable where folders can be synced. Failing to is no error: the
/// file is whole either way, only possibly still the old one after a power loss.
fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}
