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
    poll: Option<PollLeft>,
    /// How long no Poll is to be sent yet.
    polls_from: Option<Duration>,
    final_due: bool,
    sequences: Sequences,
    sent: Option<(Duration, u32)>,
    heard: Option<Duration>,
    /// In what time.
    forget_sequence: Option<Duration>,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct PollLeft {
    sent: Option<(Duration, Duration)>,
    ambiguous: bool,
}

/// What was handed over is no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no state of a BFD session: {0}")]
pub struct Unfit(&'static str);

impl Session {
    /// As it is at this moment; what [`poll_event`](Session::poll_event) has not told yet stays here.
    #[must_use]
    pub fn hand_over(&self, now: Instant) -> Handover {
        let Remote { discriminator, state, diagnostic, demand, detect_mult, desired_min_tx, required_min_rx } =
            self.remote;
        let ago = |at: Instant| now.saturating_duration_since(at);
        let ahead = |at: Instant| at.saturating_duration_since(now);
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
            poll: self.poll.map(|Poll { sent, ambiguous }| PollLeft {
                sent: sent.map(|(first, last)| (ago(first), ago(last))),
                ambiguous,
            }),
            polls_from: self.polls_from.map(ahead),
            final_due: self.final_due,
            sequences: self.sequences,
            sent: self.sent.map(|(at, part)| (ago(at), part)),
            heard: self.heard.map(ago),
            forget_sequence: self.forget_sequence.map(ahead),
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
        let state = |bits: u8| (bits < 4).then(|| State::from_bits(bits)).ok_or(Unfit("its state"));
        let remote = left.remote;
        let back = |ago: Duration| at.checked_sub(ago).unwrap_or(at);
        let ahead = |left: Duration| at.checked_add(left);
        let interval = |(told, in_force)| Interval { told: Micros(told), in_force: Micros(in_force) };
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
            poll: left.poll.map(|PollLeft { sent, ambiguous }| Poll {
                sent: sent.map(|(first, last)| (back(first), back(last))),
                ambiguous,
            }),
            polls_from: left.polls_from.and_then(ahead),
            final_due: left.final_due,
            sequences: left.sequences,
            // Said again: what was said last may not have left.
            said: None,
            sent: left.sent.map(|(ago, part)| (back(ago), part)),
            heard: left.heard.map(back),
            forget_sequence: left.forget_sequence.and_then(ahead),
            random: left.random,
            events: VecDeque::new(),
            counters: left.counters,
            measured: Measured { interval: left.interval, longest: left.longest },
            known_too_well: false,
            paced: Duration::ZERO,
        };
        let met = session.heard.is_some() && session.remote.discriminator != 0;
        if matches!(session.state, State::Init | State::Up) && !met {
            return Err(Unfit("Init or Up without the other end"));
        }
        session.settle_intervals();
        session.paced = session.receive_interval();
        Ok(session)
    }
}
