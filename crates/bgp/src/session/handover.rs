//! A session that leaves one process and goes on in another, over the same connection.

use std::time::{Duration, Instant};

use super::{Session, State, Stream};
use crate::{
    framing::HEADER_LEN,
    handover::{Ends, Handover, Left, Octets, Unfit},
    open::{Negotiated, Open},
    peer::PeerConfig,
    terms::{Link, Terms},
    timers::Timer,
};

/// No timer of a session runs for longer.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

impl Session {
    /// All that another process needs to go on with the session over this very connection, beside what the driver has of a message
    /// that is written in part. `None` where the session is not Established: there is nothing that would be worth it.
    ///
    /// What was captured, what was counted of the neighbor's prefixes, and a search for refused routes that is under way stay
    /// behind.
    #[must_use]
    pub fn hand_over(&self, now: Instant) -> Option<Handover> {
        let (State::Established, Some(ours), Some(link)) = (self.state, &self.opened, &self.link) else { return None };
        let left = |timer| self.timers.get(timer).map(|at| at.saturating_duration_since(now));
        let ago = |at: Instant| now.saturating_duration_since(at);
        let (told, withdraws, marks) = self.rib.hand_over(now);
        Some(Handover {
            opens: [ours.encode().to_vec(), self.heard_open.to_vec()],
            link: Ends {
                local: link.local,
                remote: link.remote,
                local_ipv6: link.local_ipv6,
                link_local: link.link_local,
                had_global: self.had_global,
            },
            received: self.framer.waiting().to_vec(),
            sent: Octets { handed_out: self.stream.handed_out, written: self.stream.written, acked: self.stream.acked },
            urgent: self.urgent.iter().map(|message| message.to_vec()).collect(),
            keepalive_due: self.keepalive_due,
            left: Left { hold: left(Timer::Hold), keepalive: left(Timer::Keepalive), send_hold: left(Timer::SendHold) },
            told,
            withdraws,
            marks,
            sentences: self.quarantine.hand_over(now),
            counters: self.counters,
            established: ago(self.state_since),
            made: ago(self.made),
            silent: ago(self.heard),
        })
    }

    /// The session that was handed over, Established. It says nothing before it is given routes but what had to be withdrawn already,
    /// what the neighbor has asked for, and KEEPALIVEs; [`set_routes`](Self::set_routes) then finds out the difference.
    ///
    /// # Errors
    /// [`Unfit`]: the session cannot go on. Then the connection is to be closed, and a new session begun.
    pub fn take_over(config: PeerConfig, from: &Handover, now: Instant) -> Result<Self, Unfit> {
        let open = |message: &[u8]| Open::parse(message.get(HEADER_LEN..).unwrap_or_default());
        let [ours, theirs] = &from.opens;
        let (opened, heard_open) = (open(ours)?, theirs.clone().into());
        let negotiated = Negotiated::new(&config, &opened, &open(theirs)?)?;
        let Octets { handed_out, written, acked } = from.sent;
        if !(acked <= written && written <= handed_out) {
            return Err(Unfit::Broken("more was acknowledged or written than there is"));
        }
        let before = |age: Duration| now.checked_sub(age).unwrap_or(now);
        let Ends { local, remote, local_ipv6, link_local, had_global } = from.link;

        let mut session = Self::new(config, now);
        session.actions.clear();
        session.timers.stop_all();
        let link = Link { local, remote, local_ipv6, link_local, had_global };
        let terms = Terms::new(&session.config, &negotiated, &link);
        session.capture.handle_connected(&link, session.config.local_as, Some(negotiated.peer_as));
        session.capture.handle_open(negotiated.peer_as, negotiated.four_octet_as);
        session.capture.handle_state(State::OpenConfirm, State::Established, now);
        if session.config.offers.extended_message {
            session.framer.extend();
        }
        session.framer.push(&from.received);
        session.quarantine.take_over(&from.sentences, now);
        session.rib.take_over(terms.clone(), from, now)?;
        session.tell_quarantine(&terms, now);
        (session.link, session.link_local, session.had_global) = (Some(link), link_local, had_global);
        (session.negotiated, session.opened, session.heard_open) = (Some(negotiated), Some(opened), heard_open);
        session.stream = Stream { handed_out, written, acked, stuck_since: None };
        session.urgent = from.urgent.iter().map(|message| message.clone().into()).collect();
        session.keepalive_due = from.keepalive_due;
        session.counters = from.counters;
        session.backoff.reset();
        (session.made, session.heard) = (before(from.made), before(from.silent));
        (session.state, session.state_since) = (State::Established, before(from.established));
        let left = [
            (Timer::Hold, from.left.hold),
            (Timer::Keepalive, from.left.keepalive),
            (Timer::SendHold, from.left.send_hold),
        ];
        for (timer, left) in left {
            if let Some(left) = left {
                session.timers.set(timer, now + left.min(LONGEST));
            }
        }
        Ok(session)
    }
}
