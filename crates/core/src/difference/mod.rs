//! What a new configuration would change, before it does: the same decision made twice.
//!
//! [`carry`] says what is known of the world once the new configuration is in force; [`difference`] decides with both, and
//! compares. Nothing here is done: who applies a configuration may ask first, and is told the truth.

mod keys;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use anycast_bgp::{Attributes, Prefix, Routes};

pub use self::keys::session_keys;
use crate::{
    check::Health,
    config::{Config, Endpoint, HoldDownTimes, Neighbor, OnHold, Service},
    decide::{CheckView, Desired, View, decide},
    drain::Phase,
    hold_down,
    name::{CheckName, PeerId, ServiceName},
};

/// The names of keys, as the configuration file has them.
pub type Keys = BTreeSet<&'static str>;

/// All that a new configuration changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// The keys of the node itself that are others.
    pub node: Keys,
    /// What becomes of neighbors; one that is missing here does not notice.
    pub neighbors: BTreeMap<PeerId, NeighborChange>,
    /// What becomes of services; one that is missing here does not notice.
    pub services: BTreeMap<ServiceName, ServiceChange>,
    /// What each neighbor is told.
    pub routes: BTreeMap<PeerId, BTreeMap<Prefix, RouteChange>>,
    /// The addresses that are added.
    pub bound: BTreeSet<IpAddr>,
    /// The addresses that are removed, once no neighbor sends to them any more.
    pub unbound: BTreeSet<IpAddr>,
    /// The anchor routes that are added.
    pub anchored: BTreeSet<Prefix>,
    /// The anchor routes that are removed.
    pub unanchored: BTreeSet<Prefix>,
    /// All that neighbors hold of this node, where none of it stays; empty where some does, or where there is nothing to lose.
    pub loses_all: BTreeSet<Prefix>,
}

/// What becomes of a neighbor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NeighborChange {
    /// Its session begins.
    Added,
    /// Its session ends.
    Removed,
    /// Its session ends and begins anew, for these keys.
    Restarts(Keys),
    /// These keys change under its session, which stays up.
    Changed(Keys),
}

/// What becomes of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceChange {
    /// It is announced once it is proven healthy.
    Added,
    /// It goes with its routes and addresses.
    Removed,
    /// It stays what it is.
    Changed {
        /// The keys that are others, without its checks.
        keys: Keys,
        /// The checks that come, go or change.
        checks: BTreeMap<CheckName, CheckChange>,
        /// Every check of it is a new one: what it was is believed until one of them is decided, and for a while at most.
        all_checks: bool,
    },
}

/// What becomes of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckChange {
    /// It begins; it counts once it is decided.
    Added,
    /// It ends.
    Removed,
    /// It goes on with what it knows.
    Changed(Keys),
}

/// What is said of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteChange {
    /// It is announced.
    Announced(Arc<Attributes>),
    /// It is withdrawn.
    Withdrawn,
    /// It is withdrawn, and announced again once these addresses are bound.
    Interrupted(BTreeSet<IpAddr>),
    /// It is announced with other attributes, without a withdraw.
    Replaced {
        /// What the neighbor was told.
        before: Arc<Attributes>,
        /// What it is told.
        after: Arc<Attributes>,
    },
}

impl Difference {
    /// Whether nothing changes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the node will do differently; `drains` are those that are others with the new configuration.
#[must_use]
pub fn difference(old: &Config, new: &Config, view: &View, drains: &BTreeMap<ServiceName, Phase>) -> Difference {
    // What neighbors hold keeps addresses bound for a moment; here it is of interest what comes of it.
    let settled = View { held: BTreeMap::new(), ..view.clone() };
    let before = decide(old, &settled);
    let view_after = carry(old, new, &settled, &before, drains);
    let after = decide(new, &view_after);
    let bound: BTreeSet<IpAddr> = after.addresses.difference(&before.addresses).copied().collect();
    let all_bound = View { bound: view_after.bound.union(&after.addresses).copied().collect(), ..view_after };
    let in_the_end = decide(new, &all_bound);
    Difference {
        node: keys::of_node(old, new),
        neighbors: neighbors(old, new),
        services: services(old, new),
        routes: routes(&before, &after, &in_the_end, &bound),
        bound,
        unbound: before.addresses.difference(&after.addresses).copied().collect(),
        anchored: after.anchors.difference(&before.anchors).copied().collect(),
        unanchored: before.anchors.difference(&after.anchors).copied().collect(),
        loses_all: lost(old, new, view, &before, &in_the_end),
    }
}

/// What is known once `new` is in force: checks are matched by service and name, and a service whose checks are all others is
/// believed to be what it was.
#[must_use]
pub fn carry(old: &Config, new: &Config, view: &View, before: &Desired, drains: &BTreeMap<ServiceName, Phase>) -> View {
    let mut after = view.clone();
    let services = &new.services;
    after.drains.extend(drains.iter().map(|(name, phase)| (name.clone(), *phase)));
    after.drains.retain(|name, _| services.contains_key(name));
    after.served.retain(|name, _| services.contains_key(name));
    after.holds.retain(|name, _| services.contains_key(name));
    for (name, phase) in &mut after.holds {
        *phase = held_by(services.get(name).and_then(|service| service.hold_down), *phase);
    }
    (after.checks, after.carried) = (BTreeMap::new(), BTreeMap::new());
    for (name, service) in services {
        let known = old.services.get(name).and_then(|_| view.checks.get(name));
        let health = before.services.get(name).map(|standing| standing.checks).filter(|it| *it != Health::Unknown);
        let new_check = CheckView { health: Health::Unknown, counts: health.is_none(), awaited: true };
        let of = |check| known.and_then(|known| known.get(check)).copied().unwrap_or(new_check);
        let checks: BTreeMap<_, _> = service.checks.keys().map(|check| (check.clone(), of(check))).collect();
        let stay = |(check, seen): (&CheckName, &CheckView)| {
            known.is_some_and(|known| known.contains_key(check)) && seen.counts
        };
        if let Some(health) = health.filter(|_| !checks.iter().any(stay)) {
            after.carried.insert(name.clone(), health);
        }
        after.checks.insert(name.clone(), checks);
    }
    after
}

/// What becomes of a hold under other times.
fn held_by(times: Option<HoldDownTimes>, phase: hold_down::Phase) -> hold_down::Phase {
    match (times, phase) {
        (Some(times), hold_down::Phase::Held(hold)) => {
            hold_down::Phase::Held(hold_down::Hold { degrades: times.on_hold == OnHold::Degrade, ..hold })
        }
        (None, _) | (_, hold_down::Phase::Free) => hold_down::Phase::Free,
    }
}

fn neighbors(old: &Config, new: &Config) -> BTreeMap<PeerId, NeighborChange> {
    let all: BTreeSet<&PeerId> = old.neighbors.keys().chain(new.neighbors.keys()).collect();
    let change = |id: &PeerId| match (old.neighbors.get(id), new.neighbors.get(id)) {
        (None, Some(_)) => Some(NeighborChange::Added),
        (Some(_), None) => Some(NeighborChange::Removed),
        (Some(before), Some(after)) => {
            let restarts = session_keys((old, before), (new, after));
            let changes = keys::under_a_session(before, after);
            match (restarts.is_empty(), changes.is_empty()) {
                (false, _) => Some(NeighborChange::Restarts(restarts)),
                (true, false) => Some(NeighborChange::Changed(changes)),
                (true, true) => None,
            }
        }
        (None, None) => None,
    };
    all.into_iter().filter_map(|id| Some((id.clone(), change(id)?))).collect()
}

fn services(old: &Config, new: &Config) -> BTreeMap<ServiceName, ServiceChange> {
    let all: BTreeSet<&ServiceName> = old.services.keys().chain(new.services.keys()).collect();
    let change = |name: &ServiceName| match (old.services.get(name), new.services.get(name)) {
        (None, Some(_)) => Some(ServiceChange::Added),
        (Some(_), None) => Some(ServiceChange::Removed),
        (Some(before), Some(after)) if before != after => {
            let all_checks = !after.checks.keys().any(|check| before.checks.contains_key(check));
            Some(ServiceChange::Changed {
                keys: keys::of_service(before, after),
                checks: checks(before, after),
                all_checks,
            })
        }
        _ => None,
    };
    all.into_iter().filter_map(|name| Some((name.clone(), change(name)?))).collect()
}

fn checks(before: &Service, after: &Service) -> BTreeMap<CheckName, CheckChange> {
    let all: BTreeSet<&CheckName> = before.checks.keys().chain(after.checks.keys()).collect();
    let change = |name: &CheckName| match (before.checks.get(name), after.checks.get(name)) {
        (None, Some(_)) => Some(CheckChange::Added),
        (Some(_), None) => Some(CheckChange::Removed),
        (Some(before), Some(after)) if before != after => Some(CheckChange::Changed(keys::of_check(before, after))),
        _ => None,
    };
    all.into_iter().filter_map(|name| Some((name.clone(), change(name)?))).collect()
}

fn routes(
    before: &Desired,
    after: &Desired,
    in_the_end: &Desired,
    bound: &BTreeSet<IpAddr>,
) -> BTreeMap<PeerId, BTreeMap<Prefix, RouteChange>> {
    let none = Routes::new();
    let all: BTreeSet<&PeerId> = before.routes.keys().chain(after.routes.keys()).collect();
    let of = |desired: &'_ Desired, id: &PeerId| desired.routes.get(id).cloned().unwrap_or_else(|| none.clone());
    let changes = all.into_iter().map(|id| {
        let (was, is, becomes) = (of(before, id), of(after, id), of(in_the_end, id));
        let prefixes: BTreeSet<Prefix> = was.keys().chain(is.keys()).copied().collect();
        let change = |prefix: &Prefix| match (was.get(prefix), is.get(prefix)) {
            (None, Some(attributes)) => Some(RouteChange::Announced(Arc::clone(attributes))),
            (Some(_), None) if becomes.contains_key(prefix) => {
                Some(RouteChange::Interrupted(bound.range(prefix.addresses()).copied().collect()))
            }
            (Some(_), None) => Some(RouteChange::Withdrawn),
            (Some(before), Some(after)) if before != after => {
                Some(RouteChange::Replaced { before: Arc::clone(before), after: Arc::clone(after) })
            }
            _ => None,
        };
        let changed: BTreeMap<_, _> = prefixes.iter().filter_map(|prefix| Some((*prefix, change(prefix)?))).collect();
        (id.clone(), changed)
    });
    changes.filter(|(_, changed)| !changed.is_empty()).collect()
}

/// What neighbors hold now and are to hold, where nothing of it stays with any router that has it. A withdraw that is under way,
/// or was ordered, is not counted; nor is the moment that a session takes to begin anew, or an address to be bound.
fn lost(old: &Config, new: &Config, view: &View, before: &Desired, in_the_end: &Desired) -> BTreeSet<Prefix> {
    let none = Routes::new();
    let announced = |(id, held): (&PeerId, &BTreeSet<Prefix>)| -> Vec<Prefix> {
        let wanted = before.routes.get(id).unwrap_or(&none);
        held.iter().filter(|prefix| wanted.contains_key(*prefix)).copied().collect()
    };
    let announced: BTreeSet<Prefix> = view.held.iter().flat_map(announced).collect();
    // One that has no session gives nobody a way here.
    let holding = view.held.iter().filter(|(_, held)| !held.is_empty());
    let holders: Vec<&Neighbor> = holding.filter_map(|(id, _)| old.neighbors.get(id)).collect();
    let stays = new.neighbors.iter().any(|(id, neighbor)| {
        let reached = holders.iter().any(|holder| is_same_router(&holder.endpoint, &neighbor.endpoint));
        let routes = in_the_end.routes.get(id).unwrap_or(&none);
        reached && announced.iter().any(|prefix| routes.contains_key(prefix))
    });
    if stays { BTreeSet::new() } else { announced }
}

fn is_same_router(before: &Endpoint, after: &Endpoint) -> bool {
    match (before.network(), after.network()) {
        (Some(before), Some(after)) => before.contains(&after) || after.contains(&before),
        _ => before == after,
    }
}

#[cfg(test)]
mod tests;
