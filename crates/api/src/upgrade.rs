//! `POST /v1/upgrade`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// How long the installed program may take to tell whether it can go on, before anything else is done.
pub const TRIAL_SECONDS: u64 = 20;

/// Run the installed program in place of the one that runs, with the same process and the same sessions.
///
/// There is no answer where it is done: the connection ends with the program that has it. [`Status::upgraded`](crate::Status::upgraded)
/// then says what came of it, under the same `id`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpgradeRequest {
    /// Chosen by whoever asks, and by nobody else: 1 to 64 letters, digits and hyphens.
    pub id: String,
    /// Only have the installed program tell whether it could.
    #[serde(default)]
    pub dry_run: bool,
}

/// What the installed program would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeTrial {
    /// The path of the program.
    pub program: String,
    /// The version that runs.
    pub from: String,
    /// The version that would.
    pub to: String,
    /// How many sessions would go on.
    pub sessions: usize,
    /// Those that would begin anew, and why.
    pub lost: BTreeMap<String, String>,
}

/// What came of an upgrade.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Upgraded {
    /// That of the request.
    pub id: String,
    /// Who ordered it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The version before.
    pub from: String,
    /// The version that runs.
    pub to: String,
    /// How many sessions went on.
    pub sessions: usize,
    /// The sessions that were Established and had to begin anew, and why.
    pub lost: BTreeMap<String, String>,
    /// For how long nothing was decided, in seconds.
    pub stopped_seconds: f64,
}
