//! Control groups of Linux, by which services, containers and jobs of a cluster are confined
//! (cgroups(7); the kernel's "Control Group v2" and "Memory Resource Controller").

use std::fs;
use std::path::Path;

/// Where a hierarchy of groups is mounted, and what its files are called.
struct Hierarchy {
    folder: &'static str,
    /// Where there are several, the lowest counts: beyond `memory.high` a group is slowed down to a standstill.
    limits: &'static [&'static str],
    /// What a group and those below it have taken for themselves, lines of `memory.stat`: pages of files
    /// count as used, too, and can be dropped, but those of files in memory (tmpfs) cannot.
    taken: [&'static str; 2],
}

const V2: Hierarchy = Hierarchy {
    folder: "sys/fs/cgroup",
    limits: &["memory.max", "memory.high"],
    taken: ["anon", "shmem"],
};
const V1: Hierarchy = Hierarchy {
    folder: "sys/fs/cgroup/memory",
    limits: &["memory.limit_in_bytes"],
    taken: ["total_rss", "total_shmem"],
};

/// Bytes that this process may still take of its group and of all around it, where one of them has a
/// limit; `root` is the file system's.
pub(super) fn available_memory(root: &Path) -> Option<u64> {
    narrowest(root, Hierarchy::free)
}

/// The limit in bytes of its group, or of a narrower one around it.
pub(super) fn total_memory(root: &Path) -> Option<u64> {
    narrowest(root, Hierarchy::limit)
}

/// The least that `of_group` tells of the group in a folder, of those that this process is in.
fn narrowest(root: &Path, of_group: fn(&Hierarchy, &Path) -> Option<u64>) -> Option<u64> {
    let own = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let groups = own.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        match controllers {
            "" => Some((V2, path)),
            _ if controllers.split(',').any(|name| name == "memory") => Some((V1, path)),
            _ => None,
        }
    });
    groups.filter_map(|(hierarchy, path)| hierarchy.narrowest(root, path, of_group)).min()
}

impl Hierarchy {
    fn narrowest(
        &self,
        root: &Path,
        path: &str,
        of_group: fn(&Hierarchy, &Path) -> Option<u64>,
    ) -> Option<u64> {
        let mount = root.join(self.folder);
        // In a container the path may be of the machine's tree, of which only the own group is mounted.
        let relative = Path::new(path.trim_start_matches('/'));
        let groups = relative.ancestors().map(|group| mount.join(group));
        groups.filter_map(|group| of_group(self, &group)).min()
    }

    /// The limit of the group in this folder, if it has one.
    fn limit(&self, group: &Path) -> Option<u64> {
        let limit = |file: &&str| fs::read_to_string(group.join(file)).ok()?.trim().parse().ok();
        self.limits.iter().filter_map(limit).min()
    }

    /// What the group in this folder may still take; `None` where it has no limit.
    fn free(&self, group: &Path) -> Option<u64> {
        let limit = self.limit(group)?;
        let stat = fs::read_to_string(group.join("memory.stat")).ok()?;
        let value = |wanted: &str| {
            stat.lines().find_map(|line| {
                let (name, value) = line.split_once(' ')?;
                (name == wanted).then(|| value.trim().parse::<u64>().ok())?
            })
        };
        let [own, in_memory] = self.taken;
        Some(limit.saturating_sub(value(own)? + value(in_memory).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_group_around_a_process_counts() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(available_memory(root.path()), None);
        put("proc/self/cgroup", "0::/jobs/job.service/step\n");
        put("sys/fs/cgroup/memory.max", "max\n");
        assert_eq!(available_memory(root.path()), None, "none has a limit");
        put("sys/fs/cgroup/jobs/memory.max", "9000\n");
        put("sys/fs/cgroup/jobs/memory.stat", "anon 500\nfile 700\n");
        put("sys/fs/cgroup/jobs/job.service/memory.max", "2000\n");
        put("sys/fs/cgroup/jobs/job.service/memory.stat", "anon 300\nfile 1600\nshmem 200\n");
        assert_eq!(available_memory(root.path()), Some(1500));
        assert_eq!(total_memory(root.path()), Some(2000));
        put("sys/fs/cgroup/jobs/job.service/memory.high", "max\n");
        assert_eq!(total_memory(root.path()), Some(2000));
        put("sys/fs/cgroup/jobs/job.service/memory.high", "1200\n");
        assert_eq!(available_memory(root.path()), Some(700));
        put("proc/self/cgroup", "3:cpu:/\n2:memory,hugetlb:/docker/abc\n");
        put("sys/fs/cgroup/memory/memory.limit_in_bytes", "800\n");
        put("sys/fs/cgroup/memory/memory.stat", "rss 1\ntotal_rss 900\n");
        assert_eq!(available_memory(root.path()), Some(0), "only the own group is mounted");
    }
}
