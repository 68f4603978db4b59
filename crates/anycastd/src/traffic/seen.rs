//! What was read of the counters, now and a little before.

use std::{
    collections::{BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{EVERY, Received, table::Counts};

/// What is known of all of them.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(super) counts: Arc<Counts>,
    /// Why they are not counted.
    pub(super) problem: Option<String>,
    pub(super) at: Instant,
    /// What was read before, the oldest first: the latest that is [`EVERY`] old at least, where there is one, and what came after that.
    before: VecDeque<(Instant, Arc<Counts>)>,
}

impl Seen {
    /// Before anything is read.
    pub(super) fn nothing(now: Instant) -> Self {
        Self { counts: Arc::default(), problem: None, at: now, before: VecDeque::new() }
    }

    /// With what was read next. `anew`: some counters are new since the last time.
    pub(super) fn then(&self, counts: Counts, anew: bool, problem: Option<String>, now: Instant) -> Self {
        let mut before = self.before.clone();
        let is_behind =
            |(address, is): (&IpAddr, &Received)| self.counts.get(address).is_some_and(|was| was.packets > is.packets);
        if anew || counts.iter().any(is_behind) {
            // What came until they began is not known: nothing that was read before says so.
            before.clear();
        } else if !self.counts.is_empty() {
            // Where nothing could be read there is nothing to compare with.
            before.push_back((self.at, Arc::clone(&self.counts)));
        }
        while before.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= EVERY) {
            before.pop_front();
        }
        Self { counts: Arc::new(counts), problem, at: now, before }
    }

    /// Why nothing is known of what came of late.
    pub(crate) fn ignorance(&self) -> String {
        self.problem.clone().unwrap_or_else(|| "the counters began anew a moment ago".to_owned())
    }

    /// How far it looks back: between [`EVERY`] and twice that, once it has been counted for so long.
    pub(crate) fn span(&self) -> Duration {
        self.before.front().map_or(Duration::ZERO, |(at, _)| self.at.saturating_duration_since(*at))
    }

    /// Packets that came for these addresses in that time; `None`: it is not known of one of them, or not for as long as [`EVERY`].
    pub(crate) fn packets(&self, addresses: &BTreeSet<IpAddr>) -> Option<u64> {
        let (_, before) = self.before.front().filter(|_| self.span() >= EVERY)?;
        let came = |address| {
            let (was, is) = (before.get(address)?.packets, self.counts.get(address)?.packets);
            is.checked_sub(was)
        };
        addresses.iter().map(came).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn it_looks_back_a_second_or_two() {
        let addresses: BTreeSet<IpAddr> = [[203, 0, 113, 80].into(), [203, 0, 113, 90].into()].into();
        let read = |packets: u64| -> Counts {
            addresses.iter().map(|address| (*address, Received { packets, bytes: 0 })).collect()
        };
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let mut seen = Seen::nothing(begin);
        assert_eq!(seen.packets(&addresses), None);
        for (millis, packets, span, came) in [
            (5, 100, 0, None),
            (1005, 103, 1000, Some(6)),
            (2010, 103, 1005, Some(0)),
            (2400, 104, 1395, Some(2)),
            (2500, 104, 1495, Some(2)),
            (3015, 104, 1005, Some(2)),
            (4015, 104, 1000, Some(0)),
            // Somebody has reset the counters.
            (5015, 1, 0, None),
            (5100, 1, 85, None),
            (6100, 2, 1000, Some(2)),
        ] {
            seen = seen.then(read(packets), false, None, at(millis));
            assert_eq!((seen.span().as_millis(), seen.packets(&addresses)), (span, came), "after {millis} ms");
        }
        let other: BTreeSet<IpAddr> = [[203, 0, 113, 81].into()].into();
        assert_eq!((seen.packets(&other), seen.packets(&BTreeSet::new())), (None, Some(0)));
        // The rules were gone and are there again: as many as before, but not those.
        seen = seen.then(read(2), true, None, at(7100));
        assert_eq!(
            (seen.packets(&addresses), seen.ignorance().as_str()),
            (None, "the counters began anew a moment ago")
        );
        seen = seen.then(read(2), false, None, at(8100));
        assert_eq!(seen.packets(&addresses), Some(0));
        seen = seen.then(Counts::new(), false, Some("no such table".to_owned()), at(9100));
        assert_eq!((seen.packets(&addresses), seen.ignorance().as_str()), (None, "no such table"));
    }
}
