//! What the runs of a method come to.
//!
//! Percentiles are by nearest rank: of `n` values in order, the `p`-th is the one at rank `⌈p / 100 × n⌉`, so that it always is a value
//! that was measured. With fewer than 100 runs, the 99th is therefore the worst.

use std::cmp::Ordering;

use super::data::{Method, Run};

/// How long something took, or that it had not come when the run ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wait {
    /// In milliseconds.
    Took(f64),
    /// Longer than was watched; in the order of waits, longer than any other.
    Never,
}

impl Wait {
    /// In milliseconds, if it came.
    #[must_use]
    pub const fn ms(self) -> Option<f64> {
        match self {
            Self::Took(ms) => Some(ms),
            Self::Never => None,
        }
    }

    /// The order in which percentiles are looked for.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        self.ms().unwrap_or(f64::INFINITY).total_cmp(&other.ms().unwrap_or(f64::INFINITY))
    }
}

impl From<Option<f64>> for Wait {
    fn from(ms: Option<f64>) -> Self {
        ms.map_or(Self::Never, Self::Took)
    }
}

/// How many requests were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lost {
    /// Until the end of the run.
    pub count: u64,
    /// More would have been lost after the end of the run.
    pub at_least: bool,
}

impl Lost {
    /// In this run.
    #[must_use]
    pub const fn of(run: &Run) -> Self {
        Self { count: run.lost, at_least: run.recovered_ms.is_none() }
    }
}

/// Four values out of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread<T> {
    /// Half of the values are not above it.
    pub p50: T,
    /// 95 of 100 are not above it.
    pub p95: T,
    /// 99 of 100 are not above it.
    pub p99: T,
    /// The largest.
    pub worst: T,
}

impl<T: Copy> Spread<T> {
    /// Of values in ascending order; none of no values.
    #[must_use]
    pub fn of(sorted: &[T]) -> Option<Self> {
        let at = |percent| sorted.get(rank(sorted.len(), percent)?).copied();
        Some(Self { p50: at(50)?, p95: at(95)?, p99: at(99)?, worst: at(100)? })
    }
}

/// What all runs of a method come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// How many there were.
    pub runs: usize,
    /// From the failure to the first good answer.
    pub first_good: Spread<Wait>,
    /// From the failure to the last request that was lost.
    pub recovered: Spread<Wait>,
    /// Requests lost in a run.
    pub lost: Spread<Lost>,
    /// Requests lost of those sent, in all runs together: 0 to 1.
    pub share: f64,
}

impl Summary {
    /// Of a method; none, if it has no runs.
    #[must_use]
    pub fn of(method: &Method) -> Option<Self> {
        let runs = &method.runs;
        let sum = |count: fn(&Run) -> u64| runs.iter().map(|run| count(run) as f64).sum::<f64>();
        let (lost, sent) = (sum(|run| run.lost), sum(|run| run.requests));
        Some(Self {
            runs: runs.len(),
            first_good: Spread::of(&waits(runs, |run| run.first_good_ms))?,
            recovered: Spread::of(&waits(runs, |run| run.recovered_ms))?,
            lost: losses(runs)?,
            share: if sent > 0.0 { lost / sent } else { 0.0 },
        })
    }
}

/// The run that stands for all others: the one with the median of the times to the first good answer.
#[must_use]
pub fn median_run(method: &Method) -> Option<(usize, &Run)> {
    let mut runs: Vec<(usize, &Run)> = method.runs.iter().enumerate().collect();
    let key = |run: &Run| (Wait::from(run.first_good_ms), Wait::from(run.recovered_ms));
    runs.sort_by(|(_, a), (_, b)| {
        let ((a, a_last), (b, b_last)) = (key(a), key(b));
        a.order(&b).then(a_last.order(&b_last))
    });
    runs.get(rank(runs.len(), 50)?).copied()
}

/// Where the percentile is among so many values in order; none among none.
fn rank(values: usize, percent: usize) -> Option<usize> {
    (values * percent).div_ceil(100).checked_sub(1)
}

fn waits(runs: &[Run], of: fn(&Run) -> Option<f64>) -> Vec<Wait> {
    let mut waits: Vec<_> = runs.iter().map(|run| Wait::from(of(run))).collect();
    waits.sort_by(Wait::order);
    waits
}

/// Where a run that lost more than was seen is not above a percentile, the percentile too is a lower bound.
fn losses(runs: &[Run]) -> Option<Spread<Lost>> {
    let mut losses: Vec<_> = runs.iter().map(Lost::of).collect();
    losses.sort();
    let mut more = false;
    for lost in &mut losses {
        more |= lost.at_least;
        lost.at_least = more;
    }
    Spread::of(&losses)
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    fn ms(values: &[f64]) -> Vec<Wait> {
        values.iter().map(|ms| Wait::Took(*ms)).collect()
    }

    fn run(first_good_ms: Option<f64>, recovered_ms: Option<f64>, lost: u64) -> Run {
        Run { requests: 1000, lost, first_good_ms, recovered_ms, watched_ms: 60_000.0, events: Vec::new() }
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        // (values, p50, p95, p99, worst)
        let table: [(&[f64], [f64; 4]); 5] = [
            (&[7.0], [7.0, 7.0, 7.0, 7.0]),
            (&[1.0, 2.0], [1.0, 2.0, 2.0, 2.0]),
            (&[1.0, 2.0, 3.0], [2.0, 3.0, 3.0, 3.0]),
            (&hundred[..30], [15.0, 29.0, 30.0, 30.0]),
            (&hundred, [50.0, 95.0, 99.0, 100.0]),
        ];
        for (values, expected) in table {
            let found = Spread::of(&ms(values)).unwrap();
            assert_eq!(ms(&expected), [found.p50, found.p95, found.p99, found.worst], "{values:?}");
        }
        assert_eq!(Spread::<Wait>::of(&[]), None);
    }

    #[test]
    fn what_did_not_come_is_longer_than_all() {
        let runs = [run(None, None, 9), run(Some(50_000.0), None, 8), run(Some(3.0), Some(4.0), 1)];
        let method = Method { runs: runs.to_vec(), ..sample::method("dns") };
        let found = Summary::of(&method).unwrap();
        assert_eq!((found.first_good.p50, found.first_good.worst), (Wait::Took(50_000.0), Wait::Never));
        assert_eq!((found.recovered.p50, found.recovered.worst), (Wait::Never, Wait::Never));
        assert_eq!(found.share, 18.0 / 3000.0);
    }

    #[test]
    fn a_lower_bound_stays_one() {
        let lost = |runs: &[Run]| losses(runs).map(|lost| (lost.p50, lost.worst));
        let exact = |count| Lost { count, at_least: false };
        let least = |count| Lost { count, at_least: true };
        let (low, middle, high) = (run(None, Some(1.0), 1), run(None, Some(1.0), 5), run(None, Some(1.0), 9));
        assert_eq!(lost(&[low.clone(), middle.clone(), high.clone()]), Some((exact(5), exact(9))));
        // The run that lost the most would have lost more: the median is known all the same.
        let high = Run { recovered_ms: None, ..high };
        assert_eq!(lost(&[high.clone(), low.clone(), middle.clone()]), Some((exact(5), least(9))));
        let low = Run { recovered_ms: None, ..low };
        assert_eq!(lost(&[high, low, middle]), Some((least(5), least(9))));
    }

    #[test]
    fn the_median_run_is_one_of_the_runs() {
        let runs = vec![run(None, None, 9), run(Some(7.0), Some(8.0), 8), run(Some(3.0), Some(4.0), 1)];
        let method = Method { runs, ..sample::method("dns") };
        assert_eq!(median_run(&method).map(|(index, _)| index), Some(1));
        assert_eq!(median_run(&Method { runs: Vec::new(), ..method }), None);
    }
}
