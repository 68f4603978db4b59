//! Who listens now: a list from the kernel, asked for when something was refused.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anycast_core::config::Protocol;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr as Groups, TokioSocket, protocols::NETLINK_SOCK_DIAG};

use super::message::{self, Said, Socket};
use crate::lock::lock;

/// How long the kernel may take for one list.
const DEADLINE: Duration = Duration::from_millis(500);
/// How often a list is read that changes all the time.
const READINGS: usize = 3;

#[derive(Debug, Default)]
struct Shared {
    lists: AtomicU64,
    failures: AtomicU64,
    /// Sockets where somebody listened in this network namespace, once at least.
    known: Mutex<BTreeSet<(Protocol, SocketAddr)>>,
    /// Those that somebody wants to know of.
    asked: Mutex<BTreeSet<(Protocol, SocketAddr)>>,
}

/// Asks the kernel of this network namespace who listens.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listeners(Arc<Shared>);

impl Listeners {
    /// The first of these sockets where somebody listened and for certain nobody does any more. A list that cannot be had proves
    /// nothing, and nor does one without a listener that was never there: it is in another network namespace.
    pub(crate) async fn nobody_at(&self, sockets: &[(Protocol, SocketAddr)]) -> Option<(Protocol, SocketAddr)> {
        for (protocol, address) in sockets {
            match self.at(*protocol, *address).await {
                Ok(listeners) if listeners.is_empty() && self.is_known(*protocol, *address) => {
                    return Some((*protocol, *address));
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "the kernel does not say who listens on {address}"),
            }
        }
        None
    }

    /// Every socket that what is sent to this address may reach.
    pub(crate) async fn at(&self, protocol: Protocol, address: SocketAddr) -> io::Result<Vec<Socket>> {
        self.0.lists.fetch_add(1, Ordering::Relaxed);
        let listed = tokio::time::timeout(DEADLINE, list(protocol, address)).await;
        let listed = listed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match &listed {
            Ok(listeners) if listeners.is_empty() => {}
            Ok(_) => self.note(protocol, address),
            Err(_) => drop(self.0.failures.fetch_add(1, Ordering::Relaxed)),
        }
        listed
    }

    /// Somebody listens there, or did until now.
    pub(super) fn note(&self, protocol: Protocol, address: SocketAddr) {
        self.known().insert((protocol, address));
    }

    /// Whether somebody listened there, as far as was seen.
    pub(crate) fn is_known(&self, protocol: Protocol, address: SocketAddr) -> bool {
        self.known().contains(&(protocol, address))
    }

    /// These are asked for; what is not any more is forgotten.
    pub(super) fn retain(&self, sockets: &BTreeSet<(Protocol, SocketAddr)>) {
        self.known().retain(|socket| sockets.contains(socket));
        lock(&self.0.asked).clone_from(sockets);
    }

    /// Somebody has just answered there: it is looked who listens where that is asked for and nobody was seen yet.
    pub(crate) async fn look_for(&self, sockets: Vec<(Protocol, SocketAddr)>) {
        for (protocol, address) in sockets {
            let asked = lock(&self.0.asked).contains(&(protocol, address));
            if asked && !self.is_known(protocol, address) {
                let _ = self.at(protocol, address).await;
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<(Protocol, SocketAddr)>> {
        lock(&self.0.known)
    }

    /// Lists asked for, and those of them that could not be had.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.0.lists.load(Ordering::Relaxed), self.0.failures.load(Ordering::Relaxed))
    }
}

async fn list(protocol: Protocol, address: SocketAddr) -> io::Result<Vec<Socket>> {
    // A new socket each time: what is left of an answer that was not waited for must not be taken for the next.
    let socket = TokioSocket::new(NETLINK_SOCK_DIAG)?;
    socket.socket_ref().connect(&Groups::new(0, 0))?;
    // An IPv6 socket may take what is sent to an IPv4 address.
    let families: &[bool] = match address.ip().to_canonical() {
        IpAddr::V4(_) => &[false, true],
        IpAddr::V6(_) => &[true],
    };
    let mut found = Vec::new();
    for six in families {
        let listed = whole(&socket, protocol, *six, address.port()).await?;
        found.extend(listed.into_iter().filter(|socket| socket.may_take(protocol, address)));
    }
    Ok(found)
}

/// A list of one piece.
async fn whole(socket: &TokioSocket, protocol: Protocol, six: bool, port: u16) -> io::Result<Vec<Socket>> {
    for _ in 0..READINGS {
        socket.send(&message::question(protocol, six, port)).await?;
        if let Some(listed) = answer(socket).await? {
            return Ok(listed);
        }
    }
    Err(io::Error::other("the list changes all the time"))
}

/// The answer to one question; `None`: it changed while it was read.
async fn answer(socket: &TokioSocket) -> io::Result<Option<Vec<Socket>>> {
    let (mut listed, mut of_one_piece) = (Vec::new(), true);
    loop {
        let (datagram, _) = socket.recv_from_full().await?;
        for said in message::read(&datagram) {
            match said {
                Said::Socket(socket) => listed.push(socket),
                Said::Changed => of_one_piece = false,
                Said::Failed(code) => return Err(message::fault(code)),
                Said::Done => return Ok(of_one_piece.then_some(listed)),
            }
        }
    }
}

/// `203.0.113.80:80`, `udp 203.0.113.80:53`.
pub(crate) fn in_words(protocol: Protocol, address: SocketAddr) -> String {
    match protocol {
        Protocol::Tcp => format!("tcp {address}"),
        Protocol::Udp => format!("udp {address}"),
    }
}
