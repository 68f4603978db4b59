//! A check that leaves one process and goes on in another.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Check, CheckCounters, Health, Outcome, Proof, Streak};
use crate::config::CheckTiming;

/// What a check knows: times as ages, or as what is left of them, for no clock is handed over.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Whether it may run.
    pub enabled: bool,
    /// What it has decided.
    pub health: Health,
    /// Since when.
    pub age: Duration,
    /// Judgements in a row against that: whether they are better, how many, and the one nearest to it.
    pub streak: Option<(bool, u16, Health)>,
    /// It does not count before it is decided itself.
    pub on_probation: bool,
    /// The last answer.
    pub last: Option<Outcome>,
    /// For how long what it claims holds without another answer.
    pub holds: Duration,
    /// Until its first run, or its next.
    pub due: Duration,
    /// For how long a service that went is looked for more often.
    pub returns: Option<Duration>,
    /// For how long its first word is waited for.
    pub first: Option<Duration>,
    /// What it has counted.
    pub counters: CheckCounters,
}

impl Check {
    /// What another process needs to go on with the check. A run under way, and a hint that no run has answered, are not part of it:
    /// the other asks anew.
    #[must_use]
    pub fn hand_over(&self, now: Instant) -> State {
        let left = |at: Instant| at.saturating_duration_since(now);
        State {
            enabled: self.enabled,
            health: self.health,
            age: now.saturating_duration_since(self.since),
            streak: self.streak.map(|streak| (streak.rising, streak.count, streak.mildest)),
            on_probation: self.on_probation,
            last: self.last.as_deref().cloned(),
            holds: left(self.proof.until),
            due: left(self.due),
            returns: self.returns_by.map(left),
            first: self.first_by.map(left),
            counters: self.counters,
        }
    }

    /// The check that was handed over. It asks soon, and what it claims has to be confirmed, as after any absence: see
    /// [`prove_again`](Self::prove_again).
    #[must_use]
    pub fn take_over(timing: CheckTiming, place: u16, from: State, now: Instant) -> Self {
        // Whatever was written down, nothing is believed, or waited for, for longer than this process would.
        let longest = timing.stale_after.max(timing.interval * 10);
        let mut check = Self {
            enabled: from.enabled,
            health: from.health,
            since: now.checked_sub(from.age).unwrap_or(now),
            streak: from.streak.map(|(rising, count, mildest)| Streak { rising, count, mildest }),
            last: from.last.map(Arc::new),
            proof: Proof { until: now + from.holds.min(longest), extended: false },
            due: now + from.due.min(timing.start_delay.max(timing.interval)),
            returns_by: from.returns.map(|left| now + left.min(super::RETURN_WITHIN)),
            first_by: from.first.map(|left| now + left.min(timing.stale_after)),
            counters: from.counters,
            ..Self::new(timing, place, from.on_probation, now)
        };
        // What has not run yet waits for its first run as before.
        if check.counters.runs > 0 {
            check.prove_again(now);
        }
        check
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Cause,
            tests::{MS, World, timing},
        },
        *,
    };
    use Health::{Degraded, Down, Unknown, Up};

    fn go_on(world: &World) -> World {
        let from = world.check.hand_over(world.now);
        World { check: Check::take_over(timing(2, 3), 1024, from, world.now), now: world.now }
    }

    #[test]
    fn what_was_known_and_counted_is_known_and_goes_on_to_count() {
        type Case<'a> = (&'a [Health], Health, &'a [Health], &'a [Health]);
        let table: &[Case<'_>] = &[
            (&[], Unknown, &[Up, Up], &[Unknown, Up]),
            (&[Up], Unknown, &[Up], &[Up]),
            (&[Up, Up], Up, &[Down, Down, Down], &[Up, Up, Down]),
            (&[Up, Up, Down, Down], Up, &[Down], &[Down]),
            (&[Up, Up, Down, Down], Up, &[Up, Down], &[Up, Up]),
            (&[Down, Down, Down, Up], Down, &[Up], &[Up]),
            (&[Degraded, Degraded], Degraded, &[Up, Up], &[Degraded, Up]),
        ];
        for (before, health, answers, expected) in table {
            let mut world = World::new(2, 3);
            world.answers(before);
            let mut after = go_on(&world);
            assert_eq!((after.check.health(), after.check.last()), (*health, world.check.last()), "{before:?}");
            assert_eq!(after.check.counters(), world.check.counters());
            assert_eq!(after.answers(answers), *expected, "{before:?}, then {answers:?}");
        }
    }

    #[test]
    fn what_is_claimed_has_to_be_confirmed() {
        let mut world = World::new(2, 3);
        world.answers(&[Up, Up]);
        assert!(!world.check.is_unconfirmed());
        let mut confirmed = go_on(&world);
        assert!(confirmed.check.is_unconfirmed());
        confirmed.answer(Up);
        assert!(!confirmed.check.is_unconfirmed());

        // Nobody answers: it is forgotten as after any absence.
        let mut silent = go_on(&world);
        let until = silent.check.claims_until().expect("it claims something");
        assert!(until <= silent.now + Duration::from_secs(10) + MS);
        while let Some(at) = silent.check.poll_timeout().filter(|_| silent.check.health() == Up) {
            silent.now = at;
            silent.check.handle_timeout(at);
            if silent.check.poll_probe(at).is_some() {
                silent.check.handle_outcome(Outcome::new(Unknown, Cause::Answered, String::new(), MS), at);
            }
            assert!(at <= until);
        }
        assert_eq!(silent.check.health(), Unknown);
    }

    #[test]
    fn a_run_under_way_is_done_again_and_times_are_no_longer_than_ours() {
        let mut world = World::new(2, 3);
        world.answers(&[Up, Up]);
        world.start();
        let mut after = go_on(&world);
        assert_eq!(after.check.counters().runs, 3);
        after.start();
        assert_eq!(after.check.counters().runs, 4);

        let week = Duration::from_secs(7 * 24 * 3600);
        let from = State {
            holds: week,
            due: week,
            first: Some(week),
            returns: Some(week),
            ..world.check.hand_over(world.now)
        };
        let check = Check::take_over(timing(2, 3), 0, from, world.now);
        assert!(check.claims_until().is_some_and(|at| at <= world.now + 10 * 1000 * MS));
        assert!(check.poll_timeout().is_some_and(|at| at <= world.now + 1000 * MS));
    }

    #[test]
    fn what_rests_goes_on_to_rest() {
        let mut world = World::new(1, 1);
        world.answer(Up);
        world.check.set_enabled(false, world.now);
        let mut after = go_on(&world);
        assert!(!after.check.enabled() && after.check.poll_probe(world.now + 10_000 * MS).is_none());
        assert_eq!(after.check.health(), Unknown);
        after.check.set_enabled(true, after.now);
        assert_eq!(after.answers(&[Up, Up]), [Unknown, Up]);
    }
}
