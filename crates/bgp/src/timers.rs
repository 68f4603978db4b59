//! The timers of a session (RFC 4271 §8.1.3, §10) as one table, and the jitter they run with.

use std::time::{Duration, Instant};

/// Everything a session can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// ConnectRetryTimer: when to dial again.
    ConnectRetry,
    /// IdleHoldTimer: how long a neighbor that dials us must stay away after it failed.
    IdleHold,
    /// How long a dial may take.
    Dial,
    /// How long the neighbor may take from our OPEN to Established: the "large value" of RFC 4271 §8.2.2, which is not lifted in
    /// OpenConfirm, so that a hold time of 0 cannot wait there for ever.
    Handshake,
    /// HoldTimer.
    Hold,
    /// KeepaliveTimer.
    Keepalive,
    /// SendHoldTimer (RFC 9687).
    SendHold,
}

impl Timer {
    pub(crate) const ALL: [Self; 7] =
        [Self::ConnectRetry, Self::IdleHold, Self::Dial, Self::Handshake, Self::Hold, Self::Keepalive, Self::SendHold];
}

#[derive(Debug, Default)]
pub(crate) struct Timers([Option<Instant>; Timer::ALL.len()]);

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.put(timer, Some(at));
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.put(timer, None);
    }

    pub(crate) fn stop_all(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn get(&self, timer: Timer) -> Option<Instant> {
        self.0.get(timer as usize).copied().flatten()
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// Stops `timer` and says true if it has run out.
    pub(crate) fn take_expired(&mut self, timer: Timer, now: Instant) -> bool {
        let expired = self.get(timer).is_some_and(|at| at <= now);
        if expired {
            self.stop(timer);
        }
        expired
    }

    fn put(&mut self, timer: Timer, at: Option<Instant>) {
        if let Some(slot) = self.0.get_mut(timer as usize) {
            *slot = at;
        }
    }
}

/// A sequence of numbers from a seed (SplitMix64), so that sessions do not act in step and tests can repeat what they saw.
#[derive(Debug, Clone)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// RFC 4271 §10: a time between 75 and 100 % of `base`.
    pub(crate) fn apply(&mut self, base: Duration) -> Duration {
        let permille = 750 + u32::try_from(self.next() % 251).unwrap_or(0);
        base * permille / 1000
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// The time between one attempt's end and the next: doubled each time, less the jitter.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    last: Duration,
    failures: u32,
}

impl Backoff {
    /// For a neighbor that we dial: from 1 s on.
    pub(crate) fn dialling(last: Duration) -> Self {
        Self { first: Duration::from_secs(1).min(last), last, failures: 0 }
    }

    /// For one that dials us: it has its own patience, and who mends a mistake should not wait for ours.
    pub(crate) const fn waiting() -> Self {
        Self { first: Duration::from_millis(250), last: Duration::from_secs(4), failures: 0 }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let delay = self.first.saturating_mul(1 << self.failures.min(16)).min(self.last);
        self.failures = self.failures.saturating_add(1);
        delay
    }

    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_thirty_seconds() {
        let mut backoff = Backoff::dialling(Duration::from_secs(30));
        let seconds: Vec<u64> = (0..8).map(|_| backoff.next().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30, 30]);
        backoff.reset();
        assert_eq!(backoff.next().as_secs(), 1);
        let mut backoff = Backoff::dialling(Duration::from_millis(500));
        assert_eq!((0..3).map(|_| backoff.next().as_millis()).collect::<Vec<_>>(), [500, 500, 500]);
        let mut backoff = Backoff::waiting();
        let millis: Vec<u128> = (0..6).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(millis, [250, 500, 1000, 2000, 4000, 4000]);
    }

    #[test]
    fn jitter_stays_between_75_and_100_percent_and_varies() {
        let mut jitter = Jitter::new(7);
        let drawn: Vec<Duration> = (0..1000).map(|_| jitter.apply(Duration::from_secs(30))).collect();
        assert!(drawn.iter().all(|time| (Duration::from_millis(22_500)..=Duration::from_secs(30)).contains(time)));
        assert!(drawn.iter().min() < drawn.iter().max());
    }

    #[test]
    fn the_next_timer_is_the_earliest() {
        let (mut timers, now) = (Timers::default(), Instant::now());
        assert_eq!(timers.next(), None);
        timers.set(Timer::Hold, now + Duration::from_secs(9));
        timers.set(Timer::Keepalive, now + Duration::from_secs(3));
        assert_eq!(timers.next(), Some(now + Duration::from_secs(3)));
        assert!(!timers.take_expired(Timer::Keepalive, now));
        assert!(timers.take_expired(Timer::Keepalive, now + Duration::from_secs(3)));
        assert_eq!(timers.next(), Some(now + Duration::from_secs(9)));
    }
}
