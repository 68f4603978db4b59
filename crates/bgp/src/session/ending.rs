//! How a session ends by our own will: for ever, or for a while.

use std::time::Instant;

use bytes::Bytes;

use super::{Action, Session, State};
use crate::{fault::DownReason, notification::Farewell};

impl Session {
    /// Ends the session for ever. Announcements and withdraws that still wait are not sent any more. To a neighbor that would keep
    /// our routes over a NOTIFICATION it is a hard reset (RFC 8538 §3.1).
    pub fn shutdown(&mut self, farewell: &Farewell, now: Instant) {
        self.suspended = false;
        if self.state == State::Idle {
            return;
        }
        self.end(farewell, DownReason::Shutdown(farewell.words()), now);
    }

    /// Ends the session as [`shutdown`](Self::shutdown) does, until [`resume`](Self::resume): until then nothing is dialled and
    /// nobody is let in.
    pub fn suspend(&mut self, farewell: &Farewell, now: Instant) {
        if self.state == State::Idle {
            return;
        }
        let reason = match farewell {
            Farewell::BfdDown(why) => DownReason::BfdDown(why.clone()),
            Farewell::Shutdown(_)
            | Farewell::Deconfigured
            | Farewell::Reconfigured
            | Farewell::Reset(_)
            | Farewell::Silence => DownReason::Suspended(farewell.words()),
        };
        if self.state == State::Established {
            self.last_end = Some((reason.clone(), now));
        }
        self.end(farewell, reason, now);
        self.suspended = true;
    }

    /// Goes on after [`suspend`](Self::suspend), at once.
    pub fn resume(&mut self, now: Instant) {
        if !std::mem::take(&mut self.suspended) {
            return;
        }
        self.backoff.reset();
        if self.config.passive { self.enter(State::Active, now) } else { self.dial(now) }
    }

    /// What ends the session for the neighbor, for whoever has to end the connection in the driver's place; `None` where there is
    /// nobody to tell.
    #[must_use]
    pub fn last_words(&self, farewell: &Farewell) -> Option<Bytes> {
        if !self.connected() {
            return None;
        }
        let graceful = self.negotiated.as_ref().and_then(|negotiated| negotiated.graceful_restart);
        farewell.message(graceful.is_some_and(|graceful| graceful.notification))
    }

    fn end(&mut self, farewell: &Farewell, reason: DownReason, now: Instant) {
        let (message, live) = (self.last_words(farewell), self.state != State::Active);
        if self.state == State::Established {
            self.down_since = now;
        }
        self.clear_connection();
        self.urgent.extend(message);
        if live {
            self.note_down(reason, now);
        }
        self.actions.clear();
        self.actions.push_back(Action::Close);
        self.enter(State::Idle, now);
    }
}
