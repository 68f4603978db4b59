//! Connections that come and go.

use std::{
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anycast_lab::peer::{
    Peer,
    message::{KEEPALIVE, Kind, PORT, SPEAKER},
};
use anyhow::ensure;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

use crate::node::{Node, PREFIX, announced, config, hear, neighbor, open, story};

/// How the edge node takes a connection from a neighbor it dials itself: `None`, not at all; else the octets it says before it
/// closes it.
fn knock(lab: &anycast_lab::harness::Lab, from: Ipv4Addr) -> anyhow::Result<Option<usize>> {
    lab.within("peer", || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        if socket.connect_timeout(&SocketAddr::from((SPEAKER, PORT)).into(), Duration::from_secs(10)).is_err() {
            return Ok(None);
        }
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Some(stream.read_to_end(&mut Vec::new())?))
    })
}

/// RFC 4271 §6.8 is about two connections of which either may win. There is one direction: what a neighbor that is dialled dials
/// itself ends before an OPEN.
#[tokio::test(flavor = "multi_thread")]
async fn collisions_do_not_hurt_the_session() -> anyhow::Result<()> {
    let (node, [listener]) = Node::with(&config(&neighbor(1, "9s")), [1], None).await?;
    story(&node, async {
        let from = Ipv4Addr::new(192, 0, 2, 1);
        let knocks = || {
            for _ in 0..5 {
                let said = knock(&node.lab, from)?;
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
        Ok(())
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
    story(&node, async {
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

/// What can be had of a process that backs off: for the ten thousand see the driver's own tests.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_come_and_go_leave_nothing_behind() -> anyhow::Result<()> {
    const NEIGHBORS: u8 = 64;
    let neighbors: String = (1..=NEIGHBORS).map(|n| neighbor(n, "9s")).collect();
    let all: [u8; NEIGHBORS as usize] = std::array::from_fn(|n| n as u8 + 1);
    let (node, listeners) = Node::with(&config(&neighbors), all, None).await?;
    story(&node, async {
        let mut before = None;
        for _ in 0..4 {
            let mut up = Vec::new();
            for (n, listener) in all.iter().zip(&listeners) {
                up.push(announced(listener, *n, 9).await?);
            }
            let burden = node.burden()?;
            let first = *before.get_or_insert(burden);
            assert!(burden.descriptors <= first.descriptors, "{first:?}, now {burden:?}");
            assert!(burden.memory < first.memory + (8 << 20), "{first:?}, now {burden:?}");
        }
        Ok(())
    })
    .await
}
