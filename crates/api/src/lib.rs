//! What travels over the control socket, as HTTP/1.1 with JSON bodies.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /v1/status` | | [`Status`] |
//! | `GET /v1/explain?target=PREFIX\|ADDRESS\|SERVICE` | | [`Explanation`] |
//! | `GET /v1/neighbors[?name=NAME]` | | list of [`Neighbor`] |
//! | `GET /v1/routes[?neighbor=NAME]` | | list of [`NeighborRoutes`] |
//! | `GET /v1/events[?since=TIME][&follow=true]` | | [`Event`], one a line (`application/x-ndjson`) |
//! | `GET /v1/capture?neighbor=NAME` | | the recent messages as an MRT file (`application/octet-stream`) |
//! | `POST /v1/withdraw` | [`WithdrawRequest`] | [`OrderReply`] |
//! | `POST /v1/announce` | [`AnnounceRequest`] | [`OrderReply`] |
//! | `POST /v1/wait` | [`WaitRequest`] | [`WaitReply`] |
//!
//! Every other answer has a status of 400 or more and an [`ErrorReply`]. Fields may be added; readers ignore what they
//! do not know.

mod time;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use time::Timestamp;

/// Where the control socket is unless configured otherwise.
pub const DEFAULT_SOCKET: &str = "/run/anycastd/control.sock";

/// The whole node on one screen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The node's name.
    pub node: String,
    /// Our AS number.
    pub asn: u32,
    /// Our BGP Identifier.
    pub router_id: String,
    /// The region label.
    pub region: Option<String>,
    /// The country label.
    pub country: Option<String>,
    /// The agent's version.
    pub version: String,
    /// When the agent started.
    pub started: Timestamp,
    /// For how long it has run, in seconds.
    pub uptime_seconds: f64,
    /// The agent is ending.
    pub stopping: bool,
    /// All is as configured: every service is up, announced and bound, every neighbor Established.
    pub healthy: bool,
    /// What is wrong with the agent itself (the last reload was refused, netlink fails, …), in words.
    pub problems: Vec<String>,
    /// By name.
    pub services: Vec<Service>,
    /// By name.
    pub neighbors: Vec<Neighbor>,
    /// Connections that were closed before a word, by reason, since the agent started.
    #[serde(default)]
    pub connections_refused: BTreeMap<String, u64>,
    /// What the kernel told, and was asked, since the agent started.
    #[serde(default)]
    pub watch: WatchCounters,
    /// By address.
    pub addresses: Vec<Address>,
}

/// What the kernel told of listeners and processes, and what it was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchCounters {
    /// Hints to checks, by kind: `listener`, `process`, `connection`, `network`; `overrun`: times that not each closed socket was told.
    pub hints: BTreeMap<String, u64>,
    /// Lists of listeners asked for.
    pub lists: u64,
    /// Those of them that could not be had.
    pub lists_failed: u64,
}

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
    /// What is remarkable about its attributes: `prepend 3`, `graceful-shutdown`.
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
    /// When it ends by itself, if it does.
    pub until: Option<Timestamp>,
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

/// A neighbor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Neighbor {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// It is a network whose routers connect to us, or one of them.
    #[serde(default)]
    pub dynamic: bool,
    /// Its TCP port.
    pub port: u16,
    /// Its AS number: shown in its OPEN, else configured; `external` or `internal` where neither says.
    pub asn: String,
    /// The state by RFC 4271: Idle, Connect, Active, OpenSent, OpenConfirm, Established; Listen for a network.
    pub state: String,
    /// Since when.
    pub since: Timestamp,
    /// The same, in seconds.
    pub since_seconds: f64,
    /// Prefixes it holds from us.
    pub routes: usize,
    /// Prefixes it should hold and cannot be given, each with the reason.
    pub unsendable: BTreeMap<String, String>,
    /// Those of them that are held back because the neighbor ends the session when it is told of them, or may.
    #[serde(default)]
    pub quarantined: BTreeMap<String, Quarantine>,
    /// What it announces, where that is limited and the session is up.
    #[serde(default)]
    pub received: Option<Received>,
    /// Why the last session or attempt ended, in words.
    pub last_error: Option<String>,
    /// When.
    pub last_error_at: Option<Timestamp>,
    /// In how many seconds it is dialled again.
    pub retry_seconds: Option<f64>,
    /// Our end of the connection.
    pub local_address: Option<String>,
    /// Its end of the connection.
    #[serde(default)]
    pub remote_address: Option<String>,
    /// How the connection is made and protected.
    #[serde(default)]
    pub transport: Transport,
    /// What the session agreed on, once OpenConfirm is reached.
    pub session: Option<Session>,
    /// Counts since the agent started, by name.
    pub counters: BTreeMap<String, u64>,
}

/// How the connection to a neighbor is made and protected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transport {
    /// The neighbor connects to us.
    #[serde(default)]
    pub passive: bool,
    /// `tcp-md5`, `tcp-ao`, or `none`.
    pub authentication: String,
    /// The TTL, or hop limit, of what we send; `None`: the kernel's default.
    pub ttl: Option<u8>,
    /// The least TTL, or hop limit, of what is taken (GTSM); `None`: any.
    pub min_ttl: Option<u8>,
    /// The interface or VRF that it is bound to.
    pub device: Option<String>,
}

/// What a neighbor has announced in its session, beside what it should not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// Different prefixes, withdrawn ones included; within about 2 % where they are more than 1024.
    pub prefixes: u64,
    /// `max_prefixes` of the configuration.
    pub limit: u64,
    /// There were more, at some time in this session.
    pub exceeded: bool,
}

/// What a session agreed on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The neighbor's BGP Identifier.
    pub router_id: String,
    /// Seconds; 0: no hold timer.
    pub hold_time_seconds: u64,
    /// Seconds, before jitter; 0: no keepalives.
    pub keepalive_seconds: f64,
    /// The address families in force: `ipv4`, `ipv6`.
    pub families: Vec<String>,
    /// The next hop of each family we announce.
    pub next_hops: BTreeMap<String, String>,
    /// The capabilities we offered, in words.
    pub capabilities_sent: Vec<String>,
    /// The capabilities they offered, in words.
    pub capabilities_received: Vec<String>,
    /// What of them is in force, in words.
    #[serde(default)]
    pub capabilities_in_force: Vec<String>,
}

/// What one neighbor holds from us.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NeighborRoutes {
    /// The neighbor.
    pub neighbor: String,
    /// Whether the session is Established; otherwise it holds nothing.
    pub established: bool,
    /// By prefix.
    pub routes: Vec<Route>,
    /// The prefixes that are held back from it.
    #[serde(default)]
    pub quarantined: BTreeMap<String, Quarantine>,
}

/// Why a route is held back from a neighbor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quarantine {
    /// In words.
    pub reason: String,
    /// When it is announced again; none while it is found out for which of several routes the neighbor ends the session.
    pub until: Option<Timestamp>,
}

/// One route at one neighbor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// In CIDR notation.
    pub prefix: String,
    /// A withdraw that is not acknowledged yet.
    pub withdrawn: bool,
    /// How far the UPDATE that says so has come.
    pub progress: Progress,
    /// When it came that far.
    pub since: Timestamp,
    /// The next hop.
    pub next_hop: Option<String>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF, on iBGP sessions.
    pub local_pref: Option<u32>,
    /// The AS_PATH as sent.
    pub as_path: Vec<u32>,
    /// COMMUNITIES, well-known ones by name.
    pub communities: Vec<String>,
    /// EXTENDED_COMMUNITIES, the link's bandwidth among them.
    #[serde(default)]
    pub extended_communities: Vec<String>,
    /// LARGE_COMMUNITY.
    pub large_communities: Vec<String>,
}

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Waits for the socket.
    Queued,
    /// Left for the kernel.
    Written,
    /// Acknowledged by the neighbor's TCP.
    Acked,
}

/// An address and what the kernel says of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Address {
    /// The address.
    pub address: String,
    /// Whether the kernel answers for it.
    pub bound: bool,
    /// Somebody else put it there; it is never deleted.
    pub foreign: bool,
    /// The interface that carries it.
    pub interface: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// What is wrong, in words.
    pub problem: Option<String>,
}

/// Why something is, or is not, announced: the whole chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// What was asked.
    pub target: String,
    /// One per prefix concerned.
    pub prefixes: Vec<PrefixExplanation>,
}

/// The chain of one prefix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrefixExplanation {
    /// In CIDR notation.
    pub prefix: String,
    /// Whether it is to be announced.
    pub announced: bool,
    /// The answer in one sentence.
    pub summary: String,
    /// From the checks to the neighbors.
    pub chain: Vec<Link>,
}

/// One link of the chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// `check`, `dependency`, `service`, `hold_down`, `drain`, `address`, `anchor`, `decision` or `neighbor`.
    pub kind: String,
    /// Which: `dns/resolves`, `203.0.113.53`, `leaf1`.
    pub name: String,
    /// Whether it lets the prefix through.
    pub ok: LinkState,
    /// What it says.
    pub text: String,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Where it is broken: what to do.
    pub hint: Option<String>,
}

/// Whether a link holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// It lets the prefix through.
    Ok,
    /// It does, but something is to be seen there.
    Warning,
    /// It does not.
    Broken,
}

/// A change of state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Counts up from 1 at the start of the agent.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// What kind: `agent`, `check`, `service`, `hold_down`, `drain`, `address`, `route`, `neighbor`, `config`.
    pub kind: String,
    /// What it happened to.
    pub subject: String,
    /// In words.
    pub text: String,
}

/// Begin a maintenance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawRequest {
    /// Which services; empty: all of this node.
    #[serde(default)]
    pub services: Vec<String>,
    /// How.
    #[serde(default)]
    pub mode: WithdrawMode,
    /// Why: kept and shown.
    #[serde(default)]
    pub reason: Option<String>,
    /// After how many seconds it ends by itself.
    #[serde(default)]
    pub for_seconds: Option<f64>,
}

/// How a service is withdrawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawMode {
    /// GRACEFUL_SHUTDOWN for its configured time, then withdraw.
    #[default]
    Graceful,
    /// Withdraw at once.
    Now,
    /// Stay announced with the degraded attributes.
    Degrade,
}

/// End a maintenance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnnounceRequest {
    /// Which services; empty: all of this node.
    #[serde(default)]
    pub services: Vec<String>,
    /// Announce also what is held down or in quarantine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

/// The order is accepted and will survive a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderReply {
    /// By service.
    pub services: Vec<OrderedService>,
}

/// What an order means for one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderedService {
    /// The service.
    pub service: String,
    /// The prefixes that move because of the order.
    pub moves: Vec<String>,
    /// The prefixes that stay announced because other services carry them, or are not announced anyway: with the reason.
    pub stays: BTreeMap<String, String>,
    /// In words: what happens next, or that nothing changes.
    pub note: String,
    /// Where its drain stands now.
    pub phase: Option<DrainPhase>,
}

/// Wait for drains to end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitRequest {
    /// Which services; empty: all that are being withdrawn.
    #[serde(default)]
    pub services: Vec<String>,
    /// For how long at most, in seconds; at most 86400.
    pub timeout_seconds: f64,
}

/// How the waiting ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaitReply {
    /// Every one of them is drained: safe to stop.
    pub done: bool,
    /// What is still waited for, in words.
    pub waiting_for: Vec<String>,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorReply {
    /// The fault.
    pub error: String,
    /// The remedy.
    pub hint: Option<String>,
}
