//! One session (RFC 5880 §6): packets and time go in, packets and events come out.

use std::{
    collections::VecDeque,
    num::{NonZeroU8, NonZeroU32},
    time::{Duration, Instant},
};

use crate::{
    auth::{Key, Sequences, Unauthentic},
    packet::{Diagnostic, Micros, Packet, Received, State},
};

mod handover;
mod poll;

pub use self::handover::{Handover, Unfit};
use self::poll::Poll;

/// While a session is not Up it sends no more often (RFC 5880 §6.8.3).
const SLOW: Micros = Micros(1_000_000);

/// What is configured of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How often we send at most while it is Up.
    pub desired_min_tx: Micros,
    /// How often we take packets at most.
    pub required_min_rx: Micros,
    /// Without so many of ours in a row the other end takes us for gone.
    pub detect_mult: NonZeroU8,
    /// We do not speak before the other end has (§6.1).
    pub passive: bool,
    /// What authenticates packets.
    pub key: Option<Key>,
}

/// Why a session's state is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Both ends hear each other, or begin to.
    Heard,
    /// The other end was not heard for the detection time.
    DetectionTimeExpired,
    /// The other end does not hear us, or gives this reason.
    SignaledDown(Diagnostic),
    /// Who operates the other end has taken its session down: that says nothing of the path (RFC 5882 §3.2).
    SignaledAdminDown,
    /// Whoever operates this end.
    Administrative,
    /// We are not fit to be sent to.
    Suspended,
}

/// What a session has to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Its state is another.
    Changed {
        /// What it was.
        from: State,
        /// What it is.
        to: State,
        /// Why.
        cause: Cause,
    },
    /// The other end has taken note of our intervals.
    Agreed,
}

/// Counts of a session, since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Counters {
    /// Packets that were taken.
    pub received: u64,
    /// Packets that were sent.
    pub transmitted: u64,
    /// Packets that were not authentic.
    pub unauthentic: u64,
    /// How often it went from Up to another state.
    pub flaps: u64,
}

/// A session. Call [`handle_packet`](Self::handle_packet) and [`handle_timeout`](Self::handle_timeout) as things happen, then
/// [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event) until they have nothing more, then wait until
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Session {
    config: Config,
    local_discriminator: NonZeroU32,
    state: State,
    diagnostic: Diagnostic,
    /// It stays Down whatever is heard.
    suspended: bool,
    remote: Remote,
    /// What our packets say, and what of it is in force.
    tx: Interval,
    rx: Interval,
    poll: Option<Poll>,
    final_due: bool,
    sequences: Sequences,
    /// What was said last, without Poll and Final.
    said: Option<Packet>,
    /// When the last packet that was due was sent, and which part of the interval lies between it and the next, in 1/1024.
    sent: Option<(Instant, u32)>,
    /// When the other end was last heard; not at all, once it is forgotten.
    heard: Option<Instant>,
    /// When its sequence number is forgotten.
    forget_sequence: Option<Instant>,
    random: u64,
    events: VecDeque<Event>,
    counters: Counters,
    measured: Measured,
}

/// What the other end says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Remote {
    discriminator: u32,
    state: State,
    diagnostic: Diagnostic,
    demand: bool,
    detect_mult: u8,
    desired_min_tx: Micros,
    required_min_rx: Micros,
}

impl Remote {
    /// §6.8.1.
    const UNKNOWN: Self = Self {
        discriminator: 0,
        state: State::Down,
        diagnostic: Diagnostic::NONE,
        demand: false,
        detect_mult: 0,
        desired_min_tx: Micros(0),
        required_min_rx: Micros(1),
    };
}

/// One of our intervals: it is told first, and in force once that cannot surprise the other end (§6.8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interval {
    told: Micros,
    in_force: Micros,
}

impl Interval {
    const fn both(value: Micros) -> Self {
        Self {
            told: value,
            in_force: value,
        }
    }
}

/// How packets of the other end come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measured {
    /// The smoothed time between two packets (a gain of 1/8).
    pub interval: Option<Duration>,
    /// The longest time between two of them since the session is Up.
    pub longest: Duration,
}

impl Session {
    /// It begins Down. `local_discriminator` is unique on this system, and `seed` is random: two systems that begin together do not
    /// send together.
    #[must_use]
    pub fn new(config: Config, local_discriminator: NonZeroU32, seed: u64) -> Self {
        let mut random = Random(seed);
        let sequences = Sequences {
            transmitted: random.next() as u32,
            received: None,
        };
        Self {
            local_discriminator,
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            suspended: false,
            remote: Remote::UNKNOWN,
            tx: Interval::both(config.desired_min_tx.max(SLOW)),
            rx: Interval::both(config.required_min_rx),
            poll: None,
            final_due: false,
            sequences,
            said: None,
            sent: None,
            heard: None,
            forget_sequence: None,
            random: random.0,
            events: VecDeque::new(),
            counters: Counters::default(),
            measured: Measured::default(),
            config,
        }
    }

    /// Takes a packet that was found to be for this session: by its Your Discriminator, or, where that is 0, by where it came from.
    ///
    /// # Errors
    /// It is not authentic; nothing has changed but a count.
    pub fn handle_packet(
        &mut self,
        received: &Received<'_>,
        now: Instant,
    ) -> Result<(), Unauthentic> {
        let mult = self.config.detect_mult.get();
        // §6.8.6: authentication first.
        self.sequences
            .verify(
                self.config.key.as_ref(),
                received.authentication,
                received.octets,
                mult,
            )
            .inspect_err(|_| self.counters.unauthentic += 1)?;
        self.counters.received += 1;
        self.measure(now);
        let packet = &received.packet;
        self.remote = Remote {
            discriminator: packet.my_discriminator.get(),
            state: packet.state,
            diagnostic: packet.diagnostic,
            demand: packet.demand,
            detect_mult: packet.detect_mult,
            desired_min_tx: packet.desired_min_tx,
            required_min_rx: packet.required_min_rx,
        };
        if packet.is_final {
            self.handle_final();
        }
        self.heard = Some(now);
        self.forget_sequence = Some(now + self.detection_time() * 2);
        // §6.8.6: in AdminDown nothing more is done with it.
        if self.state == State::AdminDown {
            return Ok(());
        }
        self.step();
        self.final_due |= packet.poll;
        Ok(())
    }

    /// The state machine (§6.2, §6.8.6), after a packet.
    fn step(&mut self) {
        let signaled = Cause::SignaledDown(self.remote.diagnostic);
        match (self.state, self.remote.state) {
            (State::AdminDown, _) => {}
            // Not AdminDown, which would tell the other end that the path is well.
            _ if self.suspended => {}
            (State::Init | State::Up, State::AdminDown) => {
                self.go(
                    State::Down,
                    Diagnostic::NEIGHBOR_SIGNALED_DOWN,
                    Cause::SignaledAdminDown,
                );
            }
            (State::Down, State::Down) => self.go(State::Init, self.diagnostic, Cause::Heard),
            (State::Down, State::Init) => self.go(State::Up, Diagnostic::NONE, Cause::Heard),
            (State::Init, State::Init | State::Up) => {
                self.go(State::Up, Diagnostic::NONE, Cause::Heard)
            }
            (State::Up, State::Down) => {
                self.go(State::Down, Diagnostic::NEIGHBOR_SIGNALED_DOWN, signaled)
            }
            (State::Down, State::AdminDown | State::Up)
            | (State::Init, State::Down)
            | (State::Up, State::Init | State::Up) => {}
        }
    }

    fn go(&mut self, to: State, diagnostic: Diagnostic, cause: Cause) {
        let from = self.state;
        self.diagnostic = diagnostic;
        if from == to {
            return;
        }
        if from == State::Up {
            self.counters.flaps += 1;
        }
        self.state = to;
        self.measured.longest = Duration::ZERO;
        self.settle_intervals();
        self.events.push_back(Event::Changed { from, to, cause });
    }

    /// Does what its time has come for.
    pub fn handle_timeout(&mut self, now: Instant) {
        // §6.7.3: twice the detection time.
        if self.forget_sequence.is_some_and(|at| at <= now) {
            (self.forget_sequence, self.sequences.received) = (None, None);
        }
        if self.detection_at().is_some_and(|at| at <= now) {
            // §6.8.1: a session that is heard anew may be another one.
            self.remote = Remote::UNKNOWN;
            self.heard = None;
            self.measured.interval = None;
            match self.state {
                // §6.8.4.
                State::Init | State::Up => {
                    self.go(
                        State::Down,
                        Diagnostic::DETECTION_TIME_EXPIRED,
                        Cause::DetectionTimeExpired,
                    );
                }
                State::AdminDown | State::Down => {}
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) or [`poll_transmit`](Self::poll_transmit) has something to do; `None`: not
    /// before something happens.
    #[must_use]
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let transmit = self
            .transmits()
            .then(|| self.next_transmit().unwrap_or(now));
        [transmit, self.detection_at(), self.forget_sequence]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next packet, if one is due.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        // §6.8.7: the answer to a Poll does not wait, and is not one of those that are due.
        if std::mem::take(&mut self.final_due) && self.remote.discriminator != 0 {
            return Some(self.write(true));
        }
        if !self.transmits() {
            return None;
        }
        let news = self.said != Some(self.packet());
        if !news && self.next_transmit().is_some_and(|at| at > now) {
            return None;
        }
        let part = self.part();
        self.sent = Some((now, part));
        Some(self.write(false))
    }

    /// Whether packets are sent that nobody asked for (§6.8.7).
    fn transmits(&self) -> bool {
        let unknown = self.remote.discriminator == 0;
        // §6.6: the other end has asked for silence.
        let demand =
            self.remote.demand && self.state == State::Up && self.remote.state == State::Up;
        !(self.config.passive && unknown)
            && self.remote.required_min_rx.0 > 0
            && !(demand && self.poll.is_none() && self.said == Some(self.packet()))
    }

    fn next_transmit(&self) -> Option<Instant> {
        let (at, part) = self.sent?;
        Some(at + self.transmit_interval() * part / 1024)
    }

    /// §6.8.7: 75 to 100 % of the interval lie between two packets, 75 to 90 % where one that is lost is one too many.
    fn part(&mut self) -> u32 {
        let most = if self.config.detect_mult.get() == 1 {
            921
        } else {
            1024
        };
        let mut random = Random(self.random);
        let part = 768 + u32::try_from(random.next() % (most - 768 + 1)).unwrap_or_default();
        self.random = random.0;
        part
    }

    /// All that is said, but for Poll and Final.
    fn packet(&self) -> Packet {
        Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: false,
            is_final: false,
            // We share the fate of the agent.
            control_plane_independent: false,
            demand: false,
            detect_mult: self.config.detect_mult.get(),
            my_discriminator: self.local_discriminator,
            your_discriminator: self.remote.discriminator,
            desired_min_tx: self.tx.told,
            required_min_rx: self.rx.told,
            // No echoes are answered.
            required_min_echo_rx: Micros(0),
        }
    }

    fn write(&mut self, is_final: bool) -> Vec<u8> {
        let packet = self.packet();
        let changed = self.said.replace(packet) != Some(packet);
        self.counters.transmitted += 1;
        // §6.5: never both.
        let packet = Packet {
            poll: self.poll.is_some() && !is_final,
            is_final,
            ..packet
        };
        self.sequences
            .write(&packet, self.config.key.as_ref(), changed)
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Takes the session down for whoever operates this end, or lets it begin anew (§6.8.16).
    pub fn set_admin_down(&mut self, down: bool) {
        match (down, self.state) {
            (true, State::Down | State::Init | State::Up) => {
                self.go(
                    State::AdminDown,
                    Diagnostic::ADMINISTRATIVELY_DOWN,
                    Cause::Administrative,
                );
            }
            (false, State::AdminDown) => {
                self.go(State::Down, Diagnostic::NONE, Cause::Administrative)
            }
            (true, State::AdminDown) | (false, State::Down | State::Init | State::Up) => {}
        }
    }

    /// Holds the session Down while we are not fit to be sent to, or lets it go on. The other end drops what it has of us, as it would
    /// not for AdminDown (RFC 5882 §3.2).
    pub fn set_suspended(&mut self, suspended: bool) {
        self.suspended = suspended;
        if suspended && matches!(self.state, State::Init | State::Up) {
            // §6.8.17 has this for what is known by other means than packets.
            self.go(State::Down, Diagnostic::PATH_DOWN, Cause::Suspended);
        }
    }

    /// Between two packets of ours, before the jitter (§6.8.7).
    #[must_use]
    pub fn transmit_interval(&self) -> Duration {
        self.tx.in_force.max(self.remote.required_min_rx).duration()
    }

    /// How long the other end may be silent before it is taken for gone (§6.8.4); zero before it was heard.
    #[must_use]
    pub fn detection_time(&self) -> Duration {
        self.rx.in_force.max(self.remote.desired_min_tx).duration()
            * u32::from(self.remote.detect_mult)
    }

    /// How long we may be silent before the other end takes us for gone, as far as we know.
    #[must_use]
    pub fn remote_detection_time(&self) -> Duration {
        let told = self
            .tx
            .told
            .max(self.tx.in_force)
            .max(self.remote.required_min_rx);
        told.duration() * u32::from(self.config.detect_mult.get())
    }

    fn detection_at(&self) -> Option<Instant> {
        self.heard.map(|at| at + self.detection_time())
    }

    fn measure(&mut self, now: Instant) {
        let Some(gap) = self.heard.map(|at| now.saturating_duration_since(at)) else {
            return;
        };
        let smoothed = self
            .measured
            .interval
            .map_or(gap, |before| (before * 7 + gap) / 8);
        self.measured.interval = Some(smoothed);
        if self.state == State::Up {
            self.measured.longest = self.measured.longest.max(gap);
        }
    }

    /// The state.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Why it changed last.
    #[must_use]
    pub const fn diagnostic(&self) -> Diagnostic {
        self.diagnostic
    }

    /// The other end's state and why it changed last, as it says; `None` before it was heard, and once it is not any more.
    #[must_use]
    pub fn remote(&self) -> Option<(State, Diagnostic)> {
        self.heard
            .map(|_| (self.remote.state, self.remote.diagnostic))
    }

    /// Our name for the session, and the other end's (0: unknown).
    #[must_use]
    pub const fn discriminators(&self) -> (NonZeroU32, u32) {
        (self.local_discriminator, self.remote.discriminator)
    }

    /// The counts.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// How packets come.
    #[must_use]
    pub const fn measured(&self) -> Measured {
        self.measured
    }

    /// What is configured.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }
}

/// SplitMix64: spread, not secret.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
