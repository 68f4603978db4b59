//! Interfaces that go down: that of a session, and the loopback.

use crate::edge::{Edge, PLAIN, V4, V6, story, with_checks};

async fn link(edge: &Edge, node: &str, interface: &str, to: &str) -> anyhow::Result<()> {
    edge.lab.run(node, &["ip", "link", "set", interface, to]).await.map(drop)
}

/// An interface that leads nowhere.
async fn another(edge: &Edge) -> anyhow::Result<()> {
    edge.run(&["ip", "link", "add", "another", "type", "veth", "peer", "name", "end"]).await?;
    link(edge, "edge", "end", "up").await?;
    link(edge, "edge", "another", "up").await
}

async fn told(edge: &Edge, text: &str, times: usize) -> anyhow::Result<()> {
    let told = async || Ok(edge.ctl(&["events"]).await?.output.matches(text).count() >= times);
    edge.wait(&format!("it is told {times} times: {text}"), told).await
}

/// Set down at our end, and without a carrier because the other end is.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_link_and_is_back_with_it() -> anyhow::Result<()> {
    let story_of = async |edge: &Edge| {
        for (number, (node, interface)) in [("edge", "eth1"), ("rtr", "edge")].into_iter().enumerate() {
            let sessions = edge.sessions().await?;
            link(edge, node, interface, "down").await?;
            told(edge, "down: interface eth1 is down", number + 1).await?;
            let neighbor = edge.ask(&["neighbors", "rtr"]).await?.to_string();
            assert!(neighbor.contains("interface eth1 is down") && !neighbor.contains("hold"), "{neighbor}");
            link(edge, node, interface, "up").await?;
            edge.wait("there is another session", async || Ok(edge.sessions().await? > sessions)).await?;
            edge.announced(V4).await?;
        }
        let metrics = edge.run(&["curl", "-s", "http://127.0.0.1:9273/metrics"]).await?;
        assert!(metrics.contains("anycastd_neighbor_link_downs_total{neighbor=\"rtr\"} 2"), "{metrics}");
        Ok(())
    };
    story(story_of, Edge::announcing().await).await
}

/// The kernel knows an interface by its number: its name may change, and an address may have a label that looks like one.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_does_not_care_what_its_interface_is_called() -> anyhow::Result<()> {
    let story_of = async |edge: &Edge| {
        let labelled = "a=$(ip -o -4 addr show dev eth1 | tr -s ' ' | cut -d ' ' -f 4) && \
                        ip addr del $a dev eth1 && ip addr add $a dev eth1 label eth1:1";
        edge.run(&["sh", "-ec", labelled]).await?;
        edge.configure(PLAIN).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        link_named(edge, "eth1", "wan0").await?;
        // What the kernel tells comes in order: when this is known, so is the name.
        another(edge).await?;
        link(edge, "edge", "another", "down").await?;
        edge.run(&["ip", "addr", "del", "203.0.113.80/32", "dev", "lo"]).await?;
        told(edge, "deleted by somebody else", 1).await?;
        assert_eq!(edge.sessions().await?, 1, "{}", edge.ctl(&["events"]).await?.output);

        link(edge, "edge", "wan0", "down").await?;
        told(edge, "down: interface wan0 is down", 1).await?;
        link(edge, "edge", "wan0", "up").await?;
        edge.wait("there is another session", async || Ok(edge.sessions().await? > 1)).await?;
        edge.announced(V4).await.map(drop)
    };
    story(story_of, Edge::new().await).await
}

async fn link_named(edge: &Edge, interface: &str, name: &str) -> anyhow::Result<()> {
    edge.run(&["ip", "link", "set", interface, "name", name]).await.map(drop)
}

/// An interface that does not lead to the neighbor is no reason.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_over_several_hops_outlives_a_link() -> anyhow::Result<()> {
    let story_of = async |edge: &Edge| {
        another(edge).await?;
        edge.configure(&PLAIN.replace("hold_time: 9s", "hold_time: 9s, multihop: 3")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        link(edge, "edge", "another", "down").await?;
        link(edge, "rtr", "edge", "down").await?;
        told(edge, "Hold Timer Expired", 1).await?;
        let events = edge.ctl(&["events"]).await?.output;
        assert!(!events.contains("eth1 is down"), "{events}");
        link(edge, "rtr", "edge", "up").await?;
        edge.announced(V4).await.map(drop)
    };
    story(story_of, Edge::new().await).await
}

/// What is on the loopback is there for nobody while that is down; the service itself has done nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_loopback_that_goes_down_takes_the_service_away_until_it_is_back() -> anyhow::Result<()> {
    let story_of = async |edge: &Edge| {
        link(edge, "edge", "lo", "down").await?;
        edge.withdrawn(V4).await?;
        edge.withdrawn(V6).await?;
        link(edge, "edge", "lo", "up").await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        assert_eq!(edge.ask(&["status"]).await?["services"][0]["flaps"], 0);
        assert_eq!(edge.sessions().await?, 1);
        Ok(())
    };
    story(story_of, Edge::announcing().await).await
}

/// Wherever the address is, the way to it from this node leads over the loopback: all checks are to look.
#[tokio::test(flavor = "multi_thread")]
async fn a_loopback_that_goes_down_has_every_check_ask() -> anyhow::Result<()> {
    let story_of = async |edge: &Edge| {
        another(edge).await?;
        let rare = "interval: 10m, fast_interval: 100ms, timeout: 1s, rise: 1, fall: 2";
        // One that names no address, and so could ask anywhere.
        let passes = format!("name: passes, type: exec, command: [/bin/true], {rare}");
        edge.configure(&format!("interface: another\n{}", with_checks(&[&passes], ""))).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        let hints = async || {
            Ok::<_, anyhow::Error>(
                edge.ask(&["status"]).await?["services"][0]["checks"][0]["hints"].as_u64().unwrap_or(0),
            )
        };
        let before = hints().await?;
        link(edge, "edge", "lo", "down").await?;
        edge.wait("a hint comes", async || Ok(hints().await? > before)).await?;
        told(edge, "hint: the interface of 127.0.0.1/8 went down", 1).await
    };
    story(story_of, Edge::new().await).await
}
