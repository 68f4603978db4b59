//! What is said of services: why they are, or are not, announced, in clauses that stand alone.

use std::time::Instant;

use anycast_core::{
    CheckName, Health, ServiceName,
    config::{Combine, OnDown, Scope},
    decide::{Blocker, Contribution, Despite, Lack, Missing, Verdict},
};

use super::{
    Agent,
    holds::{held, spoken, time_until},
};
use crate::checker::{Cannot, CheckState};

/// What to do about a check whose runs prove nothing.
pub(super) const CANNOT_RUN: &str = "mend the check: that it cannot be done says nothing of the service; mend what it names (program, \
                                     user, file, permission, limit), or what it asks";

impl Agent {
    /// Why a prefix is, or is not, announced, in one clause.
    pub(super) fn reason(&self, verdict: &Verdict) -> String {
        let serves = |contribution: &&Contribution| matches!(contribution, Contribution::Serves { .. });
        // With `any`, the ones that serve carry the prefix; otherwise the ones that do not are the reason.
        let carried = verdict.announced.is_some() && verdict.combine == Combine::Any;
        let told: Vec<String> = verdict
            .services
            .iter()
            .filter(|(_, contribution)| serves(contribution) == (verdict.announced.is_some() || carried))
            .map(|(name, contribution)| self.contributes(name, contribution))
            .collect();
        told.join(", ")
    }

    fn contributes(&self, name: &ServiceName, contribution: &Contribution) -> String {
        match contribution {
            Contribution::Serves { despite: Some(Despite::Held(hold)), .. } => {
                format!("{name} is {}, announced as degraded", held(hold))
            }
            Contribution::Serves { despite: Some(Despite::Down(lack)), .. } => {
                let why = lack.as_ref().map_or_else(|| "is down".to_owned(), |lack| self.lacks(lack));
                match self.settings.core.services.get(name).map(|service| service.on_down) {
                    // It may never have been announced before.
                    Some(OnDown::Degrade) => format!("{name} {why}, announced as degraded (`on_down: degrade`)"),
                    _ => format!("{name} {why}, and stays announced as it was (`on_down: keep`)"),
                }
            }
            Contribution::Serves { leaving: true, .. } => format!("{name} is leaving (graceful shutdown)"),
            Contribution::Serves { degraded: true, .. } => format!("{name} is degraded"),
            Contribution::Serves { .. } => format!("{name} is up"),
            Contribution::Blocked(blocker) => format!("{name} {}", self.blocked(name, blocker)),
        }
    }

    /// What is said of a service that cannot take traffic.
    fn blocked(&self, name: &ServiceName, blocker: &Blocker) -> String {
        match blocker {
            Blocker::Drained => match self.ends_on() {
                Some(signal) if self.standing(name).is_none() => {
                    format!("is withdrawn as the agent ends ({signal})")
                }
                Some(_) | None => "is withdrawn for maintenance".to_owned(),
            },
            Blocker::NotBound(addresses) => {
                let list: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                format!("has no bound {}", list.join(", "))
            }
            Blocker::Unknown(Some(lack)) | Blocker::Down(Some(lack)) => self.lacks(lack),
            Blocker::Unknown(None) => {
                let known = if self.served.contains_key(name) { "any more" } else { "yet" };
                let why = self.undecided(name).map_or_else(String::new, |why| format!(": {why}"));
                format!("is not proven healthy {known}{why}")
            }
            Blocker::Down(None) => "is down".to_owned(),
            Blocker::Held(hold) => format!("is {}", held(hold)),
        }
    }

    /// `depends on dns, which is down`.
    pub(super) fn lacks(&self, lack: &Lack) -> String {
        let state = match lack.state {
            Missing::Down => "down".to_owned(),
            Missing::Held => "held down".to_owned(),
            Missing::Unknown => self.rests(&lack.service).unwrap_or_else(|| "not proven healthy".to_owned()),
        };
        format!("depends on {}, which is {state}", lack.service)
    }

    /// Why nobody checks a service: it is `withdrawn by root`, and so unbound.
    pub(super) fn rests(&self, name: &ServiceName) -> Option<String> {
        let (order, _) = self.drain_of(name).filter(|_| self.is_unbound_by_order(name))?;
        Some(format!("withdrawn by {}", order.by))
    }

    /// What keeps a service from being decided: of its checks that are not, the one that says most.
    pub(super) fn undecided(&self, name: &ServiceName) -> Option<String> {
        let service = self.settings.core.services.get(name)?;
        let open = service.checks.iter().filter_map(|(check, config)| {
            let state = self.check_state(name, check)?;
            let waits = state.health == Health::Unknown && (config.scope == Scope::Local || state.awaited);
            waits.then(|| self.open_check(name, check, config.scope, &state))
        });
        open.min().map(|(_, text)| text)
    }

    /// How grave it is, and what it is.
    fn open_check(&self, name: &ServiceName, check: &CheckName, scope: Scope, state: &CheckState) -> (u8, String) {
        let shared = if scope == Scope::Shared { "shared check" } else { "check" };
        if !state.enabled {
            return (2, format!("its {shared} `{check}` is {}", self.paused_because(name)));
        }
        if let Some(why) = proves_nothing(state) {
            return (0, format!("its {shared} `{check}` cannot be done: {why}"));
        }
        if let Some(left) = first_run_in(state) {
            return (1, format!("its {shared} `{check}` begins in {} (`start_delay`)", spoken(left)));
        }
        match state.turning {
            Some((have, need)) => (3, format!("its {shared} `{check}` has {have} of {need} answers")),
            None => (3, format!("its {shared} `{check}` has not answered yet")),
        }
    }

    /// The checks whose runs come to nothing, whether or not something is known of before.
    pub(super) fn checks_that_cannot_run(&self) -> Vec<String> {
        let services = self.settings.core.services.iter();
        let checks = services.flat_map(|(name, service)| service.checks.keys().map(move |check| (name, check)));
        let told = checks.filter_map(|(name, check)| {
            let state = self.check_state(name, check)?;
            let what = match cannot_be_done(&state) {
                Some(text) => text,
                None => format!("proves nothing: {}", proves_nothing(&state)?),
            };
            Some(format!("check {name}/{check} {what}; {CANNOT_RUN}"))
        });
        told.collect()
    }
}

/// Why a check knows nothing though it runs.
pub(super) fn proves_nothing(state: &CheckState) -> Option<String> {
    let (outcome, _) = state.last.as_ref()?;
    let nothing = state.enabled && state.health == Health::Unknown && outcome.health == Health::Unknown;
    nothing.then(|| outcome.detail.clone())
}

/// Why the runs of a check cannot be done that knows something from before, and what becomes of that.
pub(super) fn cannot_be_done(state: &CheckState) -> Option<String> {
    let Cannot { why, before } = state.cannot.as_ref()?;
    let known = state.health;
    match (state.claims_until, before) {
        (Some(until), _) => {
            Some(format!("cannot be done: {why}; what was known ({known}) holds for {} more", time_until(until)))
        }
        (None, Some(before)) if known == Health::Down => Some(format!("cannot be done: {why}, was down: {before}")),
        (None, _) if known == Health::Down => Some(format!("cannot be done: {why}, was down")),
        _ => None,
    }
}

/// How long a check still waits before it runs for the first time, where that is not now.
pub(super) fn first_run_in(state: &CheckState) -> Option<std::time::Duration> {
    let left = state.first_run?.saturating_duration_since(Instant::now());
    // What is left of a second is a second.
    let left = std::time::Duration::from_secs(left.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX));
    (!left.is_zero()).then_some(left)
}
