//! Why a prefix is, or is not, announced: the whole chain from the checks to what each neighbor holds.

use std::{net::IpAddr, time::Instant};

use anycast_api::{Explanation, Link, LinkState, PrefixExplanation, Timestamp};
use anycast_bgp::{Prefix, Progress, State};
use anycast_core::{
    Health, PeerId, ServiceName,
    config::{Combine, Connect, DrainBy, Endpoint, Neighbor, OnDown, Scope, Service, Towards, Unbind},
    decide::{Contribution, Verdict},
    drain::Phase,
};

use super::{
    Agent, Refusal, bfd,
    clock::wall,
    holds, report,
    rule::{self, Seen},
    words,
};
use crate::{
    kernel::{AddressState, Owner},
    peer::Peer,
};

impl Agent {
    /// Explains a service, a prefix, or the prefixes that hold an address.
    pub(crate) fn explain(&self, target: &str) -> Result<Explanation, Refusal> {
        let prefixes = self.prefixes_of(target);
        if prefixes.is_empty() {
            let services = self.settings.core.services.keys().map(ToString::to_string);
            let known = services.chain(self.desired.prefixes.keys().map(ToString::to_string)).collect();
            return Err(Refusal::NoSuchTarget { name: target.to_owned(), known });
        }
        let told = prefixes.into_iter().filter_map(|prefix| self.explain_prefix(prefix)).collect();
        Ok(Explanation { target: target.to_owned(), prefixes: told })
    }

    fn prefixes_of(&self, target: &str) -> Vec<Prefix> {
        if let Some(service) = self.settings.core.services.get(target) {
            return service.prefixes.iter().copied().collect();
        }
        let all = self.desired.prefixes.keys().copied();
        if let Ok(prefix) = target.parse::<Prefix>() {
            return all.filter(|known| *known == prefix).collect();
        }
        match target.parse::<IpAddr>() {
            // As a router looks it up: the longest is the one that counts.
            Ok(address) => {
                let mut found: Vec<Prefix> = all.filter(|prefix| prefix.contains(address)).collect();
                found.sort_by_key(|prefix| std::cmp::Reverse(prefix.net().prefix_len()));
                found
            }
            Err(_) => Vec::new(),
        }
    }

    fn explain_prefix(&self, prefix: Prefix) -> Option<PrefixExplanation> {
        let verdict = self.desired.prefixes.get(&prefix)?;
        let mut chain = Vec::new();
        for name in verdict.services.keys() {
            let Some(service) = self.settings.core.services.get(name) else { continue };
            chain.extend(self.check_links(name, service));
            chain.extend(service.depends_on.iter().map(|other| self.dependency_link(name, other)));
            chain.push(self.service_link(name, service));
            chain.extend(self.hold_link(name, service));
            chain.extend(self.drain_link(name, service));
            let within = service.addresses.range(prefix.addresses());
            chain.extend(within.map(|address| self.address_link(name, *address)));
        }
        chain.push(self.decision_link(prefix, verdict));
        let first = verdict.services.keys().next().and_then(|name| self.settings.core.services.get(name));
        let audience = first.into_iter().flat_map(|service| self.settings.core.audience(service, prefix.family()));
        let links = audience.flat_map(|(of, neighbor, towards)| {
            let changed = verdict
                .announced
                .as_ref()
                .and_then(|_| changed(neighbor, towards, neighbor.peer_as.is_external(self.settings.core.asn)))
                .unwrap_or_default();
            let links = self.neighbor_links(of, prefix, verdict).into_iter();
            links.map(move |link| Link { text: link.text + &changed, ..link })
        });
        let links: Vec<Link> = links.collect();
        let summary = summary(prefix, verdict, &self.reason(verdict), &links);
        if links.is_empty() {
            chain.push(nobody(prefix, self.settings.core.neighbors.is_empty()));
        }
        chain.extend(links);
        if let Some(service) = first {
            chain.extend(
                self.settings
                    .core
                    .neighbors
                    .iter()
                    .filter_map(|(id, neighbor)| not_given(id, neighbor, service, prefix)),
            );
        }
        Some(PrefixExplanation { prefix: prefix.to_string(), announced: verdict.announced.is_some(), summary, chain })
    }

    fn check_links<'a>(&'a self, name: &'a ServiceName, service: &'a Service) -> impl Iterator<Item = Link> + 'a {
        service.checks.iter().filter_map(move |(check, config)| {
            let state = self.check_state(name, check)?;
            let cannot = words::cannot_be_done(&state);
            let ok = match state.health {
                Health::Up if cannot.is_none() => LinkState::Ok,
                Health::Up | Health::Degraded => LinkState::Warning,
                Health::Unknown | Health::Down => LinkState::Broken,
            };
            let seen = state.last.as_ref().map(|(outcome, _)| outcome.detail.clone());
            let cannot_run = cannot.is_some() || words::proves_nothing(&state).is_some();
            let said = match (cannot.or(seen), state.enabled) {
                (_, false) => self.paused_because(name),
                (Some(detail), true) => detail,
                (None, true) => match words::first_run_in(&state) {
                    Some(left) => format!("begins in {} (`start_delay`)", holds::spoken(left)),
                    None => "has not answered yet".to_owned(),
                },
            };
            let turning =
                state.turning.map(|(have, need)| format!(" ({have} of {need} answers to change)")).unwrap_or_default();
            let watched = self.watched(name, check).map(|watched| format!("; watches {watched}")).unwrap_or_default();
            let uncounted = if state.counts { "" } else { "; added by a reload, does not count until decided" };
            let hint = match state.health {
                _ if cannot_run => Some(words::CANNOT_RUN.to_owned()),
                Health::Down if state.enabled && config.scope == Scope::Shared => Some(format!(
                    "it degrades {name} and no more, and is every node's: mend what it asks, or the check `{check}` ({}) if it asks \
                     the wrong thing",
                    config.probe.kind()
                )),
                Health::Down if state.enabled => Some(format!(
                    "mend the service, or the check `{check}` ({}) if it asks the wrong thing",
                    config.probe.kind()
                )),
                _ => None,
            };
            Some(Link {
                kind: "check".to_owned(),
                name: format!("{name}/{check}"),
                ok,
                text: format!("{}: {said}{turning}{watched}{uncounted}", state.health),
                since: Some(state.since.into()),
                hint,
            })
        })
    }

    fn service_link(&self, name: &ServiceName, service: &Service) -> Link {
        let health = self.health_of(name);
        let seen = self.seen(name, service);
        let rule = rule::words(service.require, &seen);
        let shared = service.checks.values().any(|check| check.scope == Scope::Shared);
        let shared = if shared { ", a shared one makes it degraded and no worse" } else { "" };
        let on_down = match service.on_down {
            OnDown::Withdraw => "",
            OnDown::Degrade => "; while down it is announced as degraded",
            OnDown::Keep if self.served.contains_key(name) => "; while down it is announced as it was",
            OnDown::Keep => "; it has not served yet, so that there is nothing to keep while it is down",
        };
        let lack = self.lack_of(name).map(|lack| format!("it {lack}"));
        let open = || (health == Health::Unknown).then(|| self.undecided(name)).flatten();
        let blamed = || (health == Health::Degraded).then(|| rule::blamed(service.require, &seen)).flatten();
        let lack = lack.or_else(open).or_else(blamed).map_or(String::new(), |why| format!(": {why}"));
        Link {
            kind: "service".to_owned(),
            name: name.to_string(),
            ok: match health {
                Health::Up => LinkState::Ok,
                Health::Degraded => LinkState::Warning,
                Health::Down if service.on_down != OnDown::Withdraw => LinkState::Warning,
                Health::Unknown | Health::Down => LinkState::Broken,
            },
            text: format!("{health}{lack}; {rule}{shared}{on_down}"),
            since: self.since.healths.get(name).map(|(_, since)| Timestamp::from(*since)),
            hint: None,
        }
    }

    /// Its checks, as far as they count.
    fn seen<'a>(&self, name: &ServiceName, service: &'a Service) -> Vec<Seen<'a>> {
        let seen = service.checks.iter().filter_map(|(check, config)| {
            let state = self.check_state(name, check).filter(|state| state.counts)?;
            Some(Seen { name: check, scope: config.scope, health: state.health })
        });
        seen.collect()
    }

    fn dependency_link(&self, name: &ServiceName, other: &ServiceName) -> Link {
        let (health, held) = (self.health_of(other), self.hold_of(other).filter(|hold| !hold.degrades));
        let ok = health >= Health::Degraded && held.is_none();
        let rests = || self.rests(other).filter(|_| health == Health::Unknown);
        let text = match held.filter(|_| health >= Health::Degraded) {
            Some(hold) => holds::held(&hold),
            None => rests().unwrap_or_else(|| health.to_string()),
        };
        Link {
            kind: "dependency".to_owned(),
            name: format!("{name}/{other}"),
            ok: if ok { LinkState::Ok } else { LinkState::Broken },
            text: format!("{other} is {text}"),
            since: self.since.healths.get(other).map(|(_, since)| Timestamp::from(*since)),
            hint: (!ok).then(|| format!("see `anycastctl explain {other}`")),
        }
    }

    /// Nothing is said of a service that has not flapped of late.
    fn hold_link(&self, name: &ServiceName, service: &Service) -> Option<Link> {
        let times = service.hold_down?;
        let (hold_down, now) = (self.holds.get(name)?, Instant::now());
        let (ok, text, hint) = match hold_down.held() {
            Some(hold) => {
                let ok = if hold.degrades { LinkState::Warning } else { LinkState::Broken };
                let hint = format!(
                    "`anycastctl events --service {name}` shows why it flaps; it ends by itself, and `anycastctl announce {name} \
                     --force` ends it now"
                );
                (ok, holds::held(&hold) + &holds::causes(&hold), Some(hint))
            }
            None if hold_down.recent(now) == 0 => return None,
            None => {
                let next = holds::spoken(hold_down.next().unwrap_or_default());
                let (recent, flaps, within) = (hold_down.recent(now), times.flaps, holds::spoken(times.within));
                let text = format!("not held; {recent} of {flaps} flaps in {within}, the next hold would last {next}");
                (LinkState::Warning, text, None)
            }
        };
        Some(Link { kind: "hold_down".to_owned(), name: name.to_string(), ok, text, since: None, hint })
    }

    fn drain_link(&self, name: &ServiceName, service: &Service) -> Option<Link> {
        let (order, drain) = self.drain_of(name)?;
        let reason = order.reason.as_ref().map_or(String::new(), |reason| format!(" \"{reason}\""));
        let until = order.end().map_or(String::new(), |end| format!(", {end}"));
        let beside = self.file_beside(name).map(|file| file.display().to_string());
        let removed = beside.as_ref().map_or(String::new(), |file| format!(", once {file} is removed"));
        let also = beside.as_ref().map_or(String::new(), |file| format!("; {file} is there too (`disable_file`)"));
        let whole = if order.whole_node { " for the whole node" } else { "" };
        let (ok, what) = match drain.phase() {
            Phase::Active => return None,
            Phase::Degraded => (LinkState::Warning, "degraded".to_owned()),
            Phase::GracefulShutdown { until } => {
                (LinkState::Warning, format!("graceful shutdown, withdrawn at {}", wall(until)))
            }
            Phase::Withdrawing => (LinkState::Broken, "withdrawn, waiting for acknowledgement".to_owned()),
            Phase::Lingering { until } => (LinkState::Broken, format!("withdrawn, lingering until {}", wall(until))),
            Phase::Drained if service.unbind == Unbind::Drained => {
                (LinkState::Broken, "drained and unbound".to_owned())
            }
            Phase::Drained => (LinkState::Broken, "drained".to_owned()),
        };
        Some(Link {
            kind: "drain".to_owned(),
            name: name.to_string(),
            ok,
            text: format!("{what}: ordered by {} at {}{whole}{reason}{until}{also}", order.by, order.at),
            since: Some(wall(drain.since())),
            hint: Some(match (&order.file, order.whole_node) {
                (Some(file), _) => format!("remove {} to end it", file.display()),
                (None, true) => format!(
                    "`anycastctl announce {name}` ends it for {name}, `anycastctl announce` for the whole node{removed}"
                ),
                (None, false) => format!("`anycastctl announce {name}` ends it{removed}"),
            }),
        })
    }

    fn address_link(&self, service: &ServiceName, address: IpAddr) -> Link {
        let kernel = self.kernel.borrow();
        let (ok, text, since) = match kernel.addresses.get(&address) {
            Some(AddressState::Bound { owner, interface, since }) => {
                let whose = if *owner == Owner::Foreign { ", put there by somebody else and left alone" } else { "" };
                (LinkState::Ok, format!("bound on {interface}{whose}"), Some((*since).into()))
            }
            Some(AddressState::Missing { problem, since, .. }) => {
                (LinkState::Broken, format!("not bound: {problem}"), Some((*since).into()))
            }
            None if self.is_unbound_by_order(service) => (LinkState::Warning, "unbound while drained".to_owned(), None),
            None => (LinkState::Broken, "not bound".to_owned(), None),
        };
        let hint = (ok == LinkState::Broken).then(|| {
            "mend the interface or the capability, or stop whoever deletes it; it is tried again by itself".to_owned()
        });
        Link { kind: "address".to_owned(), name: address.to_string(), ok, text, since, hint }
    }

    /// A link for each session of a neighbor; a network without any is a link that is broken.
    fn neighbor_links(&self, of: &PeerId, prefix: Prefix, verdict: &Verdict) -> Vec<Link> {
        let links: Vec<Link> = self
            .sessions_of(of)
            .map(|(id, peer)| neighbor_link(id, peer, prefix, verdict, self.of_prefix(prefix)))
            .collect();
        match self.settings.core.neighbors.get(of) {
            Some(Neighbor { endpoint: Endpoint::Network(network, _), .. }) if links.is_empty() => vec![Link {
                kind: "neighbor".to_owned(),
                name: of.to_string(),
                ok: LinkState::Broken,
                text: format!("no router of {network} has connected"),
                since: None,
                hint: Some("they dial us: is this node configured as their neighbor?".to_owned()),
            }],
            _ => links,
        }
    }

    fn decision_link(&self, prefix: Prefix, verdict: &Verdict) -> Link {
        let shared = match verdict.combine {
            _ if verdict.services.len() < 2 => "",
            Combine::All => " (all of its services must serve)",
            Combine::Any => " (one of its services must serve)",
        };
        let what = if verdict.announced.is_some() { "announce" } else { "do not announce" };
        Link {
            kind: "decision".to_owned(),
            name: prefix.to_string(),
            ok: if verdict.announced.is_some() { LinkState::Ok } else { LinkState::Broken },
            text: format!("{what}: {}{shared}", self.reason(verdict)),
            since: self.since.prefixes.get(&prefix).map(|(_, since)| Timestamp::from(*since)),
            hint: others_serve(verdict).then(|| {
                format!("where one service that serves is enough: `prefixes: {{ \"{prefix}\": {{ require: any }} }}`")
            }),
        }
    }
}

fn neighbor_link(id: &PeerId, peer: &Peer, prefix: Prefix, verdict: &Verdict, service: Option<&ServiceName>) -> Link {
    let state = peer.state.borrow();
    let link = |ok, text: String, since, hint| Link {
        kind: "neighbor".to_owned(),
        name: id.to_string(),
        ok,
        text,
        since,
        hint,
    };
    let quarantined = state.quarantined.get(&prefix);
    if state.state != State::Established {
        let error = match &state.last_error {
            Some((error, _)) => format!(": {error}"),
            None if is_awaited(peer, state.state) => ": waits for the neighbor to connect".to_owned(),
            None => String::new(),
        };
        let quarantined = quarantined.map_or("", |_| "; the prefix is in quarantine there besides");
        let path = bfd::awaited(peer, state.state, Instant::now());
        let awaited = || is_awaited(peer, state.state).then(|| awaited(&peer.neighbor));
        let hint = state.remedy.clone().or_else(awaited);
        let hint = hint.or_else(|| Some(format!("see `anycastctl neighbors {id}`")));
        return link(
            LinkState::Broken,
            format!("{}{error}{path}{quarantined}", report::state_name(state.state)),
            Some(wall(state.since)),
            hint,
        );
    }
    if let Some(why) = state.unsendable.get(&prefix) {
        let until = quarantined.and_then(|quarantined| quarantined.until);
        // Without a service it would be an order for the whole node.
        let hint = until.zip(service).map(|(until, service)| {
            let at = wall(until);
            format!("it is told again by itself at {at}; `anycastctl announce {service} --force` does so at once")
        });
        return link(LinkState::Broken, format!("Established, but cannot be told: {why}"), None, hint);
    }
    let Some(entry) = state.advertised.get(&prefix) else {
        return match verdict.announced {
            Some(_) => link(LinkState::Broken, "Established, not told yet".to_owned(), Some(wall(state.since)), None),
            None => link(LinkState::Ok, "Established, holds nothing of it".to_owned(), Some(wall(state.since)), None),
        };
    };
    let what = if entry.attributes.is_some() { "announce" } else { "withdraw" };
    let far = match entry.progress {
        Progress::Queued => "queued",
        Progress::Written => "written, not acknowledged yet",
        Progress::Acked => "written and acknowledged",
    };
    let ok = if entry.progress == Progress::Acked { LinkState::Ok } else { LinkState::Warning };
    let hint = (ok == LinkState::Ok && entry.attributes.is_some()).then(|| {
        "what the router does with it, only the router knows: FRR and IOS-XR use nothing from eBGP without a policy (RFC 8212)"
            .to_owned()
    });
    let leaving = match peer.neighbor.drain_by {
        _ if !verdict.leaving() || entry.attributes.is_none() => "",
        DrainBy::Gshut => ", with GRACEFUL_SHUTDOWN (assumed honoured)",
        DrainBy::Prepend => ", with a longer path (assumed honoured)",
        DrainBy::None => ", and not told that it is leaving (`drain_by: none`)",
    };
    let noticed = bfd::in_chain(peer);
    link(ok, format!("Established, {what} {far}{leaving}{noticed}"), Some(wall(entry.since)), hint)
}

/// Whether it is for the neighbor to begin.
fn is_awaited(peer: &Peer, state: State) -> bool {
    peer.neighbor.connect == Connect::Passive && state == State::Active
}

/// What may keep one from connecting that is waited for.
fn awaited(neighbor: &Neighbor) -> String {
    let transport = &neighbor.transport;
    let signed = match transport.md5.is_some() || transport.tcp_ao.is_some() {
        true => {
            "; it has a password here: where it has none for this node, or another one, the kernel drops what it sends and tells nobody (`nstat \
             -az TcpExtTCPMD5NotFound TcpExtTCPMD5Failure`)"
        }
        false => "",
    };
    format!("it is to dial us: does it run, know this node, and not wait as well? `anycastctl doctor` looks{signed}")
}

/// Whether a prefix is not announced though some of its services could carry it.
fn others_serve(verdict: &Verdict) -> bool {
    let serves = |contribution: &Contribution| matches!(contribution, Contribution::Serves { .. });
    verdict.announced.is_none() && verdict.services.values().any(serves)
}

/// The link of a prefix that is for nobody.
fn nobody(prefix: Prefix, none_at_all: bool) -> Link {
    let (text, hint) = match none_at_all {
        true => {
            ("no neighbors: nothing is announced to anybody".to_owned(), "name the routers under `bgp: neighbors:`")
        }
        false => (
            format!("no neighbor is to carry {} prefixes of its services: it is announced to nobody", prefix.family()),
            "see the `families` of the neighbors, and the `neighbors` of the services",
        ),
    };
    Link {
        kind: "neighbor".to_owned(),
        name: "none".to_owned(),
        ok: LinkState::Broken,
        text,
        since: None,
        hint: Some(hint.to_owned()),
    }
}

/// The link of a neighbor that the prefix is not for.
pub(super) fn not_given(id: &PeerId, neighbor: &Neighbor, service: &Service, prefix: Prefix) -> Option<Link> {
    let family = prefix.family();
    let why = match service.neighbors.get(id) {
        None => "its services do not name it (`neighbors`)".to_owned(),
        Some(towards) if !towards.families.contains(&family) => {
            format!("its services give it no {family} prefixes (`families` in `neighbors`)")
        }
        Some(_) if !neighbor.families.contains(&family) => format!("it carries no {family} prefixes (`families`)"),
        Some(_) => return None,
    };
    Some(Link {
        kind: "neighbor".to_owned(),
        name: id.to_string(),
        ok: LinkState::Ok,
        text: format!("not given this prefix: {why}"),
        since: None,
        hint: None,
    })
}

/// What the neighbor is told otherwise than the others, as far as it is sent to one of that AS.
fn changed(neighbor: &Neighbor, towards: &Towards, external: bool) -> Option<String> {
    let mut change = neighbor.attributes.clone();
    change.change(&towards.attributes);
    let single = [
        change.med.map(|med| format!("med {med}")),
        change.local_pref.filter(|_| !external).map(|preference| format!("local_pref {preference}")),
        (change.as_path_prepend > 0 && external).then(|| format!("{} prepended more", change.as_path_prepend)),
        change.link_bandwidth.map(|bandwidth| format!("link_bandwidth {}", bandwidth.rate)),
    ];
    let communities = change.communities.iter().map(ToString::to_string);
    let extended = change.extended_communities.iter().map(ToString::to_string);
    let large = change.large_communities.iter().map(ToString::to_string);
    let words: Vec<String> = single.into_iter().flatten().chain(communities).chain(extended).chain(large).collect();
    (!words.is_empty()).then(|| format!("; changed for it: {}", words.join(", ")))
}

pub(super) fn summary(prefix: Prefix, verdict: &Verdict, why: &str, links: &[Link]) -> String {
    let told = links.iter().filter(|link| link.ok == LinkState::Ok).count();
    match (verdict.announced.is_some(), links.len()) {
        (true, 0) => format!("{prefix} would be announced ({why}), but no neighbor is configured for it"),
        (true, all) if told == 0 => {
            format!("{prefix} is to be announced ({why}); none of {all} neighbors has acknowledged it")
        }
        (true, all) => format!("{prefix} is announced to {told} of {all} neighbors: {why}"),
        (false, _) => format!("{prefix} is not announced: {why}"),
    }
}
