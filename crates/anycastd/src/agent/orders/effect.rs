//! What an order came to, as whoever gave it is told.

use std::collections::{BTreeMap, BTreeSet};

use anycast_api::{OrderedService, WithdrawMode};
use anycast_bgp::Prefix;
use anycast_core::{
    Health, ServiceName, decide,
    drain::{Drain, Phase},
};

use super::{
    super::{Agent, clock::wall, holds::held},
    phase_outside,
};
use crate::state::Order;

/// What a service was before an order.
#[derive(Debug, Clone)]
pub(super) struct Was {
    phase: Phase,
    /// The order that it was under.
    order: Option<Order>,
    /// It was held down, and the order ends that.
    freed: bool,
    /// Its addresses were unbound because it was drained.
    unbound: bool,
    /// The neighbors that are told again what they refused.
    refused_by: Vec<String>,
}

impl Was {
    /// What `announce` has ended, where somebody may not have meant to.
    fn ended(&self) -> Option<String> {
        let order = self.order.as_ref()?;
        let what = if order.mode == WithdrawMode::Degrade { "degrade" } else { "withdraw" };
        let reason = order.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        Some(format!("ended the {what} by {} since {}{reason}", order.by, order.at))
    }
}

impl Agent {
    /// What a service is before an order; `clears`: one that ends its hold, and tells neighbors again what they refused.
    pub(super) fn before(&self, name: &ServiceName, clears: bool) -> Was {
        Was {
            phase: self.phase_of(name),
            order: self.orders.get(name).cloned(),
            freed: clears && self.hold_of(name).is_some(),
            unbound: self.is_unbound_by_order(name),
            refused_by: if clears { self.refusing(name) } else { Vec::new() },
        }
    }

    /// What the order meant for a service that was so, when the prefixes `before` were announced.
    pub(super) fn ordered(&self, name: &ServiceName, was: &Was, before: &BTreeSet<Prefix>) -> OrderedService {
        let phase = self.drains.get(name).map(Drain::phase).unwrap_or(Phase::Active);
        let mut moves = Vec::new();
        let mut stays = BTreeMap::new();
        let prefixes = self.settings.core.services.get(name).into_iter().flat_map(|service| &service.prefixes);
        for prefix in prefixes {
            let verdict = self.desired.prefixes.get(prefix);
            let announced = verdict.is_some_and(|verdict| verdict.announced.is_some());
            let other_serves = verdict.is_some_and(|verdict| {
                verdict.combine == anycast_core::config::Combine::Any
                    && verdict.services.iter().any(|(other, contribution)| {
                        other != name && matches!(contribution, decide::Contribution::Serves { leaving: false, .. })
                    })
            });
            match (phase, before.contains(prefix), announced) {
                (Phase::Active, false, true) => moves.push(prefix.to_string()),
                // The attributes change back.
                (Phase::Active, true, true) if was.phase != Phase::Active => moves.push(prefix.to_string()),
                (Phase::Active, _, _) => {
                    let why = verdict.map_or_else(String::new, |verdict| self.reason(verdict));
                    stays.insert(
                        prefix.to_string(),
                        if announced { format!("announced already: {why}") } else { format!("not announced: {why}") },
                    );
                }
                (_, _, true) if other_serves => {
                    stays.insert(prefix.to_string(), "another service carries it".to_owned());
                }
                (_, false, false) => {
                    stays.insert(prefix.to_string(), "it was not announced".to_owned());
                }
                (_, _, _) => moves.push(prefix.to_string()),
            }
        }
        let end = match self.drain_of(name) {
            Some((Order { until: Some(until), .. }, _)) => format!("; the maintenance ends at {until}"),
            Some(_) if phase != Phase::Degraded => "; the maintenance ends with `announce`".to_owned(),
            Some(_) | None => String::new(),
        };
        let note = match self.hold_of(name) {
            Some(hold) if phase == Phase::Active => {
                let held = format!("{}; `anycastctl announce {name} --force` ends that", held(&hold));
                was.ended().into_iter().chain([held]).collect::<Vec<_>>().join("; ")
            }
            Some(_) | None if phase == Phase::Active => self.now_active(name, was),
            Some(_) | None => note(phase) + &end,
        };
        OrderedService { service: name.to_string(), moves, stays, note, phase: phase_outside(phase) }
    }

    /// What ending a maintenance, or a hold, came to.
    fn now_active(&self, name: &ServiceName, was: &Was) -> String {
        let freed = was.freed.then(|| "the hold-down has ended".to_owned());
        let told =
            (!was.refused_by.is_empty()).then(|| format!("tells {} again what it refused", was.refused_by.join(", ")));
        let idle = (was.order.is_none() && freed.is_none() && told.is_none())
            .then(|| "there was no maintenance to end".to_owned());
        let health = self.health_of(name);
        let health = match health {
            Health::Up | Health::Degraded => note(Phase::Active),
            Health::Unknown if was.unbound => {
                format!(
                    "it begins to bind its addresses, and to check them: `anycastctl explain {name}` tells how far it is"
                )
            }
            Health::Down | Health::Unknown => {
                let what = if health == Health::Down { "it is down" } else { "it is not proven healthy" };
                format!("{what}, which an order does not change: `anycastctl explain {name}` tells why")
            }
        };
        let said: Vec<String> = was.ended().into_iter().chain(freed).chain(told).chain(idle).chain([health]).collect();
        said.join("; ")
    }

    /// The neighbors from which something of a service is held back because they refuse it.
    fn refusing(&self, name: &ServiceName) -> Vec<String> {
        let Some(service) = self.settings.core.services.get(name) else { return Vec::new() };
        let refuses = |peer: &crate::peer::Peer| {
            let state = peer.state.borrow();
            service.prefixes.iter().any(|prefix| state.quarantined.contains_key(prefix))
        };
        self.peers.iter().filter(|(_, peer)| refuses(peer)).map(|(id, _)| id.to_string()).collect()
    }
}

fn note(phase: Phase) -> String {
    match phase {
        Phase::Active => "announced as its health says".to_owned(),
        Phase::Degraded => "announced with the degraded attributes until `announce`".to_owned(),
        Phase::GracefulShutdown { until } => format!("graceful shutdown announced; withdrawn at {}", wall(until)),
        Phase::Withdrawing => "withdrawn; waiting for the neighbors' acknowledgement".to_owned(),
        Phase::Lingering { until } => format!("withdrawn and acknowledged; lingering until {}", wall(until)),
        Phase::Drained => "withdrawn: safe to stop".to_owned(),
    }
}
