//! Neighbors that say little, and slowly.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anycast_lab::peer::{
    Peer,
    message::{KEEPALIVE, Kind, open_with},
};
use anyhow::ensure;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::node::{Node, announced, config, neighbor, open, story};

/// Half of a header.
const HALF: [u8; 9] = [0xFF; 9];

#[tokio::test(flavor = "multi_thread")]
async fn half_a_header_and_then_silence_ends_by_a_timer() -> anyhow::Result<()> {
    let neighbors = neighbor(1, "3s") + &neighbor(2, "3s");
    // Before it connects: its time runs from there, and that is a moment before we hear of it.
    let unconnected = Instant::now();
    let (node, [before, within]) = Node::with(&config(&neighbors), [1, 2], None).await?;
    story(node, async |node: &Node| {
        // Where an OPEN is awaited, for as long as an exchange of OPENs may take; where routes flow, for the hold time.
        let begun = async {
            let mut peer = Peer::accept(&before).await?;
            peer.ear.expect(Kind::Open).await?;
            peer.say(&HALF).await?;
            // Half of that; what comes sooner is waiting then.
            sleep(Duration::from_secs(15)).await;
            anyhow::Ok((peer.ear.farewell().await?, unconnected.elapsed()))
        };
        let established = async {
            let mut peer = announced(&within, 2, 3).await?;
            let since = Instant::now();
            peer.say(&HALF).await?;
            anyhow::Ok((peer.ear.farewell().await?, since.elapsed()))
        };
        let ((first, took), (second, held)) = tokio::try_join!(begun, established)?;
        // Hold Timer Expired (RFC 4271 §6.5).
        assert_eq!((first, second), ([4, 0], [4, 0]));
        assert!(took >= Duration::from_secs(30), "{took:?}");
        assert!(held < Duration::from_secs(20), "{held:?}");
        node.error(1, "did not complete the exchange of OPENs within 30 s").await?;
        node.error(2, "no KEEPALIVE and no UPDATE for 3 s").await
    })
    .await
}

/// Says it an octet at a time.
async fn drip(peer: &mut Peer, octets: &[u8], each: Duration) -> anyhow::Result<()> {
    let mut clock = interval(each);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for octet in octets {
        clock.tick().await;
        peer.say(&[*octet]).await?;
    }
    Ok(())
}

/// And has been since it first was.
async fn is_up(node: &Node, n: u8) -> anyhow::Result<()> {
    let neighbor = node.neighbor(n).await?;
    let said = (&neighbor["state"], &neighbor["counters"]["established"]);
    ensure!(said == (&"Established".into(), &1.into()), "{neighbor}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_a_second_makes_a_session() -> anyhow::Result<()> {
    let neighbors = neighbor(1, "90s") + &neighbor(2, "9s");
    let (node, [slow, steady]) = Node::with(&config(&neighbors), [1, 2], None).await?;
    story(node, async |node: &Node| {
        let slow = async {
            let mut peer = Peer::accept(&slow).await?;
            peer.ear.expect(Kind::Open).await?;
            // 29 octets and 19 of them.
            drip(&mut peer, &open_with(90, Ipv4Addr::new(192, 0, 2, 1), &[]), Duration::from_secs(1)).await?;
            drip(&mut peer, &KEEPALIVE, Duration::from_secs(1)).await?;
            peer.ear.expect(Kind::Keepalive).await?;
            peer.ear.word().await?;
            is_up(node, 1).await
        };
        // Ten times as fast, to outlast the hold time twice.
        let steady = async {
            let mut peer = Peer::accept(&steady).await?;
            drip(&mut peer, &open(2, 9), Duration::from_millis(100)).await?;
            for _ in 0..12 {
                drip(&mut peer, &KEEPALIVE, Duration::from_millis(100)).await?;
            }
            is_up(node, 2).await
        };
        tokio::try_join!(slow, steady).map(drop)
    })
    .await
}
