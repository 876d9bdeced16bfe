//! What this machine has left, memory and room on its disks, what this process takes, and where it
//! keeps what it fetches.
//!
//! Only what the system tells is told; where it tells nothing, nothing is known, and nobody is held
//! up for it.

mod groups;

use std::path::{Path, PathBuf};

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

/// The folder for what this program fetches: `$WENZHAI_HOME`, or `wenzhai` in the folder that the
/// platform has for caches; `None` where it names none. It is absolute: programs that fetch into it have
/// another current folder.
pub fn cache_folder() -> Option<PathBuf> {
    let home = std::env::var_os("WENZHAI_HOME").filter(|home| !home.is_empty());
    let folder = home.map(PathBuf::from).or_else(|| Some(dirs::cache_dir()?.join("wenzhai")))?;
    Some(std::path::absolute(&folder).unwrap_or(folder))
}

/// Bytes of memory that can be taken without swapping: of the machine, or of the control groups that
/// this process is confined to, as containers, jobs of a cluster and services are.
pub fn available_memory() -> Option<u64> {
    let mut system = System::new();
    system.refresh_memory();
    let machine = Some(system.available_memory()).filter(|bytes| *bytes > 0)?;
    Some(groups::available_memory(Path::new("/")).map_or(machine, |group| machine.min(group)))
}

/// Bytes of memory that there are, taken or not: of the machine, or of the narrowest of those control groups.
pub fn total_memory() -> Option<u64> {
    let mut system = System::new();
    system.refresh_memory();
    let machine = Some(system.total_memory()).filter(|bytes| *bytes > 0)?;
    Some(groups::total_memory(Path::new("/")).map_or(machine, |group| machine.min(group)))
}

/// Bytes of memory that this process holds.
pub fn resident_memory() -> Option<u64> {
    let own = sysinfo::get_current_pid().ok()?;
    let mut system = System::new();
    let memory = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, memory);
    system.process(own).map(sysinfo::Process::memory)
}

/// Bytes that can be written below `folder`, which need not exist yet.
pub fn free_disk(folder: &Path) -> Option<u64> {
    // A relative folder has no ancestor that is there.
    let folder = std::path::absolute(folder).ok()?;
    let existing = folder.ancestors().find(|ancestor| ancestor.is_dir())?;
    fs4::available_space(existing).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_takes_it_holds() {
        let memory = vec![1u8; 64 << 20];
        assert!(resident_memory().unwrap() > memory.len() as u64);
    }

    #[test]
    fn this_machine_has_memory_and_disk_also_for_folders_to_come() {
        assert!(available_memory().is_some_and(|bytes| bytes > 1 << 20));
        let here = tempfile::tempdir().unwrap();
        let disk = free_disk(here.path()).unwrap();
        let to_come = free_disk(&here.path().join("not/there/yet")).unwrap();
        assert!(disk > 0 && to_come.abs_diff(disk) < 1 << 30);
        assert!(free_disk(Path::new("relative/not/there/yet")).is_some());
    }
}
