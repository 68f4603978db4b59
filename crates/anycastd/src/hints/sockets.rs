//! The socket that hears which sockets go (sock_diag's destroy groups).

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
};

use anycast_core::config::Protocol;
use futures_util::FutureExt;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr as Groups, TokioSocket, protocols::NETLINK_SOCK_DIAG};
use socket2::{SockFilter, SockRef};

use super::message::{self, DESTINATION_PORT, SOURCE_PORT, Said, Socket};

/// What may wait for us: some thousands of listeners that close at once.
const RECEIVE_BUFFER: usize = 1024 * 1024;
/// How many messages are taken before others have their turn.
const BURST: usize = 1024;
/// Ports that the filter tells apart; a jump of classic BPF reaches no farther than 255. Beyond, every listener's end is heard.
const PORTS: usize = 200;

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// These sockets are closed.
    Closed(Vec<Socket>),
    /// More went than fitted (ENOBUFS): any of them may have.
    Overrun,
    /// Nothing more will be heard.
    Broken(io::Error),
}

/// What is to be heard of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    groups: u32,
    ports: BTreeSet<u16>,
}

impl Wanted {
    pub(super) fn new(sockets: impl IntoIterator<Item = (Protocol, SocketAddr)>) -> Self {
        let mut wanted = Self::default();
        for (protocol, address) in sockets {
            wanted.groups |= groups(protocol, address.ip());
            wanted.ports.insert(address.port());
        }
        wanted
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }
}

/// `enum sknetlink_groups` as a mask. What is sent to an IPv4 address may be taken by an IPv6 socket.
const fn groups(protocol: Protocol, address: IpAddr) -> u32 {
    let (four, six) = match protocol {
        Protocol::Tcp => (1 << 0, 1 << 2),
        Protocol::Udp => (1 << 1, 1 << 3),
    };
    match address.to_canonical() {
        IpAddr::V4(_) => four | six,
        IpAddr::V6(_) => six,
    }
}

pub(super) struct Sockets {
    socket: TokioSocket,
    wanted: Wanted,
}

impl Sockets {
    pub(super) fn open(wanted: &Wanted) -> io::Result<Self> {
        Self::open_with(wanted, RECEIVE_BUFFER)
    }

    pub(super) fn open_with(wanted: &Wanted, buffer: usize) -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_SOCK_DIAG)?;
        // Not more than net.core.rmem_max is given, which is enough: what does not fit is a hint itself.
        SockRef::from(socket.socket_ref()).set_recv_buffer_size(buffer)?;
        // Before it is bound: nothing gets past.
        attach(&socket, wanted)?;
        socket.socket_mut().bind(&Groups::new(0, wanted.groups))?;
        Ok(Self { socket, wanted: wanted.clone() })
    }

    /// Hears of these from now on; `false`: that takes another socket.
    pub(super) fn change(&mut self, wanted: &Wanted) -> io::Result<bool> {
        if wanted.groups != self.wanted.groups {
            return Ok(false);
        }
        if *wanted != self.wanted {
            attach(&self.socket, wanted)?;
            self.wanted = wanted.clone();
        }
        Ok(true)
    }

    /// Until sockets are closed. Cancel safe: what was not taken stays in the socket.
    pub(super) async fn next(&self) -> Heard {
        let mut closed = Vec::new();
        match self.take(&mut closed).await {
            Ok(()) => {}
            Err(error) => return fault(error),
        }
        for _ in 0..BURST {
            match self.take(&mut closed).now_or_never() {
                Some(Ok(())) => {}
                // What was heard besides is part of what may have gone.
                Some(Err(error)) => return fault(error),
                None => break,
            }
        }
        Heard::Closed(closed)
    }

    async fn take(&self, closed: &mut Vec<Socket>) -> io::Result<()> {
        // The kernel's word about the connection follows what is read here, and is cut off: it is not wanted.
        let mut datagram = Vec::with_capacity(1024);
        self.socket.recv(&mut datagram).await?;
        closed.extend(message::read(&datagram).into_iter().filter_map(|said| match said {
            Said::Socket(socket) if !socket.connected => Some(socket),
            Said::Socket(_) | Said::Done | Said::Failed(_) | Said::Changed => None,
        }));
        Ok(())
    }
}

fn fault(error: io::Error) -> Heard {
    if error.raw_os_error() == Some(libc::ENOBUFS) { Heard::Overrun } else { Heard::Broken(error) }
}

fn attach(socket: &TokioSocket, wanted: &Wanted) -> io::Result<()> {
    SockRef::from(socket.socket_ref()).attach_filter(&filter(&wanted.ports))
}

/// Keeps out the end of every connection, and listeners on other ports: a busy server ends thousands of connections a second.
fn filter(ports: &BTreeSet<u16>) -> Vec<SockFilter> {
    const LOAD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    const DROP: SockFilter = SockFilter::new(RETURN, 0, 0, 0);
    const KEEP: SockFilter = SockFilter::new(RETURN, 0, 0, u32::MAX);
    let mut program = vec![SockFilter::new(LOAD_HALF, 0, 0, DESTINATION_PORT), SockFilter::new(EQUAL, 1, 0, 0), DROP];
    if ports.len() <= PORTS {
        program.push(SockFilter::new(LOAD_HALF, 0, 0, SOURCE_PORT));
        for (index, port) in ports.iter().enumerate() {
            // Over the comparisons that are left, and DROP.
            let keep = ports.len() - index;
            program.push(SockFilter::new(EQUAL, keep as u8, 0, u32::from(*port)));
        }
        program.push(DROP);
    }
    program.push(KEEP);
    program
}

#[cfg(test)]
mod tests;
