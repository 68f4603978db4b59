//! A session goes to another process, and on as if nothing had been.

use std::{
    collections::VecDeque,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{Config, Counters, Interval, Measured, Poll, Remote, Sequences, Session};
use crate::packet::{Diagnostic, Micros, State};

/// All of a session but its configuration, with times as how long ago they were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    local_discriminator: NonZeroU32,
    state: u8,
    diagnostic: u8,
    #[serde(default)]
    suspended: bool,
    remote: RemoteLeft,
    /// What is told of our intervals and what is in force, in microseconds.
    tx: (u32, u32),
    rx: (u32, u32),
    /// What is asked to be acknowledged.
    poll: Option<(u32, u32)>,
    final_due: bool,
    sequences: Sequences,
    sent: Option<(Duration, u32)>,
    heard: Option<Duration>,
    random: u64,
    counters: Counters,
    #[serde(default)]
    interval: Option<Duration>,
    #[serde(default)]
    longest: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct RemoteLeft {
    discriminator: u32,
    state: u8,
    diagnostic: u8,
    demand: bool,
    detect_mult: u8,
    desired_min_tx: u32,
    required_min_rx: u32,
}

/// What was handed over is no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no state of a BFD session: {0}")]
pub struct Unfit(&'static str);

impl Session {
    /// As it is at this moment.
    #[must_use]
    pub fn hand_over(&self, now: Instant) -> Handover {
        let Remote {
            discriminator,
            state,
            diagnostic,
            demand,
            detect_mult,
            desired_min_tx,
            required_min_rx,
        } = self.remote;
        let ago = |at: Instant| now.saturating_duration_since(at);
        Handover {
            local_discriminator: self.local_discriminator,
            state: self.state.to_bits(),
            diagnostic: self.diagnostic.code(),
            suspended: self.suspended,
            remote: RemoteLeft {
                discriminator,
                state: state.to_bits(),
                diagnostic: diagnostic.code(),
                demand,
                detect_mult,
                desired_min_tx: desired_min_tx.0,
                required_min_rx: required_min_rx.0,
            },
            tx: (self.tx.told.0, self.tx.in_force.0),
            rx: (self.rx.told.0, self.rx.in_force.0),
            poll: self.poll.map(|poll| (poll.tx.0, poll.rx.0)),
            final_due: self.final_due,
            sequences: self.sequences,
            sent: self.sent.map(|(at, part)| (ago(at), part)),
            heard: self.heard.map(ago),
            random: self.random,
            counters: self.counters,
            interval: self.measured.interval,
            longest: self.measured.longest,
        }
    }

    /// Goes on with a session that was so at `at`. Another configuration is told as any other change is.
    ///
    /// # Errors
    /// It is none that a session can be in.
    pub fn take_over(config: Config, left: &Handover, at: Instant) -> Result<Self, Unfit> {
        let state = |bits: u8| {
            (bits < 4)
                .then(|| State::from_bits(bits))
                .ok_or(Unfit("its state"))
        };
        let remote = left.remote;
        let back = |ago: Duration| at.checked_sub(ago).unwrap_or(at);
        let interval = |(told, in_force)| Interval {
            told: Micros(told),
            in_force: Micros(in_force),
        };
        if left.sent.is_some_and(|(_, part)| part > 1024) {
            return Err(Unfit("its jitter"));
        }
        let mut session = Self {
            config,
            local_discriminator: left.local_discriminator,
            state: state(left.state)?,
            diagnostic: Diagnostic::new(left.diagnostic),
            suspended: left.suspended,
            remote: Remote {
                discriminator: remote.discriminator,
                state: state(remote.state)?,
                diagnostic: Diagnostic::new(remote.diagnostic),
                demand: remote.demand,
                detect_mult: remote.detect_mult,
                desired_min_tx: Micros(remote.desired_min_tx),
                required_min_rx: Micros(remote.required_min_rx),
            },
            tx: interval(left.tx),
            rx: interval(left.rx),
            poll: left.poll.map(|(tx, rx)| Poll {
                tx: Micros(tx),
                rx: Micros(rx),
            }),
            final_due: left.final_due,
            sequences: left.sequences,
            // Said again: what was said last may not have left.
            said: None,
            sent: left.sent.map(|(ago, part)| (back(ago), part)),
            heard: left.heard.map(back),
            forget_sequence: None,
            random: left.random,
            events: VecDeque::new(),
            counters: left.counters,
            measured: Measured {
                interval: left.interval,
                longest: left.longest,
            },
        };
        session.forget_sequence = session.heard.map(|at| at + session.detection_time() * 2);
        session.settle_intervals();
        Ok(session)
    }
}
