//! What is known of a session.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use anycast_bfd::{Counters, Diagnostic, Discard, Measured, State};

/// What is to be known of a session outside of its thread. Those who wait for a change are woken for what the neighbor's session may
/// depend on; counts and measurements are as of a second ago.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) state: State,
    /// Why it changed last, as we tell it.
    pub(crate) diagnostic: Diagnostic,
    pub(crate) since: SystemTime,
    /// What the other end says of itself, while it is heard, or has said last if that was AdminDown.
    pub(crate) remote: Option<(State, Diagnostic)>,
    /// How often the path was lost: it went from Up to Down, and that by nobody's will.
    pub(crate) losses: u64,
    /// The same since whoever is told of it began to be.
    pub(crate) lost: u64,
    /// The last loss, in words, and when.
    pub(crate) last_loss: Option<(String, SystemTime)>,
    /// How long the other end had been silent when its silence was last noticed.
    pub(crate) last_detection: Option<Duration>,
    /// Ours and theirs; 0: unknown.
    pub(crate) discriminators: (u32, u32),
    /// Both ends, ours first; `None`: there is no socket.
    pub(crate) ends: Option<(IpAddr, IpAddr)>,
    /// The number of the interface that packets are to come by, where that is known.
    pub(crate) interface: Option<u32>,
    pub(crate) multihop: bool,
    /// Between two packets of ours, before the jitter, as it is in force.
    pub(crate) transmit_interval: Duration,
    /// Between two packets of theirs, at most, as it is in force.
    pub(crate) receive_interval: Duration,
    /// How long they may be silent; zero before they were heard.
    pub(crate) detection_time: Duration,
    /// How long we may be silent for them.
    pub(crate) remote_detection_time: Duration,
    pub(crate) measured: Measured,
    pub(crate) counters: Counters,
    /// What the other end said last of itself, however long ago.
    pub(crate) last_word: Option<(State, Diagnostic)>,
    /// Why a packet of the other end's address was last discarded, the same in words, and when.
    pub(crate) discarded: Option<(Discard, String, SystemTime)>,
    /// Why there is no session, where that is our fault.
    pub(crate) problem: Option<String>,
}

impl Seen {
    /// What stays to be known of a session that is over.
    pub(crate) fn over(self) -> Self {
        let last_word = self.admin_down();
        let Self { losses, last_loss, last_detection, .. } = self;
        Self { losses, last_loss, last_detection, last_word, ..Self::default() }
    }

    /// What the other end said last, if that was that it is taken down: it need not say so again (RFC 5880 §6.8.16), to nobody.
    pub(crate) fn admin_down(&self) -> Option<(State, Diagnostic)> {
        self.last_word.filter(|(state, _)| *state == State::AdminDown)
    }
}

impl Default for Seen {
    /// Before there is a session.
    fn default() -> Self {
        Self {
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            since: SystemTime::now(),
            remote: None,
            losses: 0,
            lost: 0,
            last_loss: None,
            last_detection: None,
            discriminators: (0, 0),
            ends: None,
            interface: None,
            multihop: false,
            transmit_interval: Duration::ZERO,
            receive_interval: Duration::ZERO,
            detection_time: Duration::ZERO,
            remote_detection_time: Duration::ZERO,
            measured: Measured::default(),
            counters: Counters::default(),
            last_word: None,
            discarded: None,
            problem: None,
        }
    }
}
