//! `bgp.neighbors`: the upstream routers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    num::{NonZeroU64, NonZeroUsize},
    time::Duration,
};

use anycast_bgp::{Family, HoldTime, Limits, Offers, PeerAs, Role, Timing};
use anycast_core::{
    PeerId,
    config::{DrainBy, Endpoint, Neighbor},
};

use super::{
    attributes, bfd,
    diagnostic::Report,
    endpoint, graceful,
    names::{Named, Names},
    next_hop::{self, NextHops},
    reader::{Listed, Section, list, set},
    settings::Host,
    source::Span,
    transport,
    values::{LONGEST, asn, choice, duration, hold_time, in_words, number, text, truth},
    yaml::Node,
};

const DRAINS: [(&str, DrainBy); 3] =
    [("gshut", DrainBy::Gshut), ("prepend", DrainBy::Prepend), ("none", DrainBy::None)];

/// A neighbor as far as it could be read.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) name: Option<Named<PeerId>>,
    /// `None`: left out. What is left out follows from the services.
    pub(super) families: Option<Listed<Family>>,
    pub(super) endpoint: Option<(Span, Endpoint)>,
    /// Where graceful restart is written, if it is.
    pub(super) restart_at: Option<Span>,
    /// Where BFD is written, if it is.
    pub(super) bfd: Option<bfd::Places>,
    /// The addresses of this node that its session uses, with words for what they are.
    pub(super) ours: Vec<(&'static str, IpAddr)>,
    pub(super) max_announced: Option<(Span, NonZeroUsize)>,
    /// `None`: something about it is wrong. Its families are empty until they are known.
    pub(super) neighbor: Option<Neighbor>,
}

pub(super) fn read(node: &Node, host: &Host, report: &mut Report<'_>) -> Listed<Draft> {
    let mut names = Names::default();
    let mut endpoints: BTreeMap<String, Span> = BTreeMap::new();
    let drafts = list(node, "neighbors", "{ name: leaf1, address: 192.0.2.1, asn: 65001 }", report, |node, report| {
        let section = Section::open(node, "a neighbor", "`name: leaf1` and the keys below it", report)?;
        let draft = neighbor(section, &mut names, host, report);
        if let Some((span, endpoint)) = &draft.endpoint
            && let Some(first) = endpoints.insert(endpoint.to_string(), *span)
        {
            let what = match endpoint {
                Endpoint::Address(_) => "address",
                Endpoint::Interface(_) => "interface",
                Endpoint::Network(..) => "prefix",
            };
            let message = format!("another neighbor has the {what} {endpoint}, on line {}", report.line(first));
            report.error(*span, message, format!("one session per {what}: remove one of the two"));
        }
        Some(draft)
    });
    let named = drafts.values().all(|draft| draft.name.is_some());
    Listed { whole: drafts.whole && named, ..drafts }
}

fn neighbor(mut section: Section<'_>, names: &mut Names, host: &Host, report: &mut Report<'_>) -> Draft {
    let name = names.take(&mut section, "neighbor", PeerId::new, report);
    let endpoint = endpoint::endpoint(&mut section, report);
    let peer_as = section
        .require("asn", "write its AS number, or `external` or `internal`", report)
        .and_then(|node| peer_as(node, report));
    let connect = endpoint::connect(&mut section, endpoint.as_ref().map(|(_, endpoint)| endpoint), report);
    let transport = transport::read(&mut section, endpoint.as_ref().map(|(_, endpoint)| endpoint), host, report);
    let hold_time = section.or("hold_time", HoldTime::DEFAULT, report, hold_time);
    let timing = timing(&mut section, hold_time, report);
    let families = section.has("families").map(|span| families(&mut section, span, report));
    let next_hops = next_hop::read(&mut section, report);
    let offers = offers(&mut section, endpoint.as_ref().map(|(_, endpoint)| endpoint), report);
    let (role, role_strict) = role(&mut section, peer_as, report);
    let drain_by =
        section.or("drain_by", DrainBy::default(), report, |node, report| choice(node, "drain_by", &DRAINS, report));
    let attributes = attributes::changes(&mut section, report);
    let max_announced = section.maybe("max_announced", report, |node, report| {
        let number = number(node, "max_announced", 1..=u32::MAX, report)?;
        Some((node.span, NonZeroUsize::new(usize::try_from(number).ok()?)?))
    });
    let max_prefixes = section.maybe("max_prefixes", report, |node, report| {
        NonZeroU64::new(number(node, "max_prefixes", 1..=u32::MAX, report)?.into())
    });
    let restart_at = section.has("graceful_restart");
    let restart_time = graceful::read(&mut section, report);
    let bfd = bfd::read(&mut section, endpoint.as_ref().map(|(_, endpoint)| endpoint), hold_time, host, report);
    section.close(report);

    let source = transport.as_ref().and_then(|transport| transport.source);
    let ours = source
        .map(|ip| ("the source address", ip))
        .into_iter()
        .chain(next_hops.into_iter().flat_map(NextHops::ours))
        .collect();
    let (bfd_at, bfd) =
        (bfd.as_ref().and_then(|read| Some(read.as_ref()?.0)), bfd.map(|read| read.map(|(_, bfd)| bfd)));
    let neighbor = (|| {
        Some(Neighbor {
            endpoint: endpoint.clone()?.1,
            connect: connect?.0,
            port: connect?.1,
            peer_as: peer_as?,
            transport: transport?,
            timing: timing?,
            hold_time: hold_time?,
            families: BTreeSet::new(),
            offers: offers?,
            role: role?,
            role_strict: role_strict?,
            restart_time: restart_time?,
            bfd: bfd?,
            drain_by: drain_by?,
            attributes: attributes?,
            next_hop_ipv4: next_hops?.ipv4,
            next_hop_ipv6: next_hops?.ipv6,
            link_local: next_hops?.link_local,
            limits: Limits { max_announced: max_announced?.map(|(_, most)| most), max_prefixes: max_prefixes? },
        })
    })();
    Draft { name, families, endpoint, restart_at, bfd: bfd_at, ours, max_announced: max_announced.flatten(), neighbor }
}

/// Times that are not agreed on.
fn timing(section: &mut Section<'_>, hold_time: Option<HoldTime>, report: &mut Report<'_>) -> Option<Timing> {
    let default = Timing::default();
    let connect_retry = section.or("connect_retry", default.connect_retry, report, |node, report| {
        duration(node, "connect_retry", Duration::from_secs(1)..=Duration::from_secs(600), report)
    });
    let send_hold_time = section.maybe("send_hold_time", report, |node, report| {
        let time = duration(node, "send_hold_time", Duration::from_secs(3)..=LONGEST, report)?;
        if let Some(hold) = hold_time.and_then(HoldTime::duration).filter(|hold| *hold >= time) {
            let message =
                format!("`send_hold_time` of {} is not longer than the hold time, {}", in_words(time), in_words(hold));
            report.error(node.span, message, "RFC 9687 wants it to be; leave it out for 8m, or twice the hold time");
            return None;
        }
        Some(time)
    });
    Some(Timing { connect_retry: connect_retry?, send_hold_time: send_hold_time? })
}

fn peer_as(node: &Node, report: &mut Report<'_>) -> Option<PeerAs> {
    match text(node, "asn", report)? {
        "external" => Some(PeerAs::External),
        "internal" => Some(PeerAs::Internal),
        _ => asn(node, report).map(PeerAs::Exactly),
    }
}

pub(super) fn families(section: &mut Section<'_>, span: Span, report: &mut Report<'_>) -> Listed<Family> {
    const CHOICES: [(&str, Family); 2] = [("ipv4", Family::Ipv4Unicast), ("ipv6", Family::Ipv6Unicast)];
    let Some(node) = section.take("families", report) else { return Listed::broken(span) };
    let mut families =
        set(node, "families", "ipv4, ipv6", report, |node, report| choice(node, "families", &CHOICES, report));
    if families.whole && families.items.is_empty() {
        report.error(node.span, "`families` is empty", "leave it out: it follows from the prefixes of the services");
        families.whole = false;
    }
    families
}

/// The capabilities that can be left out, or taken in.
fn offers(section: &mut Section<'_>, endpoint: Option<&Endpoint>, report: &mut Report<'_>) -> Option<Offers> {
    // A link-local session has no IPv4 address to name.
    let unnumbered = matches!(endpoint, Some(Endpoint::Interface(_)));
    let default = Offers { extended_next_hop: unnumbered, ..Offers::default() };
    if section.has("capabilities").is_none() {
        return Some(default);
    }
    let mut section = section.inner("capabilities", "`capabilities: { extended_next_hop: true }`", report)?;
    let mut read = |key, default| section.or(key, default, report, |node, report| truth(node, key, report));
    let extended_message = read("extended_message", default.extended_message);
    let enhanced_route_refresh = read("enhanced_route_refresh", default.enhanced_route_refresh);
    let extended_next_hop = read("extended_next_hop", default.extended_next_hop);
    section.close(report);
    Some(Offers {
        extended_message: extended_message?,
        enhanced_route_refresh: enhanced_route_refresh?,
        extended_next_hop: extended_next_hop?,
    })
}

/// RFC 9234: what we are to the neighbor, which makes sense between two AS numbers only.
fn role(
    section: &mut Section<'_>,
    peer_as: Option<PeerAs>,
    report: &mut Report<'_>,
) -> (Option<Option<Role>>, Option<bool>) {
    const CHOICES: [(&str, Role); 5] = [
        ("customer", Role::Customer),
        ("provider", Role::Provider),
        ("peer", Role::Peer),
        ("rs", Role::RouteServer),
        ("rs-client", Role::RouteServerClient),
    ];
    let at = section.has("role");
    let role = section.maybe("role", report, |node, report| choice(node, "role", &CHOICES, report));
    let strict_at = section.has("role_strict");
    let strict = section.or("role_strict", false, report, |node, report| truth(node, "role_strict", report));
    if let (Some(span), Some(PeerAs::Internal)) = (at, peer_as) {
        report.error(
            span,
            "a neighbor of our own AS has no role",
            "remove `role`: it is for sessions between two AS numbers",
        );
    }
    if let (None, Some(span)) = (at, strict_at) {
        report.error(
            span,
            "`role_strict` without a role",
            "write `role: customer`, or what else we are to the neighbor",
        );
    }
    (role, strict)
}
