//! How long changes of routes take on their way to the neighbor.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use anycast_bgp::{Advertised, Attributes, Prefix, Progress, Routes};

use crate::metrics::RouteTimes;

/// The changes that the neighbor is being told, from the decision to its acknowledgement.
///
/// Only those of an Established session are looked at: what a session begins with was decided long before. A change that is overtaken by
/// another, or that this neighbor is not told, is not counted.
#[derive(Debug)]
pub(super) struct Pace {
    times: RouteTimes,
    on_the_way: BTreeMap<Prefix, Change>,
}

#[derive(Debug)]
struct Change {
    decided: Instant,
    /// What it becomes; `None`: it is withdrawn.
    to: Option<Arc<Attributes>>,
    written: bool,
}

impl Pace {
    pub(super) const fn new(times: RouteTimes) -> Self {
        Self { times, on_the_way: BTreeMap::new() }
    }

    /// Another set was decided on, while there is a session.
    pub(super) fn handle_routes(&mut self, before: &Routes, after: &Routes, decided: Instant) {
        let gone = before.keys().filter(|prefix| !after.contains_key(prefix)).map(|prefix| (*prefix, None));
        let told = after.iter().filter(|(prefix, to)| before.get(prefix) != Some(to));
        let told = told.map(|(prefix, to)| (*prefix, Some(Arc::clone(to))));
        for (prefix, to) in gone.chain(told) {
            self.on_the_way.insert(prefix, Change { decided, to, written: false });
        }
    }

    /// What the neighbor is told has come so far.
    pub(super) fn handle_progress(&mut self, advertised: &BTreeMap<Prefix, Advertised>) {
        let times = &self.times;
        self.on_the_way.retain(|prefix, change| change.goes_on(advertised.get(prefix), times));
    }

    /// There is no session any more.
    pub(super) fn forget(&mut self) {
        self.on_the_way.clear();
    }
}

impl Change {
    /// Notes how far it has come; `false`: it has arrived, or never will.
    fn goes_on(&mut self, entry: Option<&Advertised>, times: &RouteTimes) -> bool {
        let announces = self.to.is_some();
        let Some(entry) = entry else {
            // A withdraw leaves the table when it is acknowledged. One that nobody has to be told never was in it.
            if !announces && self.written {
                times.acked(announces).observe(self.decided.elapsed().as_secs_f64());
            }
            return false;
        };
        // Where it is what the neighbor had anyway, nothing is said.
        if entry.attributes != self.to || entry.since < self.decided {
            return false;
        }
        let took = entry.since.saturating_duration_since(self.decided).as_secs_f64();
        if entry.progress >= Progress::Written && !std::mem::replace(&mut self.written, true) {
            times.written(announces).observe(took);
        }
        let arrived = entry.progress == Progress::Acked;
        if arrived {
            times.acked(announces).observe(took);
        }
        !arrived
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::Instruments;

    fn routes(meds: &[(&str, u32)]) -> Routes {
        let route = |(prefix, med): &(&str, u32)| {
            let attributes = Attributes { med: Some(*med), ..Attributes::default() };
            (prefix.parse().unwrap(), Arc::new(attributes))
        };
        meds.iter().map(route).collect()
    }

    /// The table, with all of it as far as that.
    fn table(told: &Routes, withdrawn: &[&str], progress: Progress, since: Instant) -> BTreeMap<Prefix, Advertised> {
        let entry = |attributes| Advertised { attributes, progress, since };
        let told = told.iter().map(|(prefix, attributes)| (*prefix, entry(Some(Arc::clone(attributes)))));
        told.chain(withdrawn.iter().map(|prefix| (prefix.parse().unwrap(), entry(None)))).collect()
    }

    const NET: &str = "203.0.113.0/24";

    fn pace() -> Pace {
        Pace::new(Instruments::new().unwrap().route_times("leaf1"))
    }

    /// How many announcements were written and acknowledged, and withdraws.
    fn counts(pace: &Pace) -> [u64; 4] {
        let of = |announces| {
            [pace.times.written(announces).get_sample_count(), pace.times.acked(announces).get_sample_count()]
        };
        let ([a, b], [c, d]) = (of(true), of(false));
        [a, b, c, d]
    }

    #[test]
    fn a_change_is_counted_when_it_is_written_and_when_it_is_acknowledged() {
        let mut pace = pace();
        let (decided, after) = (Instant::now(), Duration::from_millis(20));
        let one = routes(&[(NET, 1)]);
        pace.handle_routes(&Routes::new(), &one, decided);
        for (progress, expected) in [
            (Progress::Queued, [0, 0, 0, 0]),
            (Progress::Written, [1, 0, 0, 0]),
            (Progress::Written, [1, 0, 0, 0]),
            (Progress::Acked, [1, 1, 0, 0]),
            (Progress::Acked, [1, 1, 0, 0]),
        ] {
            pace.handle_progress(&table(&one, &[], progress, decided + after));
            assert_eq!(counts(&pace), expected, "{progress:?}");
        }
        let took = pace.times.written(true).get_sample_sum();
        assert!(
            (took - after.as_secs_f64()).abs() < 1e-9,
            "from the decision to the moment that the table tells: {took}"
        );
        pace.handle_routes(&one, &Routes::new(), decided);
        pace.handle_progress(&table(&Routes::new(), &[NET], Progress::Queued, decided));
        pace.handle_progress(&table(&Routes::new(), &[NET], Progress::Written, decided));
        assert_eq!(counts(&pace), [1, 1, 1, 0]);
        pace.handle_progress(&BTreeMap::new());
        assert_eq!((counts(&pace), pace.on_the_way.len()), ([1, 1, 1, 1], 0));
    }

    #[test]
    fn what_is_not_told_is_not_counted() {
        let mut pace = pace();
        let now = Instant::now();
        let (one, other) = (routes(&[(NET, 1)]), routes(&[(NET, 2)]));
        // It cannot be sent.
        pace.handle_routes(&Routes::new(), &one, now);
        pace.handle_progress(&BTreeMap::new());
        // It is overtaken.
        pace.handle_routes(&Routes::new(), &one, now);
        pace.handle_routes(&one, &other, now);
        pace.handle_progress(&table(&one, &[], Progress::Written, now));
        // It never was told, so nothing is to be withdrawn.
        pace.handle_routes(&one, &Routes::new(), now);
        pace.handle_progress(&BTreeMap::new());
        // Nothing changes.
        pace.handle_routes(&one, &one, now);
        assert!(pace.on_the_way.is_empty());
        // It is taken back before it was told.
        let before = table(&one, &[], Progress::Acked, now);
        pace.handle_routes(&one, &other, now + Duration::from_secs(1));
        pace.handle_routes(&other, &one, now + Duration::from_secs(2));
        pace.handle_progress(&before);
        // The session ends.
        pace.handle_routes(&Routes::new(), &one, now);
        pace.forget();
        pace.handle_progress(&table(&one, &[], Progress::Acked, now));
        assert_eq!(counts(&pace), [0; 4]);
    }
}
