//! What the sessions are to know of the interfaces: which carry packets, and which addresses they have.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use super::netlink::{Raw, RawAddress};

/// The interfaces by name; `None`: not known now.
pub(crate) type Links = Option<Arc<BTreeMap<Arc<str>, Interface>>>;

/// An interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    /// Its number.
    pub(crate) index: u32,
    /// Whether it carries packets: set up, with a carrier.
    pub(crate) running: bool,
    /// Its usable addresses, but for those of the services: an anycast address leads everywhere.
    pub(crate) addresses: BTreeSet<Own>,
}

/// An address of the node itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Own {
    /// Itself.
    pub(crate) address: IpAddr,
    /// Whether its prefix holds nothing else: a /32 or a /128.
    pub(crate) host: bool,
    /// Whether it is on its way out (deprecated), or made to be replaced soon (RFC 8981).
    pub(crate) passing: bool,
}

/// Takes from a listing what is to be known. A tentative address does not answer yet, and one that somebody else on the link has
/// never will.
pub(super) fn of(raw: &Raw, is_anycast: impl Fn(&RawAddress, &Arc<str>) -> bool) -> BTreeMap<Arc<str>, Interface> {
    let interface = |(name, link): (&Arc<str>, &anycast_core::reconcile::Link)| {
        let usable =
            |address: &&RawAddress| address.index == link.index && address.usable && !is_anycast(address, name);
        let own =
            |address: &RawAddress| Own { address: address.address, host: address.is_host(), passing: address.passing };
        let addresses = raw.addresses.iter().filter(usable).map(own).collect();
        let running = raw.running.contains(&link.index);
        (Arc::clone(name), Interface { index: link.index, running, addresses })
    };
    raw.links.iter().map(interface).collect()
}

#[cfg(test)]
mod tests {
    use anycast_core::reconcile::Link;

    use super::*;

    #[test]
    fn what_cannot_be_used_or_is_a_service_is_left_out() {
        let address = |text: &str, index, usable| {
            let network: ipnet::IpNet = text.parse().unwrap();
            RawAddress { address: network.addr(), network, index, tag: None, usable, passing: text.contains("::3") }
        };
        let raw = Raw {
            links: [("eth0".into(), Link { index: 2, up: true }), ("lo".into(), Link { index: 1, up: true })].into(),
            running: [2].into(),
            addresses: vec![
                address("192.0.2.2/24", 2, true),
                address("2001:db8:1::2/64", 2, false),
                address("2001:db8:1::3/64", 2, true),
                address("2001:db8:53::53/128", 2, true),
                address("2001:db8:1::4/128", 1, true),
            ],
            ..Raw::default()
        };
        let anycast = |raw: &RawAddress, name: &Arc<str>| &**name == "eth0" && raw.is_host();
        let own = |text: &str, host, passing| Own { address: text.parse().unwrap(), host, passing };
        let eth0 = [own("192.0.2.2", false, false), own("2001:db8:1::3", false, true)];
        let lo = [own("2001:db8:1::4", true, false)];
        let expected = [
            ("eth0".into(), Interface { index: 2, running: true, addresses: eth0.into() }),
            ("lo".into(), Interface { index: 1, running: false, addresses: lo.into() }),
        ];
        assert_eq!(of(&raw, anycast), expected.into());
    }
}
