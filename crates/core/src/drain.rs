//! A planned withdraw of one service: say goodbye, withdraw, wait until nobody can still be sending.

use std::time::{Duration, Instant};

use crate::config::DrainTimes;

/// Where a drain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No drain: announced as its health says.
    Active,
    /// Announced as degraded until the order is taken back.
    Degraded,
    /// GRACEFUL_SHUTDOWN is announced (RFC 8326), so that routers move away while the route still works.
    GracefulShutdown {
        /// When the withdraw follows.
        until: Instant,
    },
    /// Withdrawn; a neighbor may not have heard it yet.
    Withdrawing,
    /// Every neighbor has heard it; packets under way still arrive.
    Lingering {
        /// When they cannot any more.
        until: Instant,
    },
    /// Over: safe to stop.
    Drained,
}

impl Phase {
    /// Whether the service counts as not there.
    #[must_use]
    pub const fn is_withdrawn(self) -> bool {
        matches!(self, Self::Withdrawing | Self::Lingering { .. } | Self::Drained)
    }
}

/// How a service is to be drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// GRACEFUL_SHUTDOWN first, for its configured time.
    Graceful,
    /// Withdraw at once.
    Now,
    /// Stay announced, with the degraded attributes.
    Degrade,
}

/// Where a drain stands, for another process that goes on with it: times as what is left of them, or has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// In which phase.
    pub stage: Stage,
    /// Since when.
    pub age: Duration,
    /// Until the next stage, where that is a matter of time.
    pub left: Option<Duration>,
}

/// A [`Phase`] without its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are those of `Phase`")]
pub enum Stage {
    Active,
    Degraded,
    GracefulShutdown,
    Withdrawing,
    Lingering,
    Drained,
}

/// The state machine of one service's drain.
#[derive(Debug, Clone)]
pub struct Drain {
    times: DrainTimes,
    phase: Phase,
    since: Instant,
}

impl Drain {
    /// No drain.
    #[must_use]
    pub const fn new(times: DrainTimes, now: Instant) -> Self {
        Self { times, phase: Phase::Active, since: now }
    }

    /// Where it stands, for another process.
    #[must_use]
    pub fn hand_over(&self, now: Instant) -> State {
        let stage = match self.phase {
            Phase::Active => Stage::Active,
            Phase::Degraded => Stage::Degraded,
            Phase::GracefulShutdown { .. } => Stage::GracefulShutdown,
            Phase::Withdrawing => Stage::Withdrawing,
            Phase::Lingering { .. } => Stage::Lingering,
            Phase::Drained => Stage::Drained,
        };
        let left = self.poll_timeout().map(|at| at.saturating_duration_since(now));
        State { stage, age: now.saturating_duration_since(self.since), left }
    }

    /// Goes on where another process was. No wait is longer than it would be here.
    #[must_use]
    pub fn take_over(times: DrainTimes, from: State, now: Instant) -> Self {
        let until = |longest: Duration| now + from.left.unwrap_or_default().min(longest);
        let phase = match from.stage {
            Stage::Active => Phase::Active,
            Stage::Degraded => Phase::Degraded,
            Stage::GracefulShutdown => Phase::GracefulShutdown { until: until(times.graceful_shutdown) },
            Stage::Withdrawing => Phase::Withdrawing,
            Stage::Lingering => Phase::Lingering { until: until(times.linger) },
            Stage::Drained => Phase::Drained,
        };
        Self { times, phase, since: now.checked_sub(from.age).unwrap_or(now) }
    }

    /// Takes new times; a wait under way keeps its end.
    pub const fn reconfigure(&mut self, times: DrainTimes) {
        self.times = times;
    }

    /// Begins a drain, or speeds one up. What has been reached is never undone by a second order.
    pub fn handle_withdraw(&mut self, mode: Mode, now: Instant) {
        let next = match (mode, self.phase) {
            (_, Phase::Withdrawing | Phase::Lingering { .. } | Phase::Drained) => return,
            (Mode::Graceful, Phase::GracefulShutdown { .. }) => return,
            (Mode::Degrade, _) => Phase::Degraded,
            (Mode::Graceful, _) if self.times.graceful_shutdown > Duration::ZERO => {
                Phase::GracefulShutdown { until: now + self.times.graceful_shutdown }
            }
            (Mode::Graceful | Mode::Now, _) => Phase::Withdrawing,
        };
        self.enter(next, now);
    }

    /// Ends the drain, wherever it stands.
    pub fn handle_announce(&mut self, now: Instant) {
        self.enter(Phase::Active, now);
    }

    /// Whether an Established neighbor holds, or has not acknowledged the withdraw of, a prefix that this drain withdraws.
    pub fn handle_held(&mut self, held: bool, now: Instant) {
        if self.phase == Phase::Withdrawing && !held {
            let next = match self.times.linger {
                Duration::ZERO => Phase::Drained,
                linger => Phase::Lingering { until: now + linger },
            };
            self.enter(next, now);
        }
    }

    /// Moves on where a wait is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::GracefulShutdown { until } if now >= until => self.enter(Phase::Withdrawing, now),
            Phase::Lingering { until } if now >= until => self.enter(Phase::Drained, now),
            Phase::Active
            | Phase::Degraded
            | Phase::GracefulShutdown { .. }
            | Phase::Withdrawing
            | Phase::Lingering { .. }
            | Phase::Drained => {}
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::GracefulShutdown { until } | Phase::Lingering { until } => Some(until),
            Phase::Active | Phase::Degraded | Phase::Withdrawing | Phase::Drained => None,
        }
    }

    /// Where it stands.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Since when.
    #[must_use]
    pub const fn since(&self) -> Instant {
        self.since
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        if phase != self.phase {
            self.phase = phase;
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn drain(graceful: u32, linger: u32) -> (Drain, Instant) {
        let now = Instant::now();
        (Drain::new(DrainTimes { graceful_shutdown: SECOND * graceful, linger: SECOND * linger }, now), now)
    }

    /// The other process is at the same place, and has as much time left.
    #[test]
    fn another_process_goes_on_at_every_stage() {
        let times = DrainTimes { graceful_shutdown: SECOND * 10, linger: SECOND * 5 };
        let (mut drain, start) = drain(10, 5);
        let mut seen = Vec::new();
        for (after, order) in
            [(0, None), (0, Some(Mode::Degrade)), (1, Some(Mode::Graceful)), (11, None), (13, None), (18, None)]
        {
            let now = start + SECOND * after;
            if let Some(mode) = order {
                drain.handle_withdraw(mode, now);
            }
            drain.handle_timeout(now);
            drain.handle_held(after < 13, now);
            let later = now + SECOND;
            let other = Drain::take_over(times, drain.hand_over(later), later);
            assert_eq!(
                (other.phase(), other.since(), other.poll_timeout()),
                (drain.phase(), drain.since(), drain.poll_timeout())
            );
            seen.push(other.phase());
        }
        seen.dedup();
        assert_eq!(seen.len(), 6, "{seen:?}");

        let long = State { left: Some(SECOND * 3600), ..Drain::new(times, start).hand_over(start) };
        let of = |stage| Drain::take_over(times, State { stage, ..long }, start).poll_timeout();
        assert_eq!(
            (of(Stage::GracefulShutdown), of(Stage::Lingering)),
            (Some(start + SECOND * 10), Some(start + SECOND * 5))
        );
    }

    #[test]
    fn goodbye_then_withdraw_then_linger_then_over() {
        let (mut drain, now) = drain(10, 5);
        drain.handle_withdraw(Mode::Graceful, now);
        assert_eq!(drain.phase(), Phase::GracefulShutdown { until: now + SECOND * 10 });
        drain.handle_held(false, now);
        drain.handle_timeout(now + SECOND * 9);
        assert_eq!(
            drain.phase(),
            Phase::GracefulShutdown { until: now + SECOND * 10 },
            "no neighbor is no reason to hurry"
        );
        drain.handle_timeout(now + SECOND * 10);
        drain.handle_held(true, now + SECOND * 10);
        assert_eq!(drain.phase(), Phase::Withdrawing);
        assert_eq!(drain.poll_timeout(), None, "only the neighbors can end this");
        drain.handle_held(false, now + SECOND * 12);
        assert_eq!(drain.poll_timeout(), Some(now + SECOND * 17));
        drain.handle_timeout(now + SECOND * 17);
        assert_eq!(drain.phase(), Phase::Drained);
    }

    #[test]
    fn zero_skips_the_waits() {
        let (mut drain, now) = drain(0, 0);
        drain.handle_withdraw(Mode::Graceful, now);
        assert_eq!(drain.phase(), Phase::Withdrawing);
        drain.handle_held(false, now);
        assert_eq!(drain.phase(), Phase::Drained);
    }

    #[test]
    fn a_second_order_only_hurries() {
        let (mut drain, now) = drain(10, 5);
        drain.handle_withdraw(Mode::Graceful, now);
        drain.handle_withdraw(Mode::Graceful, now + SECOND);
        assert_eq!(drain.poll_timeout(), Some(now + SECOND * 10), "the clock is not wound back");
        drain.handle_withdraw(Mode::Now, now + SECOND);
        assert_eq!(drain.phase(), Phase::Withdrawing);
        drain.handle_withdraw(Mode::Graceful, now + SECOND);
        drain.handle_withdraw(Mode::Degrade, now + SECOND);
        assert_eq!(drain.phase(), Phase::Withdrawing, "what is withdrawn comes back by `announce` alone");
        drain.handle_announce(now + SECOND);
        assert_eq!(drain.phase(), Phase::Active);
    }

    #[test]
    fn degraded_stays_until_another_order() {
        let (mut drain, now) = drain(10, 5);
        drain.handle_withdraw(Mode::Degrade, now);
        assert_eq!((drain.phase(), drain.poll_timeout()), (Phase::Degraded, None));
        drain.handle_withdraw(Mode::Graceful, now);
        assert!(matches!(drain.phase(), Phase::GracefulShutdown { .. }));
    }
}
