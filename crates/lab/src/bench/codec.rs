//! What a message costs: a session that has nothing else to do, beside bgpkit-parser.

use std::{
    collections::BTreeMap,
    hint::black_box,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use anycast_bgp::{
    Asn, Attributes, Family, Offers, PeerAs, PeerConfig, Prefix, Progress, RouterId, Routes, Session, State,
};
use anyhow::{Context as _, ensure};
use bgpkit_parser::{
    models::{AsnLength, BgpMessage},
    parser::bgp::messages::parse_bgp_message,
};
use bytes::Bytes;

use super::report::{Figure, Outcome, Row, Section};
use crate::peer::message::{self, HEADER, KEEPALIVE, Kind};

/// /24s that fill 4096 octets, beside the attributes of a route.
const FULL: u32 = 1000;

/// Measures so many messages of each kind.
pub(super) fn measure(count: u32) -> anyhow::Result<Section> {
    let (update, open) = (full_update()?, message::open(90, Ipv4Addr::new(192, 0, 2, 1)));
    let keepalive = Bytes::from_static(&KEEPALIVE);
    let rows = vec![
        row("OPEN", encode_open(count)?, decode_open(count, &open)?, bgpkit(count, &open)?),
        row("KEEPALIVE", encode_keepalive(count)?, decode(count, &keepalive)?, bgpkit(count, &keepalive)?),
        row("UPDATE, 1,000 routes", encode_update(count)?, decode(count, &update)?, bgpkit(count, &update)?),
    ];
    Ok(Section {
        title: "Encoding and decoding a message".to_owned(),
        meaning: "Means, in this process. Ours are whole sessions: bytes in with framing, checks, timers and counters, or bytes \
                  out with the Adj-RIB-Out; OPEN includes making the session. The UPDATE of 1,000 routes is sent as the answer to a \
                  route refresh of all. bgpkit-parser's are its `parse_bgp_message` and `BgpMessage::encode` alone.",
        rows,
    })
}

fn row(kind: &str, encode: Duration, decode: Duration, theirs: [Duration; 2]) -> Row {
    let figure = |key, time: Duration| Figure::new(key, time.as_secs_f64() * 1e9, 0);
    let figures = vec![
        figure("encode_ns", encode),
        figure("decode_ns", decode),
        figure("bgpkit_encode_ns", theirs[0]),
        figure("bgpkit_decode_ns", theirs[1]),
    ];
    Row { subject: kind.to_owned(), outcome: Outcome::Figures(figures) }
}

/// The mean of doing something, which is given its number.
fn mean<T>(count: u32, mut work: impl FnMut(u32) -> anyhow::Result<T>) -> anyhow::Result<Duration> {
    let start = Instant::now();
    for n in 0..count {
        black_box(work(n)?);
    }
    Ok(start.elapsed() / count.max(1))
}

fn bgpkit(count: u32, octets: &Bytes) -> anyhow::Result<[Duration; 2]> {
    let parse = || parse_bgp_message(&mut octets.clone(), false, &AsnLength::Bits32);
    let message: BgpMessage = parse()?;
    let encode = mean(count, |_| Ok(message.encode(AsnLength::Bits32)))?;
    Ok([encode, mean(count, |_| Ok(parse()?))?])
}

fn encode_open(count: u32) -> anyhow::Result<Duration> {
    mean(count, |_| connected()?.poll_transmit(Instant::now()).context("no OPEN"))
}

fn decode_open(count: u32, open: &Bytes) -> anyhow::Result<Duration> {
    mean(count, |_| {
        let mut session = connected()?;
        session.handle_bytes(open, Instant::now());
        ensure!(session.state() == State::OpenConfirm, "{:?}", session.last_error());
        Ok(session)
    })
}

/// A message that an Established session takes as often as it comes.
fn decode(count: u32, octets: &Bytes) -> anyhow::Result<Duration> {
    let (mut session, now) = (established()?, Instant::now());
    let time = mean(count, |_| {
        session.handle_bytes(octets, now);
        Ok(())
    })?;
    ensure!(session.state() == State::Established, "{:?}", session.last_error());
    Ok(time)
}

fn encode_keepalive(count: u32) -> anyhow::Result<Duration> {
    let (mut session, mut now) = (established()?, Instant::now());
    mean(count, |_| {
        now = session.poll_timeout().context("no timer runs")?.max(now);
        session.handle_timeout(now);
        // It lives, for all that is said.
        session.handle_bytes(&KEEPALIVE, now);
        written(&mut session, now)
    })
}

fn encode_update(count: u32) -> anyhow::Result<Duration> {
    let mut session = established()?;
    let now = Instant::now();
    session.set_routes(routes()?, now);
    while written(&mut session, now).is_ok() {}
    session.handle_unacked(0, now);
    ensure!(session.advertised().values().all(|route| route.progress == Progress::Acked), "not all is sent");
    let refresh = message::message(Kind::RouteRefresh, &[0, 1, 0, 1]);
    // A tenth: each is a thousand routes, and is walked whole.
    mean(count.div_ceil(10), |_| {
        session.handle_bytes(&refresh, now);
        let update = written(&mut session, now)?;
        session.handle_unacked(0, now);
        ensure!(update.len() > 4000, "{} octets", update.len());
        Ok(update)
    })
}

fn written(session: &mut Session, now: Instant) -> anyhow::Result<Bytes> {
    let octets = session.poll_transmit(now).context("it has nothing to say")?;
    session.handle_written(octets.len(), now);
    Ok(octets)
}

fn connected() -> anyhow::Result<Session> {
    let now = Instant::now();
    let mut session = Session::new(config()?, now);
    let _dial = session.poll_action();
    let [ours, theirs] = [254, 1].map(|last| SocketAddr::from(([192, 0, 2, last], message::PORT)));
    session.handle_connected(ours, theirs, None, now);
    Ok(session)
}

fn established() -> anyhow::Result<Session> {
    let (mut session, now) = (connected()?, Instant::now());
    session.handle_bytes(&message::open(90, Ipv4Addr::new(192, 0, 2, 1)), now);
    session.handle_bytes(&KEEPALIVE, now);
    while written(&mut session, now).is_ok() {}
    ensure!(session.state() == State::Established, "{:?}", session.last_error());
    Ok(session)
}

fn config() -> anyhow::Result<PeerConfig> {
    Ok(PeerConfig {
        families: [Family::Ipv4Unicast].into(),
        // Then an answer to a route refresh is the one UPDATE.
        offers: Offers { enhanced_route_refresh: false, ..Offers::default() },
        ..PeerConfig::new(
            Asn::new(65_010).context("no AS number")?,
            RouterId::new(message::SPEAKER).context("no identifier")?,
            PeerAs::External,
        )
    })
}

fn routes() -> anyhow::Result<Routes> {
    let attributes = Arc::new(Attributes::default());
    let prefix = |n: u32| {
        let net = ipnet::Ipv4Net::new(Ipv4Addr::from((10 << 24) + (n << 8)), 24)?;
        Ok((Prefix::new(net.into())?, attributes.clone()))
    };
    (0..FULL).map(prefix).collect::<anyhow::Result<BTreeMap<_, _>>>()
}

/// What a neighbor would send.
fn full_update() -> anyhow::Result<Bytes> {
    let update = message::table(FULL, FULL, Ipv4Addr::new(192, 0, 2, 1)).next().context("an empty table")?;
    ensure!(update.len() <= 4096 && update.len() > 4000 + HEADER, "{} octets", update.len());
    Ok(update)
}
