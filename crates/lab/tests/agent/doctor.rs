//! What bites is found in the namespace of the agent, by its own eyes.

use crate::edge::{ADDRESS_V4, CONFIG, Edge, LOG, PLAIN, V4, story};

/// What is found, as `ID SUBJECT`.
async fn found(edge: &Edge) -> anyhow::Result<Vec<String>> {
    let said = edge.ctl(&["--json", "doctor"]).await?;
    let reply: serde_json::Value = serde_json::from_str(&said.output)?;
    let findings = reply["findings"].as_array().cloned().unwrap_or_default();
    let bites = findings.iter().any(|finding| finding["severity"] != "note");
    assert_eq!(said.status.code(), Some(i32::from(bites)), "the exit code says whether anything bites: {reply:#}");
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    Ok(findings.iter().map(|finding| format!("{} {}", word(&finding["id"]), word(&finding["subject"]))).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_bites_is_found_and_what_does_not_is_not() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        // Those are of the machine that the lab runs on.
        let of_the_node = async || {
            let mut found = found(edge).await?;
            found.retain(|it| !["clock", "limits"].iter().any(|id| it.starts_with(id)));
            Ok::<_, anyhow::Error>(found)
        };
        for argv in [
            &["sysctl", "-w", "net.ipv4.conf.all.rp_filter=0"][..],
            &["sysctl", "-w", "net.ipv4.conf.eth1.rp_filter=0"],
        ] {
            edge.run(argv).await?;
        }
        assert_eq!(of_the_node().await?, ["ebgp_policy rtr", "mtu rtr"], "nothing but what cannot be seen");
        edge.run(&["ip", "link", "set", "eth1", "mtu", "1500"]).await?;
        assert_eq!(of_the_node().await?, ["ebgp_policy rtr"]);
        let text = edge.ctl(&["doctor"]).await?.output;
        assert!(text.contains("show bgp neighbors 192.0.2.2"), "{text}");

        // A second way in, and a strict filter at the first.
        edge.run(&["ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1"]).await?;
        edge.run(&["ip", "link", "set", "d0", "up"]).await?;
        edge.run(&["ip", "address", "add", "198.51.100.1/24", "dev", "d0"]).await?;
        assert_eq!(of_the_node().await?, ["ebgp_policy rtr"]);
        edge.run(&["sysctl", "-w", "net.ipv4.conf.eth1.rp_filter=1"]).await?;
        assert!(of_the_node().await?.contains(&"rp_filter eth1".to_owned()));
        edge.run(&["sysctl", "-w", "net.ipv4.conf.eth1.rp_filter=2"]).await?;

        // The address of the service in a second place.
        edge.run(&["ip", "address", "add", &format!("{ADDRESS_V4}/32"), "dev", "d0"]).await?;
        assert!(of_the_node().await?.contains(&format!("address_twice {ADDRESS_V4}")));
        edge.run(&["ip", "address", "del", &format!("{ADDRESS_V4}/32"), "dev", "d0"]).await?;
        assert_eq!(of_the_node().await?, ["ebgp_policy rtr"]);

        // Somebody else who speaks to the same router, and one who listens.
        let dial = "exec 3<>/dev/tcp/192.0.2.1/179; sleep 60";
        edge.lab.start("edge", &["bash", "-c", dial], "/var/log/dial.log").await?;
        edge.wait("the other session is found", async || {
            Ok(of_the_node().await?.contains(&"same_session rtr".to_owned()))
        })
        .await?;
        assert!(edge.path(V4).await?.is_some());
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

/// An agent that cannot set addresses says so, and how it gets the capability.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_capability_is_named() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(PLAIN).await?;
        let alone = edge.ctl(&["doctor"]).await?;
        assert_eq!(alone.status.code(), Some(69), "{alone:?}");
        assert!(alone.output.contains("the agent does not answer"), "{alone:?}");
        let without = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "anycastd", "--config", CONFIG];
        edge.lab.start("edge", &without, LOG).await?;
        let named = async || Ok(edge.ctl(&["doctor"]).await?.output.contains("AmbientCapabilities=CAP_NET_ADMIN"));
        edge.wait("it is named", named).await
    };
    story(told, Edge::new().await).await
}
