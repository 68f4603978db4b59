//! Neighbors that connect to the agent: named ones, and those of a network.

use crate::edge::{Edge, PLAIN, V4, V6, router, story};

const NEIGHBOR: &str = "- { name: rtr, address: 192.0.2.1, asn: 65101, hold_time: 9s }";
const PASSWORD: &str = "/etc/anycastd/rtr.password";

/// [`PLAIN`] with another neighbor.
fn with(neighbor: &str) -> String {
    PLAIN.replace(NEIGHBOR, neighbor)
}

/// The router connects by itself, and soon.
pub(crate) async fn router_connects(edge: &Edge) -> anyhow::Result<()> {
    router(edge, &["no neighbor 192.0.2.2 passive", "neighbor 192.0.2.2 timers connect 1"]).await
}

async fn refused(edge: &Edge, reason: &str) -> anyhow::Result<u64> {
    Ok(edge.ask(&["status"]).await?["connections_refused"][reason].as_u64().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_connects_and_comes_back() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        router_connects(edge).await?;
        edge.configure(&with("- { name: rtr, address: 192.0.2.1, asn: 65101, hold_time: 9s, connect: passive }"))
            .await?;
        edge.start().await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        let neighbor = edge.ask(&["neighbors", "rtr"]).await?;
        assert_eq!(neighbor[0]["transport"]["passive"], true, "{neighbor}");
        assert!(neighbor[0]["local_address"].as_str().is_some_and(|at| at.ends_with(":179")), "{neighbor}");

        // The router ends the session and connects again by itself.
        edge.lab.run("rtr", &["vtysh", "-c", "clear bgp *"]).await?;
        edge.wait("the session is a new one", async || Ok(edge.sessions().await? == 2)).await?;
        edge.announced(V4).await?;
        assert!(edge.ctl(&["withdraw", "--now"]).await?.status.success());
        edge.withdrawn(V4).await
    };
    story(told, Edge::new().await).await
}

/// The agent dials; what the router dials on its side is closed before a word, and counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_is_dialled_need_not_connect() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let waits = "- { name: other, address: 192.0.2.99, asn: external, connect: passive }";
        edge.configure(&with(&format!("{NEIGHBOR}\n    {waits}"))).await?;
        router(edge, &["neighbor 192.0.2.2 timers connect 1"]).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        // What it connects all the same hears nothing.
        let connect = "exec 3<>/dev/tcp/192.0.2.2/179; head -c 1 <&3 | wc -c";
        assert_eq!(edge.lab.run("rtr", &["bash", "-c", connect]).await?.trim(), "0");
        edge.wait("it is counted", async || Ok(refused(edge, "dialled_by_us").await? > 0)).await?;
        assert_eq!(edge.sessions().await?, 1);
        Ok(())
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn routers_of_a_network_connect_with_its_password() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.lab.write("edge", PASSWORD, "hunter2\n").await?;
        edge.run(&["chmod", "600", PASSWORD]).await?;
        router_connects(edge).await?;
        let network = format!(
            "- {{ name: leafs, prefix: 192.0.2.0/30, asn: external, hold_time: 9s, password_file: {PASSWORD} }}"
        );
        edge.configure(&with(&network)).await?;
        edge.start().await?;
        edge.wait("what is missing is explained", async || {
            let said = edge.ctl(&["--json", "explain", V4]).await?;
            Ok(said.output.contains("no router of 192.0.2.0/30 has connected"))
        })
        .await?;

        router(edge, &["neighbor 192.0.2.2 password hunter2"]).await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        let neighbors = edge.ask(&["neighbors"]).await?;
        assert_eq!(neighbors[0]["state"], "Listen", "{neighbors}");
        assert_eq!(neighbors[1]["name"], "leafs@192.0.2.1", "{neighbors}");
        assert_eq!(neighbors[1]["asn"], "65101", "{neighbors}");
        let routes = edge.ask(&["routes", "leafs"]).await?;
        assert_eq!(routes[0]["routes"].as_array().map(Vec::len), Some(2), "{routes}");

        // A drain waits for the routers of the network as for any.
        assert!(edge.ctl(&["withdraw", "web", "--now", "--wait", "--timeout", "20s"]).await?.status.success());
        edge.withdrawn(V4).await?;
        assert!(edge.ctl(&["announce", "web"]).await?.status.success());
        edge.announced(V4).await?;

        // A neighbor that is named takes the router over from the network.
        edge.configure(&with(&format!(
            "- {{ name: rtr, address: 192.0.2.1, asn: 65101, connect: passive, hold_time: 9s, password_file: {PASSWORD} }}\n    {network}"
        )))
        .await?;
        edge.reload().await?;
        edge.wait("the session is the named neighbor's", async || {
            let neighbors = edge.ask(&["neighbors"]).await?;
            let named = neighbors.as_array().into_iter().flatten().find(|neighbor| neighbor["name"] == "rtr");
            Ok(named.is_some_and(|neighbor| neighbor["state"] == "Established"))
        })
        .await?;
        edge.announced(V4).await?;
        assert!(!edge.ask(&["neighbors"]).await?.to_string().contains("leafs@"), "one session, one neighbor");
        Ok(())
    };
    story(told, Edge::new().await).await
}
