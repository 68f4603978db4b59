//! What a capture says of faults: which UPDATE answers which, and how long it took.

use crate::tools::record::{Message, Nanos};

/// One fault, and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cycle {
    /// Right before the service was killed.
    pub(super) killed: Nanos,
    /// Right before the next one listened.
    pub(super) listening: Nanos,
}

/// How the faults of a series were answered.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reactions {
    /// Milliseconds from each kill to its withdraw.
    pub(super) withdraws: Vec<f64>,
    /// Milliseconds from each return to its announcement.
    pub(super) announcements: Vec<f64>,
    /// Faults or returns without an answer before the next of them.
    pub(super) unanswered: usize,
    /// Withdraws while the service was there, and announcements while it was not.
    pub(super) false_alarms: usize,
}

impl Reactions {
    /// Matches a series of faults with the UPDATEs of a speaker about one prefix, all in the order of their times. What was
    /// before the first fault does not count.
    pub(super) fn of(prefix: &str, cycles: &[Cycle], updates: &[Message]) -> Self {
        let mut found = Self::default();
        let named = |prefixes: &[String]| prefixes.iter().any(|named| named == prefix);
        for (n, cycle) in cycles.iter().enumerate() {
            let next = cycles.get(n + 1).map_or(Nanos(u64::MAX), |next| next.killed);
            let between = |from: Nanos, to: Nanos| updates.iter().filter(move |update| (from..to).contains(&update.at));
            let (gone, back) = (between(cycle.killed, cycle.listening), between(cycle.listening, next));
            let withdraws = |update: &&Message| named(&update.withdrawn);
            let announces = |update: &&Message| named(&update.announced);
            found.false_alarms += gone.clone().filter(announces).count() + back.clone().filter(withdraws).count();
            let mut note = |answer: Option<&Message>, since: Nanos, withdrawn: bool| match (answer, withdrawn) {
                (Some(answer), true) => found.withdraws.push(answer.at.millis_since(since)),
                (Some(answer), false) => found.announcements.push(answer.at.millis_since(since)),
                (None, _) => found.unanswered += 1,
            };
            note(gone.clone().find(withdraws), cycle.killed, true);
            note(back.clone().find(announces), cycle.listening, false);
        }
        found
    }
}

/// What is said of many values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::bench) struct Quantiles {
    /// The middle one.
    pub(in crate::bench) p50: f64,
    /// One that 95 in a hundred do not exceed.
    pub(in crate::bench) p95: f64,
    /// One that 99 in a hundred do not exceed. Of fewer than a hundred this is the largest.
    pub(in crate::bench) p99: f64,
    /// The largest.
    pub(in crate::bench) most: f64,
}

impl Quantiles {
    /// By nearest rank: each is a value that was measured. Of no values each is not a number.
    pub(in crate::bench) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let count = values.len();
        let rank = |percent: usize| {
            let rank = (count * percent).div_ceil(100).max(1);
            values.get(rank - 1).copied().unwrap_or(f64::NAN)
        };
        Self { p50: rank(50), p95: rank(95), p99: rank(99), most: rank(100) }
    }
}

/// A place between 0 and 1 for each of a series, so that any number of them in a row are spread evenly (the golden section).
/// Faults that always came at the same moment of a poller's interval would measure that moment.
pub(in crate::bench) fn phase(n: usize) -> f64 {
    (n as f64 * 0.618_033_988_749_894_8).fract()
}

/// How many of these moments, in milliseconds, fall into the fullest `width` of a period; everything is in milliseconds.
pub(super) fn fullest(moments: &[f64], period: f64, width: f64) -> usize {
    let mut counts = vec![0; (period / width).ceil().max(1.0) as usize];
    for moment in moments {
        let bin = (moment.rem_euclid(period) / width) as usize;
        if let Some(count) = counts.get_mut(bin) {
            *count += 1;
        }
    }
    counts.into_iter().max().unwrap_or(0)
}

/// How far the time between two moments is from a whole number of periods.
pub(super) fn off_beat(first: f64, second: f64, period: f64) -> f64 {
    let beats = (second - first) / period;
    (beats - beats.round()).abs() * period
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "203.0.113.80/32";

    /// `+` announces it at a millisecond, `-` withdraws it, `?` is about another.
    fn updates(script: &str) -> Vec<Message> {
        let message = |word: &str| {
            let (what, at) = word.split_at(1);
            let list = |wanted| if what == wanted { vec![PREFIX.to_owned()] } else { Vec::new() };
            let other = if what == "?" { vec!["10.0.0.0/24".to_owned()] } else { Vec::new() };
            Message {
                at: Nanos(at.parse::<u64>().unwrap() * 1_000_000),
                from: "192.0.2.254:4000".parse().unwrap(),
                to: "192.0.2.1:179".parse().unwrap(),
                kind: "UPDATE".to_owned(),
                octets: 30,
                announced: list("+"),
                withdrawn: [list("-"), other].concat(),
                communities: Vec::new(),
                note: None,
            }
        };
        script.split_whitespace().map(message).collect()
    }

    fn cycle(killed: u64, listening: u64) -> Cycle {
        Cycle { killed: Nanos(killed * 1_000_000), listening: Nanos(listening * 1_000_000) }
    }

    #[test]
    fn each_fault_is_matched_with_its_own_answer() {
        let cycles = [cycle(1000, 2000), cycle(3000, 4000)];
        for (script, withdraws, announcements, unanswered, false_alarms) in [
            ("+10 -1002 +2030 -3001 +4040", vec![2.0, 1.0], vec![30.0, 40.0], 0, 0),
            // Of others, and again: the first of ours counts.
            ("?1001 -1002 -1500 ?2001 +2030 +2040 -3001 +4040", vec![2.0, 1.0], vec![30.0, 40.0], 0, 0),
            // The second fault is not answered, and its return neither.
            ("-1002 +2030", vec![2.0], vec![30.0], 2, 0),
            // It flaps before the second fault, and is announced while nobody is there.
            ("-1002 +1500 -1600 +2030 -2500 +2600 -3001 +4040", vec![2.0, 1.0], vec![30.0, 40.0], 0, 2),
            // Withdrawn before the fault: what was before the first one is not ours to judge, then it is.
            ("-900 -2900", vec![], vec![], 4, 1),
        ] {
            let found = Reactions::of(PREFIX, &cycles, &updates(script));
            assert_eq!(found, Reactions { withdraws, announcements, unanswered, false_alarms }, "{script}");
        }
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(Quantiles::of(hundred), Quantiles { p50: 50.0, p95: 95.0, p99: 99.0, most: 100.0 });
        assert_eq!(Quantiles::of(vec![3.0, 1.0, 2.0]), Quantiles { p50: 2.0, p95: 3.0, p99: 3.0, most: 3.0 });
        assert_eq!(Quantiles::of(vec![7.0]), Quantiles { p50: 7.0, p95: 7.0, p99: 7.0, most: 7.0 });
        assert!(Quantiles::of(Vec::new()).p50.is_nan());
    }

    #[test]
    fn phases_are_spread_evenly() {
        for count in [10, 50, 100] {
            let phases: Vec<f64> = (0..count).map(|n| phase(n) * 1000.0).collect();
            assert!(phases.iter().all(|phase| (0.0..1000.0).contains(phase)));
            assert!(fullest(&phases, 1000.0, 100.0) <= count / 10 + 1, "{phases:?}");
        }
    }

    #[test]
    fn starts_are_counted_where_they_fall_in_the_interval() {
        assert_eq!(fullest(&[0.0, 5.0, 1003.0, 10.0, -1.0], 1000.0, 10.0), 3);
        assert_eq!(fullest(&[], 1000.0, 10.0), 0);
        for (first, second, expected) in [(0.0, 3000.0, 0.0), (0.0, 3002.0, 2.0), (10.0, 2008.0, 2.0)] {
            assert!((off_beat(first, second, 1000.0) - expected).abs() < 1e-6, "{first} {second}");
        }
    }
}
