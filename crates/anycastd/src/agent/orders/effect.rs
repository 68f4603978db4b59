//! What an order came to, as whoever gave it is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use anycast_api::{OrderedService, WithdrawMode};
use anycast_bgp::{Prefix, State};
use anycast_core::{
    Health, PeerId, ServiceName, decide,
    drain::{Drain, Phase},
};

use super::{
    super::{Agent, clock::wall, holds::held},
    phase_outside,
};
use crate::{peer::Peer, state::Order};

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
    /// What was held back from which neighbors, because they refused it, and is told them again.
    refused: BTreeMap<String, BTreeSet<Prefix>>,
}

impl Was {
    /// What `announce` has ended, where somebody may not have meant to.
    fn ended(&self) -> Option<String> {
        let order = self.order.as_ref()?;
        let what = if order.mode == WithdrawMode::Degrade { "degrade" } else { "withdraw" };
        let reason = order.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        Some(format!("ended the {what} by {} since {}{reason}", order.by, order.at))
    }

    /// Whether somebody is told of it again.
    fn tells_again(&self, prefix: &Prefix) -> bool {
        self.refused.values().any(|prefixes| prefixes.contains(prefix))
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
            refused: if clears { self.refused(name) } else { BTreeMap::new() },
        }
    }

    /// What the order meant for a service that was so, when the prefixes `before` were announced.
    pub(super) fn ordered(&self, name: &ServiceName, was: &Was, before: &BTreeSet<Prefix>) -> OrderedService {
        let phase = self.drains.get(name).map(Drain::phase).unwrap_or(Phase::Active);
        let mut moves = Vec::new();
        let mut stays = BTreeMap::new();
        let prefixes = self.settings.core.services.get(name).into_iter().flat_map(|service| &service.prefixes);
        for prefix in prefixes {
            // What withdraws it stands, whatever has ended.
            if let Some(file) = self.file_alone(name) {
                stays.insert(prefix.to_string(), format!("{} is there (`disable_file`)", file.display()));
                continue;
            }
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
                (Phase::Active, true, true) if was.tells_again(prefix) => moves.push(prefix.to_string()),
                (Phase::Active, _, _) => {
                    let why = verdict.map_or_else(String::new, |verdict| self.reason(verdict));
                    let why = stays_because(announced, self.is_silent(), &why, &self.not_told(*prefix));
                    stays.insert(prefix.to_string(), why);
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
            Some((Order { file: Some(file), .. }, _)) => {
                format!("; it ends when {} is removed (`disable_file`)", file.display())
            }
            Some((Order { boot: Some(_), until: None, .. }, _)) => "; it ends when the machine starts anew".to_owned(),
            Some((Order { boot: Some(_), until: Some(until), .. }, _)) => {
                format!("; it ends when the machine has started anew, at {until} at the earliest")
            }
            Some((Order { until: Some(until), .. }, _)) => format!("; the maintenance ends at {until}"),
            Some(_) => "; the maintenance ends with `announce`".to_owned(),
            None => String::new(),
        };
        let note = match self.hold_of(name) {
            Some(hold) if phase == Phase::Active => {
                let held = format!("{}; `anycastctl announce {name} --force` ends that", held(&hold));
                was.ended().into_iter().chain([held]).collect::<Vec<_>>().join("; ")
            }
            Some(_) | None if phase == Phase::Active => self.now_active(name, was),
            // It ended one thing, and there is another.
            Some(_) | None => {
                let ended = was.order.is_some() && !self.orders.contains_key(name);
                let ended = was.ended().filter(|_| ended).map_or(String::new(), |ended| ended + "; ");
                let beside = self.file_beside(name).map_or(String::new(), |file| {
                    format!(", and not before {} is removed (`disable_file`)", file.display())
                });
                let note = match phase {
                    Phase::Lingering { until } => self.lingering(was.phase, until),
                    _ => note(phase),
                };
                ended + &note + &end + &beside + &self.joined(name, was)
            }
        };
        OrderedService { service: name.to_string(), moves, stays, note, phase: phase_outside(phase) }
    }

    /// There is no session by which anybody could be told.
    fn is_silent(&self) -> bool {
        !self.peers.values().any(|peer| peer.state.borrow().state == State::Established)
    }

    /// A withdraw that nobody has to acknowledge any more: what of it was acknowledged, and by whom.
    fn lingering(&self, was: Phase, until: Instant) -> String {
        let told = !self.is_silent();
        let what = match was {
            Phase::Lingering { .. } => "withdrawn already",
            Phase::Withdrawing => "withdrawn and acknowledged",
            _ if told => "withdrawn; no neighbor held a route of it",
            _ => "withdrawn; no session is Established, so there was nobody to tell",
        };
        format!("{what}; lingering until {}", wall(until))
    }

    /// Two orders are one: neither is forgotten, and the later end holds.
    fn joined(&self, name: &ServiceName, was: &Was) -> String {
        let Some((before, now)) = was.order.as_ref().zip(self.orders.get(name)) else { return String::new() };
        let until = before.end().map_or_else(String::new, |end| format!(", {end}"));
        if before.until == now.until && before.boot == now.boot && before.reason == now.reason {
            return format!("; the order by {} since {} stands as it was{until}", before.by, before.at);
        }
        format!("; it joins the order by {} since {}{until}: the later end holds", before.by, before.at)
    }

    /// What ending a maintenance, or a hold, came to.
    fn now_active(&self, name: &ServiceName, was: &Was) -> String {
        let freed = was.freed.then(|| "the hold-down has ended".to_owned());
        let announced = self.announced_prefixes();
        let told = told_again(&was.refused, &announced);
        let idle = (was.order.is_none() && freed.is_none() && told.is_empty())
            .then(|| "there was no maintenance to end".to_owned());
        let health = self.health_of(name);
        let health = match health {
            Health::Up | Health::Degraded if self.is_silent() => {
                "announced once a session is Established: there is none now".to_owned()
            }
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

    /// What of a service is held back from which neighbors because they refuse it.
    fn refused(&self, name: &ServiceName) -> BTreeMap<String, BTreeSet<Prefix>> {
        let Some(service) = self.settings.core.services.get(name) else { return BTreeMap::new() };
        let refused = |(id, peer): (&PeerId, &Peer)| {
            let state = peer.state.borrow();
            let refused = service.prefixes.iter().filter(|prefix| state.quarantined.contains_key(prefix));
            let refused: BTreeSet<Prefix> = refused.copied().collect();
            (!refused.is_empty()).then(|| (id.to_string(), refused))
        };
        self.peers.iter().filter_map(refused).collect()
    }

    /// The neighbors that cannot be told of a prefix, and why.
    fn not_told(&self, prefix: Prefix) -> Vec<String> {
        let why = |(id, peer): (&PeerId, &Peer)| {
            let why = peer.state.borrow().unsendable.get(&prefix).cloned()?;
            Some(format!("{id} cannot be told: {why}"))
        };
        self.peers.iter().filter_map(why).collect()
    }
}

/// Why `announce` moves nothing of a prefix.
fn stays_because(announced: bool, silent: bool, why: &str, not_told: &[String]) -> String {
    if announced && silent {
        return format!("to be announced, and no session is Established: {why}");
    }
    if !announced {
        return format!("not announced: {why}");
    }
    let but = not_told.iter().map(|but| format!("; {but}"));
    format!("announced already: {why}{}", but.collect::<String>())
}

/// `tells leaf1 203.0.113.0/24 again`; of what is not announced, that nothing stands in its way any more.
fn told_again(refused: &BTreeMap<String, BTreeSet<Prefix>>, announced: &BTreeSet<Prefix>) -> Vec<String> {
    let sentences = refused.iter().flat_map(|(neighbor, prefixes)| {
        let (again, not): (Vec<&Prefix>, Vec<&Prefix>) = prefixes.iter().partition(|prefix| announced.contains(prefix));
        let again = (!again.is_empty()).then(|| format!("tells {neighbor} {} again", listed(&again)));
        let not = (!not.is_empty()).then(|| format!("holds {} back from {neighbor} no longer", listed(&not)));
        again.into_iter().chain(not)
    });
    sentences.collect()
}

/// The first few.
fn listed(prefixes: &[&Prefix]) -> String {
    const MOST: usize = 3;
    let shown: Vec<String> = prefixes.iter().take(MOST).map(ToString::to_string).collect();
    let more = prefixes.len().saturating_sub(MOST);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

fn note(phase: Phase) -> String {
    match phase {
        Phase::Active => "announced as its health says".to_owned(),
        Phase::Degraded => "announced with the degraded attributes".to_owned(),
        Phase::GracefulShutdown { until } => format!("graceful shutdown announced; withdrawn at {}", wall(until)),
        Phase::Withdrawing => "withdrawn; waiting for the neighbors' acknowledgement".to_owned(),
        Phase::Lingering { until } => format!("withdrawn; lingering until {}", wall(until)),
        Phase::Drained => "withdrawn: safe to stop".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn it_is_said_who_is_told_what_again() {
        let many = (1..=5).map(|n| prefix(&format!("192.0.{n}.0/24"))).collect();
        let refused: BTreeMap<String, BTreeSet<Prefix>> = [
            ("leaf1".to_owned(), [prefix("203.0.113.0/24"), prefix("198.51.100.0/24")].into()),
            ("leaf2".to_owned(), many),
        ]
        .into();
        let mut announced: BTreeSet<Prefix> = refused.values().flatten().copied().collect();
        announced.remove(&prefix("203.0.113.0/24"));
        assert_eq!(
            told_again(&refused, &announced),
            [
                "tells leaf1 198.51.100.0/24 again",
                "holds 203.0.113.0/24 back from leaf1 no longer",
                "tells leaf2 192.0.1.0/24, 192.0.2.0/24, 192.0.3.0/24 and 2 more again",
            ]
        );
        assert_eq!(told_again(&BTreeMap::new(), &announced), Vec::<String>::new());
    }

    #[test]
    fn what_stays_says_who_cannot_be_told() {
        let untold = ["leaf1 cannot be told: no next hop".to_owned()];
        for (announced, untold, said) in [
            (true, &[][..], "announced already: dns is up"),
            (true, &untold, "announced already: dns is up; leaf1 cannot be told: no next hop"),
            (false, &untold, "not announced: dns is up"),
        ] {
            assert_eq!(stays_because(announced, false, "dns is up", untold), said);
        }
    }
}
