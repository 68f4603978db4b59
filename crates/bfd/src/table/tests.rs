use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use super::*;
use crate::{
    AuthType, Key, State,
    testing::{config, number, octets, packet},
};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
const US: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const LINK_LOCAL: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));

/// One hop away on interface 1 (discriminator 1), far away (2), and the same link-local address on the interfaces 3 and 4 (3, 4).
fn table() -> Table {
    let mut table = Table::default();
    let one_hop = |interface| Path::SingleHop { interface: Some(interface) };
    let entries = [
        (1, PEER, one_hop(1)),
        (2, FAR, Path::Multihop { min_ttl: 250 }),
        (3, LINK_LOCAL, one_hop(3)),
        (4, LINK_LOCAL, one_hop(4)),
    ];
    for (discriminator, remote, path) in entries {
        let session = Session::new(config(), number(discriminator), 0);
        table.insert(Entry::new(remote, path, session));
    }
    table
}

const fn one_hop(source: IpAddr, interface: u32) -> Arrival {
    Arrival { source, destination: US, interface, ttl: TTL, multihop: false }
}

const fn far(source: IpAddr, ttl: u8) -> Arrival {
    Arrival { source, destination: US, interface: 1, ttl, multihop: true }
}

/// What a system says that does not know us yet (0), or does.
fn down(your_discriminator: u32) -> Vec<u8> {
    let packet = Packet { state: State::Down, your_discriminator, ..packet() };
    packet.head(0).to_vec()
}

#[test]
fn packets_find_their_session_or_are_discarded_and_counted() {
    let mut low = one_hop(PEER, 1);
    low.ttl = 254;
    let mut to_the_other_port = one_hop(PEER, 1);
    to_the_other_port.multihop = true;
    let mut far_to_the_other_port = far(FAR, TTL);
    far_to_the_other_port.multihop = false;
    let long = octets("20c0_0319_11223344_00000001_0000c350_000493e0_00000000");
    let table_of_cases = [
        // By discriminator, and by sender.
        (down(1), one_hop(PEER, 1), Ok(1)),
        (down(0), one_hop(PEER, 1), Ok(1)),
        (down(2), far(FAR, TTL), Ok(2)),
        (down(0), far(FAR, 250), Ok(2)),
        (down(0), one_hop(LINK_LOCAL, 3), Ok(3)),
        (down(0), one_hop(LINK_LOCAL, 4), Ok(4)),
        (down(4), one_hop(LINK_LOCAL, 4), Ok(4)),
        // TTLs: before anything else where there is one hop.
        (down(1), low, Err(Discard::Ttl)),
        (down(0), low, Err(Discard::Ttl)),
        (vec![], low, Err(Discard::Ttl)),
        (down(2), far(FAR, 249), Err(Discard::Ttl)),
        (down(0), far(FAR, 249), Err(Discard::Ttl)),
        // Interfaces.
        (down(1), one_hop(PEER, 2), Err(Discard::Interface)),
        (down(0), one_hop(PEER, 2), Err(Discard::Interface)),
        (down(3), one_hop(LINK_LOCAL, 4), Err(Discard::Interface)),
        (down(0), one_hop(LINK_LOCAL, 5), Err(Discard::Interface)),
        // Who is nobody's other end, or another's.
        (down(9), one_hop(PEER, 1), Err(Discard::Discriminator)),
        (down(0), one_hop(STRANGER, 1), Err(Discard::Sender)),
        (down(0), far(STRANGER, TTL), Err(Discard::Sender)),
        (down(1), one_hop(STRANGER, 1), Err(Discard::Address)),
        (down(1), far(FAR, TTL), Err(Discard::Address)),
        (down(2), far(STRANGER, TTL), Err(Discard::Address)),
        // What comes back to us from a loop.
        (down(0), one_hop(US, 1), Err(Discard::Sender)),
        (down(1), one_hop(US, 1), Err(Discard::Address)),
        // Each path has its port.
        (down(1), to_the_other_port, Err(Discard::Port)),
        (down(0), to_the_other_port, Err(Discard::Port)),
        (down(2), far_to_the_other_port, Err(Discard::Port)),
        (down(0), far_to_the_other_port, Err(Discard::Port)),
        // No packets.
        (vec![], one_hop(PEER, 1), Err(Discard::Malformed(Malformed::Short))),
        (long, one_hop(PEER, 1), Err(Discard::Malformed(Malformed::Length))),
    ];
    let mut counts = BTreeMap::new();
    let mut all = table();
    for (datagram, from, expected) in table_of_cases {
        let found = all.handle_datagram(&datagram, &from, Instant::now());
        assert_eq!(found.map(NonZeroU32::get), expected, "{datagram:02x?} {from:?}");
        if let Err(why) = expected {
            *counts.entry(why).or_insert(0) += 1;
        }
    }
    assert_eq!(all.discards(), &counts);
    for (number, received) in [(1, 2), (2, 2), (3, 1), (4, 2)] {
        let session = &all.get(self::number(number)).unwrap().session;
        assert_eq!(session.counters().received, received, "{number}");
    }
}

/// RFC 5883 §6: authentication is what keeps strangers out where the TTL does not.
#[test]
fn what_is_not_authentic_is_a_discard_too() {
    let mut all = table();
    let entry = all.get_mut(number(2)).unwrap();
    let key = Key::new(AuthType::KeyedSha1, 1, b"secret").ok();
    entry.session.set_config(crate::Config { key, ..config() });
    let why = Discard::Unauthentic(Unauthentic::Missing { configured: AuthType::KeyedSha1 });
    for times in 1..3 {
        assert_eq!(all.handle_datagram(&down(2), &far(FAR, TTL), Instant::now()), Err(why));
        assert_eq!(all.discards().get(&why), Some(&times));
        let counters = all.get(number(2)).unwrap().session.counters();
        assert_eq!((counters.unauthentic, counters.received), (times, 0));
    }
}

/// Where no interface is named, any is taken.
#[test]
fn an_interface_may_be_any() {
    let mut all = Table::default();
    let session = Session::new(config(), number(1), 0);
    all.insert(Entry::new(PEER, Path::SingleHop { interface: None }, session));
    for interface in [1, 7] {
        let found = all.handle_datagram(&down(0), &one_hop(PEER, interface), Instant::now());
        assert_eq!(found, Ok(number(1)));
    }
}

/// A router that restarts has other discriminators and does not know ours: the session ends, and begins anew.
#[test]
fn who_restarts_is_heard_by_its_address() {
    let mut all = table();
    let mut now = Instant::now();
    let mut hears = |all: &mut Table, packet: Packet| {
        now += Duration::from_millis(10);
        all.handle_datagram(&packet.head(0), &one_hop(PEER, 1), now).unwrap();
        let session = &mut all.get_mut(number(1)).unwrap().session;
        while session.poll_transmit(now).is_some() {}
        (session.state(), session.discriminators().1)
    };
    let says =
        |state, mine, yours| Packet { state, my_discriminator: number(mine), your_discriminator: yours, ..packet() };
    for mine in [77, 78] {
        let states = [State::Down, State::Init, State::Up];
        if mine == 78 {
            let ended = hears(&mut all, says(State::Down, mine, 0));
            assert_eq!(ended, (State::Down, 78));
        }
        let seen = states.map(|state| {
            let yours = if state == State::Down { 0 } else { 1 };
            hears(&mut all, says(state, mine, yours))
        });
        assert_eq!(seen, [(State::Init, mine), (State::Up, mine), (State::Up, mine)]);
    }
    assert_eq!(all.get(number(1)).unwrap().session.counters().flaps, 1);
}

#[test]
fn discriminators_are_not_given_twice() {
    let all = table();
    for (random, free) in [(0, 5), (1, 5), (4, 5), (6, 6), (u32::MAX, u32::MAX)] {
        assert_eq!(all.discriminator(random).get(), free, "{random}");
    }
    let mut all = Table::default();
    let session = Session::new(config(), number(u32::MAX), 0);
    all.insert(Entry::new(PEER, Path::SingleHop { interface: None }, session));
    assert_eq!(all.discriminator(u32::MAX).get(), 1, "never 0");
    assert_eq!(all.iter().count(), 1);
    assert!(all.remove(number(u32::MAX)).is_some() && all.remove(number(1)).is_none());
    assert_eq!(all.handle_datagram(&down(u32::MAX), &one_hop(PEER, 1), Instant::now()), Err(Discard::Discriminator));
}

/// What a packet that names no session's discriminator is told by: its sender, and the port.
#[test]
fn who_takes_the_path_for_another_kind_is_told_so() {
    let mut all = table();
    let mut hear = |from: &Arrival| all.handle_datagram(&down(99), from, Instant::now());
    assert_eq!(hear(&one_hop(PEER, 1)), Err(Discard::Discriminator));
    assert_eq!(hear(&far(PEER, TTL)), Err(Discard::Port));
    assert_eq!(hear(&one_hop(FAR, 1)), Err(Discard::Port));
    assert_eq!(hear(&far(FAR, TTL)), Err(Discard::Discriminator));
    assert_eq!(hear(&far(US, TTL)), Err(Discard::Discriminator));
    let session = Session::new(config(), number(7), 0);
    all.insert(Entry::new(PEER, Path::Multihop { min_ttl: 1 }, session));
    let found = all.handle_datagram(&down(99), &far(PEER, TTL), Instant::now());
    assert_eq!(found, Err(Discard::Discriminator), "it may be the other one's");
}

#[test]
fn senders_are_known_as_long_as_they_have_sessions() {
    let mut all = table();
    let with = |all: &Table, remote| all.with(remote).map(NonZeroU32::get).collect::<Vec<_>>();
    assert_eq!(with(&all, LINK_LOCAL), [3, 4]);
    // Another one in its place.
    all.insert(Entry::new(PEER, Path::Multihop { min_ttl: 1 }, Session::new(config(), number(3), 0)));
    assert_eq!((with(&all, LINK_LOCAL), with(&all, PEER)), (vec![4], vec![1, 3]));
    all.remove(number(4));
    assert_eq!(with(&all, LINK_LOCAL), [0; 0]);
    assert_eq!(all.rename(number(1), 9), None, "nobody has forgotten anything");
}

/// The other end, and what came of it.
struct Friend(Session);

impl Friend {
    /// Both ends speak for so long; what the other one has said.
    fn speak(&mut self, all: &mut Table, now: &mut Instant, time: Duration) -> Vec<Vec<u8>> {
        let end = *now + time;
        let mut said = Vec::new();
        while *now < end {
            *now += Duration::from_millis(5);
            self.0.handle_timeout(*now);
            while let Some(octets) = self.0.poll_transmit(*now) {
                let _ = all.handle_datagram(&octets, &one_hop(PEER, 1), *now);
                said.push(octets);
            }
            for octets in passed(all, *now) {
                let _ = self.0.handle_packet(&Packet::read(&octets).unwrap(), *now);
            }
        }
        said
    }
}

/// What our end has to say, after its time has come.
fn passed(all: &mut Table, now: Instant) -> Vec<Vec<u8>> {
    let session = &mut ours(all).session;
    session.handle_timeout(now);
    std::iter::from_fn(|| session.poll_transmit(now)).collect()
}

/// The only session.
fn ours(all: &mut Table) -> &mut Entry {
    let discriminator = all.iter().next().unwrap().0;
    all.get_mut(discriminator).unwrap()
}

/// A recording of an earlier conversation of the same session, said again when the other end is gone.
#[test]
fn what_was_recorded_is_of_no_use_once_the_other_end_is_forgotten() {
    let key = Key::new(AuthType::MeticulousKeyedSha1, 1, b"secret").ok();
    let config = crate::Config { key, ..config() };
    let (mut all, mut now) = (Table::default(), Instant::now());
    all.insert(Entry::new(PEER, Path::SingleHop { interface: None }, Session::new(config.clone(), number(1), 7)));
    let mut friend = Friend(Session::new(config.clone(), number(77), 8));
    let recorded = friend.speak(&mut all, &mut now, Duration::from_secs(4));
    assert_eq!(ours(&mut all).session.state(), State::Up);
    assert!(recorded.len() > 40, "{}", recorded.len());
    assert_eq!(all.rename(number(1), 9), None, "it is there");
    now += Duration::from_millis(200);
    passed(&mut all, now);
    assert_eq!((ours(&mut all).session.state(), all.rename(number(1), 9)), (State::Down, None), "not so soon");
    now += Duration::from_secs(1);
    passed(&mut all, now);
    assert_eq!(all.rename(number(1), 1), Some(number(2)));
    assert_eq!(all.rename(number(2), 1), None, "once");
    for octets in recorded {
        now += Duration::from_millis(5);
        let heard = all.handle_datagram(&octets, &one_hop(PEER, 1), now);
        let names_us = Packet::read(&octets).unwrap().packet.your_discriminator != 0;
        assert_eq!(heard, if names_us { Err(Discard::Discriminator) } else { Ok(number(2)) });
        passed(&mut all, now);
        assert_ne!(ours(&mut all).session.state(), State::Up);
    }
    // Another one in its place, with other numbers.
    let mut friend = Friend(Session::new(config, number(78), 9));
    friend.speak(&mut all, &mut now, Duration::from_secs(4));
    assert_eq!((ours(&mut all).session.state(), friend.0.state()), (State::Up, State::Up));
    assert_eq!(friend.0.discriminators(), (number(78), 2));
}
