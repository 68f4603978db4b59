//! The socket that hears that something changed. What, it does not say: the keeper lists anew, so that an event that was
//! misread or lost does no harm.

use std::io;

use futures_util::FutureExt;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};
use socket2::{SockFilter, SockRef};

use super::TAG;

const GROUPS: libc::c_int = libc::RTMGRP_LINK
    | libc::RTMGRP_IPV4_IFADDR
    | libc::RTMGRP_IPV6_IFADDR
    | libc::RTMGRP_IPV4_ROUTE
    | libc::RTMGRP_IPV6_ROUTE;

/// How many events are taken as one.
const BURST: usize = 1024;

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// Something changed.
    Change,
    /// So much changed that the kernel dropped events (ENOBUFS).
    Overrun,
    /// Nothing more will be heard.
    Broken(io::Error),
}

pub(super) struct Events(TokioSocket);

impl Events {
    pub(super) fn open(receive_buffer: Option<usize>) -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        let options = SockRef::from(socket.socket_ref());
        if let Some(bytes) = receive_buffer {
            options.set_recv_buffer_size(bytes)?;
        }
        if let Err(error) = options.attach_filter(&filter()) {
            // Without it everybody's routes wake us, which costs time and nothing else.
            tracing::debug!(%error, "no filter on route events");
        }
        socket.socket_mut().bind(&SocketAddr::new(0, GROUPS.cast_unsigned()))?;
        Ok(Self(socket))
    }

    /// Until something changed; a burst counts once. Cancel safe: what was not taken stays in the socket.
    pub(super) async fn next(&mut self) -> Heard {
        let mut heard = match self.take().await {
            Ok(heard) => heard,
            Err(error) => return Heard::Broken(error),
        };
        for _ in 0..BURST {
            match self.take().now_or_never() {
                Some(Ok(Heard::Change)) => {}
                Some(Ok(more)) => heard = more,
                Some(Err(error)) => return Heard::Broken(error),
                None => break,
            }
        }
        heard
    }

    async fn take(&self) -> io::Result<Heard> {
        // The rest of a longer message is dropped: that it came is all that matters.
        let mut message = [0; 64];
        match self.0.recv(&mut message.as_mut_slice()).await {
            Ok(()) => Ok(Heard::Change),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(Heard::Overrun),
            Err(error) => Err(error),
        }
    }
}

/// Keeps the routes of others out: a routing daemon with a full table would drown the rest. Classic BPF over struct nlmsghdr
/// (16 bytes, nlmsg_type at 4) and struct rtmsg (rtm_protocol at 5).
fn filter() -> [SockFilter; 7] {
    const LOAD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
    const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    // BPF loads in network order, netlink writes in the machine's own.
    let kind = |kind: u16| u32::from(kind.to_be());
    [
        SockFilter::new(LOAD_HALF, 0, 0, 4),
        SockFilter::new(EQUAL, 1, 0, kind(libc::RTM_NEWROUTE)),
        SockFilter::new(EQUAL, 0, 2, kind(libc::RTM_DELROUTE)),
        SockFilter::new(LOAD_BYTE, 0, 0, 16 + 5),
        SockFilter::new(EQUAL, 0, 1, u32::from(TAG)),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}
