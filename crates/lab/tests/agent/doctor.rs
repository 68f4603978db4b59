//! What bites is found in the namespace of the agent, by its own eyes.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::edge::{ADDRESS_V4, CONFIG, Edge, LOG, PLAIN, V4, story};

const NEIGHBOR: &str = "- { name: rtr, address: 192.0.2.1, asn: 65101, hold_time: 9s }";
/// Another daemon that has the node's session with the router in its configuration too.
const BIRD: &str = "router id 192.0.2.2;
protocol device { }
protocol bgp rtr { local 192.0.2.2 as 65010; neighbor 192.0.2.1 as 65101; passive yes; ipv4 { import none; export none; }; }
";

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

/// A start without what its configuration needs says which drop-in of the unit gives it; whoever checks the file, as root, hears
/// what the unit needs.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_a_capability_names_the_drop_in() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(&PLAIN.replace("hold_time: 9s", "hold_time: 9s, connect: passive")).await?;
        let checked = edge.said(&["anycastd", "--config", CONFIG, "--check"]).await?;
        assert!(checked.status.success() && !checked.errors.contains("this process"), "{checked:?}");
        assert!(checked.errors.contains("note: the packaged unit needs its drop-in bind.conf"), "{checked:?}");
        let without = ["setpriv", "--bounding-set=-net_bind_service", "anycastd", "--config", CONFIG];
        edge.lab.start("edge", &without, LOG).await?;
        let named = async || {
            let log = edge.run(&["cat", LOG]).await?;
            Ok(log.contains("this process may not listen on 0.0.0.0:179") && log.contains("bind.conf"))
        };
        edge.wait("it is named", named).await?;
        // It runs all the same, and what it lacks is a finding.
        edge.wait("doctor has it", async || {
            Ok(found(edge).await?.contains(&"capability CAP_NET_BIND_SERVICE".to_owned()))
        })
        .await
    };
    story(told, Edge::new().await).await
}

/// Each is found when it comes, and no more when it is gone.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_it_runs_is_found_until_it_is_gone() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let is_found =
            async |finding: &str| Ok::<_, anyhow::Error>(found(edge).await?.iter().any(|it| it.starts_with(finding)));
        // Another daemon has the port.
        edge.lab.write("edge", "/etc/bird.conf", BIRD).await?;
        edge.lab
            .start("edge", &["bird", "-f", "-c", "/etc/bird.conf", "-s", "/run/bird.ctl"], "/var/log/bird.log")
            .await?;
        edge.wait("the other daemon is found", async || is_found("other_speaker").await).await?;
        let said = edge.ctl(&["doctor"]).await?.output;
        assert!(said.contains("ss -tlnp sport = :179"), "{said}");
        edge.lab.kill("edge", "bird", Signal::SIGTERM).await?;
        edge.wait("it is gone", async || Ok(!is_found("other_speaker").await?)).await?;

        // Nothing can be kept any more.
        edge.run(&["mount", "-t", "tmpfs", "-o", "size=4k", "none", "/var/lib/anycastd"]).await?;
        edge.run(&["sh", "-c", "head -c 8192 /dev/zero >/var/lib/anycastd/full; true"]).await?;
        assert!(is_found("state_directory /var/lib/anycastd").await?);
        assert!(edge.ctl(&["doctor"]).await?.output.contains("No space left on device"));
        edge.run(&["umount", "/var/lib/anycastd"]).await?;
        assert!(!is_found("state_directory").await?);

        // A password that everybody can read: the running agent has it, the next would not take it.
        edge.lab.write("edge", "/etc/anycastd/other.password", "hunter2\n").await?;
        edge.run(&["chmod", "640", "/etc/anycastd/other.password"]).await?;
        let other =
            "- { name: other, address: 192.0.2.99, asn: external, password_file: /etc/anycastd/other.password }";
        edge.configure(&PLAIN.replace(NEIGHBOR, &format!("{NEIGHBOR}\n    {other}"))).await?;
        assert!(edge.ctl(&["reload"]).await?.status.success());
        assert!(!is_found("next_start").await?);
        edge.run(&["chmod", "644", "/etc/anycastd/other.password"]).await?;
        assert!(is_found("next_start /etc/anycastd/anycastd.yaml:").await?);
        let said = edge.ctl(&["doctor"]).await?.output.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("can be read or changed by others (mode 0644)") && said.contains("chmod 640"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

/// An address that was there before the agent is named, with the interface; what is done about it, is done by the remedy.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_somebody_else_and_a_link_with_two_mtus_are_found() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let address = format!("{ADDRESS_V4}/32");
        edge.run(&["ip", "address", "add", &address, "dev", "eth1"]).await?;
        edge.lab.run("rtr", &["ip", "link", "set", "edge", "mtu", "1500"]).await?;
        edge.configure(PLAIN).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        let found = found(edge).await?;
        assert!(found.contains(&format!("foreign_address {ADDRESS_V4}")), "{found:?}");
        assert!(found.contains(&"mtu_mismatch rtr".to_owned()), "{found:?}");
        let said = edge.ctl(&["doctor"]).await?.output.split_whitespace().collect::<Vec<_>>().join(" ");
        let remedy = format!("ip address del {address} dev eth1");
        assert!(said.contains(&remedy), "{said}");
        edge.run(&remedy.split(' ').collect::<Vec<_>>()).await?;
        edge.wait("the agent has put it back", async || Ok(edge.addresses().await?.contains(&address))).await?;
        let left = self::found(edge).await?;
        assert!(!left.iter().any(|it| it.starts_with("foreign_address")), "{left:?}");
        Ok(())
    };
    story(told, Edge::new().await).await
}

/// The router of the lab waits to be dialled. That is found by dialling it once, which hurts nobody; the remedy is right.
#[tokio::test(flavor = "multi_thread")]
async fn two_ends_that_wait_are_found_by_trying() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let waits = NEIGHBOR.replace("hold_time: 9s", "hold_time: 9s, connect: passive");
        edge.configure(&PLAIN.replace(NEIGHBOR, &waits)).await?;
        edge.start().await?;
        edge.wait("the agent answers", async || Ok(edge.ctl(&["status"]).await?.status.success())).await?;
        // Whoever has just begun to wait is left alone.
        assert!(!found(edge).await?.iter().any(|it| it.starts_with("both_passive")));
        // It has a minute to connect.
        tokio::time::sleep(Duration::from_secs(50)).await;
        let named = async || Ok(found(edge).await?.contains(&"both_passive rtr".to_owned()));
        edge.wait("it is found", named).await?;
        let said = edge.ctl(&["doctor"]).await?.output.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("tried once, its port 179 takes a connection from here"), "{said}");
        assert!(said.contains("`connect: active` for this neighbor"), "{said}");
        edge.configure(PLAIN).await?;
        assert!(edge.ctl(&["reload"]).await?.status.success());
        edge.announced(V4).await.map(drop)
    };
    story(told, Edge::new().await).await
}

/// Whichever end refuses the other's OPEN: what is to be mended is said, by `explain`, by `neighbors` and as a finding, and is right.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_that_one_end_refuses_is_told_with_what_to_mend() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let remedied = async |remedy: &str| {
            let words = async |arguments: &[&str]| {
                Ok::<_, anyhow::Error>(
                    edge.ctl(arguments).await?.output.split_whitespace().collect::<Vec<_>>().join(" "),
                )
            };
            edge.wait(remedy, async || Ok(words(&["explain", V4]).await?.contains(remedy))).await?;
            assert!(words(&["neighbors", "rtr"]).await?.contains(remedy));
            let doctor = words(&["doctor"]).await?;
            assert!(doctor.contains("[open_refused]") && doctor.contains(remedy), "{doctor}");
            Ok::<_, anyhow::Error>(())
        };
        edge.configure(&PLAIN.replace("asn: 65101", "asn: 65199")).await?;
        edge.start().await?;
        remedied("`asn: 65101` for this neighbor").await?;
        edge.configure(&PLAIN.replace("asn: 65010", "asn: 65011")).await?;
        edge.reload().await?;
        remedied("expects another AS number of this node than 65011").await?;
        edge.configure(PLAIN).await?;
        edge.reload().await?;
        edge.announced(V4).await?;
        assert!(!found(edge).await?.iter().any(|it| it.starts_with("open_refused")));
        Ok(())
    };
    story(told, Edge::new().await).await
}
