//! What both ends offer and what follows from it, as the router tells it.

use crate::edge::{Edge, PLAIN, V4, V6, story};

const NEIGHBOR: &str = "- { name: rtr, address: 192.0.2.1, asn: 65101, hold_time: 9s }";

/// Has the router carry out a line of its configuration for its session with the edge node.
async fn router(edge: &Edge, neighbor: &str, lines: &[&str]) -> anyhow::Result<()> {
    let mut argv =
        vec!["vtysh".to_owned(), "-c".into(), "configure terminal".into(), "-c".into(), "router bgp 65101".into()];
    for line in lines {
        argv.extend(["-c".into(), line.replace("PEER", neighbor)]);
    }
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    edge.lab.run("rtr", &argv).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn long_messages_and_marked_refreshes_are_agreed_on() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let session = edge.session().await?;
        let capabilities = &session["neighborCapabilities"];
        assert_eq!(capabilities["extendedMessage"], "advertisedAndReceived", "{capabilities}");
        assert_eq!(capabilities["enhancedRouteRefresh"], "advertisedAndReceived", "{capabilities}");
        let neighbor = edge.ask(&["neighbors", "rtr"]).await?;
        let in_force = neighbor[0]["session"]["capabilities_in_force"].to_string();
        assert!(in_force.contains("enhanced route refresh") && in_force.contains("extended message"), "{neighbor}");

        let before = edge.updates().await?;
        edge.lab.run("rtr", &["vtysh", "-c", "clear bgp ipv4 unicast 192.0.2.2 soft in"]).await?;
        edge.wait("the routes come again", async || Ok(edge.updates().await? > before)).await?;
        assert!(edge.path(V4).await?.is_some(), "an answer between two marks makes nothing stale");
        assert_eq!(edge.sessions().await?, 1);
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_shown_and_a_wrong_one_is_refused() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        router(edge, "192.0.2.2", &["neighbor PEER local-role provider strict-mode"]).await?;
        let with =
            |role: &str| PLAIN.replace("hold_time: 9s", &format!("hold_time: 9s, role: {role}, role_strict: true"));
        edge.configure(&with("peer")).await?;
        edge.start().await?;
        edge.wait("both say that the roles are no pair", async || {
            let neighbor = edge.ask(&["neighbors", "rtr"]).await?;
            Ok(neighbor[0]["last_error"].as_str().is_some_and(|error| error.contains("Role Mismatch")))
        })
        .await?;
        assert_eq!(edge.path(V4).await?, None);

        edge.configure(&with("customer")).await?;
        let pid = edge.run(&["pidof", "anycastd"]).await?;
        edge.run(&["kill", "-HUP", pid.trim()]).await?;
        edge.announced(V4).await?;
        let session = edge.session().await?;
        assert_eq!(
            (&session["localRole"], &session["remoteRole"]),
            (&"provider".into(), &"customer".into()),
            "{session}"
        );
        Ok(())
    };
    story(told, Edge::new().await).await
}

/// RFC 9234 §5: what a peer announces carries its own number; FRR shows it, and would not pass it on to its providers.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_marks_its_routes_only_to_customer() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        router(edge, "192.0.2.2", &["neighbor PEER local-role peer"]).await?;
        edge.configure(&PLAIN.replace("hold_time: 9s", "hold_time: 9s, role: peer")).await?;
        edge.start().await?;
        for prefix in [V4, V6] {
            let path = edge.announced(prefix).await?;
            assert_eq!(path["otc"], 65010, "{path}");
        }
        Ok(())
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv4_routes_go_over_an_ipv6_session() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        router(
            edge,
            "2001:db8:1::2",
            &[
                "neighbor PEER capability extended-nexthop",
                "address-family ipv4 unicast",
                "neighbor PEER activate",
                "neighbor PEER route-map ALL in",
                "neighbor PEER route-map NOTHING out",
            ],
        )
        .await?;
        let one = r#"- { name: rtr, address: "2001:db8:1::1", asn: 65101, capabilities: { extended_next_hop: true } }"#;
        edge.configure(&PLAIN.replace(NEIGHBOR, one)).await?;
        edge.start().await?;
        let path = edge.announced(V4).await?;
        assert_eq!(path["nexthops"][0]["ip"], "2001:db8:1::2", "{path}");
        edge.announced(V6).await?;
        edge.wait("the router's kernel has it", async || {
            let installed = edge.lab.run("rtr", &["ip", "route", "show", V4]).await?;
            Ok(installed.contains("via inet6 "))
        })
        .await?;
        edge.health("2").await?;
        edge.withdrawn(V4).await?;
        edge.withdrawn(V6).await
    };
    story(told, Edge::new().await).await
}
