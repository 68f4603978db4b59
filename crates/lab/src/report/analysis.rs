//! What users saw of a failure: pure, from their requests.

use std::time::Duration;

use super::{data::Run, methods::COMPUTED};
use crate::{
    demo::analysis::{Requests, first_elsewhere},
    tools::record::{Nanos, Request},
};

/// How long all must have been well for the failure to be over.
pub(super) const CALM: Duration = Duration::from_millis(500);
/// How far back it is looked who served whom: as far as [`first_elsewhere`] does.
const BEFORE: Duration = Duration::from_secs(2);

/// From a failure to the end of what is counted of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watch {
    pub(super) from: Nanos,
    pub(super) to: Nanos,
}

impl Watch {
    /// After the failure, in milliseconds.
    pub(super) fn at(&self, moment: Nanos) -> f64 {
        moment.millis_since(self.from)
    }
}

/// The requests of a stretch of time, and of the time before in which it shows who served whom.
pub(super) fn around(requests: &Requests, watch: Watch) -> Requests {
    let range = requests.range(watch.from.minus(BEFORE)..watch.to.max(watch.from));
    range.map(|(sent, request)| (*sent, request.clone())).collect()
}

/// Counts what all clients asked, each a series of [`around`], of which `failed` served some. What happened meanwhile is to be added.
pub(super) fn run(series: &[Requests], failed: &str, watch: Watch) -> Run {
    let sent = || series.iter().flat_map(|requests| requests.range(watch.from..)).map(|(_, request)| request);
    let lost = || sent().filter(|request| request.took.is_none()).map(|request| request.sent);
    let first_good =
        series.iter().filter_map(|requests| first_elsewhere(requests, watch.from, failed)).map(|(at, _)| at).min();
    let last = lost().max();
    let is_over = last.is_none_or(|last| last.plus(CALM) <= watch.to);
    Run {
        requests: sent().count() as u64,
        lost: lost().count() as u64,
        first_good_ms: first_good.map(|at| watch.at(at)),
        recovered_ms: is_over.then(|| last.map_or(0.0, |last| watch.at(last))),
        watched_ms: watch.at(watch.to),
        events: Vec::new(),
    }
}

/// The requests that mark a failure for a client.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Marks {
    /// When the failed node's last answer came.
    pub(super) last_good: Option<Nanos>,
    /// When the first was sent that was lost, and the last.
    pub(super) lost: Option<(Nanos, Nanos)>,
    /// When the first good answer came, and whose it was.
    pub(super) first_good: Option<(Nanos, String)>,
}

impl Marks {
    /// Of a client, by a series of [`around`].
    pub(super) fn of(requests: &Requests, failed: &str, watch: Watch) -> Self {
        let own = requests.values().filter(|request| request.node.as_deref() == Some(failed));
        let lost = || requests.range(watch.from..).filter(|(_, request)| request.took.is_none()).map(|(sent, _)| *sent);
        let first = first_elsewhere(requests, watch.from, failed);
        Self {
            last_good: own.filter_map(Request::answered).max(),
            lost: lost().min().zip(lost().max()),
            first_good: first.map(|(at, by)| (at, by.to_owned())),
        }
    }
}

/// What a run would have been with the longer TTL: what was left of a cached answer's life when the name server had another is as many
/// times as long, and so is what was lost in that time. `switched_ms` is when it had.
pub(super) fn scaled(run: &Run, switched_ms: f64) -> Run {
    let times = f64::from(COMPUTED.0) / f64::from(COMPUTED.1);
    let stretch = |ms: f64| if ms > switched_ms { switched_ms + (ms - switched_ms) * times } else { ms };
    let recovered = run.recovered_ms.map(stretch);
    // Requests are sent at a steady pace, and lost at one until they are not any more.
    let longer = |before: Option<f64>, after: Option<f64>| {
        before.zip(after).filter(|(before, _)| *before > 0.0).map_or(1.0, |(b, a)| a / b)
    };
    let lost = (run.lost as f64 * longer(run.recovered_ms, recovered)).round() as u64;
    let watched = run.watched_ms + recovered.zip(run.recovered_ms).map_or(0.0, |(after, before)| after - before);
    let requests = (run.requests as f64 * watched / run.watched_ms.max(f64::MIN_POSITIVE)).round() as u64;
    Run {
        requests,
        lost: lost.min(requests),
        first_good_ms: run.first_good_ms.map(stretch),
        recovered_ms: recovered,
        watched_ms: watched,
        events: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::record::How;

    fn at(ms: u64) -> Nanos {
        Nanos(0).plus(Duration::from_millis(10_000 + ms))
    }

    /// Requests every 10 ms from the failure's 20 ms before on, answered after 1 ms by `n`, by `o`, or lost (`-`); from two ports in turn.
    fn requests(answers: &str) -> Requests {
        let request = |(index, answer): (u64, char)| {
            let sent = at(10 * index).minus(Duration::from_millis(20));
            let node = [('n', "near"), ('o', "other")]
                .into_iter()
                .find(|(short, _)| *short == answer)
                .map(|(_, node)| node.to_owned());
            let request = Request {
                how: How::Udp,
                target: "203.0.113.80".parse().unwrap(),
                name: None,
                flow: (index % 2) as u16,
                sent,
                took: node.is_some().then_some(1_000_000),
                node,
                error: None,
            };
            (sent, request)
        };
        (0..).zip(answers.chars()).map(request).collect()
    }

    fn counted(series: &[&str], to: u64) -> Run {
        let watch = Watch { from: at(0), to: at(to) };
        let series: Vec<_> = series.iter().map(|answers| around(&requests(answers), watch)).collect();
        run(&series, "near", watch)
    }

    #[test]
    fn a_run_is_what_all_clients_saw() {
        let run = counted(&["nn---oooo", "ooooooooo"], 570);
        assert_eq!((run.requests, run.lost), (14, 3));
        assert_eq!((run.first_good_ms, run.recovered_ms, run.watched_ms), (Some(31.0), Some(20.0), 570.0));
    }

    #[test]
    fn what_is_lost_still_has_no_end() {
        let run = counted(&["nn-------", "ooooooooo"], 70);
        assert_eq!((run.lost, run.first_good_ms, run.recovered_ms), (7, None, None));
        // One of two ports was with the failed node, and stays lost.
        let run = counted(&["no-o-o-o-"], 70);
        assert_eq!((run.lost, run.first_good_ms, run.recovered_ms), (4, None, None));
    }

    #[test]
    fn nothing_lost_is_recovered_at_once() {
        let run = counted(&["nnnnnoooo"], 570);
        assert_eq!((run.lost, run.first_good_ms, run.recovered_ms), (0, Some(31.0), Some(0.0)));
    }

    #[test]
    fn what_comes_after_the_end_does_not_count() {
        let run = counted(&["nn---oo--"], 50);
        assert_eq!((run.requests, run.lost, run.first_good_ms), (5, 3, Some(31.0)));
    }

    #[test]
    fn a_failure_is_marked_by_four_requests() {
        let watch = Watch { from: at(0), to: at(570) };
        let marks = Marks::of(&requests("nn---oo"), "near", watch);
        let first_good = Some((at(31), "other".to_owned()));
        assert_eq!(
            marks,
            Marks { last_good: Some(at(0).minus(Duration::from_millis(9))), lost: Some((at(0), at(20))), first_good }
        );
        let calm = Marks::of(&requests("ooooo"), "near", watch);
        assert_eq!((calm.last_good, calm.lost), (None, None));
    }

    #[test]
    fn a_longer_ttl_stretches_what_the_cache_keeps() {
        let run = Run {
            requests: 2000,
            lost: 400,
            first_good_ms: Some(24_000.0),
            recovered_ms: Some(24_000.0),
            watched_ms: 25_000.0,
            events: Vec::new(),
        };
        let longer = scaled(&run, 4000.0);
        assert_eq!(
            (longer.first_good_ms, longer.recovered_ms, longer.watched_ms),
            (Some(104_000.0), Some(104_000.0), 105_000.0)
        );
        assert_eq!((longer.requests, longer.lost), (8400, 1733));
        // The cached answer had ended when the name server had another.
        let early = scaled(&Run { first_good_ms: Some(3900.0), recovered_ms: Some(3900.0), ..run }, 4000.0);
        assert_eq!((early.first_good_ms, early.lost), (Some(3900.0), 400));
    }
}
