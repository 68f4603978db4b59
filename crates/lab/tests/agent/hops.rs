//! The IPv6 next hop of a session over IPv4 is an address of the interface, which may come and go.

use serde_json::Value;

use crate::edge::{Edge, PLAIN, V4, V6, story};

const SESSION: &str = "2001:db8:1::2";

async fn address(edge: &Edge, verb: &str, address: &str, flags: &[&str]) -> anyhow::Result<()> {
    let argv = [&["ip", "-6", "address", verb, address, "dev", "eth1"], flags].concat();
    edge.run(&argv).await.map(drop)
}

fn goes_by(path: &Value, address: &str) -> bool {
    let mut hops = path["nexthops"].as_array().into_iter().flatten();
    hops.any(|hop| hop["ip"].as_str().is_some_and(|ip| ip.starts_with(address)))
}

async fn announced_by(edge: &Edge, address: &str) -> anyhow::Result<Value> {
    let by = async || Ok(edge.path(V6).await?.filter(|path| goes_by(path, address)));
    edge.lab.wait(&format!("the router has {V6} by {address}"), by).await
}

async fn told(edge: &Edge, text: &str) -> anyhow::Result<()> {
    let told = async || Ok(edge.ctl(&["events"]).await?.output.contains(text));
    edge.wait(&format!("it is told: {text}"), told).await
}

/// A session that is up without one takes the first that can be used, and none that somebody else on the link has.
#[tokio::test(flavor = "multi_thread")]
async fn ipv6_routes_come_and_go_with_the_address_of_the_interface() -> anyhow::Result<()> {
    let story_of = async |edge: &Edge| {
        edge.run(&["ip", "-6", "address", "flush", "dev", "eth1"]).await?;
        edge.configure(PLAIN).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        told(edge, "no IPv6 next hop").await?;

        // The router's own.
        edge.run(&["sysctl", "-qw", "net.ipv6.conf.eth1.accept_dad=1"]).await?;
        address(edge, "add", "2001:db8:1::1/64", &[]).await?;
        let shown = async || Ok(edge.run(&["ip", "-6", "address", "show", "dev", "eth1"]).await?.contains("dadfailed"));
        edge.wait("the kernel finds that the router has it", shown).await?;
        address(edge, "del", "2001:db8:1::1/64", &[]).await?;
        address(edge, "add", "2001:db8:1::2/64", &[]).await?;
        announced_by(edge, SESSION).await?;
        let events = edge.ctl(&["events"]).await?.output;
        assert!(events.contains("IPv6 next hop: now 2001:db8:1::2, none before"), "{events}");

        address(edge, "add", "2001:db8:1::12/64", &["nodad"]).await?;
        address(edge, "del", "2001:db8:1::2/64", &[]).await?;
        announced_by(edge, "2001:db8:1::12").await?;
        told(edge, "IPv6 next hop: now 2001:db8:1::12, no longer 2001:db8:1::2").await?;

        address(edge, "del", "2001:db8:1::12/64", &[]).await?;
        edge.withdrawn(V6).await?;
        told(edge, "IPv6 next hop: none any more, 2001:db8:1::12 is gone").await?;
        let explained = edge.ask(&["explain", V6]).await?.to_string();
        assert!(explained.contains("no IPv6 next hop"), "{explained}");
        assert!(edge.path(V4).await?.is_some());

        address(edge, "add", "2001:db8:1::2/64", &["nodad"]).await?;
        announced_by(edge, SESSION).await?;
        assert_eq!(edge.sessions().await?, 1);
        Ok(())
    };
    story(story_of, Edge::new().await).await
}

/// A router may end the session for a link-local next hop alone, and the global one may be back in a moment.
#[tokio::test(flavor = "multi_thread")]
async fn the_link_local_address_does_not_take_the_place_of_the_global_one() -> anyhow::Result<()> {
    let story_of = async |edge: &Edge| {
        announced_by(edge, SESSION).await?;
        address(edge, "del", "2001:db8:1::2/64", &[]).await?;
        edge.withdrawn(V6).await?;
        let explained = edge.ask(&["explain", V6]).await?.to_string();
        assert!(explained.contains("no global IPv6 address"), "{explained}");
        address(edge, "add", "2001:db8:1::2/64", &["nodad"]).await?;
        announced_by(edge, SESSION).await?;
        assert_eq!(edge.sessions().await?, 1);
        Ok(())
    };
    story(story_of, Edge::announcing().await).await
}
