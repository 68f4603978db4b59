//! The readers, for the targets in `fuzz/`.

use std::{
    net::{IpAddr, Ipv4Addr},
    num::{NonZeroU8, NonZeroU32},
    time::{Duration, Instant},
};

use crate::{Arrival, AuthType, Config, Entry, Key, Micros, Packet, Path, Session, TTL, Table};

/// What is read can be written, and is the same then.
pub fn packet(datagram: &[u8]) {
    let Ok(received) = Packet::read(datagram) else {
        return;
    };
    let authentication = received.authentication.unwrap_or_default();
    let mut again = received.packet.head(authentication.len()).to_vec();
    again.extend_from_slice(authentication);
    assert_eq!(again, received.octets);
}

/// A session that hears whatever comes, whenever: its octets are commands and packets.
pub fn session(mut octets: &[u8]) {
    let [kind, rest @ ..] = octets else { return };
    octets = rest;
    let types = [AuthType::Simple, AuthType::KeyedMd5, AuthType::MeticulousKeyedMd5, AuthType::KeyedSha1];
    let key = types.get(usize::from(kind & 7)).and_then(|auth_type| Key::new(*auth_type, 1, b"key").ok());
    let config = Config {
        desired_min_tx: Micros(50_000),
        required_min_rx: Micros(50_000),
        detect_mult: NonZeroU8::MIN.saturating_add(kind >> 6),
        passive: kind & 8 != 0,
        key,
    };
    let ours = NonZeroU32::MIN;
    let mut table = Table::default();
    let mut now = Instant::now();
    let remote = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let path = Path::SingleHop { interface: None };
    table.insert(Entry { remote, path, session: Session::new(config.clone(), ours, 7) });
    let from = Arrival { source: remote, destination: remote, interface: 1, ttl: TTL, multihop: false };
    while let [command, length, rest @ ..] = octets {
        let (datagram, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        octets = rest;
        now += Duration::from_millis(u64::from(command >> 3) * 7);
        let Some(entry) = table.get_mut(ours) else {
            return;
        };
        match command & 7 {
            0 => entry.session.handle_timeout(now),
            1 => entry.session.set_suspended(length & 1 == 0),
            2 => entry.session.set_admin_down(length & 1 == 0),
            3 => entry
                .session
                .set_config(Config { desired_min_tx: Micros(u32::from(*length) * 1_000), ..config.clone() }),
            4 => {
                let left = entry.session.hand_over(now);
                if let Ok(session) = Session::take_over(entry.session.config().clone(), &left, now) {
                    assert_eq!(session.state(), entry.session.state());
                    entry.session = session;
                }
            }
            _ => drop(table.handle_datagram(datagram, &from, now)),
        }
        let Some(entry) = table.get_mut(ours) else {
            return;
        };
        let mut sent = 0;
        while let Some(packet) = entry.session.poll_transmit(now) {
            assert!(Packet::read(&packet).is_ok());
            sent += 1;
            assert!(sent <= 2, "an answer, and what is due");
        }
        while entry.session.poll_event().is_some() {}
        let _ = entry.session.poll_timeout(now);
    }
}
