//! The readers, for the targets in `fuzz/`.

use std::{
    net::{IpAddr, Ipv4Addr},
    num::{NonZeroU8, NonZeroU32},
    time::{Duration, Instant},
};

use crate::{Arrival, AuthType, Config, Discard, Entry, Event, Key, Micros, Packet, Path, Session, State, TTL, Table};

const OURS: NonZeroU32 = NonZeroU32::MIN;
const REMOTE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const FROM: Arrival = Arrival { source: REMOTE, destination: REMOTE, interface: 1, ttl: TTL, multihop: false };

/// What is read can be written, and is the same then, but for what nobody looks at: octets that are covered by the length only.
pub fn packet(datagram: &[u8]) {
    let Ok(received) = Packet::read(datagram) else {
        return;
    };
    assert!(datagram.starts_with(received.octets));
    let authentication = received.authentication.unwrap_or_default();
    let mut again = received.packet.head(authentication.len()).to_vec();
    again.extend_from_slice(authentication);
    if received.authentication.is_some() {
        assert_eq!(again, received.octets);
    }
    let same = Packet::read(&again).expect("what we write we can read");
    assert_eq!(same.packet, received.packet);
    assert_eq!(same.authentication, received.authentication);
}

/// A session in its table that hears whatever comes, whenever: its octets are commands and packets.
pub fn session(octets: &[u8]) {
    let Some((kind, mut rest)) = octets.split_first() else {
        return;
    };
    let mut driver = Driver::new(*kind);
    while let [command, length, more @ ..] = rest {
        let (datagram, after) = more.split_at(usize::from(*length).min(more.len()));
        rest = after;
        driver.step(*command, *length, datagram);
    }
}

struct Driver {
    table: Table,
    config: Config,
    /// A sender that has the key, so that more than the gate of a session with one is reached.
    friend: Session,
    now: Instant,
    /// What the events say the state is.
    state: State,
    discarded: u64,
}

impl Driver {
    /// From bit 0: authentication (three bits), passive, two unused, the multiplier (two bits).
    fn new(kind: u8) -> Self {
        let key = AuthType::ALL.get(usize::from(kind & 7)).and_then(|auth_type| Key::new(*auth_type, 1, b"key").ok());
        let config = Config {
            desired_min_tx: Micros(50_000),
            required_min_rx: Micros(50_000),
            detect_mult: NonZeroU8::MIN.saturating_add(kind >> 6),
            passive: kind & 8 != 0,
            key,
        };
        let mut table = Table::default();
        let session = Session::new(config.clone(), OURS, 7);
        table.insert(Entry::new(REMOTE, Path::SingleHop { interface: None }, session));
        Self {
            table,
            friend: Session::new(config.clone(), NonZeroU32::MAX, 8),
            config,
            now: Instant::now(),
            state: State::Down,
            discarded: 0,
        }
    }

    fn ours(&mut self) -> &mut Session {
        let entry = self.table.get_mut(OURS);
        &mut entry.expect("nobody removed it").session
    }

    fn step(&mut self, command: u8, length: u8, datagram: &[u8]) {
        let now = self.now + Duration::from_millis(u64::from(command >> 3) * 7);
        self.now = now;
        match command & 7 {
            0 => self.ours().handle_timeout(now),
            1 => match length & 3 {
                0 => self.ours().set_suspended(true),
                1 => self.ours().set_suspended(false),
                2 => self.ours().set_admin_down(true),
                _ => self.ours().set_admin_down(false),
            },
            2 => {
                let config = Config {
                    desired_min_tx: Micros(u32::from(length) * 1_000),
                    required_min_rx: Micros(u32::from(length % 16) * 10_000),
                    ..self.config.clone()
                };
                self.ours().set_config(config);
            }
            3 => self.hand_over(),
            4 => self.friend_speaks(length),
            _ => self.hear(datagram),
        }
        self.settle();
    }

    fn hand_over(&mut self) {
        let now = self.now;
        let ours = self.ours();
        let left = ours.hand_over(now);
        let next = Session::take_over(ours.config().clone(), &left, now).expect("it is ours");
        assert_eq!(next.state(), ours.state());
        assert_eq!(next.discriminators(), ours.discriminators());
        *ours = next;
    }

    /// The other end's next packet, as a session says it; or it begins anew.
    fn friend_speaks(&mut self, how: u8) {
        let now = self.now;
        match how & 3 {
            0 => self.friend = Session::new(self.config.clone(), NonZeroU32::MAX, u64::from(how)),
            1 => self.friend.set_admin_down(how & 4 == 0),
            _ => {}
        }
        self.friend.handle_timeout(now);
        while let Some(datagram) = self.friend.poll_transmit(now) {
            self.hear(&datagram);
            self.settle();
        }
    }

    fn hear(&mut self, datagram: &[u8]) {
        let now = self.now;
        let before = self.ours().state();
        let (received, found) = (self.ours().counters().received, self.table.handle_datagram(datagram, &FROM, now));
        let (after, taken) = (self.ours().state(), self.ours().counters().received);
        assert_eq!(taken - received, u64::from(found.is_ok()));
        match found {
            Ok(discriminator) => assert_eq!(discriminator, OURS),
            Err(why) => {
                self.discarded += 1;
                assert_ne!(why, Discard::Ttl);
                assert_eq!(before, after, "what is discarded changes nothing");
            }
        }
        if after == State::Up && before != State::Up {
            let packet = Packet::read(datagram).expect("it was taken").packet;
            // The third step of three: the other end has heard us.
            assert_eq!(packet.your_discriminator, OURS.get());
            assert!(matches!(packet.state, State::Init | State::Up));
        }
        let discards: u64 = self.table.discards().values().sum();
        assert_eq!(discards, self.discarded);
    }

    /// Does all that is to be done now.
    fn settle(&mut self) {
        let now = self.now;
        self.ours().handle_timeout(now);
        let mut sent = 0;
        while let Some(datagram) = self.ours().poll_transmit(now) {
            let received = Packet::read(&datagram).expect("what we write we can read");
            let packet = received.packet;
            assert!(!(packet.poll && packet.is_final));
            assert_eq!(packet.state, self.ours().state());
            assert_eq!(packet.my_discriminator, OURS);
            sent += 1;
            assert!(sent <= 2, "an answer, and what is due");
            let _ = self.friend.handle_packet(&received, now);
        }
        while let Some(event) = self.ours().poll_event() {
            if let Event::Changed { from, to, .. } = event {
                assert_eq!(from, self.state);
                assert_ne!(from, to);
                self.state = to;
            }
        }
        assert_eq!(self.ours().state(), self.state, "each change is told");
        let next = self.ours().poll_timeout(now);
        assert!(next.is_none_or(|at| at > now), "a driver may sleep");
    }
}
