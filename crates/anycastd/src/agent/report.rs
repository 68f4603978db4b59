//! What is known, in the words of the control socket.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use anycast_api::{self as api, Progress, ServiceState, Timestamp};
use anycast_bgp::{Advertised, Asn, Attributes, PeerAs, Prefix, Quarantined, State};
use anycast_core::{
    CheckName, Drain, Health, Outcome, PeerId, ServiceName,
    config::{Connect, Neighbor, Service},
    decide::{Contribution, Despite, Verdict},
    drain::Phase,
};
use tokio::sync::mpsc;

use super::{
    Agent, Refusal,
    bfd::{bfd, held_back},
    clock::wall,
    orders::phase_outside,
    words::first_run_in,
};
use crate::{
    checker::CheckState,
    kernel::{AddressState, Owner},
    peer::{Ask, Peer, PeerState},
    traffic::Received,
};

impl Agent {
    /// The whole node on one screen.
    pub(crate) fn status(&self) -> api::Status {
        let core = &self.settings.core;
        let services: Vec<_> = core.services.iter().map(|(name, service)| self.service(name, service)).collect();
        let neighbors: Vec<_> = self.neighbors(None).unwrap_or_default();
        let addresses = self.addresses();
        let (subjects, problems): (Vec<&str>, Vec<String>) = self.problems(&neighbors).into_iter().unzip();
        let used = |name: &str| core.services.values().any(|service| service.neighbors.contains_key(name));
        let healthy = problems.is_empty()
            && !self.is_stopping()
            && services.iter().all(|service| {
                service.state == ServiceState::Up && service.prefixes.iter().all(|prefix| prefix.announced)
            })
            && neighbors.iter().all(|neighbor| {
                // The routers of a network come and go as they like.
                match neighbor.state.as_str() {
                    "Established" => true,
                    // A network that a service needs has a session at least.
                    "Listen" => {
                        !used(&neighbor.name) || neighbor.counters.get("sessions").is_some_and(|sessions| *sessions > 0)
                    }
                    _ => neighbor.dynamic,
                }
            })
            && addresses.iter().all(|address| address.bound);
        api::Status {
            node: core.node.name.clone(),
            asn: core.asn.get(),
            router_id: core.router_id.to_string(),
            region: core.node.region.clone(),
            country: core.node.country.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started.1.into(),
            uptime_seconds: self.started.0.elapsed().as_secs_f64(),
            stopping: self.is_stopping(),
            healthy,
            problems,
            problem_subjects: counted(subjects),
            connections_refused: self
                .refusals
                .counts()
                .into_iter()
                .map(|(reason, count)| (reason.to_owned(), count))
                .collect(),
            watch: self.watch_counters(),
            bfd: self.bfd_thread(),
            upgraded: self.upgraded.clone(),
            services,
            neighbors,
            addresses,
        }
    }

    /// Which agent this is, of all that have been: one that goes on for another is the same, one that starts anew is not.
    pub(crate) fn process(&self) -> u64 {
        let since = self.started.1.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or_default()
    }

    /// By what name the node is known.
    pub(crate) fn node_name(&self) -> &str {
        &self.settings.core.node.name
    }

    /// The neighbors, or the one that is named.
    pub(crate) fn neighbors(&self, name: Option<&str>) -> Result<Vec<api::Neighbor>, Refusal> {
        let networks = self.networks().filter(|of| name.is_none_or(|name| name == of.as_str()));
        let networks: Vec<api::Neighbor> = networks.filter_map(|of| self.network(of)).collect();
        let peers = match self.chosen_peers(name) {
            Ok(peers) => peers,
            Err(_) if !networks.is_empty() => Vec::new(),
            Err(refusal) => return Err(refusal),
        };
        let mut all: Vec<api::Neighbor> =
            peers.into_iter().map(|(id, peer)| self.neighbor(id, peer)).chain(networks).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// What the neighbors hold, or the one that is named.
    pub(crate) fn routes(&self, name: Option<&str>) -> Result<Vec<api::NeighborRoutes>, Refusal> {
        let asn = self.settings.core.asn;
        Ok(self.chosen_peers(name)?.into_iter().map(|(id, peer)| self.neighbor_routes(id, peer, asn)).collect())
    }

    /// Where the task of a neighbor is asked for what only it has.
    pub(crate) fn peer_asks(&self, name: &str) -> Result<mpsc::Sender<Ask>, Refusal> {
        // A network has many routers: each is asked by its own name.
        let known = || self.peers.keys().map(ToString::to_string).collect();
        let peer = self.peers.get(name);
        peer.map(Peer::asks).ok_or_else(|| Refusal::NoSuchNeighbor { name: name.to_owned(), known: known() })
    }

    fn chosen_peers(&self, name: Option<&str>) -> Result<Vec<(&PeerId, &Peer)>, Refusal> {
        let Some(name) = name else { return Ok(self.peers.iter().collect()) };
        let known = || self.peers.keys().chain(self.networks()).map(ToString::to_string).collect();
        // By its own name, or by that of the network it is a router of.
        let found: Vec<_> =
            self.peers.iter().filter(|(id, peer)| id.as_str() == name || peer.of.as_str() == name).collect();
        let network = self.networks().any(|of| of.as_str() == name);
        if found.is_empty() && !network {
            return Err(Refusal::NoSuchNeighbor { name: name.to_owned(), known: known() });
        }
        Ok(found)
    }

    /// In one word.
    pub(super) fn service_state(&self, name: &ServiceName) -> ServiceState {
        let health = self.health_of(name);
        match (self.drains.get(name).map_or(Phase::Active, Drain::phase), health) {
            (Phase::Drained, _) => ServiceState::Drained,
            (Phase::GracefulShutdown { .. } | Phase::Withdrawing | Phase::Lingering { .. }, _) => {
                ServiceState::Draining
            }
            (_, Health::Unknown) => ServiceState::Unknown,
            (_, Health::Down) => ServiceState::Down,
            (_, Health::Degraded | Health::Up) if self.hold_of(name).is_some() => ServiceState::Held,
            (Phase::Degraded, _) | (_, Health::Degraded) => ServiceState::Degraded,
            (Phase::Active, Health::Up) => ServiceState::Up,
        }
    }

    /// What a service is, by its checks and by what it depends on.
    pub(super) fn health_of(&self, name: &ServiceName) -> Health {
        self.desired.services.get(name).map_or(Health::Unknown, |standing| standing.health)
    }

    /// Why it is worse than its checks say.
    pub(super) fn lack_of(&self, name: &ServiceName) -> Option<String> {
        self.desired.services.get(name)?.lack.as_ref().map(|lack| self.lacks(lack))
    }

    fn service(&self, name: &ServiceName, service: &Service) -> api::Service {
        let now = SystemTime::now();
        let since: Timestamp = self.since.services.get(name).map_or(now, |(_, since)| *since).into();
        api::Service {
            name: name.to_string(),
            state: self.service_state(name),
            health: health(self.health_of(name)),
            since,
            since_seconds: since.age(now).as_secs_f64(),
            prefixes: service.prefixes.iter().map(|prefix| self.prefix(name, *prefix)).collect(),
            addresses: service.addresses.iter().map(ToString::to_string).collect(),
            checks: service
                .checks
                .iter()
                .filter_map(|(check, config)| self.check(name, check, config.probe.kind()))
                .collect(),
            drain: self.drain(name),
            lacks: self.lack_of(name),
            hold_down: self.hold_down(name),
            flaps: self.flaps_of(name),
        }
    }

    fn prefix(&self, name: &ServiceName, prefix: Prefix) -> api::PrefixSummary {
        let verdict = self.desired.prefixes.get(&prefix);
        let announced = verdict.and_then(|verdict| Some((verdict, verdict.announced.as_deref()?)));
        let mut notes = announced.map(|(verdict, attributes)| remarkable(verdict, attributes)).unwrap_or_default();
        notes.splice(..0, announced.and_then(|(verdict, _)| carried_by(name, verdict)));
        notes.extend(verdict.filter(|verdict| kept_back(name, verdict)).map(|verdict| self.reason(verdict)));
        let (told, all) = self.told(prefix);
        if announced.is_some() && (told < all || all == 0) {
            notes.push(format!("{told} of {all} neighbors"));
        }
        api::PrefixSummary { prefix: prefix.to_string(), announced: announced.is_some(), neighbors: told, notes }
    }

    /// How many of the neighbors that are to carry a prefix have been told of it.
    pub(super) fn told(&self, prefix: Prefix) -> (usize, usize) {
        let wanting = self.desired.routes.iter().filter(|(_, routes)| routes.contains_key(&prefix));
        let holds = |of: &PeerId| {
            self.sessions_of(of).any(|(_, peer)| {
                let state = peer.state.borrow();
                state
                    .advertised
                    .get(&prefix)
                    .is_some_and(|entry| entry.attributes.is_some() && entry.progress != anycast_bgp::Progress::Queued)
            })
        };
        wanting.fold((0, 0), |(told, all), (id, _)| (told + usize::from(holds(id)), all + 1))
    }

    fn check(&self, service: &ServiceName, name: &CheckName, kind: &str) -> Option<api::Check> {
        let state = self.check_state(service, name)?;
        let paused = (!state.enabled).then(|| self.paused_because(service));
        let cannot_run = state.cannot.as_ref().map(|cannot| cannot.why.clone());
        let left = |until: Instant| until.saturating_duration_since(Instant::now()).as_secs_f64();
        let holds_seconds = state.claims_until.filter(|_| cannot_run.is_some()).map(left);
        Some(api::Check {
            name: name.to_string(),
            kind: kind.to_owned(),
            health: health(state.health),
            since: state.since.into(),
            counts: state.counts,
            paused,
            starts_in_seconds: first_run_in(&state).map(|left| left.as_secs_f64()),
            last: state.last.map(|(outcome, at)| answer(Arc::unwrap_or_clone(outcome), at)),
            runs: state.counters.runs,
            failures: state.counters.failures,
            inconclusive: state.counters.inconclusive,
            late: state.counters.late,
            turning: state.turning,
            watches: self.watched(service, name),
            hints: state.counters.hints,
            cannot_run,
            holds_seconds,
        })
    }

    pub(super) fn check_state(&self, service: &ServiceName, name: &CheckName) -> Option<CheckState> {
        let checker = self.checkers.get(service)?.get(name)?;
        let state = checker.state.borrow().clone();
        Some(state)
    }

    pub(super) fn paused_because(&self, service: &ServiceName) -> String {
        match self.drains.get(service).map(Drain::phase) {
            Some(Phase::Drained) => "not checked: unbound while drained".to_owned(),
            _ => "not checked: its address is not bound here".to_owned(),
        }
    }

    fn drain(&self, name: &ServiceName) -> Option<api::Drain> {
        let (order, drain) = self.drain_of(name)?;
        Some(api::Drain {
            phase: phase_outside(drain.phase())?,
            since: wall(drain.since()),
            phase_ends: drain.poll_timeout().map(wall),
            by: order.by.clone(),
            ordered: order.at,
            reason: order.reason.clone(),
            until: order.until,
            until_boot: order.boot.is_some(),
            disable_file: order.file.as_deref().or(self.file_beside(name)).map(|file| file.display().to_string()),
        })
    }

    fn addresses(&self) -> Vec<api::Address> {
        let kernel = self.kernel.borrow();
        let known = kernel.addresses.iter().map(|(address, state)| match state {
            AddressState::Bound { owner, interface, since } => api::Address {
                address: address.to_string(),
                bound: true,
                foreign: *owner == Owner::Foreign,
                interface: Some(interface.clone()),
                since: (*since).into(),
                problem: None,
                traffic: self.traffic_to(address),
            },
            AddressState::Missing { problem, since, .. } => api::Address {
                address: address.to_string(),
                bound: false,
                foreign: false,
                interface: None,
                since: (*since).into(),
                problem: Some(problem.clone()),
                traffic: self.traffic_to(address),
            },
        });
        known.collect()
    }

    fn traffic_to(&self, address: &IpAddr) -> Option<api::Traffic> {
        let Received { packets, bytes } = self.traffic.received(address)?;
        Some(api::Traffic { packets, bytes })
    }
}

impl Agent {
    fn neighbor(&self, id: &PeerId, peer: &Peer) -> api::Neighbor {
        let state = peer.state.borrow();
        let now = Instant::now();
        let held = state.advertised.values().filter(|entry| entry.attributes.is_some()).count();
        let hold = peer.hold(state.state);
        let retry_at = state.retry_at.or_else(|| hold?.until);
        api::Neighbor {
            name: id.to_string(),
            address: peer.neighbor.endpoint.to_string(),
            dynamic: *id != peer.of,
            port: peer.neighbor.port.get(),
            asn: state
                .negotiated
                .as_ref()
                .map_or_else(|| peer_as(peer.neighbor.peer_as), |session| session.peer_as.to_string()),
            state: state_name(state.state).to_owned(),
            since: wall(state.since),
            since_seconds: now.saturating_duration_since(state.since).as_secs_f64(),
            routes: held,
            unsendable: unsendable(&state),
            quarantined: self.quarantined(&state),
            received: state.received.map(|received| api::Received {
                prefixes: received.prefixes,
                limit: received.limit.get(),
                exceeded: received.exceeded,
            }),
            last_error: state.last_error.as_ref().map(|(error, _)| error.clone()),
            last_error_at: state.last_error.as_ref().map(|(_, at)| wall(*at)),
            remedy: state.remedy.clone(),
            retry_seconds: retry_at.map(|at| at.saturating_duration_since(now).as_secs_f64()),
            local_address: state.ends.map(|(local, _)| local.to_string()),
            remote_address: state.ends.map(|(_, remote)| remote.to_string()),
            transport: transport(&peer.neighbor, peer.session.is_external()),
            bfd: bfd(&peer.neighbor, peer.bfd().as_ref(), hold.map(|hold| held_back(hold, now)), &self.links.borrow()),
            session: session(&state),
            counters: counters(&state),
        }
    }

    fn neighbor_routes(&self, id: &PeerId, peer: &Peer, asn: Asn) -> api::NeighborRoutes {
        let state = peer.state.borrow();
        api::NeighborRoutes {
            neighbor: id.to_string(),
            established: state.state == State::Established,
            routes: state.advertised.iter().map(|(prefix, entry)| route(*prefix, entry, &state, asn)).collect(),
            quarantined: self.quarantined(&state),
        }
    }

    fn quarantined(&self, state: &PeerState) -> BTreeMap<String, api::Quarantine> {
        let told = |(prefix, why): (&Prefix, &Quarantined)| {
            (
                prefix.to_string(),
                api::Quarantine {
                    reason: why.to_string(),
                    until: why.until.map(wall),
                    service: self.of_prefix(*prefix).map(ToString::to_string),
                },
            )
        };
        state.quarantined.iter().map(told).collect()
    }

    /// A network whose routers connect to us, as the row above theirs.
    fn network(&self, of: &PeerId) -> Option<api::Neighbor> {
        let neighbor = self.settings.core.neighbors.get(of)?;
        let sessions = self.sessions_of(of).filter(|(_, peer)| peer.state.borrow().state == State::Established).count();
        Some(api::Neighbor {
            name: of.to_string(),
            address: neighbor.endpoint.to_string(),
            dynamic: true,
            port: 0,
            asn: peer_as(neighbor.peer_as),
            state: "Listen".to_owned(),
            since: self.started.1.into(),
            since_seconds: self.started.0.elapsed().as_secs_f64(),
            routes: 0,
            unsendable: BTreeMap::new(),
            received: None,
            quarantined: BTreeMap::new(),
            last_error: None,
            last_error_at: None,
            remedy: None,
            retry_seconds: None,
            local_address: None,
            remote_address: None,
            transport: transport(neighbor, true),
            bfd: bfd(neighbor, None, None, &None),
            session: None,
            counters: [("sessions".to_owned(), sessions as u64)].into(),
        })
    }
}

/// How often each is there.
fn counted(subjects: Vec<&str>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for subject in subjects {
        *counts.entry(subject.to_owned()).or_default() += 1;
    }
    counts
}

/// In one word, for the log.
pub(super) const fn state_word(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Unknown => "unknown",
        ServiceState::Down => "down",
        ServiceState::Degraded => "degraded",
        ServiceState::Up => "up",
        ServiceState::Held => "held",
        ServiceState::Draining => "draining",
        ServiceState::Drained => "drained",
    }
}

/// What a run found, that ended then.
pub(super) fn answer(outcome: Outcome, at: SystemTime) -> api::CheckAnswer {
    api::CheckAnswer {
        health: health(outcome.health),
        detail: outcome.detail,
        took_seconds: outcome.took.as_secs_f64(),
        at: at.into(),
        performance: outcome.performance.into_iter().map(performance).collect(),
    }
}

pub(super) const fn health(health: Health) -> api::Health {
    match health {
        Health::Unknown => api::Health::Unknown,
        Health::Down => api::Health::Down,
        Health::Degraded => api::Health::Degraded,
        Health::Up => api::Health::Up,
    }
}

fn performance(one: anycast_core::Performance) -> api::Performance {
    let anycast_core::Performance { label, value, unit, warn, crit, min, max } = one;
    api::Performance { label, value, unit, warn, crit, min, max }
}

/// What is remarkable about the attributes.
pub(super) fn notes(attributes: &Attributes) -> Vec<String> {
    let prepend = (attributes.as_path_prepend > 0).then(|| format!("prepend {}", attributes.as_path_prepend));
    let leaving = attributes.communities.contains(&anycast_bgp::Community::GRACEFUL_SHUTDOWN);
    prepend.into_iter().chain(leaving.then(|| "graceful-shutdown".to_owned())).collect()
}

/// What is remarkable about an announcement: that it is made though something is wrong, and its attributes.
fn remarkable(verdict: &Verdict, attributes: &Attributes) -> Vec<String> {
    let despite = verdict.services.values().filter_map(|contribution| match contribution {
        Contribution::Serves { despite: Some(Despite::Held(_)), .. } => Some("degraded while held"),
        Contribution::Serves { despite: Some(Despite::Down(_)), degraded: true, .. } => Some("degraded while down"),
        Contribution::Serves { despite: Some(Despite::Down(_)), degraded: false, .. } => Some("kept while down"),
        Contribution::Serves { despite: None, .. } | Contribution::Blocked(_) => None,
    });
    let despite: std::collections::BTreeSet<&str> = despite.collect();
    despite.into_iter().map(str::to_owned).chain(notes(attributes)).collect()
}

/// `by web`: the others that carry a prefix where this service does not.
fn carried_by(name: &ServiceName, verdict: &Verdict) -> Option<String> {
    let serves = |contribution: &Contribution| matches!(contribution, Contribution::Serves { .. });
    if verdict.services.get(name).is_none_or(serves) {
        return None;
    }
    let others = verdict.services.iter().filter(|(_, contribution)| serves(contribution));
    let others: Vec<String> = others.map(|(name, _)| name.to_string()).collect();
    Some(format!("by {}", others.join(", ")))
}

/// Whether a prefix is not announced though this service could carry it: for the others that share it.
fn kept_back(name: &ServiceName, verdict: &Verdict) -> bool {
    verdict.announced.is_none() && matches!(verdict.services.get(name), Some(Contribution::Serves { .. }))
}

/// `Established` as RFC 4271 writes it.
pub(super) const fn state_name(state: State) -> &'static str {
    match state {
        State::Idle => "Idle",
        State::Connect => "Connect",
        State::Active => "Active",
        State::OpenSent => "OpenSent",
        State::OpenConfirm => "OpenConfirm",
        State::Established => "Established",
    }
}

fn peer_as(peer_as: PeerAs) -> String {
    match peer_as {
        PeerAs::Exactly(asn) => asn.to_string(),
        PeerAs::External => "external".to_owned(),
        PeerAs::Internal => "internal".to_owned(),
    }
}

fn transport(neighbor: &Neighbor, external: bool) -> api::Transport {
    let transport = &neighbor.transport;
    api::Transport {
        passive: neighbor.connect == Connect::Passive,
        authentication: match (&transport.md5, &transport.tcp_ao) {
            (Some(_), _) => "tcp-md5",
            (None, Some(_)) => "tcp-ao",
            (None, None) => "none",
        }
        .to_owned(),
        ttl: transport.distance.ttl(external),
        min_ttl: transport.distance.min_ttl(),
        device: transport.device.clone(),
    }
}

fn session(state: &PeerState) -> Option<api::Session> {
    let negotiated = state.negotiated.as_ref()?;
    Some(api::Session {
        router_id: negotiated.peer_router_id.to_string(),
        hold_time_seconds: u64::from(negotiated.hold_time.to_wire()),
        keepalive_seconds: negotiated.keepalive.map_or(0.0, |time| time.as_secs_f64()),
        families: negotiated.families.iter().map(ToString::to_string).collect(),
        next_hops: state.next_hops.iter().map(|(family, hop)| (family.to_string(), hop.clone())).collect(),
        capabilities_sent: negotiated.offered.iter().map(ToString::to_string).collect(),
        capabilities_received: negotiated.received.iter().map(ToString::to_string).collect(),
        capabilities_in_force: negotiated.in_force(),
    })
}

fn counters(state: &PeerState) -> BTreeMap<String, u64> {
    let counters = &state.counters;
    let mut table: BTreeMap<String, u64> = [
        ("bytes_sent", counters.bytes_sent),
        ("bytes_received", counters.bytes_received),
        ("established", counters.established),
        ("connections_refused", counters.refused),
        ("prefixes_received", counters.prefixes_announced),
        ("withdrawals_received", counters.prefixes_withdrawn),
        ("treated_as_withdraw", counters.treated_as_withdraw),
        ("link_downs", counters.link_downs),
        ("attributes_discarded", counters.attributes_discarded),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    for (direction, messages) in [("sent", &counters.sent), ("received", &counters.received)] {
        let kinds = [
            ("open", messages.open),
            ("update", messages.update),
            ("notification", messages.notification),
            ("keepalive", messages.keepalive),
            ("route_refresh", messages.route_refresh),
        ];
        table.extend(kinds.map(|(kind, value)| (format!("{kind}_{direction}"), value)));
    }
    table
}

/// What the neighbor cannot be told, or is not told for the sake of the session: that is to be seen without a session as well.
fn unsendable(state: &PeerState) -> BTreeMap<String, String> {
    let quarantined = state.quarantined.iter().map(|(prefix, why)| (prefix.to_string(), why.to_string()));
    quarantined.chain(state.unsendable.iter().map(|(prefix, why)| (prefix.to_string(), why.clone()))).collect()
}

fn route(prefix: Prefix, entry: &Advertised, state: &PeerState, asn: Asn) -> api::Route {
    let attributes = entry.attributes.as_deref();
    let external = state.negotiated.as_ref().is_some_and(|session| session.external);
    let path =
        attributes.filter(|_| external).map(|attributes| vec![asn.get(); usize::from(attributes.as_path_prepend) + 1]);
    api::Route {
        prefix: prefix.to_string(),
        withdrawn: attributes.is_none(),
        progress: progress(entry.progress),
        since: wall(entry.since),
        next_hop: attributes.and(state.next_hops.get(&prefix.family()).cloned()),
        med: attributes.and_then(|attributes| attributes.med),
        local_pref: attributes.filter(|_| !external).map(|attributes| attributes.local_pref.unwrap_or(100)),
        as_path: path.unwrap_or_default(),
        communities: attributes
            .map(|attributes| attributes.communities.iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
        extended_communities: attributes
            .map(|attributes| attributes.extended(asn).iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
        large_communities: attributes
            .map(|attributes| attributes.large_communities.iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
    }
}

pub(super) const fn progress(progress: anycast_bgp::Progress) -> Progress {
    match progress {
        anycast_bgp::Progress::Queued => Progress::Queued,
        anycast_bgp::Progress::Written => Progress::Written,
        anycast_bgp::Progress::Acked => Progress::Acked,
    }
}
