//! A neighbor by its interface: both ends find each other by router advertisements.

use crate::edge::{Edge, PLAIN, V4, V6, router, story};

const NEIGHBOR: &str = "- { name: rtr, address: 192.0.2.1, asn: 65101, hold_time: 9s }";
const UNNUMBERED: &str = "- { name: rtr, interface: eth1, asn: external, hold_time: 9s }";

/// The router speaks to whoever is at the other end of its interface `edge`, by link-local addresses only.
pub(crate) async fn router_is_unnumbered(edge: &Edge) -> anyhow::Result<()> {
    router(
        edge,
        &[
            "no neighbor 192.0.2.2",
            "no neighbor 2001:db8:1::2",
            "neighbor edge interface v6only remote-as 65010",
            "neighbor edge timers connect 1",
            "neighbor edge advertisement-interval 0",
            "address-family ipv4 unicast",
            "neighbor edge activate",
            "neighbor edge route-map ALL in",
            "neighbor edge route-map NOTHING out",
            "exit-address-family",
            "address-family ipv6 unicast",
            "neighbor edge activate",
            "neighbor edge route-map ALL in",
            "neighbor edge route-map NOTHING out",
        ],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_families_go_over_a_link_local_session() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        router_is_unnumbered(edge).await?;
        // Nothing but the link is known of either end.
        edge.run(&["ip", "address", "del", "192.0.2.2/30", "dev", "eth1"]).await?;
        edge.run(&["ip", "-6", "address", "del", "2001:db8:1::2/64", "dev", "eth1"]).await?;
        let text = PLAIN.replace(NEIGHBOR, UNNUMBERED).replace("asn: 65010\n", "asn: 65010\n  router_id: 192.0.2.2\n");
        edge.configure(&text).await?;
        edge.start().await?;
        let path = edge.announced(V4).await?;
        edge.announced(V6).await?;
        let hops = path["nexthops"].as_array();
        let used = hops.into_iter().flatten().find(|hop| hop["used"] == true);
        assert!(used.is_some_and(|hop| hop["scope"] == "link-local"), "{path}");
        let installed = async || {
            let route = edge.lab.run("rtr", &["ip", "route", "show", V4]).await?;
            Ok(route.contains("via inet6 fe80:"))
        };
        edge.wait("the router sends IPv4 to the link-local address", installed).await?;
        let neighbor = edge.ask(&["neighbors", "rtr"]).await?;
        assert_eq!(neighbor[0]["address"], "eth1", "{neighbor}");
        assert!(neighbor[0]["remote_address"].as_str().is_some_and(|at| at.starts_with("[fe80:")), "{neighbor}");
        assert!(neighbor[0]["session"]["capabilities_in_force"].to_string().contains("extended next hop"));

        // The link goes, and the session with it; both come back by themselves.
        edge.run(&["ip", "link", "set", "eth1", "down"]).await?;
        edge.withdrawn(V4).await?;
        edge.run(&["ip", "link", "set", "eth1", "up"]).await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        Ok(())
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_without_a_router_says_what_is_missing() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(&PLAIN.replace(NEIGHBOR, &UNNUMBERED.replace("eth1", "eth7"))).await?;
        edge.start().await?;
        let error = async |part: &str| {
            edge.wait(&format!("the agent says: {part}"), async || {
                let said = edge.ctl(&["--json", "neighbors", "rtr"]).await?;
                Ok(said.output.contains(part))
            })
            .await
        };
        error("router advertisements on eth7: No such device").await?;
        edge.configure(&PLAIN.replace(NEIGHBOR, UNNUMBERED)).await?;
        edge.reload().await?;
        error("does the router send router advertisements on that link").await?;
        // The router begins to.
        router_is_unnumbered(edge).await?;
        edge.announced(V4).await?;
        Ok(())
    };
    story(told, Edge::new().await).await
}
