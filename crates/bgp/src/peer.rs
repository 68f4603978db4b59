//! What a session is told about its neighbor.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use crate::{
    role::Role,
    types::{Asn, Family, HoldTime, RouterId},
};

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
    /// The number that is expected, where there is only one.
    pub(crate) const fn number(self, ours: Asn) -> Option<Asn> {
        match self {
            Self::Exactly(wanted) => Some(wanted),
            Self::External => None,
            Self::Internal => Some(ours),
        }
    }

    /// Whether it is another AS than ours.
    #[must_use]
    pub fn is_external(self, ours: Asn) -> bool {
        match self {
            Self::Exactly(asn) => asn != ours,
            Self::External => true,
            Self::Internal => false,
        }
    }

    pub(crate) fn accepts(self, theirs: Asn, ours: Asn) -> bool {
        match self {
            Self::Exactly(wanted) => theirs == wanted,
            Self::External => theirs != ours,
            Self::Internal => theirs == ours,
        }
    }
}

/// Which capabilities we offer beside those that every session has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offers {
    /// Messages of up to 65,535 octets (RFC 8654).
    pub extended_message: bool,
    /// The answer to a route refresh is marked at both ends (RFC 7313).
    pub enhanced_route_refresh: bool,
    /// IPv4 routes with an IPv6 next hop (RFC 8950).
    pub extended_next_hop: bool,
}

impl Default for Offers {
    fn default() -> Self {
        Self { extended_message: true, enhanced_route_refresh: true, extended_next_hop: false }
    }
}

/// Whether a link-local address of ours is part of the IPv6 next hop (RFC 2545 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkLocal {
    /// Beside the global address where the session runs over link-local addresses; alone where there is no global one.
    #[default]
    AsConnected,
    /// Never: the global address alone.
    Never,
    /// Beside the global address: this one, or that of the interface.
    Beside(Option<Ipv6Addr>),
    /// Alone: this one, or that of the interface.
    Alone(Option<Ipv6Addr>),
}

/// Times that are ours alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The longest time between the end of one dial and the next. It begins with 1 s, or with this where it is shorter, and doubles.
    pub connect_retry: Duration,
    /// How long the neighbor may read nothing of what we send (RFC 9687); `None`: 8 minutes, or twice the hold time where that is
    /// longer. Never less than the hold time. (A driver may have its kernel give up sooner.)
    pub send_hold_time: Option<Duration>,
}

impl Default for Timing {
    fn default() -> Self {
        Self { connect_retry: Duration::from_secs(30), send_hold_time: None }
    }
}

/// How a session goes on over the end of its connection (RFC 4724).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GracefulRestart {
    /// How long the neighbor is to keep our routes while there is no session: up to 4095 s, in whole seconds.
    pub restart_time: Duration,
}

impl GracefulRestart {
    /// The longest restart time that its 12 bits can say (RFC 4724 §3).
    pub const LONGEST: Duration = Duration::from_secs(4095);
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
    /// What else we offer.
    pub offers: Offers,
    /// What we are to the neighbor, and whether it must say what it is to us (RFC 9234); it has no meaning within an AS.
    pub role: Option<Role>,
    /// Whether a neighbor that shows no role is refused (RFC 9234 §4.2, "strict mode").
    pub role_strict: bool,
    /// The neighbor dials us; the session waits for it.
    pub passive: bool,
    /// How long things may take that nobody agrees on.
    pub timing: Timing,
    /// Whether, and how, routes outlive the connection.
    pub graceful_restart: Option<GracefulRestart>,
    /// The next hop of IPv4 routes; `None`: the session's own IPv4 address.
    pub next_hop_ipv4: Option<Ipv4Addr>,
    /// The next hop of IPv6 routes; `None`: the session's own IPv6 address (see [`crate::Session::handle_connected`]).
    pub next_hop_ipv6: Option<Ipv6Addr>,
    /// Whether a link-local address goes with it, or instead of it.
    pub link_local: LinkLocal,
    /// Seed of the jitter (RFC 4271 §10).
    pub seed: u64,
}

impl PeerConfig {
    /// A session that dials, with the defaults of everything else: both families, a hold time of 90 s.
    #[must_use]
    pub fn new(local_as: Asn, router_id: RouterId, peer_as: PeerAs) -> Self {
        Self {
            local_as,
            router_id,
            peer_as,
            hold_time: HoldTime::DEFAULT,
            families: Family::ALL.into(),
            offers: Offers::default(),
            role: None,
            role_strict: false,
            passive: false,
            timing: Timing::default(),
            graceful_restart: None,
            next_hop_ipv4: None,
            next_hop_ipv6: None,
            link_local: LinkLocal::default(),
            seed: 0,
        }
    }

    /// Whether the neighbor is of another AS, as far as the configuration says.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.peer_as.is_external(self.local_as)
    }
}
