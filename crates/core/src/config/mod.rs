//! What the operator wants, in types that cannot hold a contradiction within themselves.
//!
//! Where a value spans several of them (a service that names a neighbor, an address that lies in a prefix), the
//! configuration reader of the agent has proven it, with the place in the file at hand.

mod neighbor;
mod probe;
mod service;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use anycast_bgp::{Asn, Family, Prefix, RouterId};

pub use self::{neighbor::*, probe::*, service::*};
use crate::name::{PeerId, ServiceName};

/// All that decides what this node announces and binds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Who this node is.
    pub node: Node,
    /// Our AS number.
    pub asn: Asn,
    /// Our BGP Identifier.
    pub router_id: RouterId,
    /// Where neighbors that dial us find us; empty where none does.
    pub listen: BTreeSet<SocketAddr>,
    /// Whether the routes stay with the neighbors when the agent ends.
    pub on_exit: OnExit,
    /// The upstream routers.
    pub neighbors: BTreeMap<PeerId, Neighbor>,
    /// What is served here.
    pub services: BTreeMap<ServiceName, Service>,
    /// The interface that carries the addresses.
    pub interface: String,
    /// The route for an announced prefix that is wider than its addresses.
    pub anchor: Anchor,
    /// Rules for prefixes that several services share; a prefix that is not here follows [`Combine::All`].
    pub prefixes: BTreeMap<Prefix, Combine>,
}

impl Config {
    /// The neighbors that a service's prefixes of `family` go to, with how it is announced there. A router may have a session for
    /// each family: each carries its own.
    pub fn audience<'a>(
        &'a self,
        service: &'a Service,
        family: Family,
    ) -> impl Iterator<Item = (&'a PeerId, &'a Neighbor, &'a Towards)> {
        let chosen = service.neighbors.iter().filter(move |(_, towards)| towards.families.contains(&family));
        let known = chosen.filter_map(|(peer, towards)| Some((peer, self.neighbors.get(peer)?, towards)));
        known.filter(move |(_, neighbor, _)| neighbor.families.contains(&family))
    }
}

/// Labels of the node, for people and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The host name unless the operator says otherwise.
    pub name: String,
    /// A label such as `ap-southeast-1`.
    pub region: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
}

/// What becomes of routes and addresses when the agent ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnExit {
    /// They go.
    #[default]
    Withdraw,
    /// The neighbors keep the routes for the restart time, and the addresses stay.
    Keep,
}

/// How the services of one prefix combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Combine {
    /// Announced while all of them can serve.
    #[default]
    All,
    /// Announced while one of them can serve.
    Any,
}

/// The kind of the route that keeps a wide prefix from looping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anchor {
    /// ICMP unreachable is answered.
    #[default]
    Unreachable,
    /// Silence.
    Blackhole,
    /// No such route.
    None,
}
