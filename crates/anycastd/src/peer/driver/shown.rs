//! What is shown of a session.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use anycast_bgp::{Advertised, DownReason, Fault, Prefix, Routes, Session, State};
use anycast_core::config::{Distance, Endpoint, Neighbor};

use super::{super::PeerState, remedy};

/// All that is to be known of a session.
pub(in crate::peer) fn state_of(session: &Session, neighbor: &Neighbor, routes: Arc<Routes>) -> PeerState {
    state_with(session, neighbor, routes, Arc::new(session.advertised().clone()))
}

pub(super) fn state_with(
    session: &Session,
    neighbor: &Neighbor,
    routes: Arc<Routes>,
    advertised: Arc<BTreeMap<Prefix, Advertised>>,
) -> PeerState {
    PeerState {
        state: session.state(),
        since: session.up_or_down_since(),
        routes,
        advertised,
        unsendable: session.unsent().iter().map(|(prefix, why)| (*prefix, why.to_string())).collect(),
        quarantined: session.quarantined(),
        last_error: last_error(session, neighbor),
        remedy: session.last_error().filter(|_| is_down(session)).and_then(|error| remedy::of(error, session.config())),
        came: came(session),
        retry_at: session.next_dial(),
        ends: session.ends(),
        negotiated: session.negotiated().cloned(),
        next_hops: session.next_hops(),
        received: session.received(),
        counters: *session.counters(),
    }
}

fn is_down(session: &Session) -> bool {
    session.state() != State::Established
}

/// Whether there was a connection since the last session, though nothing came of it.
fn came(session: &Session) -> bool {
    let connected = match session.last_error() {
        Some(DownReason::Closed(_) | DownReason::Received(_) | DownReason::Fault(_) | DownReason::Replaced) => true,
        Some(
            DownReason::Dial(_)
            | DownReason::DialTimeout(_)
            | DownReason::BfdDown(_)
            | DownReason::LinkDown(_)
            | DownReason::Shutdown(_)
            | DownReason::Suspended(_),
        )
        | None => false,
    };
    is_down(session) && connected && session.last_error_at().is_some_and(|at| at > session.up_or_down_since())
}

/// Why there is no session. What ended the last one says more than that the neighbor cannot be dialled since.
fn last_error(session: &Session, neighbor: &Neighbor) -> Option<(String, Instant)> {
    let (error, at) = (session.last_error()?, session.last_error_at()?);
    // An end that was heard before knows the password.
    let never_heard = session.last_end().is_none_or(|(_, ended)| ended != at);
    let guess = if never_heard { guess(error, session, neighbor) } else { "" };
    Some(match session.last_end() {
        Some((end, ended)) if ended != at => (since_then(&end.to_string(), &error.to_string()) + guess, ended),
        Some(_) | None => (format!("{error}{guess}"), at),
    })
}

/// How the last session ended, and what keeps the next one from beginning, where that is something else.
pub(super) fn since_then(end: &str, error: &str) -> String {
    if end == error { end.to_owned() } else { format!("{end}; since then: {error}") }
}

/// What is most often wrong where a neighbor does not answer.
fn guess(error: &DownReason, session: &Session, neighbor: &Neighbor) -> &'static str {
    let silent = match error {
        DownReason::DialTimeout(_) => true,
        DownReason::Dial(words) => words.contains("timed out"),
        DownReason::Closed(_) | DownReason::Fault(Fault::Handshake(_)) => false,
        DownReason::Fault(_)
        | DownReason::BfdDown(_)
        | DownReason::LinkDown(_)
        | DownReason::Received(_)
        | DownReason::Replaced
        | DownReason::Shutdown(_)
        | DownReason::Suspended(_) => return "",
    };
    let transport = &neighbor.transport;
    match transport.distance {
        _ if silent && matches!(neighbor.endpoint, Endpoint::Interface(_)) => {
            " (does the router send router advertisements on that link, and accept a session there?)"
        }
        // The kernel of an end whose key differs drops what it gets, and says nothing.
        _ if silent && transport.md5.is_some() => " (is the TCP MD5 password the same at both ends?)",
        // A router may set GTSM only once it has accepted: then the connection comes about and nothing comes over it.
        Distance::Secured(_) => {
            " (GTSM: does the neighbor send with TTL 255, and is it within the hops of `ttl_security`?)"
        }
        Distance::Usual if silent && session.config().is_external() => {
            " (packets go one hop: a neighbor that is farther away needs `multihop`; and one that asks for a password does not answer \
             without)"
        }
        Distance::Usual | Distance::Multihop(_) => "",
    }
}
