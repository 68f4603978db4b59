//! Who speaks BGP and BFD on this machine: sockets on their ports, asked of the kernel by port so that a million others cost nothing here.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use netlink_sys::{Socket as Netlink, SocketAddr as Groups, protocols::NETLINK_SOCK_DIAG};
use socket2::SockRef;

use super::facts::{Flow, Socket};

/// How long the kernel may take for a message.
const DEADLINE: Duration = Duration::from_millis(500);
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const ESTABLISHED: u8 = 1;
/// Of a UDP socket that hears everybody.
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;
/// `INET_DIAG_INFO`: a `struct tcp_info`.
const INFO: u16 = 2;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct inet_diag_msg`.
const ABOUT: usize = 72;

/// Listeners and connections with this port at either end.
pub(super) fn on(port: u16) -> io::Result<Vec<Socket>> {
    let ours = own()?;
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        for (local, remote) in [(port, 0), (0, port)] {
            found.extend(list(&question(family, local, remote), &ours)?);
        }
    }
    found.dedup();
    Ok(found)
}

/// Who has this UDP port.
pub(super) fn on_udp(port: u16) -> io::Result<Vec<Socket>> {
    let ours = own()?;
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        found.extend(list(&question_udp(family, port), &ours)?);
    }
    found.dedup();
    Ok(found)
}

/// The inodes of our own sockets.
fn own() -> io::Result<BTreeSet<u64>> {
    let links = std::fs::read_dir("/proc/self/fd")?.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let inode = |link: std::path::PathBuf| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    Ok(links.filter_map(inode).collect())
}

fn list(question: &[u8], ours: &BTreeSet<u64>) -> io::Result<Vec<Socket>> {
    let mut socket = Netlink::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    SockRef::from(&socket).set_read_timeout(Some(DEADLINE))?;
    socket.send_to(question, &Groups::new(0, 0), 0)?;
    let mut found = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = &datagram[..];
        while let Some(length) = rest.get(..4).and_then(|it| it.try_into().ok()).map(u32::from_ne_bytes) {
            let Some(message) = rest.get(..length as usize).filter(|message| message.len() >= HEADER) else { break };
            match i32::from(u16::from_ne_bytes([message[4], message[5]])) {
                libc::NLMSG_DONE => return Ok(found),
                libc::NLMSG_ERROR => return Err(io::Error::other("the kernel refuses to list sockets")),
                _ => found.extend(read(&message[HEADER..], ours)),
            }
            rest = rest.get((length as usize).next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// Listeners and connections of TCP, and what it knows of them; a port of 0 is any.
fn question(family: i32, local: u16, remote: u16) -> Vec<u8> {
    request(family, libc::IPPROTO_TCP, 1 << (INFO - 1), &[ESTABLISHED, LISTEN], (local, remote))
}

fn question_udp(family: i32, local: u16) -> Vec<u8> {
    request(family, libc::IPPROTO_UDP, 0, &[ESTABLISHED, CLOSE], (local, 0))
}

/// `struct inet_diag_req_v2`.
fn request(family: i32, protocol: i32, wanted: u8, states: &[u8], (local, remote): (u16, u16)) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + 56);
    message.extend(72_u32.to_ne_bytes());
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend(((libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16).to_ne_bytes());
    message.extend([0; 8]);
    message.extend([family as u8, protocol as u8, wanted, 0]);
    message.extend(states.iter().fold(0_u32, |mask, state| mask | 1 << state).to_ne_bytes());
    message.extend(local.to_be_bytes());
    message.extend(remote.to_be_bytes());
    message.extend([0; 44]);
    message
}

/// `struct inet_diag_msg`.
fn read(message: &[u8], ours: &BTreeSet<u64>) -> Option<Socket> {
    let half = |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_ne_bytes(message.get(at..at + 4)?.try_into().ok()?));
    let address = |at: usize| -> Option<IpAddr> {
        if i32::from(*message.first()?) == libc::AF_INET {
            let octets: [u8; 4] = message.get(at..at + 4)?.try_into().ok()?;
            return Some(Ipv4Addr::from(octets).into());
        }
        let octets: [u8; 16] = message.get(at..at + 16)?.try_into().ok()?;
        Some(IpAddr::V6(Ipv6Addr::from(octets)).to_canonical())
    };
    let listens = matches!(*message.get(1)?, LISTEN | CLOSE);
    Some(Socket {
        local: SocketAddr::new(address(8)?, half(4)?),
        remote: if listens { None } else { Some(SocketAddr::new(address(24)?, half(6)?)) },
        uid: word(64)?,
        ours: ours.contains(&u64::from(word(68)?)),
        flow: if listens { None } else { flow(word(60)?, message.get(ABOUT..)?) },
    })
}

/// Of the attributes that follow, the `struct tcp_info`.
fn flow(unacknowledged: u32, mut attributes: &[u8]) -> Option<Flow> {
    loop {
        let half = |at: usize| Some(u16::from_ne_bytes(attributes.get(at..at + 2)?.try_into().ok()?));
        let (length, kind) = (usize::from(half(0)?), half(2)?);
        let value = attributes.get(4..length)?;
        if kind == INFO {
            let word = |at: usize| Some(u32::from_ne_bytes(value.get(at..at + 4)?.try_into().ok()?));
            return Some(Flow { path_mtu: word(60)?, segment: word(16)?, retransmits: *value.get(2)?, unacknowledged });
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn both_ends_and_the_listener_are_found_and_are_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let _one = TcpStream::connect(at).unwrap();
        let _other = listener.accept().unwrap();
        let found = on(at.port()).unwrap();
        assert_eq!(found.iter().filter(|socket| socket.remote.is_none() && socket.local == at).count(), 1);
        assert_eq!(found.iter().filter(|socket| socket.remote.is_some()).count(), 2, "{found:?}");
        assert!(found.iter().all(|socket| socket.ours), "{found:?}");
        for socket in &found {
            let good = |flow: Flow| {
                flow.path_mtu > flow.segment && flow.segment > 500 && (flow.retransmits, flow.unacknowledged) == (0, 0)
            };
            assert_eq!(socket.flow.is_some_and(good), socket.remote.is_some(), "{socket:?}");
        }
    }

    #[test]
    fn who_has_a_udp_port_is_found() {
        let any = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = any.local_addr().unwrap().port();
        let [only] = &on_udp(port).unwrap()[..] else { panic!("{:?}", on_udp(port)) };
        assert_eq!((only.local, only.remote, only.ours), (any.local_addr().unwrap(), None, true));
        drop(any);
        assert_eq!(on_udp(port).unwrap(), []);
    }

    #[test]
    fn nonsense_is_no_socket() {
        for length in 0..ABOUT {
            assert_eq!(read(&vec![2; length], &BTreeSet::new()), None);
        }
        for (length, octet) in (ABOUT..600).flat_map(|length| [0, 2, 255].map(|octet| (length, octet))) {
            let flow = read(&vec![octet; length], &BTreeSet::new()).and_then(|socket| socket.flow);
            assert_eq!(flow, None, "{length} of {octet}");
        }
    }
}
