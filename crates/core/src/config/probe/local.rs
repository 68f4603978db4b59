//! What checks ask this machine.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crate::secret::Secret;

/// A program, run without a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecProbe {
    /// The program and its arguments; never empty.
    pub command: Vec<String>,
    /// As whom it runs; `None`: as the agent.
    pub user: Option<String>,
    /// Variables besides the usual ones. The values may be passwords.
    pub environment: BTreeMap<String, Secret>,
}

impl ExecProbe {
    /// A program as the agent itself would run it.
    #[must_use]
    pub const fn new(command: Vec<String>) -> Self {
        Self { command, user: None, environment: BTreeMap::new() }
    }
}

/// A unit of systemd is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemdProbe {
    /// Its full name: `nginx.service`.
    pub unit: String,
    /// The socket of the bus on which systemd is found.
    pub bus: PathBuf,
}

/// A process is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessProbe {
    /// The file with its number.
    pub pid_file: PathBuf,
    /// The name it must have, as the kernel keeps it: its number may be another's by now.
    pub comm: Option<String>,
}

/// A file is as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProbe {
    /// Where it is; symbolic links are followed.
    pub path: PathBuf,
    /// What must be so.
    pub expect: FileExpected,
}

/// What must be so of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileExpected {
    /// It is there.
    Present,
    /// It is not there.
    Absent,
    /// It was written to at most this long ago.
    Fresh(Duration),
}
