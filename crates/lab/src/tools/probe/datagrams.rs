//! Datagrams from a ring of source ports.
//!
//! A router that shares the load by flow keeps a source port on one path. A ring of them sees every path, and the loss of
//! one path as the share of requests that took it.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use tokio::net::UdpSocket;

use super::{
    ledger::{Ledger, Ticket},
    ticks,
};
use crate::tools::{LONGEST_NAME, record::How};

/// An answer is the ticket and a name.
const LONGEST: usize = 8 + LONGEST_NAME;

/// Asks `target` from now on.
pub(super) fn start(
    target: IpAddr,
    port: u16,
    flows: u16,
    every: Duration,
    ledger: &Arc<Ledger>,
) -> anyhow::Result<()> {
    let target = SocketAddr::new(target, port);
    let ring = (0..flows).map(|_| open(target)).collect::<Result<Vec<_>, _>>();
    let ring = ring.with_context(|| format!("cannot open sockets to ask {target}"))?;
    for (socket, _) in &ring {
        tokio::spawn(listen(socket.clone(), port, ledger.clone()));
    }
    tokio::spawn(ask(ring, target, every, ledger.clone()));
    Ok(())
}

/// A socket and its port. It is not connected: what ICMP says of one request must not end another.
pub(super) fn open(target: SocketAddr) -> std::io::Result<(Arc<UdpSocket>, u16)> {
    let any = if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { IpAddr::from(Ipv6Addr::UNSPECIFIED) };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    let port = socket.local_addr()?.port();
    Ok((Arc::new(UdpSocket::from_std(socket)?), port))
}

async fn ask(ring: Vec<(Arc<UdpSocket>, u16)>, target: SocketAddr, every: Duration, ledger: Arc<Ledger>) {
    let mut ticks = ticks(every);
    for (socket, flow) in ring.iter().cycle() {
        ticks.tick().await;
        let ticket = ledger.enter(How::Udp, target.ip(), *flow);
        // It does not wait for room: the time of sending would be a lie.
        if let Err(error) = socket.try_send_to(&ticket.to_wire(), target) {
            ledger.close(ticket, None, Some(error.to_string()));
        }
    }
}

/// Hears the answers that come to a socket, from wherever its requests went to.
pub(super) async fn listen(socket: Arc<UdpSocket>, port: u16, ledger: Arc<Ledger>) {
    let mut buffer = [0; LONGEST + 1];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let answer = buffer.get(..length).unwrap_or_default();
        if let Some((ticket, node)) = read(answer)
            && from.port() == port
        {
            ledger.answered(ticket, from.ip(), node);
        }
    }
}

/// An answer, if it is one.
fn read(answer: &[u8]) -> Option<(Ticket, &str)> {
    let (ticket, node) = answer.split_first_chunk()?;
    let node = str::from_utf8(node).ok().filter(|node| !node.is_empty() && node.len() <= LONGEST_NAME)?;
    Some((Ticket::from_wire(*ticket), node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_ticket_and_a_name() {
        let ticket = Ticket::from_wire([0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(ticket.to_wire(), [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(read(b"\0\0\0\0\0\0\x01\x02ap-edge1"), Some((ticket, "ap-edge1")));
        let long = [&[0; 8][..], &[b'x'; LONGEST_NAME + 1]].concat();
        for odd in [&b""[..], b"\0\0\0", b"\0\0\0\0\0\0\x01\x02", b"\0\0\0\0\0\0\x01\x02\xff", &long] {
            assert_eq!(read(odd), None, "{odd:?}");
        }
    }
}
