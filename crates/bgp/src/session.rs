//! The session: one neighbor, one connection at a time (RFC 4271 §8).

mod ending;
mod handover;
mod link;
mod show;
mod states;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    net::{Ipv6Addr, SocketAddr},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;

use crate::{
    attributes::Routes,
    capability::Restart,
    capture::{Capture, Direction},
    counters::Counters,
    fault::{DownReason, Fault},
    framing::{Framer, HEADER_LEN, MessageType},
    limits::Limits,
    open::{Negotiated, Open},
    peer::PeerConfig,
    quarantine::{Quarantine, QuarantineEvent, Quarantined, Route},
    received::{Census, Received},
    rib::{Advertised, Rib},
    terms::{Link, NextHopChange, Terms, Unsendable},
    timers::{Backoff, Jitter, Timer, Timers},
    types::{Family, Prefix},
    wire,
};

/// How long a dial may take before the next is tried.
const DIAL_TIME: Duration = Duration::from_secs(10);
/// RFC 4271 §8.2.2 suggests 4 minutes for the neighbor's OPEN; no session needs to be slower in getting up than in noticing a
/// dead neighbor, so a shorter hold time bounds it, within reason.
const HANDSHAKE_TIME: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(240));
/// A session that was Established for less has not earned a fresh start of the retry times.
const STABLE: Duration = Duration::from_secs(10);
/// How often a connection is probed that is claimed to be gone.
const PROBE: Duration = Duration::from_secs(1);
/// A neighbor that connects to us has its OPEN at hand.
const GREETING: Duration = Duration::from_secs(10);
/// RFC 9687 §4: the SendHoldTimer is at least 8 minutes, and at least twice the hold time.
const SEND_HOLD_TIME: Duration = Duration::from_secs(480);

/// The states of RFC 4271 §8.2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Stopped: for ever after [`Session::shutdown`], until [`Session::resume`] after [`Session::suspend`].
    Idle,
    /// The driver is dialling.
    Connect,
    /// Waiting to dial again.
    Active,
    /// Our OPEN is out.
    OpenSent,
    /// The neighbor's OPEN was good.
    OpenConfirm,
    /// Routes flow.
    Established,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Idle => "Idle",
            Self::Connect => "Connect",
            Self::Active => "Active",
            Self::OpenSent => "OpenSent",
            Self::OpenConfirm => "OpenConfirm",
            Self::Established => "Established",
        })
    }
}

/// What the driver is to do with the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Dial; answer with [`Session::handle_connected`] or [`Session::handle_closed`].
    Connect,
    /// Give up the dial, or write what [`Session::poll_transmit`] still gives (a NOTIFICATION) and close. Do not wait for a neighbor
    /// that does not read. No answer is awaited, and none may come later.
    Close,
}

/// What the driver and the agent want to hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The neighbor is Established.
    Established,
    /// The session ended, or an attempt failed.
    Down(DownReason),
    /// [`Session::advertised`] or [`Session::unsent`] changed.
    Advertised,
    /// Routes are announced with another next hop from now on, or have none any more.
    NextHop(NextHopChange),
    /// Routes are held back from the neighbor, or are not any more.
    Quarantine(QuarantineEvent),
}

/// What becomes of a connection that the neighbor made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming {
    /// It is taken: [`Session::handle_connected`] is next.
    Take,
    /// It is taken once the old connection, which has been silent, is closed as [`Session::poll_action`] asks.
    Replace,
    /// It is closed at once, without a word.
    Refuse,
}

/// Octets given out, taken by the kernel, and acknowledged, all since the connection began.
#[derive(Debug, Default)]
struct Stream {
    handed_out: u64,
    written: u64,
    acked: u64,
    /// Since when reports of unacknowledged octets show no progress.
    stuck_since: Option<Instant>,
}

/// A BGP session with one neighbor, as a machine without clock and socket.
///
/// The driver owns the connection and the clock, and goes round like this:
///
/// 1. Tell the session what happened: one of the `handle_*` functions, [`set_routes`](Self::set_routes) or
///    [`shutdown`](Self::shutdown).
/// 2. Do what [`poll_action`](Self::poll_action) asks until it is `None`. On [`Action::Connect`] dial. On [`Action::Close`] write what
///    `poll_transmit` gives, without waiting, and drop the connection.
/// 3. Take every [`poll_event`](Self::poll_event).
/// 4. While there is a connection that can be written to, take **one** message from [`poll_transmit`](Self::poll_transmit), write it,
///    and say so with [`handle_written`](Self::handle_written), in parts if need be. Ask for the next when the last is written whole: so
///    a withdraw overtakes the announcements that wait.
/// 5. Sleep until [`poll_timeout`](Self::poll_timeout) at the latest; when it has come, call
///    [`handle_timeout`](Self::handle_timeout). `None` is: nothing to wait for but the neighbor.
///
/// [`new`](Self::new) has already asked for the first dial, so a driver starts at step 2. A passive session never asks; the driver
/// asks it whether to take a connection ([`incoming`](Self::incoming)).
/// After
/// `shutdown` there is one last [`Action::Close`], and then nothing for ever.
///
/// To learn what the neighbor's TCP has acknowledged, the driver asks its kernel while something of
/// [`advertised`](Self::advertised) is [`Written`](crate::Progress::Written), and passes the answer to
/// [`handle_unacked`](Self::handle_unacked).
#[derive(Debug)]
pub struct Session {
    config: PeerConfig,
    state: State,
    state_since: Instant,
    timers: Timers,
    jitter: Jitter,
    backoff: Backoff,
    link: Option<Link>,
    link_local: Option<Ipv6Addr>,
    /// There was a global IPv6 address to be the next hop.
    had_global: bool,
    framer: Framer,
    stream: Stream,
    /// Messages that go before all others: OPEN, the KEEPALIVE that confirms it, NOTIFICATION.
    urgent: VecDeque<Bytes>,
    keepalive_due: bool,
    negotiated: Option<Negotiated>,
    rib: Rib,
    limits: Limits,
    /// While the session is Established and what it receives is limited.
    census: Option<Census>,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
    counters: Counters,
    capture: Capture,
    quarantine: Quarantine,
    /// The OPEN that was sent over this connection.
    opened: Option<Open>,
    /// The neighbor's, whole.
    heard_open: Bytes,
    /// When the neighbor last said anything over this connection; else when it began.
    heard: Instant,
    made: Instant,
    restarted: bool,
    preserved: bool,
    /// Idle only until it is told to go on.
    suspended: bool,
    probed: Option<Instant>,
    last_error: Option<(DownReason, Instant)>,
    /// Why the last session that was Established ended, until there is another.
    last_end: Option<(DownReason, Instant)>,
    /// Since when there is no Established session.
    down_since: Instant,
}

impl Session {
    /// A session that wants to dial at once or, where it is passive, waits for the neighbor.
    #[must_use]
    pub fn new(config: PeerConfig, now: Instant) -> Self {
        let jitter = Jitter::new(config.seed);
        let backoff = if config.passive { Backoff::waiting() } else { Backoff::dialling(config.timing.connect_retry) };
        let mut session = Self {
            config,
            state: State::Idle,
            state_since: now,
            timers: Timers::default(),
            jitter,
            backoff,
            link: None,
            link_local: None,
            had_global: false,
            framer: Framer::default(),
            stream: Stream::default(),
            urgent: VecDeque::new(),
            keepalive_due: false,
            negotiated: None,
            rib: Rib::default(),
            limits: Limits::default(),
            census: None,
            actions: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            capture: Capture::new(now),
            quarantine: Quarantine::default(),
            opened: None,
            heard_open: Bytes::new(),
            heard: now,
            made: now,
            restarted: false,
            preserved: false,
            suspended: false,
            probed: None,
            last_error: None,
            last_end: None,
            down_since: now,
        };
        if session.config.passive {
            session.enter(State::Active, now);
        } else {
            session.dial(now);
        }
        session
    }

    /// Whether a connection that the neighbor made is taken. A second one is not, while the first lives: nothing proves who made
    /// it. But a router that failed over has forgotten the first, which then is silent (RFC 4271 §6.8 has no collision here, for
    /// only one end dials).
    pub fn incoming(&mut self, now: Instant) -> Incoming {
        let verdict = match self.state {
            State::Active if self.config.passive && self.timers.get(Timer::IdleHold).is_none() => Incoming::Take,
            State::OpenSent | State::OpenConfirm | State::Established if self.config.passive => {
                let silent = now.saturating_duration_since(self.heard);
                if self.too_silent().is_some_and(|time| silent >= time) { Incoming::Replace } else { Incoming::Refuse }
            }
            _ => Incoming::Refuse,
        };
        match verdict {
            Incoming::Take => {}
            Incoming::Replace => {
                self.go_down(DownReason::Replaced, now);
                self.timers.stop(Timer::IdleHold);
                self.backoff.reset();
                self.actions.push_back(Action::Close);
            }
            Incoming::Refuse => {
                self.counters.refused += 1;
                self.probe(now);
            }
        }
        verdict
    }

    /// Somebody claims that the connection is gone: a router that has forgotten it answers the next segment with a reset, and its
    /// next attempt is taken. (RFC 4271 §4.4 forbids periodic KEEPALIVEs at hold time 0, which this is not.)
    fn probe(&mut self, now: Instant) {
        let due = self.probed.is_none_or(|at| now.saturating_duration_since(at) >= PROBE);
        if due && self.config.passive && self.state == State::Established {
            self.probed = Some(now);
            self.keepalive_due = true;
        }
    }

    /// The silence of a neighbor that gives way to a new connection: two thirds of the hold time, for one that lives is silent for
    /// a third (RFC 4271 §4.4). Without keepalives silence says nothing.
    fn too_silent(&self) -> Option<Duration> {
        let hold = match &self.negotiated {
            Some(negotiated) => negotiated.hold_time,
            None => self.config.hold_time,
        };
        hold.duration().map(|hold| hold * 2 / 3)
    }

    /// The dial succeeded, or a connection of the neighbor was taken. `local` and `remote` are the ends of the connection.
    /// `local_ipv6` is an IPv6 address of the interface it runs over, global or else link-local, if there is one: the IPv6 next hop of a session over IPv4, and the global one beside a
    /// link-local transport.
    pub fn handle_connected(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        local_ipv6: Option<Ipv6Addr>,
        now: Instant,
    ) {
        let awaited = if self.config.passive { State::Active } else { State::Connect };
        if self.state != awaited {
            // A dial that was given up came through all the same.
            self.actions.push_back(Action::Close);
            return;
        }
        self.clear_connection();
        let link =
            Link { local, remote, local_ipv6, link_local: self.link_local, had_global: self.saw_global(local_ipv6) };
        self.capture.handle_connected(&link, self.config.local_as, self.config.peer_as.number(self.config.local_as));
        self.link = Some(link);
        let open = Open::ours(&self.config, self.restart(now));
        self.urgent.push_back(open.encode());
        self.opened = Some(open);
        self.heard = now;
        self.timers.set(Timer::Handshake, now + self.handshake_time());
        self.enter(State::OpenSent, now);
    }

    /// Octets came from the neighbor.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        if !self.connected() {
            return;
        }
        self.counters.bytes_received += bytes.len() as u64;
        self.heard = now;
        self.framer.push(bytes);
        while self.connected() {
            match self.framer.next() {
                Ok(None) => return,
                Ok(Some(frame)) => {
                    self.counters.received.count(frame.kind);
                    self.capture.handle_message(Direction::Received, frame.kind, &frame.bytes, now);
                    self.handle_message(&frame, now);
                }
                Err(error) => self.fail(error.into(), now),
            }
        }
    }

    /// The kernel took so many octets of what [`Self::poll_transmit`] gave.
    pub fn handle_written(&mut self, bytes: usize, now: Instant) {
        self.counters.bytes_sent += bytes as u64;
        if !self.connected() || bytes == 0 {
            return;
        }
        let stream = &mut self.stream;
        stream.written = stream.written.saturating_add(bytes as u64).min(stream.handed_out);
        let all = stream.written == stream.handed_out;
        self.rib.handle_written(stream.written, now);
        if all {
            self.timers.stop(Timer::SendHold);
        } else {
            self.timers.set(Timer::SendHold, now + self.send_hold_time());
        }
    }

    /// Of all octets written so far, the neighbor's TCP has not acknowledged so many (Linux: SIOCOUTQ).
    pub fn handle_unacked(&mut self, unacked: usize, now: Instant) {
        if !self.connected() {
            return;
        }
        let stream = &mut self.stream;
        let acked = stream.written.saturating_sub(unacked as u64);
        if acked > stream.acked || unacked == 0 {
            stream.stuck_since = None;
        }
        stream.acked = stream.acked.max(acked);
        self.rib.handle_acked(stream.acked, now);
        self.settle_quarantine(now);
        if unacked == 0 {
            return;
        }
        // RFC 9687: a socket's buffer can take keepalives for hours that nobody reads.
        let since = *self.stream.stuck_since.get_or_insert(now);
        let limit = self.send_hold_time();
        if now.saturating_duration_since(since) >= limit {
            self.fail(Fault::SendHoldTimer(limit), now);
        }
    }

    /// The dial failed, with the reason in words (`connect: refused`), or the connection ended. Not to be called in answer to
    /// [`Action::Close`].
    pub fn handle_closed(&mut self, error: Option<String>, now: Instant) {
        match self.state {
            State::Connect => {
                let reason = error.unwrap_or_else(|| "connect: failed".to_owned());
                self.go_down(DownReason::Dial(reason), now);
            }
            State::OpenSent | State::OpenConfirm | State::Established => self.go_down(DownReason::Closed(error), now),
            State::Idle | State::Active => {}
        }
    }

    /// The time of [`Self::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        for timer in Timer::ALL {
            if self.timers.take_expired(timer, now) {
                self.handle_timer(timer, now);
            }
        }
        self.settle_quarantine(now);
    }

    /// What the neighbor should hold from us: always the whole set, as often as anybody likes.
    pub fn set_routes(&mut self, desired: Routes, now: Instant) {
        self.quarantine.handle_desired(&desired);
        self.rib.set_held(self.quarantine.held_back(&desired), now);
        self.rib.set_desired(desired, now);
        self.settle_quarantine(now);
    }

    /// The limits from now on; the session stays as it is. Prefixes that the neighbor announced while it had no limit were not
    /// counted.
    pub fn set_limits(&mut self, limits: Limits, now: Instant) {
        self.rib.set_cap(limits.max_announced, now);
        self.limits = limits;
        match (limits.max_prefixes, &mut self.census) {
            (Some(limit), Some(census)) => census.set_limit(limit),
            (Some(limit), None) if self.state == State::Established => self.census = Some(Census::new(limit)),
            (Some(_), None) => {}
            (None, census) => *census = None,
        }
    }

    /// Whether the set of [`Self::set_routes`] is all there is to say; it is, until said otherwise. A neighbor that keeps routes
    /// over a restart gets no End-of-RIB before (RFC 4724 §4.1).
    pub const fn set_complete(&mut self, complete: bool) {
        self.rib.set_complete(complete);
    }

    /// This process took over from one that was up, and what that one announced still works here: the neighbor is told so until
    /// the session has been up, or the restart time has passed (RFC 4724 §4.1).
    pub const fn set_restarted(&mut self) {
        self.restarted = true;
    }

    /// Whatever the neighbor may still keep of us goes on working: this process announced it, over a session that it has forgotten.
    pub const fn set_preserved(&mut self) {
        self.preserved = true;
    }

    /// Whether the connection still lives is to be seen soon: a neighbor that has forgotten it answers the next segment with a
    /// reset.
    pub fn prod(&mut self) {
        if self.state == State::Established && self.hold_time().is_some() {
            self.keepalive_due = true;
        }
    }

    /// An operator wants the routes to be told again that are in quarantine.
    pub fn release(&mut self, wanted: impl Fn(&Prefix) -> bool, now: Instant) {
        self.quarantine.handle_release(wanted, now);
        self.rib.set_held(self.quarantine.held_back(self.rib.desired()), now);
        self.settle_quarantine(now);
    }

    /// What to do next with the transport.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// One message to write whole before the next is asked for. First what keeps the session alive, then withdraws, then
    /// announcements.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        let message = self.next_message(now)?;
        if let Some(kind) = message.get(HEADER_LEN - 1).copied().and_then(MessageType::from_code) {
            self.counters.sent.count(kind);
            self.capture.handle_message(Direction::Sent, kind, &message, now);
            self.restart_keepalive(kind, now);
        }
        if self.connected() {
            self.stream.handed_out = self.stream.handed_out.saturating_add(message.len() as u64);
            if self.timers.get(Timer::SendHold).is_none() {
                self.timers.set(Timer::SendHold, now + self.send_hold_time());
            }
        }
        Some(message)
    }

    /// What happened. [`Event::Advertised`] comes once for any number of changes.
    pub fn poll_event(&mut self) -> Option<Event> {
        let quarantine = || self.quarantine.poll_event().map(Event::Quarantine);
        self.events.pop_front().or_else(quarantine).or_else(|| self.rib.take_changed().then_some(Event::Advertised))
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let quarantine = self.quarantine.poll_timeout().filter(|_| self.state != State::Idle);
        self.timers.next().into_iter().chain(quarantine).min()
    }
}

/// What goes out, and the clocks that run beside it.
impl Session {
    fn next_message(&mut self, now: Instant) -> Option<Bytes> {
        if let Some(message) = self.urgent.pop_front() {
            return Some(message);
        }
        // Before any UPDATE: a batch of any size must not starve what keeps the session alive.
        if std::mem::take(&mut self.keepalive_due) {
            return Some(keepalive());
        }
        self.rib.next_update(self.stream.handed_out, now)
    }

    /// RFC 4271 §4.4, §8.2.2: a KEEPALIVE or an UPDATE that is sent restarts the KeepaliveTimer.
    fn restart_keepalive(&mut self, kind: MessageType, now: Instant) {
        let Some(interval) = self.negotiated.as_ref().and_then(|negotiated| negotiated.keepalive) else { return };
        match kind {
            MessageType::Keepalive | MessageType::Update => {
                let interval = self.jitter.apply(interval);
                self.timers.set(Timer::Keepalive, now + interval);
            }
            MessageType::Open | MessageType::Notification | MessageType::RouteRefresh => {}
        }
    }

    /// Looks whether routes that are held back may be told by now.
    fn settle_quarantine(&mut self, now: Instant) {
        let established = self.state == State::Established;
        let standing = |rib: &Rib, (prefix, attributes): &Route| rib.standing(*prefix, attributes);
        while self.quarantine.step(established, |route| standing(&self.rib, route), now) {
            self.rib.set_held(self.quarantine.held_back(self.rib.desired()), now);
        }
    }

    fn restart_hold(&mut self, now: Instant) {
        if let Some(hold) = self.hold_time() {
            self.timers.set(Timer::Hold, now + hold);
        }
    }

    fn hold_time(&self) -> Option<Duration> {
        self.negotiated.as_ref().and_then(|negotiated| negotiated.hold_time.duration())
    }

    fn handshake_time(&self) -> Duration {
        if self.config.passive {
            return GREETING;
        }
        let (least, most) = HANDSHAKE_TIME;
        self.config.hold_time.duration().map_or(most, |hold| hold.clamp(least, most))
    }

    /// What the OPEN says of the last restart: that there was one until the session has been up, or the restart time has passed.
    /// What was announced over an earlier connection of this process still works, for nothing has stopped since.
    fn restart(&self, now: Instant) -> Restart {
        let Some(graceful) = self.config.graceful_restart else { return Restart::default() };
        let first = self.counters.established == 0;
        let fresh = now.saturating_duration_since(self.made) <= graceful.restart_time;
        let restarted = self.restarted && first && fresh;
        Restart { restarted, preserved: restarted || self.preserved || !first }
    }

    fn send_hold_time(&self) -> Duration {
        let hold = self.hold_time().unwrap_or_default();
        // RFC 9687 §4: it must be longer than the hold time.
        self.config.timing.send_hold_time.map_or_else(|| SEND_HOLD_TIME.max(hold * 2), |time| time.max(hold))
    }
}

fn keepalive() -> Bytes {
    wire::message(MessageType::Keepalive, &[])
}

#[cfg(test)]
mod tests;
