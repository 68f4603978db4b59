//! An edge node with an agent, beside a node where the scripted neighbors stand.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    time::Duration,
};

use anycast_lab::{
    burden::{self, Burden},
    harness::{AMPLE, Lab},
    peer::{Ear, Peer, message},
    programs,
    runner::{self, Process, Said, Streams},
};
use anyhow::{Context as _, ensure};
use ipnet::Ipv4Net;
use serde_json::Value;
use tokio::{net::TcpListener, time::timeout};

const CONFIG: &str = "/etc/anycastd/anycastd.yaml";
/// What the service announces.
pub(crate) const PREFIX: &str = "203.0.113.0/24";

/// One service that is up while `/run/health` says 0, and these neighbors: `- { … }`, one a line.
pub(crate) fn config(neighbors: &str) -> String {
    format!(
        r#"
bgp:
  asn: 65010
  router_id: 192.0.2.254
  neighbors:
{neighbors}
services:
  - name: web
    addresses: [203.0.113.80]
    prefixes: [{PREFIX}]
    checks: [{{ name: told, type: exec, command: [/bin/sh, -c, "exit $(cat /run/health)"], interval: 200ms, timeout: 5s }}]
log: {{ format: text, level: debug }}
"#
    )
}

/// The n-th neighbor, in AS 65101.
pub(crate) fn neighbor(n: u8, hold_time: &str) -> String {
    format!("    - {{ name: peer{n}, address: 192.0.2.{n}, asn: 65101, hold_time: {hold_time} }}\n")
}

/// The n-th neighbor, who connects by itself.
pub(crate) fn passive(n: u8) -> String {
    format!("    - {{ name: peer{n}, address: 192.0.2.{n}, asn: 65101, hold_time: 30s, connect: passive }}\n")
}

/// The lab of one test, and the agent in it.
pub(crate) struct Node {
    pub(crate) lab: Lab,
    agent: Process,
    log: tempfile::NamedTempFile,
}

impl Node {
    /// Brings it up, with scripted neighbors that listen before the agent starts and dials them.
    pub(crate) async fn with<const N: usize>(
        config: &str,
        neighbors: [u8; N],
        window: Option<usize>,
    ) -> anyhow::Result<(Self, [TcpListener; N])> {
        let lab = Lab::up(&programs::repository().join("lab/speaker.clab.yml")).await?;
        lab.write("edge", "/run/health", "0").await?;
        lab.write("edge", CONFIG, config).await?;
        if window.is_some() {
            // Little room on this side too: what is not read waits in the agent, not in its kernel.
            lab.run("edge", &["sh", "-c", "echo 4096 4096 4096 >/proc/sys/net/ipv4/tcp_wmem"]).await?;
        }
        let listen = |n| lab.listen("peer", SocketAddr::from(([192, 0, 2, n], message::PORT)), window);
        let listeners = neighbors.into_iter().map(listen).collect::<anyhow::Result<Vec<_>>>()?;
        let log = tempfile::NamedTempFile::new()?;
        let streams = Streams { input: Stdio::null(), output: log.reopen()?.into(), errors: log.reopen()?.into() };
        let agent = lab.runner().spawn("edge", &["anycastd", "--config", CONFIG], streams)?;
        let listeners = <[TcpListener; N]>::try_from(listeners).map_err(|_| anyhow::anyhow!("not {N} listeners"))?;
        Ok((Self { lab, agent, log }, listeners))
    }

    /// What the agent takes of the machine at this moment.
    pub(crate) fn burden(&self) -> anyhow::Result<Burden> {
        burden::of(self.agent.child.id().context("the agent has ended")?)
    }

    /// `anycastctl` with these arguments, however it ends.
    pub(crate) async fn ctl(&self, arguments: &[&str]) -> anyhow::Result<Said> {
        let argv: Vec<&str> = ["anycastctl"].iter().chain(arguments).copied().collect();
        runner::run(self.lab.runner(), "edge", &argv, AMPLE).await
    }

    /// What `anycastctl neighbors --json` says of the n-th.
    pub(crate) async fn neighbor(&self, n: u8) -> anyhow::Result<Value> {
        let answer = self.ctl(&["--json", "neighbors", &format!("peer{n}")]).await?;
        let mut listed: Value = serde_json::from_str(&answer.output).context(answer.errors)?;
        Ok(listed[0].take())
    }

    /// Waits until the agent says this of the last end of the n-th neighbor.
    pub(crate) async fn error(&self, n: u8, words: &str) -> anyhow::Result<()> {
        let what = format!("the last error of peer{n} says `{words}`");
        self.lab
            .wait(&what, async || {
                let neighbor = self.neighbor(n).await?;
                let said = neighbor["last_error"].to_string();
                ensure!(said.contains(words), "it says {said}");
                Ok(Some(()))
            })
            .await
    }
}

/// Tells the agent's log when the test fails.
pub(crate) async fn story(mut node: Node, told: impl AsyncFnOnce(&Node) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let outcome = timeout(Duration::from_secs(240), told(&node)).await;
    let outcome = outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("the test takes too long")));
    if outcome.is_err() {
        let log = fs::read_to_string(node.log.path()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        eprintln!("the agent's log:\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
    }
    // The lab ends when all of its processes are reaped; this one is by nobody but us.
    node.agent.child.kill().await?;
    outcome
}

/// Listens until an UPDATE announces, or withdraws, the prefix; and gives what came before it, as prefixes announced.
pub(crate) async fn hear(ear: &mut Ear, prefix: &str, announced: bool) -> anyhow::Result<Vec<Ipv4Net>> {
    let prefix: Ipv4Net = prefix.parse()?;
    let mut before = Vec::new();
    loop {
        let heard = ear.word().await?.context("the connection ended")?;
        ensure!(heard.kind() == Some(message::Kind::Update), "not an UPDATE: {heard:?}");
        let [withdrawn, fresh] = message::prefixes(heard.body())?;
        if (if announced { &fresh } else { &withdrawn }).contains(&prefix) {
            return Ok(before);
        }
        before.extend(fresh);
    }
}

/// A neighbor's OPEN, the same for all but its identifier.
pub(crate) fn open(n: u8, hold_time: u16) -> bytes::Bytes {
    message::open(hold_time, Ipv4Addr::new(192, 0, 2, n))
}

/// Brings a session up and keeps what the agent has to announce.
pub(crate) async fn announced(listener: &TcpListener, n: u8, hold_time: u16) -> anyhow::Result<Peer> {
    let mut peer = Peer::establish(listener, &open(n, hold_time)).await?;
    hear(&mut peer.ear, PREFIX, true).await?;
    Ok(peer)
}
