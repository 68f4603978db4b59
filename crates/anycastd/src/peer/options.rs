//! Options of a TCP socket that no crate at hand sets: TCP MD5 and GTSM.
//!
//! All of them fail closed: a socket whose option could not be set must not be used.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd as _},
};

use anycast_core::{
    Secret,
    config::{TcpAo, TcpAoAlgorithm},
};
use ipnet::IpNet;
use zeroize::Zeroize as _;

/// The longest key (`TCP_MD5SIG_MAXKEYLEN` of linux/tcp.h).
const MAX_KEY: usize = 80;
/// `TCP_MD5SIG_EXT` and its flag for a network in place of an address (linux/tcp.h), which libc does not have.
const TCP_MD5SIG_EXT: libc::c_int = 32;
const TCP_MD5SIG_FLAG_PREFIX: u8 = 1;
/// `TCP_AO_ADD_KEY` (linux/tcp.h), and the 96 bits of RFC 5926 in octets.
const TCP_AO_ADD_KEY: libc::c_int = 38;
const MAC_LENGTH: u8 = 12;

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

/// `struct tcp_ao_add` of linux/tcp.h (Linux 6.7).
#[repr(C)]
struct AddKey {
    address: Address,
    algorithm: [u8; 64],
    interface: i32,
    /// Whether it is the one to use at once, among others; here it is the only one.
    flags: u32,
    reserved: u16,
    prefix_length: u8,
    send_id: u8,
    recv_id: u8,
    mac_length: u8,
    key_flags: u8,
    key_length: u8,
    key: [u8; MAX_KEY],
}

/// Every segment from and to this peer, or from and to each of this network, carries a MAC with the key (RFC 5925); those without
/// are dropped by the kernel. A key that is there already is an error: the socket must be another.
///
/// # Errors
/// What the kernel says: `ENOPROTOOPT` where it has no TCP-AO.
pub(crate) fn add_tcp_ao(socket: &impl AsFd, peer: IpNet, tuple: &TcpAo) -> io::Result<()> {
    let key = tuple.key.expose();
    let key_length = u8::try_from(key.len()).ok().filter(|length| usize::from(*length) <= MAX_KEY);
    let mut add = AddKey {
        address: Address::new(peer.network()),
        algorithm: [0; 64],
        interface: 0,
        flags: 0,
        reserved: 0,
        prefix_length: peer.prefix_len(),
        send_id: tuple.send_id,
        recv_id: tuple.recv_id,
        mac_length: MAC_LENGTH,
        key_flags: 0,
        key_length: key_length.ok_or(io::ErrorKind::InvalidInput)?,
        key: [0; MAX_KEY],
    };
    // The names of the kernel's crypto interface; it derives the traffic keys with the same.
    let algorithm: &[u8] = match tuple.algorithm {
        TcpAoAlgorithm::HmacSha1 => b"hmac(sha1)",
        TcpAoAlgorithm::AesCmac => b"cmac(aes128)",
    };
    add.algorithm.iter_mut().zip(algorithm).for_each(|(to, from)| *to = *from);
    add.key.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let set = set_option(socket, libc::IPPROTO_TCP, TCP_AO_ADD_KEY, &add);
    add.key.zeroize();
    set
}

/// Whether this kernel has TCP-AO; what else it may have against a key shows when it is used.
pub(crate) fn has_tcp_ao() -> bool {
    let probe = || {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        let key = Secret::new(b"probe".to_vec());
        let tuple = TcpAo { key, send_id: 1, recv_id: 1, algorithm: TcpAoAlgorithm::default() };
        add_tcp_ao(&socket, IpNet::from(IpAddr::from([192, 0, 2, 1])), &tuple)
    };
    probe().map_err(|error| error.raw_os_error()) != Err(Some(libc::ENOPROTOOPT))
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

/// The SYN of each connection is kept for [`syn_ttl`].
///
/// # Errors
/// What the kernel says.
pub(crate) fn save_syn(socket: &impl AsFd) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_SAVE_SYN, &1_i32)
}

/// The TTL, or hop limit, with which the SYN of an accepted connection came; `None`: it was not kept, as under a flood of SYNs.
pub(crate) fn syn_ttl(socket: &impl AsFd) -> Option<u8> {
    // An IP header with its options, and a TCP header with its own.
    let mut header = [0_u8; 256];
    let mut length = libc::socklen_t::try_from(header.len()).ok()?;
    // SAFETY: the kernel writes at most `length` octets to the buffer, which has as many, and says in `length` how many it wrote. The
    // descriptor is open while it is borrowed.
    #[allow(unsafe_code)]
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_SAVED_SYN,
            header.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let header = header.get(..usize::try_from(length).ok()?).filter(|_| result == 0)?;
    match header.first()? >> 4 {
        4 => header.get(8).copied(),
        6 => header.get(7).copied(),
        _ => None,
    }
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
const _: () = assert!(size_of::<AddKey>() == 128 + 64 + 4 + 4 + 2 + 6 + MAX_KEY);

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

    /// The layout of the kernel's header, as its bindings have it.
    #[test]
    fn structures_are_the_kernels() {
        use std::mem::{align_of, offset_of};

        use linux_raw_sys::net::{tcp_ao_add, tcp_md5sig};

        assert_eq!(size_of::<AddKey>(), size_of::<tcp_ao_add>());
        assert_eq!(align_of::<AddKey>(), align_of::<tcp_ao_add>());
        assert_eq!(offset_of!(AddKey, algorithm), offset_of!(tcp_ao_add, alg_name));
        assert_eq!(offset_of!(AddKey, interface), offset_of!(tcp_ao_add, ifindex));
        assert_eq!(offset_of!(AddKey, prefix_length), offset_of!(tcp_ao_add, prefix));
        assert_eq!(offset_of!(AddKey, send_id), offset_of!(tcp_ao_add, sndid));
        assert_eq!(offset_of!(AddKey, recv_id), offset_of!(tcp_ao_add, rcvid));
        assert_eq!(offset_of!(AddKey, mac_length), offset_of!(tcp_ao_add, maclen));
        assert_eq!(offset_of!(AddKey, key_length), offset_of!(tcp_ao_add, keylen));
        assert_eq!(offset_of!(AddKey, key), offset_of!(tcp_ao_add, key));
        assert_eq!(size_of::<Md5Signature>(), size_of::<tcp_md5sig>());
        assert_eq!(offset_of!(Md5Signature, key_length), offset_of!(tcp_md5sig, tcpm_keylen));
        assert_eq!(offset_of!(Md5Signature, key), offset_of!(tcp_md5sig, tcpm_key));
    }

    /// Where the kernel has TCP-AO, as that of CI may: the same proof as for TCP MD5.
    #[test]
    fn a_tcp_ao_key_lets_in_who_has_it() {
        if !has_tcp_ao() {
            eprintln!("this kernel has no TCP-AO: not tried");
            return;
        }
        for algorithm in [TcpAoAlgorithm::HmacSha1, TcpAoAlgorithm::AesCmac] {
            let tuple =
                |key: &[u8], send_id, recv_id| TcpAo { key: Secret::new(key.to_vec()), send_id, recv_id, algorithm };
            let (listener, at) = listen("127.0.0.1:0", None);
            add_tcp_ao(&listener, "127.0.0.0/8".parse().unwrap(), &tuple(b"right", 2, 1)).unwrap();
            let dial = |key: Option<&[u8]>| {
                let dialler = socket(at);
                if let Some(key) = key {
                    add_tcp_ao(&dialler, at.ip().into(), &tuple(key, 1, 2)).unwrap();
                }
                dialler.connect_timeout(&at.into(), Duration::from_millis(1500)).is_ok()
            };
            assert!(!dial(None), "no key");
            assert!(!dial(Some(b"wrong")), "a wrong key");
            assert!(dial(Some(b"right")), "the right key");
        }
    }

    #[test]
    fn a_syn_tells_how_far_it_came() {
        for on in ["127.0.0.1:0", "[::1]:0"] {
            let (listener, at) = listen(on, None);
            save_syn(&listener).unwrap();
            for ttl in [255, 64, 3] {
                let dialler = socket(at);
                if at.is_ipv4() { dialler.set_ttl_v4(ttl) } else { dialler.set_unicast_hops_v6(ttl) }.unwrap();
                dialler.connect_timeout(&at.into(), Duration::from_secs(5)).unwrap();
                let (accepted, _) = listener.accept().unwrap();
                assert_eq!(syn_ttl(&accepted).map(u32::from), Some(ttl), "{on}");
            }
        }
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
