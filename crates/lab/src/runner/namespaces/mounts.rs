//! A node's own view of the file system: the machine's, and nothing that is written to it reaches the machine.

use std::{
    fs::{self, File, OpenOptions},
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
    path::Path,
};

use anyhow::{Context as _, bail};
use nix::{
    fcntl::OFlag,
    mount::{MsFlags, mount},
};

use crate::topology::Bind;

/// The machine's files, and what the node puts over them in memory.
const LAYERED: [&str; 3] = ["/etc", "/var/lib", "/usr/local/bin"];
/// Empty at first, and in memory.
const FRESH: [&str; 3] = ["/run", "/var/log", "/var/tmp"];
/// Where the upper layers lie, until the node's own empty directory covers them.
const SCRATCH: &str = "/tmp";

/// Arranges the mounts of a namespace that this process alone is in.
pub(super) fn arrange(binds: &[Bind]) -> anyhow::Result<()> {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("cannot part from the machine's mounts")?;
    // First of all: a source may lie below what is covered next.
    let binds = binds.iter().map(|bind| Ok((bind, open(&bind.source)?))).collect::<anyhow::Result<Vec<_>>>()?;
    file_system("proc", "/proc")?;
    file_system("sysfs", "/sys")?;
    memory(SCRATCH, "0755")?;
    for (index, directory) in LAYERED.into_iter().enumerate() {
        layer(directory, index)?;
    }
    for directory in FRESH {
        memory(directory, if directory == "/var/tmp" { "1777" } else { "0755" })?;
    }
    memory(SCRATCH, "1777")?;
    remount_read_only(Path::new("/")).context("cannot protect the machine's files")?;
    for (bind, source) in &binds {
        place(bind, source)
            .with_context(|| format!("cannot put {} at {}", bind.source.display(), bind.target.display()))?;
    }
    Ok(())
}

/// Holds a file or directory without opening it.
fn open(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).custom_flags((OFlag::O_PATH | OFlag::O_CLOEXEC).bits());
    options.open(path).with_context(|| format!("cannot bind {}", path.display()))
}

fn file_system(kind: &str, target: &str) -> anyhow::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some(kind), target, Some(kind), flags, None::<&str>).with_context(|| format!("cannot mount {target}"))
}

fn memory(target: &str, mode: &str) -> anyhow::Result<()> {
    let options = format!("mode={mode}");
    mount(Some("tmpfs"), target, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(&*options))
        .with_context(|| format!("cannot mount memory at {target}"))
}

fn layer(directory: &str, index: usize) -> anyhow::Result<()> {
    let (upper, work) = (format!("{SCRATCH}/upper{index}"), format!("{SCRATCH}/work{index}"));
    for made in [&upper, &work] {
        fs::create_dir(made).with_context(|| format!("cannot make {made}"))?;
    }
    let options = format!("lowerdir={directory},upperdir={upper},workdir={work}");
    mount(Some("overlay"), directory, Some("overlay"), MsFlags::empty(), Some(&*options))
        .with_context(|| format!("cannot lay an overlay over {directory}; the lab needs the kernel's overlayfs"))
}

fn remount_read_only(target: &Path) -> nix::Result<()> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    mount(None::<&str>, target, None::<&str>, flags, None::<&str>)
}

fn place(bind: &Bind, source: &File) -> anyhow::Result<()> {
    let kind = source.metadata()?.file_type();
    if kind.is_dir() {
        fs::create_dir_all(&bind.target)?;
    } else if kind.is_file() {
        if let Some(parent) = bind.target.parent() {
            fs::create_dir_all(parent)?;
        }
        if !bind.target.exists() {
            File::create(&bind.target)?;
        }
    } else {
        bail!("it is neither a file nor a directory");
    }
    let held = format!("/proc/self/fd/{}", source.as_raw_fd());
    mount(Some(&*held), &bind.target, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    if bind.read_only {
        remount_read_only(&bind.target)?;
    }
    Ok(())
}
