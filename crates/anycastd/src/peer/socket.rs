//! The TCP connection to a neighbor: options, dialling, and what the kernel knows of it.

use std::{
    fmt, io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    os::fd::AsFd,
    time::Duration,
};

use anycast_core::config::Neighbor;
use ipnet::IpNet;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::watch,
};

use super::{options, unnumbered::Router};

/// Internetwork control, as RFC 4271 §Appendix E asks of BGP's packets: DSCP CS6.
const DSCP_CS6: u32 = 0xC0;
/// How long what we send may stay unacknowledged where there is no hold time.
const UNHEARD: Duration = Duration::from_secs(90);
/// How much later than the session's timer the kernel's is.
const GRACE: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The kernel, or the neighbor's, said no.
    Connect(io::Error),
    /// An option that the connection must have could not be set.
    Option(&'static str, io::Error),
    /// The router at the other end of an interface cannot be found.
    Router(String),
}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        Self::Connect(error)
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => f.write_str(&in_words(error)),
            Self::Router(why) => f.write_str(why),
            Self::Option("TCP MD5", error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
                f.write_str("connect: this kernel has no TCP MD5 (CONFIG_TCP_MD5SIG)")
            }
            Self::Option("TCP-AO", error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
                f.write_str("connect: this kernel has no TCP-AO (Linux 6.7, CONFIG_TCP_AO)")
            }
            Self::Option(what, error) => write!(f, "connect: cannot set {what}: {error}"),
        }
    }
}

/// Dials. The session bounds how long: the caller drops the future.
///
/// # Errors
/// What the kernel says. Options that protect the connection fail closed.
pub(crate) async fn dial(remote: SocketAddr, neighbor: Neighbor, external: bool) -> Result<TcpStream, DialError> {
    let socket = Socket::new(Domain::for_address(remote), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    equip(&socket, remote.ip(), &neighbor, external)?;
    sign(&socket, remote.ip(), &neighbor)?;
    if let Some(device) = &neighbor.transport.device {
        socket.bind_device(Some(device.as_bytes())).map_err(|error| DialError::Option("the device", error))?;
    }
    let socket = TcpSocket::from_std_stream(socket.into());
    if let Some(source) = neighbor.transport.source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    Ok(socket.connect(remote).await?)
}

/// As [`dial`], once it is known whom.
///
/// # Errors
/// As [`dial`]; and why it cannot be known.
pub(crate) async fn dial_router(
    mut router: watch::Receiver<Router>,
    neighbor: Neighbor,
    external: bool,
) -> Result<TcpStream, DialError> {
    let known = router.wait_for(|router| *router != Router::Unknown).await;
    let found = known.map_or_else(|_| Router::Failed("the agent is stopping".to_owned()), |found| found.clone());
    match found {
        Router::Known(remote) => dial(remote.into(), neighbor, external).await,
        Router::Failed(why) => Err(DialError::Router(why)),
        Router::Unknown => Err(DialError::Router("no router advertisement was heard".to_owned())),
    }
}

/// Gives a socket all that a connection with this neighbor must have, before the first segment or, where the neighbor has
/// dialled, before the first octet is read.
///
/// # Errors
/// The option that could not be set: then the socket is not to be used.
pub(crate) fn equip(socket: &Socket, peer: IpAddr, neighbor: &Neighbor, external: bool) -> Result<(), DialError> {
    let option = |what| move |error| DialError::Option(what, error);
    socket.set_tcp_nodelay(true)?;
    // A router that lost its state answers nothing: without this the kernel retransmits for 15 minutes. It also ends a connection
    // whose window stays closed; who gives such a neighbor more time has the session's own timer decide, and say why (RFC 9687).
    let own = neighbor.timing.send_hold_time.map(|time| time + GRACE);
    let patience = own.or(neighbor.hold_time.duration()).unwrap_or(UNHEARD);
    socket.set_tcp_user_timeout(Some(patience)).map_err(option("TCP_USER_TIMEOUT"))?;
    let ipv4 = peer.is_ipv4();
    if ipv4 {
        socket.set_tos_v4(DSCP_CS6)?;
    } else {
        socket.set_tclass_v6(DSCP_CS6)?;
    }
    if let Some(ttl) = neighbor.transport.distance.ttl(external) {
        let ttl = u32::from(ttl);
        if ipv4 { socket.set_ttl_v4(ttl) } else { socket.set_unicast_hops_v6(ttl) }.map_err(option("the TTL"))?;
    }
    if let Some(least) = neighbor.transport.distance.min_ttl() {
        options::set_min_ttl(socket, ipv4, least).map_err(option("the least TTL (GTSM)"))?;
    }
    if let Some(key) = &neighbor.transport.md5 {
        options::set_md5(socket, peer.into(), Some(key.expose())).map_err(option("TCP MD5"))?;
    }
    Ok(())
}

/// The key of a connection that we make. One that the neighbor made has that of the listener from its first segment on.
fn sign(socket: &Socket, peer: IpAddr, neighbor: &Neighbor) -> Result<(), DialError> {
    if let Some(tuple) = &neighbor.transport.tcp_ao {
        let failed = |error| DialError::Option("TCP-AO", error);
        options::add_tcp_ao(socket, peer.into(), tuple).map_err(failed)?;
    }
    Ok(())
}

/// A connection error for an operator.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: refused".to_owned(),
        io::ErrorKind::AddrNotAvailable => "connect: the source address is not on this node".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network unreachable".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: host unreachable".to_owned(),
        io::ErrorKind::TimedOut => "connect: timed out".to_owned(),
        _ => format!("connect: {error}"),
    }
}

/// How many bytes the other end's TCP has not acknowledged yet; of a Unix socket, what waits to be read, in memory that it takes.
pub(crate) fn unacked(stream: &impl AsFd) -> Option<usize> {
    use std::os::fd::AsRawFd;
    let mut bytes: libc::c_int = 0;
    // SAFETY: TIOCOUTQ (SIOCOUTQ on a socket) writes one int to the pointer, which is valid for the call; the descriptor is
    // open for as long as `stream` is borrowed. No safe wrapper of this ioctl is at hand.
    #[allow(unsafe_code)]
    let result = unsafe { libc::ioctl(stream.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    (result == 0).then(|| usize::try_from(bytes).ok()).flatten()
}

/// Sends what is left and a FIN; reads on until the neighbor's own, so that no RST overtakes a NOTIFICATION.
pub(crate) async fn close(stream: &TcpStream) {
    let _ = SockRef::from(stream).shutdown(std::net::Shutdown::Write);
    let mut scrap = [0; 4096];
    let drained = async {
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut scrap) {
                Ok(0) => break,
                // A neighbor that floods keeps the socket ready: without this the time limit would never be looked at.
                Ok(_) => tokio::task::consume_budget().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_millis(200), drained).await;
}

/// The IPv6 address of the interface that carries `local`: a global one, else its link-local one.
///
/// It becomes the next hop of IPv6 routes on a session over IPv4. A /128 on the loopback is not taken: it may be an
/// anycast address, and that leads everywhere.
pub(crate) fn interface_ipv6(local: SocketAddr) -> Option<Ipv6Addr> {
    // Global before link-local, and a /128 after the other global ones: on an interface that carries the services' addresses
    // it may be one of them.
    let rank = |(address, host): &(Ipv6Addr, bool)| (address.is_unicast_link_local(), *host);
    interface_addresses(local).into_iter().min_by_key(rank).map(|(address, _)| address)
}

/// The link-local address of the interface that carries `local`: `local` itself where it is one.
pub(crate) fn interface_link_local(local: SocketAddr) -> Option<Ipv6Addr> {
    let all = interface_addresses(local).into_iter().map(|(address, _)| address);
    all.filter(Ipv6Addr::is_unicast_link_local).min_by_key(|address| IpAddr::V6(*address) != local.ip())
}

/// The interfaces that lead to `remote` on the same link; of those that carry `local`, where it is known what the other end is told of.
pub(crate) fn interfaces_towards(local: Option<SocketAddr>, remote: SocketAddr) -> Vec<String> {
    let scope = match remote {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => v6.scope_id(),
        SocketAddr::V4(_) | SocketAddr::V6(_) => 0,
    };
    if scope != 0 {
        let name = nix::net::if_::if_indextoname(scope).ok().and_then(|name| name.into_string().ok());
        return name.into_iter().collect();
    }
    let (local, remote) = (local.map(|local| local.ip().to_canonical()), remote.ip().to_canonical());
    let leads = |address: &nix::ifaddrs::InterfaceAddress| {
        let Some(own) = ip_of(address.address.as_ref()) else { return false };
        let length = prefix_length(address.netmask.as_ref()).and_then(|length| u8::try_from(length).ok());
        let network = length.and_then(|length| IpNet::new(own, length).ok());
        let peer = ip_of(address.destination.as_ref()) == Some(remote);
        local.is_none_or(|local| local == own) && (peer || network.is_some_and(|it| it.contains(&remote)))
    };
    let Ok(addresses) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    addresses.filter(leads).map(|address| link(&address.interface_name).to_owned()).collect()
}

/// Whether there is such an interface.
pub(crate) fn is_interface(name: &str) -> bool {
    nix::net::if_::if_nametoindex(name).is_ok()
}

/// The interface of an address: an IPv4 address may have a label, as `eth0:1`, which the C library gives for the name. No interface has a
/// colon in its name.
fn link(label: &str) -> &str {
    label.split_once(':').map_or(label, |(name, _)| name)
}

/// The IPv6 addresses of that interface, and whether each is a /128.
fn interface_addresses(local: SocketAddr) -> Vec<(Ipv6Addr, bool)> {
    let Ok(addresses) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let addresses: Vec<_> = addresses.collect();
    // A link-local address may be on several interfaces.
    let scope = match local {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => nix::net::if_::if_indextoname(v6.scope_id()).ok(),
        SocketAddr::V4(_) | SocketAddr::V6(_) => None,
    };
    let scope = scope.as_ref().and_then(|name| name.to_str().ok());
    let local = local.ip().to_canonical();
    let is_local = |address: &nix::ifaddrs::InterfaceAddress| {
        ip_of(address.address.as_ref()) == Some(local)
            && scope.is_none_or(|scope| scope == link(&address.interface_name))
    };
    let Some(interface) =
        addresses.iter().find(|address| is_local(address)).map(|address| link(&address.interface_name))
    else {
        return Vec::new();
    };
    addresses
        .iter()
        .filter(|address| link(&address.interface_name) == interface)
        .map(|address| (address, prefix_length(address.netmask.as_ref()) == Some(128)))
        .filter(|(_, host)| !(interface == "lo" && *host))
        .filter_map(|(address, host)| match ip_of(address.address.as_ref()) {
            Some(IpAddr::V6(address)) if !address.is_loopback() => Some((address, host)),
            _ => None,
        })
        .collect()
}

fn ip_of(address: Option<&nix::sys::socket::SockaddrStorage>) -> Option<IpAddr> {
    let address = address?;
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

fn prefix_length(netmask: Option<&nix::sys::socket::SockaddrStorage>) -> Option<u32> {
    match ip_of(netmask)? {
        IpAddr::V4(mask) => Some(mask.to_bits().count_ones()),
        IpAddr::V6(mask) => Some(mask.to_bits().count_ones()),
    }
}
