//! Two sessions and the path between them, on a virtual clock.

use std::{
    num::{NonZeroU8, NonZeroU32},
    time::{Duration, Instant},
};

use anycast_bfd::{AuthType, Cause, Config, Diagnostic, Event, Key, Micros, Packet, Session, State};
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);

/// A change of one end's state, when it was and why.
type Change = (Instant, State, State, Cause);

struct End {
    session: Session,
    changes: Vec<Change>,
    /// When it sent, and whether that was an answer.
    sent: Vec<(Instant, bool)>,
}

impl End {
    fn new(config: Config, number: u32) -> Self {
        let discriminator = NonZeroU32::new(number).unwrap();
        Self { session: Session::new(config, discriminator, u64::from(number)), changes: Vec::new(), sent: Vec::new() }
    }
}

/// Both ends, and what is under way.
struct Pair {
    now: Instant,
    ends: [End; 2],
    /// By when a packet arrives, and at which end.
    under_way: Vec<(Instant, usize, Vec<u8>)>,
    delay: Duration,
    /// Packets are lost while this says so, by the end that sends them.
    lost: Box<dyn FnMut(usize) -> bool>,
}

fn config(interval: u32, mult: u8) -> Config {
    Config {
        desired_min_tx: Micros(interval * 1_000),
        required_min_rx: Micros(interval * 1_000),
        detect_mult: NonZeroU8::new(mult).unwrap(),
        passive: false,
        key: None,
    }
}

impl Pair {
    fn new(one: Config, other: Config) -> Self {
        Self {
            now: Instant::now(),
            ends: [End::new(one, 1), End::new(other, 2)],
            under_way: Vec::new(),
            delay: MS / 10,
            lost: Box::new(|_| false),
        }
    }

    /// Up at both ends, with the intervals agreed.
    fn up(one: Config, other: Config) -> Self {
        let mut pair = Self::new(one, other);
        pair.run(Duration::from_secs(5));
        assert_eq!(pair.states(), [State::Up, State::Up]);
        assert!(pair.ends.iter().all(|end| !end.session.is_polling()));
        pair.ends.iter_mut().for_each(|end| (end.changes, end.sent) = (Vec::new(), Vec::new()));
        pair
    }

    fn states(&self) -> [State; 2] {
        [0, 1].map(|end| self.ends[end].session.state())
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.flush();
            let timeouts = self.ends.iter().filter_map(|end| end.session.poll_timeout(self.now));
            let arrivals = self.under_way.iter().map(|(at, ..)| *at);
            match timeouts.chain(arrivals).min().filter(|at| *at <= until) {
                Some(at) => self.now = self.now.max(at),
                None => break,
            }
            // What has come is read before a timer is judged.
            let now = self.now;
            let (due, later) = std::mem::take(&mut self.under_way).into_iter().partition(|(at, ..)| *at <= now);
            self.under_way = later;
            for (_, to, octets) in due {
                let received = Packet::read(&octets).expect("it is ours");
                let _ = self.ends[to].session.handle_packet(&received, now);
            }
            self.ends.iter_mut().for_each(|end| end.session.handle_timeout(now));
        }
        self.now = until;
    }

    /// Takes what both ends have to send and to tell.
    fn flush(&mut self) {
        for number in 0..2 {
            let end = &mut self.ends[number];
            while let Some(octets) = end.session.poll_transmit(self.now) {
                let packet = Packet::read(&octets).expect("what we write we can read").packet;
                assert!(!(packet.poll && packet.is_final));
                end.sent.push((self.now, packet.is_final));
                if !(self.lost)(number) {
                    self.under_way.push((self.now + self.delay, 1 - number, octets));
                }
            }
            while let Some(event) = end.session.poll_event() {
                if let Event::Changed { from, to, cause } = event {
                    end.changes.push((self.now, from, to, cause));
                }
            }
        }
    }

    fn cut(&mut self) {
        self.lost = Box::new(|_| true);
    }

    fn mend(&mut self) {
        self.lost = Box::new(|_| false);
    }

    fn quiet(&self) -> bool {
        self.ends.iter().all(|end| end.changes.is_empty())
    }
}

#[test]
fn two_ends_find_each_other_and_speed_up() {
    let mut pair = Pair::up(config(50, 3), config(10, 5));
    for end in &pair.ends {
        assert_eq!(end.session.transmit_interval(), 50 * MS, "the slower of what one would and the other can");
    }
    assert_eq!(pair.ends[0].session.detection_time(), 5 * 50 * MS, "by the multiplier of the other end");
    assert_eq!(pair.ends[1].session.detection_time(), 3 * 50 * MS);
    pair.run(Duration::from_secs(20));
    for end in &pair.ends {
        let gaps: Vec<Duration> = end.sent.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(gaps.iter().all(|gap| *gap <= 50 * MS && *gap >= 37 * MS), "{gaps:?}");
        assert!(gaps.iter().any(|gap| *gap < 41 * MS) && gaps.iter().any(|gap| *gap > 47 * MS), "it is spread");
    }
}

#[test]
fn one_packet_of_one_is_sent_a_tenth_earlier() {
    let mut pair = Pair::up(config(50, 1), config(50, 1));
    pair.run(Duration::from_secs(20));
    assert!(pair.quiet());
    for end in &pair.ends {
        assert!(end.sent.windows(2).all(|pair| pair[1].0 - pair[0].0 <= 45 * MS));
    }
}

#[test]
fn a_path_that_is_cut_is_noticed_after_the_detection_time_and_not_before() {
    let mut pair = Pair::up(config(50, 3), config(50, 3));
    pair.cut();
    let cut = pair.now;
    pair.run(Duration::from_secs(1));
    for end in &pair.ends {
        let [(at, State::Up, State::Down, Cause::DetectionTimeExpired)] = end.changes[..] else {
            panic!("{:?}", end.changes)
        };
        assert!(at > cut + 100 * MS && at <= cut + 151 * MS, "{:?}", at - cut);
        assert_eq!(end.session.remote(), None);
    }
    // It is slow while it is not Up, and comes back.
    pair.run(Duration::from_secs(10));
    assert!(pair.ends.iter().all(|end| { end.sent.iter().filter(|(at, _)| *at > cut + 200 * MS).count() < 16 }));
    pair.mend();
    pair.run(Duration::from_secs(4));
    assert_eq!(pair.states(), [State::Up, State::Up]);
}

#[test]
fn a_path_that_works_one_way_is_down_both_ways() {
    let mut pair = Pair::up(config(50, 3), config(50, 3));
    pair.lost = Box::new(|end| end == 0);
    pair.run(Duration::from_secs(1));
    let causes = [0, 1].map(|end| pair.ends[end].changes.first().map(|change| change.3));
    assert_eq!(
        causes,
        [Some(Cause::SignaledDown(Diagnostic::DETECTION_TIME_EXPIRED)), Some(Cause::DetectionTimeExpired)],
        "the one that hears is told by the one that does not"
    );
    pair.run(Duration::from_secs(30));
    assert!(pair.states().iter().all(|state| *state != State::Up));
}

#[test]
fn admin_down_is_told_apart_from_a_fault() {
    let mut pair = Pair::up(config(50, 3), config(50, 3));
    pair.ends[0].session.set_admin_down(true);
    pair.run(10 * MS);
    assert!(matches!(pair.ends[1].changes[..], [(_, State::Up, State::Down, Cause::SignaledAdminDown)]));
    pair.run(Duration::from_secs(10));
    assert_eq!(pair.states(), [State::AdminDown, State::Down]);
    pair.ends[0].session.set_admin_down(false);
    pair.run(Duration::from_secs(4));
    assert_eq!(pair.states(), [State::Up, State::Up]);
}

/// The other end must drop what it has of us, so that is told as Down, and nothing that is heard ends it.
#[test]
fn who_is_not_fit_is_down_until_it_is() {
    let mut pair = Pair::up(config(50, 3), config(50, 3));
    pair.ends[0].session.set_suspended(true);
    pair.run(MS);
    assert!(matches!(pair.ends[1].changes[..], [(_, State::Up, State::Down, Cause::SignaledDown(_))]), "at once");
    pair.run(Duration::from_secs(30));
    assert_eq!(pair.ends[0].session.state(), State::Down);
    assert_ne!(pair.ends[1].session.state(), State::Up);
    pair.ends[0].session.set_suspended(false);
    pair.run(Duration::from_secs(4));
    assert_eq!(pair.states(), [State::Up, State::Up]);
}

#[test]
fn other_intervals_are_agreed_on_without_a_flap() {
    let mut pair = Pair::up(config(50, 3), config(50, 3));
    for (interval, mult) in [(300, 3), (10, 3), (1_000, 2), (20, 50), (50, 3)] {
        pair.ends[0].session.set_config(config(interval, mult));
        assert!(pair.ends[0].session.is_polling() || interval == 50);
        pair.run(Duration::from_secs(5));
        assert!(!pair.ends[0].session.is_polling());
        assert!(pair.quiet(), "{interval} ms");
        let slower = Duration::from_millis(u64::from(interval.max(50)));
        assert_eq!([0, 1].map(|end| pair.ends[end].session.transmit_interval()), [slower; 2]);
        assert_eq!(pair.ends[1].session.detection_time(), slower * u32::from(mult));
    }
}

/// §6.8.3: what the other end does not know yet is not in force.
#[test]
fn a_longer_interval_waits_for_the_other_end() {
    let mut pair = Pair::up(config(50, 3), config(50, 3));
    pair.cut();
    pair.ends[0].session.set_config(config(400, 3));
    pair.run(40 * MS);
    assert_eq!(pair.ends[0].session.transmit_interval(), 50 * MS, "nobody has answered");
    pair.mend();
    pair.run(100 * MS);
    assert_eq!(pair.ends[0].session.transmit_interval(), 400 * MS);
    assert!(pair.quiet());
}

#[test]
fn a_passive_end_waits_for_the_other() {
    let passive = || Config { passive: true, ..config(50, 3) };
    let mut pair = Pair::new(passive(), passive());
    pair.run(Duration::from_secs(10));
    assert!(pair.ends.iter().all(|end| end.sent.is_empty()));
    let pair = Pair::up(passive(), config(50, 3));
    drop(pair);
}

#[test]
fn keys_keep_strangers_out_and_friends_in() {
    let types = [
        AuthType::Simple,
        AuthType::KeyedMd5,
        AuthType::MeticulousKeyedMd5,
        AuthType::KeyedSha1,
        AuthType::MeticulousKeyedSha1,
    ];
    for auth_type in types {
        let with = |secret: &str| Config { key: Key::new(auth_type, 3, secret.as_bytes()).ok(), ..config(50, 3) };
        let mut pair = Pair::up(with("hunter2"), with("hunter2"));
        pair.run(Duration::from_secs(60));
        assert!(pair.quiet(), "{auth_type:?}");
        for other in [with("hunter3"), config(50, 3)] {
            let mut pair = Pair::new(with("hunter2"), other);
            pair.run(Duration::from_secs(10));
            assert_eq!(pair.states(), [State::Down, State::Down], "{auth_type:?}");
            assert!(pair.ends[0].session.counters().unauthentic > 0);
        }
    }
}

/// What is done to the pair.
#[derive(Debug, Clone)]
enum Deed {
    Wait(u64),
    Cut,
    Mend,
    Configure(usize, u32, u8),
    AdminDown(usize, bool),
    Suspend(usize, bool),
    HandOver(usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    let end = 0..2_usize;
    prop_oneof![
        4 => (1..2_000_u64).prop_map(Deed::Wait),
        1 => Just(Deed::Cut),
        1 => Just(Deed::Mend),
        2 => (end.clone(), 10..400_u32, 1..6_u8).prop_map(|(end, interval, mult)| Deed::Configure(end, interval, mult)),
        1 => (end.clone(), any::<bool>()).prop_map(|(end, down)| Deed::AdminDown(end, down)),
        1 => (end.clone(), any::<bool>()).prop_map(|(end, held)| Deed::Suspend(end, held)),
        2 => end.prop_map(Deed::HandOver),
    ]
}

fn do_it(pair: &mut Pair, deed: &Deed) {
    match *deed {
        Deed::Wait(ms) => pair.run(Duration::from_millis(ms)),
        Deed::Cut => pair.cut(),
        Deed::Mend => pair.mend(),
        Deed::Configure(end, interval, mult) => pair.ends[end].session.set_config(config(interval, mult)),
        Deed::AdminDown(end, down) => pair.ends[end].session.set_admin_down(down),
        Deed::Suspend(end, held) => pair.ends[end].session.set_suspended(held),
        Deed::HandOver(end) => {
            let session = &mut pair.ends[end].session;
            let left = session.hand_over(pair.now);
            *session = Session::take_over(session.config().clone(), &left, pair.now).expect("it is ours");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// Whatever was done, two ends that want to and can hear each other are Up soon.
    #[test]
    fn they_come_together_in_the_end(deeds in proptest::collection::vec(deed(), 0..30)) {
        let mut pair = Pair::new(config(50, 3), config(50, 3));
        deeds.iter().for_each(|deed| do_it(&mut pair, deed));
        pair.mend();
        for end in &mut pair.ends {
            end.session.set_admin_down(false);
            end.session.set_suspended(false);
        }
        // Both may have to forget the other first, by times of up to five seconds.
        pair.run(Duration::from_secs(20));
        prop_assert_eq!(pair.states(), [State::Up, State::Up]);
        prop_assert!(pair.ends.iter().all(|end| !end.session.is_polling()));
    }

    /// Nothing that is no fault takes a session down: other intervals, and other processes.
    #[test]
    fn what_is_no_fault_is_no_flap(
        deeds in proptest::collection::vec(prop_oneof![
            (1..500_u64).prop_map(Deed::Wait),
            (0..2_usize, 10..400_u32, 1..6_u8).prop_map(|(end, interval, mult)| Deed::Configure(end, interval, mult)),
            (0..2_usize).prop_map(Deed::HandOver),
        ], 0..40),
    ) {
        let mut pair = Pair::up(config(50, 3), config(50, 3));
        deeds.iter().for_each(|deed| do_it(&mut pair, deed));
        pair.run(Duration::from_secs(5));
        prop_assert!(pair.quiet(), "{:?} {:?}", pair.ends[0].changes, pair.ends[1].changes);
    }

    /// One packet less than the multiplier may be lost in a row, and no more is needed to notice.
    #[test]
    fn losses_that_are_borne(seed in any::<u64>(), mult in 2..6_u8) {
        let mut pair = Pair::up(config(50, mult), config(50, mult));
        let (mut in_a_row, mut random) = ([0; 2], seed | 1);
        pair.lost = Box::new(move |end| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let row = &mut in_a_row[end];
            *row = if random % 2 == 0 && *row + 1 < mult { *row + 1 } else { 0 };
            *row > 0
        });
        pair.run(Duration::from_secs(10));
        prop_assert!(pair.quiet(), "{:?}", pair.ends[0].changes);
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256)
}
