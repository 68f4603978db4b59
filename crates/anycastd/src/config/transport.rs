//! How the TCP connection to a neighbor is made: addresses, distance and authentication.

use std::{net::IpAddr, num::NonZeroU8};

use anycast_core::config::{Distance, Endpoint, Transport};

use super::{
    diagnostic::Report,
    reader::Section,
    secrets,
    settings::{self, Host},
    values::{address, family, number},
    yaml::Node,
};

/// The keys `source`, `bind_device`, `ttl_security`, `multihop`, `password_file` and `credential` of a neighbor at `peer`.
pub(super) fn read(
    section: &mut Section<'_>,
    endpoint: Option<&Endpoint>,
    host: &Host,
    report: &mut Report<'_>,
) -> Option<Transport> {
    let peer = match endpoint {
        Some(Endpoint::Address(address)) => Some(*address),
        Some(Endpoint::Network(network, _)) => Some(network.addr()),
        Some(Endpoint::Interface(_)) | None => None,
    };
    let source = section.maybe("source", report, |node, report| source(node, peer, report));
    let device = section.maybe("bind_device", report, |node, report| settings::interface(node, "bind_device", report));
    let distance = distance(section, report);
    let md5 = secrets::password(section, host, report);
    Some(Transport { source: source?, device: device?, distance: distance?, md5: md5? })
}

fn source(node: &Node, peer: Option<IpAddr>, report: &mut Report<'_>) -> Option<IpAddr> {
    let source = address(node, "source", report)?;
    if let Some(peer) = peer.filter(|peer| peer.is_ipv4() != source.is_ipv4()) {
        let message = format!("`source` is an {} address, and the neighbor's is {}", family(source), family(peer));
        report.error(node.span, message, format!("write an {} address of this node", family(peer)));
        return None;
    }
    if peer == Some(source) {
        report.error(node.span, "`source` is the neighbor's own address", "write an address of this node");
        return None;
    }
    Some(source)
}

fn distance(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Distance> {
    let hops = |key: &'static str, most, section: &mut Section<'_>, report: &mut Report<'_>| {
        section.maybe(key, report, |node, report| {
            let hops = number(node, key, 1..=most, report)?;
            u8::try_from(hops).ok().and_then(NonZeroU8::new)
        })
    };
    let together = section.has("ttl_security").zip(section.has("multihop"));
    // A TTL of 255 leaves no room for a hop more; with 255 hops allowed nothing would be refused.
    let secured = hops("ttl_security", 254, section, report);
    let multihop = hops("multihop", 255, section, report);
    if let Some((_, span)) = together {
        let hint =
            "remove one of the two: `ttl_security: 3` allows three hops as well, and refuses packets from farther away";
        report.error(span, "`ttl_security` and `multihop` together", hint);
        return None;
    }
    Some(match (secured?, multihop?) {
        (Some(hops), _) => Distance::Secured(hops),
        (None, Some(hops)) => Distance::Multihop(hops),
        (None, None) => Distance::Usual,
    })
}
