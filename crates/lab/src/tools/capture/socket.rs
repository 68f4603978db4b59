//! A packet socket (packet(7)) with the kernel's time on each packet.

use std::{
    io::{self, IoSliceMut},
    os::fd::AsRawFd as _,
    time::Duration,
};

use nix::{
    errno::Errno,
    libc,
    sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt, sockopt},
};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::tools::record::Nanos;

/// The longest packet: segmentation offload hands over segments up to this long.
pub(super) const LONGEST: usize = 1 << 16;
/// Room for a burst while the reader is not scheduled.
const ROOM: usize = 4 << 20;
/// How long a read waits before it looks whether it should stop.
const PATIENCE: Duration = Duration::from_millis(100);
/// What no port equals.
const NO_PORT: u32 = u32::MAX;
/// A kernel's time that is further than this from ours is none.
const BELIEVABLE: Duration = Duration::from_secs(60);

/// The socket.
#[derive(Debug)]
pub(super) struct PacketSocket(Socket);

/// A packet that was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) at: Nanos,
    pub(super) length: usize,
    /// How many packets the kernel has dropped so far for want of room.
    pub(super) missed: u32,
}

impl PacketSocket {
    /// All packets of TCP from or to a port, and those of UDP to another, in and out.
    pub(super) fn open(tcp: u16, udp: Option<u16>) -> io::Result<Self> {
        // Outgoing packets are shown only to sockets for all protocols. The packets begin at their network header.
        let all = Protocol::from(i32::from((libc::ETH_P_ALL as u16).to_be()));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(all))?;
        socket.attach_filter(&wanted(tcp, udp))?;
        socket.set_recv_buffer_size(ROOM)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        setsockopt(&socket, sockopt::RxqOvfl, &1)?;
        Ok(Self(socket))
    }

    /// The next packet; nothing when none came for a while.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> nix::Result<Option<Seen>> {
        let mut control = nix::cmsg_space!(libc::timespec, u32);
        let mut parts = [IoSliceMut::new(buffer)];
        let fd = self.0.as_raw_fd();
        let message = match recvmsg::<LinkAddr>(fd, &mut parts, Some(&mut control), MsgFlags::empty()) {
            Ok(message) => message,
            // ENETDOWN: an interface went down, the socket goes on with the others.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENETDOWN) => return Ok(None),
            Err(error) => return Err(error),
        };
        // On the loopback every packet would be seen twice.
        if message.address.is_some_and(|link| link.hatype() == libc::ARPHRD_LOOPBACK) {
            return Ok(None);
        }
        let now = Nanos::now();
        let mut seen = Seen { at: now, length: message.bytes, missed: 0 };
        for control in message.cmsgs()? {
            match control {
                ControlMessageOwned::ScmTimestampns(time) => {
                    seen.at = Some(Nanos::default().plus(time.into())).filter(|at| believable(*at, now)).unwrap_or(now);
                }
                ControlMessageOwned::RxqOvfl(packets) => seen.missed = packets,
                _ => {}
            }
        }
        Ok(Some(seen))
    }
}

fn believable(at: Nanos, now: Nanos) -> bool {
    at.after(now) < BELIEVABLE && now.after(at) < BELIEVABLE
}

/// A classic BPF program for packets that begin at their network header: IPv4 or IPv6, TCP with this source or destination port, or UDP with
/// that destination port. Extension headers of IPv6 are not followed; the packets of BGP and BFD have none.
fn wanted(tcp: u16, udp: Option<u16>) -> [SockFilter; 25] {
    let (tcp, udp) = (u32::from(tcp), udp.map_or(NO_PORT, u32::from));
    let byte = |offset| statement(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, offset);
    let half = |offset| statement(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, offset);
    let half_behind = |offset| statement(libc::BPF_LD | libc::BPF_H | libc::BPF_IND, offset);
    let verdict = |length| statement(libc::BPF_RET | libc::BPF_K, length);
    // A jump counts from the instruction behind it.
    [
        byte(0),
        statement(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K, 4),
        equals(6, 0, 9),
        // 3: IPv6 (RFC 8200 §3)
        byte(6),
        equals(libc::IPPROTO_TCP as u32, 0, 4),
        half(40),
        equals(tcp, 17, 0),
        half(42),
        equals(tcp, 15, 14),
        equals(libc::IPPROTO_UDP as u32, 0, 13),
        half(42),
        equals(udp, 12, 11),
        // 12: IPv4 (RFC 791 §3.1), whose header says how long it is
        equals(4, 0, 10),
        byte(9),
        statement(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0),
        equals(libc::IPPROTO_TCP as u32, 0, 4),
        half_behind(0),
        equals(tcp, 6, 0),
        half_behind(2),
        equals(tcp, 4, 3),
        equals(libc::IPPROTO_UDP as u32, 0, 2),
        half_behind(2),
        equals(udp, 1, 0),
        // 23: not wanted; 24: wanted, whole
        verdict(0),
        verdict(LONGEST as u32),
    ]
}

fn statement(code: u32, k: u32) -> SockFilter {
    SockFilter::new(code as u16, 0, 0, k)
}

fn equals(k: u32, then: u8, otherwise: u8) -> SockFilter {
    SockFilter::new((libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, then, otherwise, k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_cannot_be_is_not_believed() {
        let now = Nanos(1_790_000_000_000_000_000);
        for (at, expected) in [
            (now, true),
            (now.minus(Duration::from_millis(3)), true),
            (now.plus(Duration::from_millis(3)), true),
            (Nanos(0), false),
            // Seconds since the machine started, not since 1970.
            (Nanos(90_000_000_000_000), false),
            (now.plus(Duration::from_secs(3600)), false),
        ] {
            assert_eq!(believable(at, now), expected, "{at:?}");
        }
    }
}
