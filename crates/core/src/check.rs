//! One check: when it runs, and how many answers it takes to change its mind.

use std::time::{Duration, Instant};

use crate::config::CheckTiming;

/// What a service, or one check of it, is known to be; ordered from worst to best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// Not decided yet, or not checked: counts as not healthy.
    Unknown,
    /// Proven bad.
    Down,
    /// Serves, but others should be preferred.
    Degraded,
    /// Proven good.
    Up,
}

impl std::fmt::Display for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Unknown => "unknown",
            Self::Down => "down",
            Self::Degraded => "degraded",
            Self::Up => "up",
        })
    }
}

/// The answer of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What it says about the service; `Unknown` when the run itself could not be done and proves nothing.
    pub health: Health,
    /// What was seen, in words for an operator; one line.
    pub detail: String,
    /// How long it took.
    pub took: Duration,
}

/// What the driver is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The run has failed when it takes longer.
    pub timeout: Duration,
}

/// Counts over the life of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckCounters {
    /// Runs begun.
    pub runs: u64,
    /// Runs that said Down or took too long.
    pub failures: u64,
    /// Runs that proved nothing because of trouble of our own.
    pub inconclusive: u64,
    /// Runs that began more than an interval late.
    pub late: u64,
}

/// A run of equal judgements against the present health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Streak {
    rising: bool,
    count: u16,
    /// The answer nearest to the present health: the one that all of the run confirm.
    mildest: Health,
}

/// The state machine of one check.
///
/// The driver calls [`poll_probe`](Self::poll_probe) until it is `None`, runs the probe, answers once with
/// [`handle_outcome`](Self::handle_outcome), and calls [`handle_timeout`](Self::handle_timeout) at
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Debug, Clone)]
pub struct Check {
    timing: CheckTiming,
    enabled: bool,
    health: Health,
    since: Instant,
    streak: Option<Streak>,
    /// Begun as an addition to a service that was decided already: not counted until it is decided itself.
    on_probation: bool,
    last: Option<Outcome>,
    /// The last answer that proved anything, or the start.
    proven_at: Instant,
    due: Instant,
    running: Option<Running>,
    counters: CheckCounters,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    started: Instant,
    deadline: Instant,
    /// Judged already, by the deadline; the driver's answer will come too late.
    expired: bool,
}

/// Without a proof for this long (or ten intervals, if that is longer) a check no longer knows.
const PROOF_LASTS: Duration = Duration::from_secs(10);

impl Check {
    /// A check that first runs `offset` after `now`: the offset spreads many checks over their interval.
    #[must_use]
    pub fn new(timing: CheckTiming, offset: Duration, on_probation: bool, now: Instant) -> Self {
        Self {
            timing,
            enabled: true,
            health: Health::Unknown,
            since: now,
            streak: None,
            on_probation,
            last: None,
            proven_at: now,
            due: now + offset,
            running: None,
            counters: CheckCounters::default(),
        }
    }

    /// Takes new times; health and counters stay.
    pub fn reconfigure(&mut self, timing: CheckTiming, now: Instant) {
        if timing == self.timing {
            return;
        }
        self.timing = timing;
        self.due = self.due.min(now + self.pace());
    }

    /// Lets it run, or has it rest because its target is not bound here: then it knows nothing.
    pub fn set_enabled(&mut self, enabled: bool, now: Instant) {
        if enabled == self.enabled {
            return;
        }
        self.enabled = enabled;
        self.streak = None;
        if enabled {
            self.due = now;
            self.proven_at = now;
        } else {
            self.last = None;
            self.become_health(Health::Unknown, now);
        }
    }

    /// The next run, if it is time for one and none is under way.
    pub fn poll_probe(&mut self, now: Instant) -> Option<Probe> {
        if !self.enabled || self.running.is_some() || now < self.due {
            return None;
        }
        if now.duration_since(self.due) > self.timing.interval {
            self.counters.late += 1;
            self.due = now;
        }
        self.counters.runs += 1;
        self.running = Some(Running { started: self.due, deadline: now + self.timing.timeout, expired: false });
        Some(Probe { timeout: self.timing.timeout })
    }

    /// The answer of the run that [`poll_probe`](Self::poll_probe) asked for.
    pub fn handle_outcome(&mut self, outcome: Outcome, now: Instant) {
        let Some(running) = self.running.take() else { return };
        if self.enabled && !running.expired {
            self.judge(outcome, now);
        }
        self.due = running.started + self.pace();
    }

    /// Judges a run that hangs, and forgets a proof that is too old.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(running) = self.running.as_mut().filter(|running| !running.expired && now >= running.deadline) {
            running.expired = true;
            let timeout = self.timing.timeout;
            let detail = format!("no answer within {}", in_words(timeout));
            if self.enabled {
                self.judge(Outcome { health: Health::Down, detail, took: timeout }, now);
            }
        }
        if self.proof_expires().is_some_and(|at| now >= at) {
            self.streak = None;
            self.become_health(Health::Unknown, now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) or [`poll_probe`](Self::poll_probe) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let run = match self.running {
            Some(running) if running.expired => None,
            Some(running) => Some(running.deadline),
            None if self.enabled => Some(self.due),
            None => None,
        };
        [run, self.proof_expires()].into_iter().flatten().min()
    }

    /// What is known.
    #[must_use]
    pub const fn health(&self) -> Health {
        self.health
    }

    /// Since when.
    #[must_use]
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// Whether the service heeds it yet.
    #[must_use]
    pub const fn counts(&self) -> bool {
        !self.on_probation
    }

    /// Whether it may run.
    #[must_use]
    pub const fn enabled(&self) -> bool {
        self.enabled
    }

    /// The last answer.
    #[must_use]
    pub const fn last(&self) -> Option<&Outcome> {
        self.last.as_ref()
    }

    /// Counts over its life.
    #[must_use]
    pub const fn counters(&self) -> CheckCounters {
        self.counters
    }

    /// How far the check is on its way to another opinion: answers so far, and answers needed.
    #[must_use]
    pub fn turning(&self) -> Option<(u16, u16)> {
        self.streak.map(|streak| (streak.count, self.needed(streak.rising)))
    }

    fn judge(&mut self, outcome: Outcome, now: Instant) {
        let answer = outcome.health;
        match answer {
            Health::Unknown => self.counters.inconclusive += 1,
            Health::Down => self.counters.failures += 1,
            Health::Degraded | Health::Up => {}
        }
        self.last = Some(outcome);
        if answer == Health::Unknown {
            return; // It proves nothing, for or against; see `proof_expires`.
        }
        self.proven_at = now;
        if answer == self.health {
            self.streak = None;
            return;
        }
        let rising = match self.health {
            Health::Unknown => answer > Health::Down,
            known => answer > known,
        };
        let streak = match self.streak {
            Some(streak) if streak.rising == rising => Streak {
                rising,
                count: streak.count.saturating_add(1),
                mildest: if rising { streak.mildest.min(answer) } else { streak.mildest.max(answer) },
            },
            _ => Streak { rising, count: 1, mildest: answer },
        };
        self.streak = Some(streak);
        if streak.count >= self.needed(rising) {
            self.streak = None;
            self.become_health(streak.mildest, now);
        }
    }

    fn become_health(&mut self, health: Health, now: Instant) {
        if health != Health::Unknown {
            self.on_probation = false;
        }
        if health != self.health {
            self.health = health;
            self.since = now;
        }
    }

    const fn needed(&self, rising: bool) -> u16 {
        if rising { self.timing.rise.get() } else { self.timing.fall.get() }
    }

    fn pace(&self) -> Duration {
        let settled = self.streak.is_none() && self.health != Health::Unknown;
        if settled { self.timing.interval } else { self.timing.fast_interval }
    }

    /// Only a claim can grow stale: Up and Degraded need proof, Down and Unknown claim nothing.
    fn proof_expires(&self) -> Option<Instant> {
        (self.health >= Health::Degraded).then(|| self.proven_at + PROOF_LASTS.max(self.timing.interval * 10))
    }
}

/// `300 ms`, `1.5 s`.
fn in_words(time: Duration) -> String {
    if time < Duration::from_secs(1) { format!("{} ms", time.as_millis()) } else { format!("{} s", time.as_secs_f64()) }
}

#[cfg(test)]
mod tests;
