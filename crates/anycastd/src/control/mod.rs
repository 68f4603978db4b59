//! The control server: HTTP/1.1 with JSON over a Unix socket; see `anycast_api` for what travels.
//!
//! One task accepts, one task serves each connection; both bounded. Whoever can open the socket may read (its mode and
//! group decide). Changing things is for root, the agent's own user and the configured operators, known by SO_PEERCRED; they
//! have places of their own, so that nobody who may only look can keep them from withdrawing a service.

mod counter;
mod routes;
mod socket;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::unistd::{Uid, User};
use tokio::{net::UnixStream, sync::Semaphore};

use self::counter::Served;
pub(crate) use self::{
    counter::Counter,
    socket::{ControlSocket, SocketError},
};
use crate::{
    agent::{Actor, Handle, OrderDesk},
    blocking::{NAMES, Slot},
    complaints::Complaints,
    descriptors,
    reload::Reloader,
    unread::Heard,
    upgrade::Upgrader,
};

/// Connections at a time of those who may change things, and of those who may look; more are turned away.
const CONNECTIONS: usize = 64;
/// How long a client may take to send a request's head.
const HEAD: Duration = Duration::from_secs(5);
/// How long the user database may take over the name of who calls.
const NAME_WITHIN: Duration = Duration::from_millis(500);

/// What every connection needs.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) agent: Handle,
    pub(crate) orders: OrderDesk,
    pub(crate) reloader: Reloader,
    pub(crate) upgrader: Upgrader,
    pub(crate) counter: Counter,
    pub(crate) operators: Arc<BTreeSet<u32>>,
}

/// Who is at the other end.
#[derive(Debug, Clone)]
struct Caller {
    actor: Actor,
    may_change: bool,
    served: Served,
}

/// The users who may change things: root, our own, and those named, as far as the system knows them.
pub(crate) fn operators(names: &[String]) -> BTreeSet<u32> {
    let mut users = BTreeSet::from([0, nix::unistd::geteuid().as_raw()]);
    for name in names {
        match User::from_name(name) {
            Ok(Some(user)) => drop(users.insert(user.uid.as_raw())),
            Ok(None) => tracing::warn!(user = name, "control.operators names a user this system does not have"),
            Err(error) => tracing::warn!(user = name, %error, "cannot look up a user of control.operators"),
        }
    }
    users
}

/// Serves until it is dropped.
pub(crate) async fn serve(socket: ControlSocket, desk: Desk) {
    let mut complaints = Complaints::default();
    let [changing, looking, turned_away] =
        [(); 3].map(|()| Arc::new(Semaphore::new(descriptors::at_most(CONNECTIONS))));
    loop {
        let stream = match desk.counter.accept(&socket).await {
            Ok(stream) => stream,
            Err(error) => {
                if let Some(times) = complaints.due(Instant::now()) {
                    tracing::warn!(%error, times, "control socket: accept failed; who asks has to wait");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(credentials) = stream.peer_cred() else { continue };
        let may_change = desk.operators.contains(&credentials.uid());
        let places = if may_change { &changing } else { &looking };
        let (place, served) = match places.clone().try_acquire_owned() {
            Ok(place) => (place, true),
            Err(_) => match turned_away.clone().try_acquire_owned() {
                Ok(place) => (place, false),
                Err(_) => continue,
            },
        };
        let (desk, counted) = (desk.clone(), desk.counter.serve());
        tokio::spawn(async move {
            let caller = if served { Some(caller(credentials.uid(), may_change, counted).await) } else { None };
            connection(stream, desk, caller).await;
            drop(place);
        });
    }
}

/// `caller` is `None` when there is no place for it.
async fn connection(stream: UnixStream, desk: Desk, caller: Option<Caller>) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (desk, caller) = (desk.clone(), caller.clone());
        async move {
            let answer = match &caller {
                Some(caller) => routes::answer(request, &desk, caller).await,
                None => routes::no_place(),
            };
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(16 * 1024)
        .keep_alive(false)
        .serve_connection(TokioIo::new(Heard::new(stream)), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "control connection");
    }
}

/// Root is root, whatever the user database says, or does not say in time: nobody must be kept from giving an order by it.
async fn caller(uid: u32, may_change: bool, served: Served) -> Caller {
    let known = async || {
        let name = move || User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
        Slot::of(&NAMES, "the user database").run(NAME_WITHIN, name).await.ok().flatten()
    };
    let name = if uid == 0 { Some("root".to_owned()) } else { known().await };
    Caller { actor: Actor(name.unwrap_or_else(|| format!("uid {uid}"))), may_change, served }
}
