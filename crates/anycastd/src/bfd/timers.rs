//! When each session has something to do.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    time::Instant,
};

/// One time a session, soonest first.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeSet<(Instant, NonZeroU32)>,
    set: BTreeMap<NonZeroU32, Instant>,
}

impl Timers {
    /// In place of what was set before.
    pub(super) fn set(&mut self, session: NonZeroU32, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.set.insert(session, at),
            None => self.set.remove(&session),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.queue.remove(&(before, session));
        }
        if let Some(at) = at {
            self.queue.insert((at, session));
        }
    }

    /// The soonest.
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// One whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<NonZeroU32> {
        let (at, session) = self.queue.first().copied().filter(|(at, _)| *at <= now)?;
        self.queue.remove(&(at, session));
        self.set.remove(&session);
        Some(session)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_soonest_comes_first_and_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let [a, b, c] = [1, 2, 3].map(|number| NonZeroU32::new(number).unwrap());
        let mut timers = Timers::default();
        timers.set(a, Some(at(5)));
        timers.set(b, Some(at(3)));
        timers.set(c, Some(at(4)));
        timers.set(a, Some(at(1)));
        timers.set(a, Some(at(1)));
        timers.set(c, None);
        timers.set(c, None);
        assert_eq!(timers.next(), Some(at(1)));
        assert_eq!(timers.due(at(0)), None);
        assert_eq!((timers.due(at(3)), timers.due(at(3)), timers.due(at(9))), (Some(a), Some(b), None));
        assert_eq!(timers.next(), None);
    }
}
