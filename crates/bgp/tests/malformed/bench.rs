//! A session brought to a state, what it is sent, and what must come back.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anycast_bgp::{
    Action, Asn, Counters, DownReason, Event, Offers, PeerAs, PeerConfig, Role, RouterId, Routes, Session, State,
};

pub(crate) const ALL: &[State] = &[State::OpenSent, State::OpenConfirm, State::Established];
pub(crate) const OPEN_SENT: &[State] = &[State::OpenSent];
pub(crate) const OPEN_CONFIRM: &[State] = &[State::OpenConfirm];
pub(crate) const ESTABLISHED: &[State] = &[State::Established];

pub(crate) const MP_IPV4: [u8; 6] = [1, 4, 0, 1, 0, 1];
pub(crate) const MP_IPV6: [u8; 6] = [1, 4, 0, 2, 0, 1];

/// Who the neighbor is, and what it offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Neighbor {
    /// AS 65001, with both families, four-octet AS numbers, and all that we offer.
    External,
    /// The same in our own AS 65010.
    Internal,
    /// AS 65001, with both families and nothing else; we offer nothing else either.
    Old,
}

/// What must come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A NOTIFICATION of that code, subcode and data, and the end of the connection.
    Ends(u8, u8, Vec<u8>),
    /// The end of the connection, and not a word.
    Closes,
    /// The session goes on to the next state.
    Confirms,
    /// The session stays as it is, and that much is counted.
    Stays(Counted),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) announced: u64,
    pub(crate) withdrawn: u64,
    pub(crate) treated_as_withdraw: u64,
    pub(crate) discarded: u64,
}

impl Counted {
    fn since(before: &Counters, after: &Counters) -> Self {
        Self {
            announced: after.prefixes_announced - before.prefixes_announced,
            withdrawn: after.prefixes_withdrawn - before.prefixes_withdrawn,
            treated_as_withdraw: after.treated_as_withdraw - before.treated_as_withdraw,
            discarded: after.attributes_discarded - before.attributes_discarded,
        }
    }
}

pub(crate) fn ends(code: u8, subcode: u8, data: &[u8]) -> Outcome {
    Outcome::Ends(code, subcode, data.to_vec())
}

/// An UPDATE that is taken, with so many prefixes announced and withdrawn.
pub(crate) fn taken(announced: u64, withdrawn: u64) -> Outcome {
    Outcome::Stays(Counted { announced, withdrawn, ..Counted::default() })
}

/// An UPDATE of one prefix that is taken without one of its attributes.
pub(crate) fn discarded() -> Outcome {
    Outcome::Stays(Counted { announced: 1, discarded: 1, ..Counted::default() })
}

/// An UPDATE of one prefix that is treated as its withdraw.
pub(crate) fn treated_as_withdraw() -> Outcome {
    Outcome::Stays(Counted { withdrawn: 1, treated_as_withdraw: 1, ..Counted::default() })
}

/// A message whose header tells the truth.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(19 + body.len()).expect("it fits");
    [&[0xFF; 16][..], &length.to_be_bytes(), &[kind], body].concat()
}

/// A message whose header claims that length, with octets to spare behind it.
pub(crate) fn claims(length: u16, kind: u8) -> Vec<u8> {
    [&[0xFF; 16][..], &length.to_be_bytes(), &[kind], &[0; 40]].concat()
}

/// The body of an OPEN of AS 65001 or 65010, from the length of its parameters on as given.
pub(crate) fn open(asn: u16, parameters: &[u8]) -> Vec<u8> {
    [&[4][..], &asn.to_be_bytes(), &[0, 90, 10, 0, 0, 2], parameters].concat()
}

pub(crate) fn capabilities(list: &[&[u8]]) -> Vec<u8> {
    let list = list.concat();
    let count = u8::try_from(list.len()).expect("they fit one parameter");
    [&[count + 2, 2, count], &list[..]].concat()
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

/// Sends `message` to sessions in each of `states`, whole and octet by octet.
pub(crate) fn expect(name: &str, neighbor: Neighbor, message: &[u8], states: &[State], outcome: &Outcome) {
    for state in states {
        for size in [message.len(), 1] {
            let mut bench = Bench::new(neighbor, *state);
            let name = format!("{name}, in {state}, from {neighbor:?}, {size} at a time");
            bench.hear(message, size);
            bench.came_to(&name, *state, outcome);
        }
    }
}

struct Bench {
    session: Session,
    now: Instant,
    routes: Routes,
    before: Counters,
}

impl Bench {
    fn new(neighbor: Neighbor, state: State) -> Self {
        let now = Instant::now();
        let mut session = Session::new(config(neighbor), now);
        let routes: Routes = [("203.0.113.0/24".parse().expect("a prefix"), std::sync::Arc::default())].into();
        session.set_routes(routes.clone(), now);
        let end = |text: &str| text.parse().expect("an address");
        session.handle_connected(end("192.0.2.1:40000"), end("192.0.2.2:179"), None, now);
        let mut bench = Self { session, now, routes, before: Counters::default() };
        if state >= State::OpenConfirm {
            bench.hear(&message(1, &good_open(neighbor)), 4096);
        }
        if state == State::Established {
            bench.hear(&message(4, &[]), 4096);
        }
        assert_eq!(bench.session.state(), state, "{:?}", bench.session.last_error());
        bench.written();
        while bench.session.poll_action().is_some() {}
        while bench.session.poll_event().is_some() {}
        bench.before = *bench.session.counters();
        bench
    }

    fn hear(&mut self, stream: &[u8], size: usize) {
        for part in stream.chunks(size) {
            self.session.handle_bytes(part, self.now);
        }
    }

    /// What the session has to say.
    fn written(&mut self) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        while let Some(message) = self.session.poll_transmit(self.now) {
            self.session.handle_written(message.len(), self.now);
            messages.push(message.to_vec());
        }
        messages
    }

    fn came_to(&mut self, name: &str, before: State, outcome: &Outcome) {
        let shown = self.session.last_error().map(ToString::to_string);
        let shown = shown.unwrap_or_default();
        match outcome {
            Outcome::Ends(code, subcode, data) => {
                let said = [&[*code, *subcode], &data[..]].concat();
                assert_eq!(self.over(name), [message(3, &said)], "{name}: {shown}");
                assert!(shown.contains(&format!("sent NOTIFICATION {code}/{subcode} (")), "{name}: {shown}");
            }
            Outcome::Closes => {
                assert_eq!(self.over(name), [[0; 0]; 0], "{name}: {shown}");
                assert!(matches!(self.session.last_error(), Some(DownReason::Received(_))), "{name}: {shown}");
                assert!(!shown.chars().any(char::is_control), "{name}: {shown}");
            }
            Outcome::Confirms => {
                assert_eq!((before, self.session.state()), (State::OpenSent, State::OpenConfirm), "{name}: {shown}");
                assert_eq!(self.written(), [message(4, &[])], "{name}");
            }
            Outcome::Stays(counted) => {
                assert_eq!((self.session.state(), self.session.poll_action()), (before, None), "{name}: {shown}");
                assert_eq!(Counted::since(&self.before, self.session.counters()), *counted, "{name}");
                assert!(self.session.poll_event().is_none(), "{name}");
                let advertised = self.session.advertised();
                assert!(
                    advertised.keys().eq(self.routes.keys()),
                    "{name}: what we announce is not the neighbor's to change"
                );
            }
        }
        assert!(self.session.poll_timeout().is_some(), "{name}: there is a deadline");
    }

    /// The connection is given up, once, and the next is due: what was said last.
    fn over(&mut self, name: &str) -> Vec<Vec<u8>> {
        assert_eq!(self.session.state(), State::Active, "{name}");
        assert_eq!((self.session.poll_action(), self.session.poll_action()), (Some(Action::Close), None), "{name}");
        assert!(matches!(self.session.poll_event(), Some(Event::Down(_))), "{name}");
        assert!(self.session.next_dial() <= Some(self.now + Duration::from_secs(1)), "{name}");
        assert!(self.session.advertised().is_empty(), "{name}");
        self.written()
    }
}

fn config(neighbor: Neighbor) -> PeerConfig {
    let asn = |number| Asn::new(number).expect("not 0");
    let new = neighbor != Neighbor::Old;
    PeerConfig {
        offers: Offers { extended_message: new, enhanced_route_refresh: new, extended_next_hop: new },
        role: Some(Role::Provider),
        seed: 1,
        ..PeerConfig::new(
            asn(65010),
            RouterId::new(Ipv4Addr::new(10, 0, 0, 1)).expect("not 0"),
            PeerAs::Exactly(asn(if neighbor == Neighbor::Internal { 65010 } else { 65001 })),
        )
    }
}

fn good_open(neighbor: Neighbor) -> Vec<u8> {
    let rest: &[&[u8]] = &[&[2, 0], &[6, 0], &[70, 0], &[5, 6, 0, 1, 0, 1, 0, 2]];
    let both = [MP_IPV4, MP_IPV6].concat();
    match neighbor {
        Neighbor::External => open(65001, &capabilities(&[&both, &[65, 4, 0, 0, 0xFD, 0xE9], &rest.concat()])),
        Neighbor::Internal => open(65010, &capabilities(&[&both, &[65, 4, 0, 0, 0xFD, 0xF2], &rest.concat()])),
        Neighbor::Old => open(65001, &capabilities(&[&both])),
    }
}
