//! Many short connections a second, for as long as asked: a load on a server and on the kernel under it.

use std::{
    io::Read as _,
    net::{Ipv4Addr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use ipnet::Ipv4Net;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    output::Lines,
    record::{Nanos, Record},
};

/// How long a connection may take; one that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// `client`.
#[derive(Debug, Args)]
pub struct Client {
    /// Whom to connect to, who must speak first (`server tcp`)
    #[arg(value_name = "ADDRESS:PORT")]
    to: SocketAddr,
    /// Connections a second, or fewer where the machine cannot
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// For how long
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    time: Duration,
    /// The addresses to come from, all of which must be this node's: one has ports for some 28,000 connections a minute
    #[arg(long, value_name = "PREFIX")]
    from: Option<Ipv4Net>,
    /// How many connections at a time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..1000))]
    threads: u32,
}

impl Client {
    /// Connects again and again, and tells how often.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (at, start) = (Nanos::now(), Instant::now());
        // One that cannot be made at all says why.
        self.connect(0).with_context(|| format!("cannot connect to {}", self.to))?;
        let counts: Vec<[u64; 2]> = thread::scope(|scope| {
            let workers: Vec<_> = (0..self.threads)
                .map(|n| {
                    scope.spawn({
                        let client = &self;
                        move || client.work(n, start)
                    })
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().unwrap_or_default()).collect()
        });
        let sum = |which: usize| counts.iter().filter_map(|count| count.get(which)).sum();
        let took = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Lines::new().say(&Record::Connections { at, took, made: sum(0), failed: sum(1) });
        Ok(())
    }

    /// The share of one thread. One that is behind by more than a moment leaves out what it has missed.
    fn work(&self, thread: u32, start: Instant) -> [u64; 2] {
        let step = Duration::from_secs(1) * self.threads / self.rate;
        let mut due = start + step * thread / self.threads;
        let (mut made, mut failed) = (0, 0);
        let mut turn = thread;
        while start.elapsed() < self.time {
            let now = Instant::now();
            if now < due {
                thread::sleep(due - now);
            }
            due = (due + step).max(now.checked_sub(step * 8).unwrap_or(now));
            turn = turn.wrapping_add(self.threads);
            match self.connect(turn) {
                Ok(()) => made += 1,
                Err(_) => failed += 1,
            }
        }
        [made, failed]
    }

    fn connect(&self, turn: u32) -> std::io::Result<()> {
        let mut socket = Socket::new(Domain::for_address(self.to), Type::STREAM, Some(Protocol::TCP))?;
        if let Some(source) = self.source(turn) {
            // The port is chosen with the whole connection in view, so that one address has ports for each server.
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
            socket.bind(&SocketAddr::from((source, 0)).into())?;
        }
        socket.connect_timeout(&self.to.into(), PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        match socket.read(&mut [0; 64])? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn source(&self, turn: u32) -> Option<Ipv4Addr> {
        let hosts = self.from?;
        let count = 1_u32.checked_shl(32 - u32::from(hosts.prefix_len())).unwrap_or(u32::MAX);
        Some(Ipv4Addr::from(u32::from(hosts.network()) + turn % count))
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, net::TcpListener};

    use super::*;

    fn client(to: SocketAddr, from: &str) -> Client {
        let from = Some(from.parse().unwrap());
        Client { to, rate: 100, time: Duration::from_millis(300), from, threads: 2 }
    }

    #[test]
    fn it_comes_from_each_address_in_turn() {
        let client = client("127.0.0.1:1".parse().unwrap(), "127.1.0.4/30");
        let sources: Vec<_> = (0..5).filter_map(|turn| client.source(turn)).map(|source| source.octets()[3]).collect();
        assert_eq!(sources, [4, 5, 6, 7, 4]);
        assert!(self::Client { from: None, ..client }.source(1).is_none());
    }

    #[test]
    fn it_keeps_to_its_rate_and_counts() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = client(listener.local_addr().unwrap(), "127.1.0.0/30");
        thread::spawn(move || {
            for stream in listener.incoming() {
                drop(stream.and_then(|mut stream| stream.write_all(b"ok\n")));
            }
        });
        let [made, failed] = client.work(0, Instant::now());
        // Half of the rate is its own share. A busy machine does less, none does more.
        assert!((1..=16).contains(&made) && failed == 0, "{made} made, {failed} failed");
    }

    #[test]
    fn who_does_not_answer_is_not_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        drop(listener);
        assert!(client(at, "127.1.0.0/30").run().unwrap_err().to_string().contains("cannot connect to 127.0.0.1:"));
    }
}
