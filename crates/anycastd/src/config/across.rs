//! What spans several parts of the file: names that point at each other, addresses and prefixes, families.
//!
//! [`anycast_core::Config`] relies on all of it. What could not be read elsewhere is no proof here: a name that is missing
//! because its neighbor is broken is not reported a second time.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use anycast_bgp::{Family, Prefix};
use anycast_core::config::{Combine, Endpoint};
use ipnet::IpNet;

use super::{
    diagnostic::{Report, quoted},
    neighbors,
    reader::{Listed, in_words, nearest},
    services,
    source::Span,
};

/// The parts, as far as they could be read.
pub(super) struct Parts<'a> {
    neighbors: &'a Listed<neighbors::Draft>,
    services: &'a Listed<services::Draft>,
    /// The rules of shared prefixes.
    rules: &'a [(Span, Prefix, Combine)],
    /// Where the router id is written, as an address.
    router_id: Option<IpAddr>,
    /// The names of all neighbors, broken ones included.
    names: BTreeSet<&'a str>,
}

/// What each neighbor is to carry, by its name: the families, each with a prefix for an example.
pub(super) type Carried<'a> = BTreeMap<&'a str, BTreeMap<Family, Prefix>>;

/// Reports what does not fit together.
pub(super) fn check<'a>(parts: &Parts<'a>, report: &mut Report<'_>) -> Carried<'a> {
    let carried = parts.carried();
    parts.unknown_neighbors(report);
    parts.shared_prefixes(report);
    parts.rules_without_service(report);
    parts.families(report);
    let fixed = parts.fixed_addresses();
    for service in parts.services.values() {
        addresses_and_prefixes(service, &fixed, report);
    }
    targets(parts.services, report);
    for neighbor in parts.neighbors.values() {
        let Some(carried) = neighbor.name.as_ref().and_then(|name| carried.get(name.text.as_str())) else { continue };
        next_hop(neighbor, carried, report);
        parts.too_many(neighbor, report);
        if carried.is_empty() {
            parts.unused(neighbor, report);
        }
    }
    carried
}

impl<'a> Parts<'a> {
    pub(super) fn new(
        neighbors: &'a Listed<neighbors::Draft>,
        services: &'a Listed<services::Draft>,
        rules: &'a [(Span, Prefix, Combine)],
        router_id: Option<IpAddr>,
    ) -> Self {
        let names = neighbors.values().filter_map(|draft| Some(draft.name.as_ref()?.text.as_str())).collect();
        Self { neighbors, services, rules, router_id, names }
    }

    /// The neighbors that a service's prefixes of a family go to, by name; those that do not exist are left out.
    fn neighbors_of(&self, service: &'a services::Draft, family: Family) -> BTreeSet<&'a str> {
        let names = &self.names;
        let Some(listed) = &service.neighbors else { return names.clone() };
        let takes = listed.values().filter(|chosen| chosen.takes(family));
        takes.map(|chosen| chosen.name.as_str()).filter(|name| names.contains(name)).collect()
    }

    fn carried(&self) -> Carried<'a> {
        let mut carried: Carried<'a> = self.names.iter().map(|name| (*name, BTreeMap::new())).collect();
        for service in self.services.values() {
            let examples: BTreeMap<_, _> = service.prefixes.values().map(|prefix| (prefix.family(), *prefix)).collect();
            for (family, example) in examples {
                for name in self.neighbors_of(service, family) {
                    carried.entry(name).or_default().insert(family, example);
                }
            }
        }
        carried
    }

    fn unknown_neighbors(&self, report: &mut Report<'_>) {
        let names = &self.names;
        if !self.neighbors.whole {
            return;
        }
        let listed = self.services.values().filter_map(|service| service.neighbors.as_ref());
        let chosen = listed.flat_map(Listed::values);
        for services::Chosen { span, name, .. } in chosen.filter(|chosen| !names.contains(chosen.name.as_str())) {
            let hint = match nearest(name, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if names.is_empty() => "there is none: add it to `bgp.neighbors`".to_owned(),
                None if names.len() > 8 => "add it to `bgp.neighbors`".to_owned(),
                None => format!("add it to `bgp.neighbors`, where there are {}", in_words(&Vec::from_iter(names))),
            };
            report.error(*span, format!("unknown neighbor {}", quoted(name)), hint);
        }
    }

    /// `decide` takes the neighbors of a prefix from any of its services.
    fn shared_prefixes(&self, report: &mut Report<'_>) {
        let mut first_of: BTreeMap<Prefix, &services::Draft> = BTreeMap::new();
        for service in self.services.values() {
            let certain = |draft: &services::Draft| draft.neighbors.as_ref().is_none_or(|listed| listed.whole);
            let other = |(span, prefix): &(Span, Prefix)| {
                let first = *first_of.get(prefix)?;
                let family = prefix.family();
                let differ = self.neighbors_of(first, family) != self.neighbors_of(service, family);
                (differ && certain(first) && certain(service)).then_some((*span, *prefix, first))
            };
            if let Some((span, prefix, first)) = service.prefixes.items.iter().find_map(other) {
                let name = first.name.as_ref().map_or_else(|| "another".to_owned(), |name| quoted(&name.text));
                let span = service.neighbors.as_ref().map_or(span, |listed| listed.span);
                let message = format!("service {name} announces {prefix} too, but to other neighbors");
                report.error(
                    span,
                    message,
                    "services that share a prefix share their neighbors: name the same in both",
                );
            }
            for prefix in service.prefixes.values() {
                first_of.entry(*prefix).or_insert(service);
            }
        }
    }

    fn rules_without_service(&self, report: &mut Report<'_>) {
        if !self.services.whole || self.services.values().any(|service| !service.prefixes.whole) {
            return;
        }
        let announced: BTreeSet<Prefix> =
            self.services.values().flat_map(|service| service.prefixes.values().copied()).collect();
        for (span, prefix, _) in self.rules.iter().filter(|(_, prefix, _)| !announced.contains(prefix)) {
            let hint = "remove the rule, or add the prefix to the `prefixes` of a service";
            report.error(*span, format!("no service announces {prefix}"), hint);
        }
    }

    /// A router may have a session for each family; but each prefix needs one that carries it.
    fn families(&self, report: &mut Report<'_>) {
        for service in self.services.values() {
            self.families_of(service, report);
            for prefix in service.prefixes.values() {
                let family = prefix.family();
                let names = self.neighbors_of(service, family);
                let named = |draft: &&neighbors::Draft| {
                    draft.name.as_ref().is_some_and(|name| names.contains(name.text.as_str()))
                };
                let drafts: Vec<_> = self.neighbors.values().filter(named).collect();
                let without = |draft: &&neighbors::Draft| {
                    let families = draft.families.as_ref().filter(|families| families.whole)?;
                    (!families.values().any(|offered| *offered == family)).then_some(families.span)
                };
                let spans: Vec<Span> = drafts.iter().filter_map(without).collect();
                if let Some(first) = spans.first().filter(|_| spans.len() == drafts.len()) {
                    let message = format!("`families` is without {family}, but the neighbor is to carry {prefix}");
                    let hint = format!("add `{family}`, or name the `neighbors` of the service that announces it");
                    report.error(*first, message, hint);
                }
            }
        }
    }

    /// What a service gives a neighbor must be something that the neighbor carries, and each prefix must be given to somebody.
    fn families_of(&self, service: &services::Draft, report: &mut Report<'_>) {
        let Some(listed) = &service.neighbors else { return };
        for chosen in listed.values() {
            let (Some(span), Some(towards)) = (chosen.families, &chosen.towards) else { continue };
            let named = |draft: &&neighbors::Draft| draft.name.as_ref().is_some_and(|name| name.text == chosen.name);
            let Some(offered) = self.neighbors.values().find(named).and_then(|draft| draft.families.as_ref()) else {
                continue;
            };
            let missing = towards.families.iter().find(|family| !offered.values().any(|offered| offered == *family));
            if let Some(family) = missing.filter(|_| offered.whole) {
                let message = format!("neighbor {} does not carry {family}", quoted(&chosen.name));
                let hint = format!("remove it here, or add it to its `families` on line {}", report.line(offered.span));
                report.error(span, message, hint);
            }
        }
        if !listed.whole || !service.prefixes.whole {
            return;
        }
        let given = |prefix: &&Prefix| listed.values().any(|chosen| chosen.takes(prefix.family()));
        if let Some(prefix) = service.prefixes.values().find(|prefix| !given(prefix)) {
            let hint = format!("add `{}` to the `families` of one of them", prefix.family());
            report.error(listed.span, format!("no neighbor of the service is given {prefix}"), hint);
            return;
        }
        for chosen in listed.values() {
            let idle = !service.prefixes.values().any(|prefix| chosen.takes(prefix.family()));
            if let Some(span) = chosen.families.filter(|_| idle) {
                let message = format!("neighbor {} is given nothing of this service", quoted(&chosen.name));
                report.warning(
                    span,
                    message,
                    "the service has no prefix of these families: add one, or remove the neighbor",
                );
            }
        }
    }

    /// The session would hold back what is too much; but that is for what nobody wrote.
    fn too_many(&self, neighbor: &neighbors::Draft, report: &mut Report<'_>) {
        let (Some((span, most)), Some(name)) = (neighbor.max_announced, &neighbor.name) else { return };
        let carries = |family: Family| {
            neighbor.families.as_ref().is_none_or(|families| families.values().any(|carried| *carried == family))
        };
        let given =
            |service: &&services::Draft, family| self.neighbors_of(service, family).contains(name.text.as_str());
        let of_service = |service: &'a services::Draft| {
            let prefixes = service.prefixes.values().copied();
            prefixes.filter(move |prefix| carries(prefix.family()) && given(&service, prefix.family()))
        };
        let prefixes: BTreeSet<Prefix> = self.services.values().flat_map(of_service).collect();
        if prefixes.len() > most.get() {
            let message =
                format!("`max_announced: {most}`, but the services announce {} prefixes here", prefixes.len());
            let hint = format!("write {} or more, or give the neighbor fewer services", prefixes.len());
            report.error(span, message, hint);
        }
    }

    /// Addresses that belong to a machine, with words for whose they are.
    fn fixed_addresses(&self) -> BTreeMap<IpAddr, String> {
        let mut fixed = BTreeMap::new();
        for neighbor in self.neighbors.values() {
            let name = neighbor.name.as_ref().map_or("?", |name| name.text.as_str());
            let theirs = match &neighbor.endpoint {
                Some((_, Endpoint::Address(address))) => Some(("the address", *address)),
                Some((_, Endpoint::Interface(_) | Endpoint::Network(..))) | None => None,
            };
            for (what, address) in theirs.into_iter().chain(neighbor.ours.iter().copied()) {
                fixed.entry(address).or_insert_with(|| format!("{what} of neighbor {}", quoted(name)));
            }
        }
        if let Some(id) = self.router_id {
            fixed.entry(id).or_insert_with(|| "the router id".to_owned());
        }
        fixed
    }

    /// For a neighbor of which no service is known that uses it.
    fn unused(&self, neighbor: &neighbors::Draft, report: &mut Report<'_>) {
        let certain = |service: &services::Draft| {
            service.prefixes.whole && service.neighbors.as_ref().is_none_or(|listed| listed.whole)
        };
        // One that a service names and gives nothing is reported there.
        let named = |service: &services::Draft| {
            let listed = service.neighbors.iter().flat_map(Listed::values);
            listed.into_iter().any(|chosen| neighbor.name.as_ref().is_some_and(|name| name.text == chosen.name))
        };
        let known = self.services.whole && self.services.values().all(|service| certain(service) && !named(service));
        // That there is no service at all is said elsewhere, once; a broken neighbor is to be mended first.
        let unused = known && neighbor.neighbor.is_some() && !self.services.items.is_empty();
        if let Some(name) = neighbor.name.as_ref().filter(|_| unused) {
            let message = format!("no service uses neighbor {}", quoted(&name.text));
            report.warning(
                name.span,
                message,
                "its session will carry no routes: add it to the `neighbors` of a service",
            );
        }
    }
}

fn addresses_and_prefixes(service: &services::Draft, fixed: &BTreeMap<IpAddr, String>, report: &mut Report<'_>) {
    let prefixes: BTreeSet<Prefix> = service.prefixes.values().copied().collect();
    let lengths: BTreeSet<u8> = prefixes.iter().map(|prefix| prefix.net().prefix_len()).collect();
    let mut used = BTreeSet::new();
    for (span, address) in &service.addresses.items {
        if let Some(whose) = fixed.get(address) {
            let hint = "an anycast address is on many machines: give the service another";
            report.error(*span, format!("{address} is {whose}"), hint);
        }
        let around = lengths.iter().filter_map(|length| Prefix::new(IpNet::new(*address, *length).ok()?.trunc()).ok());
        let around: Vec<Prefix> = around.filter(|prefix| prefixes.contains(prefix)).collect();
        if around.is_empty() && service.prefixes.whole {
            let hint = format!("add {}, or the network it lies in, to `prefixes`", Prefix::host(*address));
            report.error(*span, format!("{address} lies in none of the service's prefixes"), hint);
        }
        used.extend(around);
    }
    for (span, prefix) in service.prefixes.items.iter().filter(|(_, prefix)| !used.contains(prefix)) {
        if service.addresses.whole {
            let message = format!("no address of the service lies in {prefix}");
            report.warning(*span, message, "what it attracts ends here: add an address, or remove the prefix");
        }
    }
}

/// A node that is down must not be kept up by the answer of another. A check runs only while those of its targets that are
/// service addresses are bound here, so those of another service are as good as its own.
fn targets(services: &Listed<services::Draft>, report: &mut Report<'_>) {
    if !services.whole || services.values().any(|service| !service.addresses.whole) {
        return;
    }
    let ours: BTreeSet<IpAddr> = services.values().flat_map(|service| service.addresses.values().copied()).collect();
    let targets = services.values().flat_map(|service| &service.checks.targets);
    for (span, target) in targets.filter(|(_, target)| !target.is_loopback() && !ours.contains(target)) {
        let hint = "another node's answer could keep the service up: aim at an address of the service or at the loopback; \
                    what every node depends on is `scope: shared`; a container of this node may be aimed at all the same";
        report.warning(*span, format!("{target} is an address of no service of this node"), hint);
    }
}

/// A session over IPv6 has no IPv4 address of its own. The other way round the interface may have one.
fn next_hop(neighbor: &neighbors::Draft, carried: &BTreeMap<Family, Prefix>, report: &mut Report<'_>) {
    let Some((span, endpoint)) = &neighbor.endpoint else { return };
    let over_ipv4 = endpoint.network().is_some_and(|network| network.addr().is_ipv4());
    if over_ipv4 {
        return;
    }
    let Some(prefix) = carried.get(&Family::Ipv4Unicast) else { return };
    let offered = |families: &Listed<Family>| families.values().any(|family| *family == Family::Ipv4Unicast);
    let missing = neighbor.neighbor.as_ref().is_some_and(|settings| settings.next_hop_ipv4.is_none());
    let agreed = neighbor.neighbor.as_ref().is_some_and(|settings| settings.offers.extended_next_hop);
    if missing && !agreed && neighbor.families.as_ref().is_none_or(offered) {
        let message = format!("a session over IPv6 has no next hop for {prefix}");
        report.error(
            *span,
            message,
            "write `next_hop: { ipv4: … }` with an address of this node, `capabilities: { extended_next_hop: true }` where the \
             router can do that (RFC 8950), or `families: [ipv6]`",
        );
    }
}
