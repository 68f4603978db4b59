//! What the records say about a fault: pure, from what was seen outside of the agent.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Serialize;

use crate::tools::{
    record::{Flag, Message, Nanos, Record, Request},
    routes::RouteChange,
};

/// The requests of one client to one target, by when they were sent.
pub(crate) type Requests = BTreeMap<Nanos, Request>;

/// How far back one must look to have seen every flow of a ring of source ports.
const EVERY_FLOW: Duration = Duration::from_secs(2);
/// How soon after a deletion the same route is added again when it is replaced.
const REPLACED: Duration = Duration::from_millis(5);
/// A short TCP request is over after this time, or was under way for a reason of its own.
const UNDER_WAY: Duration = Duration::from_millis(50);
/// How much later than the change itself the route monitor may be told.
const TOLD: Duration = Duration::from_millis(5);

/// What became of the requests of a stretch of time.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(crate) struct Losses {
    /// Requests sent in it.
    pub(crate) sent: usize,
    /// Those that got no answer.
    pub(crate) lost: usize,
    /// The longest time between the sending of two answered requests with nothing but lost ones between them.
    pub(crate) longest_gap_ms: f64,
    /// The longest time without any answer coming in.
    pub(crate) longest_silence_ms: f64,
    /// From the sending of the first lost request to that of the last one: longer than the gap where only some flows suffer.
    pub(crate) lossy_ms: f64,
    /// Who answered how many.
    pub(crate) served_by: BTreeMap<String, usize>,
}

/// Counts what was sent from `from` on and before `to`.
pub(crate) fn losses(requests: &Requests, from: Nanos, to: Nanos) -> Losses {
    let mut losses = Losses::default();
    let (mut first_lost, mut last_lost) = (None, None);
    // When the last answered request before the one at hand was sent, and whether anything was lost since.
    let (mut good, mut broken) = (from, false);
    let mut answers = BTreeSet::new();
    for (sent, request) in stretch(requests, from, to) {
        losses.sent += 1;
        let Some(answered) = request.answered() else {
            losses.lost += 1;
            first_lost = first_lost.or(Some(*sent));
            last_lost = Some(*sent);
            broken = true;
            continue;
        };
        if broken {
            losses.longest_gap_ms = losses.longest_gap_ms.max(sent.millis_since(good));
        }
        (good, broken) = (*sent, false);
        answers.insert(answered);
        *losses.served_by.entry(request.node.clone().unwrap_or_default()).or_default() += 1;
    }
    if broken {
        losses.longest_gap_ms = losses.longest_gap_ms.max(to.millis_since(good));
    }
    losses.lossy_ms = first_lost.zip(last_lost).map_or(0.0, |(first, last): (Nanos, Nanos)| last.millis_since(first));
    let pauses = answers.iter().zip(answers.iter().skip(1)).map(|(before, after)| after.millis_since(*before));
    losses.longest_silence_ms = pauses.fold(0.0, f64::max);
    losses
}

/// The first answer that would have been `node`'s: when it was there, and whose it is.
///
/// Where several nodes share the load, any answer of the others proves nothing. One on a flow that `node` had does, and so
/// does one of a node that had answered nothing before.
pub(crate) fn first_elsewhere<'a>(requests: &'a Requests, since: Nanos, node: &str) -> Option<(Nanos, &'a str)> {
    let mut owners = BTreeMap::new();
    for (_, request) in stretch(requests, since.minus(EVERY_FLOW), since) {
        if let Some(by) = &request.node {
            owners.insert(request.flow, by.as_str());
        }
    }
    let known: BTreeSet<&str> = owners.values().copied().collect();
    let answers = requests.range(since..).filter_map(|(_, request)| {
        let by = request.node.as_deref().filter(|by| *by != node)?;
        let moved = owners.get(&request.flow) == Some(&node) || !known.contains(by);
        Some((request.answered()?, by)).filter(|_| moved)
    });
    answers.min_by_key(|(at, _)| *at)
}

/// The first answer from `node` to what was sent since.
pub(crate) fn first_from(requests: &Requests, since: Nanos, node: &str) -> Option<Nanos> {
    let by =
        requests.range(since..).map(|(_, request)| request).filter(|request| request.node.as_deref() == Some(node));
    by.filter_map(Request::answered).min()
}

/// When the last request was sent that was lost, or answered by none of `expected`.
pub(crate) fn last_trouble(requests: &Requests, since: Nanos, expected: &[&str]) -> Option<Nanos> {
    let fine = |request: &Request| {
        request.took.is_some() && request.node.as_deref().is_some_and(|node| expected.contains(&node))
    };
    requests.range(since..).rev().find(|(_, request)| !fine(request)).map(|(sent, _)| *sent)
}

fn stretch(requests: &Requests, from: Nanos, to: Nanos) -> impl Iterator<Item = (&Nanos, &Request)> {
    requests.range(from..to.max(from))
}

/// What a node's capture shows: whose words are whose is told by the node's own addresses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wire<'a> {
    pub(crate) records: &'a [Record],
    pub(crate) own: &'a [String],
}

/// An UPDATE on the wire, and when its receiver had acknowledged it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sent<'a> {
    pub(crate) message: &'a Message,
    pub(crate) acked: Option<Nanos>,
}

impl<'a> Wire<'a> {
    /// The first UPDATE of the node that withdraws a prefix.
    pub(crate) fn withdraw(&self, since: Nanos, prefix: &str) -> Option<Sent<'a>> {
        self.update(since, |message| message.withdrawn.iter().any(|other| other == prefix))
    }

    /// The first UPDATE of the node that announces a prefix, with GRACEFUL_SHUTDOWN or without.
    pub(crate) fn announce(&self, since: Nanos, prefix: &str, leaving: bool) -> Option<Sent<'a>> {
        let leaves = |message: &Message| message.communities.iter().any(|community| community == "graceful-shutdown");
        self.update(since, |message| {
            message.announced.iter().any(|other| other == prefix) && leaves(message) == leaving
        })
    }

    fn update(&self, since: Nanos, wanted: impl Fn(&Message) -> bool) -> Option<Sent<'a>> {
        let message = self.messages().find(|m| m.at >= since && self.is_own(&m.from.ip()) && wanted(m))?;
        let acked = self.records.iter().find_map(|record| match record {
            Record::Acked { at, sent, from, .. } if *sent == message.at && *from == message.from => Some(*at),
            _ => None,
        });
        Some(Sent { message, acked })
    }

    /// The first NOTIFICATION, of either end.
    pub(crate) fn notification(&self, since: Nanos) -> Option<&'a Message> {
        self.messages().find(|message| message.at >= since && message.kind == "NOTIFICATION")
    }

    /// The last message of the node before something happened: from then on its neighbor's hold timer runs.
    pub(crate) fn last_word(&self, before: Nanos) -> Option<Nanos> {
        let own = self.messages().filter(|message| message.at < before && self.is_own(&message.from.ip()));
        own.map(|message| message.at).max()
    }

    /// The first FIN or RST of the node.
    pub(crate) fn close(&self, since: Nanos) -> Option<(Nanos, Flag)> {
        self.records.iter().find_map(|record| match record {
            Record::Segment { at, from, flag: flag @ (Flag::Fin | Flag::Rst), .. }
                if *at >= since && self.is_own(&from.ip()) =>
            {
                Some((*at, *flag))
            }
            _ => None,
        })
    }

    fn messages(&self) -> impl Iterator<Item = &'a Message> {
        self.records.iter().filter_map(|record| match record {
            Record::Message(message) => Some(message),
            _ => None,
        })
    }

    fn is_own(&self, address: &std::net::IpAddr) -> bool {
        let address = address.to_string();
        self.own.contains(&address)
    }
}

/// The first change of a router's route to a prefix after which it leads through one of `hops` (or, wanted otherwise,
/// through none of them).
pub(crate) fn route_change<'a>(
    changes: &'a [RouteChange],
    since: Nanos,
    prefix: &str,
    hops: &[String],
    through: bool,
) -> Option<&'a RouteChange> {
    let leads_there = |change: &RouteChange| !change.deleted && change.via.iter().any(|hop| hops.contains(hop));
    let mut changes = changes.iter().filter(|change| change.at >= since && change.prefix == prefix).peekable();
    while let Some(change) = changes.next() {
        // Deleted only to be added as it shall be from now on: a router that cannot replace a route does so.
        let replaced = change.deleted && changes.peek().is_some_and(|next| next.at.after(change.at) < REPLACED);
        if !replaced && leads_there(change) == through {
            return Some(change);
        }
    }
    None
}

/// The TCP requests that were reset because they were under way at one of `moves`, by when they were sent.
pub(crate) fn caught(requests: &Requests, moves: &[Nanos]) -> Vec<Nanos> {
    let reset = |request: &Request| request.error.as_deref().is_some_and(|error| error.contains("reset"));
    let was_open = |sent: Nanos| moves.iter().any(|at| sent <= at.plus(TOLD) && at.after(sent) < UNDER_WAY);
    requests.values().filter(|request| reset(request) && was_open(request.sent)).map(|request| request.sent).collect()
}

#[cfg(test)]
mod tests;
