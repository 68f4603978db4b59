//! Hints of the kernel: what they make a check do, and what the run after one proves.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Cause, Check, Health, Outcome, Running};

/// Further hints that have it ask at once before it is known what the first one meant; then it goes on at the fast interval and
/// answers count, or listeners that come and go all the time would cost a processor and leave nothing known.
const REPEATS: u8 = 3;
/// How often a listener is looked for while it is waited for.
const GRACE_PACE: Duration = Duration::from_millis(10);

/// The kernel saw a listener or a process go, and no run has said yet what that means.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hinted {
    /// Until when a new listener is waited for.
    grace_until: Option<Instant>,
    /// Further hints that came before it was known what the first one meant.
    further: u8,
    /// One run has said what it sees; the next has the last word.
    answered: bool,
}

impl Check {
    /// The kernel saw a listener or a process of the service go. That decides nothing; it makes the check ask.
    pub fn handle_hint(&mut self, now: Instant) {
        if !self.enabled {
            return;
        }
        self.counters.hints += 1;
        self.hinted = Some(now);
        let hint = match self.hint {
            Some(hint) => Hinted { further: hint.further.saturating_add(1), answered: false, ..hint },
            None => Hinted::default(),
        };
        self.hint = Some(hint);
        let patient = hint.further > REPEATS;
        match &mut self.running {
            Some(running) => running.void |= !patient,
            None if patient => {}
            None => self.due = self.due.min(now),
        }
    }

    /// Whether the run under way is to be dropped, because it is repeated at once.
    pub fn poll_cancel(&mut self, now: Instant) -> bool {
        if !self.running.is_some_and(|running| running.void && !running.expired) {
            return false;
        }
        self.running = None;
        self.due = now;
        true
    }

    /// Whether it is not known yet what a hint means.
    #[must_use]
    pub const fn is_hinted(&self) -> bool {
        self.hint.is_some()
    }

    /// The answer of a run that was to say what a hint means.
    pub(super) fn answered_after(&mut self, hint: Hinted, outcome: Outcome, running: Running, now: Instant) {
        match (outcome.health, outcome.cause) {
            (Health::Down, Cause::Gone) => {
                let until = hint.grace_until.unwrap_or(now + self.timing.restart_grace);
                if now < until {
                    self.last = Some(Arc::new(outcome));
                    // It is known how it is, and that it is waited for: it must not become unknown before the grace is over.
                    self.prove(now);
                    self.hint = Some(Hinted { grace_until: Some(until), ..hint });
                    self.due = (now + GRACE_PACE).min(until);
                    return;
                }
                self.hint = None;
                self.fall(outcome, now);
            }
            // Nothing is known of the listener yet.
            (Health::Unknown, _) => self.judge(outcome, now),
            // The kernel closes the sockets of a process one after another: what was told of may have been the first of them, and
            // the answer have come from one that went after it. So it is asked once more.
            (Health::Down | Health::Degraded | Health::Up, _) => {
                self.judge(outcome, now);
                self.hint = (!hint.answered).then_some(Hinted { answered: true, grace_until: None, ..hint });
                if self.hint.is_some() {
                    self.due = running.started + self.timing.fast_interval;
                    return;
                }
            }
        }
        self.due = running.started + self.wait();
    }

    /// Down at once: it is proven that nobody is there.
    fn fall(&mut self, outcome: Outcome, now: Instant) {
        self.counters.failures += 1;
        self.last = Some(Arc::new(outcome));
        self.prove(now);
        self.streak = None;
        self.hinted = Some(now);
        self.become_health(Health::Down, now);
    }
}
