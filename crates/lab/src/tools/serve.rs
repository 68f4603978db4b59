//! The small web service: who answers is all that it says.
//!
//! It listens on all addresses, so it may start before the agent has bound the anycast address, and answers from the
//! address it was asked at.

mod http;
mod udp;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context as _;
use clap::Args;
use socket2::{Domain, Protocol, Socket, Type};

use super::{HTTP_PORT, LONGEST_NAME, UDP_PORT};

/// `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// The node's name, in every answer
    #[arg(long, value_name = "NAME", value_parser = name)]
    node: String,
    /// The node's region, in the answer to /
    #[arg(long, value_name = "REGION", value_parser = name)]
    region: String,
    /// Where to answer HTTP: /, /healthz, /slow?seconds=N and /slow?ms=N
    #[arg(long, value_name = "PORT", default_value_t = HTTP_PORT)]
    http_port: u16,
    /// Where to answer datagrams
    #[arg(long, value_name = "PORT", default_value_t = UDP_PORT)]
    udp_port: u16,
}

impl Serve {
    /// Serves until it is killed.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let any = [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()];
        let site = http::Site::new(self.node.clone(), self.region);
        for address in any {
            let listener = listen(Type::STREAM, SocketAddr::new(address, self.http_port))?;
            tokio::spawn(http::serve(listener.into(), site.clone())?);
            let socket = listen(Type::DGRAM, SocketAddr::new(address, self.udp_port))?;
            udp::Responder::new(socket, address.is_ipv6(), &self.node)?.spawn();
        }
        std::future::pending().await
    }
}

/// A name is a word that can stand in a header and in a datagram.
fn name(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.len() <= LONGEST_NAME;
    if fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.') {
        return Ok(text.to_owned());
    }
    Err(format!("a name has 1 to {LONGEST_NAME} letters, digits, dots and hyphens"))
}

/// A socket for one family: the other has one of its own, so that no address is a mapped one.
fn listen(kind: Type, address: SocketAddr) -> anyhow::Result<Socket> {
    let bind = || {
        let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
        let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if kind == Type::STREAM {
            // It is killed and started again while its last connections are still in TIME_WAIT.
            socket.set_reuse_address(true)?;
        }
        socket.bind(&address.into())?;
        if kind == Type::STREAM {
            socket.set_nonblocking(true)?;
            socket.listen(128)?;
        }
        std::io::Result::Ok(socket)
    };
    bind().with_context(|| format!("cannot listen on {address}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_stand_in_a_header() {
        for good in ["ap-edge1", "ap-southeast-1", "a.b"] {
            assert_eq!(name(good), Ok(good.to_owned()));
        }
        for bad in ["", "two words", "line\nbreak", "zürich", &"x".repeat(64)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }
}
