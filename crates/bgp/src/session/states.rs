//! The transitions: one function per state that can hear a message, one for the timers, and the ways in and out.

use std::time::Instant;

use bytes::Bytes;

use super::{Action, DIAL_TIME, Event, STABLE, Session, State, Stream, keepalive};
use crate::{
    capability::Capability,
    fault::{DownReason, Fault},
    framing::{Frame, MessageType},
    notification::Notification,
    open::{Negotiated, Open},
    received::Census,
    refresh,
    terms::Terms,
    timers::Timer,
    update::{self, Context},
};

impl Session {
    pub(super) const fn connected(&self) -> bool {
        match self.state {
            State::OpenSent | State::OpenConfirm | State::Established => true,
            State::Idle | State::Connect | State::Active => false,
        }
    }

    pub(super) fn handle_message(&mut self, frame: &Frame, now: Instant) {
        match self.state {
            State::Idle | State::Connect | State::Active => {}
            State::OpenSent => self.open_sent(frame, now),
            State::OpenConfirm => self.open_confirm(frame, now),
            State::Established => self.established(frame, now),
        }
    }

    fn open_sent(&mut self, frame: &Frame, now: Instant) {
        match frame.kind {
            MessageType::Open => {
                let Some(ours) = &self.opened else { return };
                match Open::parse(frame.body()).and_then(|open| Negotiated::new(&self.config, ours, &open)) {
                    Ok(negotiated) => {
                        // RFC 8654 §4: what we may receive follows from what we offered.
                        if self.config.offers.extended_message {
                            self.framer.extend();
                        }
                        self.capture.handle_open(negotiated.peer_as, negotiated.four_octet_as);
                        self.negotiated = Some(negotiated);
                        self.heard_open = frame.bytes.clone();
                        self.urgent.push_back(keepalive());
                        // RFC 4271 §8.2.2: the negotiated hold time runs from here, not only from Established.
                        self.restart_hold(now);
                        self.enter(State::OpenConfirm, now);
                    }
                    Err(error) => self.fail(error.into(), now),
                }
            }
            MessageType::Notification => self.notified(frame, now),
            kind @ (MessageType::Update | MessageType::Keepalive | MessageType::RouteRefresh) => {
                self.unexpected(kind, now);
            }
        }
    }

    fn open_confirm(&mut self, frame: &Frame, now: Instant) {
        match frame.kind {
            MessageType::Keepalive => {
                let (Some(negotiated), Some(link)) = (&self.negotiated, &self.link) else { return };
                let terms = Terms::new(&self.config, negotiated, link);
                self.tell_quarantine(&terms, now);
                self.rib.up(terms, now);
                self.census = self.limits.max_prefixes.map(Census::new);
                self.timers.stop(Timer::Handshake);
                self.restart_hold(now);
                self.counters.established += 1;
                self.last_end = None;
                self.events.push_back(Event::Established);
                self.enter(State::Established, now);
            }
            MessageType::Notification => self.notified(frame, now),
            // An OPEN here would be a collision only on another connection (RFC 4271 §6.8), and there is but this one.
            kind @ (MessageType::Open | MessageType::Update | MessageType::RouteRefresh) => self.unexpected(kind, now),
        }
    }

    fn established(&mut self, frame: &Frame, now: Instant) {
        match frame.kind {
            MessageType::Keepalive => self.restart_hold(now),
            MessageType::Update => {
                self.restart_hold(now);
                self.handle_update(frame, now);
            }
            MessageType::RouteRefresh => match refresh::parse(frame, self.knows_subtypes()) {
                Ok(Some(family)) => self.rib.refresh(family),
                Ok(None) => {}
                Err(error) => self.fail(error.into(), now),
            },
            MessageType::Notification => self.notified(frame, now),
            kind @ MessageType::Open => self.unexpected(kind, now),
        }
    }

    /// Whether the neighbor said that it knows the subtypes of RFC 7313.
    fn knows_subtypes(&self) -> bool {
        self.negotiated.as_ref().is_some_and(|it| it.received.contains(&Capability::EnhancedRouteRefresh))
    }

    fn handle_update(&mut self, frame: &Frame, now: Instant) {
        let Some(negotiated) = &self.negotiated else { return };
        match update::check(frame.body(), Context::new(negotiated)) {
            Ok(tally) => {
                self.counters.prefixes_announced += tally.announced as u64;
                self.counters.prefixes_withdrawn += tally.withdrawn as u64;
                self.counters.treated_as_withdraw += u64::from(tally.treated_as_withdraw);
                self.counters.attributes_discarded += tally.discarded as u64;
                if let Some(census) = self.census.as_mut().filter(|_| tally.announced > 0) {
                    update::each_announced(frame.body(), Context::new(negotiated), |prefix| census.see(prefix));
                    census.judge();
                }
            }
            Err(error) => self.fail(error.into(), now),
        }
    }

    pub(super) fn handle_timer(&mut self, timer: Timer, now: Instant) {
        match timer {
            Timer::ConnectRetry => self.dial(now),
            Timer::IdleHold => {}
            Timer::Dial => {
                self.actions.push_back(Action::Close);
                self.go_down(DownReason::DialTimeout(DIAL_TIME), now);
            }
            Timer::Handshake => self.fail(Fault::Handshake(self.handshake_time()), now),
            Timer::Hold => self.fail(Fault::HoldTimer(self.hold_time().unwrap_or_default()), now),
            Timer::Keepalive => self.keepalive_due = true,
            Timer::SendHold => self.fail(Fault::SendHoldTimer(self.send_hold_time()), now),
        }
    }

    pub(super) fn dial(&mut self, now: Instant) {
        self.actions.push_back(Action::Connect);
        self.timers.set(Timer::Dial, now + DIAL_TIME);
        self.enter(State::Connect, now);
    }

    pub(super) fn enter(&mut self, state: State, now: Instant) {
        self.capture.handle_state(self.state, state, now);
        self.state = state;
        self.state_since = now;
    }

    /// RFC 4271 §6.4: a NOTIFICATION is never answered with one.
    fn notified(&mut self, frame: &Frame, now: Instant) {
        if let Some(notification) = Notification::parse(frame.body()) {
            self.actions.push_back(Action::Close);
            self.go_down(DownReason::Received(notification), now);
        }
    }

    fn unexpected(&mut self, kind: MessageType, now: Instant) {
        self.fail(Fault::Unexpected { kind, state: self.state }, now);
    }

    /// RFC 4271 §6: says why, and closes.
    pub(super) fn fail(&mut self, fault: Fault, now: Instant) {
        let notification = fault.notification().encode();
        self.go_down(DownReason::Fault(fault), now);
        self.urgent.push_back(notification);
        self.actions.push_back(Action::Close);
    }

    /// From any state with a connection, or a dial, to Active: the next attempt follows by itself, or is the neighbor's.
    pub(super) fn go_down(&mut self, reason: DownReason, now: Instant) {
        let lasted = now.saturating_duration_since(self.state_since);
        if self.state == State::Established {
            self.judge(&reason, now);
            self.last_end = Some((reason.clone(), now));
            self.down_since = now;
        }
        if self.state == State::Established && lasted >= STABLE {
            self.backoff.reset();
        }
        self.clear_connection();
        self.note_down(reason, now);
        let wait = self.jitter.apply(self.backoff.next());
        let timer = if self.config.passive { Timer::IdleHold } else { Timer::ConnectRetry };
        self.timers.set(timer, now + wait);
        self.enter(State::Active, now);
    }

    /// Whether the session ended for a route of ours (see [`crate::quarantine`]).
    fn judge(&mut self, reason: &DownReason, now: Instant) {
        let refusal = match reason {
            DownReason::Received(notification) => notification.update_error().map(|(_, data)| (notification, data)),
            _ => None,
        };
        match refusal {
            Some((notification, data)) => {
                self.quarantine.handle_refused(notification, &self.rib.told(data), now);
            }
            None => self.quarantine.handle_ended(&self.rib.told(&[]), now),
        }
        self.rib.set_held(self.quarantine.held_back(self.rib.desired()), now);
    }

    pub(super) fn note_down(&mut self, reason: DownReason, now: Instant) {
        // An interface that stays down is one failure, however often it is looked whether another leads there.
        let known = |(last, _): &(DownReason, Instant)| matches!(last, DownReason::LinkDown(_)) && *last == reason;
        if self.state != State::Connect || !self.last_error.as_ref().is_some_and(known) {
            self.events.push_back(Event::Down(reason.clone()));
        }
        self.last_error = Some((reason, now));
    }

    /// Forgets all that belongs to one connection.
    pub(super) fn clear_connection(&mut self) {
        self.timers.stop_all();
        self.framer.clear();
        self.stream = Stream::default();
        self.urgent.clear();
        self.keepalive_due = false;
        self.negotiated = None;
        self.opened = None;
        self.heard_open = Bytes::new();
        self.link = None;
        self.rib.down();
        self.census = None;
    }
}
