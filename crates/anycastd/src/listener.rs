//! The sockets on which neighbors find us, held to a plan: where, with which keys, and who may come.
//!
//! A connection of a neighbor that waits for it goes to the decision loop, which owns the sessions. Every other one is closed
//! before a word is said, and counted: of a stranger, of a neighbor that we dial, of one on the wrong interface.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anycast_core::{
    PeerId, Secret,
    config::{Connect, Neighbor, neighbor_from},
};
use ipnet::IpNet;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{peer::options, signal::Wake};

/// Connections that may wait to be accepted: routers are few, and a flood of strangers is none of ours to keep.
const BACKLOG: i32 = 128;
/// How soon a socket that could not be opened is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// How long to wait when accepting fails, as it does where there are no descriptors left.
const BREATH: Duration = Duration::from_millis(100);
/// How often refusals are logged at most.
const TELL: Duration = Duration::from_secs(10);

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
}

impl Refusals {
    /// Each reason with its count.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 4] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            (Refusal::Stranger.word(), read(&self.stranger)),
            (Refusal::Dialled.word(), read(&self.dialled)),
            (Refusal::Elsewhere.word(), read(&self.elsewhere)),
            (Refusal::Busy.word(), read(&self.busy)),
        ]
    }

    fn count(&self, refusal: Refusal) {
        let counter = match refusal {
            Refusal::Stranger => &self.stranger,
            Refusal::Dialled => &self.dialled,
            Refusal::Elsewhere => &self.elsewhere,
            Refusal::Busy => &self.busy,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Why a connection is closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Stranger,
    Dialled,
    Elsewhere,
    Busy,
}

impl Refusal {
    const fn word(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Dialled => "dialled_by_us",
            Self::Elsewhere => "wrong_device",
            Self::Busy => "busy",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stranger => "no neighbor with `connect: passive` has that address",
            Self::Dialled => "we dial that neighbor; let it wait, or write `connect: passive`",
            Self::Elsewhere => "it came over another interface than the neighbor's `bind_device`",
            Self::Busy => "too many at a time",
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

    fn admit(&self, from: IpAddr, device: Option<&str>) -> Result<(), Refusal> {
        let (_, neighbor) = neighbor_from(&self.neighbors, from).ok_or(Refusal::Stranger)?;
        match neighbor.connect {
            Connect::Active => Err(Refusal::Dialled),
            Connect::Passive if neighbor.transport.device.as_deref() != device => Err(Refusal::Elsewhere),
            Connect::Passive => Ok(()),
        }
    }
}

fn guard(neighbors: &[(IpNet, &Neighbor)]) -> Guard {
    let key = |(network, neighbor): &(IpNet, &Neighbor)| Some((*network, neighbor.transport.md5.clone()?));
    let least: Option<Vec<u8>> = neighbors.iter().map(|(_, neighbor)| neighbor.transport.distance.min_ttl()).collect();
    Guard { keys: neighbors.iter().filter_map(key).collect(), min_ttl: least.and_then(|least| least.into_iter().min()) }
}

/// An open place.
struct Open {
    listener: Arc<TcpListener>,
    guard: Guard,
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
            let settled = match self.open.remove(&place) {
                Some(open) => rekey(open, guard, &place),
                None => self.listen(&place, guard),
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

    fn listen(&self, place: &Place, guard: Guard) -> io::Result<Open> {
        let (device, address) = place;
        let socket = Socket::new(Domain::for_address(*address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
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
        for (network, key) in &guard.keys {
            options::set_md5(&socket, *network, Some(key.expose()))?;
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
            told: None,
        };
        Ok(Open { listener, guard, _accepting: AbortOnDropHandle::new(tokio::spawn(accepting.run())) })
    }
}

/// Brings the keys of an open socket up to date. A key that is left behind would go before that of a larger network.
fn rekey(mut open: Open, guard: Guard, (_, address): &Place) -> io::Result<Open> {
    let (listener, old) = (&open.listener, &open.guard.keys);
    for network in old.keys().filter(|network| !guard.keys.contains_key(network)) {
        options::set_md5(listener, *network, None)?;
    }
    for (network, key) in guard.keys.iter().filter(|(network, key)| old.get(network) != Some(key)) {
        options::set_md5(listener, *network, Some(key.expose()))?;
    }
    if open.guard.min_ttl != guard.min_ttl {
        options::set_min_ttl(listener, address.is_ipv4(), guard.min_ttl.unwrap_or(0))?;
    }
    open.guard = guard;
    Ok(open)
}

fn in_words((device, address): &Place) -> String {
    device.as_ref().map_or_else(|| address.to_string(), |device| format!("{address} on {device}"))
}

fn hint(error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "; a port below 1024 needs CAP_NET_BIND_SERVICE",
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
    told: Option<Instant>,
}

impl Accepting {
    async fn run(mut self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, remote)) => self.accepted(stream, remote.ip().to_canonical()),
                Err(error) => {
                    tracing::debug!(%error, "accept");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }

    /// What is not handed on is closed by being dropped.
    fn accepted(&mut self, stream: TcpStream, from: IpAddr) {
        let admitted = self.plan.borrow().admit(from, self.device.as_deref());
        let handed_on =
            admitted.and_then(|()| self.arrivals.try_send(Arrival { stream, from }).map_err(|_| Refusal::Busy));
        let Err(refusal) = handed_on else { return };
        self.refusals.count(refusal);
        if self.told.is_none_or(|told| told.elapsed() >= TELL) {
            self.told = Some(Instant::now());
            tracing::info!(address = %from, "a BGP connection was refused: {refusal}");
        }
    }
}

#[cfg(test)]
mod tests;
