//! A service to be checked: it answers on as many ports as asked for, as late and with what it is told.
//!
//! Unlike the web service it is nobody in particular, and it says when it begins to listen. One process stands for a server, or
//! for a thousand.

mod stream;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::{
    output::Lines,
    record::{Nanos, Record},
};

/// The longest datagram that is answered whole.
const DATAGRAM: usize = 64 * 1024;

/// `server`.
#[derive(Debug, Args)]
pub struct Server {
    /// What it speaks
    #[arg(value_name = "PROTOCOL")]
    speaks: Speaks,
    /// Where to listen; with more than one port, on the first of them
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = SocketAddr::from((IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080)))]
    at: SocketAddr,
    /// How many ports, from that one on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    ports: u16,
    /// Let others listen at the same place (SO_REUSEPORT)
    #[arg(long)]
    reuse_port: bool,
    /// Connections that may wait to be accepted
    #[arg(long, value_name = "N", default_value_t = 1024)]
    backlog: i32,
    /// Accept no connection: the queue fills up
    #[arg(long)]
    deaf: bool,
    /// How long every answer takes
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = humantime::parse_duration)]
    delay: Duration,
    /// The status of an answer by HTTP
    #[arg(long, value_name = "CODE", default_value_t = 200, value_parser = clap::value_parser!(u16).range(100..600))]
    status: u16,
    /// What an answer by HTTP, or the greeting of a TCP connection, holds
    #[arg(long, value_name = "TEXT", default_value = "ok")]
    body: String,
}

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Speaks {
    /// Greets whoever connects, and hears them out.
    Tcp,
    /// HTTP/1.1: the same answer to whatever is asked.
    Http,
    /// Every datagram comes back.
    Udp,
}

impl Server {
    /// Serves until it is killed.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        more_descriptors()?;
        let Some(last) = self.at.port().checked_add(self.ports - 1) else {
            bail!("{} ports from {} on are more than there are", self.ports, self.at.port());
        };
        let at = Nanos::now();
        let sockets = (self.at.port()..=last)
            .map(|port| self.listen(SocketAddr::new(self.at.ip(), port)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        Lines::new().say(&Record::Ready { at });
        let manner = Arc::new(self.manner());
        for socket in sockets.iter().filter(|_| !self.deaf) {
            let socket = socket.try_clone()?;
            match self.speaks {
                Speaks::Tcp | Speaks::Http => {
                    let listener = tokio::net::TcpListener::from_std(socket.into())?;
                    tokio::spawn(stream::serve(listener, manner.clone()));
                }
                Speaks::Udp => drop(tokio::spawn(echo(UdpSocket::from_std(socket.into())?, self.delay))),
            }
        }
        std::future::pending().await
    }

    fn manner(&self) -> stream::Manner {
        if self.speaks == Speaks::Http {
            stream::Manner::http(self.status, &self.body, self.delay)
        } else {
            stream::Manner::greeting(&self.body, self.delay)
        }
    }

    fn listen(&self, at: SocketAddr) -> anyhow::Result<Socket> {
        let listen = || {
            let (kind, protocol) = match self.speaks {
                Speaks::Tcp | Speaks::Http => (Type::STREAM, Protocol::TCP),
                Speaks::Udp => (Type::DGRAM, Protocol::UDP),
            };
            let socket = Socket::new(Domain::for_address(at), kind.nonblocking(), Some(protocol))?;
            // It is killed and started again while its last connections are still in TIME_WAIT.
            socket.set_reuse_address(self.speaks != Speaks::Udp)?;
            socket.set_reuse_port(self.reuse_port)?;
            socket.bind(&at.into())?;
            if self.speaks != Speaks::Udp {
                socket.listen(self.backlog)?;
            }
            std::io::Result::Ok(socket)
        };
        listen().with_context(|| format!("cannot listen at {at}"))
    }
}

/// As many as this process may have: a thousand ports, and a connection at each, are more than it has at first.
pub(super) fn more_descriptors() -> anyhow::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).context("cannot have more descriptors")
}

async fn echo(socket: UdpSocket, delay: Duration) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; DATAGRAM];
    loop {
        // An answer that could not be delivered is told at the next read, and is none of the next one's business.
        let Ok((length, asker)) = socket.recv_from(&mut buffer).await else { continue };
        let answer = buffer.get(..length).unwrap_or_default();
        if delay.is_zero() {
            let _ = socket.send_to(answer, asker).await;
            continue;
        }
        let (socket, answer) = (socket.clone(), answer.to_vec());
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let _ = socket.send_to(&answer, asker).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        server: Server,
    }

    fn server(words: &str) -> Server {
        Line::try_parse_from(std::iter::once("server").chain(words.split_whitespace())).unwrap().server
    }

    #[test]
    fn two_listen_at_one_port_only_where_both_want_to() {
        let first = server("tcp --at 127.0.0.1:0 --reuse-port").listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let at = first.local_addr().unwrap().as_socket().unwrap();
        assert!(server("tcp").listen(at).is_err());
        assert!(server("http --reuse-port").listen(at).is_ok());
    }

    #[tokio::test]
    async fn more_ports_than_there_are_is_a_mistake() {
        let error = server("tcp --at 127.0.0.1:65535 --ports 2").run().await.unwrap_err().to_string();
        assert_eq!(error, "2 ports from 65535 on are more than there are");
    }

    #[tokio::test]
    async fn every_datagram_comes_back() {
        for delay in ["0ms", "20ms"] {
            let server = server(&format!("udp --delay {delay}"));
            let socket = server.listen("127.0.0.1:0".parse().unwrap()).unwrap();
            let at = socket.local_addr().unwrap().as_socket().unwrap();
            let serving = tokio::spawn(echo(UdpSocket::from_std(socket.into()).unwrap(), server.delay));
            let asker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            asker.send_to(b"question", at).await.unwrap();
            let mut answer = [0; 16];
            let read = tokio::time::timeout(crate::harness::AMPLE, asker.recv(&mut answer)).await.unwrap().unwrap();
            assert_eq!(&answer[..read], b"question");
            serving.abort();
        }
    }
}
