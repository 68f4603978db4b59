//! The agent leaves what it knows to another in its place, and goes on with what one has left.
//!
//! From [`freeze`](Agent::freeze) on nothing is decided and no check runs. Where nobody takes over after all, the same agent goes on with
//! what it had left, by the very way that the other would have gone ([`thaw`](Agent::thaw)).

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use anycast_core::{
    CheckName, Drain, PeerId, ServiceName,
    config::{Endpoint, Service},
};
use tokio::sync::mpsc;

use super::Agent;
use crate::{
    checker::Known,
    handover::{self, Document},
    kernel::AddressState,
    peer::{Ask, Left, Peer},
};

/// What an agent begins with that goes on for another.
#[derive(Debug)]
pub(crate) struct GoesOn {
    pub(crate) document: Document,
    pub(crate) sessions: BTreeMap<PeerId, Left>,
}

/// Where the session of a neighbor is to be had.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) id: PeerId,
    pub(crate) of: PeerId,
    /// The router, where `of` is a network.
    pub(crate) router: Option<IpAddr>,
    pub(crate) asks: mpsc::Sender<Ask>,
}

impl Agent {
    /// Decides nothing any more, and ends the checks with the runs under way. What is known, and where the sessions are to be had.
    pub(crate) fn freeze(&mut self, configuration: Vec<u8>) -> (Document, Vec<Seat>) {
        self.frozen = true;
        let now = Instant::now();
        let uptime = now.saturating_duration_since(self.started.0);
        let mut document = Document::new(configuration, self.started.1.into(), uptime);
        let kernel = self.kernel.borrow().clone();
        let bound = kernel.addresses.iter().filter(|(_, state)| matches!(state, AddressState::Bound { .. }));
        document.bound = bound.map(|(address, _)| *address).collect();
        for name in self.settings.core.services.keys() {
            let drain = self.drains.get(name).map(|drain| drain.hand_over(now));
            let checkers = self.checkers.get(name).into_iter().flatten();
            let checks = checkers.map(|(check, checker)| (check.clone(), checker.hand_over(now)));
            let service = handover::Service::new(drain, checks, self.served.get(name).copied());
            document.services.insert(name.to_string(), service);
        }
        self.checkers.clear();
        let seat = |(id, peer): (&PeerId, &Peer)| {
            let of_network = self.settings.core.neighbors.get(&peer.of).is_some_and(|it| it.is_network());
            let router = match peer.neighbor.endpoint {
                Endpoint::Address(address) if of_network => Some(address),
                _ => None,
            };
            Seat { id: id.clone(), of: peer.of.clone(), router, asks: peer.asks() }
        };
        (document, self.peers.iter().map(seat).collect())
    }

    /// Nobody has taken over: goes on.
    pub(crate) fn thaw(&mut self, goes_on: GoesOn) {
        self.frozen = false;
        self.peers.clear();
        self.goes_on = Some(goes_on);
        self.settle(&BTreeMap::new());
        self.go_on();
        self.turn();
    }

    /// After everything that is configured has begun: the routers of networks, and then nothing is left of what went on.
    pub(super) fn go_on(&mut self) {
        let Some(GoesOn { document, .. }) = &mut self.goes_on else { return };
        for (id, neighbor) in document.take_neighbors() {
            let (Some(router), Ok(of)) = (neighbor.router, PeerId::new(&neighbor.of)) else { continue };
            let Some(configured) = self.settings.core.neighbors.get(&of).map(|it| it.at(router)) else { continue };
            if !self.peers.contains_key(&id) {
                self.start_peer(&id, &of, &configured);
            }
        }
        self.goes_on = None;
    }

    /// What goes on of a service, beside its checks.
    pub(super) fn drain_begun(&self, name: &ServiceName, service: &Service, now: Instant) -> Drain {
        let past = self.goes_on.as_ref().and_then(|goes_on| goes_on.document.service(name)?.drain());
        past.map_or_else(|| Drain::new(service.drain, now), |state| Drain::take_over(service.drain, state, now))
    }

    /// What goes on of a check.
    pub(super) fn known_of(&self, service: &ServiceName, check: &CheckName) -> Option<Known> {
        self.goes_on.as_ref()?.document.service(service)?.check(check)
    }

    /// What goes on of a session.
    pub(super) fn session_of(&mut self, id: &PeerId) -> Option<Left> {
        self.goes_on.as_mut()?.sessions.remove(id)
    }
}

/// How long the task of a neighbor may take to let go of its session.
const LETS_GO: Duration = Duration::from_secs(1);

/// The sessions that can go on; those that do not answer in time end.
pub(crate) async fn collect(seats: Vec<Seat>, document: &mut Document) -> BTreeMap<PeerId, Left> {
    let mut sessions = BTreeMap::new();
    for Seat { id, of, router, asks } in seats {
        let (reply, left) = tokio::sync::oneshot::channel();
        let asked = async {
            asks.send(Ask::HandOver(reply)).await.ok()?;
            left.await.ok().flatten()
        };
        let Some(left) = tokio::time::timeout(LETS_GO, asked).await.ok().flatten() else { continue };
        let neighbor = handover::Neighbor::new(of.to_string(), router, &left);
        document.neighbors.insert(id.to_string(), neighbor);
        sessions.insert(id, left);
    }
    sessions
}
