//! What a session is told about its neighbor.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use crate::types::{Asn, Family, HoldTime, RouterId};

/// Which AS number the neighbor must show in its OPEN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerAs {
    /// Just this one.
    Exactly(Asn),
    /// Any but ours.
    External,
    /// Ours.
    Internal,
}

impl PeerAs {
    pub(crate) fn accepts(self, theirs: Asn, ours: Asn) -> bool {
        match self {
            Self::Exactly(wanted) => theirs == wanted,
            Self::External => theirs != ours,
            Self::Internal => theirs == ours,
        }
    }
}

/// What a session needs to know for its whole life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// Our AS number.
    pub local_as: Asn,
    /// Our BGP Identifier.
    pub router_id: RouterId,
    /// Whom we expect.
    pub peer_as: PeerAs,
    /// What we propose.
    pub hold_time: HoldTime,
    /// The families we offer, never empty.
    pub families: BTreeSet<Family>,
    /// The next hop of IPv4 routes; `None`: the session's own IPv4 address.
    pub next_hop_ipv4: Option<Ipv4Addr>,
    /// The next hop of IPv6 routes; `None`: the session's own IPv6 address (see [`crate::Session::handle_connected`]).
    pub next_hop_ipv6: Option<Ipv6Addr>,
    /// Seed of the jitter (RFC 4271 §10).
    pub seed: u64,
}
