//! BFD between the agent and FRR's bfdd: sessions, what is discarded, faults, and what happens to the agent itself.

mod faults;
mod forged;
mod life;
mod sessions;

use std::net::IpAddr;

use anycast_lab::harness::control::{Capture, Control};
use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::edge::{Edge, PLAIN, router};

/// The ends of the session that most stories are about.
const AGENT: &str = "192.0.2.2";
const ROUTER: &str = "192.0.2.1";
/// At 50 ms, what both ends of most sessions have.
const FAST: &str = "{ interval: 50ms, multiplier: 3 }";
/// RFC 6335: ports for who asks for none. RFC 5881 §4 wants one of them.
const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49152..=65535;
/// CS6 (RFC 2474), as all that routers say to each other.
const CS6: u8 = 48;

/// [`PLAIN`] with BFD.
fn with(bfd: &str) -> String {
    PLAIN.replace("hold_time: 9s", &format!("hold_time: 9s, bfd: {bfd}"))
}

async fn edge() -> anyhow::Result<Edge> {
    Edge::of("bfd").await
}

/// An agent and a router at 50 ms that have found each other.
async fn up() -> anyhow::Result<Edge> {
    let edge = edge().await?;
    router(&edge, &["neighbor 192.0.2.2 bfd 3 50 50"]).await?;
    edge.configure(&with(FAST)).await?;
    edge.start().await?;
    edge.announced(crate::edge::V4).await?;
    edge.announced(crate::edge::V6).await?;
    is_settled(&edge).await?;
    Ok(edge)
}

/// What a loss of the path would change: the losses, and the sessions of BGP that there were.
async fn seen(edge: &Edge) -> anyhow::Result<(Value, u64)> {
    Ok((ours(edge, "rtr").await?["losses"].clone(), edge.sessions().await?))
}

/// Waits until both ends are Up, and that for a while: FRR 8.4 ends its session and begins another one when that of BGP is there.
async fn is_settled(edge: &Edge) -> anyhow::Result<()> {
    is_up(edge).await?;
    edge.wait("both ends stay Up", async || {
        let (theirs, ours) = (theirs(edge, "rtr", AGENT).await?, ours(edge, "rtr").await?);
        let lasts = theirs["uptime"].as_u64() >= Some(3) && ours["since_seconds"].as_f64() >= Some(3.0);
        is_so(lasts && ours["state"] == "Up" && theirs["status"] == "up", &ours)
    })
    .await
}

/// What a router says of its session with an address.
async fn theirs(edge: &Edge, node: &str, peer: &str) -> anyhow::Result<Value> {
    of_peer(edge, node, peer, "show bfd peers json").await
}

/// How often that session came up and went down, for the router.
async fn changes(edge: &Edge) -> anyhow::Result<(u64, u64)> {
    let counters = of_peer(edge, "rtr", AGENT, "show bfd peers counters json").await?;
    let count = |key: &str| counters[key].as_u64().with_context(|| format!("no {key} in {counters}"));
    Ok((count("session-up")?, count("session-down")?))
}

async fn of_peer(edge: &Edge, node: &str, peer: &str, command: &str) -> anyhow::Result<Value> {
    let all = edge.lab.show(node, command).await?;
    let found = all.as_array().into_iter().flatten().find(|one| one["peer"] == peer);
    found.cloned().with_context(|| format!("{node} has no session with {peer}: {all}"))
}

/// What the agent says of the session with a neighbor.
async fn ours(edge: &Edge, neighbor: &str) -> anyhow::Result<Value> {
    let all = edge.ask(&["neighbors"]).await?;
    let found = all.as_array().into_iter().flatten().find(|one| one["name"] == neighbor);
    let session = found.map(|one| one["bfd"]["session"].clone()).filter(|session| !session.is_null());
    session.with_context(|| format!("no session with {neighbor}: {all}"))
}

/// For what is waited for: where it never comes, it is told what was there instead.
fn is_so(so: bool, found: &Value) -> anyhow::Result<bool> {
    ensure!(so, "found {found}");
    Ok(true)
}

/// Waits until both ends say so.
async fn is_up(edge: &Edge) -> anyhow::Result<()> {
    edge.wait("both ends are Up", async || {
        let (theirs, ours) = (theirs(edge, "rtr", AGENT).await?, ours(edge, "rtr").await?);
        Ok(theirs["status"] == "up" && ours["state"] == "Up" && ours["remote_state"] == "Up")
    })
    .await
}

/// Waits until the router says so of its session.
async fn their_status(edge: &Edge, status: &str) -> anyhow::Result<()> {
    edge.wait(&format!("the router's session is {status}"), async || {
        Ok(theirs(edge, "rtr", AGENT).await?["status"] == status)
    })
    .await
}

/// Has bfdd take these lines.
async fn bfdd(edge: &Edge, node: &str, lines: &[&str]) -> anyhow::Result<()> {
    let mut argv = vec!["vtysh", "-c", "configure terminal", "-c", "bfd"];
    argv.extend(lines.iter().flat_map(|line| ["-c", *line]));
    edge.lab.run(node, &argv).await.map(drop)
}

/// Has nft drop packets in the router: an expression for each.
async fn dropped(edge: &Edge, rules: &[&str]) -> anyhow::Result<()> {
    let rules = |hook: &str| {
        let rules: String = rules.iter().map(|rule| format!("{rule} drop; ")).collect();
        format!("chain {hook} {{ type filter hook {hook} priority 0; {rules}}}\n")
    };
    let text = format!("table inet cut {{\n{}{}{}}}\n", rules("input"), rules("output"), rules("forward"));
    edge.lab.write("rtr", "/run/cut", &text).await?;
    edge.lab.run("rtr", &["nft", "-f", "/run/cut"]).await.map(drop)
}

async fn mended(edge: &Edge) -> anyhow::Result<()> {
    edge.lab.run("rtr", &["nft", "delete table inet cut"]).await.map(drop)
}

async fn watch(edge: &Edge) -> anyhow::Result<Capture> {
    Capture::watch(&edge.lab, "edge", "eth1").await
}

/// Every packet of an end, each as RFC 5881 §4 and §5 want it.
fn sent_by(packets: &[Control], end: &str) -> anyhow::Result<Vec<Control>> {
    let end: IpAddr = end.parse()?;
    let sent: Vec<Control> = packets.iter().filter(|packet| packet.from == end).cloned().collect();
    let first = sent.first().context("it has sent nothing")?;
    for packet in &sent {
        ensure!(packet.ttl == 255 && packet.dscp == CS6, "{packet:?}");
        ensure!(SOURCE_PORTS.contains(&packet.source_port) && packet.source_port == first.source_port, "{packet:?}");
        ensure!(packet.mine == first.mine && !packet.control_plane_independent, "{packet:?}");
        // RFC 5880 §6.8.3.
        ensure!(
            packet.is_up() || packet.desired_min_tx.as_secs() >= 1,
            "it is not slow while it is not Up: {packet:?}"
        );
    }
    Ok(sent)
}
