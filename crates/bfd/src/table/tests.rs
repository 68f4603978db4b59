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
        table.insert(Entry { remote, path, session });
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
    all.insert(Entry { remote: PEER, path: Path::SingleHop { interface: None }, session });
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
    all.insert(Entry {
        remote: PEER,
        path: Path::SingleHop { interface: None },
        session: Session::new(config(), number(u32::MAX), 0),
    });
    assert_eq!(all.discriminator(u32::MAX).get(), 1, "never 0");
    assert_eq!(all.iter().count(), 1);
    assert!(all.remove(number(u32::MAX)).is_some() && all.remove(number(1)).is_none());
    assert_eq!(all.handle_datagram(&down(u32::MAX), &one_hop(PEER, 1), Instant::now()), Err(Discard::Discriminator));
}
