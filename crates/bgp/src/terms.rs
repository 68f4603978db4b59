//! On what terms routes are announced over one connection: what follows from the session and not from the route.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
};

use serde::{Deserialize, Serialize};

use crate::{
    framing::{EXTENDED_MAX_LEN, MAX_LEN},
    open::Negotiated,
    peer::{LinkLocal, PeerConfig},
    quarantine::Quarantined,
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
    /// The neighbor ends the session when it is told of it, or may.
    Quarantined(Quarantined),
    /// One UPDATE, of so many octets at most, cannot hold the attributes and a prefix.
    TooLarge(Family, usize),
    /// More is to be announced than so many prefixes, and it is not among the first.
    TooMany(NonZeroUsize),
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
                "no IPv4 next hop: the session does not run over IPv4; set `next_hop: { ipv4: … }` for this neighbor, or agree on \
                 IPv6 next hops with it (`capabilities: { extended_next_hop: true }`, RFC 8950)",
            ),
            Self::NoNextHop(Family::Ipv6Unicast) => f.write_str(
                "no IPv6 next hop: the session's interface has no global IPv6 address, and a link-local one is not taken in place of \
                 one that has gone, nor for a neighbor that is not on the link; give it one, or set \
                 `next_hop: { ipv6: … }` for this neighbor",
            ),
            Self::TooMany(limit) => {
                write!(
                    f,
                    "more than the {limit} prefixes of `max_announced` are to be announced to this neighbor, and this is not among \
                     the first: mend what announces so many, or raise it"
                )
            }
            Self::Quarantined(why) => why.fmt(f),
            Self::TooLarge(_, limit) => {
                write!(f, "its attributes do not fit a message of {limit} octets; announce it with fewer communities")
            }
        }
    }
}

/// The next hop of a family changed under a session that stays up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextHopChange {
    /// Whose.
    pub family: Family,
    /// As in an UPDATE; `None`: there was none.
    pub before: Option<String>,
    /// `None`: there is none any more.
    pub now: Option<String>,
}

impl fmt::Display for NextHopChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, before, now } = self;
        let family = match family {
            Family::Ipv4Unicast => "IPv4",
            Family::Ipv6Unicast => "IPv6",
        };
        match (before, now) {
            (None, Some(now)) => write!(f, "{family} next hop: now {now}, none before"),
            (Some(before), Some(now)) => write!(f, "{family} next hop: now {now}, no longer {before}"),
            (Some(before), None) => write!(f, "{family} next hop: none any more, {before} is gone"),
            (None, None) => write!(f, "{family} next hop: none"),
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
    /// The link-local address of that interface.
    pub(crate) link_local: Option<Ipv6Addr>,
    /// The interface had a global address before.
    pub(crate) had_global: bool,
}

/// The next hop of IPv6 routes (RFC 2545 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// A next hop of either family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NextHop {
    Ipv4(Ipv4Addr),
    Ipv6(NextHop6),
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(address) => address.fmt(f),
            Self::Ipv6(hop) => hop.fmt(f),
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
    /// IPv4 routes may have an IPv6 next hop (RFC 8950).
    pub(crate) extended_next_hop: bool,
    /// The longest message, in octets.
    pub(crate) max_len: usize,
    /// The value of Only To Customer, where it is to be there (RFC 9234 §5).
    pub(crate) only_to_customer: Option<Asn>,
    /// The answer to a route refresh is marked (RFC 7313).
    pub(crate) enhanced_route_refresh: bool,
    /// The neighbor keeps our routes over a restart (RFC 4724).
    pub(crate) graceful_restart: bool,
    pub(crate) offered: BTreeSet<Family>,
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
            extended_next_hop: negotiated.extended_next_hop,
            max_len: if negotiated.extended_message { EXTENDED_MAX_LEN } else { MAX_LEN },
            only_to_customer: negotiated.role.filter(|role| role.marks_routes()).map(|_| config.local_as),
            enhanced_route_refresh: negotiated.enhanced_route_refresh,
            graceful_restart: negotiated.graceful_restart.is_some(),
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
        self.next_hop(family).map(|_| ()).ok_or(Unsendable::NoNextHop(family))
    }

    /// The next hop of `family`. IPv4 routes have one of IPv6 only where they can have no other.
    pub(crate) fn next_hop(&self, family: Family) -> Option<NextHop> {
        let ipv6 = self.next_hop_ipv6.map(NextHop::Ipv6);
        match family {
            Family::Ipv4Unicast => {
                self.next_hop_ipv4.map(NextHop::Ipv4).or_else(|| ipv6.filter(|_| self.extended_next_hop))
            }
            Family::Ipv6Unicast => ipv6,
        }
    }

    /// The next hop of each family in force, in words.
    pub(crate) fn next_hops(&self) -> BTreeMap<Family, String> {
        self.families.iter().filter_map(|family| Some((*family, self.next_hop(*family)?.to_string()))).collect()
    }
}

/// What changed for the families in force.
pub(crate) fn changes(before: &Terms, now: &Terms) -> Vec<NextHopChange> {
    let hop = |terms: &Terms, family| terms.next_hop(family).map(|hop| hop.to_string());
    let change = |family: &Family| {
        let (before, now) = (hop(before, *family), hop(now, *family));
        (before != now).then_some(NextHopChange { family: *family, before, now })
    };
    now.families.iter().filter_map(change).collect()
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
    let own = match link.local.ip().to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address),
    };
    let known = [own, link.local_ipv6, link.link_local].map(|address| address.filter(usable));
    let of_kind = |local: bool| known.into_iter().flatten().find(|address| address.is_unicast_link_local() == local);
    // What is configured is taken as it is, or nothing is announced: never another address in its place.
    let global = match config.next_hop_ipv6 {
        Some(configured) => Some(Some(configured).filter(usable)?),
        None => of_kind(false),
    };
    let beside = match config.link_local {
        LinkLocal::Never => return global.map(NextHop6::One),
        LinkLocal::Alone(chosen) => return chosen.or_else(|| of_kind(true)).filter(usable).map(NextHop6::One),
        LinkLocal::Beside(chosen) => chosen.or_else(|| of_kind(true)).filter(usable),
        // RFC 2545 §3: the link-local address comes with a global one, where there is one.
        LinkLocal::AsConnected if config.next_hop_ipv6.is_some() => None,
        LinkLocal::AsConnected => own.filter(|own| usable(own) && own.is_unicast_link_local()),
    };
    match (global, beside) {
        (Some(global), Some(link_local)) => Some(NextHop6::GlobalAndLinkLocal(global, link_local)),
        (Some(address), None) | (None, Some(address)) => Some(NextHop6::One(address)),
        // One that has gone may be back in a moment, and some routers end the session for a link-local next hop alone.
        (None, None) => of_kind(true).filter(|_| !link.had_global).map(NextHop6::One),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        capability::{Capability, Restart},
        open::Open,
        peer::{Offers, PeerAs},
        types::RouterId,
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
            extended_next_hop: false,
            max_len: MAX_LEN,
            only_to_customer: None,
            enhanced_route_refresh: false,
            graceful_restart: false,
            offered: Family::ALL.into(),
        }
    }

    /// The same to a neighbor of our own AS.
    pub(crate) fn internal(local_as: u32) -> Terms {
        Terms { external: false, ..external(local_as, true) }
    }

    fn config() -> PeerConfig {
        PeerConfig::new(
            Asn::new(65010).expect("not 0"),
            RouterId::new(Ipv4Addr::new(10, 0, 0, 1)).expect("not 0"),
            PeerAs::External,
        )
    }

    fn terms(local: &str, local_ipv6: Option<&str>, next_hop: (Option<&str>, Option<&str>)) -> Terms {
        agreed(local, local_ipv6, next_hop, false)
    }

    fn agreed(
        local: &str,
        local_ipv6: Option<&str>,
        next_hop: (Option<&str>, Option<&str>),
        extended_next_hop: bool,
    ) -> Terms {
        let config = PeerConfig {
            offers: Offers { extended_next_hop, ..Offers::default() },
            next_hop_ipv4: next_hop.0.map(|text| text.parse().expect("an address")),
            next_hop_ipv6: next_hop.1.map(|text| text.parse().expect("an address")),
            ..config()
        };
        let ours = Open::ours(&config, Restart::default());
        let mut open = ours.clone();
        open.capabilities.retain(|capability| !matches!(capability, Capability::FourOctetAs(_)));
        open.my_as = 65001;
        let negotiated = Negotiated::new(&config, &ours, &open).expect("good");
        let local = local.parse().expect("an address");
        let local_ipv6 = local_ipv6.map(|text| text.parse().expect("an address"));
        Terms::new(
            &config,
            &negotiated,
            &Link { local, remote: local, local_ipv6, link_local: None, had_global: false },
        )
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

    /// RFC 8950: an IPv6 next hop is the last choice for IPv4 routes, and needs both ends to say so.
    #[test]
    fn ipv4_routes_have_an_ipv6_next_hop_only_where_it_was_agreed_on() {
        let hop = |local: &str, configured, extended| {
            let terms = agreed(local, None, (configured, None), extended);
            terms.next_hop(Family::Ipv4Unicast).map(|hop| hop.to_string())
        };
        assert_eq!(hop("[2001:db8::1]:179", None, true).as_deref(), Some("2001:db8::1"));
        assert_eq!(hop("[fe80::1]:179", None, true).as_deref(), Some("fe80::1"));
        assert_eq!(hop("[2001:db8::1]:179", None, false), None);
        assert_eq!(hop("[2001:db8::1]:179", Some("192.0.2.9"), true).as_deref(), Some("192.0.2.9"));
        assert_eq!(hop("192.0.2.1:179", None, true).as_deref(), Some("192.0.2.1"));
    }

    /// RFC 2545 §3: one address of 16 octets or both of 32, as it is chosen; and never an address that was not chosen.
    #[test]
    fn the_ipv6_next_hop_has_the_form_that_is_chosen() {
        let ip = |text: &str| text.parse::<Ipv6Addr>().expect("an address");
        let hop = |local: &str, interface: [Option<&str>; 2], configured: Option<&str>, form| {
            let config = PeerConfig { next_hop_ipv6: configured.map(ip), link_local: form, ..config() };
            let local = local.parse().expect("an address");
            let [local_ipv6, link_local] = interface.map(|text| text.map(ip));
            next_hop_ipv6(&config, &Link { local, remote: local, local_ipv6, link_local, had_global: false })
                .map(|hop| hop.to_string())
        };
        const V4: &str = "192.0.2.1:179";
        const GLOBAL: &str = "[2001:db8::1]:179";
        const LOCAL: &str = "[fe80::1]:179";
        let own = [Some("2001:db8::1"), Some("fe80::1")];
        let (never, beside, alone) = (LinkLocal::Never, LinkLocal::Beside(None), LinkLocal::Alone(None));
        let (beside_7, alone_7) = (LinkLocal::Beside(Some(ip("fe80::7"))), LinkLocal::Alone(Some(ip("fe80::7"))));
        let usual = LinkLocal::AsConnected;
        let table = [
            (V4, own, None, usual, Some("2001:db8::1")),
            (GLOBAL, own, None, usual, Some("2001:db8::1")),
            (LOCAL, own, None, usual, Some("2001:db8::1 fe80::1")),
            (LOCAL, [None, Some("fe80::1")], None, usual, Some("fe80::1")),
            (V4, [None, Some("fe80::1")], None, usual, Some("fe80::1")),
            (LOCAL, own, None, never, Some("2001:db8::1")),
            (LOCAL, [None, Some("fe80::1")], None, never, None),
            (V4, [Some("fe80::1"), Some("fe80::1")], None, never, None),
            (V4, own, None, beside, Some("2001:db8::1 fe80::1")),
            (GLOBAL, own, None, beside, Some("2001:db8::1 fe80::1")),
            (GLOBAL, own, Some("2001:db8::9"), beside, Some("2001:db8::9 fe80::1")),
            (GLOBAL, own, None, beside_7, Some("2001:db8::1 fe80::7")),
            (GLOBAL, [None, None], None, beside, Some("2001:db8::1")),
            (V4, [None, None], None, beside_7, Some("fe80::7")),
            (GLOBAL, own, None, alone, Some("fe80::1")),
            (LOCAL, own, Some("2001:db8::9"), alone, Some("fe80::1")),
            (V4, [None, None], None, alone_7, Some("fe80::7")),
            (GLOBAL, [None, None], None, alone, None),
            (GLOBAL, own, Some("::"), beside, None),
            (GLOBAL, own, None, LinkLocal::Beside(Some(ip("ff02::1"))), Some("2001:db8::1")),
            (GLOBAL, own, None, LinkLocal::Alone(Some(ip("::"))), None),
        ];
        for (local, interface, configured, form, expected) in table {
            let found = hop(local, interface, configured, form);
            assert_eq!(found.as_deref(), expected, "{local} {interface:?} {configured:?} {form:?}");
        }
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
