//! The loop that moves bytes between one socket and one session.

mod links;
mod out;
mod pace;
mod path;
mod remedy;
mod shown;
mod told;

use std::{
    future::Future,
    io::{self, Read as _},
    net::SocketAddr,
    os::fd::AsFd as _,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anycast_bgp::{Action, Farewell, Incoming, Limits, Routes, Session, State};
use anycast_core::{
    PeerId,
    config::{Endpoint, Neighbor},
};
use bytes::Bytes;
use socket2::SockRef;
use tokio::{
    io::Interest,
    net::TcpStream,
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

use self::{pace::Pace, shown::state_with};
pub(super) use self::{path::Path, shown::state_of};
use super::{
    Ask, PeerState, Wanted,
    handover::{Left, Open},
    hops::{Addresses, Source},
    socket::{self, DialError},
    unnumbered::Router,
    way::Way,
};
use crate::{
    fence::{Fence, Gate, Order, lines::Line},
    kernel::Links,
    listener::{Refusal, Refusals},
    metrics::RouteTimes,
    signal::{Sink, Wake},
};

/// How long a NOTIFICATION may take to leave before the connection is closed under it.
const FAREWELL: Duration = Duration::from_millis(500);
/// How soon after a write the kernel is first asked what is acknowledged; doubled up to [`ACK_SLOWEST`].
const ACK_FIRST: Duration = Duration::from_micros(500);
const ACK_SLOWEST: Duration = Duration::from_millis(50);
/// What is said where the connection is ended in this task's place.
const CUT: &str = "anycastd: its tasks do not run";
/// What is said where a session must not begin yet.
const AWAY: &str = "anycastd: it was not run for a while, and proves anew what it announces";
/// One read; many small messages fit.
const READ_SIZE: usize = 64 * 1024;

/// What a driver is made of.
pub(super) struct Parts {
    pub(super) id: PeerId,
    pub(super) neighbor: Neighbor,
    pub(super) session: Session,
    pub(super) routes: watch::Receiver<Wanted>,
    pub(super) limits: watch::Receiver<Limits>,
    pub(super) asks: mpsc::Receiver<Ask>,
    pub(super) farewell: watch::Receiver<Farewell>,
    pub(super) complete: watch::Receiver<bool>,
    pub(super) arrivals: mpsc::Receiver<TcpStream>,
    pub(super) refusals: Arc<Refusals>,
    /// Whom to dial, where the neighbor is the router at the other end of an interface.
    pub(super) router: Option<watch::Receiver<Router>>,
    /// What BFD knows of the path.
    pub(super) path: Path,
    /// Which interfaces carry packets.
    pub(super) links: watch::Receiver<Links>,
    pub(super) stop: CancellationToken,
    pub(super) state: watch::Sender<PeerState>,
    pub(super) wake: Wake,
    pub(super) sink: Sink,
    pub(super) fence: Fence,
    pub(super) gate: watch::Receiver<Gate>,
    /// Where it is noted how long routes take.
    pub(super) times: RouteTimes,
}

type Dial = Pin<Box<dyn Future<Output = Result<TcpStream, DialError>> + Send>>;

/// The transport of the session, as far as it has come.
enum Link {
    None,
    Dialling(Dial),
    Open(Connection),
}

struct Connection {
    stream: Arc<TcpStream>,
    line: Line,
    /// The rest of the message that is being written.
    unsent: Bytes,
    /// The state of the session when its last words were left with the line.
    told: State,
    /// What the kernel had not seen acknowledged when it was last asked.
    unacked: usize,
    /// When it is asked again, and how long it was left alone before.
    ask: Option<(Instant, Duration)>,
}

pub(super) struct Driver {
    parts: Parts,
    link: Link,
    buffer: Vec<u8>,
    /// The set of routes the session has.
    taken: Arc<Routes>,
    /// How long what changes of it takes.
    pace: Pace,
    /// A connection that the neighbor made and the session takes once the old one is closed.
    arrived: Option<TcpStream>,
    /// The interface that leads to the neighbor, where nothing else can.
    way: Option<Way>,
    /// Where the next hops are from, while there is a connection.
    source: Option<Source>,
    /// The neighbor of that connection is on the same link.
    on_link: bool,
    stopping: bool,
    /// The session has gone elsewhere.
    left: bool,
}

/// What ended a wait.
enum Step {
    Dialled(Result<TcpStream, DialError>),
    Ready(io::Result<tokio::io::Ready>),
    Timeout,
    Routes,
    Limits,
    Asked(Ask),
    Complete,
    Router,
    Links,
    Arrived(TcpStream),
    Gate,
    Path,
    Stop,
}

impl Driver {
    /// `open`: the connection that the session has already.
    pub(super) fn new(parts: Parts, open: Option<Open>) -> Self {
        let taken = Arc::clone(&parts.routes.borrow().routes);
        let pace = Pace::new(parts.times.clone());
        let way = match &parts.neighbor.endpoint {
            Endpoint::Interface(interface) => Some(Way::new(interface, &parts.links.borrow())),
            Endpoint::Address(_) | Endpoint::Network(..) => None,
        };
        let mut driver = Self {
            parts,
            link: Link::None,
            buffer: vec![0; READ_SIZE],
            taken,
            pace,
            arrived: None,
            way,
            source: None,
            on_link: false,
            stopping: false,
            left: false,
        };
        if let (Some(open), Some((local, remote))) = (open, driver.parts.session.ends()) {
            let (ipv6, link_local) = driver.parts.session.own_addresses();
            let before = Addresses { ipv6, link_local };
            let source = Source::going_on(local, before, &driver.parts.links.borrow());
            let Addresses { ipv6, link_local } = driver.connected(remote, open.stream, open.unsent, source);
            driver.parts.session.handle_addresses(ipv6, link_local, Instant::now());
        }
        driver.aim();
        driver
    }

    /// Runs until told to stop. Cancel safe in the sense that a drop closes the connection.
    pub(super) async fn run(mut self) {
        loop {
            self.obey(Instant::now());
            self.act().await;
            // What the session has to say at its end is said before.
            if self.needs_path() != self.parts.path.line.is_some() {
                self.aim();
                self.look_at_path(Instant::now());
            }
            self.take_arrived();
            self.write();
            self.publish();
            if self.stopping && matches!(self.link, Link::None) {
                return;
            }
            let step = self.wait().await;
            self.handle(step);
            if self.left {
                return;
            }
            // A socket that is always ready must not keep the thread: others wait for it, the runtime's own timers among them.
            tokio::task::consume_budget().await;
        }
    }

    /// Does what the session asks for, until it asks for nothing more.
    async fn act(&mut self) {
        while let Some(action) = self.parts.session.poll_action() {
            match action {
                Action::Connect if self.is_cut_off() => self.cut_off(Instant::now()),
                Action::Connect => {
                    if !matches!(self.parts.neighbor.endpoint, Endpoint::Interface(_)) {
                        self.way = None; // It is found anew when there is a connection.
                    }
                    tracing::debug!("dialling");
                    let external = self.parts.session.config().is_external();
                    let neighbor = self.parts.neighbor.clone();
                    let dial: Dial = match (&neighbor.endpoint, &self.parts.router) {
                        (Endpoint::Address(address), _) => {
                            let remote = SocketAddr::new(*address, neighbor.port.get());
                            Box::pin(socket::dial(remote, neighbor, external))
                        }
                        (_, Some(router)) => Box::pin(socket::dial_router(router.clone(), neighbor, external)),
                        // It waits; its session never asks.
                        (Endpoint::Interface(_) | Endpoint::Network(..), None) => continue,
                    };
                    self.link = Link::Dialling(dial);
                }
                Action::Close => self.close().await,
            }
        }
    }

    /// Lets the session live, or ends it, as the fence says.
    fn obey(&mut self, now: Instant) {
        if self.stopping {
            return;
        }
        let order = self.mind_path(self.parts.fence.order());
        let session = &mut self.parts.session;
        match order {
            Order::Go => session.resume(now),
            Order::Stay if session.state() == State::Established => {}
            Order::Stay => session.suspend(&Farewell::Reset(AWAY.to_owned()), now),
            Order::End(farewell) => session.suspend(&farewell, now),
        }
    }

    /// Nothing can be written any more. What the neighbor said before (a NOTIFICATION, say) tells more than the fault, so that
    /// is heard first: from the kernel itself, since the runtime may not have been told yet that there is something to read.
    fn broken(&mut self, error: &io::Error, now: Instant) {
        while matches!(self.hear(now), Ok(true)) {}
        self.lost(Some(error.to_string()), now);
    }

    /// Takes once what the kernel holds for us, if anything. An error is told but once, so it is for the caller to pass on.
    fn hear(&mut self, now: Instant) -> io::Result<bool> {
        let Link::Open(connection) = &self.link else { return Ok(false) };
        match (&*SockRef::from(&*connection.stream)).read(&mut self.buffer) {
            Ok(bytes @ 1..) => {
                self.parts.session.handle_bytes(self.buffer.get(..bytes).unwrap_or_default(), now);
                Ok(true)
            }
            Ok(0) => Ok(false),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn wait(&mut self) -> Step {
        let others = [self.ask_at(), self.parts.path.coupling.poll_timeout()];
        let timeout = self.parts.session.poll_timeout().into_iter().chain(others.into_iter().flatten()).min();
        let timeout = async move {
            match timeout {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let transport = async {
            match &mut self.link {
                Link::None => std::future::pending().await,
                Link::Dialling(dial) => Step::Dialled(dial.await),
                Link::Open(connection) => {
                    let write = if connection.unsent.is_empty() {
                        Interest::READABLE
                    } else {
                        Interest::READABLE.add(Interest::WRITABLE)
                    };
                    Step::Ready(connection.stream.ready(write).await)
                }
            }
        };
        tokio::select! {
            biased;
            () = self.parts.stop.cancelled(), if !self.stopping => Step::Stop,
            () = self.parts.path.changed() => Step::Path,
            Ok(()) = self.parts.routes.changed() => Step::Routes,
            Ok(()) = self.parts.limits.changed() => Step::Limits,
            Some(ask) = self.parts.asks.recv() => Step::Asked(ask),
            Ok(()) = self.parts.complete.changed() => Step::Complete,
            Ok(()) = changed(&mut self.parts.router) => Step::Router,
            Ok(()) = self.parts.links.changed() => Step::Links,
            Some(stream) = self.parts.arrivals.recv(), if !self.stopping => Step::Arrived(stream),
            Ok(()) = self.parts.gate.changed() => Step::Gate,
            () = timeout => Step::Timeout,
            step = transport => step,
        }
    }

    fn ask_at(&self) -> Option<Instant> {
        match &self.link {
            Link::Open(connection) => connection.ask.map(|(at, _)| at),
            Link::None | Link::Dialling(_) => None,
        }
    }

    fn handle(&mut self, step: Step) {
        let now = Instant::now();
        match step {
            Step::Dialled(result) => self.handle_dialled(result, now),
            Step::Ready(Ok(ready)) => {
                if ready.is_readable() || ready.is_read_closed() || ready.is_error() {
                    self.read(now);
                }
            }
            Step::Ready(Err(error)) => self.lost(Some(error.to_string()), now),
            Step::Timeout => {
                // We may be late ourselves: a keepalive that has come must not be missed by the hold timer.
                if let Err(error) = self.hear(now) {
                    self.lost(Some(error.to_string()), now);
                }
                self.ask(now);
                self.look_at_path(now);
                self.parts.session.handle_timeout(now);
            }
            Step::Routes => {
                let Wanted { routes, decided } = self.parts.routes.borrow_and_update().clone();
                let before = std::mem::replace(&mut self.taken, routes);
                if self.parts.session.state() == State::Established {
                    self.pace.handle_routes(&before, &self.taken, decided);
                }
                self.parts.session.set_routes((*self.taken).clone(), now);
            }
            Step::Limits => {
                let limits = *self.parts.limits.borrow_and_update();
                self.parts.session.set_limits(limits, now);
            }
            Step::Asked(Ask::Release(prefixes)) => {
                self.parts.session.release(|prefix| prefixes.contains(prefix), now);
            }
            Step::Asked(Ask::Capture(reply)) => {
                // Whoever asked may have gone.
                let _ = reply.send(self.parts.session.capture(now, SystemTime::now()));
            }
            Step::Asked(Ask::Glance(reply)) => {
                let _ = reply.send(self.parts.session.hand_over(now));
            }
            Step::Asked(Ask::HandOver(reply)) => {
                self.left = true;
                if let Some(line) = self.parts.path.line.take() {
                    line.leave();
                }
                // Whoever asked may have gone; then the connection ends.
                let _ = reply.send(self.leave(now));
            }
            Step::Complete => {
                let complete = *self.parts.complete.borrow_and_update();
                self.parts.session.set_complete(complete);
            }
            // What is to be done is seen with every step. Whether the neighbor still knows the session is to be seen too.
            Step::Gate => {
                if self.parts.gate.borrow_and_update().proving {
                    self.parts.session.prod();
                }
            }
            // Whoever was dialled in vain until now, this is another, or it is back.
            Step::Router => {
                self.parts.session.hurry(now);
                self.aim();
            }
            Step::Links => {
                self.handle_links(now);
                self.aim();
            }
            Step::Path => {
                self.aim();
                self.look_at_path(now);
            }
            Step::Arrived(stream) => match self.parts.session.incoming(now) {
                Incoming::Take | Incoming::Replace => self.arrived = Some(stream),
                Incoming::Refuse => self.parts.refusals.count(Refusal::Second),
            },
            Step::Stop => {
                self.stopping = true;
                let farewell = self.parts.farewell.borrow().clone();
                if matches!(self.link, Link::Dialling(_)) {
                    self.link = Link::None;
                }
                self.parts.session.shutdown(&farewell, now);
            }
        }
    }

    fn handle_dialled(&mut self, result: Result<TcpStream, DialError>, now: Instant) {
        self.link = Link::None;
        let open = result.and_then(|stream| Ok((stream.local_addr()?, stream.peer_addr()?, stream)));
        match open {
            Ok((local, remote, stream)) => self.begin(local, remote, stream, now),
            Err(error) => self.parts.session.handle_closed(Some(error.to_string()), now),
        }
    }

    fn begin(&mut self, local: SocketAddr, remote: SocketAddr, stream: TcpStream, now: Instant) {
        let source = Source::new(local, &self.parts.links.borrow());
        let addresses = self.connected(remote, stream, Bytes::new(), source);
        self.parts.session.set_link_local(addresses.link_local);
        self.parts.session.handle_connected(local, remote, addresses.ipv6, now);
    }

    /// There is a connection; what its next hops are made of.
    fn connected(&mut self, remote: SocketAddr, stream: TcpStream, unsent: Bytes, source: Source) -> Addresses {
        let local = source.local();
        let stream = Arc::new(stream);
        let line = self.parts.fence.lines().register(&stream);
        let ask = Some((Instant::now() + ACK_FIRST, ACK_FIRST));
        self.link = Link::Open(Connection { stream, line, told: State::Idle, unsent, unacked: 0, ask });
        self.find_way(local, remote);
        self.on_link = self.is_on_link(local, remote);
        let addresses = source.addresses().for_neighbor(self.on_link);
        self.source = Some(source);
        addresses
    }

    /// The session with its connection, if it is Established: for another task, perhaps of another process.
    fn leave(&mut self, now: Instant) -> Option<Left> {
        let Link::Open(connection) = std::mem::replace(&mut self.link, Link::None) else { return None };
        drop(connection.line.hold()?);
        let session = self.parts.session.hand_over(now)?;
        let stream = connection.stream.as_fd().try_clone_to_owned().ok()?;
        Some(Left { session, stream: stream.into(), unsent: connection.unsent.to_vec() })
    }

    /// The connection that the neighbor made begins; not without what protects it.
    fn take_arrived(&mut self) {
        let Some(stream) = self.arrived.take() else { return };
        let now = Instant::now();
        let ready = || {
            let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
            let external = self.parts.session.config().is_external();
            socket::equip(&SockRef::from(&stream), remote.ip(), &self.parts.neighbor, external)?;
            Ok::<_, DialError>((local, remote))
        };
        match ready() {
            Ok((local, remote)) => self.begin(local, remote, stream, now),
            Err(error) => tracing::warn!("a connection of the neighbor was closed: {error}"),
        }
    }

    /// Reads once: a flood must not starve what is to be written.
    fn read(&mut self, now: Instant) {
        let Link::Open(connection) = &mut self.link else { return };
        match connection.stream.try_read(&mut self.buffer) {
            Ok(0) => self.lost(None, now),
            Ok(bytes) => self.parts.session.handle_bytes(self.buffer.get(..bytes).unwrap_or_default(), now),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.lost(Some(error.to_string()), now),
        }
    }

    fn lost(&mut self, error: Option<String>, now: Instant) {
        self.link = Link::None;
        self.parts.session.handle_closed(error, now);
    }

    /// Asks the kernel what the neighbor's TCP has acknowledged, less and less often while nothing moves.
    fn ask(&mut self, now: Instant) {
        let Link::Open(connection) = &mut self.link else { return };
        let Some((_, pause)) = connection.ask.filter(|(at, _)| *at <= now) else { return };
        let Some(unacked) = socket::unacked(&connection.stream) else { return };
        self.parts.session.handle_unacked(unacked, now);
        let pause = if unacked == connection.unacked { (pause * 2).min(ACK_SLOWEST) } else { ACK_FIRST };
        connection.unacked = unacked;
        connection.ask = (unacked > 0).then(|| (now + pause, pause));
    }
}

/// Until another router is known; for ever where there is none to look for.
async fn changed(router: &mut Option<watch::Receiver<Router>>) -> Result<(), watch::error::RecvError> {
    match router {
        Some(router) => router.changed().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
