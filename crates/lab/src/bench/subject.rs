//! Who is measured: the agent, and two other speakers that announce from a host.

use std::{fmt::Write as _, process::Stdio, time::Duration};

use anycast_api::Neighbor;
use anyhow::Context as _;
use nix::sys::signal::Signal;
use tokio::time::timeout;

use crate::{
    harness::Lab,
    runner::{self, Process, Streams},
    setup,
    tools::record::Nanos,
};

/// For many orders of GoBGP's, a process each.
const ORDERS: Duration = Duration::from_secs(120);
/// For a clean end.
const FAREWELL: Duration = Duration::from_secs(10);

/// A speaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Anycastd,
    ExaBgp,
    GoBgp,
}

impl Subject {
    pub(super) const ALL: [Self; 3] = [Self::Anycastd, Self::ExaBgp, Self::GoBgp];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Anycastd => "anycastd",
            Self::ExaBgp => "ExaBGP",
            Self::GoBgp => "GoBGP",
        }
    }

    pub(super) fn is_installed(self) -> bool {
        match self {
            Self::Anycastd => true,
            Self::ExaBgp => setup::find("exabgp").is_some(),
            Self::GoBgp => setup::find("gobgpd").is_some() && setup::find("gobgp").is_some(),
        }
    }

    /// Whether it dials its neighbor; one that only listens is dialled.
    pub(super) const fn dials(self) -> bool {
        match self {
            Self::Anycastd | Self::ExaBgp => true,
            // It would wait for some seconds first.
            Self::GoBgp => false,
        }
    }

    /// Puts its files into the node.
    pub(super) async fn prepare(self, lab: &Lab, prefixes: u32, neighbors: u8) -> anyhow::Result<()> {
        match self {
            Self::Anycastd => lab.write("edge", "/run/bench/anycastd.yaml", &anycastd(prefixes, neighbors)).await,
            Self::ExaBgp => {
                lab.write("edge", "/run/bench/exabgp.conf", &exabgp(prefixes)).await?;
                // What it is to do comes through a pipe of which it reads one line after the other.
                let orders = "mkfifo /run/bench/orders; while :; do cat /run/bench/orders; done\n";
                lab.write("edge", "/run/bench/orders.sh", orders).await?;
                let withdraws = each(prefixes, |prefix| format!("withdraw route {prefix} next-hop self\n"));
                lab.write("edge", "/run/bench/withdraws", &withdraws).await
            }
            Self::GoBgp => {
                lab.write("edge", "/run/bench/gobgp.toml", GOBGP).await?;
                // The first as soon as it can be ordered, the others then.
                let first = "until gobgp global rib add 10.0.0.0/24 2>/dev/null; do :; done\n".to_owned();
                let others = each(prefixes, |prefix| format!("gobgp global rib add {prefix}\n"));
                lab.write("edge", "/run/bench/announces.sh", &(first + &others)).await
            }
        }
    }

    /// Starts it.
    pub(super) fn start(self, lab: &Lab) -> anyhow::Result<Process> {
        let argv: &[&str] = match self {
            Self::Anycastd => &["sh", "-c", "exec anycastd --config /run/bench/anycastd.yaml >/run/bench/log 2>&1"],
            Self::ExaBgp => &[
                "env",
                "exabgp.daemon.user=root",
                "exabgp.api.ack=false",
                "exabgp.api.cli=false",
                "exabgp.log.all=false",
                "exabgp",
                "/run/bench/exabgp.conf",
            ],
            Self::GoBgp => &["gobgpd", "-f", "/run/bench/gobgp.toml", "--log-level=error"],
        };
        let streams = Streams { input: Stdio::null(), output: Stdio::null(), errors: Stdio::null() };
        lab.runner().spawn("edge", argv, streams).with_context(|| format!("cannot start {}", self.name()))
    }

    /// Has it announce what it does not find in its files.
    pub(super) async fn announce(self, lab: &Lab) -> anyhow::Result<()> {
        match self {
            Self::Anycastd | Self::ExaBgp => Ok(()),
            Self::GoBgp => ordered(lab, &["sh", "/run/bench/announces.sh"]).await,
        }
    }

    /// Orders it to withdraw everything.
    pub(super) async fn withdraw(self, lab: &Lab) -> anyhow::Result<()> {
        match self {
            Self::Anycastd => ordered(lab, &["anycastctl", "withdraw", "--now"]).await,
            Self::ExaBgp => ordered(lab, &["sh", "-c", "cat /run/bench/withdraws >/run/bench/orders"]).await,
            Self::GoBgp => ordered(lab, &["gobgp", "global", "rib", "del", "all", "-a", "ipv4"]).await,
        }
    }

    /// When it took the order to withdraw, by its own word; of the others this is not known.
    pub(super) async fn decided(self, lab: &Lab) -> anyhow::Result<Option<Nanos>> {
        if self != Self::Anycastd {
            return Ok(None);
        }
        let log = lab.run("edge", &["grep", "-m", "1", "withdraw ordered", "/run/bench/log"]).await?;
        let at = log.split_whitespace().next().unwrap_or_default();
        Ok(Some(humantime::parse_rfc3339(at).with_context(|| format!("no time: {log}"))?.into()))
    }

    /// How many routes it has had from its neighbor; of the others this is not known.
    pub(super) async fn received(self, lab: &Lab) -> anyhow::Result<Option<u64>> {
        if self != Self::Anycastd {
            return Ok(None);
        }
        let said = lab.run("edge", &["anycastctl", "--json", "neighbors"]).await?;
        let neighbors: Vec<Neighbor> = serde_json::from_str(&said)?;
        Ok(neighbors.first().and_then(|neighbor| neighbor.counters.get("prefixes_received").copied()))
    }

    /// Ends it, and takes back what it was ordered.
    pub(super) async fn end(self, lab: &Lab, mut process: Process) -> anyhow::Result<()> {
        process.signal(Signal::SIGTERM)?;
        // One that does not end is killed when this is dropped.
        let _ = timeout(FAREWELL, process.wait()).await;
        lab.run("edge", &["rm", "-rf", "/run/bench", "/var/lib/anycastd"]).await.map(drop)
    }
}

async fn ordered(lab: &Lab, argv: &[&str]) -> anyhow::Result<()> {
    runner::output(lab.runner(), "edge", argv, ORDERS).await.map(drop)
}

/// One line for each of the prefixes: 10.0.0.0/24, 10.0.1.0/24 and so on.
fn each(prefixes: u32, line: impl Fn(&str) -> String) -> String {
    (0..prefixes).map(|n| line(&format!("10.{}.{}.0/24", n >> 8, n & 255))).collect()
}

/// One service with one check that holds from its first run on.
fn anycastd(prefixes: u32, neighbors: u8) -> String {
    let mut text = "bgp:\n  asn: 65010\n  router_id: 192.0.2.254\n  neighbors:\n".to_owned();
    for n in 1..=neighbors {
        let _ = writeln!(text, "    - {{ name: peer{n}, address: 192.0.2.{n}, asn: 65101, hold_time: 180s }}");
    }
    let prefixes = each(prefixes, |prefix| format!("      - {prefix}\n"));
    let _ = write!(
        text,
        "services:\n  - name: bench\n    addresses: [10.0.0.1]\n    prefixes:\n{prefixes}    checks:\n      \
         - {{ name: holds, type: exec, command: [/bin/true], interval: 1s, rise: 1 }}\n\
         log: {{ format: text, level: info }}\nstate: {{ directory: /run/bench/state }}\n"
    );
    text
}

fn exabgp(prefixes: u32) -> String {
    let routes = each(prefixes, |prefix| format!("    route {prefix} next-hop self;\n"));
    format!(
        "process orders {{\n  run /bin/sh /run/bench/orders.sh;\n  encoder text;\n}}\n\
         neighbor 192.0.2.1 {{\n  router-id 192.0.2.254;\n  local-address 192.0.2.254;\n  local-as 65010;\n  peer-as 65101;\n  \
         hold-time 180;\n  family {{\n    ipv4 unicast;\n  }}\n  api {{\n    processes [ orders ];\n  }}\n  \
         static {{\n{routes}  }}\n}}\n"
    )
}

/// GoBGP, which waits for its neighbor and is given routes by orders.
pub(super) const GOBGP: &str = r#"
[global.config]
  as = 65010
  router-id = "192.0.2.254"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "192.0.2.1"
    peer-as = 65101
  [neighbors.timers.config]
    hold-time = 180
  [neighbors.transport.config]
    passive-mode = true
"#;
