//! A service that flaps is held down: each flap costs routers and clients more than its absence does.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{
    check::Health,
    config::{HoldDownTimes, OnHold},
};

/// Where the hold-down of a service stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// It is announced as its health says.
    #[default]
    Free,
    /// It has flapped too often.
    Held(Hold),
}

/// A hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hold {
    /// When it ends by itself.
    pub until: Instant,
    /// So many flaps …
    pub flaps: u16,
    /// … within this time led to it.
    pub within: Duration,
    /// The service stays announced meanwhile, with the degraded attributes.
    pub degrades: bool,
    /// So many of the flaps were ends of the agent that nobody had ordered.
    pub ends: u16,
}

/// What outlives the process: times as what is left of them, or has passed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// The checks said that it serves, and no operator had withdrawn it.
    pub serving: bool,
    /// How long ago each of the recent flaps was.
    pub flaps: Vec<Duration>,
    /// For each of them whether it was an end of the agent; what is missing was none.
    pub agent_ends: Vec<bool>,
    /// How often the time of a hold is doubled when the next one begins.
    pub level: u32,
    /// How much is left of the hold.
    pub left: Option<Duration>,
    /// How many of the flaps that led to it were ends of the agent.
    pub held_ends: u16,
    /// In how long the time of the next hold is halved.
    pub forgets_in: Option<Duration>,
}

impl State {
    /// The same when `time` has passed.
    #[must_use]
    pub fn later(self, time: Duration) -> Self {
        Self {
            flaps: self.flaps.into_iter().map(|age| age.saturating_add(time)).collect(),
            left: self.left.map(|left| left.saturating_sub(time)),
            forgets_in: self.forgets_in.map(|left| left.saturating_sub(time)),
            ..self
        }
    }
}

/// A service that served has ceased to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Flap {
    at: Instant,
    /// It was the agent that ended, though nobody had told it to.
    agent: bool,
}

/// The state machine of one service's hold-down.
///
/// The driver tells it what the service's own checks say after each decision ([`handle_health`](Self::handle_health)), and
/// whether an operator has withdrawn the service ([`handle_maintenance`](Self::handle_maintenance)): what goes down then is no
/// flap. It calls [`handle_timeout`](Self::handle_timeout) at [`poll_timeout`](Self::poll_timeout).
#[derive(Debug, Clone)]
pub struct HoldDown {
    times: Option<HoldDownTimes>,
    phase: Phase,
    /// The checks said that it serves: when they say that it is down, that is a flap.
    serving: bool,
    in_maintenance: bool,
    /// Until when a service that goes down does so because its checks are others than before.
    excused_until: Option<Instant>,
    /// The latest last; those before the present hold are not among them.
    flaps: VecDeque<Flap>,
    level: u32,
    /// When the time of the next hold is halved.
    forgets_at: Option<Instant>,
    total: u64,
    holds: u64,
}

impl HoldDown {
    /// Free; it counts flaps also where it never holds anything down.
    #[must_use]
    pub const fn new(times: Option<HoldDownTimes>) -> Self {
        Self {
            times,
            phase: Phase::Free,
            serving: false,
            in_maintenance: false,
            excused_until: None,
            flaps: VecDeque::new(),
            level: 0,
            forgets_at: None,
            total: 0,
            holds: 0,
        }
    }

    /// Goes on where another process was; a service that served then and does now has not flapped.
    #[must_use]
    pub fn restore(times: Option<HoldDownTimes>, state: State, now: Instant) -> Self {
        let mut hold_down = Self::new(times);
        let Some(times) = times else { return hold_down };
        // A clock that was set meanwhile, or a file of another making, holds nothing longer than is configured.
        hold_down.level = state.level.min(top_level(times));
        hold_down.forgets_at = state.forgets_in.map(|left| now + left.min(quiet(times)));
        hold_down.phase = match state.left {
            Some(left) => {
                let ends = state.held_ends.min(times.flaps.get());
                Phase::Held(hold(times, now + left.min(times.max), ends))
            }
            None => Phase::Free,
        };
        if hold_down.level > 0 && state.left.or(state.forgets_in).is_none() {
            hold_down.forgets_at = Some(now + quiet(times));
        }
        let ends = state.agent_ends.into_iter().chain(std::iter::repeat(false));
        let flaps = state.flaps.into_iter().zip(ends).filter(|(age, _)| *age < times.within);
        hold_down.flaps = flaps.filter_map(|(age, agent)| now.checked_sub(age).map(|at| Flap { at, agent })).collect();
        hold_down.flaps.make_contiguous().sort_unstable();
        hold_down.handle_timeout(now);
        hold_down
    }

    /// What a process that comes after this one is to know.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> State {
        State {
            serving: self.serving,
            flaps: self.flaps.iter().map(|flap| now.saturating_duration_since(flap.at)).collect(),
            agent_ends: self.flaps.iter().map(|flap| flap.agent).collect(),
            held_ends: self.held().map_or(0, |hold| hold.ends),
            level: self.level,
            left: self.held().map(|hold| hold.until.saturating_duration_since(now)),
            forgets_in: self.forgets_at.map(|at| at.saturating_duration_since(now)),
        }
    }

    /// Takes new times. A hold goes on, but for no longer than it may last now.
    pub fn reconfigure(&mut self, times: Option<HoldDownTimes>, now: Instant) {
        if times == self.times {
            return;
        }
        self.times = times;
        let Some(times) = times else {
            (self.phase, self.level, self.forgets_at) = (Phase::Free, 0, None);
            self.flaps.clear();
            return;
        };
        self.level = self.level.min(top_level(times));
        if let Phase::Held(before) = self.phase {
            let degrades = times.on_hold == OnHold::Degrade;
            self.phase = Phase::Held(Hold { until: before.until.min(now + times.max), degrades, ..before });
        }
    }

    /// What the service's own checks say now.
    pub fn handle_health(&mut self, health: Health, now: Instant) {
        match health {
            Health::Up | Health::Degraded => self.serving = !self.in_maintenance,
            Health::Down => {
                let excused = self.excused_until.is_some_and(|until| now < until);
                if std::mem::take(&mut self.serving) && !excused {
                    self.handle_flap(now);
                }
            }
            // Not known is not down; if that is what comes of it, it is a flap still.
            Health::Unknown => {}
        }
    }

    /// An operator has withdrawn the service, or has ended that: what happens to it meanwhile was meant to.
    pub const fn handle_maintenance(&mut self, in_maintenance: bool) {
        self.in_maintenance = in_maintenance;
        self.serving &= !in_maintenance;
    }

    /// Its checks are others from now on: what they find until then was so before.
    pub fn handle_new_checks(&mut self, until: Instant) {
        self.excused_until = Some(until);
    }

    /// They have found it well once: what goes down from now on has gone down.
    pub const fn handle_checks_passed(&mut self) {
        self.excused_until = None;
    }

    /// Whether it is excused at present for checks that are others than before.
    #[must_use]
    pub const fn is_excused(&self) -> bool {
        self.excused_until.is_some()
    }

    /// It has flapped.
    pub fn handle_flap(&mut self, now: Instant) {
        self.flap(Flap { at: now, agent: false }, now);
    }

    /// The agent before this one ended though nobody had told it to, and the service with it.
    pub fn handle_agent_end(&mut self, now: Instant) {
        self.flap(Flap { at: now, agent: true }, now);
    }

    fn flap(&mut self, flap: Flap, now: Instant) {
        self.total += 1;
        let Some(times) = self.times else { return };
        self.flaps.push_back(flap);
        // What no hold can come of is not kept.
        while self.flaps.len() > usize::from(times.flaps.get()) {
            self.flaps.pop_front();
        }
        self.forget_old_flaps(times, now);
        match self.phase {
            Phase::Free if self.is_flapping(times) => self.hold(times, now),
            Phase::Free if self.level > 0 => self.forgets_at = Some(now + quiet(times)),
            // It is looked at when the hold ends.
            Phase::Free | Phase::Held(_) => {}
        }
    }

    /// The operator knows better: nothing is held, and all is forgotten.
    pub fn handle_clear(&mut self) {
        (self.phase, self.level, self.forgets_at) = (Phase::Free, 0, None);
        self.flaps.clear();
    }

    /// Moves on where a time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some(times) = self.times else { return };
        self.forget_old_flaps(times, now);
        if self.held().is_some_and(|hold| now >= hold.until) {
            if self.is_flapping(times) {
                self.hold(times, now);
            } else {
                self.phase = Phase::Free;
                self.forgets_at = Some(now + quiet(times));
            }
        }
        while let Some(at) = self.forgets_at.filter(|at| now >= *at) {
            self.level = self.level.saturating_sub(1);
            self.forgets_at = (self.level > 0).then(|| at + quiet(times));
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do that can be seen.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.held().map(|hold| hold.until), self.forgets_at].into_iter().flatten().min()
    }

    /// Where it stands.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether the checks said last that it serves, and nobody had withdrawn it.
    #[must_use]
    pub const fn is_serving(&self) -> bool {
        self.serving
    }

    /// The hold it is in.
    #[must_use]
    pub const fn held(&self) -> Option<Hold> {
        match self.phase {
            Phase::Free => None,
            Phase::Held(hold) => Some(hold),
        }
    }

    /// How many flaps there were of late; those before the present hold do not count any more.
    #[must_use]
    pub fn recent(&self, now: Instant) -> usize {
        let within = self.times.map_or(Duration::ZERO, |times| times.within);
        self.flaps.iter().filter(|flap| now.saturating_duration_since(flap.at) < within).count()
    }

    /// The times in force.
    #[must_use]
    pub const fn times(&self) -> Option<HoldDownTimes> {
        self.times
    }

    /// How long the next hold would last.
    #[must_use]
    pub fn next(&self) -> Option<Duration> {
        self.times.map(|times| length(times, self.level))
    }

    /// Flaps and holds since it was made.
    #[must_use]
    pub const fn counts(&self) -> (u64, u64) {
        (self.total, self.holds)
    }

    fn is_flapping(&self, times: HoldDownTimes) -> bool {
        self.flaps.len() >= usize::from(times.flaps.get())
    }

    fn forget_old_flaps(&mut self, times: HoldDownTimes, now: Instant) {
        self.flaps.retain(|flap| now.saturating_duration_since(flap.at) < times.within);
    }

    fn hold(&mut self, times: HoldDownTimes, now: Instant) {
        let ends = self.flaps.iter().filter(|flap| flap.agent).count().try_into().unwrap_or(u16::MAX);
        self.phase = Phase::Held(hold(times, now + length(times, self.level), ends));
        self.level = (self.level + 1).min(top_level(times));
        self.holds += 1;
        self.flaps.clear();
        self.forgets_at = None;
    }
}

fn hold(times: HoldDownTimes, until: Instant, ends: u16) -> Hold {
    let HoldDownTimes { flaps, within, on_hold, .. } = times;
    Hold { until, flaps: flaps.get(), within, degrades: on_hold == OnHold::Degrade, ends }
}

/// Twice as long with each level.
fn length(times: HoldDownTimes, level: u32) -> Duration {
    let doubled = 1u32.checked_shl(level).and_then(|factor| times.initial.checked_mul(factor));
    doubled.unwrap_or(times.max).min(times.max)
}

/// The first level at which a hold lasts as long as any may.
fn top_level(times: HoldDownTimes) -> u32 {
    (0..u32::BITS).find(|level| length(times, *level) >= times.max).unwrap_or(u32::BITS)
}

/// After so long without a flap the time of the next hold is halved. Within the window one flap may be part of the next hold.
fn quiet(times: HoldDownTimes) -> Duration {
    times.max.max(times.within)
}

#[cfg(test)]
mod tests;
