//! Poll Sequences (RFC 5880 §6.5), by which the other end learns of other intervals before they are in force (§6.8.3).

use std::time::{Duration, Instant};

use super::{Config, Event, Interval, LEAST, SLOW, Session, State};

/// No answer is under way for longer.
const LONGEST_ROUND_TRIP: Duration = Duration::from_secs(2);

/// A Poll Sequence for the intervals that are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Poll {
    /// When its first packet was sent, and its last.
    pub(super) sent: Option<(Instant, Instant)>,
    /// Other intervals were told since: nobody knows which of them a Final is for.
    pub(super) ambiguous: bool,
}

impl Session {
    /// Other intervals, another multiplier or key: the session goes on.
    pub fn set_config(&mut self, config: Config) {
        self.config = config;
        self.settle_intervals();
    }

    /// Whether the other end has yet to take note of our intervals.
    #[must_use]
    pub const fn is_polling(&self) -> bool {
        self.poll.is_some()
    }

    /// Tells the intervals that are to be, and begins to ask whether they were heard.
    pub(super) fn settle_intervals(&mut self) {
        let up = self.state == State::Up;
        let wanted = self.config.desired_min_tx.max(LEAST);
        let tx = if up { wanted } else { wanted.max(SLOW) };
        let rx = self.config.required_min_rx.max(LEAST);
        let other = (self.tx.told, self.rx.told) != (tx, rx);
        (self.tx.told, self.rx.told) = (tx, rx);
        if !up {
            // Nothing relies on the intervals, and they are in force at once.
            (self.tx, self.rx, self.poll) = (Interval::both(tx), Interval::both(rx), None);
            return;
        }
        // §6.8.3: sending more often, and waiting longer, surprises nobody.
        self.tx.in_force = self.tx.in_force.min(tx);
        self.rx.in_force = self.rx.in_force.max(rx);
        if other {
            let poll = self.poll.get_or_insert_default();
            poll.ambiguous = poll.sent.is_some();
        }
    }

    /// Whether the packet that is sent now is a Poll.
    pub(super) fn ask(&mut self, now: Instant) -> bool {
        let Some(poll) = self.poll.as_mut().filter(|_| self.polls_from.is_none_or(|from| from <= now)) else {
            return false;
        };
        poll.sent = Some((poll.sent.map_or(now, |(first, _)| first), now));
        true
    }

    /// A packet with the Final bit came.
    pub(super) fn handle_final(&mut self, now: Instant) {
        // Nobody was asked: it is late, or another's fault.
        let Some((poll, (first, last))) = self.poll.and_then(|poll| Some((poll, poll.sent?))) else {
            return;
        };
        // §6.8.3: the next sequence waits for the answers to all Polls of this one. What was answered was sent after the first of
        // them, so the way there and back takes no longer than since then.
        let round_trip = now.saturating_duration_since(first);
        self.polls_from = Some(last + round_trip.min(LONGEST_ROUND_TRIP));
        if poll.ambiguous {
            self.poll = Some(Poll::default());
            return;
        }
        self.poll = None;
        (self.tx.in_force, self.rx.in_force) = (self.tx.told, self.rx.told);
        self.events.push_back(Event::Agreed);
    }
}
