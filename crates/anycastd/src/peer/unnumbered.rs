//! The router at the other end of an interface: advertisements sent and heard (RFC 4861), for a neighbor without an address.

use std::{
    io::{self, IoSliceMut},
    mem::size_of,
    net::{Ipv6Addr, SocketAddrV6},
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use anycast_core::adjacency::{self, Adjacency, Heard, Outgoing};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrIn6, SockaddrLike as _, SockaddrStorage, recvmsg, setsockopt,
    sockopt::Ipv6RecvHopLimit,
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{io::Interest, net::UdpSocket, sync::watch};

use super::options;
use crate::drop_in;

/// How soon an interface that is not there, or a socket that broke, is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Larger than any message that counts: an advertisement may carry many prefixes.
const LARGEST: usize = 2048;

/// The other end of the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Router {
    /// None was heard yet.
    Unknown,
    /// It has this address; the scope is the interface.
    Known(SocketAddrV6),
    /// It cannot be found out, for this reason.
    Failed(String),
}

/// Runs for ever; a drop closes the socket.
pub(crate) async fn find(interface: String, port: u16, seed: u64, told: watch::Sender<Router>) {
    // Who the router is outlives a socket that breaks, but not the interface.
    let mut known: Option<(u32, Adjacency)> = None;
    loop {
        let error = match Link::open(&interface) {
            Ok(link) => {
                let (_, adjacency) = match known.take() {
                    Some(same) if same.0 == link.index => known.insert(same),
                    Some(_) | None => known.insert((link.index, Adjacency::new(seed, Instant::now()))),
                };
                link.run(port, adjacency, &told).await
            }
            Err(error) => error,
        };
        let hint = match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => &format!("; the agent needs {}", drop_in::RAW),
            _ => "",
        };
        let problem = Router::Failed(format!("router advertisements on {interface}: {error}{hint}"));
        let news = |held: &mut Router| std::mem::replace(held, problem.clone()) != problem;
        if told.send_if_modified(news) {
            tracing::warn!("router advertisements on {interface}: {error}{hint}");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// An ICMPv6 socket on one interface.
struct Link {
    /// A raw socket that the runtime takes for one of UDP: to poll, both are a descriptor.
    socket: UdpSocket,
    interface: String,
    index: u32,
    link_layer: Option<[u8; 6]>,
}

impl Link {
    fn open(interface: &str) -> io::Result<Self> {
        let index = nix::net::if_::if_nametoindex(interface)?;
        let socket = Socket::new(Domain::IPV6, Type::RAW.nonblocking(), Some(Protocol::ICMPV6))?;
        options::pass_router_discovery(&socket)?;
        socket.bind_device(Some(interface.as_bytes()))?;
        // RFC 4861 §4.1, §4.2: a lower limit proves that a router lay between.
        socket.set_multicast_hops_v6(255)?;
        socket.set_multicast_if_v6(index)?;
        socket.set_multicast_loop_v6(false)?;
        // Solicitations are for all routers; advertisements for all nodes come without asking.
        socket.join_multicast_v6(&ALL_ROUTERS, index)?;
        setsockopt(&socket, Ipv6RecvHopLimit, &true)?;
        let link_layer = link_layer(interface);
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Self { socket, interface: interface.to_owned(), index, link_layer })
    }

    /// Ends with what broke.
    async fn run(self, port: u16, adjacency: &mut Adjacency, told: &watch::Sender<Router>) -> io::Error {
        told.send_if_modified(|held| match held {
            Router::Failed(_) => {
                *held = Router::Unknown;
                true
            }
            Router::Unknown | Router::Known(_) => false,
        });
        let mut crowded = false;
        loop {
            while let Some(outgoing) = adjacency.poll_transmit(Instant::now()) {
                if let Err(error) = self.send(outgoing) {
                    return error;
                }
            }
            // The interface may have gone and come back with the same name.
            if nix::net::if_::if_nametoindex(self.interface.as_str()) != Ok(self.index) {
                return io::Error::from_raw_os_error(libc::ENODEV);
            }
            tokio::select! {
                ready = self.socket.readable() => {
                    match ready.and_then(|()| self.socket.try_io(Interest::READABLE, || receive(&self.socket))) {
                        Ok(Some((heard, source))) => adjacency.handle(heard, source, Instant::now()),
                        Ok(None) => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return error,
                    }
                    tokio::task::consume_budget().await;
                }
                () = tokio::time::sleep_until(adjacency.poll_timeout().into()) => {}
            }
            if let Some(router) = adjacency.router() {
                let router = Router::Known(SocketAddrV6::new(router, port, 0, self.index));
                told.send_if_modified(|held| std::mem::replace(held, router.clone()) != router);
            }
            if adjacency.other().is_some() != crowded {
                crowded = !crowded;
                if let (Some(other), Some(router)) = (adjacency.other(), adjacency.router()) {
                    let link = &self.interface;
                    tracing::warn!("{link} has a second router, {other}; the session is with {router}");
                }
            }
        }
    }

    fn send(&self, outgoing: Outgoing) -> io::Result<()> {
        let (message, to) = match outgoing {
            Outgoing::Advertisement => (adjacency::advertisement(self.link_layer), ALL_NODES),
            Outgoing::Solicitation => (adjacency::solicitation(self.link_layer), ALL_ROUTERS),
        };
        let to = SocketAddrV6::new(to, 0, 0, self.index);
        match SockRef::from(&self.socket).send_to(&message, &to.into()) {
            Ok(_) => Ok(()),
            // The link is down, or has no link-local address yet, or its queue or the kernel's table of neighbors (EINVAL) is full: the
            // next one is due soon.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(
                        libc::ENETDOWN
                            | libc::ENETUNREACH
                            | libc::EADDRNOTAVAIL
                            | libc::ENOBUFS
                            | libc::EAGAIN
                            | libc::EINVAL
                    )
                ) =>
            {
                tracing::debug!(%error, "router advertisement not sent");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 2);

/// One message, if it is one that counts.
fn receive(socket: &UdpSocket) -> io::Result<Option<(Heard, Ipv6Addr)>> {
    let mut buffer = [0; LARGEST];
    let mut space = nix::cmsg_space!([u8; size_of::<libc::c_int>()]);
    let (length, source, hop_limit) = {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let received = recvmsg::<SockaddrIn6>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty())?;
        let hop_limit = received.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::Ipv6HopLimit(limit) => u8::try_from(limit).ok(),
            _ => None,
        });
        (received.bytes, received.address.map(|address| address.ip()), hop_limit)
    };
    let (Some(source), Some(hop_limit)) = (source, hop_limit) else { return Ok(None) };
    let message = buffer.get(..length).unwrap_or_default();
    Ok(adjacency::judge(message, source, hop_limit).map(|heard| (heard, source)))
}

/// The interface's MAC address, where it has one.
fn link_layer(interface: &str) -> Option<[u8; 6]> {
    let mut addresses = nix::ifaddrs::getifaddrs().ok()?;
    addresses.find_map(|found| {
        let address: SockaddrStorage = found.address.filter(|_| found.interface_name == interface)?;
        let link =
            address.as_link_addr().filter(|link| link.family() == Some(nix::sys::socket::AddressFamily::Packet))?;
        link.addr().filter(|address| *address != [0; 6])
    })
}
