//! One check: when it runs, and how many answers it takes to change its mind.

pub mod handover;
mod hint;
mod outcome;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use self::hint::Hinted;
pub use self::outcome::{Cause, CheckCounters, Health, Outcome, Probe};
use crate::config::CheckTiming;

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
/// [`poll_timeout`](Self::poll_timeout). After a [`handle_hint`](Self::handle_hint) it drops the run under way where
/// [`poll_cancel`](Self::poll_cancel) says so.
#[derive(Debug, Clone)]
pub struct Check {
    timing: CheckTiming,
    enabled: bool,
    health: Health,
    since: Instant,
    streak: Option<Streak>,
    /// Begun as an addition to a service that was decided already: not counted until it is decided itself.
    on_probation: bool,
    /// Shared, for what is known of a check is copied twice a run.
    last: Option<Arc<Outcome>>,
    /// How long the last answer that proved anything is believed.
    proof: Proof,
    due: Instant,
    /// Its place in the interval, in 1/1024.
    place: u16,
    placed: bool,
    running: Option<Running>,
    hint: Option<Hinted>,
    /// The agent was away: until then what is claimed must be confirmed.
    confirm_by: Option<Instant>,
    /// Until when a service that the kernel saw go is looked for more often: most are only restarted.
    returns_by: Option<Instant>,
    /// When the last hint came.
    hinted: Option<Instant>,
    /// Late answers in a row that were put down to our own absence.
    excuses: u8,
    /// Until when its first word is waited for; `None`: it has been said, or is waited for no longer.
    first_by: Option<Instant>,
    counters: CheckCounters,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    started: Instant,
    deadline: Instant,
    /// Judged already, by the deadline; the driver's answer will come too late.
    expired: bool,
    /// The deadline that we were not there at: that there was no answer by then says nothing.
    missed: Option<Instant>,
    confirm: bool,
    /// A hint came while it was under way: what it saw may have been before.
    void: bool,
}

#[derive(Debug, Clone, Copy)]
struct Proof {
    until: Instant,
    /// It has been given the time of a run more already, because we were not there to see it run out.
    extended: bool,
}

/// After its timeout a run is given this long to say so itself: it knows what it waited for.
const LAST_WORDS: Duration = Duration::from_millis(20);
/// More than this after a deadline the agent itself was kept from running: an answer may have come in time, unseen.
const OVERSLEPT: Duration = Duration::from_millis(50);
/// Late answers in a row that our own absence excuses. A service that answers does so at the next run; one whose answer costs us
/// so much that we are always late is bad, too.
const EXCUSES: u8 = 3;
/// How long a service that the kernel saw go is looked for at the fast interval.
const RETURN_WITHIN: Duration = Duration::from_secs(30);

impl Check {
    /// A check that runs as soon as it may, and once it is settled at its own `place` (in 1/1024) in the interval: that spreads
    /// many checks.
    #[must_use]
    pub fn new(timing: CheckTiming, place: u16, on_probation: bool, now: Instant) -> Self {
        Self {
            timing,
            enabled: true,
            health: Health::Unknown,
            since: now,
            streak: None,
            on_probation,
            last: None,
            proof: Proof { until: now, extended: false },
            due: now + timing.start_delay,
            place: place.min(1024),
            placed: false,
            running: None,
            hint: None,
            confirm_by: None,
            returns_by: None,
            hinted: None,
            excuses: 0,
            first_by: Some(now + timing.stale_after),
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
        self.hint = None;
        self.confirm_by = None;
        if enabled {
            if let Some(by) = &mut self.first_by {
                *by = now + self.timing.stale_after;
            }
            let delay = if self.counters.runs == 0 { self.timing.start_delay } else { Duration::ZERO };
            self.due = now + delay;
        } else {
            self.last = None;
            self.become_health(Health::Unknown, now);
        }
    }

    /// The agent was away for a while. What is claimed holds on for as long as an answer may take, and is then forgotten if
    /// nothing has confirmed it; so the check asks soon, at its place among the others, which all do. A run under way is to be
    /// dropped: what it saw may have been before.
    pub fn prove_again(&mut self, now: Instant) {
        if !self.enabled {
            return;
        }
        self.running = None;
        let spread = self.timing.interval.min(self.timing.stale_after / 4);
        let place = now + spread * u32::from(self.place) / 1024;
        self.due = if self.due > now { self.due.min(place) } else { place };
        if self.health >= Health::Degraded {
            let run = spread + self.timing.timeout + 2 * OVERSLEPT;
            // Absences one after another give no more time than one: what was not confirmed since the first is due by then.
            let by = self.confirm_by.unwrap_or(now + self.timing.stale_after.max(run));
            self.confirm_by = Some(by);
            self.proof.until = self.proof.until.max((now + run).min(by));
        }
    }

    /// All that was known is no longer believed; the check asks at once. A run under way is to be dropped.
    pub fn forget(&mut self, now: Instant) {
        self.prove_again(now);
        self.confirm_by = None;
        self.streak = None;
        self.become_health(Health::Unknown, now);
        // As at the start: what is found out anew comes in any order.
        self.first_by = self.enabled.then(|| now + self.timing.stale_after);
    }

    /// The run under way came to nothing, for a fault of our own.
    pub fn handle_fault(&mut self, detail: String, now: Instant) {
        let started = self.running.take().map_or(now, |running| running.started);
        if self.enabled {
            let took = now.saturating_duration_since(started);
            self.judge(
                Outcome { health: Health::Unknown, cause: Cause::Answered, detail, took, performance: Vec::new() },
                now,
            );
            self.due = now.max(started + self.timing.fast_interval);
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
        self.returns_by = self.returns_by.filter(|by| self.health == Health::Down && now < *by);
        let confirm = self.hint.is_some();
        let deadline = now + self.timing.timeout + LAST_WORDS;
        self.running =
            Some(Running { started: self.due, deadline, expired: false, missed: None, confirm, void: false });
        Some(Probe { timeout: self.timing.timeout, confirm })
    }

    /// The answer of the run that [`poll_probe`](Self::poll_probe) asked for.
    pub fn handle_outcome(&mut self, outcome: Outcome, now: Instant) {
        let Some(running) = self.running.take() else { return };
        if self.enabled && !running.expired {
            self.answered(outcome, running, now);
        } else {
            self.explain(outcome);
            self.due = self.due.max(running.started + self.pace());
        }
    }

    /// A run that was judged without an answer says in the end what it waited for: that is told instead of our own words.
    fn explain(&mut self, outcome: Outcome) {
        let late = |outcome: &Outcome| (outcome.health, outcome.cause) == (Health::Down, Cause::TimedOut);
        if self.enabled && late(&outcome) && self.last.as_deref().is_some_and(late) {
            self.last = Some(Arc::new(outcome));
        }
    }

    fn answered(&mut self, outcome: Outcome, running: Running, now: Instant) {
        let deadline = running.missed.unwrap_or(running.deadline);
        if outcome.cause == Cause::TimedOut && overslept(deadline, now) {
            return self.excuse(deadline, now);
        }
        self.excuses = 0;
        if running.void && outcome.health >= Health::Degraded {
            self.due = now; // It may have been answered before the listener went.
            return;
        }
        let Some(hint) = self.hint.filter(|_| running.confirm) else {
            self.judge(outcome, now);
            self.due = if self.hint.is_some() { now } else { running.started + self.wait() };
            return;
        };
        self.answered_after(hint, outcome, running, now);
    }

    /// Judges a run that hangs, and forgets a proof that is too old.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.first_by = self.first_by.filter(|by| now < *by);
        if let Some(running) = self.running.as_mut().filter(|running| !running.expired && now >= running.deadline) {
            let timeout = self.timing.timeout;
            if let Some(deadline) = running.missed {
                running.expired = true;
                if self.enabled {
                    self.excuse(deadline, now);
                }
            } else if overslept(running.deadline, now) {
                // What came meanwhile has not been looked at: the run is given the time to.
                running.missed = Some(running.deadline);
                running.deadline = now + OVERSLEPT;
            } else {
                running.expired = true;
                self.excuses = 0;
                let detail = format!("no answer within {}", in_words(timeout));
                if self.enabled {
                    let outcome = Outcome::new(Health::Down, Cause::TimedOut, detail, timeout);
                    self.judge(outcome, now);
                }
            }
        }
        if self.claims_until().is_some_and(|at| now >= at) {
            let unconfirmed = self.confirm_by.is_some_and(|by| now >= by);
            if !unconfirmed && overslept(self.proof.until, now) && !self.proof.extended {
                // Nobody was there to renew it: one run decides whether it still holds.
                self.proof = Proof { until: now + self.timing.timeout + 2 * OVERSLEPT, extended: true };
                self.due = self.due.min(now);
            } else {
                self.streak = None;
                self.become_health(Health::Unknown, now);
            }
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
        [run, self.claims_until(), self.first_by].into_iter().flatten().min()
    }

    /// Until when it claims that the service is good, without another answer. Only a claim can grow stale: Up and Degraded need
    /// proof, Down and Unknown claim nothing.
    #[must_use]
    pub fn claims_until(&self) -> Option<Instant> {
        let proven = (self.health >= Health::Degraded).then_some(self.proof.until)?;
        Some(self.confirm_by.map_or(proven, |by| by.min(proven)))
    }

    /// Whether it claims something that no answer has confirmed since [`Self::prove_again`].
    #[must_use]
    pub const fn is_unconfirmed(&self) -> bool {
        self.confirm_by.is_some()
    }

    /// Whether it is worth waiting for what it says first: it has said nothing bad yet, and is not decided. That lasts for
    /// [`CheckTiming::stale_after`] at most.
    #[must_use]
    pub const fn is_awaited(&self) -> bool {
        self.first_by.is_some()
    }

    /// When it runs for the first time; `None` once it has begun to, and while it may not.
    #[must_use]
    pub fn first_run(&self) -> Option<Instant> {
        (self.enabled && self.counters.runs == 0).then_some(self.due)
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
    pub const fn last(&self) -> Option<&Arc<Outcome>> {
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

    /// We were not there when the answer was due: that says nothing of the service, unless it is always so. The first time it is
    /// asked again at once; who keeps us busy is not asked the more for it.
    fn excuse(&mut self, deadline: Instant, now: Instant) {
        self.excuses = self.excuses.saturating_add(1);
        let late = now.saturating_duration_since(deadline);
        let kept = format!("the agent itself was kept from running for {}", in_words(late));
        let (health, detail) = if self.excuses > EXCUSES {
            let timeout = in_words(self.timing.timeout);
            (Health::Down, format!("no answer within {timeout}, {} times in a row; {kept}", self.excuses))
        } else {
            (Health::Unknown, format!("not known: {kept}"))
        };
        self.judge(Outcome::new(health, Cause::TimedOut, detail, self.timing.timeout + late), now);
        self.due = if self.excuses > 1 { now + self.timing.fast_interval } else { now };
    }

    fn prove(&mut self, now: Instant) {
        self.proof = Proof { until: now + self.timing.stale_after.max(self.timing.interval * 10), extended: false };
    }

    fn judge(&mut self, outcome: Outcome, now: Instant) {
        let answer = outcome.health;
        match answer {
            Health::Unknown => self.counters.inconclusive += 1,
            Health::Down => self.counters.failures += 1,
            Health::Degraded | Health::Up => {}
        }
        self.last = Some(Arc::new(outcome));
        if answer < Health::Up {
            self.first_by = None;
        }
        if answer == Health::Unknown {
            return; // It proves nothing, for or against; see `claims_until`.
        }
        self.prove(now);
        if answer >= self.health {
            self.confirm_by = None;
        }
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
            self.first_by = None;
        }
        if health != self.health {
            // What the kernel, or a connection that was held, told of is most often a restart.
            let hinted = self.hinted.is_some_and(|at| now.saturating_duration_since(at) < RETURN_WITHIN);
            self.returns_by = (hinted && health == Health::Down).then_some(now + RETURN_WITHIN);
            self.health = health;
            self.since = now;
            self.confirm_by = None;
        }
    }

    const fn needed(&self, rising: bool) -> u16 {
        if rising { self.timing.rise.get() } else { self.timing.fall.get() }
    }

    fn pace(&self) -> Duration {
        let returning = self.health == Health::Down && self.returns_by.is_some();
        let settled = self.streak.is_none() && self.health != Health::Unknown && !returning;
        if settled { self.timing.interval } else { self.timing.fast_interval }
    }

    /// From the start of a run to the start of the next. The first time that it is settled the check goes to its place in the
    /// interval; before, all of them began with the agent, at once.
    fn wait(&mut self) -> Duration {
        let pace = self.pace();
        if pace < self.timing.interval || self.placed {
            return pace;
        }
        self.placed = true;
        let least = self.timing.fast_interval;
        least + (pace - least) * u32::from(self.place) / 1024
    }
}

fn overslept(deadline: Instant, now: Instant) -> bool {
    now.saturating_duration_since(deadline) > OVERSLEPT
}

/// `300 ms`, `1.5 s`.
fn in_words(time: Duration) -> String {
    if time < Duration::from_secs(1) { format!("{} ms", time.as_millis()) } else { format!("{} s", time.as_secs_f64()) }
}

#[cfg(test)]
mod tests;
