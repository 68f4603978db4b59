//! The top of the file: its sections, read one by one, checked together and put together.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anycast_bgp::{Asn, Family, Prefix, RouterId};
use anycast_core::{
    Config, PeerId, ServiceName,
    config::{Anchor, Combine, Neighbor, OnExit, Service, Towards},
};

use super::{
    Settings, ShutdownMode, across, bfd,
    diagnostic::Report,
    endpoint, graceful, needs, neighbors, privileges, probes,
    reader::{Listed, Section, wrong_type},
    services,
    settings::{self, Host},
    source::Span,
    states,
    values::{self, asn, choice, parse_prefix, router_id},
    yaml::{Kind, Node},
};

/// All sections, checked together and put together; `None` once it has been reported why not.
pub(super) fn read(root: &Node, host: &Host, report: &mut Report<'_>) -> Option<Settings> {
    let mut top = Section::open(root, "the configuration", "`bgp:`, `services:` and what belongs to them", report)?;
    let node = settings::node(&mut top, host, report);
    let bgp = bgp(&mut top, host, report);
    let stale_after = settings::stale_after(&mut top, report);
    let services = services(&mut top, report);
    probes::echoes_permitted(services.values().flat_map(|service| &service.checks.echoes), host, report);
    let interface =
        top.or("interface", "lo".to_owned(), report, |node, report| settings::interface(node, "interface", report));
    let anchor = top.or("anchor", Anchor::default(), report, |node, report| {
        let choices = [("unreachable", Anchor::Unreachable), ("blackhole", Anchor::Blackhole), ("none", Anchor::None)];
        choice(node, "anchor", &choices, report)
    });
    let rules = top.or("prefixes", Some(Vec::new()), report, |node, report| Some(rules(node, report)));
    let shutdown = top.or("shutdown", ShutdownMode::Fast, report, |node, report| {
        choice(node, "shutdown", &[("fast", ShutdownMode::Fast), ("drain", ShutdownMode::Drain)], report)
    });
    let state_directory = settings::state(&mut top, host, report);
    let control = settings::control(&mut top, report);
    let http = settings::http(&mut top, report);
    let log = settings::log(&mut top, report);
    let exit_at = top.has("on_exit");
    let on_exit = top.or("on_exit", OnExit::Withdraw, report, |node, report| {
        choice(node, "on_exit", &[("withdraw", OnExit::Withdraw), ("keep", OnExit::Keep)], report)
    });
    top.unsupported("policy", report);
    top.close(report);
    let needs = report.take_needs();
    if host.looks {
        needs::judge(needs, host.lacks, report);
    }

    let rules = rules.flatten();
    let written_id = bgp.router_id.flatten().map(|id| IpAddr::V4(id.get()));
    let parts = across::Parts::new(&bgp.neighbors, &services, rules.as_deref().unwrap_or_default(), written_id);
    let carried = across::check(&parts, report);
    states::check(&services, report);
    stale_after.iter().for_each(|time| awaited_in_vain(&services, *time, report));
    endpoint::shadowed(&bgp.neighbors, report);
    privileges::judge(&bgp.neighbors, bgp.listen.as_ref(), host.lacks, report);
    graceful::check(&bgp.neighbors, exit_at.zip(on_exit), report);
    bfd::check(&bgp.neighbors, bgp.asn, exit_at.zip(on_exit), report);
    let router_id = match bgp.router_id? {
        Some(id) => Some(id),
        None => default_router_id(bgp.span, host, &services, report),
    };
    let core = Config {
        node: node?,
        asn: bgp.asn?,
        router_id: router_id?,
        listen: bgp.listen?,
        on_exit: on_exit?,
        neighbors: assemble_neighbors(&bgp.neighbors, &carried)?,
        services: believed_for(stale_after?, assemble_services(&services, &bgp.neighbors)?),
        interface: interface?,
        anchor: anchor?,
        prefixes: rules?.into_iter().map(|(_, prefix, combine)| (prefix, combine)).collect(),
    };
    Some(Settings {
        core,
        shutdown: shutdown?,
        stale_after: stale_after?,
        state_directory: state_directory?,
        control: control?,
        http: http?,
        log: log?,
    })
}

/// A service that begins waits for the first word of its shared checks, but not for ever.
fn awaited_in_vain(services: &Listed<services::Draft>, stale_after: Duration, report: &mut Report<'_>) {
    let delays = services.values().flat_map(|service| &service.checks.shared_delays);
    for (span, delay) in delays.filter(|(_, delay)| *delay > stale_after) {
        let (delay, limit) = (values::in_words(*delay), values::in_words(stale_after));
        let message = format!("`start_delay: {delay}` of a shared check is longer than `stale_after`, {limit}");
        let hint = "the service waits for it no longer than that, and is announced as degraded until it has passed: write a \
                    shorter one, or a longer `stale_after`";
        report.warning(*span, message, hint);
    }
}

/// One time for all: what has not been proven for so long is not claimed.
fn believed_for(time: Duration, mut services: BTreeMap<ServiceName, Service>) -> BTreeMap<ServiceName, Service> {
    let checks = services.values_mut().flat_map(|service| service.checks.values_mut());
    checks.for_each(|check| check.timing.stale_after = time);
    services
}

/// `bgp`, as far as it could be read.
struct Bgp {
    span: Span,
    asn: Option<Asn>,
    /// The inner `None`: left out.
    router_id: Option<Option<RouterId>>,
    listen: Option<BTreeSet<SocketAddr>>,
    neighbors: Listed<neighbors::Draft>,
}

fn bgp(top: &mut Section<'_>, host: &Host, report: &mut Report<'_>) -> Bgp {
    const EXAMPLE: &str = "`bgp: { asn: 65010, neighbors: [{ name: leaf1, address: 192.0.2.1, asn: 65001 }] }`";
    let span = top.has("bgp").unwrap_or(top.span);
    let there = top.require("bgp", &format!("write {EXAMPLE}"), report).is_some();
    let Some(mut section) = there.then(|| top.inner("bgp", EXAMPLE, report)).flatten() else {
        return Bgp { span, asn: None, router_id: None, listen: None, neighbors: Listed::broken(span) };
    };
    let asn = section
        .require("asn", "write the AS number of this node, such as `asn: 65010`", report)
        .and_then(|node| asn(node, report));
    let router_id = section.maybe("router_id", report, router_id);
    let neighbors = match section.has("neighbors") {
        None => Listed { span, items: Vec::new(), whole: true },
        Some(span) => match section.take("neighbors", report) {
            Some(node) => neighbors::read(node, host, report),
            None => Listed::broken(span),
        },
    };
    let listen = endpoint::listen(&mut section, &neighbors, report);
    if neighbors.whole && neighbors.items.is_empty() {
        let hint = "add the upstream routers as `neighbors`";
        report.warning(neighbors.span, "no neighbors: nothing is announced to anybody", hint);
    }
    section.close(report);
    Bgp { span, asn, router_id, listen, neighbors }
}

fn services(top: &mut Section<'_>, report: &mut Report<'_>) -> Listed<services::Draft> {
    let services = match top.has("services") {
        None => Listed { span: top.span, items: Vec::new(), whole: true },
        Some(span) => match top.take("services", report) {
            Some(node) => services::read(node, report),
            None => Listed::broken(span),
        },
    };
    if services.whole && services.items.is_empty() {
        report.warning(services.span, "no services: nothing is announced", "add what is served here as `services`");
    }
    services
}

/// `prefixes`: a mapping whose keys are prefixes.
fn rules(node: &Node, report: &mut Report<'_>) -> Option<Vec<(Span, Prefix, Combine)>> {
    const EXAMPLE: &str = "`203.0.113.0/24: { require: any }`";
    let Kind::Map(entries) = &node.kind else {
        wrong_type(node, "`prefixes`", "a mapping of prefixes to rules", &format!("write {EXAMPLE}"), report);
        return None;
    };
    let mut rules = Vec::new();
    let mut seen = BTreeMap::new();
    let mut whole = true;
    for entry in entries {
        let prefix =
            parse_prefix(&entry.key.name).map_err(|(message, hint)| report.error(entry.key.span, message, hint)).ok();
        let combine = combine(&entry.value, EXAMPLE, report);
        if let Some(prefix) = prefix
            && let Some(first) = seen.insert(prefix, entry.key.span)
        {
            let message = format!("{prefix} has a rule already, on line {}", report.line(first));
            report.error(entry.key.span, message, "remove one of the two");
        }
        match prefix.zip(combine) {
            Some((prefix, combine)) => rules.push((entry.key.span, prefix, combine)),
            None => whole = false,
        }
    }
    whole.then_some(rules)
}

fn combine(node: &Node, example: &str, report: &mut Report<'_>) -> Option<Combine> {
    let mut section = Section::open(node, "the rule of a prefix", example, report)?;
    let choices = [("all", Combine::All), ("any", Combine::Any)];
    let combine = section
        .require("require", "write `require: all` or `require: any`", report)
        .and_then(|node| choice(node, "require", &choices, report));
    section.close(report);
    combine
}

/// An address that other nodes have too would be no identifier: on an interface other than the loopback ours can be seen.
fn default_router_id(
    at: Span,
    host: &Host,
    services: &Listed<services::Draft>,
    report: &mut Report<'_>,
) -> Option<RouterId> {
    let anycast =
        |id| services.values().any(|service| service.addresses.values().any(|address| *address == IpAddr::V4(id)));
    let id = host.addresses.iter().copied().filter(|id| !anycast(*id)).find_map(RouterId::new);
    if id.is_none() {
        let hint = "write `router_id: …` with an IPv4 address, or any four octets that are unique in your network";
        report.error(at, "missing key `router_id`: this node has no IPv4 address to take it from", hint);
    }
    id
}

fn assemble_neighbors(
    drafts: &Listed<neighbors::Draft>,
    carried: &across::Carried<'_>,
) -> Option<BTreeMap<PeerId, Neighbor>> {
    let assemble = |draft: &neighbors::Draft| {
        let name = draft.name.as_ref()?;
        let mut neighbor = draft.neighbor.clone()?;
        neighbor.families = match &draft.families {
            Some(families) => families.values().copied().collect(),
            None => carried.get(name.text.as_str())?.keys().copied().collect(),
        };
        if neighbor.families.is_empty() {
            neighbor.families = Family::ALL.into();
        }
        Some((name.id.clone()?, neighbor))
    };
    drafts.values().map(assemble).collect()
}

fn assemble_services(
    drafts: &Listed<services::Draft>,
    neighbors: &Listed<neighbors::Draft>,
) -> Option<BTreeMap<ServiceName, Service>> {
    let peers = || neighbors.values().filter_map(|draft| draft.name.as_ref()?.id.clone());
    let assemble = |draft: &services::Draft| {
        let (up, degraded) = draft.attributes.clone()?;
        let service = Service {
            addresses: draft.addresses.values().copied().collect(),
            prefixes: draft.prefixes.values().copied().collect(),
            neighbors: peers()
                .filter_map(|peer| towards(draft, &peer).map(|towards| Some((peer, towards?))))
                .collect::<Option<_>>()?,
            checks: draft.checks.configs.clone()?,
            require: draft.require?,
            up,
            degraded,
            drain: draft.drain?,
            unbind: draft.unbind?,
            watch: draft.watch?,
            disable_file: draft.disable_file.clone()?,
            traffic: draft.traffic?,
            depends_on: depends_on(draft)?,
            on_down: draft.states.on_down?,
            hold_down: draft.states.hold_down?,
        };
        Some((draft.name.as_ref()?.id.clone()?, service))
    };
    drafts.values().map(assemble).collect()
}

fn depends_on(draft: &services::Draft) -> Option<BTreeSet<ServiceName>> {
    let listed = draft.states.depends_on.as_ref()?;
    listed.values().map(|name| ServiceName::new(name).ok()).collect()
}

/// How a service is announced to a neighbor: `None` where it is not, the inner `None` where something about it is wrong.
fn towards(draft: &services::Draft, peer: &PeerId) -> Option<Option<Towards>> {
    let Some(listed) = &draft.neighbors else { return Some(Some(Towards::default())) };
    listed.values().find(|chosen| chosen.name == peer.as_str()).map(|chosen| chosen.towards.clone())
}
