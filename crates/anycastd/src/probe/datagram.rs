//! One UDP socket for one peer.

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::net::UdpSocket;

use super::Finding;

/// The largest datagram there is.
const LARGEST: usize = 65_535;

/// A socket that takes datagrams from this address alone, and learns of its refusal.
#[derive(Debug)]
pub(super) struct Peer {
    socket: UdpSocket,
    address: SocketAddr,
    received: Vec<u8>,
}

impl Peer {
    /// From a port that the kernel chooses at random.
    pub(super) async fn new(address: SocketAddr) -> Result<Self, Finding> {
        let connect = async {
            let any: SocketAddr = match address {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(any).await?;
            socket.connect(address).await?;
            refuse_self(&socket)?;
            Ok(socket)
        };
        let socket = connect.await.map_err(|error| fault(address, &error))?;
        Ok(Self { socket, address, received: Vec::new() })
    }

    pub(super) async fn send(&self, bytes: &[u8]) -> Result<(), Finding> {
        self.socket.send(bytes).await.map(drop).map_err(|error| fault(self.address, &error))
    }

    /// The next datagram, however long that takes.
    pub(super) async fn receive(&mut self) -> Result<&[u8], Finding> {
        self.received.clear();
        self.received.reserve(LARGEST);
        let received = self.socket.recv_buf(&mut self.received).await;
        received.map(drop).map_err(|error| fault(self.address, &error))?;
        Ok(&self.received)
    }
}

fn fault(address: SocketAddr, error: &io::Error) -> Finding {
    Finding::fault(&address.to_string(), error)
}

/// Where nobody has a local port of the ephemeral range, the kernel may choose that very port as the source: what is sent
/// then comes back as if it were the answer.
fn refuse_self(socket: &UdpSocket) -> io::Result<()> {
    if socket.local_addr()? == socket.peer_addr()? {
        return Err(ErrorKind::ConnectionRefused.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_is_its_own_peer_is_refused() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(socket.local_addr().unwrap()).await.unwrap();
        assert_eq!(refuse_self(&socket).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
}
