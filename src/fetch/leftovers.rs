//! What runs that were killed leave in the cache, and when it goes.
//!
//! A half download is worth keeping: the next fetch of that model goes on with it. All else
//! (copies, what was being put together, what pip had not finished, temporary files) is of no use to
//! anybody once its process is gone, and neither is a half download that nobody has asked for again
//! within a day. Only folders whose lock can be had are touched, so never one that is being filled.
//! What cannot be removed takes up room and does no harm, so that is no error.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::cache::{Slot, lock_of};
use super::progress::Progress;
use crate::error::{Error, Result};

/// How long half a download is kept for a model that nobody asks for.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How temporary files are called that are written beside their target.
const TEMPORARY_PREFIX: &str = ".tmp";

/// Deepest folders that are searched for recent files.
const DEPTH_MAX: u32 = 8;

/// Removes what lies beside a verified file: of a run that was killed just after it had put it
/// there.
pub(super) fn remove_of_filled(slot: &Slot) {
    if slot.partial().exists() && try_lock(slot.folder()).is_some() {
        remove_all(slot);
    }
}

/// Removes everything but the file. The lock is held.
pub(super) fn remove_all(slot: &Slot) {
    let _ = fs::remove_dir_all(slot.partial());
    remove_temporary_files(slot.folder());
}

/// Removes what no fetch can go on with, and makes the side folder. The lock is held.
pub(super) fn remove_useless(slot: &Slot) -> Result<()> {
    remove_temporary_files(slot.folder());
    let folder = slot.partial();
    fs::create_dir_all(&folder).map_err(|cause| Error::io("create", &folder, cause))?;
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_useful = ["part", "whl"].iter().any(|kind| has_extension(&path, kind));
        if path.is_dir() {
            let _ = fs::remove_dir_all(&path);
        } else if !is_useful {
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

/// Removes halves of other contents than that of `part`: the file on the hub has changed.
pub(super) fn remove_other_parts(slot: &Slot, part: &str) {
    for entry in fs::read_dir(slot.partial()).into_iter().flatten().flatten() {
        if has_extension(&entry.path(), "part") && entry.file_name() != part {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Removes what lies in the folders of other models for longer than a day.
pub(super) fn remove_old_of_others(slot: &Slot, progress: &mut dyn Progress) {
    let others = slot.folder().parent().map(fs::read_dir).into_iter().flatten().flatten();
    let mut freed = 0;
    for folder in others.flatten().map(|entry| entry.path()) {
        let partial = folder.join("partial");
        if folder == slot.folder() || !partial.is_dir() {
            continue;
        }
        let Some(_lock) = try_lock(&folder) else { continue };
        let Ok((bytes, last)) = measure(&partial, DEPTH_MAX) else { continue };
        // A clock that was set back makes files of the future, which are not old.
        let is_old = last.is_none_or(|last| last.elapsed().is_ok_and(|age| age > KEPT_FOR));
        if is_old && fs::remove_dir_all(&partial).is_ok() {
            remove_temporary_files(&folder);
            freed += bytes;
        }
    }
    if freed > 0 {
        let mib = freed.div_ceil(1 << 20);
        progress.note(&format!("removed {mib} MiB of downloads that ended more than a day ago"));
    }
}

/// The lock of a folder, if no process has it.
fn try_lock(folder: &Path) -> Option<fs::File> {
    let file = fs::File::create(lock_of(folder)).ok()?;
    file.try_lock().ok().map(|()| file)
}

/// How many bytes are below `folder`, and when a file there was last written to.
fn measure(folder: &Path, depth: u32) -> io::Result<(u64, Option<SystemTime>)> {
    let mut found = (0, None);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let data = entry.metadata()?;
        let (bytes, last) = if !data.is_dir() {
            (data.len(), Some(data.modified()?))
        } else if depth > 0 {
            measure(&entry.path(), depth - 1)?
        } else {
            continue;
        };
        found = (found.0 + bytes, found.1.max(last));
    }
    Ok(found)
}

fn remove_temporary_files(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}
