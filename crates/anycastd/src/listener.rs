//! The sockets on which neighbors find us, held to a plan: where, with which keys, and who may come.
//!
//! A connection of a neighbor that waits for it goes to the decision loop, which owns the sessions. Every other one is closed
//! before a word is said, and counted: of a stranger, of a neighbor that we dial, of one on the wrong interface.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anycast_core::{
    PeerId, Secret,
    config::{Connect, Neighbor, TcpAo, neighbor_from},
};
use ipnet::IpNet;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{complaints::Complaints, drop_in, peer::options, signal::Wake};

/// Connections that may wait to be accepted: routers are few, and a flood of strangers is none of ours to keep.
const BACKLOG: i32 = 128;
/// How soon a socket that could not be opened is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// How long to wait when accepting fails, as it does where there are no descriptors left.
const BREATH: Duration = Duration::from_millis(100);
/// How long the refusals of one address are not logged again, and of how many addresses in that time.
const TELL: Duration = Duration::from_secs(60);
const TOLD: usize = 32;

/// A connection of a neighbor that may make one.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) stream: TcpStream,
    pub(crate) from: IpAddr,
}

/// What is to be listened to, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ListenPlan {
    pub(crate) listen: BTreeSet<SocketAddr>,
    pub(crate) neighbors: Arc<BTreeMap<PeerId, Neighbor>>,
}

/// Connections that were closed at once, by reason.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    stranger: AtomicU64,
    dialled: AtomicU64,
    elsewhere: AtomicU64,
    busy: AtomicU64,
    too_far: AtomicU64,
    no_key: AtomicU64,
    max_sessions: AtomicU64,
    second: AtomicU64,
}

impl Refusals {
    /// Each reason with its count.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 8] {
        Refusal::ALL.map(|refusal| (refusal.word(), self.counter(refusal).load(Ordering::Relaxed)))
    }

    pub(crate) fn count(&self, refusal: Refusal) {
        self.counter(refusal).fetch_add(1, Ordering::Relaxed);
    }

    const fn counter(&self, refusal: Refusal) -> &AtomicU64 {
        match refusal {
            Refusal::Stranger => &self.stranger,
            Refusal::Dialled => &self.dialled,
            Refusal::Elsewhere => &self.elsewhere,
            Refusal::Busy => &self.busy,
            Refusal::TooFar => &self.too_far,
            Refusal::NoKey => &self.no_key,
            Refusal::MaxSessions => &self.max_sessions,
            Refusal::Second => &self.second,
        }
    }
}

/// Why a connection is closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Stranger,
    Dialled,
    Elsewhere,
    /// There is no place, or no descriptor to spare.
    Busy,
    /// Its SYN came over more hops than GTSM allows.
    TooFar,
    /// The neighbor's key could not be set on the socket.
    NoKey,
    /// The network has as many sessions as it may.
    MaxSessions,
    /// There is a connection that lives, or a failure was too short ago.
    Second,
}

impl Refusal {
    const ALL: [Self; 8] = [
        Self::Stranger,
        Self::Dialled,
        Self::Elsewhere,
        Self::Busy,
        Self::TooFar,
        Self::NoKey,
        Self::MaxSessions,
        Self::Second,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Dialled => "dialled_by_us",
            Self::Elsewhere => "wrong_device",
            Self::Busy => "busy",
            Self::TooFar => "too_far",
            Self::NoKey => "no_key",
            Self::MaxSessions => "max_sessions",
            Self::Second => "second",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stranger => "no neighbor that connects to us has that address, nor a `prefix` that holds it",
            Self::Dialled => "we dial that neighbor; make it passive, or write `connect: passive` here",
            Self::Elsewhere => "it came over another interface than the neighbor's `bind_device`",
            Self::Busy => "too many at a time",
            Self::TooFar => "it came over more hops than `ttl_security` allows",
            Self::NoKey => "the kernel did not take the neighbor's key",
            Self::MaxSessions => "the network has as many sessions as `max_sessions` allows",
            Self::Second => "there is a connection that lives, or one has just failed",
        })
    }
}

/// Why nothing is heard somewhere, in words, by place.
pub(crate) type Deaf = BTreeMap<String, String>;

/// One place to listen at: on any interface, or on one.
type Place = (Option<String>, SocketAddr);

/// What a socket must have before the first SYN.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Guard {
    keys: BTreeMap<IpNet, Secret>,
    tcp_ao: BTreeMap<IpNet, TcpAo>,
    /// Where every neighbor that comes here has GTSM, what is farther away than all of them allow is not even answered.
    min_ttl: Option<u8>,
}

impl ListenPlan {
    fn places(&self) -> BTreeMap<Place, Guard> {
        let mut places: BTreeMap<Place, Vec<(IpNet, &Neighbor)>> = BTreeMap::new();
        for neighbor in self.neighbors.values().filter(|neighbor| neighbor.connect == Connect::Passive) {
            let Some(network) = neighbor.endpoint.network() else { continue };
            for address in self.listen.iter().filter(|address| address.is_ipv4() == network.addr().is_ipv4()) {
                let place = (neighbor.transport.device.clone(), *address);
                places.entry(place).or_default().push((network, neighbor));
            }
        }
        places.into_iter().map(|(place, neighbors)| (place, guard(&neighbors))).collect()
    }

    fn admit(&self, from: IpAddr, device: Option<&str>) -> Result<&Neighbor, Refusal> {
        let (_, neighbor) = neighbor_from(&self.neighbors, from).ok_or(Refusal::Stranger)?;
        match neighbor.connect {
            Connect::Active => Err(Refusal::Dialled),
            Connect::Passive if neighbor.transport.device.as_deref() != device => Err(Refusal::Elsewhere),
            Connect::Passive => Ok(neighbor),
        }
    }
}

fn guard(neighbors: &[(IpNet, &Neighbor)]) -> Guard {
    let key = |(network, neighbor): &(IpNet, &Neighbor)| Some((*network, neighbor.transport.md5.clone()?));
    let tuple = |(network, neighbor): &(IpNet, &Neighbor)| Some((*network, neighbor.transport.tcp_ao.clone()?));
    let least: Option<Vec<u8>> = neighbors.iter().map(|(_, neighbor)| neighbor.transport.distance.min_ttl()).collect();
    Guard {
        keys: neighbors.iter().filter_map(key).collect(),
        tcp_ao: neighbors.iter().filter_map(tuple).collect(),
        min_ttl: least.and_then(|least| least.into_iter().min()),
    }
}

/// An open place.
struct Open {
    listener: Arc<TcpListener>,
    /// What it has of what it should.
    guard: Guard,
    /// The neighbors whose key it does not have: none of them is heard.
    keyless: watch::Sender<BTreeSet<IpNet>>,
    _accepting: AbortOnDropHandle<()>,
}

/// The task; a drop closes every socket.
pub(crate) struct Listener {
    plan: watch::Receiver<ListenPlan>,
    arrivals: mpsc::Sender<Arrival>,
    deaf: watch::Sender<Deaf>,
    refusals: Arc<Refusals>,
    wake: Wake,
    open: BTreeMap<Place, Open>,
}

impl Listener {
    pub(crate) const fn new(
        plan: watch::Receiver<ListenPlan>,
        arrivals: mpsc::Sender<Arrival>,
        deaf: watch::Sender<Deaf>,
        refusals: Arc<Refusals>,
        wake: Wake,
    ) -> Self {
        Self { plan, arrivals, deaf, refusals, wake, open: BTreeMap::new() }
    }

    /// Runs until the plan's sender is gone.
    pub(crate) async fn run(mut self) {
        loop {
            let plan = self.plan.borrow_and_update().clone();
            let deaf = self.settle(&plan);
            let again = !deaf.is_empty();
            self.tell(deaf);
            let later = async { if again { tokio::time::sleep(AGAIN).await } else { std::future::pending().await } };
            tokio::select! {
                changed = self.plan.changed() => if changed.is_err() { return },
                () = later => {}
            }
        }
    }

    fn tell(&self, deaf: Deaf) {
        let changed = self.deaf.send_if_modified(|told| {
            let changed = *told != deaf;
            if changed {
                deaf.iter().for_each(|(place, why)| tracing::warn!("cannot listen on {place}: {why}"));
                *told = deaf;
            }
            changed
        });
        if changed {
            self.wake.wake();
        }
    }

    /// Opens and closes sockets, and changes their keys, until they are as planned; what cannot be is told.
    fn settle(&mut self, plan: &ListenPlan) -> Deaf {
        let places = plan.places();
        self.open.retain(|place, _| places.contains_key(place));
        let mut deaf = Deaf::new();
        for (place, guard) in places {
            // Of the keys of TCP-AO, none is changed under connections that wait: the socket is another.
            let stale = self.open.get(&place).is_some_and(|open| open.guard.tcp_ao != guard.tcp_ao);
            if stale {
                self.open.remove(&place);
            }
            let settled = match self.open.remove(&place) {
                Some(open) => rekey(open, guard, &place, &mut deaf),
                None => self.listen(&place, guard, &mut deaf),
            };
            match settled {
                Ok(open) => {
                    self.open.insert(place, open);
                }
                // Fail closed: a socket without its key would hear anybody.
                Err(error) => {
                    deaf.insert(in_words(&place), hint(&error));
                }
            }
        }
        deaf
    }

    fn listen(&self, place: &Place, mut guard: Guard, deaf: &mut Deaf) -> io::Result<Open> {
        let (device, address) = place;
        let socket = Socket::new(Domain::for_address(*address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        // Beside a socket that is bound to a device, and beside one that is being closed. Another user's process cannot join.
        socket.set_reuse_port(true)?;
        options::save_syn(&socket)?;
        // The first answer may be all that a neighbor with GTSM looks at; what follows has the neighbor's own TTL.
        if address.is_ipv4() {
            socket.set_ttl_v4(u32::from(u8::MAX))?;
        } else {
            socket.set_only_v6(true)?;
            socket.set_unicast_hops_v6(u32::from(u8::MAX))?;
        }
        if let Some(least) = guard.min_ttl {
            options::set_min_ttl(&socket, address.is_ipv4(), least)?;
        }
        if let Some(device) = device {
            socket.bind_device(Some(device.as_bytes()))?;
        }
        let keys = std::mem::take(&mut guard.keys);
        let keyless = set_keys(&socket, keys, &mut guard.keys, place, deaf);
        let (keyless, keyless_seen) = watch::channel(keyless);
        for (network, tuple) in &guard.tcp_ao {
            options::add_tcp_ao(&socket, *network, tuple)?;
        }
        socket.bind(&(*address).into())?;
        socket.listen(BACKLOG)?;
        let listener = Arc::new(TcpListener::from_std(socket.into())?);
        tracing::info!("listening on {}", in_words(place));
        let accepting = Accepting {
            listener: Arc::clone(&listener),
            device: device.clone(),
            plan: self.plan.clone(),
            arrivals: self.arrivals.clone(),
            refusals: Arc::clone(&self.refusals),
            keyless: keyless_seen,
            told: BTreeMap::new(),
        };
        Ok(Open { listener, guard, keyless, _accepting: AbortOnDropHandle::new(tokio::spawn(accepting.run())) })
    }
}

/// Brings the keys of an open socket up to date. A key that is left behind would go before that of a larger network.
fn rekey(mut open: Open, guard: Guard, place: &Place, deaf: &mut Deaf) -> io::Result<Open> {
    let (_, address) = place;
    let (listener, old) = (&open.listener, &open.guard.keys);
    for network in old.keys().filter(|network| !guard.keys.contains_key(network)) {
        options::set_md5(listener, *network, None)?;
    }
    let mut keys: BTreeMap<IpNet, Secret> = old
        .iter()
        .filter(|(network, key)| guard.keys.get(network) == Some(key))
        .map(|(a, b)| (*a, b.clone()))
        .collect();
    let missing = guard.keys.iter().filter(|(network, key)| old.get(network) != Some(key));
    let missing: BTreeMap<IpNet, Secret> = missing.map(|(network, key)| (*network, key.clone())).collect();
    open.keyless.send_replace(set_keys(listener, missing, &mut keys, place, deaf));
    if open.guard.min_ttl != guard.min_ttl {
        options::set_min_ttl(listener, address.is_ipv4(), guard.min_ttl.unwrap_or(0))?;
    }
    open.guard = Guard { keys, ..guard };
    Ok(open)
}

/// Sets keys; what was set is added to `set`. A neighbor whose key the kernel does not take is not heard at all, and the others are.
fn set_keys(
    socket: &impl AsFd,
    keys: BTreeMap<IpNet, Secret>,
    set: &mut BTreeMap<IpNet, Secret>,
    place: &Place,
    deaf: &mut Deaf,
) -> BTreeSet<IpNet> {
    let mut keyless = BTreeSet::new();
    for (network, key) in keys {
        match options::set_md5(socket, network, Some(key.expose())) {
            Ok(()) => {
                set.insert(network, key);
            }
            Err(error) => {
                let hint = match error.raw_os_error() {
                    Some(libc::ENOMEM) => "; raise the sysctl net.core.optmem_max, which bounds the keys of a socket",
                    Some(libc::ENOPROTOOPT) => "; this kernel has no TCP MD5 (CONFIG_TCP_MD5SIG)",
                    _ => "",
                };
                deaf.insert(format!("{} for {network}", in_words(place)), format!("its password: {error}{hint}"));
                keyless.insert(network);
            }
        }
    }
    keyless
}

fn in_words((device, address): &Place) -> String {
    device.as_ref().map_or_else(|| address.to_string(), |device| format!("{address} on {device}"))
}

fn hint(error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => &format!("; a port below 1024 needs {}", drop_in::BIND),
        io::ErrorKind::AddrInUse => "; another BGP daemon runs here: `ss -lntp sport = :179`",
        io::ErrorKind::AddrNotAvailable => "; the address is not on this node",
        _ => "",
    };
    format!("{error}{hint}")
}

/// Accepts at one place.
struct Accepting {
    listener: Arc<TcpListener>,
    device: Option<String>,
    plan: watch::Receiver<ListenPlan>,
    arrivals: mpsc::Sender<Arrival>,
    refusals: Arc<Refusals>,
    keyless: watch::Receiver<BTreeSet<IpNet>>,
    /// Whose refusal was logged lately, and when.
    told: BTreeMap<IpAddr, Instant>,
}

impl Accepting {
    async fn run(mut self) {
        let mut complaints = Complaints::default();
        loop {
            match self.listener.accept().await {
                Ok((stream, remote)) => self.accepted(stream, remote.ip().to_canonical()),
                Err(error) => {
                    if let Some(times) = complaints.due(Instant::now()) {
                        tracing::warn!(%error, times, "accept failed; routers that connect have to wait");
                    }
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }

    /// What is not handed on is closed by being dropped.
    fn accepted(&mut self, stream: TcpStream, from: IpAddr) {
        let handed_on = self
            .admit(&stream, from)
            .and_then(|()| self.arrivals.try_send(Arrival { stream, from }).map_err(|_| Refusal::Busy));
        let Err(refusal) = handed_on else { return };
        self.refusals.count(refusal);
        self.told.retain(|_, told| told.elapsed() < TELL);
        if self.told.len() < TOLD && !self.told.contains_key(&from) {
            self.told.insert(from, Instant::now());
            tracing::info!(address = %from, "a BGP connection was refused: {refusal}");
        }
    }

    fn admit(&self, stream: &TcpStream, from: IpAddr) -> Result<(), Refusal> {
        let plan = self.plan.borrow();
        let neighbor = plan.admit(from, self.device.as_deref())?;
        let network = neighbor.endpoint.network();
        if network.is_some_and(|network| self.keyless.borrow().contains(&network)) {
            return Err(Refusal::NoKey);
        }
        // What came with the handshake, or soon after, is in the buffer before a least TTL is set: so the SYN must prove it.
        match neighbor.transport.distance.min_ttl() {
            Some(least) if options::syn_ttl(stream).is_none_or(|ttl| ttl < least) => Err(Refusal::TooFar),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
