//! A TCP connection is accepted by each address.
//!
//! The connection ends with a FIN, as a client's would. A reset (SO_LINGER 0) would spare the TIME_WAIT, but servers log
//! it as an error, and one that comes before their accept() can hide that they hang. The ports last: TIME_WAIT holds one
//! per address and port probed, so a check every 10 ms keeps 6,000 of some 28,000, and on the loopback, where services
//! are, the kernel takes them again after a second (`tcp_tw_reuse` 2, its default).

use std::{
    io::{Error, ErrorKind},
    net::SocketAddr,
    time::{Duration, Instant},
};

use anycast_core::config::{Protocol as Transport, TcpProbe};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::TcpStream, time};

use super::{Finding, several, words};

#[derive(Debug)]
pub(super) struct TcpProber {
    addresses: Vec<SocketAddr>,
}

impl TcpProber {
    pub(super) fn new(config: &TcpProbe) -> Self {
        Self { addresses: config.addresses.clone() }
    }

    pub(super) async fn run(&self, timeout: Duration) -> Finding {
        let accepted = match several::each(&self.addresses, |address| accepts(address, timeout)).await {
            Ok(accepted) => accepted,
            Err(failure) => return failure,
        };
        match accepted.into_iter().max_by_key(|(_, took)| *took) {
            Some((address, took)) if self.addresses.len() == 1 => {
                Finding::up(format!("{address} accepted in {}", words::took(took)))
            }
            Some((address, took)) => Finding::up(format!(
                "all {} addresses accepted, {address} last, in {}",
                self.addresses.len(),
                words::took(took)
            )),
            None => Finding::unknown("no address to connect to"),
        }
    }
}

/// Connects, within the timeout.
pub(super) async fn connect(address: SocketAddr, timeout: Duration) -> Result<TcpStream, Finding> {
    match time::timeout(timeout, open(address)).await {
        Ok(opened) => opened,
        Err(_) => return Err(Finding::late(format!("connect {address}: no answer within {}", words::time(timeout)))),
    }
    .map_err(|error| Finding::fault(&format!("connect {address}"), &error).of(Transport::Tcp, address))
}

async fn accepts(address: SocketAddr, timeout: Duration) -> Result<Duration, Finding> {
    let started = Instant::now();
    connect(address, timeout).await?;
    Ok(started.elapsed())
}

/// Connects. Within one host the kernel has shaken hands, or been refused, when connect(2) returns; so there is nothing to wait
/// for, and the run is spared a turn of the runtime.
///
/// # Errors
/// What the kernel says; ECONNREFUSED too where the connection would be one with itself.
pub(crate) async fn open(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    no_error(socket.take_error()?)?;
    let connected = socket.peer_addr().is_ok();
    let stream = TcpStream::from_std(socket.into())?;
    if !connected {
        stream.writable().await?;
        no_error(stream.take_error()?)?;
    }
    refuse_self(stream, address)
}

/// What is reset had been accepted: whoever is told of that must not depend on which of the two was seen first.
fn no_error(error: Option<Error>) -> std::io::Result<()> {
    error.filter(|error| error.kind() != ErrorKind::ConnectionReset).map_or(Ok(()), Err)
}

/// Where nobody listens on a local port of the ephemeral range, the kernel may choose that very port as the source: the
/// SYN then meets its own socket, and TCP connects it to itself (RFC 9293 §3.5, simultaneous open).
fn refuse_self(stream: TcpStream, peer: SocketAddr) -> std::io::Result<TcpStream> {
    let local = stream.local_addr()?;
    if (local.ip(), local.port()) == (peer.ip(), peer.port()) {
        return Err(Error::from(ErrorKind::ConnectionRefused));
    }
    Ok(stream)
}

#[cfg(test)]
mod tests;
