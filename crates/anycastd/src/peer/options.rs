//! Options of a TCP socket that no crate at hand sets: TCP MD5 and GTSM.
//!
//! All of them fail closed: a socket whose option could not be set must not be used.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd as _},
};

use ipnet::IpNet;
use zeroize::Zeroize as _;

/// The longest key (`TCP_MD5SIG_MAXKEYLEN` of linux/tcp.h).
const MAX_KEY: usize = 80;
/// `TCP_MD5SIG_EXT` and its flag for a network in place of an address (linux/tcp.h), which libc does not have.
const TCP_MD5SIG_EXT: libc::c_int = 32;
const TCP_MD5SIG_FLAG_PREFIX: u8 = 1;

/// `struct tcp_md5sig` of linux/tcp.h.
#[repr(C)]
struct Md5Signature {
    address: Address,
    flags: u8,
    prefix_length: u8,
    key_length: u16,
    interface: libc::c_int,
    key: [u8; MAX_KEY],
}

/// As much of `struct sockaddr_storage` as the kernel looks at here; 128 octets in all, as there.
#[repr(C, align(8))]
struct Address {
    family: libc::sa_family_t,
    octets: [u8; 126],
}

impl Address {
    /// Without a port: a key is for every port of the peer.
    fn new(address: IpAddr) -> Self {
        let mut octets = [0; 126];
        let (family, at, bytes): (_, usize, &[u8]) = match &address {
            // sin_port, sin_addr
            IpAddr::V4(v4) => (libc::AF_INET, 2, &v4.octets()),
            // sin6_port, sin6_flowinfo, sin6_addr
            IpAddr::V6(v6) => (libc::AF_INET6, 6, &v6.octets()),
        };
        octets.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
        Self { family: family as libc::sa_family_t, octets }
    }
}

/// Every segment from and to this peer, or from and to each of this network, carries a signature with the key (RFC 2385);
/// those without are dropped by the kernel. Without a key: no longer.
///
/// # Errors
/// What the kernel says: `ENOPROTOOPT` where it has no TCP MD5, `ENOENT` where there was no key to take away.
pub(crate) fn set_md5(socket: &impl AsFd, peer: IpNet, key: Option<&[u8]>) -> io::Result<()> {
    let whole = peer.prefix_len() == peer.max_prefix_len();
    let key = key.unwrap_or_default();
    if key.len() > MAX_KEY {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut signature = Md5Signature {
        address: Address::new(peer.network()),
        flags: if whole { 0 } else { TCP_MD5SIG_FLAG_PREFIX },
        prefix_length: if whole { 0 } else { peer.prefix_len() },
        key_length: u16::try_from(key.len()).unwrap_or(0),
        interface: 0,
        key: [0; MAX_KEY],
    };
    signature.key.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let option = if whole { libc::TCP_MD5SIG } else { TCP_MD5SIG_EXT };
    let set = set_option(socket, libc::IPPROTO_TCP, option, &signature);
    signature.key.zeroize();
    set
}

/// Segments that arrive with a lower TTL, or hop limit, are dropped by the kernel (RFC 5082).
///
/// # Errors
/// What the kernel says.
pub(crate) fn set_min_ttl(socket: &impl AsFd, ipv4: bool, least: u8) -> io::Result<()> {
    let (level, option) =
        if ipv4 { (libc::IPPROTO_IP, libc::IP_MINTTL) } else { (libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT) };
    set_option(socket, level, option, &libc::c_int::from(least))
}

/// Of ICMPv6, only router solicitations and advertisements are received (RFC 3542 §3.2).
///
/// # Errors
/// What the kernel says.
pub(super) fn pass_router_discovery(socket: &impl AsFd) -> io::Result<()> {
    /// linux/icmpv6.h, which libc does not have; a bit that is set blocks its type.
    const ICMP6_FILTER: libc::c_int = 1;
    let mut filter = [u32::MAX; 8];
    for kind in [133_usize, 134] {
        if let Some(word) = filter.get_mut(kind / 32) {
            *word &= !(1 << (kind % 32));
        }
    }
    set_option(socket, libc::IPPROTO_ICMPV6, ICMP6_FILTER, &filter)
}

/// setsockopt(2) with any of the plain C structures above.
fn set_option<T>(socket: &impl AsFd, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the kernel reads `length` octets from the pointer, which is a reference to just so many, all of them initialised:
    // `T` is `c_int`, an array of integers, or a structure of this file without padding (asserted below). The descriptor is open while it is borrowed.
    #[allow(unsafe_code)]
    let result = unsafe {
        libc::setsockopt(socket.as_fd().as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

// The layout of linux/tcp.h, and no octet that nobody wrote.
const _: () = assert!(size_of::<Address>() == 128 && size_of::<Md5Signature>() == 128 + 1 + 1 + 2 + 4 + MAX_KEY);

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::SocketAddr,
        time::Duration,
    };

    use socket2::{Domain, Protocol, Socket, Type};

    use super::*;

    fn socket(address: SocketAddr) -> Socket {
        Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).unwrap()
    }

    fn listen(on: &str, key: Option<(&str, &[u8])>) -> (Socket, SocketAddr) {
        let on: SocketAddr = on.parse().unwrap();
        let listener = socket(on);
        if let Some((peer, key)) = key {
            set_md5(&listener, peer.parse().unwrap(), Some(key)).unwrap();
        }
        listener.bind(&on.into()).unwrap();
        listener.listen(8).unwrap();
        let at = listener.local_addr().unwrap().as_socket().unwrap();
        (listener, at)
    }

    /// Whether a connection with this key comes about.
    fn connects(to: SocketAddr, key: Option<&[u8]>) -> bool {
        let dialler = socket(to);
        if key.is_some() {
            set_md5(&dialler, to.ip().into(), key).unwrap();
        }
        dialler.connect_timeout(&to.into(), Duration::from_millis(if key.is_some() { 1500 } else { 300 })).is_ok()
    }

    #[test]
    fn a_key_lets_in_who_has_it() {
        for (on, peer) in [
            ("127.0.0.1:0", "127.0.0.1/32"),
            ("127.0.0.1:0", "127.0.0.0/8"),
            ("[::1]:0", "::1/128"),
            ("[::1]:0", "::/64"),
        ] {
            let (listener, at) = listen(on, Some((peer, b"right")));
            assert!(!connects(at, None), "no key, {peer}");
            assert!(connects(at, Some(b"right")), "the right key, {peer}");
            // Without the key it is open again: what was taken away is gone.
            set_md5(&listener, peer.parse().unwrap(), None).unwrap();
            assert!(connects(at, None), "taken away, {peer}");
        }
    }

    #[test]
    fn a_wrong_key_gets_no_answer() {
        let (_listener, at) = listen("127.0.0.1:0", Some(("127.0.0.1/32", b"right")));
        let dialler = socket(at);
        set_md5(&dialler, at.ip().into(), Some(b"wrong")).unwrap();
        let error = dialler.connect_timeout(&at.into(), Duration::from_millis(300)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_key_that_is_too_long_is_an_error() {
        let (listener, _) = listen("127.0.0.1:0", None);
        assert!(set_md5(&listener, "127.0.0.1/32".parse().unwrap(), Some(&[b'x'; MAX_KEY + 1])).is_err());
        assert!(set_md5(&listener, "127.0.0.1/32".parse().unwrap(), Some(&[b'x'; MAX_KEY])).is_ok());
    }

    #[test]
    fn what_came_from_too_far_is_not_heard() {
        for on in ["127.0.0.1:0", "[::1]:0"] {
            let (listener, at) = listen(on, None);
            let dialler = socket(at);
            dialler.connect_timeout(&at.into(), Duration::from_secs(5)).unwrap();
            let (mut near, _) = listener.accept().unwrap();
            near.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            set_min_ttl(&near, at.is_ipv4(), 255).unwrap();
            let mut octet = [0];
            (&dialler).write_all(b"x").unwrap();
            assert!(near.read(&mut octet).is_err(), "it came with the kernel's default, 64");
            if at.is_ipv4() {
                dialler.set_ttl_v4(255).unwrap();
            } else {
                dialler.set_unicast_hops_v6(255).unwrap();
            }
            near.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            assert_eq!(near.read(&mut octet).unwrap(), 1, "the retransmission comes with 255");
        }
    }
}
