//! How often: the pauses between attempts, and the time of the next listing.

use std::time::{Duration, Instant};

/// The pause after the first failure, and the longest one.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);
/// Without any event, a listing is taken this often: an event can be lost.
pub const AUDIT: Duration = Duration::from_secs(30);
/// A storm of events is answered by one listing in this time; a single event at once.
const LEAST_PAUSE: Duration = Duration::from_millis(5);
/// Listing takes at most a fifth of the time, however long the lists are.
const PAUSE_FACTOR: u32 = 4;
/// A listing proves for this long, unless there was an event, whose an address is; one that took longer, for twice as long as
/// it took. What is to be made of thousands of addresses takes its time too, and with less nothing of them would ever be deleted.
const FRESH: Duration = Duration::from_millis(10);
const FRESH_FACTOR: u32 = 2;

/// The pause after that many failures in a row: 100 ms, doubled up to 30 s.
#[must_use]
pub fn delay(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (FIRST * (1 << doublings)).min(LONGEST)
}

/// When the kernel is listed.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListingClock {
    /// Until when the last listing proves anything, as long as there was no event since.
    fresh_until: Option<Instant>,
    known: bool,
    due: Instant,
    not_before: Instant,
    failures: u32,
}

impl ListingClock {
    pub(super) const fn new(now: Instant) -> Self {
        Self { fresh_until: None, known: false, due: now, not_before: now, failures: 0 }
    }

    pub(super) fn handle_event(&mut self, now: Instant) {
        self.fresh_until = None;
        self.due = self.due.min(now.max(self.not_before));
    }

    pub(super) fn handle_listing(&mut self, took: Duration, now: Instant) {
        *self = Self {
            fresh_until: Some(now + FRESH.max(took * FRESH_FACTOR)),
            known: true,
            due: now + AUDIT,
            not_before: now + LEAST_PAUSE.max(took * PAUSE_FACTOR).min(AUDIT),
            failures: 0,
        };
    }

    pub(super) fn handle_failure(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.due = now + delay(self.failures);
        self.not_before = self.due;
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due <= now
    }

    /// Whether the last listing can still be relied on for what must not go wrong.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.fresh_until.is_some_and(|until| now < until)
    }

    /// The next listing may not be taken before.
    pub(super) const fn not_before(&self) -> Instant {
        self.not_before
    }

    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// Whether a listing was ever taken.
    pub(super) const fn is_known(&self) -> bool {
        self.known
    }

    /// Whether the last attempt to list succeeded.
    pub(super) const fn is_trusted(&self) -> bool {
        self.known && self.failures == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn pauses_double_from_100_ms_to_30_s() {
        let table =
            [(0, 100), (1, 100), (2, 200), (3, 400), (8, 12_800), (9, 25_600), (10, 30_000), (u32::MAX, 30_000)];
        for (failures, expected) in table {
            assert_eq!(delay(failures), expected * MS, "{failures}");
        }
    }

    #[test]
    fn one_event_is_answered_at_once_and_a_storm_at_a_pace() {
        let now = Instant::now();
        let mut clock = ListingClock::new(now);
        assert!(clock.is_due(now), "nothing is known yet");
        clock.handle_listing(MS, now);
        assert_eq!(clock.due(), now + AUDIT);
        clock.handle_event(now + MS);
        assert_eq!(clock.due(), now + 5 * MS, "soon after the last");
        clock.handle_listing(100 * MS, now + 5 * MS);
        clock.handle_event(now + 6 * MS);
        assert_eq!(clock.due(), now + 405 * MS, "a listing that takes long is taken less often");
        clock.handle_listing(MS, now + 405 * MS);
        clock.handle_event(now + 1000 * MS);
        assert!(clock.is_due(now + 1000 * MS), "long after the last");
    }

    #[test]
    fn a_listing_proves_for_as_long_as_it_takes_to_act_on_it() {
        let now = Instant::now();
        let mut clock = ListingClock::new(now);
        assert!(!clock.is_fresh(now));
        clock.handle_listing(MS, now);
        assert!(clock.is_fresh(now + 9 * MS) && !clock.is_fresh(now + 10 * MS));
        clock.handle_listing(100 * MS, now);
        assert!(clock.is_fresh(now + 199 * MS) && !clock.is_fresh(now + 200 * MS));
        clock.handle_event(now);
        assert!(!clock.is_fresh(now), "an event may be about anything");
    }

    #[test]
    fn events_do_not_hurry_what_fails() {
        let now = Instant::now();
        let mut clock = ListingClock::new(now);
        clock.handle_failure(now);
        clock.handle_failure(now + 100 * MS);
        clock.handle_event(now + 101 * MS);
        assert_eq!(clock.due(), now + 300 * MS);
        assert!(!clock.is_known() && !clock.is_trusted());
        clock.handle_listing(MS, now + 300 * MS);
        assert!(clock.is_known() && clock.is_trusted());
    }
}
