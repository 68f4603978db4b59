//! What is said of services, their checks and their maintenance.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What a service is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// Its checks are not decided yet.
    Unknown,
    /// Its checks fail.
    Down,
    /// It serves, others should be preferred.
    Degraded,
    /// It serves.
    Up,
    /// It serves, and has flapped too often: not announced for a time, or with the degraded attributes.
    Held,
    /// An operator withdraws it: still announced, or not yet acknowledged, or lingering.
    Draining,
    /// An operator has withdrawn it: safe to stop.
    Drained,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// In one word.
    pub state: ServiceState,
    /// What its checks say, and what it depends on allows; whatever else is decided.
    pub health: Health,
    /// Since when `state` holds.
    pub since: Timestamp,
    /// The same, in seconds.
    pub since_seconds: f64,
    /// Its prefixes.
    pub prefixes: Vec<PrefixSummary>,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// By name.
    pub checks: Vec<Check>,
    /// The maintenance it is in.
    pub drain: Option<Drain>,
    /// The service that it depends on and that does not serve, in words, where that is why it does not.
    #[serde(default)]
    pub lacks: Option<String>,
    /// Whether it is held down because it flaps; none where that is not configured.
    #[serde(default)]
    pub hold_down: Option<HoldDown>,
    /// How often its checks took it from serving to down, since the agent started.
    #[serde(default)]
    pub flaps: u64,
}

/// The hold-down of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HoldDown {
    /// It is held.
    pub held: bool,
    /// When that ends by itself.
    pub until: Option<Timestamp>,
    /// In how many seconds; 0 where it is not held.
    pub left_seconds: f64,
    /// Flaps of late; those that led to a hold do not count any more.
    pub recent_flaps: usize,
    /// So many begin a hold, …
    pub after_flaps: u16,
    /// … within so many seconds.
    pub within_seconds: f64,
    /// How many seconds the next hold would last.
    pub next_seconds: f64,
    /// Holds since the agent started.
    pub holds: u64,
}

/// The health of a service or a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Not decided, or not checked.
    Unknown,
    /// Proven bad.
    Down,
    /// Serves, others should be preferred.
    Degraded,
    /// Proven good.
    Up,
}

/// A prefix in a service's line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrefixSummary {
    /// In CIDR notation.
    pub prefix: String,
    /// Whether it is to be announced.
    pub announced: bool,
    /// To how many neighbors it is announced now; a network counts once.
    #[serde(default)]
    pub neighbors: usize,
    /// What is remarkable about its attributes: `prepend 3`, `graceful-shutdown`; where it is not announced though this service
    /// serves, why: `web is down`.
    pub notes: Vec<String>,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Its type in the configuration.
    pub kind: String,
    /// What it knows.
    pub health: Health,
    /// Since when, if it ever ran.
    pub since: Timestamp,
    /// Whether the service heeds it (not while it was added by a reload and is undecided).
    pub counts: bool,
    /// Why it does not run, if it does not.
    pub paused: Option<String>,
    /// In how many seconds it runs for the first time, where its `start_delay` is not over.
    #[serde(default)]
    pub starts_in_seconds: Option<f64>,
    /// The last answer.
    pub last: Option<CheckAnswer>,
    /// Runs begun.
    pub runs: u64,
    /// Runs that failed.
    pub failures: u64,
    /// Runs that proved nothing, because of trouble of the agent's own.
    #[serde(default)]
    pub inconclusive: u64,
    /// Runs that began more than an interval late.
    #[serde(default)]
    pub late: u64,
    /// How far it is on its way to another opinion: answers so far and answers needed.
    pub turning: Option<(u16, u16)>,
    /// What the kernel tells it of, in words; `None`: nothing, it asks at its intervals.
    #[serde(default)]
    pub watches: Option<String>,
    /// Hints that it had.
    #[serde(default)]
    pub hints: u64,
    /// Why its runs cannot be done at present, so that they prove nothing.
    #[serde(default)]
    pub cannot_run: Option<String>,
    /// In how many seconds the check forgets that the service was good, if its runs go on to prove nothing.
    #[serde(default)]
    pub holds_seconds: Option<f64>,
}

/// The answer of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckAnswer {
    /// What this run alone says.
    pub health: Health,
    /// What was seen, in words.
    pub detail: String,
    /// How long it took, in seconds.
    pub took_seconds: f64,
    /// When it ended.
    pub at: Timestamp,
    /// What the program of an exec check measured.
    #[serde(default)]
    pub performance: Vec<Performance>,
}

/// A value that a program measured, as the monitoring plugins print it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Performance {
    /// What was measured.
    pub label: String,
    /// `None`: the program could not determine it.
    pub value: Option<f64>,
    /// `s`, `%`, `B`, `c` and the like; empty for a plain number.
    pub unit: String,
    /// The range beyond which the program warns.
    pub warn: Option<String>,
    /// The range beyond which it is critical.
    pub crit: Option<String>,
    /// The least possible value.
    pub min: Option<f64>,
    /// The greatest possible value.
    pub max: Option<f64>,
}

/// A maintenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drain {
    /// Where it stands.
    pub phase: DrainPhase,
    /// Since when it stands there.
    pub since: Timestamp,
    /// When this phase ends by itself, if it does.
    pub phase_ends: Option<Timestamp>,
    /// Who ordered it.
    pub by: String,
    /// When.
    pub ordered: Timestamp,
    /// Why.
    pub reason: Option<String>,
    /// When it ends by itself, if it does; not before the machine starts anew, where [`until_boot`](Self::until_boot) says so.
    pub until: Option<Timestamp>,
    /// It lasts until the machine starts anew.
    #[serde(default)]
    pub until_boot: bool,
    /// The `disable_file` of the service that is there: it does not end before that is gone.
    #[serde(default)]
    pub disable_file: Option<String>,
}

/// Where a drain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrainPhase {
    /// Announced with the degraded attributes until `announce`.
    Degraded,
    /// GRACEFUL_SHUTDOWN is announced.
    GracefulShutdown,
    /// Withdrawn, not yet acknowledged by every Established neighbor.
    Withdrawing,
    /// Acknowledged; packets under way may still arrive.
    Lingering,
    /// Safe to stop.
    Drained,
}
