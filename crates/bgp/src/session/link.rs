//! The interface that a session runs over: its addresses, that it goes down, and that it is back.

use std::{net::Ipv6Addr, time::Instant};

use super::{Event, Session, State};
use crate::{
    fault::DownReason,
    terms::{self, Terms},
    timers::Timer,
    types::Family,
};

impl Session {
    /// The link-local address of the interface that the next connection runs over, where there is one; to be told before
    /// [`Self::handle_connected`]. It matters where the next hop is to have one ([`LinkLocal`](crate::LinkLocal)).
    pub const fn set_link_local(&mut self, address: Option<Ipv6Addr>) {
        self.link_local = address;
    }

    /// The addresses of the interface that the connection runs over are these now: what [`Self::handle_connected`] and
    /// [`Self::set_link_local`] were told is out of date. What has another next hop by it is announced anew, what has none any more is
    /// withdrawn. Without a connection it says nothing.
    pub fn handle_addresses(&mut self, local_ipv6: Option<Ipv6Addr>, link_local: Option<Ipv6Addr>, now: Instant) {
        let had_global = self.saw_global(local_ipv6);
        let Some(link) = &mut self.link else { return };
        (link.local_ipv6, link.link_local, link.had_global) = (local_ipv6, link_local, had_global);
        self.link_local = link_local;
        let (Some(before), Some(negotiated)) = (self.rib.terms(), &self.negotiated) else { return };
        let terms = Terms::new(&self.config, negotiated, link);
        let changes = terms::changes(before, &terms);
        if !changes.is_empty() {
            self.events.extend(changes.into_iter().map(Event::NextHop));
            self.tell_quarantine(&terms, now);
            self.rib.set_terms(terms, now);
            self.settle_quarantine(now);
        }
    }

    /// Whether there has been a global address, this one included.
    pub(super) fn saw_global(&mut self, local_ipv6: Option<Ipv6Addr>) -> bool {
        self.had_global |= local_ipv6.is_some_and(|address| !address.is_unicast_link_local());
        self.had_global
    }

    /// What was refused was refused with a next hop.
    pub(super) fn tell_quarantine(&mut self, terms: &Terms, now: Instant) {
        for family in Family::ALL {
            self.quarantine.handle_next_hop(family, terms.next_hop(family), now);
        }
        self.rib.set_held(self.quarantine.held_back(self.rib.desired()), now);
    }

    /// The interface that leads to the neighbor cannot carry anything: there is no connection any more, nor a dial, and none is to be
    /// closed. Nothing that is said now would arrive. [`Self::hurry`] is for when it is back.
    pub fn handle_link_down(&mut self, interface: &str, now: Instant) {
        if self.connected() || self.state == State::Connect {
            self.counters.link_downs += u64::from(self.state == State::Established);
            self.go_down(DownReason::LinkDown(interface.to_owned()), now);
        }
    }

    /// Something changed that promises success: an attempt that waits for its turn is made at once, or let in at once.
    pub fn hurry(&mut self, now: Instant) {
        if self.state != State::Active {
            return;
        }
        self.backoff.reset();
        if self.config.passive {
            self.timers.stop(Timer::IdleHold);
        } else {
            self.timers.stop(Timer::ConnectRetry);
            self.dial(now);
        }
    }
}
