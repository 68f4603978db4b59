//! The path goes, or one of the two ends.

use anycast_lab::harness::control::state;
use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;

use super::{AGENT, dropped, edge, is_settled, is_up, mended, ours, seen, their_status, theirs, up, watch, with};
use crate::{
    edge::{Edge, PLAIN, V4, V6, router, story},
    fence::order,
};

/// Losses, and sessions of BGP.
async fn counts(edge: &Edge) -> anyhow::Result<(u64, u64)> {
    let (losses, sessions) = seen(edge).await?;
    Ok((losses.as_u64().context("no losses")?, sessions))
}

/// What goes from the router to the agent by UDP and nothing else: the agent is the first to notice.
const ONE_WAY: &str = "oifname \"edge\" udp dport 3784";

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_lost_ends_the_session_with_words_and_comes_back() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let (losses, sessions) = counts(edge).await?;
        let capture = watch(edge).await?;
        dropped(edge, &[ONE_WAY]).await?;
        edge.withdrawn(V4).await?;
        edge.withdrawn(V6).await?;
        edge.wait("it is counted", async || Ok(counts(edge).await?.0 == losses + 1)).await?;
        let session = ours(edge, "rtr").await?;
        ensure!(session["last_detection_seconds"].as_f64().is_some_and(|time| time >= 0.15), "{session}");
        let captured = capture.end().await?;
        // RFC 9384: 6/10.
        let filter =
            format!("ip.src == {AGENT} and bgp.notify.major_error == 6 and bgp.notify.minor_error_cease == 10");
        ensure!(!captured.tshark(&["-Y", &filter]).await?.is_empty(), "no Cease/10 on the wire");
        let packets = captured.controls().await?;
        let told = |packet: &&anycast_lab::harness::control::Control| {
            packet.from.to_string() == AGENT && (packet.state, packet.diagnostic) == (state::DOWN, 1)
        };
        ensure!(packets.iter().any(|packet| told(&packet)), "Control Detection Time Expired");

        mended(edge).await?;
        is_up(edge).await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        ensure!(edge.sessions().await? > sessions, "{}", edge.session().await?);
        let events = edge.ctl(&["events"]).await?.output;
        ensure!(events.contains("BFD Down") && events.contains("BFD Up"), "{events}");
        Ok(())
    };
    story(told, up().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_silently_cut_is_noticed_at_both_ends() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let (losses, sessions) = counts(edge).await?;
        dropped(edge, &["iifname \"edge\"", "oifname \"edge\""]).await?;
        edge.withdrawn(V4).await?;
        edge.wait("the agent knows", async || {
            let neighbor = edge.ask(&["neighbors", "rtr"]).await?;
            Ok(neighbor[0]["state"] != "Established" && counts(edge).await?.0 == losses + 1)
        })
        .await?;
        mended(edge).await?;
        edge.announced(V4).await?;
        is_up(edge).await?;
        ensure!(edge.sessions().await? > sessions);
        Ok(())
    };
    // A hold time that is over only after all this.
    let slow = async {
        let edge = edge().await?;
        router(&edge, &["neighbor 192.0.2.2 bfd 3 50 50", "neighbor 192.0.2.2 timers 60 180"]).await?;
        edge.configure(&with(super::FAST).replace("hold_time: 9s", "hold_time: 180s")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        is_settled(&edge).await?;
        anyhow::Ok(edge)
    };
    story(told, slow.await).await
}

/// The router's other daemon goes on: BGP has lost its watchman, and not its neighbor.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_whose_bfd_is_killed_is_spoken_to_without() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let (losses, sessions) = counts(edge).await?;
        edge.lab.kill("rtr", "bfdd", Signal::SIGKILL).await?;
        edge.wait("the agent notices", async || Ok(counts(edge).await?.0 == losses + 1)).await?;
        let again = async || Ok(edge.sessions().await? == sessions + 1 && edge.path(V4).await?.is_some());
        edge.wait("BGP is there again", again).await?;
        // More than a hold time later it is the same one.
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        ensure!(again().await?, "{}", edge.session().await?);
        let session = ours(edge, "rtr").await?;
        ensure!(session["state"] == "Down" && session["losses"] == losses + 1, "{session}");

        edge.lab.run("rtr", &["/usr/lib/frr/bfdd", "-d", "-A", "127.0.0.1"]).await?;
        is_up(edge).await?;
        ensure!(edge.path(V4).await?.is_some());
        Ok(())
    };
    story(told, up().await).await
}

/// The thread of BFD lives, and does not say that all is well.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_stuck_is_not_sent_to() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        router(edge, &["neighbor 192.0.2.2 bfd 3 50 50", "neighbor 192.0.2.2 timers 60 180"]).await?;
        edge.configure(&format!("stale_after: 3s\n{}", with(super::FAST)).replace("hold_time: 9s", "hold_time: 180s"))
            .await?;
        edge.start().await?;
        edge.announced(V4).await?;
        is_settled(edge).await?;
        let capture = watch(edge).await?;
        order(edge, r#"{"what":"loop_blocks","seconds":12}"#).await?;
        edge.withdrawn(V4).await?;
        // RFC 5880 §6.8.6: whoever hears Down and is Down himself is Init.
        let theirs = theirs(edge, "rtr", AGENT).await?;
        ensure!(["down", "init"].iter().any(|state| theirs["status"] == *state), "{theirs}");
        ensure!(theirs["diagnostic"] == "neighbor signaled session down", "{theirs}");
        edge.announced(V4).await?;
        is_up(edge).await?;
        let packets = capture.end().await?.controls().await?;
        let down = packets.iter().find(|packet| packet.from.to_string() == AGENT && !packet.is_up());
        ensure!(
            down.is_some_and(|packet| (packet.state, packet.diagnostic) == (state::DOWN, 5)),
            "Path Down: {down:?}"
        );
        Ok(())
    };
    story(told, edge().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_stopped_is_noticed_and_comes_back() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.lab.kill("edge", "anycastd", Signal::SIGSTOP).await?;
        edge.withdrawn(V4).await?;
        let status = theirs(edge, "rtr", AGENT).await?;
        ensure!(status["status"] == "down" && status["diagnostic"] == "control detection time expired", "{status}");
        edge.lab.kill("edge", "anycastd", Signal::SIGCONT).await?;
        edge.announced(V4).await?;
        is_up(edge).await
    };
    story(told, up().await).await
}

/// TCP says so before BFD does, and nothing is left that would speak for it.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_killed_is_gone_at_once_and_starts_again() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.lab.kill("edge", "anycastd", Signal::SIGKILL).await?;
        edge.withdrawn(V4).await?;
        their_status(edge, "down").await?;
        edge.start().await?;
        edge.announced(V4).await?;
        is_up(edge).await?;
        // Without BFD in the configuration there is none. FRR 8.4 ends BGP for AdminDown, which RFC 5882 §3.2 does not want; it comes again.
        edge.configure(PLAIN).await?;
        edge.reload().await?;
        their_status(edge, "down").await?;
        edge.wait("it is gone", async || Ok(ours(edge, "rtr").await.is_err())).await?;
        edge.announced(V4).await?;
        Ok(())
    };
    story(told, up().await).await
}
