//! Poll Sequences (RFC 5880 §6.5), by which the other end learns of other intervals before they are in force (§6.8.3).

use super::{Config, Event, Interval, SLOW, Session, State};
use crate::packet::Micros;

/// What is asked to be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Poll {
    pub(super) tx: Micros,
    pub(super) rx: Micros,
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
        let wanted = self.config.desired_min_tx;
        let tx = if up { wanted } else { wanted.max(SLOW) };
        let rx = self.config.required_min_rx;
        let other = (self.tx.told, self.rx.told) != (tx, rx);
        (self.tx.told, self.rx.told) = (tx, rx);
        if !up {
            // §6.8.3 has no sequence where nothing relies on the intervals.
            (self.tx, self.rx, self.poll) = (Interval::both(tx), Interval::both(rx), None);
            return;
        }
        // §6.8.3: sending more often, and waiting longer, surprises nobody.
        self.tx.in_force = self.tx.in_force.min(tx);
        self.rx.in_force = self.rx.in_force.max(rx);
        if other && self.poll.is_none() {
            self.poll = Some(Poll { tx, rx });
        }
    }

    /// A packet with the Final bit came.
    pub(super) fn handle_final(&mut self) {
        let Some(poll) = self.poll.take() else { return };
        (self.tx.in_force, self.rx.in_force) =
            (poll.tx.min(self.tx.told), poll.rx.max(self.rx.told));
        if (poll.tx, poll.rx) == (self.tx.told, self.rx.told) {
            self.events.push_back(Event::Agreed);
        } else {
            // They changed meanwhile: it may be the old ones that were acknowledged.
            self.poll = Some(Poll {
                tx: self.tx.told,
                rx: self.rx.told,
            });
        }
    }
}
