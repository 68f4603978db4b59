//! What is sent, and when (RFC 5880 §6.8.7).

use std::time::{Duration, Instant};

use super::Session;
use crate::packet::{Micros, Packet, State};

impl Session {
    /// When [`handle_timeout`](Self::handle_timeout) or [`poll_transmit`](Self::poll_transmit) has something to do; `None`: not
    /// before something happens. Once both were called with `now` and the latter has nothing more, it is later than `now`.
    #[must_use]
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let answer = self.answers().then_some(now);
        [answer, self.next_unasked(now), self.detection_at(), self.forget_sequence].into_iter().flatten().min()
    }

    /// The next packet, if one is due.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        let answers = self.answers();
        self.final_due = false;
        if answers {
            // The answer to a Poll does not wait, and is not one of those that are due.
            return Some(self.write(true, now));
        }
        if self.next_unasked(now).is_none_or(|at| at > now) {
            return None;
        }
        let part = self.part();
        self.sent = Some((now, part));
        Some(self.write(false, now))
    }

    /// Whether a Poll is to be answered; who has been forgotten since is not there to hear it.
    const fn answers(&self) -> bool {
        self.final_due && self.remote.discriminator != 0
    }

    /// When the next packet is to be sent that nobody asked for; `None`: none is.
    fn next_unasked(&self, now: Instant) -> Option<Instant> {
        if self.config.passive && self.remote.discriminator == 0 {
            return None;
        }
        // What is new is told at once, also to those who want nothing periodic.
        if self.said != Some(self.packet()) {
            return Some(now);
        }
        if self.remote.required_min_rx.0 == 0 {
            return None;
        }
        let periodic = self.sent.map_or(now, |(at, part)| at + self.transmit_interval() * part / 1024);
        // §6.6: the other end has asked for silence, but for Poll Sequences.
        if self.remote.demand && self.state == State::Up && self.remote.state == State::Up {
            return self.poll.map(|_| self.polls_from.map_or(periodic, |from| from.max(periodic)));
        }
        Some(periodic)
    }

    /// When the next packet of the periodic ones is due; `None`: the next one goes for another reason, or none does. For who measures
    /// how punctual they are.
    #[must_use]
    pub fn periodic_at(&self) -> Option<Instant> {
        let (at, part) = self.sent?;
        let silent = self.remote.demand && self.state == State::Up && self.remote.state == State::Up;
        let plain = !self.answers() && !silent && self.remote.required_min_rx.0 != 0;
        (plain && self.said == Some(self.packet())).then(|| at + self.transmit_interval() * part / 1024)
    }

    /// 75 to 100 % of the interval lie between two packets, 75 to 90 % where one that is lost is one too many.
    fn part(&mut self) -> u32 {
        let most = if self.config.detect_mult.get() == 1 { 921 } else { 1024 };
        let mut random = Random(self.random);
        let part = 768 + u32::try_from(random.next() % (most - 768 + 1)).unwrap_or_default();
        self.random = random.0;
        part
    }

    /// All that is said, but for Poll and Final.
    pub(super) fn packet(&self) -> Packet {
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

    /// What was said last, once more, whenever it is due: for what is said for the last time, and may be lost.
    pub fn repeat(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.said.is_some().then(|| self.write(false, now))
    }

    fn write(&mut self, is_final: bool, now: Instant) -> Vec<u8> {
        let packet = self.packet();
        let changed = self.said.replace(packet) != Some(packet);
        self.counters.transmitted += 1;
        // §6.5: never both.
        let packet = Packet { poll: !is_final && self.ask(now), is_final, ..packet };
        self.sequences.write(&packet, self.config.key.as_ref(), changed)
    }

    /// Between two packets of ours, before the jitter.
    #[must_use]
    pub fn transmit_interval(&self) -> Duration {
        self.tx.in_force.max(self.remote.required_min_rx).duration()
    }

    /// How long we may be silent before the other end takes us for gone, as far as we know.
    #[must_use]
    pub fn remote_detection_time(&self) -> Duration {
        let told = self.tx.told.max(self.tx.in_force).max(self.remote.required_min_rx);
        told.duration() * u32::from(self.config.detect_mult.get())
    }
}

/// SplitMix64: spread, not secret.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
