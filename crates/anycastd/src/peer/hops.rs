//! The addresses of this node that can be the next hops of a session: those of the interface that its own end is on, as they are now.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::socket;
use crate::kernel::{Interface, Links, Own};

/// What the next hops are made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Addresses {
    /// A global one, else the link-local one.
    pub(super) ipv6: Option<Ipv6Addr>,
    pub(super) link_local: Option<Ipv6Addr>,
}

impl Addresses {
    /// What can be told to a neighbor: where it is not on the same link, nothing that is link-local (RFC 2545 §3).
    pub(super) fn for_neighbor(self, on_link: bool) -> Self {
        let fits = |address: &Ipv6Addr| on_link || !address.is_unicast_link_local();
        Self { ipv6: self.ipv6.filter(fits), link_local: self.link_local.filter(fits) }
    }
}

/// Where they are from.
#[derive(Debug)]
pub(super) struct Source {
    local: SocketAddr,
    /// The interface that had `local` when it was last seen: other addresses may outlive it.
    index: Option<u32>,
    addresses: Addresses,
}

impl Source {
    /// That of a connection whose own end is `local`.
    pub(super) fn new(local: SocketAddr, links: &Links) -> Self {
        let mut source = Self::going_on(local, Addresses::default(), links);
        if source.index.is_none() {
            // The kernel's own task has not listed it yet.
            let (ipv6, link_local) = (socket::interface_ipv6(local), socket::interface_link_local(local));
            source.addresses = Addresses { ipv6, link_local };
        }
        source
    }

    /// That of a connection whose next hops were made of `before`: of several that would do it is the same ones.
    pub(super) fn going_on(local: SocketAddr, before: Addresses, links: &Links) -> Self {
        let mut source = Self { local, index: None, addresses: before };
        source.look(links);
        source
    }

    /// Our end.
    pub(super) const fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The addresses, if they are others than before. While it is not known what there is, what was stays.
    pub(super) fn look(&mut self, links: &Links) -> Option<Addresses> {
        let interface = self.interface(links)?;
        let ipv6 = interface.1.addresses.iter().filter_map(|own| usable(own, interface.0));
        let ranked = ipv6.clone().map(|(address, own)| (rank(address, own), address));
        // Which of its equals it is does not matter; that it stays does.
        let best = ranked.min_by_key(|(rank, address)| (*rank, Some(*address) != self.addresses.ipv6));
        let link_local = ipv6.map(|(address, _)| address).filter(Ipv6Addr::is_unicast_link_local);
        let link_local = link_local.min_by_key(|address| {
            (IpAddr::V6(*address) != self.local.ip(), Some(*address) != self.addresses.link_local)
        });
        let addresses = Addresses { ipv6: best.map(|(_, address)| address), link_local };
        self.index = Some(interface.1.index);
        (std::mem::replace(&mut self.addresses, addresses) != addresses).then_some(addresses)
    }

    /// The interface that carries `local`, else the one that did.
    fn interface<'a>(&self, links: &'a Links) -> Option<(&'a str, &'a Interface)> {
        let all = || links.iter().flat_map(|links| links.iter()).map(|(name, interface)| (&**name, interface));
        let scope = match self.local {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(v6.scope_id()),
            SocketAddr::V4(_) | SocketAddr::V6(_) => None,
        };
        let local = self.local.ip().to_canonical();
        let carries = |(_, interface): &(&str, &Interface)| {
            let scoped = scope.is_none_or(|scope| scope == interface.index);
            scoped && interface.addresses.iter().any(|own| own.address == local)
        };
        let carrier = all().filter(carries).min_by_key(|(_, interface)| interface.index);
        carrier.or_else(|| all().find(|(_, interface)| Some(interface.index) == self.index))
    }
}

/// A /128 on the loopback is not taken: it may be an anycast address, and that leads everywhere.
fn usable<'a>(own: &'a Own, interface: &str) -> Option<(Ipv6Addr, &'a Own)> {
    match own.address {
        IpAddr::V6(address) if address.is_loopback() || interface == "lo" && own.host => None,
        IpAddr::V6(address) => Some((address, own)),
        IpAddr::V4(_) => None,
    }
}

/// Global before link-local, and a /128 after the other global ones: it may belong to a service that somebody else runs. What
/// is deprecated still answers, and so is better than nothing.
const fn rank(address: Ipv6Addr, own: &Own) -> (bool, bool, bool) {
    (address.is_unicast_link_local(), own.host, own.passing)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;

    fn own(text: &str) -> Own {
        let (address, kind) = text.split_once(' ').unwrap_or((text, ""));
        Own { address: address.parse().unwrap(), host: kind == "host", passing: kind == "passing" }
    }

    fn links(list: &[(&str, u32, &[&str])]) -> Links {
        let interface = |(name, index, addresses): &(&str, u32, &[&str])| {
            let addresses = addresses.iter().map(|text| own(text)).collect();
            (Arc::from(*name), Interface { index: *index, running: true, addresses })
        };
        Some(Arc::new(list.iter().map(interface).collect::<BTreeMap<_, _>>()))
    }

    fn addresses(ipv6: &str, link_local: &str) -> Addresses {
        Addresses { ipv6: ipv6.parse().ok(), link_local: link_local.parse().ok() }
    }

    #[test]
    fn a_neighbor_elsewhere_is_told_of_no_link_local_address() {
        let all = addresses("2001:db8::1", "fe80::1");
        assert_eq!((all.for_neighbor(true), all.for_neighbor(false)), (all, addresses("2001:db8::1", "")));
        assert_eq!(addresses("fe80::1", "fe80::1").for_neighbor(false), Addresses::default());
    }

    /// Another process would say the same of it again.
    #[test]
    fn a_connection_that_goes_on_has_the_next_hops_that_it_had() {
        const V4: &str = "192.0.2.2";
        let two = links(&[("eth0", 2, &[V4, "2001:db8:1::a", "2001:db8:1::b", "fe80::1", "fe80::2"])]);
        let before = addresses("2001:db8:1::b", "fe80::2");
        let local = "192.0.2.2:179".parse().unwrap();
        for listed in [&two, &None] {
            assert_eq!(Source::going_on(local, before, listed).addresses(), before);
        }
        let gone = links(&[("eth0", 2, &[V4, "2001:db8:1::a", "fe80::1"])]);
        assert_eq!(Source::going_on(local, before, &gone).addresses(), addresses("2001:db8:1::a", "fe80::1"));
    }

    #[test]
    fn the_addresses_of_the_interface_are_followed() {
        const V4: &str = "192.0.2.2";
        const A: &str = "2001:db8:1::a";
        const B: &str = "2001:db8:1::b";
        const L: &str = "fe80::1";
        let other: (&str, u32, &[&str]) = ("eth1", 3, &["198.51.100.1", "2001:db8:9::9"]);
        // What is there, what follows, why.
        type Step = (&'static [&'static str], Option<(&'static str, &'static str)>, &'static str);
        let steps: &[Step] = &[
            (&[V4, B, L], None, "as at first"),
            (&[V4, A, B, L], None, "there is no need to change"),
            (&[V4, A, L], Some((A, L)), "the one in use went"),
            (&[V4, "2001:db8:1::a passing", L], None, "better than nothing"),
            (&[V4, "2001:db8:1::a passing", B, L], Some((B, L)), "one to stay"),
            (&[V4, "2001:db8::7 host", B], Some((B, "")), "not the link-local one any more"),
            (&[V4, "2001:db8::7 host", L], Some(("2001:db8::7", L)), "a host's"),
            (&[V4, L], Some((L, L)), "nothing else is left"),
            (&[V4], Some(("", "")), "nothing is left"),
            (&[A], Some((A, "")), "the interface is known without the address of the session"),
        ];
        let mut source = Source::new("192.0.2.2:179".parse().unwrap(), &links(&[("eth0", 2, &[V4, B, L]), other]));
        assert_eq!(source.addresses(), addresses(B, L));
        for (there, expected, what) in steps {
            let found = source.look(&links(&[("eth0", 2, there), other]));
            assert_eq!(found, expected.map(|(ipv6, link_local)| addresses(ipv6, link_local)), "{what}");
            assert_eq!(source.look(&None), None, "{what}: an agent that is deaf for a moment");
        }
        let moved = links(&[("eth0", 2, &[A]), ("eth7", 7, &[V4, B])]);
        assert_eq!(source.look(&moved), Some(addresses(B, "")), "the address of the session moved");
        assert_eq!(source.look(&links(&[other])), None, "the interface went, and with it the session will");
    }

    #[test]
    fn an_anycast_address_on_the_loopback_is_none() {
        let lo = links(&[("lo", 1, &["127.0.0.1", "192.0.2.2", "::1 host", "2001:db8::1 host"])]);
        assert_eq!(Source::new("192.0.2.2:179".parse().unwrap(), &lo).addresses(), Addresses::default());
    }

    #[test]
    fn a_link_local_session_has_the_interface_of_its_scope_and_its_own_address() {
        let both =
            links(&[("eth0", 2, &["2001:db8:1::a", "fe80::1", "fe80::2"]), ("eth1", 3, &["2001:db8:2::a", "fe80::2"])]);
        for (scope, expected) in
            [(2, addresses("2001:db8:1::a", "fe80::2")), (3, addresses("2001:db8:2::a", "fe80::2"))]
        {
            let local = std::net::SocketAddrV6::new("fe80::2".parse().unwrap(), 179, 0, scope);
            assert_eq!(Source::new(local.into(), &both).addresses(), expected);
        }
    }
}
