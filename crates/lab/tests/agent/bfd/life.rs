//! What an agent goes through that its neighbor must not see.

use anyhow::{Context as _, ensure};

use super::{AGENT, changes, dropped, edge, is_settled, is_up, mended, ours, theirs, up, watch, with};
use crate::{
    edge::{Edge, V4, V6, router, story},
    upgrade::{install_ours, start, upgrade},
};

const UPGRADES: usize = 10;

/// A program that may be upgraded, with BFD Up.
async fn begun(edge: &Edge) -> anyhow::Result<()> {
    router(edge, &["neighbor 192.0.2.2 bfd 3 50 50"]).await?;
    install_ours(edge).await?;
    edge.configure(&with(super::FAST)).await?;
    start(edge).await?;
    edge.announced(V4).await?;
    edge.announced(V6).await?;
    is_settled(edge).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_no_loss_of_the_path() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        begun(edge).await?;
        let (downs, sessions) = (changes(edge).await?, edge.sessions().await?);
        let (before, uptime) = (ours(edge, "rtr").await?, theirs(edge, "rtr", AGENT).await?);
        let capture = watch(edge).await?;
        for n in 1..=UPGRADES {
            let upgraded = upgrade(edge).await?;
            ensure!(upgraded["sessions"] == 1 && upgraded["lost"] == serde_json::json!({}), "upgrade {n}: {upgraded}");
        }
        edge.wait("the intervals are as they were", async || {
            let (theirs, ours) = (theirs(edge, "rtr", AGENT).await?, ours(edge, "rtr").await?);
            Ok(theirs["remote-transmit-interval"] == 50 && ours["state"] == "Up" && ours["transmit_seconds"] == 0.05)
        })
        .await?;
        ensure!(changes(edge).await? == downs, "{:?}", changes(edge).await?);
        let (after, now) = (ours(edge, "rtr").await?, theirs(edge, "rtr", AGENT).await?);
        for key in ["local_discriminator", "remote_discriminator", "losses", "since"] {
            ensure!(after[key] == before[key], "{key}: {before} became {after}");
        }
        ensure!(now["id"] == uptime["id"] && now["uptime"].as_u64() >= uptime["uptime"].as_u64(), "{uptime} {now}");
        let count = |session: &serde_json::Value| session["counters"]["packets_transmitted"].as_u64();
        ensure!(count(&after) > count(&before), "the counts go on: {after}");
        let packets = capture.end().await?.controls().await?;
        let sent = super::sent_by(&packets, AGENT)?;
        ensure!(sent.iter().all(anycast_lab::harness::control::Control::is_up));
        ensure!(edge.sessions().await? == sessions);
        Ok(())
    };
    story(told, edge().await).await
}

/// The neighbor is heard for some seconds, and is not spoken to: it says that it does not hear us.
async fn is_held_back(edge: &Edge, sessions: u64) -> anyhow::Result<()> {
    let received = async || {
        let session = ours(edge, "rtr").await?;
        let count = session["counters"]["packets_received"].as_u64();
        count.with_context(|| format!("no packets_received in {session}"))
    };
    edge.wait("there is a BFD session", async || Ok(received().await.is_ok())).await?;
    let before = received().await?;
    edge.wait("the neighbor is heard", async || Ok(received().await? >= before + 4)).await?;
    let (all, session) = (edge.ask(&["neighbors"]).await?, ours(edge, "rtr").await?);
    ensure!(session["state"] != "Up" && session["remote_state"] == "Down", "{session}");
    ensure!(all[0]["state"] == "Idle" && all[0]["bfd"]["held_back"]["losses"] == 1, "{all}");
    ensure!(edge.sessions().await? == sessions && edge.path(V4).await?.is_none(), "there is a session");
    let why = edge.ctl(&["explain", V4]).await?.output;
    let words = why.split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(words.contains("BGP comes back when BFD is Up and has been for 1 s"), "{why}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_path_stays_lost_through_an_upgrade_and_a_reload() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        begun(edge).await?;
        dropped(edge, &["iifname \"edge\" udp dport 3784"]).await?;
        edge.withdrawn(V4).await?;
        let sessions = edge.sessions().await?;
        is_held_back(edge, sessions).await?;
        upgrade(edge).await?;
        is_held_back(edge, sessions).await?;
        // The session of BGP is another: so is its task, and the session of BFD.
        let other = with(super::FAST).replace("hold_time: 9s", "hold_time: 12s");
        ensure!(other != with(super::FAST));
        edge.configure(&other).await?;
        ensure!(edge.ctl(&["reload"]).await?.status.success());
        is_held_back(edge, sessions).await?;
        mended(edge).await?;
        edge.announced(V4).await?;
        is_up(edge).await
    };
    story(told, edge().await).await
}

/// It is said longer the second time, and a router that is silent for as long as that is spoken to without.
#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_comes_and_goes_is_waited_for_longer_each_time() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let hold = async || Ok::<_, anyhow::Error>(edge.ask(&["neighbors"]).await?[0]["bfd"]["held_back"].clone());
        for (losses, seconds) in [(1, 1.0), (2, 2.0), (3, 4.0)] {
            dropped(edge, &["iifname \"edge\" udp dport 3784"]).await?;
            edge.wait(&format!("the path is lost for the {losses}. time"), async || {
                let hold = hold().await?;
                Ok(hold["losses"] == losses && hold["up_seconds"] == seconds)
            })
            .await?;
            edge.withdrawn(V4).await?;
            mended(edge).await?;
            edge.announced(V4).await?;
            ensure!(hold().await?.is_null());
            is_up(edge).await?;
        }
        let events = edge.ctl(&["events"]).await?.output;
        ensure!(events.matches("down: BFD: the neighbor told that the session is down").count() == 3, "{events}");
        Ok(())
    };
    story(told, up().await).await
}
