//! `bgp.neighbors`: the upstream routers, and how each is reached.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    num::{NonZeroU8, NonZeroU16},
    time::Duration,
};

use anycast_bfd::AuthType;
use anycast_bgp::{Attributes, Family, HoldTime, Limits, LinkLocal, Offers, PeerAs, Role, Timing};
use ipnet::IpNet;

use crate::{name::PeerId, secret::Secret};

/// RFC 4271 §4: the port of BGP.
pub const PORT: NonZeroU16 = NonZeroU16::new(179).expect("it is not zero");

/// An upstream router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbor {
    /// Which router it is.
    pub endpoint: Endpoint,
    /// Who makes the connection.
    pub connect: Connect,
    /// The TCP port where it listens, 179 by default.
    pub port: NonZeroU16,
    /// The AS number it must show.
    pub peer_as: PeerAs,
    /// How its packets travel, and what proves that they are its own.
    pub transport: Transport,
    /// Times that are ours alone.
    pub timing: Timing,
    /// The hold time we propose.
    pub hold_time: HoldTime,
    /// The families we offer, never empty.
    pub families: BTreeSet<Family>,
    /// What else we offer.
    pub offers: Offers,
    /// What we are to it (RFC 9234).
    pub role: Option<Role>,
    /// Whether it is refused when it shows no role.
    pub role_strict: bool,
    /// How long it is to keep our routes while there is no session (RFC 4724); `None`: not at all.
    pub restart_time: Option<Duration>,
    /// How a dead path to it is noticed (RFC 5880); `None`: by the hold timer only.
    pub bfd: Option<Bfd>,
    /// How it is told that a service is leaving.
    pub drain_by: DrainBy,
    /// What is changed of the attributes of every route for it, on top of what the service says for its state.
    pub attributes: Attributes,
    /// The next hop of IPv4 routes; `None`: the session's own address.
    pub next_hop_ipv4: Option<std::net::Ipv4Addr>,
    /// The next hop of IPv6 routes; `None`: the session's own address.
    pub next_hop_ipv6: Option<std::net::Ipv6Addr>,
    /// Whether a link-local address goes with that one, or instead of it.
    pub link_local: LinkLocal,
    /// What it may hold from us, and what it should announce at most.
    pub limits: Limits,
}

impl Neighbor {
    /// One that is dialled at port 179, with the defaults of everything else and both families.
    #[must_use]
    pub fn new(endpoint: Endpoint, peer_as: PeerAs) -> Self {
        Self {
            endpoint,
            connect: Connect::default(),
            port: PORT,
            peer_as,
            transport: Transport::default(),
            timing: Timing::default(),
            hold_time: HoldTime::DEFAULT,
            families: Family::ALL.into(),
            offers: Offers::default(),
            role: None,
            role_strict: false,
            restart_time: None,
            bfd: None,
            drain_by: DrainBy::default(),
            attributes: Attributes::default(),
            next_hop_ipv4: None,
            next_hop_ipv6: None,
            link_local: LinkLocal::default(),
            limits: Limits::default(),
        }
    }

    /// The same as the one router at `address`: a network has many.
    #[must_use]
    pub fn at(&self, address: IpAddr) -> Self {
        Self { endpoint: Endpoint::Address(address), ..self.clone() }
    }

    /// Whether any router of a network is meant.
    #[must_use]
    pub const fn is_network(&self) -> bool {
        matches!(self.endpoint, Endpoint::Network(..))
    }
}

/// Which router a neighbor is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The one at this address.
    Address(IpAddr),
    /// The one at the other end of this interface, by its link-local address (unnumbered).
    Interface(String),
    /// Any that connects from this network, and at most so many at a time.
    Network(IpNet, NonZeroU16),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Interface(name) => name.fmt(f),
            Self::Network(network, _) => network.fmt(f),
        }
    }
}

impl Endpoint {
    /// The addresses that it may connect from, where they are known.
    #[must_use]
    pub fn network(&self) -> Option<IpNet> {
        match self {
            Self::Address(address) => Some(IpNet::from(*address)),
            Self::Network(network, _) => Some(*network),
            Self::Interface(_) => None,
        }
    }
}

/// Who makes the connection; exactly one end does, so that there is no collision (RFC 4271 §6.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Connect {
    /// We do.
    #[default]
    Active,
    /// The neighbor does.
    Passive,
}

/// The neighbor that connects from this address: one that is named before one of a network, the smaller network before the
/// larger.
#[must_use]
pub fn neighbor_from(neighbors: &BTreeMap<PeerId, Neighbor>, address: IpAddr) -> Option<(&PeerId, &Neighbor)> {
    let length = |neighbor: &Neighbor| {
        let network = neighbor.endpoint.network().filter(|network| network.contains(&address))?;
        // A network of a single address comes after the address itself.
        Some((network.prefix_len(), matches!(neighbor.endpoint, Endpoint::Address(_))))
    };
    let found = neighbors.iter().filter_map(|(id, neighbor)| Some((length(neighbor)?, id, neighbor)));
    found.max_by_key(|(length, ..)| *length).map(|(_, id, neighbor)| (id, neighbor))
}

/// How a dead path to a neighbor is noticed in a fraction of the hold time (RFC 5880, RFC 5882).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bfd {
    /// How often each end sends at most while the session is Up: Desired Min TX Interval and Required Min RX Interval, 10 ms to 60 s.
    pub interval: Duration,
    /// Detect Mult: without so many packets of ours in a row the neighbor takes us for gone.
    pub multiplier: NonZeroU8,
    /// Whether there is no BGP session before the BFD session is Up.
    pub strict: bool,
    /// Whether packets go to the port of multihop sessions (RFC 5883); `None`: where the neighbor is not on the same link.
    pub multihop: Option<bool>,
    /// The least TTL, or hop limit, that packets of a multihop session may have; `None`: that of the TCP connection.
    pub min_ttl: Option<NonZeroU8>,
    /// What proves that packets are the neighbor's own.
    pub authentication: Option<BfdAuthentication>,
}

impl Bfd {
    /// The interval where none is configured.
    pub const INTERVAL: Duration = Duration::from_millis(300);
    /// The multiplier where none is configured.
    pub const MULTIPLIER: NonZeroU8 = NonZeroU8::new(3).expect("it is not zero");
}

impl Default for Bfd {
    fn default() -> Self {
        Self {
            interval: Self::INTERVAL,
            multiplier: Self::MULTIPLIER,
            strict: false,
            multihop: None,
            min_ttl: None,
            authentication: None,
        }
    }
}

/// The key of a BFD session (RFC 5880 §6.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BfdAuthentication {
    /// How the key is used.
    pub auth_type: AuthType,
    /// Its number, 0 to 255.
    pub key_id: u8,
    /// 1 to 16 octets (a password, MD5) or 1 to 20 (SHA1).
    pub key: Secret,
}

/// How a neighbor is asked to prefer other ways before a planned withdraw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DrainBy {
    /// By the community GRACEFUL_SHUTDOWN (RFC 8326), and LOCAL_PREF 0 on iBGP.
    #[default]
    Gshut,
    /// By a longer AS_PATH, for routers that know nothing of the community, and LOCAL_PREF 0 on iBGP, where no path grows.
    Prepend,
    /// Not at all: it is told of the withdraw only.
    None,
}

/// The TCP connection to a neighbor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transport {
    /// The address of ours that the session uses; `None`: the kernel's choice.
    pub source: Option<IpAddr>,
    /// The interface or VRF that the session is bound to (SO_BINDTODEVICE).
    pub device: Option<String>,
    /// How far away the neighbor may be.
    pub distance: Distance,
    /// The key of TCP MD5 (RFC 2385), 1 to 80 octets.
    pub md5: Option<Secret>,
    /// The key of TCP-AO (RFC 5925); not beside one of TCP MD5.
    pub tcp_ao: Option<TcpAo>,
}

/// A master key tuple of TCP-AO (RFC 5925 §3.1) that holds for every segment of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpAo {
    /// 1 to 80 octets.
    pub key: Secret,
    /// The KeyID of what we send: the neighbor's receive id.
    pub send_id: u8,
    /// The KeyID of what we receive: the neighbor's send id.
    pub recv_id: u8,
    /// How keys are derived and segments signed (RFC 5926).
    pub algorithm: TcpAoAlgorithm,
}

/// The algorithms of RFC 5926 that the kernel has, each with a MAC of 96 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TcpAoAlgorithm {
    /// KDF_HMAC_SHA1 and HMAC-SHA-1-96.
    #[default]
    HmacSha1,
    /// KDF_AES_128_CMAC and AES-128-CMAC-96.
    AesCmac,
}

/// How far away a neighbor may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Distance {
    /// An external neighbor is on the same link, as RFC 4271 §5.1.3 has it, so packets go one hop; an internal one is anywhere.
    #[default]
    Usual,
    /// Packets go so many hops at most (eBGP multihop).
    Multihop(NonZeroU8),
    /// Packets are sent with TTL 255 and taken only if they came over at most so many hops (GTSM, RFC 5082); 1 is the same link.
    Secured(NonZeroU8),
}

impl Distance {
    /// The TTL, or hop limit, to send with; `None`: the kernel's default.
    #[must_use]
    pub fn ttl(self, external: bool) -> Option<u8> {
        match self {
            Self::Usual => external.then_some(1),
            Self::Multihop(hops) => Some(hops.get()),
            Self::Secured(_) => Some(u8::MAX),
        }
    }

    /// Whether the neighbor can only be on the same link.
    #[must_use]
    pub const fn is_direct(self, external: bool) -> bool {
        match self {
            Self::Usual => external,
            Self::Multihop(_) => false,
            Self::Secured(hops) => hops.get() == 1,
        }
    }

    /// The least TTL, or hop limit, to receive.
    #[must_use]
    pub fn min_ttl(self) -> Option<u8> {
        match self {
            Self::Usual | Self::Multihop(_) => None,
            Self::Secured(hops) => Some(u8::MAX - (hops.get() - 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_neighbor_is_meant() {
        let mut config = crate::testing::config(&["a", "b", "c"], vec![]);
        let limit = NonZeroU16::new(9).unwrap();
        let mut put = |name: &str, endpoint| config.neighbors.get_mut(name).unwrap().endpoint = endpoint;
        put("a", Endpoint::Network("192.0.2.0/24".parse().unwrap(), limit));
        put("b", Endpoint::Network("192.0.2.7/32".parse().unwrap(), limit));
        put("c", Endpoint::Address("192.0.2.8".parse().unwrap()));
        let from = |text: &str| neighbor_from(&config.neighbors, text.parse().unwrap()).map(|(id, _)| id.as_str());
        assert_eq!(from("192.0.2.1"), Some("a"));
        assert_eq!(from("192.0.2.7"), Some("b"));
        assert_eq!(from("192.0.2.8"), Some("c"));
        assert_eq!(from("192.0.3.1"), None);
        assert_eq!(from("2001:db8::1"), None);
    }

    /// GTSM must send 255: speakers that sent 1 with it could be heard by nobody.
    #[test]
    fn the_distance_says_what_is_sent_and_what_is_taken() {
        let hops = |number| NonZeroU8::new(number).unwrap();
        assert_eq!((Distance::Usual.ttl(true), Distance::Usual.min_ttl()), (Some(1), None));
        assert_eq!(Distance::Usual.ttl(false), None, "an internal neighbor may be anywhere");
        assert_eq!((Distance::Multihop(hops(3)).ttl(true), Distance::Multihop(hops(3)).min_ttl()), (Some(3), None));
        for (hop, least) in [(1, 255), (2, 254), (254, 2), (255, 1)] {
            let secured = Distance::Secured(hops(hop));
            assert_eq!((secured.ttl(true), secured.ttl(false), secured.min_ttl()), (Some(255), Some(255), Some(least)));
        }
    }
}
