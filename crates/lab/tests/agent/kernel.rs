//! What is ours in the kernel, and what is not.

use nix::sys::signal::Signal;

use crate::edge::{ADDRESS_V4, Edge, PLAIN, V4, V6, story};

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_only_our_own_is_cleaned_up() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.run(&["ip", "address", "add", "203.0.113.99/32", "dev", "lo"]).await?;
        edge.lab.kill("edge", "anycastd", Signal::SIGKILL).await?;
        edge.withdrawn(V4).await?;
        edge.wait("it is gone", async || Ok(edge.lab.pids("edge", "anycastd").await?.is_empty())).await?;
        assert_eq!(edge.addresses().await?.len(), 3, "a killed agent cannot clean up");

        // The service has another address meanwhile.
        edge.configure(&PLAIN.replace(ADDRESS_V4, "203.0.113.81")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        let expected = ["2001:db8:53::80/128", "203.0.113.81/32", "203.0.113.99/32"];
        let mut found = edge.addresses().await?;
        found.sort();
        assert_eq!(found, expected, "ours is swept, somebody else's stays");

        // A second agent on the same node is refused, and the first does not notice.
        let second = edge.run(&["anycastd", "--config", "/etc/anycastd/anycastd.yaml"]).await;
        let why = second.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(why.contains("in use by another anycastd"), "{why}");
        assert!(edge.path(V4).await?.is_some());
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_address_is_put_back() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.run(&["ip", "address", "del", "203.0.113.80/32", "dev", "lo"]).await?;
        edge.wait("it is back", async || Ok(edge.addresses().await?.iter().any(|one| one == "203.0.113.80/32")))
            .await?;
        edge.run(&["ip", "route", "del", "unreachable", V4]).await?;
        edge.wait("the anchor is back", async || Ok(edge.anchors().await?.iter().any(|one| one == V4))).await?;
        edge.announced(V4).await?;
        let events = edge.ctl(&["events"]).await?.output;
        assert!(events.contains("deleted by somebody else"), "{events}");
        assert_eq!(edge.sessions().await?, 1);
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_address_counts_and_is_never_deleted() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.run(&["ip", "address", "add", "203.0.113.80/32", "dev", "lo"]).await?;
        edge.configure(PLAIN).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        let status = edge.ask(&["status"]).await?;
        let foreign = |address: &serde_json::Value| address["address"] == ADDRESS_V4 && address["foreign"] == true;
        assert!(status["addresses"].as_array().is_some_and(|all| all.iter().any(foreign)), "{status}");

        edge.lab.kill("edge", "anycastd", Signal::SIGTERM).await?;
        edge.wait("it has ended", async || Ok(edge.lab.pids("edge", "anycastd").await?.is_empty())).await?;
        assert_eq!(edge.addresses().await?, ["203.0.113.80/32"]);
        Ok(())
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_bound_is_not_announced() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(&format!("{PLAIN}interface: anycast0\n")).await?;
        edge.start().await?;
        edge.lab.established("rtr", "edge").await?;
        let why = async || Ok(edge.ctl(&["explain", V4]).await?.output.contains("anycast0"));
        edge.wait("the missing interface is named", why).await?;
        assert_eq!(edge.path(V4).await?, None);

        // It comes, and all follows by itself.
        edge.run(&["ip", "link", "add", "anycast0", "type", "bridge"]).await?;
        edge.run(&["ip", "link", "set", "anycast0", "up"]).await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        assert!(edge.run(&["ip", "address", "show", "dev", "anycast0"]).await?.contains("203.0.113.80/32"));
        Ok(())
    };
    story(told, Edge::new().await).await
}
