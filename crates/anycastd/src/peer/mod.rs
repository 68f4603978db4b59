//! One task per neighbor: it drives a [`Session`] and owns its socket.
//!
//! State goes out by `watch` ([`PeerState`]), the whole set of desired routes comes in by `watch`. Ends when told to, after
//! a Cease. Dropping it at any await closes the connection; no state is lost that the session does not own.

mod driver;
mod handover;
mod hops;
pub(crate) mod options;
mod socket;
mod unnumbered;
mod way;

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};

use anycast_bgp::{
    Advertised, Counters, Family, Farewell, GracefulRestart, Handover, Limits, Negotiated, PeerConfig, Prefix,
    Quarantined, Received, Routes, Session, State,
};
use anycast_core::{
    Config, PeerId,
    config::{self, Connect, Endpoint, Neighbor},
    path::{Coupling, Hold},
};
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot, watch},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::unnumbered::Router;
pub(crate) use self::{handover::Left, socket::unacked};
use crate::{
    bfd::{Bfd, Seen},
    fence::Fence,
    kernel::Links,
    listener::{Refusal, Refusals},
    metrics::Instruments,
    signal::{Sink, Wake},
};

/// What is known of a neighbor, as of now.
#[derive(Debug, Clone)]
pub(crate) struct PeerState {
    /// The state of RFC 4271.
    pub(crate) state: State,
    /// Since when.
    pub(crate) since: Instant,
    /// The set of routes the session works towards: the last that was taken.
    pub(crate) routes: Arc<Routes>,
    /// What it holds from us, or is being told.
    pub(crate) advertised: Arc<BTreeMap<Prefix, Advertised>>,
    /// What it should hold and cannot be given, in words.
    pub(crate) unsendable: BTreeMap<Prefix, String>,
    /// Why the last session or attempt ended.
    pub(crate) last_error: Option<(String, Instant)>,
    /// What to do about it, where that is known.
    pub(crate) remedy: Option<String>,
    /// There is no session, and the neighbor has had a connection since the last one: it can be reached, and knows of us.
    pub(crate) came: bool,
    /// What of it is held back for the sake of the session.
    pub(crate) quarantined: BTreeMap<Prefix, Quarantined>,
    /// When it is dialled again.
    pub(crate) retry_at: Option<Instant>,
    /// Both ends of the connection, ours first.
    pub(crate) ends: Option<(SocketAddr, SocketAddr)>,
    /// What the session agreed on.
    pub(crate) negotiated: Option<Negotiated>,
    /// The next hop of each family, in words.
    pub(crate) next_hops: BTreeMap<Family, String>,
    /// What it has announced in this session, where that is limited.
    pub(crate) received: Option<Received>,
    /// Counts.
    pub(crate) counters: Counters,
}

/// The whole set that a neighbor is to hold.
#[derive(Debug, Clone)]
struct Wanted {
    routes: Arc<Routes>,
    /// When that was decided.
    decided: Instant,
}

/// What the task is asked for besides its state.
#[derive(Debug)]
pub(crate) enum Ask {
    /// The recent messages, as an MRT file.
    Capture(oneshot::Sender<Vec<u8>>),
    /// These prefixes are to be told again, if they are in quarantine.
    Release(BTreeSet<Prefix>),
    /// The session as it is, if it is Established.
    Glance(oneshot::Sender<Option<Handover>>),
    /// The session with its connection, if it is Established; otherwise it ends. The task ends in any case.
    HandOver(oneshot::Sender<Option<Left>>),
}

/// The questions that may wait for the task; whoever has more waits itself.
const ASKS: usize = 4;

/// Connections of one neighbor that may wait for its task.
const ARRIVALS: usize = 2;

/// What a neighbor with graceful restart may still keep of us, and what therefore goes on working.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Past {
    /// Nothing that is known to work.
    Nothing,
    /// What the process before this one announced.
    OtherProcess,
    /// What this process announced over a session that is forgotten.
    ThisProcess,
}

/// What a task begins with.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) id: &'a PeerId,
    /// The configured neighbor it belongs to.
    pub(crate) of: &'a PeerId,
    pub(crate) neighbor: &'a Neighbor,
    pub(crate) seed: u64,
    /// What the neighbor may still keep of us.
    pub(crate) past: Past,
    /// The routes are all there is to say.
    pub(crate) complete: bool,
    /// Where there are BFD sessions.
    pub(crate) bfd: &'a Bfd,
    /// Where it is noted how long things take.
    pub(crate) instruments: &'a Instruments,
    /// What is known of the path, and what was seen of the BFD session there was.
    pub(crate) path: (Coupling, Seen),
    /// The session that it goes on with, and when it was so.
    pub(crate) left: Option<(Left, Instant)>,
}

/// The handle of a running task.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) neighbor: Neighbor,
    pub(crate) session: PeerConfig,
    /// The configured neighbor it belongs to: itself, or the network that it is a router of.
    pub(crate) of: PeerId,
    pub(crate) state: watch::Receiver<PeerState>,
    routes: watch::Sender<Wanted>,
    limits: watch::Sender<Limits>,
    asks: mpsc::Sender<Ask>,
    /// Every prefix of the sets that were given and that the task has not shown to have taken yet.
    in_flight: BTreeSet<Prefix>,
    stop: CancellationToken,
    /// What is configured of BFD, and what is to be seen of it.
    path: watch::Sender<Option<config::Bfd>>,
    seen: watch::Receiver<Seen>,
    known: watch::Receiver<Coupling>,
    farewell: watch::Sender<Farewell>,
    complete: watch::Sender<bool>,
    arrivals: mpsc::Sender<TcpStream>,
    refusals: Arc<Refusals>,
    /// Why a session that was to go on begins anew.
    pub(crate) begun_anew: Option<String>,
    /// Looks for the router at the other end of an interface.
    _finding: Option<AbortOnDropHandle<()>>,
    task: tokio::task::JoinHandle<()>,
}

impl Peer {
    /// Starts the task; it dials at once, or waits for the neighbor.
    pub(crate) fn start(
        config: &Config,
        start: Start<'_>,
        wake: Wake,
        sink: Sink,
        refusals: Arc<Refusals>,
        fence: Fence,
        links: watch::Receiver<Links>,
    ) -> Self {
        let Start { id, of, neighbor, seed, past, complete, bfd, instruments, path: (coupling, before), left } = start;
        let session = session_config(config, neighbor, seed);
        let goes_on = left.map(|(left, at)| left.go_on(session.clone(), at));
        let (mut core, open, begun_anew) = match goes_on {
            Some(Ok((core, open))) => (core, Some(open), None),
            Some(Err(why)) => {
                tracing::warn!(neighbor = %id, "the session begins anew: {why}");
                sink.report("neighbor", id, format!("the session begins anew: {why}"));
                (Session::new(session.clone(), Instant::now()), None, Some(why))
            }
            None => (Session::new(session.clone(), Instant::now()), None, None),
        };
        core.set_limits(neighbor.limits, Instant::now());
        match past {
            Past::Nothing => {}
            Past::OtherProcess => core.set_restarted(),
            Past::ThisProcess => core.set_preserved(),
        }
        core.set_complete(complete);
        let (complete, complete_seen) = watch::channel(complete);
        let (arrivals, arrived) = mpsc::channel(ARRIVALS);
        let wanted = Arc::new(core.desired().clone());
        let (routes, routes_seen) = watch::channel(Wanted { routes: Arc::clone(&wanted), decided: Instant::now() });
        let (limits, limits_seen) = watch::channel(neighbor.limits);
        let (asks, asked) = mpsc::channel(ASKS);
        let (farewell, farewell_seen) = watch::channel(Farewell::Shutdown(String::new()));
        let (state, state_seen) = watch::channel(driver::state_of(&core, neighbor, wanted));
        let (router, finding) = match &neighbor.endpoint {
            Endpoint::Interface(interface) => {
                let (told, router) = watch::channel(Router::Unknown);
                let find = unnumbered::find(interface.clone(), neighbor.port.get(), seed, told);
                let span = tracing::info_span!("neighbor", neighbor = %id);
                let finding = tokio::spawn(tracing::Instrument::instrument(find, span));
                (Some(router), Some(AbortOnDropHandle::new(finding)))
            }
            Endpoint::Address(_) | Endpoint::Network(..) => (None, None),
        };
        let (path, path_seen) = watch::channel(neighbor.bfd.clone());
        let (told, seen) = watch::channel(before.over());
        let (knows, known) = watch::channel(coupling);
        let stop = CancellationToken::new();
        let parts = driver::Parts {
            id: id.clone(),
            neighbor: neighbor.clone(),
            session: core,
            routes: routes_seen,
            limits: limits_seen,
            asks: asked,
            farewell: farewell_seen,
            complete: complete_seen,
            arrivals: arrived,
            refusals: Arc::clone(&refusals),
            router,
            links,
            path: driver::Path::new(bfd.clone(), of.clone(), path_seen, told, knows),
            stop: stop.clone(),
            state,
            wake,
            sink,
            gate: fence.gate(),
            fence,
            times: instruments.route_times(id.as_str()),
        };
        let driver = driver::Driver::new(parts, open);
        let span = tracing::info_span!("neighbor", neighbor = %id, address = %neighbor.endpoint);
        let task = tokio::spawn(tracing::Instrument::instrument(driver.run(), span));
        Self {
            neighbor: neighbor.clone(),
            session,
            of: of.clone(),
            state: state_seen,
            routes,
            limits,
            asks,
            in_flight: BTreeSet::new(),
            path,
            seen,
            known,
            stop,
            farewell,
            complete,
            arrivals,
            refusals,
            begun_anew,
            _finding: finding,
            task,
        }
    }

    /// The whole set it should hold, as it was decided then.
    pub(crate) fn set_routes(&mut self, desired: &Routes, decided: Instant) {
        if *self.routes.borrow().routes == *desired {
            return;
        }
        self.in_flight.extend(desired.keys().copied());
        self.routes.send_replace(Wanted { routes: Arc::new(desired.clone()), decided });
    }

    /// What of a neighbor's settings changes under a session that stays up.
    pub(crate) fn reconfigure(&mut self, neighbor: Neighbor) {
        self.limits.send_if_modified(|held| std::mem::replace(held, neighbor.limits) != neighbor.limits);
        let bfd = neighbor.bfd.clone();
        self.path.send_if_modified(|held| {
            let other = *held != bfd;
            held.clone_from(&bfd);
            other
        });
        self.neighbor = neighbor;
    }

    /// What is to be seen of its BFD session; `None`: there is to be none.
    pub(crate) fn bfd(&self) -> Option<Seen> {
        self.neighbor.bfd.is_some().then(|| self.seen.borrow().clone())
    }

    /// What it waits for in this state, where its session ended with the path; one that is Established waits for nothing. (It is told the
    /// state: callers hold on to it, and a lock is not taken twice.)
    pub(crate) fn hold(&self, state: State) -> Option<Hold> {
        self.known.borrow().hold().filter(|_| state != State::Established)
    }

    /// How the path stands by what BFD knows, and what was seen of the BFD session, for the task that comes after this one.
    pub(crate) fn path(&self) -> (Coupling, Seen) {
        (self.known.borrow().clone(), self.seen.borrow().clone())
    }

    /// Every prefix an Established neighbor holds, or may hold: what it was told, and what the task may be telling it
    /// at this moment.
    pub(crate) fn held(&mut self) -> BTreeSet<Prefix> {
        let state = self.state.borrow_and_update();
        if Arc::ptr_eq(&state.routes, &self.routes.borrow().routes) {
            self.in_flight.clear();
        }
        if state.state != State::Established {
            return BTreeSet::new();
        }
        let working_towards = state.routes.keys().filter(|_| !self.in_flight.is_empty());
        state.advertised.keys().chain(&self.in_flight).chain(working_towards).copied().collect()
    }

    /// These prefixes are to be told again, if they are in quarantine.
    pub(crate) fn release(&self, prefixes: BTreeSet<Prefix>) {
        // The queue is longer than all that those who read may put into it at a time.
        if self.asks.try_send(Ask::Release(prefixes)).is_err() {
            tracing::warn!("a neighbor's task does not take an order; what is in quarantine stays there");
        }
    }

    /// Where the task is asked.
    pub(crate) fn asks(&self) -> mpsc::Sender<Ask> {
        self.asks.clone()
    }

    /// Whether its routes are all there is to say (RFC 4724: End-of-RIB).
    pub(crate) fn set_complete(&self, complete: bool) {
        self.complete.send_if_modified(|held| std::mem::replace(held, complete) != complete);
    }

    /// A connection that the neighbor made. One that comes while the task is busy with others is closed.
    pub(crate) fn offer(&self, stream: TcpStream) {
        if self.arrivals.try_send(stream).is_err() {
            self.refusals.count(Refusal::Busy);
        }
    }

    /// Ends the session like that, then the task.
    pub(crate) fn stop(&self, farewell: Farewell) {
        self.farewell.send_replace(farewell);
        self.stop.cancel();
    }

    /// Whether the task has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The jitter of two neighbors must differ, and that of one must not change with a reload.
pub(crate) fn seed(id: &PeerId) -> u64 {
    let mut hasher = DefaultHasher::new();
    (id, std::process::id()).hash(&mut hasher);
    hasher.finish()
}

/// What the session of `neighbor` is told; equal settings keep a session over a reload, so the seed must be stable.
pub(crate) fn session_config(config: &Config, neighbor: &Neighbor, seed: u64) -> PeerConfig {
    PeerConfig {
        local_as: config.asn,
        router_id: config.router_id,
        peer_as: neighbor.peer_as,
        hold_time: neighbor.hold_time,
        families: neighbor.families.clone(),
        offers: neighbor.offers,
        role: neighbor.role,
        role_strict: neighbor.role_strict,
        passive: neighbor.connect == Connect::Passive,
        timing: neighbor.timing,
        graceful_restart: neighbor.restart_time.map(|restart_time| GracefulRestart { restart_time }),
        next_hop_ipv4: neighbor.next_hop_ipv4,
        next_hop_ipv6: neighbor.next_hop_ipv6,
        link_local: neighbor.link_local,
        seed,
    }
}
