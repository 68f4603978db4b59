//! Asks the service of each target again and again: datagrams from a ring of source ports, and HTTP over connections of
//! their own.

mod datagrams;
mod ledger;
mod lookups;
mod web;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use clap::Args;
use tokio::time::{self, MissedTickBehavior};

use self::{ledger::Ledger, lookups::Lookups};
use super::{
    HTTP_PORT, UDP_PORT,
    names::{self, Question},
    output::{self, Lines},
};

/// How often what is known is told.
const FLUSH: Duration = Duration::from_millis(25);

/// `probe`.
#[derive(Debug, Args)]
pub struct Probe {
    /// Whom to ask
    #[arg(long = "target", value_name = "ADDRESS", required_unless_present = "lookups")]
    targets: Vec<IpAddr>,
    /// Whom to ask by name, with a datagram: the resolver is asked before each request, and its first address is taken
    #[arg(long = "lookup", value_name = "NAME", requires = "resolver", value_parser = names::question)]
    lookups: Vec<Question>,
    /// Who resolves names
    #[arg(long, value_name = "ADDRESS:PORT")]
    resolver: Option<SocketAddr>,
    /// Ask each name every so many milliseconds
    #[arg(long, value_name = "MS", default_value = "100", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    lookup_every: u64,
    /// So many clients ask each name instead, each of which keeps the first address of an answer for as long as that lives
    #[arg(long, value_name = "N", requires = "lookups", value_parser = clap::value_parser!(u16).range(1..=1024))]
    keepers: Option<u16>,
    /// Ask with a datagram every so many milliseconds
    #[arg(long, value_name = "MS", default_value = "5", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    udp_every: u64,
    /// Ask over HTTP every so many milliseconds
    #[arg(long, value_name = "MS", default_value = "100", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    http_every: u64,
    /// A request that is not answered within so many milliseconds is lost
    #[arg(long, value_name = "MS", default_value = "1000", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    timeout: u64,
    /// From how many source ports to ask each target, in turn
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=1024))]
    flows: u16,
    /// Where the service answers datagrams
    #[arg(long, value_name = "PORT", default_value_t = UDP_PORT)]
    udp_port: u16,
    /// Where it answers HTTP
    #[arg(long, value_name = "PORT", default_value_t = HTTP_PORT)]
    http_port: u16,
    /// What to ask for there
    #[arg(long, value_name = "PATH", default_value = "/")]
    http_path: String,
}

impl Probe {
    /// Asks until it is enough.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let timeout = Duration::from_millis(self.timeout);
        let ledger = Arc::new(Ledger::new(timeout, Lines::new()));
        for target in self.targets {
            let every = Duration::from_millis(self.udp_every);
            datagrams::start(target, self.udp_port, self.flows, every, &ledger)?;
            let web = SocketAddr::new(target, self.http_port);
            web::start(web, &self.http_path, Duration::from_millis(self.http_every), timeout, &ledger);
        }
        if let Some(resolver) = self.resolver {
            for question in self.lookups {
                let lookups = Arc::new(Lookups {
                    question,
                    resolver,
                    port: self.udp_port,
                    every: Duration::from_millis(self.lookup_every),
                    timeout,
                    changes: Mutex::default(),
                    ledger: ledger.clone(),
                });
                match self.keepers {
                    Some(clients) => lookups.start_keepers(clients)?,
                    None => lookups.start(self.flows)?,
                }
            }
        }
        ledger.ready();
        let flush = async {
            let mut ticks = ticks(FLUSH);
            loop {
                ticks.tick().await;
                ledger.tell();
            }
        };
        tokio::select! {
            ended = output::ending() => ended?,
            () = flush => {}
        }
        ledger.tell();
        Ok(())
    }
}

/// Ticks that are skipped when they come too late: catching up would make a burst of what should be spread.
pub(super) fn ticks(every: Duration) -> time::Interval {
    let mut ticks = time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}
