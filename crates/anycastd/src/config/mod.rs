//! The configuration file: read raw with every key's place, then turned into types that cannot be wrong.
//!
//! [`load`] reports every mistake at once, each with file, line, column, the offending line and a hint.

mod across;
mod attributes;
mod bfd;
mod checks;
mod diagnostic;
mod endpoint;
mod flow;
mod graceful;
mod keys;
mod lasting;
mod load;
mod names;
mod needs;
mod neighbors;
mod next_hop;
mod privileges;
mod probes;
mod reader;
mod redact;
mod secrets;
mod services;
mod settings;
mod source;
mod states;
mod top;
mod transport;
mod values;
mod yaml;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anycast_core::Config;

pub(crate) use self::{
    bfd::NEEDS_REAL_TIME,
    diagnostic::Severity,
    lasting::Lasting,
    load::{ConfigError, Loaded, load, load_bytes},
    privileges::drop_ins,
    reader::nearest,
};

/// All that the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// What decides the announcements.
    pub(crate) core: Config,
    /// How the agent ends.
    pub(crate) shutdown: ShutdownMode,
    /// After how long without a sign of life, or a proof, the agent no longer claims anything.
    pub(crate) stale_after: Duration,
    /// Where the orders of operators are kept.
    pub(crate) state_directory: PathBuf,
    /// The control socket.
    pub(crate) control: Control,
    /// Where `/metrics` is served; `None`: nowhere.
    pub(crate) http: Option<SocketAddr>,
    /// The log.
    pub(crate) log: Log,
}

/// How the agent ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShutdownMode {
    /// Withdraw, wait until written, Cease, unbind; within 2 s.
    Fast,
    /// The services' full drain first.
    Drain,
}

/// The control socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Control {
    /// Its path.
    pub(crate) socket: PathBuf,
    /// The group that may open it; `None`: the agent's own.
    pub(crate) group: Option<String>,
    /// Users, besides root and the agent's own, who may change things.
    pub(crate) operators: Vec<String>,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    /// Its form.
    pub(crate) format: LogFormat,
    /// The least grave level that is written.
    pub(crate) level: tracing::Level,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// To journald, with fields; as text where there is no journal.
    Journal,
    /// Lines for people, on standard error.
    Text,
    /// One JSON object a line, on standard error.
    Json,
}

/// The JSON schema of the file, for editors.
pub(crate) fn schema() -> serde_json::Value {
    keys::schema::schema()
}

#[cfg(test)]
mod tests;
