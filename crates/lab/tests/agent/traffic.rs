//! What comes for an address is counted by the kernel, where a service asks for it, and nobody else counts otherwise.

use anycast_lab::{
    harness::AMPLE,
    runner::{self, Said},
};
use anyhow::ensure;
use nix::sys::signal::Signal;

use crate::{
    edge::{ADDRESS_V4, Edge, PLAIN, V4, V6, story},
    metrics::value,
    upgrade::{install_ours, start, upgrade},
};

const ADDRESS_V6: &str = "2001:db8:53::80";
const PCAP: &str = "/run/traffic.pcap";
/// The stream of datagrams ends once it is there.
const ENOUGH: &str = "/run/enough";
/// An octet behind the headers of UDP and IPv4.
const DATAGRAM: f64 = 29.0;

/// So many datagrams from a node, to a port where nobody listens; how that ends.
async fn datagrams(edge: &Edge, node: &str, count: u32, address: &str) -> anyhow::Result<Said> {
    let script = format!("for i in $(seq {count}); do printf x >/dev/udp/{address}/9 || exit 1; done");
    runner::run(edge.lab.runner(), node, &["bash", "-c", &script], AMPLE).await
}

async fn sent(edge: &Edge, count: u32, address: &str) -> anyhow::Result<()> {
    let said = datagrams(edge, "rtr", count, address).await?;
    ensure!(said.status.success(), "{}{}", said.output, said.errors);
    Ok(())
}

async fn received(edge: &Edge, what: &str, address: &str) -> anyhow::Result<Option<f64>> {
    value(edge, &format!("anycastd_address_received_{what}_total{{address=\"{address}\",service=\"web\"}}")).await
}

async fn counts(edge: &Edge, packets: f64) -> anyhow::Result<()> {
    let what = format!("{packets} packets are counted");
    edge.wait(&what, async || Ok(received(edge, "packets", ADDRESS_V4).await? == Some(packets))).await
}

/// What is said of a drain once it is over.
async fn withdrawn(edge: &Edge) -> anyhow::Result<String> {
    let said = edge.ctl(&["withdraw", "--now", "--wait", "--timeout", "20s"]).await?;
    ensure!(said.status.success() && said.output.ends_with("\nsafe to stop\n"), "{}{}", said.output, said.errors);
    Ok(said.output)
}

/// The tables of the packet filter.
async fn tables(edge: &Edge) -> anyhow::Result<String> {
    edge.run(&["nft", "list", "tables"]).await
}

/// An agent that can be replaced, and does not count.
async fn announcing() -> anyhow::Result<Edge> {
    let edge = Edge::new().await?;
    install_ours(&edge).await?;
    edge.configure(PLAIN).await?;
    start(&edge).await?;
    edge.announced(V4).await?;
    edge.announced(V6).await?;
    Ok(edge)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_is_counted_and_goes_on_being_counted() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        ensure!(tables(edge).await?.is_empty(), "off by default");
        ensure!(received(edge, "packets", ADDRESS_V4).await?.is_none());
        edge.configure(&PLAIN.replace("    drain:", "    traffic: true\n    drain:")).await?;
        edge.reload().await?;
        counts(edge, 0.0).await?;
        let dumpcap = ["dumpcap", "-q", "-i", "eth1", "-f", "dst host 203.0.113.80", "-w", PCAP];
        edge.lab.start("edge", &dumpcap, "/run/dumpcap.log").await?;
        edge.wait("packets are captured", async || Ok(edge.run(&["test", "-s", PCAP]).await.is_ok())).await?;

        // What the node sends itself does not count.
        ensure!(datagrams(edge, "edge", 3, ADDRESS_V4).await?.status.success());
        sent(edge, 20, ADDRESS_V4).await?;
        sent(edge, 5, ADDRESS_V6).await?;
        counts(edge, 20.0).await?;
        ensure!(received(edge, "bytes", ADDRESS_V4).await? == Some(20.0 * DATAGRAM));
        edge.wait("IPv6 is counted", async || Ok(received(edge, "packets", ADDRESS_V6).await? == Some(5.0))).await?;
        let captured = async || {
            let read = edge.run(&["tshark", "-n", "-r", PCAP]).await.unwrap_or_default();
            Ok(read.lines().count() == 20)
        };
        edge.wait("the interface saw as many", captured).await?;

        // Another program, and another process after one that was killed: the counts go on.
        upgrade(edge).await?;
        sent(edge, 1, ADDRESS_V4).await?;
        counts(edge, 21.0).await?;
        edge.lab.kill("edge", "anycastd", Signal::SIGKILL).await?;
        edge.withdrawn(V4).await?;
        start(edge).await?;
        edge.announced(V4).await?;
        sent(edge, 1, ADDRESS_V4).await?;
        counts(edge, 22.0).await?;

        // A node that is drained gets nothing more.
        let said = withdrawn(edge).await?;
        ensure!(said.contains("\ntraffic: "), "{said}");
        ensure!(!datagrams(edge, "rtr", 1, ADDRESS_V4).await?.status.success(), "the router has no way there");
        counts(edge, 22.0).await?;
        // But from a router that does not follow; whoever drains is told.
        edge.lab.run("rtr", &["ip", "route", "add", ADDRESS_V4, "via", "192.0.2.2"]).await?;
        let script = format!("until test -e {ENOUGH}; do printf x >/dev/udp/{ADDRESS_V4}/9; sleep 0.05; done");
        edge.lab.start("rtr", &["bash", "-c", &script], "/run/stream.log").await?;
        let still = async || Ok(withdrawn(edge).await?.contains("\ntraffic: packets still arrive, "));
        edge.wait("it is told that packets still arrive", still).await?;
        edge.lab.run("rtr", &["touch", ENOUGH]).await?;
        let none = async || Ok(withdrawn(edge).await?.contains("\ntraffic: 0 packets in the last "));
        edge.wait("it is told that nothing arrives any more", none).await?;
        edge.lab.run("rtr", &["ip", "route", "del", ADDRESS_V4, "via", "192.0.2.2"]).await?;
        edge.ctl(&["announce"]).await?;
        edge.announced(V4).await?;

        edge.run(&["nft", "flush", "ruleset"]).await?;
        counts(edge, 0.0).await?;
        sent(edge, 2, ADDRESS_V4).await?;
        counts(edge, 2.0).await?;
        edge.lab.kill("edge", "anycastd", Signal::SIGTERM).await?;
        edge.wait("the table goes with the agent", async || Ok(tables(edge).await?.is_empty())).await
    };
    story(told, announcing().await).await
}
