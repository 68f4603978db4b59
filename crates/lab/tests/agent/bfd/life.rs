//! What an agent goes through that its neighbor must not see.

use anyhow::ensure;

use super::{AGENT, changes, edge, is_settled, ours, theirs, watch, with};
use crate::{
    edge::{Edge, V4, V6, router, story},
    upgrade::{install_ours, start, upgrade},
};

const UPGRADES: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_no_loss_of_the_path() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        router(edge, &["neighbor 192.0.2.2 bfd 3 50 50"]).await?;
        install_ours(edge).await?;
        edge.configure(&with(super::FAST)).await?;
        start(edge).await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        is_settled(edge).await?;
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
