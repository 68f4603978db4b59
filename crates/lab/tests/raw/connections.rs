//! Connections that come and go.

use std::{
    io::{ErrorKind, Read as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anycast_lab::{
    harness::Lab,
    peer::{
        Peer,
        flood::{Flood, listening},
        message::{KEEPALIVE, Kind, PORT, SPEAKER},
    },
};
use anyhow::ensure;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

use crate::node::{Node, PREFIX, announced, config, hear, neighbor, open, passive, story};

/// Connects to the edge node from an address of the neighbors' node.
fn connect(from: u8) -> anyhow::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([192, 0, 2, from], 0)).into())?;
    socket.connect_timeout(&SocketAddr::from((SPEAKER, PORT)).into(), Duration::from_secs(10))?;
    Ok(socket.into())
}

/// How the edge node takes a connection from a neighbor it dials itself: `None`, not at all; else the octets it says before it
/// closes it.
fn knock(lab: &Lab, from: u8) -> anyhow::Result<Option<usize>> {
    lab.within("peer", || {
        let Ok(mut stream) = connect(from) else { return Ok(None) };
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Some(stream.read_to_end(&mut Vec::new())?))
    })
}

/// RFC 4271 §6.8 is about two connections of which either may win. There is one direction: what a neighbor that is dialled dials
/// itself ends before an OPEN, whether or not anybody listens.
#[tokio::test(flavor = "multi_thread")]
async fn collisions_do_not_hurt_the_session() -> anyhow::Result<()> {
    for (neighbors, heard) in [(neighbor(1, "9s"), false), (neighbor(1, "9s") + &passive(2), true)] {
        let (node, [listener]) = Node::with(&config(&neighbors), [1], None).await?;
        story(node, async |node: &Node| {
            let knocks = || {
                for _ in 0..5 {
                    let said = knock(&node.lab, 1)?;
                    ensure!(matches!(said, None | Some(0)), "no OPEN, no NOTIFICATION: {said:?} octets");
                }
                anyhow::Ok(())
            };
            // While it dials, while it waits for an OPEN, while it waits for the KEEPALIVE, while routes flow.
            knocks()?;
            let mut peer = Peer::accept(&listener).await?;
            peer.ear.expect(Kind::Open).await?;
            knocks()?;
            peer.say(&open(1, 9)).await?;
            peer.ear.expect(Kind::Keepalive).await?;
            knocks()?;
            peer.say(&KEEPALIVE).await?;
            hear(&mut peer.ear, PREFIX, true).await?;
            knocks()?;

            // It still hears, and is heard.
            let ordered = node.ctl(&["withdraw", "web", "--now"]).await?;
            assert!(ordered.status.success(), "{}", ordered.errors);
            hear(&mut peer.ear, PREFIX, false).await?;
            let neighbor = node.neighbor(1).await?;
            let said = (&neighbor["state"], &neighbor["counters"]["established"]);
            assert_eq!(said, (&"Established".into(), &1.into()), "{neighbor}");
            let counted = refused(node, "dialled_by_us").await?;
            assert!(if heard { counted >= 5 } else { counted == 0 }, "{counted}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Connections that were closed at once, for this reason.
async fn refused(node: &Node, reason: &str) -> anyhow::Result<u64> {
    let status: serde_json::Value = serde_json::from_str(&node.ctl(&["--json", "status"]).await?.output)?;
    Ok(status["connections_refused"][reason].as_u64().unwrap_or_default())
}

/// From a neighbor that may connect, one that is dialled, and a stranger. (Ten thousand dials of the agent's would take days: see
/// the driver's own tests.)
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_connections_leave_nothing_behind() -> anyhow::Result<()> {
    const CYCLES: usize = 10_000;
    let neighbors = neighbor(1, "30s") + &passive(2);
    let (node, [listener]) = Node::with(&config(&neighbors), [1], None).await?;
    story(node, async |node: &Node| {
        let peer = announced(&listener, 1, 30).await?;
        let (_heard, _pulse) = (listening(peer.ear), Flood::begin(peer.mouth, std::iter::empty()));
        let listens = async || Ok(knock(&node.lab, 1)?.map(drop));
        node.lab.wait("the agent listens", listens).await?;
        let come_and_go = |cycles: usize| {
            let once = |n: usize| {
                // Its OPEN, or its end: so it is not faster than the agent accepts.
                let mut stream = connect([1, 2, 3][n % 3])?;
                stream.set_read_timeout(Some(Duration::from_secs(10)))?;
                stream.read(&mut [0; 64]).map(drop).or_else(|error| match error.kind() {
                    ErrorKind::ConnectionReset => Ok(()),
                    _ => Err(error.into()),
                })
            };
            tokio::task::block_in_place(|| node.lab.within("peer", || (0..cycles).try_for_each(once)))
        };
        // What it needs once it has from here on.
        come_and_go(300)?;
        let before = node.burden()?;
        come_and_go(CYCLES)?;
        let back = async || Ok(Some(node.burden()?).filter(|now| now.descriptors <= before.descriptors));
        let after = node.lab.wait(&format!("no more descriptors are open than of {before:?}"), back).await?;
        assert!(after.memory < before.memory + (4 << 20), "{before:?}, now {after:?}");

        for reason in ["stranger", "dialled_by_us"] {
            let counted = refused(node, reason).await?;
            assert!(counted >= CYCLES as u64 / 3, "{reason}: {counted}");
        }
        assert_eq!(node.neighbor(1).await?["counters"]["established"], 1);
        // And the one that may connect still can, once it is believed again.
        let again = async || {
            let stream = node.lab.within("peer", || connect(2))?;
            stream.set_nonblocking(true)?;
            let mut peer = Peer::new(tokio::net::TcpStream::from_std(stream)?)?.meet(&open(2, 30)).await?;
            hear(&mut peer.ear, PREFIX, true).await.map(Some)
        };
        node.lab.wait("the passive neighbor comes up", again).await.map(drop)
    })
    .await
}

/// Accepts, does something, and hangs up, four times; returns when each dial came.
async fn hangs_up(
    listener: &TcpListener,
    after: impl AsyncFn(&mut Peer) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Instant>> {
    let mut dials = Vec::new();
    for _ in 0..4 {
        let mut peer = Peer::accept(listener).await?;
        dials.push(Instant::now());
        after(&mut peer).await?;
    }
    Ok(dials)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbor_that_hangs_up_is_dialled_less_and_less_often() -> anyhow::Result<()> {
    let neighbors: String = (1..=3).map(|n| neighbor(n, "9s")).collect();
    let (node, [at_once, after_open, after_all]) = Node::with(&config(&neighbors), [1, 2, 3], None).await?;
    story(node, async |node: &Node| {
        let at_once = hangs_up(&at_once, async |_| Ok(()));
        let after_open = hangs_up(&after_open, async |peer| {
            peer.ear.expect(Kind::Open).await?;
            Ok(peer.say(&open(2, 9)).await?)
        });
        let after_all = hangs_up(&after_all, async |peer| {
            peer.ear.expect(Kind::Open).await?;
            peer.say(&[&*open(3, 9), &KEEPALIVE].concat()).await?;
            hear(&mut peer.ear, PREFIX, true).await.map(drop)
        });
        let dials: [_; 3] = tokio::try_join!(at_once, after_open, after_all)?.into();
        for (neighbor, dials) in dials.iter().enumerate() {
            // 1, 2 and 4 s, less a quarter (RFC 4271 §10). Being Established for a moment earns no fresh start.
            for (pair, least) in dials.windows(2).zip([750, 1500, 3000]) {
                let gap = pair[1] - pair[0];
                assert!(gap >= Duration::from_millis(least - 100), "neighbor {}: {gap:?} < {least} ms", neighbor + 1);
            }
        }
        node.error(3, "closed the connection without a NOTIFICATION").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_come_and_go_leave_nothing_behind() -> anyhow::Result<()> {
    const NEIGHBORS: u8 = 64;
    let neighbors: String = (1..=NEIGHBORS).map(|n| neighbor(n, "9s")).collect();
    let all: [u8; NEIGHBORS as usize] = std::array::from_fn(|n| n as u8 + 1);
    let (node, listeners) = Node::with(&config(&neighbors), all, None).await?;
    story(node, async |node: &Node| {
        let mut before = None;
        for _ in 0..4 {
            let mut up = Vec::new();
            for (n, listener) in all.iter().zip(&listeners) {
                up.push(announced(listener, *n, 9).await?);
            }
            let first = *before.get_or_insert(node.burden()?);
            // A check that runs at this moment has some of its own.
            let back = async || Ok(Some(node.burden()?).filter(|now| now.descriptors <= first.descriptors));
            let burden = node.lab.wait(&format!("no more descriptors are open than of {first:?}"), back).await?;
            assert!(burden.memory < first.memory + (8 << 20), "{first:?}, now {burden:?}");
        }
        Ok(())
    })
    .await
}
