//! What is said of neighbors, and of the routes that they hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Bfd, Timestamp};

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
    /// What to do about it, where there is no session and that is known.
    #[serde(default)]
    pub remedy: Option<String>,
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
    /// How a dead path to it is noticed before the hold timer does; `None`: it is not.
    #[serde(default)]
    pub bfd: Option<Bfd>,
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
    /// The service whose `announce --force` ends it.
    #[serde(default)]
    pub service: Option<String>,
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
