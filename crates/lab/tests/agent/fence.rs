//! The agent is stopped, stuck, starved: it claims nothing that it cannot vouch for, and takes nothing back that it can.
//!
//! Its own faults come to order, which only a debug build takes.

use std::time::Duration;

use anyhow::ensure;
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use crate::{
    edge::{Edge, PLAIN, V4, V6, router, story},
    metrics::value,
};

/// [`PLAIN`] with a deadline that is soon over.
fn hasty() -> String {
    format!("stale_after: 3s\n{PLAIN}")
}

/// The router keeps routes over a lost session, unless it is told that it must not.
async fn keeps_routes(edge: &Edge, text: &str) -> anyhow::Result<()> {
    router(edge, &["neighbor 192.0.2.2 graceful-restart", "neighbor 192.0.2.2 timers connect 1"]).await?;
    edge.lab.run("rtr", &["vtysh", "-c", "clear bgp *"]).await?;
    edge.configure(&text.replace("hold_time: 9s", "hold_time: 9s, graceful_restart: true")).await?;
    edge.start().await?;
    edge.announced(V4).await?;
    edge.announced(V6).await?;
    let neighbor = edge.ask(&["neighbors", "rtr"]).await?.to_string();
    ensure!(neighbor.contains("graceful restart, notifications included"), "{neighbor}");
    Ok(())
}

/// An end that the routes do not outlive.
async fn was_reset_hard(edge: &Edge) -> anyhow::Result<()> {
    let session = edge.session().await?;
    let told = (&session["lastNotificationReason"], &session["lastNotificationHardReset"]);
    ensure!(told == (&"Cease/Administrative Reset".into(), &true.into()), "{session}");
    Ok(())
}

/// Has a fault happen in the agent.
pub(crate) async fn order(edge: &Edge, fault: &str) -> anyhow::Result<()> {
    let socket = ["--unix-socket", "/run/anycastd/control.sock"];
    let request = ["--max-time", "10", "-d", fault, "http://agent/v1/fault"];
    let argv: Vec<&str> = ["curl", "-s", "-w", "%{http_code}"].iter().chain(&socket).chain(&request).copied().collect();
    let said = edge.said(&argv).await?.output;
    ensure!(!said.contains("404"), "faults come to order in a debug build only: {said}");
    Ok(())
}

async fn events(edge: &Edge) -> anyhow::Result<String> {
    Ok(edge.ctl(&["events"]).await?.output)
}

async fn fencings(edge: &Edge, deadline: &str) -> anyhow::Result<f64> {
    let count = value(edge, &format!("anycastd_fencings_total{{deadline=\"{deadline}\"}}")).await?;
    Ok(count.unwrap_or_default())
}

async fn stopped_for(edge: &Edge, time: Duration) -> anyhow::Result<()> {
    edge.lab.kill("edge", "anycastd", Signal::SIGSTOP).await?;
    sleep(time).await;
    edge.lab.kill("edge", "anycastd", Signal::SIGCONT).await
}

/// What the router has seen so far: sessions and UPDATEs.
pub(crate) async fn seen(edge: &Edge) -> anyhow::Result<(u64, u64)> {
    Ok((edge.sessions().await?, edge.updates().await?))
}

/// The same, once all is said that follows the announcement.
pub(crate) async fn settled(edge: &Edge) -> anyhow::Result<(u64, u64)> {
    // Two prefixes, and two that say that there is nothing more to say.
    edge.wait("all is said", async || Ok(edge.updates().await? == 4)).await?;
    seen(edge).await
}

/// No verdict that was none of the service's.
async fn nobody_was_blamed(edge: &Edge) -> anyhow::Result<()> {
    let events = events(edge).await?;
    let blamed = |line: &&str| ["→ down", "→ unknown", "withdrawn", "fenced"].iter().any(|word| line.contains(word));
    let lines: Vec<_> = events.lines().filter(blamed).collect();
    ensure!(lines.is_empty(), "{lines:?}\n{events}");
    for deadline in ["decision_loop", "scheduler", "check"] {
        ensure!(fencings(edge, deadline).await? == 0.0, "{deadline}: {events}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_for_longer_than_the_hold_time_it_comes_back() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        stopped_for(edge, Duration::from_secs(12)).await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        ensure!(edge.sessions().await? == 2, "the routes have moved meanwhile");
        ensure!(events(edge).await?.contains("was not run for"), "{}", events(edge).await?);
        nobody_was_blamed(edge).await
    };
    story(told, Edge::announcing().await).await
}

/// The routes move while it is stopped, and that is not all: what does not work any more does not come back with it.
#[tokio::test(flavor = "multi_thread")]
async fn what_broke_while_it_was_stopped_is_never_announced_again() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        // The worst of services: it does not answer, so that each run takes its whole time.
        let hangs = PLAIN
            .replace("exit $(cat", "test -e /run/hangs && sleep 60; exit $(cat")
            .replace("timeout: 5s", "timeout: 3s");
        edge.configure(&hangs).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        let (_, updates) = settled(edge).await?;
        edge.lab.kill("edge", "anycastd", Signal::SIGSTOP).await?;
        edge.lab.write("edge", "/run/hangs", "").await?;
        edge.withdrawn(V4).await?;
        edge.withdrawn(V6).await?;
        edge.lab.kill("edge", "anycastd", Signal::SIGCONT).await?;
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            ensure!(edge.path(V4).await?.is_none(), "announced without a proof: {}", events(edge).await?);
            if edge.session().await?["bgpState"] == "Established" {
                break;
            }
            ensure!(Instant::now() < deadline, "no session: {}", events(edge).await?);
            sleep(Duration::from_millis(50)).await;
        }
        // Two that say that there is nothing more to say.
        ensure!(edge.updates().await? <= updates + 2, "{}", events(edge).await?);
        ensure!(edge.path(V4).await?.is_none(), "{}", events(edge).await?);
        edge.run(&["rm", "/run/hangs"]).await?;
        edge.announced(V4).await.map(drop)
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_stop_is_not_to_be_seen_on_the_wire() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let before = settled(edge).await?;
        stopped_for(edge, Duration::from_secs(4)).await?;
        edge.wait("it knows", async || Ok(events(edge).await?.contains("was not run for"))).await?;
        // Longer than anything that would follow from it.
        sleep(Duration::from_secs(3)).await;
        ensure!(seen(edge).await? == before, "{:?} {before:?}", seen(edge).await?);
        nobody_was_blamed(edge).await
    };
    story(told, Edge::announcing().await).await
}

/// With graceful restart the routes would outlive the sessions: it takes a hard reset.
#[tokio::test(flavor = "multi_thread")]
async fn a_decision_loop_that_is_stuck_ends_the_sessions_until_it_runs_again() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        keeps_routes(edge, &hasty()).await?;
        let sessions = edge.sessions().await?;
        order(edge, r#"{"what":"loop_blocks","seconds":12}"#).await?;
        edge.withdrawn(V4).await?;
        edge.withdrawn(V6).await?;
        ensure!(edge.session().await?["bgpState"] != "Established", "and no session comes meanwhile");
        was_reset_hard(edge).await?;
        ensure!(fencings(edge, "decision_loop").await? == 1.0, "to be read while it lasts");
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        ensure!(edge.sessions().await? == sessions + 1);
        let events = events(edge).await?;
        ensure!(events.contains("silent for 3") && events.contains("runs again after"), "{events}");
        ensure!(fencings(edge, "scheduler").await? == 0.0 && fencings(edge, "check").await? == 0.0, "{events}");
        Ok(())
    };
    story(told, Edge::new().await).await
}

/// Then nobody is left to end the sessions but the one who looks.
#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_that_is_stalled_ends_the_sessions_too() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        keeps_routes(edge, &hasty()).await?;
        let sessions = edge.sessions().await?;
        order(edge, r#"{"what":"scheduler_stalls","seconds":12}"#).await?;
        edge.withdrawn(V4).await?;
        edge.withdrawn(V6).await?;
        was_reset_hard(edge).await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        ensure!(edge.sessions().await? == sessions + 1);
        ensure!(fencings(edge, "scheduler").await? == 1.0, "{}", events(edge).await?);
        ensure!(fencings(edge, "check").await? == 0.0, "the checks are not to blame: {}", events(edge).await?);
        Ok(())
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_whose_task_dies_is_restarted_and_nothing_is_withdrawn() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let (before, pids) = (settled(edge).await?, edge.lab.pids("edge", "anycastd").await?);
        order(edge, r#"{"what":"probes_panic","times":3}"#).await?;
        let restarts = "anycastd_check_task_restarts_total{cause=\"panicked\"}";
        edge.wait("it is restarted each time", async || Ok(value(edge, restarts).await? == Some(3.0))).await?;
        edge.wait("it goes on", async || {
            Ok(edge.ask(&["status"]).await?["services"][0]["checks"][0]["last"]["health"] == "up")
        })
        .await?;
        ensure!(seen(edge).await? == before && edge.lab.pids("edge", "anycastd").await? == pids);
        ensure!(events(edge).await?.contains("panicked and is restarted: ordered"), "{}", events(edge).await?);
        nobody_was_blamed(edge).await
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_cannot_be_restarted_claims_nothing_any_more() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(&hasty()).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        order(edge, r#"{"what":"probe_blocks","seconds":12}"#).await?;
        edge.withdrawn(V4).await?;
        let status = edge.ask(&["status"]).await?;
        ensure!(status["services"][0]["health"] == "unknown", "{status}");
        ensure!(status["problems"].to_string().contains("check web/told hangs"), "{status}");
        ensure!(fencings(edge, "check").await? == 1.0 && fencings(edge, "scheduler").await? == 0.0);
        edge.announced(V4).await?;
        ensure!(edge.sessions().await? == 1, "nobody else is concerned");
        ensure!(value(edge, "anycastd_check_task_restarts_total{cause=\"hung\"}").await? == Some(1.0));
        Ok(())
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_suspend_everything_is_proven_before_it_is_announced() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        order(edge, r#"{"what":"suspended","seconds":3600}"#).await?;
        edge.wait("it forgets", async || {
            let events = events(edge).await?;
            Ok(events.contains("was suspended for 36") && events.contains("up → unknown"))
        })
        .await?;
        edge.announced(V4).await?;
        ensure!(edge.sessions().await? == 1, "a session that lives is kept");
        ensure!(!events(edge).await?.contains("→ down"), "{}", events(edge).await?);
        ensure!(fencings(edge, "decision_loop").await? == 0.0);
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

/// Overload is not confusion.
#[tokio::test(flavor = "multi_thread")]
async fn an_overloaded_node_is_not_fenced() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let before = settled(edge).await?;
        for _ in 0..4 {
            edge.lab.start("edge", &["timeout", "30", "sh", "-c", "while :; do :; done"], "/dev/null").await?;
        }
        sleep(Duration::from_secs(30)).await;
        ensure!(seen(edge).await? == before, "{:?} {before:?}", seen(edge).await?);
        nobody_was_blamed(edge).await
    };
    story(told, Edge::announcing().await).await
}
