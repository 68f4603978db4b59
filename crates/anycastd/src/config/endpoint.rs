//! Which router a neighbor is, who connects to whom, and where we listen.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroU16,
};

use anycast_core::config::{Connect, Endpoint, Neighbor, PORT};
use ipnet::IpNet;

use super::{
    diagnostic::{Report, quoted},
    neighbors::Draft,
    reader::{Listed, Section, list, not_supported},
    settings,
    source::Span,
    values::{address, choice, family, non_zero, text},
    yaml::Node,
};

/// How many routers of a network may have a session at a time, unless told otherwise.
const SESSIONS: NonZeroU16 = NonZeroU16::new(100).expect("it is not zero");

/// `address`, `interface` or `prefix`: just one of them.
pub(super) fn endpoint(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<(Span, Endpoint)> {
    let (at_interface, at_prefix) = (section.has("interface"), section.has("prefix"));
    let at_address = section.has("address");
    let limit = section.or("max_sessions", SESSIONS, report, |node, report| non_zero(node, "max_sessions", report));
    if let (Some(span), None) = (section.has("max_sessions"), at_prefix) {
        report.error(span, "`max_sessions` without `prefix`", "remove it: a single router has one session");
    }
    let given: Vec<Span> = [at_address, at_interface, at_prefix].into_iter().flatten().collect();
    if let [_, second, ..] = given[..] {
        let keys = ["address", "interface", "prefix"];
        let _ = keys.map(|key| section.take(key, report).is_some());
        report.error(
            second,
            "more than one of `address`, `interface` and `prefix`",
            "keep the one that says which router it is",
        );
        return None;
    }
    if at_interface.is_some() {
        let node = section.take("interface", report)?;
        let interface = settings::interface(node, "interface", report)?;
        if interface == "lo" {
            report.error(
                node.span,
                "there is no router at the other end of the loopback",
                "name the interface of a link",
            );
            return None;
        }
        return Some((node.span, Endpoint::Interface(interface)));
    }
    if at_prefix.is_some() {
        let node = section.take("prefix", report)?;
        return Some((node.span, Endpoint::Network(network(node, report)?, limit?)));
    }
    let node = section.require(
        "address",
        "write the router's address: `address: 192.0.2.1` (or its `interface`, or a `prefix`)",
        report,
    )?;
    let link_local = |span, report: &mut Report<'_>| {
        let hint = "name the interface instead of the address: `interface: eth1`";
        not_supported(span, "a link-local address", hint, report);
    };
    if text(node, "address", report)?.contains('%') {
        link_local(node.span, report);
        return None;
    }
    let address = address(node, "address", report)?;
    if matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
        link_local(node.span, report);
        return None;
    }
    Some((node.span, Endpoint::Address(address)))
}

/// A network that routers connect from.
fn network(node: &Node, report: &mut Report<'_>) -> Option<IpNet> {
    let text = text(node, "prefix", report)?;
    let Ok(network) = text.parse::<IpNet>() else {
        let message = format!("`prefix`: {} is not a prefix", quoted(text));
        report.error(node.span, message, "write it as 192.0.2.0/24 or \"2001:db8:1::/64\"");
        return None;
    };
    if network != network.trunc() {
        report.error(node.span, format!("{network} has host bits set"), format!("the network is {}", network.trunc()));
        return None;
    }
    if network.prefix_len() == 0 {
        report.error(
            node.span,
            format!("{network} is every router of the world"),
            "write the network of your own routers",
        );
        return None;
    }
    Some(network)
}

/// Who connects, and the port at which we find the neighbor.
pub(super) fn connect(
    section: &mut Section<'_>,
    endpoint: Option<&Endpoint>,
    report: &mut Report<'_>,
) -> Option<(Connect, NonZeroU16)> {
    let usual = match endpoint {
        Some(Endpoint::Network(..)) => Connect::Passive,
        Some(Endpoint::Address(_) | Endpoint::Interface(_)) | None => Connect::Active,
    };
    let at = section.has("connect");
    let choices = [("active", Connect::Active), ("passive", Connect::Passive)];
    let connect = section.or("connect", usual, report, |node, report| choice(node, "connect", &choices, report));
    let at_port = section.has("port");
    let port = section.or("port", PORT, report, |node, report| non_zero(node, "port", report));
    if let (Some(Endpoint::Network(..)), Some(Connect::Active), Some(span)) = (endpoint, connect, at) {
        report.error(span, "a network cannot be dialled", "remove `connect`: the routers of a `prefix` connect to us");
        return None;
    }
    if let (Some(Endpoint::Interface(_)), Some(Connect::Passive), Some(span)) = (endpoint, connect, at) {
        not_supported(
            span,
            "`connect: passive` with `interface`",
            "remove it: we dial, and the router may as well",
            report,
        );
        return None;
    }
    if let (Some(Connect::Passive), Some(span)) = (connect, at_port) {
        let hint = "remove it: where a neighbor finds us is `bgp: { listen: [\"0.0.0.0:179\"] }`";
        report.error(span, "`port` is where we dial, and this neighbor dials us", hint);
        return None;
    }
    Some((connect?, port?))
}

/// `bgp.listen`: where neighbors that connect find us.
pub(super) fn listen(
    section: &mut Section<'_>,
    neighbors: &Listed<Draft>,
    report: &mut Report<'_>,
) -> Option<BTreeSet<SocketAddr>> {
    const EXAMPLE: &str = "\"0.0.0.0:179\", \"[::]:179\"";
    let waits = |draft: &&Draft| draft.neighbor.as_ref().is_some_and(|neighbor| neighbor.connect == Connect::Passive);
    let networks = neighbors
        .values()
        .filter(waits)
        .filter_map(|draft| Some((draft.endpoint.as_ref()?.0, draft.endpoint.as_ref()?.1.network()?)));
    let networks: Vec<(Span, IpNet)> = networks.collect();
    let wanted =
        |ipv4: bool| networks.iter().find(|(_, network)| network.addr().is_ipv4() == ipv4).map(|(span, _)| *span);
    let Some(at) = section.has("listen") else {
        let any = [(true, IpAddr::from(Ipv4Addr::UNSPECIFIED)), (false, IpAddr::from(Ipv6Addr::UNSPECIFIED))];
        let any = any.into_iter().filter(|(ipv4, _)| wanted(*ipv4).is_some());
        return Some(any.map(|(_, address)| SocketAddr::new(address, PORT.get())).collect());
    };
    let node = section.take("listen", report)?;
    let listed = list(node, "listen", EXAMPLE, report, |node, report| {
        let text = text(node, "listen", report)?;
        let address = text.parse::<SocketAddr>().ok().filter(|address| address.port() != 0);
        if address.is_none() {
            let message = format!("`listen`: {} is not an address with a port", quoted(text));
            report.error(node.span, message, format!("write `listen: [{EXAMPLE}]`"));
        }
        address
    });
    if !listed.whole {
        return None;
    }
    if networks.is_empty() && neighbors.whole {
        report.warning(
            at,
            "`listen` without a neighbor that connects",
            "add `connect: passive` to one, or remove `listen`",
        );
    }
    for ipv4 in [true, false] {
        let there = listed.values().any(|address| address.is_ipv4() == ipv4);
        if let Some(span) = wanted(ipv4).filter(|_| !there) {
            let any = if ipv4 { "0.0.0.0:179" } else { "[::]:179" };
            let message = format!(
                "nothing listens where this neighbor connects: `listen` has no {} address",
                family(any_of(ipv4))
            );
            report.error(span, message, format!("add \"{any}\" to `listen`"));
        }
    }
    Some(listed.values().copied().collect())
}

fn any_of(ipv4: bool) -> IpAddr {
    if ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// The kernel asks for the key of the closest network: a neighbor without one could not connect from within.
pub(super) fn shadowed(neighbors: &Listed<Draft>, report: &mut Report<'_>) {
    let waiting = || {
        neighbors.values().filter_map(|draft| {
            let neighbor = draft.neighbor.as_ref().filter(|neighbor| neighbor.connect == Connect::Passive)?;
            Some((draft, neighbor, draft.endpoint.as_ref()?.0, neighbor.endpoint.network()?))
        })
    };
    let has_key = |neighbor: &Neighbor| neighbor.transport.md5.is_some() || neighbor.transport.tcp_ao.is_some();
    for (_, _, span, network) in waiting().filter(|(_, neighbor, ..)| !has_key(neighbor)) {
        let around = waiting()
            .find(|(_, neighbor, _, other)| has_key(neighbor) && other.contains(&network) && *other != network);
        if let Some((draft, ..)) = around {
            let name = draft.name.as_ref().map_or("?", |name| name.text.as_str());
            let message =
                format!("it has no password, and lies in the network of neighbor {}, which has one", quoted(name));
            report.error(span, message, "the kernel would ask for that password: give this neighbor one too");
        }
    }
}
