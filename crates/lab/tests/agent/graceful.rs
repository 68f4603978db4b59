//! Graceful restart: what a router keeps while there is no session, and for how long.

use nix::sys::signal::Signal;

use crate::edge::{ADDRESS_V4, Edge, PLAIN, V4, V6, path, router, story};

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

/// When the second router was last told of the route.
async fn told_at(edge: &Edge) -> anyhow::Result<u64> {
    let path = path(&edge.lab, "peer", V4).await?.unwrap_or_default();
    path["lastUpdate"]["epoch"].as_u64().ok_or_else(|| anyhow::anyhow!("the second router does not have it: {path}"))
}

async fn established(edge: &Edge) -> anyhow::Result<bool> {
    Ok(edge.session().await?["bgpState"] == "Established")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_loses_no_route_if_it_comes_back_in_time() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        router_keeps(edge).await?;
        edge.configure(&with("true", "")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        let neighbor = edge.ask(&["neighbors", "rtr"]).await?;
        assert!(neighbor[0]["session"]["capabilities_in_force"].to_string().contains("graceful restart"), "{neighbor}");

        let passed_on = told_at(edge).await?;

        edge.lab.kill("edge", "anycastd", Signal::SIGKILL).await?;
        edge.wait("the router keeps the route", async || is_stale(edge).await).await?;
        // It comes back, and is slow in proving that the service is healthy: nothing may be taken away meanwhile.
        let slow =
            with("true", "").replace("interval: 200ms", "interval: 2s").replace("fast_interval: 50ms", "rise: 3");
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
        // In whole seconds, of two clocks; the checks alone took six.
        assert!(told_at(edge).await?.abs_diff(passed_on) <= 2, "the next router was told something of it");
        Ok(())
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
        edge.lab.kill("edge", "anycastd", Signal::SIGTERM).await?;
        edge.withdrawn(V4).await?;
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
