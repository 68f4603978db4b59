//! What the kernel says of sockets (linux/sock_diag.h, linux/inet_diag.h), byte by byte. Nothing here asks or waits.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use anycast_core::config::Protocol;

/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct inet_diag_msg`, behind the header.
const DIAG: usize = 72;
/// Where in a message `idiag_sport` and `idiag_dport` are; the filter of [`super::sockets`] loads them.
pub(super) const SOURCE_PORT: u32 = 20;
pub(super) const DESTINATION_PORT: u32 = 22;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_PROTOCOL: u16 = 10;
const INET_DIAG_SKV6ONLY: u16 = 11;
const INET_DIAG_CGROUP_ID: u16 = 21;

/// States of a socket that listens (net/tcp_states.h): TCP_LISTEN, and for UDP the one of a socket that is not connected.
const TCP_LISTEN: u8 = 10;
const TCP_CLOSE: u8 = 7;

/// A socket, as the kernel shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Socket {
    /// `None`: an older kernel does not say, when a socket goes.
    pub(crate) protocol: Option<Protocol>,
    /// Where it listens, or listened.
    pub(crate) address: SocketAddr,
    /// It has, or had, another end.
    pub(crate) connected: bool,
    /// It takes nothing over IPv4 (IPV6_V6ONLY); `None`: not known.
    pub(crate) only_v6: Option<bool>,
    /// The id of its cgroup: the inode number of the cgroup's directory.
    pub(crate) cgroup: Option<u64>,
}

impl Socket {
    /// Whether what is sent to `target` may reach it. Where that is not known it may: it must not be taken for gone.
    pub(crate) fn may_take(&self, protocol: Protocol, target: SocketAddr) -> bool {
        let own = canonical(self.address.ip());
        let target_ip = canonical(target.ip());
        let reaches = match (self.address.ip(), target_ip) {
            (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(_)) => self.only_v6 != Some(true),
            (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(_)) => true,
            // `0.0.0.0`, and the same as an IPv6 socket has it: `::ffff:0.0.0.0`.
            (_, IpAddr::V4(_)) if own == IpAddr::V4(Ipv4Addr::UNSPECIFIED) => true,
            _ => own == target_ip,
        };
        reaches && self.address.port() == target.port() && self.protocol.is_none_or(|known| known == protocol)
    }
}

/// `::ffff:192.0.2.1` is `192.0.2.1`.
const fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => six.to_canonical(),
        IpAddr::V4(_) => address,
    }
}

/// What one message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// Of a socket.
    Socket(Socket),
    /// That the list is over, and whether it is of one piece.
    Done,
    /// That it could not be done, or not all of it: the error number.
    Failed(i32),
    /// That the list changed while it was read: entries may be missing.
    Changed,
}

/// Every message of a datagram; what cannot be read is passed over.
pub(super) fn read(datagram: &[u8]) -> Vec<Said> {
    let mut said = Vec::new();
    let mut rest = datagram;
    while let Some(length) = word(rest, 0).map(|length| length as usize).filter(|length| *length >= HEADER) {
        let Some(message) = rest.get(..length) else { break };
        if half(message, 6).is_some_and(|flags| i32::from(flags) & libc::NLM_F_DUMP_INTR != 0) {
            said.push(Said::Changed);
        }
        said.extend(one(message));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    said
}

fn one(message: &[u8]) -> Option<Said> {
    let kind = half(message, 4)?;
    match i32::from(kind) {
        libc::NLMSG_DONE => {
            let code = word(message, HEADER).unwrap_or_default().cast_signed();
            Some(if code < 0 { Said::Failed(-code) } else { Said::Done })
        }
        libc::NLMSG_ERROR => Some(Said::Failed(word(message, HEADER)?.cast_signed().saturating_neg())),
        _ if kind == SOCK_DIAG_BY_FAMILY => socket(message.get(HEADER..)?).map(Said::Socket),
        _ => None,
    }
}

/// `struct inet_diag_msg` and its attributes.
fn socket(diag: &[u8]) -> Option<Socket> {
    let port = |at: usize| Some(u16::from_be_bytes(diag.get(at..at + 2)?.try_into().ok()?));
    let address = match i32::from(*diag.first()?) {
        libc::AF_INET => IpAddr::from(<[u8; 4]>::try_from(diag.get(8..12)?).ok()?),
        libc::AF_INET6 => IpAddr::from(<[u8; 16]>::try_from(diag.get(8..24)?).ok()?),
        _ => return None,
    };
    let (source, destination) = (port(4)?, port(6)?);
    let mut socket = Socket {
        protocol: None,
        address: SocketAddr::new(address, source),
        connected: destination != 0,
        only_v6: None,
        cgroup: None,
    };
    let mut rest = diag.get(DIAG..)?;
    while let Some(length) = half(rest, 0).map(usize::from).filter(|length| *length >= 4) {
        let (Some(kind), Some(value)) = (half(rest, 2), rest.get(4..length)) else { break };
        match (kind, value) {
            (INET_DIAG_PROTOCOL, [number, ..]) => socket.protocol = protocol(*number),
            (INET_DIAG_SKV6ONLY, [only, ..]) => socket.only_v6 = Some(*only != 0),
            (INET_DIAG_CGROUP_ID, value) => socket.cgroup = value.try_into().ok().map(u64::from_ne_bytes),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(socket)
}

const fn protocol(number: u8) -> Option<Protocol> {
    match number as i32 {
        libc::IPPROTO_TCP => Some(Protocol::Tcp),
        libc::IPPROTO_UDP => Some(Protocol::Udp),
        _ => None,
    }
}

/// Asks for every socket of one family that listens on `port`. The kernel compares the port itself, and of TCP it walks only
/// through listeners, so that connections cost nothing.
pub(super) fn question(protocol: Protocol, six: bool, port: u16) -> Vec<u8> {
    const LENGTH: u32 = 16 + 8 + 48;
    let (number, state) = match protocol {
        Protocol::Tcp => (libc::IPPROTO_TCP, TCP_LISTEN),
        Protocol::Udp => (libc::IPPROTO_UDP, TCP_CLOSE),
    };
    let family = if six { libc::AF_INET6 } else { libc::AF_INET };
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    let mut message = Vec::with_capacity(LENGTH as usize);
    // struct nlmsghdr
    message.extend(LENGTH.to_ne_bytes());
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    // struct inet_diag_req_v2
    message.extend([family as u8, number as u8, 0, 0]);
    message.extend((1_u32 << state).to_ne_bytes());
    message.extend(port.to_be_bytes());
    message.resize(LENGTH as usize, 0);
    message
}

/// An error number as an error.
pub(super) fn fault(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
