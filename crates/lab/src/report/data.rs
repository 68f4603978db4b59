//! What a report says: `report.json` is this.

use serde::{Deserialize, Serialize};

/// All of it. Times are in milliseconds on one clock of the machine, measured by probes and captures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Of this form; another one has another number.
    pub version: u32,
    /// When the last run ended, RFC 3339.
    pub made: String,
    /// On what machine, in words, with its load.
    pub machine: String,
    /// Whether there were too few runs to mean anything.
    pub quick: bool,
    /// What ran, and its version: anycastd, FRR, BIRD, the name server, the resolver, the kernel.
    pub programs: Vec<Program>,
    /// In the order of the table.
    pub methods: Vec<Method>,
}

/// A program that took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// As its package calls it.
    pub name: String,
    /// As it says itself.
    pub version: String,
}

/// A way to fail over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Method {
    /// Short, unique, made of `a-z`, `0-9` and `-`: `dns-ttl-30`, `anycast-listener-frr`.
    pub id: String,
    /// As a row of a table is called: `DNS, switched, TTL 30 s`.
    pub title: String,
    /// What is done, in a sentence or two.
    pub meaning: String,
    /// How users find a node.
    pub steering: Steering,
    /// What happens to the node.
    pub failure: Failure,
    /// Through whose routers, for [`Steering::Anycast`]: `FRR` or `BIRD`.
    pub routers: Option<String>,
    /// How long an answer may be kept, in seconds, for the ways of DNS.
    pub ttl: Option<u32>,
    /// Nothing of it was measured: its runs were computed from those of the method of this id.
    pub computed_from: Option<String>,
    /// In the order in which they were made.
    pub runs: Vec<Run>,
}

/// How users find a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Steering {
    /// Every address is in every answer.
    RoundRobin,
    /// The answer has the addresses that a health check of the name server finds well.
    SwitchedDns,
    /// One address everywhere, announced by BGP.
    Anycast,
}

/// What happens to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Its service is killed.
    ServiceKilled,
    /// The agent is killed, and the node cannot serve any longer.
    AgentKilled,
    /// All of it stands still, as with a kernel that hangs.
    NodeFrozen,
    /// It is taken out of service on purpose, and then stopped.
    Drained,
}

/// One failure, and what users saw of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// How many requests were sent between the failure and the end of the run, by all clients.
    pub requests: u64,
    /// How many of them had no good answer.
    pub lost: u64,
    /// From the failure to the first good answer that a client got which the failed node had served; none, where there was none
    /// before the end of the run.
    pub first_good_ms: Option<f64>,
    /// From the failure to when the last request was sent that was lost; zero where none was lost, and none where some are lost still at
    /// the end of the run.
    pub recovered_ms: Option<f64>,
    /// From the failure to the end of the run.
    pub watched_ms: f64,
    /// What happened, in the order of time.
    pub events: Vec<Event>,
}

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// After the failure; negative before it.
    pub at_ms: f64,
    /// Of what kind.
    pub kind: Kind,
    /// The node where it was seen: `us-edge1`, `eu-rtr`, `us-client`.
    pub node: String,
    /// What happened, in words: `the service is killed`, `UPDATE withdraws 203.0.113.0/24`.
    pub text: String,
}

/// Of what kind an event is; each has its mark in the drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The failure itself, or the order of an operator.
    Failure,
    /// A packet on the wire: BGP, BFD, DNS.
    Packet,
    /// A route changed in a router.
    Route,
    /// A name server or a resolver gives another answer.
    Name,
    /// A request was lost: the first, or the last.
    Lost,
    /// A good answer: the last from the old node, or the first from another.
    Good,
    /// An agent's own word; never what a figure is made of.
    Word,
}
