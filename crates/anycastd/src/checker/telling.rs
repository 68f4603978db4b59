//! What others hear of a check: the decision loop, the log, and those who follow what happens.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anycast_core::{Check, Health, Outcome};

use super::{CheckState, Driver};
use crate::{agent::time_until, hints::Hint};

/// A hint is told of when it is the first for as long; where sockets come and go all the time the counter says enough.
const HINTS_TOLD: Duration = Duration::from_secs(1);

/// A check whose runs cannot be done: they prove nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cannot {
    pub(crate) why: String,
    /// What the last run found that could be done.
    pub(crate) before: Option<String>,
}

/// The check changed its mind.
#[derive(Clone)]
pub(super) struct Change {
    was: Health,
    health: Health,
    detail: String,
}

impl Driver {
    pub(super) fn tell_hint(&mut self, hint: Hint, now: Instant) {
        if self.check.enabled() && self.hint_told.is_none_or(|told| now.duration_since(told) >= HINTS_TOLD) {
            self.hint_told = Some(now);
            self.tell(&format!("hint: {hint}"));
        }
    }

    /// A run could not be done; before it is the last answer.
    pub(super) fn cannot_be_done(&mut self, why: String) {
        let last = self.check.last().filter(|last| last.health != Health::Unknown);
        let before = match self.cannot.take() {
            Some(cannot) => cannot.before,
            None => last.map(|last| last.detail.clone()),
        };
        self.cannot = Some(Cannot { why, before });
    }

    /// A check that cannot be done changes nothing before what it knew has grown old, and nothing at all where it knew nothing; so
    /// it is told once, at the first such run, or nobody would hear of it in time.
    pub(super) fn tell_cannot(&mut self) {
        let Some(Cannot { why, .. }) = &self.cannot else {
            if std::mem::take(&mut self.told_cannot) && self.state.borrow().health == self.check.health() {
                self.tell(&format!("can be done again, and stays {}", self.check.health()));
            }
            return;
        };
        if !self.check.enabled() || self.told_cannot {
            return;
        }
        let known = self.check.health();
        let text = match self.check.claims_until() {
            Some(until) => {
                format!("cannot be done: {why}; what was known ({known}) holds for {} more", time_until(until))
            }
            None if known == Health::Down => format!("cannot be done: {why}; it stays down until it can"),
            // That it has become unknown is told as such.
            None if self.state.borrow().health != Health::Unknown => return,
            None => format!("proves nothing, so that it stays unknown: {why}"),
        };
        self.told_cannot = true;
        tracing::warn!("{text}");
        self.tell(&text);
    }

    fn tell(&self, text: &str) {
        self.sink.report("check", format!("{}/{}", self.service, self.name), text.to_owned());
    }

    /// Shows what is known now; wakes the decision loop only when it matters to it.
    pub(super) fn publish(&mut self) {
        if !self.heart.is_turn(self.turn) {
            return; // Another task has taken over from this one, which hung.
        }
        self.keep();
        let last = self.check.last().cloned().map(|outcome| (outcome, self.answered));
        let (health, counts) = (self.check.health(), self.check.counts());
        let (was, counted, since, absence, unconfirmed, awaited) = {
            let old = self.state.borrow();
            (old.health, old.counts, old.since, old.absence, old.unconfirmed, old.awaited)
        };
        let changed = was != health;
        let since = if changed { SystemTime::now() } else { since };
        if changed {
            // Before the decision loop reports what follows from it.
            let detail = last.as_ref().map_or("not checked", |(outcome, _)| outcome.detail.as_str()).to_owned();
            self.tell(&format!("{was} → {health}: {detail}"));
            self.unlogged = Some(Change { was, health, detail });
            if health >= Health::Degraded {
                let (listeners, sockets) = (self.listeners.clone(), self.asking.probe.sockets());
                tokio::spawn(async move { listeners.look_for(sockets).await });
            }
        }
        self.state.send_replace(CheckState {
            passed: self.passed.clone(),
            cannot: self.cannot.clone(),
            ..state_of(&self.check, since, last, absence)
        });
        let waited_enough = awaited != self.check.is_awaited();
        if changed || counted != counts || unconfirmed != self.check.is_unconfirmed() || waited_enough {
            self.wake.wake();
        }
    }

    pub(super) fn log_change(&mut self) {
        let Some(Change { was, health, detail }) = self.unlogged.take() else { return };
        if health == Health::Down {
            tracing::warn!(was = %was, "down: {detail}");
        } else if health == Health::Unknown && was >= Health::Degraded && self.check.enabled() {
            tracing::warn!(was = %was, "no longer proven healthy: {detail}");
        } else {
            tracing::info!(was = %was, "{health}: {detail}");
        }
    }
}

pub(super) fn state_of(
    check: &Check,
    since: SystemTime,
    last: Option<(Arc<Outcome>, SystemTime)>,
    absence: u64,
) -> CheckState {
    CheckState {
        health: check.health(),
        since,
        counts: check.counts(),
        enabled: check.enabled(),
        last,
        turning: check.turning(),
        awaited: check.is_awaited(),
        first_run: check.first_run(),
        counters: check.counters(),
        unconfirmed: check.is_unconfirmed(),
        absence,
        passed: None,
        claims_until: check.claims_until(),
        cannot: None,
    }
}
