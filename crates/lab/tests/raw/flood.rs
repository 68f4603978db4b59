//! Neighbors that say too much.

use std::{
    iter,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anycast_lab::{
    harness::AMPLE,
    peer::{
        Peer,
        flood::{Flood, Silence, listening},
        message::{self, Kind, table},
    },
};
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use tokio::time::timeout;

use crate::node::{Node, PREFIX, announced, config, neighbor, story};

/// What a flood may cost: nothing of it is kept.
const GENEROUS: u64 = 32 << 20;
const ROUTES: u32 = 1_000_000;
/// The shortest there is.
const HOLD: Duration = Duration::from_secs(3);
/// Between two looks at the agent.
const LOOK: Duration = Duration::from_millis(20);

/// An UPDATE for each route: as many messages as a table can have.
#[tokio::test(flavor = "multi_thread")]
async fn a_million_routes_cost_no_memory_and_no_keepalive_and_delay_no_withdraw() -> anyhow::Result<()> {
    let (node, [listener]) = Node::with(&config(&neighbor(1, "3s")), [1], None).await?;
    story(node, async |node: &Node| {
        let peer = announced(&listener, 1, 3).await?;
        let before = node.burden()?.memory;
        let mut most = before;
        // The whole table, and again from the start until what is asked for under the flood has come.
        let enough = Arc::new(AtomicBool::new(false));
        let told = enough.clone();
        let again = move |round: &u32| *round == 0 || !told.load(Ordering::Relaxed);
        let rounds = (0..).take_while(again).flat_map(|_| table(ROUTES, 1, Ipv4Addr::new(192, 0, 2, 1)));
        let mut silence = Silence::since(Instant::now());
        let (mut heard, flood) = (listening(peer.ear), Flood::begin(peer.mouth, rounds));

        node.lab.wait("the flood has come", async || Ok((received(node).await? > 10_000).then_some(()))).await?;
        assert!(!flood.is_poured());
        let ordered = node.ctl(&["withdraw", "web", "--now"]).await?;
        assert!(ordered.status.success(), "{}", ordered.errors);
        let since = Instant::now();
        let mut withdrawn = None;
        loop {
            if let Ok(message) = timeout(LOOK, heard.recv()).await {
                let message = message.context("the session ended under the flood")?;
                silence.broken(message.at);
                if message.kind() == Some(Kind::Update) {
                    let [gone, _] = message::prefixes(message.body())?;
                    ensure!(gone == [PREFIX.parse()?], "{gone:?}");
                    withdrawn = Some(message.at);
                    enough.store(true, Ordering::Relaxed);
                }
            }
            most = most.max(node.burden()?.memory);
            if withdrawn.is_none() {
                ensure!(since.elapsed() < Duration::from_secs(5), "a withdraw waits for the flood");
            } else if flood.is_poured() && received(node).await? >= u64::from(ROUTES) {
                break;
            }
        }
        let gap = silence.longest(Instant::now());
        assert!(gap < HOLD, "nothing was heard for {gap:?}");
        assert!(most < before + GENEROUS, "{before} octets before, {most} at most");
        let neighbor = node.neighbor(1).await?;
        assert_eq!(neighbor["counters"]["established"], 1, "{neighbor}");
        assert_eq!(neighbor["counters"]["treated_as_withdraw"], 0, "{neighbor}");
        Ok(())
    })
    .await
}

/// How many routes the agent has had from its neighbor.
async fn received(node: &Node) -> anyhow::Result<u64> {
    Ok(node.neighbor(1).await?["counters"]["prefixes_received"].as_u64().unwrap_or_default())
}

/// Numbers that look like chance, the same in every run (xorshift).
fn noise() -> impl Iterator<Item = u64> {
    iter::successors(Some(0x9E37_79B9_7F4A_7C15_u64), |last| {
        let mut next = *last;
        next ^= next << 13;
        next ^= next >> 7;
        Some(next ^ (next << 17))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_bgp_is_refused_and_not_listened_to() -> anyhow::Result<()> {
    let neighbors = neighbor(1, "9s") + &neighbor(2, "9s");
    let (node, [at_once, established]) = Node::with(&config(&neighbors), [1, 2], None).await?;
    story(node, async |node: &Node| {
        let first = Peer::accept(&at_once).await?;
        let second = announced(&established, 2, 9).await?;
        let before = node.burden()?;
        for mut peer in [first, second] {
            let since = Instant::now();
            let _flood = Flood::begin(peer.mouth, noise().map(|n| Bytes::copy_from_slice(&n.to_be_bytes())));
            // Message Header Error, Connection Not Synchronized (RFC 4271 §6.1).
            assert_eq!(peer.ear.farewell().await?, [1, 1]);
            assert!(since.elapsed() < Duration::from_secs(10), "it goes on listening: {:?}", since.elapsed());
        }
        let after = node.burden()?;
        assert!(after.memory < before.memory + GENEROUS, "{before:?}, now {after:?}");
        // And dials again.
        announced(&established, 2, 9).await?;
        Ok(())
    })
    .await
}

/// An UPDATE that keeps to the lengths and to nothing else: an ORIGIN that is none, attributes nobody knows with whatever flags
/// and octets, and a prefix, so that the session may stay (RFC 7606 §2).
fn nonsense(n: u64) -> Bytes {
    let [a, b, c, ..] = n.to_be_bytes();
    let mut attributes = vec![0x40, 1, 1, a | 4];
    // One in 256 is as long as a message can be: RFC 8654 was offered.
    if a == 0 {
        attributes.extend([0xD0, 200, 0xFC, 0]);
        attributes.resize(attributes.len() + 0xFC00, b);
    } else {
        attributes.extend([b & 0xEF, 100 + c % 100, a]);
        attributes.resize(attributes.len() + usize::from(a), c);
    }
    message::update(&attributes, &[ipnet::Ipv4Net::new_assert(Ipv4Addr::from(n as u32), 32)])
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_good_frames_is_read_over() -> anyhow::Result<()> {
    const UPDATES: usize = 200_000;
    let (node, [listener]) = Node::with(&config(&neighbor(1, "3s")), [1], None).await?;
    story(node, async |node: &Node| {
        let peer = announced(&listener, 1, 3).await?;
        let (before, mut most) = (node.burden()?.memory, 0);
        let _heard = listening(peer.ear);
        let _flood = Flood::begin(peer.mouth, noise().take(UPDATES).map(nonsense));
        let since = Instant::now();
        let neighbor = loop {
            let neighbor = node.neighbor(1).await?;
            most = most.max(node.burden()?.memory);
            if neighbor["counters"]["treated_as_withdraw"] == UPDATES || since.elapsed() > AMPLE {
                break neighbor;
            }
        };
        assert_eq!(neighbor["counters"]["treated_as_withdraw"], UPDATES, "{neighbor}");
        assert_eq!(neighbor["counters"]["established"], 1, "{neighbor}");
        assert!(most < before + GENEROUS, "{before} octets before, {most} at most");
        Ok(())
    })
    .await
}
