//! On what terms routes are announced over one connection: what follows from the session and not from the route.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use crate::{
    framing::MAX_LEN,
    open::Negotiated,
    peer::PeerConfig,
    types::{Asn, Family},
};

/// Why a route that is desired is not announced to this neighbor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsendable {
    /// We do not offer the family to this neighbor.
    FamilyNotOffered(Family),
    /// The neighbor did not offer the family.
    FamilyNotAccepted(Family),
    /// No address of ours could be the next hop.
    NoNextHop(Family),
    /// One UPDATE cannot hold the attributes and a prefix.
    TooLarge(Family),
}

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FamilyNotOffered(family) => {
                write!(f, "{family} is not among the families of this neighbor; add it to `families`")
            }
            Self::FamilyNotAccepted(family) => {
                write!(f, "the neighbor did not offer {family}; activate that family for us in its configuration")
            }
            Self::NoNextHop(Family::Ipv4Unicast) => f.write_str(
                "no IPv4 next hop: the session does not run over IPv4; set `next_hop: { ipv4: … }` for this neighbor",
            ),
            Self::NoNextHop(Family::Ipv6Unicast) => f.write_str(
                "no IPv6 next hop: the session runs over IPv4 and its interface has no IPv6 address; give it one, or set \
                 `next_hop: { ipv6: … }` for this neighbor",
            ),
            Self::TooLarge(_) => {
                write!(f, "its attributes do not fit a message of {MAX_LEN} octets; announce it with fewer communities")
            }
        }
    }
}

/// The two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// An IPv6 address of the interface the session runs over.
    pub(crate) local_ipv6: Option<Ipv6Addr>,
}

/// The next hop of IPv6 routes (RFC 2545 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextHop6 {
    /// One address: global, or link-local where there is no other.
    One(Ipv6Addr),
    /// Both addresses of the interface.
    GlobalAndLinkLocal(Ipv6Addr, Ipv6Addr),
}

impl NextHop6 {
    pub(crate) const fn octets(self) -> usize {
        match self {
            Self::One(_) => 16,
            Self::GlobalAndLinkLocal(..) => 32,
        }
    }
}

impl fmt::Display for NextHop6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(address) => address.fmt(f),
            Self::GlobalAndLinkLocal(global, link_local) => write!(f, "{global} {link_local}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) local_as: Asn,
    pub(crate) external: bool,
    pub(crate) four_octet_as: bool,
    pub(crate) families: BTreeSet<Family>,
    pub(crate) next_hop_ipv4: Option<Ipv4Addr>,
    pub(crate) next_hop_ipv6: Option<NextHop6>,
    offered: BTreeSet<Family>,
}

impl Terms {
    pub(crate) fn new(config: &PeerConfig, negotiated: &Negotiated, link: &Link) -> Self {
        Self {
            local_as: config.local_as,
            external: negotiated.external,
            four_octet_as: negotiated.four_octet_as,
            families: negotiated.families.clone(),
            next_hop_ipv4: next_hop_ipv4(config, link),
            next_hop_ipv6: next_hop_ipv6(config, link),
            offered: config.families.clone(),
        }
    }

    /// Whether routes of `family` can be announced at all.
    pub(crate) fn check(&self, family: Family) -> Result<(), Unsendable> {
        if !self.offered.contains(&family) {
            return Err(Unsendable::FamilyNotOffered(family));
        }
        if !self.families.contains(&family) {
            return Err(Unsendable::FamilyNotAccepted(family));
        }
        let reachable = match family {
            Family::Ipv4Unicast => self.next_hop_ipv4.is_some(),
            Family::Ipv6Unicast => self.next_hop_ipv6.is_some(),
        };
        if reachable { Ok(()) } else { Err(Unsendable::NoNextHop(family)) }
    }

    /// The next hop of each family in force, in words.
    pub(crate) fn next_hops(&self) -> BTreeMap<Family, String> {
        let hop = |family: &Family| match family {
            Family::Ipv4Unicast => self.next_hop_ipv4.map(|address| address.to_string()),
            Family::Ipv6Unicast => self.next_hop_ipv6.map(|hop| hop.to_string()),
        };
        self.families.iter().filter_map(|family| Some((*family, hop(family)?))).collect()
    }
}

/// RFC 4271 §5.1.3. Never 0.0.0.0: routers reset the session for it.
fn next_hop_ipv4(config: &PeerConfig, link: &Link) -> Option<Ipv4Addr> {
    let own = match link.local.ip().to_canonical() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    };
    let usable = |address: &Ipv4Addr| !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast();
    config.next_hop_ipv4.or(own).filter(usable)
}

fn next_hop_ipv6(config: &PeerConfig, link: &Link) -> Option<NextHop6> {
    let usable =
        |address: &Ipv6Addr| !address.is_unspecified() && !address.is_multicast() && address.to_ipv4_mapped().is_none();
    if let Some(configured) = config.next_hop_ipv6 {
        return usable(&configured).then_some(NextHop6::One(configured));
    }
    let own = match link.local.ip().to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address).filter(usable),
    };
    let interface = link.local_ipv6.filter(usable);
    match (own, interface) {
        // RFC 2545 §3: the link-local address comes with a global one, where there is one.
        (Some(own), Some(global)) if own.is_unicast_link_local() && !global.is_unicast_link_local() => {
            Some(NextHop6::GlobalAndLinkLocal(global, own))
        }
        (Some(address), _) | (None, Some(address)) => Some(NextHop6::One(address)),
        (None, None) => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        open::Open,
        peer::PeerAs,
        types::{HoldTime, RouterId},
    };

    /// Terms with next hops of both families, to a neighbor of another AS.
    pub(crate) fn external(local_as: u32, four_octet_as: bool) -> Terms {
        let ip = |text: &str| text.parse().expect("an address");
        Terms {
            local_as: Asn::new(local_as).expect("not 0"),
            external: true,
            four_octet_as,
            families: Family::ALL.into(),
            next_hop_ipv4: Some(Ipv4Addr::new(192, 0, 2, 1)),
            next_hop_ipv6: Some(NextHop6::One(ip("2001:db8::99"))),
            offered: Family::ALL.into(),
        }
    }

    /// The same to a neighbor of our own AS.
    pub(crate) fn internal(local_as: u32) -> Terms {
        Terms { external: false, ..external(local_as, true) }
    }

    fn terms(local: &str, local_ipv6: Option<&str>, next_hop: (Option<&str>, Option<&str>)) -> Terms {
        let config = PeerConfig {
            local_as: Asn::new(65010).expect("not 0"),
            router_id: RouterId::new(Ipv4Addr::new(10, 0, 0, 1)).expect("not 0"),
            peer_as: PeerAs::External,
            hold_time: HoldTime::DEFAULT,
            families: Family::ALL.into(),
            next_hop_ipv4: next_hop.0.map(|text| text.parse().expect("an address")),
            next_hop_ipv6: next_hop.1.map(|text| text.parse().expect("an address")),
            seed: 0,
        };
        let mut open = Open::ours(&config);
        open.capabilities = Family::ALL.map(Into::into).to_vec();
        open.my_as = 65001;
        let negotiated = Negotiated::new(&config, &open).expect("good");
        let local = local.parse().expect("an address");
        let local_ipv6 = local_ipv6.map(|text| text.parse().expect("an address"));
        Terms::new(&config, &negotiated, &Link { local, remote: local, local_ipv6 })
    }

    #[test]
    fn the_ipv4_next_hop_is_never_unspecified() {
        let hop =
            |local: &str, configured| terms(local, None, (configured, None)).next_hop_ipv4.map(|hop| hop.to_string());
        assert_eq!(hop("192.0.2.1:179", None).as_deref(), Some("192.0.2.1"));
        assert_eq!(hop("[::ffff:192.0.2.1]:179", None).as_deref(), Some("192.0.2.1"), "unmapped");
        assert_eq!(hop("192.0.2.1:179", Some("198.51.100.1")).as_deref(), Some("198.51.100.1"));
        assert_eq!(hop("[2001:db8::1]:179", Some("198.51.100.1")).as_deref(), Some("198.51.100.1"));
        assert_eq!(hop("[2001:db8::1]:179", None), None);
        assert_eq!(hop("0.0.0.0:179", None), None);
        assert_eq!(hop("192.0.2.1:179", Some("0.0.0.0")), None);
    }

    #[test]
    fn the_ipv6_next_hop_takes_the_form_its_addresses_allow() {
        let hop = |local: &str, interface, configured| terms(local, interface, (None, configured)).next_hop_ipv6;
        let ip = |text: &str| text.parse::<Ipv6Addr>().expect("an address");
        let one = |text| Some(NextHop6::One(ip(text)));
        assert_eq!(hop("192.0.2.1:179", None, None), None);
        assert_eq!(hop("192.0.2.1:179", Some("2001:db8::1"), None), one("2001:db8::1"));
        assert_eq!(hop("192.0.2.1:179", Some("fe80::1"), None), one("fe80::1"));
        assert_eq!(hop("192.0.2.1:179", Some("::"), None), None);
        assert_eq!(hop("[::ffff:192.0.2.1]:179", None, None), None, "a mapped address is no IPv6 address");
        assert_eq!(hop("[2001:db8::1]:179", Some("2001:db8::2"), None), one("2001:db8::1"));
        assert_eq!(hop("[fe80::1]:179", None, None), one("fe80::1"));
        assert_eq!(hop("[fe80::1]:179", Some("fe80::2"), None), one("fe80::1"));
        let both = NextHop6::GlobalAndLinkLocal(ip("2001:db8::2"), ip("fe80::1"));
        assert_eq!(hop("[fe80::1]:179", Some("2001:db8::2"), None), Some(both));
        assert_eq!(hop("[fe80::1]:179", Some("2001:db8::2"), Some("2001:db8::9")), one("2001:db8::9"));
        assert_eq!(hop("[2001:db8::1]:179", None, Some("::")), None);
    }
}
