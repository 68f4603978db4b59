//! The session: one neighbor, one connection at a time (RFC 4271 §8).

mod states;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    net::{Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    attributes::Routes,
    counters::Counters,
    fault::{DownReason, Fault},
    framing::{Framer, HEADER_LEN, MessageType},
    limits::Limits,
    notification::Notification,
    open::{Negotiated, Open},
    peer::PeerConfig,
    received::{Census, Received},
    rib::{Advertised, Rib},
    terms::{Link, Terms, Unsendable},
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
/// RFC 9687 §4: the SendHoldTimer is at least 8 minutes, and at least twice the hold time.
const SEND_HOLD_TIME: Duration = Duration::from_secs(480);

/// The states of RFC 4271 §8.2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Stopped, for ever: after [`Session::shutdown`].
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
/// [`new`](Self::new) has already asked for the first dial, so a driver starts at step 2. After
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
    last_error: Option<(DownReason, Instant)>,
    /// Why the last session that was Established ended, until there is another.
    last_end: Option<(DownReason, Instant)>,
    /// Since when there is no Established session.
    down_since: Instant,
}

impl Session {
    /// A session that wants to dial at once.
    #[must_use]
    pub fn new(config: PeerConfig, now: Instant) -> Self {
        let jitter = Jitter::new(config.seed);
        let mut session = Self {
            config,
            state: State::Idle,
            state_since: now,
            timers: Timers::default(),
            jitter,
            backoff: Backoff::default(),
            link: None,
            link_local: None,
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
            last_error: None,
            last_end: None,
            down_since: now,
        };
        session.dial(now);
        session
    }

    /// The link-local address of the interface that the next connection runs over, where there is one; to be told before
    /// [`Self::handle_connected`]. It matters where the next hop is to have one ([`LinkLocal`](crate::LinkLocal)).
    pub const fn set_link_local(&mut self, address: Option<Ipv6Addr>) {
        self.link_local = address;
    }

    /// The dial succeeded. `local` and `remote` are the ends of the connection. `local_ipv6` is an IPv6 address of the interface it runs
    /// over, global or else link-local, if there is one: the IPv6 next hop of a session over IPv4, and the global one beside a
    /// link-local transport.
    pub fn handle_connected(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        local_ipv6: Option<Ipv6Addr>,
        now: Instant,
    ) {
        if self.state != State::Connect {
            // A dial that was given up came through all the same.
            self.actions.push_back(Action::Close);
            return;
        }
        self.clear_connection();
        self.link = Some(Link { local, remote, local_ipv6, link_local: self.link_local });
        self.urgent.push_back(Open::ours(&self.config).encode());
        self.timers.set(Timer::Handshake, now + self.handshake_time());
        self.enter(State::OpenSent, now);
    }

    /// Octets came from the neighbor.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        if !self.connected() {
            return;
        }
        self.counters.bytes_received += bytes.len() as u64;
        self.framer.push(bytes);
        while self.connected() {
            match self.framer.next() {
                Ok(None) => return,
                Ok(Some(frame)) => {
                    self.counters.received.count(frame.kind);
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
    }

    /// What the neighbor should hold from us: always the whole set, as often as anybody likes.
    pub fn set_routes(&mut self, desired: Routes, now: Instant) {
        self.rib.set_desired(desired, now);
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

    /// Ends the session for ever: Cease, Administrative Shutdown, with `message` for the neighbor's operator (RFC 9003), of which
    /// at most 128 octets are sent. Announcements and withdraws that still wait are not sent any more.
    pub fn shutdown(&mut self, message: &str, now: Instant) {
        if self.state == State::Idle {
            return;
        }
        let (connected, live) = (self.connected(), self.state != State::Active);
        if self.state == State::Established {
            self.down_since = now;
        }
        self.clear_connection();
        if connected {
            self.urgent.push_back(Notification::shutdown(message).encode());
        }
        if live {
            self.note_down(DownReason::Shutdown(message.to_owned()), now);
        }
        self.actions.clear();
        self.actions.push_back(Action::Close);
        self.enter(State::Idle, now);
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
        self.events.pop_front().or_else(|| self.rib.take_changed().then_some(Event::Advertised))
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The state of RFC 4271.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Since when it is in that state.
    #[must_use]
    pub const fn state_since(&self) -> Instant {
        self.state_since
    }

    /// The Adj-RIB-Out with the progress of each entry; empty while the session is not Established.
    #[must_use]
    pub const fn advertised(&self) -> &BTreeMap<Prefix, Advertised> {
        self.rib.advertised()
    }

    /// The desired routes that this neighbor cannot be given, and why; empty while the session is not Established.
    #[must_use]
    pub const fn unsent(&self) -> &BTreeMap<Prefix, Unsendable> {
        self.rib.unsent()
    }

    /// What was agreed on, once the neighbor's OPEN was good.
    #[must_use]
    pub const fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref()
    }

    /// The next hop that each family in force is announced with, as written in an UPDATE; empty while the session is not
    /// Established.
    #[must_use]
    pub fn next_hops(&self) -> BTreeMap<Family, String> {
        self.rib.terms().map(Terms::next_hops).unwrap_or_default()
    }

    /// The connection's two ends, ours first, while there is one.
    #[must_use]
    pub fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.link.as_ref().map(|link| (link.local, link.remote))
    }

    /// What the neighbor has announced in this session, where that is limited.
    #[must_use]
    pub fn received(&self) -> Option<Received> {
        self.census.as_ref().map(Census::report)
    }

    /// What was counted since [`Self::new`].
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Why the session, or the attempt at one, ended last. It outlives later successes.
    #[must_use]
    pub fn last_error(&self) -> Option<&DownReason> {
        self.last_error.as_ref().map(|(reason, _)| reason)
    }

    /// When that was.
    #[must_use]
    pub fn last_error_at(&self) -> Option<Instant> {
        self.last_error.as_ref().map(|(_, at)| *at)
    }

    /// Why the last Established session ended and when; `None` while there is one, and where there never was. The failures of
    /// the dials that follow ([`Self::last_error`]) do not change it.
    #[must_use]
    pub fn last_end(&self) -> Option<(&DownReason, Instant)> {
        self.last_end.as_ref().map(|(reason, at)| (reason, *at))
    }

    /// Since when the session is Established or, whatever is being tried meanwhile, not.
    #[must_use]
    pub fn up_or_down_since(&self) -> Instant {
        if self.state == State::Established { self.state_since } else { self.down_since }
    }

    /// When the next dial is due, in [`State::Active`].
    #[must_use]
    pub fn next_dial(&self) -> Option<Instant> {
        self.timers.get(Timer::ConnectRetry)
    }

    /// What the session was made with.
    #[must_use]
    pub const fn config(&self) -> &PeerConfig {
        &self.config
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

    fn restart_hold(&mut self, now: Instant) {
        if let Some(hold) = self.hold_time() {
            self.timers.set(Timer::Hold, now + hold);
        }
    }

    fn hold_time(&self) -> Option<Duration> {
        self.negotiated.as_ref().and_then(|negotiated| negotiated.hold_time.duration())
    }

    fn handshake_time(&self) -> Duration {
        let (least, most) = HANDSHAKE_TIME;
        self.config.hold_time.duration().map_or(most, |hold| hold.clamp(least, most))
    }

    fn send_hold_time(&self) -> Duration {
        self.hold_time().map_or(SEND_HOLD_TIME, |hold| SEND_HOLD_TIME.max(hold * 2))
    }
}

fn keepalive() -> Bytes {
    wire::message(MessageType::Keepalive, &[])
}

#[cfg(test)]
mod tests;
