//! Packets that are not the neighbor's, or not as they should be: none of them does anything, and each is counted.

use std::net::{IpAddr, SocketAddr};

use anycast_lab::{
    harness::control::{MULTIHOP_PORT, SINGLE_HOP_PORT},
    peer::bfd::{Forged, Way, send},
};
use anyhow::{Context as _, ensure};

use super::{AGENT, ROUTER, changes, is_up, ours, up};
use crate::edge::{Edge, story};

const FILTER: &str = include_str!("../../../../../deploy/examples/bfd.nft");
/// How many of each.
const TIMES: u64 = 5;

/// What was discarded for a reason.
async fn discarded(edge: &Edge, reason: &str) -> anyhow::Result<u64> {
    let status = edge.ask(&["status"]).await?;
    status["bfd"]["discards"][reason].as_u64().with_context(|| format!("no {reason} in {}", status["bfd"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_neighbor_has_not_sent_so_is_discarded_and_counted() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        // Another address of the router's, and a way to the agent by the other link.
        edge.lab.run("rtr", &["ip", "address", "add", "192.0.2.9/32", "dev", "edge"]).await.ok();
        edge.lab.run("rtr", &["ip", "rule", "add", "oif", "edge2", "lookup", "100"]).await?;
        edge.lab.run("rtr", &["ip", "route", "add", "192.0.2.2/32", "dev", "edge2", "table", "100"]).await?;
        let (session, downs, sessions) = (ours(edge, "rtr").await?, changes(edge).await?, edge.sessions().await?);
        let losses = session["losses"].as_u64();
        let number = |key: &str| {
            let number = session[key].as_u64().and_then(|number| u32::try_from(number).ok());
            number.with_context(|| format!("no {key} in {session}"))
        };
        let (mine, yours) = (number("remote_discriminator")?, number("local_discriminator")?);
        let [agent, router, other]: [IpAddr; 3] = [AGENT.parse()?, ROUTER.parse()?, "192.0.2.9".parse()?];
        let to = SocketAddr::new(agent, SINGLE_HOP_PORT);
        let near = Way { from: router, to, ttl: 255, interface: None };
        let down = Forged::down(mine, yours);
        let table = [
            ("ttl", down.clone(), Way { ttl: 254, ..near }),
            ("discriminator", Forged { yours: yours.wrapping_add(1), ..down.clone() }, near),
            ("unknown_sender", Forged { yours: 0, ..down.clone() }, Way { from: other, ..near }),
            ("address", down.clone(), Way { from: other, ..near }),
            ("interface", down.clone(), Way { interface: Some("edge2"), ..near }),
            ("malformed", Forged { version: 2, ..down.clone() }, near),
            ("malformed", Forged { multiplier: 0, ..down.clone() }, near),
            ("malformed", Forged { flags: 1, ..down.clone() }, near),
            ("malformed", Forged { mine: 0, ..down.clone() }, near),
            ("malformed", Forged { flags: 0b100, section: vec![5, 200, 1], ..down.clone() }, near),
            ("authentication", Forged { flags: 0b100, section: vec![1, 7, 1, 1, 2, 3, 4], ..down.clone() }, near),
        ];
        for (reason, forged, way) in table {
            let before = discarded(edge, reason).await?;
            let octets = forged.octets();
            for _ in 0..TIMES {
                edge.lab.within("rtr", || send(&octets, way))?;
            }
            let counted = async || Ok(discarded(edge, reason).await? >= before + TIMES);
            edge.wait(&format!("{reason} is counted: {forged:?}"), counted).await?;
            ensure!(discarded(edge, reason).await? == before + TIMES, "{reason}: {forged:?}");
        }
        // The port of multihop sessions is not this one's.
        let octets = down.octets();
        for _ in 0..TIMES {
            edge.lab.within("rtr", || send(&octets, Way { to: SocketAddr::new(agent, MULTIHOP_PORT), ..near }))?;
        }
        is_up(edge).await?;
        ensure!(changes(edge).await? == downs, "{:?}", changes(edge).await?);
        let after = ours(edge, "rtr").await?;
        ensure!(after["losses"].as_u64() == losses && after["since"] == session["since"], "{after}");
        ensure!(edge.sessions().await? == sessions);

        // And one that is as it should be is believed: the test could tell.
        edge.lab.within("rtr", || send(&octets, near))?;
        edge.wait("it is believed", async || Ok(ours(edge, "rtr").await?["losses"].as_u64() > losses)).await
    };
    story(told, up().await).await
}

/// The example of the documentation.
#[tokio::test(flavor = "multi_thread")]
async fn a_packet_filter_keeps_strangers_out_and_lets_the_neighbor_in() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.lab.write("edge", "/etc/bfd.nft", FILTER).await?;
        let (session, downs) = (ours(edge, "rtr").await?, changes(edge).await?);
        // It may be loaded again.
        for _ in 0..2 {
            edge.lab.run("edge", &["nft", "-f", "/etc/bfd.nft"]).await?;
        }
        let before = edge.ask(&["status"]).await?["bfd"]["discards"].clone();
        let octets = Forged::down(1, 2).octets();
        let (agent, router, other): (IpAddr, _, _) = (AGENT.parse()?, ROUTER.parse()?, "192.0.2.9".parse()?);
        edge.lab.run("rtr", &["ip", "address", "add", "192.0.2.9/32", "dev", "edge"]).await?;
        let far = Way { from: router, to: SocketAddr::new(agent, SINGLE_HOP_PORT), ttl: 254, interface: None };
        let stranger = Way { from: other, to: SocketAddr::new(agent, MULTIHOP_PORT), ttl: 255, interface: None };
        for _ in 0..TIMES {
            edge.lab.within("rtr", || send(&octets, far))?;
            edge.lab.within("rtr", || send(&octets, stranger))?;
        }
        edge.wait("the filter has counted both", async || {
            let rules = edge.lab.run("edge", &["nft", "list", "table", "inet", "bfd"]).await?;
            let counted = |rule: &str| {
                rules.lines().any(|line| line.contains(rule) && line.contains(&format!("packets {TIMES} ")))
            };
            Ok(counted("dport 3784 ip ttl != 255") && counted("dport 4784 ip saddr != @routers4"))
        })
        .await?;
        ensure!(edge.ask(&["status"]).await?["bfd"]["discards"] == before, "the agent has got some");
        let heard = ours(edge, "rtr").await?["counters"]["packets_received"].as_u64();
        edge.wait("the neighbor is heard", async || {
            Ok(ours(edge, "rtr").await?["counters"]["packets_received"].as_u64() > heard.map(|heard| heard + 10))
        })
        .await?;
        is_up(edge).await?;
        ensure!(changes(edge).await? == downs && ours(edge, "rtr").await?["since"] == session["since"]);
        Ok(())
    };
    story(told, up().await).await
}
