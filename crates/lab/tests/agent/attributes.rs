//! What is said of a route, and to whom, as the router tells it.

use anyhow::ensure;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    edge::{Edge, PLAIN, V4, V6, has_community, router, story},
    metrics,
};

const NEIGHBOR: &str = "- { name: rtr, address: 192.0.2.1, asn: 65101, hold_time: 9s }";
/// A session for each family, both with `rtr`.
const BOTH: &str = r#"- { name: rtr-v4, address: 192.0.2.1, asn: 65101, hold_time: 9s, families: [ipv4] }
    - { name: rtr-v6, address: "2001:db8:1::1", asn: 65101, hold_time: 9s, families: [ipv6] }"#;

/// With more keys for the neighbor.
fn neighbor_with(keys: &str) -> String {
    PLAIN.replace("hold_time: 9s }", &format!("hold_time: 9s, {keys} }}"))
}

fn extended(path: &Value) -> Vec<&str> {
    let mut list: Vec<&str> =
        path["extendedCommunity"]["string"].as_str().unwrap_or_default().split_whitespace().collect();
    list.sort_unstable();
    list
}

/// What `explain` says of the neighbor and a prefix.
async fn link(edge: &Edge, prefix: &str) -> anyhow::Result<String> {
    let why = edge.ask(&["explain", prefix]).await?;
    let chain = why["prefixes"][0]["chain"].as_array().cloned().unwrap_or_default();
    let neighbor = chain.iter().find(|link| link["kind"] == "neighbor").cloned().unwrap_or_default();
    Ok(neighbor["text"].as_str().unwrap_or_default().to_owned())
}

async fn reload(edge: &Edge, text: &str) -> anyhow::Result<()> {
    edge.configure(text).await?;
    edge.lab.kill("edge", "anycastd", Signal::SIGHUP).await
}

/// Waits until the router's path is as `wanted`, and gives it.
async fn path_that(edge: &Edge, prefix: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    edge.lab.wait(what, async || Ok(edge.path(prefix).await?.filter(&wanted))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn communities_of_all_kinds_arrive_together() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let communities = r#"communities: ["65010:100"]
      extended_communities: ["rt:65010:100", "rt:4200000000:1", "soo:192.0.2.1:5", "0x030c000000000008"]
      link_bandwidth: 10Gbps"#;
        edge.configure(&PLAIN.replace(r#"communities: ["65010:100"]"#, communities)).await?;
        edge.start().await?;
        for prefix in [V4, V6] {
            let path = edge.announced(prefix).await?;
            assert!(has_community(&path, "65010:100"), "{path}");
            assert_eq!(path["largeCommunity"]["string"], "65010:1:2", "{path}");
            let shown = path["extendedCommunity"]["string"].as_str().unwrap_or_default();
            for one in ["RT:65010:100", "RT:4200000000:1", "SoO:192.0.2.1:5", "LB:65010:1250000000"] {
                assert!(shown.contains(one), "{one}: {shown}");
            }
        }
        let routes = edge.ask(&["routes", "rtr"]).await?;
        let held = routes[0]["routes"][0]["extended_communities"].to_string();
        assert!(held.contains("link-bandwidth:65010:10Gbps") && held.contains("rt:4200000000:1"), "{held}");

        // The other kind of bandwidth, which FRR shows alike: it came, and as one implicit replace.
        let other = communities.replace("10Gbps", "{ rate: 2.5Gbps, transitive: false }");
        reload(edge, &PLAIN.replace(r#"communities: ["65010:100"]"#, &other)).await?;
        path_that(edge, V4, "the bandwidth changes", |path| extended(path).join(" ").contains("LB:65010:312500000"))
            .await?;
        assert_eq!(edge.sessions().await?, 1);
        Ok(())
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_for_a_neighbor_is_one_implicit_replace() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let path = edge.path(V4).await?.unwrap_or_default();
        assert_eq!((&path["metric"], &path["aspath"]["length"]), (&50.into(), &1.into()), "{path}");
        let updates = edge.updates().await?;
        let changed = neighbor_with(r#"attributes: { med: 7, as_path_prepend: 1, communities: ["65010:9"] }"#);
        reload(edge, &changed).await?;
        for prefix in [V4, V6] {
            let path = path_that(edge, prefix, "the path is changed", |path| path["metric"] == 7).await?;
            assert_eq!(path["aspath"]["string"], "65010 65010", "{path}");
            assert!(has_community(&path, "65010:100") && has_community(&path, "65010:9"), "added: {path}");
        }
        assert_eq!(edge.updates().await?, updates + 2, "an UPDATE for each family");
        let why = link(edge, V4).await?;
        assert!(why.contains("changed for it: med 7, 1 prepended more, 65010:9"), "{why}");

        // What the service says for this neighbor comes last; and degraded has it too.
        let own = changed.replace("    checks:", "    neighbors: [{ name: rtr, attributes: { med: 8 } }]\n    checks:");
        reload(edge, &own).await?;
        path_that(edge, V4, "the service's own word counts", |path| path["metric"] == 8).await?;
        edge.health("1").await?;
        let path = path_that(edge, V4, "it is degraded", |path| path["aspath"]["length"] == 5).await?;
        assert_eq!(path["metric"], 8, "{path}");
        edge.health("0").await?;
        reload(edge, PLAIN).await?;
        path_that(edge, V4, "and back", |path| path["metric"] == 50 && path["aspath"]["string"] == "65010").await?;
        assert_eq!(edge.sessions().await?, 1, "nobody lost the session");
        let events = edge.ctl(&["events"]).await?.output;
        assert!(!events.contains("withdrawn"), "nothing was away, not for a moment: {events}");
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_gives_a_neighbor_the_families_it_names() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let only_v4 = PLAIN
            .replace(
                "    checks:",
                "    neighbors: [{ name: rtr, families: [ipv4] }, { name: rtr-v6, families: [ipv6] }]\n    checks:",
            )
            .replace(
                NEIGHBOR,
                &BOTH.replace("rtr-v4", "rtr").replace(", families: [ipv4]", ", families: [ipv4, ipv6]"),
            );
        edge.configure(&only_v4).await?;
        edge.start().await?;
        let peer = |path: &Value| path["peer"]["peerId"].as_str().map(str::to_owned);
        assert_eq!(peer(&edge.announced(V4).await?).as_deref(), Some("192.0.2.2"));
        assert_eq!(peer(&edge.announced(V6).await?).as_deref(), Some("2001:db8:1::2"));
        let held = edge.ask(&["routes", "rtr"]).await?[0]["routes"].as_array().map(Vec::len);
        assert_eq!(held, Some(1), "though the session carries both families");
        let why = edge.ctl(&["explain", V6]).await?.output;
        assert!(why.contains("is announced to 1 of 1 neighbors"), "{why}");
        Ok(())
    };
    story(told, Edge::new().await).await
}

/// What is changed for a neighbor stays while it is drained; how it is drained comes on top.
#[tokio::test(flavor = "multi_thread")]
async fn a_neighbor_is_drained_by_a_longer_path_or_not_at_all() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let slow = |way: &str| {
            neighbor_with(&format!("drain_by: {way}, attributes: {{ med: 7 }}"))
                .replace("graceful_shutdown: 1s", "graceful_shutdown: 10m")
        };
        let leaving = |path: &Value| has_community(path, "gracefulShutdown");
        edge.configure(&slow("prepend")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        assert!(edge.ctl(&["withdraw", "web"]).await?.status.success());
        let path = path_that(edge, V4, "its path is longer", |path| path["aspath"]["length"] == 4).await?;
        assert!(!leaving(&path) && path["metric"] == 7, "{path}");
        let why = link(edge, V4).await?;
        assert!(why.contains("with a longer path (assumed honoured)"), "{why}");

        // Changed in the middle of the drain, each is one replace.
        reload(edge, &slow("none")).await?;
        let path = path_that(edge, V4, "its path is as ever", |path| path["aspath"]["length"] == 1).await?;
        assert!(!leaving(&path) && path["metric"] == 7, "{path}");
        reload(edge, &slow("gshut")).await?;
        let path = path_that(edge, V4, "it says that it is leaving", leaving).await?;
        assert!(path["aspath"]["length"] == 1 && path["metric"] == 7, "{path}");
        reload(edge, &slow("prepend")).await?;
        let path = path_that(edge, V4, "and back", |path| path["aspath"]["length"] == 4).await?;
        assert!(!leaving(&path), "{path}");
        assert_eq!(edge.sessions().await?, 1);

        // A new goodbye of no time ends this one: withdrawn like everywhere.
        assert!(edge.ctl(&["withdraw", "web", "--now"]).await?.status.success());
        edge.withdrawn(V4).await
    };
    story(told, Edge::new().await).await
}

/// RFC 2545 §3, over a session of global addresses: FRR prefers the link-local one where it is told of both.
#[tokio::test(flavor = "multi_thread")]
async fn the_ipv6_next_hop_has_the_form_that_is_chosen() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let shown = edge.run(&["ip", "-6", "-brief", "address", "show", "dev", "eth1", "scope", "link"]).await?;
        let own = shown.split_whitespace().find_map(|word| word.strip_suffix("/64")).unwrap_or_default().to_owned();
        let global = "2001:db8:1::2".to_owned();
        let with = |next_hop: &str| {
            let one = format!(r#"- {{ name: rtr, address: "2001:db8:1::1", asn: 65101, families: [ipv6]{next_hop} }}"#);
            let other = "- { name: rtr-v4, address: 192.0.2.1, asn: 65101, families: [ipv4] }";
            PLAIN.replace(NEIGHBOR, &format!("{one}\n    {other}"))
        };
        edge.configure(&with("")).await?;
        edge.start().await?;
        edge.announced(V6).await?;
        let table = [
            ("", vec![global.clone()]),
            (", next_hop: { ipv6_link_local: none }", vec![global.clone()]),
            (", next_hop: { ipv6_link_local: auto }", vec![global.clone(), own.clone()]),
            (", next_hop: { ipv6: none }", vec![own.clone()]),
            (", next_hop: { ipv6: none, ipv6_link_local: fe80::77 }", vec!["fe80::77".to_owned()]),
        ];
        for (keys, expected) in table {
            reload(edge, &with(keys)).await?;
            edge.wait(&format!("the agent says so: {keys}"), async || {
                let neighbor = edge.ask(&["neighbors", "rtr"]).await?;
                Ok(neighbor[0]["session"]["next_hops"]["ipv6"] == expected.join(" "))
            })
            .await?;
            let hops = |path: &Value| -> Vec<String> {
                let hops = path["nexthops"].as_array().cloned().unwrap_or_default();
                hops.iter().filter_map(|hop| hop["ip"].as_str().map(str::to_owned)).collect()
            };
            path_that(edge, V6, &format!("the router has {expected:?}"), |path| hops(path) == expected).await?;
            let used = format!("via {} dev edge", expected.last().cloned().unwrap_or_default());
            edge.wait(&format!("and in its kernel {used}"), async || {
                Ok(edge.lab.run("rtr", &["ip", "-6", "route", "show", V6]).await?.contains(&used))
            })
            .await?;
        }
        Ok(())
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_neighbor_cannot_be_told_is_said_loudly() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        router(edge, &["address-family ipv6 unicast", "no neighbor 192.0.2.2 activate"]).await?;
        edge.configure(PLAIN).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        let events = edge.ctl(&["events"]).await?.output;
        assert!(events.contains("cannot be told of 2001:db8:53::/48: the neighbor did not offer ipv6"), "{events}");
        let status = edge.ask(&["status"]).await?;
        assert_eq!(status["healthy"], false, "{status}");
        let problem = "rtr cannot be given 2001:db8:53::/48: the neighbor did not offer ipv6";
        ensure!(status["problems"].as_array().is_some_and(|all| all.len() == 1), "{status}");
        ensure!(status["problems"][0].as_str().is_some_and(|said| said.starts_with(problem)), "{status}");
        for (name, value) in [("problems_by_subject{subject=\"unsendable\"}", 1.0), ("healthy", 0.0)] {
            assert_eq!(metrics::value(edge, &format!("anycastd_{name}")).await?, Some(value), "{name}");
        }
        // It is no reason to take the node for one that does not serve.
        let ready = edge.run(&["curl", "-s", "http://127.0.0.1:9273/readyz"]).await?;
        assert_eq!(ready, "ready\n");
        assert!(link(edge, V6).await?.contains("activate that family"), "{status}");
        Ok(())
    };
    story(told, Edge::new().await).await
}

/// Announced, and some of it again and again: what counts is how many prefixes are different.
#[tokio::test(flavor = "multi_thread")]
async fn a_neighbor_that_announces_too_much_is_an_alarm_and_keeps_its_session() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(&neighbor_with("max_prefixes: 100")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        // One more is our own, which the router tells us like all others.
        originate(edge, "1 1 99").await?;
        received(edge, 100).await?;
        for _ in 0..3 {
            edge.lab.run("rtr", &["vtysh", "-c", "clear bgp ipv4 unicast 192.0.2.2 soft out"]).await?;
        }
        edge.wait("they come again", async || {
            let neighbor = edge.ask(&["neighbors", "rtr"]).await?;
            Ok(neighbor[0]["counters"]["prefixes_received"].as_u64() >= Some(200))
        })
        .await?;
        let status = edge.ask(&["status"]).await?;
        assert_eq!(
            (&status["healthy"], &status["neighbors"][0]["received"]["exceeded"]),
            (&true.into(), &false.into())
        );

        originate(edge, "100 1 299").await?;
        received(edge, 300).await?;
        let status = edge.ask(&["status"]).await?;
        let problems = status["problems"].to_string();
        assert!(problems.contains("announced 300 different prefixes"), "{problems}");
        assert_eq!(status["healthy"], false, "{status}");
        let shown = edge.ctl(&["neighbors", "rtr"]).await?.output;
        assert!(shown.contains("300 different prefixes in this session, more than max_prefixes 100"), "{shown}");
        let metrics = edge.run(&["curl", "-s", "http://127.0.0.1:9273/metrics"]).await?;
        assert!(metrics.contains(r#"anycastd_neighbor_received_prefixes{neighbor="rtr"} 300"#), "{metrics}");
        assert!(metrics.contains(r#"anycastd_neighbor_max_prefixes_exceeded{neighbor="rtr"} 1"#), "{metrics}");
        let events = edge.ctl(&["events"]).await?.output;
        assert_eq!(events.matches("more than `max_prefixes: 100`").count(), 1, "once: {events}");
        assert_eq!(edge.sessions().await?, 1, "it stays up");
        assert!(edge.path(V4).await?.is_some());

        // A higher limit ends the alarm, and not the session.
        reload(edge, &neighbor_with("max_prefixes: 300, max_announced: 2")).await?;
        let well = async || Ok(edge.ask(&["status"]).await?["problems"].as_array().is_some_and(Vec::is_empty));
        edge.wait("the alarm is over", well).await?;
        assert_eq!(edge.sessions().await?, 1);
        Ok(())
    };
    story(told, Edge::new().await).await
}

/// Has the router announce 10.0.0.0/24 and so on, by the numbers that `seq` makes of these words.
async fn originate(edge: &Edge, numbers: &str) -> anyhow::Result<()> {
    let script = r#"{
        printf 'configure terminal\nrouter bgp 65101\nno bgp network import-check\naddress-family ipv4 unicast\n'
        echo 'neighbor 192.0.2.2 route-map ALL out'
        for i in $(seq $0); do echo "network 10.$((i / 256)).$((i % 256)).0/24"; done
    } | vtysh"#;
    edge.lab.run("rtr", &["sh", "-c", script, numbers]).await.map(drop)
}

/// Waits until the agent has been told of so many.
async fn received(edge: &Edge, prefixes: u64) -> anyhow::Result<()> {
    edge.wait(&format!("{prefixes} prefixes came"), async || {
        Ok(edge.ask(&["neighbors", "rtr"]).await?[0]["received"]["prefixes"] == prefixes)
    })
    .await
}
