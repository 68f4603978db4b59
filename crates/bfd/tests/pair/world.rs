//! Both ends, their clocks and their links.

use std::{
    num::{NonZeroU8, NonZeroU32},
    time::{Duration, Instant},
};

use anycast_bfd::{Cause, Config, Event, Micros, Packet, Session, State};

pub(crate) const MS: Duration = Duration::from_millis(1);

/// A change of one end's state, when it was and why.
pub(crate) type Change = (Instant, State, State, Cause);

pub(crate) struct End {
    pub(crate) session: Session,
    pub(crate) changes: Vec<Change>,
    /// When it sent, and whether that was an answer.
    pub(crate) sent: Vec<(Instant, bool)>,
    begin: Instant,
    /// By how many parts in a million its clock is fast.
    pub(crate) fast: i32,
    /// When the last packet to it that keeps the order arrives.
    last_arrival: Instant,
}

impl End {
    fn new(config: Config, number: u32, begin: Instant) -> Self {
        let discriminator = NonZeroU32::new(number).expect("it fits");
        Self {
            session: Session::new(config, discriminator, u64::from(number)),
            changes: Vec::new(),
            sent: Vec::new(),
            begin,
            fast: 0,
            last_arrival: begin,
        }
    }

    const fn rate(&self) -> u128 {
        (1_000_000 + self.fast as i128) as u128
    }

    /// What its clock says at this time.
    pub(crate) fn clock(&self, now: Instant) -> Instant {
        let nanos = (now - self.begin).as_nanos() * self.rate() / 1_000_000;
        self.begin + Duration::from_nanos(u64::try_from(nanos).expect("it fits"))
    }

    /// When its clock says this.
    fn time(&self, clock: Instant) -> Instant {
        let nanos = (clock - self.begin).as_nanos() * 1_000_000;
        self.begin + Duration::from_nanos(u64::try_from(nanos.div_ceil(self.rate())).expect("it fits"))
    }
}

/// What happens to packets that are not lost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) delay: Duration,
    /// So much longer at most, by chance.
    pub(crate) spread: Duration,
    /// None overtakes another.
    pub(crate) in_order: bool,
    /// So many of a hundred come twice.
    pub(crate) twice: u64,
}

impl Link {
    pub(crate) const GOOD: Self =
        Self { delay: Duration::from_micros(100), spread: Duration::ZERO, in_order: true, twice: 0 };
}

/// Both ends, and what is under way.
pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) ends: [End; 2],
    /// By when a packet arrives, and at which end.
    under_way: Vec<(Instant, usize, Vec<u8>)>,
    /// What was under way since somebody began to listen, and to whom.
    pub(crate) recorded: Option<Vec<(usize, Vec<u8>)>>,
    pub(crate) link: Link,
    random: Chance,
    /// Packets are lost while this says so, by the end that sends them.
    pub(crate) lost: Box<dyn FnMut(usize) -> bool>,
}

pub(crate) fn config(interval: u32, mult: u8) -> Config {
    Config {
        desired_min_tx: Micros(interval * 1_000),
        required_min_rx: Micros(interval * 1_000),
        detect_mult: NonZeroU8::new(mult).expect("it fits"),
        passive: false,
        key: None,
    }
}

impl Pair {
    pub(crate) fn new(one: Config, other: Config) -> Self {
        let now = Instant::now();
        Self {
            now,
            ends: [End::new(one, 1, now), End::new(other, 2, now)],
            under_way: Vec::new(),
            recorded: None,
            link: Link::GOOD,
            random: Chance::new(1),
            lost: Box::new(|_| false),
        }
    }

    /// Up at both ends, with the intervals agreed.
    pub(crate) fn up(one: Config, other: Config) -> Self {
        let mut pair = Self::new(one, other);
        pair.run(Duration::from_secs(5));
        assert_eq!(pair.states(), [State::Up, State::Up]);
        assert!(pair.ends.iter().all(|end| !end.session.is_polling()));
        pair.ends.iter_mut().for_each(|end| (end.changes, end.sent) = (Vec::new(), Vec::new()));
        pair
    }

    /// With clocks that are fast by so many parts in a million, and chance from this number.
    pub(crate) fn with(mut self, fast: [i32; 2], seed: u64) -> Self {
        let now = self.now;
        for (end, fast) in self.ends.iter_mut().zip(fast) {
            // What it has seen stays where it was.
            (end.begin, end.fast) = (now, fast);
        }
        self.random = Chance::new(seed);
        self
    }

    pub(crate) fn states(&self) -> [State; 2] {
        [0, 1].map(|end| self.ends[end].session.state())
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.flush();
            let timeouts = self.ends.iter().filter_map(|end| {
                let clock = end.session.poll_timeout(end.clock(self.now))?;
                Some(end.time(clock))
            });
            let arrivals = self.under_way.iter().map(|(at, ..)| *at);
            match timeouts.chain(arrivals).min().filter(|at| *at <= until) {
                Some(at) => self.now = self.now.max(at),
                None => break,
            }
            self.wake();
        }
        self.now = until;
    }

    /// What has come is read before a timer is judged.
    fn wake(&mut self) {
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.under_way).into_iter().partition(|(at, ..)| *at <= now);
        self.under_way = later;
        for (_, to, octets) in due {
            let received = Packet::read(&octets).expect("it is ours");
            let end = &mut self.ends[to];
            let clock = end.clock(now);
            let _ = end.session.handle_packet(&received, clock);
        }
        for end in &mut self.ends {
            let clock = end.clock(now);
            end.session.handle_timeout(clock);
        }
    }

    /// Takes what both ends have to send and to tell.
    fn flush(&mut self) {
        for number in 0..2 {
            let clock = self.ends[number].clock(self.now);
            while let Some(octets) = self.ends[number].session.poll_transmit(clock) {
                let packet = Packet::read(&octets).expect("what we write we can read").packet;
                assert!(!(packet.poll && packet.is_final));
                self.ends[number].sent.push((self.now, packet.is_final));
                if !(self.lost)(number) {
                    self.carry(1 - number, octets);
                }
            }
            self.flush_events(number);
        }
    }

    pub(crate) fn flush_events(&mut self, number: usize) {
        let end = &mut self.ends[number];
        while let Some(event) = end.session.poll_event() {
            if let Event::Changed { from, to, cause } = event {
                end.changes.push((self.now, from, to, cause));
            }
        }
    }

    /// Sends again what was recorded.
    pub(crate) fn replay(&mut self) {
        let recorded = self.recorded.iter().flatten();
        self.under_way.extend(recorded.map(|(to, octets)| (self.now, *to, octets.clone())));
    }

    /// One end is another process that knows nothing of the one before.
    pub(crate) fn restart(&mut self, end: usize, number: u32) {
        let config = self.ends[end].session.config().clone();
        self.ends[end] = End::new(config, number, self.now);
    }

    fn carry(&mut self, to: usize, octets: Vec<u8>) {
        if let Some(recorded) = &mut self.recorded {
            recorded.push((to, octets.clone()));
        }
        let copies = 1 + u64::from(self.random.of(100) < self.link.twice);
        for _ in 0..copies {
            let spread = u64::try_from(self.link.spread.as_nanos()).expect("it fits");
            let late = Duration::from_nanos(self.random.of(spread + 1));
            let mut at = self.now + self.link.delay + late;
            if self.link.in_order {
                at = at.max(self.ends[to].last_arrival);
                self.ends[to].last_arrival = at;
            }
            self.under_way.push((at, to, octets.clone()));
        }
    }

    pub(crate) fn cut(&mut self) {
        self.lost = Box::new(|_| true);
    }

    pub(crate) fn mend(&mut self) {
        self.lost = Box::new(|_| false);
    }

    pub(crate) fn quiet(&self) -> bool {
        self.ends.iter().all(|end| end.changes.is_empty())
    }
}

/// Xorshift.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// One of the numbers below this.
    pub(crate) const fn of(&mut self, numbers: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % numbers
    }
}
