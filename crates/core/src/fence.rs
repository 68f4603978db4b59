//! Who is still alive: beats are counted, and whoever has none for too long is fenced.
//!
//! Time passes here only as fast as whoever looks is run. A process that was stopped, suspended or starved for a minute has
//! not looked either, so nobody is blamed for that minute: the others get as many turns to show that they live as the one who
//! looks needs to notice that they do not.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// Whose beats are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The one that decides what is announced.
    DecisionLoop,
    /// Whatever runs the tasks, all of them.
    Scheduler,
    /// The task of one check.
    Check(u64),
}

impl Subject {
    /// The name of its deadline, as metrics and events have it.
    #[must_use]
    pub const fn deadline(self) -> &'static str {
        match self {
            Self::DecisionLoop => "decision_loop",
            Self::Scheduler => "scheduler",
            Self::Check(_) => "check",
        }
    }

    /// Whether nothing that the neighbors hold can be vouched for without it.
    #[must_use]
    pub const fn is_vital(self) -> bool {
        match self {
            Self::DecisionLoop | Self::Scheduler => true,
            Self::Check(_) => false,
        }
    }
}

/// What is seen of one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// How often it has beaten; any change is a beat.
    pub count: u64,
    /// When the next is due, where it may well be silent until then.
    pub due: Option<Instant>,
    /// How long it may be silent past that.
    pub patience: Duration,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It has been silent for too long.
    Fenced {
        /// Who.
        subject: Subject,
        /// For how long, as far as that counts.
        silent: Duration,
    },
    /// It has beaten again.
    Released {
        /// Who.
        subject: Subject,
        /// For how long it had been silent, as far as that counts.
        silent: Duration,
    },
}

#[derive(Debug, Clone, Copy)]
struct Pulse {
    count: u64,
    silent: Duration,
    fenced: bool,
}

/// Judges the beats. [`handle_look`](Self::handle_look) is to be called every [`pace`](pace); then every
/// [`poll_change`](Self::poll_change) is to be taken.
#[derive(Debug)]
pub struct Fence {
    looked: Instant,
    pulses: BTreeMap<Subject, Pulse>,
    changes: VecDeque<Change>,
}

/// How often to look, for who may be silent for `patience`.
#[must_use]
pub fn pace(patience: Duration) -> Duration {
    (patience / 20).clamp(Duration::from_millis(50), Duration::from_millis(500))
}

/// How often to beat, for who may be silent for `patience`.
#[must_use]
pub fn beat_every(patience: Duration) -> Duration {
    (patience / 5).min(Duration::from_secs(1))
}

impl Fence {
    /// Nobody is known yet.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { looked: now, pulses: BTreeMap::new(), changes: VecDeque::new() }
    }

    /// What is seen of everybody now. Whoever is not among them is forgotten.
    pub fn handle_look(&mut self, beats: &BTreeMap<Subject, Beat>, pace: Duration, now: Instant) {
        // What one look may count: see the head of this module.
        let step = now.saturating_duration_since(self.looked).min(pace);
        self.looked = now;
        self.pulses.retain(|subject, _| beats.contains_key(subject));
        for (subject, beat) in beats {
            // In the order of the subjects: the scheduler comes before what it runs.
            let held_up = !subject.is_vital() && self.silent(Subject::Scheduler) > pace;
            self.look(*subject, beat, if held_up { Duration::ZERO } else { step }, now);
        }
    }

    fn look(&mut self, subject: Subject, beat: &Beat, step: Duration, now: Instant) {
        let fresh = Pulse { count: beat.count, silent: Duration::ZERO, fenced: false };
        let pulse = self.pulses.entry(subject).or_insert(fresh);
        if pulse.count != beat.count || beat.due.is_some_and(|due| now < due) {
            if pulse.fenced {
                self.changes.push_back(Change::Released { subject, silent: pulse.silent });
            }
            *pulse = fresh;
            return;
        }
        let overdue = beat.due.map_or(step, |due| now.saturating_duration_since(due));
        pulse.silent = pulse.silent.saturating_add(step.min(overdue));
        if !pulse.fenced && pulse.silent >= beat.patience {
            pulse.fenced = true;
            self.changes.push_back(Change::Fenced { subject, silent: pulse.silent });
        }
    }

    /// What changed with the last look.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// Who is fenced.
    pub fn fenced(&self) -> impl Iterator<Item = Subject> {
        self.pulses.iter().filter(|(_, pulse)| pulse.fenced).map(|(subject, _)| *subject)
    }

    /// For how long it has been silent, as far as that counts.
    #[must_use]
    pub fn silent(&self, subject: Subject) -> Duration {
        self.pulses.get(&subject).map_or(Duration::ZERO, |pulse| pulse.silent)
    }

    /// The longest silence of those with this deadline.
    #[must_use]
    pub fn longest_silence(&self, deadline: &str) -> Duration {
        let of = self.pulses.iter().filter(|(subject, _)| subject.deadline() == deadline);
        of.map(|(_, pulse)| pulse.silent).max().unwrap_or_default()
    }
}

/// A moment on two clocks: one that stands still while the machine is suspended, and one that does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// CLOCK_MONOTONIC.
    pub monotonic: Instant,
    /// CLOCK_BOOTTIME, since the machine was booted.
    pub since_boot: Duration,
}

/// For how long nobody was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// The process was not run: stopped, or starved.
    NotRun(Duration),
    /// The machine was suspended.
    Suspended(Duration),
}

impl Absence {
    /// What lies between two turns of somebody who takes one [every so often](beat_every); `None`: no more than that.
    #[must_use]
    pub fn between(last: Moment, now: Moment, stale_after: Duration) -> Option<Self> {
        let passed = now.since_boot.saturating_sub(last.since_boot);
        let awake = now.monotonic.saturating_duration_since(last.monotonic);
        let suspended = passed.saturating_sub(awake);
        if suspended > stale_after {
            return Some(Self::Suspended(suspended));
        }
        let longest = passed.max(awake);
        (longest > late_after(stale_after)).then_some(Self::NotRun(longest))
    }
}

/// A turn that is later than this is one after an absence.
#[must_use]
pub fn late_after(stale_after: Duration) -> Duration {
    (beat_every(stale_after) * 5 / 2).min(stale_after)
}

#[cfg(test)]
mod tests;
