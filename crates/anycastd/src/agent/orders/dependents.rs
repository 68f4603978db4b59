//! The services that go with one that is withdrawn, though nobody has withdrawn them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anycast_api::{Dependent, WithdrawMode};
use anycast_core::{
    ServiceName,
    config::{OnDown, Service, Unbind},
};

use super::Agent;

impl Agent {
    /// Of the services that an order was for: what depends on those that are withdrawn, and is not withdrawn as well.
    pub(super) fn left_behind(&self, ordered: &[ServiceName]) -> Vec<Dependent> {
        let services = &self.settings.core.services;
        let withdrawn =
            |name: &ServiceName| self.standing(name).is_some_and(|order| order.mode != WithdrawMode::Degrade);
        let roots = ordered.iter().filter(|name| withdrawn(name)).cloned();
        let paths = paths(services, roots.collect());
        let left = paths.into_iter().filter(|(name, _)| !withdrawn(name));
        left.filter_map(|(name, path)| dependent(services, &name, &path)).collect()
    }
}

/// What depends on the roots, with what lies between: the nearest first, the root last.
fn paths(
    services: &BTreeMap<ServiceName, Service>,
    roots: BTreeSet<ServiceName>,
) -> BTreeMap<ServiceName, Vec<ServiceName>> {
    let mut found = BTreeMap::new();
    let mut open: VecDeque<(ServiceName, Vec<ServiceName>)> =
        roots.iter().map(|root| (root.clone(), Vec::new())).collect();
    while let Some((name, path)) = open.pop_front() {
        let path: Vec<ServiceName> = std::iter::once(name.clone()).chain(path).collect();
        for (other, _) in services.iter().filter(|(_, service)| service.depends_on.contains(&name)) {
            if !roots.contains(other) && !found.contains_key(other) {
                found.insert(other.clone(), path.clone());
                open.push_back((other.clone(), path.clone()));
            }
        }
    }
    found
}

/// What becomes of it.
fn dependent(services: &BTreeMap<ServiceName, Service>, name: &ServiceName, path: &[ServiceName]) -> Option<Dependent> {
    let (service, root) = (services.get(name)?, path.last()?);
    let rests = services.get(root)?.unbind == Unbind::Drained;
    let becomes = match service.on_down {
        // Its checks rest then: it is unknown, of which nothing is announced whatever `on_down` says.
        _ if rests => format!("it goes as soon as {root} is drained and unbound, without a drain"),
        OnDown::Withdraw => "it goes down with it, without a drain".to_owned(),
        OnDown::Degrade => "it goes down with it, and is announced as degraded (`on_down: degrade`)".to_owned(),
        OnDown::Keep => "it goes down with it, and stays announced as it was (`on_down: keep`)".to_owned(),
    };
    let depends: Vec<String> = path.iter().map(ToString::to_string).collect();
    let note = format!("{name} depends on {}: {becomes}", depends.join(", which depends on "));
    Some(Dependent { service: name.to_string(), depends_on: depends, note })
}
