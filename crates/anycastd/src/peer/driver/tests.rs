use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    num::NonZeroU16,
};

use anycast_bgp::{Asn, Attributes, Limits, PeerAs, PeerConfig, Prefix, Progress, RouterId, State};

use super::{shown::since_then, *};
use crate::kernel::Interface;

/// A set that was decided on just now.
fn wanted(routes: Routes) -> Wanted {
    Wanted { routes: Arc::new(routes), decided: Instant::now() }
}

/// A driver that has not run, and the neighbor it would dial.
pub(super) fn driver() -> (Driver, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let neighbor = Neighbor {
        port: NonZeroU16::new(at.port()).unwrap(),
        ..Neighbor::new(Endpoint::Address(at.ip()), PeerAs::External)
    };
    let config = PeerConfig {
        hold_time: neighbor.hold_time,
        families: neighbor.families.clone(),
        ..PeerConfig::new(Asn::new(65010).unwrap(), RouterId::new([192, 0, 2, 2].into()).unwrap(), neighbor.peer_as)
    };
    let session = Session::new(config, Instant::now());
    let routes = watch::channel(wanted(Routes::new())).1;
    let state = watch::channel(state_of(&session, &neighbor, Arc::default())).0;
    let fence = Fence::for_tests();
    let parts = Parts {
        id: PeerId::new("leaf").unwrap(),
        neighbor,
        session,
        routes,
        limits: watch::channel(Limits::default()).1,
        asks: mpsc::channel(1).1,
        farewell: watch::channel(Farewell::Deconfigured).1,
        complete: watch::channel(true).1,
        arrivals: mpsc::channel(1).1,
        refusals: Arc::default(),
        router: None,
        links: watch::channel(None).1,
        path: path::Path::new(
            crate::bfd::Bfd::for_tests(),
            PeerId::new("leaf").unwrap(),
            watch::channel(None).1,
            watch::channel(crate::bfd::Seen::default()).0,
            watch::channel(anycast_core::path::Coupling::default()).0,
        ),
        stop: CancellationToken::new(),
        state,
        wake: Wake::default(),
        sink: Sink::new(1).0,
        gate: fence.gate(),
        fence,
        times: crate::metrics::Instruments::new().unwrap().route_times("leaf"),
    };
    (Driver::new(parts, None), listener)
}

/// Lets the driver dial a neighbor that says `last` and resets, before the runtime looks at the connection again: the write
/// is the first to see it.
async fn reset(driver: &mut Driver, neighbor: &TcpListener, last: &[u8]) {
    let dialled = socket::dial(neighbor.local_addr().unwrap(), driver.parts.neighbor.clone(), true).await;
    driver.handle_dialled(dialled, Instant::now());
    let (mut stream, _) = neighbor.accept().unwrap();
    stream.write_all(last).unwrap();
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    driver.write();
}

#[tokio::test]
async fn a_connection_that_cannot_be_written_to_is_lost() {
    let (mut driver, neighbor) = driver();
    reset(&mut driver, &neighbor, &[]).await;
    assert!(matches!(driver.link, Link::None), "it would be written to for ever, and the runtime would stand still");
    assert_eq!(driver.parts.session.state(), State::Active);
}

#[tokio::test]
async fn what_the_neighbor_said_before_it_went_is_heard() {
    let (mut driver, neighbor) = driver();
    let mut cease = vec![0xFF; 16];
    cease.extend([0, 21, 3, 6, 5]);
    reset(&mut driver, &neighbor, &cease).await;
    let error = driver.parts.session.last_error().map(ToString::to_string).unwrap_or_default();
    assert!(error.contains("Connection Rejected"), "{error}");
}

#[tokio::test]
async fn a_keepalive_that_has_come_counts_though_we_are_late() {
    const MARKER: [u8; 16] = [0xFF; 16];
    let message = |kind: u8, body: &[u8]| [&MARKER, &[0, 19 + body.len() as u8, kind][..], body].concat();
    // Version 4, AS 65001, hold time 3 s, an identifier, no capabilities.
    let open = message(1, &[4, 0xFD, 0xE9, 0, 3, 10, 0, 0, 1, 0]);
    let keepalive = message(4, &[]);
    let (mut driver, neighbor) = driver();
    let dialled = socket::dial(neighbor.local_addr().unwrap(), driver.parts.neighbor.clone(), true).await;
    driver.handle_dialled(dialled, Instant::now());
    let (mut stream, _) = neighbor.accept().unwrap();
    stream.write_all(&[open, keepalive.clone()].concat()).unwrap();
    while driver.parts.session.state() != State::Established {
        driver.hear(Instant::now()).unwrap();
        driver.write();
    }
    let hold = Instant::now() + Duration::from_secs(3);
    stream.write_all(&keepalive).unwrap();
    tokio::time::sleep_until((hold + Duration::from_millis(1)).into()).await;
    driver.handle(Step::Timeout);
    assert_eq!(driver.parts.session.state(), State::Established, "{:?}", driver.parts.session.last_error());
}

/// What a scripted neighbor says to be Established with.
fn greeting() -> Vec<u8> {
    [message(1, &[4, 0xFD, 0xE9, 0, 90, 10, 0, 0, 1, 0]), message(4, &[])].concat()
}

/// A driver whose session is Established, and the neighbor's end of the connection.
async fn established() -> (Driver, TcpListener, std::net::TcpStream) {
    let (mut driver, neighbor) = driver();
    driver.act().await;
    let dialled = socket::dial(neighbor.local_addr().unwrap(), driver.parts.neighbor.clone(), true).await;
    driver.handle_dialled(dialled, Instant::now());
    let (mut stream, _) = neighbor.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(&greeting()).unwrap();
    while driver.parts.session.state() != State::Established {
        driver.hear(Instant::now()).unwrap();
        driver.write();
    }
    (driver, neighbor, stream)
}

/// All that comes until the end, from the NOTIFICATION on.
fn last_words(stream: &mut std::net::TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    let at = heard.windows(3).rposition(|part| part[0] == 3 && part[1] == 6).expect("a Cease");
    heard.split_off(at)
}

#[tokio::test]
async fn a_fenced_session_ends_with_a_reason_and_comes_back() {
    let (mut driver, _neighbor, mut stream) = established().await;
    let fence = driver.parts.fence.clone();
    fence.close_for_tests(Some("stuck"));
    driver.obey(Instant::now());
    driver.act().await;
    assert!(matches!(driver.link, Link::None) && driver.parts.session.state() == State::Idle);
    assert_eq!(last_words(&mut stream), [3, 6, 4, 5, b's', b't', b'u', b'c', b'k']);
    fence.close_for_tests(None);
    driver.obey(Instant::now());
    assert_eq!(driver.parts.session.state(), State::Connect);
}

#[tokio::test]
async fn while_things_are_proven_anew_no_session_begins_and_none_ends() {
    let (mut driver, _neighbor, _stream) = established().await;
    driver.parts.fence.set_proving(true);
    driver.obey(Instant::now());
    assert_eq!(driver.parts.session.state(), State::Established);
    driver.lost(None, Instant::now());
    driver.obey(Instant::now());
    assert_eq!((driver.parts.session.state(), driver.parts.session.poll_timeout()), (State::Idle, None));
    driver.parts.fence.set_proving(false);
    driver.obey(Instant::now());
    assert_eq!(driver.parts.session.state(), State::Connect);
}

#[tokio::test]
async fn a_session_that_was_ended_in_its_place_is_lost() {
    let (mut driver, _neighbor, mut stream) = established().await;
    assert_eq!(driver.parts.fence.lines().cut(), 1);
    let heard = last_words(&mut stream);
    assert_eq!((&heard[..3], &heard[4..]), (&[3, 6, 4][..], CUT.as_bytes()));
    driver.write();
    assert!(matches!(driver.link, Link::None));
    let error = driver.parts.session.last_error().map(ToString::to_string).unwrap_or_default();
    assert!(error.contains(CUT), "{error}");
}

/// The neighbor has one connection, over which it is told everything once: the rest of a message included.
#[tokio::test]
async fn a_session_goes_on_in_another_task_over_its_connection() {
    let (mut before, neighbor, mut stream) = established().await;
    let prefix = |text: &str| text.parse::<Prefix>().unwrap();
    let routes = |prefixes: &[&str]| -> Routes { prefixes.iter().map(|text| (prefix(text), Arc::default())).collect() };
    before.parts.session.set_routes(routes(&["198.51.100.0/24"]), Instant::now());
    before.write();
    before.parts.session.set_routes(routes(&["198.51.100.0/24", "203.0.113.0/24"]), Instant::now());
    let message = before.parts.session.poll_transmit(Instant::now()).expect("an announcement");
    let Link::Open(connection) = &mut before.link else { panic!("it is connected") };
    assert_eq!(connection.stream.try_write(&message[..20]).unwrap(), 20);
    before.parts.session.handle_written(20, Instant::now());
    connection.unsent = message.slice(20..);
    let (reply, left) = tokio::sync::oneshot::channel();
    before.handle(Step::Asked(Ask::HandOver(reply)));
    assert!(before.left);
    let left = left.await.unwrap().expect("it is Established");
    let config = before.parts.session.config().clone();
    drop(before);

    let (session, open) = left.go_on(config, Instant::now()).unwrap();
    let (other, _listener) = driver();
    let mut after = Driver::new(Parts { session, ..other.parts }, Some(open));
    after.obey(Instant::now());
    after.act().await;
    let Link::Open(connection) = &after.link else { panic!("it is connected") };
    connection.stream.writable().await.unwrap();
    after.write();
    after.parts.session.set_routes(routes(&["203.0.113.0/24"]), Instant::now());
    after.write();
    assert_eq!(after.parts.session.state(), State::Established);
    after.parts.session.shutdown(&Farewell::Deconfigured, Instant::now());
    after.act().await;

    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    let mut updates = Vec::new();
    while !heard.is_empty() {
        let length = usize::from(u16::from_be_bytes([heard[16], heard[17]]));
        let rest = heard.split_off(length);
        updates.extend((heard[18] == 2 && length > 23).then_some(heard));
        heard = rest;
    }
    let has = |update: &Vec<u8>, octets: &[u8]| update.windows(octets.len()).any(|part| part == octets);
    let (first, second) = ([24, 198, 51, 100], [24, 203, 0, 113]);
    let told: Vec<_> = updates.iter().map(|update| (has(update, &first), has(update, &second))).collect();
    assert_eq!(told, [(true, false), (false, true), (true, false)], "two are announced, and one is withdrawn");
    neighbor.set_nonblocking(true).unwrap();
    assert!(neighbor.accept().is_err(), "there is but one connection");
}

/// Interfaces that carry packets, and have no addresses.
fn running(names: &[&str]) -> Links {
    let up = |name: &&str| (Arc::from(*name), Interface { running: true, ..Interface::default() });
    Some(Arc::new(names.iter().map(up).collect()))
}

#[tokio::test]
async fn a_session_ends_with_its_link_and_nothing_is_dialled_until_that_is_back() {
    let (mut driver, _neighbor, mut stream) = established().await;
    let (links, seen) = watch::channel(running(&["eth1", "lo"]));
    driver.parts.links = seen;
    driver.handle(Step::Links);
    links.send_replace(running(&["lo"]));
    driver.handle(Step::Links);
    assert_eq!(driver.parts.session.state(), State::Established, "another one");

    links.send_replace(running(&["eth1"]));
    driver.handle(Step::Links);
    assert!(matches!(driver.link, Link::None) && driver.parts.session.state() == State::Active);
    let heard = {
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).map(|_| heard)
    };
    assert!(heard.is_ok_and(|heard| !heard.windows(2).any(|part| part == [3, 6])), "the end, and no NOTIFICATION");
    for _ in 0..3 {
        let retry = driver.parts.session.next_dial().expect("it would dial again");
        driver.parts.session.handle_timeout(retry);
        driver.act().await;
        assert!(matches!(driver.link, Link::None) && driver.parts.session.state() == State::Active);
        let error = driver.parts.session.last_error().map(ToString::to_string).unwrap_or_default();
        assert_eq!(error, "interface lo is down");
    }

    links.send_replace(running(&["eth1", "lo"]));
    driver.handle(Step::Links);
    driver.act().await;
    assert!(matches!(driver.link, Link::Dialling(_)));
}

/// An interface may be given another name, and an address to another interface, under a connection that notices nothing of it.
#[tokio::test]
async fn a_session_lives_on_where_another_interface_leads_to_the_neighbor() {
    let (mut driver, _neighbor, _stream) = established().await;
    let (links, seen) = watch::channel(running(&["old0", "lo"]));
    driver.parts.links = seen;
    driver.way = Some(Way::new("old0", &links.borrow()));
    links.send_replace(running(&["lo"]));
    driver.handle(Step::Links);
    assert_eq!(driver.parts.session.state(), State::Established);
    assert_eq!(driver.way.as_ref().map(|way| &*way.interface), Some("lo"));
}

#[tokio::test]
async fn an_interface_that_is_gone_is_not_waited_for_where_another_leads_to_the_neighbor() {
    let (mut driver, _neighbor, _stream) = established().await;
    let (links, seen) = watch::channel(running(&[]));
    driver.parts.links = seen;
    driver.way = Some(Way::new("lo", &running(&["lo"])));
    driver.handle(Step::Links);
    assert_eq!(driver.parts.session.state(), State::Active);
    // What it knew by another name is back, and nobody says so of the old one.
    driver.way = Some(Way::new("old0", &links.borrow()));
    links.send_replace(running(&["lo"]));
    driver.handle(Step::Links);
    let retry = driver.parts.session.next_dial().expect("it dials again");
    driver.parts.session.handle_timeout(retry);
    driver.act().await;
    assert!(matches!(driver.link, Link::Dialling(_)));
}

/// Of a router that refuses the route with MED 2, and says so as RFC 4271 §6.3 wants it: with the attribute.
const REFUSED: [u8; 7] = [0x80, 4, 4, 0, 0, 0, 2];

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(19 + body.len()).unwrap();
    [&[0xFF; 16][..], &length.to_be_bytes(), &[kind], body].concat()
}

/// Takes sessions and ends each in which it hears of the route that it refuses.
fn refuse(neighbor: &TcpListener) {
    for stream in neighbor.incoming() {
        let mut stream = stream.unwrap();
        let open = message(1, &[4, 0xFD, 0xE9, 0, 90, 10, 0, 0, 1, 0]);
        if stream.write_all(&[open, message(4, &[])].concat()).is_err() {
            continue;
        }
        let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(octets @ 1..) = stream.read(&mut buffer) {
            heard.extend_from_slice(&buffer[..octets]);
            if heard.windows(REFUSED.len()).any(|part| part == REFUSED) {
                let _ = stream.write_all(&message(3, &[&[3, 5], &REFUSED[..]].concat()));
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbor_that_refuses_one_route_keeps_the_others() {
    let (mut driver, neighbor) = driver();
    let with = |med| Arc::new(Attributes { med: Some(med), ..Attributes::default() });
    let (good, bad): (Prefix, Prefix) = ("198.51.100.0/24".parse().unwrap(), "203.0.113.0/24".parse().unwrap());
    let (routes, routes_seen) = watch::channel(wanted(Routes::new()));
    let (sink, mut happenings) = Sink::new(64);
    let (asks, asked) = mpsc::channel(4);
    (driver.parts.routes, driver.parts.sink, driver.parts.asks) = (routes_seen, sink, asked);
    let mut state = driver.parts.state.subscribe();
    std::thread::spawn(move || refuse(&neighbor));
    let task = tokio::spawn(driver.run());
    routes.send_replace(wanted([(good, with(1)), (bad, with(2))].into()));

    let held = |state: &PeerState| {
        let told = state.advertised.get(&good).is_some_and(|entry| entry.progress == Progress::Acked);
        told && state.quarantined.contains_key(&bad) && !state.advertised.contains_key(&bad)
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), state.wait_for(held)).await;
    let seen = waited.expect("it is held back in time").unwrap().clone();
    assert!(seen.unsendable[&bad].contains("3/5"), "{:?}", seen.unsendable);
    assert_eq!(seen.counters.established, 3, "two were refused");
    let mut told = std::iter::from_fn(|| happenings.try_recv().ok());
    assert!(told.any(|happening| happening.text.contains("203.0.113.0/24 held back for 1 h")));

    // An operator insists, and learns that nothing has changed: that costs one session, and it is held back for longer.
    let until = |state: &PeerState| state.quarantined.get(&bad).and_then(|held| held.until);
    let before = until(&seen).unwrap();
    asks.send(Ask::Release([bad].into())).await.unwrap();
    let again = |state: &PeerState| state.counters.established == 4 && until(state) > Some(before);
    let waited = tokio::time::timeout(Duration::from_secs(60), state.wait_for(again)).await;
    waited.expect("it is told again, and refused, in time").unwrap();
    task.abort();
}

/// The kernel tells an error once: whoever hears of it first must not keep it.
#[tokio::test]
async fn why_a_connection_broke_is_known_whoever_looks_first() {
    let (mut driver, neighbor) = driver();
    let dialled = socket::dial(neighbor.local_addr().unwrap(), driver.parts.neighbor.clone(), true).await;
    driver.handle_dialled(dialled, Instant::now());
    let (stream, _) = neighbor.accept().unwrap();
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    driver.handle(Step::Timeout);
    driver.read(Instant::now());
    let error = driver.parts.session.last_error().map(ToString::to_string).unwrap_or_default();
    assert!(error.contains("reset by peer"), "{error}");
}

/// What ten thousand dials would take days for is done on the session's clock, with connections of the kernel's.
#[tokio::test]
async fn ten_thousand_connections_leave_nothing_behind_and_never_come_in_haste() {
    const CYCLES: u64 = 10_000;
    let (mut driver, neighbor) = driver();
    let (start, before) = (Instant::now(), burden());
    let mut now = start;
    let mut gaps = Vec::new();
    for _ in 0..CYCLES {
        assert_eq!(driver.parts.session.poll_action(), Some(Action::Connect));
        let dialled = socket::dial(neighbor.local_addr().unwrap(), driver.parts.neighbor.clone(), true).await;
        driver.handle_dialled(dialled, now);
        driver.write();
        drop(neighbor.accept().unwrap());
        while let Link::Open(connection) = &driver.link {
            connection.stream.readable().await.unwrap();
            driver.read(now);
        }
        driver.publish();
        let retry = driver.parts.session.next_dial().expect("it dials again");
        gaps.push(retry - now);
        now = retry;
        driver.parts.session.handle_timeout(now);
    }
    assert_eq!(driver.parts.session.counters().sent.open, CYCLES);
    // RFC 4271 §10: up to a quarter less than 1, 2, 4, 8, 16 and then 30 s.
    for (gap, most) in gaps.iter().zip([1, 2, 4, 8, 16].into_iter().chain(std::iter::repeat(30))) {
        assert!((most * 750..=most * 1000).contains(&gap.as_millis()), "{gap:?} where {most} s are the most");
    }
    let after = burden();
    // Other tests of the process have some open; ten thousand would be seen.
    assert!(after.0 < before.0 + 200, "{before:?} descriptors and octets, then {after:?}");
    assert!(after.1 < before.1 + (8 << 20), "{before:?} descriptors and octets, then {after:?}");
}

/// Descriptors and resident octets of this process.
fn burden() -> (usize, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kibibytes: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    (std::fs::read_dir("/proc/self/fd").unwrap().count(), kibibytes * 1024)
}

#[test]
fn what_goes_on_being_wrong_is_said_once() {
    let down = "interface eth0 is down";
    assert_eq!(since_then(down, down), down);
    assert_eq!(since_then(down, "connect: refused"), "interface eth0 is down; since then: connect: refused");
}
