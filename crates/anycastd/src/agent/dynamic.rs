//! Neighbors that connect to us: connections find their session, and the routers of a network get one each.

use std::time::{Duration, Instant};

use anycast_bgp::State;
use anycast_core::{
    PeerId,
    config::{Endpoint, Neighbor, neighbor_from},
};

use super::{Agent, Farewell};
use crate::{
    listener::{Arrival, Refusal},
    peer::Peer,
};

/// How long a router of a network is shown after its session ended: as long as somebody may ask what became of it.
const REMEMBERED: Duration = Duration::from_secs(600);
/// How long a router that connects may take for its OPEN and KEEPALIVE before another may have its place.
const GREETING: Duration = Duration::from_secs(2);
/// How often refusals are told.
const TELL: Duration = Duration::from_secs(60);

impl Agent {
    /// Hands a connection to the session that waits for it.
    pub(super) fn arrived(&mut self, arrival: Arrival) {
        if self.is_stopping() {
            return;
        }
        let Some((of, neighbor)) = neighbor_from(&self.settings.core.neighbors, arrival.from) else { return };
        let (of, id) = (of.clone(), if neighbor.is_network() { of.at(arrival.from) } else { of.clone() });
        let neighbor = neighbor.at(arrival.from);
        // A session that is still being ended has the address; the router will come again.
        let parting = self.parting.iter().any(|(_, peer)| peer.neighbor.endpoint == neighbor.endpoint);
        if parting {
            return self.refusals.count(Refusal::Second);
        }
        if !self.has_descriptors() {
            return self.refusals.count(Refusal::Busy);
        }
        if !self.peers.contains_key(&id) && !self.make_room(&of) {
            return self.refusals.count(Refusal::MaxSessions);
        }
        if !self.peers.contains_key(&id) {
            tracing::info!(neighbor = %id, "a router of the network connects");
            self.sink.report("neighbor", &id, "connects");
            self.start_peer(&id, &of, &neighbor);
        }
        if let Some(peer) = self.peers.get(&id) {
            peer.offer(arrival.stream);
        }
    }

    /// Whether there are descriptors to spare: those who connect must not take them from checks, operators and other sessions.
    fn has_descriptors(&mut self) -> bool {
        let taken =
            self.peers.values().filter(|peer| peer.session.passive && peer.state.borrow().state != State::Active);
        let spare = taken.count() < self.connections;
        if !spare {
            let limit = self.connections;
            self.tell_crowded(format!(
                "{limit} neighbors have connected; more are refused (the limit of open files, `LimitNOFILE=`)"
            ));
        }
        spare
    }

    /// That a neighbor was refused is said now and then only: whoever connects must not fill the log.
    fn tell_crowded(&mut self, text: String) {
        if self.crowded.is_none_or(|told| told.elapsed() >= TELL) {
            self.crowded = Some(Instant::now());
            tracing::warn!("{text}");
            self.sink.report("agent", &self.settings.core.node.name, text);
        }
    }

    /// Whether the network may have one session more. One that is only remembered makes room, one that never was a session before
    /// others; so does one that has been silent for a moment, so that nobody can keep all places by connecting.
    fn make_room(&mut self, of: &PeerId) -> bool {
        let Some(Neighbor { endpoint: Endpoint::Network(_, limit), .. }) = self.settings.core.neighbors.get(of) else {
            return false;
        };
        let limit = usize::from(limit.get());
        let sessions = self.sessions_of(of).count();
        if sessions < limit {
            return true;
        }
        let rank = |(id, peer): (&PeerId, &Peer)| {
            let state = peer.state.borrow();
            let dispensable = match state.state {
                State::Established => false,
                State::Active => true,
                _ => state.since.elapsed() >= GREETING,
            };
            let was_up = state.counters.established > 0;
            (dispensable && id != of).then(|| (state.state != State::Active, was_up, state.since, id.clone()))
        };
        let last = self.sessions_of(of).filter_map(rank).min();
        let Some((.., last)) = last else {
            self.tell_crowded(format!(
                "neighbor {of} has {sessions} sessions; another router was refused (`max_sessions`)"
            ));
            return false;
        };
        self.part_with(&last, Farewell::Deconfigured);
        true
    }

    /// The routers of networks whose session has ended, and when.
    fn gone(&self) -> impl Iterator<Item = (&PeerId, Instant)> {
        self.peers.iter().filter(|(id, peer)| **id != peer.of).filter_map(|(id, peer)| {
            let state = peer.state.borrow();
            (state.state == State::Active).then_some((id, state.since))
        })
    }

    /// Routers of a network that ended their session long ago are forgotten.
    pub(super) fn forget_gone(&mut self, now: Instant) {
        let over = |since: Instant| now.saturating_duration_since(since) >= REMEMBERED;
        let gone: Vec<PeerId> = self.gone().filter(|(_, since)| over(*since)).map(|(id, _)| id.clone()).collect();
        gone.iter().for_each(|id| self.part_with(id, Farewell::Deconfigured));
    }

    /// When the next one is.
    pub(super) fn next_forgotten(&self) -> Option<Instant> {
        self.gone().map(|(_, since)| since + REMEMBERED).min()
    }

    /// The neighbors that are networks.
    pub(super) fn networks(&self) -> impl Iterator<Item = &PeerId> {
        self.settings.core.neighbors.iter().filter(|(_, neighbor)| neighbor.is_network()).map(|(id, _)| id)
    }

    /// The sessions of a configured neighbor: one, or one for each router of a network.
    pub(super) fn sessions_of(&self, of: &PeerId) -> impl Iterator<Item = (&PeerId, &Peer)> {
        self.peers.iter().filter(move |(_, peer)| peer.of == *of)
    }

    /// Ends a session and its task.
    pub(super) fn part_with(&mut self, id: &PeerId, farewell: Farewell) {
        if let Some((id, peer)) = self.peers.remove_entry(id) {
            self.paths.keep(&id, &peer, Instant::now());
            peer.stop(farewell);
            self.parting.push((id, peer));
        }
    }
}
