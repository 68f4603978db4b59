//! What travels over the control socket, as HTTP/1.1 with JSON bodies.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /v1/status` | | [`Status`] |
//! | `GET /v1/explain?target=PREFIX\|ADDRESS\|SERVICE` | | [`Explanation`] |
//! | `GET /v1/neighbors[?name=NAME]` | | list of [`Neighbor`] |
//! | `GET /v1/routes[?neighbor=NAME]` | | list of [`NeighborRoutes`] |
//! | `GET /v1/events[?since=TIME][&follow=true][&service=NAME][&neighbor=NAME]` | | [`Event`], one a line (`application/x-ndjson`) |
//! | `GET /v1/capture?neighbor=NAME` | | the recent messages as an MRT file (`application/octet-stream`) |
//! | `GET /v1/doctor` | | [`DoctorReply`] |
//! | `POST /v1/withdraw` | [`WithdrawRequest`] | [`OrderReply`] |
//! | `POST /v1/announce` | [`AnnounceRequest`] | [`OrderReply`] |
//! | `POST /v1/wait` | [`WaitRequest`] | [`WaitReply`] |
//! | `POST /v1/probe` | [`ProbeRequest`] | [`ProbeReply`] |
//! | `POST /v1/reload` | [`ReloadRequest`] | [`ReloadReply`] |
//! | `POST /v1/upgrade` | [`UpgradeRequest`] | [`UpgradeTrial`], or the end of the connection |
//!
//! Every other answer has a status of 400 or more and an [`ErrorReply`]. Fields may be added; readers ignore what they
//! do not know.

mod bfd;
mod doctor;
mod neighbor;
mod page;
mod probe;
mod reload;
mod service;
mod time;
mod upgrade;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use bfd::*;
pub use doctor::*;
pub use neighbor::*;
pub use page::*;
pub use probe::*;
pub use reload::*;
pub use service::*;
pub use time::Timestamp;
pub use upgrade::*;

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
    /// All is as configured: every service is up, announced and bound, every neighbor Established, and there is no problem.
    pub healthy: bool,
    /// What is wrong with the agent itself (the last reload was refused, netlink fails, …), and routes that a neighbor cannot be
    /// given, in words.
    pub problems: Vec<String>,
    /// How many of them are about what: `reload`, `kernel`, `bfd` and the like.
    #[serde(default)]
    pub problem_subjects: BTreeMap<String, usize>,
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
    /// The thread of BFD.
    #[serde(default)]
    pub bfd: BfdThread,
    /// What came of the last upgrade of the agent, since it started.
    #[serde(default)]
    pub upgraded: Option<Upgraded>,
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
    /// What came for it, where that is counted.
    #[serde(default)]
    pub traffic: Option<Traffic>,
}

/// What came for an address since it is counted; what this node sent itself is not among it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// IP packets, as the kernel has put them together: what the network card merged is one.
    pub packets: u64,
    /// Their octets, headers of IP included.
    pub bytes: u64,
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
    /// What kind: `agent`, `check`, `service`, `hold_down`, `drain`, `address`, `route`, `neighbor`, `fence`, `config`.
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
    /// It ends by itself with the next start of the machine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub boot: bool,
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
    /// The services that go down with what is withdrawn, because they depend on it and are not withdrawn as well.
    #[serde(default)]
    pub dependents: Vec<Dependent>,
    /// What is to be known of it: it is in force, and the disk has not taken it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// A service that depends on one that is withdrawn, and is not withdrawn itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dependent {
    /// The service.
    pub service: String,
    /// What it depends on, and what that depends on, up to the service that is withdrawn.
    pub depends_on: Vec<String>,
    /// In words: what becomes of it.
    pub note: String,
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
    /// The services that are under no order any more: somebody has ended it.
    #[serde(default)]
    pub ended: Vec<String>,
    /// Where it is done, what came at the end for those of them that have it counted (`traffic`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Arrived>,
}

/// What came of late for the addresses of some services, but for those that another service goes on with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arrived {
    /// In how many seconds up to now.
    pub seconds: f64,
    /// IP packets, by service.
    pub packets: BTreeMap<String, u64>,
    /// Why nothing is known of it; then there are no packets here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorReply {
    /// The fault.
    pub error: String,
    /// The remedy.
    pub hint: Option<String>,
}
