//! A whole session with a driver that does, in any order, all that a driver may do, and some things that it should not; what it says
//! is read by a neighbor that keeps a table.
//!
//! Input: three octets of configuration, then steps: an octet that says which, and what [`Bench::step`] draws for it.

#![no_main]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use anycast_bgp::{
    Action, Attributes, Community, Event, Farewell, Incoming, LargeCommunity, MessageType, Prefix, Progress, Routes,
    Session, State, fuzzing,
};
use anycast_bgp_fuzz::{Input, THEIRS, config, contents, frame, parts, prefixes};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

/// One moment for all runs: a session knows differences of time only.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);
static PREFIXES: LazyLock<Vec<Prefix>> = LazyLock::new(prefixes);
static ATTRIBUTES: LazyLock<Vec<Arc<Attributes>>> = LazyLock::new(attributes);

/// How many steps one input may have: what is short is found sooner, and understood.
const MOST_STEPS: usize = 200;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let mut bench = Bench::new(&mut input);
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        bench.step(&mut input);
        bench.act();
        bench.check_deadline_and_size();
        bench.check_table();
    }
    bench.finish();
});

/// Sets of attributes that their MED tells apart: the fourth leaves room for a few prefixes in a message of 4096 octets, the fifth for
/// none.
fn attributes() -> Vec<Arc<Attributes>> {
    let communities = |count: u32| (0..count).map(Community).collect();
    let large = |count: u32| (0..count).map(|n| LargeCommunity { global: n, local1: 0, local2: 1 }).collect();
    let with_med = |med: u32, attributes: Attributes| Arc::new(Attributes { med: Some(med), ..attributes });
    vec![
        with_med(0, Attributes::default()),
        with_med(1, Attributes { communities: communities(3), as_path_prepend: 3, ..Attributes::default() }),
        with_med(2, Attributes { large_communities: large(30), local_pref: Some(9), ..Attributes::default() }),
        with_med(3, Attributes { large_communities: large(330), ..Attributes::default() }),
        with_med(4, Attributes { large_communities: large(345), ..Attributes::default() }),
    ]
}

struct Bench {
    session: Session,
    now: Instant,
    desired: Routes,
    /// What the neighbor holds, by MED.
    held: BTreeMap<Prefix, Option<u32>>,
    /// What the kernel has not taken of the message that was handed out last.
    unwritten: usize,
    /// Whether there is a connection for all the driver knows.
    open: bool,
    dialling: bool,
}

impl Bench {
    fn new(input: &mut Input<'_>) -> Self {
        let session = Session::new(config(input), *START);
        let mut bench = Self {
            session,
            now: *START,
            desired: Routes::new(),
            held: BTreeMap::new(),
            unwritten: 0,
            open: false,
            dialling: false,
        };
        bench.act();
        bench
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.u8() % 16 {
            0 => self.connection(input),
            1 => {
                let size = input.u8();
                let count = usize::from(input.u8());
                self.hear(input.take(count), size);
            }
            2 => {
                let (kind, size) = (input.one_of(&[2, 1, 3, 4, 5, 0, 255]), input.u8());
                let count = usize::from(input.u8());
                self.hear(&frame(kind, input.take(count)), size);
            }
            // A long one, of a pattern.
            3 => {
                let (kind, times) = (input.one_of(&[2, 3, 5, 1]), usize::from(input.u16() % 4096));
                let count = usize::from(input.u8() % 16);
                self.hear(&frame(kind, &input.take(count).repeat(times)), 0);
            }
            // What withdraws much.
            4 => {
                let count = input.u16() % 8192;
                let octets = vec![0; usize::from(count)];
                let message = frame(2, &[&count.to_be_bytes()[..], &octets, &[0, 0]].concat());
                let whole = fuzzing::kept(&self.session).octets == 0;
                self.hear(&message, 0);
                let refused = message.len() > 4096 && !self.session.config().offers.extended_message;
                assert!(!(self.open && whole && refused), "a long message that was not offered was taken");
            }
            5 => self.handshake(input),
            6 => self.hear(&frame(4, &[]), 0),
            7 => {
                let body = [0, input.one_of(&[1, 2, 64]), input.one_of(&[0, 1, 2, 3]), 1];
                self.hear(&frame(5, &body), 0);
            }
            8 => self.set_routes(input),
            9 => self.many_routes(input),
            10 => (0..=input.u8() % 8).for_each(|_| self.take()),
            11 => self.write_all(),
            12 => self.acked(input),
            13 => self.pass(Duration::from_millis(u64::from(input.u16()) * 7)),
            // To the next timer, or not quite.
            14 => {
                let early = Duration::from_millis(u64::from(input.u8() / 64));
                if let Some(next) = self.session.poll_timeout() {
                    self.pass(next.saturating_duration_since(self.now).saturating_sub(early));
                }
            }
            _ => self.end(input),
        }
    }

    /// A dial comes through, perhaps one that was given up long ago, or the neighbor's does. There is one connection at a time.
    fn connection(&mut self, input: &mut Input<'_>) {
        let passive = self.session.config().passive;
        if passive && !input.u8().is_multiple_of(4) {
            match self.session.incoming(self.now) {
                Incoming::Take => assert!(!self.open),
                Incoming::Replace => {
                    assert!(self.open);
                    self.act();
                    assert!(!self.open, "the old one goes first");
                }
                Incoming::Refuse => return,
            }
            self.connect(input);
            assert_eq!(self.session.state(), State::OpenSent);
        } else if !passive && !self.open {
            self.connect(input);
        }
    }

    fn connect(&mut self, input: &mut Input<'_>) {
        let end = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let (local, remote) = match input.u8() % 4 {
            0 => ("192.0.2.1:40000", "192.0.2.2:179"),
            1 => ("[2001:db8::1]:40000", "[2001:db8::2]:179"),
            2 => ("[fe80::1]:40000", "[fe80::2]:179"),
            _ => ("[::ffff:192.0.2.1]:40000", "[::ffff:192.0.2.2]:179"),
        };
        let ipv6 = [None, Some("2001:db8:1::1"), Some("fe80::7")][usize::from(input.u8() % 3)];
        let ipv6 = ipv6.map(|text| text.parse().expect("an address"));
        let passive = self.session.config().passive;
        let expected = self.session.state() == if passive { State::Active } else { State::Connect };
        assert!(passive || !expected || self.dialling);
        self.session.handle_connected(end(local), end(remote), ipv6, self.now);
        if expected {
            (self.open, self.dialling) = (true, false);
        }
    }

    /// An OPEN that is as good as the configuration lets it be, and what follows it.
    fn handshake(&mut self, input: &mut Input<'_>) {
        let (bits, hold) = (input.u8(), input.one_of(&[90u16, 0, 3, 65_535]));
        let bit = |at: u8| bits & (1 << at) != 0;
        let config = self.session.config();
        let asn = if config.is_external() { THEIRS } else { config.local_as.get() };
        let mut capabilities = Vec::new();
        let mut offer = |wanted: bool, capability: &[u8]| {
            if wanted {
                capabilities.extend_from_slice(capability);
            }
        };
        offer(!bit(0), &[1, 4, 0, 1, 0, 1]);
        offer(!bit(1), &[1, 4, 0, 2, 0, 1]);
        offer(!bit(2) || asn > 65_535, &[&[65, 4][..], &asn.to_be_bytes()].concat());
        offer(!bit(3), &[6, 0]);
        offer(!bit(4), &[70, 0]);
        offer(!bit(5), &[5, 6, 0, 1, 0, 1, 0, 2]);
        offer(hold != 0, &[64, 6, 0x40, 120, 0, 1, 1, 0x80]);
        if let Some(role) = config.role {
            offer(!bit(6), &[9, 1, role.counterpart().code()]);
        }
        let count = u8::try_from(capabilities.len()).expect("they are few");
        let short = u16::try_from(asn).unwrap_or(23_456).to_be_bytes();
        let fixed = [&[4][..], &short, &hold.to_be_bytes(), &[10, 0, 0, 2]].concat();
        self.hear(&frame(1, &[&fixed[..], &[count + 2, 2, count], &capabilities].concat()), 0);
        if !bit(7) {
            self.hear(&frame(4, &[]), 0);
        }
    }

    /// Whatever is heard, what we announce and what is on its way stay as they are, or the session is over.
    fn hear(&mut self, stream: &[u8], size: u8) {
        // A driver that reads an octet at a time must not make long streams slow.
        let size = if stream.len() > 64 { size.max(64) } else { size };
        let size = if stream.len() > 512 { 0 } else { size };
        let before = (self.session.state() == State::Established)
            .then(|| (self.session.advertised().clone(), self.session.unsent().clone(), fuzzing::kept(&self.session)));
        for part in parts(stream, size) {
            self.session.handle_bytes(part, self.now);
            self.act();
            self.check_deadline_and_size();
        }
        // There is no way from one session to the next without another connection.
        if let Some((advertised, unsent, kept)) = before
            && self.session.state() == State::Established
        {
            assert_eq!((self.session.advertised(), self.session.unsent()), (&advertised, &unsent));
            assert_eq!(fuzzing::kept(&self.session).in_flight, kept.in_flight);
        }
    }

    fn set_routes(&mut self, input: &mut Input<'_>) {
        self.desired.clear();
        for prefix in PREFIXES.iter() {
            // Seldom the large ones, which cost the time of many others.
            let choice = input.one_of(&[0, 1, 2, 3, 9, 9, 0, 1, 2, 4, 9, 9]);
            self.desired.extend(ATTRIBUTES.get(choice).map(|attributes| (*prefix, Arc::clone(attributes))));
        }
        self.session.set_routes(self.desired.clone(), self.now);
    }

    /// More than one UPDATE holds; some of them change, some come, some go.
    fn many_routes(&mut self, input: &mut Input<'_>) {
        let (first, count, choice) = (input.u8(), u32::from(input.u8() % 64), input.u8());
        let attributes = &ATTRIBUTES[usize::from(choice) % ATTRIBUTES.len()];
        let host = |n: u32| Prefix::host((0x0A00_0000 + u32::from(first) * 64 + n).to_be_bytes().into());
        self.desired.extend((0..count).map(|n| (host(n), Arc::clone(attributes))));
        self.session.set_routes(self.desired.clone(), self.now);
    }

    fn acked(&mut self, input: &mut Input<'_>) {
        let unacked = usize::from(input.u8());
        self.session.handle_unacked(unacked, self.now);
        let acked = |entry: &anycast_bgp::Advertised| entry.progress == Progress::Acked;
        if self.session.state() == State::Established && self.session.advertised().values().all(acked) {
            assert_eq!(fuzzing::kept(&self.session).in_flight, 0, "nothing is waited for, so nothing is kept");
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.session.handle_timeout(self.now);
        assert!(self.session.poll_timeout().is_none_or(|next| next > self.now), "a timer that has run out spins");
    }

    fn end(&mut self, input: &mut Input<'_>) {
        match input.u8() % 8 {
            0 => {
                let farewell = match input.u8() % 4 {
                    0 => Farewell::Shutdown("maintenance é".to_owned()),
                    1 => Farewell::Deconfigured,
                    2 => Farewell::Reconfigured,
                    _ => Farewell::Silence,
                };
                self.session.shutdown(&farewell, self.now);
            }
            1 => {
                self.unwritten = 0;
                self.session.handle_written(1 << 20, self.now);
            }
            2 => self.session.handle_unacked(usize::MAX, self.now),
            3 => self.session.set_complete(input.u8() & 1 == 1),
            5 => self.session.set_restarted(),
            4 if input.u8() & 1 == 1 => self.session.resume(self.now),
            4 => self.session.suspend(&Farewell::Reset("a stall é".to_owned()), self.now),
            6 => self.session.prod(),
            _ => {
                self.hang_up();
                self.session.handle_closed(None, self.now);
            }
        }
    }

    fn hang_up(&mut self) {
        (self.open, self.dialling, self.unwritten) = (false, false, 0);
        self.held.clear();
    }

    /// What the session asks for.
    fn act(&mut self) {
        assert!(fuzzing::kept(&self.session).waiting <= 8, "what waits is bounded");
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Connect => self.dialling = true,
                Action::Close => {
                    if self.session.poll_transmit(self.now).is_some_and(|last| last[18] != 3) {
                        panic!("a NOTIFICATION is all that is left to say");
                    }
                    assert_eq!(self.session.poll_transmit(self.now), None);
                    self.hang_up();
                }
            }
        }
        while let Some(event) = self.session.poll_event() {
            if let Event::Down(reason) = event {
                assert!(!reason.to_string().chars().any(char::is_control));
            }
        }
    }

    /// Takes one message, when the last is written whole, and lets the neighbor read it.
    fn take(&mut self) {
        if self.unwritten > 0 {
            let part = self.unwritten.div_ceil(2);
            self.unwritten -= part;
            self.session.handle_written(part, self.now);
            return;
        }
        let Some(message) = self.session.poll_transmit(self.now) else {
            self.holds_what_is_desired();
            return;
        };
        assert!(self.open, "nothing is said where there is nobody");
        self.unwritten = message.len();
        let extended = self.session.negotiated().is_some_and(|negotiated| negotiated.extended_message);
        let (messages, error) = fuzzing::frames([&message[..]], extended);
        assert_eq!(error, None);
        let [(kind, whole)] = &messages[..] else { panic!("one message at a time, and whole") };
        assert_eq!(whole, &message);
        match (self.session.state(), kind) {
            (_, MessageType::Open | MessageType::Keepalive) | (State::Established, MessageType::RouteRefresh) => {}
            (State::Established, MessageType::Update) => self.read(&message),
            (state, kind) => panic!("{kind} in {state}"),
        }
    }

    fn read(&mut self, message: &Bytes) {
        let negotiated = self.session.negotiated().expect("Established");
        let terms = fuzzing::Terms {
            external: negotiated.external,
            four_octet_as: negotiated.four_octet_as,
            families: negotiated.families.clone(),
            extended_next_hop: negotiated.extended_next_hop,
        };
        let marked = negotiated.role.is_some_and(|role| matches!(role.code(), 0 | 1 | 4));
        let tally = fuzzing::update(&message[19..], &terms).expect("ours have no error");
        assert!(!tally.treated_as_withdraw && tally.discarded == 0);
        let said = contents(&message[19..], &terms.families).expect("ours can be read");
        assert_eq!((said.announced.len(), said.withdrawn.len()), (tally.announced, tally.withdrawn));
        assert!(said.announced.is_empty() || said.types.contains(&35) == marked, "Only To Customer");
        assert!(said.withdrawn.is_empty() || said.announced.is_empty());
        for prefix in said.withdrawn {
            assert!(self.held.remove(&prefix).is_some(), "{prefix} was withdrawn and never announced");
            assert!(!self.announced(&prefix), "{prefix} is desired");
        }
        for prefix in said.announced {
            assert!(terms.families.contains(&prefix.family()));
            assert_eq!(self.desired.get(&prefix).map(|wanted| wanted.med), Some(said.med), "{prefix} as it is desired");
            self.held.insert(prefix, said.med);
        }
    }

    fn announced(&self, prefix: &Prefix) -> bool {
        self.desired.contains_key(prefix) && !self.session.unsent().contains_key(prefix)
    }

    /// When there is nothing more to say, everything was said.
    fn holds_what_is_desired(&self) {
        if self.session.state() != State::Established {
            return;
        }
        let wanted = self.desired.iter().filter(|(prefix, _)| self.announced(prefix));
        let wanted: BTreeMap<_, _> = wanted.map(|(prefix, attributes)| (*prefix, attributes.med)).collect();
        assert_eq!(self.held, wanted);
    }

    fn write_all(&mut self) {
        if !self.open {
            assert_eq!(self.session.poll_transmit(self.now), None);
            return;
        }
        self.session.handle_written(self.unwritten, self.now);
        self.unwritten = 0;
        // The routes of a bench are few: what does not come to an end here never does.
        for _ in 0..20_000 {
            self.take();
            if self.unwritten == 0 {
                return;
            }
            self.session.handle_written(self.unwritten, self.now);
            self.unwritten = 0;
        }
        panic!("there is always something more to say");
    }

    /// What holds at any time.
    fn check_deadline_and_size(&self) {
        let session = &self.session;
        let (state, deadline) = (session.state(), session.poll_timeout());
        let hold = session.negotiated().and_then(|negotiated| negotiated.hold_time.duration());
        match state {
            State::Idle => assert_eq!(deadline, None),
            // A neighbor that dials may stay away for ever.
            State::Active if session.config().passive => {}
            State::Connect | State::Active | State::OpenSent | State::OpenConfirm => {
                assert!(deadline.is_some(), "{state}")
            }
            State::Established => assert!(deadline.is_some() || (hold.is_none() && self.unwritten == 0)),
        }
        assert_eq!(session.next_dial().is_some(), state == State::Active && !session.config().passive);
        assert_eq!(session.negotiated().is_some(), matches!(state, State::OpenConfirm | State::Established));
        let extended = session.config().offers.extended_message && session.negotiated().is_some();
        let kept = fuzzing::kept(session);
        assert!(kept.octets < if extended { 65_535 } else { 4096 }, "{} octets wait for the rest", kept.octets);
        if state != State::Established {
            assert!(session.advertised().is_empty() && session.unsent().is_empty() && kept.in_flight == 0);
        }
    }

    /// What holds between two steps: the table shows all that is desired, and is right about the neighbor's.
    fn check_table(&self) {
        let session = &self.session;
        let Some(negotiated) = session.negotiated().filter(|_| session.state() == State::Established) else { return };
        let shown = session.advertised();
        assert!(self.desired.keys().all(|prefix| shown.contains_key(prefix) || session.unsent().contains_key(prefix)));
        for (prefix, entry) in shown {
            assert!(negotiated.families.contains(&prefix.family()));
            if entry.progress == Progress::Acked {
                let wanted = entry.attributes.as_ref().expect("an acknowledged withdraw is gone");
                assert_eq!(self.held.get(prefix), Some(&wanted.med), "{prefix} is held as it is shown");
            }
        }
        for prefix in self.held.keys() {
            assert!(shown.contains_key(prefix), "{prefix} is still held");
        }
    }

    /// Left alone with a neighbor that reads and acknowledges, it has said everything.
    fn finish(&mut self) {
        if self.session.state() == State::Established {
            self.write_all();
            self.session.handle_unacked(0, self.now);
            self.check_table();
            self.holds_what_is_desired();
        }
    }
}
