//! What two sessions are configured with, and what must follow from it, worked out apart from the code that does.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anycast_bgp::{Asn, Family, GracefulRestart, HoldTime, Offers, PeerAs, PeerConfig, Prefix, Role, RouterId};
use proptest::prelude::*;

/// What one end may offer or not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) extended_message: bool,
    pub(crate) enhanced_route_refresh: bool,
    pub(crate) extended_next_hop: bool,
    pub(crate) graceful_restart: bool,
    pub(crate) ipv6: bool,
    pub(crate) hold: u16,
}

/// The agent, its neighbor, and the connection between them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) agent: End,
    pub(crate) neighbor: End,
    /// Our AS number.
    pub(crate) asn: u32,
    pub(crate) internal: bool,
    pub(crate) over_ipv6: bool,
    /// Our role, and whether the neighbor says what it is.
    pub(crate) role: Option<(Role, bool)>,
    /// The neighbor dials.
    pub(crate) passive: bool,
}

impl Default for Setting {
    /// Two routers of two AS numbers, with what is offered where nobody chose.
    fn default() -> Self {
        let end = End {
            extended_message: true,
            enhanced_route_refresh: true,
            extended_next_hop: false,
            graceful_restart: false,
            ipv6: true,
            hold: 90,
        };
        Self {
            agent: end,
            neighbor: End { hold: 30, ..end },
            asn: 65010,
            internal: false,
            over_ipv6: false,
            role: None,
            passive: false,
        }
    }
}

impl Setting {
    pub(crate) fn agent(&self) -> PeerConfig {
        let peer_as = if self.internal { PeerAs::Internal } else { PeerAs::External };
        let role = self.role.map(|(role, _)| role);
        PeerConfig { passive: self.passive, ..config(self.agent, self.asn, 1, peer_as, role) }
    }

    /// It always dials: whoever does, the connection is there at once.
    pub(crate) fn neighbor(&self, seed: u64) -> PeerConfig {
        let asn = if self.internal { self.asn } else { 65001 };
        let role = self.role.and_then(|(role, shown)| shown.then(|| role.counterpart()));
        let peer_as = PeerAs::Exactly(Asn::new(self.asn).expect("not 0"));
        PeerConfig { seed, ..config(self.neighbor, asn, 2, peer_as, role) }
    }

    /// The two ends of the connection, the agent's first.
    pub(crate) fn ends(&self) -> (SocketAddr, SocketAddr) {
        let ends = if self.over_ipv6 {
            ("[2001:db8::1]:40000", "[2001:db8::2]:179")
        } else {
            ("192.0.2.1:40000", "192.0.2.2:179")
        };
        (ends.0.parse().expect("an address"), ends.1.parse().expect("an address"))
    }

    pub(crate) fn families(&self) -> BTreeSet<Family> {
        let ipv6 = self.agent.ipv6 && self.neighbor.ipv6;
        Family::ALL.into_iter().filter(|family| ipv6 || *family == Family::Ipv4Unicast).collect()
    }

    pub(crate) fn extended_message(&self) -> bool {
        self.agent.extended_message && self.neighbor.extended_message
    }

    /// The next hop that routes of the prefix's family have, if they can have one.
    pub(crate) fn next_hop(&self, prefix: Prefix) -> Option<&'static str> {
        let over = self.agent.extended_next_hop && self.neighbor.extended_next_hop;
        match prefix.family() {
            Family::Ipv6Unicast => Some("2001:db8::99"),
            Family::Ipv4Unicast if !self.over_ipv6 => Some("192.0.2.1"),
            Family::Ipv4Unicast => over.then_some("2001:db8::99"),
        }
    }

    /// RFC 9234 §5: to a customer, to a peer, and to the client of a route server, between two AS numbers.
    pub(crate) fn only_to_customer(&self) -> bool {
        !self.internal
            && self.role.is_some_and(|(role, _)| matches!(role, Role::Provider | Role::Peer | Role::RouteServer))
    }

    pub(crate) fn hold_time(&self) -> u16 {
        self.agent.hold.min(self.neighbor.hold)
    }
}

fn config(end: End, asn: u32, id: u8, peer_as: PeerAs, role: Option<Role>) -> PeerConfig {
    PeerConfig {
        hold_time: HoldTime::from_secs(end.hold).expect("allowed"),
        families: Family::ALL.into_iter().filter(|family| end.ipv6 || *family == Family::Ipv4Unicast).collect(),
        offers: Offers {
            extended_message: end.extended_message,
            enhanced_route_refresh: end.enhanced_route_refresh,
            extended_next_hop: end.extended_next_hop,
        },
        role,
        graceful_restart: end.graceful_restart.then_some(GracefulRestart { restart_time: Duration::from_secs(120) }),
        next_hop_ipv6: Some("2001:db8::99".parse().expect("an address")),
        seed: 1,
        ..PeerConfig::new(
            Asn::new(asn).expect("not 0"),
            RouterId::new(Ipv4Addr::new(10, 0, 0, id)).expect("not 0"),
            peer_as,
        )
    }
}

fn end() -> impl Strategy<Value = End> {
    (
        any::<[bool; 4]>(),
        prop_oneof![4 => Just(true), 1 => Just(false)],
        prop_oneof![4 => Just(90), 1 => Just(0), 1 => Just(3)],
    )
        .prop_map(
            |([extended_message, enhanced_route_refresh, extended_next_hop, graceful_restart], ipv6, hold)| End {
                extended_message,
                enhanced_route_refresh,
                extended_next_hop,
                graceful_restart,
                ipv6,
                hold,
            },
        )
}

/// Every combination that there is.
pub(crate) fn settings() -> impl Strategy<Value = Setting> {
    let asn = prop_oneof![Just(65010), Just(4_200_000_001)];
    let role = proptest::option::of((proptest::sample::select(&Role::ALL[..]), any::<bool>()));
    (end(), end(), asn, any::<[bool; 3]>(), role).prop_map(
        |(agent, neighbor, asn, [internal, over_ipv6, passive], role)| Setting {
            agent,
            neighbor,
            asn,
            internal,
            over_ipv6,
            role,
            passive,
        },
    )
}
