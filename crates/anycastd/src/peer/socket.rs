//! The TCP connection to a neighbor: options, dialling, and what the kernel knows of it.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anycast_core::config::Neighbor;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};

/// Internetwork control, as RFC 4271 §Appendix E asks of BGP's packets: DSCP CS6.
const DSCP_CS6: u32 = 0xC0;

/// Dials. The session bounds how long: the caller drops the future.
///
/// # Errors
/// What the kernel says; see [`in_words`].
pub(crate) async fn dial(neighbor: Neighbor) -> io::Result<TcpStream> {
    let remote = SocketAddr::new(neighbor.address, neighbor.port.get());
    let socket = Socket::new(Domain::for_address(remote), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    // A router that lost its state answers nothing: without this the kernel retransmits for 15 minutes.
    socket.set_tcp_user_timeout(Some(neighbor.hold_time.duration().unwrap_or(Duration::from_secs(90))))?;
    match remote {
        SocketAddr::V4(_) => socket.set_tos_v4(DSCP_CS6)?,
        SocketAddr::V6(_) => socket.set_tclass_v6(DSCP_CS6)?,
    }
    let socket = TcpSocket::from_std_stream(socket.into());
    if let Some(source) = neighbor.source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.connect(remote).await
}

/// A connection error for an operator.
pub(crate) fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: refused".to_owned(),
        io::ErrorKind::AddrNotAvailable => "connect: the source address is not on this node".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network unreachable".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: host unreachable".to_owned(),
        io::ErrorKind::TimedOut => "connect: timed out".to_owned(),
        _ => format!("connect: {error}"),
    }
}

/// How many bytes the neighbor's TCP has not acknowledged yet.
pub(crate) fn unacked(stream: &TcpStream) -> Option<usize> {
    use std::os::fd::AsRawFd;
    let mut bytes: libc::c_int = 0;
    // SAFETY: TIOCOUTQ (SIOCOUTQ on a socket) writes one int to the pointer, which is valid for the call; the descriptor is
    // open for as long as `stream` is borrowed. No safe wrapper of this ioctl is at hand.
    #[allow(unsafe_code)]
    let result = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    (result == 0).then(|| usize::try_from(bytes).ok()).flatten()
}

/// Sends what is left and a FIN; reads on until the neighbor's own, so that no RST overtakes a NOTIFICATION.
pub(crate) async fn close(stream: TcpStream) {
    let _ = SockRef::from(&stream).shutdown(std::net::Shutdown::Write);
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
pub(crate) fn interface_ipv6(local: IpAddr) -> Option<Ipv6Addr> {
    let addresses: Vec<_> = nix::ifaddrs::getifaddrs().ok()?.collect();
    let is_local = |address: &nix::ifaddrs::InterfaceAddress| ip_of(address.address.as_ref()) == Some(local);
    let interface = &addresses.iter().find(|address| is_local(address))?.interface_name;
    let candidates: Vec<(Ipv6Addr, bool)> = addresses
        .iter()
        .filter(|address| address.interface_name == *interface)
        .map(|address| (address, prefix_length(address.netmask.as_ref()) == Some(128)))
        .filter(|(_, host)| !(interface == "lo" && *host))
        .filter_map(|(address, host)| match ip_of(address.address.as_ref()) {
            Some(IpAddr::V6(address)) if !address.is_loopback() => Some((address, host)),
            _ => None,
        })
        .collect();
    // Global before link-local, and a /128 after the other global ones: on an interface that carries the services' addresses
    // it may be one of them.
    let rank = |(address, host): &(Ipv6Addr, bool)| (address.is_unicast_link_local(), *host);
    candidates.into_iter().min_by_key(rank).map(|(address, _)| address)
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
