//! The agent leaves what it knows to another in its place, and goes on with what one has left.
//!
//! From [`freeze`](Agent::freeze) on nothing is decided and no check runs. Where nobody takes over after all, the same agent goes on with
//! what it had left, by the very way that the other would have gone ([`thaw`](Agent::thaw)).

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anycast_api::{Timestamp, Upgraded};
use anycast_core::{
    CheckName, Drain, PeerId, ServiceName,
    config::{Endpoint, Service},
    drain::Stage,
    path,
};
use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};

use super::{Agent, Carried, Refusal, reload::RELOAD};
use crate::{
    bfd::Seen,
    checker::Known,
    handover::{self, Bound, Document, Places, Since},
    kernel::{AddressState, Owner},
    peer::{Ask, Left, Peer},
};

/// What an agent begins with that goes on for another.
#[derive(Debug)]
pub(crate) struct GoesOn {
    pub(crate) document: Document,
    pub(crate) sessions: BTreeMap<PeerId, Left>,
    pub(crate) places: Places,
    /// When all that was so.
    at: Instant,
}

impl GoesOn {
    pub(crate) fn new(document: Document, sessions: BTreeMap<PeerId, Left>, places: Places) -> Self {
        let now = Instant::now();
        let at = now.checked_sub(document.age()).unwrap_or(now);
        Self { document, sessions, places, at }
    }

    /// What is bound, and stays so; on this interface, where nothing else is known of it.
    pub(crate) fn addresses(&self, interface: &str) -> BTreeMap<IpAddr, AddressState> {
        let known = &self.document.since.addresses;
        let state = |address: &IpAddr| match known.get(address) {
            Some(Bound { interface, foreign, since }) => {
                let owner = if *foreign { Owner::Foreign } else { Owner::Ours };
                AddressState::Bound { owner, interface: interface.clone(), since: since.system_time() }
            }
            // One of a version that did not tell.
            None => {
                AddressState::Bound { owner: Owner::Ours, interface: interface.to_owned(), since: SystemTime::now() }
            }
        };
        self.document.bound.iter().map(|address| (*address, state(address))).collect()
    }
}

fn bound(addresses: &BTreeMap<IpAddr, AddressState>) -> BTreeMap<IpAddr, Bound> {
    let bound = addresses.iter().filter_map(|(address, state)| match state {
        AddressState::Bound { owner, interface, since } => {
            let (interface, foreign) = (interface.clone(), *owner == Owner::Foreign);
            Some((*address, Bound { interface, foreign, since: (*since).into() }))
        }
        AddressState::Missing { .. } => None,
    });
    bound.collect()
}

/// Where the session of a neighbor is to be had.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) id: PeerId,
    pub(crate) of: PeerId,
    /// The router, where `of` is a network.
    pub(crate) router: Option<IpAddr>,
    pub(crate) asks: mpsc::Sender<Ask>,
    /// Its session is one that is to go on.
    pub(crate) established: bool,
}

impl Agent {
    /// What is known, and where the sessions are to be had.
    ///
    /// # Errors
    /// An agent that is ending has nothing to hand over.
    pub(crate) fn describe(&self) -> Result<(Document, Vec<Seat>), Refusal> {
        if self.is_stopping() {
            return Err(Refusal::Stopping);
        }
        let now = Instant::now();
        let uptime = now.saturating_duration_since(self.started.0);
        let mut document = Document::new(self.text.as_bytes().to_vec(), self.started.1.into(), uptime);
        let kernel = self.kernel.borrow().clone();
        for name in self.settings.core.services.keys() {
            let drain = self.drains.get(name).map(|drain| drain.hand_over(now));
            let checkers = self.checkers.get(name).into_iter().flatten();
            let checks = checkers.map(|(check, checker)| (check.clone(), checker.hand_over(now)));
            let left = |carried: &Carried| (carried.health, carried.until.saturating_duration_since(now));
            let carried = self.carried.get(name).map(left);
            let service = handover::Service::new(drain, checks, self.served.get(name).copied(), carried);
            document.services.insert(name.to_string(), service);
        }
        document.orders = self.orders.iter().map(|(name, order)| (name.to_string(), order.clone())).collect();
        document.disabled = self.disabled.iter().map(|(name, order)| (name.to_string(), order.clone())).collect();
        document.flaps = self.flap_book(false).hand_over();
        document.since = self.since_when();
        document.since.addresses = bound(&kernel.addresses);
        document.bound = document.since.addresses.keys().copied().collect();
        document.set_paths(self.known_paths(now));
        document.reload_refused = self.problems.get(RELOAD).cloned();
        document.unwritten = self.unwritten();
        document.operators = Some(self.lasting.control.operators.clone());
        (document.events, document.next_event) = self.ring.hand_over();
        Ok((document, self.peers.iter().map(|(id, peer)| self.seat(id, peer)).collect()))
    }

    /// What is known of the paths to neighbors, whatever their sessions do.
    fn known_paths(&self, now: Instant) -> impl Iterator<Item = (PeerId, Option<IpAddr>, path::Left, Seen)> {
        let of_tasks = self.peers.iter().map(|(id, peer)| (id, peer.path()));
        let all = self.paths.iter().chain(of_tasks);
        let all = all.map(move |(id, (coupling, seen))| (id, coupling.hand_over(now), seen));
        // A network's name has no `@` in it.
        let parts = |id: &PeerId| {
            let (of, router) = id.as_str().split_once('@').map_or((id.as_str(), None), |(of, at)| (of, Some(at)));
            Some((PeerId::new(of).ok()?, router.map(str::parse).transpose().ok()?))
        };
        all.filter(|(_, left, seen)| *left != path::Left::default() || seen.admin_down().is_some()).filter_map(
            move |(id, left, seen)| {
                let (of, router) = parts(id)?;
                Some((of, router, left, seen))
            },
        )
    }

    fn since_when(&self) -> Since {
        let services = self.since.services.iter();
        let prefixes = self.since.prefixes.iter();
        let mut since = Since::default();
        since.services = services.map(|(name, (state, at))| (name.to_string(), (*state, (*at).into()))).collect();
        since.prefixes =
            prefixes.map(|(prefix, (with, at))| (*prefix, (with.as_deref().cloned(), (*at).into()))).collect();
        since.set_healths(self.since.healths.iter().map(|(name, (health, at))| (name, *health, (*at).into())));
        since
    }

    fn seat(&self, id: &PeerId, peer: &Peer) -> Seat {
        let of_network = self.settings.core.neighbors.get(&peer.of).is_some_and(|it| it.is_network());
        let router = match peer.neighbor.endpoint {
            Endpoint::Address(address) if of_network => Some(address),
            _ => None,
        };
        let established = peer.state.borrow().state == anycast_bgp::State::Established;
        Seat { id: id.clone(), of: peer.of.clone(), router, asks: peer.asks(), established }
    }

    /// Decides nothing any more, and ends the checks with the runs under way.
    ///
    /// # Errors
    /// As [`describe`](Self::describe).
    pub(crate) fn freeze(&mut self) -> Result<(Document, Vec<Seat>), Refusal> {
        let described = self.describe()?;
        self.frozen = true;
        self.checkers.clear();
        Ok(described)
    }

    /// Nobody has taken over, and the sessions were taken out of their tasks: goes on.
    pub(crate) fn thaw(&mut self, goes_on: GoesOn) {
        self.peers.clear();
        self.paths.take_over(goes_on.document.paths(), goes_on.at);
        self.resume_all(goes_on);
    }

    /// Likewise, with the sessions where they are.
    pub(crate) fn resume_all(&mut self, goes_on: GoesOn) {
        self.frozen = false;
        self.goes_on = Some(goes_on);
        self.settle(&BTreeMap::new());
        self.go_on();
        self.turn();
    }

    /// What goes on of the node before anything begins.
    pub(super) fn remember(&mut self) {
        let Some(GoesOn { document, at, .. }) = &mut self.goes_on else { return };
        let began = at.checked_sub(document.uptime).unwrap_or(*at);
        self.started = (began, document.started.system_time());
        self.paths.take_over(document.paths(), *at);
        if let Some(text) = document.reload_refused.take() {
            self.problems.insert(RELOAD, text);
        }
        self.ring.take_over(std::mem::take(&mut document.events), document.next_event);
        let unwritten = document.unwritten.take();
        let since = std::mem::take(&mut document.since);
        let named = |name: &str| ServiceName::new(name).ok();
        for (name, service) in &document.services {
            if let (Some(name), Some(served)) = (named(name), service.served()) {
                self.served.insert(name, served);
            }
        }
        self.since.healths = since.healths().map(|(name, health, at)| (name, (health, at.system_time()))).collect();
        let services = since.services.into_iter();
        self.since.services =
            services.filter_map(|(name, (state, at))| Some((named(&name)?, (state, at.system_time())))).collect();
        let prefixes = since.prefixes.into_iter();
        self.since.prefixes =
            prefixes.map(|(prefix, (with, at))| (prefix, (with.map(Arc::new), at.system_time()))).collect();
        if let Some(text) = unwritten {
            self.go_on_writing(text);
        }
    }

    /// After everything that is configured has begun: the routers of networks, and then nothing is left of what went on. What came of
    /// it, where it was ordered.
    pub(super) fn go_on(&mut self) -> Option<Upgraded> {
        let GoesOn { document, .. } = self.goes_on.as_mut()?;
        let neighbors = std::mem::take(&mut document.neighbors);
        for neighbor in neighbors.values() {
            let (Some(router), Some((of, id))) = (neighbor.router, neighbor.ids()) else { continue };
            let Some(configured) = self.settings.core.neighbors.get(&of).map(|it| it.at(router)) else { continue };
            if !self.peers.contains_key(&id) {
                self.start_peer(&id, &of, &configured);
            }
        }
        let GoesOn { document, at, .. } = self.goes_on.take()?;
        for (name, service) in &document.services {
            let Ok(name) = ServiceName::new(name) else { continue };
            let decided =
                self.checkers.get(&name).is_some_and(|all| all.values().any(|check| check.state.borrow().counts));
            if let (Some((health, left)), false) = (service.carried(), decided) {
                self.carried.insert(name, Carried { health, until: at + left.min(LONGEST) });
            }
        }
        let stopped = document.age();
        let order = document.order?;
        let mut lost = order.missed;
        for (name, neighbor) in &neighbors {
            let anew = match neighbor.ids().and_then(|(_, id)| self.peers.get(&id)) {
                Some(peer) => peer.begun_anew.clone(),
                None => Some("it is not configured".to_owned()),
            };
            lost.extend(anew.map(|why| (name.clone(), why)));
        }
        Some(Upgraded {
            id: order.id,
            by: order.by,
            at: Timestamp::from(SystemTime::now()),
            from: document.agent,
            to: env!("CARGO_PKG_VERSION").to_owned(),
            sessions: neighbors.keys().filter(|name| !lost.contains_key(*name)).count(),
            lost,
            stopped_seconds: stopped.as_secs_f64(),
        })
    }

    /// No other program goes on here; `lasts`: not before somebody has done something about it.
    pub(crate) fn upgrade_refused(&mut self, by: &str, why: &str, lasts: bool) {
        self.report_own(format!("upgrade by {by} refused: {why}"));
        if lasts {
            let (version, at) = (env!("CARGO_PKG_VERSION"), Timestamp::now());
            let text = format!("the last upgrade was refused ({at}, {by}), anycastd {version} goes on: {why}");
            self.problem(UPGRADE, Some(text));
        }
    }

    /// What came of an upgrade.
    pub(super) fn tell_upgrade(&mut self, upgraded: Upgraded) {
        let Upgraded { by, from, to, sessions, lost, stopped_seconds, .. } = &upgraded;
        let went_on = match sessions {
            0 if lost.is_empty() => "no session was Established".to_owned(),
            1 => "1 session went on".to_owned(),
            sessions => format!("{sessions} sessions went on"),
        };
        let millis = (stopped_seconds * 1000.0).round();
        let anew: Vec<String> = lost.iter().map(|(neighbor, why)| format!("{neighbor} begins anew ({why})")).collect();
        let anew = anew.iter().map(|words| format!(", {words}")).collect::<String>();
        let text =
            format!("upgraded by {by} from {from} to {to}: {went_on}{anew}; nothing was decided for {millis} ms");
        tracing::info!("{text}");
        self.report_own(text);
        self.upgraded = Some(upgraded);
    }

    /// Whether a maintenance goes on where it was.
    pub(super) fn drains_on(&self, name: &ServiceName) -> bool {
        let drain = self.goes_on.as_ref().and_then(|goes_on| goes_on.document.service(name)?.drain());
        drain.is_some_and(|drain| drain.stage != Stage::Active)
    }

    /// What goes on of a service, beside its checks.
    pub(super) fn drain_begun(&self, name: &ServiceName, service: &Service, now: Instant) -> Drain {
        let past =
            self.goes_on.as_ref().and_then(|goes_on| Some((goes_on.document.service(name)?.drain()?, goes_on.at)));
        past.map_or_else(|| Drain::new(service.drain, now), |(state, at)| Drain::take_over(service.drain, state, at))
    }

    /// What goes on of a check, and when it was so.
    pub(super) fn known_of(&self, service: &ServiceName, check: &CheckName) -> Option<(Known, Instant)> {
        let goes_on = self.goes_on.as_ref()?;
        Some((goes_on.document.service(service)?.check(check)?, goes_on.at))
    }

    /// What goes on of a session, and when it was so.
    pub(super) fn session_of(&mut self, id: &PeerId) -> Option<(Left, Instant)> {
        let goes_on = self.goes_on.as_mut()?;
        Some((goes_on.sessions.remove(id)?, goes_on.at))
    }
}

/// The problem that the installed program is not the one that runs, and was to be.
pub(super) const UPGRADE: &str = "upgrade";
/// How long the task of a neighbor may take to let go of its session.
const LETS_GO: Duration = Duration::from_secs(1);
/// No health is carried for longer.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

async fn ask<T>(asks: &mpsc::Sender<Ask>, ask: impl FnOnce(oneshot::Sender<Option<T>>) -> Ask) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    let asked = async {
        asks.send(ask(reply)).await.ok()?;
        answer.await.ok().flatten()
    };
    tokio::time::timeout(LETS_GO, asked).await.ok().flatten()
}

/// Adds the sessions as they are, for a trial.
pub(crate) async fn glance(seats: Vec<Seat>, document: &mut Document) {
    let asked = seats.into_iter().map(|Seat { id, of, router, asks, .. }| async move {
        let session = ask(&asks, Ask::Glance).await?;
        Some((id.to_string(), handover::Neighbor::for_trial(of.to_string(), router, session)))
    });
    document.neighbors = join_all(asked).await.into_iter().flatten().collect();
}

/// The sessions that can go on; those that do not answer in time end.
pub(crate) async fn collect(seats: Vec<Seat>, document: &mut Document) -> BTreeMap<PeerId, Left> {
    let asked = seats.into_iter().map(|seat| async move {
        let left = ask(&seat.asks, Ask::HandOver).await;
        (seat, left)
    });
    let mut sessions = BTreeMap::new();
    for (Seat { id, of, router, established, .. }, left) in join_all(asked).await {
        let Some(left) = left else {
            if let (true, Some(order)) = (established, &mut document.order) {
                order.missed.insert(id.to_string(), "it ended at that moment".to_owned());
            }
            continue;
        };
        let neighbor = handover::Neighbor::new(of.to_string(), router, &left);
        document.neighbors.insert(id.to_string(), neighbor);
        sessions.insert(id, left);
    }
    sessions
}
