//! Datagrams: each comes back with the node's name behind it.

use std::{
    io::{IoSlice, IoSliceMut},
    os::fd::AsRawFd as _,
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    libc,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
    },
};
use socket2::Socket;

/// What a request may hold; the rest is cut off.
const LONGEST: usize = 512;
/// How long to leave a socket alone that fails without a packet being to blame.
const PAUSE: Duration = Duration::from_millis(100);

/// The address a datagram was sent to, and so the one its answer must come from: the socket is bound to none, and the
/// kernel's own choice of a source would be the address of the link.
#[derive(Debug, Clone, Copy)]
enum AskedAt {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

/// Answers on one socket.
#[derive(Debug)]
pub(super) struct Responder {
    socket: Socket,
    name: Vec<u8>,
}

impl Responder {
    pub(super) fn new(socket: Socket, ipv6: bool, node: &str) -> nix::Result<Self> {
        if ipv6 {
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
        Ok(Self { socket, name: node.as_bytes().to_vec() })
    }

    /// Answers on a thread of its own until the process ends.
    pub(super) fn spawn(self) {
        thread::spawn(move || {
            loop {
                match self.answer() {
                    Ok(()) | Err(Errno::EINTR) => {}
                    // One asker who cannot be answered (no route, a full queue) is none of the next one's business.
                    Err(error) => {
                        eprintln!("a datagram was not answered: {error}");
                        thread::sleep(PAUSE);
                    }
                }
            }
        });
    }

    fn answer(&self) -> nix::Result<()> {
        let mut buffer = [0; LONGEST];
        let mut control = nix::cmsg_space!(libc::in6_pktinfo);
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let fd = self.socket.as_raw_fd();
        let asked = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut control), MsgFlags::empty())?;
        let asked_at = asked.cmsgs()?.find_map(|message| match message {
            // `ipi_spec_dst` is the local address of the packet, which for unicast is the one it was sent to.
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(AskedAt::V4(libc::in_pktinfo { ipi_ifindex: 0, ..info })),
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                Some(AskedAt::V6(libc::in6_pktinfo { ipi6_ifindex: 0, ..info }))
            }
            _ => None,
        });
        let (length, asker) = (asked.bytes, asked.address);
        let question = buffer.get(..length).unwrap_or_default();
        let answer = [IoSlice::new(question), IoSlice::new(&self.name)];
        let source = asked_at.as_ref().map(|asked_at| match asked_at {
            AskedAt::V4(info) => ControlMessage::Ipv4PacketInfo(info),
            AskedAt::V6(info) => ControlMessage::Ipv6PacketInfo(info),
        });
        sendmsg(fd, &answer, source.as_slice(), MsgFlags::empty(), asker.as_ref()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};

    use socket2::Type;

    use super::{super::listen, *};

    #[test]
    fn it_answers_from_the_address_it_was_asked_at() {
        for (any, at) in [("0.0.0.0:0", "127.0.0.9"), ("[::]:0", "::1")] {
            let socket = listen(Type::DGRAM, any.parse().unwrap()).unwrap();
            let port = socket.local_addr().unwrap().as_socket().unwrap().port();
            Responder::new(socket, at.contains(':'), "ap-edge1").unwrap().spawn();
            let at = SocketAddr::new(at.parse().unwrap(), port);
            let asker =
                UdpSocket::bind(SocketAddr::new(if at.is_ipv4() { "127.0.0.1" } else { "::1" }.parse().unwrap(), 0));
            let asker = asker.unwrap();
            asker.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            for question in [&b"12345678"[..], b""] {
                asker.send_to(question, at).unwrap();
                let mut answer = [0; 64];
                let (length, from) = asker.recv_from(&mut answer).unwrap();
                assert_eq!((from, &answer[..length]), (at, &[question, b"ap-edge1"].concat()[..]));
            }
        }
    }
}
