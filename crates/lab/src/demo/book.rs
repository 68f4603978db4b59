//! Everything that was seen, and waiting until something is.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anycast_api::Event;
use anyhow::bail;
use tokio::{sync::watch, time};

use super::analysis::Requests;
use crate::tools::{
    record::{How, Nanos, Record, Request, Resolved},
    routes::RouteChange,
};

/// Whose requests, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Series {
    pub(crate) client: String,
    pub(crate) how: How,
    /// An address, or the name that was looked up.
    pub(crate) target: String,
}

/// What was seen so far, by the node where it was.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: BTreeMap<Series, Requests>,
    /// Up to when each client's requests, and the packets of each edge node's BGP session, are known.
    pub(crate) decided: BTreeMap<String, Nanos>,
    /// Long requests that have begun: when, and who answers.
    pub(crate) open: BTreeMap<String, Vec<(Nanos, String)>>,
    pub(crate) wire: BTreeMap<String, Vec<Record>>,
    pub(crate) routes: BTreeMap<String, Vec<RouteChange>>,
    /// What name servers answer with, by the node where they were asked.
    pub(crate) names: BTreeMap<String, Vec<Resolved>>,
    /// The agents' own words.
    pub(crate) agents: BTreeMap<String, Vec<Event>>,
    /// The tools that watch by now: how many in each node.
    pub(crate) ready: BTreeMap<String, usize>,
    /// Why what is seen is not all there was.
    fault: Option<String>,
}

impl Seen {
    /// The requests of a client of one kind, by target.
    pub(crate) fn series(&self, client: &str, how: How) -> impl Iterator<Item = (&Series, &Requests)> {
        self.requests.iter().filter(move |(series, _)| series.client == client && series.how == how)
    }

    /// Keeps nothing of what was asked, routed and said so far: a run is thousands of requests.
    pub(crate) fn forget(&mut self) {
        self.requests.values_mut().for_each(Requests::clear);
        self.routes.clear();
        self.wire.clear();
        self.names.clear();
    }

    fn add(&mut self, node: &str, record: Record) {
        match record {
            Record::Ready { .. } => *self.ready.entry(node.to_owned()).or_default() += 1,
            Record::Request(request) => self.add_request(node, request),
            Record::Decided { upto, .. } => drop(self.decided.insert(node.to_owned(), upto)),
            Record::Open { at, node: by } => self.open.entry(node.to_owned()).or_default().push((at, by)),
            Record::Missed { packets, .. } => {
                self.fault.get_or_insert(format!("the capture in {node} missed {packets} packets"));
            }
            Record::Message(_) | Record::Acked { .. } | Record::Segment { .. } | Record::Bfd { .. } => {
                self.wire.entry(node.to_owned()).or_default().push(record);
            }
            Record::Resolved(resolved) => self.names.entry(node.to_owned()).or_default().push(resolved),
            Record::Killed { .. } | Record::Gone { .. } | Record::Connections { .. } => {}
        }
    }

    fn add_request(&mut self, node: &str, request: Request) {
        let target = request.name.clone().unwrap_or_else(|| request.target.to_string());
        let series = Series { client: node.to_owned(), how: request.how, target };
        self.requests.entry(series).or_default().insert(request.sent, request);
    }
}

/// The book: many write, and whoever waits for something looks again at every change.
#[derive(Debug)]
pub(crate) struct Book {
    seen: Mutex<Seen>,
    changed: watch::Sender<()>,
}

impl Book {
    pub(crate) fn new() -> Self {
        Self { seen: Mutex::default(), changed: watch::Sender::new(()) }
    }

    /// What was seen so far.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        // A panic while writing leaves at worst a record out.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line of a tool.
    pub(crate) fn record(&self, node: &str, record: Record) {
        let whole = match &record {
            // A probe tells many requests and then that they are decided: nobody needs to look before.
            Record::Request(request) => request.how == How::Long,
            Record::Bfd { .. } => false,
            _ => true,
        };
        self.seen().add(node, record);
        if whole {
            self.changed.send_replace(());
        }
    }

    /// A change of a router's routes.
    pub(crate) fn route(&self, node: &str, change: RouteChange) {
        self.seen().routes.entry(node.to_owned()).or_default().push(change);
        self.changed.send_replace(());
    }

    /// A word of an agent. One that was heard before is not kept again: an agent is asked from the start each time.
    pub(crate) fn event(&self, node: &str, event: Event) {
        let mut seen = self.seen();
        let events = seen.agents.entry(node.to_owned()).or_default();
        if !events.contains(&event) {
            events.push(event);
            drop(seen);
            self.changed.send_replace(());
        }
    }

    /// What is seen from now on is not all there is.
    pub(crate) fn fault(&self, what: String) {
        self.seen().fault.get_or_insert(what);
        self.changed.send_replace(());
    }

    /// Waits until something was seen; nothing if it was not within `limit`.
    pub(crate) async fn until<T>(
        &self,
        limit: Duration,
        look: impl Fn(&Seen) -> Option<T>,
    ) -> anyhow::Result<Option<T>> {
        let mut changed = self.changed.subscribe();
        let found = time::timeout(limit, async {
            loop {
                changed.borrow_and_update();
                {
                    let seen = self.seen();
                    if let Some(fault) = &seen.fault {
                        bail!("{fault}; what would be shown from here on is not what happened");
                    }
                    if let Some(found) = look(&seen) {
                        return Ok(found);
                    }
                }
                // The book holds the other end.
                changed.changed().await?;
            }
        });
        found.await.map_or(Ok(None), |found| found.map(Some))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(sent: u64, how: How) -> Record {
        Record::Request(Request {
            how,
            target: "203.0.113.80".parse().unwrap(),
            name: None,
            flow: 1,
            sent: Nanos(sent),
            took: None,
            node: None,
            error: None,
        })
    }

    #[tokio::test]
    async fn who_waits_sees_what_comes() {
        let book = std::sync::Arc::new(Book::new());
        let writer = book.clone();
        let sent = |seen: &Seen| seen.series("c", How::Udp).map(|(_, requests)| requests.len()).sum::<usize>();
        let waiting = book.until(Duration::from_secs(20), |seen| (sent(seen) == 2).then(|| seen.decided["c"]));
        let writing = async move {
            writer.record("c", request(1, How::Udp));
            writer.record("c", request(2, How::Udp));
            writer.record("c", request(3, How::Http));
            writer.record("other", request(4, How::Udp));
            writer.record("c", Record::Decided { at: Nanos(9), upto: Nanos(5) });
        };
        let (found, ()) = tokio::join!(waiting, writing);
        assert_eq!(found.unwrap(), Some(Nanos(5)));
    }

    #[tokio::test]
    async fn a_hole_in_what_is_seen_ends_the_waiting() {
        let book = Book::new();
        assert!(book.until(Duration::ZERO, |_| None::<()>).await.unwrap().is_none());
        book.record("ap-edge1", Record::Missed { at: Nanos(1), packets: 3 });
        let error = book.until(Duration::from_secs(20), |_| None::<()>).await.unwrap_err();
        assert!(error.to_string().starts_with("the capture in ap-edge1 missed 3 packets; "), "{error}");
    }

    #[test]
    fn an_agent_that_repeats_itself_is_heard_once() {
        let book = Book::new();
        let event = Event {
            id: 1,
            at: anycast_api::Timestamp::now(),
            kind: "check".to_owned(),
            subject: "web/ipv4".to_owned(),
            text: "up → down".to_owned(),
        };
        book.event("ap-edge1", event.clone());
        book.event("ap-edge1", event);
        assert_eq!(book.seen().agents["ap-edge1"].len(), 1);
    }
}
