//! What follows from the states of services: holds, dependencies, shared checks, and routes of what is down.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::edge::{Edge, PLAIN, V4, V6, has_community, story};

/// With more keys for the service.
fn with(keys: &str) -> String {
    PLAIN.replace("    up:\n", &format!("    {keys}\n    up:\n"))
}

async fn service(edge: &Edge) -> anyhow::Result<Value> {
    Ok(edge.ask(&["status"]).await?["services"][0].clone())
}

async fn is(edge: &Edge, key: &str, word: &str) -> anyhow::Result<()> {
    edge.wait(&format!("its {key} is {word}"), async || Ok(service(edge).await?[key] == word)).await
}

/// Down, and up again.
async fn flap(edge: &Edge) -> anyhow::Result<()> {
    edge.health("2").await?;
    is(edge, "state", "down").await?;
    edge.health("0").await?;
    is(edge, "health", "up").await
}

async fn prepended(edge: &Edge, prefix: &str, length: u64) -> anyhow::Result<Value> {
    let what = format!("the path of {prefix} has the length {length}");
    edge.lab.wait(&what, async || Ok(edge.path(prefix).await?.filter(|path| path["aspath"]["length"] == length))).await
}

async fn metrics(edge: &Edge) -> anyhow::Result<String> {
    edge.run(&["curl", "-s", "http://127.0.0.1:9273/metrics"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_flaps_is_held_down_and_comes_back() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(&with("hold_down: { after: 2 flaps in 10m, initial: 15s, max: 10m }")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        flap(edge).await?;
        edge.announced(V4).await?;
        flap(edge).await?;
        is(edge, "state", "held").await?;
        edge.withdrawn(V4).await?;

        let status = edge.ctl(&["status", "web"]).await?.output;
        assert!(status.contains("held") && status.contains("(2 flaps in 00:10:00)"), "{status}");
        let why = edge.ask(&["explain", V4]).await?.to_string();
        assert!(why.contains("is not announced: web is held down for"), "{why}");
        assert!(why.contains("anycastctl announce web --force"), "{why}");
        let said = edge.ctl(&["announce", "web"]).await?;
        assert!(said.status.success() && said.output.contains("held down for"), "{}{}", said.output, said.errors);
        assert_eq!(service(edge).await?["state"], "held", "a plain order does not end it");
        let metrics = metrics(edge).await?;
        assert!(metrics.contains(r#"anycastd_service_flaps_total{service="web"} 2"#), "{metrics}");
        assert!(metrics.contains(r#"anycastd_service_state{service="web",state="held"} 1"#), "{metrics}");
        assert!(!metrics.contains(r#"anycastd_service_hold_down_seconds{service="web"} 0"#), "{metrics}");

        // By itself.
        edge.announced(V4).await?;
        is(edge, "state", "up").await?;
        let events = edge.ctl(&["events"]).await?.output;
        for text in
            ["flap 1 of 2 in 10 min: it went down", "flap 2 of 2", "held down for 15 s after", "held down no longer"]
        {
            assert!(events.contains(text), "{text}: {events}");
        }

        // The next one is twice as long, and an operator who knows better ends it.
        flap(edge).await?;
        flap(edge).await?;
        is(edge, "state", "held").await?;
        let left = service(edge).await?["hold_down"]["left_seconds"].as_f64().unwrap_or_default();
        assert!(left > 15.0 || edge.path(V4).await?.is_some(), "{left}");
        let forced = edge.ctl(&["announce", "web", "--force"]).await?;
        assert!(forced.status.success() && forced.output.contains(V4), "{}{}", forced.output, forced.errors);
        edge.announced(V4).await?;
        assert_eq!(service(edge).await?["hold_down"]["recent_flaps"], 0, "all is forgotten");
        assert_eq!(edge.sessions().await?, 1);
        Ok(())
    };
    story(told, Edge::new().await).await
}

/// Waits until a process after this one would know that the service serves.
async fn remembered(edge: &Edge) -> anyhow::Result<()> {
    edge.wait("it is written down that it serves", async || {
        let file = edge.said(&["cat", "/var/lib/anycastd/flaps.json"]).await?.output;
        Ok(file.contains(r#""serving": true"#) && file.contains(r#""ended": false"#))
    })
    .await
}

async fn end(edge: &Edge, signal: Signal) -> anyhow::Result<()> {
    edge.lab.kill("edge", "anycastd", signal).await?;
    edge.wait("it is gone", async || Ok(edge.lab.pids("edge", "anycastd").await?.is_empty())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_killed_again_and_again_flaps_and_one_that_is_stopped_does_not() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let flaps = async || Ok::<_, anyhow::Error>(service(edge).await?["hold_down"]["recent_flaps"].clone());
        edge.configure(&with("hold_down: { after: 2 flaps in 1h, initial: 1h, max: 1h }")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        remembered(edge).await?;

        end(edge, Signal::SIGTERM).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        assert_eq!(flaps().await?, 0, "told to end");
        remembered(edge).await?;

        end(edge, Signal::SIGKILL).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        assert_eq!(flaps().await?, 1, "killed");
        let events = edge.ctl(&["events"]).await?.output;
        assert!(events.contains("flap 1 of 2 in 1 h: the agent before this one ended"), "{events}");
        remembered(edge).await?;

        // What is remembered outlives an orderly restart, and a maintenance is no flap.
        assert!(edge.ctl(&["withdraw", "web", "--now"]).await?.status.success());
        edge.withdrawn(V4).await?;
        edge.wait("it is written down that it does not serve", async || {
            Ok(edge.run(&["cat", "/var/lib/anycastd/flaps.json"]).await?.contains(r#""serving": false"#))
        })
        .await?;
        end(edge, Signal::SIGKILL).await?;
        edge.start().await?;
        is(edge, "health", "up").await?;
        assert!(edge.ctl(&["announce", "web"]).await?.status.success());
        edge.announced(V4).await?;
        assert_eq!(flaps().await?, 1);
        remembered(edge).await?;

        end(edge, Signal::SIGKILL).await?;
        edge.start().await?;
        is(edge, "state", "held").await?;
        assert_eq!(edge.path(V4).await?, None);
        end(edge, Signal::SIGTERM).await?;
        edge.start().await?;
        is(edge, "state", "held").await?;
        assert!(edge.ctl(&["announce", "web", "--force"]).await?.status.success());
        edge.announced(V4).await?;
        Ok(())
    };
    story(told, Edge::new().await).await
}

/// It must not escape the hold by dying before anything of it is written down.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_killed_each_time_it_has_announced_is_held_down() -> anyhow::Result<()> {
    const TIMES: usize = 5;
    let told = async |edge: &Edge| {
        edge.configure(&with(&format!("hold_down: {{ after: {TIMES} flaps in 1h, initial: 1h, max: 1h }}"))).await?;
        for _ in 0..TIMES {
            edge.start().await?;
            edge.announced(V4).await?;
            // What it is to be told apart from is a write that waits its turn, a second after the one before.
            tokio::time::sleep(Duration::from_millis(150)).await;
            end(edge, Signal::SIGKILL).await?;
            edge.withdrawn(V4).await?;
        }
        edge.start().await?;
        is(edge, "state", "held").await?;
        let events = edge.ctl(&["events"]).await?.output;
        assert!(events.contains("flap 5 of 5 in 1 h: the agent before this one ended"), "{events}");
        assert_eq!(edge.path(V4).await?, None);
        Ok(())
    };
    story(told, Edge::new().await).await
}

/// A full disk, or whatever keeps the file from being written, is shown and costs nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn flaps_that_cannot_be_written_down_are_a_problem_and_no_more() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.run(&["mkdir", "-p", "/var/lib/anycastd/flaps.json.new"]).await?;
        edge.configure(&with("hold_down: { after: 2 flaps in 1h, initial: 1h, max: 1h }")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        let problems = async || Ok::<_, anyhow::Error>(edge.ask(&["status"]).await?["problems"].to_string());
        edge.wait("it is shown", async || Ok(problems().await?.contains("flaps.json"))).await?;
        flap(edge).await?;
        edge.announced(V4).await?;
        edge.run(&["rmdir", "/var/lib/anycastd/flaps.json.new"]).await?;
        flap(edge).await?;
        edge.wait("it is well", async || Ok(problems().await? == "[]")).await?;
        is(edge, "state", "held").await
    };
    story(told, Edge::new().await).await
}

const SHARED: &str = r#"      - name: database
        type: exec
        scope: shared
        command: [/bin/sh, -c, "exit $(cat /run/database || echo 0)"]
        interval: 200ms
        fast_interval: 50ms
        timeout: 5s
"#;

/// A change of state is one implicit replace: an UPDATE for each family, and the route never leaves the table.
#[tokio::test(flavor = "multi_thread")]
async fn a_shared_check_degrades_and_never_withdraws() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let degraded = "    degraded: { as_path_prepend: 2, communities: [\"65010:666\"] }\n    up:\n";
        edge.configure(&PLAIN.replace("    up:\n", &format!("{SHARED}{degraded}"))).await?;
        edge.start().await?;
        is(edge, "state", "up").await?;
        prepended(edge, V4, 1).await?;
        prepended(edge, V6, 1).await?;
        let updates = edge.updates().await?;
        let since = edge.ctl(&["events"]).await?.output.lines().count();
        edge.lab.write("edge", "/run/database", "2").await?;
        for prefix in [V4, V6] {
            let path = prepended(edge, prefix, 3).await?;
            assert!(has_community(&path, "65010:666") && !has_community(&path, "65010:100"), "{path}");
            assert_eq!(
                path["metric"].as_u64().unwrap_or_default(),
                0,
                "`degraded` takes nothing over from `up`: {path}"
            );
        }
        assert_eq!(edge.updates().await?, updates + 2);
        is(edge, "state", "degraded").await?;
        let why = edge.ask(&["explain", V4]).await?.to_string();
        assert!(why.contains("a shared one makes it"), "{why}");

        edge.lab.write("edge", "/run/database", "0").await?;
        prepended(edge, V4, 1).await?;
        prepended(edge, V6, 1).await?;
        assert_eq!(edge.updates().await?, updates + 4);
        let events = edge.ctl(&["events"]).await?.output;
        let after: Vec<&str> = events.lines().skip(since).collect();
        assert!(!after.iter().any(|line| line.contains("withdrawn")), "{after:#?}");

        // Its own check withdraws, whatever the shared one says.
        edge.health("2").await?;
        edge.withdrawn(V4).await
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_down_is_degraded_or_kept_where_the_operator_wants_that() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(&with("on_down: degrade")).await?;
        edge.start().await?;
        prepended(edge, V4, 1).await?;
        prepended(edge, V6, 1).await?;
        let updates = edge.updates().await?;
        edge.health("2").await?;
        prepended(edge, V4, 4).await?;
        prepended(edge, V6, 4).await?;
        assert_eq!(edge.updates().await?, updates + 2, "one implicit replace for each family");
        is(edge, "state", "down").await?;
        let why = edge.ask(&["explain", V4]).await?.to_string();
        assert!(why.contains("web is down, announced as degraded (`on_down: degrade`)"), "{why}");

        edge.health("0").await?;
        prepended(edge, V4, 1).await?;
        edge.configure(&with("on_down: keep")).await?;
        edge.reload().await?;
        edge.wait("it has been read", async || {
            Ok(edge.ask(&["explain", V4]).await?.to_string().contains("announced as it was"))
        })
        .await?;
        let updates = edge.updates().await?;
        edge.health("2").await?;
        is(edge, "state", "down").await?;
        assert_eq!(edge.ask(&["status"]).await?["healthy"], false);
        assert_eq!(edge.path(V4).await?.unwrap_or_default()["aspath"]["length"], 1);
        assert_eq!(edge.updates().await?, updates, "nothing is said");

        // What is not bound is not announced, and what never served is nothing to keep.
        edge.run(&["ip", "link", "set", "lo", "down"]).await?;
        edge.withdrawn(V4).await?;
        edge.run(&["ip", "link", "set", "lo", "up"]).await?;
        end(edge, Signal::SIGTERM).await?;
        edge.start().await?;
        edge.lab.established("rtr", "edge").await?;
        is(edge, "state", "down").await?;
        assert_eq!(edge.path(V4).await?, None);
        edge.health("0").await?;
        edge.announced(V4).await?;
        Ok(())
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_goes_with_the_one_it_depends_on_and_not_with_its_maintenance() -> anyhow::Result<()> {
    const SHOP: &str = r#"  - name: shop
    addresses: [198.51.100.7]
    depends_on: [web]
    checks: [{ name: true, type: exec, command: [/bin/true], interval: 200ms }]
"#;
    const ROUTE: &str = "198.51.100.7/32";
    let told = async |edge: &Edge| {
        edge.configure(&PLAIN.replace("log:", &format!("{SHOP}log:"))).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        edge.announced(ROUTE).await?;

        assert!(edge.ctl(&["withdraw", "web", "--now"]).await?.status.success());
        edge.withdrawn(V4).await?;
        assert!(edge.path(ROUTE).await?.is_some(), "the order was for `web` alone");
        edge.health("2").await?;
        edge.withdrawn(ROUTE).await?;
        let why = edge.ask(&["explain", "shop"]).await?.to_string();
        assert!(why.contains("is not announced: shop depends on web, which is down"), "{why}");
        let status = edge.ctl(&["status", "shop"]).await?.output;
        assert!(status.contains("depends on web, which is down"), "{status}");

        edge.health("0").await?;
        edge.announced(ROUTE).await?;
        assert_eq!(edge.path(V4).await?, None, "the maintenance is not over");
        Ok(())
    };
    story(told, Edge::new().await).await
}
