//! Services that flap are held down, over restarts of the agent too.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anycast_api as api;
use anycast_core::{
    CheckName, Desired, Health, HoldDown, ServiceName,
    config::Service,
    drain::Phase,
    hold_down::{Hold, Phase as HoldPhase},
};

use super::{Agent, clock::wall};
use crate::flaps::Book;

impl Agent {
    /// Goes on where the process before this one was. If that ended though nobody had told it to, its services flapped with it.
    pub(super) fn begin_holds(&mut self) {
        let now = Instant::now();
        if let Some(problem) = self.flaps.problem.take() {
            self.sink.report("agent", &self.settings.core.node.name, problem);
        }
        let Some(past) = self.flaps.past.take() else { return };
        for (name, state) in past.services {
            let Some(times) = self.settings.core.services.get(&name).and_then(|service| service.hold_down) else {
                continue;
            };
            let flapped = !past.ended && state.serving;
            let mut hold_down = HoldDown::restore(Some(times), state, now);
            let was_held = hold_down.held().is_some();
            if flapped {
                hold_down.handle_agent_end(now);
                self.tell_flap(&name, &hold_down, "the agent before this one ended without being told to", now);
            }
            if let Some(hold) = hold_down.held() {
                self.tell_hold(&name, &if was_held { held(&hold) } else { begun(&hold) });
            }
            self.holds.insert(name, hold_down);
        }
    }

    /// Brings them in line with the configuration; `other_checks` are the services of which something else is expected than
    /// before, and the checks that expect it.
    pub(super) fn settle_hold_downs(&mut self, other_checks: BTreeMap<ServiceName, BTreeSet<CheckName>>) {
        let now = Instant::now();
        let services = &self.settings.core.services;
        self.holds.retain(|name, _| services.contains_key(name));
        self.served.retain(|name, _| services.contains_key(name));
        for (name, service) in services {
            let hold_down = self.holds.entry(name.clone()).or_insert_with(|| HoldDown::new(service.hold_down));
            hold_down.reconfigure(service.hold_down, now);
            if other_checks.contains_key(name) {
                hold_down.handle_new_checks(now + until_decided(service));
            }
        }
        for (name, checks) in other_checks {
            self.unproven.entry(name).or_default().extend(checks);
        }
        self.unproven.retain(|name, _| services.contains_key(name));
        self.keep_flaps(self.is_stopping());
    }

    /// Ends those whose time is over.
    pub(super) fn end_holds(&mut self, now: Instant) {
        let mut ended = Vec::new();
        for (name, hold_down) in &mut self.holds {
            let before = hold_down.phase();
            hold_down.handle_timeout(now);
            if hold_down.phase() != before {
                let text = match hold_down.phase() {
                    HoldPhase::Held(hold) => format!("it flapped while it was held: {}", begun(&hold)),
                    HoldPhase::Free => "held down no longer".to_owned(),
                };
                ended.push((name.clone(), text));
            }
        }
        for (name, text) in &ended {
            self.tell_hold(name, text);
        }
        if !ended.is_empty() {
            self.keep_flaps(self.is_stopping());
        }
    }

    /// Tells each what the checks of its service say; whether any of them moved.
    pub(super) fn settle_holds(&mut self, desired: &Desired, now: Instant) -> bool {
        let stopping = self.is_stopping();
        let (mut moved, mut changed) = (false, false);
        self.forget_excuses();
        for (name, standing) in &desired.services {
            if standing.health >= Health::Degraded {
                self.served.insert(name.clone(), standing.health);
            }
            let drained = self.drains.get(name).is_some_and(|drain| drain.phase() != Phase::Active);
            let Some(hold_down) = self.holds.get_mut(name) else { continue };
            let (serving, phase, (flaps, _)) = (hold_down.is_serving(), hold_down.phase(), hold_down.counts());
            hold_down.handle_maintenance(drained || stopping);
            hold_down.handle_health(standing.checks, now);
            if hold_down.is_excused() && !self.unproven.contains_key(name) {
                // What follows from other rules for the same checks is seen at once.
                hold_down.handle_checks_passed();
            }
            changed |= serving != hold_down.is_serving();
            moved |= phase != hold_down.phase();
            if flaps != hold_down.counts().0 {
                let hold_down = hold_down.clone();
                self.tell_flap(name, &hold_down, "it went down", now);
                if let Some(hold) = hold_down.held().filter(|_| phase == HoldPhase::Free) {
                    self.tell_hold(name, &begun(&hold));
                }
            }
        }
        if moved || changed {
            self.keep_flaps(stopping);
        }
        moved
    }

    /// A service whose new checks have all passed is excused no longer.
    fn forget_excuses(&mut self) {
        let (checkers, configured, holds) = (&self.checkers, &self.settings.core.services, &mut self.holds);
        self.unproven.retain(|name, checks| {
            let before = checks.len();
            checks.retain(|check| {
                let config = configured.get(name).and_then(|service| service.checks.get(check));
                let checker = checkers.get(name).and_then(|checkers| checkers.get(check));
                config.zip(checker).is_some_and(|(config, checker)| {
                    let state = checker.state.borrow();
                    state.passed.as_ref().is_none_or(|passed| passed.probe != config.probe)
                })
            });
            if checks.is_empty()
                && before > 0
                && let Some(hold_down) = holds.get_mut(name)
            {
                hold_down.handle_checks_passed();
            }
            !checks.is_empty()
        });
    }

    /// The operator knows that they are well.
    pub(super) fn clear_holds(&mut self, names: &[ServiceName]) {
        let mut cleared = Vec::new();
        for name in names {
            if let Some(hold_down) = self.holds.get_mut(name) {
                cleared.extend(hold_down.held().map(|_| name.clone()));
                hold_down.handle_clear();
            }
        }
        cleared.iter().for_each(|name| self.tell_hold(name, "ended by an order"));
        self.keep_flaps(self.is_stopping());
    }

    /// Has written what a process after this one is to know; `ended`: that this one was told to end.
    pub(super) fn keep_flaps(&mut self, ended: bool) {
        let book = self.flap_book(ended);
        self.flaps.keep(book);
    }

    /// What another agent is to know.
    pub(super) fn flap_book(&self, ended: bool) -> Book {
        let now = Instant::now();
        let holding = self.holds.iter().filter(|(_, hold_down)| hold_down.times().is_some());
        let services = holding.map(|(name, hold_down)| (name.clone(), hold_down.snapshot(now))).collect();
        Book { ended, at: now, services }
    }

    fn tell_flap(&self, name: &ServiceName, hold_down: &HoldDown, why: &str, now: Instant) {
        let Some(times) = hold_down.times() else { return };
        // Those that led to a hold are not counted twice.
        let recent = match hold_down.held() {
            Some(hold) if hold_down.recent(now) == 0 => usize::from(hold.flaps),
            Some(_) | None => hold_down.recent(now),
        };
        let text = format!("flap {recent} of {} in {}: {why}", times.flaps, spoken(times.within));
        self.tell_hold(name, &text);
    }

    fn tell_hold(&self, name: &ServiceName, text: &str) {
        tracing::info!(service = %name, "hold-down: {text}");
        self.sink.report("hold_down", name, text);
    }

    /// The hold of a service, if it is held.
    pub(super) fn hold_of(&self, name: &ServiceName) -> Option<Hold> {
        self.holds.get(name)?.held()
    }

    /// As it is shown; `None` where it is not configured.
    pub(super) fn hold_down(&self, name: &ServiceName) -> Option<api::HoldDown> {
        let (hold_down, now) = (self.holds.get(name)?, Instant::now());
        let times = hold_down.times()?;
        let held = hold_down.held();
        Some(api::HoldDown {
            held: held.is_some(),
            until: held.map(|hold| wall(hold.until)),
            left_seconds: held.map_or(0.0, |hold| hold.until.saturating_duration_since(now).as_secs_f64()),
            recent_flaps: hold_down.recent(now),
            after_flaps: times.flaps.get(),
            within_seconds: times.within.as_secs_f64(),
            next_seconds: hold_down.next().unwrap_or_default().as_secs_f64(),
            holds: hold_down.counts().1,
        })
    }

    /// How often it has flapped since the agent began.
    pub(super) fn flaps_of(&self, name: &ServiceName) -> u64 {
        self.holds.get(name).map_or(0, |hold_down| hold_down.counts().0)
    }
}

/// `held down for 35 s more after 3 flaps in 1 min`.
pub(super) fn held(hold: &Hold) -> String {
    format!("held down for {} more {}", time_until(hold.until), after(hold))
}

/// The same in the moment that it begins.
fn begun(hold: &Hold) -> String {
    format!("held down for {} {}", time_until(hold.until), after(hold))
}

fn after(hold: &Hold) -> String {
    let flaps = if hold.flaps == 1 { "flap" } else { "flaps" };
    format!("after {} {flaps} in {}", hold.flaps, spoken(hold.within))
}

/// What the flaps were, where the service was not to blame.
pub(super) fn causes(hold: &Hold) -> String {
    match (hold.ends, hold.flaps) {
        (0, _) => String::new(),
        (1, 1) => ": an end of the agent that nobody ordered".to_owned(),
        (ends, flaps) if ends == flaps => format!(": {ends} ends of the agent that nobody ordered"),
        (1, _) => ": one of them an end of the agent that nobody ordered".to_owned(),
        (ends, _) => format!(": {ends} of them ends of the agent that nobody ordered"),
    }
}

/// How long it is until then, in whole seconds: `35 s`.
pub(crate) fn time_until(at: Instant) -> String {
    let left = at.saturating_duration_since(Instant::now());
    // What is left of a second is a second.
    match u64::try_from(left.as_millis()).unwrap_or(u64::MAX).div_ceil(1000) {
        0 => "0 s".to_owned(),
        seconds => spoken(Duration::from_secs(seconds)),
    }
}

/// `35 s`, `1 min 5 s`, `2 h`.
pub(super) fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds == 0 {
        return format!("{} ms", time.as_millis());
    }
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let parts: Vec<String> =
        parts.into_iter().filter(|(number, _)| *number > 0).map(|(number, unit)| format!("{number} {unit}")).collect();
    parts.join(" ")
}

/// How long its checks may take to be decided.
fn until_decided(service: &Service) -> Duration {
    let times = service.checks.values().map(|check| {
        let timing = check.timing;
        (timing.interval + timing.timeout).saturating_mul(u32::from(timing.fall.get()) + 1)
    });
    times.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_says_what_the_flaps_were() {
        let table = [
            (3, 0, ""),
            (1, 1, ": an end of the agent that nobody ordered"),
            (3, 1, ": one of them an end of the agent that nobody ordered"),
            (3, 2, ": 2 of them ends of the agent that nobody ordered"),
            (3, 3, ": 3 ends of the agent that nobody ordered"),
        ];
        for (flaps, ends, words) in table {
            let hold = Hold { until: Instant::now(), flaps, within: Duration::from_secs(60), degrades: false, ends };
            assert_eq!(causes(&hold), words);
        }
    }

    #[test]
    fn times_are_spoken() {
        let table = [(35_000, "35 s"), (60_000, "1 min"), (65_000, "1 min 5 s"), (7_200_000, "2 h"), (300, "300 ms")];
        for (millis, words) in table {
            assert_eq!(spoken(Duration::from_millis(millis)), words);
        }
    }
}
