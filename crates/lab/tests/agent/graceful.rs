//! Graceful restart: what a router keeps while there is no session, and for how long.

use nix::sys::signal::Signal;

use crate::edge::{ADDRESS_V4, Edge, PLAIN, V4, V6, router, story};

/// [`PLAIN`] with graceful restart, and more keys at the top.
fn with(restart: &str, top: &str) -> String {
    format!("{top}{}", PLAIN.replace("hold_time: 9s", &format!("hold_time: 9s, graceful_restart: {restart}")))
}

/// The router keeps routes too.
async fn router_keeps(edge: &Edge) -> anyhow::Result<()> {
    router(edge, &["neighbor 192.0.2.2 graceful-restart", "neighbor 192.0.2.2 timers connect 1"]).await?;
    edge.lab.run("rtr", &["vtysh", "-c", "clear bgp *"]).await.map(|_| ())
}

async fn is_stale(edge: &Edge) -> anyhow::Result<bool> {
    Ok(edge.path(V4).await?.is_some_and(|path| path["stale"] == true))
}

const MONITOR: &str = "/run/monitor.log";

/// Notes every change of the router's kernel table from now on, which holds the route.
async fn watch_table(edge: &Edge) -> anyhow::Result<()> {
    edge.wait("the route is in the router's table", async || {
        Ok(edge.lab.run("rtr", &["ip", "route", "show", V4]).await?.contains("192.0.2.2"))
    })
    .await?;
    edge.lab.start("rtr", &["ip", "monitor", "route"], MONITOR).await?;
    edge.wait("changes are noted", async || {
        edge.lab.run("rtr", &["ip", "route", "replace", "blackhole", "198.51.100.1"]).await?;
        edge.lab.run("rtr", &["ip", "route", "delete", "blackhole", "198.51.100.1"]).await?;
        Ok(edge.lab.run("rtr", &["cat", MONITOR]).await?.contains("198.51.100.1"))
    })
    .await
}

/// Whether the route has left the router's kernel table since, be it for a moment.
async fn left_the_table(edge: &Edge) -> anyhow::Result<bool> {
    let noted = edge.lab.run("rtr", &["cat", MONITOR]).await?;
    Ok(noted.lines().any(|line| line.starts_with("Deleted") && line.contains(V4)))
}

async fn established(edge: &Edge) -> anyhow::Result<bool> {
    Ok(edge.session().await?["bgpState"] == "Established")
}

/// Kills the agent and starts it anew; the router sends packets all the while.
async fn is_killed_and_comes_back(edge: &Edge, text: &str) -> anyhow::Result<()> {
    edge.configure(text).await?;
    edge.start().await?;
    edge.announced(V4).await?;
    let neighbor = edge.ask(&["neighbors", "rtr"]).await?;
    assert!(neighbor.to_string().contains("graceful restart, notifications included"), "{neighbor}");
    watch_table(edge).await?;

    edge.lab.kill("edge", "anycastd", Signal::SIGKILL).await?;
    edge.wait("the router keeps the route", async || is_stale(edge).await).await?;
    // It comes back, and is slow in proving that the service is healthy: nothing may be taken away meanwhile.
    let slow = text.replace("interval: 200ms", "interval: 2s").replace("fast_interval: 50ms", "rise: 3");
    edge.configure(&slow.replace("rise: 3", "rise: 3\n        fast_interval: 2s")).await?;
    edge.start().await?;
    edge.wait("there is a session again", async || established(edge).await).await?;
    let session = edge.session().await?;
    assert_eq!(session["gracefulRestartInfo"]["rBit"], true, "{session}");
    assert!(is_stale(edge).await?, "kept until the agent has said all that it has to say");
    edge.wait("the agent announces it anew", async || {
        Ok(edge.path(V4).await?.is_some_and(|path| path["stale"] != true))
    })
    .await?;
    edge.announced(V6).await?;
    assert!(!left_the_table(edge).await?, "not even for a moment");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_loses_no_route_if_it_comes_back_in_time() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        router_keeps(edge).await?;
        is_killed_and_comes_back(edge, &with("true", "")).await
    };
    story(told, Edge::new().await).await
}

/// The sessions of a network's routers begin when the routers come, not when the agent starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_of_a_network_keeps_the_routes_too() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        router(edge, &["no neighbor 192.0.2.2 passive"]).await?;
        router_keeps(edge).await?;
        let text = with("true", "");
        let network = text.replace("address: 192.0.2.1, asn: 65101", "prefix: 192.0.2.0/30, asn: external");
        is_killed_and_comes_back(edge, &network).await
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_down_after_the_restart_is_withdrawn_by_the_end_of_rib() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        router_keeps(edge).await?;
        edge.configure(&with("true", "")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        edge.lab.kill("edge", "anycastd", Signal::SIGKILL).await?;
        edge.wait("the router keeps the route", async || is_stale(edge).await).await?;
        edge.health("2").await?;
        edge.start().await?;
        // Long before the restart time is over: the End-of-RIB comes once the check has decided.
        edge.withdrawn(V4).await?;
        assert!(established(edge).await?);
        Ok(())
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_withdraws_all_the_same() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        router_keeps(edge).await?;
        edge.configure(&with("true", "")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        watch_table(edge).await?;
        edge.lab.kill("edge", "anycastd", Signal::SIGTERM).await?;
        edge.withdrawn(V4).await?;
        edge.wait("the route leaves the router's table", async || left_the_table(edge).await).await?;
        edge.wait("the addresses are gone", async || Ok(edge.addresses().await?.is_empty())).await
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_leaves_its_routes_finds_them_again() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        router_keeps(edge).await?;
        edge.configure(&with("{ restart_time: 60s }", "on_exit: keep\n")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        edge.lab.kill("edge", "anycastd", Signal::SIGTERM).await?;
        edge.wait("the agent has ended", async || Ok(!edge.said(&["pidof", "anycastd"]).await?.status.success()))
            .await?;
        assert!(is_stale(edge).await?, "{:?}", edge.path(V4).await?);
        assert!(edge.addresses().await?.iter().any(|address| address.starts_with(ADDRESS_V4)));
        edge.start().await?;
        edge.wait("the route is fresh again", async || Ok(edge.path(V4).await?.is_some() && !is_stale(edge).await?))
            .await?;
        Ok(())
    };
    story(told, Edge::new().await).await
}
