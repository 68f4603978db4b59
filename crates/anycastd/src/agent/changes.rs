//! What changed since the last decision, and since when everything is as it is.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Instant, SystemTime},
};

use anycast_api::ServiceState;
use anycast_bgp::{Attributes, Prefix};
use anycast_core::{Health, ServiceName};

use super::{Agent, report};

/// What a prefix is announced with; `None`: it is not.
type With = Option<Arc<Attributes>>;

/// How everything is, and since when.
#[derive(Debug, Default)]
pub(super) struct Since {
    pub(super) services: BTreeMap<ServiceName, (ServiceState, SystemTime)>,
    /// Whatever is ordered.
    pub(super) healths: BTreeMap<ServiceName, (Health, SystemTime)>,
    pub(super) prefixes: BTreeMap<Prefix, (With, SystemTime)>,
}

/// What somebody may want to read of.
#[derive(Debug)]
pub(super) enum Change {
    Service {
        name: ServiceName,
        before: Option<ServiceState>,
        state: ServiceState,
    },
    /// It is announced, is no longer, or is with other attributes than before.
    Prefix {
        prefix: Prefix,
        before: With,
        with: With,
        why: String,
    },
    /// It was announced, and is not configured any more.
    Forgotten(Prefix),
}

impl Agent {
    /// Sees which services and prefixes changed their state.
    pub(super) fn note_changes(&mut self) {
        let now = SystemTime::now();
        let services = &self.settings.core.services;
        let states: Vec<_> = services.keys().map(|name| (name.clone(), self.service_state(name))).collect();
        self.since.services.retain(|name, _| services.contains_key(name));
        self.history.keep(|name| services.contains_key(name));
        for (name, state) in states {
            self.history.note(&name, state, Instant::now());
            if let Some(before) = changed(&mut self.since.services, &name, state, now) {
                self.changes.push(Change::Service { name, before, state });
            }
        }
        self.since.healths.retain(|name, _| services.contains_key(name));
        for (name, standing) in &self.desired.services {
            changed(&mut self.since.healths, name, standing.health, now);
        }
        self.note_prefixes(now);
    }

    fn note_prefixes(&mut self, now: SystemTime) {
        let (desired, changes) = (&self.desired.prefixes, &mut self.changes);
        self.since.prefixes.retain(|prefix, (with, _)| {
            let stays = desired.contains_key(prefix);
            if !stays && with.is_some() {
                changes.push(Change::Forgotten(*prefix));
            }
            stays
        });
        for (prefix, verdict) in &self.desired.prefixes {
            let with = verdict.announced.clone();
            let Some(before) = changed(&mut self.since.prefixes, prefix, with.clone(), now) else { continue };
            let before = before.flatten();
            if before.is_some() || with.is_some() {
                let why = self.reason(verdict);
                self.changes.push(Change::Prefix { prefix: *prefix, before, with, why });
            }
        }
    }

    /// Tells the log, and those who follow what happens.
    pub(super) fn tell_changes(&mut self) {
        for change in std::mem::take(&mut self.changes) {
            match change {
                Change::Service { name, before, state } => {
                    let text = match before {
                        Some(before) => format!("{} → {}", report::state_word(before), report::state_word(state)),
                        None => report::state_word(state).to_owned(),
                    };
                    tracing::info!(service = %name, "{text}");
                    self.sink.report("service", name, text);
                }
                Change::Forgotten(prefix) => self.sink.report("route", prefix, "withdrawn: no longer configured"),
                Change::Prefix { prefix, before, with, why } => {
                    let announced = with.is_some();
                    let text = match (before, with) {
                        (_, None) => format!("withdrawn: {why}"),
                        (None, Some(_)) => format!("announced: {why}"),
                        (Some(_), Some(with)) => {
                            let notes = report::notes(&with).join(", ");
                            let notes = if notes.is_empty() { notes } else { format!(" ({notes})") };
                            format!("announced with other attributes{notes}: {why}")
                        }
                    };
                    tracing::info!(%prefix, announced, "{text}");
                    self.sink.report("route", prefix, text);
                }
            }
        }
    }
}

/// What it was before, if it is another now; `Some(None)`: it was not known.
fn changed<K: Ord + Clone, V: PartialEq>(
    since: &mut BTreeMap<K, (V, SystemTime)>,
    of: &K,
    is: V,
    now: SystemTime,
) -> Option<Option<V>> {
    if since.get(of).is_some_and(|(was, _)| *was == is) {
        return None;
    }
    Some(since.insert(of.clone(), (is, now)).map(|(was, _)| was))
}
