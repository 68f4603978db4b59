//! What the router holds, and why.

use nix::sys::signal::Signal;

use crate::edge::{Edge, PLAIN, V4, V6, has_community, path, story};

#[tokio::test(flavor = "multi_thread")]
async fn both_families_come_with_the_configured_attributes() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        for (prefix, next_hop) in [(V4, "192.0.2.2"), (V6, "2001:db8:1::2")] {
            let path = edge.announced(prefix).await?;
            assert!(has_community(&path, "65010:100"), "{path}");
            assert_eq!(path["largeCommunity"]["string"], "65010:1:2", "{path}");
            assert_eq!(path["aspath"]["string"], "65010", "{path}");
            assert_eq!(path["metric"], 50, "{path}");
            assert_eq!(path["origin"], "IGP", "{path}");
            assert_eq!(path["nexthops"][0]["ip"], next_hop, "{path}");
            let beyond = path_at_peer(edge, prefix).await?;
            assert_eq!(beyond["aspath"]["string"], "65101 65010", "{beyond}");
        }
        assert_eq!(edge.addresses().await?, ["203.0.113.80/32", "2001:db8:53::80/128"]);
        assert_eq!(edge.anchors().await?, [V4, V6]);

        // The agent's own word, beside the router's.
        let routes = edge.ask(&["routes", "rtr"]).await?;
        let held = &routes[0]["routes"];
        assert_eq!(held.as_array().map(Vec::len), Some(2), "{routes}");
        assert_eq!((&held[0]["progress"], &held[0]["next_hop"]), (&"acked".into(), &"192.0.2.2".into()), "{routes}");
        let status = edge.ask(&["status"]).await?;
        assert_eq!(status["healthy"], true, "{status}");
        assert!(edge.ctl(&["status", "--exit-code"]).await?.status.success());
        let why = edge.ctl(&["explain", V4]).await?.output;
        assert!(why.contains("is announced to 1 of 1 neighbors"), "{why}");
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_family_may_have_a_session_of_its_own() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let both = r#"- { name: rtr-v4, address: 192.0.2.1, asn: 65101, families: [ipv4] }
    - { name: rtr-v6, address: "2001:db8:1::1", asn: 65101, families: [ipv6] }"#;
        let one = "- { name: rtr, address: 192.0.2.1, asn: 65101, hold_time: 9s }";
        edge.configure(&PLAIN.replace(one, both)).await?;
        edge.start().await?;
        let path = edge.announced(V4).await?;
        assert_eq!((&path["peer"]["peerId"], &path["nexthops"][0]["ip"]), (&"192.0.2.2".into(), &"192.0.2.2".into()));
        let path = edge.announced(V6).await?;
        assert_eq!(path["peer"]["peerId"], "2001:db8:1::2", "{path}");
        assert_eq!(path["nexthops"][0]["ip"], "2001:db8:1::2", "{path}");
        assert!(edge.ctl(&["status", "--exit-code"]).await?.status.success());
        Ok(())
    };
    story(told, Edge::new().await).await
}

async fn path_at_peer(edge: &Edge, prefix: &str) -> anyhow::Result<serde_json::Value> {
    edge.lab.wait("it is passed on", async || path(&edge.lab, "peer", prefix).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_fails_is_withdrawn_and_comes_back_in_the_same_session() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.health("2").await?;
        edge.withdrawn(V4).await?;
        edge.withdrawn(V6).await?;
        assert_eq!(edge.addresses().await?.len(), 2, "what is checked stays bound");
        let status = edge.ctl(&["status", "--exit-code"]).await?;
        assert_eq!(status.status.code(), Some(1), "{}", status.output);
        let why = edge.ctl(&["explain", "web"]).await?.output;
        assert!(why.contains("203.0.113.0/24 is not announced: web is down"), "{why}");

        edge.health("0").await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;

        // Degraded is another set of attributes, by one implicit replace: three times prepended unless configured otherwise.
        edge.health("1").await?;
        let what = "the path is three longer";
        edge.wait(what, async || {
            Ok(edge.path(V4).await?.is_some_and(|path| path["aspath"]["string"] == "65010 65010 65010 65010"))
        })
        .await?;
        assert_eq!(edge.sessions().await?, 1);
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_announced_before_the_checks_have_decided() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.health("2").await?;
        edge.configure(PLAIN).await?;
        edge.start().await?;
        edge.lab.established("rtr", "edge").await?;
        edge.wait("the check has decided", async || Ok(edge.ask(&["status"]).await?["services"][0]["state"] == "down"))
            .await?;
        assert_eq!(edge.path(V4).await?, None);
        let status = edge.ask(&["neighbors", "rtr"]).await?;
        assert_eq!(
            status[0]["counters"]["update_sent"], 2,
            "an End-of-RIB for each family, and nothing else: {status}"
        );
        edge.health("0").await?;
        edge.announced(V4).await.map(drop)
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_refresh_is_answered() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let before = edge.updates().await?;
        edge.lab.run("rtr", &["vtysh", "-c", "clear bgp ipv4 unicast 192.0.2.2 soft in"]).await?;
        edge.wait("the routes come again", async || Ok(edge.updates().await? > before)).await?;
        let neighbor = edge.ask(&["neighbors", "rtr"]).await?;
        assert_eq!(neighbor[0]["counters"]["route_refresh_received"], 1, "{neighbor}");
        assert_eq!(edge.sessions().await?, 1);
        edge.announced(V4).await.map(drop)
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_agent_loses_its_routes_at_the_hold_time_and_gets_them_back() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.lab.kill("edge", "anycastd", Signal::SIGSTOP).await?;
        edge.withdrawn(V4).await?;
        edge.lab.kill("edge", "anycastd", Signal::SIGCONT).await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        assert_eq!(edge.sessions().await?, 2);
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_restarts_is_told_everything_again() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.lab.run("rtr", &["vtysh", "-c", "clear bgp *"]).await?;
        edge.wait("there is a second session", async || Ok(edge.sessions().await? == 2)).await?;
        edge.announced(V4).await?;
        edge.announced(V6).await.map(drop)
    };
    story(told, Edge::announcing().await).await
}
