//! The sockets: those that hear what comes to BFD's ports, and one for each session that sends.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use anycast_bfd::{Arrival, MULTIHOP_PORT, Path, SINGLE_HOP_PORT, TTL};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt,
    sockopt::{Ipv4PacketInfo, Ipv4RecvTtl, Ipv6RecvHopLimit, Ipv6RecvPacketInfo, RcvBuf, RcvBufForce},
};
use socket2::{Domain, Protocol, Socket, Type};

use super::line::Target;

/// Longer than any packet: one that is too long is seen to be.
pub(super) const BUFFER: usize = 512;
/// What may wait while the thread is not run, in octets: some thousand packets.
const QUEUE: usize = 4 << 20;
/// RFC 5881 §4: the ports that packets come from.
const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49152..=65535;
/// How many of them are tried before it is given up.
const TRIES: usize = 64;
/// Internetwork control (CS6), as routing protocols have it.
const CS6: u32 = 0xc0;

/// A port that packets come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Port {
    /// RFC 5881 over IPv4.
    SingleHopV4,
    /// RFC 5881 over IPv6.
    SingleHopV6,
    /// RFC 5883 over IPv4.
    MultihopV4,
    /// RFC 5883 over IPv6.
    MultihopV6,
}

impl Port {
    pub(super) fn of(target: &Target) -> Self {
        match (target.path, target.remote) {
            (Path::SingleHop { .. }, IpAddr::V4(_)) => Self::SingleHopV4,
            (Path::SingleHop { .. }, IpAddr::V6(_)) => Self::SingleHopV6,
            (Path::Multihop { .. }, IpAddr::V4(_)) => Self::MultihopV4,
            (Path::Multihop { .. }, IpAddr::V6(_)) => Self::MultihopV6,
        }
    }

    const fn is_multihop(self) -> bool {
        matches!(self, Self::MultihopV4 | Self::MultihopV6)
    }

    const fn is_ipv6(self) -> bool {
        matches!(self, Self::SingleHopV6 | Self::MultihopV6)
    }

    pub(super) const fn number(self) -> u16 {
        if self.is_multihop() { MULTIHOP_PORT } else { SINGLE_HOP_PORT }
    }
}

/// A socket that hears what comes to a port.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Socket,
    port: Port,
}

impl Listener {
    /// # Errors
    /// What the kernel says: `EADDRINUSE` where another program has the port.
    pub(super) fn open(port: Port) -> io::Result<Self> {
        let domain = if port.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
        let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        // The larger one needs CAP_NET_ADMIN.
        if setsockopt(&socket, RcvBufForce, &QUEUE).is_err() {
            setsockopt(&socket, RcvBuf, &QUEUE)?;
        }
        let any: IpAddr = if port.is_ipv6() {
            socket.set_only_v6(true)?;
            setsockopt(&socket, Ipv6RecvPacketInfo, &true)?;
            setsockopt(&socket, Ipv6RecvHopLimit, &true)?;
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            setsockopt(&socket, Ipv4PacketInfo, &true)?;
            setsockopt(&socket, Ipv4RecvTtl, &true)?;
            Ipv4Addr::UNSPECIFIED.into()
        };
        socket.bind(&SocketAddr::new(any, port.number()).into())?;
        Ok(Self { socket, port })
    }

    /// One that another program has left. Whatever it is, it is of use only as what it is to be.
    pub(super) fn adopt(port: Port, descriptor: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(descriptor);
        let local = socket.local_addr()?.as_socket();
        if local.is_none_or(|local| local.port() != port.number() || local.is_ipv6() != port.is_ipv6()) {
            return Err(io::Error::other("it is another socket"));
        }
        socket.set_nonblocking(true)?;
        Ok(Self { socket, port })
    }

    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }

    pub(super) fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next datagram, and how it came; `None`: nothing waits.
    pub(super) fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<(&'a [u8], Arrival)>> {
        // IN_PKTINFO is the smaller of the two, IPV6_PKTINFO the larger; each comes with one number.
        let mut space = nix::cmsg_space!(libc::in6_pktinfo, libc::c_int);
        let (length, source, interface, destination, ttl) = loop {
            let mut parts = [IoSliceMut::new(buffer)];
            let flags = MsgFlags::MSG_DONTWAIT;
            let received =
                match recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut parts, Some(&mut space), flags) {
                    Ok(received) => received,
                    Err(nix::Error::EAGAIN) => return Ok(None),
                    Err(nix::Error::EINTR) => continue,
                    Err(error) => return Err(error.into()),
                };
            let (mut interface, mut destination, mut ttl) = (None, None, None);
            for message in received.cmsgs()? {
                match message {
                    ControlMessageOwned::Ipv4PacketInfo(info) => {
                        interface = u32::try_from(info.ipi_ifindex).ok();
                        destination = Some(IpAddr::from(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr))));
                    }
                    ControlMessageOwned::Ipv6PacketInfo(info) => {
                        interface = Some(info.ipi6_ifindex);
                        destination = Some(IpAddr::from(Ipv6Addr::from(info.ipi6_addr.s6_addr)));
                    }
                    ControlMessageOwned::Ipv4Ttl(limit) | ControlMessageOwned::Ipv6HopLimit(limit) => {
                        ttl = u8::try_from(limit).ok();
                    }
                    _ => {}
                }
            }
            let source = received.address.and_then(|address| {
                let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
                v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
            });
            // The kernel tells all of it; what it does not cannot be judged.
            if let (Some(source), Some(interface), Some(destination), Some(ttl)) = (source, interface, destination, ttl)
            {
                break (received.bytes, source, interface, destination, ttl);
            }
        };
        let arrival = Arrival { source, destination, interface, ttl, multihop: self.port.is_multihop() };
        Ok(Some((buffer.get(..length).unwrap_or_default(), arrival)))
    }
}

/// The socket of one session that sends.
#[derive(Debug)]
pub(super) struct Transmitter {
    socket: Socket,
    local: SocketAddr,
}

impl Transmitter {
    /// `port`: the one that packets came from until now; else one that `random` leads to.
    ///
    /// # Errors
    /// What the kernel says: there may be no way to the other end now, or the source address is not ours.
    pub(super) fn open(target: &Target, port: Option<u16>, mut random: impl FnMut() -> u64) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(remote(target)), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        if let Some(device) = &target.device {
            socket.bind_device(Some(device.as_bytes()))?;
        }
        match target.remote {
            IpAddr::V4(_) => {
                socket.set_ttl_v4(TTL.into())?;
                socket.set_tos_v4(CS6)?;
            }
            IpAddr::V6(_) => {
                socket.set_unicast_hops_v6(TTL.into())?;
                socket.set_tclass_v6(CS6)?;
            }
        }
        let any = match target.remote {
            IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        let source = target.source.unwrap_or(any);
        let (first, count) = (u64::from(*SOURCE_PORTS.start()), SOURCE_PORTS.len() as u64);
        let mut other = || u16::try_from(first + random() % count).unwrap_or(*SOURCE_PORTS.start());
        let mut port = port.filter(|port| SOURCE_PORTS.contains(port)).unwrap_or_else(&mut other);
        let mut tries = TRIES;
        loop {
            match socket.bind(&end(source, port, target.scope).into()) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {
                    tries -= 1;
                    port = other();
                }
                bound => break bound?,
            }
        }
        socket.connect(&remote(target).into())?;
        let local = socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("it has no address"))?;
        Ok(Self { socket, local })
    }

    pub(super) const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Nothing of it is waited for: the next packet is due soon.
    pub(super) fn send(&self, packet: &[u8]) -> io::Result<()> {
        match self.socket.send(packet) {
            // An earlier packet found nobody listening. That is told once; this one has not left.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => self.socket.send(packet).map(drop),
            sent => sent.map(drop),
        }
    }
}

fn remote(target: &Target) -> SocketAddr {
    end(target.remote, Port::of(target).number(), target.scope)
}

fn end(address: IpAddr, port: u16, scope: u32) -> SocketAddr {
    match address {
        IpAddr::V4(address) => SocketAddrV4::new(address, port).into(),
        IpAddr::V6(address) => SocketAddrV6::new(address, port, 0, scope).into(),
    }
}
