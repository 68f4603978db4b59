//! How the TCP connection to a neighbor is made: addresses, distance and authentication.

use std::{net::IpAddr, num::NonZeroU8};

use anycast_core::config::{Distance, Endpoint, TcpAo, TcpAoAlgorithm, Transport};

use super::{
    diagnostic::Report,
    reader::Section,
    secrets,
    settings::{self, Host},
    source::Span,
    values::{address, choice, family, number},
    yaml::Node,
};

/// The keys `source`, `bind_device`, `ttl_security`, `multihop`, `password_file`, `credential` and `tcp_ao` of a neighbor.
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
    if matches!(endpoint, Some(Endpoint::Interface(_))) {
        for key in ["source", "multihop"] {
            if let Some(span) = section.has(key) {
                let message = format!("`{key}` with `interface`");
                report.error(span, message, "remove it: the session is between the link-local addresses of one link");
            }
        }
    }
    let distance = distance(section, report);
    let md5_at = section.has("password_file").or(section.has("credential"));
    let md5 = secrets::password(section, secrets::OF_TCP, host, report);
    let tcp_ao = tcp_ao(section, md5_at, host, report);
    Some(Transport { source: source?, device: device?, distance: distance?, md5: md5?, tcp_ao: tcp_ao? })
}

/// `tcp_ao`. The inner `None`: left out.
fn tcp_ao(
    section: &mut Section<'_>,
    md5_at: Option<Span>,
    host: &Host,
    report: &mut Report<'_>,
) -> Option<Option<TcpAo>> {
    const EXAMPLE: &str = "`tcp_ao: { password_file: /etc/anycastd/leaf1.key, send_id: 1, recv_id: 1 }`";
    let Some(span) = section.has("tcp_ao") else { return Some(None) };
    let mut section = section.inner("tcp_ao", EXAMPLE, report)?;
    let at = section.span;
    let any_key = section.has("password_file").or(section.has("credential")).is_some();
    let key = secrets::password(&mut section, secrets::OF_TCP, host, report);
    let id = |key: &'static str, section: &mut Section<'_>, report: &mut Report<'_>| {
        let node =
            section.require(key, "write the KeyID that the router has for the other direction, 0 to 255", report)?;
        u8::try_from(number(node, key, 0..=255, report)?).ok()
    };
    let send_id = id("send_id", &mut section, report);
    let recv_id = id("recv_id", &mut section, report);
    let choices = [("hmac-sha-1-96", TcpAoAlgorithm::HmacSha1), ("aes-128-cmac-96", TcpAoAlgorithm::AesCmac)];
    let algorithm = section
        .or("algorithm", TcpAoAlgorithm::default(), report, |node, report| choice(node, "algorithm", &choices, report));
    section.close(report);
    if !any_key {
        report.error(at, "`tcp_ao` without a key", format!("write {EXAMPLE}, or a `credential`"));
        return None;
    }
    if md5_at.is_some() {
        report.error(
            span,
            "TCP MD5 and TCP-AO together",
            "remove `password_file` or `credential` of the neighbor: RFC 5925 §2.2 allows one of the two",
        );
        return None;
    }
    if !host.has_tcp_ao {
        let hint = "use TCP MD5 (`password_file`), or a kernel from 6.7 on that was built with CONFIG_TCP_AO";
        report.error(span, "this kernel has no TCP-AO", hint);
        return None;
    }
    // Where only the file is checked, a credential may be missing.
    let Some(key) = key? else { return Some(None) };
    Some(Some(TcpAo { key, send_id: send_id?, recv_id: recv_id?, algorithm: algorithm? }))
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
