//! The settings that last as long as the process: another value waits for the next one.

use std::{net::SocketAddr, path::PathBuf};

use super::{Control, Log, Settings};

/// What is in force of them, whatever the file says meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lasting {
    /// The state directory.
    pub(crate) state: PathBuf,
    /// The control socket.
    pub(crate) control: Control,
    http: Option<SocketAddr>,
    log: Log,
}

impl Lasting {
    /// As a process has them that starts with these settings.
    pub(crate) fn of(settings: &Settings) -> Self {
        let Settings { state_directory, control, http, log, .. } = settings.clone();
        Self { state: state_directory, control, http, log }
    }

    /// The keys under which the other says something else.
    pub(crate) fn unlike(&self, other: &Self) -> Vec<&'static str> {
        let table = [
            ("state", self.state != other.state),
            ("control", self.control != other.control),
            ("http", self.http != other.http),
            ("log", self.log != other.log),
        ];
        table.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}
