//! What a packet does, and what no packet does (RFC 5880 §6.2, §6.8.4, §6.8.6).

use std::time::{Duration, Instant};

use super::{Cause, Event, Remote, Session};
use crate::{
    auth::Unauthentic,
    packet::{Diagnostic, Received, State},
};

impl Session {
    /// Takes a packet that was found to be for this session: by its Your Discriminator, or, where that is 0, by where it came from.
    ///
    /// # Errors
    /// It is not authentic; nothing has changed but a count.
    pub fn handle_packet(&mut self, received: &Received<'_>, now: Instant) -> Result<(), Unauthentic> {
        // §6.8.6: authentication first.
        self.sequences.verify(self.config.key.as_ref(), received).inspect_err(|_| self.counters.unauthentic += 1)?;
        self.counters.received += 1;
        let packet = &received.packet;
        self.measure(!packet.poll && !packet.is_final, now);
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
            self.handle_final(now);
        }
        // A clock that went back must not shorten the detection time.
        let heard = self.heard.map_or(now, |before| before.max(now));
        self.heard = Some(heard);
        self.forget_sequence = self.sequences.received.map(|_| heard + self.detection_time() * 2);
        // §6.8.6: in AdminDown nothing more is done with it, and no Poll is answered. (It is heard all the same: §6.8.1 has the other
        // end's discriminator forgotten only after a detection time without valid packets.)
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
                self.go(State::Down, Diagnostic::NEIGHBOR_SIGNALED_DOWN, Cause::SignaledAdminDown);
            }
            (State::Down, State::Down) => self.go(State::Init, self.diagnostic, Cause::Heard),
            (State::Down, State::Init) => self.go(State::Up, Diagnostic::NONE, Cause::Heard),
            (State::Init, State::Init | State::Up) => {
                self.go(State::Up, Diagnostic::NONE, Cause::Heard);
            }
            (State::Up, State::Down) => {
                self.go(State::Down, Diagnostic::NEIGHBOR_SIGNALED_DOWN, signaled);
            }
            (State::Down, State::AdminDown | State::Up)
            | (State::Init, State::Down)
            | (State::Up, State::Init | State::Up) => {}
        }
    }

    pub(super) fn go(&mut self, to: State, diagnostic: Diagnostic, cause: Cause) {
        let from = self.state;
        self.diagnostic = diagnostic;
        if from == to {
            return;
        }
        if from == State::Up {
            self.counters.flaps += 1;
        }
        self.state = to;
        // How packets came before is no measure of how they come now; who is gone is remembered as it was last.
        self.measured.longest = Duration::ZERO;
        if to == State::Up {
            self.measured.interval = None;
        }
        self.settle_intervals();
        self.events.push_back(Event::Changed { from, to, cause });
    }

    /// Does what its time has come for. All that has arrived by then is to be given to [`handle_packet`](Self::handle_packet) before.
    pub fn handle_timeout(&mut self, now: Instant) {
        // §6.7.3: twice the detection time.
        if self.forget_sequence.is_some_and(|at| at <= now) {
            (self.forget_sequence, self.sequences.received) = (None, None);
            self.known_too_well = true;
        }
        if self.detection_at().is_none_or(|at| at > now) {
            return;
        }
        // §6.8.1, §6.8.18: who is heard anew may be another one, and what it asked for is asked no more.
        self.remote = Remote::UNKNOWN;
        self.heard = None;
        self.measured.interval = None;
        match self.state {
            // §6.8.4.
            State::Init | State::Up => {
                self.go(State::Down, Diagnostic::DETECTION_TIME_EXPIRED, Cause::DetectionTimeExpired);
            }
            State::AdminDown | State::Down => {}
        }
    }

    /// How long the other end may be silent before it is taken for gone (§6.8.4); zero before it was heard.
    #[must_use]
    pub fn detection_time(&self) -> Duration {
        self.rx.in_force.max(self.remote.desired_min_tx).duration() * u32::from(self.remote.detect_mult)
    }

    /// Between two packets of the other end, at most, before its jitter (§6.8.4).
    #[must_use]
    pub fn receive_interval(&self) -> Duration {
        self.rx.in_force.max(self.remote.desired_min_tx).duration()
    }

    /// When the other end was last heard; `None`: not within the detection time.
    #[must_use]
    pub const fn heard(&self) -> Option<Instant> {
        self.heard
    }

    pub(super) fn detection_at(&self) -> Option<Instant> {
        self.heard.map(|at| at + self.detection_time())
    }

    /// `periodic`: neither a question nor an answer, which come out of turn (§6.5).
    fn measure(&mut self, periodic: bool, now: Instant) {
        // What was a long time at another pace tells nothing of this one.
        let pace = self.receive_interval();
        if std::mem::replace(&mut self.paced, pace) != pace {
            (self.measured.interval, self.measured.longest) = (None, Duration::ZERO);
        }
        let Some(gap) = self.heard.map(|at| now.saturating_duration_since(at)) else {
            return;
        };
        if periodic {
            let smoothed =
                self.measured.interval.map_or(gap, |before| before.saturating_mul(7).saturating_add(gap) / 8);
            self.measured.interval = Some(smoothed);
        }
        if self.state == State::Up {
            self.measured.longest = self.measured.longest.max(gap);
        }
    }
}
