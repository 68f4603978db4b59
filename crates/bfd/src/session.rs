//! One session (RFC 5880 §6): packets and time go in, packets and events come out.

use std::{
    collections::VecDeque,
    num::{NonZeroU8, NonZeroU32},
    time::{Duration, Instant},
};

use crate::{
    auth::{Key, Sequences},
    packet::{Diagnostic, Micros, Packet, State},
};

mod handover;
mod poll;
mod receive;
#[cfg(test)]
mod tests;
mod transmit;

pub use self::handover::{Handover, Unfit};
use self::{poll::Poll, transmit::Random};

/// While a session is not Up it sends no more often (RFC 5880 §6.8.3).
const SLOW: Micros = Micros(1_000_000);
/// A Desired Min TX Interval of 0 is reserved, and a Required Min RX Interval of 0 would ask for silence (§4.1).
const LEAST: Micros = Micros(1);

/// What is configured of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How often we send at most while it is Up; less than a microsecond is one.
    pub desired_min_tx: Micros,
    /// How often we take packets at most; less than a microsecond is one.
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

/// A session. The order of its driver, each time that it wakes up:
///
/// 1. [`handle_packet`](Self::handle_packet) for every packet that waits in the sockets, until they have nothing more;
/// 2. [`handle_timeout`](Self::handle_timeout), with a `now` that is no later than the beginning of that reading; then it may want
///    [another discriminator](crate::Table::rename);
/// 3. [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event) until they have nothing more;
/// 4. wait for packets, but no longer than until [`poll_timeout`](Self::poll_timeout).
///
/// Packets before timeouts, because a driver that was held off for longer than the detection time finds the packets of that time in
/// the socket: the other end was not silent, we were deaf. `now` is when a packet was read. It may be later than when it came, so
/// that a fault that begins while we are held off is noticed as much later; but it never makes a fault of none. So a session need
/// not know that it is late.
///
/// Whatever is set is told by the next [`poll_transmit`](Self::poll_transmit), and `poll_timeout` says so.
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
    /// Until then a Final may be one that answers an earlier Poll Sequence.
    polls_from: Option<Instant>,
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
    /// It was, and packets that name our discriminator may be those that were recorded before.
    known_too_well: bool,
    random: u64,
    events: VecDeque<Event>,
    counters: Counters,
    measured: Measured,
    /// The interval at which that was measured.
    paced: Duration,
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
        Self { told: value, in_force: value }
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
        let sequences = Sequences { transmitted: random.next() as u32, received: None };
        Self {
            local_discriminator,
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            suspended: false,
            remote: Remote::UNKNOWN,
            tx: Interval::both(config.desired_min_tx.max(SLOW)),
            rx: Interval::both(config.required_min_rx.max(LEAST)),
            poll: None,
            polls_from: None,
            final_due: false,
            sequences,
            said: None,
            sent: None,
            heard: None,
            forget_sequence: None,
            known_too_well: false,
            random: random.0,
            events: VecDeque::new(),
            counters: Counters::default(),
            measured: Measured::default(),
            paced: Duration::ZERO,
            config,
        }
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Takes the session down for whoever operates this end, or lets it begin anew (§6.8.16).
    pub fn set_admin_down(&mut self, down: bool) {
        match (down, self.state) {
            (true, State::Down | State::Init | State::Up) => {
                self.go(State::AdminDown, Diagnostic::ADMINISTRATIVELY_DOWN, Cause::Administrative);
            }
            (false, State::AdminDown) => {
                self.go(State::Down, Diagnostic::NONE, Cause::Administrative);
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
        self.heard.map(|_| (self.remote.state, self.remote.diagnostic))
    }

    /// Our name for the session, and the other end's (0: unknown).
    #[must_use]
    pub const fn discriminators(&self) -> (NonZeroU32, u32) {
        (self.local_discriminator, self.remote.discriminator)
    }

    /// Whether it is to have [another discriminator](Self::rename): the other end is gone for so long that its sequence number is
    /// forgotten (§6.7.3), and whoever has recorded what it said could say it again. What names another discriminator is not taken.
    #[must_use]
    pub const fn is_known_too_well(&self) -> bool {
        self.known_too_well && self.heard.is_none() && matches!(self.state, State::Down)
    }

    /// Goes on under another discriminator, as one that nobody has met may (§6.8.1).
    pub(crate) const fn rename(&mut self, discriminator: NonZeroU32) {
        self.local_discriminator = discriminator;
        self.known_too_well = false;
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
