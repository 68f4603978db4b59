//! From one configuration to the next, as a difference: what did not change does not notice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use anycast_core::{
    CheckName, Health, PeerId, ServiceName,
    config::{CheckConfig, Endpoint, Neighbor, Service, neighbor_from},
};

use super::{Agent, Carried, Farewell};
use crate::{
    checker::{Around, Checker},
    config::{Lasting, Settings},
    disable::Look,
    listener::ListenPlan,
    peer::{self, Past, Peer, Start},
    state::{Loaded, Order},
};

/// The problem that the file is not what is in force.
pub(super) const RELOAD: &str = "reload";

impl Agent {
    /// The first configuration, and the orders that outlived the last process.
    pub(super) fn begin(&mut self, loaded: Loaded) {
        self.remember();
        self.begin_holds();
        self.take_over_orders(loaded);
        self.drop_orders();
        for name in self.under_orders() {
            if let Some(order) = self.standing(&name).cloned().filter(|_| !self.drains_on(&name)) {
                self.resume(&name, &order);
            }
        }
        let waits = || self.settings.core.neighbors.values().filter_map(|neighbor| neighbor.restart_time);
        self.complete_by = waits().min().map(|time| Instant::now() + time);
        // Routers that connect to us may take as long as that.
        self.restarted_until = self.restarted_until.zip(waits().max()).map(|(at, time)| at + time);
        self.settle(&BTreeMap::new());
        self.settle_hold_downs(BTreeMap::new());
        match self.go_on() {
            Some(upgraded) => self.tell_upgrade(upgraded),
            None => self.report_own(format!("started, anycastd {}", env!("CARGO_PKG_VERSION"))),
        }
    }

    /// An order goes with its service.
    fn drop_orders(&mut self) {
        let before = self.orders.len();
        let services = &self.settings.core.services;
        self.orders.retain(|name, _| {
            let known = services.contains_key(name);
            if !known {
                tracing::warn!(service = %name, "an order for a service that is not configured is forgotten");
            }
            known
        });
        if self.orders.len() < before {
            self.tidy_orders("an order has gone with its service");
        }
    }

    /// The orders for the services that come while the whole node is withdrawn: they are of the node too.
    pub(super) fn inherited(&self, settings: &Settings) -> BTreeMap<ServiceName, Order> {
        let comes = |name: &&ServiceName| !self.settings.core.services.contains_key(*name);
        let new = settings.core.services.keys().filter(comes);
        self.whole_node().map(|order| new.map(|name| (name.clone(), order.clone())).collect()).unwrap_or_default()
    }

    /// The order for the whole node that is in force.
    pub(super) fn whole_node(&self) -> Option<&Order> {
        self.orders.values().filter(|order| order.whole_node).max_by_key(|order| order.at)
    }

    fn inherit(&mut self, orders: BTreeMap<ServiceName, Order>) {
        if orders.is_empty() {
            return;
        }
        for (name, order) in orders {
            self.resume(&name, &order);
            self.orders.insert(name, order);
        }
        self.tidy_orders("a service has come while the node is withdrawn");
    }

    /// Takes a new configuration over; `text` says whose it is, and what it changes.
    pub(super) fn take_over(&mut self, settings: Settings, looks: &BTreeMap<ServiceName, Look>, text: String) {
        self.preparing.clear();
        let before = self.desired.services.iter().map(|(name, standing)| (name.clone(), standing.checks)).collect();
        let inherited = self.inherited(&settings);
        let disabled = self.disabled_after(&settings, looks);
        let old = std::mem::replace(&mut self.settings, settings);
        self.fence.set_stale_after(self.settings.stale_after);
        self.drop_orders();
        self.inherit(inherited);
        self.settle(&before);
        self.take_disabled(disabled);
        self.settle_hold_downs(other_checks(&old, &self.settings));
        self.wait_for_restart();
        self.problem(RELOAD, None);
        // Who has reloaded since has seen it: what was to be mended may be in the file.
        tracing::info!("{text}");
        self.sink.report("config", &self.settings.core.node.name, text);
        self.turn();
    }

    /// Says which settings are not in force as they are configured.
    pub(super) fn wait_for_restart(&mut self) {
        let waiting = self.lasting.unlike(&Lasting::of(&self.settings));
        let text = || format!("changes of {} take effect at the next start of the agent", waiting.join(", "));
        self.problem("restart", (!waiting.is_empty()).then(text));
    }

    /// A new configuration was refused.
    pub(crate) fn reload_failed(&mut self, why: String) {
        self.sink.report("config", &self.settings.core.node.name, format!("reload refused: {why}"));
        self.problem(RELOAD, Some(format!("the last reload was refused, the old configuration stands: {why}")));
    }

    /// Brings tasks in line with the configuration.
    pub(super) fn settle(&mut self, before: &BTreeMap<ServiceName, Health>) {
        self.settle_peers();
        self.settle_services(before);
        self.settle_disable_files();
    }

    fn settle_peers(&mut self) {
        let neighbors = self.settings.core.neighbors.clone();
        for id in self.peers.keys().cloned().collect::<Vec<_>>() {
            let Some(peer) = self.peers.get(&id) else { continue };
            let Some(neighbor) = as_configured(&neighbors, &id, peer) else {
                tracing::info!(neighbor = %id, "closing the session: removed from the configuration");
                self.part_with(&id, Farewell::Deconfigured);
                continue;
            };
            // How it is drained and what it is told is a matter of the decision: the session only hears of routes, and of limits
            // and BFD as they change.
            let as_before = Neighbor {
                drain_by: peer.neighbor.drain_by,
                attributes: peer.neighbor.attributes.clone(),
                limits: peer.neighbor.limits,
                bfd: peer.neighbor.bfd.clone(),
                ..neighbor.clone()
            };
            let session = peer::session_config(&self.settings.core, &neighbor, peer::seed(&id));
            if as_before != peer.neighbor || session != peer.session {
                tracing::info!(neighbor = %id, "closing the session: its configuration changed");
                self.part_with(&id, Farewell::Reconfigured);
            } else if let Some(peer) = self.peers.get_mut(&id) {
                peer.reconfigure(neighbor);
            }
        }
        self.start_peers();
        self.listen
            .send_replace(ListenPlan { listen: self.settings.core.listen.clone(), neighbors: Arc::new(neighbors) });
    }

    /// Starts the neighbors that have no task yet. One whose former session is still being closed waits for that: the router
    /// would take the second connection for a collision (RFC 4271 §6.8).
    pub(super) fn start_peers(&mut self) {
        let (stopping, goes_on) = (self.is_stopping(), self.goes_on.as_ref());
        // A session that was taken out of its task is to be ended as well.
        let may_begin = |id: &PeerId| !stopping || goes_on.is_some_and(|it| it.sessions.contains_key(id));
        let missing = |(id, neighbor): &(&PeerId, &Neighbor)| {
            let closing = self.parting.iter().any(|(_, peer)| peer.neighbor.endpoint == neighbor.endpoint);
            !neighbor.is_network() && !closing && !self.peers.contains_key(*id) && may_begin(id)
        };
        let missing = self.settings.core.neighbors.iter().filter(missing);
        for (id, neighbor) in missing.map(|(id, neighbor)| (id.clone(), neighbor.clone())).collect::<Vec<_>>() {
            self.start_peer(&id, &id, &neighbor);
        }
    }

    /// What a neighbor may still keep of us when its session begins (RFC 4724 §3).
    fn past(&self, neighbor: &Neighbor) -> Past {
        let now = Instant::now();
        if self.restarted_until.is_some_and(|until| now < until) {
            return Past::OtherProcess;
        }
        // What is older than the restart time nobody keeps; so it is of this process, whose addresses are still bound.
        let uptime = now.saturating_duration_since(self.started.0);
        if neighbor.restart_time.is_some_and(|time| uptime > time) { Past::ThisProcess } else { Past::Nothing }
    }

    pub(super) fn start_peer(&mut self, id: &PeerId, of: &PeerId, neighbor: &Neighbor) {
        let left = self.session_of(id);
        // What was said and heard goes on with the session.
        let past = if left.is_some() { Past::Nothing } else { self.past(neighbor) };
        let path = self.paths.take(id, neighbor, Instant::now());
        let start = Start {
            id,
            of,
            neighbor,
            seed: peer::seed(id),
            past,
            complete: self.complete_by.is_none(),
            bfd: &self.bfd,
            instruments: &self.instruments,
            path,
            left,
        };
        let mut peer = Peer::start(
            &self.settings.core,
            start,
            self.wake.clone(),
            self.sink.clone(),
            Arc::clone(&self.refusals),
            self.fence.clone(),
            self.links.clone(),
        );
        if let Some(routes) = self.desired.routes.get(of) {
            peer.set_routes(routes, Instant::now());
        }
        self.peers.insert(id.clone(), peer);
    }

    fn settle_services(&mut self, before: &BTreeMap<ServiceName, Health>) {
        let services = self.settings.core.services.clone();
        self.drains.retain(|name, _| services.contains_key(name));
        self.checkers.retain(|name, _| services.contains_key(name));
        self.carried.retain(|name, _| services.contains_key(name));
        for (name, service) in &services {
            let now = Instant::now();
            let begun = self.drain_begun(name, service, now);
            self.drains.entry(name.clone()).or_insert(begun).reconfigure(service.drain);
            self.settle_checks(name, service, before.get(name).copied());
        }
        self.settle_watch();
        self.keep_times();
        self.count_traffic();
    }

    /// Has counted what comes for the addresses of the services that ask for it.
    fn count_traffic(&mut self) {
        let asking = self.settings.core.services.values().filter(|service| service.traffic);
        self.traffic.set(asking.flat_map(|service| service.addresses.iter().copied()).collect());
    }

    /// What was measured of neighbors and checks that are gone goes with them.
    pub(super) fn keep_times(&self) {
        let services = &self.settings.core.services;
        let is_check = |service: &str, check: &str| {
            services.get(service).is_some_and(|service| service.checks.contains_key(check))
        };
        self.instruments.keep(|neighbor| self.peers.contains_key(neighbor), is_check);
    }

    /// Checks are matched by service and name: what a check knows survives any change of its settings.
    fn settle_checks(&mut self, name: &ServiceName, service: &Service, before: Option<Health>) {
        let known = service.checks.keys().filter_map(|check| Some((check.clone(), self.known_of(name, check)?)));
        let mut known: BTreeMap<_, _> = known.collect();
        let checkers = self.checkers.entry(name.clone()).or_default();
        checkers.retain(|check, _| service.checks.contains_key(check));
        let decided = before.filter(|health| *health != Health::Unknown);
        if checkers.values().any(|checker| checker.state.borrow().counts) {
            self.carried.remove(name);
        } else if let Some(health) = decided {
            // Further reloads do not make it last longer.
            let until = Instant::now() + believed_for(service);
            let carried = self.carried.entry(name.clone()).or_insert(Carried { health, until });
            carried.health = health;
        } else {
            self.carried.remove(name);
        }
        let (listeners, holder) = (self.watch.listeners(), self.watch.holder());
        let around = Around {
            wake: &self.wake,
            sink: &self.sink,
            instruments: &self.instruments,
            fence: &self.fence,
            listeners: &listeners,
            holder: &holder,
        };
        for (check, config) in &service.checks {
            if let Some(checker) = checkers.get(check) {
                checker.reconfigure(config);
                continue;
            }
            let known = known.remove(check);
            let checker = Checker::start(name, check, config, decided.is_some(), known, around);
            checkers.insert(check.clone(), checker);
        }
    }
}

/// How long what was known of a service is believed while none of its checks is decided: as long as the slowest of them would be.
fn believed_for(service: &Service) -> Duration {
    let of = |check: &CheckConfig| check.timing.stale_after.max(check.timing.interval * 10);
    service.checks.values().map(of).max().unwrap_or_default()
}

/// What the configuration says of the router that a session is with; `None`: nothing, or of another neighbor.
fn as_configured(neighbors: &BTreeMap<PeerId, Neighbor>, id: &PeerId, peer: &Peer) -> Option<Neighbor> {
    let neighbor = neighbors.get(&peer.of)?;
    // What was one router is a network now, or the other way round: its session has another name.
    if neighbor.is_network() == (*id == peer.of) {
        return None;
    }
    let (Endpoint::Network(..), Endpoint::Address(address)) = (&neighbor.endpoint, &peer.neighbor.endpoint) else {
        return Some(neighbor.clone());
    };
    // A neighbor that is named, or a smaller network, may have come between.
    let (closest, _) = neighbor_from(neighbors, *address)?;
    (*closest == peer.of).then(|| neighbor.at(*address))
}

/// The services of which something else is expected than before, each with the checks that ask something else. When they ask
/// says nothing about what they find.
fn other_checks(old: &Settings, new: &Settings) -> BTreeMap<ServiceName, BTreeSet<CheckName>> {
    let other = |(name, service): (&ServiceName, &Service)| {
        let before = old.core.services.get(name)?;
        let asks = |check: &CheckConfig| (check.probe.clone(), check.scope);
        let others =
            service.checks.iter().filter(|(check, config)| before.checks.get(*check).map(asks) != Some(asks(config)));
        let others: BTreeSet<_> = others.map(|(check, _)| check.clone()).collect();
        let fewer = before.checks.keys().any(|check| !service.checks.contains_key(check));
        (fewer || !others.is_empty() || before.require != service.require).then(|| (name.clone(), others))
    };
    new.core.services.iter().filter_map(other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_a_check_asks_is_not_what_it_expects() {
        let home = tempfile::tempdir().unwrap();
        let read = |checks: &str| {
            let file = home.path().join("anycastd.yaml");
            let text = format!(
                "bgp: {{ asn: 65010, router_id: 192.0.2.2, neighbors: [] }}\nservices:\n  - name: web\n    addresses: [192.0.2.80]\n    \
                 prefixes: [192.0.2.0/24]\n    checks: {checks}\n"
            );
            std::fs::write(&file, text).unwrap();
            crate::config::load(&file, false).unwrap().settings
        };
        let before = read("[{ name: a, type: tcp, port: 80, interval: 30s }, { name: b, type: tcp, port: 81 }]");
        let table: [(&str, Option<&[&str]>); 5] = [
            ("[{ name: a, type: tcp, port: 80, interval: 500ms, fall: 1 }, { name: b, type: tcp, port: 81 }]", None),
            ("[{ name: a, type: tcp, port: 82, interval: 30s }, { name: b, type: tcp, port: 81 }]", Some(&["a"])),
            ("[{ name: a, type: tcp, port: 80 }, { name: c, type: tcp, port: 81 }]", Some(&["c"])),
            ("[{ name: a, type: tcp, port: 80 }]", Some(&[])),
            ("[{ name: a, type: tcp, port: 80 }, { name: b, type: tcp, port: 81, scope: shared }]", Some(&["b"])),
        ];
        for (checks, expected) in table {
            let others = other_checks(&before, &read(checks));
            let names: Option<Vec<&str>> =
                others.get("web").map(|names| names.iter().map(|name| name.as_str()).collect());
            assert_eq!(names.as_deref(), expected, "{checks}");
        }
    }
}
