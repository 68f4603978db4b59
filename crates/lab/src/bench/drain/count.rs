//! What the client saw of one run: pure, from its requests.

use std::time::Duration;

use crate::{
    demo::analysis::{Losses, Requests, losses},
    tools::record::{Nanos, Request},
};

/// A request by TCP is over after this time, or was given up.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// In which family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bench) enum Family {
    V4,
    V6,
}

impl Family {
    pub(in crate::bench) const ALL: [Self; 2] = [Self::V4, Self::V6];

    pub(in crate::bench) const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// Whom the client asks.
    pub(in crate::bench) const fn target(self) -> &'static str {
        match self {
            Self::V4 => "203.0.113.80",
            Self::V6 => "2001:db8:53::80",
        }
    }

    /// What is announced for that.
    pub(in crate::bench) const fn prefix(self) -> &'static str {
        match self {
            Self::V4 => "203.0.113.0/24",
            Self::V6 => "2001:db8:53::/48",
        }
    }
}

/// A stretch of time, by when requests were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) from: Nanos,
    pub(super) to: Nanos,
}

/// What became of the requests of one run in one family.
#[derive(Debug, Clone, Default)]
pub(super) struct Counted {
    /// Datagrams, until the service was gone for a while.
    pub(super) away: Losses,
    /// Datagrams, until the traffic was back.
    pub(super) back: Losses,
    /// From the order to the last datagram that the node answered.
    pub(super) last_ms: f64,
    /// TCP requests of the way out.
    pub(super) requests: usize,
    /// Those that the node was answering when the traffic moved.
    pub(super) open: usize,
    /// Those of them that broke.
    pub(super) open_broken: usize,
    /// And those of these that were reset.
    pub(super) open_reset: usize,
    /// All others that broke.
    pub(super) others_broken: usize,
}

/// Counts what the client asked by UDP and TCP while `node` went away, and came back.
pub(super) fn count(udp: &Requests, tcp: &Requests, node: &str, away: Stretch, back: Stretch) -> Counted {
    let last = last_at(udp, node, away).unwrap_or(away.from);
    let mut counted = Counted {
        away: losses(udp, away.from, away.to),
        back: losses(udp, back.from, back.to),
        last_ms: last.millis_since(away.from),
        ..Counted::default()
    };
    for (_, request) in tcp.range(away.from.minus(UNDER_WAY)..away.to.max(away.from)) {
        let broken = request.took.is_none();
        if request.answered().is_some_and(|at| at < away.from) {
            continue;
        }
        counted.requests += 1;
        if request.node.as_deref() == Some(node) && (broken || request.answered().is_some_and(|at| at > last)) {
            counted.open += 1;
            counted.open_broken += usize::from(broken);
            counted.open_reset += usize::from(is_reset(request));
        } else {
            counted.others_broken += usize::from(broken);
        }
    }
    counted
}

/// When the last datagram was sent that a node answered.
fn last_at(udp: &Requests, node: &str, stretch: Stretch) -> Option<Nanos> {
    let mut sent = udp.range(stretch.from..stretch.to.max(stretch.from)).rev();
    sent.find(|(_, request)| request.took.is_some() && request.node.as_deref() == Some(node)).map(|(sent, _)| *sent)
}

fn is_reset(request: &Request) -> bool {
    request.error.as_deref().is_some_and(|error| error.contains("reset"))
}

/// When those that were lost were sent, in words: milliseconds after `from`, and how many there were.
pub(super) fn lost_in_words(udp: &Requests, from: Nanos, to: Nanos) -> String {
    let lost: Vec<f64> = udp
        .range(from..to.max(from))
        .filter(|(_, request)| request.took.is_none())
        .map(|(sent, _)| sent.millis_since(from))
        .collect();
    match (lost.first(), lost.last()) {
        (Some(first), Some(last)) => format!("{}, sent from {first:.1} to {last:.1} ms after the begin", lost.len()),
        _ => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::record::How;

    fn at(ms: u64) -> Nanos {
        Nanos(0).plus(Duration::from_millis(1000 + ms))
    }

    /// Who answers, in how many milliseconds, or what went wrong.
    fn request(how: How, sent: u64, node: Option<&str>, end: Result<u64, &str>) -> (Nanos, Request) {
        let request = Request {
            how,
            target: Family::V4.target().parse().unwrap(),
            name: None,
            flow: 1,
            sent: at(sent),
            took: end.ok().map(|ms| ms * 1_000_000),
            node: node.map(str::to_owned),
            error: end.err().map(str::to_owned),
        };
        (at(sent), request)
    }

    #[test]
    fn what_the_node_was_answering_is_counted_apart() {
        let udp: Requests = [(0, "near"), (100, "near"), (101, "far"), (200, "far")]
            .map(|(sent, node)| request(How::Udp, sent, Some(node), Ok(1)))
            .into();
        let tcp: Requests = [
            request(How::Http, 0, Some("near"), Ok(30)),
            // Over before it began, and under way when it did.
            request(How::Http, 10, Some("near"), Ok(9)),
            request(How::Http, 11, Some("near"), Ok(30)),
            request(How::Http, 60, Some("near"), Err("Connection reset by peer")),
            request(How::Http, 70, Some("near"), Err("no answer in time")),
            request(How::Http, 80, Some("near"), Ok(30)),
            request(How::Http, 102, None, Err("connect: Connection refused")),
            request(How::Http, 120, Some("far"), Ok(30)),
            request(How::Http, 900, None, Err("after it was over")),
        ]
        .into();
        let counted =
            count(&udp, &tcp, "near", Stretch { from: at(20), to: at(300) }, Stretch { from: at(300), to: at(300) });
        assert_eq!((counted.away.sent, counted.away.lost, counted.last_ms), (3, 0, 80.0));
        assert_eq!((counted.requests, counted.open, counted.open_broken, counted.open_reset), (7, 3, 2, 1));
        assert_eq!(counted.others_broken, 1);
    }

    #[test]
    fn what_is_lost_is_counted_where_it_was_sent() {
        let udp: Requests = [
            request(How::Udp, 10, Some("near"), Ok(1)),
            request(How::Udp, 11, None, Err("no answer in time")),
            request(How::Udp, 12, None, Err("no answer in time")),
            request(How::Udp, 13, Some("far"), Ok(1)),
            request(How::Udp, 400, None, Err("no answer in time")),
        ]
        .into();
        let none = Requests::new();
        let counted =
            count(&udp, &none, "near", Stretch { from: at(0), to: at(300) }, Stretch { from: at(300), to: at(500) });
        assert_eq!((counted.away.lost, counted.away.longest_gap_ms, counted.back.lost), (2, 3.0, 1));
        assert_eq!(lost_in_words(&udp, at(0), at(300)), "2, sent from 11.0 to 12.0 ms after the begin");
        assert_eq!(lost_in_words(&udp, at(13), at(300)), "none");
    }
}
