mod graceful;
mod handover;
mod link;
mod suspended;
mod waiting;

use std::{net::Ipv4Addr, sync::Arc};

use super::*;
use crate::{
    attributes::Attributes,
    capability::Capability,
    notification::{Farewell, Notification},
    open::OpenError,
    peer::{PeerAs, Timing},
    rib::Progress,
    types::{Asn, Family, HoldTime, RouterId},
};

const SECOND: Duration = Duration::from_secs(1);
const PREFIX: &str = "198.51.100.0/24";

fn config(hold: u16) -> PeerConfig {
    PeerConfig {
        hold_time: HoldTime::from_secs(hold).expect("allowed"),
        seed: 42,
        ..PeerConfig::new(
            Asn::new(65010).expect("not 0"),
            RouterId::new(Ipv4Addr::new(10, 0, 0, 1)).expect("not 0"),
            PeerAs::Exactly(Asn::new(65001).expect("not 0")),
        )
    }
}

/// An OPEN of AS 65001 without capabilities.
fn plain_open(hold: u16) -> Bytes {
    let [high, low] = hold.to_be_bytes();
    wire::message(MessageType::Open, &[4, 0xFD, 0xE9, high, low, 10, 0, 0, 2, 0])
}

/// The same with both families, route refresh and four-octet AS numbers.
fn full_open(hold: u16) -> Bytes {
    let open = Open::ours(
        &PeerConfig {
            local_as: Asn::new(65001).expect("not 0"),
            router_id: RouterId::new(Ipv4Addr::new(10, 0, 0, 2)).expect("not 0"),
            ..config(hold)
        },
        Restart::default(),
    );
    open.encode()
}

fn route(prefix: &str) -> Routes {
    [(prefix.parse().expect("a prefix"), Arc::new(Attributes::default()))].into()
}

/// A session and its driver on a clock that is turned by hand.
struct Bench {
    session: Session,
    now: Instant,
}

impl Bench {
    fn new(hold: u16) -> Self {
        let now = Instant::now();
        let mut session = Session::new(config(hold), now);
        assert_eq!((session.poll_action(), session.state()), (Some(Action::Connect), State::Connect));
        Self { session, now }
    }

    fn connect(&mut self) {
        let end = |text: &str| text.parse().expect("an address");
        self.session.handle_connected(end("192.0.2.1:40000"), end("192.0.2.2:179"), None, self.now);
    }

    fn at(state: State) -> Self {
        let mut bench = Self::new(90);
        match state {
            State::Idle | State::Connect => {}
            State::Active => bench.session.handle_closed(None, bench.now),
            State::OpenSent => bench.connect(),
            State::OpenConfirm => bench.hear_open(&full_open(90)),
            State::Established => bench.establish(&full_open(90)),
        }
        bench.write_all();
        while bench.session.poll_event().is_some() {}
        assert_eq!(bench.session.state(), if state == State::Idle { State::Connect } else { state });
        bench
    }

    fn hear_open(&mut self, open: &[u8]) {
        self.connect();
        self.hear(open);
        assert_eq!(self.session.state(), State::OpenConfirm);
    }

    fn establish(&mut self, open: &[u8]) {
        self.hear_open(open);
        self.hear(&keepalive());
        assert_eq!(self.session.state(), State::Established);
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.session.handle_bytes(bytes, self.now);
    }

    /// The messages that are there to be sent, each taken by the kernel at once.
    fn write_all(&mut self) -> Vec<Bytes> {
        let mut messages = Vec::new();
        while let Some(message) = self.session.poll_transmit(self.now) {
            self.session.handle_written(message.len(), self.now);
            messages.push(message);
        }
        messages
    }

    fn kinds(&mut self) -> Vec<u8> {
        self.write_all().iter().map(|message| message[18]).collect()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.session.handle_timeout(self.now);
    }

    /// Passes time up to the next timer, and says how long that was.
    fn pass_to_timer(&mut self) -> Duration {
        let wait = self.session.poll_timeout().expect("a timer").saturating_duration_since(self.now);
        self.pass(wait);
        wait
    }

    /// The session ended by our NOTIFICATION: code, subcode, data.
    fn ended_with(&mut self) -> (u8, u8, Vec<u8>) {
        assert_eq!(self.session.state(), State::Active);
        assert!(self.session.poll_action() == Some(Action::Close) && self.session.poll_action().is_none());
        let messages = self.write_all();
        assert_eq!(messages.len(), 1, "the NOTIFICATION and nothing else");
        assert_eq!(messages[0][18], 3);
        (messages[0][19], messages[0][20], messages[0][21..].to_vec())
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

#[test]
fn up_and_announcing() {
    let mut bench = Bench::new(90);
    bench.session.set_routes(route(PREFIX), bench.now);
    assert!(bench.session.advertised().is_empty());
    bench.connect();
    assert_eq!((bench.session.state(), bench.kinds()), (State::OpenSent, vec![1]));
    bench.hear(&full_open(30));
    assert_eq!((bench.session.state(), bench.kinds()), (State::OpenConfirm, vec![4]));
    bench.hear(&keepalive());
    assert_eq!(bench.session.poll_event(), Some(Event::Established));
    assert_eq!(bench.session.poll_event(), Some(Event::Advertised));
    assert_eq!(bench.session.poll_event(), None);
    assert_eq!(bench.kinds(), [2, 2, 2], "the route and two End-of-RIB");
    let negotiated = bench.session.negotiated().expect("there is one");
    assert_eq!((negotiated.hold_time.to_wire(), negotiated.keepalive), (30, Some(10 * SECOND)));
    let progress = |bench: &Bench| bench.session.advertised().values().map(|entry| entry.progress).collect::<Vec<_>>();
    assert_eq!(progress(&bench), [Progress::Written]);
    bench.session.handle_unacked(1000, bench.now);
    assert_eq!(progress(&bench), [Progress::Written]);
    bench.session.handle_unacked(0, bench.now);
    assert_eq!(progress(&bench), [Progress::Acked]);
    let counters = bench.session.counters();
    assert_eq!((counters.sent.open, counters.sent.keepalive, counters.sent.update, counters.established), (1, 1, 3, 1));
}

#[test]
fn bad_messages_end_the_session_with_their_own_code_in_every_state() {
    use State::{Established, OpenConfirm, OpenSent};
    let crash_1 = hex("ffffffffffffffffffffffffffffffff002b0200000003c0ff00010100eb00ac100b0b001ad908ac100b0b");
    let crash_2 = hex(
        "ffffffffffffffffffffffffffffffff003c0200000014ff1f001000040146464646460004464646464646464646f50d05800100010200ffff000000",
    );
    let mut marker = keepalive().to_vec();
    marker[0] = 0;
    let framed = |length: u16, kind: u8| [&[0xFF; 16][..], &length.to_be_bytes(), &[kind], &[0; 30]].concat();
    let refresh = |body: &[u8]| wire::message(MessageType::RouteRefresh, body).to_vec();
    let bad_refresh = refresh(&[0, 1, 1, 1, 0]);
    let update = |body: &[u8]| wire::message(MessageType::Update, body).to_vec();
    let mut version = plain_open(90).to_vec();
    version[19] = 3;
    let all = [OpenSent, OpenConfirm, Established];
    type Case<'a> = (&'a str, Vec<u8>, &'a [State], u8, u8, Vec<u8>);
    let table: Vec<Case<'_>> = vec![
        ("marker", marker, &all, 1, 1, vec![]),
        ("too short", framed(18, 4), &all, 1, 2, vec![0, 18]),
        ("too long", framed(4097, 2), &[OpenSent], 1, 2, vec![16, 1]),
        ("OPEN of 4097", framed(4097, 1), &all, 1, 2, vec![16, 1]),
        ("KEEPALIVE of 4097", framed(4097, 4), &all, 1, 2, vec![16, 1]),
        ("KEEPALIVE with a body", framed(20, 4), &all, 1, 2, vec![0, 20]),
        ("NOTIFICATION of 20", framed(20, 3), &all, 1, 2, vec![0, 20]),
        ("type 9", framed(19, 9), &all, 1, 3, vec![9]),
        ("OPEN of version 3", version, &[OpenSent], 2, 1, vec![0, 4]),
        ("OPEN with hold time 2", plain_open(2).to_vec(), &[OpenSent], 2, 6, vec![]),
        ("KEEPALIVE", keepalive().to_vec(), &[OpenSent], 5, 1, vec![4]),
        ("UPDATE", update(&[0; 4]), &[OpenSent], 5, 1, vec![2]),
        ("UPDATE", update(&[0; 4]), &[OpenConfirm], 5, 2, vec![2]),
        ("ROUTE-REFRESH", refresh(&[0, 1, 0, 1]), &[OpenSent], 5, 1, vec![5]),
        ("ROUTE-REFRESH", refresh(&[0, 1, 0, 1]), &[OpenConfirm], 5, 2, vec![5]),
        ("a second OPEN", full_open(90).to_vec(), &[OpenConfirm], 5, 2, vec![1]),
        ("a second OPEN", full_open(90).to_vec(), &[Established], 5, 3, vec![1]),
        ("crash 1", crash_1.clone(), &[OpenSent], 5, 1, vec![2]),
        ("crash 1", crash_1.clone(), &[OpenConfirm], 5, 2, vec![2]),
        ("crash 1", crash_1, &[Established], 3, 10, vec![]),
        ("crash 2", crash_2.clone(), &[OpenSent], 5, 1, vec![2]),
        ("crash 2", crash_2.clone(), &[OpenConfirm], 5, 2, vec![2]),
        ("crash 2", crash_2, &[Established], 3, 10, vec![]),
        ("UPDATE that overruns", update(&[0, 9, 0, 0]), &[Established], 3, 1, vec![]),
        ("ROUTE-REFRESH of 5", bad_refresh.clone(), &[Established], 7, 1, bad_refresh),
        ("ROUTE-REFRESH of 3", refresh(&[0, 1, 0]), &[Established], 1, 2, vec![0, 22]),
    ];
    for (name, bytes, states, code, subcode, data) in &table {
        for state in *states {
            let mut bench = Bench::at(*state);
            bench.hear(bytes);
            assert_eq!(bench.ended_with(), (*code, *subcode, data.clone()), "{name} in {state}");
            let words = bench.session.last_error().expect("a reason").to_string();
            assert!(words.contains(&format!("sent NOTIFICATION {code}/{subcode} (")), "{words}");
        }
    }
}

#[test]
fn a_notification_ends_the_session_without_an_answer() {
    let notification = Notification::shutdown("maintenance");
    for state in [State::OpenSent, State::OpenConfirm, State::Established] {
        let mut bench = Bench::at(state);
        bench.hear(&notification.encode());
        assert_eq!((bench.session.state(), bench.session.poll_action()), (State::Active, Some(Action::Close)));
        assert!(bench.write_all().is_empty());
        let words = "received NOTIFICATION 6/2 (Cease, Administrative Shutdown): \"maintenance\"";
        assert_eq!(bench.session.last_error().map(ToString::to_string).as_deref(), Some(words));
        assert_eq!(bench.session.poll_event(), Some(Event::Down(DownReason::Received(notification.clone()))));
    }
}

#[test]
fn why_a_session_ended_outlives_the_dials_that_fail_after_it() {
    let mut bench = Bench::at(State::Established);
    assert_eq!((bench.session.last_end(), bench.session.up_or_down_since()), (None, bench.now));
    bench.now += Duration::from_secs(60);
    let (ended, notification) = (bench.now, Notification::shutdown("maintenance"));
    bench.hear(&notification.encode());
    for _ in 0..3 {
        while bench.session.poll_action() != Some(Action::Connect) {
            bench.pass_to_timer();
        }
        bench.session.handle_closed(Some("connect: refused".to_owned()), bench.now);
    }
    assert_eq!(bench.session.last_error(), Some(&DownReason::Dial("connect: refused".to_owned())));
    assert_eq!(bench.session.last_end(), Some((&DownReason::Received(notification), ended)));
    assert_eq!(bench.session.up_or_down_since(), ended);
    while bench.session.poll_action() != Some(Action::Connect) {
        bench.pass_to_timer();
    }
    bench.establish(&full_open(90));
    assert_eq!((bench.session.last_end(), bench.session.up_or_down_since()), (None, bench.now));
}

#[test]
fn nothing_is_heard_without_a_connection() {
    for state in [State::Connect, State::Active] {
        let mut bench = Bench::at(state);
        bench.hear(&[0; 100]);
        bench.session.handle_unacked(5, bench.now);
        assert_eq!((bench.session.state(), bench.session.poll_action()), (state, None));
    }
}

#[test]
fn a_broken_attribute_is_counted_and_the_session_lives() {
    let mut bench = Bench::at(State::Established);
    bench.hear(&wire::message(MessageType::Update, &[0, 0, 0, 4, 0x40, 1, 1, 9, 24, 198, 51, 100]));
    bench.hear(&wire::message(MessageType::Update, &[0, 4, 24, 198, 51, 100, 0, 0]));
    assert_eq!(bench.session.state(), State::Established);
    let counters = bench.session.counters();
    assert_eq!((counters.treated_as_withdraw, counters.prefixes_withdrawn, counters.prefixes_announced), (1, 2, 0));
}

/// What comes again is no more than there was; the next session begins anew.
#[test]
fn different_prefixes_are_counted_where_they_are_limited() {
    let update = |first: u8| {
        let attributes = [0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xFD, 0xE9, 0x40, 3, 4, 192, 0, 2, 9];
        let prefixes = (first..first + 10).flat_map(|octet| [24, 10, 0, octet]);
        let body: Vec<u8> = [0, 0, 0, 20].into_iter().chain(attributes).chain(prefixes).collect();
        wire::message(MessageType::Update, &body)
    };
    let limit = |number| Limits { max_prefixes: std::num::NonZeroU64::new(number), ..Limits::default() };
    let mut bench = Bench::at(State::Established);
    bench.hear(&update(0));
    assert_eq!(bench.session.received(), None);
    bench.session.set_limits(limit(25), bench.now);
    let told = |bench: &Bench| bench.session.received().map(|received| (received.prefixes, received.exceeded));
    for (first, expected) in [(0, (10, false)), (0, (10, false)), (5, (15, false)), (20, (25, false)), (21, (26, true))]
    {
        bench.hear(&update(first));
        assert_eq!(told(&bench), Some(expected));
    }
    assert_eq!(bench.session.state(), State::Established, "an alarm ends nothing");
    bench.session.set_limits(limit(26), bench.now);
    assert_eq!(told(&bench), Some((26, false)));
    bench.session.set_limits(Limits::default(), bench.now);
    assert_eq!(told(&bench), None);
    bench.session.set_limits(limit(5), bench.now);
    bench.session.handle_closed(None, bench.now);
    assert_eq!(told(&bench), None, "there is no session");
}

#[test]
fn dials_wait_longer_each_time_and_give_up_after_ten_seconds() {
    let mut bench = Bench::new(90);
    for base in [1, 2, 4, 8, 16, 30, 30] {
        bench.session.handle_closed(Some("connect: refused".to_owned()), bench.now);
        assert_eq!(bench.session.state(), State::Active);
        assert_eq!(bench.session.last_error().map(ToString::to_string).as_deref(), Some("connect: refused"));
        assert_eq!(bench.session.next_dial(), bench.session.poll_timeout());
        let wait = bench.pass_to_timer();
        assert!(wait <= base * SECOND && wait >= base * SECOND * 3 / 4, "{wait:?} of {base} s");
        assert_eq!((bench.session.state(), bench.session.poll_action()), (State::Connect, Some(Action::Connect)));
    }
    assert_eq!(bench.pass_to_timer(), DIAL_TIME);
    assert_eq!((bench.session.state(), bench.session.poll_action()), (State::Active, Some(Action::Close)));
    bench.connect();
    assert_eq!((bench.session.state(), bench.session.poll_action()), (State::Active, Some(Action::Close)), "too late");
}

#[test]
fn only_a_session_that_lasted_starts_the_retries_afresh() {
    let mut bench = Bench::new(90);
    let mut waits = Vec::new();
    for lasted in [0, 1, 5, 9, 60, 0] {
        bench.establish(&full_open(90));
        bench.now += lasted * SECOND;
        bench.session.handle_closed(None, bench.now);
        waits.push(bench.pass_to_timer().as_secs_f64().ceil() as u64);
        assert_eq!(bench.session.poll_action(), Some(Action::Connect));
    }
    assert!(waits[3] >= 6 && waits[3] <= 8, "{waits:?}");
    assert_eq!(waits[4], 1, "{waits:?}");
    assert_eq!(waits[5], 2, "{waits:?}");
}

#[test]
fn a_wrong_as_does_not_become_a_loop() {
    let (mut bench, start) = (Bench::new(90), Instant::now());
    bench.session.config.peer_as = PeerAs::Exactly(Asn::new(65002).expect("not 0"));
    let mut attempts = 0;
    while bench.now < start + 60 * SECOND {
        bench.connect();
        bench.hear(&full_open(90));
        assert_eq!(bench.ended_with(), (2, 2, vec![]));
        attempts += 1;
        bench.pass_to_timer();
        assert_eq!(bench.session.poll_action(), Some(Action::Connect));
    }
    assert!((5..=8).contains(&attempts), "{attempts} in a minute");
}

#[test]
fn a_silent_neighbor_is_given_up() {
    let mut bench = Bench::at(State::OpenSent);
    bench.pass(90 * SECOND);
    assert_eq!(bench.ended_with(), (4, 0, vec![]));
    for state in [State::OpenConfirm, State::Established] {
        let mut bench = Bench::at(state);
        bench.pass(90 * SECOND - Duration::from_millis(1));
        assert_eq!(bench.session.state(), state);
        bench.pass(Duration::from_millis(1));
        assert_eq!(bench.ended_with(), (4, 0, vec![]), "in {state}");
    }
    let mut bench = Bench::at(State::Established);
    for _ in 0..10 {
        bench.pass(80 * SECOND);
        bench.hear(&keepalive());
        bench.write_all();
    }
    assert_eq!(bench.session.state(), State::Established);
}

#[test]
fn a_hold_time_of_zero_means_no_keepalives_but_no_endless_handshake() {
    let mut bench = Bench::new(0);
    bench.hear_open(&full_open(90));
    bench.write_all();
    assert_eq!(bench.pass_to_timer(), HANDSHAKE_TIME.1);
    assert_eq!(bench.ended_with(), (4, 0, vec![]));
    bench.pass_to_timer();
    bench.establish(&full_open(90));
    bench.write_all();
    assert_eq!(bench.session.poll_timeout(), None);
    bench.pass(86_400 * SECOND);
    assert_eq!((bench.session.state(), bench.kinds()), (State::Established, vec![]));
}

#[test]
fn keepalives_come_every_third_of_the_hold_time() {
    let mut bench = Bench::at(State::Established);
    for _ in 0..20 {
        let wait = bench.pass_to_timer();
        assert!((Duration::from_millis(22_500)..=30 * SECOND).contains(&wait), "{wait:?}");
        assert_eq!(bench.kinds(), [4]);
        bench.hear(&keepalive());
    }
}

#[test]
fn a_keepalive_that_is_due_goes_before_a_batch() {
    let mut bench = Bench::at(State::Established);
    bench.pass(20 * SECOND);
    let many = (0..20_000u32).map(|n| (Prefix::host((0x0A00_0000 + n).to_be_bytes().into()), Arc::default()));
    bench.session.set_routes(many.collect(), bench.now);
    assert_eq!(bench.session.poll_transmit(bench.now).expect("a message")[18], 2);
    assert!(bench.session.poll_timeout() > Some(bench.now + 20 * SECOND), "an UPDATE restarts the timer");
    bench.pass(30 * SECOND);
    assert_eq!(bench.session.poll_transmit(bench.now).expect("a message")[18], 4);
    assert_eq!(bench.session.poll_transmit(bench.now).expect("a message")[18], 2);
}

#[test]
fn a_keepalive_that_cannot_be_written_does_not_spin() {
    let mut bench = Bench::at(State::Established);
    bench.pass_to_timer();
    assert!(bench.session.poll_timeout() > Some(bench.now + 30 * SECOND), "it is due, and the hold timer is next");
}

#[test]
fn a_neighbor_that_does_not_read_is_given_up() {
    let mut bench = Bench::at(State::Established);
    bench.session.set_routes(route(PREFIX), bench.now);
    let update = bench.session.poll_transmit(bench.now).expect("an UPDATE");
    let start = bench.now;
    let blocked = |bench: &mut Bench, seconds: u32| {
        for _ in 0..seconds / 10 {
            bench.pass(10 * SECOND);
            bench.hear(&keepalive());
        }
    };
    blocked(&mut bench, 470);
    bench.session.handle_written(update.len() - 1, bench.now);
    blocked(&mut bench, 470);
    assert_eq!(bench.session.state(), State::Established, "one octet was progress");
    bench.pass(10 * SECOND);
    assert_eq!(bench.ended_with(), (8, 0, vec![]));
    assert_eq!(bench.now - start, 950 * SECOND);
}

#[test]
fn a_neighbor_that_acknowledges_nothing_is_given_up() {
    let mut bench = Bench::at(State::Established);
    let wait = |bench: &mut Bench, unacked: usize, seconds: u32| {
        for _ in 0..seconds / 10 {
            bench.session.handle_unacked(unacked, bench.now);
            bench.pass(10 * SECOND);
            bench.hear(&keepalive());
        }
    };
    wait(&mut bench, 19, 470);
    wait(&mut bench, 10, 470);
    assert_eq!(bench.session.state(), State::Established, "nine octets were progress");
    wait(&mut bench, 10, 10);
    assert_eq!(bench.session.state(), State::Established);
    bench.session.handle_unacked(10, bench.now);
    assert_eq!(bench.session.state(), State::Active);
    assert_eq!(bench.session.last_error(), Some(&DownReason::Fault(Fault::SendHoldTimer(SEND_HOLD_TIME))));
}

#[test]
fn the_send_hold_time_is_what_was_asked_for_but_never_less_than_the_hold_time() {
    for (hold, asked, time) in
        [(90, Some(100), 100), (90, Some(60), 90), (0, Some(10), 10), (90, None, 480), (300, None, 600)]
    {
        let timing = Timing { send_hold_time: asked.map(Duration::from_secs), ..Timing::default() };
        let now = Instant::now();
        let session = Session::new(PeerConfig { timing, ..config(hold) }, now);
        let mut bench = Bench { session, now };
        assert_eq!(bench.session.poll_action(), Some(Action::Connect));
        bench.establish(&full_open(hold));
        assert_eq!(bench.session.send_hold_time(), Duration::from_secs(time), "{hold} {asked:?}");
    }
}

#[test]
fn a_shutdown_says_why_and_is_for_ever() {
    for state in [State::OpenSent, State::OpenConfirm, State::Established] {
        let mut bench = Bench::at(state);
        bench.session.set_routes(route(PREFIX), bench.now);
        bench.session.shutdown(&Farewell::Shutdown("bye".to_owned()), bench.now);
        assert_eq!((bench.session.state(), bench.session.poll_action()), (State::Idle, Some(Action::Close)));
        let messages = bench.write_all();
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0][18..], [3, 6, 2, 3, b'b', b'y', b'e']);
    }
    for state in [State::Connect, State::Active] {
        let mut bench = Bench::at(state);
        bench.session.shutdown(&Farewell::Shutdown("bye".to_owned()), bench.now);
        assert_eq!(bench.session.poll_action(), Some(Action::Close));
        assert!(bench.write_all().is_empty());
        bench.session.shutdown(&Farewell::Shutdown("again".to_owned()), bench.now);
        bench.session.handle_closed(None, bench.now);
        bench.pass(3600 * SECOND);
        assert_eq!(
            (bench.session.state(), bench.session.poll_action(), bench.session.poll_timeout()),
            (State::Idle, None, None)
        );
    }
}

/// RFC 7313 §4: what comes between the two marks is all there is; a request during the answer begins it anew.
#[test]
fn the_answer_to_a_refresh_is_marked_at_both_ends() {
    let mut bench = Bench::new(90);
    bench.session.config.next_hop_ipv6 = Some("2001:db8::1".parse().expect("an address"));
    let mut desired = route(PREFIX);
    desired.extend(route("2001:db8::/48"));
    bench.session.set_routes(desired, bench.now);
    bench.establish(&full_open(90));
    let refresh = |bench: &mut Bench, afi| bench.hear(&wire::message(MessageType::RouteRefresh, &[0, afi, 0, 1]));
    let mark = |subtype, afi| wire::message(MessageType::RouteRefresh, &[0, afi, subtype, 1]);
    refresh(&mut bench, 1);
    let messages = bench.write_all();
    let at = |wanted: &Bytes| messages.iter().position(|message| message == wanted).expect("it is there");
    let (begin, end) = (at(&mark(1, 1)), at(&mark(2, 1)));
    assert!(at(&wire::message(MessageType::Update, &[0, 0, 0, 0])) < begin, "not before the End-of-RIB");
    assert!(begin < end);

    refresh(&mut bench, 2);
    let messages = bench.write_all();
    assert_eq!((messages.len(), &messages[0], &messages[2]), (3, &mark(1, 2), &mark(2, 2)));
    assert_eq!(messages[1][18], 2);

    let more: Routes = (1..=2000u32).flat_map(|n| route(&format!("10.{}.{}.0/24", n / 250, n % 250))).collect();
    bench.session.set_routes(more, bench.now);
    bench.write_all();
    refresh(&mut bench, 1);
    let begun = bench.session.poll_transmit(bench.now).expect("a mark");
    let first = bench.session.poll_transmit(bench.now).expect("an answer");
    assert_eq!((begun, first[18]), (mark(1, 1), 2));
    refresh(&mut bench, 1);
    let kinds: Vec<(u8, u8)> = bench.write_all().iter().map(|message| (message[18], message[21])).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&(5, 1)), Some(&(5, 2))));
    assert_eq!(kinds.iter().filter(|(kind, _)| *kind == 5).count(), 2);
}

/// RFC 8654 §4: an UPDATE past 4096 octets is one where we offered to take it; an OPEN and a KEEPALIVE never are.
#[test]
fn long_messages_are_taken_where_they_were_offered() {
    let long = |kind| {
        let mut body = vec![0; 5000];
        // Withdrawn: 4996 times 0.0.0.0/0.
        body[0..2].copy_from_slice(&4996u16.to_be_bytes());
        wire::message(kind, &body)
    };
    let mut bench = Bench::at(State::Established);
    bench.hear(&long(MessageType::Update));
    assert_eq!((bench.session.state(), bench.session.counters().prefixes_withdrawn), (State::Established, 4996));
    bench.hear(&long(MessageType::Open));
    assert_eq!(bench.ended_with(), (1, 2, vec![0x13, 0x9B]));
    let mut bench = Bench::at(State::OpenSent);
    bench.hear(&long(MessageType::Update));
    assert_eq!(bench.ended_with(), (1, 2, vec![0x13, 0x9B]), "not before the OPEN");

    let mut bench = Bench::new(90);
    bench.session.config.offers.extended_message = false;
    bench.establish(&full_open(90));
    bench.write_all();
    bench.session.poll_action();
    bench.hear(&long(MessageType::Update));
    assert_eq!(bench.ended_with(), (1, 2, vec![0x13, 0x9B]));
}

#[test]
fn a_refresh_is_answered_for_its_family_only() {
    let mut bench = Bench::new(90);
    bench.session.config.offers.enhanced_route_refresh = false;
    bench.establish(&full_open(90));
    bench.write_all();
    bench.session.set_routes(route(PREFIX), bench.now);
    bench.write_all();
    bench.hear(&wire::message(MessageType::RouteRefresh, &[0, 2, 0, 1]));
    bench.hear(&wire::message(MessageType::RouteRefresh, &[0x40, 4, 0, 71]));
    assert!(bench.write_all().is_empty());
    bench.hear(&wire::message(MessageType::RouteRefresh, &[0, 1, 0, 1]));
    let again = bench.write_all();
    assert_eq!(again.len(), 1);
    assert_eq!((&again[0][19..21], &again[0][again[0].len() - 4..]), (&[0, 0][..], &[24, 198, 51, 100][..]));
}

#[test]
fn a_neighbor_without_capabilities_gets_ipv4_in_two_octets() {
    let mut bench = Bench::new(90);
    bench.session.config.local_as = Asn::new(4_200_000_001).expect("not 0");
    let mut desired = route(PREFIX);
    desired.extend(route("2001:db8::/48"));
    bench.session.set_routes(desired, bench.now);
    bench.connect();
    assert_eq!(bench.write_all()[0][20..22], [0x5B, 0xA0], "AS_TRANS in our OPEN");
    bench.hear(&plain_open(90));
    bench.hear(&keepalive());
    let messages = bench.write_all();
    let path = [0x40, 2, 4, 2, 1, 0x5B, 0xA0];
    let as4_path = [0xC0, 17, 6, 2, 1, 0xFA, 0x56, 0xEA, 0x01];
    assert!(
        messages[1].windows(7).any(|octets| octets == path) && messages[1].windows(9).any(|octets| octets == as4_path)
    );
    assert_eq!(messages.len(), 3, "KEEPALIVE, UPDATE, one End-of-RIB");
    let reasons: Vec<_> = bench.session.unsent().values().cloned().collect();
    assert_eq!(reasons, [Unsendable::FamilyNotAccepted(Family::Ipv6Unicast)]);
}

/// What is captured are the octets that went over the wire, in both directions, over the end of the session.
#[test]
fn both_directions_are_captured() {
    let mut bench = Bench::new(90);
    bench.hear_open(&full_open(90));
    let mut said = vec![full_open(90)];
    said.extend(bench.write_all());
    bench.hear(&keepalive());
    let cease = Notification::shutdown("bye").encode();
    bench.hear(&cease);
    said.extend([keepalive(), cease]);
    let file = bench.session.capture(bench.now, SystemTime::UNIX_EPOCH);
    for message in said {
        assert!(file.windows(message.len()).any(|part| part == message), "{message:?}");
    }
}

impl Bench {
    /// A session that comes up and tells its routes; those that it told.
    fn tell(&mut self) -> Vec<Prefix> {
        while self.session.state() != State::Connect {
            self.now = self.session.poll_timeout().expect("it will dial");
            self.session.handle_timeout(self.now);
        }
        while self.session.poll_action().is_some() {}
        self.establish(&full_open(90));
        self.write_all();
        self.session.handle_unacked(0, self.now);
        let told = self.session.advertised().iter().filter(|(_, entry)| entry.progress == Progress::Acked);
        told.map(|(prefix, _)| *prefix).collect()
    }

    fn refuse(&mut self) {
        self.now += SECOND;
        self.hear(&Notification::new(3, 9, &[]).encode());
        assert_eq!(self.session.state(), State::Active);
    }
}

/// A neighbor that ends the session whenever it is told of one route loses that route and no other.
#[test]
fn the_route_for_which_the_neighbor_ends_every_session_is_held_back() {
    let (good, bad): (Prefix, Prefix) =
        (PREFIX.parse().expect("a prefix"), "203.0.113.0/24".parse().expect("a prefix"));
    let with = |med| Arc::new(Attributes { med: Some(med), ..Attributes::default() });
    let mut bench = Bench::new(90);
    bench.session.set_routes([(good, with(1)), (bad, with(2))].into(), bench.now);
    assert_eq!(bench.tell(), [good, bad]);
    bench.refuse();
    assert_eq!(bench.tell(), [good, bad]);
    bench.refuse();

    // The first of the two is on test, and is taken; so it is the other.
    assert_eq!(bench.tell(), [good]);
    bench.now = bench.session.poll_timeout().expect("the test ends");
    assert!(bench.session.unsent().get(&bad).is_some_and(|why| why.to_string().contains("held back for the moment")));
    bench.session.handle_timeout(bench.now);
    assert_eq!(bench.write_all(), Vec::<Bytes>::new());
    let why = bench.session.unsent().get(&bad).expect("it is not sent").to_string();
    assert!(why.starts_with("in quarantine") && why.contains("3/9"), "{why}");
    assert!(bench.session.quarantined().get(&bad).is_some_and(|held| held.until.is_some()));
    let events: Vec<_> = std::iter::from_fn(|| bench.session.poll_event()).collect();
    let news = events.iter().filter(|event| matches!(event, Event::Quarantine(_))).count();
    assert_eq!(news, 2, "that it is searched, and found: {events:?}");

    // It is remembered while there is no session, and its next attributes are told at once.
    bench.session.handle_closed(None, bench.now);
    assert!(bench.session.unsent().is_empty() && bench.session.quarantined().contains_key(&bad));
    assert_eq!(bench.tell(), [good]);
    bench.session.set_routes([(good, with(1)), (bad, with(3))].into(), bench.now);
    assert_eq!(bench.write_all().len(), 1);
    assert!(bench.session.quarantined().is_empty() && bench.session.unsent().is_empty());
    bench.session.set_routes([(good, with(1)), (bad, with(2))].into(), bench.now);
    let withdraw = bench.write_all();
    assert_eq!(withdraw.len(), 1, "what the neighbor must not hold is taken back: {withdraw:?}");
    assert!(bench.session.unsent().contains_key(&bad));
}

/// A global address that goes for a moment must not have the neighbor told of a next hop that it may end the session for.
#[test]
fn a_link_local_next_hop_does_not_take_the_place_of_a_global_one() {
    let (global, local) = ("2001:db8::2".parse().ok(), "fe80::2".parse().ok());
    let hops = |bench: &Bench| bench.session.next_hops().get(&Family::Ipv6Unicast).cloned();
    let mut bench = Bench::at(State::Established);
    bench.session.handle_addresses(local, local, bench.now);
    assert_eq!(hops(&bench).as_deref(), Some("fe80::2"), "there is no other");
    bench.session.handle_addresses(global, local, bench.now);
    assert_eq!(hops(&bench).as_deref(), Some("2001:db8::2"));
    bench.session.handle_addresses(local, local, bench.now);
    assert_eq!(hops(&bench), None);
    bench.session.handle_closed(None, bench.now);
    bench.pass_to_timer();
    bench.establish(&full_open(90));
    bench.session.handle_addresses(local, local, bench.now);
    assert_eq!(hops(&bench), None, "nor over the next connection");
}

#[test]
fn an_interface_that_stays_down_is_told_once() {
    let mut bench = Bench::at(State::Established);
    let mut told = 0;
    for _ in 0..5 {
        bench.session.handle_link_down("eth0", bench.now);
        bench.now = bench.session.poll_timeout().expect("another attempt");
        bench.session.handle_timeout(bench.now);
        told +=
            std::iter::from_fn(|| bench.session.poll_event()).filter(|event| matches!(event, Event::Down(_))).count();
    }
    assert_eq!(told, 1);
}

/// Only an UPDATE Message Error tells something about routes.
#[test]
fn other_ends_hold_nothing_back() {
    let mut bench = Bench::new(90);
    bench.session.set_routes(route(PREFIX), bench.now);
    for notification in [Notification::new(6, 2, &[]), Notification::new(4, 0, &[]), Notification::new(1, 1, &[])] {
        for _ in 0..3 {
            assert_eq!(bench.tell().len(), 1);
            bench.hear(&notification.encode());
        }
    }
    for _ in 0..3 {
        assert_eq!(bench.tell().len(), 1);
        bench.session.handle_closed(None, bench.now);
    }
    assert!(bench.session.quarantined().is_empty());
}
