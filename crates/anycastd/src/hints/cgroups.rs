//! Control groups, as the file system shows them: by the id that sockets carry, or by the name of a unit.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// A host has some hundreds; one with more than this is not searched to the end.
const MOST: usize = 20_000;
/// Processes of a group that are read.
const PROCESSES: usize = 64;

/// Where the unified hierarchy is mounted.
pub(super) fn mount() -> Option<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
    // One may be covered by what was mounted over it later.
    mounted(&table).find(|place| place.join("cgroup.procs").exists())
}

/// proc_pid_mountinfo(5): the fifth field is the mount point; after a field that is a hyphen comes the type.
fn mounted(table: &str) -> impl Iterator<Item = PathBuf> {
    table.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let place = before.split(' ').nth(4)?;
        // A space in a path is written `\040`; nobody mounts it there.
        after.starts_with("cgroup2 ").then(|| PathBuf::from(place))
    })
}

/// The group with this id: the number of its directory's inode.
pub(super) fn by_id(mount: &Path, id: u64) -> Option<PathBuf> {
    search(mount, |path| has_id(path, id))
}

/// The group of a systemd unit.
pub(super) fn by_unit(mount: &Path, unit: &str) -> Option<PathBuf> {
    let usual = mount.join("system.slice").join(unit);
    if usual.is_dir() {
        return Some(usual);
    }
    search(mount, |path| path.file_name() == Some(OsStr::new(unit)))
}

pub(super) fn has_id(path: &Path, id: u64) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.ino() == id)
}

/// The processes of a group and of those within it; not more than [`PROCESSES`].
pub(super) fn processes(group: &Path) -> Vec<i32> {
    let mut found = Vec::new();
    search(group, |path| {
        let listed = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        found.extend(listed.lines().filter_map(|line| line.parse::<i32>().ok()));
        found.len() >= PROCESSES
    });
    found.truncate(PROCESSES);
    found
}

/// The first group from here downwards of which `found` is true; those nearer to the root come first.
fn search(from: &Path, mut found: impl FnMut(&Path) -> bool) -> Option<PathBuf> {
    let mut waiting = VecDeque::from([from.to_owned()]);
    for _ in 0..MOST {
        let path = waiting.pop_front()?;
        if found(&path) {
            return Some(path);
        }
        // One that has gone meanwhile has no groups in it.
        let entries = fs::read_dir(&path).into_iter().flatten().flatten();
        let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        waiting.extend(directories.map(|entry| entry.path()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unified_hierarchy_is_found() {
        let cases = [
            ("41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw", Some("/sys/fs/cgroup/unified")),
            ("31 23 0:27 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate", Some("/sys/fs/cgroup")),
            ("32 23 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids", None),
            ("", None),
            (" - cgroup2 ", None),
        ];
        for (line, expected) in cases {
            let table = format!("22 1 0:20 / / rw - ext4 /dev/root rw\n{line}\n");
            assert_eq!(mounted(&table).next().as_deref(), expected.map(Path::new), "{line}");
        }
    }

    #[test]
    fn groups_are_found_by_id_and_by_unit_and_their_processes_counted() {
        let home = tempfile::tempdir().unwrap();
        let unit = home.path().join("system.slice/web.service");
        let inner = unit.join("worker");
        let other = home.path().join("machine.slice/dns.service");
        for (directory, processes) in [(&unit, "7\n8\n"), (&inner, "9\n"), (&other, "")] {
            fs::create_dir_all(directory).unwrap();
            fs::write(directory.join("cgroup.procs"), processes).unwrap();
        }
        let id = fs::metadata(&other).unwrap().ino();
        assert_eq!(by_id(home.path(), id), Some(other.clone()));
        assert!(has_id(&other, id) && !has_id(&unit, id));
        assert_eq!(by_unit(home.path(), "web.service"), Some(unit.clone()));
        assert_eq!(by_unit(home.path(), "dns.service"), Some(other));
        assert_eq!(by_unit(home.path(), "none.service"), None);
        assert_eq!(processes(&unit), [7, 8, 9]);
        let many: String = (1..1000).map(|pid| format!("{pid}\n")).collect();
        fs::write(unit.join("cgroup.procs"), many).unwrap();
        assert_eq!(processes(&unit).len(), PROCESSES);
    }
}
